//! Atom feeds of published versions, and the tokens for them.

use crate::support::people::db_user;
use crate::support::{Site, path};
use packhouse::domain::role::Visibility;
use scraper::{Html, Selector};
use serde_json::json;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

const OWNER: &str = "/ada/-/packages.atom";
const PACKAGE: &str = "/ada/-/packages/generic/tool/versions.atom";

async fn publish(site: &Site, owner: &str, package: &str, version: &str) {
    site.pass(Duration::from_secs(60));
    let client = if owner == "ada" { site.ci() } else { site.anon().bearer(&site.db_token(owner, &["write:package"])) };
    client.publish(&path(&[owner, package, version, "f"]), version.to_owned()).await;
}

/// What an XML parser reads: the elements at this path, in Clark notation, one per line.
fn read(xml: &str, what: &str) -> Vec<String> {
    const READ: &str = "import sys, xml.etree.ElementTree as E\nr = E.fromstring(sys.stdin.buffer.read())\n\
                        a = '{http://www.w3.org/2005/Atom}'\nfor e in r.findall(sys.argv[1].replace('a:', a)):\n\
                        \x20print((e.get('href') or e.text or '').replace('\\n', ' '))";
    let mut python = Command::new("python3");
    let python = python.args(["-c", READ, what]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut python = python.spawn().unwrap();
    python.stdin.take().unwrap().write_all(xml.as_bytes()).unwrap();
    let done = python.wait_with_output().unwrap();
    assert!(done.status.success(), "{}\n{xml}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn feeds_list_published_versions_with_their_notes_newest_first() {
    let site = Site::new();
    for (package, version) in [("tool", "1.0"), ("other", "0.1"), ("tool", "1.1"), ("tool", "1.2-draft")] {
        publish(&site, "ada", package, version).await;
    }
    site.db_execute("UPDATE versions SET state = 0 WHERE version = '1.2-draft'");
    site.db_execute(
        "UPDATE versions SET notes = E'**New** <script>x</script>\\x01 & [a](javascript:x)' WHERE version = '1.1'",
    );
    let answer = site.anon().get(OWNER).await.is(200);
    assert_eq!(answer.header("content-type"), Some("application/atom+xml; charset=utf-8"));
    let xml = answer.text();
    assert_eq!(read(xml, "a:title"), ["Packages of ada"]);
    assert_eq!(read(xml, "a:entry/a:title"), ["tool 1.1", "other 0.1", "tool 1.0"]);
    assert_eq!(read(xml, "a:entry/a:author/a:name"), ["ada", "ada", "ada"]);
    let root = format!("http://{}", site.address);
    assert_eq!(read(xml, "a:link[@rel='self']"), [format!("{root}{OWNER}")]);
    assert_eq!(read(xml, "a:link[@rel='alternate']"), [format!("{root}/ada/-/packages")]);
    let pages = read(xml, "a:entry/a:link");
    assert_eq!(pages[0], format!("{root}/ada/-/packages/generic/tool/1.1"));
    assert_eq!(read(xml, "a:updated"), [&*read(xml, "a:entry/a:published")[0]]);
    let content = &read(xml, "a:entry/a:content")[0];
    assert!(content.contains("<strong>New</strong>") && !content.contains("script"), "{content}");
    let ids = read(xml, "a:entry/a:id");
    assert!(ids.iter().all(|id| id.starts_with("urn:uuid:")) && ids[0] != ids[1]);
    let package = site.anon().get(PACKAGE).await.is(200);
    assert_eq!(read(package.text(), "a:entry/a:title"), ["tool 1.1", "tool 1.0"]);
    assert_eq!(read(package.text(), "a:entry/a:id"), [&*ids[0], &*ids[2]], "the same entry in each feed");
    // A draft that is published now comes first, whenever it was created.
    site.db_execute(
        "UPDATE versions SET state = 1, published_at = created_at + interval '1 day' WHERE version = '1.0'",
    );
    let package = site.anon().get(PACKAGE).await.is(200);
    assert_eq!(read(package.text(), "a:entry/a:title"), ["tool 1.0", "tool 1.1"]);
    let found = site.anon().get("/explore/packages.atom?q=oth").await.is(200);
    assert_eq!(read(found.text(), "a:entry/a:title"), ["other 0.1"]);
    let all = site.anon().get("/explore/packages.atom").await.is(200);
    assert_eq!(read(all.text(), "a:entry/a:title").len(), 3);
    site.anon().get("/ada/-/packages/generic/nothing/versions.atom").await.is(404);
}

#[tokio::test]
async fn an_unchanged_feed_is_not_sent_again_and_the_feed_has_fifty_entries() {
    let site = Site::new();
    publish(&site, "ada", "tool", "1.0").await;
    let first = site.anon().get(OWNER).await.is(200);
    let etag = first.header("etag").unwrap().to_owned();
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    let same = site.anon().get(OWNER).header("if-none-match", &etag).await.is(304);
    assert!(same.body.is_empty());
    site.db_execute("UPDATE versions SET notes = 'new'");
    let other = site.anon().get(OWNER).header("if-none-match", &etag).await.is(200);
    assert_ne!(other.header("etag"), Some(&*etag));
    site.db_execute(
        "INSERT INTO versions (package_id, owner_id, version, lower_version, created_at) SELECT package_id, owner_id, \
         '2.' || n, '2.' || n, created_at + n * interval '1 second' FROM versions, generate_series(1, 70) AS n",
    );
    let many = site.anon().get(PACKAGE).await.is(200);
    let titles = read(many.text(), "a:entry/a:title");
    assert_eq!((titles.len(), &*titles[0]), (50, "tool 2.70"));
    let empty = Site::new();
    let empty = empty.anon().get(OWNER).await.is(200);
    assert_eq!(read(empty.text(), "a:updated"), ["1970-01-01T00:00:00Z"]);
}

#[tokio::test]
async fn private_feeds_look_absent_and_open_with_a_feed_token() {
    let site = Site::new();
    site.db(|conn| db_user(conn, "hidden", Visibility::Private, false));
    publish(&site, "hidden", "tool", "1.0").await;
    let feeds =
        |owner: &str| [format!("/{owner}/-/packages.atom"), format!("/{owner}/-/packages/generic/tool/versions.atom")];
    for (hidden, absent) in feeds("hidden").into_iter().zip(feeds("absent")) {
        for client in [site.anon(), site.stranger()] {
            assert_eq!(client.get(&hidden).await.looks(), client.get(&absent).await.looks());
        }
    }
    let body = json!({"name": "reader", "scopes": ["read:package"], "feeds_only": true});
    let made = site.user("hidden").post("/api/v1/users/hidden/tokens", &body).await.is(201).json();
    assert_eq!(made["feeds_only"], true);
    let secret = made["sha1"].as_str().unwrap();
    for feed in feeds("hidden") {
        let answer = site.anon().get(&format!("{feed}?feed_token={secret}")).await.is(200);
        assert_eq!(read(answer.text(), "a:entry/a:title"), ["tool 1.0"]);
        assert!(!answer.text().contains(secret), "the feed does not repeat the token");
    }
    let all = site.anon().get(&format!("/explore/packages.atom?feed_token={secret}&q=tool")).await.is(200);
    assert_eq!(read(all.text(), "a:entry/a:title"), ["tool 1.0"]);
    assert_eq!(read(site.anon().get("/explore/packages.atom").await.is(200).text(), "a:entry/a:title").len(), 0);
    assert!(!crate::support::log::captured().contains(secret), "no log has the token");
    let mut browser = site.browser_of("hidden").await;
    browser.go(&feeds("hidden")[0]).await.is(200);
    site.user("hidden").delete("/api/v1/users/hidden/tokens/reader").await.is(204);
    site.anon().get(&format!("{}?feed_token={secret}", feeds("hidden")[0])).await.is(401);
}

#[tokio::test]
async fn a_feed_token_works_nowhere_else_and_no_other_token_opens_a_feed_by_its_address() {
    let site = Site::new();
    publish(&site, "ada", "tool", "1.0").await;
    let tokens = "/api/v1/users/ada/tokens";
    let body = |name: &str, scope: &str| json!({"name": name, "scopes": [scope], "feeds_only": true});
    site.ada().post(tokens, &body("wrong", "write:package")).await.is(400).says("read:package and no other");
    let made = site.ada().post(tokens, &body("feeds", "read:package")).await.is(201).json();
    let secret = made["sha1"].as_str().unwrap();
    let file = path(&["ada", "tool", "1.0", "f"]);
    for client in [site.anon().bearer(secret), site.anon().basic("ada", secret), site.anon().basic(secret, "")] {
        client.get(&file).await.is(401).says("only for feeds");
        client.get("/api/v1/packages/ada").await.is(401);
        client.get("/api/v1/token").await.is(401);
        client.get(OWNER).await.is(401);
    }
    // Elsewhere the parameter means nothing.
    site.anon().get(&format!("/api/v1/user?feed_token={secret}")).await.is(401);
    let ordinary = site.db_token("ada", &["read:package"]);
    site.anon().get(&format!("{OWNER}?feed_token={ordinary}")).await.is(401).says("created only for feeds");
    site.anon().get(&format!("{OWNER}?feed_token=nonsense")).await.is(401);
    site.anon().bearer(&ordinary).get(OWNER).await.is(200);
    let strict = Site::with(&[("PACKHOUSE_AUTH_QUERY_TOKENS", "true")]);
    let ordinary = strict.db_token("ada", &["all"]);
    strict.anon().get(&format!("{OWNER}?feed_token={ordinary}")).await.is(401);
}

#[tokio::test]
async fn limits_of_a_feed_token_hold_for_feeds() {
    let site = Site::new();
    publish(&site, "ada", "tool", "1.0").await;
    publish(&site, "ada", "secret", "1.0").await;
    let body = json!({"name": "t", "scopes": ["read:package"], "feeds_only": true, "packages": ["tool*"]});
    let made = site.ada().post("/api/v1/users/ada/tokens", &body).await.is(201).json();
    let secret = made["sha1"].as_str().unwrap();
    let feed = site.anon().get(&format!("{OWNER}?feed_token={secret}")).await.is(200);
    assert_eq!(read(feed.text(), "a:entry/a:title"), ["tool 1.0"]);
    let other = format!("/ada/-/packages/generic/secret/versions.atom?feed_token={secret}");
    site.anon().get(&other).await.is(403);
}

#[tokio::test]
async fn pages_name_their_feeds_and_a_token_for_them_is_made_in_the_browser() {
    let site = Site::new();
    publish(&site, "ada", "tool", "versions.atom").await;
    publish(&site, "ada", "tool", "1.0").await;
    let mut browser = site.browser_of("ada").await;
    for (page, feed) in [
        ("/ada", OWNER),
        ("/ada/-/packages/generic/tool/1.0", PACKAGE),
        ("/ada/-/packages/generic/tool/versions", PACKAGE),
        ("/explore/packages", "/explore/packages.atom"),
        ("/explore/packages?q=to+o", "/explore/packages.atom?q=to%20o"),
    ] {
        browser.go(page).await.is(200);
        let html = Html::parse_document(&browser.text());
        let link = Selector::parse("head link[rel=alternate][type='application/atom+xml']").unwrap();
        let href = html.select(&link).next().and_then(|link| link.attr("href"));
        assert_eq!(href, Some(feed), "{page}");
        browser.go(feed).await.is(200);
    }
    // A version may be named like the feed.
    browser.go("/ada/-/packages/generic/tool/versions.atom?itself=1").await.is(200);
    assert_eq!(browser.one("h1"), "tool versions.atom");
    browser.go("/user/settings/tokens/new").await.is(200);
    let values = [("name", "feed reader"), ("preset", "feeds"), ("current_password", crate::support::PASSWORD)];
    browser.submit("form.token-form", &values).await.is(200);
    assert!(browser.text().contains("?feed_token=$TOKEN"));
    assert_eq!(site.db_number("SELECT count(*) AS n FROM tokens WHERE feeds_only"), 1);
}

#[tokio::test]
async fn a_feed_is_well_formed_whatever_characters_people_use() {
    let site = Site::new();
    for (version, notes) in [("1\u{ffff}", "plain"), ("2\u{fdd0}\u{10fffe}", "\u{fffe}&<![CDATA[ \u{ffff}")] {
        publish(&site, "ada", "tool", version).await;
        let address = format!("/api/v1{}", path(&["ada", "tool", version]).strip_prefix("/api").unwrap());
        let edit = serde_json::json!({"notes": notes});
        site.ci().patch(&address, &edit).await.is(200);
    }
    for feed in [OWNER, "/explore/packages.atom", "/explore/packages.atom?q=tool%EF%BF%BF"] {
        let xml = site.anon().get(feed).await.is(200);
        let titles = read(xml.text(), "a:entry/a:title");
        assert!(feed.contains('?') || titles == ["tool 2\u{fffd}\u{fffd}", "tool 1\u{fffd}"], "{feed} {titles:?}");
    }
}
