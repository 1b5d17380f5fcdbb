//! Quotas: limits on versions, bytes and file sizes of an owner.

use crate::support::people::{db_org, db_user};
use crate::support::{Site, noise, path};
use diesel::prelude::*;
use futures_util::future::join_all;
use futures_util::stream;
use packhouse::domain::role::Visibility;
use serde_json::json;
use std::io;

fn file(version: &str, name: &str) -> String {
    path(&["ada", "tool", version, name])
}

#[tokio::test]
async fn a_version_over_quota_is_403_but_old_versions_take_more_files() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_VERSIONS", "2")]);
    site.ci().publish(&file("1", "a"), "x").await;
    site.ci().publish(&file("2", "a"), "x").await;
    let refused = site.ci().put(&file("3", "a"), "x").await.is(403);
    assert_eq!(refused.text(), "the quota of ada is used up: 2 of 2 package versions exist\n");
    site.ci().publish(&file("2", "b"), "x").await;
    site.ci().delete(&path(&["ada", "tool", "1"])).await.is(204);
    site.ci().publish(&file("3", "a"), "x").await;
    site.ci().put(&path(&["ada", "other", "1", "a"]), "x").await.is(403);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn storage_over_quota_is_403_and_deleting_makes_room() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_BYTES", "1000")]);
    site.ci().publish(&file("1", "a"), noise(600)).await;
    let refused = site.ci().put(&file("1", "b"), noise(401)).await.is(403);
    assert_eq!(refused.text(), "the quota of ada allows 1000 bytes: 600 are used, and 401 more do not fit\n");
    let chunked = reqwest::Body::wrap_stream(stream::iter([Ok::<_, io::Error>(noise(401))]));
    let refused = site.ci().put(&file("1", "b"), chunked).await.is(403);
    assert_eq!(refused.text(), "the quota of ada allows 1000 bytes: 600 are used, and this file does not fit\n");
    // The same content counts again, although the store keeps it once.
    site.ci().put(&file("1", "b"), noise(600)).await.is(403);
    site.ci().publish(&file("1", "b"), noise(400)).await;
    site.ci().publish(&file("1", "empty"), "").await;
    site.ci().put(&file("1", "c"), "x").await.is(403);
    site.ci().delete(&file("1", "a")).await.is(204);
    site.ci().publish(&file("1", "c"), noise(600)).await;
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_file_over_the_quota_for_one_file_is_403() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_FILE_BYTES", "1000")]);
    let refused = site.ci().put(&file("1", "a"), noise(1001)).await.is(403);
    assert_eq!(refused.text(), "the quota of ada allows 1000 bytes per file, and this file has 1001\n");
    let chunked = reqwest::Body::wrap_stream(stream::iter([Ok::<_, io::Error>(noise(1001))]));
    site.ci().put(&file("1", "a"), chunked).await.is(403).says("allows 1000 bytes per file");
    site.assert_empty().await;
    site.ci().publish(&file("1", "a"), noise(1000)).await;
}

#[tokio::test]
async fn the_quota_of_an_owner_overrides_the_default_up_and_down() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_BYTES", "100")]);
    site.ci().put(&file("1", "a"), noise(200)).await.is(403);
    site.db_execute("UPDATE owners SET quota_bytes = 300 WHERE name = 'ada'");
    site.ci().publish(&file("1", "a"), noise(200)).await;
    site.ci().put(&file("1", "b"), noise(200)).await.is(403).says("300");
    site.db_execute("UPDATE owners SET quota_bytes = -1 WHERE name = 'ada'");
    site.ci().publish(&file("1", "b"), noise(2000)).await;
    site.db_execute("UPDATE owners SET quota_bytes = 0 WHERE name = 'ada'");
    site.ci().put(&file("1", "c"), "x").await.is(403);
}

#[tokio::test]
async fn administrators_are_exempt_from_quotas() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_BYTES", "0"), ("PACKHOUSE_QUOTA_VERSIONS", "0")]);
    site.ci().put(&file("1", "a"), "x").await.is(403);
    site.admin().publish(&file("1", "a"), "x").await;
}

#[tokio::test]
async fn quotas_are_checked_before_the_body_and_after_existing_names() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_BYTES", "10")]);
    site.ci().publish(&file("1", "a"), noise(10)).await;
    let bearer = format!("Bearer {}", crate::support::cluster::cluster().people.ci);
    for (name, status) in [("a", 409), ("b", 403)] {
        let fields = [("Authorization", &*bearer), ("Content-Length", "1000000")];
        // No byte of the body is sent.
        let answer = crate::support::wire::ask(site.address, "PUT", file("1", name), &fields).await;
        assert_eq!(answer.status, status, "{name}");
    }
}

