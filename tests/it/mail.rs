//! Mail: its outbox and what becomes of it, and links that are sent to an address: to confirm it, to reset a password, to
//! accept an invitation.

use crate::program::Home;
use crate::support::browser::Browser;
use crate::support::people::db_user;
use crate::support::smtp::{Behavior, ROOT, Smtp};
use crate::support::{Answer, PASSWORD, Site, eventually};
use diesel::connection::{Instrumentation, InstrumentationEvent};
use diesel::prelude::*;
use packhouse::domain::clock::Timestamp;
use packhouse::domain::role::Visibility;
use packhouse::mailer::{Mailer, Outgoing};
use packhouse::outbound::system_lookup;
use packhouse::registry::accounts::password_reset;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const NEW: &str = "another long password 17";

/// The status with which a program signs in.
async fn signs_in(site: &Site, name: &str, password: &str) -> u16 {
    site.anon().basic(name, password).get("/api/v1/user").await.status
}

/// Creates an access token, which writes a mail.
async fn make_token(site: &Site, name: &str) -> Answer {
    site.ada().post("/api/v1/users/ada/tokens", &json!({"name": name, "scopes": ["read:package"]})).await
}

async fn ask_for_reset(site: &Site, name: &str) -> Browser {
    let mut browser = site.browser();
    browser.go("/login/forgot").await.is(200);
    browser.submit("form[action='/login/forgot']", &[("name", name)]).await;
    browser
}

async fn choose(browser: &mut Browser, password: &str) {
    browser.submit("main form", &[("new_password", password), ("again", password)]).await;
}

fn failures(site: &Site) -> Vec<String> {
    site.db_texts("SELECT error AS text FROM mails WHERE next_attempt_at IS NULL ORDER BY id")
}

#[tokio::test]
async fn without_a_mail_server_nothing_is_written_and_no_page_mentions_mail() {
    let site = Site::new();
    make_token(&site, "laptop").await.is(201);
    let mut browser = site.browser_of("admin").await;
    for page in ["/login/forgot", "/login/reset?code=x", "/login/confirm-email?code=x", "/login/invitation?code=x"] {
        browser.go(page).await.is(404);
    }
    for page in ["/user/settings/notifications", "/-/admin/mail"] {
        browser.go(page).await.is(404);
    }
    for page in ["/user/settings", "/user/settings/email", "/-/admin", "/-/admin/users/ada", "/-/admin/users/new"] {
        browser.go(page).await.is(200);
        assert!(browser.attrs("a[href$='/mail'], a[href$='/notifications']", "href").is_empty(), "{page}");
        assert!(!browser.text().contains("nvitation"), "{page}");
    }
    let mut visitor = site.browser();
    visitor.go("/login").await.is(200);
    assert!(visitor.attrs("a[href='/login/forgot']", "href").is_empty());
    let body = json!({"username": "bob", "email": "bob@example.org"});
    site.admin().post("/api/v1/admin/invitations", &body).await.is(403).says("mail.smtp_url");
    assert_eq!(site.db_number("SELECT count(*) AS n FROM mails"), 0);
    assert!(site.app.mail_sender().is_none());
}

