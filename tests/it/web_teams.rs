//! Teams in the browser: what each of an organization's people sees of them, and what its owners do with them.

use crate::support::Site;
use crate::support::people::db_user;
use crate::web_orgs::{notice, records, settle};
use packhouse::domain::role::Visibility;

/// The id of a team of acme's.
fn team(site: &Site, name: &str) -> i64 {
    let of = "FROM teams t JOIN owners o ON o.id = t.org_id WHERE o.name = 'acme'";
    site.db_number(&format!("SELECT t.id AS n {of} AND t.name = '{name}'"))
}

#[tokio::test]
async fn members_see_the_teams_and_only_owners_can_change_them() {
    let site = settle();
    for (name, governs) in [
        ("ada", true),
        ("acme-owner", true),
        ("admin", true),
        ("acme-admin", false),
        ("acme-write", false),
        ("acme-read", false),
    ] {
        let mut browser = site.browser_of(name).await;
        browser.go("/org/acme/teams").await.is(200);
        assert_eq!(browser.all("tbody th a"), ["admin", "owner", "Owners", "read", "write"], "{name}");
        assert_eq!(browser.all("td[data-label=Role]"), ["Admin", "Owner", "Owner", "Read", "Write"]);
        assert_eq!(browser.all("td[data-label=Members]"), ["1", "1", "1", "1", "1"]);
        let own = browser.all("tbody th .badge").len();
        assert_eq!(own, usize::from(name != "admin"), "{name} sees their own team marked");
        assert_eq!(browser.all("main form button").len(), usize::from(governs), "{name}");
        browser.go("/org/acme/teams/WRITE").await.is(200);
        assert_eq!(browser.all("tbody th a"), ["acme-write"]);
        assert_eq!(browser.all("main form button").is_empty(), !governs, "{name}");
    }
    for page in ["/org/acme/teams", "/org/acme/teams/write"] {
        site.browser_of("stranger").await.go(page).await.is(403);
        let mut anon = site.browser();
        anon.go(page).await.is(303);
        assert!(anon.answer.header("location").unwrap().starts_with("/login?redirect_to="));
    }
}

#[tokio::test]
async fn only_owners_can_change_a_team() {
    let site = settle();
    let before = records(&site);
    for name in ["acme-admin", "acme-write", "acme-read", "stranger"] {
        let mut browser = site.browser_of(name).await;
        let csrf = browser.go("/").await.csrf();
        for (at, fields) in [
            ("", "name=mine&permission=owner"),
            ("/write", "name=mine&permission=owner"),
            ("/write", "name=&permission=nonsense"),
            ("/write/delete", ""),
            ("/write/members", "user=stranger"),
            ("/write/members/acme-write/remove", ""),
        ] {
            browser.post(&format!("/org/acme/teams{at}"), format!("csrf={csrf}&{fields}")).await.is(403);
        }
    }
    assert_eq!(records(&site), before);
}

#[tokio::test]
async fn an_owner_creates_a_team_manages_its_members_and_deletes_it() {
    let site = settle();
    let mut browser = site.browser_of("acme-owner").await;
    let form = "form[action='/org/acme/teams']";
    browser.go("/org/acme/teams").await.is(200);
    assert_eq!(browser.attrs("input[name=permission][checked]", "value"), ["read"], "the least");
    browser.submit(form, &[("name", "WRITE"), ("description", "kept")]).await.is(422);
    assert_eq!(browser.one("#name-problem"), "This name is taken: choose another.");
    assert_eq!(browser.one("#description"), "kept");
    browser.submit(form, &[("name", "a/b")]).await.is(422);
    assert!(browser.one("#name-problem").contains("letters"));
    browser
        .submit(form, &[("name", "Release crew"), ("description", "Who ships"), ("permission", "write")])
        .await
        .is(303);
    assert_eq!(browser.answer.header("location"), Some("/org/acme/teams/Release%20crew"));
    browser.follow().await.is(200);
    assert_eq!(notice(&browser), "Team Release crew created. Add members.");
    assert!(browser.one(".empty").contains("No members yet"));

    let add = "form[action='/org/acme/teams/Release%20crew/members']";
    browser.submit(add, &[("user", "nobody")]).await.is(422);
    assert_eq!(browser.one("#user-problem"), "No user has this name: check the spelling.");
    assert_eq!(browser.attrs("#user", "value"), ["nobody"]);
    browser.submit(add, &[("user", "acme")]).await.is(422);
    browser.submit(add, &[("user", "Stranger")]).await.is(303);
    browser.follow().await.is(200);
    assert_eq!(notice(&browser), "Added Stranger to Release crew.");
    assert_eq!(browser.all("tbody th a"), ["stranger"]);
    let mut stranger = site.browser_of("stranger").await;
    stranger.go("/acme").await.is(200);
    assert_eq!(stranger.all(".tabs a"), ["Packages", "Trash", "Teams", "Members"]);

    let edit = "form[action='/org/acme/teams/Release%20crew']";
    browser.submit(edit, &[("name", "Shippers"), ("permission", "read")]).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/org/acme/teams/Shippers"));
    browser.follow().await.is(200);
    assert_eq!(browser.one("#team"), "Shippers");
    assert_eq!(browser.attrs("input[name=permission][checked]", "value"), ["read"]);
    browser.submit("form[action$='/members/stranger/remove']", &[]).await.is(303);
    browser.follow().await.is(200);
    assert_eq!(notice(&browser), "Removed stranger from Shippers.");
    stranger.go("/org/acme/teams").await.is(403);
    browser.submit("form[action='/org/acme/teams/Shippers/delete']", &[]).await.is(303);
    browser.follow().await.is(200);
    assert_eq!(notice(&browser), "Team Shippers deleted.");
    browser.go("/org/acme/teams/Shippers").await.is(404);
    let all = records(&site);
    let made = all.iter().position(|record| record.starts_with("team.create by acme-owner")).unwrap();
    let done = [
        "team.create by acme-owner on Release crew",
        "team.member.add by acme-owner on Release crew/stranger",
        "team.update by acme-owner on Shippers",
        "team.member.remove by acme-owner on Shippers/stranger",
        "team.delete by acme-owner on Shippers",
    ];
    assert_eq!(all[made..], done);
}

