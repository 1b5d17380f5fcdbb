//! The page of an owner's trash: restoring, and deleting for good after a confirmation.

use crate::support::people::db_org;
use crate::support::{Site, path};
use packhouse::domain::role::Visibility;

fn file(version: &str, name: &str) -> String {
    path(&["ada", "tool", version, name])
}

#[tokio::test]
async fn a_deleted_version_is_restored_from_the_trash_with_one_button() {
    let site = Site::new();
    site.ci().publish(&file("1", "a"), "one").await;
    site.ci().publish(&file("1", "b"), "three").await;
    let mut browser = site.browser_of("ada").await;
    browser.go("/ada/-/packages/generic/tool/1/delete").await.is(200);
    assert_eq!(browser.one("#kept"), "The version moves to the trash.");
    browser.submit("form[action$='/delete']", &[]).await.is(303);
    browser.follow().await.is(200);
    assert!(browser.one("main .notice.good").starts_with("Version 1 of tool is in the trash until 20"));
    browser.go("/ada/-/trash").await.is(200);
    assert_eq!(browser.one("h2"), "Trash");
    assert_eq!(browser.one(".tabs [aria-current=page]"), "Trash");
    assert!(browser.one("#trash tbody th").starts_with("tool/1"));
    assert!(browser.one("#trash td[data-label=Reason]").starts_with("Deleted by ada"));
    assert_eq!(browser.one("#trash td[data-label=Size]"), "8 B");
    assert_eq!(browser.one("#freed"), "Deleting everything here for good would free 8 B on disk.");
    browser.submit("form[action$='/restore']", &[]).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/ada/-/packages/generic/tool/1"));
    browser.follow().await.is(200);
    assert_eq!(browser.one("main .notice.good"), "tool/1 has been restored.");
    browser.go("/ada/-/trash").await.is(200);
    assert_eq!(browser.one(".empty p"), "The trash is empty.");
    assert_eq!(site.db_audit().last().unwrap(), "trash.restore by ada with session from 127.0.0.1 on ada tool/1");
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn the_trash_page_says_why_something_cannot_be_restored() {
    let site = Site::new();
    site.ci().publish(&file("1", "a"), "one").await;
    site.ci().delete(&file("1", "a")).await.is(204);
    site.ci().publish(&file("1", "a"), "two").await;
    let mut browser = site.browser_of("ada").await;
    browser.go("/ada/-/trash").await.is(200);
    browser.submit("form[action$='/restore']", &[]).await.is(303);
    browser.follow().await.is(200);
    assert!(browser.one("main .notice").starts_with("Not restored: package file tool/1/a cannot be restored"));
    assert_eq!(site.anon().get(&file("1", "a")).await.text(), "two");
}

#[tokio::test]
async fn owners_delete_for_good_after_a_page_that_asks_and_writers_cannot() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    site.ci().publish(&path(&["acme", "tool", "1", "f"]), "shared").await;
    site.ci().publish(&path(&["acme", "tool", "2", "f"]), "shared").await;
    site.ci().delete(&path(&["acme", "tool", "1"])).await.is(204);
    let mut writer = site.browser_of("acme-write").await;
    writer.go("/acme/-/trash").await.is(200);
    assert!(writer.all("#trash a.danger").is_empty());
    let entry = site.db_number("SELECT id AS n FROM trash");
    let page = format!("/acme/-/trash/{entry}/delete");
    writer.go(&page).await.is(403);
    let csrf = writer.go("/acme/-/trash").await.csrf();
    writer.post(&page, format!("csrf={csrf}")).await.is(403);
    let mut reader = site.browser_of("acme-read").await;
    reader.go("/acme/-/trash").await.is(403);
    reader.go("/acme").await.is(200);
    assert!(!reader.all(".tabs a").contains(&"Trash".to_owned()));

    let mut owner = site.browser_of("acme-owner").await;
    owner.go("/acme/-/trash").await.is(200);
    assert_eq!(owner.attrs("#trash a.danger", "href"), [&*page]);
    owner.go(&page).await.is(200);
    assert_eq!(owner.one("h1"), "Delete tool/1 for good");
    assert_eq!(owner.all("#loss dd")[..3], ["1", "6 B", "0 B"], "another file has the same bytes");
    owner.submit("form[action$='/delete']", &[]).await.is(303);
    owner.follow().await.is(200);
    assert_eq!(owner.one("main .notice.good"), "tool/1 has been deleted for good.");
    assert_eq!(site.db_audit().last().unwrap(), "trash.purge by acme-owner with session from 127.0.0.1 on acme tool/1");
}

#[tokio::test]
async fn administrators_see_what_the_trash_holds_and_what_emptying_it_frees() {
    let site = Site::new();
    site.ci().publish(&file("1", "a"), "shared").await;
    site.ci().publish(&file("1", "b"), "shared").await;
    site.ci().publish(&file("1", "c"), "alone").await;
    site.ci().delete(&file("1", "a")).await.is(204);
    site.ci().delete(&file("1", "c")).await.is(204);
    let mut admin = site.browser_of("admin").await;
    admin.go("/-/admin").await.is(200);
    assert_eq!(admin.one("#figures #trash b"), "11 B");
    assert_eq!(admin.one("#figures #trash .small"), "2 files; emptying it frees 5 B on disk");
}