#[tokio::test]
async fn a_mail_is_sent_once_as_text_and_html_and_then_deleted() {
    let (smtp, start) = (Smtp::new(), Instant::now());
    let site = smtp.site(&[]);
    make_token(&site, "laptop").await.is(201);
    let mail = smtp.deliver_one(&site).await;
    assert_eq!((mail.from.as_str(), &*mail.to), ("packhouse@packages.test", &["ada@example.org".to_owned()][..]));
    assert_eq!(mail.login, Some(("packhouse".to_owned(), "p@ss".to_owned())));
    assert_eq!(mail.header("subject"), "New access token");
    assert_eq!(mail.header("from"), "Packhouse <packhouse@packages.test>");
    assert_eq!(mail.header("to"), "ada@example.org");
    assert_eq!(mail.header("date"), "Fri, 02 Jan 2026 03:04:05 +0000");
    assert_eq!(mail.header("auto-submitted"), "auto-generated");
    assert!(mail.header("message-id").ends_with("@packages.test>"));
    assert!(mail.header("content-type").starts_with("multipart/alternative"));
    let (text, html) = (mail.text(), mail.html());
    assert!(text.contains("The access token \"laptop\" (read:package) was created for your account ada"), "{text}");
    assert!(html.contains("<a href=\"http://packages.test/user/settings/tokens\">Show access tokens</a>"), "{html}");
    assert!(!html.contains("<img") && !html.contains("<script"), "{html}");
    assert!(smtp.deliver(&site).await.is_empty(), "it is sent once");
    assert_eq!(site.db_number("SELECT count(*) AS n FROM mails"), 0);
    // A change that fails writes none: its transaction has no effect.
    make_token(&site, "laptop").await.is(400);
    assert!(smtp.deliver(&site).await.is_empty());
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_mail_server_that_is_away_delays_no_request_and_gets_the_mail_later() {
    let smtp = Smtp::new();
    let site = smtp.site(&[]);
    smtp.behave(Some(Behavior::Silence));
    make_token(&site, "one").await.is(201);
    let sender = site.app.mail_sender().unwrap();
    let stuck = tokio::spawn(async move { sender.run().await });
    eventually("the server is called", async || smtp.connections() > 0).await;
    let begun = Instant::now();
    make_token(&site, "two").await.is(201);
    ask_for_reset(&site, "ada").await.is(303);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    stuck.abort();
    // The lease of the sender that died ends.
    smtp.behave(None);
    assert_eq!(smtp.deliver(&site).await.len(), 2, "the first is still leased");
    site.pass(MINUTE * 4);
    assert!(smtp.deliver_one(&site).await.text().contains("\"one\""));
}

#[tokio::test]
async fn mail_is_retried_with_pauses_and_given_up_after_a_day_with_the_reason() {
    let smtp = Smtp::new();
    let site = smtp.site(&[]);
    make_token(&site, "laptop").await.is(201);
    smtp.behave(Some(Behavior::Answer { to: "RCPT", line: "451 try again later" }));
    assert!(smtp.deliver(&site).await.is_empty());
    let after = smtp.connections();
    smtp.deliver(&site).await;
    assert_eq!(smtp.connections(), after, "not before the pause is over");
    let mut admin = site.browser_of("admin").await;
    admin.go("/-/admin/mail").await.is(200);
    assert_eq!(admin.one("#queued"), "0 failed, 1 waiting");
    assert!(admin.one("#mails tbody tr").contains("it answered 451 try again later"));
    let mut attempts = 1;
    while failures(&site).is_empty() {
        site.pass(HOUR);
        smtp.deliver(&site).await;
        attempts += 1;
        assert!(attempts < 40, "it is given up after a day");
    }
    assert!(attempts >= 23, "{attempts} attempts");
    admin.go("/-/admin").await.is(200);
    assert!(admin.one("#failed-mail").starts_with("1 mail could not be sent"), "{}", admin.one("#failed-mail"));
    admin.go("/-/admin/mail").await.is(200);
    let row = admin.one("#mails tbody tr");
    // Mail that waited while no server sent any is not sent weeks later.
    make_token(&site, "late").await.is(201);
    site.pass(HOUR * 24 * 9);
    smtp.behave(None);
    assert!(smtp.deliver(&site).await.is_empty());
    assert_eq!(failures(&site)[1], "it was not sent in time");
    for words in ["New access token", "ada", "ada@example.org", "Failed", "451 try again later"] {
        assert!(row.contains(words), "{words}: {row}");
    }
    let mut admin = site.browser_of("admin").await;
    smtp.deliver(&site).await;
    admin.go("/-/admin/mail").await.is(200);
    admin.submit("form[action='/-/admin/mail/dismiss']", &[]).await.is(303);
    admin.go("/-/admin").await.is(200);
    assert!(admin.all("#failed-mail").is_empty());
    assert!(site.db_audit().iter().any(|record| record.starts_with("mail.dismiss by admin")));
}

#[tokio::test]
async fn mail_that_a_server_refuses_for_good_is_given_up_at_once() {
    let smtp = Smtp::new();
    let site = smtp.site(&[]);
    ask_for_reset(&site, "ada").await;
    smtp.behave(Some(Behavior::Answer { to: "RCPT", line: "550 no such user" }));
    smtp.deliver(&site).await;
    let failed = failures(&site);
    assert!(
        failed.len() == 1 && failed[0].contains("did not take the mail: it answered 550 no such user"),
        "{failed:?}"
    );
    let left = site.db_number("SELECT count(*) AS n FROM mails WHERE sealed_code IS NOT NULL");
    assert_eq!(left, 0, "the secret of its link is deleted");
    let metrics = site.anon().get("/metrics").await.is(200);
    for name in
        ["packhouse_mail_waiting ", "packhouse_mail_failed ", "packhouse_mail_attempts_total{outcome=\"failed\"} "]
    {
        assert!(metrics.text().contains(name), "{name}");
    }
    // A wrong password of the server's own is no fault of the mail.
    smtp.behave(Some(Behavior::Answer { to: "AUTH", line: "535 wrong password" }));
    make_token(&site, "laptop").await.is(201);
    assert!(!site.app.mail_sender().unwrap().run().await, "the server takes no mail");
    assert_eq!(failures(&site).len(), 1);
    let waiting = site.db_texts("SELECT error AS text FROM mails WHERE next_attempt_at IS NOT NULL");
    assert!(waiting[0].contains("refused the user name or password of mail.smtp_url: it answered 535"), "{waiting:?}");
    smtp.behave(None);
    site.pass(MINUTE * 2);
    assert_eq!(smtp.deliver_one(&site).await.header("subject"), "New access token");
}

#[tokio::test]
async fn no_text_adds_a_header_or_a_recipient() {
    let smtp = Smtp::new();
    let url = smtp.url();
    let mailer = Mailer::new(&url, "Packhouse <packhouse@packages.test>", "packages.test", system_lookup()).unwrap();
    let mail = |to: &str, subject: &str| Outgoing {
        to: to.to_owned(),
        subject: subject.to_owned(),
        text: "Hello\r\n.\r\nMAIL FROM:<eve@example.net>\r\n".to_owned(),
        html: "<p>Hello</p>".to_owned(),
        id: "packhouse-1".to_owned(),
        at: Timestamp::from_unix(1_767_323_045),
    };
    mailer.send(&mail("ada@example.org", "Hello\r\nBcc: eve@example.net\r\n\r\nBody")).await.unwrap();
    let mut sent = smtp.take();
    let mail_sent = sent.remove(0);
    assert_eq!(mail_sent.to, ["ada@example.org"]);
    assert!(mail_sent.headers("bcc").is_empty(), "{}", mail_sent.data);
    assert!(mail_sent.header("subject").contains("Bcc"), "it is only text");
    assert!(mail_sent.text().contains("\n.\nMAIL FROM:<eve@example.net>"), "{}", mail_sent.data);
    for to in ["ada@example.org\r\nRCPT TO:<eve@example.net>", "ada@example.org,eve@example.net", "a b@example.org", ""]
    {
        let refused = mailer.send(&mail(to, "Hello")).await.unwrap_err();
        assert!(refused.is_final && refused.to_string().contains("no address"), "{to:?}: {refused}");
    }
    assert!(smtp.take().is_empty());
    for from in ["a\nBcc: b@example.org <p@packages.test>", "p", ""] {
        assert!(Mailer::new(&url, from, "packages.test", system_lookup()).is_err(), "{from:?}");
    }
}

#[test]
fn mail_test_sends_at_once_and_says_what_went_wrong() {
    let smtp = Smtp::new();
    let mut home = Home::new();
    let refused = home.run(&["mail", "test", "ada@example.org"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("mail is off: set mail.smtp_url, mail.from and public_url"), "{}", refused.err);
    home.set("PACKHOUSE_MAIL_SMTP_URL", smtp.url());
    assert!(home.run(&["mail", "test", "ada@example.org"]).err.contains("`mail.from` must be set"));
    home.set("PACKHOUSE_MAIL_FROM", "packhouse@packages.test");
    assert!(home.run(&["mail", "test", "ada@example.org"]).err.contains("`public_url` must be set"));
    home.set("PACKHOUSE_PUBLIC_URL", ROOT);
    let said = home.ok(&["mail", "test", "ada@example.org"]);
    assert_eq!(said, "sent to ada@example.org; the mail server answered: 250 queued as 7\n");
    let mail = smtp.take().remove(0);
    assert_eq!((mail.to, mail.data.contains("Test mail from Packhouse")), (vec!["ada@example.org".to_owned()], true));
    assert!(!home.data().exists(), "it needs no instance");
    for (behavior, words) in [
        (
            Behavior::Answer { to: "RCPT", line: "550 no such user" },
            "did not take the mail: it answered 550 no such user",
        ),
        (Behavior::Answer { to: "AUTH", line: "535 no" }, "refused the user name or password of mail.smtp_url"),
        (Behavior::Answer { to: "EHLO", line: "421 go away" }, "could not be reached: it answered 421 go away"),
    ] {
        smtp.behave(Some(behavior));
        let failed = home.run(&["mail", "test", "ada@example.org"]);
        assert_eq!(failed.code, 1);
        assert!(failed.err.contains(words) && !failed.err.contains("p@ss"), "{}", failed.err);
    }
    smtp.behave(None);
    home.set("PACKHOUSE_MAIL_SMTP_URL", format!("smtp://{}", smtp.address));
    let failed = home.run(&["mail", "test", "ada@example.org"]);
    assert!(failed.err.contains("does not offer STARTTLS"), "{}", failed.err);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    home.set("PACKHOUSE_MAIL_SMTP_URL", format!("smtp://{free}?tls=none"));
    let failed = home.run(&["mail", "test", "ada@example.org"]);
    assert!(failed.err.contains(&format!("the mail server {free} could not be reached: ")), "{}", failed.err);
    home.set("PACKHOUSE_MAIL_SMTP_URL", "smtp://nowhere.invalid");
    let failed = home.run(&["mail", "test", "ada@example.org"]);
    assert!(failed.err.contains("the name nowhere.invalid was not found"), "{}", failed.err);
}

#[tokio::test]
async fn an_address_is_used_to_sign_in_only_after_its_link_was_followed() {
    let smtp = Smtp::new();
    let site = smtp.site(&[]);
    let mut browser = site.browser_of("ada").await;
    browser.go("/user/settings/email").await.is(200);
    let form = "form[action='/user/settings/email']";
    browser.submit(form, &[("email", "Ada@new.example"), ("current_password", PASSWORD)]).await.is(303);
    browser.follow().await.is(200);
    assert!(browser.one("#pending").contains("Ada@new.example"));
    let address = || site.db_texts("SELECT email AS text FROM users WHERE lower_email LIKE 'ada@%'");
    assert_eq!(address(), ["ada@example.org"], "nothing changes before");
    assert_eq!(signs_in(&site, "ada@new.example", PASSWORD).await, 401);
    let mail = smtp.deliver_one(&site).await;
    assert_eq!((&*mail.to[0], &*mail.header("subject")), ("Ada@new.example", "Confirm your email address"));
    let link = mail.link();
    // A program that opens every link changes nothing, and people don't have to be signed in.
    let mut reader = site.browser();
    reader.go(&link).await.is(200);
    assert!(reader.one("main p:not(.hint)").contains("Is Ada@new.example the address of the account ada?"));
    assert_eq!(address(), ["ada@example.org"]);
    reader.submit("main form", &[]).await.is(303);
    assert_eq!(address(), ["Ada@new.example"]);
    assert_eq!(signs_in(&site, "ada@new.example", PASSWORD).await, 200);
    assert_eq!(signs_in(&site, "ada@example.org", PASSWORD).await, 401);
    let told = smtp.deliver_one(&site).await;
    assert_eq!((&*told.to[0], &*told.header("subject")), ("ada@example.org", "Your email address was changed"));
    assert!(told.text().contains("was changed to Ada@new.example"));
    // The link works once.
    reader.go(&link).await.is(410);
    assert!(reader.text().contains("already used"));
    let mut admin = site.browser_of("admin").await;
    admin.go("/-/admin/users/ada").await.is(200);
    assert_eq!(admin.one("#email-state"), "confirmed by the user");
    admin.go("/-/admin/users/stranger").await.is(200);
    assert_eq!(admin.one("#email-state"), "set by an administrator");
    assert!(site.db_audit().iter().any(|record| record.starts_with("user.email.confirm")));
    // Upper and lower case change nothing, so no link is needed.
    browser.go("/user/settings/email").await.is(200);
    browser.submit(form, &[("email", "ada@new.example"), ("current_password", PASSWORD)]).await.is(303);
    assert_eq!(address(), ["ada@new.example"]);
    assert!(smtp.deliver(&site).await.is_empty());
}

#[tokio::test]
async fn nobody_learns_whether_another_account_has_an_address() {
    let smtp = Smtp::new();
    let site = smtp.site(&[("PACKHOUSE_REGISTRATION_ENABLED", "true")]);
    let mut browser = site.browser_of("stranger").await;
    let mut looks = Vec::new();
    for email in ["nobody@example.org", "ada@example.org"] {
        browser.go("/user/settings/email").await.is(200);
        let values = [("email", email), ("current_password", PASSWORD)];
        browser.submit("form[action='/user/settings/email']", &values).await.is(303);
        browser.follow().await.is(200);
        looks.push(browser.one("main").replace(email, "…"));
    }
    assert_eq!(looks[0], looks[1]);
    let mails = smtp.deliver(&site).await;
    let to: Vec<_> = mails.iter().map(|mail| mail.to[0].as_str()).collect();
    assert_eq!(to, ["ada@example.org", "nobody@example.org"]);
    // A newer link replaced the first. Whoever reads Ada's mail learns that the address is taken, and nobody else.
    browser.go(&mails[1].link()).await.is(410);
    browser.go(&mails[0].link()).await.is(200);
    browser.submit("main form", &[]).await.is(409);
    assert!(browser.text().contains("Another account already signs in with this address"));
    assert_eq!(signs_in(&site, "ada@example.org", PASSWORD).await, 200);
    // The same when somebody registers.
    let mut visitor = site.browser();
    visitor.go("/register").await.is(200);
    let values = [("username", "eve"), ("email", "ADA@example.org"), ("password", PASSWORD), ("again", PASSWORD)];
    visitor.submit("form[action='/register']", &values).await.is(303);
    let mail = smtp.deliver_one(&site).await;
    assert_eq!((&*mail.to[0], mail.text().contains("The account eve")), ("ADA@example.org", true));
    visitor.go(&mail.link()).await.is(200);
    visitor.submit("main form", &[]).await.is(409);
    visitor.go("/user/settings/notifications").await.is(200);
    assert!(visitor.one("#unconfirmed").contains("isn't confirmed"));
    assert_eq!(site.db_number("SELECT count(*) AS n FROM users WHERE lower_email = 'ada@example.org'"), 1);
}

#[tokio::test]
async fn a_link_to_confirm_an_address_ends_after_a_day_and_with_the_password() {
    let smtp = Smtp::new();
    let site = smtp.site(&[("PACKHOUSE_REGISTRATION_ENABLED", "true")]);
    let mut browser = site.browser();
    browser.go("/register").await.is(200);
    let values = [("username", "eve"), ("email", "eve@example.net"), ("password", PASSWORD), ("again", PASSWORD)];
    browser.submit("form[action='/register']", &values).await.is(303);
    let link = smtp.deliver_one(&site).await.link();
    site.pass(HOUR * 24 + MINUTE);
    browser.go(&link).await.is(410);
    assert!(browser.text().contains("expired") && browser.one("#advice").contains("enter your email address again"));
    let ask = async |browser: &mut Browser, password: &str| {
        browser.go("/user/settings/email").await.is(200);
        let values = [("email", "eve@example.net"), ("current_password", password)];
        browser.submit("form[action='/user/settings/email']", &values).await;
    };
    ask(&mut browser, PASSWORD).await;
    let link = smtp.deliver_one(&site).await.link();
    browser.go("/user/settings/password").await.is(200);
    let values = [("current_password", PASSWORD), ("new_password", NEW), ("again", NEW)];
    browser.submit("form[action='/user/settings/password']", &values).await.is(303);
    browser.go(&link).await.is(410);
    // At most three in five minutes, whoever asks.
    for _ in 0..3 {
        ask(&mut browser, NEW).await;
    }
    browser.is(429);
    site.pass(MINUTE * 6);
    smtp.deliver(&site).await;
    ask(&mut browser, NEW).await;
    browser.is(303);
    let latest = smtp.deliver_one(&site).await;
    for wrong in ["x", "", &latest.link()[..latest.link().len() - 1]] {
        browser.go(&format!("/login/confirm-email?code={wrong}")).await.is(404);
    }
    browser.go(&latest.link()).await.is(200);
    // The secret is not in the database, neither of the link nor of the mail that waits.
    let code = latest.link().split_once("code=").unwrap().1.to_owned();
    let rows = site.db_texts("SELECT l::text AS text FROM email_links l UNION ALL SELECT m::text FROM mails m");
    assert!(!rows.is_empty() && rows.iter().all(|row| !row.contains(&code)));
}

/// Collects the statements of a connection, without their values.
struct Listener(Arc<Mutex<Vec<String>>>);

impl Instrumentation for Listener {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let text = query.to_string();
            self.0.lock().unwrap().push(text.split(" -- binds:").next().unwrap().to_owned());
        }
    }
}

