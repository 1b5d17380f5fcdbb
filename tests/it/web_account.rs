//! One's own account in the browser: profile, name, email address, its end.

use crate::support::browser::Browser;
use crate::support::people::{db_org, db_user};
use crate::support::{PASSWORD, Site, path};
use packhouse::domain::role::Visibility;

const PROFILE: &str = "form[action='/user/settings']";

fn changes(site: &Site) -> Vec<String> {
    site.db_audit().into_iter().filter(|record| !record.starts_with("session.")).collect()
}

/// Sends the form of a page, with the password if none is given.
async fn send(browser: &mut Browser, page: &str, values: &[(&str, &str)]) {
    browser.go(page).await.is(200);
    let mut values = values.to_vec();
    if !values.iter().any(|(name, _)| *name == "current_password") {
        values.push(("current_password", PASSWORD));
    }
    browser.submit(&format!("form[action='{page}']"), &values).await;
}

#[tokio::test]
async fn a_profile_is_changed_and_shown_as_it_was_typed() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    browser.go("/user/settings").await.is(200);
    assert_eq!(browser.all("h1"), ["Profile"]);
    assert_eq!(browser.attrs(".side [aria-current=page]", "href"), ["/user/settings"]);
    let values = [
        ("full_name", "Ada <b>Lovelace</b>"),
        ("description", "Counts.\r\nAnd computes."),
        ("website", "https://example.org/ada"),
        ("location", "London"),
        ("visibility", "private"),
    ];
    browser.submit(PROFILE, &values).await.is(303).follow().await.is(200);
    assert_eq!(browser.one("[role=status].notice"), "Profile saved.");
    assert_eq!(browser.attrs("#full_name", "value"), ["Ada <b>Lovelace</b>"]);
    assert_eq!(browser.one("#description"), "Counts. And computes.");
    assert_eq!(browser.attrs("[name=visibility][checked]", "value"), ["private"]);
    assert_eq!(changes(&site), ["user.update by ada with session from 127.0.0.1 on ada ada"]);
    let user = site.ada().get("/api/v1/user").await.is(200).json();
    assert_eq!((&user["full_name"], &user["visibility"]), (&"Ada <b>Lovelace</b>".into(), &"private".into()));
    site.stranger().get("/api/v1/users/ada").await;
}

#[tokio::test]
async fn an_invalid_profile_field_shows_its_problem_and_keeps_the_rest() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    browser.go("/user/settings").await.is(200);
    let long = "x".repeat(2001);
    let values = [("full_name", "Ada"), ("description", &*long), ("website", "javascript:alert(1)"), ("location", "x")];
    browser.submit(PROFILE, &values).await.is(422);
    assert_eq!(browser.attrs("[aria-invalid=true]", "name"), ["description", "website"]);
    assert!(browser.one("#website-problem").contains("http://"), "{}", browser.one("#website-problem"));
    assert_eq!(browser.attrs("#full_name", "value"), ["Ada"]);
    assert_eq!(browser.attrs("#website", "value"), ["javascript:alert(1)"]);
    browser.submit(PROFILE, &[("visibility", "secret"), ("description", ""), ("website", "")]).await.is(422);
    assert!(!browser.all(".field-problem").is_empty());
    assert!(changes(&site).is_empty());
}

