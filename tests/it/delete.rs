//! Deleting files and versions.

use crate::support::{Site, path};

fn file(version: &str, name: &str) -> String {
    path(&["ada", "tool", version, name])
}

#[tokio::test]
async fn deleting_a_file_is_204_once_and_404_afterwards() {
    let site = Site::new();
    site.ci().publish(&file("1", "a"), "one").await;
    site.ci().publish(&file("1", "b"), "two").await;
    let answer = site.ci().delete(&file("1", "A")).await.is(204);
    assert!(answer.body.is_empty());
    site.ci().delete(&file("1", "a")).await.is(404).says("package file not found");
    site.anon().get(&file("1", "a")).await.is(404);
    assert_eq!(site.anon().get(&file("1", "b")).await.is(200).text(), "two");
    assert_eq!(site.anon().get(&path(&["ada", "tool", "1"])).await.lines(), ["b"]);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn deleting_the_last_file_deletes_its_version_and_its_package() {
    let site = Site::new();
    for version in ["1", "2"] {
        site.ci().publish(&file(version, "a"), "x").await;
    }
    site.ci().delete(&file("1", "a")).await.is(204);
    assert_eq!(site.anon().get(&path(&["ada", "tool"])).await.lines(), ["2"]);
    site.anon().get(&path(&["ada", "tool", "1"])).await.is(404).says("package version not found");
    site.ci().delete(&file("2", "a")).await.is(204);
    site.anon().get(&path(&["ada", "tool"])).await.is(404).says("package not found");
    for table in ["packages", "versions", "files"] {
        assert_eq!(site.db_number(&format!("SELECT count(*) AS n FROM {table}")), 0, "{table}");
    }
    assert!(site.db_broken().await.is_empty());
    site.ci().publish(&file("1", "a"), "again").await;
    assert_eq!(site.anon().get(&file("1", "a")).await.text(), "again");
}

#[tokio::test]
async fn deleting_a_version_deletes_its_files_and_no_others() {
    let site = Site::new();
    for version in ["1.0-RC", "2"] {
        for name in ["a", "b", "c"] {
            site.ci().publish(&file(version, name), "x").await;
        }
    }
    site.ci().delete(&path(&["Ada", "TOOL", "1.0-rc"])).await.is(204);
    site.ci().delete(&path(&["ada", "tool", "1.0-rc"])).await.is(404);
    site.anon().get(&file("1.0-rc", "a")).await.is(404);
    assert_eq!(site.anon().get(&path(&["ada", "tool"])).await.lines(), ["2"]);
    assert_eq!(site.anon().get(&file("2", "c")).await.is(200).text(), "x");
    site.ci().delete(&path(&["ada", "tool", "2"])).await.is(204);
    site.anon().get(&path(&["ada", "tool"])).await.is(404);
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn deleting_something_missing_is_404() {
    let site = Site::new();
    site.ci().publish(&file("1", "a"), "x").await;
    for missing in [
        file("1", "b"),
        file("2", "a"),
        path(&["ada", "other", "1", "a"]),
        path(&["ada", "tool", "2"]),
        path(&["ada", "other", "1"]),
        path(&["nobody", "tool", "1", "a"]),
        path(&["ada", "tool", "latest"]),
        file("latest", "a"),
        file("1", "a.sha256"),
        file("1", "SHA256SUMS"),
    ] {
        site.ci().delete(&missing).await.is(404);
    }
    assert_eq!(site.db_number("SELECT count(*) AS n FROM audit"), 1);
}

#[tokio::test]
async fn deleting_one_of_two_identical_files_keeps_the_other_after_a_sweep() {
    let settings = &[("PACKHOUSE_TRASH_KEEP_DAYS", "0")];
    let site = Site::start(crate::support::Plan { settings, real_time: true, ..Default::default() });
    let bytes = crate::support::noise(1_300_000);
    site.ci().publish(&file("1", "a"), bytes.clone()).await;
    site.ci().publish(&file("2", "b"), bytes.clone()).await;
    assert_eq!(site.store_blobs(), 1);
    site.ci().delete(&file("1", "a")).await.is(204);
    let sweep = || site.sweep(std::time::Duration::ZERO);
    let swept = sweep().await.unwrap();
    assert_eq!((swept.unused, swept.orphans), (0, 0));
    assert!(site.anon().get(&file("2", "b")).await.is(200).body == bytes);
    site.ci().delete(&file("2", "b")).await.is(204);
    assert_eq!(sweep().await.unwrap().unused, 1);
    assert_eq!(site.store_blobs(), 0);
}
