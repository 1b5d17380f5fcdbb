//! Administration with a browser: the record of changes, the jobs and settings of the server.

use crate::support::{PASSWORD, Site, eventually, path, sha256};
use std::time::Duration;

#[tokio::test]
async fn the_audit_log_is_filtered_by_actor_owner_event_and_time() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1", "a"]), "x").await;
    site.pass(Duration::from_secs(86_400));
    site.stranger().publish(&path(&["stranger", "other", "1", "$(b)"]), "y").await;
    site.ci().delete(&path(&["ada", "tool", "1", "a"])).await.is(204);
    let mut browser = site.browser_of("admin").await;
    let events = |browser: &crate::support::browser::Browser| browser.all("#records tbody th");
    browser.go("/-/admin/audit").await.is(200);
    assert_eq!(events(&browser), ["session.begin", "file.delete", "file.publish", "file.publish"]);
    assert!(browser.all("#event option").contains(&"file.publish".to_owned()));
    let rows = browser.all("#records tbody tr");
    assert!(rows[3].contains("file.publish ada ada tool/1/a"), "{rows:?}");
    assert!(rows[3].contains(&sha256("x")), "the details are there");
    for (query, found) in [
        ("actor=ADA", &["file.delete", "file.publish"][..]),
        ("owner=stranger", &["file.publish"]),
        ("event=file.", &["file.delete", "file.publish", "file.publish"]),
        ("event=file", &["file.delete", "file.publish", "file.publish"]),
        ("event=file.delete", &["file.delete"]),
        ("until=2026-01-02", &["file.publish"]),
        ("since=2026-01-03&actor=ada", &["file.delete"]),
        ("since=2026-01-03T00:00:00Z&until=2026-01-03&event=file.publish", &["file.publish"]),
        ("actor=nobody-there", &[]),
    ] {
        browser.go(&format!("/-/admin/audit?{query}")).await.is(200);
        assert_eq!(events(&browser), found, "{query}");
    }
    browser.go("/-/admin/audit?since=yesterday&event=X&actor=a+b").await.is(422);
    assert!(browser.one("#since-problem").contains("2026-01-31"));
    assert_eq!(browser.all(".field-problem").len(), 3);
    assert!(browser.all(".empty").is_empty(), "nothing was searched");
    assert_eq!(browser.attrs("#event option[selected]", "value"), ["X"]);
    browser.go("/-/admin/audit?event=files").await.is(200);
    assert!(browser.one(".empty").contains("No event named files was ever recorded."));
    assert_eq!(browser.attrs("#event option[selected]", "value"), ["files"]);
    browser.go("/-/admin/audit?event=file.").await.is(200);
    assert_eq!(browser.attrs("#event option[selected]", "value"), ["file"]);
    site.browser_of("ada").await.go("/-/admin/audit").await.is(404);
}

#[tokio::test]
async fn the_audit_log_is_paged_and_exported_as_jsonl() {
    let site = Site::new();
    for number in 0..120 {
        site.ci().publish(&path(&["ada", "tool", "1", &number.to_string()]), "x").await;
    }
    let mut browser = site.browser_of("admin").await;
    browser.go("/-/admin/audit?event=file.publish").await.is(200);
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        pages += 1;
        seen.extend(browser.all("#records tbody td[data-label='Target'] summary").iter().map(|_| ()));
        let Some(next) = browser.attrs("a[rel=next]", "href").pop() else { break };
        browser.go(&next).await.is(200);
    }
    assert_eq!((pages, seen.len()), (3, 120));
    browser.go("/-/admin/audit?event=file.publish").await;
    let export = browser.attrs("#export", "href").remove(0);
    browser.go(&export).await.is(200);
    assert_eq!(browser.answer.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(browser.answer.header("content-disposition"), Some("attachment; filename=\"audit.ndjson\""));
    assert_eq!(browser.answer.header("cache-control"), Some("no-store"));
    let text = browser.text();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 120);
    assert_eq!((&lines[0]["subject"], &lines[119]["subject"]), (&"tool/1/0".into(), &"tool/1/119".into()));
    let api = site.admin().get("/api/v1/admin/audit?event=file.publish&format=ndjson").await.is(200);
    assert_eq!(api.text(), text, "the same as over the API");
    site.browser_of("ada").await.go("/-/admin/audit/export").await.is(404);
    site.browser().go("/-/admin/audit/export").await.is(303);
}

#[tokio::test]
async fn links_show_deletions_changed_rights_and_sign_ins() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1", "a"]), "x").await;
    site.ci().delete(&path(&["ada", "tool", "1", "a"])).await.is(204);
    let token = serde_json::json!({"name": "another", "scopes": ["read:package"]});
    site.ada().post("/api/v1/users/ada/tokens", &token).await.is(201);
    site.browser_of("ada").await;
    let mut browser = site.browser_of("admin").await;
    browser.go("/-/admin/audit?actor=ada").await.is(200);
    let links = browser.attrs(".choices a", "href");
    let sets = ["", "&event=deletions", "&event=rights", "&event=sign-ins"];
    assert_eq!(links, sets.map(|set| format!("/-/admin/audit?actor=ada{set}")));
    assert_eq!(browser.all(".choices a[aria-current]"), ["Everything"]);
    for (link, (event, label, set)) in links[1..].iter().zip([
        ("file.delete", "Deletions", "deletions"),
        ("token.create", "Rights", "rights"),
        ("session.begin", "Sign-ins", "sign-ins"),
    ]) {
        browser.go(link).await.is(200);
        assert_eq!(browser.all("#records tbody th"), [event]);
        assert_eq!(browser.all(".choices a[aria-current]"), [label]);
        assert_eq!(browser.attrs("#event option[selected]", "value"), [set]);
        let export = browser.attrs("#export", "href").remove(0);
        browser.go(&export).await.is(200);
        assert_eq!(browser.text().lines().count(), 1, "{export}");
    }
    browser.go("/-/admin/audit?event=file.delete").await.is(200);
    assert!(browser.all(".choices a[aria-current]").is_empty(), "a single event is none of them");
}

