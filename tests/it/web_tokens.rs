//! Access tokens in the browser: made, shown once, listed, revoked.

use crate::support::browser::Browser;
use crate::support::people::db_org;
use crate::support::{PASSWORD, Site, log, path};
use packhouse::domain::role::Visibility;
use std::time::Duration;

const LIST: &str = "/user/settings/tokens";
const NEW: &str = "/user/settings/tokens/new";
const FORM: &str = "form[action='/user/settings/tokens/new']";

/// Sends the form with these fields, and everybody's password if none is given.
async fn make(browser: &mut Browser, values: &[(&str, &str)]) {
    browser.go(NEW).await.is(200);
    let mut values = values.to_vec();
    if !values.iter().any(|(name, _)| *name == "current_password") {
        values.push(("current_password", PASSWORD));
    }
    browser.submit(FORM, &values).await;
}

#[tokio::test]
async fn the_example_of_a_token_never_writes_into_an_existing_version() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "router", "1.0.0", "router.bin"]), "x").await;
    let mut browser = site.browser_of("ada").await;
    make(&mut browser, &[("name", "limited"), ("packages", "router")]).await;
    browser.is(200);
    let command = browser.all(".copy code").pop().unwrap();
    let id = site.db_number("SELECT max(id) AS n FROM tokens");
    assert!(command.ends_with(&format!("/api/packages/ada/generic/router/0.0.0-test.{id}/hello.txt")), "{command}");
    make(&mut browser, &[("name", "others"), ("packages", "tool-*")]).await;
    assert!(browser.all(".copy code").pop().unwrap().ends_with("/tool-hello/1.0.0/hello.txt"));
    make(&mut browser, &[("name", "downloader"), ("preset", "download")]).await;
    let command = browser.all(".copy code").pop().unwrap();
    assert!(command.ends_with("/api/v1/packages/ada"), "{command}");
}

fn changes(site: &Site) -> Vec<String> {
    site.db_audit().into_iter().filter(|record| record.starts_with("token.")).collect()
}

#[tokio::test]
async fn a_token_is_shown_once_and_publishes_with_the_command_shown() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    make(&mut browser, &[("name", "build <b>job</b>")]).await;
    browser.is(200);
    assert_eq!(browser.answer.header("cache-control"), Some("no-store"));
    let secret = browser.one("#secret");
    assert_eq!(browser.answer.text().matches(&secret).count(), 1, "exactly once");
    let lines = browser.all(".copy code");
    let url = format!("http://{}", site.address);
    assert_eq!(lines[1], "read -rs TOKEN");
    assert_eq!(
        lines[2],
        format!(
            "curl -f -H \"Authorization: Bearer $TOKEN\" -T hello.txt \
             {url}/api/packages/ada/generic/hello/1.0.0/hello.txt"
        )
    );
    let machine = site.anon().bearer(&secret);
    machine.publish(&path(&["ada", "hello", "1.0.0", "hello.txt"]), "hello").await;
    machine.get("/api/v1/user").await.is(403);
    site.db_flush().await;

    browser.go(LIST).await.is(200);
    assert!(!browser.answer.text().contains(&secret));
    let row = browser.one("tbody tr:first-child");
    assert!(row.contains("build <b>job</b>") && row.contains(&secret[secret.len() - 8..]), "{row}");
    assert!(
        row.contains("Publish and delete packages") && row.contains("127.0.0.1") && row.contains("in 3 months"),
        "{row}"
    );
    assert_eq!(changes(&site), ["token.create by ada with session from 127.0.0.1 on ada build <b>job</b>"]);
    assert!(!log::captured().contains(&secret[4..]));
    let kept = site.db_texts("SELECT concat(subject, detail::text) AS text FROM audit").join("\n");
    assert!(!kept.contains(&secret[4..]));
}