#[tokio::test]
async fn asking_for_a_reset_looks_and_works_the_same_for_every_name() {
    let smtp = Smtp::new();
    let site = smtp.site(&[]);
    site.db(|conn| {
        db_user(conn, "locked", Visibility::Public, false)?;
        db_user(conn, "unconfirmed", Visibility::Public, false)?;
        db_user(conn, "tokens-only", Visibility::Public, false)
    });
    site.db_execute("UPDATE users SET is_locked = true WHERE lower_email LIKE 'locked@%'");
    site.db_execute("UPDATE users SET password_hash = NULL WHERE lower_email LIKE 'tokens-only@%'");
    site.db_execute("UPDATE users SET lower_email = NULL WHERE lower_email LIKE 'unconfirmed@%'");
    let mut looks = Vec::new();
    for name in ["ada", "ADA@example.org", "nobody", "no@body.example", "locked", "unconfirmed", "tokens-only", "a b\0"]
    {
        let mut browser = ask_for_reset(&site, name).await;
        let (status, to) = (browser.answer.status, browser.answer.header("location").unwrap().to_owned());
        browser.follow().await.is(200);
        looks.push((status, to, browser.one("main")));
    }
    assert!(looks.iter().all(|look| *look == looks[0]), "{looks:?}");
    // The request does not even look for the account.
    let key = site.app.key.clone();
    let works = ["ada", "nobody"].map(|name| {
        let statements = Arc::new(Mutex::new(Vec::new()));
        site.db(|conn| {
            conn.set_instrumentation(Listener(Arc::clone(&statements)));
            conn.transaction(|conn| password_reset::request(conn, &key, name, None, site.now()))
        });
        let statements = statements.lock().unwrap().clone();
        assert!(!statements.iter().any(|text| text.contains("users") || text.contains("owners")), "{statements:?}");
        statements
    });
    assert_eq!(works[0], works[1]);
    let rows = site.db_texts("SELECT r::text AS text FROM reset_requests r");
    assert_eq!(rows.len(), 10);
    let mails = smtp.deliver(&site).await;
    assert!(mails.iter().all(|mail| mail.to == ["ada@example.org"]) && mails.len() == 3, "{mails:?}");
    assert_eq!(site.db_number("SELECT count(*) AS n FROM reset_requests"), 0);
    // By network address, ten in five minutes, whatever the names: the eleventh is refused.
    for at in 0..2 {
        ask_for_reset(&site, &format!("nobody-{at}")).await.is(303);
    }
    let mut refused = ask_for_reset(&site, "nobody").await;
    refused.is(429);
    assert!(refused.answer.header("retry-after").is_some());
}

