//! Teams and members of organizations in the REST API.

use crate::api_users::{names, records};
use crate::support::cluster::cluster;
use crate::support::people::{db_org, db_user};
use crate::support::{Answer, Client, Plan, Site};
use packhouse::domain::role::Visibility;
use serde_json::{Value, json};

/// A user with a token of scope `all`.
fn person(site: &Site, name: &str) -> Client {
    site.anon().bearer(&site.db_token(name, &["all"]))
}

/// The id of a team.
fn team(site: &Site, org: &str, name: &str) -> i64 {
    site.db_number(&format!(
        "SELECT t.id AS n FROM teams t JOIN owners o ON o.id = t.org_id WHERE o.name = '{org}' AND t.name = '{name}'"
    ))
}

fn member(team: i64, user: &str) -> String {
    format!("/api/v1/teams/{team}/members/{user}")
}

#[tokio::test]
async fn a_team_of_a_hidden_org_looks_like_one_that_does_not_exist() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "hidden", Visibility::Private));
    let hidden = team(&site, "hidden", "Owners");
    for scope in ["write:organization", "read:organization"] {
        let stranger = site.anon().bearer(&site.db_token("stranger", &[scope]));
        for method in ["PUT", "DELETE"] {
            let of_hidden = stranger.request(method, &member(hidden, "stranger")).header("content-length", "0").await;
            let of_none = stranger.request(method, &member(987_654, "stranger")).header("content-length", "0").await;
            assert_eq!(of_hidden.looks(), of_none.looks(), "{method} with {scope}");
            assert_eq!(of_hidden.status, if scope.starts_with("write") { 404 } else { 403 });
        }
    }
    let stranger = site.anon().bearer(&site.db_token("stranger", &["write:organization"]));
    let post = |org: &str| stranger.post(&format!("/api/v1/orgs/{org}/teams"), &json!({"name": "x"}));
    assert_eq!(post("hidden").await.is(404).looks(), post("nobody").await.looks());
    let member_of_it = site.anon().bearer(&site.db_token("hidden-read", &["write:organization"]));
    member_of_it.delete(&member(hidden, "ada")).await.is(403).says("only owners of hidden");
}

#[tokio::test]
async fn a_hidden_user_cannot_be_added_to_a_team_but_can_be_removed() {
    let site = Site::new();
    site.db(|conn| {
        db_org(conn, "acme", Visibility::Public)?;
        db_user(conn, "shade", Visibility::Private, false)
    });
    let read = team(&site, "acme", "read");
    let put = |token: &str, user: &str| {
        site.anon().bearer(token).request("PUT", &member(read, user)).header("content-length", "0")
    };
    let token = site.db_limited_token("ada", &["write:organization"], |new| {
        new.owners = Some(vec!["acme".parse().unwrap()]);
    });
    let (shade, nobody): (Answer, Answer) = (put(&token, "shade").await, put(&token, "nobody").await);
    assert_eq!((shade.status, shade.looks()), (404, nobody.looks()));
    assert_eq!(put(&token, "acme").await.is(404).looks(), nobody.looks());
    put(&token, "stranger").await.is(204);
    put(&cluster().people.admin, "shade").await.is(204);
    site.anon().bearer(&token).delete(&member(read, "shade")).await.is(204);
}

#[tokio::test]
async fn the_last_owner_of_an_org_stays_whatever_the_team_is_called() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    let (first, second) = (team(&site, "acme", "Owners"), team(&site, "acme", "owner"));
    let other = site.anon().bearer(&site.db_token("acme-owner", &["write:organization"]));
    other.delete(&member(first, "ada")).await.is(204);
    other.delete(&member(second, "acme-owner")).await.is(403).says("last owner");
    // Only the permission `owner` counts, not the name of the team.
    other.delete(&member(team(&site, "acme", "read"), "acme-read")).await.is(204);
    other.request("PUT", &member(first, "stranger")).header("content-length", "0").await.is(204);
    other.delete(&member(second, "acme-owner")).await.is(204);
    assert_eq!(site.db_broken().await, Vec::<String>::new());
}

#[tokio::test]
async fn one_of_the_last_two_owners_stays_if_both_leave_at_once() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    let (first, second) =
        (member(team(&site, "acme", "Owners"), "ada"), member(team(&site, "acme", "owner"), "acme-owner"));
    let admin = site.admin();
    for _ in 0..10 {
        let (one, other) = tokio::join!(admin.delete(&first).send(), admin.delete(&second).send());
        let mut statuses = [one.unwrap().status, other.unwrap().status];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 403]);
        for url in [&first, &second] {
            admin.request("PUT", url).header("content-length", "0").await.is(204);
        }
    }
}

