//! Lists in a browser: owners, packages, versions; searching, sorting, pages, and what is shown where there is nothing.

use crate::support::browser::Browser;
use crate::support::people::{db_org, db_user};
use crate::support::{Site, path};
use packhouse::domain::role::Visibility;
use std::time::Duration;

/// Names of the packages of a list, with their owners where it has them.
fn packages(browser: &Browser) -> Vec<String> {
    browser.all(".packages th.name").into_iter().map(|text| text.split(" in ").next().unwrap().to_owned()).collect()
}

fn column(browser: &Browser, label: &str) -> Vec<String> {
    browser.all(&format!(".packages td[data-label='{label}']"))
}

/// Publishes files of so many bytes, an hour apart.
async fn publish(site: &Site, files: &[([&str; 4], usize)]) {
    for (names, size) in files {
        site.pass(Duration::from_secs(3600));
        site.admin().publish(&path(names), vec![b'x'; *size]).await;
    }
}

#[tokio::test]
async fn an_owners_packages_are_listed_with_latest_version_and_totals() {
    let site = Site::new();
    publish(
        &site,
        &[
            (["ada", "Beta", "1.10.0", "a"], 1000),
            (["ada", "Beta", "1.9.0", "a"], 24),
            (["ada", "Beta", "2.0.0-rc.1", "a"], 1),
            (["ada", "Alpha", "nightly", "a"], 2048),
            (["ada", "gamma", "1.0.0", "a"], 3),
        ],
    )
    .await;
    for _ in 0..3 {
        site.anon().get(&path(&["ada", "gamma", "1.0.0", "a"])).await.is(200);
    }
    site.anon().get(&path(&["ada", "beta", "1.9.0", "a"])).await.is(200);
    site.db_flush().await;
    let mut browser = site.browser();
    browser.go("/ada").await.is(200);
    assert_eq!(packages(&browser), ["gamma", "Alpha", "Beta"], "the one that got a version last comes first");
    assert_eq!(
        column(&browser, "Latest version"),
        ["1.0.0", "nightly", "1.10.0 4 hours ago"],
        "a release before a pre-release"
    );
    assert_eq!(column(&browser, "Versions"), ["1", "1", "3"]);
    assert_eq!(column(&browser, "Size"), ["3 B", "2.0 KiB", "1.0 KiB"]);
    assert_eq!(column(&browser, "Downloads"), ["3", "0", "1"]);
    assert_eq!(column(&browser, "Updated"), ["just now", "1 hour ago", "2 hours ago 2.0.0-rc.1"]);
    assert_eq!(browser.attrs(".packages th.name a", "href")[2], "/ada/-/packages/generic/Beta/1.10.0");
    assert!(browser.text().contains("3 packages"));
    for (sort, order) in [
        ("name", ["Alpha", "Beta", "gamma"]),
        ("size", ["Alpha", "Beta", "gamma"]),
        ("downloads", ["gamma", "Beta", "Alpha"]),
        ("updated", ["gamma", "Alpha", "Beta"]),
        ("nonsense", ["gamma", "Alpha", "Beta"]),
    ] {
        browser.go(&format!("/ada/-/packages?sort={sort}")).await.is(200);
        assert_eq!(packages(&browser), order, "{sort}");
    }
    browser.go("/ada/-/packages?sort=size").await;
    assert_eq!(browser.one(".choices [aria-current]"), "Size");
    assert_eq!(browser.attrs("form.list-search input[name=sort]", "value"), ["size"], "a search keeps the order");
}

