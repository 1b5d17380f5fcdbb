//! Health probes (`/livez`, `/readyz`, `/api/healthz`), metrics, and graceful shutdown.

use crate::support::wire::{self, Wire};
use crate::support::{Plan, Site, cluster, eventually, noise, path};
use packhouse::db::managed::ManagedPostgres;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

#[tokio::test]
async fn a_healthy_server_is_live_and_ready() {
    let site = Site::new();
    assert_eq!(site.anon().get("/livez").await.is(200).text(), "ok\n");
    assert_eq!(site.anon().get("/readyz").await.is(200).text(), "database: ok\nstore: ok\naccepting: ok\n");
    let health = site.anon().get("/api/healthz").await.is(200);
    insta::assert_snapshot!(health.pretty(), @r#"
    {
      "checks": {
        "accepting:ping": [
          {
            "output": "",
            "status": "pass",
            "time": "2026-01-02T03:04:05Z"
          }
        ],
        "database:ping": [
          {
            "output": "",
            "status": "pass",
            "time": "2026-01-02T03:04:05Z"
          }
        ],
        "store:ping": [
          {
            "output": "",
            "status": "pass",
            "time": "2026-01-02T03:04:05Z"
          }
        ]
      },
      "description": "Packhouse",
      "status": "pass"
    }
    "#);
    for probe in ["/livez", "/readyz", "/api/healthz"] {
        assert_eq!(site.anon().get(probe).await.header("cache-control"), Some("no-store"));
        let head = site.anon().head(probe).await.is(200);
        assert!(head.body.is_empty());
        assert_eq!(site.anon().post(probe, &serde_json::json!({})).await.is(405).header("allow"), Some("GET, HEAD"));
    }
}

#[tokio::test]
async fn a_missing_store_marker_makes_the_server_not_ready_and_read_only() {
    let site = Site::new();
    let file = path(&["ada", "tool", "1", "f"]);
    site.ci().publish(&file, "x").await;
    let (marker, away) = (site.dir.join("data/blobs/packhouse-store"), site.dir.join("away"));
    fs::rename(&marker, &away).unwrap();
    site.anon().get("/livez").await.is(200);
    let ready = site.anon().get("/readyz").await.is(503);
    assert!(ready.text().starts_with("database: ok\nstore: the store is unavailable"), "{}", ready.text());
    let health = site.anon().get("/api/healthz").await.is(503).json();
    assert_eq!((&health["status"], &health["checks"]["store:ping"][0]["status"]), (&"fail".into(), &"fail".into()));
    for size in [1, 3_000_000] {
        let refused = site.ci().put(&path(&["ada", "tool", "1", "g"]), noise(size)).await.is(503);
        assert!(refused.header("retry-after").is_some());
    }
    fs::rename(&away, &marker).unwrap();
    site.anon().get("/readyz").await.is(200);
    assert_eq!(site.anon().get(&file).await.is(200).text(), "x");
    site.ci().publish(&path(&["ada", "tool", "1", "g"]), "x").await;
    assert_eq!(site.db_number("SELECT count(*) AS n FROM files"), 2);
}

#[tokio::test]
async fn a_stopping_server_is_not_ready_and_closes_its_connections() {
    let site = Site::new();
    site.app.start_draining();
    let ready = site.anon().get("/readyz").await.is(503);
    assert!(ready.text().ends_with("accepting: the server is stopping\n"), "{}", ready.text());
    assert_eq!(site.anon().get("/api/healthz").await.is(503).json()["status"], "fail");
    let live = site.anon().get("/livez").await.is(200);
    assert_eq!(live.header("connection"), Some("close"));
    // New requests are still served meanwhile.
    site.ci().publish(&path(&["ada", "tool", "1", "f"]), "x").await;
}

#[tokio::test]
async fn transfers_finish_during_shutdown_and_new_connections_are_refused() {
    let site = Site::new();
    let (file, size) = (path(&["ada", "tool", "1", "f"]), 30_000_000);
    let bytes = noise(size);
    site.ci().publish(&file, bytes.clone()).await;
    let mut download = Wire::open(site.address).await;
    download.say(wire::head("GET", &file, &[])).await;
    assert_eq!(download.head().await.unwrap().status, 200);
    let bearer = format!("Bearer {}", cluster::cluster().people.ci);
    let fields = [("Authorization", &*bearer), ("Content-Length", "3000000")];
    let mut upload = Wire::open(site.address).await;
    let new = path(&["ada", "tool", "1", "new"]);
    upload.say(wire::head("PUT", &new, &fields)).await.say(&bytes[..2_000_000]).await;
    eventually("the upload has begun", async || site.store_incoming() > 0).await;

    site.app.start_draining();
    let stopped = tokio::spawn(site.handle.stop(true));
    eventually("new connections are refused", async || tokio::net::TcpStream::connect(site.address).await.is_err())
        .await;
    assert!(!stopped.is_finished(), "the server waits for its transfers");
    upload.say(&bytes[2_000_000..3_000_000]).await;
    upload.answer("PUT").await.expect("an answer").is(201);
    let rest = download.rest().await;
    assert!(rest == bytes, "{} of {size} bytes", rest.len());
    tokio::time::timeout(Duration::from_secs(20), stopped).await.expect("the server stops").unwrap();
    assert_eq!(site.db_number("SELECT count(*) AS n FROM files"), 2);
}

#[tokio::test]
async fn counters_are_saved_at_shutdown() {
    let site = Site::new();
    let file = path(&["ada", "tool", "1", "f"]);
    site.ci().publish(&file, "x").await;
    for _ in 0..3 {
        site.anon().get(&file).await.is(200);
    }
    site.handle.stop(true).await;
    eventually("the counts are in the database", async || site.db_number("SELECT download_count AS n FROM files") == 3)
        .await;
}

#[tokio::test]
async fn metrics_count_requests_bytes_and_pools_by_route_never_by_name() {
    let site = Site::start(Plan { metrics: true, ..Plan::default() });
    let file = path(&["ada", "unmistakable-package", "1", "f"]);
    site.ci().publish(&file, "x").await;
    site.anon().get(&file).await.is(200);
    site.anon().request("UNUSUAL", &file).await.is(405);
    let metrics = site.anon().get("/metrics").await.is(200);
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = metrics.text();
    let route = "route=\"/api/packages/{owner}/generic/{name}/{version}/{file}\"";
    let line = |name: &str, labels: &[&str]| {
        text.lines().any(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)))
    };
    assert!(line("packhouse_requests_total", &["method=\"PUT\"", route, "status=\"201\""]), "{text}");
    assert!(line("packhouse_requests_total", &["method=\"GET\"", route, "status=\"200\""]));
    assert!(line("packhouse_requests_total", &["method=\"other\"", route, "status=\"405\""]));
    for name in [
        "packhouse_request_seconds_bucket",
        "packhouse_sent_bytes_total",
        "packhouse_received_bytes_total",
        "packhouse_db_wait_seconds_count",
        "packhouse_db_connections_used",
        "packhouse_argon2_queue",
        "packhouse_connections",
        "packhouse_blobs",
        "packhouse_blob_bytes",
        "packhouse_store_free_bytes",
    ] {
        assert!(line(name, &[]), "{name}");
    }
    let named: Vec<_> = text.lines().filter(|line| line.contains("unmistakable") || line.contains("/ada")).collect();
    assert!(named.is_empty(), "{named:?}");
}

