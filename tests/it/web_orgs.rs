//! Organizations in the browser: making one, its settings, its other name and its end, and the list of one's own.

use crate::support::browser::Browser;
use crate::support::people::db_org;
use crate::support::{PASSWORD, Site, path};
use packhouse::auth::policy::{AcceptedCredentials, Right};
use packhouse::domain::role::Visibility;
use packhouse::routes::table;

/// A public organization and a private one, both of ada's, with a member for each right.
pub fn settle() -> Site {
    let site = Site::new();
    site.db(|conn| {
        db_org(conn, "acme", Visibility::Public)?;
        db_org(conn, "closed", Visibility::Private)
    });
    site
}

/// The records of changes since the beginning, without those of sessions.
pub fn records(site: &Site) -> Vec<String> {
    site.db_texts(
        "SELECT concat_ws(' ', event, 'by', actor_name, 'on', subject) AS text FROM audit \
         WHERE event NOT LIKE 'session.%' ORDER BY id",
    )
}

/// What the page says was done.
pub fn notice(browser: &Browser) -> String {
    browser.one(".notice.good")
}

#[tokio::test]
async fn any_signed_in_user_can_create_an_organization() {
    let site = Site::new();
    let mut browser = site.browser();
    browser.go("/org/create").await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/login?redirect_to=%2Forg%2Fcreate"));
    let mut browser = site.browser_of("stranger").await;
    browser.go("/org/create").await.is(200);
    assert_eq!(browser.attrs("input[name=visibility][checked]", "value"), ["public"], "as most are");
    let form = "form[action='/org/create']";
    let typed =
        [("name", " Acme "), ("full_name", "Acme Ltd."), ("description", "One\r\ntwo"), ("visibility", "limited")];
    browser.submit(form, &typed).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/Acme"));
    browser.follow().await.is(200);
    assert_eq!(notice(&browser), "Organization Acme created.");
    let tabs = ["Packages", "Trash", "Teams", "Members", "Access", "Robots", "Webhooks", "Retention", "Settings"];
    assert_eq!(browser.all(".tabs a"), tabs);
    assert_eq!(records(&site), ["org.create by stranger on Acme"]);
    let said = site.user("stranger").get("/api/v1/orgs/acme").await.is(200).json();
    assert_eq!((&said["full_name"], &said["description"]), (&"Acme Ltd.".into(), &"One\ntwo".into()));
    assert_eq!(said["visibility"], "limited");
}

#[tokio::test]
async fn an_invalid_name_shows_its_problem_and_keeps_the_input() {
    let site = settle();
    let mut browser = site.browser_of("ada").await;
    for (name, problem) in [
        ("", "It is empty."),
        ("a b", "Use only letters, digits, hyphens, periods, and underscores."),
        ("-a", "It must begin and end with a letter or digit, and can't have two of - . _ in a row."),
        (&*"x".repeat(41), "It is longer than 40 bytes."),
        ("ACME", "This name is taken: choose another."),
        ("stranger", "This name is taken: choose another."),
        ("closed", "This name is taken: choose another."),
        ("login", "The name login is reserved: choose another."),
    ] {
        browser.go("/org/create").await.is(200);
        browser.submit("form[action='/org/create']", &[("name", name), ("description", "kept")]).await.is(422);
        assert_eq!(browser.one("#name-problem"), problem, "{name}");
        assert_eq!(browser.attrs("#name", "aria-invalid"), ["true"]);
        assert!(browser.attrs("#name", "aria-describedby")[0].starts_with("name-problem "));
        assert_eq!(
            (browser.attrs("#name", "value")[0].as_str(), browser.one("#description")),
            (name, "kept".to_owned())
        );
    }
    browser.go("/org/create").await.is(200);
    browser.submit("form[action='/org/create']", &[("name", "good"), ("visibility", "secret")]).await.is(422);
    assert!(browser.one("#visibility-problem").contains("secret"));
    assert!(
        records(&site).iter().all(|record| !record.starts_with("org.create")
            || record.contains("on acme")
            || record.contains("on closed"))
    );
}

#[tokio::test]
async fn settings_are_for_owners_and_hidden_from_everyone_else() {
    let site = settle();
    for (name, seen) in [
        ("ada", true),
        ("acme-owner", true),
        ("admin", true),
        ("acme-admin", false),
        ("acme-write", false),
        ("acme-read", false),
        ("stranger", false),
    ] {
        let mut browser = site.browser_of(name).await;
        browser.go("/org/acme/settings").await.is(if seen { 200 } else { 403 });
        browser.go("/acme").await.is(200);
        let tabs = browser.all(".tabs a");
        assert_eq!(tabs.contains(&"Settings".to_owned()), seen, "{name}: {tabs:?}");
        assert_eq!(tabs.contains(&"Teams".to_owned()), name != "stranger", "{name}: {tabs:?}");
        if !seen {
            let form = format!("csrf={}&description=mine&visibility=public", browser.csrf());
            browser.post("/org/acme/settings", form).await.is(403);
        }
    }
    let mut browser = site.browser();
    browser.go("/org/acme/settings").await.is(303);
    assert!(browser.answer.header("location").unwrap().starts_with("/login?redirect_to="));
    assert_eq!(records(&site).iter().filter(|record| record.starts_with("org.update")).count(), 0);
}