#[tokio::test]
async fn packages_move_to_the_new_username_and_the_old_one_redirects() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1", "f"]), "hello").await;
    let mut browser = site.browser_of("ada").await;
    const PAGE: &str = "/user/settings/rename";
    send(&mut browser, PAGE, &[("name", "countess"), ("current_password", "wrong")]).await;
    browser.is(422);
    assert_eq!(browser.attrs("[aria-invalid=true]", "name"), ["current_password"]);
    assert_eq!(browser.attrs("#name", "value"), ["countess"]);
    for (name, says) in
        [("stranger", "taken"), ("admin", "reserved"), ("api", "reserved"), ("-x", "letter or digit"), ("", "empty")]
    {
        send(&mut browser, PAGE, &[("name", name)]).await;
        browser.is(422);
        assert!(browser.one("#name-problem").contains(says), "{name}: {}", browser.one("#name-problem"));
    }
    send(&mut browser, PAGE, &[("name", "Countess")]).await;
    browser.is(303).follow().await.is(200);
    assert_eq!(browser.one("[role=status].notice"), "Your username is now Countess.");
    assert_eq!(browser.one("header .menu summary"), "Countess", "still signed in");
    assert_eq!(changes(&site)[1..], ["user.rename by ada with session from 127.0.0.1 on Countess Countess"]);
    let old = site.anon().get(&path(&["ada", "tool", "1", "f"])).await.is(307);
    assert_eq!(old.header("location"), Some("/api/packages/Countess/generic/tool/1/f"));
    site.ci().publish(&path(&["countess", "tool", "2", "f"]), "its token goes on").await;
}

#[tokio::test]
async fn an_unconfirmed_email_address_cannot_be_used_to_sign_in() {
    let site = Site::new();
    let mut browser = site.browser_of("ada").await;
    const PAGE: &str = "/user/settings/email";
    send(&mut browser, PAGE, &[("email", "ada@new.example"), ("current_password", "")]).await;
    browser.is(422);
    send(&mut browser, PAGE, &[("email", "nonsense")]).await;
    browser.is(422);
    assert!(browser.one("#email-problem").contains("name@example.org"));
    // One that is another's looks like any other.
    send(&mut browser, PAGE, &[("email", "Stranger@example.org")]).await;
    browser.is(303).follow().await.is(200);
    assert_eq!(site.ada().get("/api/v1/user").await.json()["email"], "Stranger@example.org");
    site.anon().basic("ada@example.org", PASSWORD).get("/api/v1/user").await.is(401);
    let login = site.anon().basic("stranger@example.org", PASSWORD).get("/api/v1/user").await.is(200).json();
    assert_eq!(login["login"], "stranger", "it still belongs to the other user");
    browser.go(PAGE).await.is(200);
    assert!(browser.one("main").contains("no administrator has confirmed this address"));
    // An administrator does.
    let patch = serde_json::json!({"email": "ada@new.example"});
    site.admin().patch("/api/v1/admin/users/ada", &patch).await.is(200);
    site.anon().basic("ada@new.example", PASSWORD).get("/api/v1/user").await.is(200);
    // In another spelling it stays confirmed.
    let mut browser = site.browser_of("ada").await;
    send(&mut browser, PAGE, &[("email", "Ada@New.example")]).await;
    browser.is(303);
    site.anon().basic("ada@new.example", PASSWORD).get("/api/v1/user").await.is(200);
    assert_eq!(changes(&site).len(), 3, "{:?}", changes(&site));
}