#[tokio::test]
async fn a_team_is_created_read_and_changed() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Private));
    let ada = person(&site, "ada");
    let said = json!({"name": "Release crew", "description": "They ship", "permission": "write",
        "includes_all_repositories": true, "units": ["repo.code"], "units_map": {"repo.code": "admin"},
        "can_create_org_repo": true, "visibility": "private"});
    let made = ada.post("/api/v1/orgs/ACME/teams", &said).await.is(201);
    insta::assert_snapshot!(made.text().replace(",\"", ",\n\""), @r#"
    {"id":6,
    "name":"Release crew",
    "description":"They ship",
    "organization":{"id":4,
    "name":"acme",
    "username":"acme",
    "full_name":"",
    "description":"",
    "website":"",
    "location":"",
    "avatar_url":"",
    "visibility":"private"},
    "includes_all_repositories":true,
    "permission":"write",
    "units":["repo.packages"],
    "units_map":{"repo.packages":"write"},
    "can_create_org_repo":false,
    "packages":null}
    "#);
    let url = format!("/api/v1/teams/{}", made.json()["id"]);
    for name in ["ada", "acme-read", "admin"] {
        assert_eq!(person(&site, name).get(&url).await.is(200).text(), made.text(), "{name}");
    }
    let said = json!({"name": "Crew", "description": "They wait", "permission": "read", "units": null});
    let changed = ada.patch(&url, &said).await.is(200).json();
    assert_eq!((&changed["name"], &changed["permission"]), (&json!("Crew"), &json!("read")));
    assert_eq!(
        (&changed["description"], &changed["units_map"]),
        (&json!("They wait"), &json!({"repo.packages": "read"}))
    );
    let same = ada.patch(&url, &json!({"name": "", "permission": "", "description": null})).await.is(200);
    assert_eq!(same.json(), changed);
    assert_eq!(ada.patch(&url, &json!({"name": "CREW", "description": ""})).await.is(200).json()["description"], "");
    let least = ada.post("/api/v1/orgs/acme/teams", &json!({"name": "x", "permission": ""})).await.is(201).json();
    assert_eq!(least["permission"], "read");
    for (said, field) in [
        (json!({"name": "a/b"}), "name"),
        (json!({"name": " a"}), "name"),
        (json!({"name": "x".repeat(256)}), "name"),
        (json!({"name": "owner"}), "team already exists"),
        (json!({"name": "y", "permission": "all"}), "permission"),
        (json!({"name": "y", "description": "\u{7}"}), "description"),
    ] {
        ada.post("/api/v1/orgs/acme/teams", &said).await.is(422).says(field);
        ada.patch(&url, &said).await.is(422).says(field);
    }
    ada.post("/api/v1/orgs/acme/teams", &json!({})).await.is(422).says("name");
    assert!(ada.delete(&url).await.is(204).body.is_empty());
    ada.get(&url).await.is(404).says("team not found");
    ada.delete(&url).await.is(404);
    ada.get("/api/v1/teams/x").await.is(404).says("team not found");
    insta::assert_snapshot!(records(&site).join("\n"), @"
    team.create by ada with token from 127.0.0.1 on acme Release crew
    team.update by ada with token from 127.0.0.1 on acme Crew
    team.update by ada with token from 127.0.0.1 on acme Crew
    team.update by ada with token from 127.0.0.1 on acme CREW
    team.create by ada with token from 127.0.0.1 on acme x
    team.delete by ada with token from 127.0.0.1 on acme CREW
    ");
}

#[tokio::test]
async fn only_members_can_list_teams_and_members() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://packages.example.org")]);
    site.db(|conn| {
        db_org(conn, "acme", Visibility::Public)?;
        db_org(conn, "zeta", Visibility::Private)
    });
    let reader = person(&site, "acme-read");
    let teams = reader.get("/api/v1/orgs/acme/teams").await.is(200);
    assert_eq!(names(&teams), ["admin", "owner", "Owners", "read", "write"]);
    assert_eq!(teams.json()[0]["organization"]["name"], "acme");
    let page = reader.get("/api/v1/orgs/acme/teams?limit=2&page=3").await.is(200);
    assert_eq!((names(&page), page.header("x-total-count")), (vec!["write".to_owned()], Some("5")));
    let found = reader.get("/api/v1/orgs/acme/teams/search?q=OWN").await.is(200);
    assert_eq!(
        (names(&found), found.header("x-total-count")),
        (vec!["owner".to_owned(), "Owners".to_owned()], Some("2"))
    );
    assert!(found.text().starts_with(r#"{"data":[{"id":"#) && found.text().ends_with(r#"],"ok":true}"#));
    for nothing in ["o_n", "%25", "a%00"] {
        let found = reader.get(&format!("/api/v1/orgs/acme/teams/search?q={nothing}")).await.is(200);
        assert_eq!(found.text(), r#"{"data":[],"ok":true}"#);
    }
    let members = reader.get("/api/v1/orgs/acme/members").await.is(200);
    assert_eq!(names(&members), ["acme-admin", "acme-owner", "acme-read", "acme-write", "ada"]);
    assert_eq!(members.json()[4]["email"], "", "email addresses of others are hidden");
    assert_eq!(members.json()[2]["email"], "acme-read@example.org", "the user's own email address is shown");
    let of_team = |rest: &str| format!("/api/v1/teams/{}/members{rest}", team(&site, "acme", "write"));
    let page = reader.get(&of_team("")).await.is(200);
    assert_eq!((names(&page), page.header("x-total-count")), (vec!["acme-write".to_owned()], Some("1")));
    assert_eq!(reader.get(&of_team("?page=2")).await.is(200).text(), "[]");
    assert_eq!(reader.get(&of_team("/ACME-write")).await.is(200).json()["login"], "acme-write");
    reader.get(&of_team("/ada")).await.is(404).says("user not found");
    reader.get(&of_team("/nobody")).await.is(404).says("user not found");
    let head = reader.head("/api/v1/orgs/acme/teams").await.is(200);
    assert_eq!((head.header("x-total-count"), head.body.len()), (Some("5"), 0));
    // Users who aren't members may ask about themselves.
    let is_member = |user: &str| format!("/api/v1/orgs/acme/members/{user}");
    assert!(reader.get(&is_member("ADA")).await.is(204).body.is_empty());
    reader.head(&is_member("ada")).await.is(204);
    reader.get(&is_member("stranger")).await.is(404);
    reader.get(&is_member("nobody")).await.is(404);
    let stranger = person(&site, "stranger");
    stranger.get(&is_member("stranger")).await.is(404).says("user not found");
    stranger.get(&is_member("ada")).await.is(403).says("only members of acme");
    person(&site, "acme-write").get(&is_member("acme-write")).await.is(204);
    for path in [of_team(""), of_team("/acme-write"), format!("/api/v1/teams/{}", team(&site, "acme", "write"))] {
        stranger.get(&path).await.is(403).says("only members of acme");
        site.anon().get(&path).await.is(401);
    }
    let hidden = format!("/api/v1/teams/{}", team(&site, "zeta", "read"));
    assert_eq!(stranger.get(&hidden).await.is(404).looks(), stranger.get("/api/v1/teams/987654").await.looks());
    // The user's own teams, in all organizations.
    let own = person(&site, "ada").get("/api/v1/user/teams").await.is(200);
    let orgs: Vec<Value> =
        own.json().as_array().unwrap().iter().map(|team| team["organization"]["name"].clone()).collect();
    assert_eq!((names(&own), orgs), (vec!["Owners".to_owned(); 2], vec![json!("acme"), json!("zeta")]));
    let public = site.anon().bearer(&site.db_token("ada", &["read:organization", "public-only"]));
    assert_eq!(public.get("/api/v1/user/teams").await.header("x-total-count"), Some("1"));
    assert_eq!(stranger.get("/api/v1/user/teams").await.text(), "[]");
    site.anon().get("/api/v1/user/teams").await.is(401);
}

#[tokio::test]
async fn members_of_an_org_see_each_other_whatever_their_visibility() {
    let site = Site::new();
    site.db(|conn| {
        db_org(conn, "acme", Visibility::Public)?;
        db_user(conn, "shade", Visibility::Private, false)
    });
    let read = team(&site, "acme", "read");
    site.admin().put(&member(read, "shade"), "").await.is(204);
    let reader = person(&site, "acme-read");
    assert_eq!(names(&reader.get(&format!("/api/v1/teams/{read}/members")).await), ["acme-read", "shade"]);
    reader.get(&member(read, "shade")).await.is(200);
    reader.get("/api/v1/users/shade").await.is(404);
}

#[tokio::test]
async fn the_owners_team_cannot_be_renamed_demoted_or_deleted() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    let ada = person(&site, "ada");
    let (owners, owner) = (team(&site, "acme", "Owners"), team(&site, "acme", "owner"));
    let url = |team: i64| format!("/api/v1/teams/{team}");
    ada.patch(&url(owners), &json!({"name": "Rulers"}))
        .await
        .is(422)
        .says("the name and permission of the team Owners cannot be changed");
    ada.patch(&url(owners), &json!({"permission": "read"}))
        .await
        .is(422)
        .says("the name and permission of the team Owners cannot be changed: every organization needs it");
    ada.delete(&url(owners)).await.is(422).says("cannot be deleted");
    let said = json!({"name": "Owners", "permission": "owner", "description": "They decide"});
    assert_eq!(ada.patch(&url(owners), &said).await.is(200).json()["description"], "They decide");
    // A second team of owners can be deleted, unless its members are the only owners.
    let admin = site.admin();
    admin.delete(&member(owners, "ada")).await.is(204);
    let before = records(&site).len();
    admin.patch(&url(owner), &json!({"permission": "admin"})).await.is(403).says("last owner");
    admin.delete(&url(owner)).await.is(403).says("last owner");
    admin.delete("/api/v1/orgs/acme/members/acme-owner").await.is(403).says("last owner");
    assert_eq!(records(&site).len(), before);
    admin.put(&member(owners, "ada"), "").await.is(204);
    admin.patch(&url(owner), &json!({"permission": "admin"})).await.is(200);
    person(&site, "acme-owner").patch("/api/v1/orgs/acme", &json!({})).await.is(403);
    admin.patch(&url(owner), &json!({"permission": "owner"})).await.is(200);
    admin.delete(&url(owner)).await.is(204);
    assert_eq!(site.db_broken().await, Vec::<String>::new());
}

#[tokio::test]
async fn owners_and_members_themselves_remove_a_member_from_all_teams() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Private));
    let ada = person(&site, "ada");
    let of = |user: &str| format!("/api/v1/orgs/acme/members/{user}");
    for name in ["read", "write"] {
        ada.put(&member(team(&site, "acme", name), "acme-admin"), "").await.is(204);
    }
    let reader = person(&site, "acme-read");
    reader.delete(&of("acme-admin")).await.is(403).says("only owners of acme");
    let before = records(&site).len();
    assert!(ada.delete(&of("ACME-admin")).await.is(204).body.is_empty());
    assert_eq!(records(&site)[before..], ["org.member.remove by ada with token from 127.0.0.1 on acme acme-admin"]);
    person(&site, "acme-admin").get("/api/v1/orgs/acme").await.is(404);
    ada.delete(&of("acme-admin")).await.is(404).says("user not found");
    ada.delete(&of("nobody")).await.is(404).says("user not found");
    let weak = site.anon().bearer(&site.db_token("acme-read", &["read:organization"]));
    weak.delete(&of("acme-read")).await.is(403).says("write:organization");
    reader.delete(&of("acme-read")).await.is(204);
    reader.get("/api/v1/orgs/acme").await.is(404);
    reader.delete(&of("acme-read")).await.is(404);
    person(&site, "acme-owner").delete(&of("acme-owner")).await.is(204);
    ada.delete(&of("ada")).await.is(403).says("last owner");
    assert_eq!(site.db_broken().await, Vec::<String>::new());
}

