//! One of two servers is killed in the middle of everything it may be doing: the other goes on in time, nothing that
//! was acknowledged is lost, and `check` finds no problem.

use crate::pair::{CHANGE, Pair, ask_and_leave, file, pid};
use crate::program::{MIB, Server, eventually, http, noise, signal, try_http};
use crate::support::bucket::Fault;
use crate::support::cluster::execute;
use crate::support::receiver::{Receiver, Reply};
use hyper::Method;
use rustix::process::Signal;
use serde_json::json;
use std::io::Read;
use std::time::{Duration, Instant};

/// How long until another server goes on with a job.
const JOB: Duration = Duration::from_secs(30);

/// Publishes files and deletes every second one until the server is gone. Returns the versions that are there, those
/// that were deleted, and the one of which nobody knows.
fn publish_and_delete(address: &str, token: &str) -> (Vec<u64>, Vec<u64>, Vec<u64>) {
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", &*authorization)];
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for number in 0.. {
        let path = format!("/api/packages/{}", file(number, "f"));
        match try_http(address, "PUT", &path, &headers, &noise(number, 3000)) {
            Some((201, _)) => {}
            _ => return (there, gone, vec![number]),
        }
        if number % 2 == 0 {
            there.push(number);
            continue;
        }
        match try_http(address, "DELETE", &path, &headers, b"") {
            Some((204, _)) => gone.push(number),
            _ => return (there, gone, vec![number]),
        }
    }
    (there, gone, Vec::new())
}

#[test]
fn uploads_and_deletions_of_a_killed_server_are_whole_or_gone() {
    let pair = Pair::new(&[]);
    let [first, second] = pair.start();
    assert_eq!(first.put(&pair.token, &file("kept", "f"), b"kept"), 201);
    // Both have leases, and one is in the middle of an upload in parts.
    pair.warm(&first, &file("kept", "f"));
    pair.warm(&second, &file("kept", "f"));
    let (big, sent) = (noise(7, 20 * MIB), 12 * MIB);
    let mut cut = first.begin_put(&pair.token, &file("big", "f"), big.len(), &big[..sent]);
    eventually("a part is sent", || pair.bucket.requests().iter().any(|request| request.contains("partNumber")));
    let address = first.address.clone();
    let (there, gone, unknown) = std::thread::scope(|scope| {
        let client = scope.spawn(|| publish_and_delete(&address, &pair.token));
        pair.wait("some files are there", "SELECT count(*) AS n FROM versions WHERE version = '16'");
        first.kill();
        client.join().unwrap()
    });
    let mut answer = Vec::new();
    let _ = cut.read_to_end(&mut answer);
    assert!(answer.is_empty(), "no answer, so nothing was promised");

    let begun = Instant::now();
    assert_eq!(second.delete(&pair.token, &file("kept", "f")), 204);
    assert!(begun.elapsed() < CHANGE, "{:?}", begun.elapsed());
    assert_eq!(second.get(&file("kept", "f")).0, 404);
    assert!(there.len() > 5 && gone.len() > 5, "{there:?} {gone:?}");
    for number in there {
        assert_eq!(second.get(&file(number, "f")), (200, noise(number, 3000)), "{number} is lost");
    }
    for number in gone {
        assert_eq!(second.get(&file(number, "f")).0, 404, "{number} is back");
    }
    for number in unknown {
        let (status, bytes) = second.get(&file(number, "f"));
        assert!(status == 404 || bytes == noise(number, 3000), "{number} is half there");
    }
    assert_eq!(second.get(&file("big", "f")).0, 404);
    assert_eq!(second.put(&pair.token, &file("big", "f"), &big), 201);
    execute(&pair.url, "UPDATE upload_leases SET expires_at = now() - interval '1 minute'");
    pair.homes[1].ok(&["gc", "--grace", "0"]);
    assert_eq!(pair.bucket.uploads().len(), 0);
    assert_eq!(second.get(&file("big", "f")), (200, big));
    pair.is_clean();
    second.stop();
}

