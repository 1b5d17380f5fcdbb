//! The right file in one click: the button for the reader's computer, what belongs to a file, the texts for other programs,
//! and rows that people can scan.

use crate::support::browser::Browser;
use crate::support::people::db_org;
use crate::support::{Site, path, sha256};
use packhouse::domain::role::Visibility;
use std::path::Path;
use std::process::Command;

const GH: &str = "/ada/-/packages/generic/gh/2.62.0";
const LINUX: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
const MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                   Version/18.1 Safari/605.1.15";
const WINDOWS: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";

async fn publish_gh(site: &Site) {
    for (name, size) in [
        ("gh_2.62.0_checksums.txt", 10),
        ("gh_2.62.0_linux_amd64.deb", 30),
        ("gh_2.62.0_linux_amd64.tar.gz", 2048),
        ("gh_2.62.0_linux_amd64.tar.gz.sha256", 3),
        ("gh_2.62.0_linux_amd64.tar.gz.sbom.json", 4),
        ("gh_2.62.0_linux_arm64.tar.gz", 50),
        ("gh_2.62.0_macOS_arm64.zip", 60),
        ("gh_2.62.0_windows_amd64.zip", 9000),
    ] {
        site.ci().publish(&path(&["ada", "gh", "2.62.0", name]), vec![b'x'; size]).await;
    }
}

async fn look(browser: &mut Browser, page: &str, fields: &[(&str, &str)]) {
    let mut all = vec![("accept", "text/html")];
    all.extend(fields);
    browser.send("GET", page, &all, None).await.is(200);
}

#[tokio::test]
async fn the_button_offers_the_file_for_the_readers_computer() {
    let site = Site::new();
    publish_gh(&site).await;
    let mut browser = site.browser();
    for (agent, hint, label, name) in [
        (LINUX, None, "Download for Linux x86-64", "gh_2.62.0_linux_amd64.tar.gz · 2.0 KiB"),
        (LINUX, Some("\"arm\""), "Download for Linux arm64", "gh_2.62.0_linux_arm64.tar.gz · 50 B"),
        (MAC, None, "Download for macOS arm64", "gh_2.62.0_macOS_arm64.zip · 60 B"),
        (WINDOWS, None, "Download for Windows x86-64", "gh_2.62.0_windows_amd64.zip · 8.8 KiB"),
    ] {
        let mut fields = vec![("user-agent", agent)];
        fields.extend(hint.map(|hint| ("sec-ch-ua-arch", hint)));
        look(&mut browser, GH, &fields).await;
        assert_eq!(browser.one(".btn.large b"), label);
        assert_eq!(browser.one(".btn.large .small"), name);
        let url = browser.attrs(".btn.large", "href").remove(0);
        let file = name.split(' ').next().unwrap();
        assert!(url.ends_with(file), "{url}");
        assert!(browser.one("#get").ends_with(file), "the commands are for it too: {}", browser.one("#get"));
        site.anon().get(&url).await.is(200);
    }
    assert_eq!(browser.all(".systems dt"), ["Linux", "macOS", "Windows"]);
    assert_eq!(browser.all(".systems div:first-child a"), ["x86-64 .deb", "x86-64 .tar.gz", "arm64 .tar.gz"]);

    // Whoever has another system chooses, and so does a browser that says nothing.
    let freebsd = "Mozilla/5.0 (X11; FreeBSD amd64; rv:132.0) Gecko/20100101 Firefox/132.0";
    look(&mut browser, GH, &[("user-agent", freebsd)]).await;
    assert!(browser.all(".btn.large").is_empty());
    assert!(browser.one(".choose-file p").contains("for FreeBSD"), "{}", browser.one(".choose-file p"));
    look(&mut browser, GH, &[]).await;
    assert!(browser.all(".btn.large").is_empty() && browser.all(".systems a").len() == 5);
    assert!(browser.one("#get").ends_with("gh_2.62.0_linux_amd64.deb"), "never a list of checksums");
}

