//! Notices by mail: what users and administrators are told, what they may turn off, and who gets nothing.

use crate::support::browser::Browser;
use crate::support::people::db_org;
use crate::support::receiver::{Receiver, Reply};
use crate::support::smtp::{Mail, Smtp};
use crate::support::{PASSWORD, Site, path};
use packhouse::domain::role::Visibility;
use packhouse::jobs::mail_alerts::{self, AlertPlan};
use packhouse::jobs::{mail, webhooks};
use packhouse::registry::operations::backups::{self, LastBackup};
use serde_json::json;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const NEW: &str = "another long password 17";

/// Recipient and subject of each mail that is due.
async fn news(smtp: &Smtp, site: &Site) -> Vec<String> {
    let line = |mail: &Mail| format!("{}: {}", mail.to[0], mail.header("subject"));
    let mut lines: Vec<String> = smtp.deliver(site).await.iter().map(line).collect();
    lines.sort();
    lines
}

async fn sign_in(browser: &mut Browser) {
    browser.go("/login").await.is(200);
    browser.submit("form[action='/login']", &[("name", "ada"), ("password", PASSWORD)]).await.is(303);
}

#[tokio::test]
async fn users_are_told_of_a_sign_in_from_a_new_device() {
    let smtp = Smtp::new();
    let site = smtp.site(&[("PACKHOUSE_TRUSTED_PROXIES", "127.0.0.1")]);
    let mut first = site.browser_of("ada").await;
    assert!(news(&smtp, &site).await.is_empty(), "a first sign-in is no news");
    first.keep_only("packhouse-device");
    sign_in(&mut first).await;
    assert!(news(&smtp, &site).await.is_empty(), "the browser is known");
    let mut other = site.browser();
    sign_in(&mut other).await;
    let mail = smtp.deliver_one(&site).await;
    assert_eq!(mail.header("subject"), "Sign-in from a new device");
    assert!(
        mail.text().contains("signed in to your account ada") && mail.text().contains("127.0.0.1"),
        "{}",
        mail.text()
    );
    assert!(mail.text().contains("http://packages.test/user/settings/security"));
    // A program is known by its address.
    for (from, told) in [("127.0.0.1", 0), ("192.0.2.7", 1), ("192.0.2.7", 0), ("192.0.2.8", 1)] {
        site.pass(Duration::from_secs(400));
        site.ada().get("/api/v1/user").header("x-forwarded-for", from).await.is(200);
        let mails = smtp.deliver(&site).await;
        assert_eq!(mails.len(), told, "{from}");
        assert!(
            mails.iter().all(|mail| mail.text().contains("a program and your password") && mail.text().contains(from))
        );
    }
    // A wrong password is no sign-in, and neither is a token.
    site.anon().basic("ada", "wrong").get("/api/v1/user").header("x-forwarded-for", "192.0.2.9").await.is(401);
    site.reader().get("/api/packages/ada/generic").header("x-forwarded-for", "192.0.2.9").await;
    assert!(news(&smtp, &site).await.is_empty());
}

