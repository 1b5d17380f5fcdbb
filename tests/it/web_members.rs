//! The members of an organization in the browser: who they are, what they may do, and how they leave.

use crate::support::{Site, path};
use crate::web_orgs::{notice, records, settle};

#[tokio::test]
async fn members_see_each_other_with_their_teams_and_highest_role() {
    let site = settle();
    let admin = site.admin();
    let team = site.db_number(
        "SELECT t.id AS n FROM teams t JOIN owners o ON o.id = t.org_id WHERE o.name = 'acme' AND t.name = 'write'",
    );
    admin.put(&format!("/api/v1/teams/{team}/members/acme-read"), "").await.is(204);
    let mut browser = site.browser_of("acme-read").await;
    browser.go("/org/acme/members").await.is(200);
    let names = ["acme-admin", "acme-owner", "acme-read", "acme-write", "ada"];
    assert_eq!(browser.all("tbody th > a"), names);
    assert_eq!(browser.all("td[data-label=Role]"), ["Admin", "Owner", "Write", "Write", "Owner"]);
    assert_eq!(browser.all("td[data-label=Teams]"), ["admin", "owner", "readwrite", "write", "Owners"]);
    assert_eq!(browser.all("tbody .actions"), ["", "", "Leave organization…", "", ""], "the way out for oneself alone");
    browser.go("/org/acme/members?q=WRI").await.is(200);
    assert_eq!(browser.all("tbody th > a"), ["acme-write"]);
    browser.go("/org/acme/members?q=%25").await.is(200);
    assert!(browser.one(".empty").contains("No members match"));
    let mut browser = site.browser_of("acme-owner").await;
    browser.go("/org/acme/members").await.is(200);
    assert_eq!(browser.all("tbody .actions a").len(), 5);
    site.browser_of("stranger").await.go("/org/acme/members").await.is(403);
    site.browser().go("/org/acme/members").await.is(303);
}

#[tokio::test]
async fn members_see_the_storage_and_limits_of_their_organization() {
    let site = settle();
    site.admin().publish(&path(&["acme", "tool", "1.0.0", "f"]), vec![b'x'; 2048]).await;
    let mut browser = site.browser_of("acme-read").await;
    browser.go("/org/acme/members").await.is(200);
    assert_eq!(browser.one("section[aria-labelledby=quota]"), "Storage Storage used2.0 KiB Versions1 Unlimited");
    let limits = serde_json::json!({"versions": 1, "bytes": 4096, "file_bytes": 1024});
    site.admin().patch("/api/v1/orgs/acme/quota", &limits).await.is(200);
    browser.go("/org/acme/members").await.is(200);
    let said = browser.one("section[aria-labelledby=quota]");
    assert!(said.contains("2.0 KiB of 4.0 KiB") && said.contains("1 of 1") && said.contains("Max file size1.0 KiB"));
    assert_eq!(browser.attrs("progress", "value"), ["2048", "1"]);
    assert_eq!(browser.attrs("progress.nearly", "aria-labelledby"), ["quota-versions"], "nothing is left");
}

#[tokio::test]
async fn an_owner_removes_a_member_from_all_teams_after_confirming() {
    let site = settle();
    let mut browser = site.browser_of("acme-owner").await;
    browser.go("/org/acme/members/acme-write/remove").await.is(200);
    assert_eq!(browser.one("h1"), "Remove acme-write from acme");
    assert_eq!(browser.all("main ul a"), ["write"]);
    browser.submit("main form", &[]).await.is(303);
    browser.follow().await.is(200);
    assert_eq!(notice(&browser), "acme-write is no longer a member of acme.");
    assert!(!browser.all("tbody th > a").contains(&"acme-write".to_owned()));
    assert_eq!(records(&site).last().unwrap(), "org.member.remove by acme-owner on acme-write");
    browser.go("/org/acme/members/acme-write/remove").await.is(404);
    browser.go("/org/acme/members/nobody/remove").await.is(404);
    for name in ["acme-admin", "acme-read", "stranger"] {
        let mut browser = site.browser_of(name).await;
        browser.go("/org/acme/members/ada/remove").await.is(403);
        let csrf = browser.csrf();
        browser.post("/org/acme/members/ada/remove", format!("csrf={csrf}")).await.is(403);
    }
}

#[tokio::test]
async fn a_member_leaves_after_confirming_and_the_sole_owner_stays() {
    let site = settle();
    let mut browser = site.browser_of("closed-read").await;
    browser.go("/org/closed/members/closed-read/remove").await.is(200);
    assert_eq!(browser.one("h1"), "Leave closed");
    assert!(browser.one("main").contains("You will no longer see closed and its packages."));
    browser.submit("main form", &[]).await.is(303);
    browser.follow().await.is(200);
    assert_eq!(notice(&browser), "You have left closed.");
    browser.go("/closed").await.is(404);
    assert_eq!(records(&site).last().unwrap(), "org.member.remove by closed-read on closed-read");

    let mut ada = site.browser_of("ada").await;
    ada.go("/org/acme/members/acme-owner/remove").await.is(200);
    ada.submit("main form", &[]).await.is(303);
    ada.follow().await.is(200);
    assert!(ada.all("tbody .actions").contains(&"Sole owner".to_owned()));
    ada.go("/org/acme/members/ada/remove").await.is(200);
    assert!(ada.one(".notice.warn").contains("You are the sole owner of acme."));
    for page in ["/org/acme/members", "/user/settings/organizations"] {
        ada.go(page).await.is(200);
        let rows = ada.all("tbody tr");
        let own: Vec<_> = rows.iter().filter(|row| row.contains("Sole owner")).collect();
        assert!(own.len() == 1 && !own[0].contains("Leave"), "{page}: {rows:?}");
        assert!(ada.all("aside a").is_empty(), "{page}: the only owner is not offered to leave");
    }
    assert_eq!(ada.all("main form"), Vec::<String>::new());
    let csrf = ada.csrf();
    ada.post("/org/acme/members/ada/remove", format!("csrf={csrf}")).await.is(422);
    assert!(ada.one("[role=alert]").contains("remove the last owner"));
    assert_eq!(count(&site, "ada"), 1);
}

/// In how many teams of acme somebody is.
fn count(site: &Site, name: &str) -> i64 {
    site.db_number(&format!(
        "SELECT count(*) AS n FROM team_members m JOIN teams t ON t.id = m.team_id JOIN owners o ON o.id = t.org_id \
         JOIN owners u ON u.id = m.user_id WHERE o.name = 'acme' AND u.name = '{name}'"
    ))
}
