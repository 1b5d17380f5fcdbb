//! An object store that fails, is slow, or sends wrong bytes.

use crate::support::bucket::Fault;
use crate::support::{Answer, Site, eventually, log, noise, path};
use hyper::Method;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
const SLOW_DOWN: Fault = Fault::Error(503, "SlowDown");

fn file(name: &str) -> String {
    path(&["ada", "tool", "1.0", name])
}

/// Publishes a large file, and waits for the job that reads it to compute its other digests: the faults that follow are
/// for downloads.
async fn publish_large(site: &Site, bytes: Vec<u8>) {
    site.ci().publish(&file("x"), bytes).await;
    let pending = "SELECT count(*) AS n FROM blobs WHERE sha512 IS NULL";
    eventually("all digests are computed", async || site.db_number(pending) == 0).await;
}

fn is_unavailable(answer: Answer) {
    assert!(answer.header("retry-after").is_some());
    answer.is(503).says("the store is unavailable");
}

#[tokio::test]
async fn a_request_that_fails_for_a_moment_is_repeated() {
    let site = Site::on_s3();
    for (at, fault) in [Fault::Error(500, "InternalError"), SLOW_DOWN, Fault::LostAnswer].into_iter().enumerate() {
        let (small, large) = (file(&format!("small-{at}")), file(&format!("large-{at}")));
        site.bucket().fail(Method::PUT, "/blobs/", 2, fault.clone());
        site.bucket().fail(Method::HEAD, "/blobs/", 1, fault.clone());
        site.ci().put(&small, "hello").await.is(201);
        site.bucket().fail(Method::POST, "uploads", 1, fault.clone());
        site.bucket().fail(Method::PUT, "partNumber=2", 1, fault.clone());
        site.bucket().fail(Method::POST, "uploadId", 1, fault.clone());
        site.ci().put(&large, noise(20 * MIB)).await.is(201);
        site.bucket().fail(Method::GET, "/blobs/", 2, fault);
        assert_eq!(site.anon().get(&small).await.is(200).text(), "hello");
        assert!(site.anon().get(&large).await.is(200).body == noise(20 * MIB));
        site.bucket().heal();
    }
}

#[tokio::test]
async fn a_store_that_refuses_everything_gives_503_and_heals() {
    let site = Site::on_s3();
    site.ci().publish(&file("x"), "hello").await;
    let faults = [SLOW_DOWN, Fault::Error(403, "ExpiredToken"), Fault::Error(403, "RequestTimeTooSkewed")];
    for fault in faults {
        site.bucket().fail_all(&fault);
        is_unavailable(site.ci().put(&file("y"), "more").await);
        is_unavailable(site.ci().put(&file("y"), noise(9 * MIB)).await);
        is_unavailable(site.anon().get(&file("x")).await);
        let ready = site.anon().get("/readyz").await.is(503);
        assert!(ready.text().contains("store: the store is unavailable"), "{}", ready.text());
        site.bucket().heal();
        site.anon().get(&file("x")).await.is(200).says("hello");
        site.anon().get("/readyz").await.is(200);
    }
    site.ci().publish(&file("y"), "more").await;
    let log = log::captured();
    for words in ["the temporary credentials have expired", "the clock of this server is wrong"] {
        assert!(log.contains(words), "{words}");
    }
}

#[tokio::test]
async fn a_full_store_gives_507_and_heals() {
    let site = Site::on_s3();
    site.bucket().fail(Method::PUT, "/blobs/", usize::MAX, Fault::Error(507, "XMinioStorageFull"));
    site.ci().put(&file("x"), "hello").await.is(507);
    site.ci().put(&file("x"), noise(9 * MIB)).await.is(507);
    site.bucket().heal();
    site.ci().publish(&file("x"), "hello").await;
}