#[tokio::test]
async fn a_reset_link_sets_a_password_once_and_ends_other_sessions() {
    let smtp = Smtp::new();
    let site = smtp.site(&[]);
    let mut old = site.browser_of("ada").await;
    ask_for_reset(&site, "ada").await.is(303);
    let mail = smtp.deliver_one(&site).await;
    assert!(
        mail.text().contains("It expires after 30 minutes") && mail.text().contains("127.0.0.1"),
        "{}",
        mail.text()
    );
    let link = mail.link();
    let mut reader = site.browser();
    reader.go(&link).await.is(200);
    for (one, again, field) in [
        ("short", "short", "new_password"),
        ("ada@example.org", "ada@example.org", "new_password"),
        (NEW, "something else", "again"),
    ] {
        reader.submit("main form", &[("new_password", one), ("again", again)]).await.is(422);
        assert!(!reader.one(&format!("#{field}-problem")).is_empty());
    }
    choose(&mut reader, NEW).await;
    reader.is(303);
    reader.go("/user/settings").await.is(200);
    assert_eq!(reader.one("header .menu summary"), "ada");
    old.go("/user/settings").await.is(303);
    assert_eq!((signs_in(&site, "ada", PASSWORD).await, signs_in(&site, "ada", NEW).await), (401, 200));
    site.ci().get("/api/v1/token").await;
    let told = smtp.deliver_one(&site).await;
    assert_eq!(told.header("subject"), "Your password was changed");
    let mut thief = site.browser();
    thief.go(&link).await.is(410);
    assert!(thief.text().contains("already used") && thief.attrs("main a", "href") == ["/login/forgot"]);
    // Nor does a form that was opened before.
    thief.go("/login/forgot").await.is(200);
    let code = link.split_once("code=").unwrap().1;
    let form = format!("csrf={}&code={code}&new_password=x&again=x", thief.csrf());
    thief.post("/login/reset", form).await.is(410);
    let events: Vec<_> = site.db_audit().into_iter().filter(|line| line.starts_with("user.")).collect();
    assert_eq!(
        events,
        [
            "user.password.reset_request by  with none from 127.0.0.1 on ada ada",
            "user.password.reset by  with none from 127.0.0.1 on ada ada"
        ]
    );
}

