//! A clock that was days ahead and is put right: what was stored in that time must not block anyone or live on.

use crate::support::receiver::{Receiver, Reply};
use crate::support::{Site, path};
use packhouse::registry::webhooks::delivery_queue;
use serde_json::json;
use std::time::Duration;

/// How far ahead the clock was.
const AHEAD: Duration = Duration::from_secs(10 * 24 * 3600);

fn file(name: &str) -> String {
    path(&["ada", "tool", "1", name])
}

/// A server whose clock is ahead.
fn ahead(settings: &[(&str, &str)]) -> Site {
    let site = Site::with(settings);
    site.pass(AHEAD);
    site
}

#[tokio::test]
async fn a_session_that_began_while_the_clock_was_ahead_is_over() {
    let site = ahead(&[]);
    let mut browser = site.browser_of("ada").await;
    browser.go("/user/settings").await.is(200);
    site.put_back(AHEAD);
    browser.go("/user/settings").await.is(303);
    let mut browser = site.browser_of("ada").await;
    browser.go("/user/settings").await.is(200);
}

#[tokio::test]
async fn two_factor_codes_work_after_the_clock_was_put_right() {
    let site = ahead(&[]);
    let seed = site.db_second_factor("ada");
    let sign_in = |code: String| site.ada().get("/api/v1/user").header("x-gitea-otp", code);
    sign_in(seed.code_at(site.now()).unwrap()).await.is(200);
    site.put_back(AHEAD);
    let code = seed.code_at(site.now()).unwrap();
    sign_in(code.clone()).await.is(200);
    sign_in(code).await.is(401);
}

#[tokio::test]
async fn webhooks_leased_or_delayed_while_the_clock_was_ahead_are_sent() {
    let (site, receiver) = (ahead(&[("PACKHOUSE_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8")]), Receiver::new());
    let config = json!({"url": receiver.url(), "content_type": "json"});
    let hook = json!({"type": "gitea", "active": true, "config": config});
    site.ada().post("/api/v1/user/hooks", &hook).await.is(201);
    site.ci().publish(&file("f"), "x").await;
    receiver.reply(Reply::status(500));
    site.app.webhook_sender().run().await;
    assert_eq!(receiver.heard().len(), 1);
    // The next attempt is half a minute later, by that clock; and another server died with the lease.
    site.db_execute("UPDATE hooks SET leased_until = (SELECT max(next_attempt_at) FROM hook_deliveries)");
    site.put_back(AHEAD);
    receiver.reply(Reply::status(200));
    site.app.webhook_sender().run().await;
    assert_eq!(receiver.heard().len(), 2);
}

#[tokio::test]
async fn attempts_counted_while_the_clock_was_ahead_bar_nobody() {
    let site = ahead(&[]);
    for at in 0..10 {
        site.anon().basic("ada", &format!("guess {at}")).get("/api/v1/user").await.is(401);
    }
    site.ada().get("/api/v1/user").await.is(429);
    site.put_back(AHEAD);
    site.ada().get("/api/v1/user").await.is(200);
    // The window begins anew, and ends in time.
    for at in 0..10 {
        site.anon().basic("stranger", &format!("guess {at}")).get("/api/v1/user").await.is(401);
    }
    site.anon().basic("stranger", "guess").get("/api/v1/user").await.is(429);
    site.pass(Duration::from_secs(301));
    site.user("stranger").get("/api/v1/user").await.is(200);
}

#[tokio::test]
async fn places_known_while_the_clock_was_ahead_are_not_known_for_longer() {
    let site = ahead(&[]);
    let mut browser = site.browser_of("ada").await;
    browser.keep_only("packhouse-device");
    site.put_back(AHEAD);
    for at in 0..10 {
        site.anon().basic("ada", &format!("guess {at}")).get("/api/v1/user").await.is(401);
    }
    let fields = [("name", "ada"), ("password", "guess")];
    browser.go("/login").await.is(200).submit("form[action='/login']", &fields).await.is(429);
    site.ada().get("/api/v1/user").await.is(429);
}

/// Clocks of two servers differ by seconds, and a request may wait for the database after it looked at the clock.
#[tokio::test]
async fn a_server_whose_clock_is_behind_leaves_a_lease_to_the_other() {
    let (site, receiver) = (Site::with(&[("PACKHOUSE_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8")]), Receiver::new());
    let config = json!({"url": receiver.url(), "content_type": "json"});
    let hook = json!({"type": "gitea", "active": true, "config": config});
    site.ada().post("/api/v1/user/hooks", &hook).await.is(201);
    site.ci().publish(&file("f"), "x").await;
    let take = async |now| {
        let key = site.app.key.clone();
        site.app.db.write(move |conn| delivery_queue::take(conn, (&key, 0), now)).await.unwrap()
    };
    assert!(take(site.now()).await.is_some());
    for behind in [Duration::from_micros(1), Duration::from_secs(1), Duration::from_secs(60)] {
        site.db_execute("UPDATE hook_deliveries SET next_attempt_at = next_attempt_at - interval '1 hour'");
        assert!(take(site.now().minus(behind)).await.is_none(), "{behind:?}");
    }
}

#[tokio::test]
async fn a_sweep_of_a_server_whose_clock_is_behind_ends_no_session() {
    let site = ahead(&[]);
    let mut browser = site.browser_of("ada").await;
    site.put_back(AHEAD);
    site.sweep(Duration::ZERO).await.unwrap();
    site.pass(AHEAD);
    browser.go("/user/settings").await.is(200);
}
