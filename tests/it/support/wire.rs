//! Bytes on a connection, exactly as given: for paths that no client would send, and for clients that misbehave.

use super::client::Answer;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long anything may take on a connection of a test.
const DEADLINE: Duration = Duration::from_secs(30);

/// A connection.
pub struct Wire {
    pub stream: TcpStream,
    input: Vec<u8>,
}

impl Wire {
    pub async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), input: Vec::new() }
    }

    /// Sends bytes. That the server has closed its side is no failure: its answer says why.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = timeout(DEADLINE, self.stream.write_all(bytes.as_ref())).await.expect("the server takes bytes");
        self
    }

    /// Whether another byte came.
    async fn more(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.input);
        timeout(DEADLINE, read).await.expect("the server goes on").unwrap_or(0) > 0
    }

    /// The head of the next answer and what of its body is there; `None` when the connection is cut before.
    pub async fn head(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(end) = self.input.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if !self.more().await {
                return None;
            }
        };
        let rest = self.input.split_off(end + 4);
        let head = String::from_utf8(std::mem::replace(&mut self.input, rest)).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap()[9..12].parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        Some(Answer { status, headers, body: Vec::new() })
    }

    /// The next answer, but no interim one; `None` when the connection is cut before its end.
    pub async fn answer(&mut self, method: &str) -> Option<Answer> {
        let mut answer = self.head().await?;
        while answer.status == 100 {
            answer = self.head().await?;
        }
        let length = match (method, answer.status) {
            ("HEAD", _) | (_, 204 | 304) => 0,
            _ => answer.header("content-length").unwrap_or("0").parse().unwrap(),
        };
        while self.input.len() < length {
            if !self.more().await {
                return None;
            }
        }
        let rest = self.input.split_off(length);
        answer.body = std::mem::replace(&mut self.input, rest);
        Some(answer)
    }

    /// Waits for the server to close, and gives the bytes that came until then.
    pub async fn rest(mut self) -> Vec<u8> {
        while self.more().await {}
        self.input
    }

    /// Whether the server closes the connection without another word.
    pub async fn is_closed(self) -> bool {
        self.rest().await.is_empty()
    }
}

/// One request with its target exactly as given, and its answer.
pub async fn ask(address: SocketAddr, method: &str, target: impl AsRef<[u8]>, fields: &[(&str, &str)]) -> Answer {
    send(address, method, target, fields, b"").await
}

/// The same with a body, whose length the fields should say.
pub async fn send(
    address: SocketAddr,
    method: &str,
    target: impl AsRef<[u8]>,
    fields: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut wire = Wire::open(address).await;
    wire.say(head(method, target, fields)).await.say(body).await;
    wire.answer(method).await.expect("an answer")
}

/// A request's head.
pub fn head(method: &str, target: impl AsRef<[u8]>, fields: &[(&str, &str)]) -> Vec<u8> {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    [format!("{method} ").as_bytes(), target.as_ref(), b" HTTP/1.1\r\nHost: x\r\n", fields.as_bytes(), b"\r\n"].concat()
}
