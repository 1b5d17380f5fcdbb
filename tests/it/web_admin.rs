//! Administration with a browser: how the instance is doing, its users, organizations, packages and quotas.

use crate::support::people::{db_org, db_user};
use crate::support::{PASSWORD, Site, path};
use packhouse::domain::role::Visibility;
use packhouse::jobs::note_totals;
use std::time::Duration;

/// The administrator's own password, as forms ask for it.
const AGAIN: (&str, &str) = ("current_password", PASSWORD);

#[tokio::test]
async fn the_overview_shows_counts_savings_and_growth() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Private));
    site.ci().publish(&path(&["ada", "tool", "1", "a"]), vec![7; 2048]).await;
    note_totals::run(&site.app.db, &site.app.clock).await.unwrap();
    site.pass(Duration::from_secs(2 * 86_400));
    site.ci().publish(&path(&["ada", "tool", "2", "a"]), vec![7; 2048]).await;
    site.ci().publish(&path(&["acme", "other", "1", "b"]), vec![8; 1024]).await;
    site.db_execute("UPDATE users SET is_active = false WHERE lower_email LIKE 'acme-read@%'");
    let mut browser = site.browser_of("admin").await;
    browser.go("/-/admin").await.is(200);
    assert_eq!(browser.all("#figures b"), ["7", "1", "2", "3", "3.0 KiB", "0 B", "2.0 KiB", "0 B", "none"]);
    let figures = browser.one("#figures");
    for words in ["1 administrator, 0 locked", "3 versions", "5.0 KiB in total", "2 blobs", "40%"] {
        assert!(figures.contains(words), "{words}: {figures}");
    }
    assert!(browser.one("#waiting").contains("1 account pending approval"));
    assert_eq!(browser.all("#days tbody tr"), ["2026-01-02 2.0 KiB 2.0 KiB", "2026-01-04 5.0 KiB 3.0 KiB"]);
    assert_eq!(browser.all(".plot rect.all").len(), 2, "a day on which nothing was noted has no bar");
    assert!(browser.one("#plot-title").contains("from 2025-12-06 to 2026-01-04"));
    assert_eq!(browser.all("#checks .badge.good"), ["Database", "Storage", "Accepting requests"]);
    assert_eq!(browser.all(".side a[aria-current]"), ["Overview"]);
    for page in ["/-/admin", "/-/admin/users", "/-/admin/orgs", "/-/admin/packages"] {
        site.browser_of("ada").await.go(page).await.is(404);
        site.browser().go(page).await.is(303);
    }
}

#[tokio::test]
async fn every_page_about_a_user_has_a_title_that_says_what_it_does() {
    let site = Site::new();
    let mut browser = site.browser_of("admin").await;
    let mut titles = std::collections::BTreeSet::new();
    let pages = ["", "/edit", "/password", "/role", "/rename", "/delete", "/quota"];
    for page in pages {
        browser.go(&format!("/-/admin/users/ada{page}")).await.is(200);
        let title = browser.one("title");
        assert!(title.contains("ada") && title.ends_with(" · Administration · Packhouse"), "{title}");
        titles.insert(title);
    }
    assert_eq!(titles.len(), pages.len(), "{titles:?}");
}

#[tokio::test]
async fn users_are_found_by_part_of_their_name_and_by_status() {
    let site = Site::new();
    site.db(|conn| db_user(conn, "grace", Visibility::Private, false));
    site.db_execute("UPDATE users SET is_locked = true WHERE lower_email LIKE 'stranger@%'");
    site.db_execute("UPDATE users SET is_active = false WHERE lower_email LIKE 'grace@%'");
    let mut browser = site.browser_of("admin").await;
    let names = |browser: &crate::support::browser::Browser| browser.all("#users tbody th a");
    browser.go("/-/admin/users").await.is(200);
    assert_eq!(names(&browser), ["ada", "admin", "grace", "stranger"]);
    browser.go("/-/admin/users?q=GRACE%40ex").await;
    assert_eq!(names(&browser), ["grace"]);
    for (standing, found) in [("admin", "admin"), ("locked", "stranger"), ("inactive", "grace")] {
        browser.go(&format!("/-/admin/users?standing={standing}")).await;
        assert_eq!(names(&browser), [found]);
        assert_eq!(browser.attrs("#standing option[selected]", "value"), [standing]);
    }
    browser.go("/-/admin/users?q=%00nobody").await.is(200);
    assert!(browser.one(".empty").contains("No users found"));
    browser.go("/-/admin/users/grace").await.is(200).submit("form[action$='/approve']", &[]).await.is(303);
    browser.follow().await;
    assert!(browser.one("main .notice.good").contains("grace is approved and can sign in now"));
    site.browser_of("grace").await.go("/").await.is(200);
}

