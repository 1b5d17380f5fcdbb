//! Uploading with a browser: the form that works without scripts, and the requests that a script sends instead.

use crate::support::browser::Browser;
use crate::support::people::db_org;
use crate::support::{Site, noise, path, sha256};
use packhouse::domain::role::Visibility;

/// A form as fields in an address, as one in parts; `file=name` becomes a file of this name.
pub fn multipart(form: &str) -> Vec<u8> {
    let fields: Vec<(String, String)> = serde_html_form::from_str(form).unwrap();
    let (files, texts): (Vec<_>, Vec<_>) = fields.iter().partition(|(name, _)| name == "file");
    let texts: Vec<_> = texts.iter().map(|(name, value)| (&**name, &**value)).collect();
    let files: Vec<_> = files.iter().map(|(_, name)| (&**name, &b"bytes"[..])).collect();
    parts(&texts, &files)
}

/// A form in parts, as browsers send it.
fn parts(texts: &[(&str, &str)], files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in texts {
        let head = format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend([head.as_bytes(), value.as_bytes(), b"\r\n"].concat());
    }
    for (name, bytes) in files {
        let head = format!(
            "--edge\r\nContent-Disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        body.extend([head.as_bytes(), bytes, b"\r\n"].concat());
    }
    body.extend_from_slice(b"--edge--\r\n");
    body
}

/// Sends the form of the page.
async fn send(browser: &mut Browser, package: &str, version: &str, files: &[(&str, &[u8])]) {
    let csrf = browser.csrf();
    let body = parts(&[("csrf", &csrf), ("package", package), ("version", version)], files);
    let action = browser.attrs("form#upload", "action").remove(0);
    let kind = ("content-type", "multipart/form-data; boundary=edge");
    browser
        .send("POST", &action, &[kind, ("sec-fetch-site", "same-origin"), ("accept", "text/html")], Some(body))
        .await;
}

/// Sends one file as the script does.
async fn put<'a>(browser: &'a mut Browser, to: &str, csrf: &str, bytes: &[u8]) -> &'a mut Browser {
    let fields = [("x-csrf-token", csrf), ("sec-fetch-site", "same-origin")];
    browser.send("PUT", to, &fields, Some(bytes.to_vec())).await
}

#[tokio::test]
async fn a_form_stores_several_files_and_leads_to_their_version() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    browser.go("/ada/-/upload?package=tool&version=1.0").await.is(200);
    assert_eq!(browser.attrs("#package", "value"), ["tool"]);
    assert_eq!(browser.attrs("#version", "value"), ["1.0"]);
    assert_eq!(browser.attrs("form#upload", "enctype"), ["multipart/form-data"]);
    let big = noise(3 << 20);
    send(&mut browser, "tool", "1.0", &[("a b.txt", b"hello"), ("big.bin", &big), ("empty", b"")]).await;
    browser.is(303);
    assert_eq!(browser.answer.header("location"), Some("/ada/-/packages/generic/tool/1.0"));
    for (name, bytes) in [("a b.txt", &b"hello"[..]), ("big.bin", &big), ("empty", b"")] {
        assert_eq!(site.ci().get(&path(&["ada", "tool", "1.0", name])).await.is(200).body, bytes);
    }
    browser.go("/ada/-/upload").await;
    assert_eq!(browser.one("main .notice.good"), "3 files uploaded to tool 1.0.");
    let audit = site.db_audit();
    let published = audit.iter().filter(|line| line.starts_with("file.publish by ada with session from 127.0.0.1"));
    assert_eq!(published.count(), 3, "{audit:?}");
}

