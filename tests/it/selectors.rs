//! Selectors: `latest`, requirements and channels in the version's place of a download.

use crate::support::{Site, path};
use serde_json::json;

async fn publish(site: &Site, versions: &str) {
    for version in versions.split(' ') {
        site.ci().publish(&path(&["ada", "tool", version, "f"]), version.to_owned()).await;
    }
}

/// The version that a selector leads to.
async fn selected(site: &Site, selector: &str) -> String {
    let answer = site.anon().get(&path(&["ada", "tool", selector, "f"])).await.is(302);
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let to = answer.header("location").unwrap().to_owned();
    assert_eq!(answer.header("link"), Some(&*format!("<{to}>; rel=\"immutable\"")));
    site.anon().get(&to).await.is(200).text().to_owned()
}

#[tokio::test]
async fn a_requirement_leads_to_the_latest_version_that_fits_it() {
    let site = Site::new();
    publish(&site, "1.2.0 v1.10.0 1.4.9 1.4 2.0.0-rc.1 2.0.0 0.9 nightly 1.2.3.4").await;
    for (selector, version) in [
        ("@^1.2", "v1.10.0"),
        ("@~1.4", "1.4.9"),
        ("@1.x", "v1.10.0"),
        ("@>=1, <3", "2.0.0"),
        ("@=2.0.0-rc.1", "2.0.0-rc.1"),
        ("@<1", "0.9"),
        ("@*", "2.0.0"),
        ("latest", "2.0.0"),
        ("@latest", "2.0.0"),
    ] {
        assert_eq!(selected(&site, selector).await, version, "{selector}");
    }
    // As it is typed, without escapes.
    let typed = "/api/packages/ada/generic/tool/@^1.2/f?a=b";
    let answer = site.anon().get(typed).await.is(302);
    assert_eq!(answer.header("location"), Some("/api/packages/ada/generic/tool/v1.10.0/f?a=b"));
}

#[tokio::test]
async fn selectors_skip_drafts_and_yanked_versions() {
    let site = Site::new();
    publish(&site, "1.0.0 1.1.0 1.2.0 1.3.0").await;
    site.db_execute("UPDATE versions SET yanked_at = now() WHERE version = '1.3.0'");
    site.db_execute("UPDATE versions SET state = 0 WHERE version = '1.2.0'");
    site.db_execute("UPDATE versions SET is_prerelease = true WHERE version = '1.1.0'");
    assert_eq!(selected(&site, "@^1").await, "1.0.0");
    assert_eq!(selected(&site, "@>=1.1.0-a").await, "1.1.0");
    let none = site.anon().get(&path(&["ada", "tool", "@=1.3.0", "f"])).await.is(404);
    assert_eq!(none.text(), "no version of tool fits @=1.3.0: there are 1.0.0, 1.1.0\n");
}

#[tokio::test]
async fn a_selector_that_nothing_fits_is_404_and_names_the_versions() {
    let site = Site::new();
    let versions: Vec<String> = (0..12).map(|minor| format!("1.{minor}.0")).collect();
    publish(&site, &versions.join(" ")).await;
    let answer = site.anon().get(&path(&["ada", "tool", "@^9", "f"])).await.is(404);
    assert_eq!(
        answer.text(),
        "no version of tool fits @^9: there are 1.11.0, 1.10.0, 1.9.0, 1.8.0, 1.7.0, 1.6.0, 1.5.0, 1.4.0, 1.3.0, \
         1.2.0, and 2 more\n"
    );
    for (selector, why) in [("@beta", "tool has no channel beta: it has none"), ("@^a.b", "this isn't a selector")] {
        site.anon().get(&path(&["ada", "tool", selector, "f"])).await.is(404).says(why);
        site.anon().get(&path(&["ada", "tool", selector])).await.is(404).says(why);
    }
    let json = site.anon().get(&path(&["ada", "tool", "@^9", "f"])).json().await.is(404).json();
    assert_eq!(json["code"], "no_version_fits");
    site.anon().get(&path(&["ada", "other", "@^1", "f"])).await.is(404).says("package file not found");
}

