//! Protection rules where files are replaced, restored, purged, copied and moved.

use crate::support::people::db_org;
use crate::support::{Client, Site, path};
use packhouse::domain::role::Visibility;
use serde_json::{Value, json};

const RULES: &str = "/api/v1/packages/acme/-/protections";
const TRASH: &str = "/api/v1/packages/acme/-/trash";

fn token(site: &Site, name: &str) -> Client {
    site.anon().bearer(&site.db_token(name, &["write:package", "write:organization"]))
}

fn file(package: &str, version: &str) -> String {
    path(&["acme", package, version, "file"])
}

/// An organization with two versions of a package in which files may be replaced.
async fn settle() -> Site {
    let site = Site::new();
    site.db(|conn| db_org(conn, "acme", Visibility::Public));
    for version in ["1.0", "2.0"] {
        token(&site, "acme-owner").publish(&file("tool", version), version.to_owned()).await;
    }
    site.db_execute("UPDATE packages SET overwrite_versions = '{*}'");
    site
}

/// Makes a rule about all versions 1.* of the package.
async fn protect(site: &Site, what: &str, least: &str) -> String {
    let mut rule = json!({"name": "releases", "packages": "tool", "versions": "1.*"});
    rule[what] = json!(least);
    let made = token(site, "acme-owner").post(RULES, &rule).await.is(201).json();
    format!("{RULES}/{}", made["id"])
}

/// Lets a channel stand for a version.
async fn set(client: &Client, channel: &str, version: Value) -> crate::support::Answer {
    client.request("PUT", channel).header("content-type", "application/json").body(version.to_string()).await
}

async fn trash(site: &Site) -> Vec<Value> {
    token(site, "acme-owner").get(TRASH).await.is(200).json().as_array().unwrap().clone()
}

