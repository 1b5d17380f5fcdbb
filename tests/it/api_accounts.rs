//! The REST API of accounts and access tokens: invalid input, stalled bodies, errors, the version for Gitea clients.

use crate::support::people::db_org;
use crate::support::wire::{self, Wire};
use crate::support::{Answer, Site, cluster::cluster};
use packhouse::domain::role::Visibility;
use packhouse::domain::secret::TokenSecret;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[tokio::test]
async fn texts_have_a_maximum_length_and_no_control_characters() {
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
async fn a_token_name_with_a_control_character_is_not_found() {
    let site = Site::new();
    for name in ["%00", "ci%00", "%1b", "ci%0a", "%ff"] {
        let answer = site.ada().delete(&format!("/api/v1/users/ada/tokens/{name}")).await.is(404);
        assert_eq!(answer.json()["message"], "access token not found");
    }
}

#[tokio::test]
async fn a_stalled_request_body_is_cut_off() {
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
async fn a_forbidden_request_is_refused_without_waiting_for_its_body() {
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
async fn a_token_cannot_be_limited_to_a_hidden_owner() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "hidden", Visibility::Private));
    let stranger = site.user("stranger");
    let new = |owner: &str| json!({"name": "t", "scopes": ["read:package"], "owners": [owner]});
    let hidden = stranger.post("/api/v1/users/stranger/tokens", &new("hidden")).await.is(422);
    let nobody = stranger.post("/api/v1/users/stranger/tokens", &new("nobody")).await.is(422);
    let message = |answer: &Answer| answer.json()["message"].as_str().unwrap().replace("hidden", "nobody");
    assert_eq!(message(&hidden), message(&nobody));
    let made = site.ada().post("/api/v1/users/ada/tokens", &new("Hidden")).await.is(201).json();
    assert_eq!(made["owners"], json!(["hidden"]));
}

