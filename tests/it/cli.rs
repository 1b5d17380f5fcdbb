//! The command line: users, tokens, usage, settings, the first start.

use std::fs;
use std::net::{TcpListener, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::program::{Home, PASSWORD, Ran, Server, eventually, http};

fn basic(user: &str, password: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}")))
}

#[test]
fn commands_create_users_and_tokens_with_or_without_a_server() {
    let home = Home::new();
    home.make_user("ada");
    let token = home.make_token("ada");
    assert!(token.starts_with("phk_"), "only the secret is printed: {token:?}");

    let server = Server::start(&home);
    assert!(!server.said.contains("administrator"), "not a first start, because a user exists: {}", server.said);
    assert_eq!(server.put(&token, "ada/generic/app/1/a.txt", b"hello"), 201);
    let args = ["user", "create", "Eve", "--email", "eve@example.org", "--admin", "--random-password"];
    let password = home.ok(&args).trim_end().to_owned();
    assert!(password.len() >= 12, "{password:?}");
    let whoami = |password: &str| {
        let authorization = basic("eve", password);
        http(&server.address, "GET", "/api/v1/user", &[("Authorization", &authorization)], b"").0
    };
    assert_eq!(whoami(&password), 200);
    assert_eq!(home.ok(&["user", "list"]), "ada\tada@example.org\nEve\teve@example.org\tadmin\n");

    let ran = home.run_with_input(&["user", "password", "eve", "--password-stdin"], "another long passphrase\n");
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert_eq!(whoami(&password), 401, "the old password stops working immediately");
    assert_eq!(whoami("another long passphrase"), 200);

    home.ok(&["user", "lock", "ada"]);
    assert_eq!(server.put(&token, "ada/generic/app/1/b.txt", b"hello"), 401);
    assert!(home.ok(&["user", "list"]).contains("ada@example.org\tlocked"));
    home.ok(&["user", "lock", "ada", "--undo"]);
    assert_eq!(server.put(&token, "ada/generic/app/1/b.txt", b"hello"), 201);

    // A failed command explains why and exits with 1.
    let refused = home.run(&["user", "lock", "eve"]);
    assert_eq!((refused.code, refused.err.contains("last administrator")), (1, true), "{}", refused.err);
    let refused =
        home.run_with_input(&["user", "create", "ADA", "--email", "x@example.org", "--password-stdin"], PASSWORD);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("already exists"), "{}", refused.err);
    let refused = home.run_with_input(&["user", "password", "ada", "--password-stdin"], "short\n");
    assert_eq!(refused.code, 1, "{}", refused.err);
    let refused = home.run_with_input(&["user", "password", "ada", "--password-stdin"], "");
    assert!(refused.err.contains("standard input has no password"), "{}", refused.err);
    let refused = home.run(&["token", "create", "--user", "bob", "--name", "x", "--scope", "read:package"]);
    assert_eq!((refused.code, refused.err.contains("user not found")), (1, true), "{}", refused.err);
    server.stop();
}

#[test]
fn each_command_that_changes_something_adds_one_audit_entry() {
    let home = Home::new();
    home.make_user("ada");
    home.make_token("ada");
    home.ok(&["user", "create", "root", "--email", "root@example.org", "--admin", "--random-password"]);
    let changed = home.run_with_input(&["user", "password", "ada", "--password-stdin"], "another long passphrase\n");
    assert_eq!(changed.code, 0, "{}", changed.err);
    home.ok(&["user", "lock", "ada"]);
    home.ok(&["user", "lock", "ada", "--undo"]);
    home.ok(&["user", "list"]);
    home.ok(&["check"]);
    home.ok(&["gc"]);
    home.ok(&["backup", home.path("backup").to_str().unwrap()]);
    assert_eq!(home.run(&["token", "create", "--user", "bob", "--name", "x", "--scope", "all"]).code, 1);
    let token = home.ok(&["token", "create", "--user", "root", "--name", "audit", "--scope", "read:admin"]);
    let server = Server::start(&home);
    let authorization = format!("Bearer {}", token.trim_end());
    let (status, body) = http(&server.address, "GET", "/api/v1/admin/audit", &[("Authorization", &authorization)], b"");
    assert_eq!(status, 200);
    let records: Vec<serde_json::Value> = serde_json::from_slice(body.as_ref()).unwrap();
    let said = |one: &serde_json::Value| {
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        [&one["event"], &one["owner"]["name"], &one["actor"]["name"], &one["credential"]].map(text).join(" ")
    };
    let events = [
        "token.create root",
        "user.unlock ada",
        "user.lock ada",
        "user.password ada",
        "user.create root",
        "token.create ada",
        "user.create ada",
    ];
    let expected = events.map(|event| format!("{event} command-line command-line"));
    assert_eq!(records.iter().map(said).collect::<Vec<_>>(), expected);
    server.stop();
}

