//! Signing in with a browser: sessions, their cookies, and forms that only our own pages can send.

use crate::support::{PASSWORD, Site};
use packhouse::domain::role::Visibility;
use packhouse::registry::accounts::users;
use packhouse::registry::caller::Caller;
use std::time::Duration;

/// Who the page says is signed in.
fn user(browser: &crate::support::browser::Browser) -> Option<String> {
    browser.all("header .menu summary").into_iter().next()
}

#[tokio::test]
async fn the_right_password_starts_a_session_and_a_wrong_one_does_not() {
    let site = Site::new();
    let mut browser = site.browser();
    browser.go("/login?redirect_to=%2Fdocs").await.is(200);
    browser.submit("form[action='/login']", &[("name", "ada"), ("password", "wrong password")]).await.is(401);
    assert!(browser.one("[role=alert]").contains("Incorrect username or password"));
    assert_eq!(browser.attrs("#name", "value"), ["ada"], "what was typed is kept");
    let unknown = browser.submit("form[action='/login']", &[("name", "nobody"), ("password", PASSWORD)]).await.is(401);
    assert!(unknown.one("[role=alert]").contains("Incorrect username or password"));
    browser.submit("form[action='/login']", &[("name", "ADA@example.org"), ("password", PASSWORD)]).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/docs"));
    browser.go("/").await.is(200);
    assert_eq!(user(&browser).as_deref(), Some("ada"));
    assert_eq!(site.db_audit().last().unwrap(), "session.begin by ada with session from 127.0.0.1 on ada ada");
    browser.go("/login").await.is(303);
    browser.go("/").await.submit("form[action='/logout']", &[]).await.is(303);
    browser.follow().await.is(200);
    assert_eq!(user(&browser), None);
    // Whoever signs in here next is known, and nothing else is left.
    let is_kept = |name: &String| name.starts_with("packhouse-device") || name.starts_with("packhouse-visit");
    assert!(browser.cookies.len() == 2 && browser.cookies.keys().all(is_kept), "{:?}", browser.cookies);
}

#[tokio::test]
async fn cookies_are_http_only_same_site_and_secure_with_https() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://packages.example.org")]);
    let mut browser = site.browser();
    browser.go("/login").await.is(200);
    let fields = browser.answer.headers.get_all("set-cookie");
    let set: Vec<_> = fields.iter().map(|value| value.to_str().unwrap().to_owned()).collect();
    assert!(set[0].starts_with("__Host-packhouse-visit="), "{set:?}");
    for part in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/"] {
        assert!(set[0].contains(part), "{set:?}");
    }
    assert!(!set[0].contains("Domain"), "{set:?}");
    let answer = &browser.answer;
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_form_from_another_site_is_rejected_and_changes_nothing() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    browser.go("/").await;
    let form = format!("csrf={}", browser.csrf());
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let other = site.browser_of("stranger").await.go("/").await.csrf();
    for (fields, body) in [
        (&[kind, ("sec-fetch-site", "cross-site")][..], form.clone()),
        (&[kind, ("sec-fetch-site", "same-site")], form.clone()),
        (&[kind, ("origin", "https://evil.example")], form.clone()),
        (&[kind, ("origin", "null")], form.clone()),
        (&[kind], String::new()),
        (&[kind], "csrf=".to_owned()),
        (&[kind], format!("csrf={other}")),
        (&[kind, ("sec-fetch-site", "same-origin")], "csrf=00".to_owned()),
    ] {
        browser.send("POST", "/logout", fields, Some(body.clone().into_bytes())).await.is(403);
        browser.go("/").await.is(200);
        assert_eq!(user(&browser).as_deref(), Some("ada"), "{fields:?} {body}");
    }
    browser.send("POST", "/logout", &[kind], Some(form.into_bytes())).await.is(303);
}

#[tokio::test]
async fn a_lock_or_a_new_password_ends_a_session_at_once() {
    let site = Site::new();
    let ada = || "ada".parse().unwrap();
    let mut browser = site.browser_of("ada").await;
    site.db(|conn| users::set_locked(conn, &Caller::command_line(), &ada(), true, site.now()));
    browser.go("/").await.is(200);
    assert_eq!(user(&browser), None);
    site.db(|conn| users::set_locked(conn, &Caller::command_line(), &ada(), false, site.now()));
    browser.go("/").await.is(200);
    assert_eq!(user(&browser), None, "it does not come back");

    let mut browser = site.browser_of("ada").await;
    let hash = packhouse::password::hash_now(&packhouse::domain::secret::Password::new("another long one")).unwrap();
    site.db(|conn| users::set_password(conn, &Caller::command_line(), &ada(), &hash, site.now()));
    browser.go("/").await.is(200);
    assert_eq!(user(&browser), None);
}

