//! Webhooks in the browser: making, changing and deleting one, what it told, and telling it again.

use crate::support::people::db_org;
use crate::support::receiver::{Receiver, Reply};
use crate::support::{Site, path};
use packhouse::domain::role::Visibility;

const OWN: &str = "/user/settings/hooks";
const ORGS: &str = "/org/acme/settings/hooks";

fn settle() -> Site {
    let site = Site::with(&[("PACKHOUSE_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8")]);
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    site
}

async fn deliver(site: &Site) {
    site.app.webhook_sender().run().await;
}

#[tokio::test]
async fn a_hook_is_created_tested_changed_and_deleted_by_its_owner() {
    for (base, user) in [(OWN, "ada"), (ORGS, "acme-owner")] {
        let (site, receiver) = (settle(), Receiver::new());
        let mut browser = site.browser_of(user).await;
        browser.go(base).await.is(200);
        assert!(browser.one(".empty").contains("No webhooks yet"));
        browser.go(&browser.attrs(".empty a", "href")[0].clone()).await.is(200);
        assert_eq!(browser.attrs("input[name=content_type][checked]", "value"), ["json"]);
        let form = format!("form[action='{base}/new']");
        let url = receiver.url();
        browser.submit(&form, &[("url", &url), ("secret", "let me in"), ("authorization", "Bearer x")]).await.is(303);
        browser.follow().await.is(200);
        assert!(browser.one(".notice.good").starts_with("Webhook created."));
        assert!(!browser.text().contains("let me in") && !browser.text().contains("Bearer x"));
        let page = browser.at.clone();
        assert!(browser.one(".empty").starts_with("No deliveries yet."));

        browser.submit("#test", &[]).await.is(303);
        deliver(&site).await;
        browser.follow().await.is(200);
        assert_eq!(receiver.news(), ["created webhook-test 0.0.0"]);
        assert_eq!(browser.one("section .badge"), "200");
        let sent = browser.all("section pre").join("\n");
        assert!(sent.contains("authorization: ******") && !sent.contains("Bearer x"), "{sent}");
        assert!(browser.one("#payload + pre").contains("\"webhook-test\""));
        browser.submit("#again", &[]).await.is(303);
        deliver(&site).await;
        browser.follow().await.is(200);
        assert_eq!(browser.all("section h2"), ["Attempt 2", "Attempt 1"]);

        browser.go(&page).await.is(200);
        let cells = browser.all("tbody tr > *");
        assert_eq!(cells[..4], ["webhook-test 0.0.0 created Test", "Delivered", "200", "2"]);
        browser.submit("#settings", &[("content_type", "form"), ("drop_secret", "on")]).await.is(303);
        browser.follow().await.is(200);
        assert_eq!(browser.attrs("input[name=content_type][checked]", "value"), ["form"]);
        assert_eq!(browser.all("#drop_secret").len(), 0, "there is none any more");
        assert_eq!(browser.all("#drop_authorization").len(), 1, "what was left empty is kept");
        browser.go(base).await.is(200);
        assert_eq!(browser.all("tbody .badge"), ["Active", "Delivered"]);
        browser.go(&page).await.is(200);
        browser.submit("#delete", &[]).await.is(303);
        browser.follow().await.is(200);
        assert_eq!(browser.one(".notice.good"), "Webhook deleted.");
        browser.go(&page).await.is(404);
        let records = site.db_texts("SELECT event AS text FROM audit WHERE event LIKE 'hook.%' ORDER BY id");
        assert_eq!(records, ["hook.create", "hook.test", "hook.redeliver", "hook.update", "hook.delete"]);
    }
}

