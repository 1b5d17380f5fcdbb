//! Webhooks: events, payloads, signatures, retries, and receivers that fail.

use crate::support::people::{db_org, db_user};
use crate::support::receiver::{Receiver, Reply};
use crate::support::{Client, Plan, Site, eventually, noise, path};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use hmac::{Hmac, KeyInit, Mac};
use packhouse::domain::digest::to_hex;
use packhouse::domain::role::Visibility;
use packhouse::registry::webhooks::delivery_queue;
use serde_json::{Value, json};
use sha2::Sha256;
use std::io;
use std::time::{Duration, Instant};

const SECRET: &str = "a secret between the two";
/// Allows webhooks to this machine.
const LOCAL: (&str, &str) = ("PACKHOUSE_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8");

fn site() -> Site {
    Site::with(&[LOCAL])
}

fn file(version: &str, name: &str) -> String {
    path(&["ada", "tool", version, name])
}

/// Creates a webhook and returns its address in the API.
async fn hook(client: &Client, hooks: &str, config: Value) -> String {
    let made = client.post(hooks, &json!({"type": "gitea", "active": true, "config": config})).await.is(201).json();
    format!("{hooks}/{}", made["id"])
}

/// Creates a webhook of Ada's for a receiver.
async fn adas(site: &Site, receiver: &Receiver) -> String {
    let config = json!({"url": receiver.url(), "content_type": "json", "secret": SECRET});
    hook(&site.ada(), "/api/v1/user/hooks", config).await
}

/// Sends all deliveries that are due.
async fn deliver(site: &Site) {
    site.app.webhook_sender().run().await;
}

