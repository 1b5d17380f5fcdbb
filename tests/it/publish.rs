//! Publishing: accepted and refused uploads, declared digests, repeated uploads.

use crate::support::client::Request;
use crate::support::wire::{self, Wire};
use crate::support::{Site, noise, path, sha256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use sha2::Digest;
use std::io;

fn file() -> String {
    path(&["ada", "tool", "1.0", "tool.bin"])
}

fn form(boundary: &str, parts: &[(&str, Option<&str>, &str)]) -> String {
    let mut body = String::new();
    for (name, file, content) in parts {
        let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
        let head = format!("Content-Disposition: form-data; name=\"{name}\"{file}");
        body.push_str(&format!("--{boundary}\r\n{head}\r\n\r\n{content}\r\n"));
    }
    body.push_str(&format!("--{boundary}--\r\n"));
    body
}

#[tokio::test]
async fn publishing_is_201_with_address_and_etag_and_keeps_every_byte() {
    let site = Site::new();
    for (name, size) in [("small", 11), ("empty", 0), ("block", 1 << 20), ("large", 3_500_001)] {
        let path = path(&["ada", "tool", "1.0", name]);
        let bytes = noise(size);
        let answer = site.ci().publish(&path, bytes.clone()).await;
        assert_eq!(answer.header("location"), Some(&*path));
        assert_eq!(answer.header("etag"), Some(&*format!("\"{}\"", sha256(&bytes))));
        assert_eq!((answer.header("content-length"), answer.body.len()), (Some("0"), 0));
        assert!(site.anon().get(&path).await.is(200).body == bytes, "{name}");
    }
    let listed = site.anon().get(&path(&["ada", "tool", "1.0"])).await.is(200);
    assert_eq!(listed.lines(), ["small", "empty", "block", "large"]);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn the_location_header_has_the_configured_address() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://packages.example.org/sub/")]);
    let answer = site.ci().publish(&path(&["ada", "tool", "1 a/b", "x y.bin"]), "x").await;
    let expected = "https://packages.example.org/sub/api/packages/ada/generic/tool/1%20a%2Fb/x%20y.bin";
    assert_eq!(answer.header("location"), Some(expected));
}

#[tokio::test]
async fn the_host_header_of_a_client_is_never_used_in_an_address() {
    let site = Site::new();
    let hostile = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "host=evil.example;proto=https"),
    ];
    let with = |request: Request| hostile.iter().fold(request, |request, (name, value)| request.header(name, value));
    let stored = with(site.ci().put(&file(), "x")).await.is(201);
    assert_eq!(stored.header("location"), Some(&*file()));
    let newest = with(site.anon().get(&path(&["ada", "tool", "latest", "tool.bin"]))).await.is(302);
    assert_eq!(newest.header("location"), Some(&*file()));
    let listed = with(site.anon().get(&path(&["ada", "tool", "1.0"])).json()).await.is(200);
    assert_eq!(listed.json()[0]["download_url"], file());
}

#[tokio::test]
async fn a_body_is_stored_unchanged_whatever_its_content_type() {
    let site = Site::new();
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let cases = [
        ("content-type", "application/json", b"{not json".to_vec()),
        ("content-type", "application/x-www-form-urlencoded", b"a=1&b=%20+".to_vec()),
        ("content-type", "multipart/mixed; boundary=x", b"--x\r\n\r\n--x--".to_vec()),
        ("content-encoding", "gzip", gzip.to_vec()),
        ("content-encoding", "gzip", b"this is no gzip".to_vec()),
    ];
    for (at, (field, value, body)) in cases.into_iter().enumerate() {
        let path = path(&["ada", "tool", "1.0", &format!("file-{at}")]);
        site.ci().put(&path, body.clone()).header(field, value).await.is(201);
        let answer = site.anon().get(&path).await.is(200);
        assert!(answer.body == body, "{value}");
        assert_eq!(answer.header("content-encoding"), None);
        assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    }
}

