//! Backups: made while a server runs, restored into a new instance, refused if incomplete.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use diesel::prelude::*;
use diesel::sql_types::Text;
use packhouse::db::managed::running_url;
use packhouse::domain::digest::to_hex;
use sha2::Digest;

use crate::program::{Home, MIB, Ran, Server, eventually, flip, is_clean, noise, with_two_files};

fn blob_in(backup: &Path, bytes: &[u8]) -> PathBuf {
    let digest = to_hex(&sha2::Sha256::digest(bytes));
    backup.join("blobs").join(&digest[..2]).join(digest)
}

fn fails(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    for word in words {
        assert!(ran.err.contains(word), "{word:?} is not in: {}", ran.err);
    }
}

/// Every file and directory below a folder, with its mode.
fn modes(path: &Path) -> Vec<(PathBuf, u32)> {
    let mut all = vec![(path.to_owned(), fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777)];
    if path.is_dir() {
        all.extend(fs::read_dir(path).unwrap().flat_map(|entry| modes(&entry.unwrap().path())));
    }
    all
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    text: String,
}

/// Every row of every table that a backup keeps, as text.
fn all_rows(database: &mut PgConnection) -> String {
    let tables: Vec<Row> = diesel::sql_query(
        "SELECT relname::text AS text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' \
         AND relname NOT IN ('sessions', 'attempts', 'known_addresses', 'servers', 'database_runs', \
         '__diesel_schema_migrations') ORDER BY 1",
    )
    .load(database)
    .unwrap();
    assert!(tables.len() > 12);
    let mut all = String::new();
    for table in tables {
        // The identity of the store, its sweeps, the time of the last backup, and the audit entry of the restore itself
        // differ.
        let query = format!(
            "SELECT '{0} ' || t::text AS text FROM {0} t WHERE t::text !~ 'store_id|sweeps|last_backup|instance.restore' ORDER BY t::text",
            table.text
        );
        for row in diesel::sql_query(query).load::<Row>(database).unwrap() {
            all.push_str(&row.text);
            all.push('\n');
        }
    }
    all
}

#[test]
fn a_restored_backup_is_the_same_registry() {
    let home = Home::new();
    let (server, token, [small, large]) = with_two_files(&home);
    let backup = home.path("backup");
    let dir = backup.to_str().unwrap();
    // Characters that are difficult for a line format: quotes, backslashes, line breaks, all of Unicode.
    home.sql(
        "UPDATE owners SET full_name = E'Ada \"\\\\\\'' || E'\\n\\t\\u2028\\U0001F980', quota_bytes = 9007199254740993",
    );

    let out = home.ok(&["backup", dir]);
    assert!(out.contains("2 blobs of 2098229 bytes") && out.contains("2 of 2098229 bytes were new"), "{out}");
    for (path, mode) in modes(&backup) {
        let own = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, own, "{}", path.display());
    }
    assert_eq!(fs::read(backup.join("secret-key")).unwrap(), fs::read(home.data().join("secret-key")).unwrap());

    // A second backup copies new blobs, and replaces damaged copies.
    let more = noise(5, 3000);
    assert_eq!(server.put(&token, "ada/generic/app/2/more.bin", &more), 201);
    assert_eq!(server.put(&token, "ada/generic/app/2/again.bin", &small), 201);
    flip(&blob_in(&backup, &large), 7);
    let out = home.ok(&["backup", dir]);
    assert!(out.contains("3 blobs of 2101229 bytes") && out.contains("1 of 3000 bytes were new"), "{out}");
    let out = home.ok(&["backup", dir, "--verify"]);
    assert!(out.contains("1 of 2097229 bytes were new"), "{out}");
    assert_eq!(fs::read(blob_in(&backup, &large)).unwrap(), large);
    let dumps = fs::read_dir(&backup).unwrap().filter(|e| e.as_ref().unwrap().path().join("owners.jsonl").exists());
    assert_eq!(dumps.count(), 1, "only the rows of the last backup are kept");

    eventually("counts are saved, so that rows no longer change", || {
        let rows = all_rows(&mut home.database());
        !rows.contains("usage_changes") && rows.matches("blobs ").count() == 3 && !rows.contains(",,,,\"20")
    });
    home.ok(&["backup", dir]);
    let noted = "SELECT value ->> 'blobs' AS text FROM settings WHERE key = 'last_backup'";
    let noted: Row = diesel::sql_query(noted).get_result(&mut home.database()).unwrap();
    assert_eq!(noted.text, "3", "the administration shows the last backup");
    let rows = all_rows(&mut home.database());
    server.stop();

    let other = Home::new();
    let out = other.ok(&["restore", dir]);
    assert!(out.contains("restored the backup of 20") && out.ends_with("no problems\n"), "{out}");
    assert_eq!(fs::read(other.data().join("secret-key")).unwrap(), fs::read(home.data().join("secret-key")).unwrap());
    is_clean(&other, &["check", "--digests", "--grace", "0"]);

    let server = Server::start(&other);
    assert!(!server.said.contains("administrator"), "not treated as a first start: {}", server.said);
    assert_eq!(all_rows(&mut other.database()), rows);
    for (path, bytes) in
        [("1/small.bin", &small), ("1/large.bin", &large), ("2/more.bin", &more), ("2/again.bin", &small)]
    {
        assert_eq!(server.get(&format!("ada/generic/app/{path}")), (200, bytes.clone()), "{path}");
    }
    // Ids continue where they were, tokens work, and the restore is in the audit log.
    assert_eq!(server.put(&token, "ada/generic/app/3/new.bin", b"new"), 201);
    assert_eq!(server.delete(&token, "ada/generic/app/1"), 204);
    let record = "SELECT event || ' ' || credential || ' ' || detail::text AS text FROM audit WHERE event ~ 'restore'";
    let record: Row = diesel::sql_query(record).get_result(&mut other.database()).unwrap();
    assert!(record.text.starts_with("instance.restore command-line {\"backup\": \"20"), "{}", record.text);
    is_clean(&other, &["check", "--digests"]);

    fails(&other.run(&["restore", dir]), &["another packhouse server is using the data directory"]);
    server.stop();
    fails(
        &other.run(&["restore", dir]),
        &["the database is not empty (owners: 1, files: 3, blobs: 4)", "new instance"],
    );
    is_clean(&other, &["check"]);
    // The restored instance is a new store, so it needs a new backup folder.
    fails(&other.run(&["backup", dir]), &["the backup of another instance"]);
}

