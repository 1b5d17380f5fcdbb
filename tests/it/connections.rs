//! The connection under the requests: pipelining, closing, deadlines, malformed requests, `100 Continue`, `Upgrade`.

use crate::support::wire::{self, Wire};
use crate::support::{Site, cluster::cluster, eventually, noise, path};
use proptest::prelude::{ProptestConfig, any, prop};
use proptest::proptest;
use std::time::Duration;

fn file(name: &str) -> String {
    path(&["ada", "tool", "1.0", name])
}

fn bearer() -> String {
    format!("Bearer {}", cluster().people.ci)
}

/// An upload in one piece, to be sent behind another request.
fn upload(name: &str) -> Vec<u8> {
    let fields = [("Authorization", &*bearer()), ("Content-Length", "5")];
    [wire::head("PUT", file(name), &fields), b"hello".to_vec()].concat()
}

fn get(name: &str) -> Vec<u8> {
    wire::head("GET", file(name), &[])
}

fn head(name: &str) -> Vec<u8> {
    wire::head("HEAD", file(name), &[])
}

#[tokio::test]
async fn pipelined_requests_each_get_their_own_answer() {
    let site = Site::new();
    for (name, size) in [("a", 300), ("b", 200_000)] {
        site.ci().publish(&file(name), noise(size)).await;
    }
    let mut wire = Wire::open(site.address).await;
    wire.say([get("a"), head("a"), head("b"), get("b"), upload("c"), get("c"), get("a")].concat()).await;
    for (method, status, size) in [
        ("GET", 200, 300),
        ("HEAD", 200, 0),
        ("HEAD", 200, 0),
        ("GET", 200, 200_000),
        ("PUT", 201, 0),
        ("GET", 200, 5),
        ("GET", 200, 300),
    ] {
        let answer = wire.answer(method).await.expect("an answer");
        assert_eq!((answer.status, answer.body.len()), (status, size), "{method}");
    }
    // Half closed by the client behind its last request: all of them are still answered.
    let mut wire = Wire::open(site.address).await;
    wire.say([get("a"), get("b"), head("a")].concat()).await;
    tokio::io::AsyncWriteExt::shutdown(&mut wire.stream).await.unwrap();
    for (method, size) in [("GET", 300), ("GET", 200_000), ("HEAD", 0)] {
        assert_eq!(wire.answer(method).await.expect("an answer").body.len(), size);
    }
    assert!(wire.closes().await);
}

