//! What the server does when what it stands on breaks.

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

/// A Postgres of one test alone, to be broken.
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
        // The process may die, not the machine: what is committed must be with the kernel.
        options.settings.retain(|(name, _)| name != "synchronous_commit");
        let started = ManagedPostgres::start(&options);
        self.postgres = Some(started.unwrap_or_else(|error| panic!("{error}")));
    }

    fn url(&self) -> String {
        self.postgres.as_ref().unwrap().url().to_owned()
    }

    /// As `pg_ctl stop -m immediate` does; what started it brings it back.
    fn kill(&self) -> i32 {
        let text = fs::read_to_string(self.dir.path().join("postgres/cluster/postmaster.pid")).unwrap();
        let pid = text.lines().next().unwrap().parse().unwrap();
        let process = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::QUIT).unwrap();
        pid
    }

    /// A server over this Postgres, and the machine of somebody who may publish.
    fn site(&self) -> (Site, Client) {
        packhouse::db::migrate(&self.url(), Duration::from_secs(10)).unwrap();
        let people = People::settle(&mut PgConnection::establish(&self.url()).unwrap());
        let site = Site::start(Plan { url: Some(self.url()), ..Plan::default() });
        let client = site.anon().bearer(&people.ci);
        (site, client)
    }
}

#[tokio::test]
async fn a_database_that_is_away_gives_503_with_retry_after_and_heals_without_hands() {
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
    eventually("it is ready again", async || site.anon().get("/readyz").await.status == 200).await;
    assert_eq!(site.anon().get(&file("f")).await.is(200).text(), "hello");
    ci.publish(&file("g"), "x").await;
    ci.delete(&file("f")).await.is(204);
}