#[tokio::test]
async fn an_owners_packages_are_searched_and_come_in_pages() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool_a%".trim_end_matches('%'), "1.0", "f"]), "x").await;
    site.db_execute(
        "INSERT INTO packages (owner_id, name, lower_name, created_at) SELECT owner_id, n.name, lower(n.name), created_at \
         FROM packages, generate_series(1, 64) i, LATERAL (SELECT 'Lib-' || lpad(i::text, 2, '0')) n (name)",
    );
    site.db_execute(
        "INSERT INTO versions (package_id, owner_id, version, lower_version, created_at) SELECT id, owner_id, '1.0', '1.0', \
         created_at + id * interval '1 minute' FROM packages WHERE name LIKE 'Lib-%'",
    );
    site.db_execute(
        "INSERT INTO files (version_id, blob_id, name, lower_name, created_at) SELECT v.id, b.id, 'f', 'f', v.created_at \
         FROM versions v JOIN packages p ON p.id = v.package_id, blobs b WHERE p.name LIKE 'Lib-%'",
    );
    let mut browser = site.browser();
    let mut seen = Vec::new();
    browser.go("/ada").await.is(200);
    loop {
        seen.extend(packages(&browser));
        let Some(next) = browser.attrs(".pager a[rel=next]", "href").into_iter().next() else { break };
        browser.go(&next).await.is(200);
    }
    let newest_first = (1..65).rev().map(|n| format!("Lib-{n:02}")).chain(["tool_a".to_owned()]);
    assert_eq!(seen, newest_first.collect::<Vec<_>>());
    for (sort, first) in [("name", "Lib-01"), ("updated", "Lib-64"), ("size", "tool_a"), ("downloads", "tool_a")] {
        browser.go(&format!("/ada/-/packages?q=&sort={sort}")).await.is(200);
        assert_eq!(packages(&browser)[0], first, "{sort}");
        browser.go(&format!("/ada/-/packages?q=IB-1&sort={sort}")).await.is(200);
        assert_eq!(packages(&browser).len(), 10, "{sort}");
    }
    browser.go("/ada/-/packages?q=_").await.is(200);
    assert_eq!(packages(&browser), ["tool_a"], "it stands for itself");
    for q in ["nothing", "%25", "%00", "%FF"] {
        browser.go(&format!("/ada/-/packages?q={q}")).await.is(200);
    }
    browser.go("/ada/-/packages?q=<b>x").await.is(200);
    assert!(browser.one(".empty").contains("No results for <b>x."), "{}", browser.one(".empty"));
    assert_eq!(browser.attrs("form.list-search input[name=q]", "value"), ["<b>x"]);
}

#[tokio::test]
async fn an_owner_without_packages_shows_how_to_publish() {
    let site = Site::new();
    let mut ada = site.browser_of("ada").await;
    for page in ["/ada", "/"] {
        ada.go(page).await.is(200);
        let command = ada.exact("#first-file");
        let wanted = format!("http://{}/api/packages/ada/generic/hello/1.0.0/hello.txt", site.address);
        assert!(command.ends_with(&format!("-T hello.txt {wanted}")), "{command}");
        // It is a command that works.
        let dir = tempfile::tempdir().unwrap();
        let token = site.db_token("ada", &["write:package"]);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &command]).env("TOKEN", token).env("no_proxy", "*").current_dir(dir.path());
        assert!(shell.output().unwrap().status.success());
        site.anon().get(&path(&["ada", "hello", "1.0.0", "hello.txt"])).await.is(200).says("hello, world");
        site.ci().delete("/api/v1/packages/ada/generic/hello").await.is(204);
    }
    let mut stranger = site.browser_of("stranger").await;
    stranger.go("/ada").await.is(200);
    assert!(stranger.one(".empty").contains("ada hasn't published anything"));
    let mut anonymous = site.browser();
    for page in ["/", "/explore/packages"] {
        anonymous.go(page).await.is(200);
        assert!(anonymous.one(".empty").contains("Sign in"), "{page}");
    }
}

