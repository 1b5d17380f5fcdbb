//! Faults of the database and of the disk: each becomes a clean answer, and the server recovers by itself.

use crate::support::cluster::{fast_dir, options};
use crate::support::people::People;
use crate::support::wire::{self, Wire};
use crate::support::{Client, Plan, Site, eventually, noise, path, sha256};
use diesel::prelude::*;
use futures_util::stream;
use packhouse::db::managed::ManagedPostgres;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn file(name: &str) -> String {
    path(&["ada", "tool", "1", name])
}

/// A Postgres for one test, which may break it.
struct OwnPostgres {
    postgres: Option<ManagedPostgres>,
    dir: tempfile::TempDir,
}

impl OwnPostgres {
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("packhouse-fault-").tempdir_in(fast_dir()).unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let mut own = Self { postgres: None, dir };
        own.start_again();
        own
    }

    fn start_again(&mut self) {
        let mut options = options(self.dir.path());
        // Only the process dies, not the machine, so commits must have reached the kernel but not the disk.
        options.settings.retain(|(name, _)| name != "synchronous_commit");
        let started = ManagedPostgres::start(&options);
        self.postgres = Some(started.unwrap_or_else(|error| panic!("{error}")));
    }

    fn url(&self) -> String {
        self.postgres.as_ref().unwrap().url().to_owned()
    }

    /// Kills it as `pg_ctl stop -m immediate` does. Its supervisor starts it again.
    fn kill(&self) -> i32 {
        let text = fs::read_to_string(self.dir.path().join("postgres/cluster/postmaster.pid")).unwrap();
        let pid = text.lines().next().unwrap().parse().unwrap();
        let process = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::QUIT).unwrap();
        pid
    }

    /// A server on this Postgres, and a client that may publish.
    fn site(&self) -> (Site, Client) {
        packhouse::db::migrate(&self.url(), Duration::from_secs(10)).unwrap();
        let people = People::settle(&mut PgConnection::establish(&self.url()).unwrap());
        let site = Site::start(Plan { url: Some(self.url()), ..Plan::default() });
        let client = site.anon().bearer(&people.ci);
        (site, client)
    }
}

#[tokio::test]
async fn an_unavailable_database_is_503_with_retry_after_and_recovers() {
    let mut postgres = OwnPostgres::start();
    let (site, ci) = postgres.site();
    ci.publish(&file("f"), "hello").await;
    postgres.postgres.take().unwrap().stop();
    let requests = [
        ci.get(&file("f")),
        site.anon().get(&file("f")),
        ci.head(&file("f")),
        ci.get(&path(&["ada", "tool"])),
        ci.put(&file("g"), "x"),
        ci.delete(&file("f")),
        site.user("ada").get(&file("f")),
    ];
    for answer in futures_util::future::join_all(requests.map(IntoFuture::into_future)).await {
        let answer = answer.is(503);
        assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok()));
        assert!(!answer.text().contains("socket") && !answer.text().contains("SQL"), "{}", answer.text());
    }
    site.anon().get("/livez").await.is(200);
    site.anon().get("/readyz").await.is(503).says("database: the database is unavailable");
    site.anon().get("/api/healthz").await.is(503);
    assert_eq!(site.store_incoming(), 0);
    postgres.start_again();
    eventually("the server is ready again", async || site.anon().get("/readyz").await.status == 200).await;
    assert_eq!(site.anon().get(&file("f")).await.is(200).text(), "hello");
    ci.publish(&file("g"), "x").await;
    ci.delete(&file("f")).await.is(204);
}

#[tokio::test]
async fn killing_postgres_under_load_gives_only_503_and_loses_no_upload() {
    let postgres = OwnPostgres::start();
    let (site, ci) = postgres.site();
    let publisher = |who: usize| {
        let (site, ci, postgres) = (&site, &ci, &postgres);
        async move {
            let mut stored = Vec::new();
            for turn in 0..60 {
                if who == 0 && turn == 20 {
                    postgres.kill();
                }
                let name = format!("{who}-{turn}");
                let answer = ci.put(&file(&name), name.clone()).await;
                assert!([201, 503].contains(&answer.status), "{answer:?}");
                if answer.status == 201 {
                    stored.push(name);
                }
                let got = site.anon().get(&file(&format!("{who}-0"))).await;
                assert!([200, 404, 503].contains(&got.status), "{got:?}");
            }
            stored
        }
    };
    let (a, b, c) = tokio::join!(publisher(0), publisher(1), publisher(2));
    eventually("Postgres is back", async || site.anon().get("/readyz").await.status == 200).await;
    let stored = [a, b, c].concat();
    assert!(stored.len() > 20, "{}", stored.len());
    for name in &stored {
        assert_eq!(site.anon().get(&file(name)).await.is(200).text(), name);
    }
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn killed_database_connections_are_replaced_unnoticed() {
    let site = Site::new();
    site.ci().publish(&file("f"), "hello").await;
    for turn in 0..5 {
        // Open all connections of both pools.
        let opened = (0..12).map(|_| site.anon().get(&file("f")).into_future());
        futures_util::future::join_all(opened).await;
        site.db_execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name LIKE 'packhouse %'",
        );
        if turn % 2 == 0 {
            site.anon().get(&file("f")).await.is(200);
        }
        site.ci().publish(&file(&format!("g{turn}")), "x").await;
        site.ada().get(&file("f")).await.is(200);
    }
    assert_eq!(site.db_audit().len(), 6);
}