#[tokio::test]
async fn lists_checksums_and_names_with_the_version_follow_a_selector() {
    let site = Site::new();
    publish(&site, "1.0.0 1.1.0").await;
    site.ci().publish(&path(&["ada", "tool", "1.1.0", "tool-1.1.0-linux.tgz"]), "x").await;
    let to = |answer: crate::support::Answer| answer.is(302).header("location").unwrap().to_owned();
    let list = to(site.anon().get(&path(&["ada", "tool", "@^1"])).await);
    assert_eq!(site.anon().get(&list).await.is(200).lines(), ["f", "tool-1.1.0-linux.tgz"]);
    for name in ["SHA256SUMS", "f.sha256"] {
        let sums = to(site.anon().get(&path(&["ada", "tool", "@^1", name])).await);
        assert_eq!(sums, path(&["ada", "tool", "1.1.0", name]));
        site.anon().get(&sums).await.is(200);
    }
    for typed in ["tool-{version}-linux.tgz", "tool-%7Bversion%7D-linux.tgz"] {
        let file = to(site.anon().get(&format!("/api/packages/ada/generic/tool/@1/{typed}")).await);
        assert_eq!(site.anon().get(&file).await.is(200).text(), "x");
    }
    site.anon().head(&path(&["ada", "tool", "@1", "f"])).await.is(302);
}

#[tokio::test]
async fn a_version_with_the_name_of_a_selector_comes_first_and_uploads_select_nothing() {
    let site = Site::new();
    publish(&site, "1.0.0 @^1 @beta latest").await;
    for name in ["@^1", "@beta", "latest"] {
        assert_eq!(site.anon().get(&path(&["ada", "tool", name, "f"])).await.is(200).text(), name);
    }
    let lists = site.anon().get(&path(&["ada", "tool"])).await.is(200);
    assert_eq!(lists.lines(), ["1.0.0", "@^1", "@beta", "latest"]);
    // A draft of that name is nobody's business.
    site.db_execute("UPDATE versions SET state = 0 WHERE version = '@^1'");
    let answer = site.anon().get(&path(&["ada", "tool", "@^1"])).await.is(302);
    assert_eq!(answer.header("location"), Some(&*path(&["ada", "tool", "1.0.0"])));
}

#[tokio::test]
async fn selectors_of_private_owners_look_like_those_of_absent_ones() {
    let site = Site::new();
    site.db(|conn| {
        crate::support::people::db_user(conn, "hidden", packhouse::domain::role::Visibility::Private, false)
    });
    let own = site.anon().bearer(&site.db_token("hidden", &["write:package"]));
    own.publish(&path(&["hidden", "tool", "1.0.0", "f"]), "x").await;
    let set = own.request("PUT", "/api/v1/packages/hidden/generic/tool/-/channels/beta");
    set.header("content-type", "application/json").body(json!({"version": "1.0.0"}).to_string()).await.is(201);
    for selector in ["latest", "@^1", "@beta", "@nothing", "@^^"] {
        for client in [site.anon(), site.stranger()] {
            let hidden = client.get(&path(&["hidden", "tool", selector, "f"])).await;
            let absent = client.get(&path(&["absent", "tool", selector, "f"])).await;
            assert_eq!(hidden.looks(), absent.looks(), "{selector}");
        }
    }
    own.get(&path(&["hidden", "tool", "@beta", "f"])).await.is(302);
}

#[tokio::test]
async fn a_version_name_in_a_file_name_leads_nowhere_else() {
    let site = Site::new();
    let version = "x/../../../../../../packages/ada/generic/other/1/tool";
    site.ci().publish(&path(&["ada", "tool", version, "f"]), "x").await;
    site.ci().publish(&path(&["ada", "other", "1", "tool"]), "elsewhere").await;
    let channel = "/api/v1/packages/ada/generic/tool/-/channels/stable";
    let target = serde_json::json!({"version": version}).to_string();
    site.ci().request("PUT", channel).header("content-type", "application/json").body(target).await.is(201);
    site.anon().get("/api/packages/ada/generic/tool/@stable/tool-%7Bversion%7D").await.is(404);
    site.anon().get("/api/packages/ada/generic/tool/@stable/f").await.is(302);
}
