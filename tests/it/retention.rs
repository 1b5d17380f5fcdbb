//! Retention rules: what they decide about each version, that a run does exactly that, and that nothing is taken that
//! changed in the meantime.

use crate::program::{Home, Server};
use crate::support::people::db_org;
use crate::support::{Plan, Site, noise, path};
use diesel::connection::{Connection, InstrumentationEvent};
use diesel::prelude::*;
use packhouse::domain::ids::OwnerId;
use packhouse::domain::role::Visibility;
use packhouse::jobs::retention::{self, Outcome, RetentionPlan};
use packhouse::registry::packages::retention::preview;
use packhouse::registry::packages::retention::removal::{self, Candidate};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const RULES: &str = "/api/v1/packages/ada/-/retention";
const PREVIEW: &str = "/api/v1/packages/ada/-/retention/preview";
const DAY: Duration = Duration::from_secs(86_400);

/// Publishes versions of a package of `ada`'s. Each is given as its name and its age in days.
async fn publish(site: &Site, package: &str, versions: &[(&str, i64)]) {
    for (version, days) in versions {
        site.ci().publish(&path(&["ada", package, version, "f"]), format!("{package} {version}")).await;
        let created = site.now().unix() - days * 86_400;
        site.db_execute(&format!(
            "UPDATE versions SET created_at = to_timestamp({created}) WHERE version = '{version}' AND package_id = \
             (SELECT id FROM packages WHERE name = '{package}')"
        ));
    }
}

/// What rules would do: `package/version delete|keep rule condition` for each version.
async fn foretold(site: &Site, rules: &Value) -> Vec<String> {
    let answer = site.ci().post(PREVIEW, &json!({"rules": rules})).await.is(200).json();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let line = |it: &Value| {
        let conditions: Vec<String> = it["conditions"].as_array().unwrap().iter().map(text).collect();
        let (package, version, decision) = (text(&it["package"]), text(&it["version"]), text(&it["decision"]));
        format!("{package}/{version} {decision} {} {}", text(&it["rule"]), conditions.join("+"))
    };
    answer["versions"].as_array().unwrap().iter().map(line).collect()
}

