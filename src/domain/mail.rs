//! The parts of a mail: its kind and facts, the server that takes it, and its sender.

use super::clock::Timestamp;
use super::names::Email;
use super::role::word;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use url::{Host, Url};

word!(
    /// What a mail is for.
    MailKind,
    "email, reset, invitation, email-changed, token, device, password, two-factor, webhook, token-expiry, disk, backup" {
        /// A link that confirms an address.
        Confirmation = 0 "email",
        /// A link that resets a password.
        Reset = 1 "reset",
        /// A link that accepts an invitation.
        Invitation = 2 "invitation",
        EmailChanged = 3 "email-changed",
        TokenCreated = 4 "token",
        NewDevice = 5 "device",
        PasswordChanged = 6 "password",
        TwoFactorChanged = 7 "two-factor",
        HookOff = 8 "webhook",
        TokenExpires = 9 "token-expiry",
        DiskNearlyFull = 10 "disk",
        OldBackup = 11 "backup",
    }
);
word!(
    /// What a link in a mail does.
    LinkKind, "email, reset, invitation" { Confirmation = 0 "email", Reset = 1 "reset", Invitation = 2 "invitation" }
);

impl MailKind {
    /// The kinds that users may turn off, those for administrators last.
    pub const OPTIONAL: [Self; 4] = [Self::TokenExpires, Self::HookOff, Self::DiskNearlyFull, Self::OldBackup];

    /// Whether users may turn it off.
    pub fn is_optional(self) -> bool {
        Self::OPTIONAL.contains(&self)
    }

    /// Whether only administrators get such mail.
    pub fn is_for_administrators(self) -> bool {
        matches!(self, Self::DiskNearlyFull | Self::OldBackup)
    }

    /// What it is called in the administration.
    pub fn words(self) -> &'static str {
        match self {
            Self::Confirmation => "Email confirmation",
            Self::Reset => "Password reset",
            Self::Invitation => "Invitation",
            Self::EmailChanged => "Email address changed",
            Self::TokenCreated => "New access token",
            Self::NewDevice => "Sign-in from a new device",
            Self::PasswordChanged => "Password changed",
            Self::TwoFactorChanged => "Two-factor authentication changed",
            Self::HookOff => "Webhook turned off",
            Self::TokenExpires => "Access token expires",
            Self::DiskNearlyFull => "Disk nearly full",
            Self::OldBackup => "Old backup",
        }
    }
}

/// A change to two-factor authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactorChange {
    On,
    Off,
    NewCodes,
    PasskeyAdded,
    PasskeyRemoved,
}

/// What a mail says, besides the secret of its link. Fields may be added: an older server ignores them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum Facts {
    Confirmation,
    /// A request to reset the password, and the network address that it came from.
    Reset {
        from: String,
    },
    /// An invitation, and the administrator who sent it.
    Invitation {
        by: String,
    },
    EmailChanged {
        to: String,
        by: Option<String>,
    },
    TokenCreated {
        name: String,
        scopes: Vec<String>,
        by: Option<String>,
        from: String,
    },
    /// A sign-in; `device` is the browser's name, or empty for a program.
    NewDevice {
        device: String,
        from: String,
    },
    PasswordChanged {
        by: Option<String>,
        from: String,
    },
    TwoFactorChanged {
        change: FactorChange,
        by: Option<String>,
        from: String,
    },
    /// A passkey of a user was refused, because it seems to have been copied.
    PasskeyCopied {
        user: String,
        name: String,
        from: String,
    },
    /// A webhook of an owner was turned off; only the host of its address is told.
    HookOff {
        owner: String,
        host: String,
        reason: String,
    },
    /// A token of a user or robot expires.
    TokenExpires {
        name: String,
        user: String,
        expires_at: Timestamp,
    },
    DiskNearlyFull {
        free_bytes: u64,
        days_left: Option<i64>,
    },
    OldBackup {
        made_at: Timestamp,
    },
}

impl Facts {
    /// The kind of mail that says this.
    pub fn kind(&self) -> MailKind {
        match self {
            Self::Confirmation => MailKind::Confirmation,
            Self::Reset { .. } => MailKind::Reset,
            Self::Invitation { .. } => MailKind::Invitation,
            Self::EmailChanged { .. } => MailKind::EmailChanged,
            Self::TokenCreated { .. } => MailKind::TokenCreated,
            Self::NewDevice { .. } => MailKind::NewDevice,
            Self::PasswordChanged { .. } => MailKind::PasswordChanged,
            Self::TwoFactorChanged { .. } | Self::PasskeyCopied { .. } => MailKind::TwoFactorChanged,
            Self::HookOff { .. } => MailKind::HookOff,
            Self::TokenExpires { .. } => MailKind::TokenExpires,
            Self::DiskNearlyFull { .. } => MailKind::DiskNearlyFull,
            Self::OldBackup { .. } => MailKind::OldBackup,
        }
    }
}

/// How a connection to an SMTP server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// TLS from the start.
    Tls,
    /// `STARTTLS` (RFC 3207), without which nothing is sent.
    StartTls,
    None,
}

/// A server that takes mail, such as `smtps://user:password@smtp.example.org`.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpServer {
    pub host: String,
    pub port: u16,
    pub encryption: Encryption,
    /// User name and password.
    pub login: Option<(String, String)>,
}

