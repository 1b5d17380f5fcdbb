//! Downloads: headers, ranges, conditional requests, counts, checksum sidecars, `latest`.

use crate::support::{Answer, Plan, Site, noise, path, people, sha256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use packhouse::domain::role::Visibility;
use sha2::{Digest, Sha256, Sha512};
use std::process::{Command, Stdio};
use std::time::Duration;

fn file(version: &str, name: &str) -> String {
    path(&["ada", "tool", version, name])
}

#[tokio::test]
async fn a_download_has_all_promised_headers() {
    let site = Site::new();
    site.ci().publish(&file("1.0", "[a] $(b) & c.bin"), "hello").await;
    let answer = site.anon().get(&file("1.0", "[a] $(b) & c.bin")).await;
    insta::assert_snapshot!(answer.shown(), @r#"
    200
    accept-ranges: bytes
    access-control-allow-origin: *
    access-control-expose-headers: Accept-Ranges, Content-Disposition, Content-Length, Content-Range, Date, Deprecation, Digest, ETag, Link, Repr-Digest, Sunset, X-Checksum-Sha256, X-Packhouse-Yanked, X-Request-Id
    cache-control: public, max-age=0, must-revalidate, no-transform
    content-disposition: attachment; filename="[a] $(b) & c.bin"; filename*=UTF-8''%5Ba%5D%20$%28b%29%20&%20c.bin
    content-length: 5
    content-security-policy: default-src 'none'; sandbox; frame-ancestors 'none'
    content-type: application/octet-stream
    cross-origin-resource-policy: same-origin
    etag: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    last-modified: Fri, 02 Jan 2026 03:04:05 GMT
    repr-digest: sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:
    x-checksum-sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
    x-content-type-options: nosniff
    "#);
    assert_eq!(answer.text(), "hello");
    let head = site.anon().head(&file("1.0", "[a] $(b) & c.bin")).await;
    assert_eq!((head.shown(), head.body.len()), (answer.shown(), 0));
}

#[tokio::test]
async fn cache_control_is_public_only_for_files_everyone_may_read() {
    let site = Site::new();
    for (visibility, word) in [(0, "public"), (1, "private"), (2, "private")] {
        site.db_execute(&format!("UPDATE owners SET visibility = {visibility} WHERE name = 'ada'"));
        let name = format!("file-{visibility}");
        site.ci().publish(&file("1", &name), "x").await;
        let answer = site.reader().get(&file("1", &name)).await.is(200);
        let expected = format!("{word}, max-age=0, must-revalidate, no-transform");
        assert_eq!(answer.header("cache-control"), Some(&*expected));
        let not_modified = site.reader().get(&file("1", &name)).header("if-none-match", "*").await.is(304);
        assert_eq!(not_modified.header("cache-control"), Some(&*expected));
    }
}

#[tokio::test]
async fn ranges_are_206_or_416_or_the_whole_file() {
    let site = Site::new();
    let bytes = noise(2_500_000);
    site.ci().publish(&file("1", "f"), bytes.clone()).await;
    let get = |range: &str| site.anon().get(&file("1", "f")).header("range", range);
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=-1", 2_499_999..2_500_000),
        ("bytes=1048570-1048580", 1_048_570..1_048_581),
        ("bytes=2499990-9999999", 2_499_990..2_500_000),
        ("bytes=5-", 5..2_500_000),
    ] {
        let answer = get(range).await.is(206);
        assert!(answer.body == bytes[expected.clone()], "{range}");
        let place = format!("bytes {}-{}/2500000", expected.start, expected.end - 1);
        assert_eq!(answer.header("content-range"), Some(&*place));
    }
    let beyond = get("bytes=2500000-").await.is(416);
    assert_eq!(beyond.header("content-range"), Some("bytes */2500000"));
    let several = get("bytes=0-1,10-11").await.is(206);
    assert!(several.header("content-type").unwrap().starts_with("multipart/byteranges; boundary="));
    for whole in ["bytes=0-,0-,0-", "bytes=5-2", "lines=0-1"] {
        assert!(get(whole).await.is(200).body == bytes, "{whole}");
    }
    let seventeen: Vec<_> = (0..17).map(|at| format!("{}-{}", at * 10, at * 10)).collect();
    assert_eq!(get(&format!("bytes={}", seventeen.join(","))).await.is(200).body.len(), 2_500_000);
    assert_eq!(get(&format!("bytes={}", seventeen[1..].join(","))).await.is(206).header("content-range"), None);
    assert_eq!(site.anon().head(&file("1", "f")).header("range", "bytes=0-0").await.status, 200);
}

#[tokio::test]
async fn permission_to_read_is_checked_before_conditional_headers() {
    let site = Site::new();
    site.ci().publish(&file("1", "f"), "hello").await;
    let tag = format!("\"{}\"", sha256("hello"));
    let date = "Fri, 02 Jan 2026 03:04:05 GMT";
    let before = "Fri, 02 Jan 2026 03:04:04 GMT";
    for (field, value, status) in [
        ("if-none-match", &*tag, 304),
        ("if-none-match", "*", 304),
        ("if-none-match", &format!("W/{tag}, \"x\""), 304),
        ("if-none-match", "\"x\"", 200),
        ("if-match", &tag, 200),
        ("if-match", "*", 200),
        ("if-match", "\"x\"", 412),
        ("if-match", &format!("W/{tag}"), 412),
        ("if-modified-since", date, 304),
        ("if-modified-since", before, 200),
        ("if-modified-since", "yesterday", 200),
        ("if-unmodified-since", date, 200),
        ("if-unmodified-since", before, 412),
    ] {
        let answer = site.anon().get(&file("1", "f")).header(field, value).await.is(status);
        assert_eq!(answer.header("etag"), Some(&*tag), "{field}: {value}");
        assert_eq!(answer.body.is_empty(), status == 304, "{field}: {value}");
        assert_eq!(
            site.anon().head(&file("1", "f")).header(field, value).await.status,
            status,
            "HEAD {field}: {value}"
        );
        site.anon().bearer("nonsense").get(&file("1", "f")).header(field, value).await.is(401);
    }
    site.pass(Duration::from_secs(1));
    for (value, status) in [(&*tag, 206), (date, 206), ("\"x\"", 200), (before, 200)] {
        site.anon().get(&file("1", "f")).header("if-range", value).header("range", "bytes=0-0").await.is(status);
    }
    site.db_execute("UPDATE owners SET visibility = 2 WHERE name = 'ada'");
    site.stranger().get(&file("1", "f")).header("if-none-match", &tag).await.is(404);
    site.anon().get(&file("1", "f")).header("if-match", "\"x\"").await.is(401);
}

#[tokio::test]
async fn if_range_with_a_date_never_mixes_two_files_of_one_second() {
    let site = Site::new();
    let deletions = [
        path(&["ada", "tool", "1", "f"]),
        path(&["ADA", "Tool", "1", "F"]),
        path(&["ada", "tool", "1"]),
        "/api/v1/packages/ada/generic/tool".to_owned(),
    ];
    for deleted in &deletions {
        let name = path(&["ada", "tool", "1", "f"]);
        let part = async || {
            let date = site.anon().get(&name).await.header("last-modified").unwrap().to_owned();
            site.anon().get(&name).header("range", "bytes=5-").header("if-range", date).await
        };
        site.ci().publish(&name, "first file").await;
        // Until the second is over, the date may still become that of another file.
        assert_eq!(part().await.is(200).text(), "first file");
        site.pass(Duration::from_secs(1));
        assert_eq!(part().await.is(206).text(), " file");
        site.pass(Duration::from_secs(59));
        site.ci().delete(&name).await.is(204);

        site.ci().publish(&name, "an old file").await;
        site.ci().delete(deleted).await.is(204);
        site.ci().publish(&name, "the new one").await;
        let answer = site.anon().get(&name).await.is(200);
        let (date, etag) = (answer.header("last-modified").unwrap(), answer.header("etag").unwrap());
        for later in [0, 1, 3600 - 1] {
            site.pass(Duration::from_secs(later));
            let get = |if_range| site.anon().get(&name).header("range", "bytes=8-").header("if-range", if_range);
            assert_eq!(get(date).await.is(200).text(), "the new one", "{deleted:?} after {later} s");
            assert_eq!(get(etag).await.is(206).text(), "one");
        }
        site.ci().delete(&name).await.is(204);
        site.pass(Duration::from_secs(60));
    }
}

#[tokio::test]
async fn last_modified_is_never_later_than_the_date_of_the_answer() {
    let site = Site::start(Plan { real_time: true, ..Plan::default() });
    let time = |answer: &Answer, name| httpdate::parse_http_date(answer.header(name).unwrap()).unwrap();
    // The end of a second is among these moments.
    for at in 0..60 {
        let name = file("1", &format!("f{at}"));
        site.ci().publish(&name, "x").await;
        let answer = site.anon().get(&name).await.is(200);
        assert!(time(&answer, "last-modified") <= time(&answer, "date"), "{:?}", answer.headers);
    }
    // Published by another server whose clock is ahead.
    site.db_execute("UPDATE files SET created_at = created_at + interval '1 hour'");
    for (field, value, status) in
        [("accept", "*/*", 200), ("range", "bytes=0-0", 206), ("if-none-match", "*", 304), ("range", "bytes=9-", 416)]
    {
        let answer = site.anon().get(&file("1", "f1")).header(field, value).await.is(status);
        assert_eq!(answer.header("last-modified"), answer.header("date"), "{status}");
    }
}

#[tokio::test]
async fn a_client_gets_the_digest_that_it_prefers() {
    let site = Site::new();
    // A small file, which has all digests immediately, and a large one, which gets most of them later.
    let (small, large) = (noise(1000), noise(2_000_000));
    for (name, bytes) in [("small", &small), ("large", &large)] {
        site.ci().publish(&file("1", name), bytes.clone()).await;
        let sha256 = STANDARD.encode(Sha256::digest(bytes));
        let sha512 = STANDARD.encode(Sha512::digest(bytes));
        let (short, long) = (format!("sha-256=:{sha256}:"), format!("sha-512=:{sha512}:"));
        for (field, value, repr_digest, digest) in [
            ("accept", "*/*", &short, false),
            ("want-digest", "SHA-512;q=1, SHA-256;q=1, SHA;q=0.1", &short, true),
            ("want-digest", "sha-256;q=0", &short, false),
            ("want-digest", "SHA-256 ; Q = 0.000", &short, false),
            ("want-repr-digest", "sha-512=10, sha-256=1", &long, false),
            ("want-repr-digest", "sha-512", &long, false),
            ("want-repr-digest", "sha-512=1, sha-256=9", &short, false),
            ("want-repr-digest", "sha-512=0", &short, false),
        ] {
            for (range, status) in [("none", 200), ("bytes=5-9", 206)] {
                let get = site.anon().get(&file("1", name)).header(field, value).header("range", range);
                let answer = get.await.is(status);
                assert_eq!(answer.header("repr-digest"), Some(&**repr_digest), "{name} {field}: {value}");
                let expected = digest.then(|| format!("SHA-256={sha256}"));
                assert_eq!(answer.header("digest"), expected.as_deref(), "{name} {field}: {value}");
            }
            let head = site.anon().head(&file("1", name)).header(field, value).await.is(200);
            assert_eq!(head.header("repr-digest"), Some(&**repr_digest), "HEAD");
        }
        let current = site.anon().get(&file("1", name)).header("if-none-match", "*").header("want-digest", "*");
        assert_eq!(current.await.is(304).header("digest"), Some(&*format!("SHA-256={sha256}")));
        let beyond = site.anon().get(&file("1", name)).header("range", "bytes=9000000-").header("want-digest", "*");
        assert_eq!(beyond.await.is(416).header("digest"), None, "the sentence has another digest");
    }
}

#[tokio::test]
async fn only_a_get_that_sends_byte_0_counts_as_a_download() {
    let site = Site::new();
    for (name, size) in [("f", 1000), ("large", 200_000), ("empty", 0)] {
        site.ci().publish(&file("1", name), noise(size)).await;
    }
    let url = file("1", "f");
    let get = || site.anon().get(&url);
    let count = async || {
        site.db_flush().await;
        site.db_number("SELECT download_count AS n FROM files WHERE name = 'f'")
    };
    site.anon().head(&url).await.is(200);
    get().header("if-none-match", "*").await.is(304);
    get().header("if-match", "\"x\"").await.is(412);
    get().header("range", "bytes=1-").await.is(206);
    get().header("range", "bytes=5000-").await.is(416);
    get().header("range", "bytes=5-6,8-9").await.is(206);
    site.anon().bearer("nonsense").get(&url).await.is(401);
    site.anon().get(&file("1", "f.sha256")).await.is(200);
    assert_eq!(count().await, 0);
    get().await.is(200);
    get().header("range", "bytes=0-0").await.is(206);
    get().header("range", "bytes=5-6,0-0").await.is(206);
    assert_eq!(count().await, 3);
    get().await.is(200);
    site.anon().get(&file("1", "empty")).await.is(200);
    site.anon().get(&file("1", "large")).await.is(200);
    assert_eq!(count().await, 4);
    let listed = site.anon().get(&path(&["ada", "tool", "1"])).json().await.json();
    assert_eq!([0, 1, 2].map(|at| listed[at]["download_count"].as_i64().unwrap()), [4, 1, 1]);
    let versions = site.anon().get(&path(&["ada", "tool"])).json().await.json();
    assert_eq!(versions[0]["download_count"], 6);
}

#[tokio::test]
async fn checksum_sidecars_have_the_format_of_sha256sum() {
    let site = Site::new();
    // A small file, which has all digests immediately, and a large one, which gets most of them later.
    let (small, large) = (noise(1000), noise(2_000_000));
    site.ci().publish(&file("1", "Small [1].bin"), small.clone()).await;
    site.ci().publish(&file("1", "large.bin"), large.clone()).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("Small [1].bin"), &small).unwrap();
    std::fs::write(dir.path().join("large.bin"), &large).unwrap();
    for (program, names) in [
        ("sha256sum", ["SHA256SUMS", "Small [1].bin.sha256", "large.bin.SHA256"]),
        ("sha512sum", ["SHA512SUMS", "small [1].bin.sha512", "large.bin.sha512"]),
        ("sha1sum", ["", "small [1].bin.sha1", "large.bin.Sha1"]),
        ("md5sum", ["", "small [1].bin.md5", "large.bin.md5"]),
    ] {
        for (at, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let answer = site.anon().get(&file("1", name)).await.is(200);
            assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(answer.lines().len(), if at == 0 { 2 } else { 1 }, "{name}");
            let head = site.anon().head(&file("1", name)).await;
            assert_eq!((head.status, head.shown()), (200, answer.shown()), "{name}");
            let mut check = Command::new(program)
                .args(["--check", "--strict"])
                .current_dir(dir.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            std::io::Write::write_all(&mut check.stdin.take().unwrap(), &answer.body).unwrap();
            assert!(check.wait().unwrap().success(), "{program} {name}: {}", answer.text());
        }
    }
    for absent in ["x.sha256", ".sha256", "x.sha1", ".md5", "SHA1SUMS", "MD5SUMS", "large.bin.sha256.sha256"] {
        site.anon().get(&file("1", absent)).await.is(404);
    }
    site.anon().get(&file("2", "SHA256SUMS")).await.is(404);
    site.anon().get(&path(&["ada", "other", "1", "SHA256SUMS"])).await.is(404);
}

#[tokio::test]
async fn the_longest_file_names_have_checksum_sidecars() {
    let site = Site::new();
    let long = "f".repeat(255);
    site.ci().publish(&file("1", &long), "hello").await;
    for (ending, program) in
        [(".sha256", "sha256sum"), (".SHA512", "sha512sum"), (".sha1", "sha1sum"), (".md5", "md5sum")]
    {
        let name = format!("{long}{ending}");
        let answer = site.anon().get(&file("1", &name)).await.is(200);
        let mut sum = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut sum.stdin.take().unwrap(), b"hello").unwrap();
        let printed = String::from_utf8(sum.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(answer.text(), printed.replace("  -", &format!("  {long}")), "{ending}");
        assert!(answer.header("content-disposition").unwrap().contains(&format!("\"{name}\"")));
        let latest = site.anon().get(&file("latest", &name)).await.is(302);
        assert!(latest.header("location").unwrap().ends_with(&file("1", &name)));
        site.anon().get(&file("2", &name)).await.is(404);
        site.anon().get(&path(&["nobody", "tool", "1", &name])).await.is(401);
        site.ci().put(&file("1", &name), "x").await.is(400);
        site.ci().delete(&file("1", &name)).await.is(404);
    }
    for absent in [format!("{long}f.sha256"), format!("{long}.sha256.sha256"), format!("{long}.txt")] {
        site.anon().get(&file("1", &absent)).await.is(404).says("package file not found");
    }
    site.db_execute("UPDATE owners SET visibility = 2 WHERE name = 'ada'");
    site.anon().get(&file("1", &format!("{long}.sha256"))).await.is(401);
    site.stranger().get(&file("1", &format!("{long}.sha256"))).await.is(404);
}

#[tokio::test]
async fn a_real_file_takes_precedence_over_a_checksum_sidecar() {
    let site = Site::new();
    site.ci().publish(&file("1", "a.bin"), "bytes").await;
    for name in ["a.bin.sha256", "SHA256SUMS", "sha512sums", "a.bin.md5"] {
        site.ci().publish(&file("1", name), "my own words").await;
        let answer = site.anon().get(&file("1", name)).await.is(200);
        assert_eq!(answer.text(), "my own words");
        assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
        site.anon().get(&file("1", &name.to_uppercase())).await.is(200).says("my own words");
    }
    let sums = site.anon().get(&file("1", "a.bin.sha256.sha256")).await.is(200);
    assert_eq!(sums.text(), format!("{}  a.bin.sha256\n", sha256("my own words")));
    site.ci().delete(&file("1", "a.bin.sha256")).await.is(204);
    let computed = site.anon().get(&file("1", "a.bin.sha256")).await.is(200);
    assert_eq!(computed.text(), format!("{}  a.bin\n", sha256("bytes")));
}

#[tokio::test]
async fn checksum_sidecars_are_as_private_as_their_files() {
    let site = Site::new();
    site.ci().publish(&file("1", "a"), "x").await;
    site.db_execute("UPDATE owners SET visibility = 2 WHERE name = 'ada'");
    for name in ["a.sha256", "a.sha512", "a.sha1", "a.md5", "SHA256SUMS"] {
        site.anon().get(&file("1", name)).await.is(401);
        site.stranger().get(&file("1", name)).await.is(404);
        site.reader().get(&file("1", name)).await.is(200);
    }
}

#[tokio::test]
async fn latest_redirects_whether_or_not_the_version_has_the_file() {
    let site = Site::new();
    site.anon().get(&file("latest", "f")).await.is(404);
    site.ci().publish(&file("1.0", "f"), "x").await;
    site.ci().publish(&file("v1.10", "g"), "x").await;
    for (client, name) in [(site.anon(), "f"), (site.reader(), "other")] {
        let answer = client.get(&file("latest", name)).await.is(302);
        assert_eq!(answer.header("location"), Some(&*file("v1.10", name)));
    }
    site.anon().head(&file("LATEST", "f")).await.is(302);
    site.anon().get(&path(&["ada", "other", "latest"])).await.is(404);
}

#[tokio::test]
async fn a_version_named_latest_takes_precedence() {
    let site = Site::new();
    site.ci().publish(&file("1.0", "f"), "old").await;
    site.ci().publish(&file("Latest", "f"), "itself").await;
    assert_eq!(site.anon().get(&file("latest", "f")).await.is(200).text(), "itself");
    site.anon().get(&file("latest", "other")).await.is(404);
    assert_eq!(site.anon().get(&path(&["ada", "tool", "latest"])).await.is(200).lines(), ["f"]);
    site.ci().delete(&path(&["ada", "tool", "latest"])).await.is(204);
    site.anon().get(&file("latest", "f")).await.is(302);
}

#[tokio::test]
async fn latest_of_a_private_owner_looks_like_a_missing_file() {
    let site = Site::new();
    site.db(|conn| people::db_user(conn, "hidden", Visibility::Private, false));
    site.user("hidden").publish(&path(&["hidden", "tool", "1.0", "f"]), "x").await;
    for parts in [&["hidden", "tool", "latest", "f"][..], &["hidden", "tool", "latest"]] {
        let absent: Vec<&str> = parts.iter().map(|part| if *part == "hidden" { "nobody" } else { part }).collect();
        for client in [site.anon(), site.stranger()] {
            let (there, not) = (client.get(&path(parts)).await, client.get(&path(&absent)).await);
            assert_eq!(there.looks(), not.looks());
        }
    }
}

#[tokio::test]
async fn refused_conditions_and_ranges_are_json_on_request() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://packages.example.org")]);
    site.ci().publish(&file("1", "f"), "hello").await;
    for (field, value, status, code) in
        [("if-match", "\"x\"", 412, "precondition_failed"), ("range", "bytes=9-", 416, "range_not_satisfiable")]
    {
        let get = || site.anon().get(&file("1", "f")).header(field, value);
        let (text, json) = (get().await.is(status), get().json().await.is(status));
        let said = json.json();
        assert_eq!(said["message"].as_str().unwrap(), text.text().trim_end());
        assert_eq!((&said["code"], &said["url"]), (&code.into(), &"https://packages.example.org/api/swagger".into()));
        let head = |answer: &Answer| {
            let mut headers = answer.headers.clone();
            for name in ["date", "x-request-id", "content-length", "content-type"] {
                headers.remove(name);
            }
            headers
        };
        assert_eq!(head(&text), head(&json));
        assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(json.header("content-type"), Some("application/json"));
        for name in ["etag", "last-modified", "accept-ranges", "content-disposition", "content-security-policy"] {
            assert!(json.header(name).is_some(), "{name}");
        }
        assert_eq!(json.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(json.header("repr-digest"), None, "it would be the digest of the file");
        assert_eq!(json.header("content-range"), (status == 416).then_some("bytes */5"));
    }
}