#[tokio::test]
async fn creating_a_token_needs_the_password() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    for wrong in ["", "wrong password"] {
        make(&mut browser, &[("name", "ci 2"), ("preset", "download"), ("current_password", wrong)]).await;
        browser.is(422);
        assert_eq!(browser.attrs("[aria-invalid=true]", "name"), ["current_password"]);
        assert_eq!(browser.attrs("#name", "value"), ["ci 2"]);
        assert_eq!(browser.attrs("[name=preset][checked]", "value"), ["download"]);
        assert!(browser.attrs("#current_password", "value").is_empty());
    }
    assert!(changes(&site).is_empty());
}

#[tokio::test]
async fn the_choices_set_exactly_the_permissions_of_the_token() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Private));
    let mut browser = site.browser_of("ada").await;
    browser.go(NEW).await.is(200);
    assert_eq!(browser.attrs("[name=owners]", "value"), ["ada", "acme"]);
    assert!(browser.all("#area_admin").is_empty(), "for administrators alone");
    let values = [
        ("name", "limited"),
        ("preset", "custom"),
        ("area_package", "write"),
        ("area_user", "read"),
        ("expiry", "date"),
        ("expires_on", "2026-06-30"),
        ("owners", "acme"),
        ("packages", "tool-*, router"),
    ];
    browser.submit(FORM, &[&values[..], &[("current_password", PASSWORD)]].concat()).await.is(200);
    let machine = site.anon().bearer(&browser.one("#secret"));
    machine.publish(&path(&["acme", "tool-x", "1", "f"]), "hello").await;
    machine.put(&path(&["acme", "other", "1", "f"]), "hello").await.is(403);
    machine.put(&path(&["ada", "tool-x", "1", "f"]), "hello").await.is(403);
    machine.get("/api/v1/user").await.is(200);
    machine.get("/api/v1/user/orgs").await.is(403);
    let token = machine.get("/api/v1/token").await.json();
    assert_eq!(token["expires_at"], "2026-06-30T23:59:59Z");
    assert_eq!(token["scopes"], serde_json::json!(["write:package", "read:user"]));
    assert_eq!(token["owners"], serde_json::json!(["acme"]));

    make(&mut browser, &[("name", "guest"), ("preset", "download"), ("public_only", "on"), ("expiry", "never")]).await;
    browser.is(200);
    assert!(browser.all(".copy code")[2].ends_with("/api/v1/packages/ada"), "{:?}", browser.all(".copy code"));
    let machine = site.anon().bearer(&browser.one("#secret"));
    machine.get(&path(&["acme", "tool-x", "1"])).await.is(403);
    assert_eq!(machine.get("/api/v1/token").await.json()["expires_at"], serde_json::Value::Null);

    let mut admin = site.browser_of("admin").await;
    admin.go(NEW).await.is(200);
    assert_eq!(admin.all("#area_admin").len(), 1);
}

#[tokio::test]
async fn problems_are_shown_beside_their_fields() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    let long = "x".repeat(256);
    let many = vec!["p"; 101].join(" ");
    for (field, says, values) in [
        ("name", "1 to 255", &[("name", " ")][..]),
        ("name", "1 to 255", &[("name", &*long)]),
        ("name", "taken", &[("name", "CI")]),
        ("scopes", "choose", &[("name", "n"), ("preset", "custom")]),
        ("scopes", "choose", &[("name", "n"), ("preset", "rule")]),
        ("scopes", "not one of", &[("name", "n"), ("preset", "custom"), ("area_user", "rule")]),
        ("expires_at", "choose a date", &[("name", "n"), ("expiry", "date")]),
        ("expires_at", "choose a date", &[("name", "n"), ("expiry", "date"), ("expires_on", "2026-02-30")]),
        ("expires_at", "future", &[("name", "n"), ("expiry", "date"), ("expires_on", "2020-01-01")]),
        ("expires_at", "choose an expiration", &[("name", "n"), ("expiry", "")]),
        ("owners", "there is no owner named nobody", &[("name", "n"), ("owners", "nobody")]),
        ("owners", "letter", &[("name", "n"), ("owners", "-x")]),
        ("packages", "wildcard", &[("name", "n"), ("packages", "a/b")]),
        ("packages", "at most 100", &[("name", "n"), ("packages", &*many)]),
    ] {
        make(&mut browser, values).await;
        browser.is(422);
        let text = browser.one(&format!("#{field}-problem")).to_lowercase();
        assert!(text.contains(says), "{values:?}: {text}");
    }
    assert!(changes(&site).is_empty());
}

