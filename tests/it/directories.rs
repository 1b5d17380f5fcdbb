//! Files in directories: a file's name may be a path inside its version.

use crate::support::client::escape;
use crate::support::people::db_org;
use crate::support::wire::{ask, send};
use crate::support::{Answer, Plan, Site, cluster::cluster, path, sha256};
use futures_util::future::join_all;
use packhouse::domain::role::Visibility;
use serde_json::json;

/// The address of a path in version 1 of a package of Ada's.
fn at(file: &str) -> String {
    in_version("1", file)
}

fn in_version(version: &str, file: &str) -> String {
    let escaped: Vec<String> = file.split('/').map(escape).collect();
    format!("{}/{}", path(&["ada", "tool", version]), escaped.join("/"))
}

async fn publish(site: &Site, files: &[&str]) {
    for file in files {
        site.ci().publish(&at(file), format!("bytes of {file}")).await;
    }
}

#[tokio::test]
async fn a_file_in_directories_is_published_downloaded_and_deleted_by_its_path() {
    let site = Site::new();
    let name = "linux/amd64/a b#1.tar.gz";
    let answer = site.ci().put(&at(name), "hello").await.is(201);
    let location = "/api/packages/ada/generic/tool/1/linux/amd64/a%20b%231.tar.gz";
    assert_eq!(answer.header("location"), Some(location));
    let got = site.anon().get(location).await.is(200);
    assert_eq!(got.text(), "hello");
    let disposition = "attachment; filename=\"a b#1.tar.gz\"; filename*=UTF-8''a%20b#1.tar.gz";
    assert_eq!(got.header("content-disposition"), Some(disposition));
    assert_eq!(site.anon().head(location).await.is(200).header("content-length"), Some("5"));
    // Names are compared without case as a whole.
    assert_eq!(site.anon().get(&at("Linux/AMD64/A b#1.TAR.gz")).await.is(200).text(), "hello");
    site.ci().put(&at("LINUX/amd64/a b#1.tar.gz"), "hello").await.is(409).says("package file already exists");
    let again = site.ci().put(&at("LINUX/amd64/a b#1.tar.gz"), "hello");
    again.header("x-checksum-sha256", sha256("hello")).await.is(200);
    site.ci().put(&at(name), "hello").header("if-none-match", "*").await.is(412);
    let files = site.anon().get("/api/v1/packages/ada/generic/tool/1/files").await.is(200).json();
    assert_eq!(files[0]["name"], name);
    assert_eq!(files[0]["download_url"], location);
    assert!(site.db_audit().iter().any(|line| line.contains("tool/1/linux/amd64/a b#1.tar.gz")));
    // Directories are not deleted, only files.
    for nothing in ["linux", "linux/amd64", "linux/amd64/other", "amd64/a b#1.tar.gz"] {
        site.ci().delete(&at(nothing)).await.is(404);
    }
    site.ci().delete(&at(name)).await.is(204);
    assert_eq!(site.db_number("SELECT count(*) AS n FROM packages"), 0);
}

#[tokio::test]
async fn ranges_and_conditions_work_for_files_in_directories() {
    let site = Site::new();
    publish(&site, &["d/e"]).await;
    let etag = format!("\"{}\"", sha256("bytes of d/e"));
    assert_eq!(site.anon().get(&at("d/e")).header("range", "bytes=6-7").await.is(206).text(), "of");
    site.anon().get(&at("d/e")).header("range", "bytes=99-").await.is(416);
    site.anon().get(&at("d/e")).header("if-none-match", &etag).await.is(304);
    site.anon().get(&at("d/e")).header("if-match", "\"other\"").await.is(412);
    let partial = site.anon().get(&at("d/e")).header("range", "bytes=0-4").header("if-range", &etag).await;
    assert_eq!(partial.is(206).text(), "bytes");
    let preflight = site.anon().request("OPTIONS", &at("d/e"));
    preflight.header("origin", "https://x.example").header("access-control-request-method", "GET").await.is(204);
    assert_eq!(site.anon().request("PATCH", &at("d/e")).await.is(405).header("allow"), Some("GET, HEAD, PUT, DELETE"));
}

