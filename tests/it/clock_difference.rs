//! Two servers of one database and one bucket whose clocks differ by five seconds: leases, sessions, tokens, turns of
//! jobs and signs of life hold on both.

use crate::coherence::{file, warm};
use crate::support::receiver::Receiver;
use crate::support::{PASSWORD, Plan, Site, TestStore, eventually};
use packhouse::jobs::retention::{self, RetentionPlan};
use packhouse::jobs::scrub::{self, ScrubPlan};
use packhouse::registry::mail::queue;
use packhouse::registry::packages::upload_leases;
use serde_json::json;
use std::time::Duration;

const APART: Duration = Duration::from_secs(5);
const HOOKS: (&str, &str) = ("PACKHOUSE_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8");

/// A server, and one whose clock is ahead of it.
fn apart() -> [Site; 2] {
    let settings = &[HOOKS, ("PACKHOUSE_PUBLIC_URL", "http://packages.test")];
    let behind = Site::start(Plan { settings, store: TestStore::NewBucket, ..Plan::default() });
    let ahead = behind.beside(Plan { settings, ..Plan::default() });
    ahead.pass(APART);
    [behind, ahead]
}

#[tokio::test]
async fn changes_reach_a_server_with_another_clock_before_they_are_answered() {
    let [behind, ahead] = apart();
    for (from, to) in [(&behind, &ahead), (&ahead, &behind)] {
        let name = file("1.0", &from.address.port().to_string());
        from.ci().publish(&name, "content").await;
        warm(to, &to.anon(), &name).await;
        from.ci().delete(&name).await.is(204);
        to.anon().get(&name).await.is(404);
    }
    let mut browser = behind.browser_of("admin").await;
    eventually("both servers are well", async || {
        browser.go("/-/admin/system").await.is(200);
        let rows = browser.all("#servers-table tbody tr");
        rows.len() == 2 && !rows.iter().any(|row| row.contains("Not responding"))
    })
    .await;
}

#[tokio::test]
async fn sessions_go_on_and_end_at_a_server_with_another_clock() {
    let [behind, ahead] = apart();
    for (from, to) in [(&behind, &ahead), (&ahead, &behind)] {
        let mut browser = from.browser_of("ada").await;
        for site in [to, from] {
            browser.lead_to(site).go("/user/settings").await.is(200);
        }
        to.db_execute("UPDATE users SET auth_epoch = auth_epoch + 1");
        for site in [from, to] {
            browser.lead_to(site).go("/user/settings").await.is(303);
        }
    }
}

#[tokio::test]
async fn tokens_are_good_at_once_at_a_server_with_another_clock() {
    let [behind, ahead] = apart();
    let name = file("1.0", "tool.bin");
    behind.ci().publish(&name, "content").await;
    for (number, (from, to)) in [(&behind, &ahead), (&ahead, &behind)].into_iter().enumerate() {
        let ends = from.now().plus(Duration::from_secs(3600));
        let body = json!({"name": format!("t{number}"), "scopes": ["read:package"], "expires_at": ends});
        let made = from.ada().post("/api/v1/users/ada/tokens", &body).await.is(201).json();
        let client = to.anon().bearer(made["sha1"].as_str().unwrap());
        warm(to, &client, &name).await;
        // By the clock of the server that is asked, and never later than that.
        to.db_execute(&format!("UPDATE tokens SET expires_at = '{}' WHERE name = 't{number}'", to.now()));
        client.get(&name).await.is(401);
    }
}

#[tokio::test]
async fn attempts_to_guess_a_password_are_counted_together() {
    let [behind, ahead] = apart();
    for at in 0..10 {
        let site = if at % 2 == 0 { &behind } else { &ahead };
        site.anon().basic("ada", &format!("guess {at}")).get("/api/v1/user").await.is(401);
    }
    for site in [&behind, &ahead] {
        site.anon().basic("ada", PASSWORD).get("/api/v1/user").await.is(429);
    }
}

