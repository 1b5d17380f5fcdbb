//! The blob store with crashed uploads, planted links, missing disks and full disks.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use packhouse::domain::digest::Sha256;
use packhouse::storage::{BLOCK, BlobStore, Declared, Entry, StorageKey, StoreError, StoreId};

use crate::storage::{Fixture, MIB, eventually, noise, put, put_in, whole};

#[tokio::test]
async fn a_sweep_removes_abandoned_uploads_and_spares_active_ones() {
    let fixture = Fixture::new();
    let abandoned = fixture.root.join("incoming").join("0123456789abcdef".repeat(2));
    fs::write(&abandoned, b"left by a crash").unwrap();
    fs::write(fixture.root.join("incoming/notes.txt"), b"not ours").unwrap();
    let mut live = fixture.store.begin(None, Declared::default());
    live.push(noise(2 * MIB + 1)).await.unwrap();
    eventually("a file of the active upload", || fixture.incoming() == 3).await;

    let now = SystemTime::now();
    let swept = fixture.store.sweep_incoming(now - Duration::from_secs(60), &HashSet::new()).unwrap();
    assert_eq!(swept.files, 0, "younger than the grace period");
    let swept = fixture.store.sweep_incoming(now + Duration::from_secs(60), &HashSet::new()).unwrap();
    assert_eq!((swept.files, swept.bytes), (1, 15));
    assert!(!abandoned.exists());

    let adopted = live.finish().await.unwrap();
    // The store as another process opens it, which sees the locks too.
    let other = BlobStore::open_local(fixture.root.clone(), false, Some(fixture.store.id())).unwrap();
    assert!(other.claim(&adopted.key).unwrap().is_none(), "locked until the commit");
    let key = adopted.key;
    drop(adopted);
    let claim = other.claim(&key).unwrap().expect("unlocked after the commit");
    assert!(fixture.store.claim(&key).unwrap().is_none(), "only one sweep runs at a time");
    assert_eq!(claim.remove().unwrap(), 2 * BLOCK + 1);
    assert!(fixture.store.claim(&key).unwrap().is_none());
}

#[tokio::test]
async fn walking_the_store_finds_blobs_and_names_foreign_files() {
    let fixture = Fixture::new();
    let adopted = put(&fixture.store, &noise(100)).await;
    let (key, shard) = (adopted.key.to_string(), adopted.key.to_string()[..2].to_owned());
    fs::write(fixture.root.join("blobs/README"), b"x").unwrap();
    fs::write(fixture.root.join("blobs").join(&shard).join("lost"), b"x").unwrap();
    let elsewhere = if shard == "00" { "01" } else { "00" };
    fs::write(fixture.root.join("blobs").join(elsewhere).join(&key), b"x").unwrap();
    symlink("/etc", fixture.root.join("blobs/etc")).unwrap();
    let mut foreign = Vec::new();
    for entry in fixture.store.walk().unwrap() {
        match entry.unwrap() {
            Entry::Blob { key, size, modified } => {
                assert_eq!((key, size), (adopted.key, 100));
                assert!(modified.elapsed().unwrap() < Duration::from_secs(600));
            }
            Entry::Foreign(name) => foreign.push(name),
        }
    }
    foreign.sort();
    let mut expected =
        vec!["README".to_owned(), "etc".to_owned(), format!("{shard}/lost"), format!("{elsewhere}/{key}")];
    expected.sort();
    assert_eq!(foreign, expected);
}