#[tokio::test]
async fn a_store_that_says_nothing_gives_503_in_bounded_time() {
    let site = Site::on_s3();
    site.ci().publish(&file("x"), "hello").await;
    site.bucket().fail_all(&Fault::Silence);
    let begun = Instant::now();
    let (upload, download, ready) = tokio::join!(
        async { site.ci().put(&file("y"), "more").await },
        async { site.anon().get(&file("x")).await },
        async { site.anon().get("/readyz").await },
    );
    is_unavailable(upload);
    is_unavailable(download);
    assert!(ready.is(503).text().contains("store"));
    // Two seconds for each answer, and a second attempt.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    site.bucket().heal();
    site.anon().get(&file("x")).await.is(200).says("hello");
}

#[tokio::test]
async fn a_download_goes_on_where_the_store_broke_off() {
    let site = Site::on_s3();
    let bytes = noise(5 * MIB + 17);
    publish_large(&site, bytes.clone()).await;
    for fault in [Fault::Cut(0), Fault::Cut(1), Fault::Cut(3 * MIB), Fault::Stall(2 * MIB + 5), Fault::Stall(0)] {
        site.bucket().fail(Method::GET, "/blobs/", 1, fault.clone());
        assert!(site.anon().get(&file("x")).await.is(200).body == bytes, "{fault:?}");
    }
}

#[tokio::test]
async fn a_download_that_cannot_go_on_ends_cut() {
    let site = Site::on_s3();
    publish_large(&site, noise(5 * MIB)).await;
    for fault in [Fault::Cut(3 * MIB), Fault::WrongBit(3 * MIB + 5), Fault::WrongBit(5 * MIB - 1)] {
        site.bucket().fail(Method::GET, "/blobs/", usize::MAX, fault.clone());
        if matches!(fault, Fault::Cut(_)) {
            // The first request sends three MiB, and all others nothing.
            site.bucket().heal();
            site.bucket().fail(Method::GET, "/blobs/", 1, fault.clone());
            site.bucket().fail(Method::GET, "/blobs/", usize::MAX, Fault::Error(500, "InternalError"));
        }
        let answer = site.anon().get(&file("x")).send().await;
        let shown = answer.as_ref().map(|answer| (answer.status, answer.body.len()));
        assert!(answer.is_err(), "{fault:?}: {shown:?}");
        site.bucket().heal();
    }
    assert!(site.anon().get(&file("x")).await.is(200).body == noise(5 * MIB));
}

#[tokio::test]
async fn wrong_bytes_of_a_small_file_are_never_sent() {
    let site = Site::on_s3();
    site.ci().publish(&file("x"), "hello").await;
    site.bucket().fail(Method::GET, "/blobs/", usize::MAX, Fault::WrongBit(2));
    let answer = site.anon().get(&file("x")).await.is(503);
    assert!(answer.text().contains("missing or damaged"), "{}", answer.text());
    site.bucket().heal();
    site.anon().get(&file("x")).await.is(200).says("hello");
}

#[tokio::test]
async fn an_upload_that_fails_halfway_leaves_nothing() {
    let site = Site::on_s3();
    for (method, part) in [(Method::PUT, "partNumber=2"), (Method::POST, "uploadId")] {
        site.bucket().fail(method, part, usize::MAX, SLOW_DOWN);
        is_unavailable(site.ci().put(&file("x"), noise(20 * MIB)).await);
        site.bucket().heal();
        site.assert_empty().await;
    }
    site.ci().publish(&file("x"), noise(20 * MIB)).await;
}

#[tokio::test]
async fn an_object_that_the_store_lost_at_once_is_not_acknowledged() {
    let site = Site::on_s3();
    site.bucket().fail(Method::HEAD, "/blobs/", usize::MAX, Fault::Error(404, "NoSuchKey"));
    is_unavailable(site.ci().put(&file("x"), "hello").await);
    is_unavailable(site.ci().put(&file("x"), noise(9 * MIB)).await);
    site.bucket().heal();
    assert_eq!(site.db_number("SELECT count(*) AS n FROM files"), 0);
}
