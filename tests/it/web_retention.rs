//! Retention rules in the browser: the list, the form, the preview.

use crate::support::people::db_org;
use crate::support::{Site, path};
use packhouse::domain::role::Visibility;
use std::time::Duration;

const OWN: &str = "/user/settings/retention";
const ORGS: &str = "/org/acme/settings/retention";

fn settle() -> Site {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    site
}

#[tokio::test]
async fn a_rule_is_created_previewed_changed_and_deleted_by_its_owner() {
    for (base, user, owner) in [(OWN, "ada", "ada"), (ORGS, "acme-owner", "acme")] {
        let site = settle();
        for version in ["1.0-snapshot", "1.0", "2.0"] {
            site.admin().publish(&path(&[owner, "tool", version, "f"]), version.to_owned()).await;
        }
        site.pass(Duration::from_secs(40 * 86_400));
        let mut browser = site.browser_of(user).await;
        browser.go(base).await.is(200);
        assert!(browser.one(".empty").contains("No retention rules yet"));
        browser.go(&browser.attrs(".empty a", "href")[0].clone()).await.is(200);
        // The fields of Gitea's form.
        let fields = [
            ("name", "snapshots"),
            ("packages", "tool\nother-*\n"),
            ("delete_older_than_days", "30"),
            ("delete_pattern", ".*-snapshot"),
            ("keep_last", "1"),
            ("keep_pattern", "3.*"),
        ];
        browser.submit("#rule", &fields).await.is(303);
        browser.follow().await.is(200);
        assert!(browser.one(".notice.good").starts_with("Rule created."));
        assert_eq!(
            browser.all("tbody tr > *"),
            [
                "snapshots tool, other-*; all versions",
                "Enabled",
                "older than 30 days, and matching .*-snapshot",
                "the last 1 of each package; matching 3.*"
            ]
        );
        browser.go(&format!("{base}/preview")).await.is(200);
        assert!(browser.one("#totals").starts_with("The next run deletes 1 version and keeps 2. 12 B become free"));
        let rows = browser.all("tbody tr");
        assert!(rows[0].starts_with("tool 2.0 Keep It does not match .*-snapshot. Rule: snapshots"), "{}", rows[0]);
        assert!(rows[2].starts_with("tool 1.0-snapshot Delete It is older than 30 days, matches"), "{}", rows[2]);
        browser.go(&format!("{base}/preview?only=delete")).await.is(200);
        assert_eq!(browser.all("tbody tr").len(), 1);

        browser.go(base).await.is(200);
        let page = browser.attrs("tbody a", "href")[0].clone();
        browser.go(&page).await.is(200);
        assert_eq!(browser.one("#packages"), "tool other-*");
        // Browsers don't send a box that is not checked.
        let fields = "name=snapshots&delete_older_than_days=30&delete_pattern=.*-snapshot";
        browser.post(&page, format!("csrf={}&{fields}", browser.csrf())).await.is(303);
        browser.go(base).await.is(200);
        assert_eq!(browser.one("tbody .badge"), "Disabled");
        browser.go(&format!("{base}/preview")).await.is(200);
        assert!(browser.one("#totals").starts_with("The next run deletes 0 versions"));
        browser.go(&format!("{base}/preview?rules=all&only=delete")).await.is(200);
        assert_eq!(browser.all("tbody tr").len(), 1);
        browser.go(&page).await.is(200);
        browser.submit("#delete", &[]).await.is(303);
        browser.follow().await.is(200);
        assert_eq!(browser.one(".notice.good"), "Rule deleted.");
        browser.go(&page).await.is(404);
        let events = site.db_texts("SELECT event AS text FROM audit WHERE event LIKE 'retention.%' ORDER BY id");
        assert_eq!(events, ["retention.create", "retention.update", "retention.delete"]);
    }
}

#[tokio::test]
async fn a_rule_is_previewed_before_it_is_saved_and_nothing_changes() {
    let site = settle();
    for version in ["1", "2", "3"] {
        site.ci().publish(&path(&["ada", "tool", version, "f"]), "bytes").await;
    }
    site.pass(Duration::from_secs(40 * 86_400));
    let mut browser = site.browser_of("ada").await;
    browser.go(&format!("{OWN}/new")).await.is(200);
    let rule = [("name", "old"), ("delete_older_than_days", "30"), ("keep_last", "1"), ("packages", "tool")];
    let preview: Vec<_> = rule.into_iter().chain([("preview", "1")]).collect();
    browser.submit("#rule", &preview).await.is(200);
    assert!(
        browser.one("#totals").contains("the next run would delete 2 versions and keep"),
        "{}",
        browser.one("#totals")
    );
    let listed = browser.all("tbody th");
    assert_eq!(listed, ["tool 2", "tool 1"]);
    assert_eq!(browser.attrs("#delete_older_than_days", "value"), ["30"], "what was typed stays");
    assert_eq!(site.db_number("SELECT count(*) AS n FROM retention_rules"), 0);
    browser.submit("#rule", &[]).await.is(303);
    browser.go(OWN).await.is(200);
    let page = browser.attrs("tbody a", "href").remove(0);
    browser.go(&page).await.is(200);
    browser.submit("#rule", &[("keep_last", "2"), ("preview", "1")]).await.is(200);
    assert!(browser.one("#totals").contains("the next run would delete 1 version and keep"));
    browser.go(&page).await.is(200);
    assert_eq!(browser.attrs("#keep_last", "value"), ["1"]);
    site.ci().get(&path(&["ada", "tool", "1", "f"])).await.is(200);
}

#[tokio::test]
async fn problems_of_a_rule_are_shown_beside_their_fields() {
    let site = settle();
    let mut browser = site.browser_of("ada").await;
    for (field, typed, problem) in [
        ("name", "", "It is empty."),
        ("keep_last", "", "The rule neither deletes nor keeps anything"),
        ("keep_last", "1001", "Use a whole number from 0 to 1000."),
        ("delete_older_than_days", "soon", "Use a whole number from 0 to 36500."),
        ("delete_pattern", "(", "The regular expression is invalid: unclosed group."),
        ("labels", "kind", "Kind is not a label: write label=value, one per line."),
    ] {
        browser.go(&format!("{OWN}/new")).await.is(200);
        let others = [("name", "kept"), ("keep_last", "5")];
        let values: Vec<_> = others.into_iter().filter(|(name, _)| *name != field).chain([(field, typed)]).collect();
        browser.submit("#rule", &values).await.is(422);
        let shown = if typed.is_empty() { "name" } else { field };
        let said = browser.one(&format!("#{shown}-problem"));
        assert!(said.starts_with(problem), "{field} {typed:?}: {said}");
    }
    assert_eq!(site.db_number("SELECT count(*) AS n FROM retention_rules"), 0);
}

#[tokio::test]
async fn retention_pages_are_visible_only_to_the_owners_of_their_organization() {
    let site = settle();
    for user in ["acme-write", "stranger"] {
        let mut browser = site.browser_of(user).await;
        for page in [ORGS.to_owned(), format!("{ORGS}/new"), format!("{ORGS}/preview")] {
            browser.go(&page).await.is(403);
        }
    }
    let mut ada = site.browser_of("ada").await;
    ada.go("/org/ada/settings/retention").await.is(404);
    ada.go("/acme").await.is(200);
    assert!(ada.text().contains(ORGS));
}