#[tokio::test]
async fn the_audit_log_is_exported_as_csv() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1", "$(b)"]), "x").await;
    let mut browser = site.browser_of("admin").await;
    browser.go("/-/admin/audit?event=file").await.is(200);
    let export = browser.attrs("#export-csv", "href").remove(0);
    browser.go(&export).await.is(200);
    assert_eq!(browser.answer.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(browser.answer.header("content-disposition"), Some("attachment; filename=\"audit.csv\""));
    let text = browser.text();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(lines.len(), 3, "{text}");
    let columns = "id,at,event,actor,administrator,credential,token_id,token_creator,address,owner,subject,detail";
    assert_eq!(lines[0], columns);
    assert!(lines[1].contains(",file.publish,ada,,token,"), "{text}");
    assert!(lines[1].contains(",127.0.0.1,ada,tool/1/$(b),\"{"), "{text}");
    assert!(lines[1].contains("\"\"sha256\"\""), "{text}");
    assert_eq!(lines[2], "");
}

#[tokio::test]
async fn jobs_are_started_with_a_button_and_show_their_result() {
    let site = Site::with(&[("PACKHOUSE_JOBS_SWEEP_GRACE_SECONDS", "0")]);
    site.ci().publish(&path(&["ada", "tool", "1", "a"]), vec![1; 5000]).await;
    site.ci().delete(&format!("{}?purge=true", path(&["ada", "tool", "1", "a"]))).await.is(204);
    site.pass(Duration::from_secs(3600));
    let mut browser = site.browser_of("admin").await;
    browser.go("/-/admin/system").await.is(200);
    assert!(browser.one("#task-sweep").contains("Not run since the server started"));
    browser.submit("#task-sweep form", &[]).await.is(303);
    browser.follow().await.is(200);
    assert!(browser.one("main .notice.good").contains("Garbage collection started"));
    eventually("the sweep has ended", async || {
        browser.go("/-/admin/system").await.is(200).one("#task-sweep").contains("removed")
    })
    .await;
    assert!(
        browser.one("#task-sweep").contains("removed 1 blob without a file and 0 leftovers, 4.9 KiB in total"),
        "{}",
        browser.one("#task-sweep")
    );
    assert_eq!(site.store_blobs(), 0);
    assert!(site.db_audit().last().unwrap().starts_with("task.start by admin with session"));

    // A row that something went wrong with.
    site.ci().publish(&path(&["ada", "tool", "2", "b"]), vec![2; 5000]).await;
    site.db_execute("UPDATE blobs SET sha512 = NULL, sha1 = NULL, md5 = NULL");
    browser.submit("#task-check form", &[]).await.is(303);
    eventually("the check has ended", async || {
        browser.go("/-/admin/system").await.is(200).one("#task-check").contains("problem")
    })
    .await;
    let row = browser.one("#task-check");
    assert!(
        row.contains("Needs attention")
            && row.contains("1 problem in 1 file and 1 blob (4.9 KiB); 0 blobs pending garbage collection"),
        "{row}"
    );
    assert!(row.contains("ada/tool/2/b: its SHA-512, SHA-1 and MD5 are not recorded"), "{row}");
    let csrf = browser.csrf();
    browser.post("/-/admin/system/tasks/counts", format!("csrf={csrf}")).await.is(404);
    browser.post("/-/admin/system/tasks/nonsense", format!("csrf={csrf}")).await.is(404);
}

#[tokio::test]
async fn settings_are_shown_as_configured_and_secrets_are_not() {
    let secret = "a token for metrics";
    let site = Site::with(&[("PACKHOUSE_METRICS_TOKEN", secret), ("PACKHOUSE_QUOTA_BYTES", "12345")]);
    let mut browser = site.browser_of("admin").await;
    browser.go("/-/admin/system").await.is(200);
    let rows = browser.all("#settings-table tbody tr");
    assert!(rows.contains(&"quota.bytes 12345 not the default".to_owned()), "{rows:?}");
    assert!(rows.contains(&"quota.versions -1".to_owned()));
    assert!(rows.contains(&"metrics.token set, not shown not the default".to_owned()));
    assert!(rows.contains(&"admin.password not set".to_owned()));
    let page = browser.text();
    assert!(!page.contains(secret) && !page.contains(&site.url) && !page.contains(PASSWORD));
    let facts = browser.one("#facts");
    assert!(facts.contains("Postgres") && facts.contains("connections"), "{facts}");
    assert!(browser.one("#task-scrub").contains("Reads each file once in 30 days (jobs.scrub_every_days)."));
}
