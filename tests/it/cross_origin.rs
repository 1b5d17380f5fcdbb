//! Cross-origin reads (CORS): which answers scripts of other sites may read, and preflights.

use crate::support::people::{db_org, db_user};
use crate::support::wire::ask;
use crate::support::{Answer, Request, Site, path};
use packhouse::domain::role::Visibility;
use serde_json::json;

const ORIGIN: (&str, &str) = ("Origin", "https://flash.example.org");

fn file(owner: &str) -> String {
    path(&[owner, "firmware", "1.0", "esp32.bin"])
}

/// A server with the same file of a public, a limited and a private owner.
async fn settle(settings: &[(&str, &str)]) -> Site {
    let site = Site::with(settings);
    site.db(|conn| {
        db_user(conn, "limited", Visibility::Limited, false)?;
        db_org(conn, "hidden", Visibility::Private)
    });
    for owner in ["ada", "limited", "hidden"] {
        site.admin().publish(&file(owner), "0123456789").await;
    }
    site
}

fn allows(answer: &Answer) -> bool {
    let any = answer.headers.keys().any(|name| name.as_str().starts_with("access-control-"));
    let origin = answer.header("access-control-allow-origin");
    assert_eq!(any, origin.is_some(), "{:?}", answer.headers);
    assert!(origin.is_none_or(|origin| origin == "*"), "{origin:?}");
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    any
}

fn with(request: Request, fields: &[(&str, &str)]) -> Request {
    fields.iter().fold(request, |request, (name, value)| request.header(name, value))
}

#[tokio::test]
async fn scripts_of_other_sites_may_read_what_anonymous_readers_may_see() {
    let site = settle(&[]).await;
    let page = site.browser_page_link("ada").await;
    for address in [file("ada"), page] {
        for (method, fields, status) in [
            ("GET", &[][..], 200),
            ("GET", &[ORIGIN], 200),
            ("HEAD", &[ORIGIN], 200),
            ("GET", &[ORIGIN, ("Range", "bytes=2-3")], 206),
            ("GET", &[ORIGIN, ("Range", "bytes=0-0,2-3")], 206),
            ("GET", &[ORIGIN, ("If-None-Match", "*")], 304),
            ("GET", &[ORIGIN, ("If-Match", "\"x\"")], 412),
            ("GET", &[ORIGIN, ("Range", "bytes=99-")], 416),
            ("GET", &[ORIGIN, ("Range", "bytes=99-"), ("Accept", "application/json")], 416),
        ] {
            let answer = with(site.anon().request(method, &address), fields).await.is(status);
            assert!(allows(&answer), "{method} {address} {fields:?}");
            let exposed = answer.header("access-control-expose-headers").unwrap();
            for name in ["ETag", "Content-Range", "Content-Length", "Repr-Digest", "X-Checksum-Sha256"] {
                assert!(exposed.split(", ").any(|it| it == name), "{name}");
            }
        }
    }
    for (name, status) in [("esp32.bin.sha256", 200), ("esp32.bin.md5", 200), ("SHA256SUMS", 200)] {
        assert!(allows(&site.anon().get(&path(&["ada", "firmware", "1.0", name])).await.is(status)), "{name}");
    }
    let latest = site.anon().get(&path(&["ada", "firmware", "latest", "esp32.bin"])).await.is(302);
    assert!(allows(&latest), "a script follows redirects that it may read");
}

#[tokio::test]
async fn scripts_of_other_sites_may_follow_a_redirect_to_an_owners_new_name() {
    let site = settle(&[]).await;
    let page = site.browser_page_link("ada").await;
    site.admin().post("/api/v1/admin/users/ada/rename", &json!({"new_username": "grace"})).await.is(204);
    for (address, status) in [(file("ada"), 307), (page, 303)] {
        let answer = with(site.anon().get(&address), &[ORIGIN]).await.is(status);
        assert!(allows(&answer), "{address}");
        let target = answer.header("location").unwrap().to_owned();
        assert!(allows(&site.anon().get(&target).await.is(200)), "{target}");
        let answer = with(site.admin().get(&address), &[ORIGIN]).await.is(status);
        assert!(!allows(&answer), "{address}: this answer depends on who asks");
    }
    let closed = settle(&[("PACKHOUSE_REQUIRE_SIGNIN", "true")]).await;
    closed.admin().post("/api/v1/admin/users/ada/rename", &json!({"new_username": "grace"})).await.is(204);
    assert!(!allows(&with(closed.anon().get(&file("ada")), &[ORIGIN]).await.is(401)));
}

