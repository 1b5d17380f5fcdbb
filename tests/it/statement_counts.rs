//! How many statements the most frequent requests take. Each costs a round trip to the database, so a longer list here
//! is a slower server, and needs a reason.

use crate::support::{Site, eventually, path, statements};

#[tokio::test]
async fn a_publish_takes_the_statements_that_are_written_down() {
    let site = Site::new();
    let file = |name: &str| path(&["ada", "tool", "1.0", name]);
    site.ci().publish(&file("first"), "first").await;
    let publish = async || {
        site.ci().publish(&file("second"), "second").await;
    };
    insta::assert_snapshot!(statements::of(&site.url, publish()).await.join("\n"), @"
    SELECT tokens
    SELECT owners
    SELECT packages
    SELECT protections
    SELECT files
    BEGIN
    SELECT tokens
    SELECT owners
    SELECT protections
    SELECT packages
    SELECT pg_advisory_xact_lock
    INSERT blobs
    INSERT files
    SELECT pg_advisory_xact_lock_shared
    SELECT owners
    INSERT usage_changes
    INSERT audit
    SELECT current_setting
    COMMIT
    ");
}

/// To parse and plan a statement takes several times as long as to run it.
#[tokio::test]
async fn the_statements_of_a_publish_and_of_a_download_are_kept_prepared() {
    let site = Site::new();
    let file = |name: &str| path(&["ada", "tool", "1.0", name]);
    site.ci().publish(&file("first"), "first").await;
    let work = async || {
        site.ci().publish(&file("second"), "second").await;
        site.reader().get(&file("second")).await.is(200);
    };
    let statements = statements::texts(&site.url, work()).await;
    let is_planned =
        |statement: &&String| !["BEGIN", "COMMIT"].contains(&statement.as_str()) && !statements::is_prepared(statement);
    let planned: Vec<&String> = statements.iter().filter(is_planned).collect();
    assert!(statements.len() > 15 && planned.is_empty(), "{planned:#?}");
}

#[tokio::test]
async fn a_download_takes_two_statements_and_a_remembered_one_none() {
    let site = Site::new();
    let file = path(&["ada", "tool", "1.0", "tool.bin"]);
    site.ci().publish(&file, "content").await;
    let read = async || {
        site.reader().get(&file).await.is(200);
    };
    insta::assert_snapshot!(statements::of(&site.url, read()).await.join("\n"), @"
    SELECT tokens
    SELECT files
    ");
    eventually("the server remembers it", async || {
        read().await;
        site.app.downloads.usage().entries > 0
    })
    .await;
    let again = statements::of(&site.url, read()).await;
    assert!(again.is_empty(), "{again:?}");
}
