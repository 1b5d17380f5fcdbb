//! An SMTP server on this machine, which stores every mail and answers as configured.

use super::tls::Certificate;
use super::{Plan, Site};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The address of every site that sends mail.
pub const ROOT: &str = "http://packages.test";

/// A mail as it arrived.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The sender and the recipient of the envelope.
    pub from: String,
    pub to: Vec<String>,
    /// User name and password, if the client sent them.
    pub login: Option<(String, String)>,
    /// Headers and body, with lines that end in `\n`.
    pub data: String,
}

impl Mail {
    fn head_and_body(part: &str) -> (&str, &str) {
        part.split_once("\n\n").unwrap_or((part, ""))
    }

    /// The value of a header, which must occur once.
    #[track_caller]
    pub fn header(&self, name: &str) -> String {
        let found = self.headers(name);
        assert_eq!(found.len(), 1, "{name} in {}", self.data);
        found.into_iter().next().unwrap()
    }

    /// All values of a header.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let head = Self::head_and_body(&self.data).0.replace("\n ", " ").replace("\n\t", " ");
        let fields = head.lines().filter_map(|line| line.split_once(':'));
        fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).collect()
    }

    /// The decoded part of a media type.
    #[track_caller]
    fn part(&self, kind: &str) -> String {
        let content = self.header("content-type");
        let boundary = content.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let edge = format!("--{boundary}");
        let parts = self.data.split(&edge);
        let part = parts
            .map(|part| part.trim_start_matches('\n'))
            .find(|part| Self::head_and_body(part).0.to_lowercase().contains(&format!("content-type: {kind}")));
        let (head, body) = Self::head_and_body(part.unwrap_or_else(|| panic!("no {kind} in {}", self.data)));
        match head.to_lowercase() {
            head if head.contains("base64") => {
                let bytes = STANDARD.decode(body.split_whitespace().collect::<String>()).unwrap();
                String::from_utf8(bytes).unwrap().replace("\r\n", "\n")
            }
            head if head.contains("quoted-printable") => unquoted(body),
            _ => body.to_owned(),
        }
    }

    #[track_caller]
    pub fn text(&self) -> String {
        self.part("text/plain")
    }

    #[track_caller]
    pub fn html(&self) -> String {
        self.part("text/html")
    }

    /// The link with a secret, as a path within the site.
    #[track_caller]
    pub fn link(&self) -> String {
        let text = self.text();
        let link = text.lines().find_map(|line| line.strip_prefix(ROOT).filter(|path| path.contains("?code=")));
        link.unwrap_or_else(|| panic!("no link in {text}")).to_owned()
    }
}

fn unquoted(text: &str) -> String {
    let joined = text.replace("=\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        match (first, more) {
            (b'=', [one, two, more @ ..]) => {
                let hex = String::from_utf8(vec![*one, *two]).unwrap();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap());
                rest = more;
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// What the server does instead of taking mail.
#[derive(Debug, Clone)]
pub enum Behavior {
    /// Answers a command that begins with a word with this line.
    Answer { to: &'static str, line: &'static str },
    /// Never says anything.
    Silence,
}

/// How connections are encrypted.
#[derive(Debug, Clone, Copy)]
pub enum Encryption {
    None,
    /// After `STARTTLS`, without which no mail is taken.
    StartTls(Certificate),
    /// From the start.
    Tls(Certificate),
}

#[derive(Default)]
struct Shared {
    mails: Mutex<Vec<Mail>>,
    behavior: Mutex<Option<Behavior>>,
    commands: Mutex<Vec<String>>,
    connections: AtomicUsize,
    ended: AtomicBool,
}

/// A server that listens until it is dropped.
pub struct Smtp {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Smtp {
    /// A server that takes every mail, and every user name and password.
    pub fn new() -> Self {
        Self::with(Encryption::None)
    }

    /// As [`Self::new`], with encrypted connections.
    pub fn with(encryption: Encryption) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if own.ended.load(Ordering::SeqCst) {
                    return;
                }
                own.connections.fetch_add(1, Ordering::SeqCst);
                let (stream, own) = (stream.unwrap(), Arc::clone(&own));
                std::thread::spawn(move || serve(&stream, encryption, &own));
            }
        });
        Self { address, shared }
    }

    /// Behaves like this from now on; `None` takes every mail.
    pub fn behave(&self, behavior: Option<Behavior>) {
        *self.shared.behavior.lock().unwrap() = behavior;
    }

    /// The value of `mail.smtp_url`.
    pub fn url(&self) -> String {
        format!("smtp://packhouse:p%40ss@{}?tls=none", self.address)
    }

    /// All mails since the last call.
    pub fn take(&self) -> Vec<Mail> {
        std::mem::take(&mut *self.shared.mails.lock().unwrap())
    }

    /// The words of all commands since the last call.
    pub fn take_commands(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.commands.lock().unwrap())
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// A site that sends its mail here when a test tells it to.
    pub fn site(&self, settings: &[(&str, &str)]) -> Site {
        let url = self.url();
        let mut all = vec![
            ("PACKHOUSE_PUBLIC_URL", ROOT),
            ("PACKHOUSE_MAIL_SMTP_URL", &*url),
            ("PACKHOUSE_MAIL_FROM", "Packhouse <packhouse@packages.test>"),
        ];
        all.extend(settings);
        Site::start(Plan { settings: &all, metrics: true, ..Plan::default() })
    }

    /// Sends what is due, and returns what arrived.
    pub async fn deliver(&self, site: &Site) -> Vec<Mail> {
        site.app.mail_sender().unwrap().run().await;
        let mut mails = self.take();
        mails.sort_by_key(|mail| mail.to.clone());
        mails
    }

    /// Sends what is due, which must be one mail.
    #[track_caller]
    pub fn deliver_one<'a>(&'a self, site: &'a Site) -> impl Future<Output = Mail> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let mut mails = self.deliver(site).await;
            let subjects: Vec<_> = mails.iter().map(|mail| (mail.to.clone(), mail.header("subject"))).collect();
            assert_eq!(mails.len(), 1, "{caller}: {subjects:?}");
            mails.remove(0)
        }
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// One end of a connection.
struct Wire(BufReader<Box<dyn Stream>>);