#[tokio::test]
async fn a_chunked_body_is_accepted() {
    let site = Site::new();
    let chunks = (0..50).map(|at| Ok::<_, io::Error>(noise(1000 + at)));
    let bytes: Vec<u8> = (0..50).flat_map(|at| noise(1000 + at)).collect();
    site.ci().put(&file(), reqwest::Body::wrap_stream(stream::iter(chunks))).await.is(201);
    assert!(site.anon().get(&file()).await.is(200).body == bytes);
    let none = stream::iter(Vec::<io::Result<Vec<u8>>>::new());
    let empty = path(&["ada", "tool", "1.0", "empty"]);
    site.ci().put(&empty, reqwest::Body::wrap_stream(none)).await.is(201);
    assert!(site.anon().get(&empty).await.is(200).body.is_empty());
}

#[tokio::test]
async fn the_only_file_of_a_form_is_stored() {
    let site = Site::new();
    let kind = "multipart/form-data; boundary=edge";
    let body = form("edge", &[("note", None, "passed over"), ("file", Some("other.bin"), "the content\r\n--edg")]);
    site.ci().put(&file(), body).header("content-type", kind).await.is(201);
    assert_eq!(site.anon().get(&file()).await.is(200).text(), "the content\r\n--edg");
}

#[tokio::test]
async fn a_form_with_no_file_several_files_or_bad_syntax_is_400() {
    let site = Site::new();
    let kind = "multipart/form-data; boundary=edge";
    let several = form("edge", &[("a", Some("a"), "one"), ("b", Some("b"), "two")]);
    let cases = [
        (kind, several, "several files"),
        (kind, form("edge", &[("note", None, "no file")]), "no file"),
        (kind, form("edge", &[]), "no file"),
        ("multipart/form-data", form("edge", &[("a", Some("a"), "one")]), "cannot be read"),
        (kind, "no form at all".to_owned(), ""),
        (kind, "--edge\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a\"\r\n\r\nx".to_owned(), ""),
    ];
    for (kind, body, words) in cases {
        site.ci().put(&file(), body).header("content-type", kind).await.is(400).says(words);
    }
    site.assert_empty().await;
}

#[tokio::test]
async fn an_existing_file_name_is_409_whatever_the_content() {
    let site = Site::new();
    site.ci().publish(&file(), "one").await;
    for (path, body) in [(file(), "one"), (file(), "two"), (file().replace("/tool/1.0/tool", "/TOOL/1.0/Tool"), "one")]
    {
        let answer = site.ci().put(&path, body).await.is(409);
        assert_eq!(
            answer.text(),
            "package file already exists: publish it under another name or version, or let uploads replace files of this \
             version (the package's setting overwrite)\n"
        );
    }
    assert_eq!(site.anon().get(&file()).await.text(), "one");
    assert_eq!(site.db_number("SELECT count(*) AS n FROM audit"), 1);
}

#[tokio::test]
async fn if_none_match_star_is_201_the_first_time_and_412_the_second() {
    let site = Site::new();
    site.ci().put(&file(), "one").header("if-none-match", "*").await.is(201);
    site.ci().put(&file(), "two").header("if-none-match", "*").await.is(412).says("exists");
    let declared = site.ci().put(&file(), "one").header("x-checksum-sha256", sha256("one"));
    declared.header("if-none-match", "*").await.is(412);
}

#[tokio::test]
async fn every_declared_digest_is_verified_and_a_wrong_one_is_422() {
    let site = Site::new();
    let hex = packhouse::domain::digest::to_hex;
    let bytes = noise(1_500_000);
    let headers = |bytes: &[u8]| {
        let (sha256, sha512) = (sha2::Sha256::digest(bytes), sha2::Sha512::digest(bytes));
        let (sha1, md5) = (sha1::Sha1::digest(bytes), md5::Md5::digest(bytes));
        [
            ("repr-digest", format!("sha-256=:{}:", STANDARD.encode(sha256))),
            ("repr-digest", format!("unknown=:AA==:, sha-512=:{}:", STANDARD.encode(sha512))),
            ("content-digest", format!("sha-256=:{}:", STANDARD.encode(sha256))),
            ("content-digest", format!("sha-512=:{}:", STANDARD.encode(sha512))),
            ("x-checksum-sha256", hex(&sha256).to_uppercase()),
            ("x-checksum-sha1", hex(&sha1)),
            ("x-checksum-md5", hex(&md5)),
            ("content-md5", STANDARD.encode(md5)),
        ]
    };
    for (name, value) in headers(b"other bytes") {
        for body in [bytes.clone(), b"small".to_vec()] {
            let answer = site.ci().put(&file(), body).header(name, &value).await.is(422);
            assert!(answer.text().contains("digest"), "{}", answer.text());
        }
    }
    site.assert_empty().await;
    for (at, (name, value)) in headers(&bytes).into_iter().enumerate() {
        let path = path(&["ada", "tool", "1.0", &format!("file-{at}")]);
        site.ci().put(&path, bytes.clone()).header(name, &value).await.is(201);
    }
    assert_eq!(site.store_blobs(), 1, "the same content is stored once");
}

