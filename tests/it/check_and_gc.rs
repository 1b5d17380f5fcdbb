//! `packhouse check` and `packhouse gc`: the damage they find, the files they remove, the files they leave alone.

use std::fs;
use std::io::Write;

use diesel::prelude::*;
use packhouse::domain::digest::to_hex;
use sha2::Digest;

use crate::program::{Home, MIB, eventually, finds, flip, is_clean, noise, read_answer, with_two_files};

#[test]
fn check_finds_every_kind_of_damage_and_names_the_files() {
    let mut home = Home::new();
    home.set("PACKHOUSE_TRASH_KEEP_DAYS", "0");
    let (server, token, [small, large]) = with_two_files(&home);
    is_clean(&home, &["check"]);
    let out = home.ok(&["check", "--digests", "--grace", "0"]);
    assert!(out.contains("1 package, 1 version, 2 files, 2 blobs of 2098229 bytes, all digests"), "{out}");

    for (bytes, name, at) in [(&small, "ada/app/1/small.bin", 500), (&large, "ada/app/1/large.bin", MIB as u64 + 5)] {
        let blob = home.blob(bytes);
        flip(&blob, at);
        is_clean(&home, &["check"]);
        finds(&home, &["check", "--digests"], &[name, "damaged", "from a backup"]);
        flip(&blob, at);

        fs::OpenOptions::new().write(true).open(&blob).unwrap().set_len(at).unwrap();
        finds(&home, &["check"], &[name, "cut short", &at.to_string()]);
        fs::write(&blob, bytes).unwrap();

        let aside = home.path("aside");
        fs::rename(&blob, &aside).unwrap();
        finds(&home, &["check"], &[name, "missing"]);
        std::os::unix::fs::symlink(&aside, &blob).unwrap();
        let ran = home.run(&["check"]);
        assert!(
            ran.out.contains(&format!("{name}: something that is not a file is in its place in the store")),
            "{}",
            ran.out
        );
        fs::rename(&aside, &blob).unwrap();
    }
    is_clean(&home, &["check", "--digests"]);

    let stray = home.data().join("blobs/blobs/notes.txt");
    fs::write(&stray, "mine").unwrap();
    finds(&home, &["check"], &["blobs/notes.txt", "not created by Packhouse"]);
    home.ok(&["gc", "--grace", "0"]);
    assert!(stray.exists(), "foreign files are never removed");
    fs::rename(&stray, home.data().join("blobs/incoming/notes.txt")).unwrap();
    finds(&home, &["check"], &["incoming/notes.txt", "not created by Packhouse"]);
    fs::remove_file(home.data().join("blobs/incoming/notes.txt")).unwrap();

    // The blob of a deleted file waits for the sweep, which is normal. Without a deletion it would be a problem.
    assert_eq!(server.delete(&token, "ada/generic/app/1/small.bin"), 204);
    home.sql("UPDATE blobs SET touched_at = touched_at - interval '30 days'");
    let out = home.ok(&["check"]);
    assert!(out.contains("1 blob without a file will be removed by the next sweep"), "{out}");
    finds(&home, &["check", "--grace", "0"], &["1 blobs of 1000 bytes", "packhouse gc"]);
    server.stop();
}