#[tokio::test]
async fn users_are_told_when_their_password_or_two_factor_authentication_changes() {
    let smtp = Smtp::new();
    let site = smtp.site(&[]);
    let mut browser = site.browser_of("ada").await;
    browser.go("/user/settings/password").await.is(200);
    let values = [("current_password", PASSWORD), ("new_password", NEW), ("again", NEW)];
    browser.submit("form[action='/user/settings/password']", &values).await.is(303);
    assert_eq!(news(&smtp, &site).await, ["ada@example.org: Your password was changed"]);
    site.db_second_factor("ada");
    assert_eq!(news(&smtp, &site).await, ["ada@example.org: Two-factor authentication was turned on"]);
    let admin = site.admin();
    admin.patch("/api/v1/admin/users/ada", &json!({"password": PASSWORD})).await.is(200);
    let mail = smtp.deliver_one(&site).await;
    assert!(mail.text().contains("was changed by admin"), "{}", mail.text());
    let mut root = site.browser_of("admin").await;
    root.go("/-/admin/users/ada/second-factor").await.is(200);
    let form = "form[action='/-/admin/users/ada/second-factor']";
    root.submit(form, &[("current_password", PASSWORD)]).await.is(303);
    let mail = smtp.deliver_one(&site).await;
    assert_eq!(mail.header("subject"), "Two-factor authentication was turned off");
    assert!(mail.text().contains("by admin"));
    // Administrators who change an address tell the old one.
    admin.patch("/api/v1/admin/users/ada", &json!({"email": "ada@new.example"})).await.is(200);
    assert_eq!(news(&smtp, &site).await, ["ada@example.org: Your email address was changed"]);
    // A token that somebody else made.
    site.user("admin")
        .post("/api/v1/users/ada/tokens", &json!({"name": "x", "scopes": ["read:package"]}))
        .await
        .is(201);
    let mail = smtp.deliver_one(&site).await;
    assert!(mail.to == ["ada@new.example"] && mail.text().contains("by admin"), "{mail:?}");
    // Locked users, and users without a confirmed address, get nothing.
    for change in ["is_locked = true", "is_locked = false, lower_email = NULL", "is_active = false"] {
        site.db_execute(&format!("UPDATE users SET {change} WHERE email = 'ada@new.example'"));
        admin.patch("/api/v1/admin/users/ada", &json!({"password": PASSWORD})).await.is(200);
        assert!(news(&smtp, &site).await.is_empty(), "{change}");
    }
}

#[tokio::test]
async fn people_turn_off_what_they_do_not_want_and_nothing_else() {
    let smtp = Smtp::new();
    let site = smtp.site(&[]);
    let mut ada = site.browser_of("ada").await;
    ada.go("/user/settings/notifications").await.is(200);
    assert_eq!(ada.attrs("main input[type=checkbox]", "value"), ["token-expiry", "webhook"]);
    let csrf = ada.csrf();
    let all = "&on=token&on=device&on=password&on=disk";
    ada.post("/user/settings/notifications", format!("csrf={csrf}{all}")).await.is(303);
    ada.follow().await.is(200);
    assert!(ada.attrs("main input[checked]", "value").is_empty());
    assert_eq!(site.db_texts("SELECT muted_mails::text AS text FROM users WHERE lower_email LIKE 'ada@%'"), ["{9,8}"]);
    let mut admin = site.browser_of("admin").await;
    admin.go("/user/settings/notifications").await.is(200);
    assert_eq!(admin.attrs("main input[checked]", "value"), ["token-expiry", "webhook", "disk", "backup"]);
    site.db_limited_token("ada", &["read:package"], |new| new.expires_at = Some(site.now().plus(DAY * 30)));
    assert_eq!(news(&smtp, &site).await, ["ada@example.org: New access token"], "it can't be turned off");
    site.pass(DAY * 24);
    assert_eq!(mail::announce_expiring(&site.app.db, &site.app.clock).await.unwrap(), 0);
}

#[tokio::test]
async fn a_token_that_expires_is_announced_once_a_week_before() {
    let smtp = Smtp::new();
    let site = smtp.site(&[]);
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    let ada = site.anon().bearer(&site.db_token("ada", &["all"]));
    ada.post("/api/v1/orgs/acme/robots", &json!({"name": "deploy"})).await.is(201);
    let expires = site.now().plus(DAY * 30);
    let limit = |new: &mut packhouse::registry::accounts::tokens::NewToken| new.expires_at = Some(expires);
    site.db_limited_token("stranger", &["read:package"], limit);
    site.db_limited_token("acme/deploy", &["read:package"], limit);
    smtp.deliver(&site).await;
    let announce = async || mail::announce_expiring(&site.app.db, &site.app.clock).await.unwrap();
    site.pass(DAY * 22);
    assert_eq!(announce().await, 0);
    site.pass(DAY * 2);
    announce().await;
    assert_eq!(
        news(&smtp, &site).await,
        [
            "acme-owner@example.org: An access token expires soon",
            "ada@example.org: An access token expires soon",
            "stranger@example.org: An access token expires soon"
        ]
    );
    assert_eq!(announce().await, 0, "once");
    // Tokens of an hour are nobody's news.
    let body = json!({"name": "hour", "scopes": ["read:package"], "expires_at": site.now().plus(HOUR)});
    site.user("stranger").post("/api/v1/users/stranger/tokens", &body).await.is(201);
    assert_eq!(announce().await, 0);
}

