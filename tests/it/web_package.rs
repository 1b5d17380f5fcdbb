//! The page of a package: what it is, its latest versions, who published them, and its plots.

use crate::support::{Site, path};
use packhouse::jobs::forget_downloads;
use serde_json::json;
use std::time::Duration;

const PAGE: &str = "/ada/-/packages/generic/tool/versions";
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_package_says_what_it_is_and_which_versions_are_the_latest() {
    let site = Site::new();
    for (version, size) in [("1.0.0", 1024), ("1.1.0", 2048), ("2.0.0-rc.1", 4096)] {
        site.ci().publish(&path(&["ada", "tool", version, "f"]), vec![b'x'; size]).await;
        site.pass(DAY);
    }
    site.ci().publish(&path(&["ada", "tool", "1.1.0", "README.md"]), "# The tool\n").await;
    let settings = json!({
        "description": "Does things", "license": "MIT", "homepage": "https://tool.example",
        "source_url": "https://git.example/tool", "labels": {"team": "core", "tier": "a"},
    });
    site.ci().patch("/api/v1/packages/ada/generic/tool", &settings).await.is(200);
    let mut browser = site.browser();
    browser.go(PAGE).await.is(200);
    assert_eq!(browser.one("h1"), "tool");
    assert_eq!(browser.one("#description"), "Does things");
    assert_eq!(browser.one("a.latest"), "1.1.0");
    assert_eq!(browser.one("a.prerelease"), "2.0.0-rc.1");
    let facts = browser.all("#overview dl.facts dd");
    assert_eq!(facts[..2], ["1.1.0 2 days ago", "2.0.0-rc.1 1 day ago"]);
    assert_eq!(facts[3..], ["MIT", "https://tool.example", "https://git.example/tool", "team: core tier: a"]);
    assert_eq!(browser.one(".readme .prose h3"), "The tool #");
    assert_eq!(browser.one("#versions"), "Versions 3");
    assert_eq!(browser.one("#downloads"), "0 downloads in 90 days");
    // The sizes, the oldest version first, and the same as numbers.
    assert_eq!(browser.all("svg[aria-labelledby=sizes] rect").len(), 3);
    let sizes = browser.all("svg[aria-labelledby=sizes] ~ details td");
    assert_eq!(sizes.len(), 3);
    assert!(sizes.contains(&"4.0 KiB".to_owned()), "{sizes:?}");
    // A search and other pages show the list alone.
    for query in ["?q=1.1", "?sort=newest", "?page=2"] {
        browser.go(&format!("{PAGE}{query}")).await.is(200);
        assert!(browser.all("#overview").is_empty(), "{query}");
    }
}

#[tokio::test]
async fn a_package_says_who_published_it_and_with_what() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1.0.0", "f"]), "x").await;
    let mut anonymous = site.browser();
    anonymous.go(PAGE).await.is(200);
    assert_eq!(anonymous.one("#publisher"), "ada with an access token");
    let mut ada = site.browser_of("ada").await;
    ada.go(PAGE).await.is(200);
    let name = site.db_texts("SELECT t.name AS text FROM audit a JOIN tokens t ON t.id = a.token_id").remove(0);
    assert_eq!(ada.one("#publisher"), format!("ada with the access token {name}"), "publishers see its name");
    site.ada().put(&path(&["ada", "tool", "2.0.0", "f"]), "y").await.is(201);
    anonymous.go(PAGE).await.is(200);
    assert_eq!(anonymous.one("#publisher"), "ada with a password");
    // A draft is published by whoever shows it to others.
    site.pass(DAY);
    site.ada().put(&format!("{}?draft=true", path(&["ada", "tool", "3.0.0", "f"])), "z").await.is(201);
    site.pass(DAY);
    site.ci().post("/api/v1/packages/ada/generic/tool/3.0.0/publish", &json!({})).await;
    anonymous.go(PAGE).await.is(200);
    assert_eq!(anonymous.one("#publisher"), "ada with an access token");
}

#[tokio::test]
async fn downloads_are_counted_by_day_for_ninety_days() {
    let site = Site::new();
    let file = path(&["ada", "tool", "1.0.0", "f"]);
    site.ci().publish(&file, "x").await;
    for (day, count) in [(0, 1), (1, 2), (89, 3)] {
        if day > 0 {
            site.pass(DAY * if day == 89 { 88 } else { 1 });
        }
        for _ in 0..count {
            site.anon().get(&file).await.is(200);
        }
        site.db_flush().await;
    }
    let mut browser = site.browser();
    browser.go(PAGE).await.is(200);
    assert_eq!(browser.one("#downloads"), "6 downloads in 90 days");
    let numbers: Vec<String> = browser.all("svg[aria-labelledby=downloads] ~ details td");
    assert_eq!(numbers.len(), 90);
    assert_eq!((&*numbers[0], &*numbers[1], &*numbers[2], &*numbers[89]), ("1", "2", "0", "3"));
    assert_eq!(browser.all("svg[aria-labelledby=downloads] rect").len(), 90);

    // A job deletes what is older. The package keeps its total.
    site.pass(DAY);
    browser.go(PAGE).await.is(200);
    assert_eq!(browser.one("#downloads"), "5 downloads in 90 days");
    assert_eq!(forget_downloads::run(&site.app.db, &site.app.clock).await.unwrap(), 1);
    assert_eq!(site.db_number("SELECT sum(downloads)::bigint AS n FROM download_days"), 5);
    assert_eq!(site.db_number("SELECT sum(download_count)::bigint AS n FROM files"), 6);
}

#[tokio::test]
async fn notices_of_a_package_stand_on_top() {
    let site = Site::new();
    for version in ["1.0.0", "2.0.0"] {
        site.ci().publish(&path(&["ada", "tool", version, "f"]), "x").await;
    }
    let edit = |version: &str, body: serde_json::Value| {
        let url = format!("/api/v1/packages/ada/generic/tool/{version}");
        let client = site.ci();
        async move { client.patch(&url, &body).await.is(200) }
    };
    edit("2.0.0", json!({"deprecated": true, "deprecation_message": "It is slow.", "successor": "1.0.0"})).await;
    let mut browser = site.browser();
    browser.go(PAGE).await.is(200);
    let notice = browser.one("#deprecated");
    assert!(notice.contains("The latest version was deprecated") && notice.ends_with("It is slow. Use 1.0.0 instead."));
    for version in ["1.0.0", "2.0.0"] {
        edit(version, json!({"yanked": true, "yank_reason": "Broken."})).await;
    }
    browser.go(PAGE).await.is(200);
    assert!(browser.one("#yanked").contains("All versions were yanked") && browser.all("a.latest").is_empty());
    site.ci().patch("/api/v1/packages/ada/generic/tool", &json!({"archived": true})).await.is(200);
    browser.go(PAGE).await.is(200);
    assert!(browser.one("#archived").contains("This package is archived."));
}
