//! Comparing two versions: files, notes and READMEs, for people and for programs; and what nobody may learn by it.

use crate::support::people::db_org;
use crate::support::{Site, path};
use packhouse::domain::role::Visibility;
use serde_json::json;

const PAGE: &str = "/ada/-/packages/compare/generic/tool";
const API: &str = "/api/v1/packages/ada/generic/tool/-/compare";

async fn publish(site: &Site) {
    for (version, name, content) in [
        ("1.0.0", "tool-1.0.0.zip", "first"),
        ("1.0.0", "README.md", "# Tool\n\nOld words.\n\nMore.\n"),
        ("1.0.0", "gone.txt", "gone"),
        ("1.0.0", "same.txt", "same"),
        ("1.1.0", "tool-1.1.0.zip", "the second"),
        ("1.1.0", "README.md", "# Tool\n\nNew words.\n\nMore.\n"),
        ("1.1.0", "new.txt", "new"),
        ("1.1.0", "same.txt", "same"),
    ] {
        site.ci().publish(&path(&["ada", "tool", version, name]), content).await;
    }
    for (version, notes) in [("1.0.0", "First."), ("1.1.0", "Faster.\n\n<script>alert(1)</script>")] {
        let url = format!("/api/v1/packages/ada/generic/tool/{version}");
        site.ci().patch(&url, &json!({"notes": notes})).await.is(200);
    }
}

#[tokio::test]
async fn a_comparison_shows_files_notes_and_readme_that_differ() {
    let site = Site::new();
    publish(&site).await;
    let mut browser = site.browser();
    browser.go("/ada/-/packages/generic/tool/1.1.0").await.is(200);
    assert_eq!(browser.one("#changes"), "What changed since 1.0.0");
    let link = browser.attrs("#changes", "href").remove(0);
    assert_eq!(link, format!("{PAGE}?from=1.0.0&to=1.1.0"));
    browser.go(&link).await.is(200);
    assert_eq!(browser.one("h1"), "What changed in tool 1.1.0");
    assert_eq!(browser.one("#summary"), "Files: 1 added, 1 removed, 2 changed, 1 unchanged");
    let rows = browser.all(".differences tbody tr");
    assert_eq!(
        rows,
        [
            "gone.txt Removed 4 B – −4 B",
            "new.txt Added – 3 B +3 B",
            "README.md Changed 26 B 26 B ±0 B",
            "tool-1.1.0.zip was tool-1.0.0.zip Changed 5 B 10 B +5 B",
        ]
    );
    assert_eq!(browser.one("#growth"), "+4 B");
    assert_eq!(browser.all("section[aria-labelledby=notes] .diff del"), ["- First."]);
    let added = browser.all("section[aria-labelledby=notes] .diff ins");
    assert_eq!(added, ["+ Faster.", "+", "+ <script>alert(1)</script>"]);
    assert_eq!(browser.all("section[aria-labelledby=readme] .diff del"), ["- Old words."]);
    assert_eq!(browser.all("section[aria-labelledby=readme] .diff ins"), ["+ New words."]);

    // Without versions: the latest one and the one before it. The other way round is a comparison, too.
    browser.go(PAGE).await.is(200);
    assert_eq!(browser.attrs("form.compare-form input", "value"), ["1.0.0", "1.1.0"]);
    browser.go(&format!("{PAGE}?from=1.1.0&to=1.0.0")).await.is(200);
    assert_eq!(browser.one("#growth"), "−4 B");
    browser.go(&format!("{PAGE}?from=1.1.0&to=1.1.0")).await.is(200);
    assert_eq!(browser.one("#summary"), "All files are the same.");
    assert!(browser.all(".diff").is_empty());
    browser.go("/ada/-/packages/generic/tool/1.0.0").await.is(200);
    assert!(browser.all("#changes").is_empty(), "nothing was before the first version");
    for query in ["?from=9&to=1.1.0", "?to=9", "?from=%00", "?to=..%2F"] {
        browser.go(&format!("{PAGE}{query}")).await.is(404);
    }
}

