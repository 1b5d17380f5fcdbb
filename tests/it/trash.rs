//! The trash: what is deleted can be restored for some days, whole or not at all, and is purged afterwards.

use crate::program::{Home, Server, eventually, finds, flip, is_clean, signal, try_http, with_two_files};
use crate::support::people::{db_caller, db_org};
use crate::support::{Answer, Client, Plan, Site, noise, path, sha256};
use diesel::RunQueryDsl;
use futures_util::future::join_all;
use packhouse::domain::role::Visibility;
use packhouse::jobs::empty_trash;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Duration;

const TRASH: &str = "/api/v1/packages/ada/-/trash";
const DAY: Duration = Duration::from_secs(86_400);

fn file(version: &str, name: &str) -> String {
    path(&["ada", "tool", version, name])
}

async fn entries(client: &Client) -> Vec<Value> {
    client.get(TRASH).await.is(200).json().as_array().unwrap().clone()
}

/// The id of what was deleted last.
async fn last(site: &Site) -> i64 {
    entries(&site.ci()).await[0]["id"].as_i64().unwrap()
}

async fn restore(site: &Site, id: i64) -> Answer {
    site.ci().post(&format!("{TRASH}/{id}/restore"), &json!({})).await
}

async fn purge(site: &Site) -> usize {
    empty_trash::run(&site.app.db, &site.app.clock).await.unwrap()
}

/// Deletes something and restores it.
async fn there_and_back(site: &Site, deleted: &str) -> Answer {
    site.ci().delete(deleted).await.is(204);
    site.anon().get(deleted).await.is(404);
    let id = last(site).await;
    restore(site, id).await.is(200)
}

