//! The states of versions and the settings of packages on their pages.

use crate::support::people::db_org;
use crate::support::{Site, path};
use packhouse::domain::role::Visibility;
use serde_json::json;

const PAGE: &str = "/ada/-/packages/generic/tool/1.0";
const VERSION: &str = "/api/v1/packages/ada/generic/tool/1.0";
const SETTINGS: &str = "/ada/-/packages/settings/generic/tool";

#[tokio::test]
async fn a_draft_is_published_and_sealed_on_its_page() {
    let site = Site::new();
    site.ci().publish(&format!("{}?draft=true", path(&["ada", "tool", "1.0", "a"])), "a").await;
    let mut browser = site.browser_of("ada").await;
    browser.go(PAGE).await.is(200);
    assert!(browser.one("#draft").contains("This version is a draft."));
    browser.submit("#publish", &[]).await.is(303);
    browser.go(PAGE).await.is(200);
    assert_eq!(browser.all("#draft").len(), 0);
    browser.submit("#seal", &[]).await.is(303);
    browser.go(PAGE).await.is(200);
    assert!(browser.all(".page-head .badge").contains(&"Sealed".to_owned()));
    assert_eq!(site.ci().get(VERSION).await.is(200).json()["state"], "sealed");
}

#[tokio::test]
async fn flags_are_set_and_removed_on_the_page_of_a_version() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1.0", "a"]), "a").await;
    site.ci().publish(&path(&["ada", "tool", "2.0", "a"]), "a").await;
    let mut browser = site.browser_of("ada").await;
    for (form, fields) in [
        ("#yank", vec![("reason", "loses <data>")]),
        ("#deprecate", vec![("reason", "too old"), ("successor", "2.0")]),
        ("#hold", vec![("reason", "legal case")]),
        ("#edit-notes", vec![("notes", "Some *news* <script>alert(1)</script>")]),
    ] {
        browser.go(PAGE).await.is(200);
        browser.submit(form, &fields).await.is(303);
    }
    let mut reader = site.browser();
    reader.go(PAGE).await.is(200);
    assert!(reader.one("#yanked").contains("loses <data>"));
    assert!(reader.one("#deprecated").contains("too old") && reader.one("#deprecated").contains("Use 2.0 instead."));
    assert_eq!(reader.attrs("#deprecated a", "href"), ["/ada/-/packages/generic/tool/2.0"]);
    assert!(reader.one("#held").contains("legal case"));
    assert!(reader.one("section[aria-labelledby=notes] .prose").contains("Some news"));
    assert_eq!(reader.all("section[aria-labelledby=notes] script").len(), 0);
    assert_eq!(reader.all("#manage").len(), 0, "readers have no forms");
    reader.go("/ada/-/packages/generic/tool/versions").await.is(200);
    let badges = reader.all("th.name .badge");
    for word in ["Yanked", "Deprecated", "On hold"] {
        assert!(badges.contains(&word.to_owned()), "{badges:?}");
    }
    browser.go(&format!("{PAGE}/delete")).await.is(200);
    browser.submit("form[action$='/delete']", &[]).await.is(409);
    for form in ["#restore", "#undeprecate", "#release"] {
        browser.go(PAGE).await.is(200);
        browser.submit(form, &[]).await.is(303);
    }
    let json = site.ci().get(VERSION).await.is(200).json();
    assert_eq!(json["yanked"], false);
    assert_eq!((&json["deprecated"], &json["hold"]), (&json!(false), &json!(false)));
}

#[tokio::test]
async fn package_settings_are_changed_in_the_browser() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1.0", "a"]), "a").await;
    let mut browser = site.browser_of("ada").await;
    browser.go(SETTINGS).await.is(200);
    let fields = [
        ("description", "Builds things"),
        ("homepage", "https://tool.example"),
        ("license", "MIT"),
        ("readme", "# Tool of *mine*"),
        ("seal_after", "P2W"),
        ("archived", "on"),
    ];
    browser.submit("#settings", &fields).await.is(303);
    let shown = site.anon().get("/api/v1/packages/ada/generic/tool/-/settings").await.is(200).json();
    assert_eq!((&shown["seal_after"], &shown["archived"]), (&json!("P14D"), &json!(true)));
    let mut reader = site.browser();
    reader.go(PAGE).await.is(200);
    assert_eq!(reader.one("#description"), "Builds things");
    assert!(reader.one("section[aria-labelledby=readme] .prose").contains("Tool of mine"));
    assert!(reader.all(".page-head .badge").contains(&"Archived".to_owned()));
    browser.go(SETTINGS).await.is(200);
    browser.submit("#settings", &[("seal_after", "P1M"), ("homepage", "no address")]).await.is(422);
    assert!(browser.one("#seal_after-problem").contains("Months and years have no fixed length"));
    assert!(browser.one("#homepage-problem").contains("http"));
}

