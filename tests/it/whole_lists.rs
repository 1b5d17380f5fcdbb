//! Long lists are whole, and sent while they are read.

use crate::support::people::{db_caller, new_org};
use crate::support::wire::{self, Wire};
use crate::support::{Answer, Client, Site, morning, path};
use packhouse::domain::role::Visibility;
use packhouse::registry::owners::org_creation;

/// More than several batches, and more than any page.
const MANY: usize = 1234;

/// Publishes a file, and adds others of the same content to its version.
async fn version_with_files(site: &Site, count: usize) {
    site.ci().publish(&path(&["ada", "tool", "1.0", "f"]), "hello").await;
    site.db_execute(&format!(
        "INSERT INTO files (version_id, blob_id, name, lower_name, created_at) SELECT v.id, b.id, n.name, n.name, \
         v.created_at FROM versions v, blobs b, generate_series({count}, 2, -1) i, \
         LATERAL (SELECT 'part-' || lpad(i::text, 6, '0')) n (name)"
    ));
}

/// The names of all files in the order of their creation.
fn names(count: usize) -> Vec<String> {
    let mut names = vec!["f".to_owned()];
    names.extend((2..=count).rev().map(|at| format!("part-{at:06}")));
    names
}

fn reversed(mut names: Vec<String>) -> Vec<String> {
    names.reverse();
    names
}

/// The field of each object in a JSON list.
fn field(answer: &Answer, name: &str) -> Vec<String> {
    let list = answer.json();
    list.as_array().unwrap().iter().map(|one| one[name].as_str().unwrap().to_owned()).collect()
}

async fn lines(client: &Client, url: &str) -> Vec<String> {
    client.get(url).await.is(200).lines().into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn file_lists_are_whole_unless_a_page_is_asked_for() {
    let site = Site::new();
    version_with_files(&site, MANY).await;
    let (anon, plain) = (site.anon(), path(&["ada", "tool", "1.0"]));
    assert_eq!(lines(&anon, &plain).await, names(MANY));
    assert_eq!(lines(&anon, &format!("{plain}?order=newest")).await, reversed(names(MANY)));
    let json = anon.get(&plain).json().await.is(200);
    assert_eq!(field(&json, "name"), names(MANY));
    let api = anon.get("/api/v1/packages/ada/generic/tool/1.0/files").await.is(200);
    let mut by_name = names(MANY);
    by_name.sort();
    assert_eq!(field(&api, "name"), by_name);
    assert_eq!((api.header("x-total-count"), api.header("link")), (Some("1234"), None));
    for page in [format!("{plain}?page=2"), format!("{plain}?page=2&limit=1000")] {
        assert_eq!(lines(&anon, &page).await, names(MANY)[1000..]);
    }
    let second = anon.get("/api/v1/packages/ada/generic/tool/1.0/files?page=2").await.is(200);
    assert_eq!(field(&second, "name"), by_name[30..60]);
    for (url, rest) in [(format!("{plain}?order=newest&limit=600"), 600), (format!("{plain}?limit=1234"), 1000)] {
        let page = anon.get(&url).await.is(200);
        assert_eq!((page.lines().len(), page.header("x-total-count")), (rest, Some("1234")));
        let next =
            page.header("link").unwrap().split_once(">; rel=\"next\"").unwrap().0.trim_start_matches('<').to_owned();
        assert_eq!(lines(&anon, &next).await.len(), (MANY - rest).min(rest), "{next}");
        assert_eq!(next.contains("order=newest"), url.contains("order=newest"), "{next}");
    }
    anon.get(&format!("{plain}?order=random")).await.is(400).says("order: use oldest or newest");
}

#[tokio::test]
async fn checksum_files_of_a_version_list_all_its_files() {
    let site = Site::new();
    version_with_files(&site, MANY).await;
    for (name, digits) in [("SHA256SUMS", 64), ("SHA512SUMS", 128)] {
        let sums = lines(&site.anon(), &path(&["ada", "tool", "1.0", name])).await;
        let listed: Vec<_> = sums.iter().map(|line| line.split_once("  ").unwrap()).collect();
        assert!(listed.iter().all(|(digest, _)| digest.len() == digits));
        assert_eq!(listed.iter().map(|(_, name)| *name).collect::<Vec<_>>(), names(MANY));
    }
}

#[tokio::test]
async fn versions_and_packages_are_listed_whole_in_order_of_creation() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1", "f"]), "hello").await;
    site.db_execute(&format!(
        "WITH p AS (INSERT INTO packages (owner_id, name, lower_name, created_at) SELECT p.owner_id, 'p-' || i, 'p-' || i, \
         p.created_at FROM packages p, generate_series(2, {MANY}) i RETURNING id, owner_id, created_at), \
         v AS (INSERT INTO versions (package_id, owner_id, version, lower_version, created_at) \
         SELECT id, owner_id, '7', '7', created_at FROM p UNION ALL \
         SELECT p.id, p.owner_id, i::text, i::text, p.created_at FROM packages p, generate_series(2, {MANY}) i RETURNING id) \
         INSERT INTO files (version_id, blob_id, name, lower_name, created_at) \
         SELECT v.id, b.id, 'f', 'f', now() FROM v, blobs b"
    ));
    let anon = site.anon();
    let versions: Vec<String> = (1..=MANY).map(|at| at.to_string()).collect();
    let mut packages: Vec<String> = vec!["tool".to_owned()];
    packages.extend((2..=MANY).map(|at| format!("p-{at}")));
    for (url, expected, name) in [(path(&["ada", "tool"]), versions, "version"), (path(&["ada"]), packages, "name")] {
        assert_eq!(lines(&anon, &url).await, expected);
        assert_eq!(lines(&anon, &format!("{url}?order=newest")).await, reversed(expected.clone()));
        assert_eq!(lines(&anon, &format!("{url}?page=2&limit=5")).await, expected[5..10]);
        let json = anon.get(&url).json().await.is(200);
        assert_eq!(field(&json, name), expected);
        assert_eq!(json.header("x-total-count"), Some("1234"));
    }
}

