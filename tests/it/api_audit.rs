//! Reading the audit log over the REST API.

use crate::support::people::{db_org, db_user};
use crate::support::{Answer, Client, PASSWORD, Site, path};
use packhouse::domain::role::Visibility;
use serde_json::{Value, json};
use std::time::Duration;

const AUDIT: &str = "/api/v1/admin/audit";

/// Event and subject of each entry.
fn records(answer: &Answer) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    answer
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {}", word(&one["event"]), word(&one["subject"])))
        .collect()
}

async fn find(client: &Client, query: &str) -> Vec<String> {
    let answer = client.get(&format!("{AUDIT}?{query}")).await.is(200);
    let found = records(&answer);
    assert_eq!(answer.header("x-total-count").unwrap(), found.len().to_string(), "{query}");
    found
}

fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link")?;
    let url = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    Some(url.split_once("/api").map(|(_, rest)| format!("/api{rest}")).unwrap())
}

/// Makes some changes, one minute apart.
async fn changes(site: &Site) {
    let minute = || site.pass(Duration::from_secs(60));
    site.ci().publish(&path(&["ada", "Tool", "1", "a"]), "x").await;
    minute();
    site.admin().publish(&path(&["ada", "Tool", "1", "b"]), "y").await;
    minute();
    let grace = json!({"username": "grace", "email": "grace@example.org", "password": PASSWORD});
    site.admin().post("/api/v1/admin/users", &grace).await.is(201);
    minute();
    site.ada().post("/api/v1/orgs", &json!({"username": "acme", "visibility": "private"})).await.is(201);
    minute();
    site.ada().delete(&path(&["ada", "tool", "1"])).await.is(204);
    minute();
    site.db(|conn| db_user(conn, "zoe", Visibility::Private, false));
}

