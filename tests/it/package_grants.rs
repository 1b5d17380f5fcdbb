//! Rights to single packages: grants to users and teams, teams that are limited to some packages, and protection rules.

use crate::support::people::{db_org, db_user};
use crate::support::{Client, Site, path};
use packhouse::domain::role::Visibility;
use serde_json::{Value, json};

/// A private and a public organization, each with two packages of firmware and one that is not.
async fn settle() -> Site {
    let site = Site::new();
    site.db(|conn| {
        db_org(conn, "vault", Visibility::Private)?;
        db_org(conn, "acme", Visibility::Public)?;
        db_org(conn, "guild", Visibility::Public)?;
        db_user(conn, "bob", Visibility::Public, false)?;
        db_user(conn, "eve", Visibility::Public, false)
    });
    for owner in ["vault", "acme"] {
        for package in ["firmware-a", "firmware-b", "secretwork"] {
            site.ada().publish(&path(&[owner, package, "1.0", "file"]), "hello").await;
        }
    }
    site
}

fn token(site: &Site, name: &str) -> Client {
    site.anon().bearer(&site.db_token(name, &["write:package", "write:organization"]))
}

async fn text(client: &Client, path: &str) -> String {
    client.get(path).await.is(200).text().to_owned()
}

async fn put(client: &Client, path: &str, body: &Value) -> crate::support::Answer {
    client.request("PUT", path).header("content-type", "application/json").body(body.to_string()).await
}

/// Gives a user or a team a grant, as an owner of the organization does.
async fn grant(site: &Site, owner: &str, body: Value) -> i64 {
    let made = token(site, "ada").post(&format!("/api/v1/packages/{owner}/-/grants"), &body).await;
    made.is(201).json()["id"].as_i64().unwrap()
}

#[tokio::test]
async fn a_collaborator_sees_exactly_the_packages_of_their_pattern() {
    let site = settle().await;
    let bob = token(&site, "bob");
    bob.get(&path(&["vault"])).await.is(404);
    grant(&site, "vault", json!({"user": "bob", "pattern": "Firmware-*", "permission": "read"})).await;
    assert_eq!(text(&bob, &path(&["vault"])).await, "firmware-a\nfirmware-b\n");
    bob.get(&path(&["vault", "firmware-a", "1.0", "file"])).await.is(200).says("hello");
    bob.get(&path(&["vault", "firmware-a", "1.0", "SHA256SUMS"])).await.is(200);
    let found = bob.get("/api/v1/packages/search?owner=vault").await.is(200);
    assert_eq!(found.header("x-total-count"), Some("2"));
    let listed = bob.get("/api/v1/packages/vault").await.is(200);
    assert_eq!(listed.header("x-total-count"), Some("2"));
    // The other package looks like one that does not exist.
    for (hidden, absent) in [
        (path(&["vault", "secretwork"]), path(&["vault", "neverthere"])),
        (path(&["vault", "secretwork", "1.0", "file"]), path(&["vault", "neverthere", "1.0", "file"])),
        (
            "/api/v1/packages/vault/generic/secretwork/1.0".to_owned(),
            "/api/v1/packages/vault/generic/neverthere/1.0".to_owned(),
        ),
    ] {
        let (status, head, text) = bob.get(&hidden).await.looks();
        let (absent, other, words) = bob.get(&absent).await.looks();
        assert_eq!((status, head, text.replace("secretwork", "neverthere")), (absent, other, words), "{hidden}");
        assert_eq!(status, 404, "{hidden}");
    }
    // Nobody else sees more than before, and the collaborator sees nothing else of the organization.
    token(&site, "eve").get(&path(&["vault", "firmware-a", "1.0", "file"])).await.is(404);
    bob.get("/api/v1/orgs/vault").await.is(404);
    bob.get("/api/v1/orgs/vault/members").await.is(404);
    bob.get("/api/v1/packages/vault/-/grants").await.is(404);
    // Reading is no right to publish.
    bob.put(&path(&["vault", "firmware-a", "2.0", "file"]), "more").await.is(403);
    bob.delete(&path(&["vault", "firmware-a", "1.0"])).await.is(403);
}

