//! Names and paths: how a request path is decoded, which names are valid, and the answers to invalid ones.

use crate::support::wire::{ask, send};
use crate::support::{Site, cluster::cluster, path};

fn bearer() -> String {
    format!("Bearer {}", cluster().people.ci)
}

/// A request path below Ada's packages, whose parts are sent exactly as given.
fn target(package: &str, version: &str, file: &str) -> String {
    format!("/api/packages/ada/generic/{package}/{version}/{file}")
}

/// Percent-encodes every byte, so that no byte has a special meaning.
fn raw(text: impl AsRef<[u8]>) -> String {
    text.as_ref().iter().map(|byte| format!("%{byte:02X}")).collect()
}

async fn put(site: &Site, target: &str) -> (u16, String) {
    let fields = [("Authorization", &*bearer()), ("Content-Length", "1")];
    let answer = send(site.address, "PUT", target, &fields, b"x").await;
    (answer.status, answer.text().to_owned())
}

/// A valid name is stored and read back. An invalid one is 400 with a reason for PUT, and 404 for other methods.
async fn try_name(site: &Site, target: &str, good: bool, what: &str) {
    let (status, text) = put(site, target).await;
    let fields = [("Authorization", &*bearer())];
    let (get, delete) = match good {
        true => {
            assert_eq!(status, 201, "{target}: {text}");
            (200, 204)
        }
        false => {
            assert_eq!(status, 400, "{target}: {text}");
            assert!(text.starts_with(&format!("invalid {what}: ")) && text.lines().count() == 1, "{target}: {text}");
            (404, 404)
        }
    };
    for method in ["GET", "HEAD"] {
        assert_eq!(ask(site.address, method, target, &fields).await.status, get, "{method} {target}");
    }
    assert_eq!(ask(site.address, "DELETE", target, &fields).await.status, delete, "DELETE {target}");
}

#[tokio::test]
async fn package_names_are_accepted_or_refused_by_the_rules() {
    let site = Site::new();
    let long = "x".repeat(255);
    for name in ["a", "7", "a-b", "-a", "_x", "a..b", "C++", "...", "-rf", "A.B_c-d+e", &long] {
        try_name(&site, &target(&raw(name), "1", "f"), true, "package name").await;
    }
    let too_long = "x".repeat(256);
    for name in [".", "..", "-", "_", "+", "a b", " a", "a/b", "é", "a\0", "a\n", "$(id)", "a;b", "<b>", &too_long] {
        try_name(&site, &target(&raw(name), "1", "f"), false, "package name").await;
    }
}

#[tokio::test]
async fn file_names_are_accepted_or_refused_by_the_rules() {
    let site = Site::new();
    let long = "x".repeat(255);
    for name in ["a", "-", "-rf", "$(id)", "a;b", "a b", "[x]{y}~!@#%^&", ".hidden", "...", "=:;", "100%25", &long] {
        try_name(&site, &target("p", "1", &raw(name)), true, "filename").await;
    }
    let too_long = "x".repeat(256);
    for name in [
        ".",
        "..",
        " a",
        "a ",
        "a\tb",
        "a/b",
        "a\\b",
        "<img>",
        "a'b",
        "a\"b",
        "ä",
        "a*",
        "a?b",
        "a|b",
        "a\0b",
        "a\r\nb",
        "\u{202e}a",
        "../../etc/passwd",
        &too_long,
    ] {
        try_name(&site, &target("p", "1", &raw(name)), false, "filename").await;
    }
}

#[tokio::test]
async fn versions_are_accepted_or_refused_by_the_rules() {
    let site = Site::new();
    let long = "ü".repeat(127);
    for version in ["1.0.0", "v1", "2026 spring", "ü", "a/b", "../x", "...", "🦀", "<b>", "a\\b", "-", "100%", &long]
    {
        try_name(&site, &target("p", &raw(version), "f"), true, "package version").await;
    }
    let too_long = "ü".repeat(128);
    for version in
        [".", "..", " 1", "1 ", "1\u{a0}", "\u{2003}1", "1\n2", "1\0", "\u{85}", "1\u{7f}", "\t", " ", &too_long]
    {
        try_name(&site, &target("p", &raw(version), "f"), false, "package version").await;
    }
}

#[tokio::test]
async fn invalid_utf8_is_an_invalid_name_and_never_another_name() {
    let site = Site::new();
    for bad in ["%FF", "a%C3", "%C0%AF", "%ED%A0%80", "%F5%80%80%80", "x%80y"] {
        try_name(&site, &target(bad, "1", "f"), false, "package name").await;
        try_name(&site, &target("p", bad, "f"), false, "package version").await;
        try_name(&site, &target("p", "1", bad), false, "filename").await;
    }
    site.assert_empty().await;
}

