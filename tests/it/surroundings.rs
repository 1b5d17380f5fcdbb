//! What surrounds the server: environment variables, signals, a log that nobody reads, modes of files, a database that
//! is absent, read-only, faulty, newer or in another encoding.

use crate::program::{Home, PASSWORD, Server, eventually, http, signal, with_two_files};
use crate::support::{Site, cluster, path};
use rustix::process::Signal;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

fn id(server: &std::process::Child) -> i32 {
    i32::try_from(server.id()).unwrap()
}

fn ready(address: &str) -> (u16, String) {
    let (status, body) = http(address, "GET", "/readyz", &[], b"");
    (status, String::from_utf8(body).unwrap())
}

#[test]
fn libpq_variables_do_not_reach_the_private_postgres() {
    let home = Home::new();
    let mut command = home.command(&["serve"]);
    command.envs([
        ("PGHOSTADDR", "192.0.2.1"),
        ("PGHOST", "db.invalid"),
        ("PGSERVICE", "nothing"),
        ("PGOPTIONS", "-c nonsense=1"),
        ("PGTARGETSESSIONATTRS", "read-only"),
        ("PGCHANNELBINDING", "require"),
        ("PGSSLMODE", "verify-full"),
        ("PGUSER", "nobody"),
    ]);
    let server = Server::spawn(&home, command);
    assert_eq!(ready(&server.address).0, 200);
    // The commands too, beside the server and without it.
    let mut command = home.command(&["check"]);
    assert!(command.env("PGHOSTADDR", "192.0.2.1").output().unwrap().status.success());
    server.stop();
    let mut command = home.command(&["user", "list"]);
    assert!(command.env("PGSERVICE", "nothing").output().unwrap().status.success());
}

#[test]
fn a_database_that_is_not_utf_8_is_refused_by_every_command() {
    let mut home = Home::new();
    let (name, _) = cluster::cluster().empty_database();
    cluster::execute(cluster::cluster().url(), &format!("DROP DATABASE {name}"));
    cluster::execute(
        cluster::cluster().url(),
        &format!("CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"),
    );
    home.set("DATABASE_URL", cluster::url_of(cluster::cluster().url(), &name));
    for command in [&["serve"][..], &["migrate"], &["check"], &["user", "list"]] {
        let ran = home.run(command);
        assert_eq!(ran.code, 1, "{command:?}");
        assert!(ran.err.contains("has the encoding SQL_ASCII and must have UTF8"), "{}", ran.err);
    }
}

#[test]
fn a_database_of_a_newer_version_is_refused_by_every_command() {
    let home = Home::new();
    let (server, _, files) = with_two_files(&home);
    home.sql("INSERT INTO __diesel_schema_migrations (version) VALUES ('2099010100000')");
    home.sql("UPDATE settings SET value = '\"9.1.0\"' WHERE key = 'migrated_by'");
    // A server that runs already goes on.
    assert_eq!(server.get("ada/generic/app/1/small.bin"), (200, files[0].clone()));
    server.stop();
    let folder = home.path("backup");
    let backup = ["backup", folder.to_str().unwrap()];
    let commands: [&[&str]; 7] =
        [&["serve"], &["migrate"], &["gc"], &["check"], &backup, &["user", "list"], &["secret-key", "adopt"]];
    for command in commands {
        let ran = home.run(command);
        assert_eq!(ran.code, 1, "{command:?}");
        for part in ["newer version of Packhouse (9.1.0)", "2099010100000", env!("CARGO_PKG_VERSION"), "upgrade.md"] {
            assert!(ran.err.contains(part), "{command:?}: {}", ran.err);
        }
    }
    assert!(!folder.exists() || fs::read_dir(&folder).unwrap().next().is_none());
}

