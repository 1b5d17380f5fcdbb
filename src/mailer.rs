//! The client of the SMTP server (RFC 5321). It builds a message and sends it at once, over one connection; the outbox is
//! in [`crate::registry::mail`].

use crate::domain::clock::Timestamp;
use crate::domain::mail::{Encryption, Sender, SmtpServer};
use futures_util::future::BoxFuture;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, Message};
use rustls::CertificateError;
use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::OnceCell;

/// How long one step may take: connecting, or the answer to a command.
const STEP: Duration = Duration::from_secs(30);
/// How long sending a message may take in total, name lookup included; shorter than the lease of a mail.
const TOTAL: Duration = Duration::from_secs(120);
/// The most characters of a server's answer that are kept.
const MOST_OF_ANSWER: usize = 300;

const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");

/// A message to one reader.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub to: String,
    pub subject: String,
    pub text: String,
    pub html: String,
    /// What its Message-ID begins with. A message that is sent again has the same one.
    pub id: String,
    pub at: Timestamp,
}

/// Why a message was not sent, in words for the person who runs the site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    text: String,
    /// Whether this message can never be sent.
    pub is_final: bool,
    /// Whether the server took no message at all, so that others would fail too.
    pub is_server: bool,
}

impl Failure {
    fn of_server(text: String) -> Self {
        Self { text, is_final: false, is_server: true }
    }

    fn of_message(text: String) -> Self {
        Self { text, is_final: true, is_server: false }
    }
}

/// Finds the addresses of a name.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The client.
pub struct Mailer {
    server: SmtpServer,
    from: Mailbox,
    /// What the site calls itself.
    host: String,
    hello: ClientId,
    lookup: Lookup,
    tls: OnceCell<TlsParameters>,
}

/// Whether mail can be sent to an address: it has the form that SMTP allows.
pub fn is_deliverable(email: &str) -> bool {
    email.parse::<Address>().is_ok()
}

