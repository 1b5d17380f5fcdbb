//! The real program with its blobs in a bucket: commands, crashes, and a file of one GiB.

use crate::program::{Home, MIB, Server, eventually, is_clean, noise, with_two_files};
use crate::support::bucket::Bucket;

/// The files of [`with_two_files`].
const TWO_FILES: [&str; 2] = ["ada/generic/app/1/small.bin", "ada/generic/app/1/large.bin"];

/// An instance whose blobs are in a bucket below its directory.
fn home() -> (Home, Bucket) {
    let mut home = Home::new();
    let bucket = Bucket::new(&home.path("s3"));
    for (key, value) in bucket.settings() {
        home.set(key, value);
    }
    (home, bucket)
}

fn file(name: &str) -> String {
    format!("ada/generic/tool/1.0/{name}")
}

#[test]
fn a_backup_of_a_bucket_is_restored_into_another_bucket() {
    let (home, _bucket) = home();
    let (server, _, files) = with_two_files(&home);
    let said = home.ok(&["backup", "backup"]);
    assert!(said.contains("2 blobs"), "{said}");
    is_clean(&home, &["check", "--digests"]);
    server.stop();

    let mut other = Home::new();
    let bucket = Bucket::new(&other.path("s3"));
    for (key, value) in bucket.settings() {
        other.set(key, value);
    }
    let from = home.path("backup");
    let args = ["restore", from.to_str().unwrap()];
    other.ok(&args);
    let again = other.run(&args);
    assert!(again.code == 1 && again.err.contains("not empty"), "{}", again.err);
    let server = Server::start(&other);
    for (path, bytes) in TWO_FILES.iter().zip(&files) {
        assert_eq!(server.get(path), (200, bytes.clone()));
    }
    assert!(other.ok(&["gc", "--grace", "0"]).contains("removed 0 blobs"));
    server.stop();
}

#[test]
fn an_upload_that_kill_9_ends_is_swept_from_the_bucket() {
    let (home, bucket) = home();
    let (server, token, _) = with_two_files(&home);
    bucket.requests();
    let first = noise(1, 12 * MIB);
    let stream = server.begin_put(&token, &file("x"), 20 * MIB, &first);
    eventually("a part is sent", || bucket.requests().iter().any(|request| request.contains("partNumber")));
    server.kill();
    drop(stream);
    let server = Server::start(&home);
    assert_eq!((bucket.uploads().len(), home.count("SELECT count(*) AS n FROM upload_leases")), (1, 1));
    home.ok(&["gc", "--grace", "0"]);
    assert_eq!(bucket.uploads().len(), 1, "its lease lasts");
    home.sql("UPDATE upload_leases SET expires_at = now() - interval '1 minute'");
    home.ok(&["gc", "--grace", "0"]);
    assert_eq!(bucket.uploads().len(), 0);
    is_clean(&home, &["check", "--digests"]);
    assert_eq!(server.put(&token, &file("x"), &first), 201);
    server.stop();
}

/// The highest memory of a process so far, in bytes.
fn peak(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[test]
#[ignore = "a measurement of 1 GiB: run it alone"]
fn a_gibibyte_goes_through_in_bounded_memory() {
    let (home, bucket) = home();
    let (server, token, _) = with_two_files(&home);
    let bytes = noise(7, 1 << 30);
    let before = peak(&server);
    let begun = std::time::Instant::now();
    assert_eq!(server.put(&token, &file("x"), &bytes), 201);
    let (uploaded, up) = (begun.elapsed(), peak(&server));
    let begun = std::time::Instant::now();
    let (status, got) = server.get(&file("x"));
    let (downloaded, down) = (begun.elapsed(), peak(&server));
    assert!(status == 200 && got == bytes, "the bytes are equal");
    eprintln!("up {uploaded:?}, down {downloaded:?}; memory {before} before, {up} after, {down} at the end");
    assert!(up - before < 80 * MIB && down - before < 120 * MIB);
    assert_eq!(bucket.uploads().len(), 0);
    server.stop();
}