#[tokio::test]
async fn labels_and_replacing_are_set_in_the_browser() {
    let site = Site::new();
    let file = path(&["ada", "tool", "nightly", "a"]);
    site.ci().publish(&file, "a").await;
    let mut browser = site.browser_of("ada").await;
    let settings = || async { site.ci().get("/api/v1/packages/ada/generic/tool/-/settings").await.is(200).json() };
    browser.go(SETTINGS).await.is(200);
    for (field, value, told) in [
        ("labels", "team", "write key=value"),
        ("labels", "-team=x", "invalid"),
        ("overwrite_versions", "", "1 to 32 patterns"),
    ] {
        let overwrite = if field == "labels" { "never" } else { "some" };
        browser.submit("#settings", &[("overwrite", overwrite), (field, value)]).await.is(422);
        assert_eq!(browser.attrs("[aria-invalid=true]", "name"), [field]);
        assert!(browser.text().contains(told), "{}", browser.text());
        browser.go(SETTINGS).await.is(200);
    }
    let fields =
        [("labels", "team=core\nkind = tool"), ("overwrite", "some"), ("overwrite_versions", "nightly, *-dev")];
    browser.submit("#settings", &fields).await.is(303);
    let saved = settings().await;
    assert_eq!(saved["labels"], json!({"team": "core", "kind": "tool"}));
    assert_eq!(saved["overwrite"], json!({"versions": ["nightly", "*-dev"]}));
    site.ci().put(&file, "b").await.is(200);
    // The page shows what is set, and saves it as it is.
    browser.go(SETTINGS).await.is(200);
    assert_eq!(browser.attrs("#overwrite option[selected]", "value"), ["some"]);
    browser.submit("#settings", &[]).await.is(303);
    assert_eq!(settings().await, saved);
    browser.go(SETTINGS).await.is(200);
    browser.submit("#settings", &[("overwrite", "never"), ("labels", "")]).await.is(303);
    assert_eq!((&settings().await["overwrite"], &settings().await["labels"]), (&json!("never"), &json!({})));
}

#[tokio::test]
async fn labels_pre_release_and_expiration_are_set_on_the_page_of_a_version() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1.0", "a"]), "a").await;
    let mut browser = site.browser_of("ada").await;
    browser.go(PAGE).await.is(200);
    browser.submit("#edit-details", &[("labels", "channel=edge"), ("prerelease", "yes")]).await.is(303);
    let json = site.ci().get(VERSION).await.is(200).json();
    assert_eq!((&json["labels"], &json["prerelease"]), (&json!({"channel": "edge"}), &json!(true)));
    browser.go(PAGE).await.is(200);
    assert!(browser.all(".page-head .badge").contains(&"Pre-release".to_owned()));
    browser.submit("#expire", &[("expires_on", "2026-03-01")]).await.is(303);
    assert_eq!(site.ci().get(VERSION).await.is(200).json()["expires_at"], "2026-03-01T23:59:59Z");
    browser.go(PAGE).await.is(200);
    assert_eq!(browser.attrs("#expires_on", "value"), ["2026-03-01"]);
    for wrong in ["soon", "2020-01-01"] {
        browser.go(PAGE).await.is(200);
        browser.submit("#expire", &[("expires_on", wrong)]).await.is(422);
    }
    browser.go(PAGE).await.is(200);
    browser.submit("#expire", &[("expires_on", "")]).await.is(303);
    assert_eq!(site.ci().get(VERSION).await.is(200).json()["expires_at"], json!(null));
}

#[tokio::test]
async fn files_are_uploaded_as_a_draft_in_the_browser() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    browser.go("/ada/-/upload").await.is(200);
    assert_eq!(browser.attrs("#draft", "type"), ["checkbox"]);
    let token = browser.csrf();
    let head = [("x-csrf-token", token.as_str()), ("sec-fetch-site", "same-origin")];
    browser.send("PUT", "/ada/-/upload/tool/1.0/a?draft=true", &head, Some(b"a".to_vec())).await.is(201);
    site.anon().get(&path(&["ada", "tool", "1.0", "a"])).await.is(404);
    site.ci().get(&path(&["ada", "tool", "1.0", "a"])).await.is(200);
}

#[tokio::test]
async fn a_wrong_change_of_a_version_is_shown_again_with_what_was_typed() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1.0", "a"]), "a").await;
    let mut browser = site.browser_of("ada").await;
    for (form, fields, field) in [
        ("#edit-details", vec![("labels", "no label"), ("prerelease", "yes")], "labels"),
        ("#expire", vec![("expires_on", "2020-01-01")], "expires_on"),
        ("#deprecate", vec![("reason", "old"), ("successor", "1.0")], "successor"),
        ("#yank", vec![("reason", &*"x".repeat(501))], "yank-reason"),
        ("#hold", vec![("reason", &*"x".repeat(501))], "hold-reason"),
    ] {
        browser.go(PAGE).await.is(200);
        browser.submit(form, &fields).await.is(422);
        assert_eq!(browser.attrs("#problems a", "href"), [format!("#{field}")], "{form}");
        assert_eq!(browser.all("#manage ~ details[open]").len(), 1, "{form}");
        let typed = fields.last().unwrap().1;
        let shown = match form {
            "#edit-details" => browser.attrs("#prerelease option[selected]", "value"),
            _ => browser.attrs(&format!("#{field}"), "value"),
        };
        assert_eq!(shown, [typed], "{form}");
    }
    let json = site.ci().get(VERSION).await.is(200).json();
    assert_eq!((&json["yanked"], &json["deprecated"], &json["hold"]), (&json!(false), &json!(false), &json!(false)));
}