#[tokio::test]
async fn a_form_shows_which_files_were_stored_and_why_others_failed() {
    let site = Site::with(&[("PACKHOUSE_LIMITS_FILE_BYTES", "2000000")]);
    site.ci().publish(&path(&["ada", "tool", "1", "there"]), "old").await;
    let mut browser = site.browser_of("ada").await;
    browser.go("/ada/-/upload").await.is(200);
    let big = noise(3 << 20);
    let files: [(&str, &[u8]); 5] =
        [("first", b"1"), ("there", b"new"), ("big", &big), ("n\u{e4}me", b"x"), ("last", b"2")];
    send(&mut browser, "tool", "1", &files).await;
    browser.is(409);
    assert_eq!(browser.all(".upload-outcome .stored th"), ["first", "last"]);
    assert_eq!(browser.all(".upload-outcome .failed th"), ["there", "big", "n\u{e4}me"]);
    let why = browser.all(".upload-outcome .failed td").join("\n");
    for words in ["already exists", "larger than the limit of 2000000 bytes", "Invalid file name"] {
        assert!(why.contains(words), "{why}");
    }
    assert_eq!(browser.attrs("#package", "value"), ["tool"], "what was typed is kept");
    assert_eq!(site.ci().get(&path(&["ada", "tool", "1"])).await.is(200).lines(), ["there", "first", "last"]);
    assert_eq!(site.ci().get(&path(&["ada", "tool", "1", "there"])).await.body, b"old");
    assert_eq!(site.db_broken().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_invalid_form_is_shown_again_with_its_problems() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    browser.go("/ada/-/upload").await.is(200);
    send(&mut browser, "my tool", "..", &[("a", b"x")]).await;
    browser.is(422);
    assert!(browser.one("#package-problem").contains("letters, digits"), "{}", browser.one("#package-problem"));
    assert!(browser.one("#version-problem").contains("it must not be . or .."));
    assert_eq!(browser.attrs("#package", "aria-invalid"), ["true"]);
    assert_eq!(browser.attrs("#package", "value"), ["my tool"]);
    // What browsers send for a choice that was not made.
    send(&mut browser, "tool", "1", &[("", b"")]).await;
    browser.is(422);
    assert_eq!(browser.one("#files-problem"), "Choose at least one file.");
    site.assert_empty_but_for_sign_in().await;
}

impl Site {
    /// Nothing was stored, and nothing recorded but that somebody signed in.
    async fn assert_empty_but_for_sign_in(&self) {
        assert_eq!(self.db_number("SELECT count(*) AS n FROM blobs"), 0);
        assert_eq!(self.db_number("SELECT count(*) AS n FROM audit WHERE event <> 'session.begin'"), 0);
        crate::support::eventually("the store is empty", async || self.store_blobs() + self.store_incoming() == 0)
            .await;
    }
}

#[tokio::test]
async fn a_form_without_a_valid_csrf_token_first_stores_nothing() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    browser.go("/ada/-/upload").await.is(200);
    let csrf = browser.csrf();
    let names = [("package", "tool"), ("version", "1")];
    let late =
        [parts(&names, &[("a", b"x")]).strip_suffix(b"--edge--\r\n").unwrap().to_vec(), parts(&[("csrf", &csrf)], &[])];
    let wrong = [("csrf", "00"), names[0], names[1]];
    let right = [("csrf", &*csrf), names[0], names[1]];
    let kind = ("content-type", "multipart/form-data; boundary=edge");
    for (fields, body) in [
        (&[kind][..], parts(&names, &[("a", b"x")])),
        (&[kind], late.concat()),
        (&[kind], parts(&wrong, &[("a", b"x")])),
        (&[kind, ("sec-fetch-site", "cross-site")], parts(&right, &[("a", b"x")])),
        (&[kind, ("origin", "https://evil.example")], parts(&right, &[("a", b"x")])),
    ] {
        browser.send("POST", "/ada/-/upload", fields, Some(body)).await.is(403);
    }
    let bytes = b"x".to_vec();
    for fields in [&[][..], &[("x-csrf-token", "00")], &[("x-csrf-token", &*csrf), ("sec-fetch-site", "same-site")]] {
        browser.send("PUT", "/ada/-/upload/tool/1/a", fields, Some(bytes.clone())).await.is(403);
    }
    site.assert_empty_but_for_sign_in().await;
}

#[tokio::test]
async fn a_script_uploads_single_files_and_gets_their_sha256() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    let csrf = browser.go("/ada/-/upload").await.is(200).csrf();
    let big = noise((3 << 20) + 5);
    put(&mut browser, "/ada/-/upload/tool/v%2F1/big%20file", &csrf, &big).await.is(201);
    let body = browser.answer.json();
    assert_eq!(body["sha256"], sha256(&big));
    assert_eq!(body["size"], big.len());
    assert_eq!(body["page"], "/ada/-/packages/generic/tool/v%2F1");
    assert_eq!(browser.answer.header("etag"), Some(&*format!("\"{}\"", sha256(&big))));
    assert_eq!(site.ci().get(&path(&["ada", "tool", "v/1", "big file"])).await.is(200).body, big);

    // A repeated one is refused, unless it says which bytes it brings and they are the same.
    let again = "/ada/-/upload/tool/v%2F1/big%20file";
    put(&mut browser, again, &csrf, &big).await.is(409);
    assert_eq!(browser.answer.json()["code"], "conflict");
    let digest = sha256(&big);
    let fields = [("x-csrf-token", &*csrf), ("x-checksum-sha256", &*digest)];
    browser.send("PUT", again, &fields, Some(big.clone())).await.is(200);
    let fields = [("x-csrf-token", &*csrf), ("x-checksum-sha256", &*digest)];
    browser.send("PUT", "/ada/-/upload/tool/2/other", &fields, Some(b"other".to_vec())).await.is(422);
    assert_eq!(browser.answer.json()["code"], "digest_mismatch");
    assert_eq!(site.db_number("SELECT count(*) AS n FROM files"), 1);
}

