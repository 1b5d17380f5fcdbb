//! Replacing files where the package allows it, and under conditions.

use crate::support::{Answer, Plan, Site, eventually, noise, path, sha256};
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;

fn file(version: &str, name: &str) -> String {
    path(&["ada", "tool", version, name])
}

fn etag(bytes: impl AsRef<[u8]>) -> String {
    format!("\"{}\"", sha256(bytes))
}

/// Lets files of these versions of every package be replaced.
fn db_overwrite(site: &Site, patterns: &str) {
    site.db_execute(&format!("UPDATE packages SET overwrite_versions = '{patterns}'"));
}

fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

#[tokio::test]
async fn uploads_replace_files_of_the_versions_that_the_package_allows() {
    let site = Site::new();
    for version in ["Nightly", "1.0-snapshot", "1.0"] {
        site.ci().publish(&file(version, "f"), "old").await;
    }
    let refused = site.ci().put(&file("nightly", "f"), "new").await.is(409);
    refused.says("package file already exists: publish it under another name or version, or let uploads replace files");
    db_overwrite(&site, "{nightly,*-SNAPSHOT}");
    site.pass(Duration::from_secs(60));
    for version in ["nightly", "1.0-SNAPSHOT"] {
        let answer = site.ci().put(&file(version, "F"), "new").await.is(200);
        assert_eq!(answer.header("etag"), Some(&*etag("new")));
        let got = site.anon().get(&file(version, "f")).await.is(200);
        assert_eq!((got.text(), got.header("etag")), ("new", Some(&*etag("new"))));
    }
    site.ci().put(&file("1.0", "f"), "new").await.is(409);
    let trash = site.ci().get("/api/v1/packages/ada/-/trash").await.is(200).json();
    let seen = |at: usize| (trash[at]["reason"].clone(), trash[at]["version"].clone(), trash[at]["size"].clone());
    assert_eq!(seen(0), (json!("replaced"), json!("1.0-snapshot"), json!(3)));
    assert_eq!(seen(1), (json!("replaced"), json!("Nightly"), json!(3)));
    db_overwrite(&site, "{*}");
    site.ci().put(&file("1.0", "f"), "third").await.is(200);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM files"), 3);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn the_setting_overwrite_is_a_word_or_patterns() {
    let site = Site::new();
    site.ci().publish(&file("nightly", "f"), "old").await;
    let package = "/api/v1/packages/ada/generic/tool";
    let read = async || site.ci().get(&format!("{package}/-/settings")).await.is(200).json()["overwrite"].clone();
    assert_eq!(read().await, "never");
    for (overwrite, status) in [
        (json!({"versions": ["night*"]}), 200),
        (json!({"versions": ["*-rc"]}), 409),
        (json!("always"), 200),
        (json!("never"), 409),
    ] {
        let edit = site.ci().patch(package, &json!({"overwrite": overwrite})).await.is(200);
        assert_eq!(edit.json()["overwrite"], overwrite);
        assert_eq!(read().await, overwrite);
        site.ci().put(&file("nightly", "f"), overwrite.to_string()).await.is(status);
    }
    for wrong in [json!("sometimes"), json!({"versions": []}), json!({"versions": ["a\nb"]}), json!(true)] {
        site.ci().patch(package, &json!({"overwrite": wrong})).await.is(422).says("overwrite");
    }
    assert_eq!(read().await, "never");
}

