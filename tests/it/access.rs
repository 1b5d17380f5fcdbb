//! Permissions: every role of a user with every kind of owner.

use crate::support::people::{db_org, db_user};
use crate::support::{Client, Site, path};
use packhouse::domain::role::Visibility;

/// Creates owners of each visibility: users, and organizations with one member per team.
fn settle(site: &Site) {
    site.db(|conn| {
        for (word, visibility) in
            [("public", Visibility::Public), ("limited", Visibility::Limited), ("private", Visibility::Private)]
        {
            db_user(conn, &format!("{word}-user"), visibility, false)?;
            db_org(conn, &format!("{word}-org"), visibility)?;
        }
        Ok(())
    });
    // Tokens, because hashing a password for each of them would take longer than the rest of the test.
    for kind in ["user", "org"] {
        for word in ["public", "limited", "private"] {
            let owner = format!("{word}-{kind}");
            site.db(|conn| {
                use packhouse::registry::access;

                use packhouse::registry::packages::publish;
                let admin = crate::support::people::db_caller(conn, "admin")?;
                let file = packhouse::domain::path::FilePath {
                    owner: owner.parse().unwrap(),
                    package: "tool".parse().unwrap(),
                    version: "1".parse().unwrap(),
                    file: "f".parse().unwrap(),
                };
                let right = access::can_add_files(conn, &admin, &file.owner, &file.package)?;
                let blob = publish::NewBlob {
                    sha256: crate::support::sha256("").parse().unwrap(),
                    size: 0,
                    storage_key: format!("{}-0000000000000000", crate::support::sha256("")),
                    block_checksums: Vec::new(),
                    other: None,
                };
                let said = packhouse::registry::packages::declared::DeclaredUpload::default();
                let limits = publish::UploadLimits::default();
                let now = crate::support::morning();
                publish::publish_file(conn, &admin, &right, (&file, &blob, &said), &limits, now).map(drop)
            });
        }
    }
}

fn person(site: &Site, name: &str) -> Client {
    match name {
        "anonymous" => site.anon(),
        "invalid" => site.anon().bearer("phk_nonsense"),
        name => site.anon().bearer(&site.db_token(name, &["write:package"])),
    }
}

/// The statuses someone gets for reading, for deleting a file that doesn't exist, and for publishing.
async fn try_all(client: &Client, owner: &str, unique: &str) -> [u16; 6] {
    let absent = path(&[owner, "tool", "1", "absent"]);
    let mut statuses = [0; 6];
    // The file has a row but no blob. If the server looks for the blob, it allowed the read.
    statuses[0] = match client.head(&path(&[owner, "tool", "1", "f"])).await.status {
        503 => 200,
        other => other,
    };
    statuses[1] = client.get(&path(&[owner, "tool"])).await.status;
    statuses[2] = client.get(&path(&[owner, "tool", "1"])).await.status;
    statuses[3] = client.put(&path(&[owner, "tool", "1", unique]), unique.to_owned()).await.status;
    statuses[4] = client.delete(&absent).await.status;
    statuses[5] = client.delete(&path(&[owner, "tool", "absent"])).await.status;
    statuses
}

#[tokio::test]
async fn every_role_can_do_exactly_what_the_manual_says_with_every_owner() {
    const UNKNOWN: [u16; 6] = [401; 6];
    const HIDDEN: [u16; 6] = [404; 6];
    const READS: [u16; 6] = [200, 200, 200, 403, 403, 403];
    const READS_UNKNOWN: [u16; 6] = [200, 200, 200, 401, 401, 401];
    const WRITES: [u16; 6] = [200, 200, 200, 201, 404, 404];
    let site = Site::new();
    settle(&site);
    let mut people: Vec<(String, Client)> =
        ["anonymous", "invalid", "stranger", "admin"].map(|name| (name.to_owned(), person(&site, name))).into();
    let owners = ["public", "limited", "private"];
    for word in owners {
        people.push((format!("{word}-user"), person(&site, &format!("{word}-user"))));
        for team in ["read", "write", "admin", "owner"] {
            people.push((format!("{word}-org-{team}"), person(&site, &format!("{word}-org-{team}"))));
        }
    }
    for (name, client) in &people {
        for owner in owners.iter().flat_map(|word| [format!("{word}-user"), format!("{word}-org")]) {
            let expected = match (&**name, &owner[..3]) {
                ("invalid", _) => UNKNOWN,
                ("anonymous", "pub") => READS_UNKNOWN,
                ("anonymous", _) => UNKNOWN,
                ("admin", _) => WRITES,
                (name, _) if name == owner => WRITES,
                (name, _) if name.strip_prefix(&owner).is_some_and(|team| team != "-read") => WRITES,
                (name, _) if name.starts_with(&owner) => READS,
                (_, "pri") => HIDDEN,
                _ => READS,
            };
            assert_eq!(try_all(client, &owner, &format!("of-{name}")).await, expected, "{name} at {owner}");
        }
        let nobody = try_all(client, "nobody", "f").await;
        let expected = if ["anonymous", "invalid"].contains(&&**name) { UNKNOWN } else { HIDDEN };
        assert_eq!(nobody, expected, "{name} at nobody");
    }
}

