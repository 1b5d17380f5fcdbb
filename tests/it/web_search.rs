//! The search for people: words in any order, what matches best first.

use crate::support::people::db_org;
use crate::support::{Site, path, sha256};
use packhouse::domain::role::Visibility;
use serde_json::json;
use std::time::Duration;

/// The packages that the page of a search shows, in order.
async fn found(site: &Site, query: &str) -> Vec<String> {
    let mut browser = site.browser();
    browser.go(&format!("/explore/packages?q={query}")).await.is(200);
    let links = browser.attrs("th.name a", "href").into_iter().filter(|to| to.contains("/-/packages/generic/"));
    // A row may also link to the version or the file that matched.
    let mut names: Vec<String> = links.map(name).collect();
    names.dedup();
    names
}

/// `owner/package` of a package's address.
fn name(address: String) -> String {
    let parts: Vec<&str> = address.split('/').collect();
    format!("{}/{}", parts[1], parts[5])
}

/// Each a second after the one before.
async fn publish(site: &Site, owner: &str, package: &str, version: &str, file: &str) {
    site.pass(Duration::from_secs(1));
    site.admin().publish(&path(&[owner, package, version, file]), format!("{owner}{package}{version}{file}")).await;
}

async fn settle() -> Site {
    let site = Site::new();
    site.db(|conn| {
        db_org(conn, "acme-tools", Visibility::Public)?;
        db_org(conn, "vault", Visibility::Private)
    });
    publish(&site, "acme-tools", "shipit", "1.0", "shipit-linux.tar.gz").await;
    publish(&site, "ada", "shipit-docs", "2.0", "manual.pdf").await;
    publish(&site, "ada", "old-shipit", "3.0", "a.bin").await;
    publish(&site, "ada", "other", "4.0", "shipit").await;
    publish(&site, "ada", "versions", "5-shipit", "f").await;
    publish(&site, "vault", "shipit", "1.0", "shipit").await;
    site
}

#[tokio::test]
async fn an_exact_name_comes_before_prefixes_parts_versions_and_files() {
    let site = settle().await;
    let all = ["acme-tools/shipit", "ada/shipit-docs", "ada/old-shipit", "ada/versions", "ada/other"];
    assert_eq!(found(&site, "shipit").await, all);
    assert_eq!(found(&site, "ShipIt&sort=best").await, all);
    let newest = ["ada/versions", "ada/other", "ada/old-shipit", "ada/shipit-docs", "acme-tools/shipit"];
    assert_eq!(found(&site, "shipit&sort=newest").await, newest);
}

#[tokio::test]
async fn words_match_owner_package_version_file_label_and_digest_in_any_order() {
    let site = settle().await;
    let labels = json!({"labels": {"team": "Delivery"}});
    site.admin().patch("/api/v1/packages/ada/generic/other/4.0", &labels).await.is(200);
    site.admin().patch("/api/v1/packages/ada/generic/old-shipit", &json!({"labels": {"kind": "legacy"}})).await.is(200);
    let digest = sha256("acme-toolsshipit1.0shipit-linux.tar.gz");
    for (query, expected) in [
        ("acme-tools/shipit", &["acme-tools/shipit"][..]),
        ("acme%20shipit", &["acme-tools/shipit"]),
        ("shipit%20acme", &["acme-tools/shipit"]),
        ("linux%20acme%201.0", &["acme-tools/shipit"]),
        ("acme-tools", &["acme-tools/shipit"]),
        ("delivery", &["ada/other"]),
        ("team=deliv%20ada", &["ada/other"]),
        ("kind=legacy", &["ada/old-shipit"]),
        (&*format!("{digest}%20acme"), &["acme-tools/shipit"]),
        ("ada%20manual", &["ada/shipit-docs"]),
        ("ad%20manual", &["ada/shipit-docs"]),
        ("acme%20manual", &[]),
        ("vault", &[]),
        ("%25%20shipit", &[]),
    ] {
        assert_eq!(found(&site, query).await, expected, "{query}");
    }
    let mut browser = site.browser();
    browser.go("/explore/packages?q=acme%20manual").await.is(200);
    let said = browser.one(".empty p");
    assert!(said.contains("Search for acme or manual alone"), "{said}");
    assert_eq!(
        browser.attrs(".empty a[href*='q=']", "href")[..2],
        ["/explore/packages?q=acme", "/explore/packages?q=manual"]
    );
    // The feed of a search finds the same.
    let feed = site.anon().get("/explore/packages.atom?q=acme%20shipit").await.is(200).text().to_owned();
    assert!(feed.contains("<title>shipit 1.0</title>") && !feed.contains("shipit-docs"), "{feed}");
}

#[tokio::test]
async fn what_is_said_about_a_match_names_the_version_or_file_of_a_word() {
    let site = settle().await;
    let mut browser = site.browser();
    browser.go("/explore/packages?q=ada%20manual").await.is(200);
    assert!(browser.text().contains("manual.pdf"), "{}", browser.text());
    browser.go("/explore/packages?q=acme%20shipit").await.is(200);
    assert!(!browser.text().contains("shipit-linux"), "the names say it already");
}