#[tokio::test]
async fn an_expiration_too_far_away_is_refused_and_the_limit_named() {
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
async fn the_version_satisfies_gitea_clients_and_contains_our_own() {
    let site = Site::new();
    let version = site.anon().get("/api/v1/version").await.is(200).json()["version"].as_str().unwrap().to_owned();
    let version: semver::Version = version.parse().unwrap();
    // Gitea's Go SDK refuses servers older than 1.11, and requires up to 1.25 for some of its requests.
    assert!((version.major, version.minor) >= (1, 25), "{version}");
    assert!(version.pre.is_empty(), "{version}");
    assert_eq!(version.build.as_str(), concat!("packhouse-", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn api_errors_are_json_with_the_address_of_the_site() {
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

#[tokio::test]
async fn a_token_can_describe_itself_and_revoke_itself() {
    let site = Site::new();
    let secret = site.db_limited_token("ada", &["read:package"], |new| {
        new.owners = Some(vec!["stranger".parse().unwrap(), "ada".parse().unwrap()]);
        new.packages = Some(vec!["tool-*".parse().unwrap()]);
    });
    let token = site.anon().bearer(&secret);
    let said = token.get("/api/v1/token").await.is(200);
    let shown = said.text().replace(&secret[secret.len() - 8..], "(eight)").replace(",\"", ",\n\"");
    insta::assert_snapshot!(shown, @r#"
    {"id":5,
    "name":"token 4",
    "scopes":["read:package"],
    "token_last_eight":"(eight)",
    "sha1":"",
    "created_at":"2026-01-02T03:04:05Z",
    "last_used_at":null,
    "expires_at":null,
    "owners":["ada",
    "stranger"],
    "packages":["tool-*"],
    "feeds_only":false,
    "no_redirects":false,
    "creator":"command-line"}
    "#);
    assert_eq!(token.head("/api/v1/token").await.is(200).body.len(), 0);
    for method in ["GET", "DELETE"] {
        site.ada().request(method, "/api/v1/token").await.is(403).says("for access tokens");
        site.anon().request(method, "/api/v1/token").await.is(401);
    }
    let before = site.db_audit().len();
    assert!(token.delete("/api/v1/token").await.is(204).body.is_empty());
    token.get("/api/v1/token").await.is(401);
    token.delete("/api/v1/token").await.is(401);
    assert_eq!(site.db_audit()[before..], ["token.revoke by ada with token from 127.0.0.1 on ada token 4"]);
}

#[tokio::test]
async fn tokens_of_a_user_are_listed_in_pages_newest_first() {
    let site = Site::new();
    let list = site.ada().get("/api/v1/users/ada/tokens?limit=1").await.is(200);
    assert_eq!((list.json()[0]["name"].as_str(), list.header("x-total-count")), (Some("reader"), Some("2")));
    assert!(list.header("link").unwrap().contains("page=2&limit=1>; rel=\"next\""));
    assert_eq!(list.json()[0]["sha1"], "");
    let last = site.ada().get("/api/v1/users/ada/tokens?limit=1&page=2").await.is(200);
    assert_eq!(last.json()[0]["name"], "ci");
    let of_others = site.user("admin").get("/api/v1/users/ADA/tokens").await.is(200);
    assert_eq!(of_others.json().as_array().unwrap().len(), 2);
    site.user("admin").get("/api/v1/users/nobody/tokens").await.is(404).says("user not found");
    site.user("stranger").get("/api/v1/users/ada/tokens").await.is(403);
}

#[tokio::test]
async fn a_token_has_at_most_a_hundred_owners_and_a_hundred_patterns() {
    let site = Site::new();
    let new = |field: &str, count: usize| {
        let list: Vec<&str> = vec!["ada"; count];
        json!({"name": format!("{field} {count}"), "scopes": ["read:package"], field: list})
    };
    for field in ["owners", "packages"] {
        site.ada().post("/api/v1/users/ada/tokens", &new(field, 101)).await.is(422).says(field).says("at most 100");
        site.ada().post("/api/v1/users/ada/tokens", &new(field, 100)).await.is(201);
    }
}

#[tokio::test]
async fn the_api_tells_clients_its_page_sizes() {
    let site = Site::with(&[("PACKHOUSE_REQUIRE_SIGNIN", "true")]);
    let settings = site.anon().get("/api/v1/settings/api").await.is(200);
    insta::assert_snapshot!(settings.text(), @r#"{"max_response_items":50,"default_paging_num":30,"default_git_trees_per_page":1000,"default_max_blob_size":10485760,"default_max_response_size":104857600}"#);
    assert_eq!(site.anon().head("/api/v1/settings/api").await.is(200).body.len(), 0);
}

#[tokio::test]
async fn errors_of_a_new_token_name_the_field() {
    let site = Site::new();
    let post = async |name: &str, value: Value| {
        let mut said = json!({"name": "ci", "scopes": ["read:package"]});
        // Gitea answers 400 to scopes that don't exist, and to none.
        let status = if name == "scopes" && value.is_array() { 400 } else { 422 };
        said[name] = value;
        let answer = site.ada().post("/api/v1/users/ada/tokens", &said).await.is(status);
        answer.json()["message"].as_str().unwrap().to_owned()
    };
    for (field, value) in [
        ("name", json!("")),
        ("name", json!(7)),
        ("scopes", json!([])),
        ("scopes", json!(["public-only"])),
        ("scopes", json!(["everything"])),
        ("scopes", json!("read:package")),
        ("expires_at", json!("2001-01-01T00:00:00Z")),
        ("expires_at", json!("never")),
        ("expires_at", json!(7)),
        ("owners", json!(["nobody"])),
        ("owners", json!(["a--b"])),
        ("packages", json!([""])),
    ] {
        let message = post(field, value.clone()).await;
        assert!(message.starts_with(field), "{field} {value}: {message}");
        assert!(!message.contains(" at line "), "{field} {value}: {message}");
    }
    let broken = site.ada().request("POST", "/api/v1/users/ada/tokens").header("content-type", "application/json");
    broken.body("{\"name\": ").await.is(422).says(" at line 1 column ");
}
