//! Downloads that are redirected to the object store.

use crate::support::{PASSWORD, Site, noise, path};
use serde_json::json;

const ALWAYS: (&str, &str) = ("PACKHOUSE_STORE_REDIRECT", "always");

fn file(name: &str) -> String {
    path(&["ada", "tool", "1.0", name])
}

/// The headers of a redirect that don't change, and the names of the signed query.
fn shown(answer: &crate::support::Answer) -> String {
    let location = answer.header("location").unwrap();
    let (address, query) = location.split_once('?').unwrap();
    let key = address.rsplit('/').next().unwrap();
    let query: Vec<&str> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some(("X-Amz-Signature" | "X-Amz-Date" | "X-Amz-Credential", _)) => pair.split('=').next().unwrap(),
            _ => pair,
        })
        .collect();
    let mut lines = vec![answer.status.to_string(), format!("key of {} letters", key.len())];
    lines.extend(query.iter().map(|pair| format!("  {pair}")));
    for name in ["etag", "repr-digest", "x-checksum-sha256", "link", "cache-control", "content-disposition"] {
        lines.push(format!("{name}: {}", answer.header(name).unwrap_or("-")));
    }
    lines.join("\n")
}

#[tokio::test]
async fn a_redirect_carries_what_the_file_is_and_a_signed_address() {
    let site = Site::on_s3_with(&[ALWAYS]);
    site.ci().publish(&file("x y.bin"), "hello").await;
    let answer = site.anon().get(&file("x y.bin")).await.is(307);
    assert_eq!(answer.text(), "");
    insta::assert_snapshot!(shown(&answer), @r#"
    307
    key of 81 letters
      response-content-disposition=attachment%3B%20filename%3D%22x%20y.bin%22%3B%20filename%2A%3DUTF-8%27%27x%2520y.bin
      response-content-type=application%2Foctet-stream
      X-Amz-Algorithm=AWS4-HMAC-SHA256
      X-Amz-Credential
      X-Amz-Date
      X-Amz-Expires=600
      X-Amz-SignedHeaders=host
      X-Amz-Signature
    etag: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    repr-digest: sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:
    x-checksum-sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
    link: </api/packages/ada/generic/tool/1.0/x%20y.bin>; rel="immutable"
    cache-control: private, no-store
    content-disposition: attachment; filename="x y.bin"; filename*=UTF-8''x%20y.bin
    "#);
    // Anybody may use the address, for ten minutes.
    site.plain(answer.header("location").unwrap()).await.is(200).says("hello");
    let forged = answer.header("location").unwrap().replace("X-Amz-Expires=600", "X-Amz-Expires=6000");
    site.plain(&forged).await.is(403);
}

#[tokio::test]
async fn only_a_get_that_wants_bytes_is_redirected() {
    let site = Site::on_s3_with(&[ALWAYS]);
    let file = file("x");
    site.ci().publish(&file, "hello").await;
    let etag = site.anon().head(&file).await.is(200).header("etag").unwrap().to_owned();
    site.anon().get(&file).header("if-none-match", &etag).await.is(304);
    site.anon().get(&file).header("if-match", "\"other\"").await.is(412);
    site.anon().get(&file).header("range", "bytes=9-").await.is(416);
    site.anon().get(&format!("{file}?redirect=false")).await.is(200).says("hello");
    site.anon().get(&format!("{file}.sha256")).await.is(200);
    site.anon().get(&file).header("range", "bytes=1-2").await.is(307);
    site.anon().get(&path(&["ada", "tool", "1.0", "y"])).await.is(404);
}

#[tokio::test]
async fn a_redirected_download_counts_once() {
    let site = Site::on_s3_with(&[ALWAYS]);
    site.ci().publish(&file("x"), "hello").await;
    let answer = site.anon().get(&file("x")).await.is(307);
    site.plain(answer.header("location").unwrap()).await.is(200);
    site.anon().get(&file("x")).header("range", "bytes=1-2").await.is(307);
    site.db_flush().await;
    assert_eq!(site.db_number("SELECT download_count AS n FROM files"), 1);
}

#[tokio::test]
async fn auto_redirects_large_files_and_a_directory_none() {
    let settings = [("PACKHOUSE_STORE_REDIRECT", "auto"), ("PACKHOUSE_STORE_REDIRECT_FROM_BYTES", "1000")];
    let site = Site::on_s3_with(&settings);
    site.ci().publish(&file("small"), noise(999)).await;
    site.ci().publish(&file("large"), noise(1000)).await;
    site.anon().get(&file("small")).await.is(200);
    site.anon().get(&file("large")).await.is(307);
    let local = Site::with(&[ALWAYS]);
    local.ci().publish(&file("x"), "hello").await;
    local.anon().get(&file("x")).await.is(200).says("hello");
}

#[tokio::test]
async fn a_token_that_takes_no_redirects_gets_the_bytes() {
    let site = Site::on_s3_with(&[ALWAYS]);
    let file = file("x");
    site.ci().publish(&file, "hello").await;
    let made = |name: &str, no_redirects: Option<bool>| {
        let mut body = json!({"name": name, "scopes": ["read:package"]});
        if let Some(no_redirects) = no_redirects {
            body["no_redirects"] = no_redirects.into();
        }
        site.ada().post("/api/v1/users/ada/tokens", &body)
    };
    let direct = made("direct", Some(true)).await.is(201).json();
    assert_eq!(direct["no_redirects"], true);
    let client = site.anon().bearer(direct["sha1"].as_str().unwrap());
    // The second time from memory.
    for _ in 0..3 {
        client.get(&file).await.is(200).says("hello");
        client.get(&file).header("range", "bytes=1-2").await.is(206).says("el");
    }
    assert_eq!(client.get("/api/v1/token").await.json()["no_redirects"], true);
    for (name, no_redirects) in [("default", None), ("redirected", Some(false))] {
        let token = made(name, no_redirects).await.is(201).json();
        assert_eq!(token["no_redirects"], false);
        site.anon().bearer(token["sha1"].as_str().unwrap()).get(&file).await.is(307);
    }
    let wrong = json!({"name": "wrong", "scopes": ["read:package"], "no_redirects": "yes"});
    site.ada().post("/api/v1/users/ada/tokens", &wrong).await.is(422);
    site.anon().get(&file).await.is(307);
}

#[tokio::test]
async fn the_form_of_a_token_offers_bytes_where_downloads_are_redirected() {
    const FORM: &str = "form[action='/user/settings/tokens/new']";
    let site = Site::on_s3_with(&[ALWAYS]);
    site.ci().publish(&file("x"), "hello").await;
    let mut browser = site.browser_of("ada").await;
    let values = [("name", "direct"), ("preset", "download"), ("expiry", "never"), ("no_redirects", "on")];
    browser.go("/user/settings/tokens/new").await.is(200);
    browser.submit(FORM, &[&values[..], &[("current_password", "wrong")]].concat()).await.is(422);
    assert_eq!(browser.attrs("#no_redirects[checked]", "type"), ["checkbox"], "the choice is kept");
    browser.submit(FORM, &[&values[..], &[("current_password", PASSWORD)]].concat()).await.is(200);
    site.anon().bearer(&browser.one("#secret")).get(&file("x")).await.is(200).says("hello");
    browser.go("/user/settings/tokens").await.is(200);
    assert!(browser.all("table.tokens td").iter().any(|cell| cell.contains("No redirects")));
    let local = Site::with(&[ALWAYS]);
    let mut browser = local.browser_of("ada").await;
    browser.go("/user/settings/tokens/new").await.is(200);
    assert!(browser.all("#no_redirects").is_empty(), "a directory has no redirects");
}