#[tokio::test]
async fn a_malformed_or_contradictory_digest_is_400() {
    let site = Site::new();
    for (name, value) in [
        ("x-checksum-sha256", "abc"),
        ("x-checksum-md5", "zz"),
        ("content-md5", "no base64!"),
        ("repr-digest", "sha-256=:AAAA:"),
        ("content-digest", "sha-256"),
    ] {
        site.ci().put(&file(), "x").header(name, value).await.is(400);
    }
    let two = site.ci().put(&file(), "x").header("x-checksum-sha256", sha256("x"));
    let other = format!("sha-256=:{}:", STANDARD.encode([0; 32]));
    two.header("repr-digest", other).await.is(400).says("contradict");
    site.assert_empty().await;
}

#[tokio::test]
async fn repeating_an_upload_with_the_stored_sha256_is_200() {
    let site = Site::new();
    site.ci().publish(&file(), "one").await;
    let answer = site.ci().put(&file(), "one").header("x-checksum-sha256", sha256("one")).await.is(200);
    assert_eq!(answer.header("location"), Some(&*file()));
    assert_eq!(answer.header("etag"), Some(&*format!("\"{}\"", sha256("one"))));
    // The body isn't read, because its declared digest is already stored.
    site.ci().put(&file(), "lies").header("x-checksum-sha256", sha256("one")).await.is(200);
    site.ci().put(&file(), "two").header("x-checksum-sha256", sha256("two")).await.is(409);
    assert_eq!(site.anon().get(&file()).await.text(), "one");
    assert_eq!(site.db_number("SELECT count(*) AS n FROM audit"), 1);
}

#[tokio::test]
async fn publishing_with_content_range_is_refused() {
    let site = Site::new();
    let answer = site.ci().put(&file(), "x").header("content-range", "bytes 0-0/5").await;
    answer.is(400).says("Content-Range");
    site.assert_empty().await;
}

#[tokio::test]
async fn a_body_without_a_length_is_411() {
    let site = Site::new();
    let token = crate::support::cluster::cluster().people.ci.clone();
    let bearer = format!("Bearer {token}");
    let answer = wire::ask(site.address, "PUT", file(), &[("Authorization", &bearer)]).await;
    answer.is(411).says("Content-Length");
    site.assert_empty().await;
}

#[tokio::test]
async fn a_truncated_body_stores_nothing_and_closes_the_connection() {
    let site = Site::new();
    let bearer = format!("Bearer {}", crate::support::cluster::cluster().people.ci);
    for (length, body) in [("100", noise(99)), ("3000000", noise(2_000_000))] {
        let mut wire = Wire::open(site.address).await;
        let fields = [("Authorization", &*bearer), ("Content-Length", length)];
        wire.say(wire::head("PUT", file(), &fields)).await.say(&body).await;
        tokio::io::AsyncWriteExt::shutdown(&mut wire.stream).await.unwrap();
        let rest = wire.rest().await;
        assert!(!rest.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&rest));
    }
    let mut wire = Wire::open(site.address).await;
    let fields = [("Authorization", &*bearer), ("Transfer-Encoding", "chunked")];
    wire.say(wire::head("PUT", file(), &fields)).await.say(b"5\r\nhello\r\n5\r\nwo").await;
    tokio::io::AsyncWriteExt::shutdown(&mut wire.stream).await.unwrap();
    assert!(!wire.rest().await.starts_with(b"HTTP/1.1 2"));
    site.assert_empty().await;
    site.ci().publish(&file(), "the next one").await;
}