#[tokio::test]
async fn addresses_for_operators_answer_in_their_exact_spelling_alone() {
    let site = Site::start(Plan { metrics: true, ..Plan::default() });
    for address in ["/metrics", "/livez", "/readyz", "/api/healthz"] {
        let first = format!("/%{:02x}{}", address.as_bytes()[1], &address[2..]);
        let last = format!("{}%{:02X}", &address[..address.len() - 1], address.as_bytes()[address.len() - 1]);
        for other in [
            format!("{address}/"),
            format!("{address}//"),
            format!("{address}/./"),
            format!("{address}/."),
            format!("/{address}"),
            format!("/.{address}"),
            format!("/x/..{address}"),
            format!("{address}%2f"),
            format!("{address};x"),
            address.replace("/api/", "/api//").replace("/api//", "/%61pi/"),
            first,
            last,
        ] {
            if other == address {
                continue;
            }
            for (method, accept, status) in [
                ("GET", "*/*", &[404][..]),
                ("GET", "text/html", &[404]),
                ("HEAD", "*/*", &[404]),
                ("POST", "*/*", &[404, 405]),
            ] {
                let answer = wire::ask(site.address, method, &other, &[("Accept", accept)]).await;
                assert!(status.contains(&answer.status), "{method} {other} {accept}: {}", answer.status);
            }
        }
        assert_eq!(wire::ask(site.address, "GET", format!("{address}?x=//"), &[]).await.status, 200);
    }
}

