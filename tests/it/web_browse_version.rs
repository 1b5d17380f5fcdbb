//! A version in a browser: its files, its README, the commands that fetch them, and downloading with a session.

use crate::support::people::{db_org, db_user};
use crate::support::{PASSWORD, Site, path, sha256};
use packhouse::domain::role::Visibility;
use std::path::Path;
use std::process::{Command, Output};

const TOOL: &str = "/ada/-/packages/generic/tool";

#[tokio::test]
async fn a_version_shows_its_files_with_all_details() {
    let site = Site::new();
    let large = crate::support::noise(3 << 20);
    site.ci().publish(&path(&["ada", "Tool", "1.0", "tool.bin"]), large.clone()).await;
    site.ci().publish(&path(&["ada", "Tool", "1.0", "notes.txt"]), "hello").await;
    site.anon().get(&path(&["ada", "Tool", "1.0", "tool.bin"])).await.is(200);
    site.db_flush().await;
    // As after an upload whose job has not come yet.
    site.db_execute("UPDATE blobs SET sha512 = NULL, sha1 = NULL, md5 = NULL");
    site.pass(std::time::Duration::from_secs(3 * 86_400));

    let mut browser = site.browser();
    browser.go(&format!("{TOOL}/1.0")).await.is(200);
    assert_eq!(browser.one("h1"), "Tool 1.0");
    assert_eq!(browser.all(".crumbs li"), ["ada", "Tool", "1.0"]);
    assert_eq!(browser.all(".files th.name > a:not(.more)"), ["notes.txt", "tool.bin"]);
    assert_eq!(browser.all(".files td code"), [&sha256("hello")[..12], &sha256(&large)[..12]]);
    assert_eq!(browser.attrs(".files button[data-copy]", "data-copy"), [sha256("hello"), sha256(&large)]);
    assert_eq!(browser.all(".files td[data-label=Size]"), ["5 B", "3.0 MiB"]);
    assert_eq!(browser.attrs(".files td[data-label=Size] span", "title"), ["5 bytes", "3,145,728 bytes"]);
    assert_eq!(browser.all(".files td[data-label=Downloads]"), ["0", "1"]);
    assert_eq!(browser.all(".files time"), ["3 days ago", "3 days ago"]);
    assert!(browser.attrs(".files time", "title")[0].starts_with("2026-01-"), "{:?}", browser.attrs("time", "title"));
    let digests = browser.all(".files details dd.mono");
    let json = site.anon().get("/api/v1/packages/ada/generic/tool/1.0/files").await.json();
    for (index, file) in [(0, &json[0]), (1, &json[1])] {
        for (place, digest) in ["sha256", "sha512", "sha1", "md5"].iter().enumerate() {
            assert_eq!(digests[index * 4 + place], file[digest].as_str().unwrap(), "{digest}");
        }
    }
    assert!(browser.all(".files details dl dd a").iter().all(|name| name == "ada"), "who published it");
    let facts = browser.all("aside dl.facts dd");
    assert_eq!(facts[1..], ["ada", "2", "3.0 MiB", "1", "ada"]);
    assert_eq!(browser.one(".page-head .badge"), "Latest");
    assert!(browser.all("a[href*='/-/upload']").is_empty(), "nobody uploads without a right");

    let mut ada = site.browser_of("ada").await;
    ada.go(&format!("{TOOL}/1.0")).await.is(200);
    assert_eq!(
        ada.attrs(".page-head a.btn", "href"),
        [
            "/ada/-/packages/generic/Tool/1.0/delete",
            "/ada/-/packages/settings/generic/Tool",
            "/ada/-/upload?package=Tool&version=1.0"
        ]
    );
}