#[tokio::test]
async fn planted_symlinks_are_not_followed() {
    let fixture = Fixture::new();
    let outside = tempfile::tempdir().unwrap();
    let bytes = noise(100);
    let adopted = put(&fixture.store, &bytes).await;
    let key = adopted.key;

    let target = outside.path().join("target");
    fs::rename(fixture.path(&key), &target).unwrap();
    symlink(&target, fixture.path(&key)).unwrap();
    assert!(matches!(fixture.store.read_small(&whole(&key, 100)), Err(StoreError::Damaged(_))));
    assert!(fixture.store.stat(&key).is_err() && fixture.store.claim(&key).is_err());

    let shard = fixture.path(&key).parent().unwrap().to_owned();
    fs::remove_dir_all(&shard).unwrap();
    symlink(outside.path(), &shard).unwrap();
    assert!(put_in(&fixture.store, &bytes, 100).await.is_err());
    assert!(fixture.store.read_small(&whole(&key, 100)).is_err());

    let incoming = fixture.root.join("incoming");
    fs::remove_dir(&incoming).unwrap();
    symlink(outside.path(), &incoming).unwrap();
    assert!(BlobStore::open_local(fixture.root.clone(), false, None).is_err());
    assert!(put_in(&fixture.store, &bytes, 100).await.is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "nothing was written outside");
}

#[tokio::test]
async fn a_planted_named_pipe_blocks_no_thread() {
    let fixture = Fixture::new();
    let adopted = put(&fixture.store, &noise(100)).await;
    fs::remove_file(fixture.path(&adopted.key)).unwrap();
    assert!(Command::new("mkfifo").arg(fixture.path(&adopted.key)).status().unwrap().success());
    assert!(matches!(fixture.store.read_small(&whole(&adopted.key, 100)), Err(StoreError::Damaged(_))));
}

#[tokio::test]
async fn a_store_without_marker_writes_nothing_and_reports_nothing_missing() {
    let fixture = Fixture::new();
    let (store, root) = (&fixture.store, &fixture.root);
    let adopted = put(store, &noise(100)).await;
    let never = StorageKey::new(Sha256::new([9; 32]), 9);
    let mut under_way = store.begin(None, Declared::default());
    under_way.push(noise(3 * MIB)).await.unwrap();

    let away = root.with_file_name("away");
    fs::rename(root, &away).unwrap();
    assert!(matches!(store.stat(&never), Err(StoreError::Away(_))));
    assert!(matches!(store.check_ready(), Err(StoreError::Away(_))));
    fs::create_dir(root).unwrap();
    for size in [10, 3 * MIB] {
        let error = put_in(store, &noise(size), MIB).await.unwrap_err();
        assert!(matches!(error, StoreError::NotAStore(_)), "{error}");
    }
    assert!(under_way.finish().await.is_err());
    assert!(matches!(store.remove(&adopted.key), Err(StoreError::NotAStore(_))));
    assert!(matches!(store.claim(&adopted.key), Err(StoreError::NotAStore(_))));
    assert!(store.walk().is_err() && store.check_ready().is_err() && store.free_space().is_err());
    assert!(store.sweep_incoming(SystemTime::now(), &HashSet::new()).is_err());
    assert!(matches!(store.stat(&never), Err(StoreError::Away(_))), "an unavailable store reports no missing blobs");
    assert_eq!(fs::read_dir(root).unwrap().count(), 0, "the mount point stays empty");

    fs::remove_dir(root).unwrap();
    fs::rename(&away, root).unwrap();
    store.check_ready().unwrap();
    assert_eq!(store.stat(&never).unwrap(), None);
    put(store, &noise(10)).await;
}

#[tokio::test]
async fn the_directory_of_another_store_is_refused_and_a_copy_accepted() {
    let fixture = Fixture::new();
    let adopted = put(&fixture.store, &noise(100)).await;
    let copy = fixture.root.with_file_name("copy");
    assert!(Command::new("cp").arg("-a").arg(&fixture.root).arg(&copy).status().unwrap().success());
    fs::rename(&fixture.root, fixture.root.with_file_name("old")).unwrap();

    let stranger = Fixture::new();
    symlink(&stranger.root, &fixture.root).unwrap();
    assert!(matches!(fixture.store.check_ready(), Err(StoreError::NotAStore(_))));
    fs::remove_file(&fixture.root).unwrap();

    fs::rename(&copy, &fixture.root).unwrap();
    let next = put(&fixture.store, &noise(200)).await;
    assert!(fixture.path(&next.key).exists(), "blobs are written to the new directory");
    assert_eq!(fixture.store.stat(&adopted.key).unwrap(), Some(100));
}

