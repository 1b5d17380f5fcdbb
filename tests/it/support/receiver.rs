//! A receiver of webhooks on this machine, which stores every request and answers as configured.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A received request.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Method and target.
    pub line: String,
    /// By lowercase name. No name may occur twice.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Heard {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
    }

    /// The action, package and version of the payload.
    pub fn news(&self) -> String {
        let json = self.json();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        format!("{} {} {}", text(&json["action"]), text(&json["package"]["name"]), text(&json["package"]["version"]))
    }
}

/// How a receiver answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Send these bytes and close.
    Bytes(String),
    /// Send these bytes, and then others without end.
    Endless(String),
    /// Never answer, as long as the client waits.
    Silence,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self::Bytes(format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 2\r\n\r\nok"))
    }

    /// A JSON document, with further header lines, each ending in `\r\n`.
    pub fn json(value: &serde_json::Value, headers: &str) -> Self {
        let (body, head) = (value.to_string(), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n");
        Self::Bytes(format!("{head}{headers}Content-Length: {}\r\n\r\n{body}", body.len()))
    }

    /// Answers on a connection, until the client or the server ends.
    pub fn send(&self, stream: &mut TcpStream, ended: &AtomicBool) {
        match self {
            Self::Bytes(bytes) => {
                let _ = stream.write_all(bytes.as_bytes());
            }
            Self::Endless(bytes) => {
                let _ = stream.write_all(bytes.as_bytes());
                while stream.write_all(&[b'x'; 4096]).is_ok() && !ended.load(Ordering::SeqCst) {}
            }
            Self::Silence => {
                stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                while !ended.load(Ordering::SeqCst) {
                    match stream.read(&mut [0; 64]) {
                        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                        _ => return,
                    }
                }
            }
        }
    }
}

#[derive(Default)]
struct Shared {
    heard: Mutex<Vec<Heard>>,
    reply: Mutex<Option<Reply>>,
    ended: AtomicBool,
}

/// A receiver that listens until it is dropped.
pub struct Receiver {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    /// A receiver that answers 200.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let hearing = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if hearing.ended.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, hearing) = (stream.unwrap(), Arc::clone(&hearing));
                std::thread::spawn(move || serve(stream, &hearing));
            }
        });
        Self { address, shared }
    }

    /// A receiver that answers with this reply.
    pub fn replying(reply: Reply) -> Self {
        let receiver = Self::new();
        receiver.reply(reply);
        receiver
    }

    /// Answers with this reply from now on.
    pub fn reply(&self, reply: Reply) {
        *self.shared.reply.lock().unwrap() = Some(reply);
    }

    /// Its URL, for a webhook.
    pub fn url(&self) -> String {
        format!("http://{}/hook?key=value", self.address)
    }

    /// All requests until now.
    pub fn heard(&self) -> Vec<Heard> {
        self.shared.heard.lock().unwrap().clone()
    }

    /// Action, package and version of all requests until now.
    pub fn news(&self) -> Vec<String> {
        self.heard().iter().map(Heard::news).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    let Some(heard) = read(&mut stream) else { return };
    shared.heard.lock().unwrap().push(heard);
    let reply = shared.reply.lock().unwrap().clone().unwrap_or_else(|| Reply::status(200));
    reply.send(&mut stream, &shared.ended);
}

/// Reads one request.
pub fn read(stream: &mut TcpStream) -> Option<Heard> {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut input = Vec::new();
    let mut chunk = [0; 4096];
    let end = loop {
        if let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(count) => input.extend_from_slice(&chunk[..count]),
        }
    };
    let head = String::from_utf8(input[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let mut headers = BTreeMap::new();
    for field in lines {
        let (name, value) = field.split_once(':').unwrap();
        let twice = headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        assert_eq!(twice, None, "{name} occurs twice");
    }
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    while input.len() < end + 4 + length {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(count) => input.extend_from_slice(&chunk[..count]),
        }
    }
    let body = String::from_utf8(input[end + 4..].to_vec()).unwrap();
    Some(Heard { line: line.trim_end_matches(" HTTP/1.1").to_owned(), headers, body })
}