#[tokio::test]
async fn the_trash_lists_who_deleted_what_when_why_and_until_when() {
    let site = Site::new();
    site.ci().publish(&file("1.0-RC", "a.bin"), "one").await;
    site.ci().publish(&file("1.0-RC", "b.bin"), "twice").await;
    site.ci().publish(&file("2", "c.bin"), "three").await;
    site.ci().delete(&file("1.0-rc", "A.bin")).await.is(204);
    site.pass(Duration::from_secs(60));
    site.ci().delete(&path(&["ada", "tool", "1.0-rc"])).await.is(204);
    site.admin().delete("/api/v1/packages/ada/generic/tool").await.is(204);
    let all = site.ci().get(TRASH).await.is(200);
    assert_eq!(all.header("x-total-count"), Some("3"));
    insta::assert_snapshot!(all.pretty(), @r#"
    [
      {
        "deleted_at": "2026-01-02T03:05:05Z",
        "deleted_by": "admin",
        "file": null,
        "files": 1,
        "id": 3,
        "kept_until": "2026-01-09T03:05:05Z",
        "kind": "package",
        "package": "tool",
        "reason": "deleted",
        "rule": "",
        "size": 5,
        "version": null,
        "versions": 1
      },
      {
        "deleted_at": "2026-01-02T03:05:05Z",
        "deleted_by": "ada",
        "file": null,
        "files": 1,
        "id": 2,
        "kept_until": "2026-01-09T03:05:05Z",
        "kind": "version",
        "package": "tool",
        "reason": "deleted",
        "rule": "",
        "size": 5,
        "version": "1.0-RC",
        "versions": 1
      },
      {
        "deleted_at": "2026-01-02T03:04:05Z",
        "deleted_by": "ada",
        "file": "a.bin",
        "files": 1,
        "id": 1,
        "kept_until": "2026-01-09T03:04:05Z",
        "kind": "file",
        "package": "tool",
        "reason": "deleted",
        "rule": "",
        "size": 3,
        "version": "1.0-RC",
        "versions": 0
      }
    ]
    "#);
    let one = site.ci().get(&format!("{TRASH}?limit=1&page=2")).await.is(200);
    assert_eq!(one.json()[0]["kind"], "version");
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn restoring_brings_everything_back_with_ids_dates_counts_and_state() {
    let site = Site::new();
    for (version, name) in [("1", "a"), ("1", "b"), ("2", "a")] {
        site.ci().publish(&file(version, name), format!("{version} {name}")).await;
        site.pass(Duration::from_secs(10));
    }
    site.anon().get(&file("1", "a")).await.is(200);
    site.db_flush().await;
    // Counted in memory only when the file is deleted.
    site.anon().get(&file("1", "a")).await.is(200);
    site.db_execute(
        "UPDATE packages SET description = 'A tool', readme = '# Tool', labels = '{\"kind\": \"cli\"}', visibility = 2, \
         overwrite_versions = '{nightly}', seal_after_seconds = 60, archived_at = now()",
    );
    site.db_execute(
        "UPDATE versions SET notes = 'News', labels = '{\"a\": \"b\"}', yanked_at = now(), yank_reason = 'broken', \
         is_prerelease = true, state = 2, sealed_at = now(), last_downloaded_at = now() WHERE version = '1'",
    );
    site.db_execute(
        "INSERT INTO channels (package_id, name, lower_name, version, lower_version, updated_at, revision) \
         SELECT id, 'Beta', 'beta', '1', '1', now(), 7 FROM packages",
    );
    let rows = || {
        ["packages", "versions", "files", "channels"].map(|table| {
            let id = if table == "channels" { " - 'id'" } else { "" };
            site.db_texts(&format!("SELECT (to_jsonb(t){id})::text AS text FROM {table} t ORDER BY t.id"))
        })
    };
    let before = rows();
    site.ci().delete("/api/v1/packages/ada/generic/tool").await.is(204);
    for table in ["packages", "versions", "files", "channels"] {
        assert_eq!(site.db_number(&format!("SELECT count(*) AS n FROM {table}")), 0, "{table}");
    }
    site.db_flush().await;
    let id = last(&site).await;
    let restored = restore(&site, id).await.is(200).json();
    assert_eq!(
        (&restored["kind"], &restored["versions"], &restored["files"]),
        (&json!("package"), &json!(2), &json!(3))
    );
    site.db_execute("UPDATE files SET download_count = download_count - 1 WHERE download_count = 2");
    assert_eq!(rows(), before);
    assert!(entries(&site.ci()).await.is_empty());
    restore(&site, id).await.is(404).says("trash entry not found");
    assert!(site.db_broken().await.is_empty());
    for left in ["trash", "trashed_packages", "trashed_versions", "trashed_files"] {
        assert_eq!(site.db_number(&format!("SELECT count(*) AS n FROM {left}")), 0, "{left}");
    }
}

#[tokio::test]
async fn a_file_or_version_comes_back_to_what_is_left_of_its_package() {
    let site = Site::new();
    for (version, name) in [("1", "a"), ("1", "b"), ("2", "a")] {
        site.ci().publish(&file(version, name), format!("{version} {name}")).await;
    }
    let ids = || site.db_texts("SELECT concat_ws(' ', id, version_id, name) AS text FROM files ORDER BY id");
    let before = ids();
    there_and_back(&site, &file("1", "a")).await;
    there_and_back(&site, &path(&["ada", "tool", "1"])).await;
    there_and_back(&site, &file("2", "a")).await;
    assert_eq!(ids(), before);
    assert_eq!(site.anon().get(&file("2", "a")).await.is(200).text(), "2 a");
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn what_a_restored_file_belonged_to_is_created_again_as_it_was() {
    let site = Site::new();
    site.ci().publish(&file("1", "a"), "one").await;
    site.ci().publish(&file("1", "b"), "two").await;
    site.db_execute("UPDATE packages SET visibility = 2, description = 'secret'");
    site.db_execute("UPDATE versions SET yanked_at = now(), yank_reason = 'broken'");
    site.ci().delete(&file("1", "a")).await.is(204);
    let first = last(&site).await;
    site.ci().delete("/api/v1/packages/ada/generic/tool").await.is(204);
    let second = last(&site).await;
    let made = site.now();
    site.pass(DAY);
    restore(&site, first).await.is(200);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM files"), 1);
    let package = "SELECT concat_ws(' ', visibility, description) AS text FROM packages";
    assert_eq!(site.db_texts(package), ["2 secret"], "it must not come back public");
    assert_eq!(site.db_texts("SELECT yank_reason AS text FROM versions"), ["broken"]);
    assert_eq!(site.db_number("SELECT extract(epoch FROM created_at)::bigint AS n FROM versions"), made.unix());
    let refused = restore(&site, second).await.is(409);
    refused.says("package tool cannot be restored, because another one has taken its name");
    assert!(site.db_broken().await.is_empty());

    // The other way round: the version keeps its id in the trash, so the file's version gets a new one.
    site.ci().delete("/api/v1/packages/ada/generic/tool").await.is(204);
    restore(&site, second).await.is(200);
    assert_eq!(site.db_texts("SELECT name AS text FROM files"), ["b"]);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn restoring_is_409_when_the_name_is_taken_and_changes_nothing() {
    let site = Site::new();
    site.ci().publish(&file("1", "a"), "old").await;
    site.ci().publish(&file("1", "b"), "other").await;
    site.ci().delete(&file("1", "a")).await.is(204);
    let old = last(&site).await;
    site.ci().publish(&file("1", "A"), "new").await;
    let audit = site.db_audit();
    restore(&site, old).await.is(409).says("package file tool/1/a cannot be restored");
    site.ci().delete(&path(&["ada", "tool", "1"])).await.is(204);
    let version = last(&site).await;
    site.ci().publish(&file("1", "c"), "third").await;
    restore(&site, version).await.is(409).says("package version tool/1 cannot be restored");
    assert_eq!(site.db_audit().len(), audit.len() + 2);
    assert_eq!(entries(&site.ci()).await.len(), 2);
    restore(&site, old).await.is(200);
    assert_eq!(site.anon().get(&file("1", "a")).await.is(200).text(), "old");
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn files_are_not_restored_into_a_sealed_version() {
    let site = Site::new();
    site.ci().publish(&file("1", "a"), "one").await;
    site.ci().publish(&file("1", "b"), "two").await;
    site.ci().delete(&file("1", "a")).await.is(204);
    site.db_execute("UPDATE versions SET state = 2, sealed_at = now()");
    restore(&site, last(&site).await).await.is(409).says("version is sealed");
    site.anon().get(&file("1", "a")).await.is(404);
}

#[tokio::test]
async fn nobody_deletes_a_version_on_hold() {
    let site = Site::new();
    for version in ["1", "2"] {
        site.ci().publish(&file(version, "a"), "x").await;
    }
    site.db_execute("UPDATE versions SET held_at = now() WHERE version = '1'");
    let audit = site.db_audit();
    for held in [file("1", "a"), path(&["ada", "tool", "1"]), "/api/v1/packages/ada/generic/tool".to_owned()] {
        for client in [site.ci(), site.admin()] {
            client.delete(&held).await.is(409).says("version 1 of tool is on hold");
            client.delete(&format!("{held}?purge=true")).await.is(409);
        }
    }
    assert_eq!(site.db_audit(), audit);
    site.ci().delete(&path(&["ada", "tool", "2"])).await.is(204);
    site.db_execute("UPDATE versions SET held_at = NULL");
    site.ci().delete(&path(&["ada", "tool", "1"])).await.is(204);
}

#[tokio::test]
async fn the_trash_does_not_count_toward_the_quota_and_restoring_does() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_BYTES", "10"), ("PACKHOUSE_QUOTA_FILE_BYTES", "6")]);
    site.ci().publish(&file("1", "a"), "12345").await;
    site.ci().publish(&file("1", "b"), "12345").await;
    site.ci().put(&file("2", "c"), "1").await.is(403);
    site.ci().delete(&path(&["ada", "tool", "1"])).await.is(204);
    let id = last(&site).await;
    site.ci().publish(&file("2", "c"), "1").await;
    restore(&site, id).await.is(403).says("the quota of ada allows 10 bytes: 1 are used, and 10 more do not fit");
    assert_eq!(entries(&site.ci()).await.len(), 1);
    site.ci().delete(&file("2", "c")).await.is(204);
    // Each file is within the limit of a file, although they are not together.
    restore(&site, id).await.is(200);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_purge_deletes_at_once_and_only_owners_may() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Private));
    let writer = site.anon().bearer(&site.db_token("acme-write", &["write:package"]));
    let owner = site.anon().bearer(&site.db_token("acme-owner", &["write:package"]));
    let of = |file: &str| path(&["acme", "tool", "1", file]);
    let trash = "/api/v1/packages/acme/-/trash";
    for name in ["a", "b", "c"] {
        writer.publish(&of(name), name.to_owned()).await;
    }
    writer.delete(&format!("{}?purge=true", of("a"))).await.is(403).says("only owners of acme can delete for good");
    writer.delete(&format!("{}?purge=maybe", of("a"))).await.is(400).says("purge: use true or false");
    writer.delete("/api/v1/packages/acme/generic/tool/1?purge=maybe").await.is(422);
    owner.delete(&format!("{}?purge=true", of("a"))).await.is(204);
    assert_eq!(writer.get(trash).await.is(200).json(), json!([]));
    writer.delete(&of("b")).await.is(204);
    let id = writer.get(trash).await.json()[0]["id"].clone();
    writer.delete(&format!("{trash}/{id}")).await.is(403);
    owner.delete(&format!("{trash}/{id}")).await.is(204);
    owner.delete(&format!("{trash}/{id}")).await.is(404);
    owner.delete(&format!("{trash}/x")).await.is(404);
    // To strangers the owner is absent.
    let absent = site.stranger().get("/api/v1/packages/nobody/-/trash").await.is(404);
    for (method, below) in
        [("GET", trash.to_owned()), ("POST", format!("{trash}/1/restore")), ("DELETE", format!("{trash}/1"))]
    {
        assert_eq!(site.stranger().request(method, &below).await.looks(), absent.looks(), "{method}");
        site.anon().request(method, &below).await.is(401);
    }
    let reader = site.anon().bearer(&site.db_token("acme-read", &["write:package"]));
    reader.get(trash).await.is(403);
    let changes: Vec<_> =
        site.db_audit().into_iter().filter(|line| line.contains(" on acme tool/1/")).skip(3).collect();
    insta::assert_snapshot!(changes.join("\n"), @r"
    file.delete by acme-owner with token from 127.0.0.1 on acme tool/1/a
    file.delete by acme-write with token from 127.0.0.1 on acme tool/1/b
    trash.purge by acme-owner with token from 127.0.0.1 on acme tool/1/b
    ");
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_token_sees_and_restores_only_the_packages_it_is_limited_to() {
    let site = Site::new();
    for package in ["tool", "other"] {
        site.ci().publish(&path(&["ada", package, "1", "f"]), "x").await;
        site.ci().delete(&path(&["ada", package, "1"])).await.is(204);
    }
    let limited = site.db_limited_token("ada", &["write:package"], |token| {
        token.packages = Some(vec!["TOO*".parse().unwrap()]);
    });
    let limited = site.anon().bearer(&limited);
    let seen = entries(&limited).await;
    assert_eq!(seen.iter().map(|entry| &entry["package"]).collect::<Vec<_>>(), ["tool"]);
    let other = last(&site).await;
    limited.post(&format!("{TRASH}/{other}/restore"), &json!({})).await.is(404);
    limited.delete(&format!("{TRASH}/{other}")).await.is(404);
    limited.post(&format!("{TRASH}/{}/restore", seen[0]["id"]), &json!({})).await.is(200);
}

#[tokio::test]
async fn the_trash_is_purged_after_its_days_and_then_the_disk_is_freed() {
    let site = Site::with(&[("PACKHOUSE_TRASH_KEEP_DAYS", "3")]);
    for version in ["1", "2"] {
        site.ci().publish(&file(version, "f"), noise(1000)).await;
    }
    site.ci().publish(&file("2", "g"), "other").await;
    site.ci().delete(&path(&["ada", "tool", "2"])).await.is(204);
    site.pass(DAY * 3 - Duration::from_secs(1));
    assert_eq!(purge(&site).await, 0);
    // A sweep leaves the bytes of the trash alone, however long ago they were uploaded.
    assert_eq!(site.sweep(Duration::ZERO).await.unwrap().unused, 0);
    site.pass(Duration::from_secs(1));
    assert_eq!(purge(&site).await, 1);
    assert!(entries(&site.ci()).await.is_empty());
    // The grace period begins with the purge.
    site.pass(DAY - Duration::from_secs(1));
    assert_eq!(site.sweep(DAY).await.unwrap().unused, 0);
    site.pass(Duration::from_secs(2));
    assert_eq!(site.sweep(DAY).await.unwrap().unused, 1);
    assert_eq!(site.store_blobs(), 1);
    assert_eq!(site.anon().get(&file("1", "f")).await.is(200).body, noise(1000));
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn an_entry_from_a_clock_that_was_ahead_is_kept_for_its_days_from_now() {
    let site = Site::new();
    site.pass(DAY * 1000);
    site.ci().publish(&file("1", "f"), "x").await;
    site.ci().delete(&file("1", "f")).await.is(204);
    site.put_back(DAY * 1000);
    assert_eq!(purge(&site).await, 0);
    site.pass(DAY * 7 - Duration::from_secs(1));
    assert_eq!(purge(&site).await, 0);
    site.pass(Duration::from_secs(1));
    assert_eq!(purge(&site).await, 1);
}

#[tokio::test]
async fn without_days_to_keep_deleting_is_at_once() {
    let site = Site::with(&[("PACKHOUSE_TRASH_KEEP_DAYS", "0")]);
    site.ci().publish(&file("1", "f"), "x").await;
    site.ci().delete(&file("1", "f")).await.is(204);
    assert!(entries(&site.ci()).await.is_empty());
    site.pass(Duration::from_secs(1));
    assert_eq!(site.sweep(Duration::ZERO).await.unwrap().unused, 1);
}

#[tokio::test]
async fn deleting_an_owner_deletes_its_trash_which_is_no_package() {
    let site = Site::new();
    site.admin().post("/api/v1/admin/users/ada/orgs", &json!({"username": "acme"})).await.is(201);
    site.admin().publish(&path(&["acme", "tool", "1", "f"]), "org").await;
    site.admin().delete("/api/v1/orgs/acme").await.is(422).says("acme owns a package");
    site.admin().delete(&path(&["acme", "tool", "1"])).await.is(204);
    site.admin().delete("/api/v1/orgs/acme").await.is(204);
    site.ci().publish(&file("1", "f"), "user").await;
    site.ci().publish(&file("1", "g"), "user too").await;
    site.ci().delete(&file("1", "g")).await.is(204);
    site.admin().delete("/api/v1/admin/users/ada?purge=true").await.is(204);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM trash"), 0);
    // The grace period of the bytes begins now.
    site.pass(Duration::from_secs(1));
    assert_eq!(site.sweep(DAY).await.unwrap().unused, 0);
    assert_eq!(site.sweep(Duration::ZERO).await.unwrap().unused, 3);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn the_publisher_of_a_restored_version_may_be_gone() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    let writer = site.anon().bearer(&site.db_token("acme-write", &["write:package"]));
    writer.publish(&path(&["acme", "tool", "1", "f"]), "x").await;
    writer.delete(&path(&["acme", "tool", "1"])).await.is(204);
    site.admin().delete("/api/v1/admin/users/acme-write").await.is(204);
    let trash = "/api/v1/packages/acme/-/trash";
    let entry = site.admin().get(trash).await.json()[0].clone();
    assert_eq!(entry["deleted_by"], "acme-write");
    site.admin().post(&format!("{trash}/{}/restore", entry["id"]), &json!({})).await.is(200);
    let version = site.anon().get("/api/v1/packages/acme/generic/tool/1").await.is(200).json();
    assert_eq!(version["creator"]["login"], "Ghost");
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn the_forecast_of_freed_bytes_is_what_the_disk_shows_after_a_purge() {
    use packhouse::registry::packages::freed::{Given, bytes};
    let site = Site::on_disk();
    // Forty files in twenty versions share ten contents; the last versions also have some of their own.
    let content = |at: usize| noise(1000 + at % 10);
    for version in 0..20 {
        site.ci().publish(&file(&version.to_string(), "a"), content(version)).await;
        let own = if version >= 15 { noise(3000 + version) } else { content(version + 3) };
        site.ci().publish(&file(&version.to_string(), "b"), own).await;
    }
    let on_disk = || site.db_number("SELECT sum(size)::bigint AS n FROM blobs");
    let before = on_disk();
    let half: Vec<_> = (10..20).collect();
    for version in &half {
        site.ci().delete(&path(&["ada", "tool", &version.to_string()])).await.is(204);
    }
    let forecast = site.db(|conn| bytes(conn, Given::Trash, None));
    assert_eq!(forecast, (15..20).map(|version| 3000 + version).sum::<i64>());
    let owner = site.db(|conn| Ok(db_caller(conn, "ada")?.user().unwrap().id));
    assert_eq!(site.db(|conn| bytes(conn, Given::TrashOf(&[owner]), None)), forecast);
    site.pass(DAY * 7);
    assert_eq!(purge(&site).await, half.len());
    site.pass(Duration::from_secs(1));
    let swept = site.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(i64::try_from(swept.bytes).unwrap(), forecast);
    assert_eq!(on_disk(), before - forecast);
    let store: u64 = site.store_blobs() as u64;
    assert_eq!(store, 10);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn webhooks_learn_of_the_deletion_and_of_the_restored_version() {
    let site = Site::new();
    site.ci().publish(&file("1", "a"), "x").await;
    site.ci().publish(&file("1", "b"), "x").await;
    site.db_execute(
        "INSERT INTO hooks (owner_id, kind, url, content, active, created_at, updated_at) \
         SELECT id, 0, 'https://ci.example.org/', 0, true, now(), now() FROM owners WHERE name = 'ada'",
    );
    there_and_back(&site, &file("1", "a")).await;
    assert_eq!(site.db_number("SELECT count(*) AS n FROM hook_deliveries"), 0, "the version was there all the time");
    there_and_back(&site, &path(&["ada", "tool", "1"])).await;
    let actions = "SELECT concat_ws(' ', action, facts->>'version') AS text FROM hook_deliveries ORDER BY id";
    assert_eq!(site.db_texts(actions), ["1 1", "0 1"]);
}

/// A server with more threads and connections, and with the real time.
fn busy() -> Site {
    let settings = &[
        ("PACKHOUSE_WORKERS", "4"),
        ("PACKHOUSE_DATABASE_READ_CONNECTIONS", "6"),
        ("PACKHOUSE_DATABASE_WRITE_CONNECTIONS", "12"),
    ];
    Site::start(Plan { settings, real_time: true, ..Plan::default() })
}

#[tokio::test]
async fn of_racing_restores_and_purges_of_an_entry_exactly_one_wins() {
    let site = busy();
    for round in 0..6 {
        let version = round.to_string();
        site.ci().publish(&file(&version, "f"), format!("content {round}")).await;
        site.ci().delete(&path(&["ada", "tool", &version])).await.is(204);
        let id = last(&site).await;
        let entry = format!("{TRASH}/{id}");
        let racing = (0..12).map(|at| match at % 2 {
            0 => site.ci().post(&format!("{entry}/restore"), &json!({})).into_future(),
            _ => site.ci().delete(&entry).into_future(),
        });
        let answers = join_all(racing).await;
        let won: Vec<u16> = answers.iter().map(|answer| answer.status).filter(|status| *status != 404).collect();
        assert_eq!(won.len(), 1, "{won:?}");
        site.sweep(Duration::ZERO).await.unwrap();
        let got = site.anon().get(&file(&version, "f")).await;
        assert_eq!(got.status, if won[0] == 200 { 200 } else { 404 });
    }
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn deleting_restoring_and_sweeping_at_once_never_loses_bytes() {
    let site = busy();
    let bytes = noise(1_100_000);
    site.ci().publish(&file("1", "f"), bytes.clone()).await;
    let sweeping = async {
        for _ in 0..40 {
            site.sweep(Duration::ZERO).await.unwrap();
        }
    };
    let moving = async {
        for _ in 0..15 {
            site.ci().delete(&file("1", "f")).await.is(204);
            let id = last(&site).await;
            let both = join_all([
                site.ci().post(&format!("{TRASH}/{id}/restore"), &json!({})).into_future(),
                site.ci().delete(&path(&["ada", "tool", "1"])).into_future(),
            ]);
            let answers = both.await;
            assert_eq!(answers[0].status, 200, "{answers:?}");
            if answers[1].status == 204 {
                restore(&site, last(&site).await).await.is(200);
            }
            assert!(site.anon().get(&file("1", "f")).await.is(200).body == bytes);
        }
    };
    futures_util::future::join(sweeping, moving).await;
    assert_eq!(site.store_blobs(), 1);
    assert!(site.db_broken().await.is_empty());
    assert_eq!(site.anon().get(&file("1", "f.sha256")).await.is(200).text(), format!("{}  f\n", sha256(&bytes)));
}

/// What a client knows of a version, by the last answer about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    There,
    Deleted,
    /// A request was not answered.
    Unclear,
}

#[test]
fn a_server_killed_while_deleting_restoring_and_replacing_loses_nothing() {
    let home = Home::new();
    let (mut server, token, _) = with_two_files(&home);
    let address = |server: &Server| server.address.clone();
    for round in 0..3_u64 {
        let name = format!("round{round}");
        let at = address(&server);
        let work = || {
            let authorization = format!("Bearer {token}");
            let headers = [("Authorization", authorization.as_str())];
            let ask = |method: &str, path: &str, body: &[u8]| try_http(&at, method, path, &headers, body);
            let (mut known, mut bytes) = (Vec::new(), Vec::new());
            for number in 0..u64::MAX {
                let file = format!("/api/packages/ada/generic/{name}/{number}/f");
                known.push(Known::Unclear);
                bytes.push(crate::program::noise(round * 1000 + number, 2000));
                let Some((201, _)) = ask("PUT", &file, &bytes[bytes.len() - 1]) else { break };
                known[usize::try_from(number).unwrap()] = Known::There;
                let last = known.len() - 1;
                if number == 0 {
                    home.sql("UPDATE packages SET overwrite_versions = '{*}'");
                }
                known[last] = Known::Unclear;
                let Some((204, _)) = ask("DELETE", &file, b"") else { break };
                known[last] = Known::Deleted;
                let Some((200, list)) = ask("GET", "/api/v1/packages/ada/-/trash?limit=1", b"") else { break };
                let id = serde_json::from_slice::<Value>(&list).unwrap()[0]["id"].clone();
                known[last] = Known::Unclear;
                let restoration = format!("/api/v1/packages/ada/-/trash/{id}/restore");
                let Some((200, _)) = ask("POST", &restoration, b"") else { break };
                known[last] = Known::There;
                bytes[last] = crate::program::noise(round * 1000 + number + 500, 2100);
                known[last] = Known::Unclear;
                let Some((200, _)) = ask("PUT", &file, &bytes[last]) else { break };
                known[last] = Known::There;
                if number % 3 == 1 {
                    known[last] = Known::Unclear;
                    let Some((204, _)) = ask("DELETE", &file, b"") else { break };
                    known[last] = Known::Deleted;
                }
            }
            (known, bytes)
        };
        let (known, bytes) = std::thread::scope(|scope| {
            let worker = scope.spawn(work);
            let seen = format!(
                "SELECT 1 FROM versions v JOIN packages p ON p.id = v.package_id WHERE p.name = '{name}' AND v.version = '{}'",
                12 + round * 2
            );
            eventually("some versions are published", || {
                diesel::sql_query(&seen).execute(&mut home.database()).unwrap() == 1
            });
            let postmaster = std::fs::read_to_string(home.data().join("postgres/cluster/postmaster.pid")).unwrap();
            if round > 0 {
                signal(postmaster.lines().next().unwrap().parse().unwrap(), Signal::KILL);
            }
            signal(i32::try_from(server.child.id()).unwrap(), Signal::KILL);
            worker.join().unwrap()
        });
        drop(server);
        server = Server::start(&home);
        is_clean(&home, &["check", "--digests"]);
        for (number, (known, bytes)) in known.iter().zip(&bytes).enumerate() {
            let got = server.get(&format!("ada/generic/{name}/{number}/f"));
            match known {
                Known::There => assert_eq!(got, (200, bytes.clone()), "{number}"),
                Known::Deleted => assert_eq!(got.0, 404, "{number}"),
                Known::Unclear => assert!([200, 404].contains(&got.0), "{number}"),
            }
        }
        assert!(known.len() > 10 && known.iter().filter(|known| **known == Known::Unclear).count() <= 1, "{known:?}");
    }
    home.ok(&["gc", "--grace", "0"]);
    is_clean(&home, &["check", "--digests"]);
    let out = home.ok(&["trash", "empty"]);
    assert!(out.starts_with("ada: deleted ") && out.contains("\ngarbage collection will free "), "{out}");
    home.ok(&["gc", "--grace", "0"]);
    is_clean(&home, &["check", "--digests", "--grace", "0"]);
    assert_eq!(home.ok(&["trash", "list"]), "");
    server.stop();
}

#[test]
fn trash_commands_list_and_empty_the_trash_of_one_owner_or_of_all() {
    let home = Home::new();
    let (server, token, [small, large]) = with_two_files(&home);
    assert_eq!(server.put(&token, "ada/generic/app/2/copy.bin", &small), 201);
    assert_eq!(server.delete(&token, "ada/generic/app/1/small.bin"), 204);
    assert_eq!(server.delete(&token, "ada/generic/app/1"), 204);
    let out = home.ok(&["trash", "list"]);
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split('\t').collect()).collect();
    let seen: Vec<_> = lines.iter().map(|line| (line[1], line[2], line[5], line[6])).collect();
    let size = large.len().to_string();
    assert_eq!(seen, [("ada/app/1/small.bin", "1000", "deleted", "ada"), ("ada/app/1", &*size, "deleted", "ada")]);
    assert_eq!(home.ok(&["trash", "list", "--owner", "ADA"]), out);
    let ran = home.run(&["trash", "list", "--owner", "nobody"]);
    assert_eq!((ran.code, ran.err.contains("owner not found")), (1, true), "{}", ran.err);
    assert_eq!(home.ok(&["trash", "empty", "--older-than", "1"]), "garbage collection will free 0 bytes\n");
    // The bytes of the small file are also those of another.
    let out = home.ok(&["trash", "empty", "--owner", "ada"]);
    let bytes = large.len() + 1000;
    assert_eq!(
        out,
        format!("ada: deleted 2 entries, 2 files, {bytes} bytes\ngarbage collection will free {size} bytes\n")
    );
    assert_eq!(
        home.ok(&["gc", "--grace", "0"]).lines().next().unwrap(),
        format!("removed 1 blob without a file and 0 leftovers of crashed uploads, {size} bytes in total")
    );
    is_clean(&home, &["check", "--digests", "--grace", "0"]);
    server.stop();
}

#[test]
fn check_names_damaged_files_in_the_trash_and_a_backup_has_them() {
    let home = Home::new();
    let (server, token, [small, _]) = with_two_files(&home);
    assert_eq!(server.delete(&token, "ada/generic/app/1/small.bin"), 204);
    home.ok(&["gc", "--grace", "0"]);
    is_clean(&home, &["check", "--digests", "--grace", "0"]);
    let blob = home.blob(&small);
    flip(&blob, 500);
    finds(&home, &["check", "--digests"], &["ada/app/1/small.bin (in the trash)", "damaged"]);
    flip(&blob, 500);
    home.ok(&["backup", home.path("backup").to_str().unwrap()]);
    for (broken, mended, expected) in [
        (
            "UPDATE trash SET bytes = bytes + 1",
            "UPDATE trash SET bytes = bytes - 1",
            "of the trash has 1 files of 1000 bytes instead of 1 of 1001",
        ),
        (
            "UPDATE trash SET versions = versions + 1",
            "UPDATE trash SET versions = versions - 1",
            "of the trash lacks its package or versions",
        ),
    ] {
        home.sql(broken);
        finds(&home, &["check"], &["ada/app/1/small.bin: entry 1 ", expected]);
        home.sql(mended);
    }
    server.stop();

    let other = Home::new();
    other.ok(&["restore", home.path("backup").to_str().unwrap()]);
    let server = Server::start(&other);
    is_clean(&other, &["check", "--digests", "--grace", "0"]);
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", authorization.as_str())];
    let list = try_http(&server.address, "GET", "/api/v1/packages/ada/-/trash", &headers, b"").unwrap().1;
    let id = serde_json::from_slice::<Value>(&list).unwrap()[0]["id"].clone();
    let restoration = format!("/api/v1/packages/ada/-/trash/{id}/restore");
    assert_eq!(try_http(&server.address, "POST", &restoration, &headers, b"").unwrap().0, 200);
    assert_eq!(server.get("ada/generic/app/1/small.bin"), (200, small));
    server.stop();
}

#[tokio::test]
async fn nothing_is_restored_into_an_archived_package() {
    let site = Site::new();
    site.ci().publish(&file("1", "a"), "x").await;
    site.ci().publish(&file("1", "b"), "x").await;
    site.ci().delete(&file("1", "b")).await.is(204);
    let package = "/api/v1/packages/ada/generic/tool";
    site.ci().patch(package, &json!({"archived": true})).await.is(200);
    let id = last(&site).await;
    restore(&site, id).await.is(409).says("the package tool is archived");
    site.ci().patch(package, &json!({"archived": false})).await.is(200);
    restore(&site, id).await.is(200);
}

#[tokio::test]
async fn a_token_that_may_not_publish_sees_no_drafts_in_the_trash() {
    let site = Site::new();
    for (version, name) in [("1", "a"), ("2", "a"), ("2", "b")] {
        let query = if version == "2" { "?draft=true" } else { "" };
        site.ci().publish(&format!("{}{query}", file(version, name)), "x").await;
    }
    site.ci().delete(&file("2", "b")).await.is(204);
    site.ci().delete(&path(&["ada", "tool", "2"])).await.is(204);
    site.ci().delete(&path(&["ada", "tool", "1"])).await.is(204);
    assert_eq!(entries(&site.ci()).await.len(), 3);
    let seen = site.reader().get(TRASH).await.is(200);
    assert_eq!((seen.json()[0]["version"].as_str(), seen.header("x-total-count")), (Some("1"), Some("1")));
}
