//! Drafts: absent for everyone who may not publish them, whole as soon as they are published.

use crate::support::client::{Answer, Client};
use crate::support::people::{db_org, db_user};
use crate::support::{Plan, Site, path, sha256};
use packhouse::domain::role::Visibility;
use serde_json::{Value, json};
use std::time::Duration;

/// A server that works on several requests at once.
fn busy() -> Site {
    let settings = &[("PACKHOUSE_WORKERS", "4"), ("PACKHOUSE_DATABASE_WRITE_CONNECTIONS", "12")];
    Site::start(Plan { settings, real_time: true, ..Plan::default() })
}

fn draft(parts: &[&str]) -> String {
    format!("{}?draft=true", path(parts))
}

fn publish(package: &str, version: &str) -> String {
    format!("/api/v1/packages/ada/generic/{package}/{version}/publish")
}

/// A file of a draft, the only version of its package, beside a package that everybody sees.
async fn with_draft(site: &Site) {
    site.ci().publish(&path(&["ada", "tool", "1.0", "public.txt"]), "public").await;
    site.pass(Duration::from_secs(1));
    site.ci().publish(&draft(&["ada", "tool", "2.0", "secretfile.txt"]), "draft").await;
    site.ci().publish(&draft(&["ada", "hiddenpackage", "1.0", "secretfile.txt"]), "draft").await;
}

/// Every address at which a draft could show, with the names of things that do not exist in its place.
fn places() -> Vec<(String, String)> {
    let both = |of: &dyn Fn(&str, &str, &str) -> String| {
        (of("tool", "2.0", "secretfile.txt"), of("tool", "9.9", "missingfile.txt"))
    };
    let package = |of: &dyn Fn(&str) -> String| (of("hiddenpackage"), of("missingpackage"));
    vec![
        both(&|name, version, file| path(&["ada", name, version, file])),
        both(&|name, version, file| path(&["ada", name, version, &format!("{file}.sha256")])),
        both(&|name, version, _| path(&["ada", name, version, "SHA256SUMS"])),
        both(&|name, version, _| path(&["ada", name, version])),
        both(&|name, version, _| format!("/api/v1/packages/ada/generic/{name}/{version}")),
        both(&|name, version, _| format!("/api/v1/packages/ada/generic/{name}/{version}/files")),
        package(&|name| path(&["ada", name])),
        package(&|name| path(&["ada", name, "latest"])),
        package(&|name| path(&["ada", name, "latest", "secretfile.txt"])),
        package(&|name| format!("/api/v1/packages/ada/generic/{name}")),
        package(&|name| format!("/api/v1/packages/ada/generic/{name}/-/latest")),
        package(&|name| format!("/api/v1/packages/ada/generic/{name}/-/latest?stable=false")),
        package(&|name| format!("/api/v1/packages/ada/generic/{name}/-/settings")),
        package(&|name| format!("/api/v1/packages/ada?q={name}")),
        package(&|name| format!("/api/v1/packages/search?q={name}")),
        ("/api/v1/packages/search?q=secretfile".to_owned(), "/api/v1/packages/search?q=missingfile".to_owned()),
        (
            format!("/api/v1/packages/search?sha256={}", sha256("draft")),
            format!("/api/v1/packages/search?sha256={}", sha256("missing")),
        ),
    ]
}

/// What a reader gets, without what differs because the addresses do.
fn looks(answer: &Answer) -> (u16, String, String) {
    let (status, head, body) = answer.looks();
    (status, head.replace("missingpackage", "hiddenpackage"), body)
}

#[tokio::test]
async fn a_draft_looks_like_nothing_to_readers_and_strangers() {
    let site = Site::new();
    with_draft(&site).await;
    for (who, reader) in [("anonymous", site.anon()), ("stranger", site.stranger()), ("reader", site.reader())] {
        for (there, nowhere) in places() {
            let (there_answer, absent) = (reader.get(&there).await, reader.get(&nowhere).await);
            assert_eq!(looks(&there_answer), looks(&absent), "{who} at {there}");
        }
    }
}

/// Everything that a list, a count or a search of this reader contains.
async fn everything(reader: &Client) -> String {
    let mut all = String::new();
    for place in [
        path(&["ada"]),
        path(&["ada", "tool"]),
        "/api/v1/packages/ada".to_owned(),
        "/api/v1/packages/ada/generic/tool".to_owned(),
        "/api/v1/packages/ada/generic/tool/-/latest".to_owned(),
        "/api/v1/packages/search".to_owned(),
        "/api/v1/packages/search?sort=name&q=to".to_owned(),
    ] {
        for request in [reader.get(&place), reader.get(&place).json()] {
            let answer = request.await.is(200);
            all.push_str(&format!("{place} {:?} {}\n", answer.header("x-total-count"), answer.text()));
        }
    }
    all
}

