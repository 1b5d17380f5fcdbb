//! Concurrent requests, on one server and on two: publishers of one name, publishing while deleting, sweeps, migrations.

use crate::support::cluster::cluster;
use crate::support::{Answer, Plan, Site, TestStore, eventually, noise, path, sha256};
use diesel::prelude::*;
use futures_util::future::join_all;
use packhouse::error::Error;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const MANY: usize = 24;

/// One server with a directory, or two of one database and one bucket.
#[derive(Debug, Clone, Copy)]
enum Kind {
    One,
    Two,
}

/// The servers of a test. Requests go to them in turn.
struct Servers(Vec<Site>);

impl Servers {
    fn start(kind: Kind) -> Self {
        Self::keeping("7", kind)
    }

    /// Servers with more threads and connections, and with the real time, that keep what is deleted for so many days.
    fn keeping(days: &str, kind: Kind) -> Self {
        let settings = &[
            ("PACKHOUSE_WORKERS", "4"),
            ("PACKHOUSE_DATABASE_READ_CONNECTIONS", "6"),
            ("PACKHOUSE_DATABASE_WRITE_CONNECTIONS", "12"),
            ("PACKHOUSE_TRASH_KEEP_DAYS", days),
        ];
        let plan = || Plan { settings, real_time: true, ..Plan::default() };
        match kind {
            Kind::One => Self(vec![Site::start(plan())]),
            Kind::Two => {
                let first = Site::start(Plan { store: TestStore::NewBucket, ..plan() });
                let second = first.beside(plan());
                Self(vec![first, second])
            }
        }
    }

    fn at(&self, turn: usize) -> &Site {
        &self.0[turn % self.0.len()]
    }

    /// For questions about the database and the store, which the servers share.
    fn first(&self) -> &Site {
        &self.0[0]
    }
}

