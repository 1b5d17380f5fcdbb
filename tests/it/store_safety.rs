//! A sweep with a wrong database removes no blobs: another database, an older one, or one that lacks rows.

use crate::support::cluster::{cluster, execute};
use crate::support::{Plan, Site, eventually, path};
use packhouse::error::Error;
use packhouse::jobs::check::{self, Options};
use packhouse::jobs::sweep::{self, SweepPlan, Swept};
use packhouse::state::sweep_plan;
use std::time::Duration;

const NOW: Duration = Duration::ZERO;

fn file(number: usize) -> String {
    path(&["ada", "tool", &number.to_string(), "f"])
}

/// A server with the real time, because the age of blobs comes from the file system.
fn site() -> Site {
    Site::start(Plan { real_time: true, metrics: true, ..Plan::default() })
}

/// A site with this many different files, which a sweep without a grace period could remove.
async fn with_files(count: usize) -> Site {
    let site = site();
    for number in 0..count {
        site.ci().publish(&file(number), number.to_string()).await;
    }
    // File times have whole seconds.
    eventually("the blobs are old", async || {
        site.on_store(|store| store.walk().unwrap().all(|entry| is_old(&entry.unwrap())))
    })
    .await;
    site
}

fn is_old(entry: &packhouse::storage::Entry) -> bool {
    match entry {
        packhouse::storage::Entry::Blob { modified, .. } => {
            modified.elapsed().is_ok_and(|age| age > Duration::from_millis(1100))
        }
        packhouse::storage::Entry::Foreign(_) => true,
    }
}

/// Does what the confirmation of an administrator does.
async fn sweep_confirmed(site: &Site) -> Swept {
    let plan = SweepPlan { grace: NOW, confirmed: true, ..sweep_plan(&site.app.config) };
    sweep::run(&site.app.db, &site.app.store, &site.app.clock, plan).await.unwrap()
}

fn held(site: &Site) -> usize {
    site.on_store(|store| store.held().unwrap().len())
}

/// Ends all connections to a database, as its restart would.
fn disconnect(name: &str) {
    let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    execute(cluster().url(), &sql);
}

#[tokio::test]
async fn a_replaced_database_is_detected_and_the_store_left_alone() {
    let (site, ours) = (site(), "kept_aside");
    let name = site.db_texts("SELECT current_database() AS text").remove(0);
    for number in 0..3 {
        site.ci().publish(&file(number), number.to_string()).await;
    }
    disconnect(&name);
    execute(cluster().url(), &format!("ALTER DATABASE {name} RENAME TO {ours}"));
    let (other, _) = cluster().database();
    execute(cluster().url(), &format!("ALTER DATABASE {other} RENAME TO {name}"));

    site.anon().get(&file(0)).await.is(503).says("this database belongs to another store");
    site.ci().put(&file(9), "new").await.is(503);
    site.anon().get("/readyz").await.is(503).says("database: this database belongs to another store");
    site.anon().get("/livez").await.is(200);
    let error = site.sweep(NOW).await.unwrap_err();
    assert!(matches!(error, Error::Busy(_)), "{error}");
    assert_eq!((site.store_blobs(), held(&site)), (3, 0));
    let options = Options { patience: NOW, digests: false };
    let checked = check::run(&site.app.db, &site.app.store, &site.app.clock, options, |_| {}).await;
    assert!(matches!(checked, Err(Error::Busy(_))), "a check compares them too");
    assert_eq!(
        site.db_number("SELECT count(*) AS n FROM settings WHERE key <> 'migrated_by'"),
        0,
        "nothing is written"
    );

    disconnect(&name);
    execute(cluster().url(), &format!("ALTER DATABASE {name} RENAME TO {other}"));
    execute(cluster().url(), &format!("ALTER DATABASE {ours} RENAME TO {name}"));
    site.anon().get("/readyz").await.is(200);
    for number in 0..3 {
        assert_eq!(site.anon().get(&file(number)).await.is(200).text(), number.to_string());
    }
    cluster().drop_database(&other);
}

