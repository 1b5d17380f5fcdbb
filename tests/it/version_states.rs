//! Sealed, yanked, deprecated, held and expiring versions.

use crate::support::people::{db_org, db_user};
use crate::support::{Plan, Site, path, sha256};
use packhouse::domain::role::Visibility;
use packhouse::jobs::seal_versions;
use serde_json::{Value, json};
use std::time::Duration;

const VERSION: &str = "/api/v1/packages/ada/generic/tool/1.0";

/// A server that works on several requests at once.
fn busy() -> Site {
    let settings = &[("PACKHOUSE_WORKERS", "4"), ("PACKHOUSE_DATABASE_WRITE_CONNECTIONS", "12")];
    Site::start(Plan { settings, real_time: true, ..Plan::default() })
}

fn file(name: &str) -> String {
    path(&["ada", "tool", "1.0", name])
}

async fn published() -> Site {
    let site = Site::new();
    site.ci().publish(&file("a"), "a").await;
    site
}

async fn sealed(site: &Site) {
    site.ci().request("POST", &format!("{VERSION}/seal")).await.is(200);
}

#[tokio::test]
async fn no_file_of_a_sealed_version_changes() {
    let site = published().await;
    site.pass(Duration::from_secs(5));
    let answer = site.ci().request("POST", &format!("{VERSION}/seal")).await.is(200).json();
    assert_eq!((&answer["state"], &answer["sealed_at"]), (&json!("sealed"), &json!(site.now().to_string())));
    site.ci().put(&file("b"), "b").await.is(409).says("version is sealed");
    site.ci().put(&file("a"), "other").await.is(409).says("version is sealed");
    site.ci().delete(&file("a")).await.is(409).says("version is sealed");
    // A repeated upload of the same bytes changes nothing.
    site.ci().put(&file("a"), "a").header("x-checksum-sha256", sha256("a")).await.is(200);
    let again = site.ci().request("POST", &format!("{VERSION}/seal")).await.is(200).json();
    assert_eq!(again["sealed_at"], answer["sealed_at"]);
    assert_eq!(site.anon().get(&file("a")).await.is(200).text(), "a");
    assert!(site.db_broken().await.is_empty());
    // An owner may still delete the whole version.
    site.ci().delete(&path(&["ada", "tool", "1.0"])).await.is(204);
}

#[tokio::test]
async fn a_refused_upload_to_a_sealed_version_sends_no_body() {
    let site = published().await;
    sealed(&site).await;
    let answer = site.ci().put(&file("b"), vec![0; 3_000_000]).header("expect", "100-continue").await;
    answer.is(409).says("version is sealed");
    assert_eq!(site.store_blobs(), 1);
}

#[tokio::test]
async fn only_owners_delete_a_sealed_version() {
    let site = Site::new();
    site.db(|conn| {
        db_user(conn, "writer", Visibility::Public, false)?;
        db_org(conn, "acme", Visibility::Public)?;
        Ok(())
    });
    let admin = site.admin();
    let team = admin.post("/api/v1/orgs/acme/teams", &json!({"name": "writers", "permission": "write"})).await;
    let team = team.is(201).json()["id"].to_string();
    admin.put(&format!("/api/v1/teams/{team}/members/writer"), "").await.is(204);
    let writer = site.user("writer");
    writer.publish(&path(&["acme", "tool", "1.0", "a"]), "a").await;
    writer.request("POST", "/api/v1/packages/acme/generic/tool/1.0/seal").await.is(200);
    writer.delete(&path(&["acme", "tool", "1.0"])).await.is(403).says("only an owner of acme");
    writer.delete("/api/v1/packages/acme/generic/tool").await.is(403).says("version 1.0 is sealed");
    writer.patch("/api/v1/packages/acme/generic/tool/1.0", &json!({"hold": true})).await.is(403).says("owner of acme");
    admin.patch("/api/v1/packages/acme/generic/tool/1.0", &json!({"hold": true})).await.is(200);
    writer.patch("/api/v1/packages/acme/generic/tool/1.0", &json!({"hold": false})).await.is(403);
    admin.patch("/api/v1/packages/acme/generic/tool/1.0", &json!({"hold": false})).await.is(200);
    admin.delete(&path(&["acme", "tool", "1.0"])).await.is(204);
}