#[test]
fn an_incomplete_backup_is_refused_with_the_reason() {
    let home = Home::new();
    let (server, token, [small, large]) = with_two_files(&home);
    let backup = home.path("backup");
    let dir = backup.to_str().unwrap();
    let new = Home::new();

    fails(&new.run(&["restore", "/nowhere"]), &["/nowhere is not a backup"]);
    fs::create_dir(home.path("full")).unwrap();
    fs::write(home.path("full/notes"), "mine").unwrap();
    fails(&home.run(&["backup", home.path("full").to_str().unwrap()]), &["is not a backup and not empty", "notes"]);

    // The backup is killed while it waits to read the rows, so it has no manifest.
    let mut busy = home.database();
    diesel::sql_query("BEGIN").execute(&mut busy).unwrap();
    diesel::sql_query("LOCK TABLE files IN ACCESS EXCLUSIVE MODE").execute(&mut busy).unwrap();
    let mut making = home.command(&["backup", dir]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let waiting = || {
        let begun = fs::read_dir(&backup).is_ok_and(|mut d| d.any(|e| e.unwrap().path().join("files.jsonl").exists()));
        begun && backup.join("secret-key").exists()
    };
    eventually("the backup has begun", waiting);
    fails(&home.run(&["backup", dir]), &["another backup or restore is using"]);
    making.kill().unwrap();
    making.wait().unwrap();
    drop(busy);
    fails(&new.run(&["restore", dir]), &["is not complete", "manifest.json", "packhouse backup"]);
    assert!(!new.data().exists(), "nothing was created");

    home.ok(&["backup", dir]);
    // An interrupted second backup leaves the first as it was.
    assert_eq!(server.put(&token, "ada/generic/app/2/f", b"later"), 201);
    let mut busy = home.database();
    diesel::sql_query("BEGIN").execute(&mut busy).unwrap();
    diesel::sql_query("LOCK TABLE files IN ACCESS EXCLUSIVE MODE").execute(&mut busy).unwrap();
    let mut making = home.command(&["backup", dir]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let dumps =
        || fs::read_dir(&backup).unwrap().filter(|e| e.as_ref().unwrap().path().join("files.jsonl").exists()).count();
    eventually("the second backup has begun", || dumps() == 2);
    making.kill().unwrap();
    making.wait().unwrap();
    drop(busy);

    let blob = blob_in(&backup, &small);
    fs::rename(&blob, home.path("aside")).unwrap();
    fails(&new.run(&["restore", dir]), &["the backup is incomplete", &to_hex(&sha2::Sha256::digest(&small))]);
    fs::rename(home.path("aside"), &blob).unwrap();
    let rows = fs::read_dir(&backup).unwrap().map(|e| e.unwrap().path().join("owners.jsonl"));
    for path in rows.filter(|path| path.exists()) {
        flip(&path, 10);
    }
    fails(&new.run(&["restore", dir]), &["the rows of owners in the backup are damaged"]);
    let rows = fs::read_dir(&backup).unwrap().map(|e| e.unwrap().path().join("owners.jsonl"));
    for path in rows.filter(|path| path.exists()) {
        flip(&path, 10);
    }
    assert!(!new.data().exists(), "nothing was created");

    // Damage of the content itself is found only while copying. No row may have been written then.
    flip(&blob_in(&backup, &large), 1 << 20);
    fails(&new.run(&["restore", dir]), &["is damaged", "use another backup"]);
    flip(&blob_in(&backup, &large), 1 << 20);
    fails(&new.run(&["restore", dir]), &["blobs is not empty", "interrupted restore"]);
    fs::remove_dir_all(new.data().join("blobs")).unwrap();
    let out = new.ok(&["restore", dir]);
    assert!(out.ends_with("no problems\n"), "{out}");
    assert!(!new.ok(&["user", "list"]).is_empty());
    server.stop();
}

#[test]
fn a_backup_contains_files_deleted_and_swept_while_it_runs() {
    let home = Home::new();
    let (server, token, [small, large]) = with_two_files(&home);
    let backup = home.path("backup");
    let dir = backup.to_str().unwrap();
    // A lock on the last table stops the backup after it took its snapshot and before it copies a blob.
    let mut busy = home.database();
    diesel::sql_query("BEGIN").execute(&mut busy).unwrap();
    diesel::sql_query("LOCK TABLE usage_changes IN ACCESS EXCLUSIVE MODE").execute(&mut busy).unwrap();
    let making = home.command(&["backup", dir]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the rows of blobs are written", || {
        let Ok(entries) = fs::read_dir(&backup) else { return false };
        entries.flatten().any(|e| e.path().join("usage_changes.jsonl").exists())
    });
    // Delete and sweep as a server would if no backup were running. By SQL, because quotas would wait for the lock.
    home.sql("DELETE FROM versions");
    home.sql("DELETE FROM packages");
    let out = home.ok(&["gc", "--grace", "0", "--dry-run"]);
    assert!(out.starts_with("would remove 2 blobs"), "{out}");
    // `gc` ends by recounting usage, so it waits for the locked table too.
    let mut sweeping = home.command(&["gc", "--grace", "0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(sweeping.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.next().unwrap().starts_with("removed 0 blobs"));
    assert!(said.next().unwrap().contains("a backup is running"));
    drop(busy);
    let made = Ran::from(making.wait_with_output().unwrap());
    assert_eq!(made.code, 0, "{}{}", made.out, made.err);
    assert!(sweeping.wait().unwrap().success());
    assert!(made.out.contains("2 blobs of 2098229 bytes"), "{}", made.out);
    home.ok(&["gc", "--grace", "0"]);
    assert_eq!(server.get("ada/generic/app/1/small.bin").0, 404);

    let other = Home::new();
    assert!(other.ok(&["restore", dir]).ends_with("no problems\n"));
    let restored = Server::start(&other);
    assert_eq!(restored.get("ada/generic/app/1/small.bin"), (200, small));
    assert_eq!(restored.get("ada/generic/app/1/large.bin"), (200, large));
    assert_eq!(restored.put(&token, "ada/generic/app/1/other.bin", b"on we go"), 201);
}

#[test]
fn a_backup_names_lost_blobs_and_keeps_the_rest() {
    let home = Home::new();
    let (server, _token, [small, large]) = with_two_files(&home);
    let backup = home.path("backup");
    let dir = backup.to_str().unwrap();
    flip(&home.blob(&large), MIB as u64);
    fails(&home.run(&["backup", dir]), &["the store has lost 1 blob", "check --digests"]);
    let other = Home::new();
    let ran = other.run(&["restore", dir]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.out.contains("ada/app/1/large.bin: its bytes are missing"), "{}", ran.out);
    assert!(ran.err.contains("had lost 1 blob"), "{}", ran.err);
    let restored = Server::start(&other);
    assert_eq!(restored.get("ada/generic/app/1/small.bin"), (200, small));
    // After the repair, the next backup is complete.
    flip(&home.blob(&large), MIB as u64);
    let out = home.ok(&["backup", dir]);
    assert!(out.contains("2 blobs of 2098229 bytes") && out.contains("1 of 2097229 bytes were new"), "{out}");
    server.stop();
}

#[test]
fn a_backup_moves_between_private_and_external_postgres() {
    let home = Home::new();
    let (server, token, [small, _]) = with_two_files(&home);
    let backup = home.path("backup");
    let dir = backup.to_str().unwrap();
    home.ok(&["backup", dir]);
    diesel::sql_query("CREATE DATABASE elsewhere").execute(&mut home.database()).unwrap();
    let url = running_url(&home.data()).unwrap().replacen("/packhouse?", "/elsewhere?", 1);

    let mut external = Home::new();
    external.set("DATABASE_URL", &url);
    external.set("PACKHOUSE_STORE_DIR", external.path("store").to_str().unwrap());
    assert!(external.ok(&["restore", dir]).ends_with("no problems\n"));
    let restored = Server::start(&external);
    assert_eq!(restored.get("ada/generic/app/1/small.bin"), (200, small.clone()));
    assert_eq!(restored.put(&token, "ada/generic/app/2/new.bin", &small), 201);
    let second = external.path("backup");
    let out = external.ok(&["backup", second.to_str().unwrap()]);
    assert!(out.contains("2 blobs of 2098229 bytes"), "{out}");
    is_clean(&external, &["check", "--digests"]);

    // A database with a newer schema is not overwritten, and neither is one in use.
    let mut used = Home::new();
    used.set("DATABASE_URL", &url);
    fails(&used.run(&["restore", dir]), &["the database is not empty"]);
    let manifest = fs::read_to_string(second.join("manifest.json")).unwrap();
    let newer = manifest.replacen("\"schema\": [", "\"schema\": [\n    \"20990101000000\",", 1);
    assert_ne!(newer, manifest);
    fs::write(second.join("manifest.json"), newer).unwrap();
    let fresh = Home::new();
    fails(&fresh.run(&["restore", second.to_str().unwrap()]), &["a newer version of Packhouse made the backup"]);
    restored.stop();
    server.stop();
}

/// A copy of a folder, with the modes that the program gives a backup.
fn copy_backup(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy_backup(&from, &to);
        } else {
            fs::write(&to, fs::read(&from).unwrap()).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

#[test]
fn backups_of_earlier_versions_are_restored_and_brought_up_to_date() {
    // Each was made by the version whose last migration is its name: see tests/README.md.
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/backups")).unwrap() {
        let home = Home::new();
        let backup = home.path("backup");
        copy_backup(&entry.unwrap().path(), &backup);
        let out = home.ok(&["restore", backup.to_str().unwrap()]);
        assert!(out.ends_with("no problems\n"), "{out}");
        is_clean(&home, &["check", "--digests", "--grace", "0"]);
        let server = Server::start(&home);
        for (path, bytes) in [
            ("ada/generic/tool/1.0.0/tool.txt", &b"tool 1.0.0\n"[..]),
            ("ada/generic/tool/1.1.0-rc.1/tool.txt", b"tool 1.1.0-rc.1\n"),
            ("ada/generic/tool/2.0.0/tool.txt", b"tool 2.0.0\n"),
            ("ada/generic/tool/2.0.0/shared.txt", b"shared\n"),
        ] {
            assert_eq!(server.get(path), (200, bytes.to_vec()), "{path}");
        }
        assert_eq!(server.get("acme/generic/firmware/7/shared.bin").0, 401, "a private owner stays private");
        let token = home.make_token("ada");
        assert_eq!(server.put(&token, "ada/generic/tool/3.0.0/tool.txt", b"tool 3.0.0\n"), 201);
        server.stop();
        // What it has now is backed up and restored like anything else.
        let again = home.path("again");
        home.ok(&["backup", again.to_str().unwrap()]);
        let other = Home::new();
        assert!(other.ok(&["restore", again.to_str().unwrap()]).ends_with("no problems\n"));
    }
}
