//! Looking around in a browser: owners, their packages, versions and files.

use crate::support::Site;
use crate::support::people::db_org;
use packhouse::domain::role::Visibility;

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
        ("ada", &["Packages", "Trash", "Teams", "Members", "Webhooks", "Retention", "Settings"], true),
    ] {
        let mut member = site.browser_of(name).await;
        member.go("/acme").await.is(200);
        assert_eq!(member.all(tabs), seen, "{name}");
        assert_eq!(!member.all(upload).is_empty(), may_upload, "{name}");
        assert_eq!(member.one(".tabs [aria-current=page]"), "Packages");
    }
    let mut ada = site.browser_of("ada").await;
    ada.go("/ada").await.is(200);
    assert_eq!(ada.all(tabs), ["Packages", "Trash", "Settings"]);
    assert_eq!(ada.attrs(tabs, "href"), ["/ada", "/ada/-/trash", "/user/settings"]);
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
