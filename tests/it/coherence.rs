//! Servers remember downloads, and nothing that was taken away is served after the change was answered, on any server.

use crate::support::wire::{self, Wire};
use crate::support::{Client, Plan, Site, eventually, noise, path, statements};
use std::collections::BTreeSet;
use std::time::Duration;

/// Another server of the same database, with the real time.
pub fn beside(first: &Site) -> Site {
    first.beside(Plan { real_time: true, ..Plan::default() })
}

pub fn real_time() -> Site {
    Site::start(Plan { real_time: true, ..Plan::default() })
}

/// Downloads a file until the server remembers it.
pub async fn warm(site: &Site, client: &Client, file: &str) {
    let before = site.app.downloads.usage().entries;
    eventually("the server remembers the file", async || {
        client.get(file).await.is(200);
        site.app.downloads.usage().entries > before
    })
    .await;
    client.get(file).await.is(200);
}

pub fn file(version: &str, name: &str) -> String {
    path(&["ada", "tool", version, name])
}

#[tokio::test]
async fn a_deleted_file_is_served_by_no_server_after_its_deletion() {
    let first = real_time();
    let second = beside(&first);
    let name = file("1.0", "tool.bin");
    first.ci().publish(&name, "content").await;
    for site in [&first, &second] {
        warm(site, &site.anon(), &name).await;
        warm(site, &site.reader(), &name).await;
    }
    first.ci().delete(&name).await.is(204);
    for site in [&second, &first] {
        site.anon().get(&name).await.is(404);
        site.reader().get(&name).await.is(404);
    }
    first.ci().publish(&name, "another").await;
    second.anon().get(&name).await.is(200).says("another");
}

#[tokio::test]
async fn a_revoked_token_and_a_locked_user_stop_working_on_every_server() {
    let first = real_time();
    let second = beside(&first);
    let name = file("1.0", "tool.bin");
    first.ci().publish(&name, "content").await;
    first.db_execute("UPDATE owners SET visibility = 2 WHERE name = 'ada'");
    let token = first.db_token("ada", &["read:package"]);
    let (here, there) = (first.anon().bearer(&token), second.anon().bearer(&token));
    warm(&first, &here, &name).await;
    warm(&second, &there, &name).await;
    first
        .app
        .db
        .write(|conn| {
            use diesel::prelude::*;
            diesel::sql_query("DELETE FROM tokens WHERE name LIKE 'token %'").execute(conn)?;
            Ok(())
        })
        .await
        .unwrap();
    there.get(&name).await.is(401);
    here.get(&name).await.is(401);
    warm(&second, &second.reader(), &name).await;
    first
        .app
        .db
        .write(|conn| {
            use diesel::prelude::*;
            diesel::sql_query(
                "UPDATE users SET is_locked = true FROM owners WHERE owners.id = users.id AND name = 'ada'",
            )
            .execute(conn)?;
            Ok(())
        })
        .await
        .unwrap();
    second.reader().get(&name).await.is(401);
}

#[tokio::test]
async fn a_package_made_private_is_hidden_by_every_server() {
    let first = real_time();
    let second = beside(&first);
    let name = file("1.0", "tool.bin");
    first.ci().publish(&name, "content").await;
    warm(&second, &second.anon(), &name).await;
    let private = serde_json::json!({"visibility": "private"});
    let settings = first.ada().patch("/api/v1/packages/ada/generic/tool", &private).await;
    assert!(settings.status < 300, "{}", settings.shown());
    second.anon().get(&name).await.is(404);
    second.reader().get(&name).await.is(200);
}

/// The answers of one connection, whose requests after the first few never reach actix. The date and the ID of a request
/// differ.
async fn same_connection(
    site: &Site,
    target: &str,
    fields: &[(&str, &str)],
    times: usize,
) -> Vec<(u16, String, Vec<u8>)> {
    let mut wire = Wire::open(site.address).await;
    let mut answers = Vec::new();
    for _ in 0..times {
        wire.say(wire::head("GET", target, fields)).await;
        let answer = wire.answer("GET").await.unwrap();
        let mut lines: Vec<String> = answer
            .headers
            .iter()
            .map(|(name, value)| match name.as_str() {
                "date" | "x-request-id" => name.to_string(),
                _ => format!("{name}: {}", value.to_str().unwrap()),
            })
            .collect();
        lines.sort();
        answers.push((answer.status, lines.join("\n"), answer.body));
    }
    answers
}