#[tokio::test]
async fn drafts_are_in_no_list_count_search_or_latest() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1.0", "public.txt"]), "public").await;
    let before = [everything(&site.anon()).await, everything(&site.stranger()).await, everything(&site.reader()).await];
    site.pass(Duration::from_secs(1));
    site.ci().publish(&draft(&["ada", "tool", "2.0", "secretfile.txt"]), "draft").await;
    site.ci().publish(&draft(&["ada", "hiddenpackage", "1.0", "secretfile.txt"]), "draft").await;
    let after = [everything(&site.anon()).await, everything(&site.stranger()).await, everything(&site.reader()).await];
    // The answers have relative times nowhere, so they must be the same byte for byte.
    assert_eq!(before, after);
    let publisher = everything(&site.ci()).await;
    assert!(publisher.contains("hiddenpackage") && publisher.contains("\"state\":\"draft\""), "{publisher}");
    assert_eq!(site.ci().get(&path(&["ada", "tool", "2.0", "secretfile.txt"])).await.is(200).text(), "draft");
    let latest = site.ci().get("/api/v1/packages/ada/generic/tool/-/latest").await.is(200).json();
    assert_eq!(latest["version"], "1.0", "for its publishers a draft is not the latest either");
}

#[tokio::test]
async fn pages_show_drafts_to_publishers_alone() {
    let site = Site::new();
    with_draft(&site).await;
    let pages = [
        ("/ada", "hiddenpackage"),
        ("/ada?q=hidden", "hiddenpackage"),
        ("/ada?sort=name", "hiddenpackage"),
        ("/ada?sort=size", "hiddenpackage"),
        ("/explore/packages", "hiddenpackage"),
        ("/explore/packages?q=secretfile", "secretfile.txt"),
        ("/explore/packages?q=hiddenpackage", "hiddenpackage/1.0"),
        ("/ada/-/packages/generic/tool/versions", "2.0"),
        ("/ada/-/packages/generic/tool/1.0", "2.0"),
    ];
    let (mut owner, mut stranger) = (site.browser_of("ada").await, site.browser_of("stranger").await);
    let mut anon = site.browser();
    for (page, trace) in pages {
        owner.go(page).await.is(200);
        assert!(owner.text().contains(trace), "the publisher sees {trace} at {page}");
        for (who, reader) in [("a stranger", &mut stranger), ("a visitor", &mut anon)] {
            reader.go(page).await.is(200);
            let seen = reader.all("main table").iter().any(|table| table.contains(trace));
            assert!(!seen && !reader.all("aside").join(" ").contains(trace), "{who} sees {trace} at {page}");
        }
    }
    for page in ["/ada/-/packages/generic/tool/2.0", "/ada/-/packages/generic/hiddenpackage"] {
        stranger.go(page).await.is(404);
        anon.go(page).await.is(404);
    }
    anon.go("/explore/owners").await.is(200);
    assert!(!anon.all("main").join(" ").contains("2 packages"), "the hidden package is not counted");
    owner.go("/explore/owners").await.is(200);
    assert!(owner.all("main").join(" ").contains("2 packages"), "its owner counts it");
    owner.go("/ada/-/packages/generic/hiddenpackage").await.is(303);
}

#[tokio::test]
async fn organization_readers_see_no_drafts_and_writers_do() {
    let site = Site::new();
    site.db(|conn| {
        db_user(conn, "member", Visibility::Public, false)?;
        db_org(conn, "acme", Visibility::Private)?;
        Ok(())
    });
    let admin = site.admin();
    let team = admin.post("/api/v1/orgs/acme/teams", &json!({"name": "readers", "permission": "read"})).await.is(201);
    let team = team.json()["id"].to_string();
    admin.put(&format!("/api/v1/teams/{team}/members/member"), "").await.is(204);
    admin.publish(&draft(&["acme", "tool", "1.0", "f"]), "draft").await;
    let file = path(&["acme", "tool", "1.0", "f"]);
    site.user("member").get(&file).await.is(404);
    admin.patch(&format!("/api/v1/teams/{team}"), &json!({"permission": "write"})).await.is(200);
    site.user("member").get(&file).await.is(200);
    let token = site.db_token("member", &["read:package"]);
    site.anon().bearer(&token).get(&file).await.is(404);
}

#[tokio::test]
async fn publishing_shows_all_files_at_once_and_dates_the_version() {
    let site = Site::new();
    site.ci().publish(&draft(&["ada", "tool", "1.0", "a"]), "a").await;
    site.ci().publish(&path(&["ada", "tool", "1.0", "b"]), "b").await;
    let json = site.ci().get("/api/v1/packages/ada/generic/tool/1.0").await.is(200).json();
    assert_eq!((&json["state"], &json["published_at"]), (&json!("draft"), &Value::Null), "a draft stays a draft");
    site.anon().get(&path(&["ada", "tool", "1.0", "b"])).await.is(404);
    site.pass(Duration::from_secs(86_400));
    let published = site.ci().post(&publish("tool", "1.0"), &json!({})).await.is(200).json();
    assert_eq!(published["state"], "published");
    assert_eq!(published["published_at"], json!(site.now().to_string()));
    assert_eq!(published["created_at"], published["published_at"], "readers see it from now on");
    assert_eq!(site.anon().get(&path(&["ada", "tool", "1.0"])).await.is(200).text(), "a\nb\n");
    // Repeated, it changes nothing and leaves no record.
    let again = site.ci().request("POST", &publish("tool", "1.0")).await.is(200).json();
    assert_eq!(again["published_at"], published["published_at"]);
    let events: Vec<String> = site.db_audit().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(events, ["file.publish", "file.publish", "version.publish"]);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn drafts_count_toward_the_quota() {
    let site = Site::new();
    site.admin().patch("/api/v1/users/ada/quota", &json!({"bytes": 10})).await.is(200);
    site.ci().publish(&draft(&["ada", "tool", "1.0", "a"]), "12345678").await;
    site.ci().put(&draft(&["ada", "tool", "1.0", "b"]), "12345678").await.is(403).says("8 are used");
}

#[tokio::test]
async fn a_file_cannot_be_added_to_a_published_version_as_a_draft() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1.0", "a"]), "a").await;
    site.ci().put(&draft(&["ada", "tool", "1.0", "b"]), "b").await.is(409).says("leave out draft=true");
    site.ci().put(&format!("{}?draft=maybe", path(&["ada", "tool", "2.0", "b"])), "b").await.is(400).says("draft");
    site.anon().put(&format!("{}?draft=maybe", path(&["ada", "tool", "2.0", "b"])), "b").await.is(401);
}