#[tokio::test]
async fn a_link_can_fill_in_part_of_the_form() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    browser
        .go("/user/settings/tokens/new?name=ci&preset=download&owners=ADA&packages=tool&current_password=x")
        .await
        .is(200);
    assert_eq!(browser.attrs("#name", "value"), ["ci"]);
    assert_eq!(browser.attrs("[name=preset][checked]", "value"), ["download"]);
    assert_eq!(browser.attrs("[name=owners][checked]", "value"), ["ada"]);
    assert_eq!(browser.attrs("#packages", "value"), ["tool"]);
    assert!(browser.attrs("#current_password", "value").is_empty());
}

#[tokio::test]
async fn a_token_is_revoked_after_confirming_and_only_by_its_owner() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    browser.go(LIST).await.is(200);
    assert_eq!(browser.all("tbody tr").len(), 2);
    // The newest stands first.
    let page = browser.attrs("td.actions a", "href").remove(0);
    let mut stranger = site.browser_of("stranger").await;
    stranger.go(&page).await.is(404);
    let csrf = stranger.go(LIST).await.csrf();
    stranger.post(&page, format!("csrf={csrf}")).await.is(404);
    for odd in ["/user/settings/tokens/0/revoke", "/user/settings/tokens/x/revoke", "/user/settings/tokens/%00/revoke"]
    {
        browser.go(odd).await.is(404);
    }
    site.reader().get("/api/v1/token").await.is(200);
    browser.go(&page).await.is(200);
    assert_eq!(browser.one("h1"), "Revoke reader");
    browser.submit(&format!("form[action='{page}']"), &[]).await.is(303).follow().await.is(200);
    assert_eq!(browser.one("[role=status].notice"), "Token reader revoked.");
    site.reader().get("/api/v1/token").await.is(401);
    site.ci().get("/api/v1/token").await.is(200);
    assert_eq!(changes(&site), ["token.revoke by ada with session from 127.0.0.1 on ada reader"]);
    browser.go(&page).await.is(404);
}

#[tokio::test]
async fn a_token_named_like_the_id_of_another_is_not_confused_with_it() {
    let site = Site::new();
    let reader = site.db_number("SELECT id AS n FROM tokens WHERE name = 'reader'").to_string();
    site.db_token("ada", &["read:package"]);
    site.db_execute(&format!("UPDATE tokens SET name = '{reader}', lower_name = '{reader}' WHERE name LIKE 'token %'"));
    let mut browser = site.browser_of("ada").await;
    let page = format!("{LIST}/{reader}/revoke");
    browser.go(&page).await.is(200);
    browser.submit(&format!("form[action='{page}']"), &[]).await.is(303);
    site.reader().get("/api/v1/token").await.is(401);
}

#[tokio::test]
async fn empty_lists_and_expired_tokens_are_shown() {
    let site = Site::new();
    site.db_execute("DELETE FROM tokens WHERE name = 'stranger'");
    let mut browser = site.browser_of("stranger").await;
    browser.go(LIST).await.is(200);
    assert!(browser.one(".empty").contains("No access tokens yet"));
    make(&mut browser, &[("name", "n"), ("expiry", "30")]).await;
    site.pass(Duration::from_secs(24 * 3600 * 25));
    let mut browser = site.browser_of("stranger").await;
    browser.go(LIST).await.is(200);
    assert_eq!(browser.all("tbody .badge"), ["Expires soon"]);
    site.pass(Duration::from_secs(24 * 3600 * 6));
    browser.go(LIST).await.is(200);
    assert_eq!(browser.all("tbody .badge"), ["Expired"]);
}