#[tokio::test]
async fn versions_are_sorted_by_number_or_time_and_can_be_searched() {
    let site = Site::new();
    for version in ["1.10.0", "1.9.0", "2.0.0-rc.1", "nightly", "v1.9.5", "1.10.0+build"] {
        publish(&site, &[(["ada", "Tool", version, "f"], 10)]).await;
    }
    let list = "/ada/-/packages/generic/tool/versions";
    let versions = |browser: &Browser| browser.all("th.name a");
    let mut browser = site.browser();
    browser.go(list).await.is(200);
    assert_eq!(versions(&browser), ["1.10.0+build", "1.10.0", "v1.9.5", "1.9.0", "2.0.0-rc.1", "nightly"]);
    assert_eq!(browser.one("th.name:has(.badge.good) a"), "1.10.0+build");
    assert_eq!(browser.one("h1"), "Tool");
    assert_eq!(browser.one("#versions"), "Versions 6");
    browser.go(&format!("{list}?sort=oldest")).await.is(200);
    assert_eq!(versions(&browser)[..2], ["1.10.0", "1.9.0"]);
    browser.go(&format!("{list}?sort=newest&q=1.9")).await.is(200);
    assert_eq!(versions(&browser), ["v1.9.5", "1.9.0"]);
    browser.go(&format!("{list}?q=nothing")).await.is(200);
    assert!(browser.one(".empty").contains("No versions match"));

    site.db_execute(
        "WITH made AS (INSERT INTO versions (package_id, owner_id, version, lower_version, created_at) \
         SELECT v.package_id, v.owner_id, n.name, n.name, v.created_at FROM versions v, generate_series(1, 70) i, \
         LATERAL (SELECT '0.0.' || i) n (name) WHERE v.version = 'nightly' RETURNING id) \
         INSERT INTO files (version_id, blob_id, name, lower_name, created_at) SELECT made.id, (SELECT min(id) FROM blobs), \
         'f', 'f', now() FROM made",
    );
    browser.go(&format!("{list}?page=3")).await.is(200);
    assert_eq!(versions(&browser).len(), 16);
    assert_eq!(versions(&browser)[13..], ["0.0.1", "2.0.0-rc.1", "nightly"]);
    browser.go("/ada/-/packages/generic/TOOL/latest").await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/ada/-/packages/generic/Tool/1.10.0%2Bbuild"));
    browser.go("/ada/-/packages/generic/tool/1.9.0").await.is(200);
    assert!(browser.one(".notice").contains("The latest version is 1.10.0+build."));
    assert_eq!(browser.all(".siblings li > :first-child")[..2], ["1.10.0+build", "1.10.0"]);
    assert!(browser.one("aside").contains("All 76 versions"));
    for page in [
        "/ada/-/packages/generic/nothing",
        "/ada/-/packages/generic/nothing/versions",
        "/ada/-/packages/generic/tool/9",
    ] {
        let mut stranger = site.browser_of("stranger").await;
        stranger.go(page).await.is(404);
    }
}

#[tokio::test]
async fn a_search_finds_packages_by_name_or_digest_and_shows_the_match() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "secret", Visibility::Private));
    publish(
        &site,
        &[
            (["ada", "falcon", "1.0.0", "falcon-linux.tar.gz"], 1),
            (["ada", "falcon", "1.1.0", "falcon-linux.tar.gz"], 2),
            (["stranger", "nest", "spring-falcon", "x"], 3),
            (["ada", "basket", "1.0", "Falcon.egg"], 4),
            (["ada", "basket", "2.0", "nothing"], 5),
            (["secret", "falcon-keeper", "1.0", "f"], 6),
        ],
    )
    .await;
    let rows = |browser: &Browser| browser.all(".packages th.name");
    let mut browser = site.browser();
    browser.go("/explore/packages?q=FALCON").await.is(200);
    assert_eq!(rows(&browser), ["ada / falcon", "stranger / nest spring-falcon", "ada / basket Falcon.egg in 1.0"]);
    assert_eq!(column(&browser, "Latest version"), ["1.1.0", "spring-falcon", "2.0"]);
    assert_eq!(browser.attrs(".why a", "href")[1], "/ada/-/packages/generic/basket/1.0");
    assert!(browser.text().contains("3 packages"), "the private one is not counted");
    browser.go("/explore/packages?q=falcon&sort=name").await.is(200);
    assert_eq!(packages(&browser), ["ada / basket Falcon.egg", "ada / falcon", "stranger / nest spring-falcon"]);
    let digest = crate::support::sha256("xxxx");
    browser.go(&format!("/explore/packages?q={digest}")).await.is(200);
    assert_eq!(rows(&browser), ["ada / basket Falcon.egg in 1.0"]);
    browser.go(&format!("/explore/packages?q={}", crate::support::sha256("xxxxxx"))).await.is(200);
    assert!(
        browser.one(".empty").contains("Sign in to search private packages"),
        "a private file's digest finds nothing"
    );
    for (q, status) in [("fa", 200), ("%00", 200), (&*"x".repeat(300), 200), ("%25", 200), ("", 200)] {
        browser.go(&format!("/explore/packages?q={q}&after=nonsense&page=-1")).await.is(status);
    }
    let mut member = site.browser_of("secret-read").await;
    member.go("/explore/packages?q=falcon&sort=newest").await.is(200);
    assert_eq!(rows(&member)[0], "secret / falcon-keeper");
    member.go("/").await.is(200);
    assert_eq!(rows(&member), ["secret / falcon-keeper"], "the first page is of one's own");
}