#[tokio::test]
async fn users_are_listed_with_their_size_and_last_sign_in() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1", "a"]), vec![7; 100]).await;
    site.stranger().publish(&path(&["stranger", "tool", "1", "a"]), vec![8; 4096]).await;
    let mut browser = site.browser_of("admin").await;
    let names = |browser: &crate::support::browser::Browser| browser.all("#users tbody th a");
    browser.go("/-/admin/users").await.is(200);
    assert_eq!(names(&browser), ["ada", "admin", "stranger"]);
    assert_eq!(browser.all("#users td[data-label=Size]"), ["100 B", "0 B", "4.0 KiB"]);
    assert_eq!(browser.all("#users td[data-label='Last signed in']"), ["never", "just now", "never"]);
    browser.go("/-/admin/users?sort=size").await.is(200);
    assert_eq!(names(&browser), ["stranger", "ada", "admin"]);
    assert_eq!(browser.attrs("#sort option[selected]", "value"), ["size"]);
    browser.go("/-/admin/users?sort=sign-in").await.is(200);
    assert_eq!(names(&browser), ["admin", "ada", "stranger"]);
}

#[tokio::test]
async fn an_administrator_creates_a_user_with_a_one_time_password() {
    let site = Site::new();
    let mut browser = site.browser_of("admin").await;
    browser.go("/-/admin/users/new").await.is(200);
    let form = "form[action='/-/admin/users/new']";
    let names = [("username", "grace"), ("email", "grace@example.org"), ("must_change", "on")];
    browser.submit(form, &[("username", "a--b"), ("email", "nonsense"), AGAIN]).await.is(422);
    assert!(browser.one("#username-problem").contains("must begin and end with a letter or digit"));
    assert!(browser.one("#email-problem").contains("name@example.org"));
    browser.submit(form, &[names[0], names[1], names[2], ("current_password", "not mine at all")]).await.is(422);
    assert_eq!(browser.one("#current_password-problem"), "Incorrect password.");
    assert_eq!(browser.attrs("#username", "value"), ["grace"]);
    browser.submit(form, &[("username", "ADA"), names[1], names[2], AGAIN]).await.is(422);
    assert_eq!(browser.one("#username-problem"), "This name is taken: choose another.");
    browser.submit(form, &[names[0], names[1], names[2], AGAIN]).await.is(200);
    assert_eq!(browser.answer.header("cache-control"), Some("no-store"));
    let secret = browser.one("#secret code");
    assert!(secret.len() >= 16, "{secret}");
    assert_eq!(site.db_audit().last().unwrap(), "user.create by admin with session from 127.0.0.1 on grace grace");

    let mut grace = site.browser();
    grace.go("/login").await.submit("form[action='/login']", &[("name", "grace"), ("password", &secret)]).await.is(303);
    grace.go("/").await.is(303);
    assert!(grace.answer.header("location").unwrap().starts_with("/user/settings/password"));
}

#[tokio::test]
async fn sensitive_changes_ask_for_the_administrators_own_password() {
    let site = Site::new();
    let mut browser = site.browser_of("admin").await;
    let count = "SELECT count(*) AS n FROM audit";
    let before = site.db_number(count);
    for page in ["edit", "password", "role", "delete"] {
        let path = format!("/-/admin/users/ada/{page}");
        browser.go(&path).await.is(200);
        let form = format!("form[action='{path}']");
        browser.submit(&form, &[("current_password", "")]).await.is(422);
        assert!(browser.one("#current_password-problem").contains("Type your password"), "{page}");
        browser.submit(&form, &[("current_password", "someone else's")]).await.is(422);
        assert_eq!(browser.one("#current_password-problem"), "Incorrect password.", "{page}");
    }
    assert_eq!(site.db_number(count), before);
}