#[tokio::test]
async fn only_the_page_depends_on_client_hints_and_no_download() {
    let site = Site::new();
    publish_gh(&site).await;
    let mut browser = site.browser();
    look(&mut browser, GH, &[("user-agent", LINUX)]).await;
    assert_eq!(browser.answer.header("accept-ch"), Some("Sec-CH-UA-Arch, Sec-CH-UA-Bitness"));
    let varies = "Cookie, User-Agent, Sec-CH-UA-Platform, Sec-CH-UA-Arch, Sec-CH-UA-Bitness";
    assert_eq!(browser.answer.header("vary"), Some(varies));
    assert_eq!(browser.answer.header("cache-control"), Some("no-store"));
    let file = browser.attrs(".btn.large", "href").remove(0);
    for url in [file, path(&["ada", "gh", "2.62.0", "gh_2.62.0_linux_amd64.deb"])] {
        let answer = site.anon().get(&url).header("user-agent", LINUX).await.is(200);
        assert_eq!(answer.header("accept-ch"), None);
        let vary = answer.header("vary").unwrap_or_default().to_lowercase();
        assert!(!vary.contains("user-agent") && !vary.contains("sec-ch"), "{vary}");
    }
    browser.go("/ada").await.is(200);
    assert_eq!(browser.answer.header("accept-ch"), None);
}

#[tokio::test]
async fn checksums_and_parts_lists_stand_with_their_file() {
    let site = Site::new();
    publish_gh(&site).await;
    let mut browser = site.browser();
    browser.go(GH).await.is(200);
    let names = browser.all(".files th.name > a:not(.more)");
    assert_eq!(names.len(), 6, "{names:?}");
    assert!(!names.iter().any(|name| name.ends_with(".sha256") || name.ends_with(".sbom.json")), "{names:?}");
    assert_eq!(browser.all(".attached a"), ["SBOM", "Checksum"]);
    assert_eq!(browser.one("#files"), "Files 8", "all there are");
    let sbom = browser.attrs(".attached a", "href").remove(0);
    assert_eq!(site.anon().get(&sbom).await.is(200).text(), "xxxx");
    browser.go(&format!("{GH}?q=sbom")).await.is(200);
    assert_eq!(browser.all(".files th.name > a:not(.more)"), ["gh_2.62.0_linux_amd64.tar.gz"]);
    // A file that is about nothing here is a row of its own.
    site.ci().publish(&path(&["ada", "gh", "2.63.0", "other.sha256"]), "x").await;
    browser.go("/ada/-/packages/generic/gh/2.63.0").await.is(200);
    assert_eq!(browser.all(".files th.name > a:not(.more)"), ["other.sha256"]);
}

#[tokio::test]
async fn rows_are_short_for_eyes_and_ears() {
    let site = Site::new();
    publish_gh(&site).await;
    let mut browser = site.browser_of("ada").await;
    browser.go(GH).await.is(200);
    let heads = browser.all(".files thead th");
    assert_eq!(heads, ["File", "Size", "Age", "Downloads", "SHA-256", "More"]);
    let digest = sha256("x".repeat(30));
    let rows = browser.all(".files th.name");
    assert!(!rows.iter().any(|name| name.contains(&digest[..20])), "{rows:?}");
    assert!(browser.all(".files td code").contains(&digest[..12].to_owned()));
    assert_eq!(browser.attrs(".files summary", "aria-label")[1], "More about gh_2.62.0_linux_amd64.deb");
    assert_eq!(browser.all(".files tr:nth-child(2) .menu-list > a"), ["Show commands", "Delete file"]);
    // The rest is one click away, with every digest.
    let commands = browser.attrs(".files a.more[href*='file=']", "href").remove(1);
    browser.go(&commands).await.is(200);
    assert_eq!(browser.all("#digests dt"), ["SHA-256", "SRI", "SHA-512", "SHA-1", "MD5", "Size"]);
    assert_eq!(browser.all("#digests dd")[0], digest);
}