/// The versions that rules would delete.
async fn doomed(site: &Site, rules: &Value) -> Vec<String> {
    let lines = foretold(site, rules).await;
    lines
        .iter()
        .filter(|line| line.contains(" delete "))
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

async fn create(site: &Site, rule: Value) -> Value {
    site.ada().post(RULES, &rule).await.is(201).json()
}

fn plan(site: &Site) -> RetentionPlan {
    RetentionPlan { now_please: true, ..site.app.retention_plan() }
}

/// Runs the job once, and returns what it moved away.
async fn run(site: &Site) -> (Outcome, Vec<String>) {
    assert!(retention::lease_due(&site.app.db, &site.app.clock, plan(site)).await.unwrap());
    let mut removed = Vec::new();
    let done = retention::run(&site.app.db, &site.app.clock, plan(site), None, |it| removed.push(it.to_string())).await;
    (done.unwrap(), removed)
}

fn owner(site: &Site) -> OwnerId {
    OwnerId(site.db_number("SELECT id AS n FROM owners WHERE name = 'ada'"))
}

/// The versions that are left, as `package/version`.
fn left(site: &Site) -> Vec<String> {
    site.db_texts(
        "SELECT p.name || '/' || v.version AS text FROM versions v JOIN packages p ON p.id = v.package_id ORDER BY v.id",
    )
}

#[tokio::test]
async fn conditions_match_versions_as_the_rules_say() {
    let site = Site::new();
    let all = [
        ("1.0.0-rc.1", 50),
        ("1.0.0", 40),
        ("1.1.0-nightly.1", 30),
        ("1.1.0-nightly.2", 15),
        ("1.1.0-nightly.3", 14),
        ("1.1.0-nightly.4", 13),
        ("1.1.0", 10),
        ("2.0.0-rc.1", 20),
    ];
    publish(&site, "tool", &all).await;
    publish(&site, "Other", &[("1.0", 90), ("1.1", 90)]).await;
    site.db_execute(r#"UPDATE versions SET labels = '{"kind": "ci", "os": "linux"}' WHERE version LIKE '%.2'"#);
    let rule = |more: Value| {
        let mut rule = json!({"name": "r", "packages": ["tool"]});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([rule])
    };
    for (rules, gone) in [
        (json!([]), &[][..]),
        (
            rule(json!({"delete_older_than_days": 14})),
            &["1.0.0", "2.0.0-rc.1", "1.1.0-nightly.3", "1.1.0-nightly.2", "1.1.0-nightly.1", "1.0.0-rc.1"],
        ),
        (
            rule(json!({"versions": ["*-nightly.*"], "delete_older_than_days": 14})),
            &["1.1.0-nightly.3", "1.1.0-nightly.2", "1.1.0-nightly.1"],
        ),
        (
            rule(json!({"versions": ["*-NIGHTLY.1", "1.0.0"], "delete_older_than_days": 0})),
            &["1.0.0", "1.1.0-nightly.1"],
        ),
        (rule(json!({"labels": {"kind": "ci"}, "delete_older_than_days": 0})), &["1.1.0-nightly.2"]),
        (rule(json!({"labels": {"kind": "release"}, "delete_older_than_days": 0})), &[]),
        (
            rule(json!({"delete_superseded_prereleases": true})),
            &["1.1.0-nightly.4", "1.1.0-nightly.3", "1.1.0-nightly.2", "1.1.0-nightly.1", "1.0.0-rc.1"],
        ),
        (rule(json!({"delete_superseded_prereleases": true, "delete_older_than_days": 40})), &["1.0.0-rc.1"]),
        (rule(json!({"delete_pattern": ".*-(rc|nightly)\\.1"})), &["2.0.0-rc.1", "1.1.0-nightly.1", "1.0.0-rc.1"]),
        (rule(json!({"delete_pattern": "rc"})), &[]),
        (rule(json!({"delete_pattern": "TOOL/1\\.0.*", "match_full_name": true})), &["1.0.0", "1.0.0-rc.1"]),
        (rule(json!({"packages": ["t*l"], "enabled": false, "delete_older_than_days": 0})), &[]),
        (rule(json!({"keep_last": 3})), &[]),
        (
            rule(json!({"delete_older_than_days": 0, "keep_last": 3})),
            &["1.1.0-nightly.4", "1.1.0-nightly.3", "1.1.0-nightly.2", "1.1.0-nightly.1", "1.0.0-rc.1"],
        ),
        (
            rule(json!({"delete_older_than_days": 0, "keep_last": 1, "keep_last_per": "major"})),
            &["1.0.0", "1.1.0-nightly.4", "1.1.0-nightly.3", "1.1.0-nightly.2", "1.1.0-nightly.1", "1.0.0-rc.1"],
        ),
        (
            rule(json!({"delete_older_than_days": 0, "keep_last": 1, "keep_last_per": "minor"})),
            &["1.1.0-nightly.4", "1.1.0-nightly.3", "1.1.0-nightly.2", "1.1.0-nightly.1", "1.0.0-rc.1"],
        ),
        (
            rule(json!({"versions": ["*-*"], "delete_older_than_days": 0, "keep_last": 2})),
            &["1.1.0-nightly.3", "1.1.0-nightly.2", "1.1.0-nightly.1", "1.0.0-rc.1"],
        ),
        (
            rule(json!({"delete_older_than_days": 0, "keep_versions": ["*nightly*", "1.0.0"]})),
            &["2.0.0-rc.1", "1.0.0-rc.1"],
        ),
        (
            rule(json!({"delete_older_than_days": 0, "keep_pattern": ".*nightly.*|1\\.0\\.0"})),
            &["2.0.0-rc.1", "1.0.0-rc.1"],
        ),
    ] {
        let gone: Vec<String> = gone.iter().map(|version| format!("tool/{version}")).collect();
        assert_eq!(doomed(&site, &rules).await, gone, "{rules}");
    }
    assert_eq!(left(&site).len(), 10, "a preview changes nothing");
    assert!(site.db_audit().iter().all(|line| line.starts_with("file.publish")));
}

#[tokio::test]
async fn a_preview_names_the_rule_and_the_condition_that_decided() {
    let site = Site::new();
    publish(&site, "tool", &[("1.0", 60), ("1.1", 50), ("1.2", 40), ("1.3", 30), ("2.0", 20), ("3.0", 1)]).await;
    let rules = json!([
        {"name": "shield", "versions": ["1.1"], "keep_last": 1},
        {"name": "old", "versions": ["1.*", "3*"], "delete_older_than_days": 35, "delete_superseded_prereleases": false},
        {"name": "seal", "keep_versions": ["1.2"]},
    ]);
    insta::assert_snapshot!(foretold(&site, &rules).await.join("\n"), @r"
    tool/3.0 keep old delete_older_than_days
    tool/2.0 keep - no_rule
    tool/1.3 keep old delete_older_than_days
    tool/1.2 keep seal keep_versions
    tool/1.1 keep shield keep_last
    tool/1.0 delete old delete_older_than_days
    ");
    let answer = site.ci().post(&format!("{PREVIEW}?page=2&limit=4"), &json!({"rules": rules})).await.is(200);
    let answer = answer.json();
    assert_eq!((&answer["deleted"], &answer["kept"]), (&json!(1), &json!(5)));
    assert_eq!(answer["versions"].as_array().unwrap().len(), 2);
    assert_eq!(answer["versions"][1]["reason"], "is older than 35 days");
}

#[tokio::test]
async fn held_promoted_drafted_and_latest_stable_versions_stay() {
    let site = Site::new();
    let all =
        [("1.0", 90), ("1.1", 90), ("1.2", 90), ("1.3", 0), ("1.4", 2), ("2.0", 90), ("3.0", 90), ("4.0-rc.1", 90)];
    publish(&site, "tool", &all).await;
    site.db_execute("UPDATE versions SET held_at = created_at WHERE version = '1.0'");
    site.db_execute("UPDATE versions SET state = 0 WHERE version IN ('1.3', '1.4')");
    site.db_execute("UPDATE versions SET yanked_at = created_at WHERE version = '3.0'");
    site.db_execute(
        "INSERT INTO channels (package_id, name, lower_name, version, lower_version, updated_at) \
         SELECT id, 'Beta', 'beta', '1.1', '1.1', now() FROM packages",
    );
    let rules = json!([{"name": "all", "delete_older_than_days": 0}]);
    insta::assert_snapshot!(foretold(&site, &rules).await.join("\n"), @r"
    tool/3.0 delete all delete_older_than_days
    tool/2.0 keep - latest_stable
    tool/1.4 delete all delete_older_than_days
    tool/1.3 keep - young_draft
    tool/1.2 delete all delete_older_than_days
    tool/1.1 keep - channel
    tool/1.0 keep - hold
    tool/4.0-rc.1 delete all delete_older_than_days
    ");
    // What the publisher says of a version counts more than its name.
    site.db_execute("UPDATE versions SET is_prerelease = true WHERE version = '2.0'");
    site.db_execute("UPDATE versions SET is_prerelease = false WHERE version = '4.0-rc.1'");
    let lines = foretold(&site, &rules).await;
    assert!(lines.contains(&"tool/2.0 delete all delete_older_than_days".to_owned()), "{lines:?}");
    assert!(lines.contains(&"tool/4.0-rc.1 keep - latest_stable".to_owned()), "{lines:?}");
    let rules = json!([{"name": "all", "delete_superseded_prereleases": true}]);
    assert_eq!(doomed(&site, &rules).await, ["tool/2.0"], "4.0-rc.1 is called stable, and is higher");
}

#[tokio::test]
async fn downloads_keep_versions_for_as_long_as_the_rules_say() {
    let site = Site::new();
    publish(&site, "tool", &[("1.0", 90), ("1.1", 90), ("1.2", 90), ("2.0", 90)]).await;
    let unused = json!([{"name": "unused", "delete_not_downloaded_for_days": 30}]);
    let used = json!([
        {"name": "old", "delete_older_than_days": 30},
        {"name": "used", "keep_if_downloaded_within_days": 7},
    ]);
    // Nobody knows what was downloaded before this server began to record it.
    assert_eq!(doomed(&site, &unused).await, [""; 0]);
    assert_eq!(doomed(&site, &used).await, ["tool/1.2", "tool/1.1", "tool/1.0"]);
    site.db_execute(
        "UPDATE files SET download_count = 3 WHERE version_id = (SELECT id FROM versions WHERE version = '1.2')",
    );
    assert_eq!(doomed(&site, &used).await, ["tool/1.1", "tool/1.0"], "it may have been an hour ago");
    site.pass(29 * DAY);
    assert_eq!(doomed(&site, &used).await, ["tool/1.2", "tool/1.1", "tool/1.0"]);
    site.anon().get(&path(&["ada", "tool", "1.1", "f"])).await.is(200);
    site.db_flush().await;
    site.pass(DAY);
    assert_eq!(doomed(&site, &unused).await, ["tool/1.2", "tool/1.0"]);
    assert_eq!(doomed(&site, &used).await, ["tool/1.2", "tool/1.0"]);
    site.pass(6 * DAY);
    assert_eq!(doomed(&site, &used).await, ["tool/1.2", "tool/1.1", "tool/1.0"]);
    site.pass(23 * DAY);
    assert_eq!(doomed(&site, &unused).await, ["tool/1.2", "tool/1.1", "tool/1.0"]);
}

#[tokio::test]
async fn the_last_download_of_a_version_is_recorded_with_the_counts() {
    let site = Site::new();
    publish(&site, "tool", &[("1.0", 0), ("2.0", 0)]).await;
    let file = path(&["ada", "tool", "1.0", "f"]);
    let last = || {
        site.db_texts("SELECT coalesce(extract(epoch FROM last_downloaded_at)::bigint::text, '') AS text FROM versions ORDER BY id")
    };
    let seconds = |unix: i64| unix.to_string();
    site.anon().head(&file).await.is(200);
    site.db_flush().await;
    assert_eq!(last(), ["", ""], "a HEAD is no download");
    let first = site.now().unix();
    site.anon().get(&file).await.is(200);
    site.pass(Duration::from_secs(3));
    site.anon().get(&file).await.is(200);
    site.db_flush().await;
    assert_eq!(last(), [seconds(first + 3), String::new()]);
    assert_eq!(site.db_number("SELECT sum(download_count)::bigint AS n FROM files"), 2);
    // Another server's flush with an earlier time changes nothing.
    site.put_back(Duration::from_secs(2));
    site.anon().get(&file).await.is(200);
    site.db_flush().await;
    assert_eq!(last()[0], seconds(first + 3));
    // A time from a clock that was ahead gives way.
    site.pass(10 * DAY);
    site.anon().get(&file).await.is(200);
    site.db_flush().await;
    site.put_back(10 * DAY);
    site.anon().get(&file).await.is(200);
    site.db_flush().await;
    assert_eq!(last()[0], seconds(first + 1));
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_run_moves_away_exactly_what_the_preview_said() {
    let site = Site::new();
    publish(&site, "tool", &[("1.0", 60), ("1.1", 50), ("1.2", 40), ("2.0", 20)]).await;
    publish(&site, "nightly", &[("n1", 60), ("n2", 40), ("n3", 20)]).await;
    create(&site, json!({"name": "old", "delete_older_than_days": 30, "keep_versions": ["1.1"]})).await;
    create(&site, json!({"name": "off", "enabled": false, "delete_older_than_days": 0})).await;
    let preview = site.ci().post(PREVIEW, &json!({})).await.is(200).json();
    assert_eq!(preview["deleted"], 4);
    let (outcome, removed) = run(&site).await;
    insta::assert_snapshot!(removed.join("\n"), @r"
    ada/nightly/n1 is older than 30 days (rule old)
    ada/nightly/n2 is older than 30 days (rule old)
    ada/tool/1.0 is older than 30 days (rule old)
    ada/tool/1.2 is older than 30 days (rule old)
    ");
    assert_eq!((outcome.deleted, outcome.expired, outcome.spared), (4, 0, 0));
    assert_eq!(json!(outcome.bytes), preview["deleted_bytes"]);
    assert_eq!(left(&site), ["tool/1.1", "tool/2.0", "nightly/n3"]);
    site.anon().get(&path(&["ada", "tool", "1.0", "f"])).await.is(404);
    let audit = site.db_audit();
    assert_eq!(audit[audit.len() - 1], "version.delete by  with system from nowhere on ada tool/1.2");
    let details = site.db_texts(
        "SELECT concat_ws(' ', detail->>'rule', detail->>'cause', detail->'conditions') AS text FROM audit \
         WHERE event = 'version.delete' ORDER BY id",
    );
    assert_eq!(details, ["old retention [\"delete_older_than_days\"]"; 4], "one record a version, naming the rule");
    assert!(site.db_broken().await.is_empty());
    let (outcome, _) = run(&site).await;
    assert_eq!(outcome, Outcome::default(), "nothing is left to do");
}

#[tokio::test]
async fn the_bytes_that_become_free_are_those_that_nothing_else_has() {
    // Without a trash, bytes become free at once.
    let site = Site::with(&[("PACKHOUSE_TRASH_KEEP_DAYS", "0")]);
    let (own, shared, foreign, trashed) = (noise(1000), noise(2000), noise(4000), noise(8000));
    for (version, name, bytes) in [
        ("1.0", "a", &own),
        ("1.1", "b", &own),
        ("1.0", "c", &shared),
        ("2.0", "d", &shared),
        ("1.0", "e", &foreign),
        ("1.1", "t", &trashed),
        ("2.0", "g", &noise(16_000)),
    ] {
        site.ci().publish(&path(&["ada", "tool", version, name]), bytes.clone()).await;
    }
    site.stranger().publish(&path(&["stranger", "x", "1", "f"]), foreign).await;
    let rules = json!([{"name": "all", "delete_older_than_days": 0}]);
    let preview = async || site.ci().post(PREVIEW, &json!({"rules": rules})).await.is(200).json();
    let found = preview().await;
    assert_eq!((&found["deleted"], &found["deleted_bytes"]), (&json!(2), &json!(16_000)));
    let why = "the own bytes once, and those that are not in the trash yet; what others store is not told";
    assert_eq!(found["free_bytes"], 13_000, "{why}");
    site.db_execute(
        "WITH t AS (INSERT INTO trash (owner_id, kind, package_name, version, file_name, reason, actor_name, deleted_at, \
           keep_until, versions, files, bytes, version_facts) SELECT id, 0, 'tool', '0', 't', 0, 'ada', now(), now(), 0, 1, 8000, '{}' \
           FROM owners WHERE name = 'ada' RETURNING id) \
         INSERT INTO trashed_files (id, trash_id, version_id, blob_id, name, lower_name, created_at, download_count) \
         SELECT 0, t.id, 0, b.id, 't', 't', now(), 0 FROM t, blobs b WHERE b.size = 8000",
    );
    assert_eq!(preview().await["free_bytes"], 5000);
    site.db_execute("DELETE FROM trash");
    // The store frees what nobody else has either.
    create(&site, json!({"name": "all", "delete_older_than_days": 0})).await;
    run(&site).await;
    site.pass(DAY);
    let swept = site.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(swept.bytes, 9000);
    assert!(site.db_broken().await.is_empty());
}

#[test]
fn the_number_of_statements_does_not_depend_on_the_number_of_versions() {
    let site = Site::new();
    let owner = owner(&site);
    let count = |rules: &Value| {
        let rules = rules_of(rules);
        site.db(|conn| {
            let statements = Arc::new(AtomicUsize::new(0));
            let seen = Arc::clone(&statements);
            conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
                if matches!(event, InstrumentationEvent::StartQuery { .. }) {
                    seen.fetch_add(1, Ordering::SeqCst);
                }
            });
            let found = preview::of_owner(conn, owner, Some(&rules), site.now())?;
            Ok((statements.load(Ordering::SeqCst), found.deleted, found.free_bytes))
        })
    };
    let rules = json!([{"name": "r", "delete_older_than_days": 1, "keep_last": 2, "keep_last_per": "minor"}]);
    let (few, deleted, free) = count(&rules);
    assert_eq!((deleted, free), (0, 0));
    db_fill(&site, 3000);
    let (many, deleted, free) = count(&rules);
    assert_eq!(many, few, "3,000 versions need no more statements than none");
    assert_eq!((deleted, free), (3000 - 30 * 2, (3000 - 30 * 2) * 10));
}

/// Creates versions of 3 packages of `ada`'s with 10 minor versions each, all a year old.
fn db_fill(site: &Site, versions: usize) {
    site.db_execute(&format!(
        "WITH p AS (INSERT INTO packages (owner_id, name, lower_name, created_at) SELECT o.id, 'p' || n, 'p' || n, now() \
           FROM owners o, generate_series(0, 2) n WHERE o.name = 'ada' RETURNING id, owner_id, lower_name), \
         v AS (INSERT INTO versions (package_id, owner_id, version, lower_version, created_at) \
           SELECT p.id, p.owner_id, x.v, x.v, timestamptz '2025-01-01 00:00Z' FROM p, generate_series(1, {versions} / 3) n, \
             LATERAL (SELECT '1.' || n % 10 || '.' || n AS v) x RETURNING id), \
         b AS (INSERT INTO blobs (sha256, size, storage_key, block_checksums, touched_at) \
           SELECT sha256(id::text::bytea), 10, id::text, '', now() FROM v RETURNING id, storage_key) \
         INSERT INTO files (version_id, blob_id, name, lower_name, created_at) \
           SELECT v.id, b.id, 'f', 'f', now() FROM v JOIN b ON b.storage_key = v.id::text"
    ));
}

/// Rules as the registry takes them.
fn rules_of(rules: &Value) -> Vec<packhouse::domain::retention::RetentionRule> {
    use packhouse::domain::retention::{Days, Keep, KeepPer, RetentionRule};
    let rule = |it: &Value| RetentionRule {
        name: it["name"].as_str().unwrap().parse().unwrap(),
        enabled: true,
        packages: Vec::new(),
        versions: Vec::new(),
        labels: Default::default(),
        match_full_name: false,
        delete_pattern: None,
        delete_older_than_days: it["delete_older_than_days"].as_i64().map(|days| Days::try_from(days).unwrap()),
        delete_not_downloaded_for_days: None,
        delete_superseded_prereleases: false,
        keep_last: it["keep_last"].as_i64().map(|keep| Keep::try_from(keep).unwrap()),
        keep_last_per: it["keep_last_per"].as_str().map_or(KeepPer::Package, |per| per.parse().unwrap()),
        keep_versions: Vec::new(),
        keep_pattern: None,
        keep_if_downloaded_within_days: None,
    };
    rules.as_array().unwrap().iter().map(rule).collect()
}

/// The versions that are due now, by their names.
fn candidates(site: &Site) -> Vec<(String, Candidate)> {
    let owner = owner(site);
    let found = site.db(|conn| removal::candidates(conn, owner, site.now()));
    let named = |it: Candidate| {
        let name = format!("SELECT version AS text FROM versions WHERE id = {}", it.version);
        (site.db_texts(&name).remove(0), it)
    };
    found.into_iter().map(named).collect()
}

#[tokio::test]
async fn whatever_changes_between_preview_and_run_counts() {
    for (what, change) in [
        ("hold", "UPDATE versions SET held_at = now() WHERE version = '1.0'"),
        ("download", "UPDATE versions SET last_downloaded_at = created_at + interval '89 days' WHERE version = '1.0'"),
        ("label", "UPDATE versions SET labels = '{}' WHERE version = '1.0'"),
        (
            "channel",
            "INSERT INTO channels (package_id, name, lower_name, version, lower_version, updated_at) \
             SELECT id, 'beta', 'beta', '1.0', '1.0', now() FROM packages",
        ),
        ("yanked latest", "UPDATE versions SET yanked_at = now() WHERE version <> '1.0'"),
        ("gone latest", "DELETE FROM versions WHERE version IN ('2.0', '1.9')"),
        ("fewer to keep", "DELETE FROM versions WHERE version = '2.0'"),
        ("disabled rule", "UPDATE retention_rules SET is_enabled = false"),
        ("protecting rule", "UPDATE retention_rules SET keep_versions = '{1.*}'"),
        ("keeping more", "UPDATE retention_rules SET keep_last = 9"),
        ("gone", "DELETE FROM versions WHERE version = '1.0'"),
    ] {
        let site = Site::new();
        site.pass(60 * DAY);
        publish(&site, "tool", &[("1.0", 90), ("1.9", 90), ("2.0", 90)]).await;
        site.db_execute(r#"UPDATE versions SET labels = '{"kind": "ci"}'"#);
        let rule =
            json!({"name": "ci", "labels": {"kind": "ci"}, "delete_not_downloaded_for_days": 30, "keep_last": 2});
        create(&site, rule).await;
        let found = candidates(&site);
        assert_eq!(found.len(), 1);
        let (version, candidate) = &found[0];
        assert_eq!(version, "1.0");
        site.db_execute(change);
        let before = left(&site);
        let removed = site.app.db.write({
            let (candidate, now) = (candidate.clone(), site.now());
            move |conn| removal::remove(conn, &candidate, 7 * DAY, now)
        });
        assert_eq!(removed.await.unwrap(), None, "{what}");
        assert_eq!(left(&site), before, "{what}");
    }
}

#[tokio::test]
async fn a_run_waits_for_a_change_that_is_not_committed_yet() {
    let site = Site::new();
    publish(&site, "tool", &[("1.0", 90), ("2.0", 90)]).await;
    create(&site, json!({"name": "old", "delete_older_than_days": 30})).await;
    for change in ["UPDATE versions SET held_at = now() WHERE version = '1.0'", "UPDATE versions SET held_at = NULL"] {
        let url = site.url.clone();
        let (ready, wait) = mpsc::channel();
        let (go, end) = mpsc::channel::<()>();
        let holder = std::thread::spawn(move || {
            let mut conn = PgConnection::establish(&url).unwrap();
            conn.transaction::<_, diesel::result::Error, _>(|conn| {
                diesel::sql_query(change).execute(conn)?;
                ready.send(()).unwrap();
                end.recv().unwrap();
                Ok(())
            })
            .unwrap();
        });
        wait.recv().unwrap();
        let done = run(&site);
        let waits = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let release = crate::support::eventually("the run waits for the row", async || site.db_number(waits) > 0);
        let (done, ()) = futures_util::future::join(done, async {
            // A version on hold is not due at all in the second round.
            release.await;
            go.send(()).unwrap();
        })
        .await;
        holder.join().unwrap();
        if change.contains("now()") {
            assert_eq!((done.0.deleted, done.0.spared), (0, 1));
            // Due again, for the second round.
            site.db_execute("UPDATE versions SET held_at = NULL");
        } else {
            assert_eq!((done.0.deleted, done.0.spared), (1, 0));
        }
    }
}

#[tokio::test]
async fn expiry_is_set_by_the_file_that_creates_the_version() {
    let site = Site::new();
    let put = |version: &str, name: &str, life: &str| {
        site.ci().put(&format!("{}?expires_in={life}", path(&["ada", "tool", version, name])), name.to_owned())
    };
    put("1.0", "a", "P7D").await.is(201);
    let due = "SELECT extract(epoch FROM expires_at - created_at)::bigint AS n FROM versions ORDER BY id DESC LIMIT 1";
    assert_eq!(site.db_number(due), 7 * 86_400);
    site.pass(Duration::from_secs(90));
    put("1.0", "b", "7d").await.is(201);
    put("1.0", "c", "168h").await.is(201);
    site.ci().publish(&path(&["ada", "tool", "1.0", "d"]), "d").await;
    assert_eq!(site.db_number(due), 7 * 86_400, "further files change nothing");
    put("1.0", "e", "8d")
        .await
        .is(409)
        .says("version 1.0 already exists and expires at 2026-01-09T03:04:05Z: expires_in=P8D");
    site.ci().publish(&path(&["ada", "tool", "2.0", "a"]), "a").await;
    put("2.0", "b", "7d").await.is(409).says("never expires");
    assert_eq!(site.db_number("SELECT count(*) AS n FROM files WHERE name IN ('e', 'b')"), 1);
    let calendar = "months and years have no fixed length";
    for (wrong, why) in
        [("", "write a duration"), ("7", "write a duration"), ("P1Y", calendar), ("PT59S", "at least a minute")]
    {
        put("3.0", "a", wrong).await.is(400).says(why);
    }
    // Nothing of the query is checked before the credential.
    let foreign = format!("{}?expires_in=x", path(&["ada", "tool", "3.0", "a"]));
    site.anon().put(&foreign, "x").await.is(401);
    site.stranger().put(&foreign, "x").await.is(403);
    let same = site.ci().put(&format!("{}?expires_in=7d", path(&["ada", "tool", "1.0", "a"])), "a");
    same.header("x-checksum-sha256", crate::support::sha256("a")).await.is(200);
    let detail = site.db_texts("SELECT detail->>'expires_at' AS text FROM audit WHERE detail ? 'expires_at'");
    assert_eq!(detail, ["2026-01-09T03:04:05Z"]);
}

#[tokio::test]
async fn expired_versions_go_when_their_time_has_come_unless_held() {
    let site = Site::new();
    for version in ["1", "2", "3"] {
        site.ci().put(&format!("{}?expires_in=12h", path(&["ada", "tool", version, "f"])), version).await.is(201);
    }
    site.ci().publish(&path(&["ada", "tool", "4", "f"]), "4").await;
    site.db_execute("UPDATE versions SET held_at = now() WHERE version = '2'");
    // Even the latest stable version and that of a channel: whoever published it said so.
    site.db_execute(
        "INSERT INTO channels (package_id, name, lower_name, version, lower_version, updated_at) \
         SELECT id, 'beta', 'beta', '3', '3', now() FROM packages",
    );
    site.pass(Duration::from_secs(12 * 3600 - 1));
    assert_eq!(run(&site).await.0.expired, 0);
    site.anon().get(&path(&["ada", "tool", "1", "f"])).await.is(200);
    site.pass(Duration::from_secs(1));
    let (outcome, removed) = run(&site).await;
    assert_eq!(removed, ["ada/tool/1 expired at 2026-01-02T15:04:05Z", "ada/tool/3 expired at 2026-01-02T15:04:05Z"]);
    assert_eq!((outcome.expired, outcome.deleted), (2, 0));
    assert_eq!(left(&site), ["tool/2", "tool/4"]);
    site.db_execute("UPDATE versions SET held_at = NULL WHERE version = '2'");
    assert_eq!(run(&site).await.1, ["ada/tool/2 expired at 2026-01-02T15:04:05Z"]);
    assert_eq!(site.db_audit().last().unwrap(), "version.delete by  with system from nowhere on ada tool/2");
    // Whoever restores it wants it back: it does not expire a second time.
    let entry = site.db_number("SELECT id AS n FROM trash WHERE version = '2'");
    site.ci().post(&format!("/api/v1/packages/ada/-/trash/{entry}/restore"), &json!({})).await.is(200);
    assert_eq!(run(&site).await.0.expired, 0);
    assert_eq!(left(&site), ["tool/2", "tool/4"]);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn clocks_that_jump_never_end_a_version_early() {
    let site = Site::new();
    // Published while the clock was ahead: the version lives longer, but does not vanish.
    site.pass(10 * DAY);
    site.ci().put(&format!("{}?expires_in=7d", path(&["ada", "tool", "1", "f"])), "x").await.is(201);
    site.put_back(10 * DAY);
    site.pass(16 * DAY);
    assert_eq!(run(&site).await.0.expired, 0);
    create(&site, json!({"name": "old", "delete_older_than_days": 8})).await;
    site.ci().publish(&path(&["ada", "tool", "2", "f"]), "y").await;
    assert_eq!(candidates(&site).len(), 0, "6 days have passed since the version says it was published");
    site.pass(DAY);
    assert_eq!(run(&site).await.0.expired, 1);
}

#[tokio::test]
async fn one_server_at_a_time_applies_the_rules() {
    let site = Site::new();
    let hour = Duration::from_secs(3600);
    // As commands have them: nobody knows whether they still run.
    let (one, two) = (u64::MAX - 1, u64::MAX - 2);
    let due = async |server, now_please| {
        let plan = RetentionPlan { every: hour, now_please, server, ..plan(&site) };
        retention::lease_due(&site.app.db, &site.app.clock, plan).await.unwrap()
    };
    assert!(due(one, false).await, "it never ran");
    assert!(!due(two, false).await && !due(two, true).await, "another server holds the lease");
    site.pass(Duration::from_secs(301));
    assert!(due(two, false).await, "the other server died");
    let plan = RetentionPlan { every: hour, now_please: false, server: two, ..plan(&site) };
    retention::run(&site.app.db, &site.app.clock, plan, None, |_| {}).await.unwrap();
    assert!(!due(one, false).await, "it ran a moment ago");
    assert!(due(one, true).await, "somebody asks for it");
    let plan = RetentionPlan { server: one, ..plan };
    retention::run(&site.app.db, &site.app.clock, plan, None, |_| {}).await.unwrap();
    site.pass(hour);
    assert!(due(two, false).await);
    // A lease from a clock that was ahead bars nobody.
    site.put_back(10 * DAY);
    assert!(due(one, false).await);
}

#[tokio::test]
async fn two_servers_that_apply_the_rules_at_once_delete_each_version_once() {
    let first = Site::new();
    publish(&first, "tool", &[("1", 90), ("2", 90), ("3", 90), ("4", 90), ("5", 90), ("6", 90)]).await;
    create(&first, json!({"name": "old", "delete_older_than_days": 30})).await;
    let both = (0..2).map(|server| {
        let plan = RetentionPlan { server, ..plan(&first) };
        retention::run(&first.app.db, &first.app.clock, plan, None, |_| {})
    });
    let done = futures_util::future::join_all(both).await;
    let deleted: u64 = done.iter().map(|outcome| outcome.as_ref().unwrap().deleted).sum();
    assert_eq!(deleted, 5);
    assert_eq!(first.db_number("SELECT count(*) AS n FROM audit WHERE event = 'version.delete'"), 5);
    assert!(first.db_broken().await.is_empty());
}

#[tokio::test]
async fn the_system_page_starts_the_job_and_shows_what_it_did() {
    let site = Site::start(Plan { metrics: true, ..Plan::default() });
    publish(&site, "tool", &[("1.0", 90), ("2.0", 90)]).await;
    create(&site, json!({"name": "old", "delete_older_than_days": 30})).await;
    let mut browser = site.browser_of("admin").await;
    browser.go("/-/admin/system").await.is(200);
    browser.submit("#task-retention form", &[]).await.is(303);
    crate::support::eventually("the job has run", async || {
        browser.go("/-/admin/system").await.is(200).one("#task-retention").contains("moved 1 version to the trash")
    })
    .await;
    assert!(browser.one("#task-retention").contains("ada/tool/1.0 is older than 30 days (rule old)"));
    assert_eq!(left(&site), ["tool/2.0"]);
    site.anon().get("/metrics").await.is(200).says("packhouse_retention_versions_total{cause=\"retention\"}");
}

#[tokio::test]
async fn rules_of_a_private_owner_look_absent_and_readers_may_not_see_them() {
    let site = Site::new();
    site.db(|conn| {
        db_org(conn, "open", Visibility::Public)?;
        db_org(conn, "shut", Visibility::Private)
    });
    let limited = site.db_limited_token("ada", &["all"], |new| new.packages = Some(vec!["tool".parse().unwrap()]));
    for org in ["open", "shut"] {
        let list = format!("/api/v1/packages/{org}/-/retention");
        let preview = format!("{list}/preview");
        let rule = json!({"name": "old", "delete_older_than_days": 30});
        for (user, sees, changes) in [("owner", 200, 201), ("admin", 200, 403), ("write", 200, 403), ("read", 403, 403)]
        {
            let user = site.user(&format!("{org}-{user}"));
            user.get(&list).await.is(sees);
            user.post(&preview, &json!({})).await.is(sees);
            user.post(&list, &rule).await.is(changes);
        }
        let closed = if org == "open" { 403 } else { 404 };
        site.user("stranger").get(&list).await.is(closed);
        site.user("stranger").post(&preview, &json!({})).await.is(closed);
        site.anon().get(&list).await.is(401);
        site.anon().bearer(&limited).get(&list).await.is(403).says("limited to some packages");
        site.anon().bearer(&limited).post(&list, &rule).await.is(403).says("limited to some packages");
    }
    let absent = site.user("stranger").get("/api/v1/packages/nobody/-/retention").await.looks();
    assert_eq!(site.user("stranger").get("/api/v1/packages/shut/-/retention").await.looks(), absent);
}

#[test]
fn the_command_previews_and_applies_rules_beside_a_server() {
    let home = Home::new();
    home.make_user("ada");
    home.make_user("bob");
    let token = home.make_token("ada");
    let server = Server::start(&home);
    for (version, bytes) in [("1", "one"), ("2", "two"), ("3-rc", "three")] {
        assert_eq!(server.put(&token, &format!("ada/generic/app/{version}/f"), bytes.as_bytes()), 201);
    }
    home.sql("UPDATE versions SET created_at = now() - interval '90 days'");
    home.sql("UPDATE versions SET expires_at = '2026-01-02T00:00:00Z' WHERE version = '3-rc'");
    home.sql(
        "INSERT INTO retention_rules (owner_id, place, name, lower_name, is_enabled, packages, versions, keep_versions, \
         delete_older_than_days, created_at, updated_at) SELECT id, 1, 'old', 'old', true, '{}', '{}', '{}', 30, now(), \
         now() FROM owners WHERE name = 'ada'",
    );
    insta::assert_snapshot!(home.ok(&["retention", "run", "--dry-run"]), @r"
    ada/app/3-rc	delete		expired at 2026-01-02T00:00:00Z
    ada/app/2	keep		is the latest stable version
    ada/app/1	delete	old	is older than 30 days
    ada/app/3-rc	delete	old	is older than 30 days
    would move 2 versions to the trash; those that rules delete have 8 bytes, of which 8 become free
    ");
    assert_eq!(server.get("ada/generic/app/1/f").0, 200, "nothing was changed");
    let out = home.ok(&["retention", "run", "--dry-run", "--owner", "bob"]);
    assert_eq!(
        out,
        "would move 0 versions to the trash; those that rules delete have 0 bytes, of which 0 become free\n"
    );
    let refused = home.run(&["retention", "run", "--owner", "nobody"]);
    assert_eq!((refused.code, refused.err.contains("there is no user or organization named nobody")), (1, true));
    home.sql("UPDATE settings SET value = jsonb_set(value, '{leased_until}', 'null') WHERE key = 'retention'");
    insta::assert_snapshot!(home.ok(&["retention", "run", "--owner", "ADA"]), @r"
    ada/app/3-rc	delete		expired at 2026-01-02T00:00:00Z
    ada/app/1	delete	old	is older than 30 days
    moved 2 versions to the trash, 8 bytes in total
    ");
    assert_eq!(server.get("ada/generic/app/1/f").0, 404);
    assert_eq!(server.get("ada/generic/app/2/f").0, 200);
    server.stop();
}
