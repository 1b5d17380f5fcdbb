//! What goes wrong between a server and the database while servers remember downloads: stalls, lost answers, a database
//! that forgot, and servers of a version that knows no leases. Nothing that was taken away is served after the answer.

use crate::coherence::{beside, file, real_time, warm};
use crate::support::cluster::execute;
use crate::support::database_proxy::DatabaseProxy;
use crate::support::{Answer, Plan, Site, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How many readers ask at once.
const READERS: usize = 3;
const LEASE: Duration = packhouse::db::coherence::LEASE;

/// Another server of the same database, behind a proxy.
fn beside_proxy(first: &Site) -> (Site, DatabaseProxy) {
    let proxy = DatabaseProxy::new(&first.url);
    let second = first.beside(Plan { real_time: true, url: Some(proxy.url.clone()), ..Plan::default() });
    (second, proxy)
}

/// Readers of a file who ask a server without a pause until they are stopped.
struct Readers {
    is_over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Vec<(Instant, u16)>>>,
}

impl Readers {
    fn start(site: &Site, file: &str) -> Self {
        let (is_over, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let read = |_| {
            let (client, file) = (site.anon(), file.to_owned());
            let (is_over, count) = (Arc::clone(&is_over), Arc::clone(&asked));
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    count.fetch_add(1, Ordering::Relaxed);
                    seen.push((asked, client.get(&file).await.status));
                }
                seen
            })
        };
        let tasks = (0..READERS).map(read).collect();
        Self { is_over, asked, tasks }
    }

    /// Asserts that nobody who asked after a moment got the file.
    async fn saw_nothing_after(self, answered: Instant) {
        // Each asks at least once more.
        let enough = self.asked.load(Ordering::Relaxed) + 2 * READERS;
        eventually("they ask", async || self.asked.load(Ordering::Relaxed) >= enough).await;
        self.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            for (asked, status) in task.await.unwrap() {
                assert!(asked < answered || status != 200, "read {:?} after the deletion", asked - answered);
            }
        }
    }
}

async fn has_lease(site: &Site, file: &str) {
    eventually("the server has a lease", async || {
        site.anon().get(file).await;
        site.app.db.coherence().has_lease()
    })
    .await;
}

#[tokio::test]
async fn a_stalled_lease_connection_lets_nothing_deleted_through() {
    let first = real_time();
    let (second, proxy) = beside_proxy(&first);
    for (round, stall) in [1000, 1300, 1500].map(Duration::from_millis).into_iter().enumerate() {
        // The change comes from the other server, and then from the one whose connection stalls.
        for (from, name) in [(&first, "other"), (&second, "own")] {
            let name = file(&format!("{round}.0"), name);
            first.ci().publish(&name, "content").await;
            warm(&second, &second.anon(), &name).await;
            let readers = Readers::start(&second, &name);
            proxy.stall(stall);
            from.ci().delete(&name).await.is(204);
            let answered = Instant::now();
            second.anon().get(&name).await.is(404);
            has_lease(&second, &name).await;
            readers.saw_nothing_after(answered).await;
        }
    }
}

#[tokio::test]
async fn a_change_whose_commit_was_not_answered_holds_on_every_server() {
    let first = real_time();
    let (second, proxy) = beside_proxy(&first);
    let (name, added) = (file("1.0", "tool.bin"), file("1.0", "added.bin"));
    first.ci().publish(&name, "content").await;
    for site in [&first, &second] {
        warm(site, &site.anon(), &name).await;
    }
    proxy.lose_commit_after("trash");
    let readers = [Readers::start(&first, &name), Readers::start(&second, &name)];
    let answer = second.ci().delete(&name).await;
    let answered = Instant::now();
    assert!(proxy.has_lost(), "{}", answer.shown());
    insta::assert_snapshot!(
        format!("{} {}", answer.status, answer.text()),
        @"503 the database connection was lost while saving: check whether the change was made, then try again"
    );
    for site in [&first, &second] {
        site.anon().get(&name).await.is(404);
    }
    for readers in readers {
        readers.saw_nothing_after(answered).await;
    }
    second.ci().delete(&name).await.is(404);
    // An upload finds out that it was published.
    proxy.lose_commit_after("files");
    second.ci().publish(&added, "more").await;
    assert!(proxy.has_lost());
    for site in [&first, &second] {
        assert_eq!(site.anon().get(&added).await.is(200).text(), "more");
    }
    assert!(first.db_broken().await.is_empty());
}

/// Deletes a file, and says how long the answer took.
async fn deleted(site: &Site, name: &str) -> (Answer, Duration) {
    let begun = Instant::now();
    let answer = site.ci().delete(name).await;
    (answer, begun.elapsed())
}

#[tokio::test]
async fn the_first_change_after_a_database_crash_waits_for_forgotten_leases() {
    let first = real_time();
    let second = beside(&first);
    let names = ["a", "b", "c"].map(|name| file("1.0", name));
    for name in &names {
        first.ci().publish(name, "content").await;
    }
    warm(&second, &second.anon(), &names[0]).await;
    // As a crash does: the unlogged table is empty, and the last rows of leases are lost.
    execute(&first.url, "DELETE FROM database_runs");
    execute(&first.url, "UPDATE servers SET lease_until = NULL");
    let (answer, waited) = deleted(&first, &names[0]).await;
    answer.is(204);
    assert!(waited >= LEASE, "{waited:?}");
    second.anon().get(&names[0]).await.is(404);
    let long_enough = "SELECT count(*) AS n FROM database_runs WHERE since < clock_timestamp() - interval '2 s'";
    eventually("every lease is known again", async || first.db_number(long_enough) == 1).await;
    let (answer, waited) = deleted(&first, &names[1]).await;
    answer.is(204);
    assert!(waited < LEASE, "{waited:?}");
}

#[tokio::test]
async fn a_change_of_an_earlier_version_lets_all_leases_end_first() {
    let site = real_time();
    let name = file("1.0", "tool.bin");
    site.ci().publish(&name, "content").await;
    warm(&site, &site.anon(), &name).await;
    let readers = Readers::start(&site, &name);
    // Its first connection: nobody has seen yet that it runs.
    let begun = Instant::now();
    let change = tokio::task::spawn_blocking({
        let url = format!("{}&application_name=packhouse%20write", site.url);
        move || execute(&url, "UPDATE owners SET visibility = 2 WHERE name = 'ada'")
    });
    change.await.unwrap();
    let answered = Instant::now();
    assert!(answered - begun > Duration::from_secs(1), "{:?}", answered - begun);
    // Anonymous readers may not know whether the owner exists.
    site.anon().get(&name).await.is(401);
    readers.saw_nothing_after(answered).await;
}
