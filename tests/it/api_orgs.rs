//! Organizations in the REST API: create, read, edit, rename, delete.

use crate::api_users::{names, records};
use crate::support::people::{db_org, db_user};
use crate::support::{Client, Site, path};
use packhouse::domain::role::Visibility;
use serde_json::{Value, json};

/// An owner of the organizations that [`db_org`] creates.
fn owner(site: &Site) -> Client {
    site.anon().bearer(&site.db_token("ada", &["all"]))
}

fn total(answer: &crate::support::Answer) -> Option<&str> {
    answer.header("x-total-count")
}

#[tokio::test]
async fn the_repository_list_of_an_org_is_empty_for_gitea_clients() {
    let site = Site::new();
    settle(&site);
    let none = site.anon().get("/api/v1/orgs/open/repos?page=1").await.is(200);
    assert_eq!((none.text(), total(&none)), ("[]", Some("0")));
    site.anon().get("/api/v1/orgs/nothing/repos").await.is(401);
    owner(&site).get("/api/v1/orgs/ada/repos").await.is(404);
}

/// Creates an organization of each visibility.
fn settle(site: &Site) {
    site.db(|conn| {
        db_org(conn, "open", Visibility::Public)?;
        db_org(conn, "inside", Visibility::Limited)?;
        db_org(conn, "closed", Visibility::Private)
    });
}

#[tokio::test]
async fn a_limited_token_cannot_create_an_org_outside_its_limits() {
    let site = Site::new();
    let limited = site.db_limited_token("ada", &["write:organization"], |new| {
        new.owners = Some(vec!["ada".parse().unwrap()]);
    });
    let new = json!({"username": "acme"});
    site.anon().bearer(&limited).post("/api/v1/orgs", &new).await.is(403).says("limited to some owners");
    let public = site.anon().bearer(&site.db_token("ada", &["write:organization", "public-only"]));
    for visibility in ["limited", "private"] {
        let new = json!({"username": "acme", "visibility": visibility});
        public.post("/api/v1/orgs", &new).await.is(403).says("public-only");
    }
    assert_eq!(site.db_number("SELECT count(*) AS n FROM owners WHERE name = 'acme'"), 0);
    public.post("/api/v1/orgs", &new).await.is(201);
}