#[tokio::test]
async fn locks_roles_resets_and_renames_act_at_once() {
    let site = Site::new();
    let mut ada = site.browser_of("ada").await;
    let mut browser = site.browser_of("admin").await;
    browser.go("/-/admin/users/ada").await.is(200).submit("form[action$='/lock']", &[]).await.is(303);
    browser.follow().await;
    assert!(browser.one("#standing").contains("Locked"));
    assert_eq!(
        ada.go("/user/settings/password").await.is(303).answer.header("location").map(|to| &to[..6]),
        Some("/login")
    );
    site.ci().put(&path(&["ada", "tool", "1", "a"]), "x").await.is(401);
    browser.submit("form[action$='/unlock']", &[]).await.is(303);
    site.ci().publish(&path(&["ada", "tool", "1", "a"]), "x").await;

    browser.go("/-/admin/users/ada/role").await.submit("form[action$='/role']", &[AGAIN]).await.is(303);
    let mut ada = site.browser_of("ada").await;
    ada.go("/-/admin/users/admin/role").await.is(200).submit("form[action$='/role']", &[AGAIN]).await.is(303);
    browser.go("/-/admin").await.is(303);
    ada.go("/-/admin/users/ada/role").await.submit("form[action$='/role']", &[AGAIN]).await.is(422);
    assert!(ada.one("[role=alert]").contains("last administrator"), "somebody stays");

    ada.go("/-/admin/users/stranger/password").await.submit("form[action$='/password']", &[AGAIN]).await.is(200);
    let secret = ada.one("#secret code");
    site.user("stranger").get("/api/v1/user").await.is(401);
    let mut stranger = site.browser();
    stranger.go("/login").await;
    stranger.submit("form[action='/login']", &[("name", "stranger"), ("password", &secret)]).await.is(303);
    ada.go("/-/admin/users/stranger/rename").await;
    ada.submit("form[action$='/rename']", &[("new_username", "ada")]).await.is(422);
    assert_eq!(ada.one("#new_username-problem"), "This name is taken: choose another.");
    ada.submit("form[action$='/rename']", &[("new_username", "friend")]).await.is(303);
    ada.follow().await.is(200);
    assert_eq!(ada.one("h1"), "friend");
    ada.go("/-/admin/users/stranger").await.is(303);
    assert_eq!(ada.answer.header("location"), Some("/-/admin/users/friend"));

    ada.go("/-/admin/users/friend/edit").await;
    let facts = [("email", "ada@example.org"), ("full_name", "A Friend"), ("visibility", "private"), AGAIN];
    ada.submit("form[action$='/edit']", &facts).await.is(422);
    assert!(ada.one("#email-problem").contains("already in use"));
    ada.submit("form[action$='/edit']", &[("email", "friend@example.org"), facts[1], facts[2], AGAIN]).await.is(303);
    ada.follow().await.is(200);
    assert_eq!(ada.one("h1"), "friend A Friend");
    assert!(ada.one("#standing").contains("Private"));
}

#[tokio::test]
async fn deleting_a_user_lists_holdings_and_purges_only_on_request() {
    let site = Site::new();
    site.db(|conn| db_user(conn, "grace", Visibility::Public, false));
    let token = site.db_token("grace", &["write:package", "write:organization"]);
    let grace = site.anon().bearer(&token);
    grace.publish(&path(&["grace", "tool", "1", "a"]), vec![0; 1024]).await;
    grace.post("/api/v1/orgs", &serde_json::json!({"username": "lonely"})).await.is(201);
    let mut browser = site.browser_of("admin").await;
    browser.go("/-/admin/users/grace/delete").await.is(200);
    let holdings = browser.all("#holdings dd");
    assert_eq!(holdings[0], "1 package with 1 version (1.0 KiB)");
    assert_eq!(holdings[2], "lonely (has no other members)");
    let form = "form[action$='/delete']";
    browser.submit(form, &[AGAIN]).await.is(422);
    assert!(
        browser.one("[role=alert]").contains("The user grace is the sole owner of lonely. Make someone else an owner"),
        "{}",
        browser.one("[role=alert]")
    );
    browser.submit(form, &[("purge", "on"), AGAIN]).await.is(303);
    browser.follow().await.is(200);
    assert_eq!(browser.one("main .notice.good"), "User grace deleted.");
    assert_eq!(site.db_number("SELECT count(*) AS n FROM packages"), 0);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM owners WHERE name IN ('grace', 'lonely')"), 0);
    browser.go("/-/admin/users/admin/delete").await.submit(form, &[AGAIN]).await.is(422);
    assert!(browser.one("[role=alert]").contains("You cannot delete your own account here"));
}