#[tokio::test]
async fn a_draft_with_other_files_than_expected_is_not_published() {
    let site = Site::new();
    for name in ["same", "Different", "extra"] {
        site.ci().publish(&draft(&["ada", "tool", "1.0", name]), name.to_owned()).await;
    }
    let files = json!({"same": sha256("same"), "different": sha256("other"), "missing": sha256("missing")});
    let refused = site.ci().post(&publish("tool", "1.0"), &json!({"files": files})).await.is(409);
    refused.says("missing missing; extra extra; different Different");
    site.ci().post(&publish("tool", "1.0"), &json!({"files": {"same": "abc"}})).await.is(422).says("files.same");
    site.anon().get(&path(&["ada", "tool", "1.0", "same"])).await.is(404);
    let files = json!({"same": sha256("same"), "different": sha256("Different"), "extra": sha256("extra")});
    site.ci().post(&publish("tool", "1.0"), &json!({"files": files})).await.is(200);
    site.anon().get(&path(&["ada", "tool", "1.0", "same"])).await.is(200);
}

#[tokio::test]
async fn a_file_uploaded_while_its_draft_is_published_is_expected_or_refused() {
    let site = busy();
    for turn in 0..12 {
        let version = format!("{turn}.0");
        site.ci().publish(&draft(&["ada", "tool", &version, "first"]), "first").await;
        let expected = json!({"files": {"first": sha256("first")}});
        let (address, late) = (publish("tool", &version), draft(&["ada", "tool", &version, "late"]));
        let (ci, other) = (site.ci(), site.ci());
        let (published, uploaded) =
            tokio::join!(async { ci.post(&address, &expected).await }, async { other.put(&late, "late").await });
        match (published.status, uploaded.status) {
            // The upload came later and found that the version is no draft any more.
            (200, 409) => {}
            // It was there first.
            (409, 201) => {}
            other => panic!("{other:?}: {} {}", published.text(), uploaded.text()),
        }
        let listed = site.anon().get(&path(&["ada", "tool", &version])).await;
        match published.status {
            200 => assert_eq!(listed.is(200).text(), "first\n"),
            _ => drop(listed.is(404)),
        }
    }
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_draft_of_a_public_owner_is_for_no_cache_and_no_other_site() {
    let site = Site::new();
    with_draft(&site).await;
    for address in [
        path(&["ada", "tool", "2.0", "secretfile.txt"]),
        "/api/v1/packages/ada/generic/tool/2.0/archive.tar".to_owned(),
    ] {
        let answer = site.ci().get(&address).await.is(200);
        assert!(answer.header("cache-control").unwrap().starts_with("private,"), "{address}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{address}");
    }
}

#[tokio::test]
async fn a_published_draft_takes_further_files_with_the_same_expiry() {
    let site = Site::new();
    let file = |name: &str| format!("{}?expires_in=P7D", path(&["ada", "tool", "1.0", name]));
    site.ci().publish(&format!("{}&draft=true", file("a")), "a").await;
    site.pass(Duration::from_secs(3600));
    site.ci().post(&publish("tool", "1.0"), &json!({})).await.is(200);
    site.ci().put(&file("b"), "b").await.is(201);
    let other = file("c").replace("P7D", "P8D");
    site.ci().put(&other, "c").await.is(409).says("expires at 2026-01-09T03:04:05Z");
}

#[tokio::test]
async fn a_wish_for_a_draft_that_is_unclear_publishes_nothing() {
    let site = Site::new();
    let file = path(&["ada", "tool", "1.0", "f"]);
    for query in ["draft", "draft=", "draft=1", "draft=TRUE", "draft=false&draft=true", "draft=true&draft=false"] {
        site.ci().put(&format!("{file}?{query}"), "x").await.is(400).says("draft");
    }
    site.ci().get(&file).await.is(404);
    site.ci().put(&format!("{file}?draft=%74rue&draft=true"), "x").await.is(201);
    site.anon().get(&file).await.is(404);
}