#[tokio::test]
async fn metrics_are_disabled_or_need_their_own_token() {
    let off =
        Site::start(Plan { metrics: true, settings: &[("PACKHOUSE_METRICS_ENABLED", "false")], ..Plan::default() });
    off.anon().get("/metrics").await.is(404);
    let settings = &[("PACKHOUSE_METRICS_TOKEN", "let-me-see")];
    let closed = Site::start(Plan { metrics: true, settings, ..Plan::default() });
    let refused = closed.anon().get("/metrics").await.is(401);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"Packhouse\""));
    closed.anon().authorized("bearer let-me-see".to_owned()).get("/metrics").await.is(200);
    closed.anon().authorized("Basic let-me-see".to_owned()).get("/metrics").await.is(401);
    closed.admin().get("/metrics").await.is(401);
    closed.anon().bearer("let-me").get("/metrics").await.is(401);
    closed.anon().bearer("let-me-see").get("/metrics").await.is(200);
}

#[tokio::test]
async fn an_idle_connection_does_not_delay_others() {
    let site = Site::new();
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(Wire::open(site.address).await);
    }
    site.anon().get("/livez").await.is(200);
    let rest = silent.swap_remove(0).rest().await;
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
}

/// Stops all processes of a Postgres, as a debugger would, until this is dropped.
struct Frozen(Vec<Pid>);

impl Frozen {
    fn new(data_dir: &Path) -> Self {
        let file = fs::read_to_string(data_dir.join("postgres/cluster/postmaster.pid")).unwrap();
        let postmaster: i32 = file.lines().next().unwrap().trim().parse().unwrap();
        let parent = |pid: i32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<i32>().ok())
        };
        let running = fs::read_dir("/proc").unwrap().flatten();
        let running = running.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let mut all: Vec<i32> = running.filter(|pid| parent(*pid) == Some(postmaster)).collect();
        all.push(postmaster);
        let frozen = Self(all.into_iter().filter_map(Pid::from_raw).collect());
        frozen.all(Signal::STOP);
        frozen
    }

    fn all(&self, signal: Signal) {
        for pid in &self.0 {
            let _ = kill_process(*pid, signal);
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.all(Signal::CONT);
    }
}

#[tokio::test]
async fn every_probe_reports_a_hanging_database_within_a_time_limit() {
    let dir = tempfile::Builder::new().prefix("packhouse-it-hung-").tempdir_in(cluster::fast_dir()).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let postgres = ManagedPostgres::start(&cluster::options(dir.path())).unwrap();
    let site = Site::start(Plan { url: Some(postgres.url().to_owned()), ..Plan::default() });
    site.anon().get("/readyz").await.is(200);
    let frozen = Frozen::new(dir.path());
    let probes = async {
        let ready = site.anon().get("/readyz").await.is(503);
        // The second, if the probe needed a new connection.
        let problems = ["the database does not answer", "the database is unavailable"];
        let possible = problems.map(|problem| format!("database: {problem}\nstore: ok\naccepting: ok\n"));
        assert!(possible.iter().any(|text| text == ready.text()), "{}", ready.text());
        let health = site.anon().get("/api/healthz").await.is(503).json();
        assert_eq!(
            (&health["status"], &health["checks"]["database:ping"][0]["status"]),
            (&"fail".into(), &"fail".into())
        );
        site.anon().get("/livez").await.is(200);
    };
    tokio::time::timeout(Duration::from_secs(30), probes).await.expect("an answer");
    drop(frozen);
    eventually("the server is ready again", async || site.anon().get("/readyz").await.status == 200).await;
    drop(site);
    postgres.stop();
}
