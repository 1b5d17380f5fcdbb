//! Changing one's own password in the browser.

use crate::support::browser::Browser;
use crate::support::{PASSWORD, Site, path};

const PAGE: &str = "/user/settings/password";
const FORM: &str = "form[action='/user/settings/password']";
const NEW: &str = "a password of my own";

async fn change(browser: &mut Browser, current: &str, new: &str, again: &str) {
    browser.go(PAGE).await.is(200);
    browser.submit(FORM, &[("current_password", current), ("new_password", new), ("again", again)]).await;
}

#[tokio::test]
async fn a_new_password_ends_every_session_but_this_one() {
    let site = Site::new();
    let (mut here, mut elsewhere) = (site.browser_of("ada").await, site.browser_of("ada").await);
    site.ada().get("/api/v1/user").await.is(200);
    let before = here.cookie("packhouse");
    change(&mut here, PASSWORD, NEW, NEW).await;
    here.is(303).follow().await.is(200);
    assert!(here.one("[role=status].notice").contains("changed"));
    assert_ne!(here.cookie("packhouse"), before, "a session of its own");
    elsewhere.go(PAGE).await.is(303);
    site.ada().get("/api/v1/user").await.is(401);
    site.anon().basic("ada", NEW).get("/api/v1/user").await.is(200);
    site.ci().publish(&path(&["ada", "tool", "1", "f"]), "a token works on").await;
    let records = site.db_audit().into_iter().filter(|record| record.starts_with("user.")).collect::<Vec<_>>();
    assert_eq!(records, ["user.password by ada with session from 127.0.0.1 on ada ada"]);
    // The old session is no way in any more.
    let mut thief = site.browser();
    thief.cookies.extend([before]);
    thief.go(PAGE).await.is(303);
    assert!(thief.answer.header("location").unwrap().starts_with("/login"));
}

#[tokio::test]
async fn an_invalid_password_shows_its_problem_beside_the_field() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    let long = "x".repeat(1025);
    for (current, new, again, field, says) in [
        (PASSWORD, "short", "short", "new_password", "at least 12"),
        (PASSWORD, &*long, &*long, "new_password", "at most 1024"),
        (PASSWORD, "password1234", "password1234", "new_password", "too common"),
        (PASSWORD, "Ada@Example.org", "Ada@Example.org", "new_password", "name or email"),
        (PASSWORD, PASSWORD, PASSWORD, "new_password", "current password"),
        (PASSWORD, NEW, "another one entirely", "again", "do not match"),
        ("wrong", NEW, NEW, "current_password", "incorrect password"),
        ("", NEW, NEW, "current_password", "type your password"),
    ] {
        change(&mut browser, current, new, again).await;
        browser.is(422);
        let text = browser.one(".field-problem").to_lowercase();
        assert!(text.contains(says), "{new}: {text}");
        assert_eq!(browser.attrs("[aria-invalid=true]", "name"), [field]);
        assert!(browser.attrs(&format!("#{field}"), "aria-describedby")[0].contains(&format!("{field}-problem")));
        assert!(!browser.answer.text().contains(new) || new == "short", "no password is shown");
    }
    assert!(site.db_audit().iter().all(|record| record.starts_with("session.")));
    browser.go("/user/settings/password").await.is(200);
}

#[tokio::test]
async fn guessing_the_current_password_in_a_session_is_429() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    for _ in 0..10 {
        change(&mut browser, "wrong", NEW, NEW).await;
        browser.is(422);
    }
    // A right one that nobody has shown a short while ago.
    site.pass(std::time::Duration::from_secs(290));
    change(&mut browser, "wrong", NEW, NEW).await;
    browser.is(429);
    let wait: u64 = browser.answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=301).contains(&wait), "{wait}");
    assert!(browser.one("[role=alert]").contains("Too many attempts"));
}

#[tokio::test]
async fn a_required_password_change_redirects_there_and_back() {
    let site = Site::new();
    site.db_execute("UPDATE users SET must_change_password = true WHERE lower_email = 'ada@example.org'");
    let mut browser = site.browser_of("ada").await;
    browser.go("/?q=1").await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/user/settings/password?redirect_to=%2F%3Fq%3D1"));
    browser.follow().await.is(200);
    assert!(browser.one(".notice.warn").contains("Choose a new one to continue"));
    let fields = [("current_password", PASSWORD), ("new_password", NEW), ("again", NEW)];
    browser.submit(FORM, &fields).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/?q=1"));
    browser.follow().await.is(200);
    let mut other = site.browser();
    other.go(PAGE).await.is(303);
    assert_eq!(other.answer.header("location"), Some("/login?redirect_to=%2Fuser%2Fsettings%2Fpassword"));
}

#[tokio::test]
async fn after_a_required_password_change_one_lands_on_the_home_page() {
    let site = Site::new();
    site.db_execute("UPDATE users SET must_change_password = true WHERE lower_email = 'ada@example.org'");
    let mut browser = site.browser_of("ada").await;
    browser.go("/").await.is(303);
    browser.follow().await.is(200);
    let fields = [("current_password", PASSWORD), ("new_password", NEW), ("again", NEW)];
    browser.submit(FORM, &fields).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/"));
}

#[tokio::test]
async fn signing_in_again_ends_the_session_that_the_browser_had() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    let form = format!("csrf={}&name=ada&password={}", browser.go("/").await.csrf(), PASSWORD.replace(' ', "+"));
    browser.post("/login", form).await.is(303);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM sessions"), 1);
}

#[tokio::test]
async fn too_many_failed_sign_ins_say_when_to_try_again() {
    let site = Site::new();
    let mut browser = site.browser();
    browser.go("/login").await.is(200);
    for _ in 0..10 {
        browser.submit("form[action='/login']", &[("name", "ada"), ("password", "wrong")]).await.is(401);
    }
    browser.submit("form[action='/login']", &[("name", "ada"), ("password", PASSWORD)]).await.is(429);
    let wait: u64 = browser.answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=301).contains(&wait), "{wait}");
    assert!(browser.one("[role=alert]").contains("minute"));
}
