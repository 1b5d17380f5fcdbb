//! The ID of a request: in every answer, in every line of the log, and wherever an error is shown.

use crate::program::{Home, Server, http};
use crate::support::people::People;
use crate::support::wire::{self, Wire, ask, send};
use crate::support::{Answer, Plan, Site, cluster, eventually, log, noise, path};
use crate::web_upload::multipart;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, HttpServer, web};
use diesel::{Connection, PgConnection};
use packhouse::db::managed::ManagedPostgres;
use packhouse::domain::public_url::BasePath;
use packhouse::http::connections::Connections;
use packhouse::http::middleware::{Guard, guard};
use std::collections::HashSet;
use std::fs::{self, OpenOptions, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

fn file(name: &str) -> String {
    path(&["ada", "tool", "1", name])
}

/// The lines of the log that carry this ID.
fn lines_of(id: &str) -> Vec<String> {
    let marks = [format!("request{{request_id={id}}}: "), format!(": request request_id={id} ")];
    let is_of = |line: &&str| marks.iter().any(|mark| line.contains(mark));
    log::captured().lines().filter(is_of).map(str::to_owned).collect()
}

/// The line that the request with this ID leaves at its end.
async fn request_line(id: &str) -> String {
    let ends = |line: &&String| line.contains(" packhouse::http::request_log: request request_id=");
    eventually("the request is logged", async || lines_of(id).iter().any(|line| ends(&line))).await;
    let lines: Vec<String> = lines_of(id).iter().filter(ends).cloned().collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.concat()
}

/// What the log says about the internal error of the request with this ID: one line and no more.
async fn internal_error(id: &str) -> String {
    request_line(id).await;
    let said: Vec<String> = lines_of(id).into_iter().filter(|line| line.contains("internal error")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    said.concat()
}

fn is_new(id: &str) -> bool {
    id.len() == 16 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Where the only blob of a store lies.
fn only_blob(site: &Site) -> PathBuf {
    let shards = fs::read_dir(site.dir.join("data/blobs/blobs")).unwrap();
    let mut blobs = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    blobs.next().unwrap().unwrap().path()
}

#[tokio::test]
async fn every_answer_has_a_request_id_of_its_own() {
    let settings = &[("PACKHOUSE_LIMITS_FILE_BYTES", "1000"), ("PACKHOUSE_LIMITS_UPLOAD_STALL_SECONDS", "1")];
    let site = Site::start(Plan { metrics: true, settings, ..Plan::default() });
    let (anon, ci, address) = (site.anon(), site.ci(), site.address);
    let mut answers: Vec<(u16, Answer)> = Vec::new();
    let stored = ci.publish(&file("f"), "hello").await;
    let etag = stored.header("etag").unwrap().to_owned();
    answers.push((201, stored));
    let html = |path: &str| anon.get(path).header("accept", "text/html");
    for (status, request) in [
        (200, anon.get(&file("f"))),
        (200, anon.head(&file("f"))),
        (206, anon.get(&file("f")).header("range", "bytes=1-2")),
        (304, anon.get(&file("f")).header("if-none-match", &etag)),
        (412, anon.get(&file("f")).header("if-match", "\"other\"").json()),
        (416, anon.get(&file("f")).header("range", "bytes=9-").json()),
        (200, anon.get(&path(&["ada", "tool", "1"]))),
        (302, anon.get(&path(&["ada", "tool", "latest", "f"]))),
        (404, anon.get(&file("g"))),
        (401, anon.put(&file("g"), "x")),
        (409, ci.put(&file("f"), "x")),
        (413, ci.put(&file("g"), noise(1001))),
        (204, ci.delete(&file("f"))),
        (405, anon.request("PATCH", &file("f"))),
        (200, anon.get("/api/v1/version")),
        (401, anon.get("/api/v1/user")),
        (404, anon.get("/api/v1/nothing")),
        (422, site.ada().post("/api/v1/orgs", &serde_json::json!({}))),
        (200, anon.get("/api/openapi.json")),
        (200, anon.get("/api/swagger")),
        (404, anon.get("/api/swagger/nothing")),
        (200, html("/")),
        (308, html("/docs")),
        (200, html("/docs/")),
        (303, html("/nobody")),
        (404, html("/nothing/at/all")),
        (404, anon.get("/nothing/at/all")),
        (303, html("/user/settings")),
        (404, anon.get("/assets/nothing")),
        (200, anon.get("/livez")),
        (200, anon.get("/readyz")),
        (200, anon.get("/api/healthz")),
        (200, anon.get("/metrics")),
    ] {
        answers.push((status, request.await));
    }
    let mut browser = site.browser();
    browser.go("/").await;
    let style = browser.attrs("link[rel=stylesheet]", "href").remove(0);
    answers.push((200, anon.get(&style).await));
    let many: Vec<_> = (0..70).map(|at| format!("X-{at}")).collect();
    let many: Vec<_> = many.iter().map(|name| (&**name, "1")).collect();
    answers.push((431, ask(address, "GET", "/livez", &many).await));
    answers.push((414, ask(address, "GET", format!("/{}", "x".repeat(9000)), &[]).await));
    answers.push((405, send(address, "PUT", "/", &[("Upgrade", "x"), ("Content-Length", "1")], b"x").await));
    let bearer = format!("Bearer {}", cluster::cluster().people.ci);
    let mut stalling = Wire::open(address).await;
    stalling.say(wire::head("PUT", file("g"), &[("Authorization", &bearer), ("Content-Length", "100")])).await;
    answers.push((408, stalling.answer("PUT").await.expect("an answer")));

    let mut seen = HashSet::new();
    for (status, answer) in &answers {
        let answer = answer.clone().is(*status);
        let id = answer.request_id().to_owned();
        assert!(is_new(&id), "{answer:?}");
        assert!(request_line(&id).await.contains(&format!(" status={status} ")));
        assert!(seen.insert(id), "twice: {answer:?}");
    }
}

#[tokio::test]
async fn an_id_is_taken_from_a_trusted_proxy_alone_and_only_if_it_is_harmless() {
    let trusting = Site::with(&[("PACKHOUSE_TRUSTED_PROXIES", "127.0.0.1")]);
    let untrusting = Site::new();
    let sent = |site: &Site, id: &str| site.anon().get("/api/v1/nothing").header("x-request-id", id);
    let longest = "x".repeat(128);
    for id in ["a", "1-5f0c1a9b_e2d4.7783", "0B6C6E3A-90E8-4B7F-A1C1-2F1D1E6B7F55", &longest] {
        let taken = sent(&trusting, id).await.is(404);
        assert_eq!((taken.request_id(), &taken.json()["request_id"]), (id, &id.into()));
        assert!(request_line(id).await.contains("path=\"/api/v1/nothing\""));
        assert!(is_new(sent(&untrusting, id).await.is(404).request_id()), "{id}");
    }
    for id in ["", "a b", "a=b", "<script>", "a/b", "\u{e4}", &"x".repeat(129)] {
        let answer = sent(&trusting, id).await.is(404);
        assert!(is_new(answer.request_id()), "{id:?}: {answer:?}");
    }
    let two = sent(&trusting, "one").header("x-request-id", "another").await.is(404);
    assert!(is_new(two.request_id()), "{two:?}");
}

#[tokio::test]
async fn what_a_database_thread_logs_carries_the_id_of_the_request() {
    let dir = tempfile::Builder::new().prefix("packhouse-it-id-").tempdir_in(cluster::fast_dir()).unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let postgres = ManagedPostgres::start(&cluster::options(dir.path())).unwrap();
    let site = Site::start(Plan { url: Some(postgres.url().to_owned()), ..Plan::default() });
    site.anon().get(&file("f")).await.is(401);
    postgres.stop();
    let away = site.anon().get(&file("f")).await.is(503);
    let lines = lines_of(away.request_id());
    let from_thread = |line: &String| line.contains("packhouse::db: ") && line.contains("database");
    assert!(lines.iter().any(from_thread), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("internal error")), "{lines:?}");
}

#[tokio::test]
async fn what_threads_of_the_store_log_and_what_happens_while_sending_carries_the_id_too() {
    let site = Site::new();
    site.ci().publish(&file("f"), noise(5_000_000)).await;
    let blob = only_blob(&site);
    fs::set_permissions(&blob, Permissions::from_mode(0o600)).unwrap();
    let stored = OpenOptions::new().read(true).write(true).open(&blob).unwrap();
    stored.write_all_at(b"damage", 4_999_990).unwrap();
    let mut wire = Wire::open(site.address).await;
    wire.say(wire::head("GET", file("f"), &[])).await;
    let answer = wire.head().await.unwrap().is(200);
    wire.rest().await;
    assert!(request_line(answer.request_id()).await.contains("cut=true"));
    let lines = lines_of(answer.request_id());
    assert!(lines.iter().any(|line| line.contains("a download was cut off")), "{lines:?}");

    let site = Site::new();
    site.ci().publish(&file("README.md"), "# Tool").await;
    fs::remove_file(only_blob(&site)).unwrap();
    let page = site.anon().get("/ada/-/packages/generic/tool/1").header("accept", "text/html").await;
    let lines = lines_of(page.request_id());
    assert!(lines.iter().any(|line| line.contains("cannot serve a stored file")), "{lines:?}");
}

#[tokio::test]
async fn an_internal_error_is_logged_once_and_every_face_shows_the_id() {
    let site = Site::new();
    site.ci().publish(&file("f"), "hello").await;
    let mut browser = site.browser_of("ada").await;
    let csrf = browser.go("/ada/-/upload").await.is(200).csrf();
    site.db_execute("ALTER TABLE blobs RENAME TO broken");

    let text = site.anon().get(&file("f")).await.is(500);
    assert_eq!(text.text(), format!("internal error (request id {})\n", text.request_id()));
    let line = internal_error(text.request_id()).await;
    for words in [
        "ERROR ",
        "blobs",
        "does not exist",
        "method=GET",
        "route=\"/api/packages/{owner}/generic/{name}/{version}/{file}\"",
        "path=\"/api/packages/ada/generic/tool/1/f\"",
    ] {
        assert!(line.contains(words), "{words} is not in {line}");
    }
    let json = site.anon().get(&file("f")).json().await.is(500);
    let api = site.anon().get("/api/v1/packages/ada/generic/tool/1/files").await.is(500);
    for answer in [json, api] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(answer.pretty(), @r#"
            {
              "code": "internal",
              "message": "internal error",
              "request_id": "…",
              "url": "/api/swagger"
            }
            "#);
        }
        assert_eq!(answer.json()["request_id"], answer.request_id());
        internal_error(answer.request_id()).await;
    }

    browser.go("/ada/-/packages/generic/tool/1").await.is(500);
    assert_eq!(browser.one("main code"), browser.answer.request_id());
    assert_eq!(browser.attrs("main p:has(> code)", "class"), Vec::<String>::new());
    internal_error(browser.answer.request_id()).await;

    let put = [("x-csrf-token", &*csrf), ("sec-fetch-site", "same-origin")];
    browser.send("PUT", "/ada/-/upload/tool/2/f", &put, Some(b"x".to_vec())).await.is(500);
    assert_eq!(browser.answer.json()["request_id"], browser.answer.request_id());
    internal_error(browser.answer.request_id()).await;

    let form = multipart(&format!("csrf={csrf}&package=tool&version=2&file=f"));
    let post = [("content-type", "multipart/form-data; boundary=edge"), ("sec-fetch-site", "same-origin")];
    browser.send("POST", "/ada/-/upload", &post, Some(form)).await.is(500);
    internal_error(browser.answer.request_id()).await;

    // Where the server is not to blame the page has it in small print, and nothing is logged but the request.
    browser.go("/nobody").await.is(404);
    assert_eq!(browser.one("main code"), browser.answer.request_id());
    assert_eq!(browser.attrs("main p:has(> code)", "class"), ["soft small"]);
    request_line(browser.answer.request_id()).await;
    assert_eq!(lines_of(browser.answer.request_id()).len(), 1);
}

#[test]
fn a_handler_that_panics_is_500_with_the_id() {
    log::capture();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Connections::new(10, 10, Vec::new(), Duration::from_secs(10), Duration::from_secs(5));
    let guarded =
        web::Data::new(Guard { connections, draining: Arc::new(|| false), root: "".into(), base: BasePath::default() });
    let app = move || {
        let panicking = async || -> HttpResponse { panic!("a test that panics") };
        App::new().app_data(guarded.clone()).wrap(from_fn(guard)).route("/panic", web::get().to(panicking))
    };
    actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
        let handle = server.handle();
        let running = actix_web::rt::spawn(server);
        let answer = ask(address, "GET", "/panic", &[]).await.is(500);
        assert_eq!(answer.text(), format!("internal error (request id {})\n", answer.request_id()));
        let lines = lines_of(answer.request_id());
        assert!(lines[0].contains("a handler panicked") && lines[0].contains("path=\"/panic\""), "{lines:?}");
        assert_eq!(lines.len(), 1, "{lines:?}");
        ask(address, "GET", "/nothing", &[]).await.is(404).request_id();
        handle.stop(false).await;
        running.await.unwrap().unwrap();
    });
}

