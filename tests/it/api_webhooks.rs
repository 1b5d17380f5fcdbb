//! Webhooks in the REST API, compatible with Gitea's clients.

use crate::support::Site;
use crate::support::people::{db_org, db_user};
use packhouse::domain::role::Visibility;
use serde_json::{Value, json};

const OWN: &str = "/api/v1/user/hooks";
const ORGS: &str = "/api/v1/orgs/acme/hooks";

fn body(config: &Value) -> Value {
    json!({"type": "gitea", "config": config})
}

fn config() -> Value {
    json!({"url": "https://ci.example.org/hook", "content_type": "json", "secret": "let me in"})
}

fn without_id(text: &str, id: &Value) -> String {
    text.replacen(&format!("\"id\":{id},"), "\"id\":0,", 1)
}

#[tokio::test]
async fn webhooks_are_created_read_changed_deleted_and_audited() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    // As Gitea's Go client sends it.
    let body = json!({"type": "gitea", "config": config(), "events": ["push", "package"], "branch_filter": "*",
        "active": true, "authorization_header": ""});
    let made = site.user("acme-owner").post(ORGS, &body).await.is(201);
    let id = made.json()["id"].clone();
    insta::assert_snapshot!(without_id(made.text(), &id), @r#"{"id":0,"type":"gitea","branch_filter":"","config":{"content_type":"json","url":"https://ci.example.org/hook"},"events":["package"],"authorization_header":"","active":true,"updated_at":"2026-01-02T03:04:05Z","created_at":"2026-01-02T03:04:05Z","has_secret":true,"has_authorization":false}"#);
    let one = format!("{ORGS}/{id}");
    assert_eq!(site.ada().get(&one).await.is(200).text(), made.text());
    assert_eq!(site.ada().get(ORGS).await.is(200).json(), json!([made.json()]));
    let edit = json!({"config": {"url": "http://other.example.org:8080/", "content_type": "form"}, "events": [],
        "branch_filter": "", "authorization_header": "", "active": false});
    let changed = site.ada().patch(&one, &edit).await.is(200).json();
    assert_eq!(changed["config"], json!({"url": "http://other.example.org:8080/", "content_type": "form"}));
    assert_eq!((&changed["active"], &changed["has_secret"]), (&json!(false), &json!(true)));
    let changed =
        site.ada().patch(&one, &json!({"config": {"secret": ""}, "authorization_header": "Basic eDp5"})).await;
    let changed = changed.is(200).json();
    assert_eq!((&changed["has_secret"], &changed["has_authorization"]), (&json!(false), &json!(true)));
    let changed = site.ada().patch(&one, &json!({"authorization_header": null})).await.is(200).json();
    assert_eq!(changed["has_authorization"], false);
    site.ada().delete(&one).await.is(204);
    for answer in [site.ada().get(&one).await, site.ada().delete(&one).await, site.ada().patch(&one, &json!({})).await]
    {
        answer.is(404).says("webhook not found");
    }
    let about = format!("from 127.0.0.1 on acme {id}");
    let records = site.db_audit();
    let last: Vec<&str> = records.iter().filter(|record| record.starts_with("hook.")).map(String::as_str).collect();
    assert_eq!(
        last,
        [
            format!("hook.create by acme-owner with password {about} ci.example.org"),
            format!("hook.update by ada with password {about} other.example.org:8080"),
            format!("hook.update by ada with password {about} other.example.org:8080"),
            format!("hook.update by ada with password {about} other.example.org:8080"),
            format!("hook.delete by ada with password {about} other.example.org:8080"),
        ]
    );
    let details = site.db_texts("SELECT detail::text AS text FROM audit WHERE event = 'hook.update' ORDER BY id");
    assert_eq!(details[0], r#"{"changed": ["url", "content_type", "active"]}"#);
    assert!(!site.db_texts("SELECT audit::text AS text FROM audit").join("\n").contains("let me in"));
}

#[tokio::test]
async fn an_invalid_webhook_is_422_and_the_field_named() {
    let site = Site::new();
    let with = |name: &str, value: Value| {
        let mut all = body(&config());
        match name.strip_prefix("config.") {
            Some(name) => all["config"][name] = value,
            None => all[name] = value,
        }
        all
    };
    for (name, value, words) in [
        ("type", json!("slack"), "type: \"slack\" is not one of gitea, gogs"),
        ("type", Value::Null, "type"),
        ("config", Value::Null, "config"),
        ("config.url", Value::Null, "config.url"),
        ("config.url", json!("ftp://example.org/"), "config.url"),
        ("config.url", json!("https://ada:pw@example.org/"), "config.url"),
        ("config.url", json!("http://10.0.0.1/"), "config.url: 10.0.0.1 is a private address"),
        ("config.url", json!("http://[fe80::1]/"), "config.url: fe80::1 is a link-local address"),
        ("config.url", json!("http://[64:ff9b::7f00:1]/"), "config.url: 64:ff9b::7f00:1 is a loopback address"),
        ("config.url", json!("http://localhost/"), "config.url: localhost is this server"),
        ("config.url", json!("http://a.localhost./"), "config.url"),
        ("config.url", json!("http://example.org:99999/"), "config.url: the address is invalid"),
        ("config.content_type", json!("xml"), "config.content_type: \"xml\" is not one of json, form"),
        ("config.secret", json!("a\nb"), "config.secret"),
        ("config.secret", json!("x".repeat(256)), "config.secret"),
        ("events", json!(["push"]), "events: only package exists"),
        ("authorization_header", json!("a\r\nX: y"), "authorization_header"),
        ("active", json!("yes"), "active"),
    ] {
        site.ada().post(OWN, &with(name, value)).await.is(422).says(&words.replace('"', "\\\""));
    }
    let made = site.ada().post(OWN, &body(&config())).await.is(201).json();
    assert_eq!(made["active"], false, "inactive by default, as in Gitea");
    let one = format!("{OWN}/{}", made["id"]);
    for (edit, words) in [
        (json!({"config": {"url": "http://127.0.0.1/"}}), "config.url"),
        (json!({"config": {"secret": "\u{7}"}}), "config.secret"),
        (json!({"authorization_header": "\u{7}"}), "authorization_header"),
        (json!({"events": ["push"]}), "events"),
    ] {
        site.ada().patch(&one, &edit).await.is(422).says(words);
    }
    assert_eq!(site.ada().get(&one).await.json(), made);
    site.ada().get(&format!("{OWN}/none")).await.is(404);
}

#[tokio::test]
async fn a_webhook_is_found_only_at_the_address_of_its_owner() {
    let site = Site::new();
    site.db(|conn| {
        db_org(conn, "acme", Visibility::Public)?;
        db_org(conn, "other", Visibility::Public)?;
        db_user(conn, "bob", Visibility::Public, false)
    });
    let id = site.ada().post(ORGS, &body(&config())).await.is(201).json()["id"].clone();
    for foreign in
        [format!("/api/v1/orgs/other/hooks/{id}"), format!("{OWN}/{id}"), format!("/api/v1/orgs/ada/hooks/{id}")]
    {
        site.ada().get(&foreign).await.is(404);
        site.ada().patch(&foreign, &json!({"active": true})).await.is(404);
        site.ada().delete(&foreign).await.is(404);
        site.ada().post(&format!("{foreign}/tests"), &json!({})).await.is(404);
        site.ada().get(&format!("{foreign}/deliveries")).await.is(404);
    }
    for client in [site.user("acme-admin"), site.user("acme-read"), site.user("bob")] {
        client.get(ORGS).await.is(403).says("only owners of acme");
        client.get(&format!("{ORGS}/{id}")).await.is(403);
    }
    assert_eq!(site.user("bob").get(OWN).await.is(200).json(), json!([]));
    let limited = site.db_limited_token("ada", &["write:organization", "write:user"], |new| {
        new.owners = Some(vec!["other".parse().unwrap()]);
    });
    let limited = site.anon().bearer(&limited);
    limited.get("/api/v1/orgs/other/hooks").await.is(200);
    limited.get(ORGS).await.is(403);
    limited.get(OWN).await.is(403);
}

#[tokio::test]
async fn webhook_lists_come_in_pages_and_an_owner_has_at_most_twenty() {
    let site = Site::new();
    for _ in 0..20 {
        site.ada().post(OWN, &body(&config())).await.is(201);
    }
    site.ada().post(OWN, &body(&config())).await.is(422).says("20 webhooks");
    let page = site.ada().get(&format!("{OWN}?limit=15&page=2")).await.is(200);
    assert_eq!((page.json().as_array().unwrap().len(), page.header("x-total-count")), (5, Some("20")));
}

#[tokio::test]
async fn disabled_webhooks_are_neither_created_nor_sent() {
    let site = Site::with(&[("PACKHOUSE_WEBHOOKS_ENABLED", "false")]);
    site.ada().post(OWN, &body(&config())).await.is(403).says("webhooks.enabled");
    assert_eq!(site.ada().get(OWN).await.is(200).json(), json!([]));
}

#[tokio::test]
async fn a_second_server_with_a_secret_key_of_its_own_is_refused() {
    let site = Site::new();
    let opens = async || {
        let dir = crate::support::cluster::cluster().directory();
        let store = site.dir.join("data/blobs");
        let settings = [("PACKHOUSE_STORE_DIR", store.to_str().unwrap())];
        let config = crate::support::cluster::config(dir.path(), &site.url, &settings);
        let opened = packhouse::instance::Instance::open(config, true, packhouse::domain::clock::Clock::system()).await;
        opened.map(drop).map_err(|error| format!("{error:#}"))
    };
    let refused = opens().await.unwrap_err();
    assert!(refused.contains("is not the key of this database"), "{refused}");
}
