//! The overview of the administration: what needs attention, what uses the space, and what the server answers.

use crate::support::people::db_org;
use crate::support::{Site, eventually, path};
use packhouse::domain::role::Visibility;
use packhouse::jobs::task_status::Task;
use packhouse::registry::operations::backups::{self, LastBackup};
use serde_json::json;
use std::time::Duration;

const OVERVIEW: &str = "/-/admin";
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn the_overview_says_so_if_nothing_needs_attention() {
    let site = Site::new();
    let mut browser = site.browser_of("admin").await;
    browser.go(OVERVIEW).await.is(200);
    assert_eq!(browser.one("#all-well"), "Nothing needs attention.");
    for absent in ["#attention li", "#failures", "#running", "#large-owners"] {
        assert!(browser.all(absent).is_empty(), "{absent}");
    }
    assert_eq!(browser.one("#last-backup b"), "none");
}

#[tokio::test]
async fn a_disk_that_will_soon_be_full_needs_attention() {
    let site = Site::new();
    // No disk of a test has room for half a pebibyte.
    site.db_execute(
        "INSERT INTO daily_totals (day, versions, bytes, blobs, blob_bytes) SELECT DATE '2026-01-02' - d, 0, 0, 0, \
         CASE WHEN d > 10 THEN 0 ELSE 1::bigint << 50 END FROM generate_series(1, 20) d",
    );
    let mut browser = site.browser_of("admin").await;
    browser.go(OVERVIEW).await.is(200);
    assert!(browser.one("#disk.bad").starts_with("The disk will be full within a day"));
    assert_eq!(browser.attrs("#disk a", "href"), ["#growth"]);
    site.db_execute("UPDATE daily_totals SET blob_bytes = 7");
    browser.go(OVERVIEW).await.is(200);
    assert!(browser.all("#disk").is_empty(), "it does not grow");
}

#[tokio::test]
async fn server_errors_are_listed_with_request_id_and_cause_for_a_day() {
    let site = Site::new();
    site.db_execute("ALTER TABLE packages RENAME TO packages_elsewhere");
    let answer = site.ci().put(&path(&["ada", "tool", "1", "a"]), "x").await.is(500);
    let id = answer.header("x-request-id").unwrap().to_owned();
    site.db_execute("ALTER TABLE packages_elsewhere RENAME TO packages");
    site.ada().get("/api/v1/users/nobody-there").await.is(404);
    let mut browser = site.browser_of("admin").await;
    browser.go(OVERVIEW).await.is(200);
    assert_eq!(browser.one("#failures.warn a"), "1 request ended with a server error in the last day");
    assert_eq!(browser.all("#failed-requests tbody th"), [id]);
    let row = browser.one("#failed-requests tbody tr");
    for words in ["PUT /api/packages/ada/generic/tool/1/a", "500: ", "\"packages\" does not exist"] {
        assert!(row.contains(words), "{words}: {row}");
    }
    assert_eq!(browser.all("#traffic .figure:nth-child(2) span")[1], "1 request");
    site.pass(DAY);
    let mut browser = site.browser_of("admin").await;
    browser.go(OVERVIEW).await.is(200);
    assert!(browser.all("#failures").is_empty());
    assert_eq!(browser.one("#traffic .figure:nth-child(2) b"), "0.0%");
}

#[tokio::test]
async fn a_missing_old_or_incomplete_backup_needs_attention() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1", "a"]), "x").await;
    let mut browser = site.browser_of("admin").await;
    browser.go(OVERVIEW).await.is(200);
    assert!(browser.one("#backup.warn").starts_with("No backup was ever made"));
    let note = |lost| {
        let made = LastBackup { at: site.now(), blobs: 1, bytes: 1, lost };
        site.db(|conn| backups::note(conn, made));
    };
    note(0);
    browser.go(OVERVIEW).await.is(200);
    assert!(browser.all("#backup").is_empty());
    assert_eq!(browser.one("#last-backup b"), "just now");
    site.pass(8 * DAY);
    let mut browser = site.browser_of("admin").await;
    browser.go(OVERVIEW).await.is(200);
    assert!(browser.one("#backup.warn").starts_with("The last backup was made 8 days ago"));
    note(2);
    browser.go(OVERVIEW).await.is(200);
    assert!(browser.one("#backup.bad").starts_with("The last backup lacks 2 blobs"));
}

