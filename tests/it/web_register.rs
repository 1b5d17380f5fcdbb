//! Making an account for oneself: off by default, open by a setting, to some email domains, with an approval.

use crate::support::browser::Browser;
use crate::support::people::db_caller;
use crate::support::{PASSWORD, Site};
use packhouse::registry::access::can_administer;
use packhouse::registry::accounts::users::approve;
use std::time::Duration;

const FORM: &str = "form[action='/register']";
const OPEN: (&str, &str) = ("PACKHOUSE_REGISTRATION_ENABLED", "true");

async fn register(browser: &mut Browser, name: &str, email: &str, password: &str) {
    browser.go("/register").await.is(200);
    let values = [("username", name), ("email", email), ("password", password), ("again", password)];
    browser.submit(FORM, &values).await;
}

fn changes(site: &Site) -> Vec<String> {
    site.db_audit().into_iter().filter(|record| record.starts_with("user.")).collect()
}

#[tokio::test]
async fn registration_is_off_unless_a_setting_allows_it() {
    let site = Site::new();
    let mut browser = site.browser();
    browser.go("/login").await.is(200);
    assert!(browser.all("a[href^='/register']").is_empty());
    let csrf = browser.csrf();
    browser.go("/register").await.is(404);
    browser.post("/register", format!("csrf={csrf}&username=eve&email=e@x&password=1&again=1")).await.is(404);
    assert!(changes(&site).is_empty());
}

#[tokio::test]
async fn registering_signs_in_and_returns_to_the_previous_page() {
    let site = Site::with(&[OPEN, ("PACKHOUSE_REQUIRE_SIGNIN", "true")]);
    let mut browser = site.browser();
    browser.go("/login?redirect_to=%2Fada").await.is(200);
    let link = browser.attrs("a[href^='/register']", "href").remove(0);
    browser.go(&link).await.is(200);
    let values = [("username", "Eve"), ("email", "eve@example.net"), ("password", PASSWORD), ("again", PASSWORD)];
    browser.submit(FORM, &values).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/ada"));
    browser.go("/user/settings").await.is(200);
    assert_eq!(browser.one("header .menu summary"), "Eve");
    assert_eq!(
        site.db_audit(),
        [
            "user.register by  with none from 127.0.0.1 on Eve Eve",
            "session.begin by Eve with session from 127.0.0.1 on Eve Eve"
        ]
    );
    let user = site.user("eve").get("/api/v1/user").await.is(200).json();
    assert_eq!((&user["is_admin"], &user["email"]), (&false.into(), &"eve@example.net".into()));
    site.anon().basic("eve@example.net", PASSWORD).get("/api/v1/user").await.is(401);
    browser.go("/register").await.is(303);
}

#[tokio::test]
async fn an_invalid_registration_is_rejected_with_the_reason() {
    let site = Site::with(&[OPEN, ("PACKHOUSE_REGISTRATION_EMAIL_DOMAINS", "example.org, Example.com")]);
    let mut browser = site.browser();
    let good = "eve@example.org";
    for (name, email, password, field, says) in [
        ("ada", good, PASSWORD, "username", "taken"),
        ("ADA", good, PASSWORD, "username", "taken"),
        ("admin", good, PASSWORD, "username", "reserved"),
        ("register", good, PASSWORD, "username", "reserved"),
        ("-e", good, PASSWORD, "username", "letter"),
        ("", good, PASSWORD, "username", "empty"),
        ("eve", "eve", PASSWORD, "email", "name@example.org"),
        ("eve", "eve@example.net", PASSWORD, "email", "use an address at example.org, Example.com"),
        ("eve", "eve@sub.example.org", PASSWORD, "email", "use an address"),
    ] {
        site.db_execute("DELETE FROM attempts");
        register(&mut browser, name, email, password).await;
        browser.is(422);
        let text = browser.one(&format!("#{field}-problem"));
        assert!(text.to_lowercase().contains(&says.to_lowercase()), "{name} {email}: {text}");
        assert_eq!(browser.attrs("#username", "value"), [name]);
        assert!(browser.attrs("#password", "value").is_empty());
    }
    for (password, says) in [("short", "at least 12"), ("password1234", "too common"), (good, "name or email")] {
        register(&mut browser, "eve", good, password).await;
        assert!(browser.is(422).one("#password-problem").contains(says), "{password}");
    }
    browser.go("/register").await;
    let values = [("username", "eve"), ("email", good), ("password", PASSWORD), ("again", "another one of them")];
    browser.submit(FORM, &values).await.is(422);
    assert!(browser.one("#again-problem").contains("do not match"));
    assert!(changes(&site).is_empty());
    register(&mut browser, "eve", "eve@EXAMPLE.com", PASSWORD).await;
    browser.is(303);
}