#[tokio::test]
async fn an_upload_keeps_its_lease_from_a_server_whose_clock_is_ahead() {
    let [behind, ahead] = apart();
    let now = behind.now();
    behind.app.db.write(move |conn| upload_leases::begin(conn, "key", now)).await.unwrap();
    let almost = upload_leases::LEASE - APART - Duration::from_secs(1);
    ahead.pass(almost);
    ahead.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(behind.db_number("SELECT count(*) AS n FROM upload_leases"), 1);
    // It is renewed five times in its life, so five seconds are nothing to it.
    let now = behind.now().plus(upload_leases::LEASE / 5);
    assert!(behind.app.db.write(move |conn| upload_leases::renew(conn, "key", now)).await.unwrap());
    ahead.pass(Duration::from_secs(30));
    ahead.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(behind.db_number("SELECT count(*) AS n FROM upload_leases"), 1);
}

#[tokio::test]
async fn a_job_is_not_due_again_at_a_server_whose_clock_is_behind() {
    let [behind, ahead] = apart();
    let retains = async |site: &Site| {
        let plan = RetentionPlan { every: Duration::from_secs(3600), ..site.app.retention_plan() };
        let is_due = retention::lease_due(&site.app.db, &site.app.clock, plan).await.unwrap();
        if is_due {
            retention::run(&site.app.db, &site.app.clock, plan, None, |_| {}).await.unwrap();
        }
        is_due
    };
    let scrubs = async |site: &Site| {
        let (app, plan) = (&site.app, ScrubPlan { every: Duration::from_secs(86_400), ..site.app.scrub_plan() });
        let progress = scrub::lease_due(&app.db, &app.store, &app.clock, plan).await.unwrap();
        let is_due = progress.is_some();
        if let Some(progress) = progress {
            scrub::pass(&app.db, &app.store, &app.clock, plan, progress).await.unwrap();
        }
        is_due
    };
    assert_eq!((retains(&ahead).await, scrubs(&ahead).await), (true, true));
    assert_eq!((retains(&behind).await, scrubs(&behind).await), (false, false));
    assert_eq!((retains(&ahead).await, scrubs(&ahead).await), (false, false));
}

#[tokio::test]
async fn deliveries_stay_in_order_although_the_clocks_of_their_servers_differ() {
    let ([behind, ahead], receiver) = (apart(), Receiver::new());
    let hook = json!({"type": "gitea", "active": true, "config": {"url": receiver.url(), "content_type": "json"}});
    behind.ada().post("/api/v1/user/hooks", &hook).await.is(201);
    for version in 0..6 {
        let site = if version % 2 == 0 { &ahead } else { &behind };
        site.ci().publish(&file(&version.to_string(), "f"), "x").await;
    }
    behind.app.webhook_sender().run().await;
    let expected: Vec<String> = (0..6).map(|version| format!("created tool {version}")).collect();
    assert_eq!(receiver.news(), expected);
}

#[tokio::test]
async fn a_mail_or_webhook_of_a_server_that_ended_is_taken_over_at_once() {
    use packhouse::registry::webhooks::delivery_queue;
    let ([behind, ahead], receiver) = (apart(), Receiver::new());
    let hook = json!({"type": "gitea", "active": true, "config": {"url": receiver.url(), "content_type": "json"}});
    behind.ada().post("/api/v1/user/hooks", &hook).await.is(201);
    behind.ci().publish(&file("1", "f"), "x").await;
    behind.db_execute(
        "INSERT INTO mails (kind, user_id, recipient, facts, created_at, retry_until, next_attempt_at) \
         SELECT 1, id, 'ada@example.org', '{}', now(), now() + interval '1 year', '2026-01-01' FROM owners \
         WHERE name = 'ada'",
    );
    let take = async |site: &Site, server: i64| {
        let (key, now) = (site.app.key.clone(), site.now());
        let work = move |conn: &mut packhouse::db::Connection| {
            let mail = queue::take(conn, (&key, server), now)?.is_some();
            Ok((mail, delivery_queue::take(conn, (&key, server), now)?.is_some()))
        };
        site.app.db.write(work).await.unwrap()
    };
    let listed = |site: &Site| site.db_number("SELECT count(*) AS n FROM servers");
    eventually("both servers are listed", async || listed(&behind) == 2).await;
    assert_eq!(take(&behind, behind.app.db.server_id()).await, (true, true));
    assert_eq!(take(&ahead, ahead.app.db.server_id()).await, (false, false), "it lives");
    behind.db_execute("UPDATE servers SET seen_at = clock_timestamp() - interval '16 seconds'");
    assert_eq!(take(&ahead, ahead.app.db.server_id()).await, (true, true), "it is dead");
}