/// Makes two tests of each race: on one server, and on two.
macro_rules! races {
    ($($name:ident)*) => {
        mod on_one_server {
            $(#[tokio::test] async fn $name() { super::$name(super::Kind::One).await; })*
        }

        mod on_two_servers_of_a_bucket {
            $(#[tokio::test] async fn $name() { super::$name(super::Kind::Two).await; })*
        }
    };
}

races! {
    one_of_many_publishers_of_a_file_gets_201_and_the_others_409
    publishers_of_a_name_in_different_cases_compete_for_one_file
    publishers_of_different_files_of_one_new_version_all_get_201
    concurrent_retries_of_one_upload_all_succeed
    publishing_while_deleting_the_version_leaves_it_whole_or_gone
    publishing_while_deleting_the_last_file_leaves_it_whole_or_gone
    a_sweep_never_removes_content_that_is_being_uploaded_again
    a_download_finishes_after_its_file_was_deleted_and_swept
    download_counts_and_usage_are_exact_under_concurrent_writes
}

fn file(version: &str, name: &str) -> String {
    path(&["ada", "tool", version, name])
}

fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

async fn one_of_many_publishers_of_a_file_gets_201_and_the_others_409(kind: Kind) {
    let servers = Servers::start(kind);
    let site = servers.first();
    for round in 0..5 {
        let path = file("1", &format!("f{round}"));
        // Half of them send the same content.
        let bodies: Vec<_> = (0..MANY).map(|at| format!("round {round} publisher {}", at / 2)).collect();
        let bodies_with_turn = bodies.iter().enumerate();
        let uploads = bodies_with_turn.map(|(at, body)| servers.at(at).ci().put(&path, body.clone()).into_future());
        let answers = join_all(uploads).await;
        assert_eq!((count(&answers, 201), count(&answers, 409)), (1, MANY - 1));
        let winner = answers.iter().position(|answer| answer.status == 201).unwrap();
        for site in &servers.0 {
            assert_eq!(site.anon().get(&path).await.is(200).text(), bodies[winner]);
        }
    }
    assert!(site.db_broken().await.is_empty());
    assert_eq!(site.db_audit().len(), 5);
    eventually("the blobs of refused uploads are removed", async || site.store_incoming() == 0).await;
}

async fn publishers_of_a_name_in_different_cases_compete_for_one_file(kind: Kind) {
    let servers = Servers::start(kind);
    let names: Vec<_> = (0..MANY).map(|at| if at % 2 == 0 { "File.bin" } else { "FILE.BIN" }).collect();
    let versions = ["1.0-RC", "1.0-rc"];
    let uploads = (0..MANY).map(|at| {
        let path = path(&["ada", ["Tool", "TOOL"][at % 2], versions[at / 2 % 2], names[at]]);
        servers.at(at / 4).ci().put(&path, "x").into_future()
    });
    let answers = join_all(uploads).await;
    assert_eq!((count(&answers, 201), count(&answers, 409)), (1, MANY - 1));
    for table in ["packages", "versions", "files"] {
        assert_eq!(servers.first().db_number(&format!("SELECT count(*) AS n FROM {table}")), 1, "{table}");
    }
}

async fn publishers_of_different_files_of_one_new_version_all_get_201(kind: Kind) {
    let servers = Servers::start(kind);
    let site = servers.first();
    for round in 0..3 {
        let version = format!("1.{round}");
        // Some have the same content, and some are large.
        let body = |at: usize| noise(if at.is_multiple_of(5) { 1_100_000 + at } else { at / 3 });
        let put = |at: usize| servers.at(at).ci().put(&file(&version, &format!("f{at}")), body(at)).into_future();
        let uploads = (0..MANY).map(put);
        let answers = join_all(uploads).await;
        assert_eq!(count(&answers, 201), MANY, "{:?}", answers.iter().find(|answer| answer.status != 201));
        let listed = site.anon().get(&path(&["ada", "tool", &version])).await.is(200);
        assert_eq!(listed.lines().len(), MANY);
        for at in 0..MANY {
            let got = servers.at(at + 1).anon().get(&file(&version, &format!("f{at}"))).await.is(200);
            assert!(got.body == body(at));
        }
    }
    assert!(site.db_broken().await.is_empty());
}

async fn concurrent_retries_of_one_upload_all_succeed(kind: Kind) {
    let servers = Servers::start(kind);
    let site = servers.first();
    let bytes = noise(1_200_000);
    let uploads = (0..8).map(|at| {
        let request = servers.at(at).ci().put(&file("1", "f"), bytes.clone());
        request.header("x-checksum-sha256", sha256(&bytes)).into_future()
    });
    let answers = join_all(uploads).await;
    assert_eq!((count(&answers, 201), count(&answers, 200)), (1, 7));
    assert!(site.anon().get(&file("1", "f")).await.is(200).body == bytes);
    eventually("one blob remains", async || site.store_blobs() == 1 && site.store_incoming() == 0).await;
}

/// Publishes and deletes files of one version for a while. No list may ever show a version without files.
async fn publish_against(kind: Kind, delete: impl Fn(usize) -> String) {
    let servers = Servers::start(kind);
    let over = AtomicBool::new(false);
    let publisher = |who: usize| {
        let (servers, over) = (&servers, &over);
        async move {
            for turn in 0..25 {
                let (name, site) = (format!("f{who}"), servers.at(who + turn));
                let answer = site.ci().put(&file("1", &name), format!("{who} {turn}")).await;
                assert!([201, 409].contains(&answer.status), "{answer:?}");
                if answer.status == 201 {
                    // The version is there or was deleted.
                    let got = servers.at(who + turn + 1).anon().get(&file("1", &name)).await;
                    assert!(got.status == 404 || got.body == format!("{who} {turn}").into_bytes(), "{got:?}");
                }
            }
            over.store(true, Ordering::SeqCst);
        }
    };
    let deleter = async {
        let mut turn = 0;
        while !over.load(Ordering::SeqCst) {
            let answer = servers.at(turn).ci().delete(&delete(turn)).await;
            assert!([204, 404].contains(&answer.status), "{answer:?}");
            turn += 1;
        }
    };
    let watcher = async {
        let mut turn = 0;
        while !over.load(Ordering::SeqCst) {
            let site = servers.at(turn);
            turn += 1;
            let listed = site.anon().get(&path(&["ada", "tool", "1"])).await;
            assert!(listed.status == 404 || !listed.body.is_empty(), "a version without files");
            let versions = site.anon().get(&path(&["ada", "tool"])).json().await;
            if versions.status == 200 {
                for version in versions.json().as_array().unwrap() {
                    assert!(version["files"].as_i64().unwrap() > 0, "{version}");
                }
            }
        }
    };
    tokio::join!(publisher(0), publisher(1), publisher(2), deleter, watcher);
    assert!(servers.first().db_broken().await.is_empty());
}

async fn publishing_while_deleting_the_version_leaves_it_whole_or_gone(kind: Kind) {
    publish_against(kind, |_| path(&["ada", "tool", "1"])).await;
}

async fn publishing_while_deleting_the_last_file_leaves_it_whole_or_gone(kind: Kind) {
    publish_against(kind, |turn| file("1", &format!("f{}", turn % 3))).await;
}

async fn a_sweep_never_removes_content_that_is_being_uploaded_again(kind: Kind) {
    let servers = Servers::keeping("0", kind);
    let site = servers.first();
    let over = AtomicBool::new(false);
    let contents = [noise(10), noise(70_000), noise(1_500_000)];
    let publisher = |who: usize| {
        let (servers, contents) = (&servers, &contents);
        async move {
            for turn in 0..20 {
                // All publishers send the same content at the same time, and then the next one.
                let content = &contents[turn % contents.len()];
                let path = file(&format!("{who}.{turn}"), "f");
                servers.at(who + turn).ci().publish(&path, content.clone()).await;
                let got = servers.at(who + turn + 1).anon().get(&path).await.is(200);
                assert!(got.body == *content, "publisher {who}, turn {turn}");
                // All except the last are deleted, so that blobs belong to no file for a while.
                if turn < 19 {
                    servers.at(turn).ci().delete(&path).await.is(204);
                }
            }
        }
    };
    let sweeper = async {
        let (mut swept, mut turn) = (0, 0);
        while !over.load(Ordering::SeqCst) {
            let done = servers.at(turn).sweep(Duration::ZERO).await.unwrap();
            turn += 1;
            swept += done.unused + done.orphans;
            tokio::task::yield_now().await;
        }
        swept
    };
    let publishers = async {
        join_all((0..4).map(publisher)).await;
        over.store(true, Ordering::SeqCst);
    };
    let (swept, ()) = tokio::join!(sweeper, publishers);
    assert!(swept > 0, "the sweep removed some blobs");
    let listed = site.anon().get(&path(&["ada", "tool"])).await.is(200);
    assert_eq!(listed.lines().len(), 4);
    for version in listed.lines() {
        assert!(site.anon().get(&file(version, "f")).await.is(200).body == contents[19 % 3], "{version}");
    }
    assert!(site.db_broken().await.is_empty());
    site.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(i64::try_from(site.store_blobs()).unwrap(), site.db_number("SELECT count(*) AS n FROM blobs"));
}

async fn a_download_finishes_after_its_file_was_deleted_and_swept(kind: Kind) {
    use crate::support::wire::{self, Wire};
    let servers = Servers::keeping("0", kind);
    let (site, other) = (servers.first(), servers.at(1));
    let bytes = noise(30_000_000);
    site.ci().publish(&file("1", "f"), bytes.clone()).await;
    let mut download = Wire::open(site.address).await;
    download.say(wire::head("GET", file("1", "f"), &[("Connection", "close")])).await;
    assert_eq!(download.head().await.unwrap().status, 200);
    other.ci().delete(&file("1", "f")).await.is(204);
    assert_eq!(other.sweep(Duration::ZERO).await.unwrap().unused, 1);
    assert!(download.rest().await == bytes);
    site.anon().get(&file("1", "f")).await.is(404);
}

async fn download_counts_and_usage_are_exact_under_concurrent_writes(kind: Kind) {
    let servers = Servers::start(kind);
    let site = servers.first();
    for name in ["a", "b", "c"] {
        site.ci().publish(&file("1", name), name).await;
    }
    let downloads = (0..60).map(|at| servers.at(at / 3).anon().get(&file("1", ["a", "b", "c"][at % 3])).into_future());
    let flushes = async {
        for _ in 0..20 {
            site.db_flush().await;
        }
    };
    let flush_too = async {
        for _ in 0..20 {
            servers.at(1).db_flush().await;
        }
    };
    tokio::join!(join_all(downloads), flushes, flush_too);
    for site in &servers.0 {
        site.db_flush().await;
    }
    let counts = site.db_texts("SELECT name || '=' || download_count AS text FROM files ORDER BY name");
    assert_eq!(counts, ["a=20", "b=20", "c=20"]);
    assert!(site.db_broken().await.is_empty());
    assert_eq!(site.db_number("SELECT count(*) AS n FROM usage_changes"), 0);
}

#[tokio::test]
async fn servers_started_at_once_migrate_an_empty_database_once() {
    let (name, url) = cluster().empty_database();
    let runs: Vec<_> = (0..5)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || packhouse::db::migrate(&url, Duration::from_secs(10)).unwrap())
        })
        .collect();
    let mut migrations: BTreeMap<String, usize> = BTreeMap::new();
    for run in runs {
        for migration in run.join().unwrap() {
            *migrations.entry(migration).or_default() += 1;
        }
    }
    assert!(!migrations.is_empty() && migrations.values().all(|times| *times == 1), "{migrations:?}");
    cluster().drop_database(&name);
}

