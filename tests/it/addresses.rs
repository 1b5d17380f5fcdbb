//! Addresses: a package, a version or a file whose name is also a word of a route has an address that leads to it, from
//! the API, from webhooks and after an upload in the browser.

use crate::support::receiver::Receiver;
use crate::support::{Site, path};
use packhouse::domain::public_url::FIRST_SEGMENTS;
use serde_json::json;
use std::path::Path;

/// The words that routes use where a name may stand too.
const ROUTE_WORDS: [&str; 15] = [
    "versions",
    "VERSIONS",
    "files",
    "delete",
    "settings",
    "generic",
    "packages",
    "upload",
    "latest",
    "new",
    "admin",
    "docs",
    "api",
    "search",
    "versions.atom",
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

/// The texts of the files below a folder with this extension, with their paths.
fn texts(folder: &str, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|given| given == extension) {
                found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 10, "{folder} has files");
    found
}

/// The files that contain one of these.
fn with_any(texts: &[(String, String)], parts: &[&str]) -> Vec<String> {
    let found = texts.iter().flat_map(|(path, text)| {
        parts.iter().filter(|part| text.contains(**part)).map(move |part| format!("{path}: {part}"))
    });
    found.collect()
}

/// The addresses in templates that are not paths within the site: external ones, and data in the page itself.
const NO_PATHS: [&str; 13] = [
    "#",
    "{{ frame.asset(",
    "{{ frame.icon(",
    "{{ frame.root }}{{",
    "{{ owner.website }}",
    "{{ about.homepage }}",
    "{{ about.source_url }}",
    "{{ overview.about.homepage }}",
    "{{ overview.about.source_url }}",
    "{{ file }}",
    "{{ origin_url }}",
    "{{ provider_url }}",
    "{{ button.icon }}",
];

#[test]
fn every_link_and_form_of_a_template_has_the_base_path() {
    let mut wrong = Vec::new();
    for (path, text) in texts("templates", "html") {
        for attribute in ["href=\"", "action=\"", "src=\""] {
            for rest in text.split(attribute).skip(1) {
                let is_right =
                    rest.starts_with("{{ frame.link(") || NO_PATHS.iter().any(|known| rest.starts_with(known));
                if !is_right && !rest.starts_with("{{ picture }}") {
                    wrong.push(format!("{path}: {attribute}{}", rest.lines().next().unwrap()));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "use frame.link");
}

#[test]
fn a_base_path_cannot_begin_like_a_route() {
    for row in packhouse::routes::table() {
        let first = row.path.trim_start_matches('/').split('/').next().unwrap();
        let known = first.is_empty() || first.starts_with('{') || FIRST_SEGMENTS.contains(&first);
        assert!(known, "add {first} to FIRST_SEGMENTS");
    }
}

#[test]
fn addresses_with_names_are_made_in_one_module() {
    let parts = [r#"href="/{{"#, r#"action="/{{"#, "/org/{{", "/-/admin/users/{{", "/-/admin/orgs/{{", "/-/upload"];
    assert_eq!(with_any(&texts("templates", "html"), &parts), Vec::<String>::new());

    let mut sources = texts("src", "rs");
    sources.retain(|(path, _)| !path.ends_with("src/domain/address.rs"));
    let parts = [r#"format!("/{"#, r#"format!("/org/"#, r#"format!("/-/admin/users/"#, "/api/packages/{}"];
    assert_eq!(with_any(&sources, &parts), Vec::<String>::new());
}
