//! What a remembered download costs besides time, which no test can measure: memory allocations and system calls. A
//! change that adds to these numbers makes the server slower on every machine, and needs a reason.

use crate::program::{Home, Server, signal};
use crate::support::wire::{self, Wire};
use crate::support::{Site, eventually, path};
use bytes::BytesMut;
use packhouse::http::gate::PlainGet;
use packhouse::routes;
use packhouse::serve::hot::HotDownloads;
use rustix::process::Signal;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use tracing::subscriber::{NoSubscriber, with_default};

#[tokio::test]
async fn a_remembered_download_allocates_memory_once() {
    let site = Site::new();
    let file = path(&["ada", "tool", "1.0", "tool.bin"]);
    site.ci().publish(&file, "content").await;
    eventually("the server remembers it", async || {
        site.anon().get(&file).await.is(200);
        site.app.downloads.usage().entries > 0
    })
    .await;
    let shortcut = HotDownloads::shortcut(&site.app, routes::DOWNLOAD).expect("a memory");
    let request = PlainGet { path: &file, authorization: None, if_none_match: None };
    let mut out = BytesMut::with_capacity(64 << 10);
    let mut answer = || {
        out.clear();
        assert!(shortcut.answer(&request, IpAddr::V4(Ipv4Addr::LOCALHOST), &mut out));
    };
    // The first one also formats the date, and begins the counts of the minute.
    answer();
    let work = || {
        for _ in 0..100 {
            answer();
        }
    };
    // Without the log, whose lines are collected in memory by the tests.
    let allocated = with_default(NoSubscriber::default(), || allocation_counter::measure(work));
    // The ID of the request; and some more when a second begins meanwhile.
    assert!(allocated.count_total <= 110, "{allocated:?}");
}

/// How often each system call was made, from the summary of `strace -c`.
fn calls(summary: &str) -> HashMap<String, u64> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (name, count) = (fields.last()?, fields.get(3)?);
        Some(((*name).to_owned(), count.parse().ok()?))
    };
    summary.lines().filter_map(line).collect()
}

#[tokio::test]
async fn a_remembered_download_takes_three_system_calls() {
    const REQUESTS: u64 = 500;
    let home = Home::new();
    home.make_user("ada");
    let token = home.make_token("ada");
    let server = Server::start(&home);
    assert_eq!(server.put(&token, "ada/generic/tool/1.0/tool.bin", b"content"), 201);
    let file = path(&["ada", "tool", "1.0", "tool.bin"]);
    let mut wire = Wire::open(server.address.parse().unwrap()).await;
    let request = wire::head("GET", &file, &[]);
    let mut get = async || {
        wire.say(&request).await;
        wire.answer("GET").await.expect("an answer").is(200);
    };
    for _ in 0..20 {
        get().await;
    }
    let summary = home.path("calls");
    let pid = server.child.id().to_string();
    let mut tracer = Command::new("strace")
        .args(["-f", "-c", "-p", &pid, "-o"])
        .arg(&summary)
        .stderr(Stdio::piped())
        .spawn()
        .expect("script/bootstrap --test installs strace");
    let mut said = BufReader::new(tracer.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("attached"), "{line}");
    for _ in 0..REQUESTS {
        get().await;
    }
    signal(i32::try_from(tracer.id()).unwrap(), Signal::INT);
    tracer.wait().unwrap();
    let summary = std::fs::read_to_string(&summary).unwrap();
    let calls = calls(&summary);
    let of = |names: &[&str]| names.iter().filter_map(|name| calls.get(*name)).sum::<u64>();
    // Some more are of other threads, and of the pauses in which a worker has nothing to do.
    for name in ["recvfrom", "sendto", "epoll_wait"] {
        assert!((REQUESTS..REQUESTS * 5 / 4).contains(&of(&[name])), "{name}\n{summary}");
    }
    // The lines of the log are written together.
    assert!(of(&["write", "writev"]) < REQUESTS / 2, "{summary}");
    for name in ["openat", "pread64", "fstat", "statx", "mmap"] {
        assert!(of(&[name]) < REQUESTS / 10, "{name}\n{summary}");
    }
    server.stop();
}