#[tokio::test]
async fn a_rule_about_replacing_stops_replacing_and_nothing_else() {
    let site = settle().await;
    let rule = protect(&site, "replace", "admin").await;
    let writer = token(&site, "acme-write");
    writer.put(&file("tool", "1.0"), "new").await.is(403).says("releases");
    assert_eq!(site.anon().get(&file("tool", "1.0")).await.is(200).text(), "1.0");
    writer.put(&file("tool", "2.0"), "new").await.is(200);
    writer.put(&path(&["acme", "tool", "1.0", "more"]), "more").await.is(201);
    token(&site, "acme-admin").put(&file("tool", "1.0"), "new").await.is(200);
    token(&site, "acme-owner").delete(&rule).await.is(204);
    writer.put(&file("tool", "1.0"), "newer").await.is(200);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_rule_about_publishing_stops_restoring_whatever_was_deleted() {
    let site = settle().await;
    let owner = token(&site, "acme-owner");
    owner.put(&path(&["acme", "tool", "1.0", "more"]), "more").await.is(201);
    owner.delete(&file("tool", "1.0")).await.is(204);
    owner.delete(&path(&["acme", "tool", "1.0"])).await.is(204);
    owner.delete("/api/v1/packages/acme/generic/tool").await.is(204);
    owner.publish(&file("tool", "1.1"), "again").await;
    owner.delete("/api/v1/packages/acme/generic/tool").await.is(204);
    let rule = protect(&site, "publish", "admin").await;
    let all = trash(&site).await;
    assert_eq!(all.len(), 4);
    let writer = token(&site, "acme-write");
    let mut refused = 0;
    for entry in &all {
        let answer = writer.post(&format!("{TRASH}/{}/restore", entry["id"]), &json!({})).await;
        // Of the two packages, the first has no protected version any more.
        match (&entry["kind"], &entry["id"]) {
            (kind, id) if kind == "package" && *id == all[1]["id"] => drop(answer.is(200)),
            _ => {
                answer.is(403).says("releases");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 3);
    token(&site, "acme-admin").post(&format!("{TRASH}/{}/restore", all[3]["id"]), &json!({})).await.is(200);
    owner.delete(&rule).await.is(204);
    writer.post(&format!("{TRASH}/{}/restore", all[2]["id"]), &json!({})).await.is(409);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_rule_about_deleting_stops_purging_and_moving_away() {
    let site = settle().await;
    let owner = token(&site, "acme-owner");
    owner.put(&path(&["acme", "tool", "1.0", "more"]), "more").await.is(201);
    owner.delete(&path(&["acme", "tool", "1.0", "more"])).await.is(204);
    let rule = protect(&site, "delete", "nobody").await;
    let id = trash(&site).await[0]["id"].clone();
    owner.delete(&format!("{TRASH}/{id}")).await.is(403).says("lets nobody delete from");
    owner.delete(&format!("{}?purge=true", file("tool", "1.0"))).await.is(403).says("releases");
    let from = json!({"name": "tool", "version": "1.0"});
    let some = json!({"name": "tool", "version": "1.0", "files": ["f*"]});
    for body in [&from, &some] {
        owner.post("/api/v1/packages/acme/generic/other/1/move", body).await.is(403).says("releases");
        site.anon().get(&file("other", "1")).await.is(404);
    }
    owner.post("/api/v1/packages/acme/generic/other/1/copy", &from).await.is(201);
    owner.delete(&rule).await.is(204);
    owner.post("/api/v1/packages/acme/generic/third/1/move", &from).await.is(201);
    owner.delete(&format!("{TRASH}/{id}")).await.is(204);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_rule_about_publishing_stops_copies_and_moves_to_a_version() {
    let site = settle().await;
    protect(&site, "publish", "admin").await;
    let writer = token(&site, "acme-write");
    let from = json!({"name": "tool", "version": "2.0"});
    for what in ["copy", "move"] {
        let to = |version: &str| format!("/api/v1/packages/acme/generic/tool/{version}/{what}");
        writer.post(&to("1.9"), &from).await.is(403).says("releases");
        site.anon().get(&file("tool", "1.9")).await.is(404);
    }
    writer.post("/api/v1/packages/acme/generic/tool/3.0/copy", &from).await.is(201);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn nobody_gets_round_a_rule_with_an_expiry_a_seal_a_flag_or_a_channel() {
    let site = settle().await;
    let (owner, writer) = (token(&site, "acme-owner"), token(&site, "acme-write"));
    let tool = "/api/v1/packages/acme/generic/tool";
    let expiry = json!({"expires_at": "2030-01-01T00:00:00Z"});
    set(&owner, &format!("{tool}/-/channels/stable"), json!({"version": "1.0"})).await.is(201);
    let rule = protect(&site, "delete", "owner").await;
    writer.patch(&format!("{tool}/1.0"), &expiry).await.is(403).says("delete from");
    writer.patch(&format!("{tool}/2.0"), &expiry).await.is(200);
    writer.patch(&format!("{tool}/1.0"), &json!({"notes": "new"})).await.is(200);
    owner.patch(&format!("{tool}/1.0"), &expiry).await.is(200);
    let later = json!({"expires_at": "2031-01-01T00:00:00Z"});
    writer.patch(&format!("{tool}/1.0"), &later).await.is(200);
    writer.patch(&format!("{tool}/1.0"), &expiry).await.is(403).says("delete from");
    writer.patch(&format!("{tool}/1.0"), &json!({"expires_at": null})).await.is(200);
    owner.delete(&rule).await.is(204);
    let rule = protect(&site, "publish", "owner").await;
    for edit in
        [json!({"yanked": true}), json!({"deprecated": true}), json!({"notes": "x"}), json!({"labels": {"a": "b"}})]
    {
        writer.patch(&format!("{tool}/1.0"), &edit).await.is(403).says("releases");
    }
    writer.post(&format!("{tool}/1.0/seal"), &json!({})).await.is(403).says("releases");
    writer.patch(tool, &json!({"seal_after": "PT0S"})).await.is(403).says("releases");
    writer.patch(tool, &json!({"description": "said"})).await.is(200);
    let channel = format!("{tool}/-/channels/stable");
    for target in ["1.0", "2.0"] {
        let moved = set(&writer, &channel, json!({"version": target})).await;
        assert_eq!(
            moved.status,
            if target == "1.0" { 200 } else { 403 },
            "{target}: it stands for a protected version"
        );
    }
    writer.delete(&channel).await.is(403).says("releases");
    set(&writer, &format!("{tool}/-/channels/next"), json!({"version": "2.0"})).await.is(201);
    assert_eq!(site.anon().get(&file("tool", "1.0")).await.is(200).text(), "1.0");
    owner.delete(&rule).await.is(204);
    owner.post(&format!("{tool}/1.0/seal"), &json!({})).await.is(200);
    writer.patch(&format!("{tool}/1.0"), &expiry).await.is(403).says("sealed");
    owner.patch(&format!("{tool}/1.0"), &expiry).await.is(200);
}
