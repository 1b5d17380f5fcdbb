//! Which version is the latest: one order, which the package protocol, the API, the pages and the lists share.

use crate::support::browser::Browser;
use crate::support::{Site, path};
use std::time::Duration;

const PACKAGE: &str = "/ada/-/packages/generic/tool";

async fn publish(site: &Site, version: &str) {
    site.pass(Duration::from_secs(60));
    site.ci().publish(&path(&["ada", "tool", version, "f"]), version.to_owned()).await;
}

fn redirect(browser: &Browser) -> &str {
    browser.answer.header("location").unwrap()
}

/// The latest version according to each place that shows or uses it.
async fn latest_of_all_interfaces(site: &Site) -> Vec<(&'static str, String)> {
    let (anon, mut browser) = (site.anon(), site.browser());
    let last = |url: &str| url.rsplit('/').next().unwrap().to_owned();
    let mut found = Vec::new();
    let file = anon.get(&path(&["ada", "tool", "latest", "f"])).await.is(302);
    found.push(("a download", last(file.header("location").unwrap().trim_end_matches("/f"))));
    let list = anon.get(&path(&["ada", "tool", "latest"])).await.is(302);
    found.push(("a list of files", last(list.header("location").unwrap())));
    let packages = anon.get(&path(&["ada"])).json().await.is(200).json();
    found.push(("the list of packages", packages[0]["latest"].as_str().unwrap().to_owned()));
    let api = anon.get("/api/v1/packages/ada/generic/tool/-/latest").await.is(200).json();
    found.push(("the API", api["version"].as_str().unwrap().to_owned()));
    browser.go(PACKAGE).await.is(303);
    found.push(("the package's page", last(redirect(&browser))));
    browser.go(&format!("{PACKAGE}/latest")).await.is(303);
    found.push(("the version's page", last(redirect(&browser))));
    let page = format!("{PACKAGE}/{}", found[0].1);
    browser.go(&page).await.is(200);
    assert_eq!(browser.one(".page-head .badge.good"), "Latest");
    found.push(("the other versions of a page", browser.all(".siblings li > :first-child")[0].clone()));
    browser.go(&format!("{PACKAGE}/versions")).await.is(200);
    found.push(("the versions page", browser.all("th.name a")[0].clone()));
    found.push(("the versions page's badge", browser.one("th.name:has(.badge.good) a")));
    for (name, list) in [("the owner's page", "/ada"), ("the search", "/explore/packages?q=tool"), ("the start", "/")] {
        browser.go(list).await.is(200);
        found.push((name, browser.one(".packages td[data-label='Latest version'] a.mono")));
    }
    found
}

#[tokio::test]
async fn every_face_agrees_which_version_is_the_latest() {
    let site = Site::new();
    for (version, latest) in [
        ("nightly", "nightly"),
        ("zulu", "zulu"),
        ("3.0.0-rc.1", "3.0.0-rc.1"),
        ("3.0.0-rc.02", "3.0.0-rc.02"),
        ("1.9.0", "1.9.0"),
        ("v1.10.0", "v1.10.0"),
        ("1.9.1", "v1.10.0"),
        ("24.10", "24.10"),
        ("24.9.9.9", "24.10"),
        ("later", "24.10"),
        ("2026.02.0", "2026.02.0"),
        ("2025.11.1", "2026.02.0"),
        ("18446744073709551616", "18446744073709551616"),
        ("18446744073709551615.9", "18446744073709551616"),
    ] {
        publish(&site, version).await;
        for (interface, found) in latest_of_all_interfaces(&site).await {
            assert_eq!(found, latest, "{interface}, after publishing {version}");
        }
    }
    site.ci().delete(&path(&["ada", "tool", "18446744073709551616"])).await.is(204);
    site.ci().delete(&path(&["ada", "tool", "18446744073709551615.9"])).await.is(204);
    for (interface, found) in latest_of_all_interfaces(&site).await {
        assert_eq!(found, "2026.02.0", "{interface}, after deletions");
    }
    // Published again, an old version is not the latest, whatever its date.
    site.ci().delete(&path(&["ada", "tool", "1.9.1"])).await.is(204);
    publish(&site, "1.9.1").await;
    for (interface, found) in latest_of_all_interfaces(&site).await {
        assert_eq!(found, "2026.02.0", "{interface}, after publishing again");
    }
    let mut browser = site.browser();
    browser.go(&format!("{PACKAGE}/versions")).await.is(200);
    let order = "2026.02.0 2025.11.1 24.10 24.9.9.9 v1.10.0 1.9.1 1.9.0 3.0.0-rc.02 3.0.0-rc.1 later zulu nightly";
    assert_eq!(browser.all("th.name a").join(" "), order);
}

#[tokio::test]
async fn redirects_to_the_latest_version_keep_the_query_and_have_no_host() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://packages.example.org")]);
    publish(&site, "1.0/ü").await;
    let (file, list) = (path(&["ada", "tool", "1.0/ü", "f"]), path(&["ada", "tool", "1.0/ü"]));
    for (latest, to) in [(path(&["ada", "tool", "latest", "f"]), file), (path(&["ada", "tool", "latest"]), list)] {
        for (query, kept) in [("", ""), ("?", ""), ("?a=%20b&c", "?a=%20b&c")] {
            let answer = site.anon().get(&format!("{latest}{query}")).await.is(302);
            assert_eq!(answer.header("location"), Some(&*format!("{to}{kept}")));
            assert_eq!(answer.header("link"), Some(&*format!("<{to}{kept}>; rel=\"immutable\"")));
        }
    }
    let mut browser = site.browser();
    for page in [PACKAGE.to_owned(), format!("{PACKAGE}/latest")] {
        browser.go(&format!("{page}?sort=size&q=f")).await.is(303);
        assert_eq!(redirect(&browser), format!("{PACKAGE}/1.0%2F%C3%BC?sort=size&q=f"));
    }
}