#[tokio::test]
async fn two_thousand_files_come_by_the_hundred() {
    let site = Site::new();
    site.ci().publish(&path(&["ada", "big", "1.0", "part-0000-linux-amd64.bin"]), "x").await;
    site.db_execute(
        "INSERT INTO files (version_id, blob_id, name, lower_name, created_at, download_count) \
         SELECT version_id, blob_id, n.name, n.name, created_at, i FROM files, generate_series(1, 1999) i, \
         LATERAL (SELECT 'part-' || lpad(i::text, 4, '0') || '-linux-amd64.bin') n (name)",
    );
    let mut browser = site.browser();
    let page = "/ada/-/packages/generic/big/1.0";
    browser.go(page).await.is(200);
    assert_eq!(browser.all(".files th.name > a:not(.more)").len(), 100);
    assert_eq!(browser.one(".pager span.soft"), "Page 1 of 20");
    assert!(browser.answer.body.len() < 130_000, "{}", browser.answer.body.len());
    assert!(browser.one(".choose-file").contains("All 2,000 files"));
    assert_eq!(browser.attrs(".list-head a[download]", "href").len(), 2, "all at once as an archive");
    browser.go(&format!("{page}?sort=downloads&page=20")).await.is(200);
    assert_eq!(browser.all(".files th.name > a:not(.more)").last().unwrap(), "part-0000-linux-amd64.bin");
}

#[tokio::test]
async fn directories_stand_above_their_files() {
    let site = Site::new();
    for name in ["README.md", "linux/amd64/tool", "linux/arm64/tool", "linux/amd64/lib.so"] {
        site.ci().publish(&format!("{}/{name}", path(&["ada", "tree", "1.0"])), name).await;
    }
    let mut browser = site.browser();
    let page = "/ada/-/packages/generic/tree/1.0";
    browser.go(page).await.is(200);
    let rows = browser.all(".files tbody th");
    let wanted = [
        "linux/amd64/",
        "linux/amd64/lib.so",
        "linux/amd64/tool",
        "linux/arm64/",
        "linux/arm64/tool",
        "Top level",
        "README.md",
    ];
    assert_eq!(rows.iter().map(|row| row.split(" More").next().unwrap()).collect::<Vec<_>>(), wanted);
    browser.go(&format!("{page}?sort=size")).await.is(200);
    assert!(browser.all(".files tr.dir").is_empty(), "another order has no directories");
}

/// The text for a program on the page of a file.
async fn recipe(browser: &mut Browser, page: &str, program: &str) -> String {
    browser.go(page).await.is(200);
    browser.exact(&format!("#use-{program}"))
}

/// The lines below the key of a block of shell lines in YAML.
fn script(yaml: &str) -> String {
    let (_, block) = yaml.split_once("|\n").unwrap();
    block.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap())).collect()
}

fn run(dir: &Path, program: &str, arguments: &[&str], token: &str) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).env("PACKHOUSE_TOKEN", token).env("no_proxy", "*");
    let done = command.output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    if !done.status.success() {
        eprintln!("{program} {arguments:?}: {}", String::from_utf8_lossy(&said));
    }
    done.status.success()
}

#[tokio::test]
async fn texts_for_pipelines_download_and_check_the_file() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "secret", Visibility::Private));
    let token = site.db_token("ada", &["read:package"]);
    for owner in ["ada", "secret"] {
        let file = path(&[owner, "tool", "1.0", "dir", "tool ${{ x }} $(id).bin"]);
        site.admin().publish(&file, "the bytes").await;
        let mut browser = site.browser_of("ada").await;
        for program in ["github", "gitlab"] {
            let text = recipe(&mut browser, &format!("/{owner}/-/packages/generic/tool/1.0"), program).await;
            assert!(!text.contains("${{ x"), "no name is an expression of the pipeline: {text}");
            assert_eq!(text.contains("PACKHOUSE_TOKEN"), owner == "secret", "{text}");
            let dir = tempfile::tempdir().unwrap();
            assert!(run(dir.path(), "sh", &["-euc", &script(&text)], &token), "{text}");
            let saved = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
            assert_eq!(std::fs::read_to_string(&saved).unwrap(), "the bytes");
            let other = script(&text).replace(&sha256("the bytes"), &sha256("other bytes"));
            assert!(!run(dir.path(), "sh", &["-euc", &other], &token), "another file is refused");
        }
    }
}

