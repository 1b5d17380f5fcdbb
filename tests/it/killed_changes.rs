//! Servers and commands that are killed while versions are published, copied, sealed and cleaned up: what was
//! acknowledged stays, and nothing is half done.

use crate::program::{Home, Server, eventually, is_clean, signal, try_http, with_two_files};
use diesel::prelude::*;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::process::Stdio;

const FILES: [&str; 3] = ["a", "b/c", "d"];

/// How far a version has come; each step was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Done {
    #[default]
    Nothing,
    Published,
    Copied,
    Sealed,
    Pointed,
}

/// Requests with a token.
struct Asker<'a> {
    at: &'a str,
    authorization: String,
}

impl Asker<'_> {
    fn ask(&self, method: &str, path: &str, body: &str) -> Option<u16> {
        let headers = [("Authorization", self.authorization.as_str()), ("Content-Type", "application/json")];
        try_http(self.at, method, path, &headers, body.as_bytes()).map(|(status, _)| status)
    }

    /// Runs through the life of one version, and says how far it came.
    fn live(&self, name: &str, number: usize) -> Done {
        let package = format!("/api/packages/ada/generic/{name}");
        let api = format!("/api/v1/packages/ada/generic/{name}");
        for file in FILES {
            if self.ask("PUT", &format!("{package}/{number}/{file}?draft=true"), &format!("{number}{file}"))
                != Some(201)
            {
                return Done::Nothing;
            }
        }
        if self.ask("POST", &format!("{api}/{number}/publish"), "{}") != Some(200) {
            return Done::Nothing;
        }
        let copied =
            self.ask("POST", &format!("{api}/copy-{number}/copy"), &json!({"version": number.to_string()}).to_string());
        if !matches!(copied, Some(200 | 201)) {
            return Done::Published;
        }
        if self.ask("POST", &format!("{api}/copy-{number}/seal"), "{}") != Some(200) {
            return Done::Copied;
        }
        let channel = json!({"version": format!("copy-{number}")}).to_string();
        match self.ask("PUT", &format!("{api}/-/channels/channel-{number}"), &channel) {
            Some(200 | 201) => Done::Pointed,
            _ => Done::Sealed,
        }
    }
}

#[test]
fn a_server_killed_while_publishing_copying_and_sealing_leaves_nothing_half_done() {
    let home = Home::new();
    let (mut server, token, _) = with_two_files(&home);
    for round in 0..2_usize {
        let name = format!("round{round}");
        let at = server.address.clone();
        let done = std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let asker = Asker { at: &at, authorization: format!("Bearer {token}") };
                let mut done = Vec::new();
                loop {
                    let reached = asker.live(&name, done.len());
                    done.push(reached);
                    if reached < Done::Pointed {
                        return done;
                    }
                }
            });
            let seen = format!(
                "SELECT 1 FROM versions v JOIN packages p ON p.id = v.package_id WHERE p.name = '{name}' \
                 AND v.version = '{}'",
                6 + round
            );
            eventually("some versions are published", || {
                diesel::sql_query(&seen).execute(&mut home.database()).unwrap() == 1
            });
            if round > 0 {
                let postmaster = std::fs::read_to_string(home.data().join("postgres/cluster/postmaster.pid")).unwrap();
                signal(postmaster.lines().next().unwrap().parse().unwrap(), Signal::KILL);
            }
            signal(i32::try_from(server.child.id()).unwrap(), Signal::KILL);
            worker.join().unwrap()
        });
        drop(server);
        server = Server::start(&home);
        is_clean(&home, &["check", "--digests"]);
        assert!(done.len() > 5, "{done:?}");
        for (number, done) in done.iter().enumerate() {
            let files = |version: &str| {
                let get = |file: &&str| server.get(&format!("ada/generic/{name}/{version}/{file}")).0 == 200;
                FILES.iter().filter(|file| get(file)).count()
            };
            // The next step may have been done without an answer, but never in part.
            let (version, copy) = (files(&number.to_string()), files(&format!("copy-{number}")));
            assert!(version == 3 || version == 0 && *done == Done::Nothing, "{number} {done:?}: {version} files");
            assert!(copy == 3 || copy == 0 && *done < Done::Copied, "{number} {done:?}: {copy} files of the copy");
            let sealed = home.count(&format!(
                "SELECT count(*) AS n FROM versions v JOIN packages p ON p.id = v.package_id WHERE p.name = '{name}' \
                 AND v.version = 'copy-{number}' AND v.state = 2"
            ));
            assert!(sealed == 1 || *done < Done::Sealed, "{number} {done:?}");
            let pointed = server.get(&format!("ada/generic/{name}/@channel-{number}/a")).0;
            assert!(pointed == 302 || *done < Done::Pointed, "{number} {done:?}");
        }
    }
    server.stop();
}

#[test]
fn a_killed_retention_run_is_finished_by_the_next_one() {
    const VERSIONS: usize = 60;
    let home = Home::new();
    let (server, token, _) = with_two_files(&home);
    let asker = Asker { at: &server.address, authorization: format!("Bearer {token}") };
    for number in 0..VERSIONS {
        let file = format!("/api/packages/ada/generic/nightly/{number}/f");
        assert_eq!(asker.ask("PUT", &file, &format!("content {number}")), Some(201));
    }
    let rule = json!({"name": "few", "packages": ["nightly"], "delete_older_than_days": 1, "keep_last": 5});
    home.sql("UPDATE versions SET created_at = created_at - interval '9 days', published_at = published_at - interval '9 days'");
    home.sql("UPDATE files SET created_at = created_at - interval '9 days'");
    let made = asker.ask("POST", "/api/v1/packages/ada/-/retention", &rule.to_string());
    assert_eq!(made, Some(201));
    let left = || {
        home.count(
            "SELECT count(*) AS n FROM versions v JOIN packages p ON p.id = v.package_id WHERE p.name = 'nightly'",
        )
    };
    let all = i64::try_from(VERSIONS).unwrap();
    // Killed as soon as it has deleted something.
    let mut running = home.command(&["retention", "run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("a version is deleted", || left() < all);
    running.kill().unwrap();
    running.wait().unwrap();
    is_clean(&home, &["check"]);
    let after = left();
    assert!(after >= 5, "{after}");
    // What was killed keeps its turn for five minutes.
    let busy = home.run(&["retention", "run"]);
    assert!(busy.code == 1 && busy.err.contains("within 5 minutes"), "{}", busy.err);
    let leases = "UPDATE settings SET value = jsonb_set(value, '{leased_until}', '\"2026-01-01T00:00:00Z\"')";
    home.sql(&format!("{leases} WHERE value ? 'leased_until' AND value->>'leased_until' IS NOT NULL"));
    home.ok(&["retention", "run"]);
    assert_eq!(left(), 5);
    let kept: Vec<usize> =
        (0..VERSIONS).filter(|number| server.get(&format!("ada/generic/nightly/{number}/f")).0 == 200).collect();
    assert_eq!(kept, [55, 56, 57, 58, 59]);
    // Each deletion is in the trash once, with one record.
    for table in ["trash WHERE rule = 'few'", "audit WHERE event = 'version.delete'"] {
        assert_eq!(home.count(&format!("SELECT count(*) AS n FROM {table}")), all - 5, "{table}");
    }
    let (_, list) = try_http(
        &server.address,
        "GET",
        "/api/v1/packages/ada/-/trash?limit=1",
        &[("Authorization", asker.authorization.as_str())],
        b"",
    )
    .unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(list[0]["rule"], "few");
    is_clean(&home, &["check", "--digests"]);
    server.stop();
}