#[tokio::test]
async fn refused_and_aborted_uploads_do_not_count_as_storage_used() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_BYTES", "1000")]);
    site.ci().put(&file("1", "a"), noise(500)).header("x-checksum-sha1", "0".repeat(40)).await.is(422);
    site.ci().publish(&file("1", "a"), noise(500)).await;
    site.ci().put(&file("1", "a"), noise(500)).await.is(409);
    site.ci().publish(&file("1", "b"), noise(500)).await;
    site.db_flush().await;
    assert!(site.db_broken().await.is_empty());
    site.ci().put(&file("1", "c"), "x").await.is(403);
}

#[tokio::test]
async fn concurrent_publishers_never_exceed_a_quota() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_BYTES", "1000"), ("PACKHOUSE_QUOTA_VERSIONS", "7")]);
    let client = site.ci();
    // Of unknown length, so that each is admitted, and checked at its end.
    let uploads = (0..24).map(|at| {
        let chunks = stream::iter([Ok::<_, io::Error>(noise(100 + at))]);
        let path = file(&format!("1.{at}"), "a");
        let client = client.clone();
        async move { client.put(&path, reqwest::Body::wrap_stream(chunks)).await.status }
    });
    let statuses = join_all(uploads).await;
    let stored = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!(statuses.iter().filter(|status| **status == 403).count(), 24 - stored, "{statuses:?}");
    assert_eq!(stored, 7);
    let bytes =
        site.db_number("SELECT coalesce(sum(b.size), 0)::int8 AS n FROM files f JOIN blobs b ON b.id = f.blob_id");
    assert!(bytes <= 1000);
    assert!(site.db_broken().await.is_empty());
}

const ADAS: &str = "/api/v1/users/ada/quota";

#[tokio::test]
async fn a_quota_shows_each_limit_its_source_and_the_usage() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_BYTES", "1000")]);
    site.ci().publish(&file("1", "a"), noise(300)).await;
    site.ci().publish(&file("2", "a"), noise(300)).await;
    insta::assert_snapshot!(site.ada().get(ADAS).await.is(200).text(), @r#"{"versions":{"limit":-1,"used":2,"source":"instance"},"bytes":{"limit":1000,"used":600,"source":"instance"},"file_bytes":{"limit":-1,"source":"instance"}}"#);
    let change = json!({"versions": 3, "bytes": -1, "file_bytes": 0});
    let changed = site.admin().patch(ADAS, &change).await.is(200);
    insta::assert_snapshot!(changed.text(), @r#"{"versions":{"limit":3,"used":2,"source":"owner"},"bytes":{"limit":-1,"used":600,"source":"owner"},"file_bytes":{"limit":0,"source":"owner"}}"#);
    assert_eq!(site.ada().get(ADAS).await.text(), changed.text());
    // A missing field keeps its limit, null restores the default, unknown fields are ignored.
    let back = site.admin().patch(ADAS, &json!({"bytes": null, "used": 0})).await.is(200).json();
    assert_eq!(back["bytes"], json!({"limit": 1000, "used": 600, "source": "instance"}));
    assert_eq!(back["versions"]["limit"], 3);
    site.db_flush().await;
    assert_eq!(site.ada().get(ADAS).await.json()["bytes"]["used"], 600, "the same usage after it was summed up");
    let before = site.db_audit();
    site.admin().patch(ADAS, &json!({"versions": 3})).await.is(200);
    site.admin().patch(ADAS, &json!({})).await.is(200);
    assert_eq!(site.db_audit(), before, "nothing changed, so nothing is logged");
    assert_eq!(before[2..], ["owner.quota by admin with token from 127.0.0.1 on ada ada"; 2]);
    let detail =
        site.db_texts("SELECT detail::text AS text FROM audit WHERE event = 'owner.quota' ORDER BY id LIMIT 1");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&detail[0]).unwrap(),
        json!({"from": {"versions": null, "bytes": null, "file_bytes": null}, "to": change})
    );
}

