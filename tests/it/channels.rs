//! Channels: setting, moving and deleting them, by the API and in the browser.

use crate::support::{Answer, Client, Site, path};
use futures_util::future::join_all;
use serde_json::json;

const CHANNELS: &str = "/api/v1/packages/ada/generic/tool/-/channels";

async fn published() -> Site {
    let site = Site::new();
    for version in ["1.0.0", "1.1.0", "2.0.0"] {
        site.ci().publish(&path(&["ada", "tool", version, "f"]), version).await;
    }
    site
}

async fn set(client: &Client, channel: &str, version: &str, condition: Option<(&str, &str)>) -> Answer {
    let request = client.request("PUT", &format!("{CHANNELS}/{channel}")).header("content-type", "application/json");
    let request = match condition {
        Some((name, value)) => request.header(name, value),
        None => request,
    };
    request.body(json!({"version": version}).to_string()).await
}

async fn leads_to(site: &Site, channel: &str) -> String {
    let answer = site.anon().get(&path(&["ada", "tool", &format!("@{channel}"), "f"])).await.is(302);
    answer.header("location").unwrap().to_owned()
}

#[tokio::test]
async fn a_channel_stands_for_a_version_until_it_is_moved_or_deleted() {
    let site = published().await;
    let made = set(&site.ci(), "beta", "1.0.0", None).await.is(201);
    let first = made.header("etag").unwrap().to_owned();
    let json = made.json();
    assert_eq!((&json["name"], &json["version"], &json["state"]), (&json!("beta"), &json!("1.0.0"), &json!("good")));
    assert_eq!(json["updated_by"], "ada");
    assert_eq!(leads_to(&site, "beta").await, path(&["ada", "tool", "1.0.0", "f"]));
    assert_eq!(leads_to(&site, "BETA").await, path(&["ada", "tool", "1.0.0", "f"]));
    // The same again changes nothing.
    let same = set(&site.ci(), "Beta", "1.0.0", None).await.is(200);
    assert_eq!(same.header("etag"), Some(&*first));
    let moved = set(&site.ci(), "beta", "2.0.0", None).await.is(200);
    assert_ne!(moved.header("etag"), Some(&*first));
    assert_eq!(leads_to(&site, "beta").await, path(&["ada", "tool", "2.0.0", "f"]));
    let one = site.anon().get(&format!("{CHANNELS}/beta")).await.is(200);
    assert_eq!(one.header("etag"), moved.header("etag"));
    set(&site.ci(), "alpha", "1.1.0", None).await.is(201);
    let all = site.anon().get(CHANNELS).await.is(200).json();
    let names: Vec<&str> = all.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["alpha", "beta"]);
    site.ci().delete(&format!("{CHANNELS}/beta")).await.is(204);
    site.ci().delete(&format!("{CHANNELS}/beta")).await.is(404);
    site.anon().get(&format!("{CHANNELS}/beta")).await.is(404).says("channel not found");
    let gone = site.anon().get(&path(&["ada", "tool", "@beta", "f"])).await.is(404);
    assert_eq!(gone.text(), "tool has no channel beta: there are alpha\n");
    let log = site.db_audit();
    insta::assert_snapshot!(log[3..].join("\n"), @"
    channel.set by ada with token from 127.0.0.1 on ada tool@beta
    channel.set by ada with token from 127.0.0.1 on ada tool@beta
    channel.set by ada with token from 127.0.0.1 on ada tool@alpha
    channel.delete by ada with token from 127.0.0.1 on ada tool@beta
    ");
}

#[tokio::test]
async fn a_channel_changes_only_if_its_conditions_hold() {
    let site = published().await;
    set(&site.ci(), "beta", "1.0.0", Some(("if-match", "*"))).await.is(412);
    let made = set(&site.ci(), "beta", "1.0.0", Some(("if-none-match", "*"))).await.is(201);
    let old = made.header("etag").unwrap().to_owned();
    set(&site.ci(), "beta", "1.1.0", Some(("if-none-match", "*"))).await.is(412);
    let new = set(&site.ci(), "beta", "1.1.0", Some(("if-match", &old))).await.is(200);
    let new = new.header("etag").unwrap().to_owned();
    set(&site.ci(), "beta", "2.0.0", Some(("if-match", &old))).await.is(412);
    let delete = |etag: String| site.ci().delete(&format!("{CHANNELS}/beta")).header("if-match", etag);
    delete(old.clone()).await.is(412);
    assert_eq!(leads_to(&site, "beta").await, path(&["ada", "tool", "1.1.0", "f"]));
    delete(new.clone()).await.is(204);
    // Made again, it is another channel.
    let again = set(&site.ci(), "beta", "1.0.0", None).await.is(201);
    assert!(again.header("etag") != Some(&*old) && again.header("etag") != Some(&*new));
}

#[tokio::test]
async fn of_many_who_move_a_channel_from_the_same_state_exactly_one_wins() {
    let site = published().await;
    for round in 0..5 {
        let before = site.anon().get(&format!("{CHANNELS}/beta")).await;
        let condition = match before.header("etag") {
            Some(etag) => ("if-match", etag.to_owned()),
            None => ("if-none-match", "*".to_owned()),
        };
        let client = site.ci();
        let versions = if round % 2 == 0 { ["1.0.0", "1.1.0"] } else { ["2.0.0", "2.0.0"] };
        let moves = (0..12).map(|at| set(&client, "beta", versions[at % 2], Some((condition.0, &condition.1))));
        let statuses: Vec<u16> = join_all(moves).await.iter().map(|answer| answer.status).collect();
        let won = statuses.iter().filter(|status| **status < 300).count();
        let lost = statuses.iter().filter(|status| **status == 412).count();
        assert_eq!((won, lost), (1, 11), "{statuses:?}");
    }
}