#[tokio::test]
async fn a_private_organization_is_hidden_from_non_members() {
    let site = settle();
    for name in ["stranger", "acme-owner"] {
        let mut browser = site.browser_of(name).await;
        let main = |browser: &Browser| browser.one("main").replace(browser.answer.request_id(), "");
        browser.go("/org/nothing/teams").await.is(404);
        let nothing = main(&browser);
        for page in ["settings", "teams", "teams/Owners", "members", "members/ada/remove"] {
            browser.go(&format!("/org/closed/{page}")).await.is(404);
            if page == "teams" {
                assert_eq!(main(&browser), nothing, "as one that never was");
            }
        }
        let form = format!("csrf={}&name=x&permission=read", browser.csrf());
        browser.post("/org/closed/teams", form).await.is(404);
    }
    let mut browser = site.browser_of("closed-read").await;
    browser.go("/org/closed/teams").await.is(200);
    browser.go("/org/closed/members").await.is(200);
}

#[tokio::test]
async fn an_owner_changes_the_profile_of_an_organization() {
    let site = settle();
    let mut browser = site.browser_of("acme-owner").await;
    let form = "form[action='/org/acme/settings']";
    browser.go("/org/acme/settings").await.is(200);
    let typed = [
        ("full_name", "Acme & Sons"),
        ("description", "We build\nthings"),
        ("website", "https://acme.example"),
        ("location", "London"),
        ("visibility", "private"),
    ];
    browser.submit(form, &typed).await.is(303);
    browser.follow().await.is(200);
    assert_eq!(notice(&browser), "Profile saved.");
    assert_eq!(browser.one(".owner-about"), "We build things");
    assert_eq!(browser.attrs(".owner-fact a", "href"), ["https://acme.example"]);
    assert_eq!(browser.attrs("input[name=visibility][checked]", "value"), ["private"]);
    browser.submit(form, &[("website", "javascript:alert(1)"), ("location", "Leeds")]).await.is(422);
    assert!(browser.one("#website-problem").contains("http"));
    assert_eq!(browser.attrs("#location", "value"), ["Leeds"], "what was typed is kept");
    assert_eq!(records(&site).last().unwrap(), "org.update by acme-owner on acme");
}

#[tokio::test]
async fn every_page_redirects_from_a_renamed_organization() {
    let site = settle();
    site.admin().publish(&path(&["acme", "tool", "1.0.0", "f"]), "hello").await;
    let mut browser = site.browser_of("ada").await;
    let form = "form[action='/org/acme/settings/rename']";
    browser.go("/org/acme/settings").await.is(200);
    let csrf = browser.csrf();
    browser.submit(form, &[("name", "labs"), ("current_password", "not the password")]).await.is(422);
    assert_eq!(browser.one("#rename_password-problem"), "Incorrect password.");
    assert_eq!(browser.attrs("#rename-name", "value"), ["labs"], "what was typed is kept");
    browser.submit(form, &[("name", "closed"), ("current_password", PASSWORD)]).await.is(422);
    assert_eq!(browser.one("#rename-problem"), "This name is taken: choose another.");
    browser.submit(form, &[("name", "labs"), ("current_password", PASSWORD)]).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/org/labs/settings"));
    browser.follow().await.is(200);
    assert_eq!(notice(&browser), "acme has been renamed to labs.");
    assert_eq!(records(&site).last().unwrap(), "org.rename by ada on labs");

    let mut pages = 0;
    for row in table() {
        let of_owner = row.path.contains("{owner}") || row.path.contains("{org}");
        let administration = row.policy.right == Right::SiteAdmin;
        let takes_sessions = [AcceptedCredentials::Session, AcceptedCredentials::SessionOrAny];
        if !takes_sessions.contains(&row.policy.credentials) || !of_owner || administration {
            continue;
        }
        let fill = |name: &str| {
            let parts = [
                ("{owner}", name),
                ("{org}", name),
                ("{user}", "ada"),
                ("{name}", "tool"),
                ("{version}", "1.0.0"),
                ("{team}", "Owners"),
                ("{id}", "1"),
                ("{file}", "1"),
                ("{hook}", "1"),
                ("{delivery}", "1"),
            ];
            let path = parts.iter().fold(row.path.to_owned(), |path, (part, value)| path.replace(part, value));
            // What else a page is about is looked for after the owner.
            path.replace(['{', '}'], "")
        };
        if row.method == "GET" {
            browser.go(&format!("{}?q=a%20b", fill("ACME"))).await.is(303);
            let to = browser.answer.header("location").unwrap().to_owned();
            assert_eq!(to, format!("{}?q=a%20b", fill("labs")), "{}", row.path);
            pages += 1;
        } else {
            let before = records(&site);
            let form = format!("csrf={csrf}&name=acme&current_password={PASSWORD}&user=stranger&visibility=public");
            browser.post(&fill("acme"), form.replace(' ', "+")).await;
            let status = browser.answer.status;
            assert!((400..500).contains(&status), "{} {}: {status}", row.method, row.path);
            assert_eq!(records(&site), before, "{}", row.path);
        }
    }
    assert!(pages > 5, "{pages} pages");
    assert_eq!(site.db_number("SELECT count(*) AS n FROM owners WHERE name = 'labs'"), 1);

    let mut stranger = site.browser_of("stranger").await;
    stranger.go("/acme").await.is(303);
    assert_eq!(stranger.answer.header("location"), Some("/labs"));
    // A private one's old name says nothing to strangers.
    browser.go("/org/closed/settings").await.is(200);
    let form = "form[action='/org/closed/settings/rename']";
    browser.submit(form, &[("name", "shut"), ("current_password", PASSWORD)]).await.is(303);
    stranger.go("/closed").await.is(404);
    browser.go("/closed").await.is(303);
}