#[tokio::test]
async fn answers_from_memory_are_the_same_as_from_the_database() {
    let site = real_time();
    let name = file("1.0", "a b.bin");
    site.ci().publish(&name, noise(1500)).await;
    let etag = site.anon().get(&name).await.header("etag").unwrap().to_owned();
    warm(&site, &site.anon(), &name).await;
    let reader = format!("Bearer {}", site.reader_token());
    warm(&site, &site.reader(), &name).await;
    for fields in [
        &[][..],
        &[("Accept", "*/*"), ("User-Agent", "curl/8")],
        &[("Authorization", &*reader)],
        &[("If-None-Match", &*etag)],
        &[("If-None-Match", "\"another\"")],
        &[("Range", "bytes=0-9")],
        &[("If-Match", "\"another\"")],
    ] {
        let answers = same_connection(&site, &name, fields, 4).await;
        let (first, rest) = answers.split_first().unwrap();
        for answer in rest {
            assert_eq!(answer, first, "{fields:?}");
        }
    }
}

#[tokio::test]
async fn downloads_from_memory_are_counted_and_logged_like_others() {
    let site = real_time();
    let name = file("1.0", "tool.bin");
    site.ci().publish(&name, "content").await;
    warm(&site, &site.reader(), &name).await;
    site.db_flush().await;
    let downloads = || site.db_number("SELECT download_count AS n FROM files");
    let before = downloads();
    let reader = format!("Bearer {}", site.reader_token());
    let fields = [("Authorization", &*reader)];
    same_connection(&site, &name, &fields, 10).await;
    site.db_flush().await;
    assert_eq!(downloads() - before, 10);
    assert!(site.db_number("SELECT count(*) AS n FROM tokens WHERE last_used_from = '127.0.0.1'") > 0);
}