#[tokio::test]
async fn downloads_use_the_browsers_session_and_never_render() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "secret", Visibility::Private));
    let admin = site.admin();
    let page = "<html><script>alert(1)</script></html>";
    admin.publish(&path(&["secret", "site", "1", "index.html"]), page).await;
    let version = "/secret/-/packages/generic/site/1";
    let mut member = site.browser_of("secret-read").await;
    member.go(version).await.is(200);
    let file = member.attrs(".files th.name > a:not(.more)", "href").remove(0);
    assert!(file.starts_with("/secret/-/packages/generic/site/1/files/"), "{file}");
    member.go(&file).await.is(200);
    assert_eq!(member.text(), page);
    let answer = &member.answer;
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert!(answer.header("content-disposition").unwrap().starts_with("attachment; filename=\"index.html\""));
    let policy = answer.header("content-security-policy");
    assert_eq!(policy, Some("default-src 'none'; sandbox; frame-ancestors 'none'"));
    assert!(answer.header("cache-control").unwrap().starts_with("private"));
    assert_eq!(answer.header("etag").unwrap(), format!("\"{}\"", sha256(page)));

    let etag = answer.header("etag").unwrap().to_owned();
    member.send("GET", &file, &[("if-none-match", &etag)], None).await.is(304);
    member.send("GET", &file, &[("range", "bytes=1-4")], None).await.is(206);
    assert_eq!(member.text(), "html");
    member.send("HEAD", &file, &[], None).await.is(200);
    assert_eq!(member.answer.header("content-length"), Some("38"));
    member.go(&format!("{file}?shown=1")).await.is(200);
    site.db_flush().await;
    assert_eq!(site.db_number("SELECT sum(download_count)::bigint AS n FROM files"), 1, "only the first one counts");

    // The id leads to the file by its own path alone, and to nobody who may not see it.
    admin.publish(&path(&["ada", "site", "1", "index.html"]), page).await;
    let id = file.rsplit('/').next().unwrap();
    member.go(&format!("/ada/-/packages/generic/site/1/files/{id}")).await.is(404);
    member.go(&format!("{version}/files/999999")).await.is(404);
    member.go(&format!("{version}/files/x")).await.is(404);
    let mut stranger = site.browser_of("stranger").await;
    let absent = stranger.go(&file).await.is(404).text().replace(&file, "");
    let other = "/nobody/-/packages/generic/site/1/files/1";
    assert!(absent.contains("Page not found") && stranger.go(other).await.is(404).text().contains("Page not found"));
    let mut anonymous = site.browser();
    assert!(anonymous.go(&file).await.is(303).answer.header("location").unwrap().starts_with("/login?redirect_to="));
}

/// Runs a command in an empty directory, as somebody who pastes it.
fn paste(dir: &Path, command: &str, token: &str) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(dir).env("TOKEN", token).env("no_proxy", "*").output().unwrap()
}