#[tokio::test]
async fn a_long_search_continues_by_position_without_duplicates() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "first", "1.0", "f"]), "x").await;
    site.db_execute(
        "INSERT INTO packages (owner_id, name, lower_name, created_at) SELECT owner_id, 'lib-' || i, 'lib-' || i, created_at \
         FROM packages, generate_series(1, 1040) i",
    );
    site.db_execute(
        "WITH made AS (INSERT INTO versions (package_id, owner_id, version, lower_version, created_at) \
         SELECT p.id, p.owner_id, v::text, v::text, p.created_at + p.id * interval '1 minute' FROM packages p, \
         generate_series(1, 2) v WHERE p.name LIKE 'lib-%' RETURNING id) INSERT INTO files (version_id, blob_id, name, \
         lower_name, created_at) SELECT made.id, b.id, 'f', 'f', now() FROM made, blobs b",
    );
    let mut browser = site.browser();
    for query in ["", "?sort=name", "?sort=oldest", "?q=lib&sort=newest"] {
        let mut seen = Vec::new();
        browser.go(&format!("/explore/packages{query}")).await.is(200);
        assert!(browser.text().contains("More than 1,000 packages"), "{query}");
        loop {
            seen.extend(packages(&browser));
            let Some(next) = browser.attrs(".pager a[rel=next]", "href").into_iter().next() else { break };
            browser.go(&next).await.is(200);
        }
        let all = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!((seen.len(), all), if query.starts_with("?q=lib") { (1040, 1040) } else { (1041, 1041) }, "{query}");
        assert_eq!(browser.all(".pager a"), ["First page"]);
    }
}

#[tokio::test]
async fn explore_opens_the_packages_and_old_links_lead_to_the_owners() {
    let site = Site::new();
    let mut browser = site.browser();
    for (from, to) in [
        ("/explore", "/explore/packages"),
        ("/explore?q=a", "/explore/packages?q=a"),
        ("/explore?kind=user&page=2", "/explore/owners?kind=user&page=2"),
    ] {
        browser.go(from).await.is(303);
        assert_eq!(browser.answer.header("location"), Some(to));
    }
    browser.go("/explore/packages").await.is(200);
    assert_eq!(browser.attrs("nav[aria-label=Main] a[aria-current]", "href"), ["/explore/packages"]);
    assert_eq!(browser.attrs(".tabs a", "href"), ["/explore/packages", "/explore/owners"]);
}

#[tokio::test]
async fn the_search_in_the_header_keeps_its_words() {
    let site = Site::new();
    let mut browser = site.browser();
    browser.go("/explore/packages?q=acme+%26+%22tool%22&sort=name").await.is(200);
    assert_eq!(browser.attrs("#top-q", "value"), ["acme & \"tool\""]);
    for page in ["/explore/packages", "/explore/owners?q=ada", "/ada?q=tool"] {
        browser.go(page).await.is(200);
        assert_eq!(browser.attrs("#top-q", "value"), [""], "{page}");
    }
}

