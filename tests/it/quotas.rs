//! What an owner may store.

use crate::support::{Site, noise, path};
use futures_util::future::join_all;
use futures_util::stream;
use std::io;

fn file(version: &str, name: &str) -> String {
    path(&["ada", "tool", version, name])
}

#[tokio::test]
async fn a_version_too_many_is_403_with_the_figures_and_more_files_in_old_ones_are_welcome() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_VERSIONS", "2")]);
    site.ci().publish(&file("1", "a"), "x").await;
    site.ci().publish(&file("2", "a"), "x").await;
    let refused = site.ci().put(&file("3", "a"), "x").await.is(403);
    assert_eq!(refused.text(), "the quota of ada allows 2 package versions, and 2 are there\n");
    site.ci().publish(&file("2", "b"), "x").await;
    site.ci().delete(&path(&["ada", "tool", "1"])).await.is(204);
    site.ci().publish(&file("3", "a"), "x").await;
    site.ci().put(&path(&["ada", "other", "1", "a"]), "x").await.is(403);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn bytes_too_many_are_403_with_the_figures_declared_or_not_and_deleting_makes_room() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_BYTES", "1000")]);
    site.ci().publish(&file("1", "a"), noise(600)).await;
    let refused = site.ci().put(&file("1", "b"), noise(401)).await.is(403);
    assert_eq!(refused.text(), "the quota of ada allows 1000 bytes: 600 are used, and 401 more do not fit\n");
    let chunked = reqwest::Body::wrap_stream(stream::iter([Ok::<_, io::Error>(noise(401))]));
    let refused = site.ci().put(&file("1", "b"), chunked).await.is(403);
    assert_eq!(refused.text(), "the quota of ada allows 1000 bytes: 600 are used, and this file does not fit\n");
    // The same bytes count again: what is stored once is not the owner's merit.
    site.ci().put(&file("1", "b"), noise(600)).await.is(403);
    site.ci().publish(&file("1", "b"), noise(400)).await;
    site.ci().publish(&file("1", "empty"), "").await;
    site.ci().put(&file("1", "c"), "x").await.is(403);
    site.ci().delete(&file("1", "a")).await.is(204);
    site.ci().publish(&file("1", "c"), noise(600)).await;
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn one_file_too_large_is_403_with_the_figures_declared_or_not() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_FILE_BYTES", "1000")]);
    let refused = site.ci().put(&file("1", "a"), noise(1001)).await.is(403);
    assert_eq!(refused.text(), "the quota of ada allows 1000 bytes in one file, and this one has 1001\n");
    let chunked = reqwest::Body::wrap_stream(stream::iter([Ok::<_, io::Error>(noise(1001))]));
    site.ci().put(&file("1", "a"), chunked).await.is(403).says("allows 1000 bytes in one file");
    site.assert_empty().await;
    site.ci().publish(&file("1", "a"), noise(1000)).await;
}

#[tokio::test]
async fn an_owner_s_own_quota_goes_before_the_instance_s_in_both_directions() {
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
async fn administrators_are_exempt() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_BYTES", "0"), ("PACKHOUSE_QUOTA_VERSIONS", "0")]);
    site.ci().put(&file("1", "a"), "x").await.is(403);
    site.admin().publish(&file("1", "a"), "x").await;
}

#[tokio::test]
async fn a_quota_is_refused_before_the_body_is_read_and_after_the_name_that_is_taken() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_BYTES", "10")]);
    site.ci().publish(&file("1", "a"), noise(10)).await;
    let bearer = format!("Bearer {}", crate::support::cluster::cluster().people.ci);
    for (name, status) in [("a", 409), ("b", 403)] {
        let fields = [("Authorization", &*bearer), ("Content-Length", "1000000")];
        // Not a byte of the body is sent.
        let answer = crate::support::wire::ask(site.address, "PUT", file("1", name), &fields).await;
        assert_eq!(answer.status, status, "{name}");
    }
}

#[tokio::test]
async fn a_refused_or_aborted_upload_is_charged_to_nobody() {
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
async fn a_quota_is_never_exceeded_however_many_publish_at_once() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_BYTES", "1000"), ("PACKHOUSE_QUOTA_VERSIONS", "7")]);
    let client = site.ci();
    // Of unknown length, so that each is let in and judged at its end.
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