#[tokio::test]
async fn administrators_are_told_of_the_disk_and_of_an_old_backup_once() {
    let smtp = Smtp::new();
    let site = smtp.site(&[]);
    let look = async |reserve_bytes: u64, days: u64| {
        let backup_patience = (days > 0).then(|| DAY * u32::try_from(days).unwrap());
        let plan = AlertPlan { backup_patience, reserve_bytes };
        mail_alerts::run(&site.app.db, &site.app.store, &site.app.clock, plan).await.unwrap();
        news(&smtp, &site).await
    };
    assert!(look(0, 7).await.is_empty(), "no backup was made by packhouse backup");
    site.db(|conn| backups::note(conn, LastBackup { at: site.now(), blobs: 1, bytes: 1, lost: 0 }));
    assert!(look(0, 7).await.is_empty());
    site.pass(DAY * 8);
    assert!(look(0, 0).await.is_empty(), "any age is allowed");
    assert_eq!(look(0, 7).await, ["admin@example.org: The last backup is old"]);
    assert_eq!(look(u64::MAX, 7).await, ["admin@example.org: The disk is nearly full"]);
    for _ in 0..3 {
        assert!(look(u64::MAX, 7).await.is_empty(), "once, and not each time");
    }
    assert!(look(0, 7).await.is_empty());
    assert_eq!(look(u64::MAX, 7).await, ["admin@example.org: The disk is nearly full"], "again after it was right");
    site.db_execute("UPDATE users SET muted_mails = '{10,11}'");
    look(0, 0).await;
    assert!(look(u64::MAX, 7).await.is_empty());
}

#[tokio::test]
async fn a_webhook_that_fails_for_a_week_is_turned_off_and_its_owners_are_told() {
    let smtp = Smtp::new();
    let site = smtp.site(&[("PACKHOUSE_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8")]);
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    let ada = site.anon().bearer(&site.db_token("ada", &["all"]));
    let receiver = Receiver::new();
    let config = json!({"url": receiver.url(), "content_type": "json"});
    let hook = json!({"type": "gitea", "active": true, "config": config});
    let made = ada.post("/api/v1/orgs/acme/hooks", &hook).await.is(201).json();
    let hook = format!("/api/v1/orgs/acme/hooks/{}", made["id"]);
    smtp.deliver(&site).await;
    let mut version = 0;
    // Publishes a version, and returns the mail of that day, and whether the webhook is still on.
    let mut day = async || {
        version += 1;
        ada.publish(&path(&["acme", "tool", &version.to_string(), "f"]), "bytes").await.is(201);
        site.app.webhook_sender().run().await;
        let mut mails = smtp.deliver(&site).await;
        site.pass(HOUR * 26);
        site.app.webhook_sender().run().await;
        mails.extend(smtp.deliver(&site).await);
        (mails, ada.get(&hook).await.is(200).json()["active"] == true)
    };
    let (_, is_on) = day().await;
    assert!(is_on);
    receiver.reply(Reply::status(500));
    for failing in 1..7 {
        let (mails, is_on) = day().await;
        assert!(is_on && mails.is_empty(), "day {failing}");
    }
    let (mut mails, is_on) = day().await;
    let is_on = is_on && {
        let (more, is_on) = day().await;
        mails.extend(more);
        is_on
    };
    assert!(!is_on, "after a week");
    let to: Vec<_> = mails.iter().map(|mail| mail.to[0].as_str()).collect();
    assert_eq!(to, ["acme-owner@example.org", "ada@example.org"]);
    let text = mails[0].text();
    assert!(text.contains(&format!("A webhook of acme to {} failed for a week", receiver.address)), "{text}");
    assert!(text.contains("the receiver answered 500") && !text.contains("key=value"), "{text}");
    assert!(site.db_audit().iter().any(|record| record.starts_with("hook.update by  with system")));
    webhooks::forget(&site.app.db, &site.app.clock, DAY * 28).await.unwrap();
}