#[tokio::test]
async fn an_audit_entry_has_actor_event_owner_credential_address_and_time() {
    let site = Site::new();
    changes(&site).await;
    let answer = site.admin().get(&format!("{AUDIT}?event=file.publish")).await.is(200);
    let text = answer.text().replace(",\"", ",\n\"");
    insta::assert_snapshot!(text, @r#"
    [{"id":2,
    "at":"2026-01-02T03:05:05Z",
    "actor":{"id":1,
    "name":"admin"},
    "administrator":null,
    "credential":"token",
    "token_id":4,
    "token_creator":"command-line",
    "address":"127.0.0.1",
    "event":"file.publish",
    "owner":{"id":2,
    "name":"ada"},
    "subject":"Tool/1/b",
    "detail":{"bytes":1,
    "sha256":"a1fce4363854ff888cff4b8e7875d600c2682390412a8cf79b37d0b11148b0fa"}},{"id":1,
    "at":"2026-01-02T03:04:05Z",
    "actor":{"id":2,
    "name":"ada"},
    "administrator":null,
    "credential":"token",
    "token_id":1,
    "token_creator":"command-line",
    "address":"127.0.0.1",
    "event":"file.publish",
    "owner":{"id":2,
    "name":"ada"},
    "subject":"Tool/1/a",
    "detail":{"bytes":1,
    "sha256":"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}}]
    "#);
    let by_hand = &site.admin().get(&format!("{AUDIT}?actor=command-line")).await.is(200).json()[0];
    assert_eq!(by_hand["actor"], json!({"id": null, "name": "command-line"}));
    assert_eq!((&by_hand["address"], &by_hand["token_id"]), (&json!(null), &json!(null)));
}

#[tokio::test]
async fn the_audit_log_filters_by_actor_owner_event_and_time_combined() {
    let site = Site::new();
    changes(&site).await;
    let (a, b) = ("file.publish Tool/1/a", "file.publish Tool/1/b");
    let (grace, acme) = ("user.create grace", "org.create acme");
    let (gone, zoe) = ("version.delete tool/1", "user.create zoe");
    for (query, expected) in [
        ("", &[zoe, gone, acme, grace, b, a][..]),
        ("actor=&owner=&event=&since=&before=&format=json&after=", &[zoe, gone, acme, grace, b, a]),
        ("actor=ada", &[gone, acme, a]),
        ("actor=ADA&owner=ada", &[gone, a]),
        ("actor=admin", &[grace, b]),
        ("actor=nobody", &[]),
        ("owner=ada", &[gone, b, a]),
        ("owner=Acme", &[acme]),
        ("event=user.create", &[zoe, grace]),
        ("event=user.", &[zoe, grace]),
        ("event=user", &[zoe, grace]),
        ("event=use", &[]),
        ("event=file.", &[b, a]),
        ("event=version.&actor=ada", &[gone]),
        ("event=nothing.", &[]),
        ("since=2026-01-02T03:07:05Z", &[gone, acme]),
        ("before=2026-01-02T03:06:05Z", &[zoe, b, a]),
        ("since=2026-01-02T03:05:05Z&before=2026-01-02T04:07:05%2b01:00", &[grace, b]),
        ("since=2026-01-02T03:05:05Z&before=2026-01-02T03:07:05Z&actor=admin&event=user.&owner=grace", &[grace]),
    ] {
        assert_eq!(find(&site.admin(), query).await, expected, "{query}");
    }
    for (query, field) in [
        ("actor=a%2Fb%2Fc", "actor:"),
        ("owner=-x-", "owner:"),
        ("event=User.Create", "event:"),
        ("event=a%25", "event:"),
        ("event=.", "event:"),
        ("event=a..b", "event:"),
        ("since=yesterday", "since:"),
        ("before=2026-13-01T00:00:00Z", "before:"),
        ("after=x", "after:"),
        ("format=csv", "format:"),
    ] {
        site.admin().get(&format!("{AUDIT}?{query}")).await.is(422).says(field);
        site.ada().get(&format!("{AUDIT}?{query}")).await.is(403);
        site.anon().get(&format!("{AUDIT}?{query}")).await.is(401);
    }
}

#[tokio::test]
async fn the_audit_log_finds_renamed_accounts_and_deleted_ones_by_name() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "Tool", "1", "a"]), "x").await;
    site.db_execute("UPDATE owners SET name = 'Lovelace', lower_name = 'lovelace' WHERE name = 'ada'");
    site.ci().publish(&path(&["lovelace", "Tool", "1", "b"]), "y").await;
    let both = ["file.publish Tool/1/b", "file.publish Tool/1/a"];
    assert_eq!(find(&site.admin(), "actor=lovelace&owner=lovelace").await, both);
    assert_eq!(find(&site.admin(), "actor=ada").await, both[1..], "no user has this name now");
    // The audit log keeps the entries of deleted accounts.
    site.db_execute("UPDATE audit SET actor_id = 4711, owner_id = 4711");
    site.db_execute("UPDATE owners SET name = 'x', lower_name = 'x' WHERE lower_name = 'lovelace'");
    assert_eq!(find(&site.admin(), "owner=LOVELACE").await, both[..1]);
}

#[tokio::test]
async fn audit_pages_lead_to_older_entries_while_new_ones_are_added() {
    let site = Site::new();
    site.db_execute(
        "INSERT INTO audit (at, actor_id, actor_name, credential, event, subject) \
         SELECT timestamptz '2026-01-01' + n * interval '1 s', 1, 'admin', 'token', \
           CASE WHEN n % 5 = 0 THEN 'org.create' ELSE 'file.publish' END, n::text FROM generate_series(1, 2100) n",
    );
    let all: Vec<String> = (1..=2100).rev().filter(|n| n % 5 == 0).map(|n| format!("org.create {n}")).collect();
    let mut seen = Vec::new();
    let mut at = Some(format!("{AUDIT}?event=org.&limit=45&token=secret"));
    while let Some(url) = at {
        let page = site.admin().get(&url).await.is(200);
        seen.extend(records(&page));
        at = next(&page);
        assert!(at.iter().all(|url| !url.contains("secret")));
        site.admin().patch("/api/v1/users/ada/quota", &json!({"versions": seen.len()})).await.is(200);
    }
    assert_eq!(seen, all);
    let page = site.admin().get(&format!("{AUDIT}?limit=50&page=21")).await.is(200);
    assert_eq!((page.header("x-total-count"), records(&page).len()), (Some("1000"), 50));
    site.admin().get(&format!("{AUDIT}?limit=50&page=22")).await.is(422).says("Link");
    let second = site.admin().get(&format!("{AUDIT}?event=org.&limit=50&page=2")).await.is(200);
    assert_eq!(records(&second), all[50..100]);
    assert_eq!(
        records(&site.admin().get(&format!("{AUDIT}?event=org.create&limit=50&page=30")).await.is(200)),
        [""; 0]
    );
}

