//! Moving all blobs to another store with `packhouse store`.

use crate::support::bucket::{Bucket, Fault};
use crate::support::{Site, eventually, noise, path};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use hyper::Method;
use packhouse::config::Config;
use packhouse::jobs::store_copy::{Stores, copy, switch};
use packhouse::storage::{BlobStore, StorePlace};
use std::path::Path;
use std::sync::Arc;

const MIB: usize = 1 << 20;

fn file(name: &str) -> String {
    path(&["ada", "tool", "1.0", name])
}

/// Opens the store that a configuration file describes.
async fn open(dir: &Path, text: &str) -> BlobStore {
    let file = dir.join("new-store.toml");
    std::fs::write(&file, text).unwrap();
    let config = Config::from_sources(Some(&file), []).unwrap();
    let place = StorePlace::of(&config);
    tokio::task::spawn_blocking(move || BlobStore::open(&place, true, None)).await.unwrap().unwrap()
}

fn quiet() -> packhouse::jobs::store_copy::Progress {
    Arc::new(|_| {})
}

async fn publish(site: &Site) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for size in [0, 5, MIB + 3, 9 * MIB] {
        let (name, bytes) = (file(&size.to_string()), noise(size));
        site.ci().publish(&name, bytes.clone()).await;
        files.push((name, bytes));
    }
    files
}

#[tokio::test]
async fn all_blobs_move_from_a_directory_to_a_bucket_and_back() {
    let site = Site::new();
    let files = publish(&site).await;
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket::new(dir.path());
    let to = open(dir.path(), &bucket.described()).await;
    let stores = Stores { from: site.app.store.clone(), to };
    let copied = copy(&site.app.db, &stores, None, quiet()).await.unwrap();
    assert_eq!((copied.blobs, copied.copied, copied.lost.len()), (4, 4, 0));
    // What was uploaded since is copied by the switch, and nothing else.
    site.ci().publish(&file("late"), "late").await;
    let switched = switch(&site.app.db, &stores, false, quiet()).await.unwrap();
    assert_eq!((switched.blobs, switched.copied), (5, 1));
    site.ci().put(&file("later"), "later").await.is(503);
    site.anon().get(&file("late")).await.is(503);

    let settings = bucket.settings();
    let key = site.dir.join("data/secret-key");
    let mut pairs: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    pairs.push(("PACKHOUSE_SECRET_KEY_FILE", key.to_str().unwrap()));
    let plan = crate::support::Plan { settings: &pairs, url: Some(site.url.clone()), ..Default::default() };
    let moved = Site::start(plan);
    for (name, bytes) in &files {
        assert!(moved.anon().get(name).await.is(200).body == *bytes, "{name}");
    }
    moved.anon().get(&file("late")).await.is(200).says("late");
    moved.ci().publish(&file("later"), "later").await;

    let back = open(dir.path(), &format!("[store]\ndir = {:?}", dir.path().join("back"))).await;
    let stores = Stores { from: moved.app.store.clone(), to: back.clone() };
    assert_eq!(switch(&moved.app.db, &stores, false, quiet()).await.unwrap().copied, 6);
    assert_eq!(back.walk().unwrap().count(), 6);
}

#[tokio::test]
async fn an_interrupted_copy_goes_on_where_it_stopped() {
    let site = Site::new();
    publish(&site).await;
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket::new(dir.path());
    let to = open(dir.path(), &bucket.described()).await;
    let stores = Stores { from: site.app.store.clone(), to };
    bucket.fail(Method::PUT, "partNumber", usize::MAX, Fault::Error(503, "SlowDown"));
    copy(&site.app.db, &stores, None, quiet()).await.unwrap_err();
    bucket.heal();
    let copied = copy(&site.app.db, &stores, None, quiet()).await.unwrap();
    assert_eq!((copied.blobs, copied.copied), (4, 1));
}

#[tokio::test]
async fn a_lost_blob_prevents_the_switch_unless_it_is_accepted() {
    let site = Site::new();
    publish(&site).await;
    let key = site.db_texts("SELECT storage_key AS text FROM blobs WHERE size = 5").remove(0);
    std::fs::remove_file(site.dir.join("data/blobs/blobs").join(&key[..2]).join(&key)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let to = open(dir.path(), &format!("[store]\ndir = {:?}", dir.path().join("new"))).await;
    let stores = Stores { from: site.app.store.clone(), to };
    let refused = switch(&site.app.db, &stores, false, quiet()).await.unwrap_err().to_string();
    assert!(refused.contains("has lost 1 blobs"), "{refused}");
    site.anon().get(&file("0")).await.is(200);
    let switched = switch(&site.app.db, &stores, true, quiet()).await.unwrap();
    assert_eq!((switched.blobs, switched.lost), (3, vec![key]));
}

#[tokio::test]
async fn blobs_are_not_copied_into_the_store_of_another_instance() {
    let (site, other) = (Site::new(), Site::new());
    publish(&site).await;
    publish(&other).await;
    for (to, words) in [(&other, "has the files of another instance"), (&site, "the store that the database uses")] {
        let stores = Stores { from: site.app.store.clone(), to: to.app.store.clone() };
        let refused = copy(&site.app.db, &stores, None, quiet()).await.unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}

#[tokio::test]
async fn a_connection_opened_during_a_switch_belongs_to_no_store_afterward() {
    let site = Site::new();
    site.ci().publish(&file("before"), "before").await;
    let mut switching = PgConnection::establish(&site.url).unwrap();
    // As the switch does, up to its commit: connections that are opened now still see the former store.
    let begin = "BEGIN; SELECT pg_advisory_xact_lock(hashtext('packhouse'), hashtext('store switch')); \
                 UPDATE settings SET value = '\"another\"' WHERE key = 'store_id'; \
                 SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    switching.batch_execute(begin).unwrap();
    let upload = tokio::spawn(site.ci().put(&file("meanwhile"), "meanwhile").into_future());
    let waiting = "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually("a new connection waits for the switch", async || site.db_number(waiting) > 0).await;
    switching.batch_execute("COMMIT").unwrap();
    upload.await.unwrap().is(503).says("another store");
}