/// The same for a command that has to work.
#[track_caller]
fn paste_well(dir: &Path, command: &str, token: &str) {
    let done = paste(dir, command, token);
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{command}\n{}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn pasted_commands_work_whatever_the_file_name() {
    let site = Site::new();
    site.db(|conn| db_user(conn, "lurker", Visibility::Private, false));
    let token = site.db_token("lurker", &["write:package"]);
    let names = [
        "$(id)",
        "a;b",
        "a b",
        "-rf",
        "-",
        "100%",
        "a&b",
        "#x",
        "a+b",
        "x[1]{2;3}.txt",
        "~root",
        "(a)",
        "a=b",
        "!x!y",
        "a@b^c",
        "tool-1.0.tar.gz",
        "50%20x",
    ];
    for (owner, version, token) in [("ada", "1.0/ü '\"`$x", ""), ("lurker", "1.2.3", &*token)] {
        let publisher = if token.is_empty() { site.ci() } else { site.anon().bearer(token) };
        for name in names {
            publisher.publish(&path(&[owner, "odd", version, name]), format!("bytes of {name}")).await;
        }
        let mut browser = site.browser_of(owner).await;
        let page = format!("/{owner}/-/packages/generic/odd/{}", crate::support::client::escape(version));
        browser.go(&page).await.is(200);
        let files: Vec<(String, String)> = browser
            .all(".files th.name > a:not(.more)")
            .into_iter()
            .zip(browser.attrs(".files a.more[href*='file=']", "href"))
            .collect();
        assert_eq!(files.len(), names.len());
        for (name, commands) in files {
            browser.go(&commands).await.is(200);
            let command = |id: &str| browser.exact(&format!("#{id}"));
            for id in ["get-curl", "get-wget"] {
                let dir = tempfile::tempdir().unwrap();
                paste_well(dir.path(), &command(id), token);
                let entries: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
                assert_eq!(entries, [&*name], "{}", command(id));
                let file = dir.path().join(&name);
                assert_eq!(std::fs::read(&file).unwrap(), format!("bytes of {name}").as_bytes());
                paste_well(dir.path(), &command("get-check-here"), token);
                // What coreutils call - is the input, and its checksum file speaks of that.
                if name != "-" {
                    paste_well(dir.path(), &command("get-check"), token);
                    paste_well(dir.path(), &command("get-check-all"), token);
                }
                std::fs::write(&file, "other bytes").unwrap();
                assert!(!paste(dir.path(), &command("get-check-here"), token).status.success(), "{name} is damaged");
            }
        }
    }
    // The next version, as the page proposes it.
    let mut lurker = site.browser_of("lurker").await;
    lurker.go("/lurker/-/packages/generic/odd/1.2.3?q=tool").await.is(200);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tool-1.0.tar.gz"), "next").unwrap();
    paste_well(dir.path(), &lurker.exact("#publish-curl"), &token);
    let published = site.anon().bearer(&token).get(&path(&["lurker", "odd", "1.2.4", "tool-1.0.tar.gz"])).await;
    assert_eq!(published.is(200).text(), "next");
}

#[tokio::test]
async fn commands_say_when_they_need_a_token() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1.0", "f"]), "x").await;
    let mut browser = site.browser();
    browser.go(&format!("{TOOL}/1.0")).await.is(200);
    assert!(!browser.text().contains("TOKEN"), "a public owner's files need none");
    assert!(browser.all("#publish-curl").is_empty());
    site.db_execute("UPDATE owners SET visibility = 2 WHERE name = 'ada'");
    let mut ada = site.browser_of("ada").await;
    ada.go(&format!("{TOOL}/1.0")).await.is(200);
    assert!(ada.one("#get-curl").contains("-H \"Authorization: Bearer $TOKEN\""), "{}", ada.one("#get-curl"));
    assert!(ada.text().contains("read:package"));
    let closed = Site::with(&[("PACKHOUSE_REQUIRE_SIGNIN", "true"), ("PACKHOUSE_PUBLIC_URL", "https://p.example.org")]);
    closed.ci().publish(&path(&["ada", "tool", "1.0", "f"]), "x").await;
    let mut stranger = closed.browser();
    stranger.go("/login").await;
    stranger.submit("form[action='/login']", &[("name", "stranger"), ("password", PASSWORD)]).await.is(303);
    stranger.go(&format!("{TOOL}/1.0")).await.is(200);
    let wanted =
        "curl -fL -H \"Authorization: Bearer $TOKEN\" -o f https://p.example.org/api/packages/ada/generic/tool/1.0/f";
    assert_eq!(stranger.one("#get-curl"), wanted);
}

#[tokio::test]
async fn a_readme_is_rendered_and_its_links_lead_to_the_versions_files() {
    let site = Site::new();
    let text = "# The tool\n\n[log](./changes.txt) ![Logo](logo.png) ![far](https://evil.example/x.png) [out](/logout)\n\n\
                <script>alert(1)</script><b onclick=x>bold</b>\n";
    site.ci().publish(&path(&["ada", "tool", "1.0", "ReadMe.MD"]), text).await;
    site.ci().publish(&path(&["ada", "tool", "1.0", "Changes.txt"]), "x").await;
    site.ci().publish(&path(&["ada", "tool", "1.0", "logo.png"]), "png").await;
    let mut browser = site.browser();
    browser.go(&format!("{TOOL}/1.0")).await.is(200);
    assert_eq!(browser.all("h1").len(), 1);
    assert_eq!(browser.one("#readme"), "ReadMe.MD");
    assert_eq!(browser.one(".prose h3"), "The tool #");
    let links = browser.attrs(".prose p a", "href");
    let prefix = format!("{TOOL}/1.0/files/");
    assert!(links[0].starts_with(&prefix), "{links:?}");
    assert!(links.iter().any(|link| link == "https://evil.example/x.png"), "a far image is a link");
    assert!(!links.iter().any(|link| link == "/logout"), "{links:?}");
    let images = browser.attrs(".prose img", "src");
    assert!(images.len() == 1 && images[0].starts_with(&prefix) && images[0].ends_with("?shown=1"), "{images:?}");
    assert!(!browser.text().contains("alert(1)") && !browser.text().contains("onclick"));
    browser.go(&links[0]).await.is(200);
    assert_eq!(browser.text(), "x");

    site.ci().publish(&path(&["ada", "tool", "2.0", "README.md"]), vec![b'a'; (256 << 10) + 1]).await;
    site.ci().publish(&path(&["ada", "tool", "3.0", "README.md"]), vec![0xff, 0xfe]).await;
    for version in ["2.0", "3.0"] {
        browser.go(&format!("{TOOL}/{version}")).await.is(200);
        assert!(browser.one(".readme").contains("Download README"), "{version}");
        assert!(browser.all(".prose").is_empty());
    }
}