#[test]
fn jobs_of_a_killed_server_go_on_at_another_within_30_seconds() {
    const OLD: i64 = 80;
    let receiver = Receiver::replying(Reply::Silence);
    let mut pair = Pair::new(&[
        ("PACKHOUSE_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8"),
        ("PACKHOUSE_WEBHOOKS_TIMEOUT_SECONDS", "60"),
        ("PACKHOUSE_JOBS_SCRUB_EVERY_DAYS", "1"),
        ("PACKHOUSE_JOBS_RETENTION_EVERY_SECONDS", "5"),
        ("PACKHOUSE_JOBS_SWEEP_EVERY_SECONDS", "1"),
        ("PACKHOUSE_JOBS_SWEEP_GRACE_SECONDS", "1"),
    ]);
    // The first server scrubs so slowly that it isn't done when it is killed.
    pair.homes[0].set("PACKHOUSE_JOBS_SCRUB_BYTES_PER_SECOND", "1000");
    let first = Server::start(&pair.homes[0]);
    let authorization = format!("Bearer {}", pair.homes[0].token("admin", "all", "all"));
    let ask = |method: &str, path: &str, body: &str| {
        let headers = [("Authorization", &*authorization), ("Content-Type", "application/json")];
        http(&first.address, method, path, &headers, body.as_bytes())
    };
    for number in 0..4 {
        assert_eq!(first.put(&pair.token, &file(number, "f"), &noise(number, 50_000)), 201);
    }
    // Versions that a rule will delete.
    for number in 0..OLD {
        let content = format!("old {number}");
        assert_eq!(first.put(&pair.token, &format!("admin/generic/nightly/v{number}/f"), content.as_bytes()), 201);
    }
    execute(&pair.url, "UPDATE versions SET created_at = created_at - interval '9 days' WHERE version LIKE 'v%'");
    execute(&pair.url, "UPDATE versions SET published_at = created_at WHERE version LIKE 'v%'");
    execute(&pair.url, "UPDATE files SET created_at = created_at - interval '9 days'");
    assert_eq!(first.put(&pair.token, "admin/generic/nightly/kept/f", b"new"), 201);
    let hook = json!({"type": "gitea", "active": true, "config": {"url": receiver.url(), "content_type": "json"}});
    assert_eq!(ask("POST", "/api/v1/user/hooks", &hook.to_string()).0, 201);
    // A delivery that hangs, and a sweep that can't remove what it has to.
    pair.bucket.fail(Method::POST, "?delete", usize::MAX, Fault::Silence);
    assert_eq!(first.put(&pair.token, &file("hooked", "f"), b"hooked"), 201);
    assert_eq!(first.delete(&pair.token, &file(0, "f")), 204);
    let left = "SELECT count(*) AS n FROM versions WHERE version LIKE 'v%'";
    let scrubs = "SELECT count(*) AS n FROM settings WHERE key = 'scrub' AND value->>'leased_until' IS NOT NULL";
    eventually("a delivery, a sweep and a scrub are under way", || {
        let deletes = || pair.bucket.requests().iter().any(|request| request.contains("?delete"));
        receiver.heard().len() == 1 && pair.count(scrubs) == 1 && deletes()
    });
    let rule = json!({"name": "few", "packages": ["nightly"], "delete_older_than_days": 1});
    let (made, says) = ask("POST", "/api/v1/packages/admin/-/retention", &rule.to_string());
    assert_eq!(made, 201, "{}", String::from_utf8_lossy(&says));
    eventually("retention is under way", || pair.count(left) < OLD);
    first.kill();
    assert!(pair.count(left) > 1, "retention was done before the server was killed");
    receiver.reply(Reply::status(200));
    pair.bucket.heal();
    let second = Server::start(&pair.homes[1]);
    let begun = Instant::now();
    let is_taken = |job: &str| {
        pair.count(&format!(
            "SELECT count(*) AS n FROM settings JOIN servers ON servers.id = (value->>'server')::int8 \
             WHERE key = '{job}' AND address = '{}'",
            second.address
        )) == 1
    };
    while receiver.heard().len() == 1 || !is_taken("scrub") || !is_taken("retention") {
        let taken = (is_taken("scrub"), is_taken("retention"));
        assert!(begun.elapsed() < JOB, "webhooks {}, scrub and retention {taken:?}", receiver.heard().len());
        std::thread::sleep(Duration::from_millis(100));
    }
    // The latest version is always kept.
    eventually("retention is done", || pair.count(left) == 1);
    let scrubbed = "SELECT count(*) AS n FROM settings WHERE key = 'scrub' AND value->>'finished_at' IS NOT NULL";
    pair.wait("the scrub is done", scrubbed);
    let objects = || walk(&pair.bucket.dir.join("blobs"));
    eventually("the sweep is done", || objects() == pair.count("SELECT count(*) AS n FROM blobs"));
    let heard = receiver.heard();
    assert_eq!(heard[0].header("webhook-id"), heard[1].header("webhook-id"), "the same delivery is sent again");
    for number in 1..4 {
        assert_eq!(second.get(&file(number, "f")), (200, noise(number, 50_000)));
    }
    assert_eq!(second.get("admin/generic/nightly/kept/f").0, 200);
    pair.is_clean();
    second.stop();
}

/// How many files are below a folder.
fn walk(dir: &std::path::Path) -> i64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    // The server removes folders meanwhile.
    let paths = entries.flatten().map(|entry| entry.path());
    paths.map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}

#[test]
fn a_change_of_a_server_killed_while_it_waits_holds_everywhere() {
    let pair = Pair::new(&[]);
    let [first, second] = pair.start();
    let bearer = format!("Bearer {}", pair.token);
    assert_eq!(first.put(&pair.token, &file(1, "f"), b"content"), 201);
    assert_eq!(first.put(&pair.token, &file(2, "f"), b"content"), 201);
    pair.warm(&first, &file(1, "f"));
    pair.warm(&second, &file(1, "f"));
    signal(pid(&second), Signal::STOP);
    ask_and_leave(&pair, &first.address, "/api/packages/admin/generic/tool/1/f", &bearer);
    first.kill();
    signal(pid(&second), Signal::CONT);
    eventually("the change arrives", || second.get(&file(1, "f")).0 == 404);
    // Its own changes wait for the killed one no longer than its lease.
    let begun = Instant::now();
    assert_eq!(second.delete(&pair.token, &file(1, "f")), 404);
    assert_eq!(second.delete(&pair.token, &file(2, "f")), 204);
    assert!(begun.elapsed() < CHANGE, "{:?}", begun.elapsed());
    pair.is_clean();
    second.stop();
}