#[test]
fn check_finds_rows_that_break_a_rule_and_gc_recounts_usage() {
    let home = Home::new();
    let (server, _, [small, _]) = with_two_files(&home);
    let digests = "SELECT sha512 IS NOT NULL FROM blobs WHERE size > 1048576";
    eventually("the other digests of the large file", || {
        diesel::sql_query(format!("SELECT 1 WHERE ({digests})")).execute(&mut home.database()).unwrap() == 1
    });
    for (break_it, mend_it, args, expected) in [
        (
            "UPDATE blobs SET md5 = decode(repeat('00', 16), 'hex') WHERE size = 1000",
            format!("UPDATE blobs SET md5 = decode('{}', 'hex') WHERE size = 1000", to_hex(&md5::Md5::digest(&small))),
            &["check", "--digests"][..],
            "its recorded SHA-512, SHA-1 or MD5 is wrong",
        ),
        (
            "UPDATE blobs SET block_checksums = block_checksums || '\\x00000000' WHERE size > 1000",
            "UPDATE blobs SET block_checksums = substr(block_checksums, 1, 12) WHERE size > 1000".to_owned(),
            &["check"],
            "block checksums",
        ),
        (
            "INSERT INTO usage_changes (owner_id, versions, bytes) SELECT id, 1, 7 FROM owners WHERE name = 'ada'",
            "INSERT INTO usage_changes (owner_id, versions, bytes) SELECT id, -1, -7 FROM owners WHERE name = 'ada'"
                .to_owned(),
            &["check"],
            "ada: counted as 2 versions and 2098236 bytes, but has 1 and 2098229",
        ),
        (
            "INSERT INTO packages (owner_id, name, lower_name, created_at) \
             SELECT id, 'hollow', 'hollow', now() FROM owners WHERE name = 'ada'",
            "DELETE FROM packages WHERE name = 'hollow'".to_owned(),
            &["check"],
            "ada/hollow: the package has no version",
        ),
        (
            "INSERT INTO owners (kind, name, lower_name, created_at) VALUES (1, 'Nobodys', 'nobodys', now())",
            "DELETE FROM owners WHERE name = 'Nobodys'".to_owned(),
            &["check"],
            "Nobodys: the organization has no owner",
        ),
        (
            "INSERT INTO blobs (sha256, size, storage_key, touched_at, sha512, sha1, md5) SELECT sha256(''), 0, \
             encode(sha256(''), 'hex') || '-0000000000000001', now(), sha512, sha1, md5 FROM blobs WHERE size = 1000",
            "DELETE FROM blobs WHERE size = 0".to_owned(),
            &["check"],
            "no file: its bytes are missing",
        ),
    ] {
        home.sql(break_it);
        finds(&home, args, &[expected]);
        home.sql(&mend_it);
    }
    home.sql(
        "INSERT INTO versions (package_id, version, lower_version, created_at) SELECT id, 'x', 'x', now() FROM packages",
    );
    let ran = home.run(&["check"]);
    assert!(ran.out.contains("ada/app/x: the version has no file") && ran.out.contains("2 problems"), "{}", ran.out);
    home.sql("DELETE FROM versions WHERE version = 'x'");
    is_clean(&home, &["check", "--digests"]);

    // `gc` recounts wrong counters.
    home.sql("UPDATE owner_usage SET bytes = bytes - 1; ");
    home.sql("INSERT INTO usage_changes (owner_id, versions, bytes) SELECT id, 3, 3 FROM owners WHERE name = 'ada'");
    assert!(home.ok(&["gc"]).contains("the storage total of ada was wrong"));
    is_clean(&home, &["check"]);
    server.stop();
}