#[tokio::test]
async fn the_text_for_cmake_downloads_and_unpacks_the_file() {
    if Command::new("cmake").arg("--version").output().is_err() {
        println!("skipped, because cmake is not installed");
        return;
    }
    let site = Site::new();
    site.db(|conn| db_org(conn, "secret", Visibility::Private));
    let token = site.db_token("ada", &["read:package"]);
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("greeter-1.0.0");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("CMakeLists.txt"), "file(WRITE ${CMAKE_BINARY_DIR}/greeting.txt hello)\n").unwrap();
    assert!(run(dir.path(), "tar", &["-czf", "greeter-1.0.0.tar.gz", "greeter-1.0.0"], ""));
    let archive = std::fs::read(dir.path().join("greeter-1.0.0.tar.gz")).unwrap();
    for (number, owner) in ["ada", "secret"].into_iter().enumerate() {
        site.admin().publish(&path(&[owner, "greeter", "1.0.0", "greeter-1.0.0.tar.gz"]), archive.clone()).await;
        site.admin().publish(&path(&[owner, "data", "1.0.0", "model [1].bin"]), "a model").await;
        let mut browser = site.browser_of("ada").await;
        let mut text = "cmake_minimum_required(VERSION 3.20)\nproject(firmware LANGUAGES NONE)\n".to_owned();
        for package in ["greeter", "data"] {
            let page = format!("/{owner}/-/packages/generic/{package}/1.0.0");
            text += &recipe(&mut browser, &page, "cmake").await;
        }
        let project = dir.path().join(format!("project-{number}"));
        std::fs::create_dir(&project).unwrap();
        std::fs::write(project.join("CMakeLists.txt"), &text).unwrap();
        assert!(run(&project, "cmake", &["-S", ".", "-B", "build"], &token), "{text}");
        assert_eq!(std::fs::read_to_string(project.join("build/greeting.txt")).unwrap(), "hello");
        assert_eq!(std::fs::read_to_string(project.join("build/model__1_.bin")).unwrap(), "a model");
        std::fs::write(project.join("CMakeLists.txt"), text.replace(&sha256("a model"), &sha256("x"))).unwrap();
        assert!(!run(&project, "cmake", &["-S", ".", "-B", "other"], &token), "another file is refused");
    }
}

#[tokio::test]
async fn texts_for_programs_have_the_real_address_and_digest() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://p.example.org")]);
    publish_gh(&site).await;
    let mut browser = site.browser();
    let digest = sha256("x".repeat(2048).as_bytes());
    let url = "https://p.example.org/api/packages/ada/generic/gh/2.62.0/gh_2.62.0_linux_amd64.tar.gz";
    look(&mut browser, GH, &[("user-agent", LINUX)]).await;
    assert_eq!(
        browser.all(".use-in label"),
        ["mise", "Renovate", "Bazel", "Nix", "CMake", "Ansible", "Dockerfile", "GitHub Actions", "GitLab CI"]
    );
    let text = |program: &str| browser.exact(&format!("#use-{program}"));
    assert_eq!(
        text("docker"),
        format!("ADD --checksum=sha256:{digest} {url} /usr/local/src/gh_2.62.0_linux_amd64.tar.gz\n")
    );
    for program in ["bazel", "nix", "cmake", "ansible", "github", "gitlab"] {
        assert!(text(program).contains(url), "{program}: {}", text(program));
    }
    for program in ["bazel", "nix"] {
        assert!(text(program).contains("\"sha256-"), "{}", text(program));
    }
    for program in ["cmake", "ansible", "github", "gitlab"] {
        assert!(text(program).contains(&digest), "{}", text(program));
    }
    // mise gets the files for all its systems, and the version in one place.
    let mise = text("mise");
    assert_eq!(mise.matches("checksum = ").count(), 4, "{mise}");
    let template =
        "https://p.example.org/api/packages/ada/generic/gh/{{ version }}/gh_{{ version }}_linux_amd64.tar.gz";
    assert!(mise.contains(&format!("linux-x64]\nurl = \"{template}\"\nchecksum = \"sha256:{digest}\"")), "{mise}");
    let renovate: serde_json::Value = serde_json::from_str(&text("renovate")).unwrap();
    let pattern = renovate["customManagers"][0]["matchStrings"][0].as_str().unwrap();
    assert!(pattern.starts_with(r"https://p\.example\.org/api/packages/(?<packageName>"), "{pattern}");
    for link in browser.attrs(".use-in a", "href") {
        site.anon().get(&link).await.is(200);
    }
}