#[tokio::test]
async fn paths_are_accepted_or_refused_by_the_rules() {
    let site = Site::new();
    let longest = format!("{}{}", format!("{}/", "x".repeat(204)).repeat(4), "y".repeat(204));
    assert_eq!(longest.len(), 1024);
    let deepest = ["d"; 16].join("/");
    let wide = format!("{}/{}", "x".repeat(255), "y".repeat(255));
    for good in ["a/b", ".a/..b/...", "a b/c d", "$(id)/-rf", &deepest, &longest, &wide] {
        site.ci().publish(&at(good), "x").await;
        assert_eq!(site.anon().get(&at(good)).await.is(200).text(), "x", "{good}");
        let listed = site.anon().get(&path(&["ada", "tool", "1"])).await.is(200);
        assert_eq!(listed.lines(), [good]);
        site.ci().delete(&at(good)).await.is(204);
    }
    let bearer = format!("Bearer {}", cluster().people.ci);
    let fields = [("Authorization", &*bearer), ("Content-Length", "1")];
    let too_deep = ["d"; 17].join("/");
    for (bad, why) in [
        ("a%2Fb", "%2F"),
        ("a/b%2fc", "%2F"),
        ("a%2F/b", "%2F"),
        ("a/%2E%2E/b", ". or .."),
        ("a/../b", ". or .."),
        ("a/%2e/b", ". or .."),
        ("%2E%2E/b", ". or .."),
        ("a/%20b", "white space"),
        ("a%20/b", "white space"),
        ("a/b%5Cc", "letters"),
        ("a/%00", "letters"),
        ("a/%FF", "UTF-8"),
        ("%C3%A4/b", "letters"),
        (&too_deep, "16 parts"),
        (&format!("{longest}y"), "1024"),
        (&format!("a/{}", "x".repeat(256)), "255"),
        (&format!("{}/a", "x".repeat(256)), "255"),
    ] {
        let target = format!("/api/packages/ada/generic/tool/1/{bad}");
        let answer = send(site.address, "PUT", &target, &fields, b"x").await;
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text());
        assert!(answer.text().starts_with("invalid filename: "), "{bad}: {}", answer.text());
        assert!(answer.text().contains(why), "{bad}: {}", answer.text());
        for method in ["GET", "HEAD", "DELETE"] {
            assert_eq!(ask(site.address, method, &target, &fields[..1]).await.status, 404, "{method} {bad}");
        }
    }
    assert_eq!(site.db_number("SELECT count(*) AS n FROM files"), 0);
    // Empty segments and single dots are removed before routing, as everywhere.
    let answer = send(site.address, "PUT", "/api/packages/ada/generic/tool/1/a//./b/", &fields, b"x").await;
    assert_eq!(answer.status, 201);
    assert_eq!(site.anon().get(&at("a/b")).await.is(200).text(), "x");
}