#[tokio::test]
async fn a_reset_link_ends_after_half_an_hour_and_when_the_account_changes() {
    let smtp = Smtp::new();
    let site = smtp.site(&[]);
    let ask = async || {
        site.pass(MINUTE * 6);
        ask_for_reset(&site, "ada").await.is(303);
        smtp.deliver_one(&site).await.link()
    };
    let mut reader = site.browser();
    let link = ask().await;
    site.pass(MINUTE * 31);
    reader.go(&link).await.is(410);
    assert!(reader.text().contains("expired") && reader.one("#advice").contains("ask for a new link"));
    for change in [
        "UPDATE users SET auth_epoch = auth_epoch + 1 WHERE lower_email = 'ada@example.org'",
        "UPDATE users SET lower_email = 'ada@elsewhere.example', email = 'ada@elsewhere.example' \
         WHERE lower_email = 'ada@example.org'",
    ] {
        let link = ask().await;
        reader.go(&link).await.is(200);
        site.db_execute(change);
        choose(&mut reader, NEW).await;
        reader.is(410);
        assert!(reader.text().contains("has changed since"));
    }
    let link = ask().await;
    site.db_execute("UPDATE users SET is_locked = true WHERE lower_email LIKE 'ada@%'");
    reader.go(&link).await.is(410);
    // A mail that waits longer than its link can be used is given up.
    site.db_execute("UPDATE users SET is_locked = false WHERE lower_email LIKE 'ada@%'");
    site.pass(MINUTE * 6);
    ask_for_reset(&site, "ada").await.is(303);
    smtp.behave(Some(Behavior::Answer { to: "MAIL", line: "451 later" }));
    for _ in 0..8 {
        smtp.deliver(&site).await;
        site.pass(MINUTE * 10);
    }
    assert_eq!(failures(&site).len(), 1);
}

