//! Limits of a request: headers, length, speed, number of connections.

use crate::support::wire::{self, Wire, ask, send};
use crate::support::{Site, cluster::cluster, eventually, noise, path};
use futures_util::stream;
use std::io;

fn file() -> String {
    path(&["ada", "tool", "1.0", "tool.bin"])
}

fn bearer() -> String {
    format!("Bearer {}", cluster().people.ci)
}

#[tokio::test]
async fn a_declared_length_over_the_limit_is_413_before_the_body_is_read() {
    let site = Site::with(&[("PACKHOUSE_LIMITS_FILE_BYTES", "1000000")]);
    let fields = [("Authorization", &*bearer()), ("Content-Length", "1000001")];
    // No byte of the body is sent.
    let answer = ask(site.address, "PUT", file(), &fields).await;
    answer.is(413).says("limit of 1000000 bytes");
    let fields = [("Authorization", &*bearer()), ("Content-Length", "99999999999999999999")];
    let answer = ask(site.address, "PUT", file(), &fields).await;
    assert!([400, 413].contains(&answer.status), "{answer:?}");
    site.assert_empty().await;
    site.ci().publish(&file(), noise(1_000_000)).await;
}

#[tokio::test]
async fn a_chunked_file_over_the_limit_is_413_and_not_stored() {
    let site = Site::with(&[("PACKHOUSE_LIMITS_FILE_BYTES", "1000000")]);
    let fields = [("Authorization", &*bearer()), ("Transfer-Encoding", "chunked")];
    let mut wire = Wire::open(site.address).await;
    wire.say(wire::head("PUT", file(), &fields)).await;
    wire.say("f4241\r\n").await.say(noise(1_000_001)).await.say("\r\n0\r\n\r\n").await;
    wire.answer("PUT").await.expect("an answer").is(413);
    site.assert_empty().await;
    let chunks = (0..10).map(|_| Ok::<_, io::Error>(noise(100_000)));
    site.ci().put(&file(), reqwest::Body::wrap_stream(stream::iter(chunks))).await.is(201);
}

#[tokio::test]
async fn a_refused_upload_that_keeps_sending_is_cut_off() {
    let site = Site::with(&[("PACKHOUSE_LIMITS_FILE_BYTES", "1000000")]);
    let token = bearer();
    let refused: [(&[(&str, &str)], u16); 4] = [
        (&[("Authorization", &token), ("Transfer-Encoding", "chunked")], 413),
        (&[("Authorization", &token), ("Content-Length", "99999999999")], 413),
        (&[("Transfer-Encoding", "chunked")], 401),
        (&[("Transfer-Encoding", "chunked"), ("Upgrade", "websocket"), ("Connection", "upgrade")], 401),
    ];
    let address = site.address;
    let cut = refused.map(|(fields, status)| async move {
        let mut wire = Wire::open(address).await;
        wire.say(wire::head("PUT", file(), fields)).await;
        let chunk = [b"10000\r\n", &*noise(65_536), b"\r\n"].concat();
        let (mut reader, mut writer) = wire.stream.into_split();
        let writing = async { while tokio::io::AsyncWriteExt::write_all(&mut writer, &chunk).await.is_ok() {} };
        let mut answer = Vec::new();
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut answer);
        let both = async { tokio::join!(writing, reading) };
        let ended = tokio::time::timeout(std::time::Duration::from_secs(20), both).await;
        assert!(ended.is_ok(), "{fields:?} is not cut off");
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(answer.starts_with(&format!("http/1.1 {status} ")) && answer.contains("connection: close"), "{answer}");
    });
    futures_util::future::join_all(cut).await;
    site.assert_empty().await;
}

#[tokio::test]
async fn a_form_over_the_limit_is_413() {
    let site = Site::with(&[("PACKHOUSE_LIMITS_FILE_BYTES", "1000")]);
    let body = |size: usize| {
        let head = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n";
        [head.as_bytes(), &noise(size), b"\r\n--b--\r\n"].concat()
    };
    let kind = "multipart/form-data; boundary=b";
    site.ci().put(&file(), body(1001)).header("content-type", kind).await.is(413);
    site.assert_empty().await;
    site.ci().put(&file(), body(1000)).header("content-type", kind).await.is(201);
}