#[tokio::test]
async fn a_broken_chunk_stores_nothing() {
    let site = Site::new();
    let bearer = format!("Bearer {}", crate::support::cluster::cluster().people.ci);
    let fields = [("Authorization", &*bearer), ("Transfer-Encoding", "chunked")];
    for chunks in ["zz\r\nhello\r\n0\r\n\r\n", "5\r\nhelloXX\r\n0\r\n\r\n", "-1\r\n\r\n", "fffffffffffffffff\r\n"] {
        let mut wire = Wire::open(site.address).await;
        wire.say(wire::head("PUT", file(), &fields)).await.say(chunks).await;
        let rest = wire.rest().await;
        assert!(!rest.starts_with(b"HTTP/1.1 2"), "{chunks:?}: {}", String::from_utf8_lossy(&rest));
    }
    site.assert_empty().await;
}

#[tokio::test]
async fn contradictory_content_lengths_are_refused() {
    let site = Site::new();
    let bearer = format!("Bearer {}", crate::support::cluster::cluster().people.ci);
    for fields in [
        &[("Content-Length", "5"), ("Content-Length", "6")][..],
        &[("Content-Length", "-5")],
        &[("Content-Length", "+5")],
        &[("Content-Length", "5x")],
        &[("Transfer-Encoding", "gzip, chunked"), ("Content-Length", "5")],
        &[("Transfer-Encoding", "identity")],
    ] {
        let fields = [&[("Authorization", &*bearer)], fields].concat();
        let mut wire = Wire::open(site.address).await;
        wire.say(wire::head("PUT", file(), &fields)).await.say(b"hello world").await;
        if let Some(answer) = wire.answer("PUT").await {
            assert!((400..500).contains(&answer.status) || answer.status == 501, "{fields:?} {answer:?}");
        }
    }
    site.assert_empty().await;
}

#[tokio::test]
async fn expect_100_continue_is_answered_and_a_refusal_comes_without_body() {
    let site = Site::new();
    let bearer = format!("Bearer {}", crate::support::cluster::cluster().people.ci);
    let fields = [("Authorization", &*bearer), ("Content-Length", "5"), ("Expect", "100-continue")];
    let mut wire = Wire::open(site.address).await;
    wire.say(wire::head("PUT", file(), &fields)).await;
    assert_eq!(wire.head().await.unwrap().status, 100);
    wire.say(b"hello").await;
    assert_eq!(wire.answer("PUT").await.unwrap().status, 201);

    let mut wire = Wire::open(site.address).await;
    wire.say(wire::head("PUT", file(), &fields)).await;
    assert_eq!(wire.answer("PUT").await.unwrap().status, 409, "without the body");
}

#[tokio::test]
async fn errors_are_json_on_request_and_a_line_of_text_otherwise() {
    let site = Site::new();
    let text = site.anon().get(&file()).await.is(404);
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(text.text(), "package file not found\n");
    let json = site.anon().get(&file()).header("accept", "text/html, application/json;q=0.9").await.is(404);
    assert_eq!(json.header("content-type"), Some("application/json"));
    insta::assert_snapshot!(json.pretty(), @r#"
    {
      "code": "not_found",
      "message": "package file not found",
      "request_id": "…",
      "url": "/api/swagger"
    }
    "#);
    let taken = site.ci();
    taken.publish(&file(), "x").await;
    insta::assert_snapshot!(taken.put(&file(), "x").json().await.is(409).pretty(), @r#"
    {
      "code": "conflict",
      "message": "package file already exists: publish it under another name or version, or let uploads replace files of this version (the package's setting overwrite)",
      "request_id": "…",
      "url": "/api/swagger"
    }
    "#);
}

#[tokio::test]
async fn a_part_of_a_form_that_says_its_length_is_refused_and_nothing_is_stored() {
    let site = Site::new();
    for length in ["3", "0", "6", "8", "60", "-1", "x"] {
        let body = format!(
            "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\nContent-Length: {length}\r\n\r\n\
             abcdef\r\n--edge--\r\n"
        );
        let address = path(&["ada", "tool", "1", "a"]);
        let kind = "multipart/form-data; boundary=edge";
        let answer = site.ci().put(&address, body).header("content-type", kind).await;
        assert!([400, 408].contains(&answer.status), "{length}: {} {}", answer.status, answer.text());
        site.anon().get(&address).await.is(404);
    }
    let long = format!("--edge\r\nContent-Disposition: form-data; x=\"{}\"\r\n\r\n", "y".repeat(70_000));
    let answer = site
        .ci()
        .put(&path(&["ada", "tool", "1", "a"]), long)
        .header("content-type", "multipart/form-data; boundary=edge");
    answer.await.is(400).says("a part has no end of its header");
}
