//! Lists of the generic protocol: versions of a package, files of a version, as text and as JSON.

use crate::support::{Site, noise, path};
use serde_json::Value;
use std::time::Duration;

fn file(version: &str, name: &str) -> String {
    path(&["ada", "tool", version, name])
}

fn package() -> String {
    path(&["ada", "tool"])
}

#[tokio::test]
async fn a_plain_list_has_one_name_per_line_oldest_first() {
    let site = Site::new();
    for version in ["2.0", "1.0", "10.0 beta"] {
        for name in ["z", "a", "m n"] {
            site.ci().publish(&file(version, name), "x").await;
        }
    }
    let versions = site.anon().get(&package()).await.is(200);
    assert_eq!(versions.text(), "2.0\n1.0\n10.0 beta\n");
    insta::assert_snapshot!(versions.shown(), @r"
    200
    cache-control: private, no-cache
    content-length: 18
    content-type: text/plain; charset=utf-8
    vary: Accept
    x-content-type-options: nosniff
    x-total-count: 3
    ");
    let files = site.anon().get(&path(&["ada", "tool", "10.0 beta"])).await.is(200);
    assert_eq!(files.text(), "z\na\nm n\n");
    for url in [package(), path(&["ada", "tool", "1.0"])] {
        let (get, head) = (site.anon().get(&url).await, site.anon().head(&url).await);
        assert_eq!((get.shown(), head.body.len()), (head.shown(), 0));
    }
}

#[tokio::test]
async fn json_version_lists_have_sizes_dates_and_counts() {
    let site = Site::new();
    site.ci().publish(&file("1.0", "a"), noise(1000)).await;
    site.ci().publish(&file("1.0", "b"), noise(1000)).await;
    site.pass(Duration::from_secs(3600));
    site.ci().publish(&file("2 beta", "a"), noise(1)).await;
    insta::assert_snapshot!(site.anon().get(&package()).json().await.is(200).pretty(), @r#"
    [
      {
        "created_at": "2026-01-02T03:04:05Z",
        "deprecated": false,
        "download_count": 0,
        "expires_at": null,
        "files": 2,
        "prerelease": false,
        "size": 2000,
        "state": "published",
        "url": "/api/packages/ada/generic/tool/1.0",
        "version": "1.0",
        "yanked": false
      },
      {
        "created_at": "2026-01-02T04:04:05Z",
        "deprecated": false,
        "download_count": 0,
        "expires_at": null,
        "files": 1,
        "prerelease": false,
        "size": 1,
        "state": "published",
        "url": "/api/packages/ada/generic/tool/2%20beta",
        "version": "2 beta",
        "yanked": false
      }
    ]
    "#);
}

#[tokio::test]
async fn json_file_lists_have_all_four_digests_at_any_size() {
    let site = Site::new();
    site.ci().publish(&file("1.0", "hello.txt"), "hello").await;
    let listed = site.anon().get(&path(&["ada", "tool", "1.0"])).json().await.is(200);
    insta::assert_snapshot!(listed.pretty(), @r#"
    [
      {
        "created_at": "2026-01-02T03:04:05Z",
        "download_count": 0,
        "download_url": "/api/packages/ada/generic/tool/1.0/hello.txt",
        "id": 1,
        "md5": "5d41402abc4b2a76b9719d911017c592",
        "name": "hello.txt",
        "sha1": "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
        "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        "sha512": "9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043",
        "size": 5,
        "verified_identity": null
      }
    ]
    "#);
    let large = noise(2_200_000);
    site.ci().publish(&file("1.0", "large"), large.clone()).await;
    let listed = site.anon().get(&path(&["ada", "tool", "1.0"])).json().await.is(200).json();
    let hex = packhouse::domain::digest::to_hex;
    use sha2::Digest;
    assert_eq!(listed[1]["md5"], hex(&md5::Md5::digest(&large)));
    assert_eq!(listed[1]["sha1"], hex(&sha1::Sha1::digest(&large)));
    assert_eq!(listed[1]["sha256"], hex(&sha2::Sha256::digest(&large)));
    assert_eq!(listed[1]["sha512"], hex(&sha2::Sha512::digest(&large)));
    assert_eq!(listed[1]["size"], 2_200_000);
}

#[tokio::test]
async fn long_lists_come_in_linked_pages() {
    let site = Site::new();
    for at in 0..7 {
        site.ci().publish(&file(&format!("1.{at}"), "f"), "x").await;
        site.ci().publish(&file("1.0", &format!("g{at}")), "x").await;
    }
    for (url, total) in [(package(), "7"), (path(&["ada", "tool", "1.0"]), "8")] {
        let whole = site.anon().get(&url).await.is(200);
        assert_eq!((whole.header("x-total-count"), whole.header("link")), (Some(total), None));
        let mut names = Vec::new();
        let mut next = format!("{url}?limit=3");
        let mut pages = 0;
        loop {
            let page = site.anon().get(&next).await.is(200);
            assert_eq!(page.header("x-total-count"), Some(total));
            names.extend(page.lines().into_iter().map(str::to_owned));
            pages += 1;
            let links = page.header("link").unwrap();
            let of = |rel: &str| {
                links.split(", ").find_map(|link| Some(link.strip_suffix(&format!("; rel=\"{rel}\""))?.to_owned()))
            };
            assert_eq!(of("first").is_some(), pages > 1, "{links}");
            assert_eq!(of("prev").is_some(), pages > 1, "{links}");
            assert_eq!(of("last").is_some(), of("next").is_some(), "{links}");
            match of("next") {
                Some(link) => next = link.trim_matches(['<', '>']).to_owned(),
                None => break,
            }
        }
        assert_eq!((pages, names), (3, whole.lines().into_iter().map(str::to_owned).collect()));
        let beyond = site.anon().get(&format!("{url}?page=50&limit=3")).await.is(200);
        assert!(beyond.text().is_empty());
        assert_eq!(site.anon().get(&format!("{url}?page=50&limit=3")).json().await.json(), Value::Array(vec![]));
    }
}

#[tokio::test]
async fn an_invalid_page_is_the_first_and_no_page_number_is_too_large() {
    let site = Site::new();
    site.ci().publish(&file("1", "f"), "x").await;
    for query in ["page=0", "page=-1", "page=x", "limit=0", "limit=-5", "limit=x", "limit=99999999999999999999", "page"]
    {
        assert_eq!(site.anon().get(&format!("{}?{query}", package())).await.is(200).lines(), ["1"], "{query}");
    }
    for query in ["page=9223372036854775807", "page=1000000000&limit=9223372036854775807", "page=999999999&limit=1000"]
    {
        let answer = site.anon().get(&format!("{}?{query}", package())).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    }
}

#[tokio::test]
async fn listing_something_missing_is_404() {
    let site = Site::new();
    site.ci().publish(&file("1", "f"), "x").await;
    site.anon().get(&path(&["ada", "other"])).await.is(404).says("package not found");
    site.anon().get(&path(&["ada", "tool", "2"])).await.is(404).says("package version not found");
    site.anon().get(&path(&["ada", "other", "1"])).await.is(404).says("package not found");
}