#[tokio::test]
async fn a_size_limit_of_zero_accepts_empty_files() {
    let site = Site::with(&[("PACKHOUSE_LIMITS_FILE_BYTES", "0")]);
    site.ci().put(&file(), "x").await.is(413);
    site.ci().publish(&file(), "").await;
}

#[tokio::test]
async fn a_url_longer_than_8_kib_is_414() {
    let site = Site::new();
    let of = |length: usize| format!("/api/packages/ada/generic/p/1/f?{}", "x".repeat(length - 32));
    assert_eq!(of(8192).len(), 8192);
    assert_eq!(ask(site.address, "GET", of(8192), &[]).await.status, 404);
    for length in [8193, 12_000] {
        ask(site.address, "GET", of(length), &[]).await.is(414).says("8192");
    }
    let api = format!("/api/v1/version?{}", "x".repeat(9000));
    assert_eq!(ask(site.address, "GET", api, &[]).await.is(414).json()["code"], "uri_too_long");
    let fields = [("Authorization", &*bearer()), ("Content-Length", "3")];
    assert_eq!(send(site.address, "PUT", of(8193), &fields, b"abc").await.status, 414);
    site.assert_empty().await;
}

#[tokio::test]
async fn more_than_64_headers_or_16_kib_of_headers_is_431() {
    let site = Site::new();
    let many: Vec<_> = (0..70).map(|at| format!("X-{at}")).collect();
    let fields: Vec<_> = many.iter().map(|name| (&**name, "1")).collect();
    assert_eq!(ask(site.address, "GET", "/livez", &fields[..60]).await.status, 200);
    ask(site.address, "GET", "/livez", &fields).await.is(431);
    let long = "x".repeat(17_000);
    ask(site.address, "GET", "/livez", &[("X-Long", &long)]).await.is(431);
    assert_eq!(ask(site.address, "GET", "/livez", &[("X-Long", &long[..16_000])]).await.status, 200);
}

#[tokio::test]
async fn enormous_headers_are_refused_with_bounded_memory() {
    let site = Site::new();
    let mut wire = Wire::open(site.address).await;
    wire.say("GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: ").await.say(vec![b'x'; 400_000]).await;
    let rest = wire.rest().await;
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&rest));
    site.anon().get("/livez").await.is(200);
}

#[tokio::test]
async fn a_stalled_upload_is_cut_off_and_leaves_nothing() {
    let site = Site::with(&[("PACKHOUSE_LIMITS_UPLOAD_STALL_SECONDS", "1")]);
    let fields = [("Authorization", &*bearer()), ("Content-Length", "3000000")];
    let mut wire = Wire::open(site.address).await;
    wire.say(wire::head("PUT", file(), &fields)).await.say(noise(2_000_000)).await;
    let answer = wire.answer("PUT").await;
    assert!(answer.is_none_or(|answer| answer.status == 408));
    site.assert_empty().await;
}

#[tokio::test]
async fn a_trickling_upload_is_cut_off() {
    let site = Site::with(&[
        ("PACKHOUSE_LIMITS_UPLOAD_STALL_SECONDS", "1"),
        ("PACKHOUSE_LIMITS_UPLOAD_LEAST_BYTES_PER_SECOND", "1000"),
    ]);
    let fields = [("Authorization", &*bearer()), ("Content-Length", "3000000")];
    let mut wire = Wire::open(site.address).await;
    wire.say(wire::head("PUT", file(), &fields)).await;
    // A byte now and then: never idle long enough for the stall limit, but too slow.
    let (mut reader, mut writer) = wire.stream.into_split();
    let trickle = tokio::spawn(async move {
        while tokio::io::AsyncWriteExt::write_all(&mut writer, b"x").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    let mut answer = Vec::new();
    let deadline = std::time::Duration::from_secs(20);
    let read = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut answer);
    let _ = tokio::time::timeout(deadline, read).await.expect("the upload is cut off");
    trickle.abort();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    site.assert_empty().await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_off() {
    let site = Site::with(&[("PACKHOUSE_LIMITS_DOWNLOAD_STALL_SECONDS", "1")]);
    site.ci().publish(&file(), noise(40_000_000)).await;
    let mut wire = Wire::open(site.address).await;
    wire.say(wire::head("GET", file(), &[])).await;
    assert_eq!(wire.head().await.unwrap().status, 200);
    let open = || site.db_number("SELECT 1::int8 AS n") == 1 && crate::support::log::captured().contains("cut=true");
    eventually("the download is cut off", async || open()).await;
}
