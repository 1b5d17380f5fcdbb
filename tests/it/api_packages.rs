//! Packages in the REST API: lists, versions, files, deleting.

use crate::support::people::{db_org, db_user};
use crate::support::{Answer, Site, path};
use packhouse::domain::role::Visibility;
use std::time::Duration;

const LIST: &str = "/api/v1/packages/ada";

fn of(rest: &str) -> String {
    format!("{LIST}/generic/{rest}")
}

/// Publishes a file of Ada's, one second after the previous one.
async fn publish(site: &Site, package: &str, version: &str, name: &str) {
    site.pass(Duration::from_secs(1));
    site.ci().publish(&path(&["ada", package, version, name]), name.to_owned()).await;
}

/// Name and version of each entry.
fn entries(answer: &Answer) -> Vec<String> {
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let list = answer.json();
    list.as_array().unwrap().iter().map(|one| format!("{} {}", word(&one["name"]), word(&one["version"]))).collect()
}

fn total(answer: &Answer) -> i64 {
    answer.header("x-total-count").unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_package_list_has_an_entry_per_version_newest_first() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://packages.example.org")]);
    publish(&site, "Tool", "1.0 beta", "a.txt").await;
    publish(&site, "Tool", "1.0 beta", "b.txt").await;
    publish(&site, "other", "2", "c").await;
    publish(&site, "tool", "0.9", "d").await;
    let list = site.anon().get(LIST).await.is(200);
    assert_eq!(entries(&list), ["Tool 0.9", "other 2", "Tool 1.0 beta"]);
    insta::assert_snapshot!(list.shown(), @r#"
    200
    cache-control: no-store
    content-length: 3093
    content-type: application/json
    x-total-count: 3
    "#);
    let one = site.anon().get(&of("tool/1.0%20beta")).await.is(200);
    insta::assert_snapshot!(one.shown(), @r#"
    200
    cache-control: no-store
    content-length: 1037
    content-type: application/json
    "#);
    // The order of the fields is part of the format.
    insta::assert_snapshot!(one.text().replace(",\"", ",\n\""), @r#"
    {"id":1,
    "owner":{"id":2,
    "login":"ada",
    "username":"ada",
    "full_name":"",
    "email":"",
    "avatar_url":"",
    "html_url":"https://packages.example.org/ada",
    "is_admin":false,
    "active":false,
    "prohibit_login":false,
    "visibility":"public",
    "created":"2026-01-02T03:04:05Z",
    "last_login":null},
    "repository":null,
    "creator":{"id":2,
    "login":"ada",
    "username":"ada",
    "full_name":"",
    "email":"",
    "avatar_url":"",
    "html_url":"https://packages.example.org/ada",
    "is_admin":false,
    "active":false,
    "prohibit_login":false,
    "visibility":"public",
    "created":"2026-01-02T03:04:05Z",
    "last_login":null},
    "type":"generic",
    "name":"Tool",
    "version":"1.0 beta",
    "html_url":"https://packages.example.org/ada/-/packages/generic/Tool/1.0%20beta",
    "created_at":"2026-01-02T03:04:06Z",
    "size":10,
    "download_count":0,
    "state":"published",
    "published_at":"2026-01-02T03:04:06Z",
    "sealed_at":null,
    "notes":"",
    "labels":{},
    "prerelease":false,
    "yanked":false,
    "yank_reason":"",
    "deprecated":false,
    "deprecation_message":"",
    "successor":null,
    "hold":false,
    "hold_reason":"",
    "expires_at":null,
    "verified_identity":null}
    "#);
    let listed = one.text().replace("\"notes\":\"\"", "\"notes\":null");
    assert!(list.text().contains(&listed), "a version is the same in the list and by itself, except for its notes");
}

#[tokio::test]
async fn a_package_search_matches_part_of_the_name_literally_in_any_case() {
    let site = Site::new();
    for package in ["Alpha", "alpha_beta", "gamma+x", "a.b"] {
        publish(&site, package, "1", "f").await;
    }
    for (query, expected) in [
        ("", &["a.b 1", "gamma+x 1", "alpha_beta 1", "Alpha 1"][..]),
        ("q=", &["a.b 1", "gamma+x 1", "alpha_beta 1", "Alpha 1"]),
        ("q=ALPH", &["alpha_beta 1", "Alpha 1"]),
        ("q=_", &["alpha_beta 1"]),
        ("q=%25", &[]),
        ("q=.", &["a.b 1"]),
        ("q=%5c", &[]),
        ("q=%2bx", &["gamma+x 1"]),
        ("q=alpha&type=generic", &["alpha_beta 1", "Alpha 1"]),
        ("type=", &["a.b 1", "gamma+x 1", "alpha_beta 1", "Alpha 1"]),
        ("type=npm", &[]),
        ("q=alpha&type=npm", &[]),
        ("q=%00", &[]),
        ("q=alpha%00", &[]),
        ("q=%1b", &[]),
        ("q=%ff", &[]),
    ] {
        let answer = site.anon().get(&format!("{LIST}?{query}")).await.is(200);
        assert_eq!(
            (entries(&answer), total(&answer)),
            (expected.iter().map(ToString::to_string).collect(), expected.len() as i64),
            "{query}"
        );
    }
}

#[tokio::test]
async fn package_lists_have_linked_pages_that_keep_the_search() {
    let site = Site::new();
    for at in 0..7 {
        publish(&site, "tool", &format!("1.{at}"), "f").await;
        publish(&site, "tool", "1.0", &format!("g{at}")).await;
    }
    for (url, parameters, count) in
        [(LIST.to_owned(), "q=TOOL&type=generic&", 7), (of("tool"), "", 7), (of("tool/1.0/files"), "", 8)]
    {
        let page = site.anon().get(&format!("{url}?{parameters}limit=3&page=2")).await.is(200);
        assert_eq!((total(&page), page.json().as_array().unwrap().len()), (count, 3), "{url}");
        let link = |page: i64, rel: &str| format!("<{url}?{parameters}page={page}&limit=3>; rel=\"{rel}\"");
        let links = [link(3, "next"), link(3, "last"), link(1, "first"), link(1, "prev")].join(", ");
        assert_eq!(page.header("link"), Some(&*links));
        let beyond = site.anon().get(&format!("{url}?{parameters}limit=3&page=9")).await.is(200);
        assert_eq!((beyond.text(), total(&beyond)), ("[]", count), "{url}");
        let whole = site.anon().get(&url).await.is(200);
        assert_eq!((whole.header("link"), total(&whole)), (None, count));
    }
}

#[tokio::test]
async fn pages_of_files_have_at_most_fifty_entries_and_the_list_is_whole() {
    let site = Site::new();
    for at in 0..52 {
        site.ci().publish(&path(&["ada", "tool", "1", &format!("f{at:02}")]), "x").await;
    }
    for (query, length) in [("", 52), ("?page=1", 30), ("?limit=1000", 50), ("?page=2&limit=50", 2)] {
        let page = site.anon().get(&format!("{}{query}", of("tool/1/files"))).await.is(200);
        assert_eq!((page.json().as_array().unwrap().len(), total(&page)), (length, 52), "{query}");
    }
}

#[tokio::test]
async fn files_are_listed_by_name_with_every_digest() {
    let site = Site::new();
    for name in ["b", "C", "a"] {
        publish(&site, "tool", "1", name).await;
    }
    let files = site.anon().get(&of("TOOL/1/files")).await.is(200);
    let list = files.json();
    let names: Vec<_> = list.as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "C"]);
    let first = site.anon().get(&format!("{}?limit=1", of("tool/1/files"))).await.is(200);
    insta::assert_snapshot!(first.text().replace(",\"", ",\n\""), @r#"
    [{"id":3,
    "size":1,
    "name":"a",
    "md5":"0cc175b9c0f1b6a831c399e269772661",
    "sha1":"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8",
    "sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
    "sha512":"1f40fc92da241694750979ee6cf582f2d5d7d28e18335de05abc54d0560e0f5302860c652bf08d560252aa5e74210546f369fbbbce8c12cfc7957b2652fe9a75",
    "created_at":"2026-01-02T03:04:08Z",
    "download_count":0,
    "download_url":"/api/packages/ada/generic/tool/1/a",
    "verified_identity":null}]
    "#);
    insta::assert_snapshot!(first.shown(), @r#"
    200
    cache-control: no-store
    content-length: 469
    content-type: application/json
    link: </api/v1/packages/ada/generic/tool/1/files?page=2&limit=1>; rel="next", </api/v1/packages/ada/generic/tool/1/files?page=3&limit=1>; rel="last"
    x-total-count: 3
    "#);
}

#[tokio::test]
async fn the_latest_version_has_the_highest_number() {
    let site = Site::new();
    for version in ["2.0", "10.0", "1.0"] {
        publish(&site, "tool", version, "f").await;
    }
    publish(&site, "tool", "2.0", "late").await;
    let latest = site.anon().get(&of("tool/-/latest")).await.is(200);
    assert_eq!((&latest.json()["version"], &latest.json()["size"]), (&"10.0".into(), &1.into()));
    assert_eq!(latest.text(), site.anon().get(&of("tool/10.0")).await.text());
    assert_eq!(entries(&site.anon().get(&of("tool")).await.is(200)), ["tool 1.0", "tool 10.0", "tool 2.0"]);
}

#[tokio::test]
async fn head_answers_like_get_without_the_body() {
    let site = Site::new();
    publish(&site, "tool", "1", "f").await;
    for url in [LIST.to_owned(), of("tool"), of("tool/1"), of("tool/1/files"), of("tool/-/latest")] {
        let (get, head) = (site.anon().get(&url).await.is(200), site.anon().head(&url).await);
        assert_eq!((get.shown(), head.body.len()), (head.shown(), 0), "{url}");
    }
}

#[tokio::test]
async fn missing_owners_packages_versions_and_files_are_404() {
    let site = Site::new();
    publish(&site, "tool", "1", "f").await;
    for (url, message) in [
        (of("other"), "package not found"),
        (of("other/-/latest"), "package not found"),
        (of("other/1"), "package not found"),
        (of("tool/2"), "package version not found"),
        (of("tool/2/files"), "package version not found"),
        (of("%24x"), "package not found"),
        (of("tool/%00"), "package version not found"),
        ("/api/v1/packages/nobody".to_owned(), "owner not found"),
    ] {
        let answer = site.reader().get(&url).await.is(404).json();
        assert_eq!((&answer["message"], &answer["code"]), (&message.into(), &"not_found".into()), "{url}");
    }
    for url in [of("other"), of("other/1"), of("tool/2")] {
        site.ci().delete(&url).await.is(404);
    }
    site.anon().request("PUT", &of("tool/1")).header("content-length", "0").await.is(405);
}

#[tokio::test]
async fn writers_can_delete_a_version_and_a_package() {
    let site = Site::new();
    for version in ["1", "2", "3"] {
        publish(&site, "tool", version, "f").await;
    }
    publish(&site, "other", "1", "f").await;
    for url in [of("tool"), of("tool/1")] {
        site.anon().delete(&url).await.is(401);
        site.anon().bearer("phk_nonsense").delete(&url).await.is(401);
        site.reader().delete(&url).await.is(403).says("write:package");
        site.stranger().delete(&url).await.is(403).says("does not have write access to ada");
    }
    let gone = site.ci().delete(&of("TOOL/1")).await.is(204);
    assert!(gone.body.is_empty());
    site.anon().get(&of("tool/1")).await.is(404);
    assert_eq!(entries(&site.anon().get(LIST).await), ["other 1", "tool 3", "tool 2"]);
    site.ci().delete(&of("tool")).await.is(204);
    site.anon().get(&of("tool")).await.is(404);
    assert_eq!(entries(&site.anon().get(LIST).await), ["other 1"]);
    assert_eq!(site.db_broken().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_hidden_owner_looks_like_one_that_does_not_exist() {
    let site = Site::new();
    site.db(|conn| {
        db_user(conn, "limited-user", Visibility::Limited, false)?;
        db_org(conn, "hidden", Visibility::Private)
    });
    let nobody = |url: &str| url.replace("hidden", "nobody").replace("limited-user", "nobody");
    let rest = ["", "/generic/tool", "/generic/tool/1", "/generic/tool/1/files", "/generic/tool/-/latest"];
    for owner in ["hidden", "limited-user"] {
        for rest in rest {
            let url = format!("/api/v1/packages/{owner}{rest}");
            let hidden = site.anon().get(&url).await.is(401);
            assert_eq!(hidden.looks(), site.anon().get(&nobody(&url)).await.looks(), "{url}");
            assert_eq!(hidden.header("www-authenticate"), Some("Basic realm=\"Packhouse\", charset=\"UTF-8\""));
        }
    }
    for rest in rest {
        let url = format!("/api/v1/packages/hidden{rest}");
        let hidden = site.stranger().get(&url).await.is(404);
        assert_eq!(hidden.looks(), site.stranger().get(&nobody(&url)).await.looks(), "{url}");
        let hidden = site.stranger().delete(&url).await;
        assert_eq!(hidden.looks(), site.stranger().delete(&nobody(&url)).await.looks(), "{url}");
    }
    site.stranger().get("/api/v1/packages/limited-user").await.is(200);
    site.anon().bearer(&site.db_token("hidden-read", &["read:package"])).get("/api/v1/packages/hidden").await.is(200);
}

#[tokio::test]
async fn a_token_limited_to_packages_sees_and_counts_only_those() {
    let site = Site::new();
    for package in ["tool-a", "secret", "Tool-B", "a_b", "axb", "secret-2", "tool-c"] {
        publish(&site, package, "1", "f").await;
    }
    let limited = |patterns: &[&str]| {
        let token = site.db_limited_token("ada", &["read:package"], |new| {
            new.packages = Some(patterns.iter().map(|pattern| pattern.parse().unwrap()).collect());
        });
        site.anon().bearer(&token)
    };
    let tools = limited(&["TOOL-*"]);
    for (query, expected) in [("limit=2", vec!["tool-c 1", "Tool-B 1"]), ("limit=2&page=2", vec!["tool-a 1"])] {
        let page = tools.get(&format!("{LIST}?{query}")).await.is(200);
        assert_eq!((entries(&page), total(&page)), (expected.iter().map(ToString::to_string).collect(), 3), "{query}");
    }
    let searched = tools.get(&format!("{LIST}?q=secret")).await.is(200);
    assert_eq!((searched.text(), total(&searched)), ("[]", 0));
    for (patterns, expected) in [
        (&["a_b"][..], vec!["a_b 1"]),
        (&["a*b", "secret"], vec!["axb 1", "a_b 1", "secret 1"]),
        (&["*-*"], vec!["tool-c 1", "secret-2 1", "Tool-B 1", "tool-a 1"]),
        (&["ool-a"], vec![]),
        (&[], vec![]),
    ] {
        let list = limited(patterns).get(LIST).await.is(200);
        assert_eq!(
            (entries(&list), total(&list)),
            (expected.iter().map(ToString::to_string).collect(), expected.len() as i64),
            "{patterns:?}"
        );
    }
    tools.get(&of("secret")).await.is(403).says("limited to packages other than");
    tools.get(&of("tool-a/1/files")).await.is(200);
}

#[tokio::test]
async fn an_invalid_name_is_answered_like_a_missing_one() {
    let site = Site::new();
    publish(&site, "tool", "1", "f").await;
    let names = [("%24x", "other"), ("%24x/-/latest", "other/-/latest"), ("tool/%00", "tool/2")];
    let useless = site.anon().bearer(&site.db_token("ada", &["write:user"]));
    let mistaken = site.anon().bearer("phk_nonsense");
    for visibility in [0, 1, 2] {
        site.db_execute(&format!("UPDATE owners SET visibility = {visibility} WHERE name = 'ada'"));
        for (impossible, absent) in names {
            for client in [site.anon(), site.reader(), site.ci(), site.stranger(), useless.clone(), mistaken.clone()] {
                let answer = client.get(&of(impossible)).await;
                assert_eq!(answer.looks(), client.get(&of(absent)).await.looks(), "{impossible} {visibility}");
            }
            site.anon().get(&of(impossible)).await.is(if visibility == 0 { 404 } else { 401 });
            site.ci().get(&of(impossible)).await.is(404);
            if !impossible.ends_with("latest") {
                site.anon().delete(&of(impossible)).await.is(401);
                site.ci().delete(&of(impossible)).await.is(404);
            }
        }
    }
}

#[tokio::test]
async fn credentials_are_checked_before_the_owner_name() {
    let site = Site::new();
    let publisher = site.anon().bearer(&site.db_token("ada", &["write:package"]));
    for (url, needs) in [
        ("/api/v1/packages/a--b", "read:package"),
        ("/api/v1/packages/%FF/generic/tool/1", "read:package"),
        ("/api/v1/users/a--b", "read:user"),
        ("/api/v1/orgs/a--b", "read:organization"),
        ("/api/v1/orgs/a--b/teams", "read:organization"),
    ] {
        site.anon().bearer("phk_nonsense").get(url).await.is(401);
        site.anon().get(url).await.is(401);
        site.admin().get(url).await.is(404);
        let other = site.anon().bearer(&site.db_token("ada", &["write:user"]));
        let limited = if needs == "read:package" { &other } else { &publisher };
        limited.get(url).await.is(403).says(needs);
    }
}

#[tokio::test]
async fn the_first_of_two_equal_query_parameters_counts() {
    let site = Site::new();
    for package in ["alpha", "beta"] {
        publish(&site, package, "1", "f").await;
    }
    for query in ["q=alpha&q=beta", "q=alpha&type=generic&type=npm&q=", "q=alpha&%71=beta", "limit=1&q=alpha&limit=x&q"]
    {
        assert_eq!(entries(&site.anon().get(&format!("{LIST}?{query}")).await.is(200)), ["alpha 1"], "{query}");
    }
    site.anon().get("/api/v1/users/search?q=ada&q=x&limit=1&limit=2").await.is(200);
}
