//! Deleting with a browser: what goes is said first.

use crate::support::people::db_org;
use crate::support::{Site, path};
use packhouse::domain::role::Visibility;

#[tokio::test]
async fn a_file_is_deleted_after_a_page_that_says_what_is_lost() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "Tool", "v/1", "a b.bin"]), vec![0; 2048]).await;
    site.ci().publish(&path(&["ada", "Tool", "v/1", "other"]), "x").await;
    site.anon().get(&path(&["ada", "Tool", "v/1", "a b.bin"])).await.is(200);
    site.db_flush().await;
    let id = site.db_number("SELECT min(id) AS n FROM files");
    let mut browser = site.browser_of("ada").await;
    let page = format!("/ada/-/packages/generic/tool/v%2F1/files/{id}/delete");
    browser.go(&page).await.is(200);
    assert_eq!(browser.one("h1"), "Delete a b.bin");
    assert_eq!(browser.all("#loss dd"), ["2.0 KiB", "1"]);
    assert!(browser.all("#takes-version, #takes-package").is_empty());
    assert_eq!(site.db_number("SELECT count(*) AS n FROM files"), 2, "looking changes nothing");
    browser.submit("form[action$='/delete']", &[]).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/ada/-/packages/generic/tool/v%2F1"));
    assert_eq!(site.anon().get(&path(&["ada", "tool", "v/1"])).await.is(200).lines(), ["other"]);
    assert_eq!(
        site.db_audit().last().unwrap(),
        "file.delete by ada with session from 127.0.0.1 on ada tool/v/1/a b.bin"
    );
    // Its page is gone with it, and a repeated click harms nothing.
    browser.go(&page).await.is(404);
    let csrf = browser.go("/ada").await.csrf();
    browser.post(&page, format!("csrf={csrf}")).await.is(404);
    let last = site.db_number("SELECT max(id) AS n FROM files");
    browser.go(&format!("/ada/-/packages/generic/tool/v%2F1/files/{last}/delete")).await.is(200);
    assert!(browser.one("#takes-package").contains("only file of the only version"));
    browser.submit("form[action$='/delete']", &[]).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/ada"));
    browser.follow().await.is(200);
    assert!(browser.one("main .notice.good").starts_with("other is in the trash until 20"));
}

#[tokio::test]
async fn a_version_is_deleted_with_its_files_and_the_last_with_its_package() {
    let site = Site::new();
    for (version, file) in [("1", "a"), ("1", "b"), ("2", "a")] {
        site.ci().publish(&path(&["ada", "tool", version, file]), "bytes").await;
    }
    let mut browser = site.browser_of("ada").await;
    browser.go("/ada/-/packages/generic/tool/1/delete").await.is(200);
    assert_eq!(browser.one("h1"), "Delete version 1 of tool");
    assert_eq!(browser.all("#loss dd"), ["2", "10 B", "0"]);
    browser.submit("form[action$='/delete']", &[]).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/ada/-/packages/generic/tool/versions"));
    browser.go("/ada/-/packages/generic/tool/1/delete").await.is(404);
    browser.go("/ada/-/packages/generic/tool/2/delete").await.is(200);
    assert!(browser.one("#takes-package").contains("tool"));
    browser.submit("form[action$='/delete']", &[]).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/ada"));
    assert_eq!(site.db_number("SELECT count(*) AS n FROM packages"), 0);
    assert_eq!(site.db_broken().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_package_is_deleted_only_when_its_name_is_typed() {
    let site = Site::new();
    for (version, file) in [("1", "a"), ("1", "b"), ("2", "a")] {
        site.ci().publish(&path(&["ada", "Tool", version, file]), vec![0; 1000]).await;
    }
    site.ci().publish(&path(&["ada", "other", "1", "a"]), "x").await;
    let mut browser = site.browser_of("ada").await;
    browser.go("/ada/-/packages/settings/generic/tool").await.is(200);
    assert_eq!(browser.one("h1"), "Package settings Tool");
    assert_eq!(browser.all("#loss dd"), ["ada", "2", "3", "2.9 KiB", "0"]);
    assert!(browser.one(".card.danger").contains("This deletes 2 versions and 3 files (2.9 KiB, downloaded 0 times)."));
    for typed in ["", "other", "tool 1"] {
        browser.submit(".card.danger form", &[("confirm", typed)]).await.is(422);
        assert_eq!(browser.one("#confirm-problem"), "This is not the package name: type Tool to confirm.");
        assert_eq!(browser.attrs("#confirm", "value"), [typed]);
    }
    assert_eq!(site.db_number("SELECT count(*) AS n FROM packages"), 2);
    browser.submit(".card.danger form", &[("confirm", "tool")]).await.is(303);
    browser.follow().await.is(200);
    assert!(browser.one("main .notice.good").starts_with("Tool and all its versions are in the trash until 20"));
    assert_eq!(site.db_number("SELECT count(*) AS n FROM packages"), 1);
    assert_eq!(site.db_audit().last().unwrap(), "package.delete by ada with session from 127.0.0.1 on ada Tool");
}

#[tokio::test]
async fn readers_see_no_page_to_delete_anything() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    site.ci().publish(&path(&["acme", "tool", "1", "a"]), "x").await;
    let id = site.db_number("SELECT min(id) AS n FROM files");
    let version = "/acme/-/packages/generic/tool/1";
    let pages = [
        "/acme/-/packages/settings/generic/tool".to_owned(),
        format!("{version}/delete"),
        format!("{version}/files/{id}/delete"),
    ];
    for who in ["acme-read", "stranger"] {
        let mut browser = site.browser_of(who).await;
        let csrf = browser.go("/acme").await.csrf();
        for page in &pages {
            browser.go(page).await.is(403);
        }
        browser.post(&pages[1], format!("csrf={csrf}")).await.is(403);
        browser.post(&pages[2], format!("csrf={csrf}")).await.is(403);
        browser.post(&format!("{}/delete", pages[0]), format!("csrf={csrf}&confirm=tool")).await.is(403);
    }
    let mut writer = site.browser_of("acme-write").await;
    for page in &pages {
        writer.go(page).await.is(200);
    }
    assert_eq!(site.db_number("SELECT count(*) AS n FROM files"), 1);
}