#[tokio::test]
async fn an_owners_packages_are_listed_for_those_who_may_read_them() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://packages.example.org")]);
    let (anon, list) = (site.anon(), path(&["ada"]));
    assert_eq!(anon.get(&list).await.is(200).text(), "");
    for (package, version, bytes) in [("zeta", "1.9", "hello"), ("Alpha", "2", "x"), ("zeta", "1.10", "hi")] {
        site.pass(std::time::Duration::from_secs(60));
        site.ci().publish(&path(&["ada", package, version, "f"]), bytes).await;
    }
    let plain = anon.get(&list).await.is(200);
    assert_eq!(plain.lines(), ["zeta", "Alpha"]);
    insta::assert_snapshot!(plain.shown(), @r"
    200
    cache-control: private, no-cache
    content-length: 11
    content-type: text/plain; charset=utf-8
    vary: Accept
    x-content-type-options: nosniff
    x-total-count: 2
    ");
    assert_eq!(anon.head(&list).await.is(200).shown(), plain.shown());
    insta::assert_snapshot!(anon.get(&list).json().await.is(200).pretty(), @r#"
    [
      {
        "created_at": "2026-01-02T03:05:05Z",
        "download_count": 0,
        "latest": "1.10",
        "name": "zeta",
        "size": 7,
        "updated_at": "2026-01-02T03:07:05Z",
        "url": "https://packages.example.org/api/packages/ada/generic/zeta",
        "versions": 2
      },
      {
        "created_at": "2026-01-02T03:06:05Z",
        "download_count": 0,
        "latest": "2",
        "name": "Alpha",
        "size": 1,
        "updated_at": "2026-01-02T03:06:05Z",
        "url": "https://packages.example.org/api/packages/ada/generic/Alpha",
        "versions": 1
      }
    ]
    "#);
    let token =
        site.db_limited_token("ada", &["read:package"], |token| token.packages = Some(vec!["al*".parse().unwrap()]));
    let limited = anon.bearer(&token);
    let answer = limited.get(&list).await.is(200);
    assert_eq!((answer.lines(), answer.header("x-total-count")), (vec!["Alpha"], Some("1")));
    anon.bearer(&site.db_token("ada", &["read:user"])).get(&list).await.is(403).says("read:package");
    site.db_execute("UPDATE owners SET visibility = 2 WHERE name = 'ada'");
    assert_eq!(anon.get(&list).await.is(401).looks(), anon.get(&path(&["nobody"])).await.looks());
    assert_eq!(site.stranger().get(&list).await.is(404).looks(), site.stranger().get(&path(&["nobody"])).await.looks());
    assert_eq!(site.reader().get(&list).await.is(200).lines(), ["zeta", "Alpha"]);
}

#[tokio::test]
async fn long_lists_are_chunked_and_http_1_0_readers_get_them_until_close() {
    let site = Site::new();
    version_with_files(&site, MANY).await;
    let api = "/api/v1/packages/ada/generic/tool/1.0/files".to_owned();
    for url in [path(&["ada", "tool", "1.0"]), path(&["ada", "tool", "1.0", "SHA256SUMS"]), api] {
        let whole = site.anon().get(&url).await.is(200);
        assert_eq!((whole.header("transfer-encoding"), whole.header("content-length")), (Some("chunked"), None));
        let head = site.anon().head(&url).await.is(200);
        assert_eq!((head.shown(), head.body.len()), (whole.shown(), 0), "{url}");
        let mut wire = Wire::open(site.address).await;
        wire.say(format!("GET {url} HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")).await;
        let old = wire.head().await.expect("an answer");
        assert_eq!((old.header("transfer-encoding"), old.header("content-length")), (None, None), "{url}");
        assert!(wire.rest().await == whole.body, "{url}: not chunked, and whole");
        // After HEAD and a whole list, the connection goes on.
        let mut wire = Wire::open(site.address).await;
        wire.say([wire::head("HEAD", &url, &[]), wire::head("GET", "/livez", &[])].concat()).await;
        assert_eq!(wire.answer("HEAD").await.expect("an answer").status, 200);
        assert_eq!(wire.answer("GET").await.expect("an answer").status, 200);
    }
}

#[tokio::test]
async fn a_caller_who_loses_the_right_gets_no_more_of_a_list() {
    let site = Site::new();
    // Some times as much JSON as the buffers of a connection hold.
    version_with_files(&site, 40_000).await;
    let mut wire = Wire::open(site.address).await;
    let json = [("Accept", "application/json")];
    wire.say(wire::head("GET", path(&["ada", "tool", "1.0"]), &json)).await;
    assert_eq!(wire.head().await.expect("an answer").status, 200);
    site.db_execute("UPDATE owners SET visibility = 2 WHERE name = 'ada'");
    let part = wire.rest().await;
    assert!(!part.ends_with(b"0\r\n\r\n"), "the list is cut off, not ended");
    assert!(part.len() < 25_000_000, "{} bytes", part.len());
    site.anon().get(&path(&["ada", "tool", "1.0"])).await.is(401);
}

#[tokio::test]
async fn accept_is_read_by_weight_and_without_case_in_every_face() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1.0", "f"]), "hello").await;
    let is_json = |answer: &Answer| answer.header("content-type") == Some("application/json");
    for (accept, json) in [
        ("application/json;q=0.1, text/plain", false),
        ("text/plain;q=0.1, APPLICATION/JSON;Q=0.9", true),
        ("application/json;q=0", false),
        ("application/*", true),
        ("*/*", false),
        ("text/html, */*;q=0.1", false),
    ] {
        for url in [path(&["ada"]), path(&["ada", "tool"]), path(&["ada", "tool", "1.0"]), path(&["ada", "none"])] {
            let answer = site.anon().get(&url).header("accept", accept).await;
            assert_eq!(is_json(&answer), json, "{url} {accept}");
        }
        let nothing = site.anon().get("/nothing/at/this/address").header("accept", accept).await.is(404);
        let page = nothing.header("content-type").unwrap().starts_with("text/html");
        assert_eq!((page, is_json(&nothing)), (accept.starts_with("text/html"), json), "{accept}");
        // The API has no other format.
        assert!(is_json(&site.anon().get("/api/v1/nothing").header("accept", accept).await.is(404)));
    }
    for (accept, page) in [("TEXT/HTML", true), ("text/html;q=0", false), ("text/plain, text/html;q=0.9", false)] {
        let answer = site.anon().get("/nothing/at/this/address").header("accept", accept).await.is(404);
        assert_eq!(answer.header("content-type").unwrap().starts_with("text/html"), page, "{accept}");
    }
    let audit = |accept: &'static str| site.admin().get("/api/v1/admin/audit").header("accept", accept);
    for (accept, kind) in [
        ("Application/X-NDJSON", "application/x-ndjson"),
        ("application/x-ndjson;q=0.5, application/json", "application/json"),
        ("*/*", "application/json"),
    ] {
        assert_eq!(audit(accept).await.is(200).header("content-type"), Some(kind));
    }
    let export = site.admin().head("/api/v1/admin/audit?format=ndjson").await.is(200);
    assert_eq!(export.header("content-length"), None, "HEAD doesn't claim an empty export");
}

