//! Limits of an upload in progress, of a body or a form: time, disk space, quota. Also who may cache its files.

use crate::support::cluster::cluster;
use crate::support::wire::{Wire, head};
use crate::support::{Plan, Site, noise, path, sha256};
use std::time::Duration;

fn file(name: &str) -> String {
    path(&["ada", "tool", "1", name])
}

fn target(name: &str) -> String {
    format!("/api/packages/ada/generic/tool/1/{name}")
}

#[tokio::test]
async fn missing_permission_is_reported_before_invalid_headers() {
    let site = Site::new();
    for fields in [&[][..], &[("Content-Length", "1"), ("Content-Range", "bytes 0-0/2")]] {
        let mut wire = Wire::open(site.address).await;
        wire.say(head("PUT", target("f"), fields)).await;
        assert_eq!(wire.answer("PUT").await.unwrap().status, 401);
    }
    site.anon().request("PUT", &file("f")).header("x-checksum-sha256", "nonsense").body("x").await.is(401);
    site.reader().request("PUT", &file("f")).header("x-checksum-sha256", "nonsense").body("x").await.is(403);
    site.ci().request("PUT", &file("f")).header("x-checksum-sha256", "nonsense").body("x").await.is(400);
    site.assert_empty().await;
}

#[tokio::test]
async fn a_stalled_form_is_cut_off_wherever_it_stalls() {
    let site = Site::with(&[("PACKHOUSE_LIMITS_UPLOAD_STALL_SECONDS", "1")]);
    let fields = [
        ("Authorization", &*format!("Bearer {}", cluster().people.ci)),
        ("Content-Type", "multipart/form-data; boundary=edge"),
        ("Content-Length", "1000"),
    ];
    let parts = ["", "--ed", "--edge\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhel"];
    for begun in parts {
        let mut wire = Wire::open(site.address).await;
        wire.say(head("PUT", target("f"), &fields)).await.say(begun).await;
        assert_eq!(wire.answer("PUT").await.unwrap().status, 408, "{begun:?}");
    }
    site.assert_empty().await;
}

#[tokio::test]
async fn the_other_fields_of_a_form_are_limited() {
    let site = Site::new();
    let note = "x".repeat(100_000);
    let body = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\n{note}\r\n\
         --edge\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\nhello\r\n--edge--\r\n"
    );
    let request = site.ci().request("PUT", &file("f")).header("content-type", "multipart/form-data; boundary=edge");
    request.body(body).await.is(400).says("send the file alone");
    site.assert_empty().await;
}

#[tokio::test]
async fn an_upload_of_undeclared_length_stops_at_the_quota() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_BYTES", "100000")]);
    let fields = [("Authorization", &*format!("Bearer {}", cluster().people.ci)), ("Transfer-Encoding", "chunked")];
    let mut wire = Wire::open(site.address).await;
    wire.say(head("PUT", target("f"), &fields)).await;
    // The body never ends. The answer comes when the quota is reached.
    wire.say(b"20000\r\n").await.say(noise(0x20000)).await;
    let answer = wire.answer("PUT").await.unwrap();
    assert_eq!(answer.status, 403);
    assert_eq!(answer.text(), "the quota of ada allows 100000 bytes: 0 are used, and this file does not fit\n");
    site.assert_empty().await;
}

#[tokio::test]
async fn small_files_cannot_use_the_disk_reserve() {
    let site = Site::with(&[("PACKHOUSE_STORE_RESERVE_BYTES", "1000000000000000")]);
    site.ci().put(&file("f"), "x").await.is(507);
    site.assert_empty().await;
}

#[tokio::test]
async fn the_grace_period_starts_when_the_last_file_of_a_blob_is_deleted() {
    let site = Site::start(Plan::default());
    let sweep = async || site.sweep(Duration::from_secs(3600)).await.unwrap().unused;
    site.ci().publish(&file("a"), "one").await;
    site.ci().publish(&file("b"), "two").await;
    site.pass(Duration::from_secs(7200));
    site.ci().delete(&format!("{}?purge=true", file("a"))).await.is(204);
    site.ci().delete(&format!("{}?purge=true", path(&["ada", "tool", "1"]))).await.is(204);
    assert_eq!(sweep().await, 0);
    site.pass(Duration::from_secs(3601));
    assert_eq!(sweep().await, 2);
    site.ci().publish(&file("a"), "one").await;
    assert_eq!(site.anon().get(&file("a")).await.is(200).header("x-checksum-sha256"), Some(&*sha256("one")));
}

#[tokio::test]
async fn cache_control_is_private_where_signing_in_is_required() {
    let site = Site::with(&[("PACKHOUSE_REQUIRE_SIGNIN", "true")]);
    site.ci().publish(&file("f"), "x").await;
    let answer = site.ci().get(&file("f")).await.is(200);
    assert!(answer.header("cache-control").unwrap().starts_with("private,"));
}
