//! What all forms have in common: a summary of their problems, confirmations, and notices that can be undone.

use crate::support::people::db_org;
use crate::support::{PASSWORD, Site, path};
use packhouse::domain::role::Visibility;

#[tokio::test]
async fn a_failed_form_has_a_summary_with_the_focus_and_links_to_fields() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    site.ci().publish(&path(&["ada", "tool", "1", "f"]), "x").await;
    let mut browser = site.browser_of("ada").await;
    for (page, form, values, links) in [
        ("/org/create", "form[action='/org/create']", &[("name", "a b"), ("visibility", "none")][..], 2),
        ("/user/settings", "main form[action='/user/settings']", &[("website", "nonsense")], 1),
        (
            "/user/settings/tokens/new",
            ".token-form",
            &[("preset", "custom"), ("expiry", "date"), ("owners", "a b"), ("packages", "a/b")],
            4,
        ),
        ("/org/acme/teams", "form[action='/org/acme/teams']", &[("name", "a/b"), ("packages", "a/b")], 2),
        ("/user/settings/hooks/new", "main form", &[("url", "ftp://x"), ("secret", "\u{1}")], 2),
        ("/org/acme/settings", "form[action$='/rename']", &[("name", "a b"), ("current_password", PASSWORD)], 1),
        ("/org/acme/settings", "form[action$='/delete']", &[("name", "other"), ("current_password", PASSWORD)], 1),
        ("/ada/-/packages/settings/generic/tool", "form[action$='/delete']", &[("confirm", "other")], 1),
        ("/ada/-/packages/settings/generic/tool/channels", "form[action$='/channels']", &[("channel", "a b")], 2),
        ("/user/settings/retention/new", "#rule", &[("name", ""), ("delete_pattern", "(")], 2),
        ("/ada/-/access", "form[action$='/grants']", &[("to", "nobody"), ("pattern", "x")], 1),
    ] {
        browser.go(page).await.is(200);
        assert!(browser.all("#problems").is_empty(), "{page}");
        browser.submit(form, values).await.is(422);
        assert_eq!(browser.attrs("[autofocus]", "id"), ["problems"], "{page}");
        assert_eq!(browser.attrs("#problems", "tabindex"), ["-1"]);
        let targets = browser.attrs("#problems a", "href");
        assert_eq!(targets.len(), links, "{page}: {}", browser.one("#problems"));
        for target in targets {
            assert_eq!(browser.all(&format!("form {target}")).len(), 1, "{page}: {target}");
        }
    }
}

#[tokio::test]
async fn a_failed_sign_in_has_the_focus_on_its_problem() {
    let site = Site::new();
    let mut browser = site.browser();
    browser.go("/login").await.is(200);
    assert_eq!(browser.attrs("[autofocus]", "id"), ["name"]);
    browser.submit("form[action='/login']", &[("name", "ada"), ("password", "wrong")]).await.is(401);
    assert_eq!(browser.attrs("[autofocus]", "id"), ["problems"]);
}

#[tokio::test]
async fn a_notice_after_a_deletion_offers_to_restore_what_was_deleted() {
    let site = Site::new();
    for version in ["1", "2"] {
        for file in ["a", "b"] {
            site.ci().publish(&path(&["ada", "tool", version, file]), file.to_owned()).await;
        }
    }
    let files = site.ci().get("/api/v1/packages/ada/generic/tool/1/files").await.is(200).json();
    let id = files[0]["id"].clone();
    let package = "/ada/-/packages/generic/tool";
    let mut browser = site.browser_of("ada").await;
    for (page, button, values) in [
        (format!("{package}/1/files/{id}/delete"), "Restore file", &[][..]),
        (format!("{package}/2/delete"), "Restore version", &[]),
        ("/ada/-/packages/settings/generic/tool".to_owned(), "Restore package", &[("confirm", "tool")]),
    ] {
        browser.go(&page).await.is(200).submit("main form[action$='/delete']", values).await.is(303);
        browser.follow().await.is(200);
        assert_eq!(browser.one("main .notice.good button"), button);
        browser.submit("main .notice form", &[]).await.is(303);
        while browser.answer.status == 303 {
            browser.follow().await;
        }
        assert!(browser.one("main .notice.good").ends_with("has been restored."), "{page}");
        assert!(browser.all("main .notice button").is_empty());
    }
    for version in ["1", "2"] {
        for file in ["a", "b"] {
            assert_eq!(site.anon().get(&path(&["ada", "tool", version, file])).await.is(200).text(), file);
        }
    }
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_notice_offers_no_restoration_without_a_trash_and_failures_look_bad() {
    let site = Site::with(&[("PACKHOUSE_TRASH_KEEP_DAYS", "0")]);
    site.ci().publish(&path(&["ada", "tool", "1", "f"]), "x").await;
    let mut browser = site.browser_of("ada").await;
    browser.go("/ada/-/packages/generic/tool/1/delete").await.submit("main form", &[]).await.is(303);
    browser.follow().await.is(200);
    assert_eq!(browser.one("main .notice.good"), "Version 1 of tool has been deleted.");
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1", "f"]), "x").await;
    let mut browser = site.browser_of("ada").await;
    browser.go("/ada/-/packages/generic/tool/1/delete").await.submit("main form", &[]).await.is(303);
    browser.follow().await.is(200);
    site.ci().publish(&path(&["ada", "tool", "1", "f"]), "y").await;
    browser.submit("main .notice form", &[]).await.is(303);
    browser.follow().await.is(200);
    assert!(browser.one("main [role=alert].notice.bad").starts_with("Not restored:"));
}