#[tokio::test]
async fn what_is_deleted_and_published_again_is_found_everywhere() {
    let site = Site::new();
    let (anon, ci) = (site.anon(), site.ci());
    let file = |version: &str, name: &str| path(&["ada", "tool", version, name]);
    for (version, name) in [("1.9", "a"), ("1.10", "a"), ("1.10", "b")] {
        ci.publish(&file(version, name), "first").await;
    }
    ci.delete(&file("1.10", "a")).await.is(204);
    ci.publish(&file("1.10", "A"), "second").await;
    assert_eq!(lines(&anon, &path(&["ada", "tool", "1.10"])).await, ["b", "A"]);
    assert_eq!(anon.get(&file("latest", "a")).await.is(302).header("location"), Some(&*file("1.10", "a")));
    assert_eq!(anon.get(&file("1.10", "a")).await.is(200).text(), "second");
    ci.delete(&path(&["ada", "tool", "1.10"])).await.is(204);
    assert_eq!(anon.get(&file("latest", "a")).await.is(302).header("location"), Some(&*file("1.9", "a")));
    ci.publish(&file("1.10", "c"), "third").await;
    assert_eq!(lines(&anon, &path(&["ada", "tool"])).await, ["1.9", "1.10"]);
    assert_eq!(lines(&anon, &path(&["ada", "tool", "1.10"])).await, ["c"]);
    site.admin().delete("/api/v1/packages/ada/generic/tool").await.is(204);
    anon.get(&path(&["ada", "tool"])).await.is(404);
    assert_eq!(anon.get(&path(&["ada"])).await.is(200).text(), "");
    ci.publish(&path(&["ada", "Tool", "0.1", "d"]), "fourth").await;
    assert_eq!(lines(&anon, &path(&["ada"])).await, ["Tool"]);
    assert_eq!(lines(&anon, &path(&["ada", "tool"])).await, ["0.1"]);
    assert_eq!(anon.get(&file("latest", "d")).await.is(302).header("location"), Some(&*file("0.1", "d")));
    for (q, found) in [("tool", 1), ("0.1", 1), ("1.10", 0), ("1.9", 0)] {
        let hits = anon.get(&format!("/api/v1/packages/search?q={q}")).await.is(200);
        assert_eq!(hits.header("x-total-count"), Some(&*found.to_string()), "{q}");
    }
    let listed = anon.get("/api/v1/packages/ada").await.is(200);
    assert_eq!((field(&listed, "name"), field(&listed, "version")), (vec!["Tool".into()], vec!["0.1".into()]));
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_readme_finds_its_images_among_any_number_of_files() {
    let site = Site::new();
    version_with_files(&site, MANY).await;
    site.ci().publish(&path(&["ada", "tool", "1.0", "README.md"]), "![Logo](Zebra.png) [all](part-001234)").await;
    site.ci().publish(&path(&["ada", "tool", "1.0", "zebra.png"]), "png").await;
    let mut browser = site.browser();
    browser.go("/ada/-/packages/generic/tool/1.0").await.is(200);
    let files = "/ada/-/packages/generic/tool/1.0/files/";
    assert!(browser.attrs(".prose img", "src")[0].starts_with(files));
    assert!(browser.attrs(".prose a", "href")[0].starts_with(files));
}

#[tokio::test]
async fn the_form_for_tokens_offers_all_organizations() {
    let site = Site::new();
    site.db(|conn| {
        let caller = db_caller(conn, "ada")?;
        for at in 0..120 {
            let name = format!("org-{at:03}").parse().unwrap();
            org_creation::create(conn, &caller, &new_org(&name, Visibility::Public), morning())?;
        }
        Ok(())
    });
    let mut browser = site.browser_of("ada").await;
    browser.go("/user/settings/tokens/new").await.is(200);
    assert_eq!(browser.attrs("input[name=owners]", "value").len(), 121);
}

#[tokio::test]
async fn a_user_with_thousands_of_packages_is_deleted_at_once() {
    let site = Site::new();
    site.admin().publish(&path(&["stranger", "tool", "1", "f"]), "hello").await;
    site.db_execute(
        "WITH p AS (INSERT INTO packages (owner_id, name, lower_name, created_at) SELECT p.owner_id, 'p-' || i, 'p-' || i, \
         p.created_at FROM packages p, generate_series(1, 2500) i RETURNING id, owner_id, created_at), \
         v AS (INSERT INTO versions (package_id, owner_id, version, lower_version, created_at) \
         SELECT id, owner_id, '7', '7', created_at FROM p RETURNING id), \
         u AS (INSERT INTO usage_changes (owner_id, versions, bytes) SELECT owner_id, 1, 5 FROM p) \
         INSERT INTO files (version_id, blob_id, name, lower_name, created_at) \
         SELECT v.id, b.id, 'f', 'f', now() FROM v, blobs b",
    );
    assert!(site.db_broken().await.is_empty());
    site.admin().delete("/api/v1/admin/users/stranger?purge=true").await.is(204);
    for table in ["packages", "versions", "files"] {
        assert_eq!(site.db_number(&format!("SELECT count(*) AS n FROM {table}")), 0, "{table}");
    }
    let detail = site.db_texts("SELECT detail::text AS text FROM audit WHERE event = 'user.delete'");
    assert!(detail[0].contains("\"packages\": 2501") && detail[0].contains("\"versions\": 2501"), "{detail:?}");
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn the_list_of_damaged_files_says_how_many_it_leaves_out() {
    let site = Site::new();
    site.db_execute(
        "WITH b AS (INSERT INTO blobs (sha256, size, storage_key, touched_at, block_checksums) \
         SELECT sha256(i::text::bytea), 1, 'key-' || i, now(), '' FROM generate_series(1, 130) i \
         RETURNING id, storage_key) \
         INSERT INTO damaged_blobs (blob_id, storage_key, damage, found_at) SELECT id, storage_key, 1, now() FROM b",
    );
    let mut browser = site.browser_of("admin").await;
    browser.go("/-/admin/system").await.is(200);
    assert_eq!(browser.all("#damaged tbody tr").len(), 100);
    assert_eq!(browser.one("#damaged-total"), "These are the 100 most recent of 130.");
    site.db_execute("DELETE FROM damaged_blobs WHERE blob_id > (SELECT min(blob_id) + 99 FROM damaged_blobs)");
    browser.go("/-/admin/system").await.is(200);
    assert!(browser.all("#damaged-total").is_empty());
}