#[tokio::test]
async fn owners_delete_past_the_trash_if_they_tick_the_box() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    for version in ["1", "2", "3"] {
        site.admin().publish(&path(&["acme", "tool", version, "f"]), "x").await;
    }
    site.admin().publish(&path(&["acme", "tool", "3", "g"]), "x").await;
    let mut browser = site.browser_of("acme-write").await;
    browser.go("/acme/-/packages/generic/tool/1/delete").await.is(200);
    assert!(browser.all("#purge").is_empty(), "only owners delete for good");
    browser.submit("form[action$='/delete']", &[("purge", "on")]).await.is(403);
    browser.go("/acme/-/packages/generic/tool/1/delete").await.is(200);
    browser.submit("form[action$='/delete']", &[]).await.is(303);
    let mut owner = site.browser_of("admin").await;
    owner.go("/acme/-/packages/generic/tool/2/delete").await.is(200);
    owner.submit("form[action$='/delete']", &[("purge", "on")]).await.is(303).follow().await;
    assert!(owner.one(".notice.good").contains("Version 2 of tool has been deleted."));
    owner.go("/acme/-/packages/generic/tool/3").await.is(200);
    let file = owner.attrs("a[href$='/delete']", "href").into_iter().find(|href| href.contains("/files/")).unwrap();
    owner.go(&file).await.is(200);
    owner.submit("form[action$='/delete']", &[("purge", "on")]).await.is(303);
    let trash = site.admin().get("/api/v1/packages/acme/-/trash").await.is(200).json();
    assert_eq!(trash.as_array().unwrap().len(), 1, "only what the writer deleted: {trash}");
    owner.go("/acme/-/packages/settings/generic/tool").await.is(200);
    owner.submit("form[action$='/delete']", &[("confirm", "tool"), ("purge", "on")]).await.is(303);
    let trash = site.admin().get("/api/v1/packages/acme/-/trash").await.is(200).json();
    assert_eq!(trash.as_array().unwrap().len(), 1, "{trash}");
}

#[tokio::test]
async fn files_are_copied_and_moved_to_another_version_on_a_page() {
    let site = Site::new();
    for file in ["a.txt", "b.bin"] {
        site.ci().publish(&path(&["ada", "tool", "1.0", file]), file).await;
    }
    let mut browser = site.browser_of("ada").await;
    browser.go(PAGE).await.is(200);
    let copy = browser.attrs("#manage ~ p a", "href").remove(0);
    browser.go(&copy).await.is(200);
    browser.submit("#copy", &[("to_version", "2.0"), ("files", "*.txt")]).await.is(303).follow().await.is(200);
    assert!(browser.one(".notice.good").contains("Files copied from tool 1.0."));
    site.anon().get(&path(&["ada", "tool", "2.0", "a.txt"])).await.is(200).says("a.txt");
    site.anon().get(&path(&["ada", "tool", "2.0", "b.bin"])).await.is(404);
    for (fields, field) in [
        (vec![("to_version", "1.0")], "to_version"),
        (vec![("to_version", "3.0"), ("to_owner", "nobody")], "to_owner"),
        (vec![("to_version", "3.0"), ("to_owner", "stranger")], "to_owner"),
        (vec![("to_version", "3.0"), ("to_package", "a b")], "to_package"),
        (vec![("to_version", "3.0"), ("files", "*.exe")], "files"),
        (vec![("to_version", "3.0"), ("files", "[")], "files"),
    ] {
        browser.go(&copy).await.is(200);
        browser.submit("#copy", &fields).await.is(422);
        assert_eq!(browser.attrs("#problems a", "href"), [format!("#{field}")], "{fields:?}");
    }
    browser.go(&copy).await.is(200);
    browser.submit("#copy", &[("to_version", "2.0")]).await.is(422);
    assert!(browser.one("#problems").contains("a.txt"), "it names what exists");
    browser.go(&copy).await.is(200);
    let form = format!("csrf={}&to_version=1&to_package=other", browser.csrf());
    browser.post(&copy.replace("/copy", "/move"), form).await.is(303);
    site.anon().get(&path(&["ada", "other", "1", "b.bin"])).await.is(200).says("b.bin");
    site.anon().get(&path(&["ada", "tool", "1.0", "b.bin"])).await.is(404);
}
