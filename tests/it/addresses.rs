//! Addresses: a package, a version or a file whose name is also a word of a route has an address that leads to it, from
//! the API, from webhooks and after an upload in the browser.

use crate::support::receiver::Receiver;
use crate::support::{Site, path};
use serde_json::json;

/// The words that routes use where a name may stand too.
const ROUTE_WORDS: [&str; 14] = [
    "versions", "VERSIONS", "files", "delete", "settings", "generic", "packages", "upload", "latest", "new", "admin",
    "docs", "api", "search",
];

/// A form with one file, as a browser without scripts sends it.
fn form(csrf: &str, package: &str, version: &str) -> String {
    let mut body = String::new();
    for (name, value) in [("csrf", csrf), ("package", package), ("version", version)] {
        body.push_str(&format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"));
    }
    body.push_str("--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"f\"\r\n\r\nx\r\n--b--\r\n");
    body
}

#[tokio::test]
async fn a_version_named_like_a_route_word_is_found_from_everywhere() {
    let site = Site::with(&[("PACKHOUSE_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8")]);
    let receiver = Receiver::new();
    let config = json!({"url": receiver.url(), "content_type": "json"});
    let hook = json!({"type": "gitea", "active": true, "config": config});
    site.ada().post("/api/v1/user/hooks", &hook).await.is(201);
    let mut browser = site.browser_of("ada").await;
    for (number, word) in ROUTE_WORDS.into_iter().enumerate() {
        // A version of that name, and another one, so that a list and a version are different pages.
        let name = format!("tool-{number}");
        site.ci().publish(&path(&["ada", &name, "1.0", "f"]), "x").await;
        browser.go("/ada/-/upload").await.is(200);
        let body = form(&browser.csrf(), &name, word);
        let kind = ("content-type", "multipart/form-data; boundary=b");
        let fields = [kind, ("sec-fetch-site", "same-origin"), ("accept", "text/html")];
        browser.send("POST", "/ada/-/upload", &fields, Some(body.into_bytes())).await.is(303);
        browser.follow().await.is(200);
        assert_eq!(browser.one("h1"), format!("{name} {word}"), "after the upload");

        let version = site.ada().get(&format!("/api/v1/packages/ada/generic/{name}/{word}")).await.is(200).json();
        let page = version["html_url"].as_str().unwrap().to_owned();
        browser.go(&page).await.is(200);
        assert_eq!(browser.one("h1"), format!("{name} {word}"), "html_url {page}");

        site.app.webhook_sender().run().await;
        let told = receiver.heard().last().unwrap().json();
        assert_eq!(told["package"]["version"], word);
        assert_eq!(told["package"]["html_url"].as_str().unwrap(), page);

        let files = site.anon().get(&format!("/api/v1/packages/ada/generic/{name}/{word}/files")).await.is(200).json();
        let download = files[0]["download_url"].as_str().unwrap().to_owned();
        assert_eq!(site.anon().get(&download).await.is(200).text(), "x");

        browser.go(&format!("/ada/-/packages/generic/{name}/{word}/delete")).await.is(200);
        let answer = browser.submit("main form", &[]).await.is(303).answer.header("location").unwrap().to_owned();
        assert_eq!(answer, format!("/ada/-/packages/generic/{name}/versions"), "after the deletion");
        browser.follow().await.is(200);
        assert!(browser.text().contains("1.0"), "the list has the other version");
    }
}

#[tokio::test]
async fn a_package_named_like_a_route_word_is_found_from_everywhere() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    for word in ROUTE_WORDS {
        site.ci().publish(&path(&["ada", word, "1.0", "f"]), "x").await;
        let version = site.ada().get(&format!("/api/v1/packages/ada/generic/{word}/1.0")).await.is(200).json();
        browser.go(version["html_url"].as_str().unwrap()).await.is(200);
        assert_eq!(browser.one("h1"), format!("{word} 1.0"));
        browser.go(&format!("/ada/-/packages/settings/generic/{word}")).await.is(200);
        browser.go(&format!("/ada/-/packages/generic/{word}/versions")).await.is(200);
        assert!(browser.text().contains("1.0"));
        site.ci().delete(&format!("/api/v1/packages/ada/generic/{word}")).await.is(204);
    }
}