#[tokio::test]
async fn hidden_owners_and_unknown_owners_get_identical_answers() {
    let site = Site::new();
    site.db(|conn| {
        db_user(conn, "hidden-user", Visibility::Private, false)?;
        db_org(conn, "hidden-org", Visibility::Private)?;
        db_user(conn, "limited-user", Visibility::Limited, false)
    });
    for owner in ["hidden-user", "hidden-org", "limited-user"] {
        site.admin().publish(&path(&[owner, "tool", "1", "f"]), "secret").await;
    }
    let requests = [
        ("GET", &["tool", "1", "f"][..]),
        ("GET", &["tool", "1", "f.sha256"]),
        ("GET", &["tool", "1", "SHA256SUMS"]),
        ("GET", &["tool", "latest", "f"]),
        ("GET", &["tool", "latest"]),
        ("GET", &["tool", "1"]),
        ("GET", &["tool"]),
        ("HEAD", &["tool", "1", "f"]),
        ("PUT", &["tool", "1", "f"]),
        ("PUT", &["tool", "2", "f"]),
        ("DELETE", &["tool", "1", "f"]),
        ("DELETE", &["tool", "1"]),
    ];
    for (method, parts) in requests {
        for accept in ["*/*", "application/json"] {
            for (client, owners, status) in [
                (site.anon(), &["hidden-user", "hidden-org", "limited-user"][..], 401),
                (site.stranger(), &["hidden-user", "hidden-org"], 404),
            ] {
                let ask = async |owner: &str| {
                    let path = path(&[&[owner], parts].concat());
                    let request = client.request(method, &path).header("accept", accept).header("range", "bytes=0-0");
                    let answer = if method == "PUT" { request.body("x").await } else { request.await };
                    answer.is(status).looks()
                };
                let unknown = ask("nobody").await;
                for owner in owners {
                    assert_eq!(ask(owner).await, unknown, "{method} {parts:?} of {owner}");
                }
            }
        }
    }
    let challenge = site.anon().get(&path(&["nobody", "tool"])).await.is(401);
    assert_eq!(challenge.header("www-authenticate"), Some("Basic realm=\"Packhouse\", charset=\"UTF-8\""));
}

#[tokio::test]
async fn readers_who_may_not_write_are_told_which_permission_is_missing() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    let answer = site.stranger().put(&path(&["ada", "tool", "1", "f"]), "x").await.is(403);
    assert_eq!(answer.text(), "stranger does not have write access to ada\n");
    let member = site.user("acme-read").delete(&path(&["acme", "tool", "1"])).await.is(403);
    assert_eq!(member.text(), "acme-read does not have write access to acme\n");
}