#[tokio::test]
async fn pipelined_and_partial_requests_are_answered_from_memory_in_order() {
    let site = real_time();
    let (one, two) = (file("1.0", "one"), file("1.0", "two"));
    site.ci().publish(&one, "first").await;
    site.ci().publish(&two, noise(60_000)).await;
    warm(&site, &site.anon(), &one).await;
    warm(&site, &site.anon(), &two).await;
    let mut wire = Wire::open(site.address).await;
    let requests: Vec<Vec<u8>> = [&one, &two, &one, &two, &one].map(|name| wire::head("GET", name, &[])).to_vec();
    let bytes = requests.concat();
    let (start, end) = bytes.split_at(bytes.len() - 7);
    wire.say(start).await;
    let mut sizes = Vec::new();
    for _ in 0..4 {
        sizes.push(wire.answer("GET").await.unwrap().body.len());
    }
    wire.say(end).await;
    sizes.push(wire.answer("GET").await.unwrap().body.len());
    assert_eq!(sizes, [5, 60_000, 5, 60_000, 5]);
    wire.say(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert_eq!(wire.answer("GET").await.unwrap().status, 200);
    assert!(wire.closes().await);
}

#[tokio::test]
async fn a_token_that_expires_is_refused_although_it_is_remembered() {
    let site = Site::new();
    let name = file("1.0", "tool.bin");
    site.ci().publish(&name, "content").await;
    let end = site.now().plus(Duration::from_secs(3600));
    let token = site.db_limited_token("ada", &["read:package"], |token| token.expires_at = Some(end));
    let client = site.anon().bearer(&token);
    warm(&site, &client, &name).await;
    site.pass(Duration::from_secs(3599));
    client.get(&name).await.is(200);
    site.pass(Duration::from_secs(1));
    client.get(&name).await.is(401);
}

#[tokio::test]
async fn a_server_that_is_cut_off_from_the_database_uses_nothing_it_remembers() {
    let site = real_time();
    let name = file("1.0", "tool.bin");
    site.ci().publish(&name, "content").await;
    warm(&site, &site.anon(), &name).await;
    assert!(site.app.db.coherence().has_lease());
    site.db_execute("ALTER TABLE servers RENAME TO servers_away");
    eventually("the lease ends", async || !site.app.db.coherence().has_lease()).await;
    site.anon().get(&name).await.is(200);
    site.db_execute("ALTER TABLE servers_away RENAME TO servers");
    eventually("the lease is back", async || {
        site.anon().get(&name).await.is(200);
        site.app.db.coherence().has_lease()
    })
    .await;
}

#[tokio::test]
async fn the_system_page_lists_the_servers_and_says_which_one_died() {
    let first = real_time();
    let second = beside(&first);
    let mut browser = first.browser_of("admin").await;
    let addresses = [&first, &second].map(|site| site.address.to_string());
    eventually("both servers are listed", async || {
        browser.go("/-/admin/system").await.is(200);
        let rows = browser.all("#servers-table tbody th");
        addresses.iter().all(|address| rows.iter().any(|row| row.contains(address)))
    })
    .await;
    // A server that was killed says nothing more, and one that stopped regularly leaves the list.
    first.db_execute(
        "INSERT INTO servers (id, version, address, started_at, seen_at) \
         VALUES (1, '0.0.9', 'dead.test:3000', now() - interval '1 hour', now() - interval '1 minute')",
    );
    drop(second);
    browser.go("/-/admin/system").await.is(200);
    let rows = browser.all("#servers-table tbody tr").join("\n");
    assert!(rows.contains("dead.test:3000") && rows.contains("Not responding"), "{rows}");
    assert!(!rows.contains(&addresses[1]), "{rows}");
}

#[tokio::test]
async fn servers_that_lose_their_listening_connection_forget_and_go_on() {
    let first = real_time();
    let second = beside(&first);
    for round in 0..5 {
        let name = file("1.0", &format!("f{round}"));
        first.ci().publish(&name, "content").await;
        warm(&second, &second.anon(), &name).await;
        let listening = "FROM pg_stat_activity WHERE datname = current_database() \
                         AND application_name = 'packhouse listen'";
        eventually("both servers listen", async || first.db_number(&format!("SELECT count(*) AS n {listening}")) == 2)
            .await;
        first.db_number(&format!("SELECT count(pg_terminate_backend(pid)) AS n {listening}"));
        first.ci().delete(&name).await.is(204);
        second.anon().get(&name).await.is(404);
    }
}

/// Columns that a download reads and that no trigger watches, each with the reason.
const NOT_WATCHED: [(&str, &str); 21] = [
    ("blobs.id", "never changes"),
    ("blobs.sha256", "never changes"),
    ("blobs.size", "never changes"),
    ("blobs.storage_key", "the new copy has the same bytes, and a download that misses the old one asks again"),
    ("blobs.block_checksums", "the checksums of the same bytes"),
    ("blobs.sha512", "the digest of the same bytes"),
    ("blobs.sha1", "the digest of the same bytes"),
    ("blobs.md5", "the digest of the same bytes"),
    ("files.id", "never changes"),
    ("owners.id", "never changes"),
    ("owners.widest_package", "follows from packages.visibility"),
    ("packages.id", "never changes"),
    ("tokens.id", "never changes"),
    ("tokens.no_redirects", "never changes"),
    ("users.id", "never changes"),
    ("versions.id", "never changes"),
    ("versions.created_at", "never changes"),
    ("versions.is_prerelease", "a download does not say it"),
    ("versions.hold_reason", "a download does not say it"),
    ("users.last_login_at", "read by each sign-in with a password, which comes before the memory"),
    ("users.rescued_until", "read by each sign-in with a password, which comes before the memory"),
];

#[tokio::test]
async fn every_column_that_a_download_reads_is_watched_for_changes() {
    let site = Site::new();
    let name = file("1.0", "tool.bin");
    site.ci().publish(&name, "content").await;
    let statements = statements::texts(&site.url, async {
        site.reader().get(&name).await.is(200);
        site.ada().get(&name).await.is(200);
    });
    let text = statements.await.join("\n");
    let column = regex::Regex::new(r#""(\w+)"\."(\w+)""#).unwrap();
    let read: BTreeSet<String> =
        column.captures_iter(&text).map(|found| format!("{}.{}", &found[1], &found[2])).collect();
    // A trigger without a list of columns watches all of them.
    let watched: BTreeSet<String> = site
        .db_texts(
            "SELECT DISTINCT c.relname || '.' || a.attname AS text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid \
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 JOIN pg_proc p ON p.oid = t.tgfoid \
             WHERE p.proname LIKE 'forget_by_%' AND t.tgtype & 16 > 0 \
             AND (t.tgattr = ''::int2vector OR a.attnum = ANY (t.tgattr))",
        )
        .into_iter()
        .collect();
    let excused: BTreeSet<String> = NOT_WATCHED.iter().map(|(column, _)| (*column).to_owned()).collect();
    let of_login =
        |column: &&String| !["second_factors.", "known_addresses.", "attempts."].iter().any(|t| column.starts_with(t));
    let unwatched: Vec<&String> = read
        .iter()
        .filter(|column| !watched.contains(*column) && !excused.contains(*column))
        .filter(of_login)
        .collect();
    assert!(read.contains("tokens.scopes") && read.contains("versions.state"), "{read:?}");
    assert!(unwatched.is_empty(), "a change of these columns would not be noticed: {unwatched:?}");
}