/// A foreign transaction that locks a table until it is dropped.
struct Held(#[expect(dead_code, reason = "kept until it is dropped")] PgConnection);

impl Held {
    fn new(site: &Site, table: &str) -> Self {
        let mut conn = PgConnection::establish(&site.url).unwrap();
        for sql in ["BEGIN".to_owned(), format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")] {
            diesel::sql_query(sql).execute(&mut conn).unwrap();
        }
        Self(conn)
    }
}

#[tokio::test]
async fn a_request_is_503_when_every_database_connection_is_busy() {
    let site =
        Site::with(&[("PACKHOUSE_DATABASE_READ_CONNECTIONS", "1"), ("PACKHOUSE_DATABASE_WRITE_CONNECTIONS", "1")]);
    site.ci().publish(&file("f"), "hello").await;
    let held = Held::new(&site, "files");
    let (client, url) = (site.anon(), file("f"));
    let waiting = tokio::spawn(async move { client.get(&url).await });
    eventually("the first request waits", async || {
        site.db_number(
            "SELECT count(*) AS n FROM pg_stat_activity \
             WHERE wait_event_type = 'Lock' AND datname = current_database()",
        ) == 1
    })
    .await;
    let refused = site.anon().get(&file("f")).await.is(503).says("busy");
    assert!(refused.header("retry-after").is_some());
    drop(held);
    waiting.await.unwrap().is(200);
    site.anon().get(&file("f")).await.is(200);
}

#[tokio::test]
async fn a_query_that_times_out_is_503() {
    let site = Site::new();
    site.ci().publish(&file("f"), "hello").await;
    let _held = Held::new(&site, "files");
    let (client, url) = (site.anon(), file("f"));
    let waiting = tokio::spawn(async move { client.get(&url).await });
    // Postgres cancels a slow query in the same way, only later.
    eventually("the query was canceled", async || {
        site.db_number(
            "SELECT count(pg_cancel_backend(pid)) AS n FROM pg_stat_activity \
             WHERE wait_event_type = 'Lock' AND datname = current_database()",
        ) == 1
    })
    .await;
    let answer = waiting.await.unwrap().is(503);
    assert!(answer.header("retry-after").is_some());
}

/// The path of the only blob of a store.
fn only_blob(site: &Site) -> PathBuf {
    let shards = fs::read_dir(site.dir.join("data/blobs/blobs")).unwrap();
    let mut blobs = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    let blob = blobs.next().unwrap().unwrap().path();
    assert!(blobs.next().is_none());
    blob
}

fn flip(path: &Path, at: u64) {
    let mode = fs::metadata(path).unwrap().permissions();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    fs::set_permissions(path, mode).unwrap();
}

#[tokio::test]
async fn a_file_with_a_flipped_bit_is_never_sent_completely() {
    for size in [1_u64, 60_000, 900_000, 5_000_000] {
        for at in [0, size / 2, size - 1] {
            let site = Site::new();
            let bytes = noise(usize::try_from(size).unwrap());
            site.ci().publish(&file("f"), bytes.clone()).await;
            flip(&only_blob(&site), at);
            for range in ["", "bytes=0-"] {
                let request = site.anon().get(&file("f"));
                let request = if range.is_empty() { request } else { request.header("range", range) };
                // An error means that the connection was closed early.
                if let Ok(answer) = request.send().await {
                    let answer = answer.is(503);
                    assert!(answer.header("retry-after").is_some(), "{size} {at}");
                }
            }
            flip(&only_blob(&site), at);
            assert!(site.anon().get(&file("f")).await.is(200).body == bytes);
        }
    }
}

#[tokio::test]
async fn a_lost_blob_is_503_until_someone_uploads_it_again() {
    let site = Site::new();
    let bytes = noise(2_000_000);
    site.ci().publish(&file("f"), bytes.clone()).await;
    fs::remove_file(only_blob(&site)).unwrap();
    site.anon().get(&file("f")).await.is(503);
    site.ci().put(&file("f"), bytes.clone()).await.is(409);
    site.ci().publish(&file("g"), bytes.clone()).await;
    for name in ["f", "g"] {
        assert!(site.anon().get(&file(name)).await.is(200).body == bytes, "{name}");
    }
}

/// Ways to lose a stored blob.
fn spoil(path: &Path, how: &str) {
    match how {
        "flipped" => flip(path, fs::metadata(path).unwrap().len() - 10),
        "cut" => OpenOptions::new().write(true).open(path).unwrap().set_len(100).unwrap(),
        "gone" => fs::remove_file(path).unwrap(),
        "no file" => {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_upload_of_known_content_never_relies_on_a_damaged_blob() {
    for how in ["flipped", "cut", "gone", "no file"] {
        for size in [200, 900_000, 5_242_880] {
            let site = Site::new();
            let bytes = noise(size);
            site.ci().publish(&file("f"), bytes.clone()).await;
            spoil(&only_blob(&site), how);
            site.ci().publish(&file("g"), bytes.clone()).await;
            for name in ["f", "g"] {
                assert!(site.anon().get(&file(name)).await.is(200).body == bytes, "{how} {size} {name}");
            }
        }
    }
}

#[tokio::test]
async fn a_declared_digest_never_relies_on_a_damaged_blob() {
    for how in ["flipped", "cut", "gone", "no file"] {
        for size in [200, 5_242_880] {
            let site = Site::new();
            let bytes = noise(size);
            site.ci().publish(&file("f"), bytes.clone()).await;
            spoil(&only_blob(&site), how);
            let again = site.ci().put(&file("f"), bytes.clone()).header("x-checksum-sha256", sha256(&bytes));
            again.await.is(200);
            assert!(site.anon().get(&file("f")).await.is(200).body == bytes, "{how} {size}");
            assert_eq!(site.db_audit().len(), 1, "nothing was published twice");
        }
    }
}

#[tokio::test]
async fn uploading_the_same_content_replaces_the_blob_and_keeps_one() {
    let site = Site::on_disk();
    let bytes = noise(3_000_000);
    site.ci().publish(&file("f"), bytes.clone()).await;
    let first = only_blob(&site);
    let mut download = Wire::open(site.address).await;
    download.say(wire::head("GET", file("f"), &[("Connection", "close")])).await;
    assert_eq!(download.head().await.unwrap().status, 200);
    site.ci().publish(&file("g"), bytes.clone()).await;
    assert_ne!(only_blob(&site), first, "the row refers to the blob that was just verified");
    assert!(download.rest().await == bytes, "a download of the former blob continues");
    for name in ["f", "g"] {
        assert!(site.anon().get(&file(name)).await.is(200).body == bytes, "{name}");
    }
}

/// A small tmpfs, unmounted when dropped. `None` where mounting isn't allowed.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(dir));
        }
        eprintln!("skipped: mounting a tmpfs needs root");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_507_with_nothing_stored_and_recovers() {
    let Some(disk) = Disk::mount("12m") else { return };
    let store = disk.0.path().join("store");
    let settings = &[("PACKHOUSE_STORE_DIR", store.to_str().unwrap()), ("PACKHOUSE_STORE_RESERVE_BYTES", "1000000")];
    let site = Site::start(Plan { settings, real_time: true, ..Plan::default() });
    let incoming = || fs::read_dir(store.join("incoming")).unwrap().count();
    site.ci().publish(&file("first"), noise(8_000_000)).await;
    let other = |size: usize| noise(size + 1);
    // With a declared length it is refused before its body, chunked when the disk is full.
    let declared = site.ci().put(&file("f"), other(8_000_000)).await.is(507);
    assert!(declared.header("retry-after").is_some());
    let chunks = other(8_000_000).chunks(100_000).map(|chunk| Ok::<_, io::Error>(chunk.to_vec())).collect::<Vec<_>>();
    let chunked = site.ci().put(&file("f"), reqwest::Body::wrap_stream(stream::iter(chunks))).await.is(507);
    assert!(chunked.text().contains("the storage is full"), "{}", chunked.text());
    site.anon().get(&file("f")).await.is(404);
    eventually("nothing of the upload is left", async || incoming() == 0 && site.store_blobs() == 1).await;
    assert!(site.anon().get(&file("first")).await.is(200).body == noise(8_000_000));
    assert_eq!(site.db_audit().len(), 1);

    fs::write(disk.0.path().join("ballast"), noise(4_000_000)).unwrap();
    site.anon().get("/readyz").await.is(503).says("no space left");
    fs::remove_file(disk.0.path().join("ballast")).unwrap();
    site.anon().get("/readyz").await.is(200);
    site.ci().delete(&format!("{}?purge=true", file("first"))).await.is(204);
    site.sweep(Duration::ZERO).await.unwrap();
    site.ci().publish(&file("f"), other(8_000_000)).await;
}

#[tokio::test]
async fn an_invalid_row_is_500_without_details_and_affects_no_one_else() {
    let site = Site::new();
    site.ci().publish(&file("f"), "hello").await;
    site.ci().publish(&file("g"), "hello").await;
    site.db_execute("UPDATE files SET name = 'no//name' WHERE lower_name = 'f'");
    let broken = site.anon().get(&file("f")).await.is(500);
    assert_eq!(broken.text(), format!("internal error (request id {})\n", broken.request_id()));
    site.anon().get(&file("g")).await.is(200);
}
