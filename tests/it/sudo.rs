//! Administrators acting as other users: `Sudo: name` and `?sudo=name`.

use crate::support::people::db_org;
use crate::support::{Client, Site, log, path};
use packhouse::domain::role::Visibility;
use serde_json::{Value, json};

fn file(owner: &str) -> String {
    path(&[owner, "tool", "1", "f"])
}

/// The audit log: event, actor, and the administrator who acted as the actor.
fn records(site: &Site) -> Vec<String> {
    site.db_texts(
        "SELECT concat_ws(' ', event, actor_name, 'with', credential, 'by', coalesce(administrator_name, 'nobody')) \
         AS text FROM audit ORDER BY id",
    )
}

#[tokio::test]
async fn an_administrator_acts_as_the_user_they_name() {
    let site = Site::new();
    for client in [site.admin(), site.user("admin")] {
        let own = client.get("/api/v1/user").await.is(200).json();
        assert_eq!((&own["login"], &own["is_admin"]), (&json!("admin"), &json!(true)));
        for name in ["ada", "ADA", " ada "] {
            let user = client.get("/api/v1/user").header("sudo", name).await.is(200).json();
            assert_eq!((&user["login"], &user["is_admin"]), (&json!("ada"), &json!(false)), "{name:?}");
        }
        for query in ["sudo=ada", "sudo=Ada", "x=y&s%75do=%61da"] {
            let user = client.get(&format!("/api/v1/user?{query}")).await.is(200).json();
            assert_eq!(user["login"], "ada", "{query}");
        }
        // Both may name the same user.
        client.get("/api/v1/user?sudo=ada").header("sudo", "Ada").await.is(200).says("\"ada\"");
        client.get("/api/v1/user").header("sudo", "admin").await.is(200).says("\"admin\"");
        // As another user, an administrator has no more rights than that user.
        client.get("/api/v1/admin/users").header("sudo", "ada").await.is(403).says("site administrator");
        client
            .put(&file("ada"), "x")
            .header("sudo", "stranger")
            .await
            .is(403)
            .says("stranger does not have write access");
    }
}

#[tokio::test]
async fn sudo_works_in_the_package_protocol_and_both_names_are_audited() {
    let site = Site::new();
    let admin = site.admin();
    admin.put(&file("ada"), "hello").header("sudo", "ada").await.is(201);
    admin.put(&format!("{}2?sudo=ada", file("ada")), "hello").await.is(201);
    let made = site.ada().get("/api/v1/packages/ada/generic/tool/1").await.is(200).json();
    assert_eq!(made["creator"]["login"], "ada");
    admin.head(&file("ada")).header("sudo", "stranger").await.is(200);
    admin.delete(&file("ada")).header("sudo", "ada").await.is(204);
    admin.delete(&format!("{}2", file("ada"))).await.is(204);
    assert_eq!(
        records(&site),
        [
            "file.publish ada with token by admin",
            "file.publish ada with token by admin",
            "file.delete ada with token by admin",
            "file.delete admin with token by nobody",
        ]
    );
    let last =
        log::captured().lines().rfind(|line| line.contains("administrator=\"admin\"")).unwrap_or_default().to_owned();
    assert!(last.contains("actor=\"ada\""), "{last}");
}

#[tokio::test]
async fn the_audit_log_names_both_in_the_api_the_export_and_the_page() {
    let site = Site::new();
    let new = json!({"username": "acme"});
    let made =
        site.admin().request("POST", "/api/v1/orgs").header("sudo", "ada").header("content-type", "application/json");
    made.body(new.to_string()).await.is(201);
    site.admin().post("/api/v1/orgs", &json!({"username": "other"})).await.is(201);
    let acted = |record: &Value| (record["actor"]["name"].clone(), record["administrator"]["name"].clone());
    let all = site.admin().get("/api/v1/admin/audit").await.is(200).json();
    assert_eq!(acted(&all[0]), (json!("admin"), Value::Null));
    assert_eq!(acted(&all[1]), (json!("ada"), json!("admin")));
    let admin_id = site.db_number("SELECT id AS n FROM owners WHERE name = 'admin'");
    assert_eq!(all[1]["administrator"], json!({"id": admin_id, "name": "admin"}));
    let lines = site.admin().get("/api/v1/admin/audit?format=ndjson").await.is(200);
    assert_eq!(acted(&serde_json::from_str(lines.lines()[0]).unwrap()), (json!("ada"), json!("admin")));
    // Whoever looks for what the administrator did finds this too; the user's own list has it as well.
    for (actor, count) in [("admin", 2), ("ada", 1), ("stranger", 0)] {
        let found = site.admin().get(&format!("/api/v1/admin/audit?actor={actor}")).await.is(200);
        assert_eq!(found.json().as_array().unwrap().len(), count, "{actor}");
    }
    let mut browser = site.browser_of("admin").await;
    let actors = browser.go("/-/admin/audit?event=org.create").await.is(200).all("td[data-label=Actor]");
    assert_eq!(actors, ["admin", "ada by admin"]);
}

