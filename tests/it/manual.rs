//! The manual: every page, every link, and every former address of a page.

use crate::support::Site;
use crate::support::browser::Browser;
use packhouse::web::manual::front_matter;
use packhouse::web::manual::pages::ManualPages;
use reqwest::Url;
use scraper::{Html, Selector};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path.strip_prefix(root().join("docs")).unwrap().to_str().unwrap().to_owned());
        }
    }
}

/// The files of the manual's pages on the disk.
fn sources() -> BTreeSet<String> {
    let mut found = Vec::new();
    files(&root().join("docs"), &mut found);
    let is_for_developers = |file: &String| file.bytes().next().is_some_and(|first| first.is_ascii_uppercase());
    found.into_iter().filter(|file| file.ends_with(".md") && !is_for_developers(file)).collect()
}

/// The links, images and anchors of a page.
struct Links {
    to: Vec<String>,
    pictures: Vec<String>,
    anchors: BTreeSet<String>,
}

/// Those of the page at a path.
fn links(page: &str, path: &str) -> Links {
    let page = Html::parse_document(page);
    let at = Url::parse("http://site/").unwrap().join(path).unwrap();
    let whole = |to: String| {
        let absolute = at.join(&to).unwrap().to_string();
        if to.starts_with('#') {
            to
        } else {
            absolute.strip_prefix("http://site").map(str::to_owned).unwrap_or(absolute)
        }
    };
    let attrs = |selector: &str, name: &str| -> Vec<String> {
        let selector = Selector::parse(selector).unwrap();
        page.select(&selector).filter_map(|element| element.attr(name).map(str::to_owned)).collect()
    };
    Links {
        to: attrs("main a", "href").into_iter().map(whole).collect(),
        pictures: attrs("main img", "src").into_iter().map(whole).collect(),
        anchors: attrs("[id]", "id").into_iter().collect(),
    }
}

#[test]
fn every_manual_page_has_title_and_weight_and_is_in_the_program() {
    let manual = ManualPages::get();
    assert_eq!(manual.problems, Vec::<String>::new());
    let known: BTreeSet<String> = manual.pages().map(|page| page.file.clone()).collect();
    assert_eq!(known, sources(), "build again after adding or removing a page: touch src/web/manual/pages.rs");
    for page in manual.pages() {
        let text = fs::read_to_string(root().join("docs").join(&page.file)).unwrap();
        front_matter::split(&text).unwrap_or_else(|problem| panic!("docs/{}: {problem}", page.file));
        assert_eq!(page.html.matches("<h1 ").count(), 1, "{} must have exactly one title", page.file);
        assert!(!page.html.contains(" style="), "{} has an inline style", page.file);
    }
}