#[tokio::test]
async fn every_face_says_alike_when_to_try_again() {
    let dir = tempfile::Builder::new().prefix("packhouse-it-id-").tempdir_in(cluster::fast_dir()).unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let postgres = ManagedPostgres::start(&cluster::options(dir.path())).unwrap();
    let site = Site::start(Plan { url: Some(postgres.url().to_owned()), ..Plan::default() });
    People::settle(&mut PgConnection::establish(&site.url).unwrap());
    let mut browser = site.browser_of("ada").await;
    let csrf = browser.go("/ada/-/upload").await.is(200).csrf();
    let wait = |answer: &Answer| answer.header("retry-after").map(str::to_owned);

    for _ in 0..10 {
        site.user("nobody").get("/api/v1/user").await.is(401);
    }
    let generic = site.user("nobody").get(&file("f")).await.is(429);
    let api = site.user("nobody").get("/api/v1/user").await.is(429);
    let mut stranger = site.browser();
    stranger.go("/login").await;
    let login = [("name", "nobody"), ("password", "a wrong password")];
    stranger.submit("form[action='/login']", &login).await.is(429);
    assert!(wait(&generic).is_some_and(|seconds| seconds.parse::<u64>().is_ok_and(|seconds| seconds > 60)));
    assert_eq!((wait(&api), wait(&stranger.answer)), (wait(&generic), wait(&generic)));

    postgres.stop();
    let generic = site.anon().get(&file("f")).await.is(503);
    let api = site.anon().get("/api/v1/packages/ada/generic/tool/1").await.is(503);
    assert_eq!((wait(&generic), wait(&api)), (Some("5".to_owned()), Some("5".to_owned())));
    browser.go("/ada").await.is(503);
    assert_eq!(wait(&browser.answer), wait(&generic));
    let put = [("x-csrf-token", &*csrf), ("sec-fetch-site", "same-origin")];
    browser.send("PUT", "/ada/-/upload/tool/1/f", &put, Some(b"x".to_vec())).await.is(503);
    assert_eq!(wait(&browser.answer), wait(&generic));
    assert_eq!(browser.answer.json()["request_id"], browser.answer.request_id());
}

#[tokio::test]
async fn a_run_of_a_job_has_a_span_with_its_name_and_an_id() {
    let site = Site::new();
    let mut browser = site.browser_of("admin").await;
    browser.go("/-/admin/system").await.is(200);
    browser.submit("form[action='/-/admin/system/tasks/sweep']", &[]).await.is(303);
    let is_run = |line: &str| line.contains(" job{job=\"sweep\" run_id=") && line.contains("swept the store");
    eventually("the sweep is logged", async || log::captured().lines().any(is_run)).await;
}

#[test]
fn a_log_in_json_has_the_id_as_a_field() {
    let mut home = Home::new();
    home.set("PACKHOUSE_LOG_FORMAT", "json");
    let server = Server::start(&home);
    let (status, body) = http(&server.address, "GET", "/api/v1/nothing", &[], b"");
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 404);
    server.stop();
    let log = fs::read_to_string(home.path("server.log")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let found: Vec<_> = lines.filter(|line| line["request_id"] == body["request_id"]).collect();
    assert_eq!(found.len(), 1, "{log}");
    assert_eq!(
        (&found[0]["message"], &found[0]["status"], &found[0]["path"]),
        (&"request".into(), &404.into(), &"/api/v1/nothing".into(),)
    );
}