impl Wire {
    fn plain(stream: &TcpStream) -> Self {
        Self(BufReader::new(Box::new(stream.try_clone().unwrap())))
    }

    fn tls(stream: &TcpStream, config: Arc<ServerConfig>) -> Self {
        let connection = ServerConnection::new(config).unwrap();
        Self(BufReader::new(Box::new(StreamOwned::new(connection, stream.try_clone().unwrap()))))
    }

    fn say(&mut self, text: &str) {
        let stream = self.0.get_mut();
        // The client may have gone.
        let _ = stream.write_all(format!("{text}\r\n").as_bytes()).and_then(|()| stream.flush());
    }

    fn read_line(&mut self, line: &mut String) -> usize {
        line.clear();
        self.0.read_line(line).unwrap_or(0)
    }
}

fn serve(stream: &TcpStream, encryption: Encryption, shared: &Shared) {
    let behavior = shared.behavior.lock().unwrap().clone();
    let mut wire = match encryption {
        Encryption::Tls(certificate) => Wire::tls(stream, certificate.server()),
        Encryption::None | Encryption::StartTls(_) => Wire::plain(stream),
    };
    let mut line = String::new();
    if matches!(behavior, Some(Behavior::Silence)) {
        // The client ends it.
        wire.read_line(&mut line);
        return;
    }
    let mut awaits_tls = matches!(encryption, Encryption::StartTls(_));
    let mut mail = Mail { from: String::new(), to: Vec::new(), login: None, data: String::new() };
    wire.say("220 smtp.test ESMTP");
    while wire.read_line(&mut line) > 0 {
        let command = line.trim_end().to_owned();
        let word = command.split([' ', ':']).next().unwrap_or_default();
        shared.commands.lock().unwrap().push(word.to_owned());
        if let Some(Behavior::Answer { to, line }) = &behavior
            && command.starts_with(to)
        {
            wire.say(line);
            continue;
        }
        let between = |text: &str| text.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        match (word, encryption) {
            ("EHLO", _) if awaits_tls => wire.say("250-smtp.test\r\n250-8BITMIME\r\n250 STARTTLS"),
            ("EHLO", _) => wire.say("250-smtp.test\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN"),
            ("STARTTLS", Encryption::StartTls(certificate)) if awaits_tls => {
                wire.say("220 go ahead");
                wire = Wire::tls(stream, certificate.server());
                awaits_tls = false;
            }
            ("QUIT", _) => return wire.say("221 bye"),
            (_, _) if awaits_tls => wire.say("530 use STARTTLS first"),
            ("AUTH", _) => {
                let secret = command.strip_prefix("AUTH PLAIN ").expect("the client prefers PLAIN");
                let words = String::from_utf8(STANDARD.decode(secret).unwrap()).unwrap();
                let mut words = words.split('\0').skip(1).map(str::to_owned);
                mail.login = Some((words.next().unwrap(), words.next().unwrap()));
                wire.say("235 welcome");
            }
            ("MAIL", _) => {
                mail.from = between(&command);
                wire.say("250 ok");
            }
            ("RCPT", _) => {
                mail.to.push(between(&command));
                wire.say("250 ok");
            }
            ("DATA", _) => {
                wire.say("354 go on");
                mail.data = read_data(&mut wire.0);
                shared.mails.lock().unwrap().push(mail.clone());
                wire.say("250 queued as 7");
            }
            _ => wire.say("250 ok"),
        }
    }
}

/// The lines until a single dot, without the dots that the client added.
fn read_data(reader: &mut impl BufRead) -> String {
    let (mut data, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).unwrap_or(0) > 0 {
        let text = line.trim_end_matches(['\r', '\n']);
        if text == "." {
            break;
        }
        data.push_str(text.strip_prefix('.').unwrap_or(text));
        data.push('\n');
        line.clear();
    }
    data
}
