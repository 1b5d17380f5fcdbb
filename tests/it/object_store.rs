//! Blobs in a bucket of an object store: publishing, downloading, leases, sweeps, checks.

use crate::support::bucket::{Bucket, Fault};
use crate::support::cluster::cluster;
use crate::support::{Plan, Site, TestStore, eventually, noise, path, sha256, wire};
use hyper::Method;
use packhouse::jobs::check::{self, Options};
use packhouse::jobs::scrub::{self, Scrubbed};
use packhouse::storage::StorageKey;
use std::sync::Arc;
use std::time::Duration;

const MIB: usize = 1 << 20;
const NOW: Duration = Duration::ZERO;
/// Longer than any lease.
const LONG: Duration = Duration::from_secs(2 * 86_400);

fn file(name: &str) -> String {
    path(&["ada", "tool", "1.0", name])
}

/// Another server of the same database and bucket.
fn beside(site: &Site) -> Site {
    site.beside(Plan::default())
}

/// The lines of `packhouse check --digests`.
async fn checked(site: &Site) -> Vec<String> {
    let (mut lines, app) = (Vec::new(), &site.app);
    let options = Options { patience: Duration::ZERO, digests: true };
    check::run(&app.db, &app.store, &app.clock, options, |line| lines.push(line.to_owned())).await.unwrap();
    lines
}

/// How many blobs are held.
fn held(site: &Site) -> usize {
    site.on_store(|store| store.held().unwrap().len())
}

/// A body that sends the first bytes, and the rest when the test says so.
fn in_two(bytes: &[u8], first: usize) -> (reqwest::Body, tokio::sync::oneshot::Sender<()>) {
    let (go_on, wait) = tokio::sync::oneshot::channel::<()>();
    let (head, tail) = (bytes[..first].to_vec(), bytes[first..].to_vec());
    let rest = async move { wait.await.map(|()| tail) };
    let pieces = futures_util::stream::once(async { Ok(head) });
    (reqwest::Body::wrap_stream(futures_util::StreamExt::chain(pieces, futures_util::stream::once(rest))), go_on)
}

