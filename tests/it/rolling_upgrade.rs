//! Two servers of one database are replaced one after the other while clients use them, as behind a load balancer.
//! `script/test-upgrade` begins with servers of an earlier version; without it, they are restarted.

use crate::program::{Home, PASSWORD, Server, http, noise};
use crate::support::cluster::cluster;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

const CLIENTS: u64 = 4;

/// The program that the servers begin with.
fn previous(home: &Home) -> Server {
    let mut command = home.command(&["serve"]);
    if let Some(program) = std::env::var_os("PACKHOUSE_PREVIOUS") {
        let mut earlier = std::process::Command::new(program);
        earlier.arg("serve").envs(home.env.iter().cloned()).current_dir(home.dir.path());
        command = earlier;
    }
    Server::spawn(home, command)
}

/// Publishes, reads and lists files at the servers in turn until it is told to stop, and returns what failed.
fn client(number: u64, token: &str, servers: &Mutex<Vec<String>>, stop: &AtomicBool, done: &AtomicU64) -> Vec<String> {
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", &*authorization)];
    let (mut failures, mut round) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let path = format!("/api/packages/admin/generic/tool/{number}.{round}/file.bin");
        let body = noise(number << 32 | round, 2000);
        let server = |offset: u64| {
            let servers = servers.lock().unwrap();
            servers[usize::try_from(number + round + offset).unwrap() % servers.len()].clone()
        };
        let (created, _) = http(&server(0), "PUT", &path, &headers, &body);
        let (read, bytes) = http(&server(1), "GET", &path, &[], b"");
        let (listed, _) = http(&server(0), "GET", "/api/v1/packages/admin?limit=5", &headers, b"");
        if (created, read, listed) != (201, 200, 200) || bytes != body {
            failures.push(format!("{path}: {created} {read} {listed}"));
        }
        if round % 3 == 0 {
            let (deleted, _) = http(&server(1), "DELETE", &path, &headers, b"");
            let (gone, _) = http(&server(0), "GET", &path, &[], b"");
            if (deleted, gone) != (204, 404) {
                failures.push(format!("{path}: deleted {deleted}, then {gone}"));
            }
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    failures
}

#[test]
fn no_request_fails_while_servers_are_replaced_one_by_one() {
    let (database, url) = cluster().empty_database();
    let (mut first, mut second) = (Home::new(), Home::new());
    let (store, key) = (first.data().join("blobs"), first.data().join("secret-key"));
    for home in [&mut first, &mut second] {
        home.set("DATABASE_URL", url.clone());
        home.set("PACKHOUSE_STORE_DIR", store.to_str().unwrap());
        home.set("PACKHOUSE_SECRET_KEY_FILE", key.to_str().unwrap());
        home.set("PACKHOUSE_ADMIN_USER", "admin");
        home.set("PACKHOUSE_ADMIN_PASSWORD", PASSWORD);
        home.set("PACKHOUSE_LIMITS_DRAIN_SECONDS", "20");
    }
    let mut running = vec![previous(&first), previous(&second)];
    let token = first.make_token("admin");
    let servers = Arc::new(Mutex::new(running.iter().map(|server| server.address.clone()).collect::<Vec<_>>()));
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (servers, stop, done, token) =
                (Arc::clone(&servers), Arc::clone(&stop), Arc::clone(&done), token.clone());
            thread::spawn(move || client(number, &token, &servers, &stop, &done))
        })
        .collect();
    let work_for_a_while = || {
        let until = done.load(Ordering::Relaxed) + 20;
        crate::program::eventually("the clients go on", || done.load(Ordering::Relaxed) >= until);
    };
    for (at, home) in [&first, &second].into_iter().enumerate() {
        work_for_a_while();
        // The load balancer sends nothing more to it, and what runs there may finish.
        let server = running.remove(0);
        servers.lock().unwrap().retain(|address| *address != server.address);
        work_for_a_while();
        server.stop();
        work_for_a_while();
        let server = Server::start(home);
        servers.lock().unwrap().insert(at, server.address.clone());
        running.push(server);
    }
    work_for_a_while();
    stop.store(true, Ordering::Relaxed);
    let failures: Vec<String> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    assert!(failures.is_empty(), "{failures:?}");
    running.into_iter().for_each(Server::stop);
    assert_eq!(first.run(&["check"]).code, 0);
    cluster().drop_database(&database);
}