#[tokio::test]
async fn a_reset_asks_for_the_two_factor_code() {
    let smtp = Smtp::new();
    let site = smtp.site(&[]);
    let seed = site.db_second_factor("ada");
    smtp.deliver(&site).await;
    ask_for_reset(&site, "ada@example.org").await.is(303);
    let mut reader = site.browser();
    reader.go(&smtp.deliver_one(&site).await.link()).await.is(200);
    choose(&mut reader, NEW).await;
    reader.is(303);
    assert_eq!(reader.answer.header("location"), Some("/login/two-factor"));
    reader.go("/user/settings").await.is(303);
    reader.go("/login/two-factor").await.is(200);
    reader.submit("main form", &[("code", &seed.code_at(site.now()).unwrap())]).await.is(303);
    reader.go("/user/settings").await.is(200);
}

#[tokio::test]
async fn where_passwords_let_not_everybody_in_no_link_from_mail_does() {
    let smtp = Smtp::new();
    for setting in ["false", "admins"] {
        let site = smtp.site(&[("PACKHOUSE_AUTH_PASSWORD_SIGN_IN", setting)]);
        let mut browser = site.browser();
        browser.go("/login/forgot").await.is(404);
        browser.go("/login").await.is(200);
        assert!(!browser.text().contains("/login/forgot"), "{setting}");
        for page in ["/login/forgot", "/login/reset", "/login/invitation"] {
            let form = format!("csrf={}&name=ada&code=x&new_password={NEW}&again={NEW}", browser.csrf());
            browser.post(page, form).await.is(404);
            browser.go("/login").await;
        }
    }
}