#[tokio::test]
async fn an_organization_without_packages_is_deleted_after_confirming() {
    let site = settle();
    site.admin().publish(&path(&["acme", "tool", "1.0.0", "f"]), "hello").await;
    let mut browser = site.browser_of("ada").await;
    browser.go("/org/acme/settings").await.is(200);
    let csrf = browser.csrf();
    let form = "form[action='/org/acme/settings/delete']";
    let said = browser.one(form);
    assert!(said.contains("acme owns 1 package.") && said.contains("Delete the package first"), "{said}");
    assert_eq!(browser.all(&format!("{form} button")), Vec::<String>::new());
    let typed = format!("csrf={csrf}&name=acme&current_password={}", PASSWORD.replace(' ', "+"));
    browser.post("/org/acme/settings/delete", typed).await.is(422);
    site.admin().delete(&path(&["acme", "tool", "1.0.0"])).await.is(204);

    browser.go("/org/acme/settings").await.is(200);
    let said = browser.one(form);
    assert!(said.contains("5 teams, and the roles of 5 members"), "{said}");
    browser.submit(form, &[("name", "acm"), ("current_password", PASSWORD)]).await.is(422);
    assert_eq!(browser.one("#delete-problem"), "This is not the organization's name: type acme to confirm.");
    browser.submit(form, &[("name", "acme"), ("current_password", "")]).await.is(422);
    assert!(browser.one("#delete_password-problem").contains("password"));
    assert_eq!(site.db_number("SELECT count(*) AS n FROM owners WHERE name = 'acme'"), 1);
    browser.submit(form, &[("name", "Acme"), ("current_password", PASSWORD)]).await.is(303);
    browser.follow().await.is(200);
    assert_eq!(notice(&browser), "Organization acme deleted.");
    assert_eq!(browser.all("tbody th a"), ["closed"]);
    browser.go("/acme").await.is(404);
    assert_eq!(records(&site).last().unwrap(), "org.delete by ada on acme");
}

#[tokio::test]
async fn users_see_their_organizations_and_can_leave_each() {
    let site = settle();
    let mut browser = site.browser_of("ada").await;
    browser.go("/user/settings/organizations").await.is(200);
    assert_eq!(browser.all("tbody th a"), ["acme", "closed"]);
    assert_eq!(browser.all("tbody td[data-label='Your role']"), ["Owner", "Owner"]);
    assert_eq!(browser.all("tbody td[data-label='Visibility']"), ["Public", "Private"]);
    let mut browser = site.browser_of("closed-write").await;
    browser.go("/user/settings/organizations").await.is(200);
    assert_eq!(
        (browser.one("tbody th a"), browser.one("tbody td[data-label='Your role']")),
        ("closed".into(), "Write".into())
    );
    assert_eq!(browser.attrs("tbody .actions a", "href"), ["/org/closed/members/closed-write/remove"]);
    let mut browser = site.browser_of("stranger").await;
    browser.go("/user/settings/organizations").await.is(200);
    assert!(browser.one(".empty").contains("You are not a member of any organization"));
}

#[tokio::test]
async fn an_invalid_name_is_not_found_without_asking_to_sign_in() {
    let site = settle();
    let mut browser = site.browser_of("ada").await;
    for path in ["/org/a%20b/teams", "/org/%FF/settings", "/org/acme/teams/a%2Fb", "/a/page/that/is/not/there"] {
        browser.go(path).await.is(404);
        assert_eq!(browser.all("header .menu summary"), ["ada"], "{path}");
    }
    site.browser().go("/org/a%20b/teams").await.is(303);
}
