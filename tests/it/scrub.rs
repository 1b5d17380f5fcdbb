//! Scrubbing: the server reads every blob in turn, reports damage once, and an upload of the same content repairs it.

use crate::support::receiver::Receiver;
use crate::support::{Site, eventually, log, noise, path};
use packhouse::jobs::scrub::{self, ScrubPlan, Scrubbed};
use packhouse::registry;
use serde_json::json;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn file(name: &str) -> String {
    path(&["ada", "tool", "1", name])
}

/// The path of the blob of a file.
fn blob_of(site: &Site, name: &str) -> PathBuf {
    let key = site.db_texts(&format!(
        "SELECT b.storage_key AS text FROM blobs b JOIN files f ON f.blob_id = b.id WHERE f.name = '{name}'"
    ));
    site.dir.join("data/blobs/blobs").join(&key[0][..2]).join(&key[0])
}

fn flip(path: &PathBuf, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[!byte[0]], at).unwrap();
}

/// Scrubs all blobs that are due, as this server.
async fn pass(site: &Site, server: u64) -> Option<Scrubbed> {
    let app = &site.app;
    let plan = ScrubPlan { server, bytes_per_second: u64::MAX, ..app.scrub_plan() };
    let progress = scrub::lease_due(&app.db, &app.store, &app.clock, plan).await.unwrap()?;
    Some(scrub::pass(&app.db, &app.store, &app.clock, plan, progress).await.unwrap())
}

fn finished(blobs: u64, bytes: u64, damaged: i64) -> Option<Scrubbed> {
    Some(Scrubbed::Finished { blobs, bytes, damaged })
}

#[tokio::test]
async fn scrub_reports_every_damage_once_and_an_upload_repairs_it() {
    let site = Site::new();
    let contents = [noise(500), noise(2_000_000), noise(3_000_000), noise(5_000_000)];
    for (name, bytes) in ["flipped", "cut", "gone", "sound"].iter().zip(&contents) {
        site.ci().publish(&file(name), bytes.clone()).await;
    }
    site.ci().publish(&path(&["ada", "other", "2", "twin"]), contents[1].clone()).await;
    assert_eq!(pass(&site, 1).await, finished(4, 10_000_500, 0));

    flip(&blob_of(&site, "flipped"), 100);
    fs::OpenOptions::new().write(true).open(blob_of(&site, "cut")).unwrap().set_len(1_999_999).unwrap();
    fs::remove_file(blob_of(&site, "gone")).unwrap();
    assert_eq!(pass(&site, 1).await, None, "each blob is read every 30 days, not more often");
    site.pass(30 * DAY);
    assert_eq!(pass(&site, 1).await, finished(4, 10_000_500, 3));
    let line = |damage: &str, files: &str| {
        let log = log::captured();
        log.lines().filter(|line| line.contains(&format!("damage={damage}")) && line.contains(files)).count()
    };
    assert_eq!(line("wrong length", "ada/tool/1/cut, ada/other/2/twin"), 1);
    assert_eq!(line("missing", "ada/tool/1/gone"), 1);

    let mut browser = site.browser_of("admin").await;
    assert!(browser.go("/-/admin").await.is(200).one("#damaged").contains("3 stored files are damaged"));
    let rows = browser.go("/-/admin/system").await.is(200).all("#damaged tbody tr");
    for words in ["ada/tool/1/flipped wrong bytes", "ada/tool/1/cut, ada/other/2/twin wrong length"] {
        assert!(rows.iter().any(|row| row.contains(words)), "{words}: {rows:?}");
    }
    site.pass(30 * DAY);
    browser = site.browser_of("admin").await;
    assert_eq!(pass(&site, 1).await, finished(4, 10_000_500, 3));
    assert_eq!(line("missing", "ada/tool/1/gone"), 1, "known damage is not reported again");

    for bytes in &contents {
        site.ci().publish(&path(&["ada", "again", &bytes.len().to_string(), "f"]), bytes.clone()).await;
    }
    assert!(browser.go("/-/admin/system").await.is(200).all("#damaged").is_empty());
    assert_eq!(site.db_number("SELECT count(*) AS n FROM damaged_blobs"), 0);
    for (name, bytes) in ["flipped", "cut", "gone", "sound"].iter().zip(&contents) {
        assert!(site.anon().get(&file(name)).await.is(200).body == *bytes, "{name}");
    }
}

