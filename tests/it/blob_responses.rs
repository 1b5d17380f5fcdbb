//! HTTP responses with a blob as body, over a real connection: status, headers and bytes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix_web::{App, HttpRequest, HttpServer, web};
use bytes::Bytes;
use packhouse::http::blob::{BlobToServe, respond};
use packhouse::storage::{BlobStore, Stored};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::storage::{Fixture, noise, put, stored};

#[derive(Clone)]
struct Served {
    store: BlobStore,
    blob: Stored,
    small: Option<Bytes>,
    public: bool,
    counts: Arc<std::sync::atomic::AtomicUsize>,
}

async fn handler(request: HttpRequest, served: web::Data<Served>) -> Result<actix_web::HttpResponse, actix_web::Error> {
    let file = BlobToServe {
        blob: served.blob.clone(),
        file_name: "tool \"x\".bin",
        last_modified: uploaded(),
        date_is_strong: true,
        now: uploaded() + Duration::from_secs(3600),
        sha512: None,
        public: served.public,
        standing: Default::default(),
        redirects_from: None,
        small: served.small.clone(),
    };
    let answer = respond(request.method(), request.headers(), &served.store, file).await;
    let answer = answer.map_err(actix_web::error::ErrorServiceUnavailable)?;
    if answer.counts {
        served.counts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
    Ok(answer.response)
}

fn uploaded() -> SystemTime {
    httpdate::parse_http_date(UPLOADED).unwrap() + Duration::from_millis(345)
}

const UPLOADED: &str = "Sun, 22 Nov 2026 08:49:37 GMT";

/// A server with only one file.
struct Site {
    fixture: Fixture,
    bytes: Bytes,
    blob: Stored,
    address: std::net::SocketAddr,
    counts: Arc<std::sync::atomic::AtomicUsize>,
    handle: actix_web::dev::ServerHandle,
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

#[derive(Debug, Default)]
struct Answer {
    /// 0 if the connection was closed before the status line.
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    /// Whether the connection could be used for another request.
    kept: bool,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

impl Site {
    async fn of(size: usize) -> Self {
        Self::with(size, false, false).await
    }

    async fn with(size: usize, in_memory: bool, public: bool) -> Self {
        let fixture = Fixture::new();
        let bytes = noise(size);
        let blob = stored(&put(&fixture.store, &bytes).await);
        let counts = Arc::default();
        let small = in_memory.then(|| bytes.clone());
        let served =
            Served { store: fixture.store.clone(), blob: blob.clone(), small, public, counts: Arc::clone(&counts) };
        let make = move || App::new().app_data(web::Data::new(served.clone())).default_service(web::to(handler));
        let server = HttpServer::new(make).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { fixture, bytes, blob, address, counts, handle }
    }

    fn etag(&self) -> String {
        format!("\"{}\"", self.blob.key.sha256())
    }

    fn counted(&self) -> usize {
        self.counts.load(std::sync::atomic::Ordering::SeqCst)
    }

    async fn get(&self, fields: &[(&str, &str)]) -> Answer {
        self.ask("GET", fields).await
    }

    /// Sends a request, then another on the same connection, which fails if the first answer had a wrong length.
    async fn ask(&self, method: &str, fields: &[(&str, &str)]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        stream.write_all(format!("{method} / HTTP/1.1\r\nHost: x\r\n{fields}\r\n").as_bytes()).await.unwrap();
        let mut answer = Answer::default();
        let mut input = Vec::new();
        let end = loop {
            if let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if stream.read_buf(&mut input).await.unwrap_or(0) == 0 {
                return answer;
            }
        };
        let head = String::from_utf8(input[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        answer.status = lines.next().unwrap()[9..12].parse().unwrap();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            let before = answer.headers.insert(name.to_ascii_lowercase(), value.to_owned());
            assert!(before.is_none(), "{name} twice");
        }
        let mut rest = input.split_off(end + 4);
        let length = match (method, answer.status) {
            ("HEAD", _) | (_, 304) => 0,
            _ => answer.header("content-length").expect("a Content-Length").parse().unwrap(),
        };
        while rest.len() < length && stream.read_buf(&mut rest).await.unwrap_or(0) > 0 {}
        assert!(rest.len() <= length, "the body is longer than Content-Length");
        let whole = rest.len() == length;
        answer.body = rest;
        if whole {
            stream.write_all(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut next = [0; 12];
            answer.kept = stream.read_exact(&mut next).await.is_ok() && next == *b"HTTP/1.1 200";
        }
        answer
    }
}

fn assert_protected(answer: &Answer) {
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let policy = "default-src 'none'; sandbox; frame-ancestors 'none'";
    assert_eq!(answer.header("content-security-policy"), Some(policy));
    assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
    assert_eq!(answer.header("cache-control"), Some("private, max-age=0, must-revalidate, no-transform"));
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    assert_eq!(answer.header("last-modified"), Some(UPLOADED));
    assert!(answer.header("etag").is_some() && answer.kept, "{answer:?}");
    assert_eq!(answer.header("transfer-encoding"), None);
}

#[tokio::test]
async fn a_whole_blob_is_sent_with_all_promised_headers() {
    for (size, in_memory) in
        [(0, false), (0, true), (5, true), (5, false), (65_536, false), (65_537, false), (3_000_000, false)]
    {
        let site = Site::with(size, in_memory, false).await;
        let (get, head) = (site.get(&[]).await, site.ask("HEAD", &[]).await);
        assert_eq!((get.status, head.status), (200, 200));
        assert!(get.body == site.bytes, "{size}");
        assert_protected(&get);
        let mut told = (get.headers.clone(), head.headers.clone());
        told.0.remove("date");
        told.1.remove("date");
        assert_eq!(told.0, told.1, "HEAD has the headers of GET");
        let sha256 = site.blob.key.sha256().to_hex();
        assert_eq!(get.header("content-length"), Some(&*size.to_string()));
        assert_eq!(get.header("content-type"), Some("application/octet-stream"));
        assert_eq!(get.header("etag"), Some(&*format!("\"{sha256}\"")));
        assert_eq!(get.header("x-checksum-sha256"), Some(&*sha256));
        let disposition = "attachment; filename=\"tool \\\"x\\\".bin\"; filename*=UTF-8''tool%20%22x%22.bin";
        assert_eq!(get.header("content-disposition"), Some(disposition));
        assert!(get.header("repr-digest").unwrap().starts_with("sha-256=:"));
        // Only the GET counts: neither the HEAD nor the requests that tested the connection.
        assert_eq!(site.counted(), 1);
    }
    let site = Site::with(5, true, true).await;
    let answer = site.get(&[]).await;
    assert_eq!(answer.header("cache-control"), Some("public, max-age=0, must-revalidate, no-transform"));
}

#[tokio::test]
async fn one_range_is_206_with_its_bytes() {
    for (size, in_memory) in [(1_000, true), (1_000, false), (1_000_000, false), (3_500_000, false)] {
        let site = Site::with(size, in_memory, false).await;
        let last = size - 1;
        for (range, start, end, counts) in [
            ("bytes=0-0".to_owned(), 0, 1, 1),
            (format!("bytes={last}-"), last, size, 0),
            ("bytes=-7".to_owned(), size - 7, size, 0),
            ("bytes=100-".to_owned(), 100, size, 0),
            ("bytes=0-".to_owned(), 0, size, 1),
            ("bytes=17-899".to_owned(), 17, 900, 0),
        ] {
            let before = site.counted();
            let answer = site.get(&[("Range", &range)]).await;
            assert_eq!(answer.status, 206, "{range}");
            assert_protected(&answer);
            assert!(answer.body == site.bytes[start..end], "{range} of {size}");
            assert_eq!(answer.header("content-range"), Some(&*format!("bytes {start}-{}/{size}", end - 1)));
            assert!(answer.header("repr-digest").is_some() && answer.header("content-disposition").is_some());
            assert_eq!(site.counted() - before, counts, "{range}");
            let head = site.ask("HEAD", &[("Range", &range)]).await;
            assert_eq!((head.status, head.header("content-range")), (200, None), "HEAD ignores Range");
        }
        let answer = site.get(&[("Range", &format!("bytes={size}-"))]).await;
        assert_eq!((answer.status, answer.header("content-range")), (416, Some(&*format!("bytes */{size}"))));
        assert_protected(&answer);
        for fields in [
            &[("Range", "bytes=2-1")][..],
            &[("Range", "lines=1-2")],
            &[("Range", "bytes=0-1"), ("Range", "bytes=3-4")],
        ] {
            let answer = site.get(fields).await;
            assert_eq!((answer.status, answer.body.len()), (200, size));
        }
    }
}

#[tokio::test]
async fn several_ranges_are_multipart_in_their_order() {
    for (size, in_memory) in [(1_000, true), (1_000, false), (3_500_000, false)] {
        let site = Site::with(size, in_memory, false).await;
        let middle = size / 2;
        let answer = site.get(&[("Range", &format!("bytes={middle}-{}, 0-1,-{}", middle + 9, size / 5))]).await;
        assert_eq!(answer.status, 206);
        assert_protected(&answer);
        assert_eq!((answer.header("content-range"), site.counted()), (None, 1));
        let boundary = answer.header("content-type").unwrap().strip_prefix("multipart/byteranges; boundary=").unwrap();
        let mut expected = Vec::new();
        for (at, (start, end)) in [(middle, middle + 10), (0, 2), (size - size / 5, size)].into_iter().enumerate() {
            let lead = if at == 0 { "" } else { "\r\n" };
            let last = end - 1;
            let (kind, place) = ("application/octet-stream", format!("bytes {start}-{last}/{size}"));
            let head = format!("{lead}--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {place}\r\n\r\n");
            expected.extend_from_slice(head.as_bytes());
            expected.extend_from_slice(&site.bytes[start..end]);
        }
        expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert!(answer.body == expected, "{}", String::from_utf8_lossy(&answer.body[..200]));
        let answer = site.get(&[("Range", "bytes=5-6,8-9")]).await;
        assert_eq!((answer.status, site.counted()), (206, 1), "a range without byte 0 does not count");
        let answer = site.get(&[("Range", "bytes=0-,0-,0-")]).await;
        assert_eq!((answer.status, answer.body.len()), (200, size));
    }
}

#[tokio::test]
async fn conditions_precede_ranges_and_empty_answers_have_security_headers() {
    let site = Site::of(100_000).await;
    let etag = site.etag();
    let answer = site.get(&[("If-None-Match", &etag), ("Range", "bytes=0-1")]).await;
    assert_eq!((answer.status, answer.header("content-length"), answer.header("content-type")), (304, None, None));
    assert_protected(&answer);
    let answer = site.ask("HEAD", &[("If-None-Match", &etag)]).await;
    assert_eq!(answer.status, 304);
    let answer = site.get(&[("If-Modified-Since", UPLOADED)]).await;
    assert_eq!(answer.status, 304);
    for method in ["GET", "HEAD"] {
        let answer = site.ask(method, &[("If-Match", "\"x\""), ("Range", "bytes=0-1")]).await;
        assert_eq!(answer.status, 412);
        assert_protected(&answer);
    }
    assert_eq!(site.counted(), 0);
    for (value, status) in [(&*etag, 206), (UPLOADED, 206), ("\"x\"", 200), ("Sun, 22 Nov 2026 08:49:38 GMT", 200)] {
        let answer = site.get(&[("If-Range", value), ("Range", "bytes=0-1")]).await;
        assert_eq!(answer.status, status, "{value}");
    }
}

#[tokio::test]
async fn a_damaged_blob_is_503_or_cut_off_never_a_complete_answer() {
    let site = Site::of(3_500_000).await;
    site.fixture.flip(&site.blob.key, 3_499_999);
    let answer = site.get(&[]).await;
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("3500000")));
    assert!(!answer.kept && answer.body.len() < 3_500_000 && site.bytes.starts_with(&answer.body));
    let answer = site.get(&[("Range", "bytes=3300000-3499990")]).await;
    assert!(answer.status == 206 && answer.body.len() < 199_991);
    let answer = site.get(&[("Range", "bytes=0-9,3400000-3499990")]).await;
    // actix drops its unsent buffer if a body fails, and the headers may still be in it.
    assert!([206, 0].contains(&answer.status) && !answer.kept);
    let answer = site.get(&[("Range", "bytes=3400000-3400009")]).await;
    assert_eq!(answer.status, 503, "the damage is found before the answer begins");
    let answer = site.get(&[("Range", "bytes=1000000-2000000")]).await;
    assert!(answer.status == 206 && answer.body == site.bytes[1_000_000..=2_000_000], "an undamaged part is served");

    let small = Site::of(60_000).await;
    small.fixture.flip(&small.blob.key, 3);
    assert_eq!(small.get(&[]).await.status, 503);
    small.fixture.store.remove(&small.blob.key).unwrap();
    assert_eq!(small.get(&[]).await.status, 503);
}

#[tokio::test]
#[ignore = "a measurement: run it alone, in release"]
async fn measure_the_speed_of_downloading_a_gibibyte() {
    let site = Site::of(1 << 30).await;
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..5 {
        let clock = std::time::Instant::now();
        let mut stream = std::net::TcpStream::connect(site.address).unwrap();
        let total = tokio::task::spawn_blocking(move || {
            use std::io::{Read, Write};
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
            let mut total = 0;
            loop {
                match stream.read(&mut buffer).unwrap() {
                    0 => return (total, buffer),
                    read => total += read,
                }
            }
        })
        .await
        .unwrap();
        assert!(total.0 > 1 << 30);
        buffer = total.1;
        eprintln!("sent: {:.2} GiB/s", 1.0 / clock.elapsed().as_secs_f64());
    }
    let ticks = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = ticks.rsplit(')').next().unwrap().split_whitespace().collect();
    eprintln!("CPU of server and client, user and system, in ticks: {} {}", fields[11], fields[12]);
}