#[tokio::test]
async fn badges_explain_themselves_and_dates_belong_to_their_version() {
    let site = Site::new();
    for version in ["2.33.0", "3.0.0-rc.1"] {
        site.ci().publish(&path(&["ada", "tool", version, "f"]), "x").await;
        site.pass(std::time::Duration::from_secs(2 * 86_400));
    }
    let mut browser = site.browser();
    browser.go("/ada").await.is(200);
    assert_eq!(browser.one(".packages td[data-label='Latest version']"), "2.33.0 4 days ago");
    assert_eq!(browser.one(".packages td[data-label='Updated']"), "2 days ago 3.0.0-rc.1");
    browser.go("/ada/-/packages/generic/tool/2.33.0").await.is(200);
    assert!(browser.attrs(".page-head .badge", "title")[0].contains("pre-releases and yanked versions don't count"));
    assert_eq!(browser.one("#next"), "There is a pre-release of the next version: 3.0.0-rc.1.");
    let siblings = browser.all(".siblings li");
    assert!(siblings[0].starts_with("2.33.0 Latest"), "{siblings:?}");
    assert!(siblings[1].starts_with("3.0.0-rc.1 Pre-release"), "{siblings:?}");
    browser.go("/ada/-/packages/generic/tool/3.0.0-rc.1").await.is(200);
    assert!(browser.one(".notice").contains("This is a pre-release. The latest release is 2.33.0."));
    assert_eq!(browser.one(".page-head .badge"), "Pre-release");
}

#[tokio::test]
async fn one_link_leads_to_the_right_file_for_each_computer() {
    let site = Site::new();
    for file in ["tool-linux-amd64.tar.gz", "tool-windows-amd64.zip", "tool-darwin-arm64.tar.gz", "SHA256SUMS.txt"] {
        site.ci().publish(&path(&["ada", "tool", "1.0", file]), file).await;
    }
    site.ci().publish(&path(&["ada", "data", "2026", "set.csv"]), "a,b").await;
    let linux = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36";
    let windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36";
    let link = "/ada/-/packages/generic/tool";
    for (version, agent, file) in [
        ("1.0", linux, "/tool-linux-amd64.tar.gz"),
        ("1.0", windows, "/tool-windows-amd64.zip"),
        ("latest", windows, "/tool-windows-amd64.zip"),
        ("1.0", "curl/8.0", "/generic/tool/1.0"),
    ] {
        let answer = site.anon().get(&format!("{link}/{version}/download")).header("user-agent", agent).await.is(303);
        let target = answer.header("location").unwrap();
        assert!(target.ends_with(file), "{version} {agent}: {target}");
        assert!(answer.header("vary").unwrap().contains("User-Agent"));
    }
    let only = site.anon().get("/ada/-/packages/generic/data/2026/download").await.is(303);
    assert!(only.header("location").unwrap().ends_with("/set.csv"), "the only file is right for everyone");
    for absent in ["tool/2.0", "other/1.0", "other/latest"] {
        site.anon().get(&format!("/ada/-/packages/generic/{absent}/download")).await.is(404);
    }
    let mut browser = site.browser();
    browser.go("/explore/packages?q=tool").await.is(200);
    assert!(browser.attrs("td a", "href").contains(&format!("{link}/1.0/download")));
}
