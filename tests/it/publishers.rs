//! Trusted publishers: creating, changing and deleting them, through the API and on the owner's pages.

use crate::support::issuer::Issuer;
use crate::support::{Site, path};
use crate::trusted_publishing::{PUBLISHERS, Tells, exchange, github, github_publisher, job, site_for, trust, with};
use futures_util::future::join_all;
use serde_json::{Value, json};

#[tokio::test]
async fn publishers_are_managed_by_owners_who_sign_in_with_a_password() {
    let issuer = Issuer::new();
    let site = site_for(&issuer, &[]);
    let new = github_publisher(&issuer);
    let all = site.anon().bearer(&site.db_token("ada", &["all"]));
    all.post(PUBLISHERS, &new).await.is(403).tells("an access token cannot do this");
    let made = site.ada().post(PUBLISHERS, &new).await.is(201);
    let one = format!("{PUBLISHERS}/{}", made.json()["id"]);
    assert_eq!(all.get(&one).await.is(200).json(), made.json());
    assert_eq!(
        made.json()["conditions"][2],
        json!({"claim": "workflow_ref", "equals": null, "one_of": null,
        "glob": "acme/tool/.github/workflows/release.yml@*"})
    );
    site.ada().post(PUBLISHERS, &new).await.is(422).tells("publisher already exists");
    // Robots and publishers share their names, and are no two ways to one account.
    let robots = "/api/v1/orgs/acme/robots";
    site.ada().post(robots, &json!({"name": "GITHUB"})).await.is(422).tells("robot already exists");
    assert_eq!(site.ada().get(robots).await.is(200).json(), json!([]));
    site.ada().get(&format!("{robots}/github")).await.is(404);
    let token = json!({"name": "t", "scopes": ["write:package"]});
    site.ada().post(&format!("{robots}/github/tokens"), &token).await.is(404);
    let grant = json!({"robot": "github", "pattern": "*", "permission": "admin"});
    site.ada().post("/api/v1/packages/acme/-/grants", &grant).await.is(422);
    let condition = |condition: Value| with(with(new.clone(), "name", json!("x")), "conditions", json!([condition]));
    for (body, says) in [
        (with(new.clone(), "name", json!("a b")), "name"),
        (with(new.clone(), "packages", json!("a b")), "packages"),
        (with(new.clone(), "provider", json!("jenkins")), "provider"),
        (with(new.clone(), "issuer", json!("nonsense")), "issuer"),
        (with(new.clone(), "issuer", json!("https://gitlab.com")), "use the provider gitlab"),
        (with(new.clone(), "conditions", json!([])), "claim repository"),
        (condition(json!({"claim": "repository", "glob": "*"})), "claim repository"),
        (condition(json!({"claim": "repository"})), "set one of equals, one_of and glob"),
        (
            condition(json!({"claim": "repository", "equals": "a/b", "glob": "a/*"})),
            "set one of equals, one_of and glob",
        ),
        (condition(json!({"claim": "repository", "one_of": []})), "1 to 50 values"),
        (condition(json!({"claim": "", "equals": "a/b"})), "has a claim"),
    ] {
        site.ada().post(PUBLISHERS, &body).await.is(422).tells(says);
    }
    // The issuers of GitHub and GitLab need not be named.
    let short = json!({"name": "gitlab", "packages": "*", "provider": "gitlab",
        "conditions": [{"claim": "project_path", "equals": "acme/tool"}]});
    assert_eq!(site.ada().post(PUBLISHERS, &short).await.is(201).json()["issuer"], "https://gitlab.com");
    let listed = site.ada().get(&format!("{PUBLISHERS}?limit=1")).await.is(200);
    assert_eq!((listed.header("x-total-count"), &listed.json()[0]["name"]), (Some("2"), &json!("github")));
    exchange(&site, &issuer.sign(&github(&site))).await.is(200);
    assert_eq!(all.get(&one).await.is(200).json()["last_used_at"], json!(site.now()));
    all.delete(&one).await.is(204);
    all.delete(&one).await.is(404);
    let log = site.db_audit();
    let of_publishers: Vec<&String> = log.iter().filter(|line| line.contains("acme/git")).collect();
    assert_eq!(
        (of_publishers.len(), &**of_publishers[0], &**of_publishers[3]),
        (
            4,
            "publisher.create by ada with password from 127.0.0.1 on acme acme/github",
            "publisher.delete by ada with token from 127.0.0.1 on acme acme/github"
        )
    );
    assert!(
        of_publishers[2].starts_with("token.create by acme/github with token from 127.0.0.1 on acme/github identity ")
    );
}

