//! The search over all packages that the caller may read.

use crate::support::people::{db_org, db_user};
use crate::support::{Answer, Client, Site, path, sha256};
use packhouse::domain::role::Visibility;
use std::time::Duration;

const SEARCH: &str = "/api/v1/packages/search";

/// Publishes a file as the administrator, one second after the previous one.
async fn publish(site: &Site, owner: &str, package: &str, version: &str, name: &str, bytes: &str) {
    site.pass(Duration::from_secs(1));
    site.admin().publish(&path(&[owner, package, version, name]), bytes.to_owned()).await;
}

/// Owner, package and version of each entry.
fn entries(answer: &Answer) -> Vec<String> {
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let list = answer.json();
    let entry = |one: &serde_json::Value| {
        format!("{}/{}/{}", word(&one["owner"]["login"]), word(&one["name"]), word(&one["version"]))
    };
    list.as_array().unwrap().iter().map(entry).collect()
}

async fn find(client: &Client, query: &str) -> Vec<String> {
    let answer = client.get(&format!("{SEARCH}?{query}")).await.is(200);
    let found = entries(&answer);
    assert_eq!(answer.header("x-total-count").unwrap(), found.len().to_string(), "{query}");
    found
}

/// The address of the next page.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link")?;
    let url = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    Some(url.split_once("/api").map(|(_, rest)| format!("/api{rest}")).unwrap())
}

