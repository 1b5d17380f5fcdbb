//! The settings of packages.

use crate::support::{Plan, Site, path};
use serde_json::json;

const PACKAGE: &str = "/api/v1/packages/ada/generic/tool";

/// A server that works on several requests at once.
fn busy() -> Site {
    let settings = &[("PACKHOUSE_WORKERS", "4"), ("PACKHOUSE_DATABASE_WRITE_CONNECTIONS", "12")];
    Site::start(Plan { settings, real_time: true, ..Plan::default() })
}

async fn published() -> Site {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1.0", "a"]), "a").await;
    site
}

#[tokio::test]
async fn package_settings_are_kept_shown_and_audited() {
    let site = published().await;
    let edit = json!({
        "description": "Builds things", "homepage": "https://tool.example", "source_url": "https://git.example/tool",
        "license": "MIT OR Apache-2.0", "labels": {"team": "build"}, "readme": "# Tool", "seal_after": "P2W",
    });
    let answer = site.ci().patch(PACKAGE, &edit).await.is(200).json();
    let shown = site.anon().get(&format!("{PACKAGE}/-/settings")).await.is(200).json();
    assert_eq!(answer, shown);
    for field in ["description", "homepage", "source_url", "license", "labels", "readme"] {
        assert_eq!(shown[field], edit[field], "{field}");
    }
    assert_eq!((&shown["seal_after"], &shown["archived"]), (&json!("P14D"), &json!(false)));
    // A field that is left out keeps its value, and null takes the time away.
    let answer = site.ci().patch(PACKAGE, &json!({"seal_after": null})).await.is(200).json();
    assert_eq!((&answer["seal_after"], &answer["license"]), (&json!(null), &edit["license"]));
    site.ci().patch(PACKAGE, &json!({"license": "MIT OR Apache-2.0"})).await.is(200);
    let edits = site.db_audit().into_iter().filter(|line| line.starts_with("package.update")).collect::<Vec<_>>();
    assert_eq!(edits, ["package.update by ada with token from 127.0.0.1 on ada tool"; 2]);
    // The address of the package is still Gitea's list of versions.
    assert_eq!(site.anon().get(PACKAGE).await.is(200).json()[0]["version"], "1.0");
}

#[tokio::test]
async fn wrong_package_settings_are_refused_by_name() {
    let site = published().await;
    for (edit, words) in [
        (json!({"description": "x".repeat(201)}), "longer than 200 characters"),
        (json!({"homepage": "javascript:alert(1)"}), "homepage"),
        (json!({"source_url": "ftp://example.org"}), "source_url"),
        (json!({"seal_after": "P1M"}), "months and years have no fixed length"),
        (json!({"seal_after": "soon"}), "P14D"),
        (json!({"readme": "a\u{1b}"}), "readme"),
    ] {
        site.ci().patch(PACKAGE, &edit).await.is(422).says(words);
    }
    site.ci().patch("/api/v1/packages/ada/generic/nothing", &json!({"license": "MIT"})).await.is(404);
    site.stranger().patch(PACKAGE, &json!({"license": "MIT"})).await.is(403);
    site.anon().get("/api/v1/packages/ada/generic/nothing/-/settings").await.is(404);
}

#[tokio::test]
async fn nothing_can_be_published_to_an_archived_package() {
    let site = published().await;
    site.ci().publish(&format!("{}?draft=true", path(&["ada", "tool", "2.0", "a"])), "a").await;
    site.ci().patch(PACKAGE, &json!({"archived": true})).await.is(200);
    for (version, name) in [("1.0", "b"), ("2.0", "b"), ("3.0", "a")] {
        site.ci().put(&path(&["ada", "tool", version, name]), "b").await.is(409).says("the package tool is archived");
    }
    site.ci().request("POST", &format!("{PACKAGE}/2.0/publish")).await.is(409).says("archived");
    assert_eq!(site.anon().get(&path(&["ada", "tool", "1.0", "a"])).await.is(200).text(), "a");
    site.ci().patch(PACKAGE, &json!({"archived": false})).await.is(200);
    site.ci().publish(&path(&["ada", "tool", "1.0", "b"]), "b").await;
}

#[tokio::test]
async fn no_upload_ends_after_its_package_was_archived() {
    let site = busy();
    for turn in 0..5 {
        let name = format!("tool{turn}");
        site.ci().publish(&path(&["ada", &name, "1.0", "first"]), "first").await;
        let uploads = (0..8).map(|n| {
            let (ci, address) = (site.ci(), path(&["ada", &name, "1.0", &format!("f{n}")]));
            async move { ci.put(&address, format!("{turn} {n}")).await.status }
        });
        let archive = async {
            let address = format!("/api/v1/packages/ada/generic/{name}");
            site.ci().patch(&address, &json!({"archived": true})).await.is(200);
            site.anon().get(&path(&["ada", &name, "1.0"])).await.is(200).lines().len()
        };
        let (statuses, at_archive) = tokio::join!(futures_util::future::join_all(uploads), archive);
        let stored = statuses.iter().filter(|status| **status == 201).count();
        assert!(statuses.iter().all(|status| [201, 409].contains(status)), "{statuses:?}");
        assert_eq!(at_archive, stored + 1, "a file appeared after the package was archived");
    }
}