impl fmt::Debug for SmtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmtpServer({}:{}, {:?})", self.host, self.port, self.encryption)
    }
}

/// An address of an SMTP server is not valid. The message never shows the address, which may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSmtpServer {
    #[error("must look like smtps://user:password@smtp.example.org or smtp://user:password@smtp.example.org:587")]
    Shape,
    #[error("has a user name without a password, or a password without a user name; in a password, write %40 for @")]
    Login,
    #[error("may only have ?tls=none after the host, and only with smtp://")]
    Query,
}

fn decoded(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(String::from)
}

impl FromStr for SmtpServer {
    type Err = InvalidSmtpServer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use InvalidSmtpServer::{Login, Query, Shape};
        let url = Url::parse(text).map_err(|_| Shape)?;
        let (encryption, port) = match (url.scheme(), url.query()) {
            ("smtps", None) => (Encryption::Tls, 465),
            ("smtp", None) => (Encryption::StartTls, 587),
            ("smtp", Some("tls=none")) => (Encryption::None, 25),
            ("smtp" | "smtps", Some(_)) => return Err(Query),
            _ => return Err(Shape),
        };
        let is_bare = matches!(url.path(), "" | "/") && url.fragment().is_none() && url.port() != Some(0);
        let host = url.host().filter(|_| is_bare).ok_or(Shape)?;
        // A host of an unknown scheme is taken as it stands.
        let host = match host {
            Host::Domain(name)
                if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)) =>
            {
                return Err(Shape);
            }
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let login = match (decoded(url.username()), url.password().map(decoded)) {
            (Some(user), None) if user.is_empty() => None,
            (Some(user), Some(Some(password))) if !user.is_empty() && !password.is_empty() => Some((user, password)),
            _ => return Err(Login),
        };
        Ok(Self { host, port: url.port().unwrap_or(port), encryption, login })
    }
}

/// Who sends mail: `packhouse@example.org`, or with a name: `Packhouse <packhouse@example.org>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    pub name: Option<String>,
    pub email: Email,
}

/// A sender is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must look like packhouse@example.org or Packhouse <packhouse@example.org>")]
pub struct InvalidSender;

impl FromStr for Sender {
    type Err = InvalidSender;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.chars().any(char::is_control) {
            return Err(InvalidSender);
        }
        let (name, address) = match text.trim().strip_suffix('>').and_then(|rest| rest.split_once('<')) {
            Some((name, address)) => (name.trim(), address),
            None => ("", text.trim()),
        };
        let name = name.trim_matches('"');
        let email = address.parse().map_err(|_| InvalidSender)?;
        Ok(Self { name: (!name.is_empty()).then(|| name.to_owned()), email })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_smtp_servers_have_safe_defaults() {
        let of = |text: &str| text.parse::<SmtpServer>();
        let shown = |text: &str| {
            let server = of(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            (server.host, server.port, server.encryption, server.login)
        };
        let login = Some(("ada@example.org".to_owned(), "p/w".to_owned()));
        assert_eq!(
            shown("smtps://ada%40example.org:p%2Fw@smtp.example.org"),
            ("smtp.example.org".to_owned(), 465, Encryption::Tls, login)
        );
        assert_eq!(shown("smtp://mail/"), ("mail".to_owned(), 587, Encryption::StartTls, None));
        assert_eq!(shown("smtp://127.0.0.1?tls=none"), ("127.0.0.1".to_owned(), 25, Encryption::None, None));
        assert_eq!(shown("smtp://[::1]:2525?tls=none"), ("::1".to_owned(), 2525, Encryption::None, None));
        for (text, problem) in [
            ("", InvalidSmtpServer::Shape),
            ("mail.example.org", InvalidSmtpServer::Shape),
            ("https://mail.example.org", InvalidSmtpServer::Shape),
            ("smtp://", InvalidSmtpServer::Shape),
            ("smtp://a b", InvalidSmtpServer::Shape),
            ("smtp://mail/path", InvalidSmtpServer::Shape),
            ("smtp://ada@mail", InvalidSmtpServer::Login),
            ("smtp://:pw@mail", InvalidSmtpServer::Login),
            ("smtps://mail?tls=none", InvalidSmtpServer::Query),
            ("smtp://mail?tls=opportunistic", InvalidSmtpServer::Query),
        ] {
            assert_eq!(of(text), Err(problem), "{text}");
        }
        assert!(!format!("{:?}", of("smtps://ada:secret@mail").unwrap()).contains("secret"));
    }

    #[test]
    fn senders_may_have_a_name_and_no_second_line() {
        let of = |text: &str| text.parse::<Sender>();
        let email: Email = "p@example.org".parse().unwrap();
        for (text, name) in [
            ("p@example.org", None),
            ("Packhouse <p@example.org>", Some("Packhouse")),
            ("\"Pack, house\" <p@example.org>", Some("Pack, house")),
        ] {
            assert_eq!(of(text), Ok(Sender { name: name.map(str::to_owned), email: email.clone() }), "{text}");
        }
        for text in ["", "p", "Packhouse", "a <p@example.org> b", "p@example.org\nBcc: q@example.org"] {
            assert_eq!(of(text), Err(InvalidSender), "{text}");
        }
    }
}