/// Follows the links to every page, except to other sites.
#[tokio::test]
async fn every_manual_link_leads_to_its_page_and_anchor_without_redirect() {
    let site = Site::new();
    let mut browser = site.browser();
    let mut seen: BTreeMap<String, Links> = BTreeMap::new();
    let mut todo = vec!["/docs/".to_owned()];
    let mut wrong = Vec::new();
    while let Some(path) = todo.pop() {
        if seen.contains_key(&path) {
            continue;
        }
        let page = browser.go(&path).await;
        if page.answer.status != 200 {
            wrong.push(format!("{path} answers {}", page.answer.status));
        }
        let found = links(&page.text(), &path);
        let own = found.to.iter().filter_map(|to| to.split('#').next()).filter(|to| to.starts_with("/docs"));
        todo.extend(own.map(str::to_owned));
        seen.insert(path, found);
    }
    let pages: BTreeSet<&str> = ManualPages::get().pages().map(|page| page.url.as_str()).collect();
    assert_eq!(seen.keys().map(String::as_str).collect::<BTreeSet<_>>(), pages, "{wrong:?}");
    for (path, found) in &seen {
        for to in &found.to {
            let (page, anchor) = to.split_once('#').map_or((to.as_str(), None), |(page, anchor)| (page, Some(anchor)));
            let target = if page.is_empty() { Some(found) } else { seen.get(page) };
            match (target, anchor) {
                (Some(target), Some(anchor)) if !target.anchors.contains(anchor) => {
                    wrong.push(format!("{path}: no place is called {to}"));
                }
                (Some(_), _) => {}
                (None, _) if to.starts_with("https://") || to.starts_with("http://") => {}
                (None, _) if to.starts_with('/') && site.anon().get(page).await.status < 400 => {}
                (None, _) => wrong.push(format!("{path}: {to} leads nowhere")),
            }
        }
        for picture in &found.pictures {
            let answer = site.anon().get(picture).await;
            if answer.status != 200 || !answer.header("content-type").unwrap().starts_with("image/") {
                wrong.push(format!("{path}: no picture {picture}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_former_address_of_a_manual_page_redirects() {
    let site = Site::new();
    let mut count = 0;
    for file in sources() {
        let text = fs::read_to_string(root().join("docs").join(&file)).unwrap();
        let (front_matter, _) = front_matter::split(&text).unwrap();
        let page = ManualPages::get().pages().find(|page| page.file == file).unwrap();
        for alias in &front_matter.aliases {
            for path in [alias.as_str(), alias.trim_end_matches('/'), &alias.replace("/docs/", "//docs//")] {
                let answer = site.anon().get(path).await.is(308);
                assert_eq!(answer.header("location"), Some(page.url.as_str()), "{path}");
                count += 1;
            }
        }
    }
    assert!(count > 10);
}

#[tokio::test]
async fn a_manual_page_has_one_address_that_ends_in_a_slash() {
    let site = Site::new();
    let anon = site.anon();
    for (path, to) in [
        ("/docs", "/docs/"),
        ("/docs/getting-started", "/docs/getting-started/"),
        ("/docs/usage/packages/generic?x=1", "/docs/usage/packages/generic/?x=1"),
        ("/docs//usage/packages/generic/", "/docs/usage/packages/generic/"),
    ] {
        assert_eq!(anon.get(path).await.is(308).header("location"), Some(to), "{path}");
    }
    let page = anon.get("/docs/usage/packages/generic/").await.is(200);
    assert!(page.text().contains("<link rel=\"canonical\""));
    for path in ["/docs/nothing", "/docs/nothing/", "/docs/usage/packages/", "/docs/ARCHITECTURE/", "/docs/index.md"] {
        anon.get(path).header("accept", "text/html").await.is(404).says("Page not found");
    }
    anon.post("/docs/", &serde_json::json!({})).await.is(405);
}

#[tokio::test]
async fn manual_pages_have_next_links_and_breadcrumbs() {
    let site = Site::new();
    let mut browser = site.browser();
    browser.go("/docs/").await.is(200);
    let mut met = vec!["/docs/".to_owned()];
    loop {
        assert_eq!(browser.attrs(".manual-pages [aria-current=page]", "href"), [browser.at.clone()]);
        let Some(next) = next(&browser) else { break };
        browser.go(&next).await.is(200);
        assert_eq!(browser.attrs("[rel=prev]", "href"), [met.last().unwrap().clone()]);
        met.push(next);
    }
    assert_eq!(met, ManualPages::get().pages().map(|page| page.url.clone()).collect::<Vec<_>>());
    let at = |url: &str| met.iter().position(|met| met == url).unwrap_or_else(|| panic!("{url}"));
    let order = ["/docs/getting-started/", "/docs/usage/", "/docs/usage/packages/generic/", "/docs/operations/"];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{met:?}");

    browser.go("/docs/usage/packages/generic/").await.is(200);
    assert_eq!(browser.attrs(".crumbs a", "href"), ["/docs/", "/docs/usage/"]);
    assert!(browser.attrs(".manual-sections a", "href").len() > 3);
    assert_eq!(
        browser.attrs(".copy button", "hidden").len(),
        browser.all(".copy pre").len(),
        "buttons are hidden without JavaScript"
    );
}

fn next(browser: &Browser) -> Option<String> {
    browser.attrs("[rel=next]", "href").into_iter().next()
}

#[tokio::test]
async fn a_manual_page_is_revalidated_and_sent_again_only_if_changed() {
    let site = Site::new();
    let mut browser = site.browser();
    browser.go("/docs/").await.is(200);
    browser.go("/docs/").await.is(200);
    assert_eq!(browser.answer.header("cache-control"), Some("private, no-cache"));
    let etag = browser.answer.header("etag").unwrap().to_owned();
    browser.send("GET", "/docs/", &[("if-none-match", &etag)], None).await.is(304);
    assert!(browser.answer.body.is_empty() && browser.answer.header("content-security-policy").is_some());
    let mut reader = site.browser_of("ada").await;
    reader.send("GET", "/docs/", &[("if-none-match", &etag)], None).await.is(200);
    assert_eq!((reader.answer.header("cache-control"), reader.answer.header("etag")), (Some("no-store"), None));

    let site = Site::with(&[("PACKHOUSE_REQUIRE_SIGNIN", "true")]);
    let answer = site.anon().get("/docs/getting-started/").header("accept", "text/html").await.is(303);
    assert_eq!(answer.header("location"), Some("/login?redirect_to=%2Fdocs%2Fgetting-started"));
}

/// What is read on the web: the README, and pages that are not part of the manual.
const BESIDE_THE_MANUAL: [&str; 8] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/ARCHITECTURE.md",
    "docs/CLICKS.md",
    "migrations/README.md",
    "tests/README.md",
];

#[test]
fn links_of_pages_beside_the_manual_lead_to_files() {
    for file in BESIDE_THE_MANUAL {
        let path = root().join(file);
        let text = fs::read_to_string(&path).unwrap();
        let links = text.match_indices("](").map(|(at, _)| text[at + 2..].split(')').next().unwrap());
        let pictures = text.match_indices("src=\"").chain(text.match_indices("srcset=\""));
        let pictures = pictures.map(|(at, mark)| text[at + mark.len()..].split('"').next().unwrap());
        for link in links.chain(pictures).filter(|link| !link.contains("://")) {
            let target = path.parent().unwrap().join(link.split('#').next().unwrap());
            assert!(target.exists(), "{file}: {link}");
        }
    }
}

/// Images add to the size of the program and of a clone.
#[test]
fn screenshots_are_small_and_used_both_light_and_dark() {
    let mut found = Vec::new();
    files(&root().join("docs"), &mut found);
    let texts: String =
        sources().iter().map(|file| fs::read_to_string(root().join("docs").join(file)).unwrap()).collect();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for file in found.iter().filter(|file| file.starts_with("screenshots/")) {
        let size = fs::metadata(root().join("docs").join(file)).unwrap().len();
        assert!(size < 100_000, "docs/{file} has {size} bytes");
        let light = file.replace("-dark.", ".");
        assert!(
            found.contains(&light) && found.contains(&light.replace(".webp", "-dark.webp")),
            "docs/{file} has no light or dark counterpart"
        );
        assert!(texts.contains(&light) || readme.contains(&light), "docs/{file} is used nowhere");
    }
}
