//! Index pages of packages, versions and directories, and the programs that follow their links: `wget`, `lftp` and
//! `rclone` where they are installed.

use crate::clients::run;
use crate::support::{Site, cluster::cluster, path};
use scraper::{Html, Selector};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// A file with an unusual name in each place.
const FILES: [&str; 6] =
    ["tool.txt", "linux/amd64/tool", "linux/arm64/tool", "linux/notes & more.txt", "Docs/a#b.md", "linux.txt"];

fn version_1() -> String {
    path(&["ada", "tool", "1.0"])
}

fn url(file: &str) -> String {
    let escaped: Vec<String> = file.split('/').map(crate::support::client::escape).collect();
    format!("{}/{}", version_1(), escaped.join("/"))
}

async fn filled() -> Site {
    let site = Site::new();
    for file in FILES {
        site.ci().publish(&url(file), format!("bytes of {file}")).await;
    }
    site
}

/// The links of a page: address and text.
fn links(page: &str) -> Vec<(String, String)> {
    let (page, links) = (Html::parse_document(page), Selector::parse("a").unwrap());
    page.select(&links).map(|link| (link.attr("href").unwrap().to_owned(), link.text().collect())).collect()
}

#[tokio::test]
async fn the_index_of_a_version_links_to_its_directories_and_files_alone() {
    let site = filled().await;
    let page = site.anon().get(&format!("{}/", version_1())).header("accept", BROWSER).await.is(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("vary"), Some("Accept"));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"), "no scripts");
    let own = |href: &str, text: &str| (href.to_owned(), text.to_owned());
    assert_eq!(
        links(page.text()),
        [
            own("../", "../"),
            own("Docs/", "Docs/"),
            own("linux/", "linux/"),
            own("linux.txt", "linux.txt"),
            own("tool.txt", "tool.txt"),
        ]
    );
    let line = page.lines().into_iter().find(|line| line.contains("tool.txt")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    let (date, time) = (words[words.len() - 3], words[words.len() - 2]);
    assert_eq!(date.split('-').map(str::len).collect::<Vec<_>>(), [2, 3, 4], "{line}");
    assert_eq!((time.len(), words[words.len() - 1]), (5, "17"), "{line}");
    let line = page.lines().into_iter().find(|line| line.contains("linux/")).unwrap();
    assert!(line.ends_with('-'), "{line}");
    let head = site.anon().head(&format!("{}/", version_1())).header("accept", BROWSER).await.is(200);
    assert_eq!(head.header("content-type"), Some("text/html; charset=utf-8"));
}

#[tokio::test]
async fn the_index_of_a_directory_escapes_names() {
    let site = filled().await;
    let page = site.anon().get(&format!("{}/", url("linux"))).header("accept", BROWSER).await.is(200);
    let found: Vec<_> = links(page.text()).into_iter().map(|(href, _)| href).collect();
    assert_eq!(found, ["../", "amd64/", "arm64/", "notes%20%26%20more.txt"]);
    let page = site.anon().get(&format!("{}/", url("docs"))).await.is(200);
    assert_eq!(links(page.text())[1], ("a%23b.md".to_owned(), "a#b.md".to_owned()));
    site.ci().publish(&path(&["ada", "tool", "<b>'x'&/\"", "f"]), "x").await;
    let page = site.anon().get(&format!("{}/", path(&["ada", "tool"]))).await.is(200);
    let found = links(page.text());
    assert_eq!(found.iter().map(|(_, text)| &**text).collect::<Vec<_>>(), ["../", "1.0/", "<b>'x'&/\"/"]);
    assert!(!page.text().contains("<b>"), "{}", page.text());
    let inner = site.anon().get(&format!("{}/{}", path(&["ada", "tool"]), found[2].0)).await.is(200);
    assert!(inner.text().contains("<title>Index of ada/tool/&lt;b&gt;"), "{}", inner.text());
}

#[tokio::test]
async fn an_index_page_is_sent_to_who_prefers_it_or_asks_with_a_slash() {
    let site = filled().await;
    for address in [path(&["ada", "tool"]), version_1(), url("linux")] {
        // Without a slash, relative links would lead elsewhere.
        let moved = site.anon().get(&format!("{address}?x=1")).header("accept", BROWSER).await.is(302);
        assert_eq!(moved.header("location"), Some(&*format!("{address}/?x=1")));
        for (slash, accept, kind) in [
            ("", "*/*", "text/plain; charset=utf-8"),
            ("", "application/json, text/html;q=0.9", "application/json"),
            ("/", "*/*", "text/html; charset=utf-8"),
            ("/", "text/html", "text/html; charset=utf-8"),
            ("/", "text/plain", "text/plain; charset=utf-8"),
            ("/", "application/json", "application/json"),
        ] {
            let answer = site.anon().get(&format!("{address}{slash}")).header("accept", accept).await.is(200);
            assert_eq!(answer.header("content-type"), Some(kind), "{address}{slash} {accept}");
            assert_eq!(answer.header("vary"), Some("Accept"));
        }
    }
    // The list of an owner is never a page, and a file is a file.
    let owner = site.anon().get("/api/packages/ada/generic/").header("accept", BROWSER).await.is(200);
    assert_eq!(owner.lines(), ["tool"]);
    for (slash, accept) in [("/", "*/*"), ("/", BROWSER), ("", BROWSER)] {
        let file = site.anon().get(&format!("{}{slash}", url("linux.txt"))).header("accept", accept).await.is(200);
        assert_eq!(file.text(), "bytes of linux.txt");
    }
    for nothing in [path(&["ada", "other", ""]), format!("{}2/", version_1()), url("nothing/")] {
        site.anon().get(&nothing).header("accept", BROWSER).await.is(404);
    }
}

#[tokio::test]
async fn index_pages_work_below_a_path_of_the_host() {
    use crate::support::Proxy;
    for proxy in [Proxy::Keeps, Proxy::Strips] {
        let site = Site::behind(proxy);
        site.ci().publish(&url("linux/tool"), "x").await;
        let client = site.anon().behind(proxy);
        let moved = client.get(&format!("/packages{}", version_1())).header("accept", BROWSER).await.is(302);
        assert_eq!(moved.header("location"), Some(&*format!("/packages{}/", version_1())));
        let latest = format!("/packages{}/", path(&["ada", "tool", "latest"]));
        let moved = client.get(&latest).await.is(302);
        assert_eq!(moved.header("location"), Some(&*format!("/packages{}/", version_1())));
        client.get(&format!("/packages{}/", version_1())).await.is(200).says("<a href=\"linux/\">");
    }
}

/// The files below a directory, without those that have one of these names.
fn tree(root: &Path, without: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                left.push(entry.path());
            } else if !without.contains(&entry.file_name().to_str().unwrap()) {
                let name = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    found
}

/// What `wget -r` saves besides files: index pages, one of them under the name that was asked for.
const OF_WGET: [&str; 3] = ["index.html", "robots.txt", "1.0"];

fn expected() -> BTreeMap<String, String> {
    FILES.iter().map(|file| ((*file).to_owned(), format!("bytes of {file}"))).collect()
}

#[tokio::test]
async fn wget_mirrors_a_version_with_its_directories() {
    let site = filled().await;
    let root = format!("http://{}", site.address);
    // Both the address that ends in a slash, and a header that asks for pages.
    let header = format!("--header=Accept: {BROWSER}");
    for (address, options) in [(format!("{}/", version_1()), &[][..]), (version_1(), &[&*header])] {
        let to = tempfile::tempdir().unwrap();
        let mut wget = Command::new("wget");
        wget.args(["--no-verbose", "--no-config", "-r", "-np", "-nH", "--cut-dirs=6"]).args(options);
        wget.arg(format!("{root}{address}")).current_dir(&to);
        let Some(ran) = run(wget).await else { return };
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{said}");
        assert_eq!(tree(to.path(), &OF_WGET), expected(), "{said}");
    }
}

#[tokio::test]
async fn wget_mirrors_all_versions_of_a_private_package_with_a_password() {
    let site = filled().await;
    site.ci().publish(&path(&["ada", "tool", "2.0", "f"]), "two").await;
    site.db_execute("UPDATE owners SET visibility = 2 WHERE name = 'ada'");
    let to = tempfile::tempdir().unwrap();
    let mut wget = Command::new("wget");
    wget.args(["--no-verbose", "--no-config", "-r", "-np", "-nH", "--cut-dirs=5", "--auth-no-challenge"]);
    wget.args(["--user=ada", &format!("--password={}", cluster().people.ci)]);
    wget.arg(format!("http://{}{}/", site.address, path(&["ada", "tool"]))).current_dir(&to);
    let Some(ran) = run(wget).await else { return };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut all: BTreeMap<_, _> = expected().into_iter().map(|(name, text)| (format!("1.0/{name}"), text)).collect();
    all.insert("2.0/f".to_owned(), "two".to_owned());
    assert_eq!(tree(to.path(), &OF_WGET), all);
}

#[tokio::test]
async fn lftp_mirrors_a_version_with_its_directories() {
    let site = filled().await;
    let to = tempfile::tempdir().unwrap();
    let mut lftp = Command::new("lftp");
    let script = format!("open http://{}{}/; mirror . {}", site.address, version_1(), to.path().display());
    lftp.args(["--norc", "-c", &script]).env("HOME", to.path().parent().unwrap());
    let Some(ran) = run(lftp).await else { return };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(tree(to.path(), &[]), expected());
}

#[tokio::test]
async fn rclone_copies_a_version_with_its_directories() {
    let site = filled().await;
    let to = tempfile::tempdir().unwrap();
    let mut rclone = Command::new("rclone");
    let from = format!(":http,url='http://{}{}/':", site.address, version_1());
    rclone.args(["--config", "/dev/null", "copy", &from]).arg(to.path());
    let Some(ran) = run(rclone).await else { return };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(tree(to.path(), &[]), expected());
}