#[tokio::test]
async fn a_script_gets_an_error_code_for_a_rejected_file() {
    let site = Site::with(&[("PACKHOUSE_LIMITS_FILE_BYTES", "1000"), ("PACKHOUSE_QUOTA_BYTES", "1500")]);
    let mut browser = site.browser_of("ada").await;
    let csrf = browser.go("/ada/-/upload").await.is(200).csrf();
    assert_eq!(browser.attrs("#upload", "data-most"), ["1000"]);
    put(&mut browser, "/ada/-/upload/tool/1/a", &csrf, &[0; 900]).await.is(201);
    for (to, size, status, code) in [
        ("/ada/-/upload/tool/1/b", 1001, 413, "too_large"),
        ("/ada/-/upload/tool/1/b", 700, 403, "quota"),
        ("/ada/-/upload/tool/1/A", 1, 409, "conflict"),
        ("/ada/-/upload/my%20tool/1/a", 1, 400, "invalid"),
        ("/ada/-/upload/tool/1/%C3%A4", 1, 400, "invalid"),
        ("/stranger/-/upload/tool/1/a", 1, 403, "forbidden"),
        ("/nobody/-/upload/tool/1/a", 1, 404, "not_found"),
    ] {
        put(&mut browser, to, &csrf, &vec![0; size]).await.is(status);
        assert_eq!(browser.answer.json()["code"], code, "{to}");
    }
    browser.go("/ada/-/upload").await;
    assert_eq!(browser.attrs("#upload", "data-most"), ["600"], "what the quota leaves");
    // Signed out in another tab, or for good: the page learns it, whatever its own token says.
    site.db_execute("DELETE FROM sessions");
    put(&mut browser, "/ada/-/upload/tool/1/c", &csrf, b"x").await.is(401);
    assert_eq!(browser.answer.json()["code"], "unauthenticated");
    browser.cookies.clear();
    put(&mut browser, "/ada/-/upload/tool/1/c", &csrf, b"x").await.is(401);
}

#[tokio::test]
async fn the_upload_page_lists_owners_and_what_already_exists() {
    let site = Site::new();
    site.db(|conn| {
        db_org(conn, "acme", Visibility::Private)?;
        db_org(conn, "zoo", Visibility::Public)
    });
    site.ci().publish(&path(&["acme", "Tool", "1.0", "a.bin"]), "a").await;
    site.ci().publish(&path(&["acme", "Tool", "1.0", "b.bin"]), "b").await;
    site.ci().publish(&path(&["acme", "toolbox", "2", "c"]), "c").await;
    let mut browser = site.browser_of("ada").await;
    browser.go("/acme/-/upload").await.is(200);
    assert_eq!(browser.all("#to option"), ["ada", "acme", "zoo"]);
    assert_eq!(browser.all("#to option[selected]"), ["acme"]);
    assert_eq!(browser.attrs("#packages option", "value"), ["Tool", "toolbox"]);
    browser.go("/acme/-/upload?package=tool&version=1.0").await;
    assert!(browser.one("#exists").contains("Tool 1.0 already exists (2 files)"), "{}", browser.one("#exists"));
    assert_eq!(browser.all("#there li"), ["a.bin", "b.bin"]);
    assert_eq!(browser.attrs("#versions option", "value"), ["1.0"]);
    browser.go("/acme/-/upload?package=tool&version=3").await;
    assert_eq!(browser.one("#state"), "This creates a new version of Tool.");
    browser.go("/acme/-/upload?package=tooling&version=3").await;
    assert_eq!(browser.one("#state"), "This creates a new package.");
    for invalid in ["package=my%20tool&version=3", "package=..", "package=tool&version=.."] {
        browser.go(&format!("/acme/-/upload?{invalid}")).await;
        assert_eq!(browser.one("#state"), "", "{invalid}");
    }
    browser.go("/acme/-/upload?to=zoo&package=tool&version=1%201").await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/zoo/-/upload?package=tool&version=1%201"));
    // Readers are told what they lack. To people who can't see the owner, the page doesn't exist.
    for (who, owner, status) in
        [("acme-read", "acme", 403), ("stranger", "acme", 404), ("stranger", "zoo", 403), ("stranger", "nobody", 404)]
    {
        site.browser_of(who).await.go(&format!("/{owner}/-/upload")).await.is(status);
    }
    let mut writer = site.browser_of("acme-write").await;
    writer.go("/acme/-/upload").await.is(200);
    assert_eq!(writer.all("#to option"), ["acme-write", "acme"]);
    let mut admin = site.browser_of("admin").await;
    admin.go("/acme/-/upload").await.is(200);
    assert_eq!(admin.all("#to option"), ["admin", "acme"]);
    let mut anonymous = site.browser();
    anonymous.go("/acme/-/upload?package=a").await.is(303);
    assert_eq!(anonymous.answer.header("location"), Some("/login?redirect_to=%2Facme%2F-%2Fupload%3Fpackage%3Da"));
}

#[tokio::test]
async fn a_full_quota_is_shown_before_choosing_files() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_VERSIONS", "1")]);
    site.ci().publish(&path(&["ada", "tool", "1", "a"]), "a").await;
    let mut browser = site.browser_of("ada").await;
    browser.go("/ada/-/upload?package=tool&version=2").await.is(200);
    assert!(browser.one("#state .notice.bad").contains("1 of 1 package versions exist"));
    browser.go("/ada/-/upload?package=tool&version=1").await.is(200);
    assert!(browser.all("#state .notice.bad").is_empty(), "one more file in a version that is there fits");
}
