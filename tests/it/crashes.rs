//! Killed servers, and servers that share a database: acknowledged uploads stay, and `check` finds no problem.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use diesel::prelude::*;
use packhouse::db::managed::running_url;
use rustix::process::Signal;

use crate::program::{Home, MIB, Ran, Server, eventually, finds, is_clean, noise, signal, with_two_files};

#[test]
fn a_server_killed_during_an_upload_leaves_only_what_gc_removes() {
    let home = Home::new();
    let (server, token, files) = with_two_files(&home);
    let incoming = || fs::read_dir(home.data().join("blobs/incoming")).unwrap().count();
    let big = noise(9, 20 * MIB);
    let mut cut = server.begin_put(&token, "ada/generic/app/2/big.bin", 2 * big.len(), &big);
    eventually("the upload is in the store", || incoming() == 1);
    server.kill();
    let mut answer = Vec::new();
    let _ = cut.read_to_end(&mut answer);
    assert!(answer.is_empty(), "no answer, so nothing was promised");
    is_clean(&home, &["check"]);

    let server = Server::start(&home);
    assert_eq!(server.get("ada/generic/app/2/big.bin").0, 404, "nothing partial is visible");
    assert_eq!(server.get("ada/generic/app/1/large.bin"), (200, files[1].clone()));
    is_clean(&home, &["check"]);
    finds(&home, &["check", "--grace", "0"], &["1 crashed uploads left"]);
    assert!(home.ok(&["gc", "--grace", "0"]).contains("1 leftover "));
    assert_eq!(incoming(), 0);
    is_clean(&home, &["check", "--grace", "0", "--digests"]);

    // Kill the server and Postgres together while files are being published.
    let published = std::thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let mut published = Vec::new();
            for number in 0.. {
                let path = format!("ada/generic/many/{number}/f");
                let Ok(mut stream) = TcpStream::connect(&server.address) else { return published };
                let head = format!("PUT /api/packages/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n");
                let bytes = noise(100 + number, 3000);
                let tail = format!("Content-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
                let mut answer = Vec::new();
                let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(tail.as_bytes()));
                let done = sent.and_then(|()| stream.write_all(&bytes)).and_then(|()| stream.read_to_end(&mut answer));
                if done.is_err() || !answer.starts_with(b"HTTP/1.1 201") {
                    return published;
                }
                published.push((path, bytes));
            }
            published
        });
        let seen = format!(
            "SELECT 1 FROM packages WHERE name = 'many' AND {}",
            "EXISTS (SELECT FROM versions WHERE version = '20')"
        );
        eventually("some files are published", || diesel::sql_query(&seen).execute(&mut home.database()).unwrap() == 1);
        let postmaster = fs::read_to_string(home.data().join("postgres/cluster/postmaster.pid")).unwrap();
        signal(postmaster.lines().next().unwrap().parse().unwrap(), Signal::KILL);
        signal(i32::try_from(server.child.id()).unwrap(), Signal::KILL);
        publisher.join().unwrap()
    });
    drop(server);
    assert!(published.len() >= 20);
    let server = Server::start(&home);
    for (path, bytes) in published {
        assert_eq!(server.get(&path), (200, bytes), "an acknowledged file is lost: {path}");
    }
    is_clean(&home, &["check", "--digests"]);
    home.ok(&["gc", "--grace", "0"]);
    is_clean(&home, &["check", "--digests", "--grace", "0"]);
    server.stop();
}

#[test]
fn several_servers_share_one_database_and_one_store() {
    let base = Home::new();
    let postgres = Server::start(&base);
    let private = running_url(&base.data()).unwrap();
    diesel::sql_query("CREATE DATABASE shared").execute(&mut base.database()).unwrap();
    let url = private.replacen("/packhouse?", "/shared?", 1);
    assert_ne!(url, private, "{url}");

    let store = base.path("store");
    let home = || {
        let mut home = Home::new();
        home.set("DATABASE_URL", &url);
        home.set("PACKHOUSE_TRASH_KEEP_DAYS", "0");
        home.set("PACKHOUSE_STORE_DIR", store.to_str().unwrap());
        home.set("PACKHOUSE_SECRET_KEY_FILE", base.path("key").to_str().unwrap());
        home
    };
    let homes: Vec<Home> = (0..5).map(|_| home()).collect();
    let migrating: Vec<Child> = homes
        .iter()
        .map(|home| home.command(&["migrate"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    let migrated: Vec<Ran> = migrating.into_iter().map(|child| Ran::from(child.wait_with_output().unwrap())).collect();
    for ran in &migrated {
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    let lines: usize =
        migrated.iter().map(|ran| ran.out.lines().filter(|line| line.starts_with("migrated ")).count()).sum();
    let workers = migrated.iter().filter(|ran| !ran.out.is_empty()).count();
    assert!(lines >= 1 && workers == 1, "one server migrates, the others wait: {lines} lines of {workers}");

    let [first, second, ..] = &homes[..] else { unreachable!() };
    first.make_user("ada");
    let token = first.make_token("ada");
    let servers = [Server::start(first), Server::start(second)];
    let bytes = [noise(1, 5000), noise(2, MIB + 1)];
    for (number, (server, other)) in [(&servers[0], &servers[1]), (&servers[1], &servers[0])].into_iter().enumerate() {
        for (name, bytes) in bytes.iter().enumerate() {
            let path = format!("ada/generic/app{number}/1/{name}");
            assert_eq!(server.put(&token, &path, bytes), 201);
            assert_eq!(other.get(&path), (200, bytes.clone()), "the other server has it");
            assert_eq!(other.put(&token, &path, bytes), 409);
        }
    }
    assert_eq!(servers[1].delete(&token, "ada/generic/app0/1"), 204);
    assert_eq!(servers[0].get("ada/generic/app0/1/0").0, 404);
    home().ok(&["gc", "--grace", "0"]);
    is_clean(&homes[2], &["check", "--digests", "--grace", "0"]);
    let out = homes[2].ok(&["check"]);
    assert!(out.contains("2 files, 2 blobs of"), "shared content is stored once: {out}");

    // Another store is refused and named.
    let mut astray = home();
    astray.set("PACKHOUSE_STORE_DIR", astray.path("empty").to_str().unwrap());
    let ran = astray.run(&["check"]);
    assert_eq!(
        (ran.code, ran.err.contains("cannot use the store") && ran.err.contains("empty:")),
        (1, true),
        "{}",
        ran.err
    );
    for server in servers {
        server.stop();
    }
    postgres.stop();
}