#[tokio::test]
async fn nothing_behind_a_closing_answer_is_executed_and_the_connection_ends() {
    let site = Site::with(&[("PACKHOUSE_LIMITS_FILE_BYTES", "1000000")]);
    site.ci().publish(&file("a"), "x").await;
    let token = bearer();
    let fields = |fields: &[(&str, &str)]| wire::head("GET", file("a"), fields);
    let put = |fields: &[(&str, &str)]| wire::head("PUT", file("refused"), fields);
    let many: Vec<_> = (0..70).map(|at| format!("X-{at}")).collect();
    let many: Vec<_> = many.iter().map(|name| (&**name, "1")).collect();
    let closing: Vec<(u16, Vec<u8>)> = vec![
        (200, fields(&[("Connection", "close")])),
        (200, fields(&[("Connection", "keep-alive, Close")])),
        (200, format!("GET {} HTTP/1.0\r\n\r\n", file("a")).into_bytes()),
        (414, wire::head("GET", format!("/{}", "x".repeat(9000)), &[])),
        (431, fields(&many)),
        (431, fields(&[("X", &"x".repeat(17_000))])),
        (400, b"GET /livez HTTP/1.1\r\n\r\n".to_vec()),
        (400, b"GET /livez HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n".to_vec()),
        (400, fields(&[("Content-Length", "1"), ("Content-Length", "1")])),
        (400, fields(&[("Content-Length", "5"), ("Transfer-Encoding", "chunked")])),
        (400, fields(&[("Transfer-Encoding", "gzip")])),
        (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        (400, [put(&[("Authorization", &token), ("Transfer-Encoding", "chunked")]), b"zz\r\n".to_vec()].concat()),
        (401, put(&[("Content-Length", "1000000")])),
        (413, put(&[("Authorization", &token), ("Content-Length", "1000001")])),
        (405, wire::head("PATCH", file("a"), &[("Content-Length", "1000000")])),
    ];
    for (at, (status, request)) in closing.into_iter().enumerate() {
        let shown = String::from_utf8_lossy(&request).chars().take(200).collect::<String>();
        let mut wire = Wire::open(site.address).await;
        wire.say([request, upload(&format!("behind-{at}")), get("a")].concat()).await;
        let answer = wire.answer("GET").await.expect("an answer");
        assert_eq!(answer.status, status, "{shown}");
        if !shown.contains("HTTP/1.0") {
            assert_eq!(answer.header("connection"), Some("close"), "{shown}");
        }
        assert!(answer.header("x-request-id").is_some(), "{shown}");
        // Far less than the 75 seconds of an idle connection.
        assert!(tokio::time::timeout(Duration::from_secs(20), wire.closes()).await.expect("an end"), "{shown}");
    }
    assert_eq!(site.db_number("SELECT count(*) AS n FROM files"), 1);
}

#[tokio::test]
async fn every_header_section_has_a_deadline() {
    let site = Site::new();
    let slow = [
        Vec::new(),
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ".to_vec(),
        // The second and third requests of a connection too, after an answer and pipelined.
        [wire::head("GET", "/livez", &[]), b"G".to_vec()].concat(),
        [wire::head("GET", "/livez", &[]), wire::head("GET", "/livez", &[]), b"GET / HTTP/1.1\r\n".to_vec()].concat(),
    ];
    let cut = slow.map(|sent| {
        let address = site.address;
        async move {
            let mut wire = Wire::open(address).await;
            wire.say(&sent).await;
            for _ in 0..sent.windows(10).filter(|window| window == b"GET /livez").count() {
                if sent.ends_with(b": ") {
                    break;
                }
                assert_eq!(wire.answer("GET").await.expect("an answer").status, 200);
            }
            let answer = wire.answer("GET").await.expect("an answer");
            assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
            assert!(wire.closes().await);
        }
    });
    futures_util::future::join_all(cut).await;
}

#[tokio::test]
async fn empty_lines_do_not_keep_a_connection_open() {
    let site = Site::new();
    let request = wire::head("GET", "/livez", &[]);
    let mut wire = Wire::open(site.address).await;
    // Some clients send one after a body.
    for _ in 0..20 {
        wire.say([b"\r\n".to_vec(), request.clone()].concat()).await;
        wire.answer("GET").await.expect("an answer").is(200);
    }
    for _ in 0..5 {
        wire.say("\r\n").await;
    }
    wire.answer("GET").await.expect("an answer").is(400).says("empty lines");
    assert!(wire.closes().await);
}

#[tokio::test]
async fn malformed_chunks_are_400_whenever_they_come_and_store_nothing() {
    let site = Site::new();
    let token = bearer();
    let fields = [("Authorization", &*token), ("Transfer-Encoding", "chunked")];
    let bad = ["zz\r\n", "-3\r\n", "0x3\r\nabc", "fffffffffffffffff\r\n", "3\r\nabcd\r\n", "3 4\r\n", "\r\n"];
    for before in ["", "5\r\nhello\r\n"] {
        for bad in bad {
            let mut wire = Wire::open(site.address).await;
            wire.say([wire::head("PUT", file("x"), &fields), before.into(), bad.into()].concat()).await;
            let answer = wire.answer("PUT").await.unwrap_or_else(|| panic!("an answer to {bad:?}"));
            assert_eq!(answer.header("connection"), Some("close"), "{bad:?}");
            answer.is(400).says("chunk");
            assert!(wire.closes().await, "one answer to {bad:?}");
        }
    }
    // Later, in a packet of its own, when the handler waits for it.
    let mut wire = Wire::open(site.address).await;
    wire.say(wire::head("PUT", file("x"), &[fields[0], fields[1], ("Expect", "100-continue")])).await;
    assert_eq!(wire.head().await.expect("an answer").status, 100);
    wire.say("3\r\nabc\r\nzz").await;
    wire.answer("PUT").await.expect("an answer").is(400).says("chunk");
    // A form of a page, and JSON.
    let kind = [("Transfer-Encoding", "chunked"), ("Content-Type", "application/json"), ("Authorization", &*token)];
    let mut wire = Wire::open(site.address).await;
    wire.say([wire::head("POST", "/api/v1/orgs", &kind), b"zz\r\n".to_vec()].concat()).await;
    assert_eq!(wire.answer("POST").await.expect("an answer").header("connection"), Some("close"));
    site.assert_empty().await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_a_refusal_instead() {
    let site = Site::with(&[("PACKHOUSE_LIMITS_FILE_BYTES", "1000")]);
    site.ci().publish(&file("taken"), "x").await;
    let token = bearer();
    let expecting = |target: String, length: &str, token: &str| {
        let fields = [("Authorization", token), ("Content-Length", length), ("Expect", "100-continue")];
        wire::head("PUT", target, &fields)
    };
    for (status, request) in [
        (401, expecting(file("a"), "5", "Bearer wrong")),
        (409, expecting(file("taken"), "5", &token)),
        (413, expecting(file("a"), "1001", &token)),
        (404, expecting("/api/nothing".to_owned(), "5", &token)),
        (400, expecting(path(&["ada", "a b", "1", "f"]), "5", &token)),
    ] {
        let mut wire = Wire::open(site.address).await;
        wire.say(&request).await;
        // The very first answer: no 100 before it.
        assert_eq!(wire.head().await.expect("an answer").status, status, "{}", String::from_utf8_lossy(&request));
    }
    let mut wire = Wire::open(site.address).await;
    for name in ["a", "b"] {
        wire.say(expecting(file(name), "5", &token)).await;
        assert_eq!(wire.head().await.expect("an answer").status, 100);
        wire.say("hello").await;
        assert_eq!(wire.answer("PUT").await.expect("an answer").status, 201);
    }
}

#[tokio::test]
async fn upgrade_is_ignored_with_and_without_a_body_and_keeps_the_connection() {
    let site = Site::new();
    let token = bearer();
    let mut wire = Wire::open(site.address).await;
    let offers = [
        ("Upgrade", "h2c"),
        ("Upgrade, HTTP2-Settings", "h2c"),
        ("Upgrade", "TLS/1.2"),
        ("keep-alive, upgrade", "websocket"),
        ("upgrade", "WebSocket"),
    ];
    for (at, (connection, upgrade)) in offers.into_iter().enumerate() {
        let name = format!("f{at}");
        let fields = [
            ("Authorization", &*token),
            ("Connection", connection),
            ("Upgrade", upgrade),
            ("HTTP2-Settings", "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"),
        ];
        let sized = [&fields[..], &[("Content-Length", "5")]].concat();
        wire.say([wire::head("PUT", file(&name), &sized), b"hello".to_vec()].concat()).await;
        let stored = wire.answer("PUT").await.expect("an answer");
        assert_eq!((stored.status, stored.header("connection")), (201, None), "{upgrade}");
        let chunked = [&fields[..], &[("Transfer-Encoding", "chunked")]].concat();
        let body = b"5\r\nhello\r\n0\r\n\r\n".to_vec();
        wire.say([wire::head("PUT", file(&format!("c{at}")), &chunked), body].concat()).await;
        assert_eq!(wire.answer("PUT").await.expect("an answer").status, 201, "{upgrade}");
        wire.say(wire::head("GET", file(&name), &fields)).await;
        let read = wire.answer("GET").await.expect("an answer");
        assert_eq!((read.status, read.header("connection"), &*read.body), (200, None, &b"hello"[..]), "{upgrade}");
        assert_eq!(read.header("upgrade"), None);
    }
}

#[tokio::test]
async fn connections_over_a_limit_get_503_are_counted_and_logged() {
    let site = Site::with(&[("PACKHOUSE_LIMITS_CONNECTIONS_PER_ADDRESS", "2")]);
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::open(site.address).await;
        wire.say(wire::head("GET", "/livez", &[])).await;
        assert_eq!(wire.answer("GET").await.expect("an answer").status, 200);
        held.push(wire);
    }
    let mut refused = Wire::open(site.address).await;
    refused.say([wire::head("PUT", file("a"), &[("Content-Length", "100000")]), noise(100_000)].concat()).await;
    let answer = refused.answer("PUT").await.expect("an answer");
    assert_eq!(answer.header("retry-after"), Some("5"));
    answer.is(503).says("too many connections from your address");
    assert!(refused.closes().await);
    let log = crate::support::log::captured();
    assert!(log.contains("address=127.0.0.1 limit=2") && log.contains("add it to trusted_proxies"));
    held.clear();
    eventually("a connection is accepted again", async || {
        let mut wire = Wire::open(site.address).await;
        wire.say(wire::head("GET", "/livez", &[])).await;
        wire.answer("GET").await.is_some_and(|answer| answer.status == 200)
    })
    .await;
}

#[tokio::test]
async fn http_1_0_readers_get_lists_until_the_connection_closes_not_chunked() {
    let site = Site::new();
    for at in 0..3 {
        site.ci().publish(&file(&format!("f{at}")), "x").await;
    }
    let mut wire = Wire::open(site.address).await;
    wire.say(format!("GET {} HTTP/1.0\r\n\r\n", path(&["ada", "tool", "1.0", "SHA256SUMS"]))).await;
    let head = wire.head().await.expect("an answer");
    assert_eq!((head.status, head.header("transfer-encoding")), (200, None));
    let list = String::from_utf8(wire.rest().await).unwrap();
    assert_eq!(list.lines().count(), 3, "{list}");
}

#[tokio::test]
async fn an_early_refusal_is_the_only_answer_whatever_follows_it() {
    let site = Site::new();
    let refused = [wire::head("PUT", file("a"), &[("Content-Length", "5")]), b"hello".to_vec()].concat();
    for behind in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"nonsense\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\n", b"\0"] {
        let mut wire = Wire::open(site.address).await;
        wire.say([&refused, behind].concat()).await;
        let answer = wire.answer("PUT").await.expect("an answer");
        assert_eq!(answer.status, 401);
        if answer.header("connection") == Some("close") {
            assert!(wire.closes().await, "{}", String::from_utf8_lossy(behind));
        }
    }
}