#[tokio::test]
async fn path_segments_are_decoded_exactly_once() {
    let site = Site::new();
    let cases = [
        ("1%2F0", "f", "1/0", "f"),
        ("1%252F0", "f", "1%2F0", "f"),
        ("1+0", "a+b", "1+0", "a+b"),
        ("1%2B0", "a%2bb", "1+0", "a+b"),
        ("a%20b", "c%20d", "a b", "c d"),
        ("%2e%2e%2e", "%61", "...", "a"),
        ("%3F%23", "%23%26", "?#", "#&"),
    ];
    for (raw_version, raw_file, version, file) in cases {
        let (status, text) = put(&site, &target("p", raw_version, raw_file)).await;
        assert!(status == 201 || status == 409, "{raw_version} {text}");
        site.anon().get(&path(&["ada", "p", version, file])).await.is(200);
    }
    let listed = site.anon().get(&path(&["ada", "p"])).await.is(200);
    assert_eq!(listed.lines(), ["1/0", "1%2F0", "1+0", "a b", "...", "?#"]);
}

#[tokio::test]
async fn an_invalid_percent_escape_is_a_literal_percent_sign() {
    let site = Site::new();
    let (status, text) = put(&site, &target("p", "1", "50%")).await;
    assert_eq!(status, 201, "{text}");
    site.anon().get(&path(&["ada", "p", "1", "50%"])).await.is(200);
}

#[tokio::test]
async fn path_traversal_in_any_segment_is_refused() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "p", "1", "f"]), "x").await;
    for up in ["..", "%2e%2e", ".%2E", "%2E.", "%2e"] {
        for target in [
            format!("/api/packages/{up}/generic/p/1/f"),
            format!("/api/packages/ada/{up}/p/1/f"),
            format!("/api/packages/ada/generic/{up}/1/f"),
            format!("/api/packages/ada/generic/p/{up}/f"),
            format!("/api/packages/ada/generic/p/1/{up}"),
            format!("/{up}/api/packages/ada/generic/p/1/f"),
            format!("/api/packages/ada/generic/p/1/{up}/1/f"),
        ] {
            for (fields, allowed) in [
                (&[][..], &[401, 404][..]),
                (&[("Authorization", &*bearer())], &[404]),
                (&[("Accept", "*/*")], &[401, 404]),
            ] {
                let answer = ask(site.address, "GET", &target, fields).await;
                assert!(allowed.contains(&answer.status), "{target} {answer:?}");
            }
            let (status, _) = put(&site, &target).await;
            assert!([400, 404].contains(&status), "PUT {target}: {status}");
        }
    }
    assert_eq!(site.db_number("SELECT count(*) AS n FROM files"), 1);
}

#[tokio::test]
async fn double_and_trailing_slashes_and_dots_are_removed_before_routing() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "p", "1", "f"]), "x").await;
    for target in [
        "/api/packages/ada/generic/p/1/f/",
        "//api///packages/ada//generic/p/1//f//",
        "/api/packages/ada/generic/p/1/f?x=//",
        "/api/packages/ada/generic/p/1/f?x=/./",
        "/api/packages/ada/generic/p/1/f/?token=1",
        // What apt asks for with `deb [trusted=yes] …/p/1 ./`.
        "/api/packages/ada/generic/p/1/./f",
        "/./api/./packages/././ada/.//generic/p//./1/f/./",
        "/api/packages/ada/generic/p/1/f/.//",
    ] {
        let answer = ask(site.address, "GET", target, &[]).await;
        assert_eq!((answer.status, &*answer.body), (200, &b"x"[..]), "{target}");
    }
    let (status, _) = put(&site, "/api/packages//ada/generic/p//1/g/").await;
    assert_eq!(status, 201);
    let (status, _) = put(&site, "/api/packages/./ada/generic/p/1/./h").await;
    assert_eq!(status, 201);
    assert_eq!(site.anon().get(&path(&["ada", "p", "1"])).await.lines(), ["f", "g", "h"]);
}

#[tokio::test]
async fn a_dot_at_the_end_or_percent_encoded_is_a_name_and_two_dots_are_refused() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "p", "1", "f"]), "x").await;
    for target in [
        "/api/packages/ada/generic/p/1/.",
        "/api/packages/ada/generic/p/1/%2e",
        "/api/packages/ada/generic/p/%2E/f",
        "/api/packages/ada/generic/p/1/g/../f",
        "/api/packages/ada/generic/p/1/..",
        "/api/packages/ada/generic/p/x/../1/f",
        "/api/packages/ada/generic/p/1/./../f",
        "/x/../api/packages/ada/generic/p/1/f",
    ] {
        assert_eq!(ask(site.address, "GET", target, &[]).await.status, 404, "{target}");
        let (status, _) = put(&site, target).await;
        assert!([400, 404].contains(&status), "PUT {target}: {status}");
    }
    assert_eq!(site.anon().get(&path(&["ada", "p", "1"])).await.lines(), ["f"]);
    assert_eq!(site.anon().get(&path(&["ada", "p"])).await.lines(), ["1"]);
}