#[tokio::test]
async fn files_of_every_size_come_back_from_a_bucket() {
    let site = Site::on_s3();
    for size in [0, 1, 65_536, 65_537, MIB, MIB + 1, 8 * MIB, 8 * MIB + 1, 25 * MIB + 17] {
        let (bytes, file) = (noise(size), file(&format!("{size}.bin")));
        site.ci().publish(&file, bytes.clone()).await;
        let got = site.anon().get(&file).await.is(200);
        assert!(got.body == bytes, "{size}");
        assert_eq!(got.header("etag"), Some(format!("\"{}\"", sha256(&bytes)).as_str()));
        site.anon().head(&file).await.is(200);
        if size > 2 {
            let from = size / 2;
            let part = site.anon().get(&file).header("range", format!("bytes={from}-{}", size - 2)).await.is(206);
            assert!(part.body == bytes[from..size - 1], "{size}");
        }
    }
    assert_eq!(site.bucket().uploads(), [""; 0]);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM upload_leases"), 0);
    assert_eq!(checked(&site).await, [""; 0]);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_small_file_is_one_put_and_a_large_one_goes_in_parts() {
    let site = Site::on_s3();
    let kinds = |site: &Site| {
        let requests = site.bucket().requests();
        let kind = |request: &String| match request.split_once('?') {
            Some((_, query)) if query.starts_with("partNumber") => "part".to_owned(),
            Some((_, query)) if query.starts_with("uploadId") => "end".to_owned(),
            Some((_, query)) if query.starts_with("uploads") => "begin".to_owned(),
            _ => request.split(' ').next().unwrap().to_owned(),
        };
        let mut kinds: Vec<String> = requests.iter().map(kind).collect();
        kinds.sort();
        kinds.join(" ")
    };
    kinds(&site);
    site.ci().publish(&file("small"), "hello").await;
    assert_eq!(kinds(&site), "HEAD PUT");
    site.ci().publish(&file("large"), noise(20 * MIB)).await;
    assert_eq!(kinds(&site), "HEAD begin end part part part");
}

#[tokio::test]
async fn keys_in_a_bucket_are_random_and_below_the_prefix() {
    let site = Site::on_s3_with(&[("PACKHOUSE_STORE_PREFIX", "/a/b/")]);
    site.ci().publish(&file("x"), "hello").await;
    let key = site.db_texts("SELECT storage_key AS text FROM blobs").remove(0);
    assert!(!key.starts_with(&sha256("hello")), "{key}");
    let at = site.bucket().dir.join("a/b/blobs").join(&key[..2]).join(&key);
    assert_eq!(std::fs::read_to_string(at).unwrap(), "hello");
    assert!(site.bucket().dir.join("a/b/packhouse-store").exists());
    site.anon().get(&file("x")).await.is(200).says("hello");
}

#[tokio::test]
async fn an_interrupted_or_refused_upload_leaves_nothing_in_a_bucket() {
    let site = Site::on_s3();
    let bytes = noise(20 * MIB);
    let (body, go_on) = in_two(&bytes, 12 * MIB);
    let upload = tokio::spawn(site.ci().put(&file("x"), body).send());
    eventually("a part is sent", async || site.bucket().requests().iter().any(|r| r.contains("partNumber"))).await;
    drop(go_on);
    assert!(upload.await.unwrap().is_err());
    site.assert_empty().await;
    site.ci().put(&file("x"), bytes).header("x-checksum-sha256", "00".repeat(32)).await.is(422);
    site.ci().put(&file("x"), "hello").header("x-checksum-sha256", "00".repeat(32)).await.is(422);
    site.assert_empty().await;
}

#[tokio::test]
async fn sweeps_of_every_server_leave_a_running_upload_alone() {
    let site = Site::on_s3();
    let other = beside(&site);
    let bytes = noise(20 * MIB);
    let (body, go_on) = in_two(&bytes, 12 * MIB);
    let upload = tokio::spawn(site.ci().put(&file("x"), body).send());
    eventually("a part is sent", async || site.bucket().requests().iter().any(|r| r.contains("partNumber"))).await;
    site.bucket().age_uploads(LONG);
    let real = Duration::from_secs(86_400 * 3_650);
    other.db_execute("UPDATE upload_leases SET expires_at = expires_at + interval '20 years'");
    other.pass(real);
    assert_eq!(other.sweep(NOW).await.unwrap().orphans, 0);
    go_on.send(()).unwrap();
    upload.await.unwrap().unwrap().is(201);
    assert!(other.anon().get(&file("x")).await.is(200).body == bytes);
}

#[tokio::test]
async fn an_upload_whose_lease_was_taken_is_refused() {
    let site = Site::on_s3();
    let bytes = noise(MIB);
    let (body, go_on) = in_two(&bytes, 1000);
    let upload = tokio::spawn(site.ci().put(&file("x"), body).send());
    eventually("it has a lease", async || site.db_number("SELECT count(*) AS n FROM upload_leases") == 1).await;
    site.db_execute("DELETE FROM upload_leases");
    go_on.send(()).unwrap();
    upload.await.unwrap().unwrap().is(503).says("interrupted for too long");
    site.assert_empty().await;
}

#[tokio::test]
async fn what_crashed_uploads_left_in_a_bucket_is_swept() {
    let site = Site::on_s3();
    // Two uploads whose server died: one had sent all of its bytes, one some parts.
    let key = StorageKey::new(packhouse::domain::digest::Sha256::new([7; 32]), 7);
    let place = site.bucket().dir.join("blobs/07").join(key.to_string());
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(&place, "whole").unwrap();
    site.db_execute(&format!("INSERT INTO upload_leases VALUES ('{key}', '2026-01-01')"));
    let bytes = noise(20 * MIB);
    site.bucket().fail(Method::DELETE, "uploadId", usize::MAX, Fault::Error(403, "AccessDenied"));
    let (body, go_on) = in_two(&bytes, 12 * MIB);
    let upload = tokio::spawn(site.ci().put(&file("x"), body).send());
    eventually("a part is sent", async || site.bucket().requests().iter().any(|r| r.contains("partNumber"))).await;
    drop(go_on);
    assert!(upload.await.unwrap().is_err());
    eventually("it is not aborted", async || site.bucket().requests().iter().any(|r| r.starts_with("DELETE"))).await;
    site.bucket().heal();
    site.bucket().age_uploads(Duration::from_secs(86_400 * 3_650));
    assert_eq!(site.bucket().uploads().len(), 1);
    site.sweep(NOW).await.unwrap();
    assert!(!place.exists());
    assert_eq!(site.bucket().uploads().len(), 1, "its lease lasts");
    site.pass(Duration::from_secs(3_600));
    let swept = site.sweep(NOW).await.unwrap();
    assert_eq!((swept.orphans, site.bucket().uploads().len()), (1, 0));
    site.assert_empty().await;
}

#[tokio::test]
async fn a_replaced_copy_stays_for_its_downloads_and_is_swept() {
    let site = Site::on_s3();
    site.ci().publish(&file("x"), "hello").await;
    site.ci().publish(&file("y"), "hello").await;
    assert_eq!((site.store_blobs(), site.store_copies()), (1, 2));
    assert_eq!(site.sweep(NOW).await.unwrap().orphans, 0);
    site.pass(LONG);
    assert_eq!(site.sweep(NOW).await.unwrap().orphans, 1);
    assert_eq!(site.store_copies(), 1);
    site.anon().get(&file("x")).await.is(200).says("hello");
    assert_eq!(checked(&site).await, [""; 0]);
}

#[tokio::test]
async fn an_orphan_in_a_bucket_is_held_and_then_removed() {
    let site = Site::on_s3();
    site.ci().publish(&file("x"), "hello").await;
    site.ci().publish(&file("y"), "world").await;
    // The server's clock is behind the time of the objects.
    site.pass(Duration::from_secs(86_400 * 3_650));
    let row = "SELECT storage_key AS text FROM blobs ORDER BY id";
    let key = site.db_texts(row).remove(0);
    site.db_execute("ALTER TABLE files DISABLE TRIGGER ALL");
    site.db_execute("UPDATE blobs SET storage_key = 'gone' WHERE id = (SELECT min(id) FROM blobs)");
    let swept = site.sweep(Duration::from_secs(60)).await.unwrap();
    assert_eq!((swept.held, swept.orphans, site.store_blobs()), (1, 0, 1));
    assert_eq!(held(&site), 1);
    // The row comes back: so does the blob.
    site.db_execute(&format!("UPDATE blobs SET storage_key = '{key}' WHERE storage_key = 'gone'"));
    site.sweep(Duration::from_secs(60)).await.unwrap();
    assert_eq!(site.store_blobs(), 2);
    site.anon().get(&file("x")).await.is(200).says("hello");
    // It doesn't come back: the blob is removed after a second grace period.
    site.db_execute("UPDATE blobs SET storage_key = 'gone' WHERE id = (SELECT min(id) FROM blobs)");
    assert_eq!(site.sweep(Duration::from_secs(60)).await.unwrap().held, 1);
    assert_eq!(site.sweep(Duration::from_secs(60)).await.unwrap().orphans, 0);
    site.pass(Duration::from_secs(120));
    assert_eq!(site.sweep(Duration::from_secs(60)).await.unwrap().orphans, 1);
    assert_eq!(held(&site), 0);
    site.anon().get(&file("y")).await.is(200).says("world");
}

#[tokio::test]
async fn deleted_files_leave_the_bucket_with_the_sweep() {
    let site = Site::on_s3();
    site.ci().publish(&file("x"), noise(9 * MIB)).await;
    site.ci().delete(&format!("{}?purge=true", file("x"))).await.is(204);
    site.pass(Duration::from_secs(1));
    let swept = site.sweep(NOW).await.unwrap();
    assert_eq!((swept.unused, swept.bytes), (1, 9 * MIB as u64));
    assert_eq!(site.store_blobs(), 0);
}

#[tokio::test]
async fn damage_in_a_bucket_is_found_by_check_and_scrub() {
    let site = Site::on_s3();
    let names = ["intact", "missing", "short", "wrong"];
    for (at, name) in names.iter().enumerate() {
        site.ci().publish(&file(name), noise(2 * MIB + at)).await;
    }
    let keys = site.db_texts("SELECT storage_key AS text FROM blobs ORDER BY size");
    let place = |at: usize| site.bucket().dir.join("blobs").join(&keys[at][..2]).join(&keys[at]);
    std::fs::remove_file(place(1)).unwrap();
    std::fs::write(place(2), "short").unwrap();
    let mut bytes = std::fs::read(place(3)).unwrap();
    bytes[MIB + 5] ^= 1;
    std::fs::write(place(3), bytes).unwrap();
    std::fs::write(site.bucket().dir.join("blobs/notes.txt"), "notes").unwrap();
    let lines = checked(&site).await.join("\n");
    for part in ["missing: its bytes are missing", "short: its bytes are cut short", "wrong: its bytes are damaged"] {
        assert!(lines.contains(part), "{part} is not in {lines}");
    }
    assert!(lines.contains("blobs/notes.txt in the store was not created by Packhouse"), "{lines}");
    let (app, plan) = (&site.app, site.app.scrub_plan());
    let plan = scrub::ScrubPlan { now_please: true, ..plan };
    let progress = scrub::lease_due(&app.db, &app.store, &app.clock, plan).await.unwrap().unwrap();
    let scrubbed = scrub::pass(&app.db, &app.store, &app.clock, plan, progress).await.unwrap();
    assert!(matches!(scrubbed, Scrubbed::Finished { blobs: 4, damaged: 3, .. }), "{scrubbed:?}");
    // A new upload of the same bytes heals.
    site.ci().publish(&path(&["ada", "tool", "2.0", "again"]), noise(2 * MIB + 3)).await;
    assert!(site.anon().get(&file("wrong")).await.is(200).body == noise(2 * MIB + 3));
}

#[tokio::test]
async fn a_bucket_belongs_to_one_database() {
    let site = Site::on_s3();
    site.ci().publish(&file("x"), "hello").await;
    let bucket = site.bucket();
    let settings = bucket.settings();
    let (name, url) = cluster().database();
    let pairs: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let dir = cluster().directory();
    let config = crate::support::cluster::config(dir.path(), &url, &pairs);
    let opened = packhouse::instance::Instance::open(config, true, packhouse::domain::clock::Clock::system()).await;
    let error = opened.err().unwrap().to_string();
    assert!(error.contains("has the files of another database"), "{error}");
    assert!(error.contains("s3://blobs at http://127.0.0.1"), "{error}");
    cluster().drop_database(&name);
    std::fs::remove_file(bucket.dir.join("packhouse-store")).unwrap();
    let ready = site.anon().get("/readyz").await.is(503);
    assert!(ready.text().contains("store"), "{}", ready.text());
    assert!(site.sweep(NOW).await.is_err());
    site.anon().get(&file("x")).await.is(200).says("hello");
}

#[tokio::test]
async fn credentials_of_a_bucket_are_never_shown() {
    let site = Site::on_s3();
    let secret = "test-secret-that-nobody-may-see";
    let page = site.user("admin").get("/-/admin/system").await;
    assert!(!page.text().contains(secret));
    let shown = format!("{:?} {:?}", site.app.config, site.app.store);
    assert!(!shown.contains(secret), "{shown}");
    assert!(!crate::support::log::captured().contains(secret));
}

#[tokio::test]
async fn a_bucket_that_another_server_fills_is_readable_from_both() {
    let site = Site::on_s3();
    let other = beside(&site);
    site.ci().publish(&file("x"), noise(9 * MIB)).await;
    assert!(other.anon().get(&file("x")).await.is(200).body == noise(9 * MIB));
    let root = site.bucket().dir.parent().unwrap().to_owned();
    drop(other);
    // The store survives its server.
    let again = Bucket::new(&root);
    assert!(again.dir.join("packhouse-store").exists());
}

#[tokio::test]
async fn a_bucket_in_the_name_of_the_host_works_like_one_in_the_path() {
    let root = cluster().directory();
    let bucket = Arc::new(Bucket::with_host(root.path()));
    let settings = &[("PACKHOUSE_STORE_REDIRECT", "auto"), ("PACKHOUSE_STORE_REDIRECT_FROM_BYTES", "10000000")];
    let site = Site::start(Plan { settings, store: TestStore::Shared(Arc::clone(&bucket)), ..Plan::default() });
    for size in [5, 2 * MIB, 20 * MIB] {
        let name = file(&size.to_string());
        site.ci().publish(&name, noise(size)).await;
        assert!(site.anon().get(&format!("{name}?redirect=false")).await.is(200).body == noise(size), "{size}");
    }
    let requests = bucket.requests();
    assert!(requests.iter().all(|request| !request.contains("/blobs/blobs/")), "the path has no bucket: {requests:?}");
    let redirect = site.anon().get(&file(&(20 * MIB).to_string())).await.is(307);
    let host = format!("blobs.localhost:{}", bucket.address.port());
    let target = redirect.header("location").unwrap().strip_prefix(&format!("http://{host}")).unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut store = wire::Wire::open(bucket.address).await;
    store.say(head).await;
    assert_eq!(store.head().await.unwrap().status, 200);
    assert!(store.rest().await == noise(20 * MIB));
    site.ci().delete(&file("5")).await.is(204);
    site.pass(LONG);
    site.sweep(NOW).await.unwrap();
    assert_eq!(checked(&site).await, [""; 0]);
}
