//! Robots: an organization's own accounts, with tokens and grants and nothing else.

use crate::support::people::{db_org, db_user};
use crate::support::receiver::Receiver;
use crate::support::{Client, PASSWORD, Site, path};
use packhouse::domain::role::Visibility;
use serde_json::{Value, json};

const ROBOTS: &str = "/api/v1/orgs/acme/robots";

/// Ada's private organization `acme`, and a site administrator.
fn settle() -> Site {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Private));
    site
}

async fn create(site: &Site, name: &str) -> Value {
    site.ada().post(ROBOTS, &json!({"name": name, "description": "Builds"})).await.is(201).json()
}

async fn token(site: &Site, robot: &str, scope: &str) -> Client {
    let tokens = format!("{ROBOTS}/{robot}/tokens");
    let made = site.ada().post(&tokens, &json!({"name": "ci", "scopes": [scope]})).await.is(201).json();
    assert_eq!(made["creator"], "ada");
    site.anon().bearer(made["sha1"].as_str().unwrap())
}

async fn grant(site: &Site, robot: &str, pattern: &str, permission: &str) -> Value {
    let body = json!({"robot": robot, "pattern": pattern, "permission": permission});
    site.ada().post("/api/v1/packages/acme/-/grants", &body).await.is(201).json()
}

