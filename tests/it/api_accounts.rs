//! Users, organizations, teams and tokens by the REST API: what is refused, and what must not show.

use crate::support::people::{db_org, db_user};
use crate::support::wire::{self, Wire};
use crate::support::{Answer, Site, cluster::cluster};
use packhouse::domain::role::Visibility;
use packhouse::domain::secret::TokenSecret;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

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
async fn texts_have_an_end_and_no_control_characters() {
    let site = Site::new();
    let ada = site.anon().bearer(&site.db_token("ada", &["write:organization"]));
    for (field, text) in [
        ("full_name", "a\0".to_owned()),
        ("full_name", "a\nb".to_owned()),
        ("full_name", "x".repeat(256)),
        ("description", "a\0".to_owned()),
        ("description", "\u{1b}[2J".to_owned()),
        ("description", "x".repeat(2001)),
    ] {
        ada.post("/api/v1/orgs", &json!({"username": "acme", field: text})).await.is(422).says(field);
    }
    let new = |full_name: &str| {
        json!({"username": "grace", "email": "grace@example.org", "password": "a long enough password",
            "full_name": full_name})
    };
    for full_name in ["a\0", "a\nb", &"x".repeat(256)] {
        site.admin().post("/api/v1/admin/users", &new(full_name)).await.is(422).says("full_name");
    }
    let made = site.admin().post("/api/v1/admin/users", &new(&"é".repeat(127))).await.is(201).json();
    assert_eq!(made["full_name"], "é".repeat(127));
    let said = json!({"username": "acme", "full_name": "Acme <b>", "description": "one\n\ttwo"});
    let made = ada.post("/api/v1/orgs", &said).await.is(201);
    insta::assert_snapshot!(made.text(), @r#"{"id":5,"name":"acme","username":"acme","full_name":"Acme <b>","description":"one\n\ttwo","website":"","location":"","avatar_url":"","visibility":"public"}"#);
}

#[tokio::test]
async fn a_token_s_name_with_a_control_character_is_one_that_is_not_there() {
    let site = Site::new();
    for name in ["%00", "ci%00", "%1b", "ci%0a", "%ff"] {
        let answer = site.ada().delete(&format!("/api/v1/users/ada/tokens/{name}")).await.is(404);
        assert_eq!(answer.json()["message"], "access token not found");
    }
}

#[tokio::test]
async fn a_body_that_stands_still_is_cut_off() {
    let site = Site::with(&[("PACKHOUSE_LIMITS_UPLOAD_STALL_SECONDS", "1")]);
    let token = site.db_token("ada", &["write:organization"]);
    for length in [("Content-Length", "100"), ("Transfer-Encoding", "chunked")] {
        let authorization = format!("Bearer {token}");
        let mut wire = Wire::open(site.address).await;
        wire.say(wire::head("POST", "/api/v1/orgs", &[("Authorization", &authorization), length])).await;
        wire.say(if length.1 == "100" { "{" } else { "1\r\n{\r\n" }).await;
        assert_eq!(wire.answer("POST").await.map(|answer| answer.status), Some(408), "{length:?}");
        wire.rest().await;
    }
    let long = format!("{{\"username\": \"{}\"}}", "x".repeat(70_000));
    let request = site.anon().bearer(&token).request("POST", "/api/v1/orgs");
    request.body(long).await.is(422).says("longer than 65536 bytes");
}

#[tokio::test]
async fn nobody_is_waited_for_who_may_not_do_it_anyway() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    let made_up = TokenSecret::generate().reveal().to_owned();
    let routes = ["/api/v1/admin/users", "/api/v1/orgs", "/api/v1/orgs/acme/teams", "/api/v1/users/ada/tokens"];
    for route in routes {
        for (token, status) in [(&made_up, 401), (&cluster().people.ci, 403)] {
            let begun = Instant::now();
            let authorization = format!("Bearer {token}");
            let fields = [("Authorization", &*authorization), ("Content-Length", "100")];
            let mut wire = Wire::open(site.address).await;
            wire.say(wire::head("POST", route, &fields)).await.say("{").await;
            assert_eq!(wire.answer("POST").await.unwrap().status, status, "{route}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{route}: {:?}", begun.elapsed());
        }
    }
    for length in [("Content-Length", "100"), ("Transfer-Encoding", "chunked")] {
        let authorization = format!("Bearer {made_up}");
        let mut wire = Wire::open(site.address).await;
        wire.say(wire::head("POST", "/api/v1/orgs", &[("Authorization", &authorization), length])).await;
        assert_eq!(wire.answer("POST").await.unwrap().status, 401);
        wire.rest().await;
    }
}