#[tokio::test]
async fn two_servers_of_one_database_see_each_others_changes_at_once() {
    let first = Site::start(Plan { real_time: true, ..Plan::default() });
    let second = first.beside(Plan { real_time: true, ..Plan::default() });
    let uploads = (0..MANY).map(|at| {
        let site = if at % 2 == 0 { &first } else { &second };
        site.ci().put(&file("1", "f"), format!("publisher {at}")).into_future()
    });
    let answers = join_all(uploads).await;
    assert_eq!((count(&answers, 201), count(&answers, 409)), (1, MANY - 1));
    let (one, two) = (first.anon().get(&file("1", "f")).await, second.anon().get(&file("1", "f")).await);
    assert_eq!(one.is(200).body, two.is(200).body);
    second.ci().delete(&file("1", "f")).await.is(204);
    first.anon().get(&file("1", "f")).await.is(404);
}

#[tokio::test]
async fn a_transaction_that_must_run_again_does_so_until_its_tries_are_used_up() {
    let site = Site::new();
    let rows = || site.db_number("SELECT count(*) AS n FROM owner_redirects");
    let attempt = |succeeds_at: usize| {
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tries);
        let done = site.app.db.write(move |conn| {
            let insert = "INSERT INTO owner_redirects (lower_name, owner_id, created_at) \
                          SELECT 'former', id, now() FROM owners WHERE name = 'ada'";
            diesel::sql_query(insert).execute(conn)?;
            let at = counted.fetch_add(1, Ordering::Relaxed) + 1;
            if at < succeeds_at { Err(Error::Retry) } else { Ok(()) }
        });
        async move { (done.await, tries.load(Ordering::Relaxed)) }
    };
    let (given_up, tries) = attempt(usize::MAX).await;
    assert!(matches!(given_up, Err(Error::Busy(_))), "{given_up:?}");
    assert_eq!((tries, rows()), (4, 0), "nothing is left of any try");
    let (done, tries) = attempt(3).await;
    assert!(done.is_ok(), "{done:?}");
    assert_eq!((tries, rows()), (3, 1));
}