#[tokio::test]
async fn a_publisher_is_changed_and_what_it_trusted_before_ends() {
    let issuer = Issuer::new();
    let site = site_for(&issuer, &[]);
    let made = trust(&site, &issuer).await;
    let one = format!("{PUBLISHERS}/{}", made["id"]);
    let other = json!({"name": "other", "packages": "*", "provider": "gitlab",
        "conditions": [{"claim": "project_path", "equals": "acme/tool"}]});
    let other = site.ada().post(PUBLISHERS, &other).await.is(201).json();
    let running = job(&site, &issuer, &github(&site)).await;
    running.publish(&path(&["acme", "tool-x", "1.0", "f"]), "f").await;

    // A name alone ends no token, and files show it from now on.
    let renamed = site.ada().patch(&one, &json!({"name": "release"})).await.is(200).json();
    let mut expected = made.clone();
    (expected["name"], expected["account"]) = (json!("release"), json!("acme/release"));
    expected["last_used_at"] = json!(site.now());
    assert_eq!(renamed, expected);
    running.publish(&path(&["acme", "tool-x", "1.0", "g"]), "g").await;
    let version = site.ada().get("/api/v1/packages/acme/generic/tool-x/1.0").await.is(200).json();
    assert_eq!(version["creator"]["login"], "acme/release", "{version}");

    // Everything else ends them, because the job might get none now.
    let narrow = json!({"packages": "tool-y", "environment": null, "conditions": [
        {"claim": "repository", "equals": "acme/tool"}, {"claim": "ref", "glob": "refs/tags/*"}]});
    let changed = site.ada().patch(&one, &narrow).await.is(200).json();
    assert_eq!((&changed["packages"], &changed["environment"]), (&json!("tool-y"), &json!(null)));
    assert_eq!(changed["conditions"][1]["glob"], "refs/tags/*");
    running.get("/api/v1/token").await.is(401);
    let elsewhere = with(github(&site), "environment", json!("test"));
    let next = job(&site, &issuer, &elsewhere).await;
    next.publish(&path(&["acme", "tool-y", "1.0", "f"]), "f").await;
    next.put(&path(&["acme", "tool-x", "1.0", "h"]), "h").await.is(403);
    let branch = with(with(github(&site), "ref", json!("refs/heads/main")), "environment", json!("test"));
    exchange(&site, &issuer.sign(&branch)).await.is(403).tells("the claim ref does not fit");

    let all = site.anon().bearer(&site.db_token("ada", &["all"]));
    // The same values change nothing, not even the log.
    let before = site.db_audit();
    assert_eq!(site.ada().patch(&one, &json!({})).await.is(200).json()["account"], "acme/release");
    site.ada().patch(&one, &json!({"packages": "tool-y", "name": "release", "environment": null})).await.is(200);
    next.get("/api/v1/token").await.is(200);
    // Whatever is no publisher is refused, and nothing changes.
    for (body, says) in [
        (json!({"name": "a b"}), "name"),
        (json!({"name": "OTHER"}), "publisher already exists"),
        (json!({"packages": "a b"}), "packages"),
        (json!({"provider": "jenkins"}), "provider"),
        (json!({"provider": "gitlab"}), "claim project_path"),
        (json!({"issuer": "nonsense"}), "issuer"),
        (json!({"issuer": "http://10.0.0.1"}), "allowed_issuers"),
        (json!({"issuer": "https://gitlab.com"}), "use the provider gitlab"),
        (json!({"conditions": []}), "claim repository"),
        (json!({"conditions": [{"claim": "repository"}]}), "set one of equals, one_of and glob"),
        (json!({"environment": ""}), "environment"),
    ] {
        site.ada().patch(&one, &body).await.is(422).tells(says);
    }
    all.patch(&one, &json!({"packages": "*"})).await.is(403).tells("an access token cannot do this");
    site.user("acme-admin").patch(&one, &json!({"packages": "*"})).await.is(403);
    site.user("stranger").patch(&one, &json!({"packages": "*"})).await.is(404);
    site.ada().patch(&format!("{PUBLISHERS}/999999"), &json!({})).await.is(404);
    let elsewhere = format!("/api/v1/packages/ada/-/publishers/{}", made["id"]);
    site.ada().patch(&elsewhere, &json!({"packages": "*"})).await.is(404);
    assert_eq!(site.ada().get(&one).await.json()["packages"], "tool-y");
    assert_eq!(site.ada().get(&format!("{PUBLISHERS}/{}", other["id"])).await.is(200).json(), other);
    assert_eq!(site.db_audit(), before);
    let details = site.db_texts("SELECT detail::text AS text FROM audit WHERE event = 'publisher.update' ORDER BY id");
    let details: Vec<Value> = details.iter().map(|detail| serde_json::from_str(detail).unwrap()).collect();
    let names = |of: &str| (details[0][of]["name"].clone(), details[0][of]["packages"].clone());
    assert_eq!(
        (details.len(), names("before"), names("after")),
        (2, (json!("github"), json!("tool-*")), (json!("release"), json!("tool-*")),)
    );
    assert_eq!(details[1]["before"]["environment"], "release");
    assert_eq!(
        details[1]["after"],
        json!({"id": made["id"], "name": "release", "packages": "tool-y", "provider": "github",
            "issuer": issuer.url(), "environment": null, "conditions": [
            {"claim": "repository", "equals": "acme/tool"}, {"claim": "ref", "glob": "refs/tags/*"}]})
    );
}