impl Mailer {
    /// A client of a server. `host` is the host of the site's own address.
    ///
    /// # Errors
    /// A message that names the setting.
    pub fn new(server: &str, from: &str, host: &str, lookup: Lookup) -> Result<Self, String> {
        let server: SmtpServer = server.parse().map_err(|problem| format!("mail.smtp_url {problem}"))?;
        let Sender { name, email } = from.parse().map_err(|problem| format!("mail.from {problem}"))?;
        let address = email.as_str().parse::<Address>().map_err(|_| format!("mail.from {email} is no mail address"))?;
        let hello = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => ClientId::Ipv4(address),
            Ok(IpAddr::V6(address)) => ClientId::Ipv6(address),
            Err(_) => ClientId::Domain(host.to_owned()),
        };
        let from = Mailbox::new(name, address);
        Ok(Self { server, from, host: host.to_owned(), hello, lookup, tls: OnceCell::new() })
    }

    /// Sends a message, and returns the server's answer.
    ///
    /// # Errors
    /// [`Failure`] in words.
    pub async fn send(&self, mail: &Outgoing) -> Result<String, Failure> {
        let message = self.message(mail)?;
        let late = || {
            let seconds = TOTAL.as_secs();
            Failure::of_server(format!("{} did not take the mail within {seconds} seconds", self.place()))
        };
        match tokio::time::timeout(TOTAL, self.deliver(&message)).await {
            Ok(done) => done,
            Err(_) => Err(late()),
        }
    }

    /// The server, for messages.
    fn place(&self) -> String {
        format!("the mail server {}:{}", self.server.host, self.server.port)
    }

    /// Builds the message. The library encodes headers, so no text begins a header of its own.
    fn message(&self, mail: &Outgoing) -> Result<Message, Failure> {
        let to = mail.to.parse::<Address>();
        let to =
            to.map_err(|_| Failure::of_message(format!("{:?} is no address that mail can be sent to", mail.to)))?;
        let subject: String = mail.subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(subject)
            .date(SystemTime::from(mail.at))
            .message_id(Some(format!("<{}@{}>", mail.id, self.host)))
            // Nobody reads answers, and programs that answer by themselves should not (RFC 3834).
            .raw_header(HeaderValue::new(AUTO_SUBMITTED, "auto-generated".to_owned()))
            .multipart(MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone()))
            .map_err(|error| Failure::of_message(format!("the mail cannot be built: {error}")))
    }

    async fn tls(&self) -> Result<TlsParameters, Failure> {
        let host = self.server.host.clone();
        // It reads the certificates of the machine.
        let make = || async {
            let made = tokio::task::spawn_blocking(move || TlsParameters::new(host)).await;
            made.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
        };
        let parameters = self.tls.get_or_try_init(make).await;
        parameters.cloned().map_err(|error: String| Failure::of_server(format!("TLS cannot be set up: {error}")))
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, Failure> {
        let SmtpServer { host, port, .. } = &self.server;
        let found = match host.parse::<IpAddr>() {
            Ok(address) => Ok(vec![address]),
            Err(_) => (self.lookup)(host.clone()).await,
        };
        let found = found.map_err(|error| Failure::of_server(format!("the name {host} was not found: {error}")))?;
        Ok(found.into_iter().map(|address| SocketAddr::new(address, *port)).collect())
    }

    async fn deliver(&self, message: &Message) -> Result<String, Failure> {
        let mut connection = self.connect().await?;
        let sent = step(connection.send(message.envelope(), &message.formatted())).await;
        match sent {
            Ok(response) => {
                // The message is on its way: how the connection ends makes no difference.
                let _ = step(connection.quit()).await;
                let said = response.message().collect::<Vec<_>>().join(" ");
                Ok(short(&format!("{} {said}", response.code())))
            }
            Err(Problem::Said(error)) => {
                let text = self.refused("did not take the mail", &error);
                connection.abort().await;
                // The server wants a user name, or another one: that is no fault of this mail.
                let code = error.status().map(|code| code.to_string()).unwrap_or_default();
                let is_server = ["530", "534", "535", "538"].contains(&code.as_str());
                // Addresses beyond ASCII need a server that knows SMTPUTF8.
                let is_final = !is_server && (error.is_permanent() || error.is_client());
                Err(Failure { text, is_final, is_server })
            }
            Err(Problem::Late) => Err(self.silent()),
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Failure> {
        let wrapper = if self.server.encryption == Encryption::Tls { Some(self.tls().await?) } else { None };
        let addresses = self.addresses().await?;
        let connecting = AsyncSmtpConnection::connect_tokio1(&addresses[..], Some(STEP), &self.hello, wrapper, None);
        let mut connection = match step(connecting).await {
            Ok(connection) => connection,
            Err(Problem::Late) => return Err(self.silent()),
            Err(Problem::Said(error)) => {
                return Err(Failure::of_server(self.refused("could not be reached", &error)));
            }
        };
        if self.server.encryption == Encryption::StartTls {
            if !connection.can_starttls() {
                connection.abort().await;
                let place = self.place();
                return Err(Failure::of_server(format!(
                    "{place} does not offer STARTTLS: write smtps:// if it expects TLS from the start, or add ?tls=none \
                     to mail.smtp_url if the connection needs no encryption"
                )));
            }
            match step(connection.starttls(self.tls().await?, &self.hello)).await {
                Ok(()) => {}
                Err(Problem::Late) => return Err(self.silent()),
                Err(Problem::Said(error)) => return Err(Failure::of_server(self.refused("refused TLS", &error))),
            }
        }
        if let Some((user, password)) = &self.server.login {
            let credentials = Credentials::new(user.clone(), password.clone());
            match step(connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials)).await {
                Ok(_) => {}
                Err(Problem::Late) => return Err(self.silent()),
                Err(Problem::Said(error)) => {
                    let text = self.refused("refused the user name or password of mail.smtp_url", &error);
                    connection.abort().await;
                    return Err(Failure::of_server(text));
                }
            }
        }
        Ok(connection)
    }

    fn silent(&self) -> Failure {
        let seconds = STEP.as_secs();
        Failure::of_server(format!("{} did not answer within {seconds} seconds", self.place()))
    }

    /// What happened at the server, and the reason: its answer, or the error of the connection.
    fn refused(&self, what: &str, error: &SmtpError) -> String {
        if let Some(why) = certificate_error(error) {
            return self.distrusted(why);
        }
        let mut innermost = error.source();
        while let Some(inner) = innermost.and_then(StdError::source) {
            innermost = Some(inner);
        }
        let reason = innermost.map_or_else(|| error.to_string(), ToString::to_string);
        let reason = error.status().map_or(reason.clone(), |code| format!("it answered {code} {reason}"));
        short(&format!("{} {what}: {reason}", self.place()))
    }

    /// The server's certificate was not accepted, and what to do.
    fn distrusted(&self, why: &CertificateError) -> String {
        let host = &self.server.host;
        let problem = match why {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("is not for {host}: write the name that is in the certificate in mail.smtp_url")
            }
            CertificateError::UnknownIssuer => {
                "is from an authority that this machine doesn't trust: add it to the machine's certificate authorities \
                 (update-ca-certificates), or name its file in the environment variable SSL_CERT_FILE"
                    .to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired: renew it".to_owned(),
            other => format!("is not valid: {other}"),
        };
        format!("{} is not trusted, so nothing was sent: its certificate {problem}", self.place())
    }
}

/// Why the TLS library refused the server's certificate, if it did.
fn certificate_error(error: &SmtpError) -> Option<&CertificateError> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        // An I/O error hides what it carries from `source`.
        let carried = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let carried = carried.and_then(|carried| carried.downcast_ref::<rustls::Error>());
        match carried.or_else(|| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(why)) => return Some(why),
            _ => cause = inner.source(),
        }
    }
    None
}

/// Why a step failed.
enum Problem {
    Said(SmtpError),
    Late,
}

async fn step<T>(work: impl Future<Output = Result<T, SmtpError>>) -> Result<T, Problem> {
    match tokio::time::timeout(STEP, work).await {
        Ok(done) => done.map_err(Problem::Said),
        Err(_) => Err(Problem::Late),
    }
}

/// A text of one line, without its end if it is long.
fn short(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_OF_ANSWER).collect();
    line.trim().to_owned()
}