#[tokio::test]
async fn an_org_is_created_with_the_given_description() {
    let site = Site::new();
    let said = json!({"username": "Acme", "full_name": "Acme Ltd.", "description": "What we\nbuild",
        "website": "https://acme.example", "location": "London", "visibility": "limited", "email": "a@acme.example",
        "repo_admin_change_team_access": true});
    let made = owner(&site).post("/api/v1/orgs", &said).await.is(201);
    insta::assert_snapshot!(made.text().replace(",\"", ",\n\""), @r#"
    {"id":4,
    "name":"Acme",
    "username":"Acme",
    "full_name":"Acme Ltd.",
    "description":"What we\nbuild",
    "website":"https://acme.example",
    "location":"London",
    "avatar_url":"",
    "visibility":"limited"}
    "#);
    let seen = owner(&site).get("/api/v1/orgs/ACME").await.is(200);
    assert_eq!(seen.text(), made.text());
    let head = owner(&site).head("/api/v1/orgs/acme").await.is(200);
    assert_eq!((head.header("content-length"), head.body.len()), (seen.header("content-length"), 0));
    let least = owner(&site).post("/api/v1/orgs", &json!({"username": "least", "visibility": "", "full_name": null}));
    assert_eq!(least.await.is(201).json()["visibility"], "public");
    assert_eq!(
        records(&site),
        [
            "org.create by ada with token from 127.0.0.1 on Acme Acme",
            "org.create by ada with token from 127.0.0.1 on least least"
        ]
    );
    for (said, field) in [
        (json!({}), "username"),
        (json!({"username": "a b"}), "username"),
        (json!({"username": "login"}), "reserved"),
        (json!({"username": "ACME"}), "organization already exists"),
        (json!({"username": "Stranger"}), "already exists"),
        (json!({"username": "x", "website": "ftp://x"}), "website"),
        (json!({"username": "x", "location": "a\nb"}), "location"),
        (json!({"username": "x", "visibility": "secret"}), "visibility"),
        (json!({"username": "x", "description": 7}), "description"),
    ] {
        owner(&site).post("/api/v1/orgs", &said).await.is(422).says(field);
    }
}

#[tokio::test]
async fn a_private_org_looks_like_one_that_does_not_exist() {
    let site = Site::new();
    settle(&site);
    let stranger = site.anon().bearer(&site.db_token("stranger", &["all"]));
    let nobody = stranger.get("/api/v1/orgs/nobody").await.is(404).says("organization not found");
    for name in ["closed", "ada", "a%2Fb"] {
        assert_eq!(stranger.get(&format!("/api/v1/orgs/{name}")).await.looks(), nobody.looks(), "{name}");
    }
    stranger.get("/api/v1/orgs/inside").await.is(200);
    let nobody = site.anon().get("/api/v1/orgs/nobody").await.is(401);
    for name in ["closed", "inside", "ada"] {
        assert_eq!(site.anon().get(&format!("/api/v1/orgs/{name}")).await.looks(), nobody.looks(), "{name}");
    }
    site.anon().get("/api/v1/orgs/open").await.is(200);
    for rest in ["members", "teams", "teams/search", "members/ada"] {
        let of = |org: &str| format!("/api/v1/orgs/{org}/{rest}");
        let nobody = stranger.get(&of("nobody")).await.is(404);
        assert_eq!(stranger.get(&of("closed")).await.looks(), nobody.looks());
        stranger.get(&of("open")).await.is(403).says("only members of open");
        site.anon().get(&of("open")).await.is(401);
    }
    for method in ["PATCH", "DELETE"] {
        let of = |org: &str| stranger.request(method, &format!("/api/v1/orgs/{org}")).header("content-length", "0");
        assert_eq!(of("closed").await.is(404).looks(), of("nobody").await.looks(), "{method}");
        of("open").await.is(403).says("only owners of open");
    }
    for name in ["open-read", "open-write", "open-admin"] {
        let member = site.anon().bearer(&site.db_token(name, &["all"]));
        member.patch("/api/v1/orgs/open", &json!({})).await.is(403).says("only owners of open");
        member.delete("/api/v1/orgs/open").await.is(403);
        member.post("/api/v1/orgs/open/rename", &json!({"new_name": "x"})).await.is(403);
        member.get("/api/v1/orgs/open/members").await.is(200);
    }
}

#[tokio::test]
async fn everyone_gets_a_list_of_the_orgs_they_may_see() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://packages.example.org")]);
    settle(&site);
    let get = async |client: &Client, path: &str| {
        let list = client.get(path).await.is(200);
        assert_eq!(list.header("x-total-count"), Some(&*names(&list).len().to_string()), "{path}");
        names(&list)
    };
    let token = |name: &str| site.anon().bearer(&site.db_token(name, &["read:organization"]));
    let (stranger, reader) = (token("stranger"), token("closed-read"));
    assert_eq!(get(&site.anon(), "/api/v1/orgs").await, ["open"]);
    assert_eq!(get(&stranger, "/api/v1/orgs").await, ["inside", "open"]);
    assert_eq!(get(&reader, "/api/v1/orgs").await, ["closed", "inside", "open"]);
    assert_eq!(get(&site.admin(), "/api/v1/orgs").await, ["closed", "inside", "open"]);
    assert_eq!(get(&site.admin(), "/api/v1/admin/orgs").await, ["closed", "inside", "open"]);
    site.ada().get("/api/v1/admin/orgs").await.is(403).says("site administrator");
    site.anon().get("/api/v1/admin/orgs").await.is(401);
    // Their own, and the visible ones of other users.
    assert_eq!(get(&reader, "/api/v1/user/orgs").await, ["closed"]);
    assert_eq!(get(&stranger, "/api/v1/user/orgs").await, [""; 0]);
    site.anon().get("/api/v1/user/orgs").await.is(401);
    assert_eq!(get(&site.anon(), "/api/v1/users/ada/orgs").await, ["open"]);
    assert_eq!(get(&stranger, "/api/v1/users/ada/orgs").await, ["inside", "open"]);
    assert_eq!(get(&reader, "/api/v1/users/ada/orgs").await, ["closed", "inside", "open"]);
    assert_eq!(get(&stranger, "/api/v1/users/closed-read/orgs").await, [""; 0]);
    // A limited token lists only what it is limited to.
    let public = site.anon().bearer(&site.db_token("ada", &["read:organization", "public-only"]));
    for path in ["/api/v1/orgs", "/api/v1/user/orgs", "/api/v1/users/ada/orgs"] {
        assert_eq!(get(&public, path).await, ["open"], "{path}");
    }
    let limited = site.db_limited_token("ada", &["read:organization"], |new| {
        new.owners = Some(vec!["closed".parse().unwrap()]);
    });
    let limited = site.anon().bearer(&limited);
    for path in ["/api/v1/orgs", "/api/v1/user/orgs"] {
        assert_eq!(get(&limited, path).await, ["closed"], "{path}");
    }
    limited.get("/api/v1/orgs/open").await.is(403).says("limited to owners other than");
    let page = owner(&site).get("/api/v1/orgs?limit=1&page=2").await.is(200);
    assert_eq!((names(&page), total(&page)), (vec!["inside".to_owned()], Some("3")));
    insta::assert_snapshot!(page.header("link").unwrap(), @r#"<https://packages.example.org/api/v1/orgs?page=3&limit=1>; rel="next", <https://packages.example.org/api/v1/orgs?page=3&limit=1>; rel="last", <https://packages.example.org/api/v1/orgs?page=1&limit=1>; rel="first", <https://packages.example.org/api/v1/orgs?page=1&limit=1>; rel="prev""#);
    let beyond = owner(&site).get("/api/v1/user/orgs?page=7").await.is(200);
    assert_eq!((beyond.text(), total(&beyond)), ("[]", Some("3")));
}

#[tokio::test]
async fn an_owner_edits_the_description_of_an_org() {
    let site = Site::new();
    settle(&site);
    let said = json!({"full_name": "Open Ltd.", "description": "d", "website": "http://open.example", "location": "Rome",
        "visibility": "private", "email": "o@open.example", "repo_admin_change_team_access": false});
    let changed = owner(&site).patch("/api/v1/orgs/OPEN", &said).await.is(200);
    insta::assert_snapshot!(changed.text().replace(",\"", ",\n\""), @r#"
    {"id":4,
    "name":"open",
    "username":"open",
    "full_name":"Open Ltd.",
    "description":"d",
    "website":"http://open.example",
    "location":"Rome",
    "avatar_url":"",
    "visibility":"private"}
    "#);
    assert_eq!(site.anon().get("/api/v1/orgs").await.text(), "[]");
    let same = owner(&site).patch("/api/v1/orgs/open", &json!({"visibility": "", "full_name": null})).await.is(200);
    assert_eq!(same.text(), changed.text());
    let emptied =
        owner(&site).patch("/api/v1/orgs/open", &json!({"full_name": "", "website": ""})).await.is(200).json();
    assert_eq!(
        (&emptied["full_name"], &emptied["website"], &emptied["location"]),
        (&json!(""), &json!(""), &json!("Rome"))
    );
    for (field, value) in [
        ("full_name", json!("a\nb")),
        ("website", json!("open.example")),
        ("visibility", json!("hidden")),
        ("location", json!(["Rome"])),
    ] {
        let said = json!({"description": "changed", field: value});
        owner(&site).patch("/api/v1/orgs/open", &said).await.is(422).says(field);
    }
    let public = site.anon().bearer(&site.db_token("ada", &["all", "public-only"]));
    public.patch("/api/v1/orgs/open", &json!({})).await.is(403).says("public-only");
    site.db_execute("UPDATE owners SET visibility = 0 WHERE name = 'open'");
    public.patch("/api/v1/orgs/open", &json!({"visibility": "private"})).await.is(403).says("public-only");
    insta::assert_snapshot!(
        site.db_texts("SELECT event || ' ' || detail AS text FROM audit WHERE address IS NOT NULL ORDER BY id").join("\n"),
        @r#"
        org.update {"changed": ["full_name", "description", "website", "location", "visibility"], "visibility": "private"}
        org.update {"changed": []}
        org.update {"changed": ["full_name", "website"]}
        "#
    );
}

#[tokio::test]
async fn an_administrator_creates_an_org_for_a_user() {
    let site = Site::new();
    site.db(|conn| db_user(conn, "shade", Visibility::Private, false));
    let admin = site.admin();
    let made = admin.post("/api/v1/admin/users/shade/orgs", &json!({"username": "shadows"})).await.is(201).json();
    assert_eq!(made["username"], "shadows");
    let shade = site.anon().bearer(&site.db_token("shade", &["all"]));
    assert_eq!(names(&shade.get("/api/v1/user/orgs").await), ["shadows"]);
    assert_eq!(names(&admin.get("/api/v1/orgs/shadows/members").await), ["shade"]);
    shade.patch("/api/v1/orgs/shadows", &json!({"location": "here"})).await.is(200);
    assert_eq!(records(&site)[0], "org.create by admin with token from 127.0.0.1 on shadows shadows");
    admin.post("/api/v1/admin/users/nobody/orgs", &json!({"username": "x"})).await.is(404).says("user not found");
    admin.post("/api/v1/admin/users/shadows/orgs", &json!({"username": "x"})).await.is(404).says("user not found");
    admin.post("/api/v1/admin/users/ada/orgs", &json!({"username": "shadows"})).await.is(422).says("already exists");
    admin.post("/api/v1/admin/users/ada/orgs", &json!({})).await.is(422).says("username");
    site.ada().post("/api/v1/admin/users/ada/orgs", &json!({"username": "x"})).await.is(403);
    let limited = site.db_limited_token("admin", &["all"], |new| new.owners = Some(vec!["ada".parse().unwrap()]));
    let limited = site.anon().bearer(&limited);
    limited
        .post("/api/v1/admin/users/ada/orgs", &json!({"username": "x"}))
        .await
        .is(403)
        .says("limited to some owners");
}

#[tokio::test]
async fn a_renamed_org_is_read_by_its_old_name_but_changed_by_its_new_one() {
    let site = Site::new();
    settle(&site);
    owner(&site).publish(&path(&["open", "tool", "1", "f"]), "bytes").await;
    let rename = |said: Value| owner(&site).post("/api/v1/orgs/open/rename", &said).into_future();
    rename(json!({"new_name": "ada"})).await.is(422).says("organization already exists");
    rename(json!({"new_name": "api"})).await.is(422).says("new_name").says("reserved");
    rename(json!({"new_name": "-"})).await.is(422).says("new_name");
    rename(json!({"name": "x"})).await.is(422).says("new_name");
    assert!(rename(json!({"new_name": "Wide.Open"})).await.is(204).body.is_empty());
    let leads = async |client: &Client, from: &str, to: &str| {
        assert_eq!(client.get(from).await.is(307).header("location"), Some(to), "{from}");
    };
    leads(&site.anon(), "/api/v1/orgs/open", "/api/v1/orgs/Wide.Open").await;
    leads(&site.anon(), "/api/packages/open/generic/tool/1/f", "/api/packages/Wide.Open/generic/tool/1/f").await;
    let ada = owner(&site);
    leads(&ada, "/api/v1/orgs/open/teams/search?q=o", "/api/v1/orgs/Wide.Open/teams/search?q=o").await;
    leads(&ada, "/api/v1/orgs/open/members/ada", "/api/v1/orgs/Wide.Open/members/ada").await;
    ada.patch("/api/v1/orgs/open", &json!({})).await.is(404).says("organization not found");
    ada.post("/api/v1/orgs/open/teams", &json!({"name": "x"})).await.is(404);
    ada.delete("/api/v1/orgs/open").await.is(404);
    assert_eq!(records(&site).last().unwrap(), "org.rename by ada with token from 127.0.0.1 on Wide.Open Wide.Open");
    // An old name can be taken again, also by a user.
    let said = json!({"new_username": "open"});
    site.admin().post("/api/v1/admin/users/stranger/rename", &said).await.is(204);
    site.anon().get("/api/v1/orgs/open").await.is(401);
    site.anon().get("/api/v1/users/open").await.is(200);
    leads(&site.anon(), "/api/v1/users/stranger", "/api/v1/users/open").await;
    // The old name of a member redirects here too.
    let team = site.db_number("SELECT id AS n FROM teams WHERE name = 'read' ORDER BY id LIMIT 1");
    ada.put(&format!("/api/v1/teams/{team}/members/open"), "").await.is(204);
    let from = format!("/api/v1/teams/{team}/members/stranger");
    leads(&ada, &from, &format!("/api/v1/teams/{team}/members/open")).await;
    ada.delete(&from).await.is(404);
}

#[tokio::test]
async fn an_org_that_owns_packages_cannot_be_deleted() {
    let site = Site::new();
    settle(&site);
    let ada = owner(&site);
    for package in ["tool", "other"] {
        ada.publish(&path(&["open", package, "1", "f"]), "bytes").await;
    }
    ada.delete("/api/v1/orgs/open").await.is(422).says("open owns 2 packages");
    site.admin().delete("/api/v1/orgs/open").await.is(422).says("open owns 2 packages");
    ada.delete(&path(&["open", "tool", "1"])).await.is(204);
    ada.delete("/api/v1/orgs/open").await.is(422).says("open owns a package");
    ada.delete(&path(&["open", "other", "1"])).await.is(204);
    let before = records(&site).len();
    assert!(ada.delete("/api/v1/orgs/OPEN").await.is(204).body.is_empty());
    assert_eq!(records(&site)[before..], ["org.delete by ada with token from 127.0.0.1 on open open"]);
    ada.get("/api/v1/orgs/open").await.is(404);
    ada.delete("/api/v1/orgs/open").await.is(404).says("organization not found");
    ada.delete("/api/v1/orgs/stranger").await.is(404).says("organization not found");
    assert_eq!(site.db_number("SELECT count(*) AS n FROM teams t WHERE org_id NOT IN (SELECT id FROM owners)"), 0);
    assert_eq!(site.db_broken().await, Vec::<String>::new());
    ada.post("/api/v1/orgs", &json!({"username": "open"})).await.is(201);
}

#[tokio::test]
async fn deleting_an_org_while_others_publish_succeeds_or_fails_entirely() {
    let settings = &[("PACKHOUSE_DATABASE_WRITE_CONNECTIONS", "8")];
    let site = Site::start(crate::support::Plan { settings, real_time: true, ..Default::default() });
    let ada = owner(&site);
    for round in 0..10 {
        let name = format!("org{round}");
        ada.post("/api/v1/orgs", &json!({"username": name})).await.is(201);
        let (org, file) = (format!("/api/v1/orgs/{name}"), path(&[&name, "tool", "1", "f"]));
        let (deleted, published) = tokio::join!(ada.delete(&org).send(), ada.put(&file, "bytes").send());
        let outcome = (deleted.unwrap().status, published.unwrap().status);
        assert!([(204, 404), (422, 201)].contains(&outcome), "{outcome:?}");
    }
    assert_eq!(site.db_broken().await, Vec::<String>::new());
}