#[tokio::test]
async fn problems_are_shown_beside_their_fields_and_input_is_kept() {
    let site = settle();
    let mut browser = site.browser_of("ada").await;
    for (field, typed, problem) in [
        ("url", "", "It is empty."),
        ("url", "ftp://example.org/", "Use a URL that begins with http"),
        ("url", "http://10.0.0.1/", "10.0.0.1 is a private address"),
        ("secret", "a\u{7}", "Use text without control characters."),
        ("authorization", "é", "Use visible ASCII characters"),
    ] {
        browser.go(&format!("{OWN}/new")).await.is(200);
        let form = format!("form[action='{OWN}/new']");
        let others = [("url", "https://ci.example.org/kept")];
        let values: Vec<_> = others.into_iter().filter(|(name, _)| *name != field).chain([(field, typed)]).collect();
        browser.submit(&form, &values).await.is(422);
        let said = browser.one(&format!("#{field}-problem"));
        assert!(said.starts_with(problem), "{field} {typed:?}: {said}");
        assert_eq!(browser.attrs(&format!("#{field}"), "aria-invalid"), ["true"]);
        let url = if field == "url" { typed } else { "https://ci.example.org/kept" };
        assert_eq!(browser.attrs("#url", "value"), [url]);
    }
    assert_eq!(site.db_number("SELECT count(*) AS n FROM hooks"), 0);
}

#[tokio::test]
async fn a_failed_delivery_shows_its_reason_escaped_and_the_next_attempt() {
    let (site, receiver) = (settle(), Receiver::new());
    let mut browser = site.browser_of("ada").await;
    browser.go(&format!("{OWN}/new")).await;
    browser.submit(&format!("form[action='{OWN}/new']"), &[("url", &receiver.url())]).await.is(303);
    let page = browser.answer.header("location").unwrap().to_owned();
    let script = "<script>alert(1)</script>";
    receiver.reply(Reply::Bytes(format!(
        "HTTP/1.1 500 No\r\nX-Mark: {script}\r\nContent-Length: {}\r\n\r\n{script}",
        script.len()
    )));
    site.ci().publish(&path(&["ada", "tool", "1", "f"]), "x").await;
    deliver(&site).await;
    browser.go(&page).await.is(200);
    assert_eq!(browser.all("tbody tr > *")[..4], ["tool 1 created", "Retrying (1 failed)", "500", "1"]);
    // A later delivery doesn't hide that this one is retried.
    site.ci().publish(&path(&["ada", "tool", "2", "f"]), "x").await;
    browser.go(OWN).await.is(200);
    assert_eq!(browser.one("tbody td[data-label='Last delivery'] .badge.bad"), "Retrying (1 failed)");
    let mut admin = site.browser_of("admin").await;
    admin.go("/-/admin").await.is(200);
    assert!(admin.one(".failing-hooks").starts_with("1 webhook of ada fails"));
    assert_eq!(admin.attrs(".failing-hooks a", "href"), ["/-/admin/users/ada"]);
    browser.go(&page).await.is(200);
    browser.go(&browser.attrs("tbody a", "href")[1].clone()).await.is(200);
    assert!(browser.one("section").contains("the receiver answered 500"));
    assert_eq!(browser.all("dl dt, dl dd")[2..], ["Attempts", "1", "Next attempt", "in a moment"]);
    assert!(browser.all("section pre")[1].contains(script) && !browser.text().contains(script));
}

#[tokio::test]
async fn hooks_are_visible_only_to_the_owners_of_their_organization() {
    let site = settle();
    let made = serde_json::json!({"type": "gitea", "active": true, "config": {"url": "https://ci.example.org/", "content_type": "json"}});
    let id = site.ada().post("/api/v1/orgs/acme/hooks", &made).await.is(201).json()["id"].clone();
    let mut ada = site.browser_of("ada").await;
    ada.go(&format!("{ORGS}/{id}")).await.is(200);
    ada.go(&format!("{OWN}/{id}")).await.is(404);
    for user in ["acme-admin", "stranger"] {
        let mut browser = site.browser_of(user).await;
        for page in [ORGS.to_owned(), format!("{ORGS}/new"), format!("{ORGS}/{id}")] {
            browser.go(&page).await.is(403);
        }
        browser.go("/acme").await.is(200);
        assert!(!browser.text().contains("settings/hooks\""));
    }
    let mut nobody = site.browser();
    nobody.go(OWN).await.is(303);
    assert!(nobody.answer.header("location").unwrap().starts_with("/login"));
}
