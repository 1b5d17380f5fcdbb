//! One of two servers hangs, or is told to stop, while the other one changes something.

use crate::pair::{CHANGE, Pair, ask_and_leave, file, pid};
use crate::program::{Home, MIB, PASSWORD, Server, eventually, http, noise, signal};
use packhouse::db::managed::running_url;
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn a_repeated_change_is_not_answered_before_a_hung_server_lost_its_lease() {
    use base64::Engine;
    let pair = Pair::new(&[]);
    let [first, second] = pair.start();
    let bearer = format!("Bearer {}", pair.token);
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("admin:{PASSWORD}"));
    let basic = format!("Basic {basic}");
    let package = "/api/packages/admin/generic/tool";
    let token = pair.homes[0].token("admin", "short-lived", "write:package");
    assert_eq!(first.put(&token, &file("warm", "f"), b"warm"), 201);
    // What is deleted, with which credential, and a file that the hung server remembers.
    let targets = [
        (format!("{package}/1/f"), &bearer, file(1, "f")),
        (format!("{package}/2"), &bearer, file(2, "f")),
        ("/api/v1/users/admin/tokens/short-lived".to_owned(), &basic, file("warm", "f")),
        ("/api/v1/packages/admin/generic/tool".to_owned(), &bearer, file("warm", "f")),
    ];
    for version in [1, 2] {
        assert_eq!(first.put(&pair.token, &file(version, "f"), b"content"), 201);
    }
    let leases = format!(
        "SELECT count(*) AS n FROM servers WHERE address = '{}' AND lease_until > clock_timestamp()",
        second.address
    );
    for (target, authorization, path) in targets {
        pair.warm(&second, &path);
        signal(pid(&second), Signal::STOP);
        let begun = Instant::now();
        ask_and_leave(&pair, &first.address, &target, authorization);
        let (status, _) = http(&first.address, "DELETE", &target, &[("Authorization", authorization)], b"");
        let (waited, leased) = (begun.elapsed(), pair.count(&leases));
        signal(pid(&second), Signal::CONT);
        assert_eq!((status, leased), (404, 0), "{target} after {waited:?}");
        assert!(waited < CHANGE, "{target}: {waited:?}");
        if !target.contains("users") {
            assert_eq!(second.get(&path).0, 404, "{target}");
        } else {
            assert_eq!(second.put(&token, &file("late", "f"), b"late"), 401);
        }
    }
    pair.is_clean();
    first.stop();
    second.stop();
}

#[test]
fn a_server_told_to_stop_finishes_a_download_that_somebody_reads_slowly() {
    let pair = Pair::new(&[("PACKHOUSE_LIMITS_DRAIN_SECONDS", "20")]);
    let [mut first, second] = pair.start();
    let bytes = noise(3, 48 * MIB);
    assert_eq!(first.put(&pair.token, &file(1, "f"), &bytes), 201);
    let mut reader = TcpStream::connect(&first.address).unwrap();
    write!(reader, "GET /api/packages/{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", file(1, "f")).unwrap();
    let mut answer = vec![0; 1000];
    reader.read_exact(&mut answer).unwrap();
    signal(pid(&first), Signal::TERM);
    let gone = format!("SELECT count(*) AS n FROM servers WHERE address = '{}'", first.address);
    eventually("it accepts no more connections", || TcpStream::connect(&first.address).is_err());
    // The other one answers, and its changes needn't wait.
    let begun = Instant::now();
    assert_eq!(second.put(&pair.token, &file(2, "f"), b"more"), 201);
    assert_eq!(second.delete(&pair.token, &file(2, "f")), 204);
    assert!(begun.elapsed() < CHANGE);
    reader.read_to_end(&mut answer).unwrap();
    let body = answer.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
    assert!(answer[body..] == bytes, "{} of {} bytes", answer.len() - body, bytes.len());
    assert!(first.child.wait().unwrap().success());
    assert_eq!(pair.count(&gone), 0, "it left the list of servers");
    pair.is_clean();
    second.stop();
}

#[test]
fn a_crash_of_the_database_does_not_let_a_hung_server_answer_from_memory() {
    // A Postgres that tells the disk late, so that it forgets leases when it crashes.
    let base = Home::new();
    let postgres = Server::start(&base);
    base.sql("CREATE DATABASE shared");
    let url = running_url(&base.data()).unwrap().replacen("/packhouse?", "/shared?", 1);
    let pair = Pair::on(url, None, &[]);
    let [first, second] = pair.start();
    assert_eq!(first.put(&pair.token, &file(1, "f"), b"content"), 201);
    base.sql("ALTER SYSTEM SET wal_writer_delay = '10s'");
    base.sql("SELECT pg_reload_conf()");
    pair.warm(&second, &file(1, "f"));
    signal(pid(&second), Signal::STOP);
    let stopped = Instant::now();
    let listening = "SELECT pid::int8 AS n FROM pg_stat_activity WHERE application_name = 'packhouse listen' LIMIT 1";
    signal(i32::try_from(base.count(listening)).unwrap(), Signal::KILL);
    let mut statuses = Vec::new();
    while !statuses.contains(&204) {
        statuses.push(first.delete(&pair.token, &file(1, "f")));
        assert!(stopped.elapsed() < Duration::from_secs(30), "{statuses:?}");
        // A deletion whose answer was lost is done.
        if statuses.last() == Some(&404) {
            break;
        }
    }
    let waited = stopped.elapsed();
    signal(pid(&second), Signal::CONT);
    assert!(waited > Duration::from_millis(1500), "{waited:?}: {statuses:?}");
    assert_eq!(second.get(&file(1, "f")).0, 404);
    assert_eq!(pair.count("SELECT count(*) AS n FROM database_runs WHERE since > '-infinity'"), 1);
    pair.is_clean();
    first.stop();
    second.stop();
    postgres.stop();
}