#[tokio::test]
async fn a_draft_is_not_sealed_and_an_unknown_version_is_not_found() {
    let site = Site::new();
    site.ci().publish(&format!("{}?draft=true", file("a")), "a").await;
    site.ci().request("POST", &format!("{VERSION}/seal")).await.is(409).says("publish it before you seal it");
    site.ci().request("POST", "/api/v1/packages/ada/generic/tool/9/seal").await.is(404);
    site.ci().patch("/api/v1/packages/ada/generic/nothing/9", &json!({"yanked": true})).await.is(404);
}

#[tokio::test]
async fn after_the_seal_is_answered_no_upload_adds_a_file() {
    let site = busy();
    for turn in 0..5 {
        let version = format!("{turn}.0");
        let of = |name: &str| path(&["ada", "tool", &version, name]);
        site.ci().publish(&of("first"), "first").await;
        let uploads = (0..8).map(|n| {
            let (ci, address) = (site.ci(), of(&format!("f{n}")));
            async move { ci.put(&address, format!("{turn} {n}")).await.status }
        });
        let seal = async {
            let address = format!("/api/v1/packages/ada/generic/tool/{version}/seal");
            site.ci().request("POST", &address).await.is(200);
            site.anon().get(&path(&["ada", "tool", &version])).await.is(200).lines().len()
        };
        let (statuses, at_seal) = tokio::join!(futures_util::future::join_all(uploads), seal);
        let stored = statuses.iter().filter(|status| **status == 201).count();
        assert!(statuses.iter().all(|status| [201, 409].contains(status)), "{statuses:?}");
        let after = site.anon().get(&path(&["ada", "tool", &version])).await.is(200).lines().len();
        assert_eq!((at_seal, after), (stored + 1, stored + 1), "a file appeared after the seal");
    }
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn versions_are_sealed_by_time_whether_or_not_the_job_has_run() {
    let site = published().await;
    let package = "/api/v1/packages/ada/generic/tool";
    site.ci().patch(package, &json!({"seal_after": "P1D"})).await.is(200);
    site.pass(Duration::from_secs(86_399));
    site.ci().publish(&file("b"), "b").await;
    site.pass(Duration::from_secs(1));
    site.ci().put(&file("c"), "c").await.is(409).says("version is sealed");
    site.ci().delete(&file("a")).await.is(409);
    let computed = site.ci().get(VERSION).await.is(200).json();
    assert_eq!((&computed["state"], &computed["sealed_at"]), (&json!("sealed"), &json!(site.now().to_string())));
    let cached = site.anon().get(&file("a")).await.is(200);
    assert_eq!(cached.header("cache-control"), Some("public, max-age=31536000, immutable, no-transform"));
    site.pass(Duration::from_secs(999));
    seal_versions::run(&site.app.db, &site.app.clock).await.unwrap();
    let stored = site.ci().get(VERSION).await.is(200).json();
    assert_eq!(stored["sealed_at"], computed["sealed_at"], "a late job changes nothing");
    // What is sealed stays sealed.
    site.ci().patch(package, &json!({"seal_after": null})).await.is(200);
    site.ci().put(&file("c"), "c").await.is(409);
    let seals = site.db_audit().into_iter().filter(|line| line.starts_with("version.seal ")).collect::<Vec<_>>();
    assert_eq!(seals, ["version.seal by  with system from nowhere on ada tool/1.0"]);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_longer_time_does_not_unseal_what_was_due() {
    let site = published().await;
    let package = "/api/v1/packages/ada/generic/tool";
    site.ci().patch(package, &json!({"seal_after": "PT0S"})).await.is(200);
    site.ci().put(&file("b"), "b").await.is(409).says("version is sealed");
    site.ci().patch(package, &json!({"seal_after": "P30D"})).await.is(200);
    site.ci().put(&file("b"), "b").await.is(409).says("version is sealed");
    site.ci().publish(&path(&["ada", "tool", "2.0", "a"]), "a").await;
    site.ci().publish(&path(&["ada", "tool", "2.0", "b"]), "b").await;
}

#[tokio::test]
async fn downloads_say_how_their_version_stands() {
    let site = published().await;
    let plain = site.anon().get(&file("a")).await.is(200);
    for name in ["x-packhouse-yanked", "deprecation", "link", "sunset"] {
        assert_eq!(plain.header(name), None, "{name}");
    }
    let edit = json!({
        "yanked": true, "yank_reason": "löscht 100% der Daten",
        "deprecated": true, "deprecation_message": "use 2.0", "successor": "2.0",
        "expires_at": "2026-02-01T00:00:00Z",
    });
    site.ci().patch(VERSION, &edit).await.is(200);
    let deprecation = format!("@{}", site.now().unix());
    let etag = plain.header("etag").unwrap();
    for answer in [
        site.anon().get(&file("a")).await.is(200),
        site.anon().head(&file("a")).await.is(200),
        site.anon().get(&file("a")).header("range", "bytes=0-0").await.is(206),
        site.anon().get(&file("a")).header("range", "bytes=9-").await.is(416),
        site.anon().get(&file("a")).header("if-none-match", etag).await.is(304),
    ] {
        assert_eq!(answer.header("x-packhouse-yanked"), Some("l%C3%B6scht 100%25 der Daten"));
        assert_eq!(answer.header("deprecation"), Some(&*deprecation));
        assert_eq!(answer.header("link"), Some("</api/packages/ada/generic/tool/2.0>; rel=\"successor-version\""));
        assert_eq!(answer.header("sunset"), Some("Sun, 01 Feb 2026 00:00:00 GMT"));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=0, must-revalidate, no-transform"));
    }
    sealed(&site).await;
    let immutable = site.anon().get(&file("a")).await.is(200);
    assert_eq!(immutable.header("cache-control"), Some("public, max-age=31536000, immutable, no-transform"));
    site.admin().patch("/api/v1/admin/users/ada", &json!({"visibility": "limited"})).await.is(200);
    let private = site.ci().get(&file("a")).await.is(200);
    assert_eq!(private.header("cache-control"), Some("private, max-age=0, must-revalidate, no-transform"));
}

#[tokio::test]
async fn latest_skips_yanked_versions_and_prereleases() {
    let site = published().await;
    site.pass(Duration::from_secs(60));
    site.ci().publish(&path(&["ada", "tool", "2.0", "a"]), "a").await;
    let latest = async || {
        let answer = site.anon().get("/api/v1/packages/ada/generic/tool/-/latest").await;
        if answer.status == 404 { Value::Null } else { answer.is(200).json()["version"].clone() }
    };
    let two = "/api/v1/packages/ada/generic/tool/2.0";
    assert_eq!(latest().await, "2.0");
    site.ci().patch(two, &json!({"prerelease": true})).await.is(200);
    assert_eq!(latest().await, "1.0");
    let newest = "/api/v1/packages/ada/generic/tool/-/latest?stable=false";
    assert_eq!(site.anon().get(newest).await.is(200).json()["version"], "2.0");
    site.ci().patch(two, &json!({"prerelease": null, "yanked": true})).await.is(200);
    assert_eq!(latest().await, "1.0");
    assert_eq!(site.anon().get(newest).await.is(200).json()["version"], "1.0");
    site.anon().get(&path(&["ada", "tool", "latest", "a"])).await.is(302).header("location").unwrap().contains("/1.0/");
    assert_eq!(site.anon().get(&path(&["ada", "tool", "2.0", "a"])).await.is(200).text(), "a");
    site.ci().patch(VERSION, &json!({"yanked": true, "yank_reason": "broken"})).await.is(200);
    assert_eq!(latest().await, Value::Null);
    site.anon().get(&path(&["ada", "tool", "latest", "a"])).await.is(404);
    let listed = site.anon().get(&path(&["ada"])).json().await.is(200).json();
    assert_eq!(listed[0]["latest"], Value::Null);
    site.ci().patch(two, &json!({"yanked": false})).await.is(200);
    assert_eq!(latest().await, "2.0");
}

#[tokio::test]
async fn a_version_on_hold_cannot_be_deleted_in_any_way() {
    let site = published().await;
    site.ci().patch(VERSION, &json!({"hold": true, "hold_reason": "legal case"})).await.is(200);
    let why = "on hold (legal case), so it cannot be deleted: an owner of ada or an administrator can lift the hold";
    for who in [site.ci(), site.admin()] {
        who.delete(&file("a")).await.is(409).says(why);
        who.delete(&path(&["ada", "tool", "1.0"])).await.is(409).says(why);
        who.delete(VERSION).await.is(409).says(why);
        who.delete("/api/v1/packages/ada/generic/tool").await.is(409).says(why);
    }
    site.admin().delete("/api/v1/admin/users/ada?purge=true").await.is(409).says(why);
    // Files may be added, but none of them may go or be replaced, although others are left.
    site.ci().publish(&file("b"), "b").await;
    site.ci().delete(&file("b")).await.is(409).says(why);
    site.ci().patch("/api/v1/packages/ada/generic/tool", &json!({"overwrite": "always"})).await.is(200);
    site.ci().put(&file("b"), "other").await.is(409).says(why);
    let part = json!({"name": "tool", "version": "1.0", "files": ["b"]});
    site.ci().post("/api/v1/packages/ada/generic/tool/2.0/move", &part).await.is(409).says(why);
    site.anon().get(&file("b")).await.is(200).says("b");
    site.ci().patch(VERSION, &json!({"hold": false})).await.is(200);
    site.ci().delete(&file("b")).await.is(204);
    site.ci().delete(VERSION).await.is(204);
}

#[tokio::test]
async fn what_is_said_about_a_version_is_kept_and_audited() {
    let site = published().await;
    let edit = json!({"notes": "# New\n\n- faster", "labels": {"kind": "ci", "build": "7"}, "yanked": true});
    let answer = site.ci().patch(VERSION, &edit).await.is(200).json();
    assert_eq!((&answer["notes"], &answer["labels"]), (&edit["notes"], &edit["labels"]));
    assert_eq!((&answer["yanked"], &answer["prerelease"]), (&json!(true), &json!(false)));
    assert_eq!(site.anon().get(VERSION).await.is(200).json()["notes"], edit["notes"]);
    let listed = site.anon().get("/api/v1/packages/ada").await.is(200).json();
    assert_eq!((&listed[0]["labels"], &listed[0]["notes"]), (&edit["labels"], &json!(null)), "lists leave notes out");
    // The same again changes nothing.
    site.ci().patch(VERSION, &edit).await.is(200);
    let edits = "SELECT detail::text AS text FROM audit WHERE event = 'version.update'";
    let details = site.db_texts(edits);
    assert_eq!(details.len(), 1);
    assert!(details[0].contains("\"labels\"") && details[0].contains("\"yanked\""), "{details:?}");
    assert!(!details[0].contains("faster"), "a long text is not repeated in the log");
}

#[tokio::test]
async fn wrong_values_of_a_version_are_refused_by_name() {
    let site = published().await;
    let labels: serde_json::Map<String, Value> = (0..33).map(|n| (format!("k{n}"), json!(""))).collect();
    for (edit, words) in [
        (json!({"labels": labels}), "labels"),
        (json!({"labels": {"a b": ""}}), "\\\"a b\\\""),
        (json!({"labels": {"a": 1}}), "labels"),
        (json!({"notes": "a\u{0}"}), "notes"),
        (json!({"notes": "x".repeat((256 << 10) + 1)}), "longer than 262144 bytes"),
        (json!({"yank_reason": "why"}), "yanked is not true"),
        (json!({"yank_reason": "x".repeat(501), "yanked": true}), "longer than 500 characters"),
        (json!({"successor": "2.0"}), "not deprecated"),
        (json!({"deprecated": true, "successor": "1.0"}), "the version itself"),
        (json!({"expires_at": "2020-01-01T00:00:00Z"}), "in the past"),
        (json!({"hold_reason": "why"}), "hold is not true"),
    ] {
        site.ci().patch(VERSION, &edit).await.is(422).says(words);
    }
    site.ci().patch(VERSION, &json!({"notes": "ü".repeat(128 << 10)})).await.is(200);
}