#[tokio::test]
async fn a_search_path_that_leads_to_empty_tables_is_detected() {
    let site = with_files(2).await;
    let name = site.db_texts("SELECT current_database() AS text").remove(0);
    site.db_execute("CREATE SCHEMA elsewhere");
    for table in ["settings", "blobs", "files", "owners", "users"] {
        site.db_execute(&format!("CREATE TABLE elsewhere.{table} (LIKE public.{table} INCLUDING ALL)"));
    }
    execute(cluster().url(), &format!("ALTER DATABASE {name} SET search_path = elsewhere, public"));
    disconnect(&name);
    site.anon().get("/readyz").await.is(503).says("this database belongs to another store");
    assert!(site.sweep(NOW).await.is_err());
    assert_eq!((site.store_blobs(), held(&site)), (2, 0));
    execute(cluster().url(), &format!("ALTER DATABASE {name} RESET search_path"));
    disconnect(&name);
    site.anon().get("/readyz").await.is(200);
}

#[tokio::test]
async fn a_sweep_that_finds_many_unknown_blobs_stops_until_confirmed() {
    let site = with_files(130).await;
    site.db_execute("DELETE FROM files WHERE id > 10");
    site.db_execute("DELETE FROM blobs WHERE id > 10");
    let error = site.sweep(NOW).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Blocked(_)) && text.contains("120 of the 130 stored blobs"), "{text}");
    assert!(text.contains("packhouse gc --confirm-orphans"), "{text}");
    assert_eq!((site.store_blobs(), held(&site)), (130, 0));
    site.anon().get("/metrics").await.is(200).says("packhouse_sweep_stopped 1");

    let swept = sweep_confirmed(&site).await;
    assert_eq!((swept.held, swept.orphans), (120, 0), "after the first grace period blobs are in the holding folder");
    assert_eq!((site.store_blobs(), held(&site)), (10, 120));
    eventually("the second grace period is over", async || {
        site.sweep(NOW).await.unwrap();
        held(&site) == 0
    })
    .await;
    assert_eq!(site.store_blobs(), 10);
}

#[tokio::test]
async fn a_held_blob_is_restored_when_its_row_comes_back() {
    let site = with_files(3).await;
    site.db_execute("CREATE TABLE aside AS SELECT * FROM blobs");
    site.db_execute("ALTER TABLE files DROP CONSTRAINT files_blob_id_fkey");
    site.db_execute("DELETE FROM blobs");
    assert_eq!(site.sweep(NOW).await.unwrap().held, 3, "too few to stop the sweep");
    assert_eq!((site.store_blobs(), held(&site)), (0, 3));
    site.db_execute("INSERT INTO blobs OVERRIDING SYSTEM VALUE SELECT * FROM aside");
    assert_eq!(site.anon().get(&file(1)).await.is(200).text(), "1", "a held blob can be read");
    // In a bucket it stays where it is, and only the sweep restores it.
    let restored = usize::from(site.bucket.is_none());
    assert_eq!((site.store_blobs(), held(&site)), (restored, 3 - restored), "reading restores it");
    site.sweep(NOW).await.unwrap();
    assert_eq!((site.store_blobs(), held(&site)), (3, 0), "the sweep restores the others");
}

#[tokio::test]
async fn a_database_older_than_the_last_sweep_removes_no_blobs() {
    let site = with_files(2).await;
    for _ in 0..3 {
        site.sweep(NOW).await.unwrap();
    }
    site.db_execute("UPDATE settings SET value = '1' WHERE key = 'sweeps'");
    site.db_execute("DELETE FROM files");
    site.db_execute("DELETE FROM blobs");
    let text = site.sweep(NOW).await.unwrap_err().to_string();
    assert!(text.contains("this database is at garbage collection run 1 and its store at run 3"), "{text}");
    assert_eq!((site.store_blobs(), held(&site)), (2, 0));
    assert_eq!(sweep_confirmed(&site).await.held, 2);
    site.sweep(NOW).await.unwrap();
}

#[tokio::test]
async fn missing_rows_stop_a_sweep_but_regular_deletions_do_not() {
    let site = with_files(120).await;
    site.db_execute("CREATE TABLE aside AS SELECT * FROM files");
    site.db_execute("DELETE FROM files");
    let text = site.sweep(NOW).await.unwrap_err().to_string();
    assert!(text.contains("120 of 120 blobs have no file") && text.contains("restore"), "{text}");
    assert_eq!(site.db_number("SELECT count(*) AS n FROM blobs"), 120);
    site.db_execute("INSERT INTO files OVERRIDING SYSTEM VALUE SELECT * FROM aside");
    site.ci().delete("/api/v1/packages/ada/generic/tool?purge=true").await.is(204);
    let swept = site.sweep(NOW).await.unwrap();
    assert_eq!((swept.unused, site.store_blobs(), held(&site)), (120, 0, 0));
}