#[tokio::test]
async fn a_reset_lets_its_user_in_while_strangers_guess() {
    let smtp = Smtp::new();
    let site = smtp.site(&[]);
    let fill = |bucket: &str| {
        let ends = site.now().plus(MINUTE * 4);
        site.db_execute(&format!(
            "INSERT INTO attempts SELECT '{bucket}' || o.id, '{ends}', 5000 FROM owners o \
            WHERE o.name = 'ada' ON CONFLICT DO NOTHING"
        ));
    };
    fill("sign-in account user ");
    fill("sign-in in all");
    assert_eq!(signs_in(&site, "ada", PASSWORD).await, 429);
    ask_for_reset(&site, "ada").await.is(303);
    let mut reader = site.browser();
    reader.go(&smtp.deliver_one(&site).await.link()).await.is(200);
    choose(&mut reader, NEW).await;
    reader.is(303);
    reader.go("/user/settings").await.is(200);
    // The browser is known from now on.
    reader.keep_only("packhouse-device");
    reader.go("/login").await.is(200);
    reader.submit("form[action='/login']", &[("name", "ada"), ("password", NEW)]).await.is(303);
    // Strangers who ask for resets don't make the links that were sent worthless.
    for _ in 0..2 {
        ask_for_reset(&site, "ada").await.is(303);
    }
    let links: Vec<_> = smtp.deliver(&site).await.into_iter().filter(|mail| mail.text().contains("?code=")).collect();
    for _ in 0..3 {
        ask_for_reset(&site, "ada").await.is(303);
    }
    assert!(smtp.deliver(&site).await.is_empty(), "three mails in five minutes are enough");
    for mail in links {
        reader.go(&mail.link()).await.is(200);
    }
}