#[tokio::test]
async fn an_audit_export_has_one_entry_per_line_oldest_first_with_filters() {
    let site = Site::new();
    changes(&site).await;
    site.db_execute(
        "INSERT INTO audit (at, actor_id, actor_name, credential, event, subject) \
         SELECT timestamptz '2026-01-03', 1, 'admin', 'token', 'many', repeat('x', n) FROM generate_series(1, 1234) n",
    );
    let lines = |answer: &Answer| -> Vec<Value> {
        answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = site.admin().get(AUDIT).header("accept", "application/json;q=0.1, application/x-ndjson").await.is(200);
    assert_eq!(all.header("content-type"), Some("application/x-ndjson"));
    assert!(all.text().ends_with('\n'));
    let ids: Vec<i64> = lines(&all).iter().map(|one| one["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, (1..=6 + 1234).collect::<Vec<_>>());
    let exported = site.admin().get(&format!("{AUDIT}?format=ndjson&actor=ada&page=7&limit=1")).await.is(200);
    let mut listed = site.admin().get(&format!("{AUDIT}?actor=ada")).await.json();
    listed.as_array_mut().unwrap().reverse();
    assert_eq!(Value::from(lines(&exported)), listed, "a line of the export equals an entry of the page");
    let rest = site.admin().get(&format!("{AUDIT}?format=ndjson&after=1238")).await.is(200);
    assert_eq!(lines(&rest).len(), 2);
    assert_eq!(site.admin().get(&format!("{AUDIT}?format=ndjson&event=none")).await.is(200).text(), "");
    let head = site.admin().head(&format!("{AUDIT}?format=ndjson")).await.is(200);
    assert_eq!((head.header("content-type"), head.body.len()), (Some("application/x-ndjson"), 0));
    site.ada().get(&format!("{AUDIT}?format=ndjson")).await.is(403);
}

#[tokio::test]
async fn only_administrators_read_the_audit_log_within_their_token_limits() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "closed", Visibility::Private));
    site.ci().publish(&path(&["ada", "Tool", "1", "a"]), "x").await;
    site.anon().get(AUDIT).await.is(401);
    site.ada().get(AUDIT).await.is(403);
    site.ci().get(AUDIT).await.is(403);
    let by = |token: String| site.anon().bearer(&token);
    by(site.db_token("admin", &["write:package", "write:user"])).get(AUDIT).await.is(403).says("read:admin");
    by(site.db_token("ada", &["read:admin"])).get(AUDIT).await.is(403).says("administrator");
    let all = by(site.db_token("admin", &["read:admin"])).get(AUDIT).await.is(200).json();
    assert!(all.as_array().unwrap().iter().any(|one| one["owner"]["name"] == "closed"));
    let public = by(site.db_token("admin", &["read:admin", "public-only"]));
    public.get(AUDIT).await.is(403).says("public-only");
    let some = by(site.db_limited_token("admin", &["all"], |new| new.packages = Some(vec!["tool".parse().unwrap()])));
    some.get(AUDIT).await.is(403).says("limited to some packages");
    let limited = site.db_limited_token("admin", &["all"], |new| new.owners = Some(vec!["stranger".parse().unwrap()]));
    let found = by(limited).get(AUDIT).await.is(200).json();
    assert_eq!(found, json!([]));
}

#[tokio::test]
async fn reading_the_audit_log_adds_no_entry() {
    let site = Site::new();
    changes(&site).await;
    let before = site.db_audit();
    site.admin().get(AUDIT).await.is(200);
    site.admin().get(&format!("{AUDIT}?format=ndjson")).await.is(200);
    assert_eq!(site.db_audit(), before);
}