#[tokio::test]
async fn an_account_is_deleted_unless_listed_obstacles_remain() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1", "f"]), "hello").await;
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    site.db_execute("DELETE FROM team_members USING owners o WHERE o.id = user_id AND o.name = 'acme-owner'");
    const PAGE: &str = "/user/settings/delete";
    let mut browser = site.browser_of("ada").await;
    browser.go(PAGE).await.is(200);
    let obstacles = browser.all(".notice.warn li");
    assert_eq!(obstacles.len(), 2, "{obstacles:?}");
    assert!(obstacles[0].contains("owns a package") && obstacles[1].contains("sole owner of acme"), "{obstacles:?}");
    assert!(browser.all(&format!("form[action='{PAGE}']")).is_empty());
    let form = format!("csrf={}&name=ada&current_password={}", browser.csrf(), PASSWORD.replace(' ', "+"));
    browser.post(PAGE, form).await.is(422);

    let mut browser = site.browser_of("stranger").await;
    send(&mut browser, PAGE, &[("name", "ada")]).await;
    browser.is(422);
    assert_eq!(browser.attrs("[aria-invalid=true]", "name"), ["name"]);
    send(&mut browser, PAGE, &[("name", "stranger"), ("current_password", "wrong")]).await;
    browser.is(422);
    send(&mut browser, PAGE, &[("name", "Stranger")]).await;
    browser.is(303).follow().await.is(200);
    assert_eq!(browser.one("[role=status].notice"), "Your account has been deleted.");
    // Not the session: only that other accounts may have signed in here, and the visit.
    let is_kept = |name: &String| name.starts_with("packhouse-device") || name.starts_with("packhouse-visit");
    assert!(browser.cookies.keys().all(is_kept), "{:?}", browser.cookies);
    assert_eq!(
        changes(&site).last().unwrap(),
        "user.delete by stranger with session from 127.0.0.1 on stranger stranger"
    );
    site.user("stranger").get("/api/v1/user").await.is(401);
    site.stranger().get("/api/v1/token").await.is(401);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn the_last_administrator_cannot_delete_their_account() {
    let site = Site::new();
    let mut browser = site.browser_of("admin").await;
    browser.go("/user/settings/delete").await.is(200);
    assert!(browser.one(".notice.warn li").contains("last administrator"));
    site.db(|conn| db_user(conn, "other", Visibility::Public, true));
    send(&mut browser, "/user/settings/delete", &[("name", "admin")]).await;
    browser.is(303);
}

#[tokio::test]
async fn settings_need_a_session_and_are_gone_for_locked_users() {
    let site = Site::new();
    let pages = [
        "/user/settings",
        "/user/settings/email",
        "/user/settings/rename",
        "/user/settings/delete",
        "/user/settings/password",
        "/user/settings/security",
    ];
    let mut browser = site.browser_of("ada").await;
    for page in pages {
        browser.go(page).await.is(200);
        assert_eq!(browser.answer.header("cache-control"), Some("no-store"));
    }
    browser.go("/user/settings").await.is(200);
    site.db_execute("UPDATE users SET is_locked = true WHERE lower_email = 'ada@example.org'");
    browser.submit(PROFILE, &[("full_name", "late")]).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/login?lost=1"));
    for page in pages {
        browser.go(page).await.is(303);
        assert!(browser.answer.header("location").unwrap().starts_with("/login?redirect_to="), "{page}");
    }
    assert!(changes(&site).is_empty());
}

#[tokio::test]
async fn no_input_causes_a_server_error() {
    let site = Site::with(&[("PACKHOUSE_REGISTRATION_ENABLED", "true")]);
    let long = "x".repeat(60_000);
    let odd =
        ["\0", "", " ", "\u{202e}\u{feff}", "-1", "9223372036854775808", "'; DROP TABLE users; --", "%00%ff", &*long];
    let mut forms = 0;
    for page in [
        "/login",
        "/register",
        "/user/settings",
        "/user/settings/email",
        "/user/settings/rename",
        "/user/settings/password",
        "/user/settings/security",
        "/user/settings/security/enroll",
        "/user/settings/tokens/new",
    ] {
        for text in odd {
            site.db_execute("DELETE FROM attempts");
            site.db_execute("DELETE FROM sessions");
            let open = ["/login", "/register"].contains(&page);
            let mut browser = if open { site.browser() } else { site.browser_of("ada").await };
            browser.go(page).await.is(200);
            let action = browser.attrs("main form", "action").remove(0);
            let mut names =
                browser.attrs("main form input, main form textarea, main form select, main form button", "name");
            names.retain(|name| name != "csrf");
            names.dedup();
            let values: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), text)).collect();
            browser.submit(&format!("form[action='{action}']"), &values).await;
            assert!(browser.answer.status < 500, "{page} {text:.20}: {}", browser.text());
            forms += 1;
        }
    }
    assert_eq!(forms, 81);
    assert!(changes(&site).is_empty(), "{:?}", changes(&site));
}