#[tokio::test]
async fn a_blob_that_was_put_back_is_no_longer_damaged() {
    let site = Site::new();
    site.ci().publish(&file("f"), noise(2_000_000)).await;
    flip(&blob_of(&site, "f"), 1_500_000);
    assert_eq!(pass(&site, 1).await, finished(1, 2_000_000, 1));
    flip(&blob_of(&site, "f"), 1_500_000);
    site.pass(30 * DAY);
    assert_eq!(pass(&site, 1).await, finished(1, 2_000_000, 0));
}

#[tokio::test]
async fn webhooks_name_the_damaged_files_of_each_version() {
    let site = Site::with(&[("PACKHOUSE_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8")]);
    let receiver = Receiver::new();
    let bytes = noise(1000);
    for name in ["a", "b"] {
        site.ci().publish(&file(name), bytes.clone()).await;
    }
    site.ci().publish(&file("c"), "sound").await;
    let config = json!({"url": receiver.url(), "content_type": "json"});
    let body = json!({"type": "gitea", "active": true, "config": config});
    site.ada().post("/api/v1/user/hooks", &body).await.is(201);
    flip(&blob_of(&site, "a"), 5);
    assert_eq!(pass(&site, 1).await, finished(2, 1005, 1));
    site.app.webhook_sender().run().await;
    assert_eq!(receiver.news(), ["damaged tool 1"]);
    let heard = receiver.heard().remove(0).json();
    assert_eq!(heard["damaged_files"], json!(["a", "b"]));
    assert_eq!(heard["sender"], json!(null));
}

#[tokio::test]
async fn one_server_scrubs_at_a_time_and_another_continues_if_it_dies() {
    let site = Site::new();
    for name in ["a", "b", "c"] {
        site.ci().publish(&file(name), name).await;
    }
    let (app, plan) = (&site.app, ScrubPlan { server: u64::MAX - 1, ..site.app.scrub_plan() });
    let mut progress = scrub::lease_due(&app.db, &app.store, &app.clock, plan).await.unwrap().unwrap();
    progress.after = packhouse::domain::ids::BlobId(site.db_number("SELECT min(id) AS n FROM blobs"));
    progress.blobs = 1;
    progress.bytes = 1;
    let (to, now) = (progress.clone(), site.now());
    assert!(app.db.write(move |conn| registry::operations::scrub::advance(conn, to.clone(), now)).await.unwrap());

    assert_eq!(pass(&site, 2).await, None, "the first server holds the lease");
    site.pass(Duration::from_secs(301));
    assert_eq!(pass(&site, 2).await, finished(3, 3, 0), "the first blob is not read again");
    let (to, now) = (progress, site.now());
    assert!(!app.db.write(move |conn| registry::operations::scrub::advance(conn, to.clone(), now)).await.unwrap());
}

#[tokio::test]
async fn a_button_starts_a_scrub_pass() {
    let site = Site::new();
    site.ci().publish(&file("f"), "x").await;
    let mut browser = site.browser_of("admin").await;
    browser.go("/-/admin/system").await.is(200);
    for _ in 0..2 {
        browser.submit("#task-scrub form", &[]).await.is(303);
        eventually("it has ended", async || {
            browser
                .go("/-/admin/system")
                .await
                .is(200)
                .one("#task-scrub")
                .contains("read 1 blob (1 B); 0 damaged blobs")
        })
        .await;
    }
}
