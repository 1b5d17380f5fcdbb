//! Mail over TLS, sent by the real program: certificates that it trusts and refuses, and servers that offer no TLS.

use crate::program::Home;
use crate::support::smtp::{Behavior, Encryption, ROOT, Smtp};
use crate::support::tls::{Certificate, authority};

const TEST: [&str; 3] = ["mail", "test", "ada@example.org"];

/// A program that sends its mail to a server of this machine.
fn home(smtp: &Smtp, scheme: &str, host: &str) -> Home {
    let mut home = Home::new();
    home.set("PACKHOUSE_PUBLIC_URL", ROOT);
    home.set("PACKHOUSE_MAIL_FROM", "packhouse@packages.test");
    home.set("PACKHOUSE_MAIL_SMTP_URL", format!("{scheme}://packhouse:p%40ss@{host}:{}", smtp.address.port()));
    home
}

/// Lets the machine of a program trust the authority of the test's certificates.
fn trust(home: &mut Home) {
    let file = home.path("authority.pem");
    std::fs::write(&file, authority()).unwrap();
    home.set("SSL_CERT_FILE", file.to_str().unwrap());
}

/// What the test mail says when it fails.
fn failure(smtp: &Smtp, home: &Home) -> String {
    let ran = home.run(&TEST);
    assert_eq!((ran.code, smtp.take().len()), (1, 0), "{}", ran.err);
    assert!(!ran.err.contains("p@ss"), "{}", ran.err);
    ran.err.replace(&smtp.address.port().to_string(), "PORT")
}

#[test]
fn mail_is_sent_over_tls_from_the_start_or_after_starttls() {
    for (scheme, encryption, commands) in [
        ("smtps", Encryption::Tls(Certificate::Good), "EHLO AUTH MAIL RCPT DATA QUIT"),
        ("smtp", Encryption::StartTls(Certificate::Good), "EHLO STARTTLS EHLO AUTH MAIL RCPT DATA QUIT"),
    ] {
        let smtp = Smtp::with(encryption);
        let mut home = home(&smtp, scheme, "localhost");
        trust(&mut home);
        assert_eq!(home.ok(&TEST), "sent to ada@example.org; the mail server answered: 250 queued as 7\n");
        let mail = smtp.take().remove(0);
        assert_eq!(mail.login, Some(("packhouse".to_owned(), "p@ss".to_owned())));
        assert_eq!(smtp.take_commands().join(" "), commands);
    }
}

#[test]
fn a_mail_server_whose_certificate_is_not_trusted_gets_nothing() {
    let mut said = Vec::new();
    for encryption in [Encryption::Tls as fn(Certificate) -> Encryption, Encryption::StartTls] {
        for (certificate, host, is_trusted) in [
            (Certificate::Good, "localhost", false),
            (Certificate::Good, "127.0.0.1", true),
            (Certificate::Expired, "localhost", true),
        ] {
            let smtp = Smtp::with(encryption(certificate));
            let scheme = if matches!(encryption(certificate), Encryption::Tls(_)) { "smtps" } else { "smtp" };
            let mut home = home(&smtp, scheme, host);
            if is_trusted {
                trust(&mut home);
            }
            said.push(failure(&smtp, &home));
            let commands = smtp.take_commands();
            assert!(commands.iter().all(|word| ["EHLO", "STARTTLS"].contains(&&**word)), "{commands:?}");
        }
    }
    assert_eq!(said[..3], said[3..], "it makes no difference when TLS begins");
    insta::assert_snapshot!(said[..3].concat(), @r"
    packhouse: the mail server localhost:PORT is not trusted, so nothing was sent: its certificate is from an authority that this machine doesn't trust: add it to the machine's certificate authorities (update-ca-certificates), or name its file in the environment variable SSL_CERT_FILE
    packhouse: the mail server 127.0.0.1:PORT is not trusted, so nothing was sent: its certificate is not for 127.0.0.1: write the name that is in the certificate in mail.smtp_url
    packhouse: the mail server localhost:PORT is not trusted, so nothing was sent: its certificate has expired: renew it
    ");
}

#[test]
fn a_mail_server_that_must_offer_starttls_gets_nothing_without() {
    let smtp = Smtp::with(Encryption::StartTls(Certificate::Good));
    let mut home = home(&smtp, "smtp", "localhost");
    trust(&mut home);
    // Somebody on the way may leave the offer out, or answer it instead of the server.
    smtp.behave(Some(Behavior::Answer { to: "EHLO", line: "250-smtp.test\r\n250 AUTH PLAIN LOGIN" }));
    let mut said = failure(&smtp, &home);
    smtp.behave(Some(Behavior::Answer { to: "STARTTLS", line: "454 TLS not available" }));
    said.push_str(&failure(&smtp, &home));
    // A server that then speaks no TLS after all gets no password.
    smtp.behave(Some(Behavior::Answer { to: "STARTTLS", line: "220 go ahead" }));
    said.push_str(&failure(&smtp, &home));
    assert!(!smtp.take_commands().iter().any(|word| ["AUTH", "MAIL"].contains(&&**word)));
    insta::assert_snapshot!(said, @r"
    packhouse: the mail server localhost:PORT does not offer STARTTLS: write smtps:// if it expects TLS from the start, or add ?tls=none to mail.smtp_url if the connection needs no encryption
    packhouse: the mail server localhost:PORT refused TLS: it answered 454 TLS not available
    packhouse: the mail server localhost:PORT refused TLS: tls handshake eof
    ");
    // TLS from the start, of a server that speaks none.
    let plain = Smtp::new();
    let said = failure(&plain, &self::home(&plain, "smtps", "localhost"));
    assert!(said.starts_with("packhouse: the mail server localhost:PORT could not be reached: "), "{said}");
}