#[tokio::test]
async fn a_replaced_file_is_a_new_one_and_the_old_one_can_be_restored() {
    let site = Site::new();
    site.ci().publish(&file("1", "f"), "old").await;
    db_overwrite(&site, "{*}");
    site.anon().get(&file("1", "f")).await.is(200);
    site.db_flush().await;
    site.pass(Duration::from_secs(60));
    site.ci().put(&file("1", "f"), "newer").await.is(200);
    let listed = site.anon().get("/api/v1/packages/ada/generic/tool/1/files").await.is(200).json();
    assert_eq!((&listed[0]["download_count"], &listed[0]["size"]), (&json!(0), &json!(5)));
    assert_eq!(listed[0]["created_at"], json!(site.now().to_string()));
    let detail = "SELECT (detail->'replaced'->>'sha256') AS text FROM audit ORDER BY id DESC LIMIT 1";
    assert_eq!(site.db_texts(detail), [sha256("old")]);
    let trash = "/api/v1/packages/ada/-/trash";
    let id = site.ci().get(trash).await.json()[0]["id"].clone();
    site.ci().post(&format!("{trash}/{id}/restore"), &json!({})).await.is(409);
    site.ci().delete(&file("1", "f")).await.is(204);
    site.ci().post(&format!("{trash}/{id}/restore"), &json!({})).await.is(200);
    assert_eq!(site.anon().get(&file("1", "f")).await.text(), "old");
    let listed = site.anon().get("/api/v1/packages/ada/generic/tool/1/files").await.json();
    assert_eq!(listed[0]["download_count"], 1);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn the_same_bytes_replace_nothing() {
    let site = Site::new();
    site.ci().publish(&file("1", "f"), "same").await;
    db_overwrite(&site, "{*}");
    let before = site.db_texts("SELECT id::text AS text FROM files");
    let audit = site.db_audit();
    for digest in [None, Some(sha256("same"))] {
        let request = site.ci().put(&file("1", "f"), "same");
        let request = digest.into_iter().fold(request, |request, sum| request.header("x-checksum-sha256", sum));
        assert_eq!(request.await.is(200).header("etag"), Some(&*etag("same")));
    }
    assert_eq!(site.db_texts("SELECT id::text AS text FROM files"), before);
    assert_eq!(site.db_audit(), audit);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM trash"), 0);
    eventually("one copy is left", async || site.store_blobs() == 1).await;
}

#[tokio::test]
async fn if_match_and_if_none_match_make_an_upload_conditional() {
    let site = Site::new();
    site.ci().publish(&file("1", "f"), "one").await;
    db_overwrite(&site, "{*}");
    let put = |name: &'static str, header: &'static str, value: String, body: &'static str| {
        site.ci().put(&file("1", name), body).header(header, value)
    };
    put("f", "if-match", etag("other"), "two").await.is(412).says("it was replaced");
    put("f", "if-match", format!("W/{}", etag("one")), "two").await.is(412);
    put("f", "if-match", "\"x\"".to_owned(), "two").await.is(412);
    put("f", "if-none-match", "*".to_owned(), "two").await.is(412).says("already exists");
    put("g", "if-match", etag("one"), "two").await.is(412).says("there is no such package file");
    put("g", "if-match", "*".to_owned(), "two").await.is(412);
    site.anon().get(&file("1", "g")).await.is(404);
    assert_eq!(site.anon().get(&file("1", "f")).await.text(), "one");
    put("f", "if-match", format!("\"x\", {}", etag("one")), "two").await.is(200);
    put("f", "if-match", "*".to_owned(), "three").await.is(200);
    put("g", "if-none-match", "*".to_owned(), "new").await.is(201);
    assert_eq!(site.anon().get(&file("1", "f")).await.text(), "three");
    // A condition allows nothing that the package does not.
    db_overwrite(&site, "{}");
    put("f", "if-match", etag("three"), "four").await.is(409);
    put("f", "if-match", etag("one"), "four").await.is(412);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn files_of_a_sealed_version_are_never_replaced() {
    let site = Site::new();
    site.ci().publish(&file("1", "f"), "old").await;
    db_overwrite(&site, "{*}");
    site.db_execute("UPDATE versions SET state = 2, sealed_at = now()");
    site.ci().put(&file("1", "f"), "new").await.is(409).says("version is sealed");
    assert_eq!(site.anon().get(&file("1", "f")).await.text(), "old");
    eventually("no bytes of the refused uploads are left", async || site.store_blobs() == 1).await;
}

#[tokio::test]
async fn a_replacement_is_charged_by_the_difference() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_BYTES", "10")]);
    site.ci().publish(&file("1", "f"), "12345678").await;
    db_overwrite(&site, "{*}");
    site.ci().put(&file("1", "f"), "1234567890").await.is(200);
    site.ci().put(&file("1", "f"), "12345678901").await.is(403).says("the quota of ada");
    site.ci().put(&file("1", "f"), "1").await.is(200);
    site.ci().publish(&file("1", "g"), "123456789").await;
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_part_of_the_old_file_is_never_continued_with_the_new_one() {
    let site = Site::new();
    let (old, new) = (noise(5000), noise(6000)[1..].to_vec());
    site.ci().publish(&file("1", "f"), old.clone()).await;
    db_overwrite(&site, "{*}");
    let first = site.anon().get(&file("1", "f")).await;
    let date = first.header("last-modified").unwrap().to_owned();
    site.ci().put(&file("1", "f"), new.clone()).await.is(200);
    for copy in [etag(&old), date.clone()] {
        // Both were uploaded in the same second, so the date says nothing.
        let rest = site.anon().get(&file("1", "f")).header("range", "bytes=1000-").header("if-range", &copy).await;
        assert!(rest.is(200).body == new, "{copy}");
    }
    let rest = site.anon().get(&file("1", "f")).header("range", "bytes=1000-").header("if-range", etag(&new)).await;
    assert!(rest.is(206).body == new[1000..]);
    // A date long after the replaced file's is strong.
    site.pass(Duration::from_secs(60));
    site.ci().put(&file("1", "f"), old.clone()).await.is(200);
    let date = site.anon().get(&file("1", "f")).await.header("last-modified").unwrap().to_owned();
    site.pass(Duration::from_secs(60));
    let rest = site.anon().get(&file("1", "f")).header("range", "bytes=1000-").header("if-range", &date).await;
    assert!(rest.is(206).body == old[1000..]);
}

/// A server with more threads and connections, and with the real time.
fn busy() -> Site {
    let settings = &[
        ("PACKHOUSE_WORKERS", "4"),
        ("PACKHOUSE_DATABASE_READ_CONNECTIONS", "6"),
        ("PACKHOUSE_DATABASE_WRITE_CONNECTIONS", "12"),
    ];
    Site::start(Plan { settings, real_time: true, ..Plan::default() })
}

#[tokio::test]
async fn of_24_racing_conditional_replacements_exactly_one_wins() {
    let site = busy();
    let mut now = "round 0".to_owned();
    site.ci().publish(&file("1", "f"), now.clone()).await;
    db_overwrite(&site, "{*}");
    for round in 1..6 {
        let bodies: Vec<_> = (0..24).map(|at| format!("round {round} writer {at}")).collect();
        let racing = bodies
            .iter()
            .map(|body| site.ci().put(&file("1", "f"), body.clone()).header("if-match", etag(&now)).into_future());
        let answers = join_all(racing).await;
        assert_eq!((count(&answers, 200), count(&answers, 412)), (1, 23), "{answers:?}");
        let winner = answers.iter().position(|answer| answer.status == 200).unwrap();
        assert_eq!(site.anon().get(&file("1", "f")).await.is(200).text(), bodies[winner]);
        now.clone_from(&bodies[winner]);
    }
    assert_eq!(site.db_number("SELECT count(*) AS n FROM trash"), 5);
    assert!(site.db_broken().await.is_empty());
    eventually("the blobs of refused uploads are removed", async || site.store_incoming() == 0).await;
}

#[tokio::test]
async fn readers_of_a_file_that_is_replaced_get_the_old_or_the_new_bytes_whole() {
    let site = busy();
    // Some writers send the same bytes, and old contents come back.
    let contents: Vec<Vec<u8>> = (0..4).map(|at| noise(1_200_000 + at * 1000)).collect();
    site.ci().publish(&file("1", "f"), contents[0].clone()).await;
    db_overwrite(&site, "{*}");
    let writers = (0..4).map(|who| {
        let (site, contents) = (&site, &contents);
        async move {
            for turn in 0..6 {
                site.ci().put(&file("1", "f"), contents[(who + turn) % 4].clone()).await.is(200);
            }
        }
    });
    let readers = (0..4).map(|_| {
        let (site, contents) = (&site, &contents);
        async move {
            for _ in 0..15 {
                let got = site.anon().get(&file("1", "f")).await.is(200);
                assert_eq!(got.header("etag"), Some(&*etag(&got.body)));
                assert!(contents.contains(&got.body));
                let tag = got.header("etag").unwrap();
                let rest =
                    site.anon().get(&file("1", "f")).header("range", "bytes=1000-").header("if-range", tag).await;
                match rest.status {
                    206 => assert!(rest.body == got.body[1000..]),
                    _ => assert!(contents.contains(&rest.is(200).body)),
                }
            }
        }
    });
    futures_util::future::join(join_all(writers), join_all(readers)).await;
    assert_eq!(site.db_number("SELECT count(*) AS n FROM files"), 1);
    assert!(site.db_broken().await.is_empty());
}