#[tokio::test]
async fn a_session_ends_after_a_week_of_disuse_or_a_month() {
    let site = Site::new();
    let day = Duration::from_secs(24 * 3600);
    let mut browser = site.browser_of("ada").await;
    for _ in 0..4 {
        site.pass(6 * day);
        browser.go("/").await;
        assert_eq!(user(&browser).as_deref(), Some("ada"));
        site.db_flush().await;
    }
    site.pass(7 * day);
    browser.go("/").await;
    assert_eq!(user(&browser), None);
    let mut browser = site.browser_of("ada").await;
    site.pass(8 * day);
    browser.go("/").await;
    assert_eq!(user(&browser), None);
}

#[tokio::test]
async fn the_two_factor_code_is_required_before_a_session_starts() {
    let site = Site::new();
    let seed = site.db_second_factor("ada");
    let mut browser = site.browser_of("ada").await;
    browser.follow().await.is(200);
    assert_eq!(browser.at, "/login/two-factor?redirect_to=%2F");
    assert_eq!(site.db_number("SELECT count(*) AS n FROM sessions"), 0);
    let form = "form[action='/login/two-factor']";
    browser.submit(form, &[("code", "000000")]).await.is(401);
    let code = seed.code_at(site.now()).unwrap();
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    browser.submit(form, &[("code", &spaced)]).await.is(303);
    browser.go("/").await;
    assert_eq!(user(&browser).as_deref(), Some("ada"));

    let mut thief = site.browser_of("ada").await;
    thief.follow().await.submit(form, &[("code", &code)]).await.is(401);
    site.pass(Duration::from_secs(301));
    let later = seed.code_at(site.now()).unwrap();
    thief.submit(form, &[("code", &later)]).await.is(303);
    assert_eq!(thief.answer.header("location"), Some("/login"), "the password has to be shown again");
}

#[tokio::test]
async fn cookies_do_not_work_for_programs_nor_tokens_for_pages() {
    let site = Site::new();
    site.db_execute("UPDATE owners SET visibility = 2 WHERE name = 'ada'");
    let mut browser = site.browser_of("ada").await;
    browser.send("GET", "/api/v1/user", &[], None).await.is(401);
    browser.send("GET", "/api/packages/ada/generic/tool", &[], None).await.is(401);
    let answer = site.ci().get("/").await.is(200);
    assert!(!answer.text().contains("Sign out"));
}

#[tokio::test]
async fn redirects_after_signing_in_stay_within_the_site() {
    let site = Site::new();
    for (to, expected) in [
        ("%2Fada%2F-%2Fpackages%3Fq%3Da", "/ada/-/packages?q=a"),
        ("https%3A%2F%2Fevil.example", "/"),
        ("%2F%2Fevil.example", "/"),
        ("%2F%5Cevil.example", "/"),
        ("%2Fa%0D%0ASet-Cookie%3A%20x%3D1", "/"),
    ] {
        let mut browser = site.browser();
        browser.go(&format!("/login?redirect_to={to}")).await.is(200);
        browser.submit("form[action='/login']", &[("name", "ada"), ("password", PASSWORD)]).await.is(303);
        assert_eq!(browser.answer.header("location"), Some(expected), "{to}");
    }
}

#[tokio::test]
async fn assets_have_their_digest_in_the_name_and_are_cached_forever() {
    let site = Site::new();
    site.db(|conn| crate::support::people::db_user(conn, "reader", Visibility::Public, false));
    let mut browser = site.browser();
    browser.go("/login").await.is(200);
    let sheets = browser.attrs("link[rel=stylesheet]", "href");
    let scripts = browser.attrs("script", "src");
    for asset in sheets.iter().chain(&scripts) {
        let answer = site.anon().get(asset).await.is(200);
        assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"), "{asset}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    assert!(sheets[0].starts_with("/assets/app.") && sheets[0].ends_with(".css"), "{sheets:?}");
    assert_eq!(site.anon().get("/assets/..%2Fpackhouse.toml").await.status, 400);
    assert_eq!(site.anon().get("/assets/app.css").await.status, 404);
}