#[tokio::test]
async fn a_read_only_database_still_serves_downloads_and_recovers_without_a_restart() {
    let site = Site::new();
    let file = |name: &str| path(&["ada", "tool", "1", name]);
    site.ci().publish(&file("a"), "x").await;
    let name = site.db_texts("SELECT current_database()::text AS text").remove(0);
    let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() \
               AND pid <> pg_backend_pid()";
    site.db_execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    site.db_execute(end);
    let refused = site.ci().put(&file("b"), "x").await.is(503).says("read-only");
    assert!(refused.header("retry-after").is_some());
    site.ci().delete(&file("a")).await.is(503);
    assert_eq!(site.anon().get(&file("a")).await.is(200).text(), "x");
    let probe = site.anon().get("/readyz").await.is(503);
    assert!(probe.text().starts_with("database: degraded: the database is read-only\n"), "{}", probe.text());
    let health = site.anon().get("/api/healthz").await.is(503).json();
    assert_eq!(health["checks"]["database:ping"][0]["status"], "fail");
    // Connections that were opened in that time keep its setting: they must not be used again.
    let url = &site.url;
    let reset = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
    cluster::execute(&format!("{url}&options=-c%20default_transaction_read_only%3Doff"), &reset);
    site.ci().publish(&file("b"), "x").await;
    site.anon().get("/readyz").await.is(200);
}

#[tokio::test]
async fn a_degraded_server_is_ready_if_a_setting_says_so() {
    let site = Site::with(&[
        ("PACKHOUSE_STORE_RESERVE_BYTES", "9000000000000000"),
        ("PACKHOUSE_HEALTH_DEGRADED_IS_READY", "true"),
    ]);
    let probe = site.anon().get("/readyz").await.is(200);
    assert_eq!(probe.text(), "database: ok\nstore: degraded: no space left\naccepting: ok\n");
    assert_eq!(site.anon().get("/api/healthz").await.is(200).json()["status"], "pass");
    let strict = Site::with(&[("PACKHOUSE_STORE_RESERVE_BYTES", "9000000000000000")]);
    strict.anon().get("/readyz").await.is(503).says("store: degraded: no space left");
}

/// Makes every new version fail as Postgres would with this error.
fn fail_with(site: &Site, state: &str, message: &str) {
    site.db_execute(&format!(
        "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}', MESSAGE = '{message}'; END $$"
    ));
    site.db_execute("DROP TRIGGER IF EXISTS fail ON versions");
    site.db_execute("CREATE TRIGGER fail BEFORE INSERT ON versions FOR EACH ROW EXECUTE FUNCTION fail()");
}

#[tokio::test]
async fn errors_of_the_database_are_503_or_507_and_only_bugs_are_500() {
    let site = Site::new();
    for (state, message, status) in [
        ("40001", "could not serialize access", 503),
        ("40P01", "deadlock detected", 503),
        ("55P03", "canceling statement due to lock timeout", 503),
        ("57014", "canceling statement due to statement timeout", 503),
        ("25006", "cannot execute INSERT in a read-only transaction", 503),
        ("53100", "could not extend file \"base/1/2\": No space left on device", 507),
        ("53200", "out of memory", 503),
        ("58030", "could not read block 3 in file \"base/1/2\": Input/output error", 503),
        ("58P01", "could not open file \"base/1/2\": No such file or directory", 503),
        ("XX001", "invalid page in block 7 of relation base/1/2", 503),
        ("XX002", "index \"x\" contains corrupted page at block 1", 503),
        ("22003", "integer out of range", 500),
        ("42P01", "relation \"nothing\" does not exist", 500),
    ] {
        fail_with(&site, state, message);
        let answer = site.ci().put(&path(&["ada", "tool", "1", "f"]), "x").await;
        assert_eq!(answer.status, status, "{state}: {answer:?}");
        assert_eq!(answer.header("retry-after").is_some(), status != 500, "{state}");
        assert!(!answer.text().contains("base/1/2") && !answer.text().contains("relation"), "{}", answer.text());
    }
    site.db_execute("DROP TRIGGER fail ON versions");
    site.ci().publish(&path(&["ada", "tool", "1", "f"]), "x").await;
}