#[tokio::test]
async fn an_unknown_sudo_user_is_404_and_everybody_else_403() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    site.ci().publish(&file("ada"), "hello").await;
    let addresses = [file("ada"), path(&["ada", "tool"]), "/api/v1/packages/ada".to_owned(), "/api/v1/user".to_owned()];
    let with = |client: &Client, address: &str, name: &str| client.get(address).header("sudo", name);
    for address in &addresses {
        for name in ["nobody", "acme", "a b", "", "..", "ada%00", "ada,admin"] {
            with(&site.admin(), address, name).await.is(404).says("user not found");
        }
        site.admin().get(&format!("{address}?sudo")).await.is(404).says("user not found");
        site.admin().get(&format!("{address}?sudo=")).await.is(404).says("user not found");
        // Even for a file that everybody may read, and for oneself.
        let all = site.anon().bearer(&site.db_token("ada", &["all"]));
        for client in [all, site.ada()] {
            for name in ["admin", "stranger", "ada", "nobody"] {
                with(&client, address, name).await.is(403).says("only a site administrator can act as another user");
            }
            client.get(&format!("{address}?sudo=admin")).await.is(403);
        }
        // Programs that send a credential only when asked need the challenge.
        assert!(with(&site.anon(), address, "ada").await.is(401).header("www-authenticate").is_some());
        site.anon().basic("admin", "wrong password").get(address).header("sudo", "ada").await.is(401);
    }
    site.admin().put(&file("ada"), "x").header("sudo", "nobody").await.is(404);
    site.ci().put(&path(&["ada", "tool", "2", "f"]), "x").header("sudo", "admin").await.is(403);
    let changes = records(&site).into_iter().filter(|record| record.starts_with("file."));
    assert_eq!(changes.count(), 1, "nothing was changed");
}

#[tokio::test]
async fn two_different_sudo_names_are_refused() {
    let site = Site::new();
    site.admin().get("/api/v1/user?sudo=ada").header("sudo", "stranger").await.is(422).says("name one user");
    site.admin().get("/api/v1/user?sudo=ada&sudo=stranger").await.is(422);
    site.admin().get("/api/v1/user").header("sudo", "ada").header("sudo", "stranger").await.is(422);
    site.admin().put(&file("ada"), "x").header("sudo", "ada, stranger").await.is(404);
    site.admin().put(&format!("{}?sudo=admin", file("ada")), "x").header("sudo", "ada").await.is(400);
}

#[tokio::test]
async fn a_token_needs_the_scope_admin_for_sudo() {
    let site = Site::new();
    for (scopes, read, write) in [
        (&["write:package", "write:user"][..], 403, 403),
        (&["write:package", "write:user", "read:admin"], 200, 403),
        (&["write:package", "write:user", "write:admin"], 200, 201),
        // The token's own limits stay: it reads no users.
        (&["write:package", "write:admin"], 403, 201),
    ] {
        let client = site.anon().bearer(&site.db_token("admin", scopes));
        let answer = client.get("/api/v1/user").header("sudo", "ada").await.is(read);
        if read == 403 {
            answer.says(if scopes.contains(&"write:admin") { "read:user" } else { "read:admin" });
        }
        let answer = client.put(&file("ada"), "x").header("sudo", "ada").await.is(write);
        if write == 403 {
            answer.says("write:admin");
        } else {
            site.ci().delete(&file("ada")).await.is(204);
        }
    }
    let limited = |new: &mut packhouse::registry::accounts::tokens::NewToken| {
        new.owners = Some(vec!["stranger".parse().unwrap()]);
    };
    let client = site.anon().bearer(&site.db_limited_token("admin", &["all"], limited));
    client.put(&file("ada"), "x").header("sudo", "ada").await.is(403).says("limited to owners other than ada");
}

#[tokio::test]
async fn nobody_acts_as_a_locked_user_and_the_own_token_stays_out_of_reach() {
    let site = Site::new();
    site.db_execute("UPDATE users SET is_locked = true WHERE lower_email LIKE 'stranger@%'");
    site.admin().get("/api/v1/user").header("sudo", "stranger").await.is(403).says("stranger has no access");
    // The token in use is the administrator's, not the user's.
    for method in ["GET", "DELETE"] {
        site.admin().request(method, "/api/v1/token").header("sudo", "ada").await.is(404);
    }
    site.admin().get("/api/v1/token").await.is(200);
    // With their own password, an administrator manages the user's tokens, as they may without it.
    let new = json!({"name": "made", "scopes": ["read:package"]}).to_string();
    let request = site.user("admin").request("POST", "/api/v1/users/ada/tokens").header("sudo", "ada");
    request.header("content-type", "application/json").body(new).await.is(201);
    site.admin()
        .get("/api/v1/users/ada/tokens")
        .header("sudo", "ada")
        .await
        .is(403)
        .says("access token cannot do this");
}

#[tokio::test]
async fn a_browser_session_never_acts_as_another_user() {
    let site = Site::new();
    let mut browser = site.browser_of("admin").await;
    let page = browser.send("GET", "/user/settings?sudo=ada", &[("sudo", "ada")], None).await.is(200).text();
    assert!(page.contains("admin") && !page.contains("\"ada\""), "{page}");
    let cookies = browser.cookie_header();
    site.anon().get("/api/v1/user").header("cookie", cookies).header("sudo", "ada").await.is(401);
}
