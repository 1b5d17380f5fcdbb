//! Passkeys: adding them, signing in with them alone and as the second factor, confirming with them, and what is refused.

use crate::support::authenticator::Authenticator;
use crate::support::browser::Browser;
use crate::support::people::db_user;
use crate::support::smtp::Smtp;
use crate::support::{PASSWORD, Site};
use packhouse::domain::role::Visibility;
use packhouse::registry::access::can_administer;
use packhouse::registry::accounts::two_factor::reset;
use packhouse::registry::caller::Caller;
use serde_json::Value;
use std::time::Duration;

const ORIGIN: &str = "https://p.example.org";
const SETTINGS: (&str, &str) = ("PACKHOUSE_PUBLIC_URL", ORIGIN);
const SECURITY: &str = "/user/settings/security";
const NEW: &str = "/user/settings/security/passkeys/new";
const NEW_OPTIONS: &str = "/user/settings/security/passkeys/options";
const OPTIONS: &str = "/login/passkey/options";
const SIGN_IN: &str = "/login/passkey";
const SECOND: &str = "/login/two-factor/passkey";
const CONFIRM: &str = "/login/passkey/confirm";

/// What makes an authenticator lie.
type Lie = fn(&mut Authenticator);

fn site() -> Site {
    Site::with(&[SETTINGS])
}

fn encoded(fields: &[(&str, &str)]) -> String {
    serde_html_form::to_string(fields).unwrap()
}

/// Asks for options, as the script does from the page that the browser is at.
async fn ask(browser: &mut Browser, path: &str, fields: &[(&str, &str)]) -> Value {
    let (page, at) = (browser.answer.body.clone(), browser.at.clone());
    let csrf = browser.csrf();
    browser.post(path, encoded(&[&[("csrf", &*csrf)], fields].concat())).await.is(200);
    let options = serde_json::from_slice(&browser.answer.body).unwrap();
    (browser.answer.body, browser.at) = (page, at);
    options
}

/// Sends an answer from the page that the browser is at.
async fn answer<'a>(browser: &'a mut Browser, path: &str, text: &str, more: &[(&str, &str)]) -> &'a mut Browser {
    let csrf = browser.csrf();
    let fields = [&[("csrf", &*csrf), ("answer", text), ("back", "/")], more].concat();
    browser.post(path, encoded(&fields)).await
}

/// Adds a passkey to the account of the browser's user, who confirms with their password.
async fn add(browser: &mut Browser, name: &str, more: &[(&str, &str)]) -> Authenticator {
    let mut authenticator = Authenticator::new(ORIGIN);
    browser.go(NEW).await.is(200);
    let fields = [&[("name", name), ("current_password", PASSWORD)], more].concat();
    let options = ask(browser, NEW_OPTIONS, &fields).await;
    let made = authenticator.create(&options);
    let status = if more.is_empty() { 303 } else { 200 };
    answer(browser, NEW, &made, &fields).await.is(status);
    authenticator
}

/// A browser at the sign-in page, and the options that it asked for there.
async fn knock(site: &Site) -> (Browser, Value) {
    let mut browser = site.browser();
    browser.go("/login").await.is(200);
    let options = ask(&mut browser, OPTIONS, &[("purpose", "sign-in")]).await;
    (browser, options)
}

/// Signs in with a passkey alone.
async fn sign_in(site: &Site, authenticator: &mut Authenticator) -> Browser {
    let (mut browser, options) = knock(site).await;
    let text = authenticator.get(&options);
    answer(&mut browser, SIGN_IN, &text, &[]).await;
    browser
}

/// Types the password, as far as the second factor.
async fn password_first(site: &Site, name: &str) -> Browser {
    let mut browser = site.browser_of(name).await;
    assert_eq!(browser.answer.header("location"), Some("/login/two-factor?redirect_to=%2F"));
    browser.follow().await.is(200);
    browser
}

/// The details of the records of an event.
fn details(site: &Site, event: &str) -> Vec<String> {
    site.db_texts(&format!("SELECT detail::text AS text FROM audit WHERE event = '{event}' ORDER BY id"))
}

fn forget_attempts(site: &Site) {
    site.db_execute("DELETE FROM attempts");
}