#[tokio::test]
async fn an_invited_user_chooses_a_password() {
    let smtp = Smtp::new();
    let site = smtp.site(&[]);
    let mut admin = site.browser_of("admin").await;
    admin.go("/-/admin/users/new").await.is(200);
    let form = "form[action='/-/admin/users/new']";
    let values = [
        ("username", "bob"),
        ("email", "bob@example.net"),
        ("visibility", "public"),
        ("full_name", ""),
        ("current_password", PASSWORD),
    ];
    admin.submit(form, &[&values[..], &[("password", NEW)]].concat()).await.is(422);
    admin.submit(form, &[&values[..], &[("password", "")]].concat()).await.is(303);
    assert_eq!(admin.answer.header("location"), Some("/-/admin/users/bob"));
    admin.follow().await.is(200);
    assert!(admin.one("#invitation").starts_with("sent"));
    let first = smtp.deliver_one(&site).await;
    assert_eq!((&*first.to[0], &*first.header("subject")), ("bob@example.net", "You have an account on Packhouse"));
    assert!(first.text().contains("admin created the account bob for you"), "{}", first.text());
    // Nobody can sign in to the account yet, and a reset doesn't replace an invitation.
    assert_eq!(signs_in(&site, "bob", "").await, 401);
    ask_for_reset(&site, "bob").await.is(303);
    assert!(smtp.deliver(&site).await.is_empty());
    admin.submit("form[action='/-/admin/users/bob/invitation']", &[]).await.is(303);
    let second = smtp.deliver_one(&site).await;
    let mut bob = site.browser();
    bob.go(&first.link()).await.is(410);
    assert!(bob.text().contains("a newer one replaced it"));
    bob.go(&second.link()).await.is(200);
    assert!(bob.one("main").contains("Your username is bob"));
    choose(&mut bob, NEW).await;
    bob.is(303);
    bob.go("/user/settings").await.is(200);
    assert_eq!(signs_in(&site, "bob@example.net", NEW).await, 200);
    assert!(smtp.deliver(&site).await.is_empty(), "a first sign-in is no news");
    bob.go(&second.link()).await.is(410);
    admin.go("/-/admin/users/bob").await.is(200);
    assert_eq!(admin.one("#email-state"), "confirmed by the user");
    assert!(admin.all("#invitation").is_empty());
    let events: Vec<_> = site.db_audit().into_iter().filter(|line| line.starts_with("user.")).collect();
    assert_eq!(
        events,
        [
            "user.create by admin with session from 127.0.0.1 on bob bob",
            "user.invitation.send by admin with session from 127.0.0.1 on bob bob",
            "user.invitation.accept by  with none from 127.0.0.1 on bob bob"
        ]
    );
}

#[tokio::test]
async fn an_invitation_can_be_sent_again_and_withdrawn() {
    let smtp = Smtp::new();
    let site = smtp.site(&[]);
    let api = "/api/v1/admin/users/carol/invitation";
    let admin = site.admin();
    let body = json!({"username": "carol", "email": "carol@example.net", "full_name": "Carol"});
    let made = admin.post("/api/v1/admin/invitations", &body).await.is(201).json();
    assert_eq!((&made["login"], &made["email"]), (&json!("carol"), &json!("carol@example.net")));
    admin.post("/api/v1/admin/invitations", &body).await.is(422).says("already exists");
    let taken = json!({"username": "dora", "email": "carol@example.net"});
    admin.post("/api/v1/admin/invitations", &taken).await.is(422).says("already in use");
    let odd = json!({"username": "dora", "email": "do,ra@example.net"});
    admin.post("/api/v1/admin/invitations", &odd).await.is(422).says("no mail can be sent");
    let open = admin.get(api).await.is(200).json();
    let shown = (&open["email"], &open["created_at"], &open["expires_at"]);
    assert_eq!(shown, (&json!("carol@example.net"), &json!("2026-01-02T03:04:05Z"), &json!("2026-01-09T03:04:05Z")));
    let first = smtp.deliver_one(&site).await.link();
    admin.request("POST", api).await.is(204);
    let second = smtp.deliver_one(&site).await.link();
    let mut reader = site.browser();
    reader.go(&first).await.is(410);
    reader.go(&second).await.is(200);
    admin.delete(api).await.is(204);
    admin.delete(api).await.is(404);
    admin.get(api).await.is(404);
    choose(&mut reader, NEW).await;
    reader.is(410);
    assert!(reader.one("#advice").contains("sign in"));
    admin.request("POST", api).await.is(204);
    let third = smtp.deliver_one(&site).await.link();
    site.pass(HOUR * 24 * 7 + MINUTE);
    reader.go(&third).await.is(410);
    assert!(reader.one("#advice").contains("Ask an administrator"));
    admin.request("POST", "/api/v1/admin/users/ada/invitation").await.is(422).says("they have a password already");
    site.ada().request("POST", api).await.is(403);
}