#[tokio::test]
async fn an_email_address_in_use_looks_like_any_other() {
    let site = Site::with(&[OPEN]);
    let mut browser = site.browser();
    register(&mut browser, "eve", "Ada@example.org", PASSWORD).await;
    browser.is(303);
    assert_eq!(browser.answer.header("location"), Some("/"));
    let user = site.anon().basic("ada@example.org", PASSWORD).get("/api/v1/user").await.is(200).json();
    assert_eq!(user["login"], "ada", "it goes on to be hers");
}

#[tokio::test]
async fn nobody_signs_in_before_an_administrator_approves_them() {
    let site = Site::with(&[OPEN, ("PACKHOUSE_REGISTRATION_NEEDS_APPROVAL", "true")]);
    let mut browser = site.browser();
    register(&mut browser, "eve", "eve@example.net", PASSWORD).await;
    browser.is(303).follow().await.is(200);
    assert!(browser.one("[role=status].notice").contains("administrator"));
    let sign_in = [("name", "eve"), ("password", PASSWORD)];
    browser.submit("form[action='/login']", &sign_in).await.is(401);
    site.user("eve").get("/api/v1/user").await.is(401);
    let admin_sees = site.admin().get("/api/v1/users/eve").await.is(200).json();
    assert_eq!(admin_sees["active"], false);
    site.db(|conn| {
        let admin = db_caller(conn, "admin")?;
        let right = can_administer(conn, &admin, &"eve".parse().unwrap())?;
        approve(conn, &admin, &right, site.now())?;
        assert!(approve(conn, &admin, &right, site.now()).is_err(), "once");
        Ok(())
    });
    browser.submit("form[action='/login']", &sign_in).await.is(303);
    site.anon().basic("eve@example.net", PASSWORD).get("/api/v1/user").await.is(200);
    assert_eq!(
        changes(&site),
        [
            "user.register by  with none from 127.0.0.1 on eve eve",
            "user.approve by admin with password from nowhere on eve eve"
        ]
    );
}

#[tokio::test]
async fn an_approval_does_not_take_anothers_address_away() {
    let site = Site::with(&[OPEN, ("PACKHOUSE_REGISTRATION_NEEDS_APPROVAL", "true")]);
    register(&mut site.browser(), "eve", "ada@example.org", PASSWORD).await;
    site.db(|conn| {
        let admin = db_caller(conn, "admin")?;
        let right = can_administer(conn, &admin, &"eve".parse().unwrap())?;
        approve(conn, &admin, &right, site.now())
    });
    let user = site.anon().basic("ada@example.org", PASSWORD).get("/api/v1/user").await.is(200).json();
    assert_eq!(user["login"], "ada");
    site.user("eve").get("/api/v1/user").await.is(200);
}

#[tokio::test]
async fn registering_again_and_again_is_429() {
    let site = Site::with(&[OPEN]);
    let mut browser = site.browser();
    for _ in 0..10 {
        register(&mut browser, "ada", "eve@example.net", PASSWORD).await;
        browser.is(422);
    }
    register(&mut browser, "eve", "eve@example.net", PASSWORD).await;
    browser.is(429);
    let wait: u64 = browser.answer.header("retry-after").unwrap().parse().unwrap();
    site.ada().get("/api/v1/user").await.is(200);
    site.pass(Duration::from_secs(wait));
    register(&mut browser, "eve", "eve@example.net", PASSWORD).await;
    browser.is(303);
}