#[tokio::test]
async fn search_matches_part_of_package_version_or_file_name_in_any_case() {
    let site = Site::new();
    publish(&site, "ada", "Alpha-Tool", "1.0-Beta", "Read_Me.txt", "a").await;
    publish(&site, "stranger", "gamma+x", "2 büro", "100%.bin", "b").await;
    publish(&site, "stranger", "delta", "7", "x[1].zip", "c").await;
    let (alpha, gamma, delta) = ("ada/Alpha-Tool/1.0-Beta", "stranger/gamma+x/2 büro", "stranger/delta/7");
    for (query, expected) in [
        ("", &[delta, gamma, alpha][..]),
        ("q=", &[delta, gamma, alpha]),
        ("q=%20%20", &[delta, gamma, alpha]),
        ("q=pha-to", &[alpha]),
        ("q=ALPHA", &[alpha]),
        ("q=0-bet", &[alpha]),
        ("q=D_M", &[alpha]),
        ("q=B%C3%9CRO", &[gamma]),
        ("q=100%25", &[gamma]),
        ("q=.b_n", &[]),
        ("q=a_p", &[]),
        ("q=%25%25%25", &[]),
        ("q=%5c%5c%5c", &[]),
        ("q=%5b1%5d", &[delta]),
        ("q=%20pha-to%20", &[alpha]),
        ("q=2%20b%C3%BC", &[gamma]),
        ("q=nothing", &[]),
        // One or two characters are searched only in the names of packages.
        ("q=a", &[delta, gamma, alpha]),
        ("q=a%2b", &[gamma]),
        ("q=+x", &[gamma]),
        ("q=lt", &[delta]),
        ("q=7", &[]),
        ("q=_", &[]),
        ("q=alpha&owner=ADA", &[alpha]),
        ("q=alpha&owner=stranger", &[]),
        ("owner=stranger", &[delta, gamma]),
        ("owner=nobody", &[]),
        ("owner=%25", &[]),
        ("sort=newest", &[delta, gamma, alpha]),
        ("sort=oldest", &[alpha, gamma, delta]),
        ("sort=name", &[alpha, delta, gamma]),
        ("sort=name&q=elta&owner=stranger", &[delta]),
    ] {
        let query = if query == "q=+x" { "q=%2bx" } else { query };
        assert_eq!(find(&site.anon(), query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn search_by_digest_finds_a_version_once_for_all_matching_files() {
    let site = Site::new();
    publish(&site, "ada", "one", "1", "file-a", "same").await;
    publish(&site, "ada", "one", "1", "file-b", "same").await;
    publish(&site, "stranger", "two", "file-2", "c", "same").await;
    publish(&site, "ada", "other", "1", "d", "else").await;
    let both = ["stranger/two/file-2", "ada/one/1"];
    let files = site.anon().get("/api/v1/packages/ada/generic/one/1/files").await.is(200).json();
    for name in ["sha256", "sha512", "sha1", "md5"] {
        let digest = files[0][name].as_str().unwrap();
        assert_eq!(find(&site.anon(), &format!("q={digest}")).await, both, "{name}");
        assert_eq!(find(&site.anon(), &format!("q={}", digest.to_uppercase())).await, both, "{name}");
        assert!(find(&site.anon(), &format!("q={}", &digest[1..])).await.is_empty(), "{name}: a part of a digest");
    }
    let digest = sha256("same");
    assert_eq!(find(&site.anon(), &format!("sha256={digest}")).await, both);
    assert_eq!(find(&site.anon(), &format!("sha256={digest}&q=one")).await, both[1..]);
    assert_eq!(find(&site.anon(), &format!("sha256={digest}&owner=stranger")).await, both[..1]);
    assert!(find(&site.anon(), &format!("sha256={}", "0".repeat(64))).await.is_empty());
    assert_eq!(find(&site.anon(), "q=file-").await, both);
    // A name may look like a digest.
    publish(&site, "ada", "store", "1", &digest, "third").await;
    assert_eq!(find(&site.anon(), &format!("q={digest}")).await, ["ada/store/1", both[0], both[1]]);
    assert_eq!(find(&site.anon(), &format!("sha256={digest}")).await, both);
}

#[tokio::test]
async fn an_invalid_search_is_422_and_names_the_parameter() {
    let site = Site::new();
    for (query, field) in [
        (format!("q={}", "x".repeat(256)), "q:"),
        ("q=a%00b".to_owned(), "q:"),
        ("q=a%1bb".to_owned(), "q:"),
        ("sha256=abc".to_owned(), "sha256:"),
        (format!("sha256={}", "g".repeat(64)), "sha256:"),
        ("sort=size".to_owned(), "sort:"),
        ("after=x".to_owned(), "after:"),
        ("after=1~2".to_owned(), "after:"),
        ("after=1~x~y".to_owned(), "after:"),
        (format!("after={}~1~x", i64::MIN), "after:"),
        ("after=1~1~%00".to_owned(), "after:"),
    ] {
        site.anon().get(&format!("{SEARCH}?{query}")).await.is(422).says(field);
    }
    let most = format!("q={}", "x".repeat(255));
    assert!(find(&site.anon(), &most).await.is_empty());
}

/// Two public, one limited and one private owner, with one package each, all of the same content.
async fn owners(site: &Site) {
    site.db(|conn| {
        db_user(conn, "shy", Visibility::Limited, false)?;
        db_org(conn, "acme", Visibility::Private)
    });
    for owner in ["ada", "stranger", "shy", "acme"] {
        publish(site, owner, &format!("of-{owner}"), "needle-1", "pin.bin", "the same bytes").await;
    }
}

#[tokio::test]
async fn search_never_finds_counts_or_sorts_by_hidden_packages() {
    let site = Site::new();
    owners(&site).await;
    let (ada, stranger, shy, acme) = ("ada/of-ada", "stranger/of-stranger", "shy/of-shy", "acme/of-acme");
    let everything = [acme, shy, stranger, ada].map(|name| format!("{name}/needle-1"));
    let cases = [
        (site.anon(), &everything[2..]),
        (site.stranger(), &everything[1..]),
        (site.user("shy"), &everything[1..]),
        (site.user("acme-read"), &everything[..]),
        (site.ada(), &everything[..]),
        (site.admin(), &everything[..]),
    ];
    let digest = sha256("the same bytes");
    for (client, expected) in &cases {
        for query in ["", "q=of-", "q=needle", "q=pin.bin", "q=of", &format!("q={digest}"), &format!("sha256={digest}")]
        {
            assert_eq!(find(client, query).await, *expected, "{query}");
        }
        let mut sorted = expected.to_vec();
        sorted.sort();
        assert_eq!(find(client, "sort=name").await, sorted);
        sorted = expected.to_vec();
        sorted.reverse();
        assert_eq!(find(client, "sort=oldest&q=needle").await, sorted);
        assert_eq!(find(client, "owner=acme&q=needle").await.len(), usize::from(expected.len() == 4));
    }
    // Answers about private packages and missing packages are identical.
    let absent = site.anon().get(&format!("{SEARCH}?owner=nobody&q=of-nobody")).await;
    for hidden in ["owner=acme&q=of-acme", "owner=shy&q=of-shy", "q=of-acme&owner=nobody"] {
        assert_eq!(site.anon().get(&format!("{SEARCH}?{hidden}")).await.looks(), absent.looks(), "{hidden}");
    }
}

#[tokio::test]
async fn token_limits_filter_search_results_and_a_wrong_scope_is_403() {
    let site = Site::new();
    owners(&site).await;
    publish(&site, "ada", "other", "needle-2", "f", "x").await;
    let by = |token: String| site.anon().bearer(&token);
    let one_owner =
        by(site.db_limited_token("ada", &["read:package"], |new| new.owners = Some(vec!["ada".parse().unwrap()])));
    assert_eq!(find(&one_owner, "q=needle").await, ["ada/other/needle-2", "ada/of-ada/needle-1"]);
    assert_eq!(find(&one_owner, "q=needle&owner=acme").await, [""; 0]);
    let no_owner = by(site.db_limited_token("ada", &["all"], |new| new.owners = Some(Vec::new())));
    assert_eq!(find(&no_owner, "").await, [""; 0]);
    let patterns = |new: &mut packhouse::registry::accounts::tokens::NewToken| {
        new.packages = Some(vec!["oth*".parse().unwrap(), "OF-SH*".parse().unwrap()]);
    };
    let some_packages = by(site.db_limited_token("ada", &["read:package"], patterns));
    assert_eq!(find(&some_packages, "q=needle").await, ["ada/other/needle-2", "shy/of-shy/needle-1"]);
    let public = ["ada/other/needle-2", "stranger/of-stranger/needle-1", "ada/of-ada/needle-1"];
    for user in ["ada", "admin", "shy"] {
        let public_only = by(site.db_token(user, &["all", "public-only"]));
        assert_eq!(find(&public_only, "q=needle").await, public, "{user}");
    }
    by(site.db_token("ada", &["write:user"])).get(SEARCH).await.is(403).says("read:package");
    site.anon().bearer("phk_wrong").get(SEARCH).await.is(401);
}

#[tokio::test]
async fn search_pages_show_each_version_once_while_others_change_it() {
    let site = Site::new();
    for number in 0..11 {
        publish(&site, "ada", &format!("tool+{}", number % 4), &format!("v{number}"), "f", "x").await;
    }
    for sort in ["newest", "oldest", "name"] {
        for (query, limit) in [("", 3), ("q=tool%2B&", 4), ("q=too&", 1), ("", 11)] {
            let all = find(&site.anon(), &format!("{query}sort={sort}&limit=50")).await;
            let mut seen = Vec::new();
            let mut at = Some(format!("{SEARCH}?{query}sort={sort}&limit={limit}&token=secret"));
            while let Some(url) = at {
                assert!(!url.contains("secret") || seen.is_empty(), "{url}");
                let page = site.anon().get(&url).await.is(200);
                assert_eq!(page.header("x-total-count"), Some("11"));
                seen.extend(entries(&page));
                at = next(&page);
            }
            assert_eq!(seen, all, "{query} {sort} {limit}");
        }
    }
    let first = site.anon().get(&format!("{SEARCH}?limit=4")).await.is(200);
    let before = find(&site.anon(), "").await;
    assert_eq!(entries(&first), before[..4]);
    // The cursor is after a version that was deleted, and new versions come before it.
    site.admin().delete(&path(&["ada", "tool+3", "v7"])).await.is(204);
    site.admin().delete(&path(&["ada", "tool+1", "v5"])).await.is(204);
    publish(&site, "stranger", "new", "1", "f", "x").await;
    let second = site.anon().get(&next(&first).unwrap()).await.is(200);
    assert_eq!(entries(&second), [&before[4], &before[6], &before[7], &before[8]].map(Clone::clone));
    // Page numbers work too, as everywhere.
    assert_eq!(entries(&site.anon().get(&format!("{SEARCH}?limit=4&page=3")).await), before[9..]);
    assert_eq!(entries(&site.anon().get(&format!("{SEARCH}?limit=4&page=4")).await.is(200)), [""; 0]);
    assert_eq!(entries(&site.anon().get(&format!("{SEARCH}?page=999999999")).await.is(200)), [""; 0]);
}

/// Inserts many versions by SQL, because publishing them would take minutes.
fn db_many(site: &Site) {
    site.db_execute(
        "WITH p AS (INSERT INTO packages (owner_id, name, lower_name, created_at) \
           SELECT id, w.name, w.name, now() FROM owners, (VALUES ('many'), ('others')) w (name) WHERE owners.name = 'ada' \
           RETURNING id, name), \
         b AS (INSERT INTO blobs (sha256, size, storage_key, touched_at) VALUES (sha256('common'), 6, 'k', now()) \
           RETURNING id), \
         v AS (INSERT INTO versions (package_id, version, lower_version, created_at) \
           SELECT p.id, 'v' || n, 'v' || n, timestamptz '2026-01-01' + n * interval '1 s' \
           FROM p, generate_series(1, 5100) n WHERE p.name = 'many' OR n <= 40 RETURNING id) \
         INSERT INTO files (version_id, blob_id, name, lower_name, created_at) \
         SELECT v.id, b.id, 'common-' || n, 'common-' || n, now() FROM v, b, generate_series(1, 6) n",
    );
    site.db_execute("ANALYZE");
}

#[tokio::test]
async fn thousands_of_matches_are_counted_to_1000_and_all_reachable() {
    let site = Site::new();
    db_many(&site);
    publish(&site, "stranger", "rare", "1", "common-7", "rare").await;
    let digest = sha256("common");
    for query in
        ["q=common".to_owned(), String::new(), format!("sha256={digest}"), format!("q={digest}"), "q=m".to_owned()]
    {
        let url = format!("{SEARCH}?{query}&limit=50");
        let page = site.anon().get(&url).await.is(200);
        assert_eq!(page.header("x-total-count"), Some("1000"), "{query}");
        assert_eq!(entries(&page).len(), 50);
        let last = site.anon().get(&format!("{url}&page=21")).await.is(200);
        assert_eq!(
            (entries(&last).len(), next(&last).is_some()),
            (50, true),
            "{query}: right after the last counted match"
        );
        site.anon().get(&format!("{url}&page=22")).await.is(422).says("Link");
    }
    for (sort, first) in [("newest", "stranger/rare/1"), ("oldest", "ada/"), ("name", "ada/many/v1")] {
        let mut seen = Vec::new();
        let mut at = Some(format!("{SEARCH}?q=common&sort={sort}&limit=50"));
        while let Some(url) = at {
            let page = site.anon().get(&url).await.is(200);
            seen.extend(entries(&page));
            at = next(&page);
        }
        assert!(seen[0].starts_with(first), "{sort}: {}", seen[0]);
        assert_eq!(seen.len(), 5141, "{sort}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 5141, "{sort}");
    }
    assert_eq!(find(&site.anon(), "q=common&owner=stranger").await, ["stranger/rare/1"]);
    // Someone who may see none of them finds none.
    site.db_execute("UPDATE owners SET visibility = 2 WHERE name = 'ada'");
    for query in ["q=common", ""] {
        assert_eq!(find(&site.anon(), query).await, ["stranger/rare/1"], "{query}");
    }
    for query in [format!("sha256={digest}"), format!("q={digest}"), "q=m".to_owned()] {
        assert_eq!(find(&site.anon(), &query).await, [""; 0], "{query}");
    }
}

#[tokio::test]
async fn search_results_are_the_same_without_pg_trgm() {
    let site = Site::new();
    owners(&site).await;
    db_many(&site);
    let queries = ["q=common-1&limit=50", "q=needle", "q=v5099", "q=of-", "q=pin", "q=%25", "q=1.b", "q=any&sort=name"];
    let ask = async || {
        let mut answers = Vec::new();
        for query in queries {
            answers.push(site.anon().get(&format!("{SEARCH}?{query}")).await.is(200).looks());
        }
        answers
    };
    let with = ask().await;
    let dropped = site.db_number(
        "SELECT count(*) AS n FROM pg_indexes WHERE indexname LIKE '%trgm_idx' AND indexdef LIKE '%gin_trgm_ops%'",
    );
    assert_eq!(dropped, 3, "Postgres has pg_trgm on this machine");
    site.db_execute("DROP EXTENSION pg_trgm CASCADE");
    assert_eq!(ask().await, with);
}