#[test]
fn concurrent_commands_share_the_postgres_of_a_starting_server() {
    let home = Home::new();
    let mut server = home.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("the server has its data directory", || {
        let Ok(lock) = fs::File::open(home.data().join("lock")) else { return false };
        matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock))
    });
    let listed = home.run(&["user", "list"]);
    let _ = server.kill();
    server.wait().unwrap();
    assert_eq!(listed.code, 0, "{}", listed.err);
}

#[test]
fn wrong_usage_and_wrong_settings_exit_with_2_and_an_explanation() {
    let home = Home::new();
    for args in [
        &["frobnicate"][..],
        &["check", "--digest"],
        &["gc", "--grace", "soon"],
        &["backup"],
        &["restore"],
        &["user", "create", "ada"],
        &["user", "create", "ada", "--email", "ada@example.org", "--password-stdin", "--random-password"],
        &["user", "create", "-x-", "--email", "ada@example.org", "--random-password"],
        &["user", "password", "ada"],
        &["user", "password", "ada", "--password-stdin", "--random-password"],
        &["token", "create", "--user", "ada", "--name", "ci"],
        &["token", "create", "--user", "ada", "--name", "ci", "--scope", "write:packages"],
        &["config", "extra"],
    ] {
        let ran = home.run(args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.err);
        assert!(ran.out.is_empty() && !ran.err.is_empty());
    }
    for command in ["serve", "migrate", "user", "token", "check", "gc", "backup", "restore", "config", "version"] {
        let ran = home.run(&[command, "--help"]);
        assert_eq!(ran.code, 0, "{command}");
        assert!(ran.out.contains("Usage: packhouse"), "{}", ran.out);
    }
    assert!(home.ok(&["version"]).starts_with("packhouse "));
    let serve = home.ok(&["serve", "--help"]);
    assert!(serve.contains("PACKHOUSE_LISTEN=127.0.0.1:8080") && serve.contains("`listen`"), "{serve}");

    fs::write(home.path("wrong.toml"), "[limits]\nfile_bites = 3\n").unwrap();
    let ran = home.run(&["--config", "wrong.toml", "check"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("wrong.toml") && ran.err.contains("`limits.file_bites`"), "{}", ran.err);
    let ran = Ran::from(home.command(&["check"]).env("PACKHOUSE_LIMITS_FILE_BITES", "3").output().unwrap());
    assert_eq!((ran.code, ran.err.contains("PACKHOUSE_LIMITS_FILE_BITES")), (2, true), "{}", ran.err);
    let ran = Ran::from(home.command(&["check"]).env("PACKHOUSE_WORKERS", "many").output().unwrap());
    assert_eq!((ran.code, ran.err.contains("`workers` must be a whole number")), (2, true), "{}", ran.err);
    for (name, value, key) in [
        ("DATABASE_URL", "postgres://ada:hush@host:port/db", "`database.url`"),
        ("PACKHOUSE_ADMIN_USER", "a b", "`admin.user`"),
        ("PACKHOUSE_ADMIN_PASSWORD", "hush", "`admin.password`"),
        ("PACKHOUSE_LOG_LEVEL", "loud", "`log.level`"),
        ("PACKHOUSE_LISTEN", "localhost", "`listen`"),
    ] {
        let ran = Ran::from(home.command(&["serve"]).env(name, value).output().unwrap());
        assert_eq!((ran.code, ran.err.contains(key)), (2, true), "{}", ran.err);
        assert!(!ran.err.contains("hush"), "{}", ran.err);
    }
    assert!(!home.data().exists(), "nothing was created");
}

#[test]
fn config_prints_the_sample_and_the_settings_in_force_with_their_origin() {
    let mut home = Home::new();
    let printed = home.ok(&["config"]);
    assert_eq!(printed, packhouse::config::SAMPLE);
    // What it prints is a configuration file with the defaults.
    fs::write(home.path("packhouse.toml"), printed).unwrap();
    assert!(home.ok(&["config", "--check"]).contains("limits.file_bytes = -1  # file packhouse.toml\n"));

    fs::write(home.path("own.toml"), "[limits]\nfile_bytes = 7\n[metrics]\ntoken = \"hush-hush\"\n").unwrap();
    home.set("PACKHOUSE_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8");
    home.set("DATABASE_URL", "postgres://ada:hush@db.example/packhouse");
    fs::write(home.path("password"), "a hushed password").unwrap();
    home.set("PACKHOUSE_ADMIN_PASSWORD_FILE", "password");
    let settings = home.ok(&["--config", "own.toml", "config", "--check"]);
    for line in [
        "limits.file_bytes = 7  # file own.toml",
        "metrics.token = set, not shown  # file own.toml",
        "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]  # environment variable PACKHOUSE_TRUSTED_PROXIES",
        "database.url = set, not shown  # environment variable DATABASE_URL",
        "admin.password = set, not shown  # environment variable PACKHOUSE_ADMIN_PASSWORD_FILE",
        "admin.user = \"admin\"  # default",
    ] {
        assert!(settings.lines().any(|found| found == line), "{line} is not in:\n{settings}");
    }
    assert!(!settings.contains("hush"), "{settings}");

    // The sample is for whoever has to mend a configuration, so it needs no valid one.
    fs::write(home.path("own.toml"), "[limits]\nfile_bites = 7\n").unwrap();
    home.ok(&["--config", "own.toml", "config"]);
    let ran = home.run(&["--config", "own.toml", "config", "--check"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    assert!(ran.err.contains("`limits.file_bites`"), "{}", ran.err);
    assert!(!home.data().exists(), "it only looks");
}

#[test]
fn a_port_in_use_is_reported_before_anything_is_created() {
    let mut home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for listen in [address.to_string(), format!("localhost:{}", address.port())] {
        home.set("PACKHOUSE_LISTEN", &listen);
        let ran = home.run(&["serve"]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.err);
        let says = ran.err.contains(&format!("cannot listen on {listen}")) && ran.err.contains("PACKHOUSE_LISTEN");
        assert!(says && ran.err.contains("in use"), "{}", ran.err);
        assert!(!home.data().exists(), "{listen}: something was created");
    }
    home.set("PACKHOUSE_LISTEN", "no-such-host.invalid:3000");
    let ran = home.run(&["serve"]);
    assert_eq!((ran.code, ran.err.contains("the name has no address")), (1, true), "{}", ran.err);
    assert!(!home.data().exists());
}

#[test]
fn a_host_name_listens_on_all_of_its_addresses() {
    let mut home = Home::new();
    home.set("PACKHOUSE_LISTEN", "localhost:0");
    let server = Server::start(&home);
    let port = server.address.strip_prefix("localhost:").expect("the name as it was configured");
    assert_ne!(port, "0");
    let port: u16 = port.parse().unwrap();
    let addresses: Vec<_> = ("localhost", port).to_socket_addrs().unwrap().collect();
    let usable = addresses.iter().filter(|address| TcpListener::bind((address.ip(), 0)).is_ok());
    let mut asked = 0;
    for address in usable {
        assert_eq!(http(&address.to_string(), "GET", "/livez", &[], b"").0, 200, "{address}");
        asked += 1;
    }
    assert!(asked > 0);
    server.stop();
}

#[test]
fn a_command_on_an_empty_directory_fails_and_creates_no_instance() {
    let home = Home::new();
    let target = home.path("backup");
    for args in [
        &["backup", target.to_str().unwrap()][..],
        &["check"],
        &["gc"],
        &["user", "list"],
        &["user", "lock", "ada"],
        &["token", "create", "--user", "ada", "--name", "ci", "--scope", "all"],
    ] {
        for exists in [false, true] {
            if exists {
                fs::create_dir(home.data()).unwrap();
            }
            let ran = home.run(args);
            let said = format!("there is no instance in {}: check data_dir or --config", home.data().display());
            assert_eq!((ran.code, ran.err.contains(&said), ran.out.as_str()), (1, true, ""), "{args:?}: {}", ran.err);
            if exists {
                assert_eq!(fs::read_dir(home.data()).unwrap().count(), 0, "{args:?} created something");
                fs::remove_dir(home.data()).unwrap();
            }
            assert!(!home.data().exists() && !target.exists(), "{args:?} created something");
        }
    }
    home.make_user("ada");
    assert_eq!(home.ok(&["user", "list"]), "ada\tada@example.org\n");
}

#[test]
fn the_first_start_creates_an_administrator_with_a_private_password() {
    let home = Home::new();
    let server = Server::start(&home);
    let file = home.data().join("initial-admin-password");
    let password = fs::read_to_string(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(server.said.contains(password.trim_end()), "the password is shown once: {}", server.said);
    let authorization = basic("admin", password.trim_end());
    let (status, _) = http(&server.address, "GET", "/api/v1/user", &[("Authorization", &authorization)], b"");
    assert_eq!(status, 200);
    server.stop();
    let server = Server::start(&home);
    assert!(!server.said.contains(password.trim_end()), "the password is never shown again: {}", server.said);

    let mut given = Home::new();
    fs::write(given.path("password"), format!("{PASSWORD}\n")).unwrap();
    given.set("PACKHOUSE_ADMIN_USER", "root-of-all");
    given.set("PACKHOUSE_ADMIN_PASSWORD_FILE", given.path("password").to_str().unwrap());
    let server = Server::start(&given);
    assert!(!server.said.contains(PASSWORD));
    assert!(!given.data().join("initial-admin-password").exists());
    let authorization = basic("root-of-all", PASSWORD);
    let (status, _) = http(&server.address, "GET", "/api/v1/user", &[("Authorization", &authorization)], b"");
    assert_eq!(status, 200);
}