#[test]
fn gc_removes_unreferenced_blobs_and_spares_uploads_in_progress() {
    let mut home = Home::new();
    home.set("PACKHOUSE_TRASH_KEEP_DAYS", "0");
    let (server, token, [small, large]) = with_two_files(&home);
    let incoming = || fs::read_dir(home.data().join("blobs/incoming")).unwrap().count();
    // An upload that takes longer than any grace period.
    let rest = noise(3, 3 * MIB);
    let mut live = server.begin_put(&token, "ada/generic/app/2/live.bin", rest.len(), &rest[..2 * MIB]);
    eventually("the upload is in the store", || incoming() == 1);

    let orphan =
        home.blob(&small).with_file_name(format!("{}-0000000000000001", to_hex(&sha2::Sha256::digest(&small))));
    fs::write(&orphan, &small).unwrap();
    let leftover = home.data().join("blobs/incoming").join("0123456789abcdef".repeat(2));
    fs::write(&leftover, b"left by a crash").unwrap();
    assert_eq!(server.delete(&token, "ada/generic/app/1/large.bin"), 204);
    is_clean(&home, &["check"]);
    let ran = home.run(&["check", "--grace", "0"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.ends_with("3 problems\n"), "{}", ran.out);

    let would = format!(
        "would remove 1 blob without a file and 1 leftover of crashed uploads, {} bytes in total\n\
         would move 1 blob that the database does not know to the holding folder, 1000 bytes; a later run removes them \
         after a second grace period\n",
        large.len() + 15
    );
    assert_eq!(home.ok(&["gc", "--grace", "0", "--dry-run"]), would);
    assert!(orphan.exists() && leftover.exists());
    assert_eq!(
        home.ok(&["gc"]),
        "removed 0 blobs without a file and 0 leftovers of crashed uploads, 0 bytes in total\n"
    );

    // A running backup may still need the blobs of its snapshot.
    let mut backup = home.database();
    diesel::sql_query(format!("SELECT pg_advisory_lock_shared({})", 0x7061_636b_0000_0001_i64))
        .execute(&mut backup)
        .unwrap();
    let out = home.ok(&["gc", "--grace", "0"]);
    assert!(out.starts_with("removed 0 blobs without a file and 1 leftover of"), "{out}");
    assert!(out.contains("moved 1 blob that the database does not know"), "{out}");
    let held = home.data().join("blobs/held").join(orphan.file_name().unwrap());
    assert!(held.exists() && !orphan.exists() && !leftover.exists());
    assert!(out.contains("a backup is running"), "{out}");
    assert!(home.blob(&large).exists());
    drop(backup);
    eventually("gc notices the end of the backup", || !home.ok(&["gc", "--grace", "0"]).contains("removed 0 blobs"));
    assert!(!held.exists(), "the second grace period is over");
    let digest = to_hex(&sha2::Sha256::digest(&large));
    let shard = home.data().join("blobs/blobs").join(&digest[..2]);
    assert!(!fs::read_dir(shard).unwrap().any(|e| e.unwrap().file_name().to_str().unwrap().starts_with(&digest)));

    live.write_all(&rest[2 * MIB..]).unwrap();
    assert_eq!(read_answer(&mut live).0, 201, "the upload continues");
    assert_eq!(server.get("ada/generic/app/2/live.bin"), (200, rest));
    assert_eq!(server.get("ada/generic/app/1/small.bin"), (200, small));
    is_clean(&home, &["check", "--digests", "--grace", "0"]);
    server.stop();
}

#[test]
fn sweeps_under_load_lose_nothing_and_check_reports_no_false_alarms() {
    let home = Home::new();
    let (server, token, _) = with_two_files(&home);
    // These share their content with files that come and go.
    let kept = |seed: u64| (format!("ada/generic/kept/1/{seed}"), noise(seed, 100));
    for (path, bytes) in (0..7).map(kept) {
        assert_eq!(server.put(&token, &path, &bytes), 201);
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for worker in 0..3_u64 {
            let (server, token, stop) = (&server, &token, &stop);
            scope.spawn(move || {
                for round in 0.. {
                    if stop.load(std::sync::atomic::Ordering::Relaxed) {
                        return;
                    }
                    // Also large files, whose other digests are computed later, and shared content.
                    let size = if round % 5 == 0 { MIB + 5 } else { 100 };
                    let path = format!("ada/generic/w{worker}/{round}/f");
                    assert_eq!(server.put(token, &path, &noise(round % 7, size)), 201);
                    assert_eq!(server.delete(token, &path), 204);
                }
            });
        }
        for _ in 0..6 {
            // A preview changes nothing that the sweep right after it relies on.
            home.ok(&["gc", "--grace", "0", "--dry-run"]);
            home.ok(&["gc", "--grace", "0"]);
            is_clean(&home, &["check", "--digests"]);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    for (path, bytes) in (0..7).map(kept) {
        assert_eq!(server.get(&path), (200, bytes), "{path}");
    }
    home.ok(&["gc", "--grace", "0"]);
    is_clean(&home, &["check", "--digests", "--grace", "0"]);
}