#[tokio::test]
async fn a_postgres_that_dies_under_load_costs_nobody_more_than_503_and_loses_no_201() {
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
    eventually("it is back", async || site.anon().get("/readyz").await.status == 200).await;
    let stored = [a, b, c].concat();
    assert!(stored.len() > 20, "{}", stored.len());
    for name in &stored {
        assert_eq!(site.anon().get(&file(name)).await.is(200).text(), name);
    }
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn killed_connections_are_replaced_without_a_client_noticing() {
    let site = Site::new();
    site.ci().publish(&file("f"), "hello").await;
    for turn in 0..5 {
        // All connections of both pools are open.
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

/// A transaction of somebody else that holds a table until it is dropped.
struct Held(#[expect(dead_code, reason = "it is kept for its end")] PgConnection);

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
async fn when_every_connection_is_busy_the_next_request_is_503_and_does_not_hang() {
    let site =
        Site::with(&[("PACKHOUSE_DATABASE_READ_CONNECTIONS", "1"), ("PACKHOUSE_DATABASE_WRITE_CONNECTIONS", "1")]);
    site.ci().publish(&file("f"), "hello").await;
    let held = Held::new(&site, "files");
    let (client, url) = (site.anon(), file("f"));
    let waiting = tokio::spawn(async move { client.get(&url).await });
    eventually("the first one waits", async || {
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
async fn a_query_that_takes_too_long_is_503() {
    let site = Site::new();
    site.ci().publish(&file("f"), "hello").await;
    let _held = Held::new(&site, "files");
    let (client, url) = (site.anon(), file("f"));
    let waiting = tokio::spawn(async move { client.get(&url).await });
    // Postgres ends what is slow in the same way, only later.
    eventually("it was ended", async || {
        site.db_number(
            "SELECT count(pg_cancel_backend(pid)) AS n FROM pg_stat_activity \
             WHERE wait_event_type = 'Lock' AND datname = current_database()",
        ) == 1
    })
    .await;
    let answer = waiting.await.unwrap().is(503);
    assert!(answer.header("retry-after").is_some());
}

/// Where the only blob of a store lies.
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
async fn a_flipped_bit_is_never_sent_as_a_whole_file() {
    for size in [1_u64, 60_000, 900_000, 5_000_000] {
        for at in [0, size / 2, size - 1] {
            let site = Site::new();
            let bytes = noise(usize::try_from(size).unwrap());
            site.ci().publish(&file("f"), bytes.clone()).await;
            flip(&only_blob(&site), at);
            for range in ["", "bytes=0-"] {
                let request = site.anon().get(&file("f"));
                let request = if range.is_empty() { request } else { request.header("range", range) };
                // An error is a connection that was cut.
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
async fn lost_bytes_are_503_until_somebody_uploads_them_again() {
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

/// The ways in which a stored copy is lost.
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
async fn a_201_for_known_bytes_never_rests_on_a_damaged_copy() {
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
async fn a_200_for_a_declared_digest_never_rests_on_a_damaged_copy() {
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
async fn the_same_bytes_uploaded_again_replace_the_stored_copy_and_leave_one() {
    let site = Site::new();
    let bytes = noise(3_000_000);
    site.ci().publish(&file("f"), bytes.clone()).await;
    let first = only_blob(&site);
    let mut download = Wire::open(site.address).await;
    download.say(wire::head("GET", file("f"), &[("Connection", "close")])).await;
    assert_eq!(download.head().await.unwrap().status, 200);
    site.ci().publish(&file("g"), bytes.clone()).await;
    assert_ne!(only_blob(&site), first, "the row names the copy that was just verified");
    assert!(download.rest().await == bytes, "a download of the former copy goes on");
    for name in ["f", "g"] {
        assert!(site.anon().get(&file(name)).await.is(200).body == bytes, "{name}");
    }
}

/// A small disk, unmounted when dropped; `None` where mounting is not allowed.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(dir));
        }
        eprintln!("skipped: mounting a tmpfs takes root");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_507_with_nothing_stored_and_heals_when_there_is_room() {
    let Some(disk) = Disk::mount("12m") else { return };
    let store = disk.0.path().join("store");
    let settings = &[("PACKHOUSE_STORE_DIR", store.to_str().unwrap()), ("PACKHOUSE_STORE_RESERVE_BYTES", "1000000")];
    let site = Site::start(Plan { settings, real_time: true, ..Plan::default() });
    let incoming = || fs::read_dir(store.join("incoming")).unwrap().count();
    site.ci().publish(&file("first"), noise(8_000_000)).await;
    let other = |size: usize| noise(size + 1);
    // Declared, it is refused before its body; chunked, when the disk is full.
    let declared = site.ci().put(&file("f"), other(8_000_000)).await.is(507);
    assert!(declared.header("retry-after").is_some());
    let chunks = other(8_000_000).chunks(100_000).map(|chunk| Ok::<_, io::Error>(chunk.to_vec())).collect::<Vec<_>>();
    let chunked = site.ci().put(&file("f"), reqwest::Body::wrap_stream(stream::iter(chunks))).await.is(507);
    assert!(chunked.text().contains("no room left"), "{}", chunked.text());
    site.anon().get(&file("f")).await.is(404);
    eventually("nothing is left of it", async || incoming() == 0 && site.store_blobs() == 1).await;
    assert!(site.anon().get(&file("first")).await.is(200).body == noise(8_000_000));
    assert_eq!(site.db_audit().len(), 1);

    fs::write(disk.0.path().join("ballast"), noise(4_000_000)).unwrap();
    site.anon().get("/readyz").await.is(503).says("no space left");
    fs::remove_file(disk.0.path().join("ballast")).unwrap();
    site.anon().get("/readyz").await.is(200);
    site.ci().delete(&file("first")).await.is(204);
    site.sweep(Duration::ZERO).await.unwrap();
    site.ci().publish(&file("f"), other(8_000_000)).await;
}

#[tokio::test]
async fn a_row_that_cannot_be_is_500_without_a_word_of_why_and_nothing_to_others() {
    let site = Site::new();
    site.ci().publish(&file("f"), "hello").await;
    site.ci().publish(&file("g"), "hello").await;
    site.db_execute("UPDATE files SET name = 'no/name' WHERE lower_name = 'f'");
    let broken = site.anon().get(&file("f")).await.is(500);
    assert_eq!(broken.text(), "internal error\n");
    site.anon().get(&file("g")).await.is(200);
}
