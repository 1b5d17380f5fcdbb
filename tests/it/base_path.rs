//! A site below a path of its host, behind a proxy that keeps the path and behind one that removes it; and what the
//! address of the site decides: the names of cookies, and where forms may come from.

use crate::program::{Home, Server};
use crate::support::browser::Browser;
use crate::support::people::db_org;
use crate::support::receiver::Receiver;
use crate::support::{BASE, Client, PASSWORD, Plan, Proxy, Site, eventually, log, path};
use packhouse::domain::role::Visibility;
use serde_json::json;

const PROXIES: [Proxy; 2] = [Proxy::Keeps, Proxy::Strips];
const ROOT: &str = "https://host.test";
const LOGIN: &str = "main form[action$='/login']";

/// The path of an address of the site, which is absolute or a path of its host.
fn path_of(address: &str) -> String {
    let path = address.strip_prefix(ROOT).unwrap_or(address);
    assert!(path.starts_with("/packages/"), "{address}");
    path.to_owned()
}

/// Where the current answer of a browser redirects to.
#[track_caller]
fn target(browser: &Browser) -> &str {
    browser.answer.header("location").expect("a redirect")
}

#[tokio::test]
async fn people_sign_in_upload_and_delete_below_a_path() {
    for proxy in PROXIES {
        let site = Site::behind(proxy);
        let mut browser = site.browser();
        browser.go("/packages/ada/-/upload?package=tool").await.is(303);
        assert_eq!(target(&browser), "/packages/login?redirect_to=%2Fada%2F-%2Fupload%3Fpackage%3Dtool");
        browser.follow().await.is(200);
        browser.submit(LOGIN, &[("name", "ada"), ("password", PASSWORD)]).await.is(303);
        assert_eq!(target(&browser), "/packages/ada/-/upload?package=tool", "{proxy:?}");
        browser.follow().await.is(200);
        assert_eq!(browser.attrs("#upload", "action"), ["/packages/ada/-/upload"]);
        assert_eq!(browser.attrs("#upload", "data-site"), ["/packages/"], "for the script");

        let csrf = browser.csrf();
        let fields = [("x-csrf-token", &*csrf), ("sec-fetch-site", "same-origin")];
        browser.send("PUT", "/packages/ada/-/upload/tool/1.0/a", &fields, Some(b"a".to_vec())).await.is(201);
        let page = browser.answer.json()["page"].as_str().unwrap().to_owned();
        assert_eq!(page, "/packages/ada/-/packages/generic/tool/1.0");
        let mut body = String::new();
        for (name, value) in [("csrf", &*csrf), ("package", "tool"), ("version", "1.0")] {
            body.push_str(&format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"));
        }
        body.push_str("--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"README.md\"\r\n\r\n");
        body.push_str("[a](a)\r\n--b--\r\n");
        let kind = ("content-type", "multipart/form-data; boundary=b");
        let fields = [kind, ("sec-fetch-site", "same-origin")];
        browser.send("POST", "/packages/ada/-/upload", &fields, Some(body.into_bytes())).await.is(303);
        assert_eq!(target(&browser), page);
        browser.follow().await.is(200);
        assert_eq!(browser.one("main .notice.good"), "1 file uploaded to tool 1.0.");
        let link = browser.attrs(".prose a[href*='/files/']", "href").remove(0);
        browser.go(&link).await.is(200);
        assert_eq!(browser.text(), "a", "a link of the README leads to the file beside it");

        browser.go(&format!("{page}/delete")).await.is(200);
        browser.submit("main form", &[]).await.is(303);
        assert_eq!(target(&browser), "/packages/ada");
        browser.follow().await.is(200);
        browser.submit("form[action$='/-/theme']", &[("theme", "dark")]).await.is(303);
        assert_eq!(target(&browser), "/packages/ada");
        browser.follow().await.is(200);
        assert_eq!(browser.attrs("html", "data-theme"), ["dark"]);
        browser.submit("form[action$='/logout']", &[]).await.is(303);
        assert_eq!(target(&browser), "/packages/");
        browser.follow().await.is(200);
    }
}

#[tokio::test]
async fn the_token_page_below_a_path_shows_commands_that_work() {
    for proxy in PROXIES {
        let site = Site::behind(proxy);
        let mut browser = site.browser_of("ada").await;
        browser.go("/packages/user/settings/tokens/new").await.is(200);
        let form = "form[action='/packages/user/settings/tokens/new']";
        browser.submit(form, &[("name", "build job"), ("current_password", PASSWORD)]).await.is(200);
        let (secret, command) = (browser.one("#secret"), browser.all(".copy code").remove(2));
        let url = command.split(' ').next_back().unwrap();
        assert_eq!(url, "https://host.test/packages/api/packages/ada/generic/hello/1.0.0/hello.txt");
        let curl = site.anon().behind(proxy).bearer(&secret);
        curl.put(&path_of(url), "hello").await.is(201);
        curl.get(&path_of(url)).await.is(200).says("hello");
    }
}

#[tokio::test]
async fn redirect_to_is_a_path_of_the_site_with_or_without_its_base() {
    let site = Site::behind(Proxy::Keeps);
    for (wanted, to) in [
        ("/explore", "/packages/explore"),
        ("/packages/explore%3Fq%3Da", "/packages/explore?q=a"),
        ("/packages", "/packages/"),
        ("/packages%3Fq%3Da", "/packages/?q=a"),
        ("//evil.example", "/packages/"),
        ("https://evil.example/packages/", "/packages/"),
        ("/packages//evil.example", "/packages/"),
    ] {
        let mut browser = site.browser();
        browser.go(&format!("/packages/login?redirect_to={wanted}")).await.is(200);
        browser.submit(LOGIN, &[("name", "ada"), ("password", PASSWORD)]).await.is(303);
        assert_eq!(target(&browser), to, "{wanted}");
    }
}

/// The addresses that the protocol and the API tell.
async fn told(curl: &Client, file: &str) -> Vec<String> {
    let put = curl.put(file, "x").await.is(201);
    let mut told = vec![put.header("location").unwrap().to_owned()];
    let latest = file.replace("/1.0/", "/latest/");
    let latest = curl.get(&latest).await.is(302);
    let link = latest.header("link").unwrap();
    told.push(link[1..link.find('>').unwrap()].to_owned());
    told.push(latest.header("location").unwrap().to_owned());
    let version = curl.get("/packages/api/v1/packages/ada/generic/tool/1.0").await.is(200).json();
    told.extend([&version["html_url"], &version["owner"]["html_url"]].map(|url| url.as_str().unwrap().to_owned()));
    let files = curl.get("/packages/api/v1/packages/ada/generic/tool/1.0/files").await.is(200).json();
    told.push(files[0]["download_url"].as_str().unwrap().to_owned());
    let problem = curl.get("/packages/api/v1/packages/ada/generic/nothing/1").await.is(404).json();
    told.push(problem["url"].as_str().unwrap().to_owned());
    told
}

#[tokio::test]
async fn the_protocol_and_the_api_tell_addresses_below_the_path() {
    for proxy in PROXIES {
        let site = Site::behind(proxy);
        let curl = site.ada().behind(proxy);
        let file = format!("{BASE}{}", path(&["ada", "tool", "1.0", "tool.bin"]));
        let told = told(&curl, &file).await;
        assert_eq!(told.len(), 7);
        for address in told {
            let answer = curl.get(&path_of(&address)).await;
            assert!([200, 303].contains(&answer.status), "{address}: {}", answer.status);
        }
        curl.put(&file.replace("1.0", "2.0"), "x").await.is(201);
        let list = curl.get("/packages/api/v1/packages/ada?limit=1").await.is(200);
        let next = list.header("link").unwrap().split(['<', '>']).nth(1).unwrap().to_owned();
        assert!(next.starts_with("https://host.test/packages/api/v1/packages/ada?"), "{next}");
        curl.get(&path_of(&next)).await.is(200);
        let list = curl.get("/packages/api/packages/ada/generic/tool?limit=1").await.is(200);
        let next = list.header("link").unwrap().split(['<', '>']).nth(1).unwrap().to_owned();
        curl.get(&path_of(&next)).await.is(200);

        // Both ways to write the path are understood on the server itself.
        for path in [file.as_str(), file.strip_prefix(BASE).unwrap()] {
            site.anon().get(path).await.is(200);
        }
    }
}

#[tokio::test]
async fn webhooks_name_pages_below_the_path() {
    let site = Site::start(Plan {
        settings: &[
            ("PACKHOUSE_PUBLIC_URL", "https://host.test/packages"),
            ("PACKHOUSE_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8"),
        ],
        ..Plan::default()
    });
    let receiver = Receiver::new();
    let config = json!({"url": receiver.url(), "content_type": "json"});
    site.ada().post("/api/v1/user/hooks", &json!({"type": "gitea", "active": true, "config": config})).await.is(201);
    site.ci().publish(&path(&["ada", "tool", "1.0", "f"]), "x").await;
    site.app.webhook_sender().run().await;
    let told = receiver.heard().last().unwrap().json();
    assert_eq!(told["package"]["html_url"], "https://host.test/packages/ada/-/packages/generic/tool/1.0");
    assert_eq!(told["sender"]["html_url"], "https://host.test/packages/ada");
}

#[tokio::test]
async fn renamed_owners_redirect_below_the_path() {
    for proxy in PROXIES {
        let site = Site::behind(proxy);
        site.db(|conn| db_org(conn, "acme", Visibility::Public));
        site.ci().publish(&path(&["acme", "tool", "1.0", "f"]), "x").await;
        site.ada().post("/api/v1/orgs/acme/rename", &json!({"new_name": "acme-two"})).await.is(204);
        let curl = site.anon().behind(proxy);
        let old = format!("{BASE}{}", path(&["acme", "tool", "1.0", "f"]));
        let moved = curl.get(&old).await.is(307);
        let to = path_of(moved.header("location").unwrap());
        assert_eq!(to, old.replace("acme", "acme-two"));
        curl.get(&to).await.is(200);
        let mut browser = site.browser();
        browser.go("/packages/acme").await.is(303);
        assert_eq!(target(&browser), "/packages/acme-two");
        browser.follow().await.is(200);
    }
}

#[tokio::test]
async fn the_openapi_document_and_its_page_work_below_the_path() {
    for proxy in PROXIES {
        let site = Site::behind(proxy);
        let curl = site.anon().behind(proxy);
        let document = curl.get("/packages/api/openapi.json").await.is(200).json();
        assert_eq!(document["servers"][0]["url"], "/packages");
        assert_eq!(document["servers"][1]["url"], "https://host.test/packages");
        for page in ["/packages/api/swagger", "/packages/api/swagger/", "/packages/api/swagger/index.html"] {
            let page = curl.get(page).await.is(200);
            let loaded: Vec<&str> = page.text().split('"').filter(|word| word.starts_with('/')).collect();
            assert!(loaded.len() > 6, "{loaded:?}");
            for path in loaded {
                assert!(path.starts_with("/packages/api/"), "{path}");
                curl.get(path).await.is(200);
            }
        }
    }
}

#[tokio::test]
async fn the_manual_below_the_path_leads_to_its_pages_and_pictures() {
    for proxy in PROXIES {
        let site = Site::behind(proxy);
        let mut browser = site.browser();
        browser.go("/packages/docs").await.is(308);
        assert_eq!(target(&browser), "/packages/docs/");
        browser.go("/packages/docs//usage/webhooks").await.is(308);
        assert_eq!(target(&browser), "/packages/docs/usage/webhooks/");
        browser.follow().await.is(200);
        assert_eq!(browser.attrs("link[rel=canonical]", "href"), ["https://host.test/packages/docs/usage/webhooks/"]);
    }
}

/// The cookies that an answer sets.
fn set_cookies(browser: &Browser) -> Vec<String> {
    let fields = browser.answer.headers.get_all("set-cookie");
    fields.iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn cookies_below_a_path_are_sent_to_this_path_only() {
    for (url, prefix, path) in [
        ("https://host.test/packages", "__Secure-packhouse", "/packages"),
        ("https://host.test:8443/packages/", "__Secure-packhouse", "/packages"),
        ("http://host.test/a/b", "packhouse", "/a/b"),
        ("https://host.test", "__Host-packhouse", "/"),
        ("http://host.test:80", "packhouse", "/"),
        ("http://host.test:3000", "packhouse", "/"),
    ] {
        let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", url)]);
        let port = url.rsplit_once(':').map_or("", |(_, rest)| rest.split('/').next().unwrap());
        let port = if ["8443", "3000"].contains(&port) { format!("-{port}") } else { String::new() };
        let mut browser = site.browser();
        browser.go("/login").await.is(200);
        let mut all = set_cookies(&browser);
        browser.cookies.retain(|name, _| name.contains("visit"));
        let form = ("name", "ada");
        browser.submit(LOGIN, &[form, ("password", PASSWORD)]).await.is(303);
        all.extend(set_cookies(&browser));
        for (at, name) in ["-visit", "", "-pending"].into_iter().enumerate() {
            assert!(all[at].starts_with(&format!("{prefix}{name}{port}=")), "{url}: {all:?}");
        }
        for cookie in &all {
            assert!(cookie.split("; ").any(|part| part == format!("Path={path}")), "{url}: {cookie}");
            assert_eq!(cookie.contains("Secure;") || cookie.ends_with("Secure"), url.starts_with("https"), "{cookie}");
        }
        browser.go("/user/settings").await.is(200);
    }
}

#[tokio::test]
async fn servers_on_other_ports_of_one_host_keep_each_others_sessions() {
    let (one, other) = (Site::new(), Site::new());
    let mut first = one.browser_of("ada").await;
    let mut second = other.browser();
    // A browser sends the cookies of a host to all of its ports.
    second.cookies = first.cookies.clone();
    second.go("/login").await.is(200);
    second.submit(LOGIN, &[("name", "ada"), ("password", PASSWORD)]).await.is(303);
    second.go("/user/settings").await.is(200);
    first.cookies = second.cookies.clone();
    first.go("/user/settings").await.is(200);
    first.submit("form[action='/logout']", &[]).await.is(303);
    second.cookies = first.cookies.clone();
    second.go("/user/settings").await.is(200);
}

#[tokio::test]
async fn a_new_owner_cannot_take_the_name_of_the_base_path() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://host.test/Depot")]);
    site.ada().post("/api/v1/orgs", &json!({"username": "depot"})).await.is(422).says("reserved");
    site.ada().post("/api/v1/orgs", &json!({"username": "acme"})).await.is(201);
    site.ada().post("/api/v1/orgs/acme/rename", &json!({"new_name": "DEPOT"})).await.is(422).says("reserved");
    let user = json!({"username": "depot", "email": "depot@example.org", "password": PASSWORD});
    site.admin().post("/api/v1/admin/users", &user).await.is(422).says("reserved");
    let mut browser = site.browser_of("ada").await;
    browser.go("/Depot/org/create").await.is(200);
    browser.submit("main form", &[("name", "depot")]).await.is(422);
    // The path is compared as it is written: another spelling is a name like any other.
    assert_eq!(browser.go("/depot").await.answer.status, 404);
    browser.go("/Depot").await.is(200);
}

#[test]
fn an_owner_with_the_name_of_the_base_path_is_named_in_the_log() {
    let mut home = Home::new();
    home.set("PACKHOUSE_PUBLIC_URL", "https://host.test/depot");
    Server::start(&home).stop();
    let log = |home: &Home| std::fs::read_to_string(home.path("server.log")).unwrap();
    assert!(!log(&home).contains("WARN"), "{}", log(&home));
    let args = ["user", "create", "Depot", "--email", "d@example.org", "--password-stdin"];
    assert!(home.run_with_input(&args, PASSWORD).err.contains("reserved"));

    // At another address the name is free again.
    home.set("PACKHOUSE_PUBLIC_URL", "https://host.test");
    Server::start(&home).stop();
    home.make_user("Depot");
    home.set("PACKHOUSE_PUBLIC_URL", "https://host.test/depot");
    Server::start(&home).stop();
    let log = log(&home);
    let line = log.lines().find(|line| line.contains("WARN")).unwrap();
    assert!(line.contains("depot") && line.contains("public_url"), "{line}");
}

#[tokio::test]
async fn metrics_have_no_address_below_the_path() {
    let site = Site::start(Plan {
        settings: &[("PACKHOUSE_PUBLIC_URL", "https://host.test/packages")],
        metrics: true,
        ..Plan::default()
    });
    site.anon().get("/metrics").await.is(200);
    for path in ["/packages/metrics", "/packages/packages/metrics", "/packages//metrics", "/packages/metrics/"] {
        site.anon().get(path).await.is(404);
    }
    site.anon().get("/packages/readyz").await.is(200);
}

#[tokio::test]
async fn the_log_has_the_path_of_a_request_as_it_was_sent() {
    let site = Site::behind(Proxy::Keeps);
    for path in ["/packages/the-log-has/this", "/packages//the-log-has//that/", "/the-log-has/neither"] {
        site.anon().get(path).await.is(404);
        eventually("the log line", async || log::captured().contains(&format!("path={path:?}"))).await;
    }
}

/// Signs in with a form that comes from a page at this origin. Returns the refusal.
async fn sign_in_from(site: &Site, fields: &[(&str, &str)]) -> String {
    let mut browser = site.browser();
    browser.go("/login").await.is(200);
    let body = format!("csrf={}&name=ada&password={}", "0".repeat(64), PASSWORD.replace(' ', "+"));
    let kind = [("content-type", "application/x-www-form-urlencoded"), ("accept", "text/html")];
    let fields: Vec<_> = kind.into_iter().chain(fields.iter().copied()).collect();
    browser.send("POST", "/login", &fields, Some(body.into_bytes())).await.is(403);
    browser.one("main")
}

#[tokio::test]
async fn a_form_at_another_address_of_the_site_names_the_right_one() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://packages.example.org")]);
    let own = format!("http://{}", site.address);
    let wrong = format!("opened this site at {own}, but its address is https://packages.example.org");
    for fields in [
        // Over plain HTTP, browsers send no Sec-Fetch-Site.
        vec![("origin", &*own)],
        vec![("origin", &*own), ("sec-fetch-site", "same-origin")],
    ] {
        let said = sign_in_from(&site, &fields).await;
        assert!(said.contains(&wrong), "{fields:?}: {said}");
    }
    // A proxy that changes Host, and the scheme alone.
    let said = sign_in_from(&site, &[("origin", "http://10.0.0.5"), ("sec-fetch-site", "same-origin")]).await;
    assert!(said.contains("at http://10.0.0.5, but its address is https://packages.example.org"), "{said}");
    let fields = [("origin", "http://packages.example.org"), ("host", "packages.example.org")];
    let said = sign_in_from(&site, &fields).await;
    assert!(said.contains("at http://packages.example.org, but"), "{said}");
    // Another site is not told anything about itself, and an old page is no wrong address.
    for fields in [
        vec![("origin", "https://evil.example")],
        vec![("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
        vec![("origin", "null")],
        vec![("origin", "https://packages.example.org"), ("sec-fetch-site", "same-origin")],
        vec![],
    ] {
        let said = sign_in_from(&site, &fields).await;
        assert!(!said.contains("opened this site") && said.contains("expired"), "{fields:?}: {said}");
        assert!(said.contains("https://packages.example.org"), "{said}");
    }
}

#[tokio::test]
async fn a_site_with_a_path_of_a_host_decides_nothing_for_the_whole_host() {
    let site = Site::with(&[("PACKHOUSE_PUBLIC_URL", "https://example.org/packages")]);
    let page = site.anon().get("/packages/login").header("accept", "text/html").await.is(200);
    assert_eq!(page.header("strict-transport-security"), None);
    let answer = site.anon().get("/packages/robots.txt").await.is(200);
    let rules = answer.text();
    assert!(rules.contains("\nDisallow: /packages/api/\n"), "{rules}");
}