#[tokio::test]
async fn a_robot_publishes_where_a_grant_allows_it_and_nowhere_else() {
    let site = settle();
    site.ada().publish(&path(&["acme", "secret", "1", "f"]), "x").await;
    let made = create(&site, "deploy").await;
    assert_eq!(
        (&made["name"], &made["account"], &made["tokens"]),
        (&json!("deploy"), &json!("acme/deploy"), &json!(0))
    );
    let robot = token(&site, "deploy", "write:package").await;
    let file = path(&["acme", "firmware-x", "1", "f"]);
    robot.put(&file, "x").await.is(404);
    let given = grant(&site, "deploy", "firmware-*", "write").await;
    assert_eq!((&given["robot"], &given["user"], &given["team"]), (&json!("deploy"), &json!(null), &json!(null)));
    robot.publish(&file, "x").await;
    robot.get(&file).await.is(200).says("x");
    let shown = site.ada().get("/api/v1/packages/acme/generic/firmware-x/1").await.is(200).json();
    assert_eq!(shown["creator"]["login"], "acme/deploy");
    robot.get(&path(&["acme", "secret", "1", "f"])).await.is(404);
    robot.put(&path(&["acme", "secret", "2", "f"]), "x").await.is(403);
    robot.get("/api/v1/orgs/acme").await.is(403);
    robot.put(&path(&["ada", "tool", "1", "f"]), "x").await.is(403);
    // Both are in the log: the robot, and who made its token.
    let records = site.admin().get("/api/v1/admin/audit?actor=acme/deploy").await.is(200).json();
    let record = &records[0];
    assert_eq!((&record["actor"]["name"], &record["event"]), (&json!("acme/deploy"), &json!("file.publish")));
    assert_eq!((&record["credential"], &record["token_creator"]), (&json!("token"), &json!("ada")));
    let by_ada = site.admin().get("/api/v1/admin/audit?actor=ada&event=token.create").await.is(200).json();
    assert_eq!((&by_ada[0]["owner"]["name"], &by_ada[0]["token_creator"]), (&json!("acme/deploy"), &json!(null)));
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_robot_outlives_the_person_who_created_it() {
    let site = settle();
    site.db(|conn| db_user(conn, "bob", Visibility::Public, false));
    let teams = site.admin().get("/api/v1/orgs/acme/teams").await.is(200).json();
    let owners = teams.as_array().unwrap().iter().find(|team| team["permission"] == "owner").unwrap();
    let owners = format!("/api/v1/teams/{}/members", owners["id"]);
    site.admin().put(&format!("{owners}/bob"), "").await.is(204);
    let made = site.user("bob").post(ROBOTS, &json!({"name": "deploy"})).await.is(201).json();
    assert_eq!(made["account"], "acme/deploy");
    let secret =
        site.user("bob").post(&format!("{ROBOTS}/deploy/tokens"), &json!({"name": "ci", "scopes": ["write:package"]}));
    let robot = site.anon().bearer(secret.await.is(201).json()["sha1"].as_str().unwrap());
    grant(&site, "deploy", "*", "write").await;
    site.admin().delete("/api/v1/admin/users/bob").await.is(204);
    robot.publish(&path(&["acme", "tool", "1", "f"]), "x").await;
    let records = site.admin().get("/api/v1/admin/audit?event=file.publish").await.is(200).json();
    assert_eq!((&records[0]["actor"]["name"], &records[0]["token_creator"]), (&json!("acme/deploy"), &json!("bob")));
    let mut browser = site.browser_of("admin").await;
    browser.go("/-/admin/audit?event=file.publish").await.is(200);
    assert!(browser.one("#records details").contains("with a token that bob created"));
}

#[tokio::test]
async fn nobody_signs_in_as_a_robot_or_finds_it_among_users() {
    let site = settle();
    create(&site, "deploy").await;
    let before = site.admin().get("/api/v1/admin/users").await.is(200).json().as_array().unwrap().len();
    create(&site, "other").await;
    let users = site.admin().get("/api/v1/admin/users").await.is(200).json();
    assert_eq!(users.as_array().unwrap().len(), before);
    assert!(!users.to_string().contains("deploy"));
    for search in ["/api/v1/users/search?q=deploy", "/api/v1/users/search?q=acme%2F", "/explore/owners?q=deploy"] {
        let answer = site.admin().get(search).await.is(200);
        assert!(!answer.text().contains("acme/deploy"), "{search}");
    }
    for (name, password) in [("acme/deploy", PASSWORD), ("acme/deploy", "")] {
        site.anon().basic(name, password).get("/api/v1/user").await.is(401);
    }
    for path in ["/api/v1/users/acme%2Fdeploy", "/acme%2Fdeploy", "/api/packages/acme%2Fdeploy/generic/tool/1/f"] {
        site.admin().get(path).await.is(404);
    }
    site.admin().get("/api/v1/user?sudo=acme/deploy").await.is(404);
    site.admin().put("/api/packages/acme%2Fdeploy/generic/tool/1/f", "x").await.is(400);
    let teams = site.admin().get("/api/v1/orgs/acme/teams").await.is(200).json();
    site.admin().put(&format!("/api/v1/teams/{}/members/acme%2Fdeploy", teams[0]["id"]), "").await.is(404);
    // A user cannot take the name of a robot, and a robot not a reserved shape.
    let user = json!({"username": "acme/new", "email": "new@example.org", "password": PASSWORD});
    site.admin().post("/api/v1/admin/users", &user).await.is(422);
    for name in ["", "a/b", "-", "..", "a b"] {
        site.ada().post(ROBOTS, &json!({"name": name})).await.is(422);
    }
}

#[tokio::test]
async fn only_a_password_of_an_owner_creates_tokens_of_robots_for_packages() {
    let site = settle();
    create(&site, "deploy").await;
    let tokens = format!("{ROBOTS}/deploy/tokens");
    let body = json!({"name": "ci", "scopes": ["write:package"]});
    let all = site.anon().bearer(&site.db_token("ada", &["all"]));
    all.post(&tokens, &body).await.is(403);
    site.user("stranger").post(&tokens, &body).await.is(404);
    for scopes in [json!(["all"]), json!(["write:organization"]), json!(["read:package", "read:user"]), json!([])] {
        site.ada().post(&tokens, &json!({"name": "ci", "scopes": scopes})).await.is(400);
    }
    let robot = token(&site, "deploy", "read:package").await;
    site.ada().post(&tokens, &body).await.is(400).says("already exists");
    robot.get("/api/v1/token").await.is(200).says("\"creator\":\"ada\"");
    let listed = site.ada().get(&tokens).await.is(200).json();
    assert_eq!((&listed[0]["name"], &listed[0]["sha1"]), (&json!("ci"), &json!("")));
    site.ada().delete(&format!("{tokens}/ci")).await.is(204);
    robot.get("/api/v1/token").await.is(401);
    site.ada().delete(&format!("{tokens}/ci")).await.is(404);
    site.ada().get(&format!("{ROBOTS}/nobody/tokens")).await.is(404).says("robot not found");
}

#[tokio::test]
async fn robots_are_renamed_and_deleted_with_their_organization() {
    let site = settle();
    create(&site, "deploy").await;
    site.ada().post(ROBOTS, &json!({"name": "Deploy"})).await.is(422).says("already exists");
    let robot = token(&site, "deploy", "write:package").await;
    grant(&site, "deploy", "*", "write").await;
    robot.publish(&path(&["acme", "tool", "1", "f"]), "x").await;
    site.ada().post("/api/v1/orgs/acme/rename", &json!({"new_name": "Initech"})).await.is(204);
    let robots = site.ada().get("/api/v1/orgs/initech/robots").await.is(200).json();
    assert_eq!(robots[0]["account"], "Initech/deploy");
    robot.publish(&path(&["initech", "tool", "2", "f"]), "x").await;
    assert!(site.db_broken().await.is_empty());
    site.ada().patch("/api/v1/orgs/initech/robots/DEPLOY", &json!({"description": "Other"})).await.is(200);
    site.ada().delete("/api/v1/packages/initech/generic/tool?purge=true").await;
    site.ada().delete("/api/packages/initech/generic/tool").await;
    site.ada().delete("/api/v1/orgs/initech").await.is(204);
    robot.get("/api/v1/token").await.is(401);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM owners WHERE name LIKE '%/%'"), 0);
}

#[tokio::test]
async fn a_deleted_robot_loses_its_tokens_and_its_files_stay() {
    let site = settle();
    create(&site, "deploy").await;
    let robot = token(&site, "deploy", "write:package").await;
    grant(&site, "deploy", "*", "write").await;
    let file = path(&["acme", "tool", "1", "f"]);
    robot.publish(&file, "x").await;
    site.ada().delete(&format!("{ROBOTS}/deploy")).await.is(204);
    robot.get(&file).await.is(401);
    site.ada().get(&file).await.is(200).says("x");
    let shown = site.ada().get("/api/v1/packages/acme/generic/tool/1").await.is(200).json();
    assert_eq!(shown["creator"]["login"], "Ghost");
    assert!(site.ada().get("/api/v1/packages/acme/-/grants").await.is(200).json().as_array().unwrap().is_empty());
    site.ada().get(&format!("{ROBOTS}/deploy")).await.is(404);
    let log = site.db_audit();
    assert!(log.iter().any(|record| record.starts_with("robot.delete by ada")), "{log:?}");
}

#[tokio::test]
async fn a_webhook_names_the_robot_that_published() {
    let site = Site::with(&[("PACKHOUSE_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8")]);
    site.db(|conn| db_org(conn, "acme", Visibility::Private));
    let receiver = Receiver::new();
    let config = json!({"url": receiver.url(), "content_type": "json"});
    let hook = json!({"type": "gitea", "active": true, "config": config});
    site.ada().post("/api/v1/orgs/acme/hooks", &hook).await.is(201);
    create(&site, "deploy").await;
    let robot = token(&site, "deploy", "write:package").await;
    grant(&site, "deploy", "*", "write").await;
    robot.publish(&path(&["acme", "tool", "1", "f"]), "x").await;
    site.app.webhook_sender().run().await;
    let heard = receiver.heard();
    let sent = heard[0].json();
    assert_eq!(
        (&sent["sender"]["login"], &sent["package"]["creator"]["login"]),
        (&json!("acme/deploy"), &json!("acme/deploy"))
    );
}

#[tokio::test]
async fn an_owner_manages_a_robot_in_the_browser() {
    let site = settle();
    let mut browser = site.browser_of("ada").await;
    browser.go("/org/acme/robots").await.is(200);
    browser.submit("form[action='/org/acme/robots']", &[("name", "no way")]).await.is(422);
    browser.submit("form[action='/org/acme/robots']", &[("name", "deploy"), ("description", "Builds")]).await;
    browser.follow().await.is(200);
    assert!(browser.text().contains("Robot acme/deploy created"));
    let at = "/org/acme/robots/deploy";
    browser.submit(&format!("form[action='{at}/grants']"), &[("pattern", "tool*"), ("permission", "write")]).await;
    browser.follow().await.is(200);
    assert_eq!(browser.all("#grant-list tbody code"), ["tool*"]);
    let tokens = format!("form[action='{at}/tokens']");
    browser.submit(&tokens, &[("name", "ci"), ("current_password", "wrong password")]).await.is(422);
    assert_eq!(browser.attrs("#name", "value"), ["ci"]);
    browser.submit(&tokens, &[("name", "ci"), ("current_password", PASSWORD)]).await.is(200);
    let secret = browser.one("#secret");
    assert!(browser.text().contains("/api/packages/acme/generic/toolhello/1.0.0/hello.txt"), "{}", browser.text());
    let robot = site.anon().bearer(&secret);
    robot.publish(&path(&["acme", "tool", "1", "f"]), "x").await;
    // The page of the version names the robot, and leads to its organization.
    browser.go("/acme/-/packages/generic/tool/1").await.is(200);
    assert!(browser.text().contains("acme/deploy"));
    browser.go(at).await.is(200);
    browser.submit("#token-list form", &[]).await;
    browser.follow().await.is(200);
    assert!(browser.text().contains("Token ci revoked"));
    robot.get("/api/v1/token").await.is(401);
    browser.submit("#grant-list form", &[]).await;
    browser.follow().await.is(200);
    assert!(browser.text().contains("This robot has no access yet"));
    browser.submit(&format!("form[action='{at}/delete']"), &[("confirm", "another")]).await.is(422);
    browser.submit(&format!("form[action='{at}/delete']"), &[("confirm", "deploy")]).await;
    browser.follow().await.is(200);
    assert!(browser.text().contains("No robots yet"));
    let mut other = site.browser_of("stranger").await;
    other.go("/org/acme/robots").await.is(404);
}