#[tokio::test]
async fn removing_the_last_two_owners_at_once_leaves_one() {
    let site = Site::start(Plan { real_time: true, ..Plan::default() });
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    let admin = site.admin();
    let (first, second) = (team(&site, "acme", "Owners"), team(&site, "acme", "owner"));
    let url = format!("/api/v1/teams/{second}");
    for round in 0..9 {
        let leave = async || admin.delete("/api/v1/orgs/acme/members/ada").await.status;
        let other = async || match round % 3 {
            0 => admin.patch(&url, &json!({"permission": "read"})).await.status,
            1 => admin.delete("/api/v1/orgs/acme/members/acme-owner").await.status,
            _ => admin.delete("/api/v1/admin/users/acme-owner").await.status,
        };
        let (one, two) = tokio::join!(leave(), other());
        let refused = [one, two].iter().filter(|status| [403, 422].contains(status)).count();
        assert_eq!(refused, 1, "round {round}: {one} {two}");
        if site.admin().get("/api/v1/users/acme-owner").await.status == 404 {
            site.db(|conn| db_user(conn, "acme-owner", Visibility::Public, false));
        }
        admin.patch(&url, &json!({"permission": "owner"})).await.is(200);
        admin.put(&member(first, "ada"), "").await.is(204);
        admin.put(&member(second, "acme-owner"), "").await.is(204);
    }
    assert_eq!(site.db_broken().await, Vec::<String>::new());
}