#[tokio::test]
async fn a_changed_quota_takes_effect_immediately() {
    let site = Site::new();
    site.ci().publish(&file("1", "a"), noise(300)).await;
    site.admin().patch(ADAS, &json!({"bytes": 400})).await.is(200);
    site.ci().put(&file("1", "b"), noise(101)).await.is(403).says("allows 400 bytes");
    // Less than the current usage: nothing is deleted, and nothing more is accepted.
    let lowered = site.admin().patch(ADAS, &json!({"bytes": 100})).await.is(200).json();
    assert_eq!(lowered["bytes"], json!({"limit": 100, "used": 300, "source": "owner"}));
    site.ci().put(&file("1", "b"), "x").await.is(403);
    site.ci().get(&file("1", "a")).await.is(200);
    site.admin().patch(ADAS, &json!({"bytes": null})).await.is(200);
    site.ci().publish(&file("1", "b"), noise(101)).await;
}

#[tokio::test]
async fn members_see_a_quota_and_only_administrators_set_it() {
    let site = Site::new();
    site.db(|conn| {
        db_user(conn, "shy", Visibility::Private, false)?;
        db_org(conn, "open", Visibility::Public)?;
        db_org(conn, "closed", Visibility::Private)
    });
    let of = |who: &str| match who {
        "ada" | "shy" => format!("/api/v1/users/{who}/quota"),
        org => format!("/api/v1/orgs/{org}/quota"),
    };
    let by = |name: &str| site.user(name);
    for (who, client, status) in [
        ("ada", site.ada(), 200),
        ("ada", site.admin(), 200),
        ("ada", site.stranger(), 403),
        ("ada", by("stranger"), 403),
        ("ada", site.anon(), 401),
        ("shy", by("shy"), 200),
        ("shy", site.admin(), 200),
        ("shy", by("stranger"), 404),
        ("shy", site.anon(), 401),
        ("open", by("open-read"), 200),
        ("open", site.admin(), 200),
        ("open", by("stranger"), 403),
        ("open", site.anon(), 401),
        ("closed", by("closed-read"), 200),
        ("closed", site.ada(), 200),
        ("closed", by("stranger"), 404),
        ("closed", site.anon(), 401),
    ] {
        client.get(&of(who)).await.is(status);
    }
    let unknown = site.user("stranger").get(&of("nobody")).await;
    assert_eq!(site.user("stranger").get(&of("closed")).await.looks(), unknown.looks());
    for wrong in ["/api/v1/orgs/ada/quota", "/api/v1/users/open/quota", "/api/v1/users/nobody/quota"] {
        site.admin().get(wrong).await.is(404);
        site.admin().patch(wrong, &json!({"bytes": 1})).await.is(404);
    }
    for client in [site.ada(), by("open-owner"), site.stranger()] {
        client.patch(&of("open"), &json!({"bytes": -1})).await.is(403);
        client.patch(ADAS, &json!({"bytes": -1})).await.is(403);
    }
    for body in [json!({"bytes": -2}), json!({"bytes": "1"}), json!({"versions": 1.5}), json!([]), json!(null)] {
        site.admin().patch(ADAS, &body).await.is(422);
    }
    site.admin().patch(ADAS, &json!({"file_bytes": -2})).await.is(422).says("file_bytes");
    assert_eq!(site.ada().get(ADAS).await.json()["bytes"]["source"], "instance");
    let reader = site.anon().bearer(&site.db_token("admin", &["read:admin", "all", "public-only"]));
    reader.patch(&of("closed"), &json!({"bytes": 1})).await.is(403);
}

#[tokio::test]
async fn a_quota_set_or_lowered_while_many_publish_is_never_exceeded() {
    for (before, limit) in [(json!(null), 900), (json!(1500), 900), (json!(-1), 0)] {
        let site = Site::new();
        site.admin().patch(ADAS, &json!({"bytes": before})).await.is(200);
        let client = site.ci();
        let uploads = (0..24).map(|at| {
            let client = client.clone();
            async move {
                // Of unknown length, and some with a new version: each is admitted, and checked at its end.
                let chunks = stream::iter([Ok::<_, io::Error>(noise(100 + at))]);
                let path = file(&format!("1.{}", at % 7), &format!("f{at}"));
                client.put(&path, reqwest::Body::wrap_stream(chunks)).await.status
            }
        });
        let admin = site.admin();
        let lower = async {
            let used = || site.db_number("SELECT count(*) AS n FROM files");
            crate::support::eventually("some files are stored", async || used() > 2).await;
            let set = admin.patch(ADAS, &json!({"bytes": limit})).await.is(200).json();
            set["bytes"]["used"].as_i64().unwrap()
        };
        let (statuses, used) = tokio::join!(join_all(uploads), lower);
        assert!(statuses.iter().all(|status| [201, 403].contains(status)), "{statuses:?}");
        let bytes = "SELECT coalesce(sum(b.size), 0)::int8 AS n FROM files f JOIN blobs b ON b.id = f.blob_id";
        let bytes = site.db_number(bytes);
        assert!(bytes <= used.max(limit), "{bytes} stored, {used} when {limit} was set");
        assert_eq!(site.ada().get(ADAS).await.json()["bytes"]["used"], bytes);
        assert!(site.db_broken().await.is_empty());
    }
}