#[tokio::test]
async fn a_path_is_never_both_a_file_and_a_directory() {
    let site = Site::new();
    publish(&site, &["a", "b/c/d", "b.txt", "b0", "e/f"]).await;
    for (new, words) in [
        ("a/x", ["a is a file of this version", "a/x"]),
        ("A/x/y/z", ["a is a file of this version", "A/x/y/z"]),
        ("b", ["b is a directory of this version", "b/c/d"]),
        ("B/C", ["B/C is a directory of this version", "b/c/d"]),
        ("b/c/d/e", ["b/c/d is a file of this version", "b/c/d/e"]),
        ("E", ["E is a directory of this version", "e/f"]),
    ] {
        let answer = site.ci().put(&at(new), "x").await.is(409);
        assert!(words.iter().all(|word| answer.text().contains(word)), "{new}: {}", answer.text());
        let refused = site.ci().put(&at(new), "x").json().await.is(409).json();
        assert_eq!(refused["code"], "blocked");
        site.ci().put(&at(new), "x").header("if-none-match", "*").await.is(409);
    }
    // Similar names are other names.
    for beside in ["b/c/d2", "b/c2", "b-c", "b/c.d", "aa", "a.x"] {
        site.ci().publish(&at(beside), "x").await;
    }
    // Other versions are other places.
    site.ci().publish(&in_version("2", "a/x"), "x").await;
    site.ci().publish(&in_version("2", "b"), "x").await;
    // A name is free when its last file is gone.
    site.ci().delete(&at("a")).await.is(204);
    site.ci().publish(&at("a/x"), "x").await;
    site.ci().delete(&at("e/f")).await.is(204);
    site.ci().publish(&at("e"), "x").await;
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_refused_name_is_answered_before_the_body_is_read() {
    let site = Site::new();
    publish(&site, &["a", "b/c"]).await;
    let bearer = format!("Bearer {}", cluster().people.ci);
    for name in ["a/x", "b"] {
        let target = format!("/api/packages/ada/generic/tool/1/{name}");
        let fields = [("Authorization", &*bearer), ("Content-Length", "1000000"), ("Expect", "100-continue")];
        let answer = ask(site.address, "PUT", &target, &fields).await;
        assert_eq!(answer.status, 409, "{name}");
    }
}

/// A server with more connections, and with the real time.
fn busy() -> Site {
    let settings = &[
        ("PACKHOUSE_WORKERS", "4"),
        ("PACKHOUSE_DATABASE_READ_CONNECTIONS", "6"),
        ("PACKHOUSE_DATABASE_WRITE_CONNECTIONS", "12"),
    ];
    Site::start(Plan { settings, real_time: true, ..Plan::default() })
}

fn stored(answers: &[Answer]) -> Vec<usize> {
    assert!(answers.iter().all(|answer| [201, 409].contains(&answer.status)), "{answers:?}");
    (0..answers.len()).filter(|at| answers[*at].status == 201).collect()
}

#[tokio::test]
async fn of_racing_publishers_of_a_file_and_of_its_directory_only_one_side_wins() {
    let site = busy();
    for round in 0..8 {
        let version = &format!("v{round}");
        if round % 2 == 0 {
            // The version exists already.
            site.ci().publish(&in_version(version, "first"), "x").await;
        }
        // All of a chain of names, each both a file and a directory of the next; half of the bodies are the same.
        let names = ["a", "A/b", "a/B/c", "a/b/c/D"];
        let uploads = (0..24).map(|at| {
            let body = if at % 2 == 0 { "same".to_owned() } else { format!("{at}") };
            site.ci().put(&in_version(version, names[at % 4]), body).into_future()
        });
        let winners = stored(&join_all(uploads).await);
        assert_eq!(winners.len(), 1, "{winners:?}");
    }
    assert!(site.db_broken().await.is_empty());
    assert_eq!(site.db_number("SELECT count(*) AS n FROM files WHERE lower_name <> 'first'"), 8);
}

#[tokio::test]
async fn racing_publishers_into_the_same_directories_all_succeed() {
    let site = busy();
    for round in 0..3 {
        let version = &format!("v{round}");
        let uploads = (0..24).map(|at| {
            let name = format!("d/{}/f{at}", at % 3);
            site.ci().put(&in_version(version, &name), format!("{}", at % 5)).into_future()
        });
        assert_eq!(stored(&join_all(uploads).await).len(), 24);
    }
    assert!(site.db_broken().await.is_empty());
}

#[tokio::test]
async fn a_directory_lists_the_files_below_it() {
    let site = Site::new();
    publish(&site, &["z", "linux/b", "linux/amd64/a", "linuxes/x", "Linux/arm/c", "linux.txt"]).await;
    let list = |of: &str| site.anon().get(&at(of)).into_future();
    assert_eq!(list("linux").await.is(200).lines(), ["b", "amd64/a", "arm/c"]);
    assert_eq!(list("LINUX/amd64").await.is(200).lines(), ["a"]);
    let newest = site.anon().get(&format!("{}?order=newest", at("linux"))).await.is(200);
    assert_eq!(newest.lines(), ["arm/c", "amd64/a", "b"]);
    site.anon().get(&format!("{}?order=best", at("linux"))).await.is(400);
    let page = site.anon().get(&format!("{}?limit=1&page=2", at("linux"))).await.is(200);
    assert_eq!((page.lines(), page.header("x-total-count")), (vec!["amd64/a"], Some("3")));
    assert!(page.header("link").unwrap().contains("linux?page=3&limit=1"), "{page:?}");
    let objects = site.anon().get(&at("linux")).json().await.is(200).json();
    let names: Vec<_> = objects.as_array().unwrap().iter().map(|file| file["name"].clone()).collect();
    assert_eq!(names, [json!("linux/b"), json!("linux/amd64/a"), json!("Linux/arm/c")]);
    assert_eq!(objects[1]["download_url"], at("linux/amd64/a"));
    site.anon().head(&at("linux")).await.is(200);
    // The version lists paths, and other names are nothing.
    let all = site.anon().get(&path(&["ada", "tool", "1"])).await.is(200);
    assert_eq!(all.lines(), ["z", "linux/b", "linux/amd64/a", "linuxes/x", "Linux/arm/c", "linux.txt"]);
    for nothing in ["lin", "linux/a", "linux/amd64/a/b", "amd64", "z/z"] {
        list(nothing).await.is(404).says("package file not found");
    }
}

#[tokio::test]
async fn a_long_list_of_a_directory_is_whole() {
    let site = Site::new();
    publish(&site, &["d/first"]).await;
    site.db_execute(
        "INSERT INTO files (version_id, blob_id, name, lower_name, created_at) \
         SELECT version_id, blob_id, 'd/' || n % 7 || '/' || n, 'd/' || n % 7 || '/' || n, created_at \
         FROM files, generate_series(1, 1200) n",
    );
    let list = site.anon().get(&at("d")).await.is(200);
    assert_eq!((list.lines().len(), list.lines()[1200]), (1201, "3/1200"));
    assert_eq!(site.anon().get(&at("d/SHA256SUMS")).await.is(200).lines().len(), 1201);
    let page = site.anon().get(&format!("{}/", at("d/0"))).await.is(200);
    assert_eq!(page.text().matches("<a href").count(), 1 + 171);
}

#[tokio::test]
async fn checksum_lists_are_relative_to_their_version_or_directory() {
    let site = Site::new();
    publish(&site, &["z", "linux/b", "linux/amd64/a", "other/c"]).await;
    let line = |file: &str, shown: &str| format!("{}  {shown}", sha256(format!("bytes of {file}")));
    let sums = site.anon().get(&at("SHA256SUMS")).await.is(200);
    let all = ["z", "linux/b", "linux/amd64/a", "other/c"].map(|file| line(file, file));
    assert_eq!(sums.lines(), all);
    let sums = site.anon().get(&at("Linux/sha256sums")).await.is(200);
    assert_eq!(sums.lines(), [line("linux/b", "b"), line("linux/amd64/a", "amd64/a")]);
    assert_eq!(sums.header("content-disposition").map(|text| text.contains("\"sha256sums\"")), Some(true));
    assert_eq!(site.anon().get(&at("linux/amd64/SHA256SUMS")).await.lines(), [line("linux/amd64/a", "a")]);
    for digests in ["SHA512SUMS", "linux/SHA512SUMS", "linux/amd64/a.sha512", "linux/b.sha1", "linux/b.md5"] {
        site.anon().get(&at(digests)).await.is(200);
    }
    let sidecar = site.anon().get(&at("linux/amd64/a.sha256")).await.is(200);
    assert_eq!(sidecar.lines(), [line("linux/amd64/a", "a")]);
    assert_eq!(sidecar.header("content-disposition").map(|text| text.contains("\"a.sha256\"")), Some(true));
    for nothing in ["nothing/SHA256SUMS", "z/SHA256SUMS", "linux/c.sha256", "linux.sha256"] {
        site.anon().get(&at(nothing)).await.is(404);
    }
    // The checksum file of the longest name has an even longer name.
    let longest = format!("{}{}", format!("{}/", "x".repeat(204)).repeat(4), "y".repeat(204));
    site.ci().publish(&at(&longest), "x").await;
    site.anon().get(&at(&format!("{longest}.sha512"))).await.is(200).says(&"y".repeat(204));
    // What exists comes before what is computed.
    site.ci().publish(&at("linux/SHA512SUMS/real"), "mine").await;
    assert_eq!(site.anon().get(&at("linux/SHA512SUMS")).await.is(200).lines(), ["real"]);
    site.ci().publish(&at("z.sha256"), "mine").await;
    assert_eq!(site.anon().get(&at("z.sha256")).await.is(200).text(), "mine");
}

#[tokio::test]
async fn latest_leads_to_paths_and_directories_of_the_newest_version() {
    let site = Site::new();
    site.ci().publish(&in_version("1.9", "d/f"), "old").await;
    site.ci().publish(&in_version("1.10", "d/f"), "new").await;
    for (asked, leads_to) in [
        (in_version("latest", "d/f"), in_version("1.10", "d/f")),
        (format!("{}?x=1", in_version("latest", "d/f")), format!("{}?x=1", in_version("1.10", "d/f"))),
        (in_version("latest", "d"), in_version("1.10", "d")),
        (format!("{}/", in_version("latest", "d")), format!("{}/", in_version("1.10", "d"))),
        (in_version("latest", "d/SHA256SUMS"), in_version("1.10", "d/SHA256SUMS")),
        (format!("{}/", path(&["ada", "tool", "latest"])), format!("{}/", path(&["ada", "tool", "1.10"]))),
    ] {
        let answer = site.anon().get(&asked).await.is(302);
        assert_eq!(answer.header("location"), Some(&*leads_to), "{asked}");
        assert_eq!(answer.header("link"), Some(&*format!("<{leads_to}>; rel=\"immutable\"")));
    }
    // A version of that name is itself.
    site.ci().publish(&in_version("latest", "d/g"), "x").await;
    assert_eq!(site.anon().get(&in_version("latest", "d")).await.is(200).lines(), ["g"]);
}

#[tokio::test]
async fn directories_of_a_private_owner_look_like_those_of_an_absent_one() {
    let site = Site::new();
    site.db(|conn| db_org(conn, "secret", Visibility::Private));
    site.admin().publish("/api/packages/secret/generic/tool/1/d/f", "x").await;
    let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
    for rest in ["d", "d/", "d/f", "d/f.sha256", "d/SHA256SUMS", "d/f/g", "nothing/", "", "SHA256SUMS"] {
        for (client, status) in [(site.anon(), 401), (site.stranger(), 404)] {
            for accept in ["*/*", browser, "application/json"] {
                let get = |owner: &str, rest: &str| {
                    let url = format!("/api/packages/{owner}/generic/tool/1/{rest}");
                    client.get(&url).header("accept", accept).into_future()
                };
                let (private, absent) = (get("secret", rest).await.is(status), get("nobody", rest).await);
                assert_eq!(private.looks(), absent.looks(), "{rest} {accept}");
            }
        }
    }
    for rest in ["", "/"] {
        for (client, status) in [(site.anon(), 401), (site.stranger(), 404)] {
            let get = |owner: &str| {
                let url = format!("/api/packages/{owner}/generic/tool{rest}");
                client.get(&url).header("accept", browser).into_future()
            };
            assert_eq!(get("secret").await.is(status).looks(), get("nobody").await.looks());
        }
    }
    site.stranger().put("/api/packages/secret/generic/tool/1/d", "x").await.is(404);
    let member = site.user("secret-read");
    assert_eq!(member.get("/api/packages/secret/generic/tool/1/d").await.is(200).lines(), ["f"]);
    member.put("/api/packages/secret/generic/tool/1/d", "x").await.is(403);
}

#[tokio::test]
async fn pages_show_paths_and_their_links_and_forms_work() {
    let site = Site::new();
    publish(&site, &["linux/tool.tar.gz", "d/delete", "README.md"]).await;
    let mut browser = site.browser_of("ada").await;
    browser.go("/ada/-/packages/generic/tool/1").await.is(200);
    let names = browser.all(".files th.name > a:not(.more)");
    assert_eq!(names, ["d/delete", "linux/tool.tar.gz", "README.md"]);
    let links = browser.attrs(".files th.name > a:not(.more)", "href");
    assert!(links[1].ends_with("/tool.tar.gz") && !links[1].contains("linux"), "{links:?}");
    for (name, link) in names.iter().zip(&links) {
        let got = site.anon().get(link).await.is(200);
        assert_eq!(got.text(), format!("bytes of {name}"));
        let last = name.rsplit('/').next().unwrap();
        assert!(got.header("content-disposition").unwrap().contains(&format!("\"{last}\"")), "{got:?}");
    }
    site.anon().get(&links[1].replace("tool.tar.gz", "linux/tool.tar.gz")).await.is(404);
    let deletion = links[0].clone() + "/delete";
    browser.go(&deletion).await.is(200);
    assert_eq!(browser.one("h1"), "Delete d/delete");
    browser.submit("main form[method='post']", &[]).await.is(303);
    site.anon().get(&at("d/delete")).await.is(404);
    // The script and the plain form take paths too.
    browser.go("/ada/-/upload?package=tool&version=1").await.is(200);
    let csrf = browser.csrf();
    let fields = [("x-csrf-token", &*csrf), ("sec-fetch-site", "same-origin")];
    browser.send("PUT", "/ada/-/upload/tool/1/by/script", &fields, Some(b"s".to_vec())).await.is(201);
    assert_eq!(browser.answer.json()["name"], "by/script");
    let refused = browser.send("PUT", "/ada/-/upload/tool/1/by", &fields, Some(b"s".to_vec())).await.is(409);
    assert_eq!(refused.answer.json()["code"], "blocked");
    browser.go("/ada/-/upload?package=tool&version=1").await.is(200);
    let body = crate::web_upload::multipart(&format!(
        "csrf={}&package=tool&version=1&file=by/form&file=by",
        escape(&browser.csrf())
    ));
    let kind = ("content-type", "multipart/form-data; boundary=edge");
    let action = browser.attrs("form#upload", "action").remove(0);
    browser
        .send("POST", &action, &[kind, ("sec-fetch-site", "same-origin"), ("accept", "text/html")], Some(body))
        .await;
    browser.is(409);
    assert_eq!(browser.one(".stored th"), "by/form");
    assert_eq!(site.anon().get(&at("by")).await.is(200).lines(), ["script", "form"]);
}

#[tokio::test]
async fn a_readme_shows_and_links_files_in_directories() {
    let site = Site::new();
    publish(&site, &["docs/logo.png", "docs/more.md"]).await;
    let text = "![Logo](docs/logo.png) [More](./Docs/more.md) [Out](../docs/more.md) [None](docs/none.md)";
    site.ci().publish(&at("README.md"), text).await;
    let page = site.anon().get("/ada/-/packages/generic/tool/1").header("accept", "text/html").await.is(200);
    let page = page.text();
    assert!(page.contains("/logo.png?shown=1\"") && page.contains("/more.md\""), "{page}");
    let readme = &page[page.find("id=\"readme\"").unwrap()..];
    assert_eq!(readme.matches("/more.md\"").count(), 1, "{readme}");
}

#[tokio::test]
async fn check_finds_a_path_that_is_a_file_and_a_directory() {
    let site = Site::new();
    publish(&site, &["a", "c/b"]).await;
    assert!(site.db_broken().await.is_empty());
    site.db_execute("UPDATE files SET name = 'A/x/b', lower_name = 'a/x/b' WHERE name = 'c/b'");
    let broken = site.db_broken().await;
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert!(broken[0].starts_with("ada/tool/1/a: the file is also a directory, which contains A/x/b"), "{broken:?}");
}

#[tokio::test]
async fn search_finds_files_by_the_names_of_their_directories() {
    let site = Site::new();
    publish(&site, &["linux/riscv/tool"]).await;
    let found = site.anon().get("/api/v1/packages/ada?q=tool").await.is(200).json();
    assert_eq!(found.as_array().unwrap().len(), 1);
    let page = site.anon().get("/explore/packages?q=riscv/tool").header("accept", "text/html").await.is(200);
    assert!(page.text().contains("linux/riscv/tool"), "the file is shown");
}