#[tokio::test]
async fn a_limited_token_makes_no_organization_outside_of_its_limits() {
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
async fn a_team_of_an_organization_that_may_not_be_seen_looks_like_no_team() {
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
async fn a_user_who_may_not_be_seen_cannot_be_taken_into_a_team_but_out_of_it() {
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
async fn a_token_cannot_be_limited_to_an_owner_who_may_not_be_seen() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "hidden", Visibility::Private));
    let stranger = site.user("stranger");
    let new = |owner: &str| json!({"name": "t", "scopes": ["read:package"], "owners": [owner]});
    let hidden = stranger.post("/api/v1/users/stranger/tokens", &new("hidden")).await.is(422);
    let nobody = stranger.post("/api/v1/users/stranger/tokens", &new("nobody")).await.is(422);
    assert_eq!(hidden.text().replace("hidden", "nobody"), nobody.text());
    let made = site.ada().post("/api/v1/users/ada/tokens", &new("Hidden")).await.is(201).json();
    assert_eq!(made["owners"], json!(["hidden"]));
}

#[tokio::test]
async fn a_time_beyond_all_times_is_refused_with_the_limit() {
    let site = Site::new();
    let post = |name: &str, at: &str| {
        let new = json!({"name": name, "scopes": ["read:package"], "expires_at": at});
        site.ada().post("/api/v1/users/ada/tokens", &new)
    };
    post("a", "9999-12-31T23:59:59Z").await.is(422).says("9999-12-30T22:00:00Z");
    post("a", "never").await.is(422).says("2027-01-31T00:00:00Z");
    post("a", "2001-01-01T00:00:00Z").await.is(422).says("future");
    let made = post("a", "9999-12-30T22:00:00Z").await.is(201).json();
    assert_eq!(made["expires_at"], "9999-12-30T22:00:00Z");
    site.anon().bearer(made["sha1"].as_str().unwrap()).get("/api/v1/packages/ada").await.is(200);
}

#[tokio::test]
async fn the_last_owner_stays_whatever_his_team_is_called() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    let (first, second) = (team(&site, "acme", "Owners"), team(&site, "acme", "owner"));
    let other = site.anon().bearer(&site.db_token("acme-owner", &["write:organization"]));
    other.delete(&member(first, "ada")).await.is(204);
    other.delete(&member(second, "acme-owner")).await.is(403).says("last owner");
    // A team without the permission of owners does not count, nor does one that is called like theirs.
    other.delete(&member(team(&site, "acme", "read"), "acme-read")).await.is(204);
    other.request("PUT", &member(first, "stranger")).header("content-length", "0").await.is(204);
    other.delete(&member(second, "acme-owner")).await.is(204);
    assert_eq!(site.db_broken().await, Vec::<String>::new());
}

#[tokio::test]
async fn of_two_last_owners_who_leave_at_once_one_stays() {
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
async fn every_error_below_the_api_is_json_with_the_site_s_own_address() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://packages.example.org")]);
    for (method, path, status) in
        [("PATCH", "/api/v1/version", 405), ("GET", "/api/v1/nothing", 404), ("GET", "/api/v1", 404)]
    {
        let error: Value = site.anon().request(method, path).await.is(status).json();
        assert_eq!(error["url"], "https://packages.example.org/api/swagger", "{method} {path}");
    }
    let elsewhere = site.anon().get("/api/v10").await.is(404);
    assert_eq!(elsewhere.header("content-type"), Some("text/plain; charset=utf-8"));
}