/// How many wait for a lock of a quota.
const WAITING: &str = "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

#[tokio::test]
async fn setting_a_quota_waits_for_publishers_without_a_limit() {
    let site = Site::new();
    // A publisher in the middle of their transaction.
    let mut conn = PgConnection::establish(&site.url).unwrap();
    let ada = site.db_number("SELECT id AS n FROM owners WHERE name = 'ada'");
    let run = |conn: &mut PgConnection, sql: &str| diesel::sql_query(sql).execute(conn).unwrap();
    run(&mut conn, "BEGIN");
    run(&mut conn, &format!("SELECT pg_advisory_xact_lock_shared(hashtextextended('quota', {ada}))"));
    run(&mut conn, &format!("INSERT INTO usage_changes (owner_id, versions, bytes) VALUES ({ada}, 0, 800)"));
    let admin = site.admin();
    let change = json!({"bytes": 1000});
    let set = admin.patch(ADAS, &change);
    let commit = async {
        crate::support::eventually("the change waits", async || site.db_number(WAITING) == 1).await;
        run(&mut conn, "COMMIT");
    };
    let (set, ()) = tokio::join!(set.into_future(), commit);
    assert_eq!(set.is(200).json()["bytes"]["used"], 800);
    site.ci().put(&file("1", "a"), noise(201)).await.is(403);
}

#[tokio::test]
async fn an_upload_is_checked_again_if_a_quota_was_set_meanwhile() {
    let site = Site::new();
    // Somebody who sets a limit, and has not committed yet.
    let mut conn = PgConnection::establish(&site.url).unwrap();
    let ada = site.db_number("SELECT id AS n FROM owners WHERE name = 'ada'");
    let run = |conn: &mut PgConnection, sql: &str| diesel::sql_query(sql).execute(conn).unwrap();
    run(&mut conn, "BEGIN");
    run(&mut conn, &format!("SELECT pg_advisory_xact_lock(hashtextextended('quota', {ada}))"));
    run(&mut conn, &format!("UPDATE owners SET quota_bytes = 1000 WHERE id = {ada}"));
    let client = site.ci();
    // Different packages: of one new package, one upload would wait for the other.
    let (small, large) = (path(&["ada", "small", "1", "f"]), path(&["ada", "large", "1", "f"]));
    let (small, large) = (client.put(&small, noise(900)), client.put(&large, noise(1001)));
    let commit = async {
        crate::support::eventually("both uploads wait", async || site.db_number(WAITING) == 2).await;
        run(&mut conn, "COMMIT");
    };
    let (small, large, ()) = tokio::join!(small.into_future(), large.into_future(), commit);
    small.is(201);
    large.is(403).says("1000 bytes");
    assert_eq!(site.ada().get(ADAS).await.json()["bytes"]["used"], 900);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_quota_limit_is_a_whole_number_in_any_notation() {
    let site = Site::new();
    let set = async |body: &'static str| {
        site.admin().request("PATCH", ADAS).header("content-type", "application/json").body(body).await
    };
    assert_eq!(set(r#"{"bytes": 1e9, "versions": 5.0}"#).await.is(200).json()["bytes"]["limit"], 1_000_000_000);
    assert_eq!(set(r#"{"bytes": -1.0}"#).await.is(200).json()["bytes"]["limit"], -1);
    for wrong in ["1.5", "1e30", "-1e30", "9223372036854775808", "-2.0", "\"5\"", "true", "[1]"] {
        let body = format!(r#"{{"bytes": {wrong}}}"#);
        let answer = site.admin().request("PATCH", ADAS).header("content-type", "application/json").body(body).await;
        answer.is(422).says("bytes");
    }
}