#[tokio::test]
async fn the_team_owners_keeps_its_name_role_and_last_member() {
    let site = settle();
    let mut browser = site.browser_of("ada").await;
    browser.go("/org/acme/teams/Owners").await.is(200);
    assert_eq!(browser.all("main details.card"), Vec::<String>::new(), "it cannot be deleted");
    let csrf = browser.csrf();
    browser.post("/org/acme/teams/Owners/delete", format!("csrf={csrf}")).await.is(422);
    assert_eq!(browser.one("[role=alert]"), "The team Owners cannot be deleted: every organization needs it.");
    browser.post("/org/acme/teams/Owners", format!("csrf={csrf}&name=Kings&permission=owner")).await.is(422);
    assert_eq!(
        browser.one("[role=alert]"),
        "The name and permission of the team Owners cannot be changed: every organization needs it."
    );
    browser.go("/org/acme/teams/Owners").await;
    browser.submit("form[action='/org/acme/teams/Owners']", &[("description", "Who decides")]).await.is(303);
    browser.follow().await.is(200);
    assert_eq!(browser.one(".about"), "Who decides");

    // acme-owner has the right by another team, which goes.
    browser.go("/org/acme/teams/owner").await.is(200);
    browser.submit("form[action='/org/acme/teams/owner']", &[("permission", "read")]).await.is(303);
    browser.go("/org/acme/teams/Owners").await.is(200);
    browser.submit("form[action$='/members/ada/remove']", &[]).await.is(422);
    assert!(browser.one("[role=alert]").contains("remove the last owner"), "{}", browser.one("[role=alert]"));
    assert_eq!(browser.all("tbody th a"), ["ada"]);
    browser.go("/org/acme/teams/owner").await.is(200);
    browser.submit("form[action='/org/acme/teams/owner']", &[("permission", "owner")]).await.is(303);
    browser.go("/org/acme/teams/Owners").await.is(200);
    browser.submit("form[action$='/members/ada/remove']", &[]).await.is(303);
    assert_eq!(browser.answer.header("location"), Some("/user/settings/organizations"), "she is in no team now");
}

#[tokio::test]
async fn a_team_is_found_by_name_or_id_and_only_in_its_own_organization() {
    let site = settle();
    let mut browser = site.browser_of("ada").await;
    let id = team(&site, "write");
    browser.go(&format!("/org/acme/teams/{id}")).await.is(200);
    assert_eq!(browser.one("#team"), "write");
    browser.go(&format!("/org/closed/teams/{id}")).await.is(404);
    browser.go("/org/acme/teams/999999").await.is(404);
    browser.go("/org/acme/teams/a%00b").await.is(404);
    // A name that looks like another's id goes first; one that a browser would take for a step is linked by its id.
    let form = "form[action='/org/acme/teams']";
    browser.go("/org/acme/teams").await.submit(form, &[("name", &id.to_string())]).await.is(303);
    browser.follow().await.is(200);
    assert_eq!(browser.one("#team"), id.to_string());
    browser.go("/org/acme/teams").await.submit(form, &[("name", "..")]).await.is(303);
    let at = format!("/org/acme/teams/{}", team(&site, ".."));
    assert_eq!(browser.answer.header("location"), Some(&*at));
    browser.follow().await.is(200);
    assert!(browser.attrs("form", "action").contains(&format!("{at}/members")));
}

#[tokio::test]
async fn owners_get_suggestions_of_users_they_may_see() {
    let site = settle();
    site.db(|conn| db_user(conn, "stranded", Visibility::Private, false));
    let mut browser = site.browser_of("ada").await;
    browser.go("/org/acme/teams/write").await.is(200);
    assert_eq!(browser.attrs("#people option", "value"), Vec::<String>::new(), "nothing is typed yet");
    browser.go("/org/acme/teams/write?who=STR").await.is(200);
    assert_eq!(browser.attrs("#people option", "value"), ["stranger"]);
    let csrf = browser.csrf();
    browser.post("/org/acme/teams/write/members", format!("csrf={csrf}&user=stranded")).await.is(422);
    let mut browser = site.browser_of("admin").await;
    browser.go("/org/acme/teams/write?who=str").await.is(200);
    assert_eq!(browser.attrs("#people option", "value"), ["stranded", "stranger"]);
    let mut browser = site.browser_of("acme-admin").await;
    browser.go("/org/acme/teams/write?who=str").await.is(200);
    assert_eq!(browser.attrs("#people option", "value"), Vec::<String>::new());
}