#[tokio::test]
async fn unknown_path_404_and_wrong_method_405_precede_credentials() {
    let site = Site::with(&[("PACKHOUSE_REQUIRE_SIGNIN", "true")]);
    let bad = [("Authorization", "Bearer nonsense")];
    for target in ["/api/packages", "/api/packages/ada", "/api/packages/ada/npm", "/api/packages/ada/npm/x", "/x/y"] {
        assert_eq!(ask(site.address, "GET", target, &bad).await.status, 404, "{target}");
    }
    for (target, allow, methods) in [
        (target("p", "1", "f"), "GET, HEAD, PUT, DELETE", &["POST", "PATCH", "OPTIONS", "PROPFIND"][..]),
        (target("p", "1", "d/f"), "GET, HEAD, PUT, DELETE", &["POST", "OPTIONS"]),
        ("/api/packages/ada/generic/p/1".to_owned(), "GET, HEAD, DELETE", &["POST", "OPTIONS"]),
        ("/api/packages/ada/generic/p".to_owned(), "GET, HEAD", &["POST", "DELETE"]),
    ] {
        for method in methods {
            let answer = send(site.address, method, &target, &[bad[0], ("Content-Length", "1")], b"x").await;
            assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {target}");
        }
    }
    let fields = [("X-HTTP-Method-Override", "DELETE"), ("X-HTTP-Method", "DELETE"), ("Content-Length", "0")];
    assert_eq!(ask(site.address, "POST", target("p", "1", "f"), &fields).await.status, 405);
}

#[tokio::test]
async fn names_ignore_case_and_are_shown_as_first_written() {
    let site = Site::new();
    site.ci().publish(&path(&["ADA", "Tool", "1.0-RC", "Read.Me"]), "one").await;
    for names in [["ada", "tool", "1.0-rc", "read.me"], ["Ada", "TOOL", "1.0-Rc", "READ.ME"]] {
        let answer = site.anon().get(&path(&names)).await.is(200);
        assert!(answer.header("content-disposition").unwrap().contains("\"Read.Me\""));
        site.ci().put(&path(&names), "two").await.is(409);
    }
    site.ci().publish(&path(&["ada", "tool", "1.0-rc", "other"]), "x").await;
    assert_eq!(site.anon().get(&path(&["ada", "TOOL"])).await.lines(), ["1.0-RC"]);
    assert_eq!(site.anon().get(&path(&["ada", "TOOL", "1.0-rc"])).await.lines(), ["Read.Me", "other"]);
    let of_json = site.anon().get(&path(&["ada", "tool", "1.0-rc"])).json().await.json();
    assert_eq!(of_json[0]["download_url"], "/api/packages/ada/generic/tool/1.0-rc/Read.Me");
}

#[tokio::test]
async fn names_are_checked_before_credentials_and_those_before_the_owner() {
    let site = Site::new();
    let bad_names = target("p", "1", "a%2Fb");
    for fields in [&[("Content-Length", "1")][..], &[("Content-Length", "1"), ("Authorization", "Bearer nonsense")]] {
        assert_eq!(send(site.address, "PUT", &bad_names, fields, b"x").await.status, 400);
        assert_eq!(send(site.address, "PUT", "/api/packages/nobody/generic/p/1/f", fields, b"x").await.status, 401);
    }
}

#[tokio::test]
async fn an_invalid_owner_name_is_answered_like_an_unknown_owner() {
    let site = Site::new();
    for owner in ["nobody", "a--b", "-a", "%2e%2e", "a%20b", "%FF", "%C3%A4", &"x".repeat(41)] {
        for rest in ["p", "p/1", "p/1/f"] {
            let target = format!("/api/packages/{owner}/generic/{rest}");
            let anonymous = ask(site.address, "GET", &target, &[]).await;
            assert_eq!(anonymous.status, 401, "{target}");
            assert_eq!(
                ask(site.address, "GET", &target, &[("Authorization", &*bearer())]).await.status,
                404,
                "{target}"
            );
            let known = ask(site.address, "GET", format!("/api/packages/nobody/generic/{rest}"), &[]).await;
            assert_eq!(anonymous.looks(), known.looks(), "{target}");
        }
    }
}
