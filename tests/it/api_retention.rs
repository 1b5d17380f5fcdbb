//! Retention rules in the REST API: creating, reading, replacing, ordering and deleting them, and what is refused.

use crate::support::Site;
use serde_json::{Value, json};

const RULES: &str = "/api/v1/packages/ada/-/retention";

async fn names(site: &Site) -> Vec<String> {
    let list = site.ada().get(RULES).await.is(200).json();
    list.as_array()
        .unwrap()
        .iter()
        .map(|rule| format!("{} {}", rule["place"], rule["name"].as_str().unwrap()))
        .collect()
}

async fn create(site: &Site, rule: &Value) -> Value {
    site.ada().post(RULES, rule).await.is(201).json()
}

#[tokio::test]
async fn a_rule_is_created_read_replaced_and_deleted() {
    let site = Site::new();
    let rule = json!({
        "name": "nightlies", "enabled": true,
        "packages": ["*"], "versions": ["*-nightly.*"], "labels": {"kind": "ci"},
        "delete_older_than_days": 14, "delete_not_downloaded_for_days": 30, "delete_superseded_prereleases": true,
        "keep_last": 5, "keep_last_per": "minor", "keep_versions": ["*-lts*"], "keep_if_downloaded_within_days": 7,
    });
    let made = site.ada().post(RULES, &rule).await.is(201);
    insta::assert_snapshot!(made.pretty(), @r#"
    {
      "created_at": "2026-01-02T03:04:05Z",
      "delete_not_downloaded_for_days": 30,
      "delete_older_than_days": 14,
      "delete_pattern": null,
      "delete_superseded_prereleases": true,
      "enabled": true,
      "id": 1,
      "keep_if_downloaded_within_days": 7,
      "keep_last": 5,
      "keep_last_per": "minor",
      "keep_pattern": null,
      "keep_versions": [
        "*-lts*"
      ],
      "labels": {
        "kind": "ci"
      },
      "match_full_name": false,
      "name": "nightlies",
      "packages": [
        "*"
      ],
      "place": 1,
      "updated_at": "2026-01-02T03:04:05Z",
      "versions": [
        "*-nightly.*"
      ]
    }
    "#);
    let made = made.json();
    let one = format!("{RULES}/{}", made["id"]);
    assert_eq!(site.reader().get(&one).await.is(200).json(), made, "whoever may publish may see it");
    // An answer can be changed and sent back.
    let mut changed = made.clone();
    changed["keep_last"] = json!(3);
    changed["delete_pattern"] = json!(".*-SNAPSHOT");
    site.pass(std::time::Duration::from_secs(60));
    let answer = site.ada().request("PUT", &one).header("content-type", "application/json").body(changed.to_string());
    let answer = answer.await.is(200).json();
    assert_eq!((&answer["keep_last"], &answer["delete_pattern"]), (&json!(3), &json!(".*-SNAPSHOT")));
    assert_eq!((&answer["created_at"], &answer["updated_at"]), (&made["created_at"], &json!("2026-01-02T03:05:05Z")));
    // A field that is left out has no effect any more.
    let put = site.ada().request("PUT", &one).header("content-type", "application/json");
    let answer = put.body(json!({"name": "less", "keep_last": 1}).to_string()).await.is(200).json();
    assert_eq!((&answer["packages"], &answer["delete_older_than_days"]), (&json!([]), &Value::Null));
    site.ada().delete(&one).await.is(204);
    site.ada().get(&one).await.is(404).says("retention rule not found");
    site.ada().delete(&one).await.is(404);
    let events = site.db_texts("SELECT event || ' ' || subject AS text FROM audit ORDER BY id");
    assert_eq!(
        events,
        ["retention.create nightlies", "retention.update nightlies", "retention.update less", "retention.delete less"]
    );
}

#[tokio::test]
async fn rules_keep_their_order_and_a_place_moves_them() {
    let site = Site::new();
    for name in ["a", "b", "c"] {
        create(&site, &json!({"name": name, "keep_last": 1})).await;
    }
    let first = create(&site, &json!({"name": "d", "keep_last": 1, "place": 1})).await;
    assert_eq!(names(&site).await, ["1 d", "2 a", "3 b", "4 c"]);
    let one = format!("{RULES}/{}", first["id"]);
    let put = async |place: Value| {
        let body = json!({"name": "d", "keep_last": 1, "place": place}).to_string();
        site.ada().request("PUT", &one).header("content-type", "application/json").body(body).await
    };
    put(json!(3)).await.is(200);
    assert_eq!(names(&site).await, ["1 a", "2 b", "3 d", "4 c"]);
    put(Value::Null).await.is(200);
    assert_eq!(names(&site).await, ["1 a", "2 b", "3 d", "4 c"]);
    put(json!(99)).await.is(200);
    assert_eq!(names(&site).await, ["1 a", "2 b", "3 c", "4 d"]);
    put(json!(0)).await.is(422).says("the first place is 1");
    let page = site.ada().get(&format!("{RULES}?limit=2&page=2")).await.is(200);
    assert_eq!(page.header("x-total-count"), Some("4"));
    assert_eq!(page.json()[0]["name"], "c");
    let third = site.db_number("SELECT id AS n FROM retention_rules WHERE name = 'b'");
    site.ada().delete(&format!("{RULES}/{third}")).await.is(204);
    assert_eq!(names(&site).await, ["1 a", "2 c", "3 d"]);
}

#[tokio::test]
async fn wrong_rules_are_refused_with_the_field_and_the_reason() {
    let site = Site::new();
    create(&site, &json!({"name": "Taken", "keep_last": 1})).await;
    let many: Vec<String> = (0..101).map(|n| n.to_string()).collect();
    for (more, why) in [
        (json!({"name": ""}), "name: it is empty"),
        (json!({"name": "taken"}), "retention rule already exists"),
        (json!({"keep_last": null}), "neither deletes nor keeps anything"),
        (json!({"keep_last": 0}), "neither deletes nor keeps anything"),
        (json!({"keep_lsat": 5}), "unknown field `keep_lsat`"),
        (json!({"keep_last": -1}), "keep_last: use a whole number from 0 to 1000"),
        (json!({"keep_last": 1.5}), "keep_last: "),
        (json!({"keep_last_per": "day"}), "keep_last_per: "),
        (json!({"delete_older_than_days": 36_501}), "delete_older_than_days: use a whole number from 0 to 36500"),
        (json!({"versions": [""]}), "versions[0]: it is empty"),
        (json!({"versions": many}), "101 patterns are too many"),
        (json!({"labels": {"a": 1}}), "labels"),
        (json!({"labels": {"a": "x\u{0}"}}), "is invalid: use names and values of up to 255 bytes"),
        (json!({"delete_pattern": "("}), "delete_pattern: the regular expression is invalid: unclosed group"),
        (json!({"keep_pattern": "(\\w{500}){500}"}), "keep_pattern: the regular expression is too large"),
        (json!({"keep_pattern": "x".repeat(501)}), "keep_pattern: the regular expression is longer than 500 bytes"),
    ] {
        let mut rule = json!({"name": "new", "keep_last": 1});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        site.ada().post(RULES, &rule).await.is(422).says(why);
        if !why.contains("exists") {
            let preview = json!({"rules": [rule]});
            site.ada().post(&format!("{RULES}/preview"), &preview).await.is(422);
        }
    }
    assert_eq!(names(&site).await, ["1 Taken"]);
}

#[tokio::test]
async fn an_owner_has_at_most_a_hundred_rules() {
    let site = Site::new();
    site.db_execute(
        "INSERT INTO retention_rules (owner_id, place, name, lower_name, is_enabled, packages, versions, keep_versions, \
         created_at, updated_at) SELECT o.id, n, n::text, n::text, true, '{}', '{}', '{1}', now(), now() \
         FROM owners o, generate_series(1, 100) n WHERE o.name = 'ada'",
    );
    let rule = json!({"name": "one more", "keep_last": 1});
    site.ada().post(RULES, &rule).await.is(422).says("already has 100 retention rules");
    let first = site.db_number("SELECT min(id) AS n FROM retention_rules");
    site.ada().delete(&format!("{RULES}/{first}")).await.is(204);
    create(&site, &rule).await;
    let many: Vec<Value> = (0..101).map(|n| json!({"name": n.to_string(), "keep_last": 1})).collect();
    let answer = site.ada().post(&format!("{RULES}/preview"), &json!({"rules": many})).await;
    answer.is(422).says("at most 100");
}

#[tokio::test]
async fn a_preview_without_a_body_uses_the_stored_rules() {
    let site = Site::new();
    site.ci().publish(&crate::support::path(&["ada", "tool", "1", "f"]), "x").await;
    site.ci().publish(&crate::support::path(&["ada", "tool", "2", "f"]), "y").await;
    create(&site, &json!({"name": "all", "delete_older_than_days": 0})).await;
    let preview = format!("{RULES}/preview");
    for answer in [site.ci().request("POST", &preview).await, site.ci().post(&preview, &json!({})).await] {
        let answer = answer.is(200).json();
        assert_eq!((&answer["deleted"], &answer["kept"], &answer["free_bytes"]), (&json!(1), &json!(1), &json!(1)));
        assert_eq!(answer["versions"][1]["rule"], "all");
    }
    let nothing = site.ci().post(&preview, &json!({"rules": []})).await.is(200).json();
    assert_eq!(nothing["deleted"], 0);
    site.ci().post(&preview, &json!([])).await.is(422);
}

#[tokio::test]
async fn a_preview_reads_no_more_rules_than_an_owner_can_have() {
    let site = Site::new();
    let preview = format!("{RULES}/preview");
    let rules = |count: usize| json!({"rules": vec![json!({"name": "a", "delete_pattern": "x"}); count]});
    site.ada().post(&preview, &rules(101)).await.is(422).says("at most 100 are possible");
    let long = json!({"rules": [{"name": "a", "packages": vec!["p".repeat(200); 400]}]});
    site.ada().post(&preview, &long).await.is(422).says("longer than 65536 bytes");
    let large = json!({"rules": [{"name": "a", "delete_pattern": "\\pL{300}"}]});
    site.ada().post(&preview, &large).await.is(422).says("too large when compiled");
}

#[tokio::test]
async fn a_token_that_may_not_publish_sees_no_drafts_in_a_preview() {
    let site = Site::new();
    site.ci().publish(&crate::support::path(&["ada", "tool", "1", "f"]), "x").await;
    let draft = format!("{}?draft=true", crate::support::path(&["ada", "tool", "2", "f"]));
    site.ci().publish(&draft, "x").await;
    let preview = format!("{RULES}/preview");
    let seen = |answer: crate::support::Answer| {
        let json = answer.is(200).json();
        (json["kept"].as_i64(), json["versions"].as_array().map(Vec::len))
    };
    assert_eq!(seen(site.ci().post(&preview, &json!({})).await), (Some(2), Some(2)));
    assert_eq!(seen(site.reader().post(&preview, &json!({})).await), (Some(1), Some(1)));
}