#[tokio::test]
async fn a_passkey_is_added_and_signs_in_without_a_password() {
    let site = site();
    let mut browser = site.browser_of("ada").await;
    browser.go(SECURITY).await.is(200);
    assert!(browser.text().contains("You have no passkeys."));
    browser.go(NEW).await.is(200);
    assert_eq!(browser.attrs("form[data-passkey-create]", "hidden"), [""], "only the script shows it");
    let mut authenticator = add(&mut browser, "Laptop", &[]).await;
    browser.follow().await.is(200);
    assert_eq!(browser.all("#passkey-list tbody th"), ["Laptop"]);
    assert!(browser.all("#passkey-list td").contains(&"never".to_owned()));

    let mut other = sign_in(&site, &mut authenticator).await;
    other.is(303).go(SECURITY).await.is(200);
    assert_eq!(other.one(".card .badge"), "Off", "a passkey alone is no second factor");
    assert!(!other.all("#passkey-list td").contains(&"never".to_owned()));
    let audit: Vec<String> = site.db_audit();
    insta::assert_snapshot!(audit.join("\n"), @r"
    session.begin by ada with session from 127.0.0.1 on ada ada
    user.passkey.add by ada with session from 127.0.0.1 on ada ada
    session.begin by ada with session from 127.0.0.1 on ada ada
    ");
    assert_eq!(details(&site, "user.passkey.add"), [r#"{"passkey": "Laptop"}"#]);
    assert_eq!(details(&site, "session.begin").last().unwrap(), r#"{"passkey": "Laptop"}"#);
    // Programs still use the password.
    site.ada().get("/api/v1/user").await.is(200);
}

#[tokio::test]
async fn what_the_browser_is_asked_names_the_site_and_no_person() {
    let site = site();
    let mut browser = site.browser_of("ada").await;
    let authenticator = add(&mut browser, "Laptop", &[]).await;
    browser.go(NEW).await;
    let mut new = ask(&mut browser, NEW_OPTIONS, &[("name", "x"), ("current_password", PASSWORD)]).await;
    assert_eq!(new["user"]["id"], authenticator.handle, "the same for all passkeys of a user");
    assert_eq!(new["excludeCredentials"].as_array().unwrap().len(), 1);
    for random in ["challenge", "user", "excludeCredentials"] {
        new[random] = Value::Null;
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&new).unwrap(), @r#"
    {
      "attestation": "none",
      "attestationFormats": [
        "none"
      ],
      "authenticatorSelection": {
        "requireResidentKey": true,
        "residentKey": "required",
        "userVerification": "required"
      },
      "challenge": null,
      "excludeCredentials": null,
      "extensions": {
        "credentialProtectionPolicy": "userVerificationRequired",
        "enforceCredentialProtectionPolicy": false
      },
      "hints": [],
      "pubKeyCredParams": [
        {
          "alg": -8,
          "type": "public-key"
        },
        {
          "alg": -7,
          "type": "public-key"
        },
        {
          "alg": -35,
          "type": "public-key"
        },
        {
          "alg": -257,
          "type": "public-key"
        }
      ],
      "rp": {
        "id": "p.example.org",
        "name": "p.example.org"
      },
      "timeout": 300000,
      "user": null
    }
    "#);
    let (_, mut known) = knock(&site).await;
    known["challenge"] = Value::Null;
    insta::assert_snapshot!(serde_json::to_string(&known).unwrap(), @r#"{"allowCredentials":[],"challenge":null,"extensions":{},"hints":[],"rpId":"p.example.org","timeout":300000,"userVerification":"required"}"#);
}

#[tokio::test]
async fn a_new_passkey_needs_the_password_and_a_name() {
    let site = site();
    let mut browser = site.browser_of("ada").await;
    browser.go(NEW).await.is(200);
    let csrf = browser.csrf();
    for (name, password, says) in [
        ("Laptop", "wrong", "Incorrect password."),
        ("Laptop", "", "Type your password to confirm that it is you."),
        ("", PASSWORD, "It is empty."),
        (&"x".repeat(101), PASSWORD, "100"),
    ] {
        let fields = [("csrf", &*csrf), ("name", name), ("current_password", password)];
        browser.post(NEW_OPTIONS, encoded(&fields)).await.is(422);
        let said: Value = serde_json::from_slice(&browser.answer.body).unwrap();
        assert!(said["message"].as_str().unwrap().contains(says), "{said}");
    }
    // Without having asked, or with what was asked of another session, nothing is added.
    let mut authenticator = Authenticator::new(ORIGIN);
    browser.go(NEW).await;
    let options = ask(&mut browser, NEW_OPTIONS, &[("name", "x"), ("current_password", PASSWORD)]).await;
    let made = authenticator.create(&options);
    let (name, value) = browser.cookie("packhouse-passkey");
    let mut thief = site.browser_of("stranger").await;
    thief.go(NEW).await.is(200);
    answer(&mut thief, NEW, &made, &[("name", "x")]).await.is(401);
    thief.set_cookie(&name, &value);
    thief.go(NEW).await;
    answer(&mut thief, NEW, &made, &[("name", "x")]).await.is(401);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM passkeys"), 0);
}

#[tokio::test]
async fn hostile_new_passkeys_are_refused() {
    let site = site();
    let mut browser = site.browser_of("ada").await;
    let lies: [Lie; 2] = [|it| it.origin = "https://evil.example.org".to_owned(), |it| it.verifies_user = false];
    for lie in lies {
        let mut authenticator = Authenticator::new(ORIGIN);
        lie(&mut authenticator);
        browser.go(NEW).await.is(200);
        let fields = [("name", "x"), ("current_password", PASSWORD)];
        let options = ask(&mut browser, NEW_OPTIONS, &fields).await;
        let made = authenticator.create(&options);
        answer(&mut browser, NEW, &made, &fields).await.is(422);
        assert_eq!(
            browser.one("#problems"),
            "The answer of your device is not valid: try again, or use another device."
        );
    }
    // The same answer, and a passkey that is known already.
    let mut authenticator = Authenticator::new(ORIGIN);
    browser.go(NEW).await.is(200);
    let fields = [("name", "x"), ("current_password", PASSWORD)];
    let options = ask(&mut browser, NEW_OPTIONS, &fields).await;
    let (name, value) = browser.cookie("packhouse-passkey");
    let made = authenticator.create(&options);
    answer(&mut browser, NEW, &made, &fields).await.is(303);
    browser.set_cookie(&name, &value);
    browser.go(NEW).await;
    answer(&mut browser, NEW, &made, &fields).await.is(401);
    browser.go(NEW).await;
    let options = ask(&mut browser, NEW_OPTIONS, &fields).await;
    let again = authenticator.create(&options);
    answer(&mut browser, NEW, &again, &fields).await.is(422);
    assert_eq!(browser.one("#problems"), "This passkey was added already: choose another device.");
    assert_eq!(site.db_number("SELECT count(*) AS n FROM passkeys"), 1);
}

#[tokio::test]
async fn a_passkey_counts_as_both_factors() {
    let site = site();
    let mut authenticator = add(&mut site.browser_of("ada").await, "Laptop", &[]).await;
    let seed = site.db_second_factor("ada");
    let mut alone = sign_in(&site, &mut authenticator).await;
    alone.is(303).go(SECURITY).await.is(200);
    // Beside the password, it replaces the code.
    let mut browser = password_first(&site, "ada").await;
    let options = ask(&mut browser, OPTIONS, &[("purpose", "second-factor")]).await;
    let text = authenticator.get(&options);
    answer(&mut browser, SECOND, &text, &[]).await.is(303).go(SECURITY).await.is(200);
    assert_eq!(details(&site, "session.begin").last().unwrap(), r#"{"second_factor": "passkey"}"#);
    // The code works as before.
    let code = seed.code_at(site.now()).unwrap();
    let mut browser = password_first(&site, "ada").await;
    browser.submit("form[action='/login/two-factor']", &[("code", &code)]).await.is(303);
}

#[tokio::test]
async fn a_passkey_alone_can_be_the_second_factor() {
    let site = site();
    let (mut browser, mut elsewhere) = (site.browser_of("ada").await, site.browser_of("ada").await);
    let mut authenticator = add(&mut browser, "Key", &[("second_factor", "on")]).await;
    let codes: Vec<String> = browser.one("#codes").split(' ').map(str::to_owned).collect();
    assert_eq!(codes.len(), 10);
    elsewhere.go(SECURITY).await.is(303);
    browser.go(SECURITY).await.is(200);
    assert_eq!(browser.one(".card .badge"), "On");
    assert_eq!(details(&site, "user.two_factor.enroll"), [r#"{"method": "passkey"}"#]);

    let mut browser = password_first(&site, "ada").await;
    let options = ask(&mut browser, OPTIONS, &[("purpose", "second-factor")]).await;
    let text = authenticator.get(&options);
    answer(&mut browser, SECOND, &text, &[]).await.is(303).go(SECURITY).await.is(200);
    let mut browser = password_first(&site, "ada").await;
    browser.submit("form[action='/login/two-factor']", &[("code", "000000")]).await.is(401);
    browser.submit("form[action='/login/two-factor']", &[("code", &codes[3])]).await.is(303);
    forget_attempts(&site);
    // Programs have no passkey, and a recovery code is not for them.
    let refused = site.ada().get("/api/v1/user").await.is(401);
    insta::assert_snapshot!(
        refused.json()["message"].as_str().unwrap(),
        @"this account has two-factor authentication with a passkey, which works only in a browser: use an access token"
    );
    site.ada().get("/api/v1/user").header("x-gitea-otp", &codes[4]).await.is(401);
    site.reader().get("/api/v1/version").await.is(200);

    // The last passkey ends it.
    let remove = {
        browser.go(SECURITY).await.is(200);
        browser.attrs("#passkey-list a", "href").remove(1)
    };
    browser.go(&remove).await.is(200);
    assert!(browser.one(".notice.warn").contains("two-factor authentication will be off"));
    let form = format!("form[action='{remove}']");
    browser.submit(&form, &[("current_password", PASSWORD)]).await.is(303).follow().await.is(200);
    assert!(browser.one("[role=status].notice").contains("Two-factor authentication is off."));
    assert_eq!(browser.one(".card .badge"), "Off");
    assert_eq!(site.db_number("SELECT count(*) AS n FROM recovery_codes"), 0);
    site.ada().get("/api/v1/user").await.is(200);
}

#[tokio::test]
async fn passkeys_become_the_second_factor_later_and_an_app_joins_them() {
    let site = site();
    let mut browser = site.browser_of("ada").await;
    browser.go("/user/settings/security/enroll-passkeys").await.is(303);
    add(&mut browser, "Key", &[]).await;
    browser.go("/user/settings/security/enroll-passkeys").await.is(200);
    let form = "form[action='/user/settings/security/enroll-passkeys']";
    browser.submit(form, &[("current_password", "wrong")]).await.is(422);
    browser.submit(form, &[("current_password", PASSWORD)]).await.is(200);
    assert_eq!(browser.one("#codes").split(' ').count(), 10);
    site.db_second_factor("ada");
    let mut browser = password_first(&site, "ada").await;
    assert!(browser.text().contains("Use your passkey, or enter the code from your authenticator app"));
    browser.go("/login").await;
    // Turning it off keeps the passkeys, which still sign in.
    let seed = site.db_number("SELECT count(*) AS n FROM second_factors WHERE has_totp");
    assert_eq!(seed, 1);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM passkeys"), 1);
}

#[tokio::test]
async fn each_answer_works_once_and_for_one_purpose() {
    let site = site();
    let mut authenticator = add(&mut site.browser_of("ada").await, "Laptop", &[]).await;
    // One that does not count, so that nothing else tells two answers apart.
    authenticator.counter = 0;
    site.db_execute("UPDATE passkeys SET state = '\\x01000000000001'");
    let (mut browser, options) = knock(&site).await;
    let (name, value) = browser.cookie("packhouse-passkey");
    let text = authenticator.get(&options);
    answer(&mut browser, SIGN_IN, &text, &[]).await.is(303);
    let mut thief = site.browser();
    thief.go("/login").await;
    thief.set_cookie(&name, &value);
    answer(&mut thief, SIGN_IN, &text, &[]).await.is(401);
    assert_eq!(thief.one("#problems"), "The time for the passkey is over, or its answer was used already: try again.");
    // Without the cookie, and with one of another purpose.
    let (mut browser, options) = knock(&site).await;
    let text = authenticator.get(&options);
    let mut bare = site.browser();
    bare.go("/login").await;
    answer(&mut bare, SIGN_IN, &text, &[]).await.is(401);
    let mut signed_in = site.browser_of("ada").await;
    signed_in.go(SECURITY).await;
    let options = ask(&mut signed_in, OPTIONS, &[("purpose", "confirm")]).await;
    let (name, value) = signed_in.cookie("packhouse-passkey");
    let text = authenticator.get(&options);
    browser.set_cookie(&name, &value);
    answer(&mut browser, SIGN_IN, &text, &[]).await.is(401);
    assert_eq!(details(&site, "session.begin").len(), 3);
}

#[tokio::test]
async fn a_challenge_ends_after_five_minutes() {
    let site = site();
    let mut authenticator = add(&mut site.browser_of("ada").await, "Laptop", &[]).await;
    for (wait, status) in [(299, 303), (300, 401)] {
        let (mut browser, options) = knock(&site).await;
        site.pass(Duration::from_secs(wait));
        let text = authenticator.get(&options);
        answer(&mut browser, SIGN_IN, &text, &[]).await.is(status);
    }
    // What was used is forgotten when it would be too late anyway.
    assert_eq!(site.db_number("SELECT count(*) AS n FROM used_challenges"), 2);
    site.pass(Duration::from_secs(300));
    site.sweep(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(site.db_number("SELECT count(*) AS n FROM used_challenges"), 0);
}

#[tokio::test]
async fn all_refused_answers_look_alike_and_known_passkeys_are_audited() {
    let site = site();
    let good = add(&mut site.browser_of("ada").await, "Laptop", &[]).await;
    let unknown = Authenticator::new(ORIGIN);
    let lies: [(&str, Lie); 6] = [
        ("origin", |it| it.origin = "https://evil.example.org".to_owned()),
        ("RP ID", |it| it.rp_id = "evil.example.org".to_owned()),
        ("user verification", |it| it.verifies_user = false),
        ("user handle", |it| it.handle = "A".repeat(43)),
        ("key", |it| {
            let other = Authenticator::new(ORIGIN);
            *it = Authenticator { id: it.id.clone(), handle: it.handle.clone(), counter: it.counter, ..other };
        }),
        ("credential", |it| it.id = vec![7; 32]),
    ];
    let mut said = Vec::new();
    for (what, lie) in lies {
        let mut authenticator = good.clone();
        lie(&mut authenticator);
        let mut browser = sign_in(&site, &mut authenticator).await;
        browser.is(401);
        said.push((what, browser.one("#problems")));
    }
    let mut stranger = Authenticator { handle: good.handle.clone(), ..unknown };
    said.push(("nobody's", sign_in(&site, &mut stranger).await.is(401).one("#problems")));
    site.db_execute("UPDATE users SET is_locked = true WHERE lower_email LIKE 'ada@%'");
    said.push(("locked", sign_in(&site, &mut good.clone()).await.is(401).one("#problems")));
    for (what, text) in &said {
        assert_eq!(*text, said[0].1, "{what}");
    }
    insta::assert_snapshot!(
        said[0].1,
        @"This passkey was not accepted: it is unknown here, or its account has no access. Try another one, or sign in another way."
    );
    assert_eq!(
        details(&site, "user.passkey.refuse"),
        [
            vec![r#"{"reason": "answer", "passkey": "Laptop"}"#; 5],
            vec![r#"{"reason": "account", "passkey": "Laptop"}"#],
        ]
        .concat()
    );
    let refused: Vec<String> = site.db_audit().into_iter().filter(|line| line.contains("passkey.refuse")).collect();
    assert_eq!(refused[0], "user.passkey.refuse by  with system from 127.0.0.1 on ada ada");
}

#[tokio::test]
async fn nonsense_is_refused_and_never_an_error_of_the_server() {
    let site = site();
    add(&mut site.browser_of("ada").await, "Laptop", &[]).await;
    for text in ["", "{}", "[]", "null", "{\"id\":\"AAAA\"}", "\u{0}", &"x".repeat(60_000)] {
        let (mut browser, _) = knock(&site).await;
        answer(&mut browser, SIGN_IN, text, &[]).await.is(422);
    }
    let (mut browser, _) = knock(&site).await;
    browser.set_cookie("__Host-packhouse-passkey", "AAAA");
    answer(&mut browser, SIGN_IN, "{}", &[]).await.is(401);
    browser.go("/login").await;
    let csrf = browser.csrf();
    browser.post(OPTIONS, encoded(&[("csrf", &*csrf), ("purpose", "anything")])).await.is(400);
    browser.post(OPTIONS, encoded(&[("csrf", &*csrf), ("purpose", "second-factor")])).await.is(401);
    browser.post(OPTIONS, encoded(&[("csrf", "x"), ("purpose", "sign-in")])).await.is(403);
}

#[tokio::test]
async fn a_counter_that_goes_backwards_is_refused_and_told() {
    let smtp = Smtp::new();
    let site = smtp.site(&[SETTINGS]);
    let mut authenticator = add(&mut site.browser_of("ada").await, "Laptop", &[]).await;
    sign_in(&site, &mut authenticator).await.is(303);
    let mut copy = Authenticator { counter: 1, ..authenticator.clone() };
    smtp.deliver(&site).await;
    sign_in(&site, &mut copy).await.is(401);
    assert_eq!(details(&site, "user.passkey.refuse"), [r#"{"reason": "counter", "passkey": "Laptop"}"#]);
    let mut mails: Vec<(String, String, String)> = smtp
        .deliver(&site)
        .await
        .into_iter()
        .map(|mail| (mail.to[0].clone(), mail.header("subject"), mail.text()))
        .collect();
    mails.sort();
    let lines: Vec<String> = mails.iter().map(|(to, subject, _)| format!("{to}: {subject}")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    ada@example.org: A passkey of ada may have been copied
    admin@example.org: A passkey of ada may have been copied
    ");
    insta::assert_snapshot!(mails[0].2, @r#"
    The passkey "Laptop" of your account ada at https://p.example.org was refused on 2026-01-02 03:04 UTC from the address 127.0.0.1, because it counts fewer uses than before. Either somebody has a copy of it, or its device was reset. Remove it, and add a new one if you still use that device:

    Open security settings:
    https://p.example.org/user/settings/security

    -- 
    Packhouse at https://p.example.org sent this to the user ada.
    "#);
    insta::assert_snapshot!(mails[1].2, @r#"
    The passkey "Laptop" of ada at https://p.example.org was refused on 2026-01-02 03:04 UTC from the address 127.0.0.1, because it counts fewer uses than before. Either somebody has a copy of it, or its device was reset. Ask them to remove it and to add a new one. Their recent sign-ins are in the audit log:

    Show the audit log:
    https://p.example.org/-/admin/audit?actor=ada

    -- 
    Packhouse at https://p.example.org sent this to the user admin.
    "#);
    let mut admin = site.browser_of("admin").await;
    admin.go("/-/admin").await.is(200);
    assert!(admin.text().contains("A passkey that may have been copied was refused in the last week"));
    // The one that counts on still works.
    sign_in(&site, &mut authenticator).await.is(303);
}

#[tokio::test]
async fn users_are_told_of_passkeys_that_are_added_and_removed() {
    let smtp = Smtp::new();
    let site = smtp.site(&[SETTINGS]);
    let mut browser = site.browser_of("ada").await;
    smtp.deliver(&site).await;
    add(&mut browser, "Laptop", &[]).await;
    let mail = smtp.deliver_one(&site).await;
    assert_eq!(mail.header("subject"), "A passkey was added");
    insta::assert_snapshot!(mail.text(), @r"
    A passkey, which signs you in without a password, was added for your account ada at https://p.example.org from the address 127.0.0.1 on 2026-01-02 03:04 UTC.

    If this was you, there is nothing to do. If it wasn't, remove the passkey, change your password, and end all sessions you don't recognize:

    Open security settings:
    https://p.example.org/user/settings/security

    -- 
    Packhouse at https://p.example.org sent this to the user ada.
    ");
    browser.go(SECURITY).await;
    let remove = browser.attrs("#passkey-list a", "href").remove(1);
    let form = format!("form[action='{remove}']");
    browser.go(&remove).await.submit(&form, &[("current_password", PASSWORD)]).await.is(303);
    assert_eq!(smtp.deliver_one(&site).await.header("subject"), "A passkey was removed");
}

#[tokio::test]
async fn a_removed_passkey_opens_nothing_and_ends_other_sessions() {
    let site = site();
    let mut browser = site.browser_of("ada").await;
    let mut authenticator = add(&mut browser, "Laptop", &[]).await;
    let mut elsewhere = sign_in(&site, &mut authenticator).await;
    elsewhere.go(SECURITY).await.is(200);
    browser.go(SECURITY).await.is(200);
    let links = browser.attrs("#passkey-list a", "href");
    let (rename, remove) = (&links[0], &links[1]);
    let form = format!("form[action='{rename}']");
    browser.go(rename).await.is(200).submit(&form, &[("name", " ")]).await.is(422);
    browser.submit(&form, &[("name", " Old laptop ")]).await.is(303);
    browser.go(SECURITY).await;
    assert_eq!(browser.all("#passkey-list tbody th"), ["Old laptop"]);
    let mut stranger = site.browser_of("stranger").await;
    stranger.go(rename).await.is(404);
    stranger.go(remove).await.is(404);
    let form = format!("form[action='{remove}']");
    browser.go(remove).await.is(200).submit(&form, &[("current_password", "wrong")]).await.is(422);
    elsewhere.go(SECURITY).await.is(200);
    browser.submit(&form, &[("current_password", PASSWORD)]).await.is(303).follow().await.is(200);
    assert!(browser.text().contains("You have no passkeys."));
    elsewhere.go(SECURITY).await.is(303);
    sign_in(&site, &mut authenticator).await.is(401);
    let events: Vec<String> = site.db_audit().into_iter().filter(|line| line.contains("passkey")).collect();
    insta::assert_snapshot!(events.join("\n"), @r"
    user.passkey.add by ada with session from 127.0.0.1 on ada ada
    user.passkey.rename by ada with session from 127.0.0.1 on ada ada
    user.passkey.remove by ada with session from 127.0.0.1 on ada ada
    ");
    assert_eq!(details(&site, "user.passkey.rename"), [r#"{"passkey": "Old laptop"}"#]);
}

#[tokio::test]
async fn a_passkey_is_nothing_beside_the_password_of_another_user() {
    let site = site();
    let mut own = add(&mut site.browser_of("ada").await, "Key", &[("second_factor", "on")]).await;
    let mut others = add(&mut site.browser_of("stranger").await, "Key", &[]).await;
    let mut browser = password_first(&site, "ada").await;
    let options = ask(&mut browser, OPTIONS, &[("purpose", "second-factor")]).await;
    let text = others.get(&options);
    answer(&mut browser, SECOND, &text, &[]).await.is(401);
    // Nor does it confirm that somebody is Ada.
    let mut browser = sign_in(&site, &mut own).await;
    browser.go(SECURITY).await.is(200);
    let options = ask(&mut browser, OPTIONS, &[("purpose", "confirm")]).await;
    let text = others.get(&options);
    answer(&mut browser, CONFIRM, &text, &[]).await.is(401);
    assert_eq!(details(&site, "user.passkey.refuse").len(), 2);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM sessions WHERE confirmed_at IS NOT NULL"), 0);
}

#[tokio::test]
async fn wrong_answers_are_limited_by_account_and_by_address() {
    let site = Site::with(&[SETTINGS, ("PACKHOUSE_TRUSTED_PROXIES", "127.0.0.1")]);
    let mut good = add(&mut site.browser_of("ada").await, "Laptop", &[]).await;
    let mut bad = Authenticator { origin: "https://evil.example.org".to_owned(), ..good.clone() };
    for _ in 0..10 {
        sign_in(&site, &mut bad).await.is(401);
    }
    let limited = sign_in(&site, &mut bad).await.is(429).answer.header("retry-after").unwrap().parse::<u64>().unwrap();
    sign_in(&site, &mut good).await.is(429);
    assert_eq!(details(&site, "user.passkey.refuse").len(), 10, "what is limited is not recorded");
    // The account is limited from everywhere, others only from there.
    site.db_execute("DELETE FROM attempts WHERE bucket LIKE 'passkey address %'");
    sign_in(&site, &mut good).await.is(429);
    let mut others = add(&mut site.browser_of("stranger").await, "Laptop", &[]).await;
    sign_in(&site, &mut others).await.is(303);
    site.pass(Duration::from_secs(limited));
    sign_in(&site, &mut good).await.is(303);
    // Right answers are not counted.
    for _ in 0..12 {
        sign_in(&site, &mut good).await.is(303);
    }
}

#[tokio::test]
async fn a_passkey_confirms_instead_of_the_password_for_five_minutes() {
    let site = site();
    let mut browser = site.browser_of("ada").await;
    let mut authenticator = add(&mut browser, "Laptop", &[]).await;
    browser.go("/user/settings/tokens/new").await.is(200);
    assert_eq!(browser.attrs("[data-passkey-confirm]", "data-passkey-confirm"), [CONFIRM]);
    let options = ask(&mut browser, OPTIONS, &[("purpose", "confirm")]).await;
    let text = authenticator.get(&options);
    answer(&mut browser, CONFIRM, &text, &[]).await.is(200);
    browser.go("/user/settings/email").await.is(200);
    assert!(
        browser.text().contains("You have just confirmed that it&#39;s you.")
            || browser.text().contains("just confirmed")
    );
    let form = "form[action='/user/settings/email']";
    browser.submit(form, &[("email", "new@example.org")]).await.is(303);
    site.pass(Duration::from_secs(300));
    browser.go("/user/settings/email").await.is(200);
    browser.submit(form, &[("email", "other@example.org"), ("current_password", "")]).await.is(422);
}

#[tokio::test]
async fn the_last_way_to_sign_in_cannot_be_removed() {
    let site = Site::with(&[SETTINGS, ("PACKHOUSE_AUTH_PASSWORD_SIGN_IN", "admins")]);
    site.db(|conn| db_user(conn, "boss", Visibility::Public, true));
    let mut boss = site.browser_of("boss").await;
    let mut first = add(&mut boss, "First", &[]).await;
    // Now there is a password that doesn't count.
    site.db_execute("UPDATE users SET is_admin = false WHERE lower_email LIKE 'boss@%'");
    let mut browser = sign_in(&site, &mut first).await;
    browser.is(303).go(SECURITY).await.is(200);
    let remove = browser.attrs("#passkey-list a", "href").remove(1);
    let form = format!("form[action='{remove}']");
    browser.go(&remove).await.is(200);
    browser.submit(&form, &[]).await.is(422);
    assert_eq!(browser.one("#problems"), "Use your passkey to confirm that it is you.");
    confirm_with(&mut browser, &mut first).await;
    browser.go(&remove).await.submit(&form, &[]).await.is(422);
    assert_eq!(browser.one("#problems"), "This is your only way to sign in: add another passkey first.");
    // With another passkey, it can.
    let mut second = Authenticator::new(ORIGIN);
    browser.go(NEW).await.is(200);
    let options = ask(&mut browser, NEW_OPTIONS, &[("name", "Second")]).await;
    let made = second.create(&options);
    answer(&mut browser, NEW, &made, &[("name", "Second")]).await.is(303);
    browser.go(&remove).await.submit(&form, &[]).await.is(303);
    sign_in(&site, &mut first).await.is(401);
    sign_in(&site, &mut second).await.is(303);
}

/// Confirms with a passkey, as the button of a form does.
async fn confirm_with(browser: &mut Browser, authenticator: &mut Authenticator) {
    browser.go(SECURITY).await.is(200);
    let options = ask(browser, OPTIONS, &[("purpose", "confirm")]).await;
    let text = authenticator.get(&options);
    answer(browser, CONFIRM, &text, &[]).await.is(200);
}

#[tokio::test]
async fn an_account_without_a_password_lives_on_its_passkey() {
    let site = site();
    let mut authenticator = add(&mut site.browser_of("ada").await, "Laptop", &[]).await;
    let forget = "UPDATE users SET password_hash = NULL, auth_epoch = auth_epoch + 1 WHERE lower_email LIKE 'ada@%'";
    site.db_execute(forget);
    site.ada().get("/api/v1/user").await.is(401).says("this account has no password: use an access token");
    let mut browser = sign_in(&site, &mut authenticator).await;
    browser.is(303).go("/user/settings/password").await.is(200);
    let form = "form[action='/user/settings/password']";
    let new = "another long password 17";
    let fields = [("new_password", new), ("again", new)];
    browser.submit(form, &fields).await.is(422);
    confirm_with(&mut browser, &mut authenticator).await;
    browser.go("/user/settings/password").await.submit(form, &fields).await.is(303);
    site.anon().basic("ada", new).get("/api/v1/user").await.is(200);
    sign_in(&site, &mut authenticator).await.is(303);
}

#[tokio::test]
async fn administrators_remove_passkeys_with_two_factor_authentication() {
    let site = site();
    let mut authenticator = add(&mut site.browser_of("ada").await, "Laptop", &[]).await;
    let mut admin = site.browser_of("admin").await;
    admin.go("/-/admin/users/ada").await.is(200);
    assert_eq!((admin.one("#passkeys"), admin.one("#two-factor")), ("1".to_owned(), "off".to_owned()));
    assert!(admin.one("#actions").contains("Remove passkeys"));
    let page = "/-/admin/users/ada/second-factor";
    let mut signed_in = sign_in(&site, &mut authenticator).await;
    let form = format!("form[action='{page}']");
    admin.go(page).await.is(200).submit(&form, &[("current_password", PASSWORD)]).await.is(303);
    signed_in.go(SECURITY).await.is(303);
    sign_in(&site, &mut authenticator).await.is(401);
    assert_eq!(details(&site, "user.two_factor.remove"), [r#"{"passkeys": 1}"#]);
    // The command line does the same.
    add(&mut site.browser_of("ada").await, "Laptop", &[("second_factor", "on")]).await;
    let now = site.now();
    site.db(|conn| {
        let caller = Caller::command_line();
        let right = can_administer(conn, &caller, &"ada".parse().unwrap())?;
        reset(conn, &caller, &right, now)
    });
    assert_eq!(site.db_number("SELECT count(*) AS n FROM passkeys"), 0);
    site.browser_of("ada").await.go(SECURITY).await.is(200);
}

#[tokio::test]
async fn passkeys_are_offered_only_where_browsers_have_them() {
    for url in ["", "http://packages.example.org", "http://127.0.0.1:3000", "https://192.0.2.1"] {
        let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", url)]);
        let mut browser = site.browser();
        browser.go("/login").await.is(200);
        assert!(!browser.text().contains("passkey"), "{url}");
        let csrf = browser.csrf();
        browser.post(OPTIONS, encoded(&[("csrf", &*csrf), ("purpose", "sign-in")])).await.is(422);
        let mut browser = site.browser_of("ada").await;
        browser.go(SECURITY).await.is(200);
        assert!(browser.text().contains("an administrator can set public_url to it"), "{url}");
        browser.go(NEW).await.is(200);
        assert!(browser.attrs("main form", "action").is_empty(), "{url}");
    }
    let site = site();
    let mut browser = site.browser();
    browser.go("/login").await.is(200);
    assert_eq!(browser.attrs("form[action='/login/passkey']", "hidden"), [""], "only the script shows it");
}
