//! Copying and moving files between versions.

use crate::support::people::{db_org, db_user};
use crate::support::{Answer, Plan, Site, path};
use futures_util::future::join;
use packhouse::domain::role::Visibility;
use serde_json::{Value, json};

async fn run(site: &Site, what: &str, to: [&str; 3], from: Value) -> Answer {
    let [owner, name, version] = to;
    site.ci().post(&format!("/api/v1/packages/{owner}/generic/{name}/{version}/{what}"), &from).await
}

async fn published() -> Site {
    let site = Site::new();
    for (name, bytes) in [("a.tgz", "aaa"), ("b.tgz", "bbbb"), ("notes.txt", "n")] {
        site.ci().publish(&path(&["ada", "tool", "1.0.0-rc.1", name]), bytes).await;
    }
    site
}

async fn files(site: &Site, owner: &str, package: &str, version: &str) -> Vec<String> {
    let answer = site.ci().get(&path(&[owner, package, version])).await;
    if answer.status == 404 { Vec::new() } else { answer.is(200).lines().iter().map(ToString::to_string).collect() }
}

#[tokio::test]
async fn a_copy_has_the_files_of_the_version_and_moves_no_bytes() {
    let site = published().await;
    site.db_execute("UPDATE versions SET notes = 'What is new'");
    let blobs = site.store_blobs();
    let made = run(&site, "copy", ["ada", "tool", "1.0.0"], json!({"version": "1.0.0-rc.1"})).await.is(201).json();
    assert_eq!((&made["version"], &made["size"]), (&json!("1.0.0"), &json!(8)));
    assert_eq!(files(&site, "ada", "tool", "1.0.0").await.len(), 3);
    assert_eq!(files(&site, "ada", "tool", "1.0.0-rc.1").await.len(), 3);
    assert_eq!(site.anon().get(&path(&["ada", "tool", "1.0.0", "a.tgz"])).await.is(200).text(), "aaa");
    assert_eq!(site.store_blobs(), blobs);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM versions WHERE notes = 'What is new'"), 2);
    let from = json!({"owner": "ada", "name": "tool", "version": "1.0.0-rc.1", "files": ["*.tgz"]});
    run(&site, "copy", ["ada", "other", "7"], from).await.is(201);
    assert_eq!(files(&site, "ada", "other", "7").await, ["a.tgz", "b.tgz"]);
    let from = json!({"name": "tool", "version": "1.0.0-rc.1", "files": ["notes.*"]});
    run(&site, "copy", ["ada", "other", "7"], from).await.is(200);
    assert!(site.db_broken().await.is_empty());
    insta::assert_snapshot!(site.db_audit()[3..].join("\n"), @"
    version.copy by ada with token from 127.0.0.1 on ada tool/1.0.0
    version.copy by ada with token from 127.0.0.1 on ada other/7
    version.copy by ada with token from 127.0.0.1 on ada other/7
    ");
}

#[tokio::test]
async fn a_copy_is_all_or_nothing_and_names_what_exists() {
    let site = published().await;
    site.ci().publish(&path(&["ada", "tool", "1.0.0", "B.TGZ"]), "another").await;
    let refused = run(&site, "copy", ["ada", "tool", "1.0.0"], json!({"version": "1.0.0-rc.1"})).await.is(409);
    refused.says("nothing was changed, because ada/tool/1.0.0 has these files already: b.tgz");
    assert_eq!(files(&site, "ada", "tool", "1.0.0").await, ["B.TGZ"]);
    run(&site, "copy", ["ada", "tool", "1.0.0"], json!({"version": "9"})).await.is(404);
    let nothing = json!({"version": "1.0.0-rc.1", "files": ["*.deb"]});
    run(&site, "copy", ["ada", "tool", "2"], nothing.clone()).await.is(404);
    run(&site, "move", ["ada", "tool", "2"], nothing).await.is(404);
    run(&site, "copy", ["ada", "tool", "2"], json!({"version": "1.0.0-rc.1", "files": ["["]})).await.is(422);
    assert!(files(&site, "ada", "tool", "2").await.is_empty());
    site.db_execute("UPDATE versions SET state = 2, sealed_at = now() WHERE version = '1.0.0'");
    let sealed = json!({"version": "1.0.0-rc.1", "files": ["a.tgz"]});
    run(&site, "copy", ["ada", "tool", "1.0.0"], sealed).await.is(409).says("version is sealed");
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_move_takes_the_files_away_and_keeps_their_downloads() {
    let site = published().await;
    site.anon().get(&path(&["ada", "tool", "1.0.0-rc.1", "a.tgz"])).await.is(200);
    site.db_flush().await;
    run(&site, "move", ["ada", "tool", "1.0.0"], json!({"version": "1.0.0-rc.1"})).await.is(201);
    assert_eq!(files(&site, "ada", "tool", "1.0.0").await.len(), 3);
    assert!(files(&site, "ada", "tool", "1.0.0-rc.1").await.is_empty());
    assert_eq!(site.db_number("SELECT sum(download_count)::bigint AS n FROM files"), 1);
    run(&site, "move", ["ada", "other", "1"], json!({"name": "tool", "version": "1.0.0", "files": ["a*"]}))
        .await
        .is(201);
    assert_eq!(files(&site, "ada", "tool", "1.0.0").await, ["b.tgz", "notes.txt"]);
    assert_eq!(files(&site, "ada", "other", "1").await, ["a.tgz"]);
    run(&site, "move", ["ada", "other", "1"], json!({"name": "tool", "version": "1.0.0"})).await.is(200);
    site.anon().get(&path(&["ada", "tool"])).await.is(404);
    assert!(site.db_broken().await.is_empty());
    insta::assert_snapshot!(site.db_audit()[3..].join("\n"), @"
    version.delete by ada with token from 127.0.0.1 on ada tool/1.0.0-rc.1
    version.move by ada with token from 127.0.0.1 on ada tool/1.0.0
    file.delete by ada with token from 127.0.0.1 on ada tool/1.0.0/a.tgz
    version.move by ada with token from 127.0.0.1 on ada other/1
    version.delete by ada with token from 127.0.0.1 on ada tool/1.0.0
    version.move by ada with token from 127.0.0.1 on ada other/1
    ");
}

#[tokio::test]
async fn copying_needs_reading_there_and_publishing_here() {
    let site = published().await;
    site.db(|conn| {
        db_user(conn, "hidden", Visibility::Private, false)?;
        db_org(conn, "acme", Visibility::Public)
    });
    let hidden = site.anon().bearer(&site.db_token("hidden", &["write:package"]));
    hidden.publish(&path(&["hidden", "tool", "1", "f"]), "x").await;
    let of = |owner: &str| json!({"owner": owner, "name": "tool", "version": "1"});
    let (private, absent) = (
        run(&site, "copy", ["ada", "mine", "1"], of("hidden")).await.is(404),
        run(&site, "copy", ["ada", "mine", "1"], of("absent")).await.is(404),
    );
    assert_eq!(private.looks(), absent.looks());
    let tool = json!({"owner": "ada", "name": "tool", "version": "1.0.0-rc.1"});
    let at = |owner: &str, what: &str| format!("/api/v1/packages/{owner}/generic/mine/1/{what}");
    site.reader().post(&at("ada", "copy"), &tool).await.is(403);
    site.stranger().post(&at("ada", "copy"), &tool).await.is(403);
    site.anon().post(&at("ada", "copy"), &tool).await.is(401);
    // Whoever may only read there can copy, but not move.
    site.stranger().post(&at("stranger", "move"), &tool).await.is(403);
    site.stranger().post(&at("stranger", "copy"), &tool).await.is(201);
    site.ci().post(&at("acme", "copy"), &tool).await.is(201);
    site.db_execute("UPDATE versions SET state = 0 WHERE version = '1.0.0-rc.1'");
    site.stranger().post(&at("stranger", "copy"), &tool).await.is(404);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn copies_count_toward_the_quota_file_by_file() {
    let site = published().await;
    site.db_execute("UPDATE owners SET quota_bytes = 17, quota_file_bytes = 4 WHERE name = 'ada'");
    run(&site, "copy", ["ada", "tool", "2"], json!({"version": "1.0.0-rc.1"})).await.is(201);
    let full = run(&site, "copy", ["ada", "tool", "3"], json!({"version": "1.0.0-rc.1"})).await.is(403);
    full.says("allows 17 bytes");
    site.db_execute("UPDATE owners SET quota_bytes = NULL, quota_file_bytes = 3 WHERE name = 'ada'");
    run(&site, "copy", ["ada", "tool", "3"], json!({"version": "2"})).await.is(403).says("per file");
    assert!(files(&site, "ada", "tool", "3").await.is_empty());
    assert!(site.db_broken().await.is_empty());
}

/// A server with more threads and connections.
fn busy() -> Site {
    let settings = &[("PACKHOUSE_WORKERS", "4"), ("PACKHOUSE_DATABASE_WRITE_CONNECTIONS", "12")];
    Site::start(Plan { settings, real_time: true, ..Plan::default() })
}

#[tokio::test]
async fn a_copy_and_a_deletion_of_its_source_leave_no_half() {
    let site = busy();
    for round in 0..12 {
        let (from, to) = (format!("1.{round}"), format!("2.{round}"));
        for name in ["a", "b", "c"] {
            site.ci().publish(&path(&["ada", "tool", &from, name]), format!("{name}{round}")).await;
        }
        let source = path(&["ada", "tool", &from]);
        let copy = run(&site, "copy", ["ada", "copy", &to], json!({"name": "tool", "version": from}));
        let (copied, deleted) = join(copy, site.ci().delete(&source).into_future()).await;
        assert_eq!(deleted.status, 204);
        let found = files(&site, "ada", "copy", &to).await.len();
        assert_eq!(found, if copied.status == 201 { 3 } else { 0 }, "{}", copied.status);
        assert!(matches!(copied.status, 201 | 404), "{}", copied.status);
    }
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn copies_and_moves_in_both_directions_do_not_block_each_other() {
    let site = busy();
    for package in ["one", "two"] {
        for version in 0..10 {
            let file = path(&["ada", package, &format!("{version}"), "f"]);
            site.ci().publish(&file, format!("{package}{version}")).await;
        }
    }
    let mut all = Vec::new();
    for at in 0..10 {
        let version = format!("{at}");
        let target = format!("from-{at}");
        let what = if at % 2 == 0 { "copy" } else { "move" };
        for (here, there) in [("one", "two"), ("two", "one")] {
            let (target, version, site) = (target.clone(), version.clone(), &site);
            all.push(async move {
                run(site, what, ["ada", here, &target], json!({"name": there, "version": version})).await
            });
        }
    }
    for answer in futures_util::future::join_all(all).await {
        answer.is(201);
    }
    for package in ["one", "two"] {
        assert_eq!(site.anon().get(&path(&["ada", package])).await.is(200).lines().len(), 15, "{package}");
    }
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_copy_of_a_draft_is_a_draft_and_a_moved_version_keeps_its_flags() {
    let site = Site::new();
    let draft = |version: &str| format!("{}?draft=true", path(&["ada", "tool", version, "f"]));
    site.ci().publish(&draft("2.0-rc"), "secret").await;
    for (what, to) in [("copy", "2.0-copy"), ("move", "2.0")] {
        let made = run(&site, what, ["ada", "tool", to], json!({"version": "2.0-rc"})).await.is(201).json();
        assert_eq!(made["state"], "draft", "{what}");
        site.anon().get(&path(&["ada", "tool", to, "f"])).await.is(404);
    }
    site.ci().publish(&path(&["ada", "tool", "1.0", "f"]), "x").await;
    let flags = json!({"yanked": true, "yank_reason": "broken", "expires_at": "2030-01-01T00:00:00Z"});
    site.ci().patch("/api/v1/packages/ada/generic/tool/1.0", &flags).await.is(200);
    let moved = run(&site, "move", ["ada", "tool", "1.0.0"], json!({"version": "1.0"})).await.is(201).json();
    let kept = (&moved["yanked"], &moved["yank_reason"], &moved["expires_at"]);
    assert_eq!(kept, (&flags["yanked"], &flags["yank_reason"], &flags["expires_at"]));
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_copy_never_makes_a_file_a_directory_too() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1.0", "bin/tool"]).replace("%2F", "/"), "x").await;
    site.ci().publish(&path(&["ada", "tool", "2.0", "BIN"]), "y").await;
    let refused = run(&site, "copy", ["ada", "tool", "2.0"], json!({"version": "1.0"})).await.is(409);
    refused.says("BIN would be both a file and a directory, which contains bin/tool");
    let refused = run(&site, "copy", ["ada", "tool", "1.0"], json!({"version": "2.0"})).await.is(409);
    refused.says("BIN would be both a file and a directory, which contains bin/tool");
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn thousands_of_files_are_copied_into_a_version_that_exists() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1.0", "first"]), "x").await;
    // More than there is room for in Postgres's table of locks, if each file took one.
    site.db_execute(
        "INSERT INTO files (version_id, blob_id, name, lower_name, creator_id, created_at) \
         SELECT version_id, blob_id, n || '/' || n, n || '/' || n, creator_id, created_at \
         FROM files, generate_series(1, 9000) n",
    );
    site.db_execute("UPDATE owner_usage SET bytes = 9001");
    site.db_execute("DELETE FROM usage_changes");
    site.ci().publish(&path(&["ada", "tool", "2.0", "other"]), "y").await;
    run(&site, "copy", ["ada", "tool", "2.0"], json!({"version": "1.0"})).await.is(200);
    assert_eq!(files(&site, "ada", "tool", "2.0").await.len(), 9002);
}