#[tokio::test]
async fn jobs_and_changes_at_once_leave_no_token_of_the_old_conditions() {
    let issuer = Issuer::new();
    let site = site_for(&issuer, &[]);
    let made = trust(&site, &issuer).await;
    let one = format!("{PUBLISHERS}/{}", made["id"]);
    for round in 0..4 {
        let packages = format!("tool-{round}");
        let tokens: Vec<String> = (0..4).map(|_| issuer.sign(&github(&site))).collect();
        let jobs = join_all(tokens.iter().map(|token| exchange(&site, token)));
        let body = json!({"packages": packages});
        let (answers, changed) = tokio::join!(jobs, site.ada().patch(&one, &body));
        changed.is(200);
        for answer in answers {
            let answer = answer.is(200).json();
            let token = site.anon().bearer(answer["token"].as_str().unwrap());
            let expected = if answer["packages"] == packages { 200 } else { 401 };
            token.get("/api/v1/token").await.is(expected);
        }
    }
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn each_system_has_a_small_form_on_the_owners_page() {
    let issuer = Issuer::new();
    let url = issuer.url();
    let site = Site::with(&[("PACKHOUSE_TRUSTED_PUBLISHING_ALLOWED_ISSUERS", &*url)]);
    let mut browser = site.browser_of("ada").await;
    browser.go("/ada/-/access").await.is(200);
    let page = "/ada/-/publishers";
    browser.go(page).await.is(200);
    assert_eq!(browser.attrs("#issuer", "value"), ["https://token.actions.githubusercontent.com"]);
    let common = [("packages", "tool-*"), ("issuer", &*url), ("environment", "release")];
    for (provider, fields, conditions) in [
        (
            "github",
            &[("repository", "acme/tool"), ("repository_owner_id", "7"), ("workflow", "release.yml")][..],
            json!([{"claim": "repository", "equals": "acme/tool"}, {"claim": "repository_owner_id", "equals": "7"},
                {"claim": "workflow_ref", "glob": "acme/tool/.github/workflows/release.yml@*"}]),
        ),
        (
            "gitlab",
            &[("project_path", "acme/tools/cli")],
            json!([{"claim": "project_path", "equals": "acme/tools/cli"}, {"claim": "ref_protected", "equals": "true"}]),
        ),
        ("forgejo", &[("repository", "acme/*")], json!([{"claim": "repository", "glob": "acme/*"}])),
        (
            "gitea",
            &[("repository", "acme/tool"), ("workflow", "ci.yaml")],
            json!([{"claim": "repository", "equals": "acme/tool"},
                {"claim": "workflow_ref", "glob": "acme/tool/.*/workflows/ci.yaml@*"}]),
        ),
        (
            "kubernetes",
            &[("namespace", "builds"), ("service_account", "publisher")],
            json!([{"claim": "sub", "equals": "system:serviceaccount:builds:publisher"}]),
        ),
        (
            "other",
            &[("subject", "job-*"), ("conditions", "trusted=true\r\n a = b*\r\n")],
            json!([{"claim": "sub", "glob": "job-*"}, {"claim": "trusted", "equals": "true"}, {"claim": "a", "glob": "b*"}]),
        ),
    ] {
        browser.go(&format!("{page}?provider={provider}")).await.is(200);
        assert_eq!(browser.all(".choices [aria-current]").len(), 1);
        let form = format!("form[action='{page}?provider={provider}']");
        let mut values = vec![("name", provider)];
        values.extend(common.iter().filter(|(name, _)| browser.all(&format!("#{name}")).len() == 1));
        values.extend(fields);
        browser.submit(&form, &values).await.is(303);
        browser.follow().await.is(200);
        assert!(browser.one(".notice.good").starts_with(&format!("Publisher ada/{provider} created.")));
        let listed = site.ada().get("/api/v1/packages/ada/-/publishers").await.is(200).json();
        let made = listed.as_array().unwrap().iter().find(|one| one["name"] == provider).unwrap();
        let mut shown = made["conditions"].clone();
        for condition in shown.as_array_mut().unwrap() {
            condition.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
        assert_eq!((shown, &made["provider"]), (conditions, &json!(provider)));
        let environment = if provider == "kubernetes" { json!(null) } else { json!("release") };
        assert_eq!(made["environment"], environment);
    }
    // Problems are shown beside their fields, and what was typed is kept.
    browser.go(page).await.is(200);
    let form = format!("form[action='{page}?provider=github']");
    let wrong = [
        ("name", "github"),
        ("packages", "a b"),
        ("repository", "https://github.com/acme/tool"),
        ("repository_owner_id", "acme"),
        ("workflow", ".github/workflows/release.yml"),
    ];
    browser.submit(&form, &wrong).await.is(422);
    assert_eq!(browser.all("#problems a").len(), 2);
    assert_eq!(browser.attrs("#packages", "value"), ["a b"]);
    let wrong = [
        ("name", "github"),
        ("packages", "a"),
        ("repository", "a/b"),
        ("repository_owner_id", "x"),
        ("workflow", "a/b.yml"),
    ];
    browser.submit(&form, &wrong).await.is(422);
    assert_eq!(browser.all(".field-problem").len(), 2);
    browser
        .submit(
            &form,
            &[
                ("name", "github"),
                ("packages", "a"),
                ("repository", "a/b"),
                ("repository_owner_id", ""),
                ("workflow", ""),
            ],
        )
        .await
        .is(422);
    assert!(browser.one("#name-problem").contains("has this name"));
    browser.submit(&form, &[("name", "z"), ("issuer", "http://10.0.0.1")]).await.is(422);
    assert!(browser.one("#issuer-problem").contains("allowed_issuers"));
    browser.go(page).await.is(200);
    assert_eq!(browser.all("#publisher-list tbody tr").len(), 6);
    let deletion = browser.attrs("#publisher-list form", "action")[0].clone();
    browser.submit(&format!("form[action='{deletion}']"), &[]).await.is(303);
    browser.follow().await.is(200);
    assert!(browser.one(".notice.good").starts_with("Publisher ada/forgejo deleted."));
    assert_eq!(browser.all("#publisher-list tbody tr").len(), 5);
    let mut other = site.browser_of("stranger").await;
    other.go(page).await.is(403);
}

#[tokio::test]
async fn the_page_of_a_publisher_shows_its_form_again() {
    let issuer = Issuer::new();
    let url = issuer.url();
    let site = Site::with(&[("PACKHOUSE_TRUSTED_PUBLISHING_ALLOWED_ISSUERS", &*url)]);
    let (api, page) = ("/api/v1/packages/ada/-/publishers", "/ada/-/publishers");
    let mut browser = site.browser_of("ada").await;
    let glob = |claim: &str, value: &str| json!({"claim": claim, "glob": value});
    let is = |claim: &str, value: &str| json!({"claim": claim, "equals": value});
    for (provider, conditions, shown) in [
        (
            "github",
            json!([
                is("repository", "acme/tool"),
                is("repository_owner_id", "7"),
                glob("workflow_ref", "acme/tool/.github/workflows/release.yml@*")
            ]),
            &[("repository", "acme/tool"), ("repository_owner_id", "7"), ("workflow", "release.yml")][..],
        ),
        (
            "gitlab",
            json!([glob("project_path", "acme/*"), is("ref_protected", "true")]),
            &[("project_path", "acme/*"), ("ref_protected", "")],
        ),
        ("forgejo", json!([is("repository", "acme/tool")]), &[("repository", "acme/tool"), ("workflow", "")]),
        (
            "gitea",
            json!([is("repository", "acme/tool"), glob("workflow_ref", "acme/tool/.*/workflows/ci.yaml@*")]),
            &[("workflow", "ci.yaml")],
        ),
        (
            "kubernetes",
            json!([is("sub", "system:serviceaccount:builds:publisher")]),
            &[("namespace", "builds"), ("service_account", "publisher")],
        ),
        ("other", json!([glob("sub", "job-*"), is("trusted", "true"), glob("a", "b*")]), &[("subject", "job-*")]),
        // Conditions for which the form has no field stay as they are.
        ("github", json!([is("repository", "acme/tool"), is("ref_type", "tag")]), &[]),
        ("gitlab", json!([{"claim": "project_path", "one_of": ["acme/a", "acme/b"]}]), &[]),
        ("other", json!([is("sub", "with*star")]), &[]),
    ] {
        let new = json!({"name": "one", "packages": "tool-*", "provider": provider, "issuer": url,
            "conditions": conditions, "environment": if provider == "kubernetes" { None } else { Some("release") }});
        let made = site.ada().post(api, &new).await.is(201).json();
        browser.go(page).await.is(200);
        let edit = browser.attrs("#publisher-list a", "href").remove(0);
        assert_eq!(edit, format!("{page}/{}/edit", made["id"]));
        browser.go(&edit).await.is(200);
        for (field, value) in shown {
            let attribute = if *field == "ref_protected" { "checked" } else { "value" };
            assert_eq!(browser.attrs(&format!("#{field}"), attribute), [*value], "{provider} {field}");
        }
        assert_eq!(browser.all("#kept-conditions").len(), usize::from(shown.is_empty()), "{provider}");
        assert_eq!(browser.attrs("#name, #packages, #issuer", "value"), ["one", "tool-*", &url]);
        let form = format!("form[action='{edit}']");
        browser.submit(&form, &[("name", "two"), ("packages", "app-*")]).await.is(303);
        browser.follow().await.is(200);
        assert_eq!(browser.one(".notice.good"), "Publisher ada/two saved.");
        let mut expected = made.clone();
        for (field, value) in [("name", "two"), ("account", "ada/two"), ("packages", "app-*")] {
            expected[field] = json!(value);
        }
        let one = format!("{api}/{}", made["id"]);
        assert_eq!(site.ada().get(&one).await.is(200).json(), expected, "{provider}");
        site.ada().delete(&one).await.is(204);
    }

    // Problems are shown beside their fields, and what was typed is kept.
    let made = site.ada().post(api, &github_publisher(&issuer)).await.is(201).json();
    site.ada().post(api, &with(github_publisher(&issuer), "name", json!("taken"))).await.is(201);
    let edit = format!("{page}/{}/edit", made["id"]);
    let form = format!("form[action='{edit}']");
    browser.go(&edit).await.submit(&form, &[("packages", "a b"), ("repository", "acme")]).await.is(422);
    assert_eq!(browser.all("#problems a").len(), 2);
    assert_eq!(browser.attrs("#packages, #repository", "value"), ["a b", "acme"]);
    browser.go(&edit).await.submit(&form, &[("issuer", "http://10.0.0.1")]).await.is(422);
    assert!(browser.one("#issuer-problem").contains("allowed_issuers"));
    browser.go(&edit).await.submit(&form, &[("name", "Taken")]).await.is(422);
    assert!(browser.one("#name-problem").contains("has this name"));
    assert_eq!(site.ada().get(&format!("{api}/{}", made["id"])).await.json(), made);
    browser.go(&format!("{page}/999999/edit")).await.is(404);
    let mut stranger = site.browser_of("stranger").await;
    stranger.go(&edit).await.is(403);
}