#[tokio::test]
async fn nothing_else_can_be_read_by_scripts_of_other_sites() {
    let site = settle(&[]).await;
    let admin = site.admin();
    for owner in ["limited", "hidden"] {
        for name in ["esp32.bin", "esp32.bin.sha256", "SHA256SUMS"] {
            for version in ["1.0", "latest"] {
                let answer = with(admin.get(&path(&[owner, "firmware", version, name])), &[ORIGIN]).await;
                assert!([200, 302].contains(&answer.status) && !allows(&answer), "{owner} {version} {name}");
                let answer = with(site.anon().get(&path(&[owner, "firmware", version, name])), &[ORIGIN]).await;
                assert!(!allows(&answer.is(401)));
            }
        }
        let page = site.browser_page_link(owner).await;
        assert!(!allows(&with(admin.get(&page), &[ORIGIN]).await.is(200)), "{page}");
    }
    for address in [
        &path(&["ada", "firmware", "1.0"]),
        &path(&["ada", "firmware"]),
        &path(&["ada", "firmware", "1.0", "absent"]),
        "/api/v1/packages/ada",
        "/api/v1/version",
        "/api/openapi.json",
        "/ada",
        "/login",
        "/livez",
        "/robots.txt",
        "/nothing/there",
    ] {
        assert!(!allows(&with(site.anon().get(address), &[ORIGIN]).await), "{address}");
        for method in ["GET", "PUT"] {
            let asked = [ORIGIN, ("Access-Control-Request-Method", method)];
            let preflight = with(site.anon().request("OPTIONS", address), &asked).await;
            // A file that does not exist is asked for like one that does.
            let of_a_file = address.ends_with("/absent") && method == "GET";
            assert_eq!(allows(&preflight), of_a_file, "{method} {address}");
        }
    }
    let closed = settle(&[("PACKHOUSE_REQUIRE_SIGNIN", "true")]).await;
    assert!(!allows(&with(closed.admin().get(&file("ada")), &[ORIGIN]).await.is(200)));
}

#[tokio::test]
async fn a_preflight_allows_ranges_and_conditions_and_tells_nothing_about_the_file() {
    let site = settle(&[]).await;
    let asked =
        [ORIGIN, ("Access-Control-Request-Method", "GET"), ("Access-Control-Request-Headers", "if-none-match,range")];
    let known = ask(site.address, "OPTIONS", file("ada"), &asked).await.is(204);
    insta::assert_snapshot!(known.shown(), @r"
    204
    access-control-allow-headers: Range, If-Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, Accept, Cache-Control, Pragma, Want-Digest, Want-Repr-Digest
    access-control-allow-methods: GET, HEAD
    access-control-allow-origin: *
    access-control-max-age: 86400
    ");
    let absent = path(&["ada", "firmware", "1.0", "absent"]);
    for other in [file("hidden"), file("limited"), file("nobody"), absent, file("a--b")] {
        assert_eq!(ask(site.address, "OPTIONS", &other, &asked).await.looks(), known.looks(), "{other}");
    }
    let page = site.browser_page_link("hidden").await;
    assert_eq!(ask(site.address, "OPTIONS", &page, &asked).await.looks(), known.looks());
    let gone = page.replace("/hidden/", "/nobody/");
    assert_eq!(ask(site.address, "OPTIONS", &gone, &asked).await.looks(), known.looks());
    // Any other OPTIONS is a method that this address does not have, for every file alike.
    for fields in [&[][..], &[ORIGIN], &[ORIGIN, ("Access-Control-Request-Method", "PUT")], &asked[1..]] {
        for owner in ["ada", "hidden", "nobody"] {
            let answer = ask(site.address, "OPTIONS", file(owner), fields).await.is(405);
            assert!(!allows(&answer), "{owner} {fields:?}");
        }
    }
}

impl Site {
    /// The link on the page of an owner's version.
    async fn browser_page_link(&self, owner: &str) -> String {
        let mut browser = self.browser_of("admin").await;
        browser.go(&format!("/{owner}/-/packages/generic/firmware/1.0")).await.is(200);
        browser.attrs(".files th.name > a:not(.more)", "href").remove(0)
    }
}
