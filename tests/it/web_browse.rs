//! Looking around in a browser: owners, their packages, versions and files.

use crate::support::people::db_org;
use crate::support::{Site, path};
use packhouse::domain::role::Visibility;

#[tokio::test]
async fn public_pages_describe_themselves_with_one_address_and_their_feed() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://packages.example.org")]);
    site.ci().publish(&path(&["ada", "tool", "1.0", "f"]), "x").await;
    let mut browser = site.browser();
    for (at, own, title, feed) in [
        ("/", "/", "Packhouse", "/explore/packages.atom"),
        ("/explore/packages?sort=name", "/explore/packages", "Packages", "/explore/packages.atom"),
        ("/explore/owners?kind=user", "/explore/owners", "Users and organizations", ""),
        ("/ada/-/packages?sort=name", "/ada", "ada", "/ada/-/packages.atom"),
        (
            "/ada/-/packages/generic/tool/versions?sort=oldest",
            "/ada/-/packages/generic/tool/versions",
            "Versions of ada/tool",
            "/ada/-/packages/generic/tool/versions.atom",
        ),
        (
            "/ada/-/packages/generic/tool/1.0?file=1",
            "/ada/-/packages/generic/tool/1.0",
            "tool 1.0",
            "/ada/-/packages/generic/tool/versions.atom",
        ),
        ("/docs/", "/docs/", "Manual", ""),
    ] {
        browser.go(at).await.is(200);
        let url = format!("https://packages.example.org{own}");
        assert_eq!(browser.attrs("link[rel=canonical]", "href"), [url.as_str()], "{at}");
        assert_eq!(browser.attrs("meta[property='og:url']", "content"), [url.as_str()], "{at}");
        assert_eq!(browser.attrs("meta[property='og:title']", "content"), [title], "{at}");
        let text = browser.attrs("meta[name=description]", "content");
        assert!(text[0].len() > 15 && text == browser.attrs("meta[property='og:description']", "content"), "{at}");
        assert_eq!(browser.attrs("link[type='application/atom+xml']", "href").pop().unwrap_or_default(), feed, "{at}");
    }
    browser.go("/explore/packages?q=tool").await.is(200);
    assert_eq!(browser.attrs("meta[name=robots]", "content"), ["noindex"]);
}

#[tokio::test]
async fn the_head_of_an_owner_says_who_it_is_and_what_who_looks_may_do() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Limited));
    site.db_execute(
        "UPDATE owners SET full_name = 'Acme & Sons', description = '<b>Anvils</b>', website = 'https://acme.example', \
         location = 'Graz' WHERE name = 'acme'",
    );
    let tabs = ".tabs a";
    let upload = "a[href='/acme/-/upload']";

    let mut anonymous = site.browser();
    assert_eq!(
        anonymous.go("/acme").await.is(303).answer.header("location"),
        Some("/login?redirect_to=%2Facme"),
        "who is not signed in may come back as somebody who sees it"
    );
    let mut stranger = site.browser_of("stranger").await;
    stranger.go("/ACME").await.is(200);
    assert_eq!(stranger.one("h1"), "acme Acme & Sons", "the name is shown as it was written first");
    assert_eq!(stranger.all(".owner-head .badge"), ["Organization", "Limited"]);
    assert_eq!(stranger.one(".owner-about"), "<b>Anvils</b>");
    assert_eq!(stranger.attrs(".owner-fact a", "href"), ["https://acme.example"]);
    assert_eq!(stranger.all(tabs), ["Packages"]);
    assert!(stranger.all(upload).is_empty());

    for (name, seen, may_upload) in [
        ("acme-read", &["Packages", "Teams", "Members"][..], false),
        ("acme-write", &["Packages", "Trash", "Teams", "Members"], true),
        (
            "ada",
            &["Packages", "Trash", "Teams", "Members", "Access", "Robots", "Webhooks", "Retention", "Settings"],
            true,
        ),
    ] {
        let mut member = site.browser_of(name).await;
        member.go("/acme").await.is(200);
        assert_eq!(member.all(tabs), seen, "{name}");
        assert_eq!(!member.all(upload).is_empty(), may_upload, "{name}");
        assert_eq!(member.one(".tabs [aria-current=page]"), "Packages");
    }
    let mut ada = site.browser_of("ada").await;
    ada.go("/ada").await.is(200);
    assert_eq!(ada.all(tabs), ["Packages", "Trash", "Access", "Settings"]);
    assert_eq!(ada.attrs(tabs, "href"), ["/ada", "/ada/-/trash", "/ada/-/access", "/user/settings"]);
    ada.go("/stranger").await.is(200);
    assert_eq!(ada.all(tabs), ["Packages"]);
}

#[tokio::test]
async fn a_private_owner_looks_like_one_that_is_not_there() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "secret", Visibility::Private));
    let mut stranger = site.browser_of("stranger").await;
    let mut pages = Vec::new();
    for path in ["/secret", "/nobody"] {
        stranger.go(path).await.is(404);
        let id = stranger.answer.request_id().to_owned();
        pages.push(stranger.text().replace(path, "").replace(&path.replace('/', "%2F"), "").replace(&id, ""));
    }
    assert_eq!(pages[0], pages[1]);
    let mut anonymous = site.browser();
    for path in ["/secret", "/nobody"] {
        let to = format!("/login?redirect_to=%2F{}", &path[1..]);
        assert_eq!(anonymous.go(path).await.is(303).answer.header("location"), Some(&*to));
    }
    for path in ["/robots..txt", "/-x", "/%FF", &*format!("/{}", "x".repeat(41))] {
        anonymous.go(path).await.is(404);
    }
}

#[tokio::test]
async fn an_owners_old_name_leads_to_the_new_one() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    let rename = serde_json::json!({"new_name": "apex"});
    site.admin().post("/api/v1/orgs/acme/rename", &rename).await.is(204);
    let mut anonymous = site.browser();
    assert_eq!(anonymous.go("/Acme?page=2").await.is(303).answer.header("location"), Some("/apex?page=2"));
}