#[tokio::test]
async fn a_collaborator_with_write_publishes_and_deletes_by_pattern_only() {
    let site = settle().await;
    let bob = token(&site, "bob");
    for owner in ["vault", "acme"] {
        grant(&site, owner, json!({"user": "bob", "pattern": "firmware-*", "permission": "write"})).await;
        bob.put(&path(&[owner, "firmware-new", "1.0", "file"]), "new").await.is(201);
        bob.put(&path(&[owner, "FIRMWARE-A", "2.0", "file"]), "more").await.is(201);
        bob.delete(&path(&[owner, "firmware-b", "1.0"])).await.is(204);
        for package in ["secretwork", "neverthere", "firmware"] {
            let refused = bob.put(&path(&[owner, package, "2.0", "file"]), "more").await;
            refused
                .is(403)
                .says(&format!("bob does not have write access to {package} of {owner}, only to firmware-*"));
            bob.delete(&path(&[owner, package, "1.0"])).await.is(403);
        }
    }
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_grant_to_a_team_is_for_its_members() {
    let site = settle().await;
    let id =
        grant(&site, "vault", json!({"team": "guild/write", "pattern": "firmware-a", "permission": "write"})).await;
    let member = token(&site, "guild-write");
    assert_eq!(text(&member, &path(&["vault"])).await, "firmware-a\n");
    member.put(&path(&["vault", "firmware-a", "2.0", "file"]), "more").await.is(201);
    let reader = token(&site, "guild-read");
    reader.get(&path(&["vault"])).await.is(404);
    token(&site, "ada").delete(&format!("/api/v1/packages/vault/-/grants/{id}")).await.is(204);
    member.get(&path(&["vault"])).await.is(404);
    member.put(&path(&["vault", "firmware-a", "3.0", "file"]), "more").await.is(404);
}

#[tokio::test]
async fn grants_are_listed_changed_and_recorded() {
    let site = settle().await;
    let ada = token(&site, "ada");
    let id = grant(&site, "vault", json!({"user": "bob", "pattern": "firmware-*", "permission": "read"})).await;
    let at = format!("/api/v1/packages/vault/-/grants/{id}");
    put(&ada, &at, &json!({"pattern": "*", "permission": "write"})).await.is(200);
    let shown = ada.get(&at).await.is(200).json();
    assert_eq!(
        (&shown["user"], &shown["pattern"], &shown["permission"]),
        (&json!("bob"), &json!("*"), &json!("write"))
    );
    assert_eq!(ada.get("/api/v1/packages/vault/-/grants").await.is(200).header("x-total-count"), Some("1"));
    token(&site, "bob").put(&path(&["vault", "secretwork", "2.0", "file"]), "more").await.is(201);
    ada.delete(&at).await.is(204);
    ada.get(&at).await.is(404);
    let log = site.db_audit();
    let log: Vec<_> = log.iter().filter(|line| line.contains("grant.")).collect();
    assert_eq!(log.len(), 3, "{log:?}");
}

#[tokio::test]
async fn grants_refuse_what_cannot_be_given() {
    let site = settle().await;
    site.db(|conn| db_user(conn, "hermit", Visibility::Private, false));
    let ada = token(&site, "ada");
    let list = "/api/v1/packages/vault/-/grants";
    let bob = |permission: &str| json!({"user": "bob", "pattern": "*", "permission": permission});
    ada.post(list, &bob("owner")).await.is(422).says("owns all packages");
    ada.post(list, &bob("none")).await.is(422);
    ada.post(list, &json!({"user": "bob", "pattern": "a/b", "permission": "read"})).await.is(422);
    ada.post(list, &json!({"pattern": "a", "permission": "read"})).await.is(422);
    ada.post(list, &json!({"user": "bob", "team": "guild/read", "pattern": "a", "permission": "read"})).await.is(422);
    // Somebody who is hidden and somebody who does not exist give the same answer.
    let named = |user: &str| json!({"user": user, "pattern": "a", "permission": "read"});
    let hidden = ada.post(list, &named("hermit")).await.is(422).json()["message"].to_string();
    let absent = ada.post(list, &named("nobody")).await.is(422).json()["message"].to_string();
    assert_eq!(hidden.replace("hermit", "nobody"), absent);
    ada.post(list, &bob("read")).await.is(201);
    ada.post(list, &bob("read")).await.is(422).says("already exists");
    // A team of an organization that the owner is not in.
    site.db(|conn| db_user(conn, "loner", Visibility::Public, false));
    let loner = token(&site, "loner");
    let of_team = json!({"team": "guild/read", "pattern": "a", "permission": "read"});
    loner.post("/api/v1/packages/loner/-/grants", &of_team).await.is(422).says("organization that you are in");
    loner.post("/api/v1/packages/loner/-/grants", &bob("read")).await.is(201);
}

#[tokio::test]
async fn a_token_that_only_publishes_cannot_give_others_access() {
    let site = settle().await;
    let body = json!({"user": "bob", "pattern": "*", "permission": "read"});
    let publisher = site.anon().bearer(&site.db_token("ada", &["write:package"]));
    publisher.post("/api/v1/packages/vault/-/grants", &body).await.is(403).says("write:organization");
    let limited = site.db_limited_token("ada", &["all"], |new| new.packages = Some(vec!["a*".parse().unwrap()]));
    site.anon().bearer(&limited).post("/api/v1/packages/vault/-/grants", &body).await.is(403).says("limited");
    for member in ["vault-admin", "vault-write", "vault-read"] {
        token(&site, member).post("/api/v1/packages/vault/-/grants", &body).await.is(403).says("only owners");
    }
}

#[tokio::test]
async fn a_team_that_is_limited_to_packages_gives_no_other() {
    let site = settle().await;
    let ada = token(&site, "ada");
    let limited = json!({"name": "Builders", "permission": "write", "packages": ["firmware-*"]});
    let team = ada.post("/api/v1/orgs/vault/teams", &limited).await.is(201).json();
    assert_eq!((&team["packages"], &team["includes_all_repositories"]), (&json!(["firmware-*"]), &json!(false)));
    let id = &team["id"];
    ada.put(&format!("/api/v1/teams/{id}/members/bob"), "").await.is(204);
    let bob = token(&site, "bob");
    assert_eq!(text(&bob, &path(&["vault"])).await, "firmware-a\nfirmware-b\n");
    bob.get(&path(&["vault", "secretwork", "1.0", "file"])).await.is(404);
    bob.put(&path(&["vault", "secretwork", "2.0", "file"]), "more").await.is(403);
    bob.put(&path(&["vault", "firmware-a", "2.0", "file"]), "more").await.is(201);
    // Members see who else is in the organization, but not how much it stores.
    bob.get("/api/v1/orgs/vault/members").await.is(200);
    bob.get("/api/v1/orgs/vault/quota").await.is(403);
    let home = site.browser_of("bob").await.go("/").await.is(200).text();
    assert!(home.contains("firmware-a") && !home.contains("secretwork"), "{home}");
    // A team of owners cannot be limited, neither at once nor later.
    let owners = json!({"name": "Bosses", "permission": "owner", "packages": ["a"]});
    ada.post("/api/v1/orgs/vault/teams", &owners).await.is(422).says("cannot be limited");
    ada.patch(&format!("/api/v1/teams/{id}"), &json!({"permission": "owner"})).await.is(422);
    ada.patch(&format!("/api/v1/teams/{id}"), &json!({"packages": []})).await.is(200);
    bob.get(&path(&["vault", "secretwork", "1.0", "file"])).await.is(200);
}

#[tokio::test]
async fn a_protection_rule_refuses_lesser_roles_and_names_itself() {
    let site = settle().await;
    let ada = token(&site, "ada");
    let rules = "/api/v1/packages/vault/-/protections";
    let rule =
        json!({"name": "releases", "packages": "firmware-*", "versions": "1.*", "publish": "admin", "delete": "owner"});
    let made = ada.post(rules, &rule).await.is(201).json();
    assert_eq!((&made["replace"], &made["delete"]), (&json!("write"), &json!("owner")));
    let refused = token(&site, "vault-write").put(&path(&["vault", "firmware-a", "1.1", "file"]), "more").await;
    refused.is(403).says(
        "the protection rule \"releases\" of vault lets only users with the permission admin publish to \
        firmware-a 1.1, and vault-write has the permission write",
    );
    token(&site, "vault-write").put(&path(&["vault", "firmware-a", "2.0", "file"]), "more").await.is(201);
    token(&site, "vault-write").put(&path(&["vault", "secretwork", "1.1", "file"]), "more").await.is(201);
    token(&site, "vault-admin").put(&path(&["vault", "firmware-a", "1.1", "file"]), "more").await.is(201);
    for address in [
        path(&["vault", "firmware-a", "1.1", "file"]),
        path(&["vault", "firmware-a", "1.1"]),
        "/api/v1/packages/vault/generic/firmware-a/1.1".to_owned(),
        "/api/v1/packages/vault/generic/firmware-a".to_owned(),
    ] {
        token(&site, "vault-admin").delete(&address).await.is(403).says("the protection rule");
    }
    token(&site, "vault-owner").delete(&path(&["vault", "firmware-a", "1.1", "file"])).await.is(204);
    // A rule for nobody stops everybody, until it is changed.
    let id = &made["id"];
    let all = json!({"name": "frozen", "versions": "*", "publish": "nobody", "delete": "nobody", "replace": "nobody"});
    put(&ada, &format!("{rules}/{id}"), &all).await.is(200);
    site.admin().delete(&path(&["vault", "firmware-a", "1.0"])).await.is(403).says("lets nobody delete from");
    ada.put(&path(&["vault", "brand-new", "1.0", "file"]), "more").await.is(403);
    ada.put(&path(&["acme", "brand-new", "1.0", "file"]), "more").await.is(201);
    assert_eq!(ada.get(rules).await.is(200).json()[0]["name"], json!("frozen"));
    ada.delete(&format!("{rules}/{id}")).await.is(204);
    ada.get(&format!("{rules}/{id}")).await.is(404);
    site.admin().delete(&path(&["vault", "firmware-a", "1.0"])).await.is(204);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_protection_rule_has_a_unique_name_and_known_roles() {
    let site = settle().await;
    let ada = token(&site, "ada");
    let rules = "/api/v1/packages/vault/-/protections";
    ada.post(rules, &json!({"name": "one"})).await.is(201);
    ada.post(rules, &json!({"name": "ONE"})).await.is(422).says("already exists");
    for wrong in [
        json!({}),
        json!({"name": ""}),
        json!({"name": " x"}),
        json!({"name": "x", "packages": "a/b"}),
        json!({"name": "x", "versions": ""}),
        json!({"name": "x", "publish": "read"}),
    ] {
        ada.post(rules, &wrong).await.is(422);
    }
    token(&site, "vault-admin").get(rules).await.is(403);
    token(&site, "eve").get(rules).await.is(404);
}

#[tokio::test]
async fn the_trash_of_a_collaborator_has_only_packages_of_their_pattern() {
    let site = settle().await;
    let ada = token(&site, "ada");
    grant(&site, "vault", json!({"user": "bob", "pattern": "firmware-*", "permission": "write"})).await;
    grant(&site, "vault", json!({"user": "bob", "pattern": "secretwork", "permission": "read"})).await;
    for package in ["secretwork", "firmware-a", "firmware-b"] {
        ada.delete(&path(&["vault", package, "1.0"])).await.is(204);
    }
    let trash = "/api/v1/packages/vault/-/trash";
    let all = ada.get(trash).await.is(200).json();
    let hidden = &all[2]["id"];
    assert_eq!(all[2]["package"], "secretwork");
    let bob = token(&site, "bob");
    let seen = bob.get(trash).await.is(200);
    assert_eq!(seen.header("x-total-count"), Some("2"));
    assert!(!seen.text().contains("secretwork") && !seen.text().contains("\"ada\""), "{}", seen.text());
    let restored = |id: &Value| format!("{trash}/{id}/restore");
    let (answer, absent) = (
        bob.post(&restored(hidden), &json!({})).await.is(404),
        bob.post(&restored(&json!(987_654)), &json!({})).await.is(404),
    );
    assert_eq!(answer.json()["message"], absent.json()["message"]);
    bob.delete(&format!("{trash}/{hidden}")).await.is(404);
    bob.post(&restored(&all[0]["id"]), &json!({})).await.is(200);
    bob.delete(&format!("{trash}/{}", all[1]["id"])).await.is(403).says("only owners");
    // The page has the same entries, and says nothing of the size of the others.
    let mut browser = site.browser_of("bob").await;
    let page = browser.go("/vault/-/trash").await.is(200).text();
    assert!(page.contains("firmware-a") && !page.contains("secretwork"), "{page}");
    browser.go(&format!("/vault/-/trash/{hidden}/delete")).await.is(404);
    token(&site, "eve").get(trash).await.is(404);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn the_upload_form_has_no_drafts_of_packages_outside_the_pattern() {
    let site = settle().await;
    let ada = token(&site, "ada");
    grant(&site, "acme", json!({"user": "bob", "pattern": "firmware-*", "permission": "write"})).await;
    for package in ["firmware-a", "secretwork"] {
        ada.put(&format!("{}?draft=true", path(&["acme", package, "9.9-draft", "file"])), "draft").await.is(201);
    }
    let mut browser = site.browser_of("bob").await;
    browser.go("/acme/-/upload?package=firmware-a").await.is(200);
    let other = browser.go("/acme/-/upload?package=secretwork").await.is(200).text();
    assert!(!other.contains("9.9-draft"), "{other}");
    // Publishers of some packages see the drafts of these.
    token(&site, "bob").get(&path(&["acme", "firmware-a", "9.9-draft", "file"])).await.is(200);
    token(&site, "bob").get(&path(&["acme", "secretwork", "9.9-draft", "file"])).await.is(404);
}

#[tokio::test]
async fn retention_rules_are_for_publishers_of_the_whole_owner() {
    let site = settle().await;
    for owner in ["acme", "vault"] {
        grant(&site, owner, json!({"user": "bob", "pattern": "*", "permission": "admin"})).await;
    }
    let bob = token(&site, "bob");
    bob.get("/api/v1/packages/acme/-/retention").await.is(403);
    bob.post("/api/v1/packages/acme/-/retention/preview", &json!({})).await.is(403);
    bob.get("/api/v1/packages/vault/-/retention").await.is(404);
    token(&site, "acme-write").get("/api/v1/packages/acme/-/retention").await.is(200);
}

#[tokio::test]
async fn a_quota_tells_guests_nothing_about_how_much_is_stored() {
    let site = settle().await;
    grant(&site, "vault", json!({"user": "bob", "pattern": "firmware-*", "permission": "write"})).await;
    let quota = "/api/v1/orgs/vault/quota";
    let guest = token(&site, "bob");
    for (limit, at) in [(json!({"bytes": 16}), "2.0"), (json!({"bytes": null, "versions": 3}), "2.1")] {
        site.admin().patch(quota, &limit).await.is(200);
        let file = path(&["vault", "firmware-a", at, "more"]);
        let refused = guest.put(&file, "more than fits").await;
        assert!([403, 413].contains(&refused.status), "{}", refused.text());
        assert_eq!(refused.text().trim(), "the quota of vault is used up: ask one of its owners");
        let told = token(&site, "ada").put(&file, "more than fits").await;
        assert!(told.text().contains("15 are used") || told.text().contains("3 of 3"), "{}", told.text());
    }
}