#[tokio::test]
async fn organizations_and_packages_are_listed_with_their_size() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Private));
    site.db(|conn| db_org(conn, "zoo", Visibility::Public));
    site.ci().publish(&path(&["zoo", "Big", "1", "a"]), vec![0; 4096]).await;
    site.ci().publish(&path(&["acme", "small", "1", "a"]), vec![1; 10]).await;
    site.ci().publish(&path(&["acme", "small", "2", "b"]), vec![2; 10]).await;
    let mut browser = site.browser_of("admin").await;
    browser.go("/-/admin/orgs").await.is(200);
    let rows = browser.all("#orgs tbody tr");
    assert_eq!(rows[0], "acme Private 5 1 2 20 B default quota of acme", "{rows:?}");
    assert_eq!(rows[1], "zoo Public 5 1 1 4.0 KiB default quota of zoo");
    browser.go("/-/admin/orgs?sort=size").await;
    assert_eq!(browser.all("#orgs tbody th a"), ["zoo", "acme"]);
    browser.go("/-/admin/orgs?q=cm").await;
    assert_eq!(browser.all("#orgs tbody th a"), ["acme"]);
    browser.go("/-/admin/packages").await.is(200);
    let rows = browser.all("#packages tbody tr");
    assert_eq!(rows[0], "small acme Private 2 2 20 B 0 just now", "{rows:?}");
    assert_eq!(rows[1], "Big zoo Public 1 1 4.0 KiB 0 just now");
    for (query, names) in
        [("sort=name", &["Big", "small"][..]), ("sort=size", &["Big", "small"]), ("q=MAL", &["small"]), ("q=%25", &[])]
    {
        browser.go(&format!("/-/admin/packages?{query}")).await.is(200);
        assert_eq!(browser.all("#packages tbody th a"), names, "{query}");
    }
}

#[tokio::test]
async fn a_quota_accepts_sizes_with_units_and_applies_at_once() {
    let site = Site::with(&[("PACKHOUSE_QUOTA_VERSIONS", "100")]);
    site.db(|conn| db_org(conn, "acme", Visibility::Private));
    let mut browser = site.browser_of("admin").await;
    for base in ["/-/admin/users/ada", "/-/admin/orgs/acme"] {
        let path = format!("{base}/quota");
        let form = format!("form[action='{path}']");
        browser.go(&path).await.is(200);
        assert_eq!(browser.one("#versions-hint"), "Default: 100");
        browser.submit(&form, &[("versions", "few"), ("bytes", "many")]).await.is(422);
        assert!(browser.one("#versions-problem").contains("5000"));
        assert!(browser.one("#bytes-problem").contains("10 GiB"));
        assert_eq!(browser.attrs("#bytes", "value"), ["many"]);
        browser.submit(&form, &[("versions", "none"), ("bytes", "1 KiB")]).await.is(303);
        browser.follow().await.is(200);
        assert_eq!(browser.attrs("#bytes", "value"), ["1024"]);
        assert_eq!(browser.attrs("#versions", "value"), ["none"]);
    }
    site.ci().put(&path(&["acme", "tool", "1", "a"]), vec![0; 2000]).await.is(403).says("allows 1024 bytes");
    browser.go("/-/admin/orgs").await;
    assert!(browser.one("#orgs tbody tr").ends_with("custom quota of acme"));
}