fn hmac(secret: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The deliveries of a webhook, newest first: status, attempts and last answer.
async fn log(client: &Client, hook: &str) -> Vec<String> {
    let list = client.get(&format!("{hook}/deliveries")).await.is(200).json();
    let line = |entry: &Value| {
        format!(
            "{} {} {} {}",
            entry["action"].as_str().unwrap(),
            entry["status"].as_str().unwrap(),
            entry["attempts"],
            entry["response_status"]
        )
    };
    list.as_array().unwrap().iter().map(line).collect()
}

/// The newest delivery of a webhook, with all fields.
async fn newest(client: &Client, hook: &str) -> Value {
    let list = client.get(&format!("{hook}/deliveries?limit=1")).await.is(200).json();
    client.get(&format!("{hook}/deliveries/{}", list[0]["id"])).await.is(200).json()
}

#[tokio::test]
async fn a_new_version_is_sent_as_a_signed_gitea_payload() {
    let (site, receiver) =
        (Site::with(&[LOCAL, ("PACKHOUSE_PUBLIC_URL", "https://packages.example.org")]), Receiver::new());
    adas(&site, &receiver).await;
    site.ci().publish(&path(&["ada", "Tool+x", "1.0 beta", "f"]), "x").await;
    deliver(&site).await;
    let heard = receiver.heard();
    assert_eq!((heard.len(), &*heard[0].line), (1, "POST /hook?key=value"));
    insta::assert_snapshot!(heard[0].body, @r#"
    {
      "action": "created",
      "repository": null,
      "package": {
        "id": 1,
        "owner": {
          "id": 2,
          "login": "ada",
          "username": "ada",
          "full_name": "",
          "email": "",
          "avatar_url": "",
          "html_url": "https://packages.example.org/ada",
          "is_admin": false,
          "active": false,
          "prohibit_login": false,
          "visibility": "public",
          "created": "2026-01-02T03:04:05Z",
          "last_login": null
        },
        "repository": null,
        "creator": {
          "id": 2,
          "login": "ada",
          "username": "ada",
          "full_name": "",
          "email": "",
          "avatar_url": "",
          "html_url": "https://packages.example.org/ada",
          "is_admin": false,
          "active": false,
          "prohibit_login": false,
          "visibility": "public",
          "created": "2026-01-02T03:04:05Z",
          "last_login": null
        },
        "type": "generic",
        "name": "Tool+x",
        "version": "1.0 beta",
        "html_url": "https://packages.example.org/ada/-/packages/generic/Tool%2Bx/1.0%20beta",
        "created_at": "2026-01-02T03:04:05Z"
      },
      "organization": null,
      "sender": {
        "id": 2,
        "login": "ada",
        "username": "ada",
        "full_name": "",
        "email": "",
        "avatar_url": "",
        "html_url": "https://packages.example.org/ada",
        "is_admin": false,
        "active": false,
        "prohibit_login": false,
        "visibility": "public",
        "created": "2026-01-02T03:04:05Z",
        "last_login": null
      }
    }
    "#);
    let heard = &heard[0];
    let id = heard.header("x-gitea-delivery");
    assert_eq!(id.parse::<uuid::Uuid>().unwrap().get_version_num(), 4);
    for family in ["gitea", "gogs", "github"] {
        assert_eq!(heard.header(&format!("x-{family}-delivery")), id);
        assert_eq!(heard.header(&format!("x-{family}-event")), "package");
        assert_eq!(heard.header(&format!("x-{family}-event-type")), "package");
    }
    assert_eq!(heard.header("x-gitea-hook-installation-target-type"), "user");
    assert_eq!(heard.header("content-type"), "application/json");
    assert!(heard.header("user-agent").starts_with("Packhouse/"));
    let signature = to_hex(&hmac(SECRET.as_bytes(), &heard.body));
    assert_eq!(heard.header("x-gitea-signature"), signature);
    assert_eq!(heard.header("x-gogs-signature"), signature);
    assert_eq!(heard.header("x-hub-signature-256"), format!("sha256={signature}"));
    assert_eq!(heard.header("x-hub-signature").len(), "sha1=".len() + 40);
    assert_eq!((heard.header("webhook-id"), heard.header("webhook-timestamp")), (id, &*site.now().unix().to_string()));
    let signed = format!("{id}.{}.{}", site.now().unix(), heard.body);
    let standard = format!("v1,{}", STANDARD.encode(hmac(SECRET.as_bytes(), &signed)));
    assert_eq!(heard.header("webhook-signature"), standard);
    assert!(!heard.headers.contains_key("authorization") && !heard.headers.contains_key("accept-encoding"));
}

#[tokio::test]
async fn a_form_contains_the_payload_and_signs_the_payload() {
    let (site, receiver) = (site(), Receiver::new());
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let config = json!({"url": receiver.url(), "content_type": "form", "secret": secret});
    hook(&site.ada(), "/api/v1/user/hooks", config).await;
    site.ci().publish(&file("1 +&=%é", "f"), "x").await;
    deliver(&site).await;
    let heard = &receiver.heard()[0];
    assert_eq!(heard.header("content-type"), "application/x-www-form-urlencoded");
    let fields: Vec<(String, String)> = serde_html_form::from_str(&heard.body).unwrap();
    assert_eq!((fields.len(), &*fields[0].0), (1, "payload"));
    let payload: Value = serde_json::from_str(&fields[0].1).unwrap();
    assert_eq!(payload["package"]["version"], "1 +&=%é");
    assert_eq!(heard.header("x-gitea-signature"), to_hex(&hmac(secret.as_bytes(), &fields[0].1)));
    // Standard Webhooks sign the body as it is sent, with the key that the secret encodes.
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let signed = format!("{}.{}.{}", heard.header("webhook-id"), heard.header("webhook-timestamp"), heard.body);
    assert_eq!(heard.header("webhook-signature"), format!("v1,{}", STANDARD.encode(hmac(&key, &signed))));
}

#[tokio::test]
async fn without_a_secret_signatures_are_empty_and_authorization_is_hidden() {
    let (site, receiver) = (site(), Receiver::new());
    let config = json!({"url": receiver.url(), "content_type": "json"});
    let body = json!({"type": "gogs", "active": true, "config": config, "authorization_header": "Bearer open-sesame"});
    let made = site.ada().post("/api/v1/user/hooks", &body).await.is(201);
    assert!(!made.text().contains("sesame"));
    site.ci().publish(&file("1", "f"), "x").await;
    deliver(&site).await;
    let heard = &receiver.heard()[0];
    assert_eq!((heard.header("x-gitea-signature"), heard.header("x-hub-signature-256")), ("", "sha256="));
    assert!(!heard.headers.contains_key("webhook-signature"));
    assert_eq!(heard.header("authorization"), "Bearer open-sesame");
    let address = format!("/api/v1/user/hooks/{}", made.json()["id"]);
    let delivery = newest(&site.ada(), &address).await;
    assert_eq!(delivery["log"][0]["request_headers"]["authorization"], "******");
    assert!(!delivery.to_string().contains("sesame"));
    let rows =
        site.db_texts("SELECT h::text || d::text || a::text AS text FROM hooks h, hook_deliveries d, hook_attempts a");
    assert!(rows.len() == 1 && !rows[0].contains("sesame") && !rows[0].contains(&STANDARD.encode("sesame")));
    assert!(!site.db_texts("SELECT audit::text AS text FROM audit").join("\n").contains("sesame"));
}

#[tokio::test]
async fn webhooks_are_sent_for_versions_created_or_deleted_not_for_files() {
    let (site, receiver) = (site(), Receiver::new());
    adas(&site, &receiver).await;
    site.ci().publish(&file("1", "a"), "x").await;
    site.ci().publish(&file("1", "b"), "x").await;
    site.ci().put(&file("1", "b"), "x").await.is(409);
    site.ci().publish(&file("2", "a"), "x").await;
    site.ci().publish(&file("3", "a"), "x").await;
    site.ci().publish(&file("4", "a"), "x").await;
    site.ci().delete(&file("1", "a")).await.is(204);
    site.ci().delete(&file("1", "b")).await.is(204);
    site.ci().delete(&path(&["ada", "tool", "2"])).await.is(204);
    site.ci().delete(&path(&["ada", "tool", "2"])).await.is(404);
    site.ci().delete("/api/v1/packages/ada/generic/tool").await.is(204);
    deliver(&site).await;
    assert_eq!(
        receiver.news(),
        [
            "created tool 1",
            "created tool 2",
            "created tool 3",
            "created tool 4",
            "deleted tool 1",
            "deleted tool 2",
            "deleted tool 3",
            "deleted tool 4",
        ]
    );
    let gone = receiver.heard()[4].json();
    assert_eq!((&gone["package"]["creator"]["login"], &gone["sender"]["login"]), (&json!("ada"), &json!("ada")));
}

#[tokio::test]
async fn an_org_webhook_covers_its_packages_only_with_owner_and_sender() {
    let (site, receiver, other) = (site(), Receiver::new(), Receiver::new());
    site.db(|conn| {
        db_org(conn, "acme", Visibility::Private)?;
        db_user(conn, "shy", Visibility::Private, false)
    });
    let config = json!({"url": receiver.url(), "content_type": "json"});
    hook(&site.ada(), "/api/v1/orgs/acme/hooks", config.clone()).await;
    adas(&site, &other).await;
    let shy = site.anon().bearer(&site.db_token("shy", &["write:package"]));
    shy.publish(&path(&["shy", "secret", "1", "f"]), "x").await;
    site.user("acme-write").publish(&path(&["acme", "tool", "1", "f"]), "x").await;
    site.admin().delete(&path(&["acme", "tool", "1"])).await.is(204);
    deliver(&site).await;
    assert_eq!(receiver.news(), ["created tool 1", "deleted tool 1"]);
    assert_eq!(other.news(), [""; 0], "deliveries of the organization or of another user");
    let heard = receiver.heard();
    assert_eq!(heard[0].header("x-github-hook-installation-target-type"), "organization");
    let (made, gone) = (heard[0].json(), heard[1].json());
    assert_eq!((&made["sender"]["login"], &gone["sender"]["login"]), (&json!("acme-write"), &json!("admin")));
    assert_eq!(gone["package"]["creator"]["login"], "acme-write");
    assert_eq!(
        (&made["organization"]["username"], &made["organization"]["visibility"]),
        (&json!("acme"), &json!("private"))
    );
    assert_eq!(made["package"]["owner"]["login"], "acme");
}

#[tokio::test]
async fn failed_changes_send_no_webhook() {
    let (site, receiver) = (Site::with(&[LOCAL, ("PACKHOUSE_QUOTA_BYTES", "1000")]), Receiver::new());
    adas(&site, &receiver).await;
    // Of unknown length, so that the quota is checked at the end of the transaction that would have sent the webhook.
    let many = (0..2).map(|at| {
        let chunked = reqwest::Body::wrap_stream(stream::iter([Ok::<_, io::Error>(noise(700))]));
        let client = site.ci();
        async move { client.put(&file(&format!("{at}"), "a"), chunked).await.status }
    });
    let statuses = futures_util::future::join_all(many).await;
    assert!(statuses.contains(&201) && statuses.contains(&403), "{statuses:?}");
    site.ci().put(&file("9", "a"), "x").header("x-checksum-sha1", "0".repeat(40)).await.is(422);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM hook_deliveries"), 1);
    deliver(&site).await;
    assert_eq!(receiver.heard().len(), 1);
}

#[tokio::test]
async fn a_failing_receiver_is_retried_with_growing_delays_for_a_day() {
    let (site, receiver) = (site(), Receiver::replying(Reply::status(503)));
    let hook = adas(&site, &receiver).await;
    site.ci().publish(&file("1", "f"), "x").await;
    deliver(&site).await;
    deliver(&site).await;
    assert_eq!(receiver.heard().len(), 1, "no retry before its time");
    site.pass(Duration::from_secs(29));
    deliver(&site).await;
    assert_eq!(receiver.heard().len(), 1);
    site.pass(Duration::from_secs(1));
    deliver(&site).await;
    assert_eq!(receiver.heard().len(), 2);
    assert_eq!(log(&site.ada(), &hook).await, ["created pending 2 503"]);
    let waiting = "SELECT count(*) AS n FROM hook_deliveries WHERE state = 0";
    while site.db_number(waiting) > 0 {
        let due = site.db_number("SELECT extract(epoch FROM next_attempt_at)::int8 AS n FROM hook_deliveries");
        site.pass(Duration::from_secs(u64::try_from(due - site.now().unix()).unwrap()));
        deliver(&site).await;
    }
    let day = site.now().since(crate::support::morning()).as_secs_f64() / 86_400.0;
    assert!((1.0..1.1).contains(&day), "{day}");
    site.pass(Duration::from_secs(7 * 86_400));
    deliver(&site).await;
    let heard = receiver.heard();
    assert_eq!(heard.len(), 15);
    assert!(
        heard.iter().all(|one| one.header("webhook-id") == heard[0].header("webhook-id") && one.body == heard[0].body)
    );
    assert_ne!(heard[0].header("webhook-timestamp"), heard[1].header("webhook-timestamp"));
    assert_eq!(log(&site.ada(), &hook).await, ["created failed 15 503"]);
    let details = newest(&site.ada(), &hook).await;
    assert_eq!(details["next_attempt_at"], Value::Null);
    let attempts = details["log"].as_array().unwrap();
    assert_eq!((attempts.len(), &attempts[14]["number"]), (15, &json!(15)));
    assert_eq!(attempts[0]["error"], "the receiver answered 503");
    assert_eq!(
        (&attempts[0]["response_body"], &attempts[0]["response_headers"]["content-length"]),
        (&json!("ok"), &json!("2"))
    );
    assert_eq!(details["payload"]["package"]["name"], "tool");
}

#[tokio::test]
async fn redelivery_on_request_keeps_the_id() {
    let (site, receiver) = (site(), Receiver::new());
    let hook = adas(&site, &receiver).await;
    site.ci().publish(&file("1", "f"), "x").await;
    deliver(&site).await;
    let id = newest(&site.ada(), &hook).await["id"].clone();
    let again = format!("{hook}/deliveries/{id}/attempts");
    site.ada().post(&again, &json!({})).await.is(204);
    deliver(&site).await;
    assert_eq!(log(&site.ada(), &hook).await, ["created delivered 2 200"]);
    let heard = receiver.heard();
    assert_eq!(heard[0].header("x-gitea-delivery"), heard[1].header("x-gitea-delivery"));
    // Also after the retries ended, and with another day of retries.
    site.db_execute("UPDATE hook_deliveries SET state = 2");
    receiver.reply(Reply::status(500));
    site.ada().post(&again, &json!({})).await.is(204);
    deliver(&site).await;
    assert_eq!(log(&site.ada(), &hook).await, ["created pending 3 500"]);
    receiver.reply(Reply::status(204));
    site.pass(Duration::from_secs(30));
    deliver(&site).await;
    assert_eq!(log(&site.ada(), &hook).await, ["created delivered 4 204"]);
    site.ada().post(&format!("{hook}/deliveries/999/attempts"), &json!({})).await.is(404);
    let records = site.db_texts("SELECT event || ' ' || subject || ' ' || detail::text AS text FROM audit WHERE event LIKE 'hook.%' ORDER BY id");
    let number = hook.rsplit('/').next().unwrap();
    assert_eq!(records[0], format!("hook.create {number} {} {{\"active\": true}}", receiver.address));
    assert_eq!(
        records[1..],
        [(); 2].map(|()| format!("hook.redeliver {number} {} {{\"delivery\": {id}}}", receiver.address))
    );
}

#[tokio::test]
async fn a_test_delivery_has_a_made_up_package_and_is_sent_once() {
    let (site, receiver) = (site(), Receiver::new());
    let hook = adas(&site, &receiver).await;
    site.ada().post(&format!("{hook}/tests"), &json!({})).await.is(204);
    deliver(&site).await;
    assert_eq!(receiver.news(), ["created webhook-test 0.0.0"]);
    assert_eq!(receiver.heard()[0].json()["package"]["id"], 0);
    assert_eq!(newest(&site.ada(), &hook).await["is_test"], true);
    receiver.reply(Reply::status(500));
    site.ada().post(&format!("{hook}/tests"), &json!({})).await.is(204);
    deliver(&site).await;
    assert_eq!(log(&site.ada(), &hook).await[0], "created failed 1 500");
    site.ada().patch(&hook, &json!({"active": false})).await.is(200);
    site.ada().post(&format!("{hook}/tests"), &json!({})).await.is(422).says("the webhook is inactive");
}

#[tokio::test]
async fn a_disabled_webhook_sends_nothing_and_continues_when_enabled() {
    let (site, receiver) = (site(), Receiver::new());
    let hook = adas(&site, &receiver).await;
    site.ci().publish(&file("1", "f"), "x").await;
    site.ada().patch(&hook, &json!({"active": false})).await.is(200);
    site.ci().publish(&file("2", "f"), "x").await;
    deliver(&site).await;
    assert_eq!(receiver.heard().len(), 0);
    site.ada().patch(&hook, &json!({"active": true})).await.is(200);
    deliver(&site).await;
    assert_eq!(receiver.news(), ["created tool 1"]);
}

#[tokio::test]
async fn a_server_that_dies_while_sending_leaves_the_delivery_to_the_next() {
    let (site, receiver) = (site(), Receiver::new());
    let hook = adas(&site, &receiver).await;
    site.ci().publish(&file("1", "f"), "x").await;
    // It leases a delivery from the outbox, and then nothing more happens.
    let (key, now) = (site.app.key.clone(), site.now());
    let leased = site.app.db.write(move |conn| delivery_queue::take(conn, (&key, 0), now)).await.unwrap();
    assert_eq!(leased.unwrap().number, 1);
    deliver(&site).await;
    assert_eq!(receiver.heard().len(), 0, "it is leased by the other server");
    site.pass(delivery_queue::LEASE);
    deliver(&site).await;
    assert_eq!(receiver.news(), ["created tool 1"]);
    assert_eq!(log(&site.ada(), &hook).await, ["created delivered 2 200"]);
}

#[tokio::test]
async fn two_servers_send_every_delivery_once_and_in_order() {
    let (first, receiver) = (site(), Receiver::new());
    let second = first.beside(Plan { settings: &[LOCAL], ..Plan::default() });
    let hook = adas(&first, &receiver).await;
    for at in 0..20 {
        first.ci().publish(&file(&format!("{at}"), "f"), "x").await;
    }
    tokio::join!(deliver(&first), deliver(&second), deliver(&first));
    // A server that finds the webhook leased skips it, and the other one sends the rest.
    deliver(&first).await;
    assert_eq!(receiver.news(), (0..20).map(|at| format!("created tool {at}")).collect::<Vec<_>>());
    assert!(log(&first.ada(), &hook).await.iter().all(|line| line == "created delivered 1 200"));
}

#[tokio::test]
async fn a_silent_receiver_delays_neither_other_webhooks_nor_shutdown() {
    let settings =
        [LOCAL, ("PACKHOUSE_JOBS_WEBHOOKS_EVERY_SECONDS", "1"), ("PACKHOUSE_WEBHOOKS_TIMEOUT_SECONDS", "60")];
    let site = Site::with(&settings);
    let (silent, quick) = (Receiver::replying(Reply::Silence), Receiver::new());
    adas(&site, &silent).await;
    adas(&site, &quick).await;
    for version in ["1", "2", "3"] {
        site.ci().publish(&file(version, "f"), "x").await;
    }
    eventually("the fast receiver got everything", async || quick.heard().len() == 3).await;
    eventually("the silent receiver got a request", async || silent.heard().len() == 1).await;
    let begun = Instant::now();
    drop(site);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_slow_or_unreachable_receiver_is_a_failed_attempt_with_reason() {
    let (site, receiver) =
        (Site::with(&[LOCAL, ("PACKHOUSE_WEBHOOKS_TIMEOUT_SECONDS", "1")]), Receiver::replying(Reply::Silence));
    let hook = adas(&site, &receiver).await;
    site.ada().post(&format!("{hook}/tests"), &json!({})).await.is(204);
    deliver(&site).await;
    let log = newest(&site.ada(), &hook).await["log"][0].clone();
    assert_eq!((&log["response_status"], &log["error"]), (&Value::Null, &json!("no whole answer within 1 seconds")));
    assert!(log["duration_ms"].as_i64().unwrap() >= 900);
    drop(receiver);
    site.ada().post(&format!("{hook}/tests"), &json!({})).await.is(204);
    deliver(&site).await;
    let error = newest(&site.ada(), &hook).await["log"][0]["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("cannot connect: ") && !error.contains("key=value"), "{error}");
}

#[tokio::test]
async fn a_receivers_control_characters_are_shown_as_symbols() {
    let body = "\u{1b}[2Jgone\n\u{7f}\u{8}\u{9b}0m\tü \u{0}end";
    let head = format!("HTTP/1.1 500 Oops\r\nX-Note: \u{9b}31mred\r\nContent-Length: {}\r\n\r\n", body.len());
    let (site, receiver) = (site(), Receiver::replying(Reply::Bytes(head + body)));
    let hook = adas(&site, &receiver).await;
    site.ada().post(&format!("{hook}/tests"), &json!({})).await.is(204);
    deliver(&site).await;
    let log = newest(&site.ada(), &hook).await["log"][0].clone();
    assert_eq!(log["response_body"], "\u{241b}[2Jgone\n\u{2421}\u{2408}\u{fffd}0m\tü \u{fffd}end");
    assert_eq!(log["response_headers"]["x-note"], "\u{fffd}31mred");
    let mut browser = site.browser_of("ada").await;
    let page = browser.go(&hook.replace("/api/v1/user", "/user/settings")).await.is(200);
    let delivery = page.attrs("a", "href").into_iter().find(|link| link.contains("/deliveries/")).unwrap();
    let page = browser.go(&delivery).await.is(200).text();
    assert!(page.contains("\u{241b}[2Jgone"), "{page}");
    // Nor does a page show them where it repeats what its reader sent.
    let search = browser.go("/explore/packages?q=%1B%5B31m%C2%9B%7F%00x").await.text();
    for page in [page, search] {
        let raw = page.chars().find(|c| c.is_control() && !"\n\r\t".contains(*c));
        assert_eq!(raw, None, "{page}");
    }
}

#[tokio::test]
async fn a_deleted_publisher_is_gitea_s_ghost_in_webhooks_too() {
    let (site, receiver) = (site(), Receiver::new());
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    let config = json!({"url": receiver.url(), "content_type": "json"});
    hook(&site.ada(), "/api/v1/orgs/acme/hooks", config).await;
    let tool = path(&["acme", "tool", "1"]);
    site.user("acme-write").publish(&format!("{tool}/f"), "x").await;
    site.admin().delete("/api/v1/admin/users/acme-write?purge=true").await.is(204);
    site.ada().delete(&tool).await.is(204);
    deliver(&site).await;
    let gone = receiver.heard().last().unwrap().json();
    assert_eq!(gone["action"], "deleted");
    insta::assert_snapshot!(gone["package"]["creator"], @r#"{"active":false,"avatar_url":"","created":"1970-01-01T00:00:00Z","email":"","full_name":"","html_url":"/Ghost","id":-1,"is_admin":false,"last_login":null,"login":"Ghost","prohibit_login":false,"username":"Ghost","visibility":"public"}"#);
}

#[tokio::test]
async fn webhooks_do_not_follow_redirects() {
    let (site, other) = (site(), Receiver::new());
    let found = format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", other.url());
    let receiver = Receiver::replying(Reply::Bytes(found));
    let hook = adas(&site, &receiver).await;
    site.ci().publish(&file("1", "f"), "x").await;
    deliver(&site).await;
    assert_eq!(log(&site.ada(), &hook).await, ["created pending 1 302"]);
    assert_eq!((receiver.heard().len(), other.heard().len()), (1, 0));
}

#[tokio::test]
async fn only_the_beginning_of_an_endless_answer_is_stored() {
    let (site, receiver) = (Site::with(&[LOCAL, ("PACKHOUSE_WEBHOOKS_TIMEOUT_SECONDS", "5")]), Receiver::new());
    let hook = adas(&site, &receiver).await;
    let test = async || {
        site.ada().post(&format!("{hook}/tests"), &json!({})).await.is(204);
        deliver(&site).await;
        newest(&site.ada(), &hook).await
    };
    receiver.reply(Reply::Endless("HTTP/1.1 200 OK\r\n\r\n".to_owned()));
    let body = test().await;
    assert_eq!(
        (&body["status"], body["log"][0]["response_body"].as_str().unwrap().len()),
        (&json!("delivered"), 16 << 10)
    );
    assert_eq!(body["log"][0]["error"], "only the first 16384 bytes were read");
    receiver.reply(Reply::Endless("HTTP/1.1 200 OK\r\nX-Long: ".to_owned()));
    let head = test().await;
    assert_eq!((&head["status"], &head["response_status"]), (&json!("failed"), &Value::Null));
    let fields: String = (0..90).map(|at| format!("x-{at}: {}\r\n", "y".repeat(1000))).collect();
    receiver.reply(Reply::Bytes(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 3\r\n\r\n\0\u{e9}")));
    let many = test().await;
    assert!(many["log"][0]["response_headers"].as_object().unwrap().len() < 10);
    assert_eq!(many["log"][0]["response_body"], "\u{fffd}\u{e9}");
    receiver.reply(Reply::Bytes("this is no HTTP\r\n\r\n".to_owned()));
    assert_eq!(test().await["status"], "failed");
}

#[tokio::test]
async fn deleting_an_owner_deletes_webhooks_and_their_deliveries() {
    let (site, receiver) = (site(), Receiver::new());
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    let config = json!({"url": receiver.url(), "content_type": "json"});
    let orgs = hook(&site.ada(), "/api/v1/orgs/acme/hooks", config).await;
    let own = adas(&site, &receiver).await;
    site.ci().publish(&file("1", "f"), "x").await;
    site.ada().post(&format!("{orgs}/tests"), &json!({})).await.is(204);
    site.ada().delete("/api/v1/orgs/acme").await.is(204);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM hooks"), 1);
    site.ada().delete(&own).await.is(204);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM hook_deliveries"), 0);
    adas(&site, &receiver).await;
    site.ci().publish(&file("2", "f"), "x").await;
    site.admin().delete("/api/v1/admin/users/ada?purge=true").await.is(204);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM hooks"), 0);
    deliver(&site).await;
    assert_eq!(receiver.heard().len(), 0);
}

#[tokio::test]
async fn finished_deliveries_are_deleted_after_a_time_and_pending_ones_kept() {
    let (site, receiver) = (site(), Receiver::new());
    let hook = adas(&site, &receiver).await;
    site.ci().publish(&file("1", "f"), "x").await;
    deliver(&site).await;
    let forget = async || {
        packhouse::jobs::webhooks::forget(&site.app.db, &site.app.clock, site.app.config.webhooks_kept()).await.unwrap()
    };
    site.pass(Duration::from_secs(27 * 86_400));
    site.ci().publish(&file("2", "f"), "x").await;
    forget().await;
    assert_eq!(log(&site.ada(), &hook).await.len(), 2);
    site.pass(Duration::from_secs(2 * 86_400));
    forget().await;
    assert_eq!(log(&site.ada(), &hook).await, ["created pending 0 null"]);
    // It was never attempted within its day of retries. It is sent nevertheless.
    deliver(&site).await;
    assert_eq!(receiver.news(), ["created tool 1", "created tool 2"]);
}

#[tokio::test]
async fn an_unreadable_secret_affects_only_its_own_webhook() {
    let (site, receiver, other) = (site(), Receiver::new(), Receiver::new());
    let broken = adas(&site, &receiver).await;
    adas(&site, &other).await;
    let id = broken.rsplit('/').next().unwrap();
    site.db_execute(&format!("UPDATE hooks SET sealed_secret = sealed_secret || '\\x00' WHERE id = {id}"));
    site.ci().publish(&file("1", "f"), "x").await;
    deliver(&site).await;
    assert_eq!((receiver.heard().len(), other.heard().len()), (0, 1));
    let error = newest(&site.ada(), &broken).await["log"][0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("ask its administrator"), "{error}");
}

#[tokio::test]
async fn webhooks_to_this_machine_are_refused_unless_allowed() {
    let (site, receiver) = (Site::new(), Receiver::new());
    let port = receiver.address.port();
    for host in
        ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "0", "[::ffff:127.0.0.1]", "169.254.169.254"]
    {
        let config = json!({"url": format!("http://{host}:{port}/"), "content_type": "json"});
        let body = json!({"type": "gitea", "config": config});
        site.ada().post("/api/v1/user/hooks", &body).await.is(422).says("config.url");
    }
    // Allowed when it was created, but no longer.
    let config = json!({"url": "https://ci.example.org/", "content_type": "json"});
    let hook = hook(&site.ada(), "/api/v1/user/hooks", config).await;
    site.db_execute(&format!("UPDATE hooks SET url = '{}'", receiver.url()));
    site.ada().post(&format!("{hook}/tests"), &json!({})).await.is(204);
    deliver(&site).await;
    let error = newest(&site.ada(), &hook).await["log"][0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("127.0.0.1 is a loopback address"), "{error}");
    assert_eq!(receiver.heard().len(), 0);
}

#[tokio::test]
async fn drafts_are_announced_when_they_are_published_and_news_as_updated() {
    let (site, receiver) = (site(), Receiver::new());
    adas(&site, &receiver).await;
    let version = "/api/v1/packages/ada/generic/tool/1.0";
    site.ci().publish(&format!("{}?draft=true", file("1.0", "a")), "a").await;
    site.ci().publish(&format!("{}?draft=true", file("2.0", "a")), "a").await;
    site.ci().patch(version, &json!({"deprecated": true, "notes": "not yet"})).await.is(200);
    site.ci().delete(&path(&["ada", "tool", "2.0"])).await.is(204);
    site.ci().request("POST", &format!("{version}/publish")).await.is(200);
    site.ci().patch(version, &json!({"yanked": true, "deprecated": false})).await.is(200);
    site.ci().patch(version, &json!({"yanked": false, "hold": true, "notes": "news"})).await.is(200);
    site.ci().patch(version, &json!({"labels": {"kind": "ci"}, "notes": "no news"})).await.is(200);
    site.ci().request("POST", &format!("{version}/seal")).await.is(200);
    deliver(&site).await;
    let told = |body: &str| {
        let payload: Value = serde_json::from_str(body).unwrap();
        format!("{} {} {}", payload["action"], payload["package"]["version"], payload["changes"]).replace('"', "")
    };
    let heard: Vec<String> = receiver.heard().iter().map(|heard| told(&heard.body)).collect();
    assert_eq!(
        heard,
        [
            "created 1.0 null",
            "updated 1.0 [yanked,undeprecated]",
            "updated 1.0 [unyanked,held]",
            "updated 1.0 [sealed]"
        ]
    );
}