#[tokio::test]
async fn the_home_page_leads_to_all_of_ones_packages() {
    let site = Site::new();
    for number in 0..62 {
        site.ci().publish(&path(&["ada", &format!("tool-{number}"), "1", "f"]), "x").await;
    }
    let mut browser = site.browser_of("ada").await;
    browser.go("/").await.is(200);
    let mut seen = Vec::new();
    loop {
        seen.extend(browser.all(".packages tbody th a:not(.quiet)"));
        let Some(next) = browser.attrs(".pager a[rel=next]", "href").pop() else { break };
        browser.go(&next).await.is(200);
        assert_eq!(browser.attrs(".pager a:not([rel=next])", "href"), ["/"]);
    }
    let all: Vec<_> = (0..62).rev().map(|number| format!("tool-{number}")).collect();
    assert_eq!(seen, all);
    browser.go("/?page=9").await.is(200);
    assert!(browser.one(".empty").contains("This page is empty"));
}

#[tokio::test]
async fn explore_lists_only_owners_that_the_reader_may_see() {
    let site = Site::new();
    site.db(|conn| {
        db_org(conn, "acme", Visibility::Limited)?;
        db_org(conn, "secret", Visibility::Private)?;
        db_user(conn, "waiting", Visibility::Public, false)
    });
    site.db_execute("UPDATE users SET is_active = false WHERE lower_email LIKE 'waiting@%'");
    site.db_execute("UPDATE owners SET full_name = 'Countess' WHERE name = 'ada'");
    site.admin().publish(&path(&["ada", "tool", "1", "f"]), "x").await;
    let names = |browser: &Browser| browser.all(".owner-card .name");
    let mut anonymous = site.browser();
    anonymous.go("/explore/owners?kind=organization").await.is(200);
    assert!(anonymous.one(".empty").contains("No users or organizations found"));
    anonymous.go("/explore/owners?q=COUNT").await.is(200);
    assert_eq!(names(&anonymous), ["ada"]);
    assert!(anonymous.one(".owner-card").contains("1 package "), "{}", anonymous.one(".owner-card"));
    anonymous.go("/explore/owners").await.is(200);
    assert!(!names(&anonymous).contains(&"waiting".to_owned()));
    let mut stranger = site.browser_of("stranger").await;
    stranger.go("/explore/owners?kind=organization").await.is(200);
    assert_eq!(names(&stranger), ["acme"]);
    assert!(stranger.one(".owner-card").contains("Limited"));
    let mut ada = site.browser_of("ada").await;
    ada.go("/explore/owners?kind=organization&sort=newest").await.is(200);
    assert_eq!(names(&ada), ["secret", "acme"]);
    ada.go("/").await.is(200);
    assert_eq!(ada.all(".own .name"), ["ada", "acme", "secret"]);
    assert_eq!(ada.attrs(".own .btn", "href"), ["/ada/-/upload", "/acme/-/upload", "/secret/-/upload"]);
    let mut reader = site.browser_of("acme-read").await;
    reader.go("/").await.is(200);
    assert_eq!(reader.attrs(".own .btn", "href"), ["/acme-read/-/upload"], "who may only read uploads nothing");
    for query in ["?q=%00", "?q=%25", "?kind=nonsense&sort=nonsense", "?page=99"] {
        anonymous.go(&format!("/explore/owners{query}")).await.is(200);
    }
}

#[tokio::test]
async fn nothing_is_shown_before_signing_in_where_it_is_required() {
    let site = Site::with(&[("PACKHOUSE_REQUIRE_SIGNIN", "true")]);
    site.ci().publish(&path(&["ada", "tool", "1.0", "f"]), "x").await;
    let mut anonymous = site.browser();
    for page in ["/", "/explore/owners", "/explore/packages", "/ada", "/ada/-/packages/generic/tool/1.0"] {
        let location = anonymous.go(page).await.is(303).answer.header("location").unwrap().to_owned();
        assert!(location.starts_with("/login"), "{page}: {location}");
    }
}