#[test]
fn a_server_whose_log_nobody_reads_works_counts_lost_lines_and_stops() {
    let home = Home::new();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    for log in [Stdio::piped(), Stdio::from(full)] {
        let mut command = home.command(&["serve"]);
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        // The log's reader is gone before the first line, and that of the output after its line.
        drop(child.stderr.take());
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        while !line.contains(" listens on http://") {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "{:?}", child.wait());
        }
        drop(output);
        let address = line.trim_end().split_once("http://").unwrap().1.to_owned();
        assert_eq!(ready(&address).0, 200);
        assert_eq!(http(&address, "GET", "/api/nothing", &[], b"").0, 404);
        eventually("lost lines are counted", || {
            let metrics = String::from_utf8(http(&address, "GET", "/metrics", &[], b"").1).unwrap();
            let lost = metrics.lines().find_map(|line| line.strip_prefix("packhouse_log_lines_lost_total "));
            lost.is_some_and(|lost| lost.parse::<u64>().unwrap() > 0)
        });
        signal(id(&child), Signal::TERM);
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_full_output_does_not_stop_the_start() {
    let mut home = Home::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    home.set("PACKHOUSE_LISTEN", format!("127.0.0.1:{port}"));
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut child = home.command(&["serve"]).stdout(full).stderr(Stdio::null()).spawn().unwrap();
    let address = format!("127.0.0.1:{port}");
    eventually("the server listens", || std::net::TcpStream::connect(&address).is_ok());
    // While the real server takes over, a connection may be cut.
    eventually("the server is ready", || std::panic::catch_unwind(|| ready(&address).0 == 200).unwrap_or(false));
    // The password of the first administrator could not be printed; its file has it.
    assert!(home.data().join("initial-admin-password").exists());
    signal(id(&child), Signal::TERM);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_server_without_its_database_is_alive_not_ready_and_stops_at_once() {
    let mut home = Home::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    home.set("PACKHOUSE_LISTEN", format!("127.0.0.1:{port}"));
    home.set("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
    let mut child = home.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let address = format!("127.0.0.1:{port}");
    eventually("the server listens", || std::net::TcpStream::connect(&address).is_ok());
    assert_eq!(http(&address, "GET", "/livez", &[], b""), (200, b"ok\n".to_vec()));
    let (status, said) = ready(&address);
    assert_eq!(status, 503);
    assert!(said.starts_with("database: "), "{said}");
    assert_eq!(http(&address, "GET", "/api/packages/ada/generic/a/1/f", &[], b"").0, 503);
    signal(id(&child), Signal::TERM);
    // Long before the minute that it would wait for the database.
    eventually("the server stops", || child.try_wait().unwrap().is_some_and(|status| status.success()));
}

#[test]
fn sighup_reads_the_log_level_again_and_keeps_serving() {
    let home = Home::new();
    let file = home.path("packhouse.toml");
    fs::write(&file, "[log]\nlevel = \"warn\"\n").unwrap();
    let server = Server::start(&home);
    let log = || fs::read_to_string(home.path("server.log")).unwrap();
    assert_eq!(ready(&server.address).0, 200);
    fs::write(&file, "[log]\nlevel = \"info\"\n").unwrap();
    signal(id(&server.child), Signal::HUP);
    eventually("the level is read again", || log().contains("SIGHUP: read log.level again"));
    assert_eq!(ready(&server.address).0, 200);
    eventually("requests are logged", || log().contains("path=\"/readyz\""));
    fs::write(&file, "[log]\nlevel = \"loud\"\n").unwrap();
    signal(id(&server.child), Signal::HUP);
    eventually("a mistake is reported", || log().contains("SIGHUP: the configuration is invalid now"));
    assert_eq!(ready(&server.address).0, 200);
    server.stop();
}

#[test]
fn a_stopping_server_accepts_while_load_balancers_notice() {
    let mut home = Home::new();
    home.set("PACKHOUSE_LIMITS_LAME_DUCK_SECONDS", "600");
    let (mut server, _, files) = with_two_files(&home);
    signal(id(&server.child), Signal::TERM);
    eventually("the server is not ready", || ready(&server.address).0 == 503);
    assert!(ready(&server.address).1.contains("accepting: the server is stopping"));
    assert_eq!(server.get("ada/generic/app/1/small.bin"), (200, files[0].clone()));
    // A second signal ends the wait.
    signal(id(&server.child), Signal::TERM);
    assert!(server.child.wait().unwrap().success());
}

/// Every path below a directory with its mode, except the private Postgres' own.
fn modes(dir: &Path) -> Vec<(String, u32)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if path.ends_with("postgres") || path.ends_with("server.log") {
            continue;
        }
        if metadata.is_dir() {
            all.extend(modes(&path));
        }
        all.push((path.display().to_string(), metadata.permissions().mode() & 0o777));
    }
    all
}

#[test]
fn files_are_private_whatever_the_umask_and_open_ones_are_refused() {
    let home = Home::new();
    let program = env!("CARGO_BIN_EXE_packhouse");
    let mut command = home.command(&[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 000; exec \"$0\" serve", program]).current_dir(home.dir.path());
    shell.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let server = Server::spawn(&home, shell);
    home.make_user("ada");
    let token = home.make_token("ada");
    assert_eq!(server.put(&token, "ada/generic/app/1/f", b"x"), 201);
    let open: Vec<_> = modes(&home.data()).into_iter().filter(|(_, mode)| mode & 0o066 != 0).collect();
    assert_eq!(open, []);
    server.stop();
    command.arg("serve");
    for (path, mode) in [("assets", 0o777), ("secret-key", 0o644), ("", 0o777)] {
        let path = home.data().join(path);
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let ran = home.run(&["serve"]);
        assert_eq!(ran.code, 1, "{}", path.display());
        assert!(ran.err.contains("other users"), "{}", ran.err);
        fs::set_permissions(&path, before).unwrap();
    }
    Server::start(&home).stop();
}

#[test]
fn a_server_with_another_secret_key_is_refused_until_the_key_is_adopted() {
    let mut home = Home::new();
    Server::start(&home).stop();
    let key = home.path("other-key");
    fs::write(&key, format!("{}\n", "ab".repeat(32))).unwrap();
    home.set("PACKHOUSE_SECRET_KEY_FILE", key.to_str().unwrap());
    let ran = home.run(&["serve"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("is not the key of this database"), "{}", ran.err);
    home.ok(&["secret-key", "adopt"]);
    Server::start(&home).stop();
    // Something is encrypted with the key now, so no other one can replace it.
    home.make_user("ada");
    let server = Server::start(&home);
    let credential = format!("Basic {}", base64(&format!("ada:{PASSWORD}")));
    let hook = r#"{"type":"gitea","config":{"url":"https://example.org/","content_type":"json","secret":"s"}}"#;
    let headers = [("Authorization", &*credential), ("Content-Type", "application/json")];
    assert_eq!(http(&server.address, "POST", "/api/v1/user/hooks", &headers, hook.as_bytes()).0, 201);
    server.stop();
    fs::write(&key, format!("{}\n", "cd".repeat(32))).unwrap();
    let ran = home.run(&["secret-key", "adopt"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("encrypted with the former key"), "{}", ran.err);
}

fn base64(text: &str) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text)
}

#[test]
fn downloads_do_not_wait_behind_uploads_whose_fsync_is_slow() {
    let home = Home::new();
    let (server, token, files) = with_two_files(&home);
    server.stop();
    // The same program under strace, which makes every fsync take two seconds.
    let plain = home.command(&["serve"]);
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
    command.args(["-e", "inject=fsync,fdatasync:delay_enter=2000000"]).arg(plain.get_program()).args(plain.get_args());
    command.envs(plain.get_envs().filter_map(|(key, value)| Some((key, value?)))).current_dir(home.dir.path());
    let server = Server::spawn(&home, command);
    std::thread::scope(|scope| {
        let uploads: Vec<_> = (0..40)
            .map(|at: u8| {
                let (server, token, content) = (&server, &token, [&files[1][..], &[at]].concat());
                scope.spawn(move || server.put(token, &format!("ada/generic/slow/1/{at}"), &content))
            })
            .collect();
        // More of them than the server has threads for writing files.
        let incoming = || fs::read_dir(home.data().join("blobs/incoming")).unwrap().count();
        eventually("all uploads wait for the disk", || incoming() >= 35);
        for _ in 0..10 {
            assert_eq!(server.get("ada/generic/app/1/large.bin"), (200, files[1].clone()));
        }
        assert!(uploads.iter().all(|upload| !upload.is_finished()), "the downloads came first");
        for upload in uploads {
            assert!([201, 503].contains(&upload.join().unwrap()));
        }
    });
}