#[tokio::test]
async fn long_lived_tokens_that_expire_soon_need_attention() {
    let site = Site::new();
    let set = |created: &str, expires: &str| {
        site.db_token("ada", &["read:package"]);
        site.db_execute(&format!(
            "UPDATE tokens SET name = 'until {expires}', created_at = '{created}T00:00:00Z', \
             expires_at = '{expires}T12:00:00Z' WHERE id = (SELECT max(id) FROM tokens)"
        ));
    };
    set("2025-12-01", "2026-01-09");
    set("2025-12-01", "2026-03-09");
    set("2026-01-01", "2026-01-08");
    let mut browser = site.browser_of("admin").await;
    browser.go(OVERVIEW).await.is(200);
    assert!(browser.one("#expiring-tokens.warn b").starts_with("1 access token expires within two weeks"));
    assert_eq!(browser.all("#expiring-tokens li"), ["until 2026-01-09 of ada expires in 7 days, never used"]);
}

#[tokio::test]
async fn failed_jobs_and_a_newer_database_need_attention_first() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "2", "b"]), vec![2; 5000]).await;
    site.db_execute("UPDATE blobs SET sha512 = NULL, sha1 = NULL, md5 = NULL");
    site.db_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('20990101000000')");
    let mut browser = site.browser_of("admin").await;
    browser.go("/-/admin/system").await.is(200).submit("#task-check form", &[]).await.is(303);
    eventually("the check has ended", async || !browser.go(OVERVIEW).await.is(200).all(".failed-job").is_empty()).await;
    let all = browser.all("#attention > li");
    assert!(all[0].starts_with("A newer version of Packhouse has changed the database"), "{all:?}");
    assert!(all[1].starts_with("Consistency check needs attention just now: 1 problem"), "{all:?}");
    assert_eq!(browser.attrs(".failed-job a", "href"), ["/-/admin/system#task-check"]);
    assert!(all[2].starts_with("No backup was ever made"), "{all:?}");
}

#[tokio::test]
async fn the_largest_owners_and_packages_are_listed_by_bytes_on_disk() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Private));
    for version in ["1", "2"] {
        site.ci().publish(&path(&["ada", "tool", version, "a"]), vec![7; 2048]).await;
    }
    site.ci().publish(&path(&["ada", "small", "1", "a"]), vec![6; 100]).await;
    site.ci().publish(&path(&["acme", "other", "1", "b"]), vec![8; 3072]).await;
    site.ci().publish(&path(&["ada", "gone", "1", "c"]), vec![9; 512]).await;
    site.ci().delete(&format!("{}?purge=true", path(&["ada", "gone", "1", "c"]))).await.is(204);
    site.pass(Duration::from_secs(60));
    let mut browser = site.browser_of("admin").await;
    browser.go(OVERVIEW).await.is(200);
    assert_eq!(browser.all("#large-owners tbody tr"), ["acme 3.0 KiB 3.0 KiB", "ada 2.1 KiB 4.1 KiB"]);
    assert_eq!(
        browser.all("#large-packages tbody tr"),
        ["acme/other 3.0 KiB 3.0 KiB", "ada/tool 2.0 KiB 4.0 KiB", "ada/small 100 B 100 B"]
    );
    assert_eq!(browser.one("#unused b"), "512 B");
    assert!(browser.one("#unused").contains("1 blob that no file uses"));
}

#[tokio::test]
async fn running_jobs_are_shown_with_their_progress() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1", "a"]), vec![7; 2048]).await;
    let progress = json!({"after": 1, "blobs": 1, "bytes": 1024, "began_at": site.now(), "finished_at": null,
        "server": 0, "leased_until": null});
    site.db_execute(&format!(
        "INSERT INTO settings (key, value) VALUES ('scrub', '{progress}') ON CONFLICT (key) DO UPDATE SET value = \
         excluded.value"
    ));
    site.app.tasks.begin(Task::Scrub, site.now());
    let mut browser = site.browser_of("admin").await;
    for (page, place) in [(OVERVIEW, "#running"), ("/-/admin/system", "#task-scrub")] {
        browser.go(page).await.is(200);
        let row = browser.one(place);
        assert!(row.contains("Scrubbing") && row.contains("1.0 KiB of 2.0 KiB (50%)"), "{row}");
        assert_eq!(browser.attrs(&format!("{place} progress"), "value"), ["50"]);
    }
}

#[tokio::test]
async fn the_overview_updates_itself_only_on_request() {
    let site = Site::new();
    let mut browser = site.browser_of("admin").await;
    browser.go(OVERVIEW).await.is(200);
    assert!(browser.all("meta[http-equiv=refresh]").is_empty());
    let live = browser.attrs("main a[href$='live=on']", "href").remove(0);
    browser.go(&live).await.is(200);
    assert_eq!(browser.attrs("meta[http-equiv=refresh]", "content"), ["30"]);
    assert_eq!(browser.all("main a[href$='live=on']").len(), 0);
}