#[tokio::test]
async fn a_version_is_compared_with_the_one_before_it_by_number() {
    let site = Site::new();
    for version in ["1.10.0", "1.9.0", "2.0.0-rc.1", "1.9.1", "nightly"] {
        site.ci().publish(&path(&["ada", "tool", version, "f"]), "x").await;
        site.pass(std::time::Duration::from_secs(60));
    }
    let yanked = json!({"yanked": true});
    site.ci().patch("/api/v1/packages/ada/generic/tool/1.9.1", &yanked).await.is(200);
    let mut browser = site.browser();
    for (version, before) in [
        ("1.10.0", Some("1.9.0")),
        ("1.9.1", Some("1.9.0")),
        ("2.0.0-rc.1", Some("1.10.0")),
        ("1.9.0", None),
        ("nightly", Some("2.0.0-rc.1")),
    ] {
        browser.go(&format!("/ada/-/packages/generic/tool/{version}")).await.is(200);
        let found = browser.all("#changes");
        let wanted: Vec<String> = before.iter().map(|before| format!("What changed since {before}")).collect();
        assert_eq!(found, wanted, "{version}");
    }
}

#[tokio::test]
async fn a_comparison_for_programs_has_names_sizes_and_digests() {
    let site = Site::new();
    publish(&site).await;
    let body = site.anon().get(&format!("{API}?from=1.0.0&to=1.1.0")).await.is(200).json();
    assert_eq!(
        (&body["unchanged"], &body["size_difference"], &body["truncated"]),
        (&json!(1), &json!(4), &json!(false))
    );
    let files = body["files"].as_array().unwrap();
    let shown: Vec<String> = files
        .iter()
        .map(|file| format!("{} {} {}", file["change"], file["from"]["name"], file["to"]["name"]).replace('"', ""))
        .collect();
    assert_eq!(
        shown,
        [
            "removed gone.txt null",
            "added null new.txt",
            "changed README.md README.md",
            "changed tool-1.0.0.zip tool-1.1.0.zip"
        ]
    );
    assert_eq!(files[3]["to"]["sha256"], crate::support::sha256("the second"));
    let latest = site.anon().get(API).await.is(200).json();
    assert_eq!(latest, body, "the latest version, and the one before it");
    site.anon().get(&format!("{API}?from=9")).await.is(404);
    site.anon().get(&format!("{API}?from=")).await.is(422);
}

#[tokio::test]
async fn drafts_and_private_packages_are_compared_by_nobody_else() {
    let site = Site::new();
    publish(&site).await;
    site.ci().put(&format!("{}?draft=true", path(&["ada", "tool", "2.0.0", "secret.bin"])), "x").await.is(201);
    site.db(|conn| db_org(conn, "hidden", Visibility::Private));
    site.admin().publish(&path(&["hidden", "tool", "1.0.0", "f"]), "x").await;
    let reader = site.anon().bearer(&site.db_token("stranger", &["read:package"]));
    for (one, other) in [
        (format!("{API}?to=2.0.0"), format!("{API}?to=3.0.0")),
        (API.replace("ada", "hidden"), API.replace("ada", "nobody")),
    ] {
        let (there, absent) = (reader.get(&one).await.is(404), reader.get(&other).await.is(404));
        assert_eq!(there.looks(), absent.looks(), "{one}");
    }
    let latest = reader.get(API).await.is(200).json();
    assert_eq!(latest["to"], "1.1.0", "a draft is not the latest version");
    site.ci().get(&format!("{API}?from=1.1.0&to=2.0.0")).await.is(200);
    let mut stranger = site.browser_of("stranger").await;
    stranger.go(&format!("{PAGE}?to=2.0.0")).await.is(404);
    stranger.go(PAGE).await.is(200);
    assert!(!stranger.text().contains("2.0.0"), "it is not proposed either");
    let mut ada = site.browser_of("ada").await;
    ada.go("/ada/-/packages/generic/tool/2.0.0").await.is(200);
    ada.go(&ada.attrs("#changes", "href").remove(0)).await.is(200);
    assert_eq!(ada.one("h1"), "What changed in tool 2.0.0");
}