#[tokio::test]
async fn a_channel_whose_version_goes_is_broken_until_it_comes_back() {
    let site = published().await;
    set(&site.ci(), "beta", "1.1.0", None).await.is(201);
    site.ci().delete(&path(&["ada", "tool", "1.1.0"])).await.is(204);
    assert_eq!(site.anon().get(&format!("{CHANNELS}/beta")).await.is(200).json()["state"], "broken");
    let broken = site.anon().get(&path(&["ada", "tool", "@beta", "f"])).await.is(404);
    assert_eq!(broken.text(), "the channel beta of tool is broken: its version 1.1.0 no longer exists\n");
    let mut browser = site.browser_of("ada").await;
    browser.go("/ada/-/packages/generic/tool/versions").await.is(200);
    assert!(browser.one(".notice.warn").contains("The channel beta is broken"));
    site.ci().publish(&path(&["ada", "tool", "1.1.0", "f"]), "again").await;
    assert_eq!(leads_to(&site, "beta").await, path(&["ada", "tool", "1.1.0", "f"]));
    site.db_execute("UPDATE versions SET yanked_at = now() WHERE version = '1.1.0'");
    assert_eq!(site.anon().get(&format!("{CHANNELS}/beta")).await.is(200).json()["state"], "yanked");
    site.anon().get(&path(&["ada", "tool", "@beta", "f"])).await.is(404).says("was yanked");
    set(&site.ci(), "other", "1.1.0", None).await.is(409).says("was yanked");
    site.db_execute("UPDATE versions SET yanked_at = NULL, state = 0 WHERE version = '1.1.0'");
    assert_eq!(site.anon().get(&format!("{CHANNELS}/beta")).await.is(200).json()["state"], "broken");
    set(&site.ci(), "other", "1.1.0", None).await.is(404);
    set(&site.ci(), "other", "7.7.7", None).await.is(404).says("package version not found");
}

#[tokio::test]
async fn channels_need_the_right_to_publish_and_a_name_that_is_no_requirement() {
    let site = published().await;
    set(&site.reader(), "beta", "1.0.0", None).await.is(403);
    set(&site.stranger(), "beta", "1.0.0", None).await.is(403);
    set(&site.anon(), "beta", "1.0.0", None).await.is(401);
    for name in ["1.x", "%5E1", "latest", "-beta", "a%20b", "a%2Fb"] {
        set(&site.ci(), name, "1.0.0", None).await.is(404);
    }
    set(&site.ci(), "beta", "", None).await.is(422);
    site.ci().put(&format!("{CHANNELS}/beta"), "{}").header("content-type", "application/json").await.is(422);
    assert_eq!(site.anon().get(CHANNELS).await.is(200).json(), json!([]));
    site.anon().get("/api/v1/packages/ada/generic/nothing/-/channels").await.is(404);
}

#[tokio::test]
async fn a_package_has_at_most_a_hundred_channels() {
    let site = published().await;
    site.db_execute(
        "INSERT INTO channels (package_id, name, lower_name, version, lower_version, updated_at) \
         SELECT p.id, 'c' || n, 'c' || n, '1.0.0', '1.0.0', now() FROM packages p, generate_series(1, 100) AS n",
    );
    set(&site.ci(), "beta", "1.0.0", None).await.is(409).says("tool has 100 channels");
    set(&site.ci(), "c7", "1.1.0", None).await.is(200);
}

#[tokio::test]
async fn channels_are_set_moved_and_deleted_in_the_browser() {
    let site = published().await;
    let mut browser = site.browser_of("ada").await;
    let page = "/ada/-/packages/settings/generic/tool/channels";
    browser.go("/ada/-/packages/settings/generic/tool").await.is(200);
    assert!(browser.all(".row a").iter().any(|link| link == "Channels"));
    browser.go(page).await.is(200);
    browser.submit("section form", &[("channel", "beta"), ("version", "1.0.0")]).await.is(303);
    browser.follow().await.is(200);
    assert!(browser.one(".notice.good").contains("The channel beta stands for 1.0.0."));
    assert_eq!(browser.one("tbody th"), "beta");
    browser.submit("section form", &[("channel", "1.x"), ("version", "1.0.0")]).await.is(422);
    assert!(browser.one("#channel-problem").contains("letter first"));
    browser.submit("section form", &[("channel", "beta"), ("version", "9")]).await.is(422);
    assert_eq!(browser.one("#version-problem"), "There is no version 9.");
    browser.submit("section form", &[("channel", "beta"), ("version", "2.0.0")]).await.is(303);
    browser.go("/ada/-/packages/generic/tool/versions").await.is(200);
    assert_eq!(browser.one("tr:has(.badge.accent) th a"), "2.0.0");
    browser.go(page).await.is(200);
    browser.submit("tbody form", &[("channel", "beta")]).await.is(303);
    assert_eq!(site.anon().get(CHANNELS).await.is(200).json(), json!([]));
}