#[test]
fn a_store_is_created_only_in_an_empty_directory_and_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str, create, expected| BlobStore::open_local(dir.path().join(name), create, expected);
    assert!(matches!(open("absent", false, None), Err(StoreError::Away(_))));
    fs::create_dir_all(dir.path().join("empty/lost+found")).unwrap();
    assert!(matches!(open("empty", false, None), Err(StoreError::NotAStore(_))));
    let known = StoreId::new([1; 16]);
    assert!(
        matches!(open("empty", true, Some(known)), Err(StoreError::NotAStore(_))),
        "a known store is not created again"
    );
    let id = open("empty", true, None).unwrap().id();
    assert_eq!(open("empty", true, Some(id)).unwrap().id(), id);
    assert!(matches!(open("empty", false, Some(known)), Err(StoreError::NotAStore(_))));

    fs::create_dir(dir.path().join("full")).unwrap();
    fs::write(dir.path().join("full/something"), b"").unwrap();
    assert!(matches!(open("full", true, None), Err(StoreError::NotAStore(_))));

    // A crash interrupted the first start before the marker was complete.
    fs::create_dir_all(dir.path().join("cut/blobs/00")).unwrap();
    fs::write(dir.path().join("cut/packhouse-store.new"), b"packh").unwrap();
    open("cut", true, None).unwrap();
    fs::remove_file(dir.path().join("cut/packhouse-store")).unwrap();
    fs::write(dir.path().join("cut/blobs/00/x"), b"").unwrap();
    assert!(
        matches!(open("cut", true, None), Err(StoreError::NotAStore(_))),
        "a directory with blobs but no marker is not a new store"
    );
}

/// A small file system, unmounted when dropped.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(dir));
        }
        eprintln!("skipped: mounting a tmpfs needs root");
        None
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &options]).arg(self.0.path()).status().unwrap().success());
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_stores_nothing_and_recovers_by_itself() {
    let Some(disk) = Tmpfs::mount("size=6m") else { return };
    let store = BlobStore::open_local(disk.path().to_owned(), true, None).unwrap();
    let before = store.free_space().unwrap().unwrap();
    assert!(before.total <= 6 << 20 && before.available <= before.total);
    let kept = put(&store, &noise(4 * MIB)).await;
    for size in [5 * MIB, 3 * MIB] {
        let error = put_in(&store, &noise(size), 100_000).await.unwrap_err();
        assert!(matches!(error, StoreError::NoSpace), "{error}");
    }
    let incoming = || fs::read_dir(disk.path().join("incoming")).unwrap().count();
    eventually("no files of unfinished uploads", || incoming() == 0).await;
    assert_eq!(store.walk().unwrap().count(), 1);
    store.remove(&kept.key).unwrap();
    drop(kept);
    put(&store, &noise(5 * MIB)).await;
}

#[tokio::test]
async fn a_disk_without_inodes_is_full_and_a_read_only_disk_unavailable() {
    let Some(disk) = Tmpfs::mount("size=20m,nr_inodes=265") else { return };
    let store = BlobStore::open_local(disk.path().to_owned(), true, None).unwrap();
    let mut kept = Vec::new();
    let error = loop {
        match put_in(&store, &noise(10 + kept.len()), 100).await {
            Ok(adopted) => kept.push(adopted),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::NoSpace), "{error}");
    assert_eq!(store.free_space().unwrap().unwrap().inodes, Some(0));
    assert!(matches!(store.check_ready(), Err(StoreError::NoSpace)));
    let adopted = kept.pop().unwrap();
    let (key, size) = (adopted.key, adopted.size);
    drop((kept, adopted));
    disk.remount("ro");
    assert!(matches!(put_in(&store, &noise(10), 100).await, Err(StoreError::Away(_))));
    assert!(store.read_small(&whole(&key, size)).is_ok(), "reading still works");
    disk.remount("rw");
    store.remove(&key).unwrap();
    put(&store, &noise(10)).await;
}