#[tokio::test]
async fn an_answer_to_http_1_0_closes_no_connection_but_its_own() {
    let site = Site::with(&[("PACKHOUSE_WORKERS", "1")]);
    site.ci().publish(&file("a"), "x").await;
    for _ in 0..20 {
        let mut old = Wire::open(site.address).await;
        old.say(format!("GET {} HTTP/1.0\r\n\r\n", file("a"))).await;
        assert_eq!(old.answer("GET").await.expect("an answer").status, 200);
        let mut new = Wire::open(site.address).await;
        for _ in 0..2 {
            new.say([get("a"), get("a")].concat()).await;
            for _ in 0..2 {
                assert_eq!(new.answer("GET").await.expect("an answer").status, 200);
            }
        }
    }
}

/// Wherever packets end, the same bytes get the same answers.
#[test]
fn answers_do_not_depend_on_how_requests_are_split_into_packets() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let site = runtime.block_on(async { Site::new() });
    runtime.block_on(async { site.ci().publish(&file("a"), noise(300)).await });
    let fields = [("Authorization", &*bearer()), ("Transfer-Encoding", "chunked"), ("Expect", "100-continue")];
    let chunks = b"5;x=y\r\nhello\r\n0\r\nTrailer: x\r\n\r\n\r\n".to_vec();
    let taken = [wire::head("PUT", file("a"), &[fields[0], ("Content-Length", "0")])].concat();
    let requests = [get("a"), head("a"), taken, wire::head("PUT", file("b"), &fields), chunks, get("b"), get("a")];
    let bytes = requests.concat();
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12))| {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        runtime.block_on(async {
            let mut wire = Wire::open(site.address).await;
            wire.stream.set_nodelay(true).unwrap();
            for pair in cuts.windows(2) {
                wire.say(&bytes[pair[0]..pair[1]]).await;
                tokio::task::yield_now().await;
            }
            for (method, status, size) in
                [("GET", 200, 300), ("HEAD", 200, 0), ("PUT", 409, 0), ("PUT", 201, 0), ("GET", 200, 5), ("GET", 200, 300)]
            {
                let answer = wire.answer(method).await.expect("an answer");
                assert_eq!(answer.status, status, "{method}: {answer:?}");
                assert!(size == 0 || answer.body.len() == size, "{method}: {answer:?}");
            }
            site.ci().delete(&file("b")).await.is(204);
        });
    });
}