#[tokio::test]
async fn changes_of_team_visibility_or_role_take_effect_immediately() {
    let site = Site::new();
    site.db(|conn| {
        db_org(conn, "acme", Visibility::Private)?;
        db_user(conn, "bob", Visibility::Public, false)
    });
    let token = site.anon().bearer(&site.db_token("bob", &["write:package"]));
    let (bob, file) = (site.user("bob"), path(&["acme", "tool", "1", "f"]));
    site.admin().publish(&file, "x").await;
    let both = async |status: u16| {
        for client in [&bob, &token] {
            client.get(&file).await.is(status);
        }
    };
    both(404).await;
    let team = |name: &str| format!("(SELECT id FROM teams WHERE lower_name = '{name}')");
    let me = "(SELECT id FROM owners WHERE name = 'bob')";
    site.db_execute(&format!("INSERT INTO team_members VALUES ({}, {me}, now())", team("read")));
    both(200).await;
    bob.put(&path(&["acme", "tool", "1", "g"]), "x").await.is(403);
    site.db_execute(&format!("INSERT INTO team_members VALUES ({}, {me}, now())", team("write")));
    bob.put(&path(&["acme", "tool", "1", "g"]), "x").await.is(201);
    token.put(&path(&["acme", "tool", "1", "h"]), "x").await.is(201);
    site.db_execute(&format!("DELETE FROM team_members WHERE user_id = {me}"));
    both(404).await;
    site.db_execute("UPDATE owners SET visibility = 1 WHERE name = 'acme'");
    both(200).await;
    site.anon().get(&file).await.is(401);
    site.db_execute("UPDATE owners SET visibility = 0 WHERE name = 'acme'");
    site.anon().get(&file).await.is(200);
    token.delete(&file).await.is(403);
    site.db_execute(&format!("UPDATE users SET is_admin = true WHERE id = {me}"));
    token.delete(&file).await.is(204);
}

#[tokio::test]
async fn permissions_are_checked_again_after_the_body_was_received() {
    use crate::support::wire::{self, Wire};
    let site = Site::new();
    let secret = site.db_token("ada", &["write:package"]);
    let bearer = format!("Bearer {secret}");
    let file = path(&["ada", "tool", "1", "f"]);
    let fields = [("Authorization", &*bearer), ("Content-Length", "10"), ("Expect", "100-continue")];
    let mut wire = Wire::open(site.address).await;
    wire.say(wire::head("PUT", &file, &fields)).await.say("hello").await;
    assert_eq!(wire.head().await.unwrap().status, 100);
    crate::support::eventually("the upload was admitted", async || {
        site.db_flush().await;
        site.db_number("SELECT count(*) AS n FROM tokens WHERE last_used_at IS NOT NULL") == 1
    })
    .await;
    site.db_execute("DELETE FROM tokens WHERE name LIKE 'token %'");
    site.db_execute("TRUNCATE audit");
    wire.say("world").await;
    wire.answer("PUT").await.expect("an answer").is(401);
    site.assert_empty().await;
}

#[tokio::test]
async fn anonymous_requests_get_401_where_signing_in_is_required() {
    let site = Site::with(&[("PACKHOUSE_REQUIRE_SIGNIN", "true")]);
    let file = path(&["ada", "tool", "1", "f"]);
    site.ci().publish(&file, "x").await;
    let urls = [
        file.clone(),
        path(&["ada", "tool", "1"]),
        path(&["ada", "tool"]),
        path(&["nobody", "tool"]),
        file + ".sha256",
    ];
    for url in &urls {
        let answer = site.anon().get(url).await.is(401);
        assert_eq!(answer.looks(), site.anon().get(&urls[3]).await.looks());
    }
    site.stranger().get(&urls[0]).await.is(200);
    for probe in ["/livez", "/readyz", "/api/healthz", "/api/v1/version"] {
        site.anon().get(probe).await.is(200);
    }
}

#[tokio::test]
async fn a_user_has_the_highest_permission_of_their_teams_in_this_org_only() {
    let site = Site::new();
    site.db(|conn| {
        db_org(conn, "acme", Visibility::Private)?;
        db_org(conn, "bcme", Visibility::Private)
    });
    site.db_execute(
        "INSERT INTO team_members SELECT t.id, u.id, now() FROM teams t, owners u \
         WHERE u.name = 'acme-read' AND t.lower_name = 'write' \
         AND t.org_id = (SELECT id FROM owners WHERE name = 'acme')",
    );
    let member = site.user("acme-read");
    member.publish(&path(&["acme", "tool", "1", "f"]), "x").await;
    member.get(&path(&["bcme", "tool"])).await.is(404).says("owner not found");
    member.put(&path(&["bcme", "tool", "1", "f"]), "x").await.is(404);
}