#[tokio::test]
async fn names_are_shown_as_first_written_and_escaped_in_every_link() {
    let site = Site::new();
    let version = "1.0/a b ü?#<i>&\"'";
    site.ci().publish(&path(&["ADA", "C++", version, "f"]), "x").await;
    let mut browser = site.browser();
    let page = format!("/ada/-/packages/generic/C%2B%2B/{}", crate::support::client::escape(version));
    browser.go("/ADA/-/packages/generic/c%2B%2B").await.is(303);
    assert_eq!(browser.answer.header("location"), Some(&*page));
    browser.follow().await.is(200);
    assert_eq!(browser.one("h1"), format!("C++ {version}"));
    let upper = page.replace("/ada/", "/ADA/").replace("C%2B%2B", "c++");
    browser.go(&upper).await.is(200);
    assert_eq!(browser.all(".crumbs li"), ["ada", "C++", version]);
    for link in browser.attrs("main a[href]", "href") {
        if link.starts_with("/ada/-/packages/settings") || link.starts_with("http") {
            continue;
        }
        let mut other = site.browser();
        other.go(link.split('#').next().unwrap()).await;
        assert!([200, 303].contains(&other.answer.status), "{link}: {}", other.answer.status);
        assert!(!other.answer.header("location").is_some_and(|to| to.starts_with("/login")), "{link}");
    }
    // A version may be called as the list of them is.
    site.ci().publish(&path(&["ada", "C++", "versions", "f"]), "x").await;
    browser.go("/ada/-/packages/generic/C%2B%2B/versions").await.is(200);
    let own = browser.attrs("th.name a", "href").into_iter().find(|link| link.contains("versions")).unwrap();
    browser.go(&own).await.is(200);
    assert_eq!(browser.one("h1"), "C++ versions");
    let file = browser.attrs(".files th.name > a:not(.more)", "href").remove(0);
    browser.go(&file).await.is(200);
    assert_eq!(browser.text(), "x");
}

#[tokio::test]
async fn many_files_come_in_pages_and_are_found_by_part_of_their_name() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "tool", "1.0", "part-000.bin"]), "x").await;
    site.db_execute(
        "INSERT INTO files (version_id, blob_id, name, lower_name, created_at, download_count) \
         SELECT version_id, blob_id, n.name, n.name, created_at, i FROM files, generate_series(1, 249) i, \
         LATERAL (SELECT 'part-' || lpad(i::text, 3, '0') || '.bin') n (name)",
    );
    let mut browser = site.browser();
    let names = |browser: &crate::support::browser::Browser| browser.all(".files th.name > a:not(.more)");
    browser.go(&format!("{TOOL}/1.0")).await.is(200);
    assert_eq!(names(&browser).len(), 100);
    assert_eq!(browser.one(".pager span.soft"), "Page 1 of 3");
    assert_eq!(browser.one("#files"), "Files 250");
    browser.go(&browser.attrs(".pager a[rel=next]", "href").remove(0)).await.is(200);
    assert_eq!(names(&browser)[0], "part-100.bin");
    browser.go(&format!("{TOOL}/1.0?q=PART-04&sort=downloads")).await.is(200);
    assert_eq!(names(&browser), (40..50).rev().map(|n| format!("part-0{n}.bin")).collect::<Vec<_>>());
    assert_eq!(browser.one("#files"), "Files 250", "all there are");
    for query in ["?q=%25", "?q=_", "?q=nothing", "?page=9", "?q=%00", "?sort=nonsense&file=nonsense&page=x"] {
        browser.go(&format!("{TOOL}/1.0{query}")).await.is(200);
    }
    assert_eq!(names(&browser).len(), 100);
    browser.go(&format!("{TOOL}/1.0?q=nothing")).await.is(200);
    assert!(browser.one(".empty").contains("No files match"));
}
