//! The audit log, and the secrets that must never be written anywhere.

use crate::support::{PASSWORD, Site, cluster::cluster, log, noise, path};
use serde_json::json;

fn file(name: &str) -> String {
    path(&["ada", "Tool", "1.0", name])
}

#[tokio::test]
async fn every_change_adds_one_audit_entry_with_actor_credential_address() {
    let site = Site::new();
    site.ci().publish(&file("a"), "x").await;
    site.ada().publish(&file("b"), "x").await;
    site.admin().publish(&file("c"), "x").await;
    site.ci().delete(&path(&["ADA", "tool", "1.0", "a"])).await.is(204);
    site.ada().delete(&path(&["ada", "Tool", "1.0"])).await.is(204);
    let new = json!({"username": "grace", "email": "grace@example.org", "password": "a long enough password"});
    site.admin().post("/api/v1/admin/users", &new).await.is(201);
    site.ada().post("/api/v1/orgs", &json!({"username": "acme"})).await.is(201);
    let team = json!({"name": "Builders", "permission": "write"});
    let team = site.ada().post("/api/v1/orgs/acme/teams", &team).await.is(201).json()["id"].clone();
    let member = format!("/api/v1/teams/{team}/members/grace");
    for _ in 0..2 {
        // The second time nothing changes, so nothing is logged.
        site.ada().request("PUT", &member).header("content-length", "0").await.is(204);
    }
    site.ada().delete(&member).await.is(204);
    let token = json!({"name": "laptop", "scopes": ["read:package"]});
    site.ada().post("/api/v1/users/ada/tokens", &token).await.is(201);
    site.ada().delete("/api/v1/users/ada/tokens/laptop").await.is(204);
    insta::assert_snapshot!(site.db_audit().join("\n"), @r"
    file.publish by ada with token from 127.0.0.1 on ada Tool/1.0/a
    file.publish by ada with password from 127.0.0.1 on ada Tool/1.0/b
    file.publish by admin with token from 127.0.0.1 on ada Tool/1.0/c
    file.delete by ada with token from 127.0.0.1 on ada tool/1.0/a
    version.delete by ada with password from 127.0.0.1 on ada Tool/1.0
    user.create by admin with token from 127.0.0.1 on grace grace
    org.create by ada with password from 127.0.0.1 on acme acme
    team.create by ada with password from 127.0.0.1 on acme Builders
    team.member.add by ada with password from 127.0.0.1 on acme Builders/grace
    team.member.remove by ada with password from 127.0.0.1 on acme Builders/grace
    token.create by ada with password from 127.0.0.1 on ada laptop
    token.revoke by ada with password from 127.0.0.1 on ada laptop
    ");
}

#[tokio::test]
async fn failed_changes_and_reads_add_no_audit_entry() {
    let site = Site::new();
    site.ci().publish(&file("a"), "x").await;
    let before = site.db_audit();
    site.ci().put(&file("a"), "y").await.is(409);
    site.ci().put(&file("a"), "x").header("x-checksum-sha256", crate::support::sha256("x")).await.is(200);
    site.ci().put(&file("b"), "y").header("x-checksum-md5", "0".repeat(32)).await.is(422);
    site.reader().put(&file("b"), "y").await.is(403);
    site.stranger().put(&file("b"), "y").await.is(403);
    site.anon().put(&file("b"), "y").await.is(401);
    site.ci().delete(&file("b")).await.is(404);
    site.stranger().delete(&file("a")).await.is(403);
    site.ci().get(&file("a")).await.is(200);
    site.ci().post("/api/v1/orgs", &json!({"username": "acme"})).await.is(403);
    site.ada().post("/api/v1/orgs", &json!({"username": "stranger"})).await.is(422);
    site.ada().post("/api/v1/users/ada/tokens", &json!({"name": "CI", "scopes": ["all"]})).await.is(400);
    let clash = json!({"username": "new", "email": "ADA@example.org", "password": "a long enough password"});
    site.admin().post("/api/v1/admin/users", &clash).await.is(422);
    assert_eq!(site.db_audit(), before);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM owners WHERE name IN ('new', 'acme')"), 0);
}

#[tokio::test]
async fn the_audit_address_is_the_client_even_behind_a_trusted_proxy() {
    let site = Site::with(&[("PACKHOUSE_TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8")]);
    for (forwarded, address) in [
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("nonsense, 10.1.2.3", "10.1.2.3"),
        ("2001:db8::1", "2001:db8::1"),
        ("203.0.113.7:5101", "203.0.113.7"),
        ("[2001:db8::1]:51008", "2001:db8::1"),
        ("\"[2001:db8::1]:51008\", 10.1.2.3:80", "2001:db8::1"),
        // An entry without an address hides who wrote those before it.
        ("203.0.113.7, unknown", "127.0.0.1"),
        ("203.0.113.7, unknown, 10.1.2.3", "10.1.2.3"),
        ("203.0.113.7, ", "127.0.0.1"),
        ("203.0.113.7:99999", "127.0.0.1"),
    ] {
        let name = path(&["ada", "Tool", "1.0", "f"]);
        site.ci().put(&name, "x").header("x-forwarded-for", forwarded).await.is(201);
        site.ci().delete(&name).await.is(204);
        let audit = site.db_audit();
        assert!(audit[audit.len() - 2].contains(&format!(" from {address} ")), "{forwarded}: {audit:?}");
        assert!(audit[audit.len() - 1].contains(" from 127.0.0.1 "), "{audit:?}");
    }
    let untrusting = Site::new();
    untrusting.ci().put(&file("f"), "x").header("x-forwarded-for", "203.0.113.7").await.is(201);
    assert!(untrusting.db_audit()[0].contains(" from 127.0.0.1 "));
}

#[tokio::test]
async fn the_field_forwarded_counts_where_no_other_names_the_client() {
    let site = Site::with(&[("PACKHOUSE_TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8")]);
    let name = path(&["ada", "Tool", "1.0", "f"]);
    for (fields, address) in [
        (&[("forwarded", "for=203.0.113.7;proto=https;by=10.1.2.3")][..], "203.0.113.7"),
        (&[("forwarded", "For=\"[2001:db8::1]:51008\"")], "2001:db8::1"),
        (&[("forwarded", "for=198.51.100.1, for=203.0.113.7, for=10.1.2.3")], "203.0.113.7"),
        (&[("forwarded", "for=203.0.113.7"), ("forwarded", "for=\"10.1.2.3:80\"")], "203.0.113.7"),
        (&[("forwarded", "for=203.0.113.7, for=_hidden")], "127.0.0.1"),
        (&[("forwarded", "for=203.0.113.7;host=\"open, for=198.51.100.1")], "127.0.0.1"),
        // A proxy that writes only X-Forwarded-For passes on what its client sent as Forwarded.
        (&[("forwarded", "for=198.51.100.1"), ("x-forwarded-for", "203.0.113.7")], "203.0.113.7"),
        (&[("forwarded", "for=198.51.100.1"), ("x-forwarded-for", "unknown")], "127.0.0.1"),
    ] {
        let put = fields.iter().fold(site.ci().put(&name, "x"), |put, (field, value)| put.header(field, value));
        put.await.is(201);
        assert!(site.db_audit().last().unwrap().contains(&format!(" from {address} ")), "{fields:?}");
        site.ci().delete(&name).await.is(204);
    }
    // A value that is not ASCII doesn't promote the one before it.
    let put = site.ci().put(&name, "x").header("x-forwarded-for", "198.51.100.1");
    put.header("x-forwarded-for", b"\xff, 10.1.2.3").await.is(201);
    assert!(site.db_audit().last().unwrap().contains(" from 10.1.2.3 "));
}

#[tokio::test]
async fn secrets_never_appear_in_logs_answers_or_the_database() {
    let site = Site::with(&[("PACKHOUSE_AUTH_QUERY_TOKENS", "true")]);
    let password = "a password that is unlike any other";
    let new = json!({"username": "grace", "email": "grace@example.org", "password": password});
    let mut answers = vec![site.admin().post("/api/v1/admin/users", &new).await.is(201)];
    let grace = site.anon().basic("grace", password);
    let token = grace.post("/api/v1/users/grace/tokens", &json!({"name": "t", "scopes": ["all"]})).await.is(201);
    let secret = token.json()["sha1"].as_str().unwrap().to_owned();
    let wrong = "a wrong password that nobody else has";
    answers.push(site.anon().basic("grace", wrong).get(&path(&["grace", "p"])).await.is(401));
    let bearer = site.anon().bearer(&secret);
    answers.push(bearer.publish(&path(&["grace", "p", "1", "f"]), noise(10)).await);
    answers.push(site.anon().get(&format!("{}?token={secret}", path(&["grace", "p"]))).await.is(200));
    answers.push(site.anon().get(&format!("{}?token={secret}x", path(&["grace", "p"]))).await.is(401));
    answers.push(grace.get("/api/v1/user").await.is(200));
    answers.push(grace.get("/api/v1/users/grace/tokens").await.is(200));
    answers.push(site.admin().post("/api/v1/admin/users", &new).await.is(422));
    let broken = format!("{{\"username\": \"x\", \"password\": \"{password}\", ");
    let request = site.admin().request("POST", "/api/v1/admin/users").header("content-type", "application/json");
    answers.push(request.body(broken).await.is(422));
    site.db_flush().await;
    let database = site.db_texts(
        "SELECT query_to_xml('SELECT to_jsonb(t) AS t FROM ' || tablename || ' t', true, false, '')::text AS text \
         FROM pg_tables WHERE schemaname = 'public'",
    );
    let log = log::captured();
    assert!(
        log.contains("sign-in failed") && log.contains("actor=\"grace\""),
        "the log contains the requests of this test"
    );
    let tail = &secret[4..];
    for secret in [password, wrong, tail, PASSWORD, &cluster().people.admin[4..]] {
        assert!(!log.contains(secret), "in the log: {}", log.lines().find(|line| line.contains(secret)).unwrap());
        assert!(!database.iter().any(|table| table.contains(secret)));
        for answer in &answers {
            assert!(!answer.shown().contains(secret) && !answer.text().contains(secret), "{answer:?}");
        }
    }
}