#[tokio::test]
async fn best_matches_lead_however_many_there_are() {
    let site = settle().await;
    // So many that they aren't all sorted.
    site.db_execute(
        "WITH one AS (SELECT v.*, f.blob_id FROM versions v JOIN files f ON f.version_id = v.id JOIN packages p \
         ON p.id = v.package_id JOIN owners o ON o.id = p.owner_id WHERE o.name = 'ada' AND p.name = 'other'), \
         made AS (INSERT INTO versions (package_id, owner_id, version, lower_version, created_at, state) \
         SELECT package_id, owner_id, 'shipit' || n, 'shipit' || n, created_at + interval '1 hour', 1 \
         FROM one, generate_series(1, 31000) n RETURNING id, created_at) \
         INSERT INTO files (version_id, blob_id, name, lower_name, created_at) \
         SELECT made.id, one.blob_id, 'f', 'f', made.created_at FROM made, one",
    );
    let best = found(&site, "shipit").await;
    assert_eq!(best[..3], ["acme-tools/shipit", "ada/shipit-docs", "ada/old-shipit"]);
    let mut others = best[3..].to_vec();
    others.sort();
    assert_eq!(others, ["ada/other", "ada/versions"]);
}

#[tokio::test]
async fn filters_narrow_a_search_by_owner_time_pre_release_and_label() {
    let site = settle().await;
    site.pass(Duration::from_secs(40 * 86_400));
    for (version, is_prerelease) in [
        ("1.0.0-rc.1", true),
        ("v2-beta+build.5", true),
        ("2026-02", true),
        ("1.0.0", false),
        ("1.0-a..b", false),
        ("1.0.0+exp-sha", false),
        ("beta", false),
        ("1..2-rc", false),
        ("1.0-\u{212a}", false),
    ] {
        let name = format!("kit-{}", sha256(version).get(..8).unwrap());
        publish(&site, "ada", &name, version, "f").await;
        let pre = found(&site, &format!("{name}&versions=pre")).await;
        assert_eq!(pre.len() == 1, is_prerelease, "{version}");
        let badge = {
            let mut browser = site.browser();
            browser.go(&format!("/ada/-/packages/generic/{name}/versions")).await.is(200);
            browser.all("th.name .badge").contains(&"Pre-release".to_owned())
        };
        assert_eq!(badge, is_prerelease, "the filter agrees with the badge of {version}");
    }
    let edit = json!({"labels": {"tier": "gold"}});
    site.admin().patch("/api/v1/packages/ada/generic/shipit-docs", &edit).await.is(200);
    let edit = json!({"labels": {"tier": "gold", "channel": "nightly"}});
    site.admin().patch("/api/v1/packages/acme-tools/generic/shipit/1.0", &edit).await.is(200);
    let secret = json!({"labels": {"tier": "gold"}});
    publish(&site, "vault", "shipit-secret", "1", "f").await;
    site.admin().patch("/api/v1/packages/vault/generic/shipit-secret", &secret).await.is(200);
    for (query, expected) in [
        ("shipit&owner=ada", &["ada/old-shipit", "ada/other", "ada/shipit-docs", "ada/versions"][..]),
        ("shipit&owner=ACME-tools", &["acme-tools/shipit"]),
        ("shipit&owner=vault", &[]),
        ("shipit&owner=no+name", &[]),
        ("shipit&label=tier%3Dgold", &["acme-tools/shipit", "ada/shipit-docs"]),
        ("&label=tier%3Dgold", &["acme-tools/shipit", "ada/shipit-docs"]),
        ("shipit&label=channel%3Dnightly", &["acme-tools/shipit"]),
        ("shipit&label=tier%3Dsilver", &[]),
        ("shipit&label=nonsense", &[]),
        ("shipit&since=30", &[]),
        ("kit-&since=7&owner=acme-tools", &[]),
    ] {
        let mut names = found(&site, query).await;
        names.sort();
        assert_eq!(names, expected, "{query}");
    }
    assert_eq!(found(&site, "kit-&since=7").await.len(), 9);
    let mut browser = site.browser();
    browser.go("/explore/packages?q=shipit&sort=name").await.is(200);
    assert!(browser.all("#filters a").contains(&"tier=gold".to_owned()));
    let narrow = |browser: &crate::support::browser::Browser, text: &str| {
        let (links, texts) = (browser.attrs("#filters a", "href"), browser.all("#filters a"));
        links[texts.iter().position(|it| it == text).unwrap_or_else(|| panic!("{text} in {texts:?}"))].clone()
    };
    browser.go(&narrow(&browser, "acme-tools")).await.is(200);
    assert_eq!(browser.attrs("th.name a:not(.quiet)", "href").len(), 1);
    browser.go(&narrow(&browser, "Last 7 days")).await.is(200);
    assert!(browser.one(".empty").contains("No results for shipit with these filters."));
    let all = browser.attrs(".empty a", "href").remove(0);
    assert_eq!(all, "/explore/packages?q=shipit&sort=name");
    browser.go("/explore/packages?q=shipit&owner=ada").await.is(200);
    let without = browser.attrs("nav[aria-label='Chosen filters'] a", "href");
    assert_eq!(without, ["/explore/packages?q=shipit"]);
}
