//! A raw TCP connection, for paths that no HTTP client would send, and for clients that misbehave.

use super::client::Answer;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The time limit of every read and write.
const DEADLINE: Duration = Duration::from_secs(30);

pub struct Wire {
    pub stream: TcpStream,
    input: Vec<u8>,
}

impl Wire {
    pub async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), input: Vec::new() }
    }

    /// Sends bytes. It isn't a failure if the server has closed the connection, because its answer says why.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = timeout(DEADLINE, self.stream.write_all(bytes.as_ref())).await.expect("the server accepts bytes");
        self
    }

    /// Reads more bytes, and returns whether any came.
    async fn more(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.input);
        timeout(DEADLINE, read).await.expect("the server answers or closes").unwrap_or(0) > 0
    }

    /// Status and headers of the next answer, or `None` if the connection is closed before their end.
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

    /// The next answer that isn't interim (100), or `None` if the connection is closed before its end.
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

    /// Waits until the server closes, and returns the bytes that came until then.
    pub async fn rest(mut self) -> Vec<u8> {
        while self.more().await {}
        self.input
    }

    /// Whether the server closes the connection without another byte.
    pub async fn closes(self) -> bool {
        self.rest().await.is_empty()
    }
}

/// Sends one request with its path exactly as given, and returns the answer.
pub async fn ask(address: SocketAddr, method: &str, target: impl AsRef<[u8]>, fields: &[(&str, &str)]) -> Answer {
    send(address, method, target, fields, b"").await
}

/// The same with a body. The headers should declare its length.
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

/// The request line and headers.
pub fn head(method: &str, target: impl AsRef<[u8]>, fields: &[(&str, &str)]) -> Vec<u8> {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    [format!("{method} ").as_bytes(), target.as_ref(), b" HTTP/1.1\r\nHost: x\r\n", fields.as_bytes(), b"\r\n"].concat()
}
