//! The blob store: writing and reading blobs, ranges, damaged blobs.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use packhouse::domain::digest::{Md5, Sha256};
use packhouse::storage::{Adopted, BLOCK, BlobStore, Declared, StorageKey, StoreError, Stored};
use sha2::Digest;

pub const MIB: usize = BLOCK as usize;

/// A store in a new directory.
pub struct Fixture {
    pub store: BlobStore,
    pub root: PathBuf,
    _dir: tempfile::TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("store");
        Self { store: BlobStore::open_local(root.clone(), true, None).unwrap(), root, _dir: dir }
    }

    pub fn path(&self, key: &StorageKey) -> PathBuf {
        let key = key.to_string();
        self.root.join("blobs").join(&key[..2]).join(key)
    }

    /// Flips one bit of a stored blob.
    pub fn flip(&self, key: &StorageKey, at: u64) {
        let file = fs::OpenOptions::new().read(true).write(true).open(self.path(key)).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    }

    pub fn incoming(&self) -> usize {
        fs::read_dir(self.root.join("incoming")).unwrap().count()
    }

    pub fn blobs(&self) -> usize {
        self.store.walk().unwrap().count()
    }
}

/// Pseudorandom bytes without repetition at the length of a block.
pub fn noise(size: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ size as u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::new(sha2::Sha256::digest(bytes).into())
}

pub async fn put(store: &BlobStore, bytes: &Bytes) -> Adopted {
    put_in(store, bytes, 50_000).await.unwrap()
}

pub async fn put_in(store: &BlobStore, bytes: &Bytes, chunk: usize) -> Result<Adopted, StoreError> {
    let mut incoming = store.begin(None, Declared::default());
    for at in (0..bytes.len()).step_by(chunk) {
        incoming.push(bytes.slice(at..(at + chunk).min(bytes.len()))).await?;
    }
    incoming.finish().await
}

/// A blob of a local store, whose key begins with its digest.
pub fn whole(key: &StorageKey, size: u64) -> Stored {
    Stored::whole(*key, key.sha256(), size)
}

pub fn stored(adopted: &Adopted) -> Stored {
    let sums = Bytes::from(adopted.block_checksums.clone());
    Stored { block_checksums: (!sums.is_empty()).then_some(sums), ..whole(&adopted.key, adopted.size) }
}

/// The bytes that were read, and the result at the end.
async fn read(store: &BlobStore, blob: Stored, range: std::ops::Range<u64>) -> (Vec<u8>, Result<(), StoreError>) {
    let mut bytes = Vec::new();
    let mut reader = match store.reader(blob, range).await {
        Ok(reader) => reader,
        Err(error) => return (bytes, Err(error)),
    };
    loop {
        match reader.next().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, Ok(())),
            Err(error) => return (bytes, Err(error)),
        }
    }
}

pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not in time");
}

#[tokio::test]
async fn stored_bytes_are_read_back_at_any_size() {
    let fixture = Fixture::new();
    for size in [0, 1, 65_535, 65_536, 65_537, MIB - 1, MIB, MIB + 1, 2 * MIB, 5 * MIB + 17] {
        let bytes = noise(size);
        for chunk in [1_000_000, 3 * MIB, 4_097] {
            let adopted = put_in(&fixture.store, &bytes, chunk).await.unwrap();
            assert_eq!((adopted.size, adopted.sha256), (size as u64, sha256(&bytes)), "{size}");
            assert_eq!(adopted.key.sha256(), adopted.sha256);
            assert_eq!(adopted.other.is_some(), size <= MIB, "{size}");
            let blocks = if size <= MIB { 0 } else { size.div_ceil(MIB) };
            assert_eq!(adopted.block_checksums.len(), 4 * blocks);
            let (back, end) = read(&fixture.store, stored(&adopted), 0..size as u64).await;
            assert!(end.is_ok() && bytes == back, "{size}");
            assert_eq!(fixture.store.stat(&adopted.key).unwrap(), Some(size as u64));
            let all = fixture.store.digests(&whole(&adopted.key, size as u64)).unwrap();
            assert!(adopted.other.is_none_or(|other| other == all.other));
            assert_eq!(all.block_checksums, adopted.block_checksums);
            let small = fixture.store.read_small(&whole(&adopted.key, size as u64));
            assert!(if size <= MIB { small.unwrap() == bytes } else { small.is_err() });
        }
    }
    assert_eq!((fixture.incoming(), fixture.blobs()), (0, 30));
}

#[tokio::test]
async fn every_range_of_a_blob_gives_its_bytes() {
    let fixture = Fixture::new();
    for size in [1_000, 200_000, MIB, 3 * MIB + 100] {
        let bytes = noise(size);
        let adopted = put(&fixture.store, &bytes).await;
        let edges = [0, 1, 999, 65_536, 65_537, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB, 3 * MIB + 100];
        for (start, end) in edges.iter().flat_map(|start| edges.iter().map(move |end| (*start, *end))) {
            if start <= end && end <= size {
                let (back, ended) = read(&fixture.store, stored(&adopted), start as u64..end as u64).await;
                assert!(ended.is_ok() && back == bytes[start..end], "{start}..{end} of {size}");
            }
        }
        let without = Stored { block_checksums: None, ..stored(&adopted) };
        let (back, ended) = read(&fixture.store, without, 500..900).await;
        assert!(ended.is_ok() && back == bytes[500..900]);
    }
}

#[tokio::test]
async fn a_flipped_bit_anywhere_keeps_a_download_from_completing() {
    let fixture = Fixture::new();
    for (size, at) in
        [(1, 0), (70_000, 5), (70_000, 69_999), (MIB, 9), (MIB + 1, MIB), (4 * MIB + 9, 0), (4 * MIB, 3 * MIB)]
    {
        let bytes = noise(size);
        let adopted = put(&fixture.store, &bytes).await;
        fixture.flip(&adopted.key, at as u64);
        let (back, end) = read(&fixture.store, stored(&adopted), 0..size as u64).await;
        assert!(matches!(end, Err(StoreError::Damaged(key)) if key == adopted.key), "{size} {at}: {end:?}");
        assert!(back.len() < size, "the last chunk is withheld");
        assert!(matches!(fixture.store.digests(&whole(&adopted.key, size as u64)), Err(StoreError::Damaged(_))));
        if size <= MIB {
            assert!(matches!(fixture.store.read_small(&whole(&adopted.key, size as u64)), Err(StoreError::Damaged(_))));
        }
    }
}

#[tokio::test]
async fn a_range_verifies_only_the_blocks_it_touches() {
    let fixture = Fixture::new();
    let bytes = noise(4 * MIB);
    let adopted = put(&fixture.store, &bytes).await;
    fixture.flip(&adopted.key, (2 * MIB + 500) as u64);
    let m = MIB as u64;
    for (start, end, whole) in [
        (0, 2 * m, true),
        (3 * m, 4 * m, true),
        (3 * m + 5, 3 * m + 6, true),
        (2 * m, 2 * m + 10, false),
        (2 * m + 400, 2 * m + 600, false),
        (3 * m - 1, 3 * m + 5, false),
        (0, 2 * m + 1, false),
    ] {
        let (back, ended) = read(&fixture.store, stored(&adopted), start..end).await;
        assert_eq!(ended.is_ok(), whole, "{start}..{end}");
        assert_eq!(back.len() as u64 == end - start, whole, "{start}..{end}");
        assert_eq!(back, bytes[start as usize..start as usize + back.len()]);
    }
}

#[tokio::test]
async fn truncated_grown_and_missing_blobs_give_different_errors() {
    let fixture = Fixture::new();
    let adopted = put(&fixture.store, &noise(2 * MIB)).await;
    let file = fs::OpenOptions::new().write(true).open(fixture.path(&adopted.key)).unwrap();
    for size in [0, MIB, 2 * MIB - 1, 2 * MIB + 1] {
        file.set_len(size as u64).unwrap();
        let (_, end) = read(&fixture.store, stored(&adopted), 0..10).await;
        assert!(matches!(end, Err(StoreError::Damaged(_))), "{size}");
    }
    assert!(fixture.store.remove(&adopted.key).unwrap());
    assert!(!fixture.store.remove(&adopted.key).unwrap());
    let (_, end) = read(&fixture.store, stored(&adopted), 0..10).await;
    assert!(matches!(end, Err(StoreError::Missing(key)) if key == adopted.key));
    assert_eq!(fixture.store.stat(&adopted.key).unwrap(), None);
}

#[tokio::test]
async fn a_blob_truncated_during_a_read_is_an_error() {
    let fixture = Fixture::new();
    let adopted = put(&fixture.store, &noise(6 * MIB)).await;
    let mut reader = fixture.store.reader(stored(&adopted), 0..6 * BLOCK).await.unwrap();
    reader.next().await.unwrap();
    fs::OpenOptions::new().write(true).open(fixture.path(&adopted.key)).unwrap().set_len(3 * BLOCK).unwrap();
    let end = loop {
        match reader.next().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(end, Err(StoreError::Damaged(_))));
    assert!(reader.next().await.is_err());
}

#[tokio::test]
async fn a_blob_removed_during_a_read_is_read_to_its_end() {
    let fixture = Fixture::new();
    let bytes = noise(3 * MIB);
    let adopted = put(&fixture.store, &bytes).await;
    let mut reader = fixture.store.reader(stored(&adopted), 0..3 * BLOCK).await.unwrap();
    fixture.store.remove(&adopted.key).unwrap();
    let mut back = Vec::new();
    while let Some(chunk) = reader.next().await.unwrap() {
        back.extend_from_slice(&chunk);
    }
    assert!(bytes == back);
}

#[tokio::test]
async fn a_wrong_declared_digest_or_too_many_bytes_store_nothing() {
    let fixture = Fixture::new();
    for size in [10, 3 * MIB] {
        let bytes = noise(size);
        let right = Declared { sha256: Some(sha256(&bytes)), ..Declared::default() };
        for (declared, name) in [
            (Declared { md5: Some(Md5::new([7; 16])), ..right }, "md5"),
            (Declared { sha256: Some(Sha256::new([7; 32])), ..right }, "sha-256"),
        ] {
            let mut incoming = fixture.store.begin(None, declared);
            incoming.push(bytes.clone()).await.unwrap();
            let error = incoming.finish().await.unwrap_err();
            assert!(matches!(error, StoreError::DigestMismatch(wrong) if wrong == name), "{error}");
        }
        let mut incoming = fixture.store.begin(Some(size as u64 - 1), right);
        let error = incoming.push(bytes.clone()).await.unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { limit } if limit == size as u64 - 1));
        let mut incoming = fixture.store.begin(Some(size as u64), right);
        incoming.push(bytes).await.unwrap();
        incoming.finish().await.unwrap().discard().unwrap();
    }
    eventually("no files of unfinished uploads", || fixture.incoming() == 0).await;
    assert_eq!(fixture.blobs(), 0);
}

#[tokio::test]
async fn an_upload_dropped_at_any_moment_stores_nothing() {
    let fixture = Fixture::new();
    let bytes = noise(4 * MIB);
    for size in [0, 10, MIB, MIB + 1, 3 * MIB + 5] {
        let mut incoming = fixture.store.begin(None, Declared::default());
        incoming.push(bytes.slice(..size)).await.unwrap();
        drop(incoming);
    }
    // Canceled within `finish`: no one knows the key of a blob that may have been created.
    for size in [10, 3 * MIB] {
        let mut incoming = fixture.store.begin(None, Declared::default());
        incoming.push(bytes.slice(..size)).await.unwrap();
        if let Ok(adopted) = tokio::time::timeout(Duration::ZERO, incoming.finish()).await {
            adopted.unwrap().discard().unwrap(); // It finished before the timeout.
        }
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    eventually("an empty store", || fixture.incoming() + fixture.blobs() == 0).await;
}

fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = status.lines().find(|line| line.starts_with("Anonymous:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

#[tokio::test]
#[ignore = "measures the whole process: run it alone"]
async fn many_uploads_and_stalled_readers_use_bounded_memory() {
    let fixture = Fixture::new();
    let chunk = noise(200_000);
    let before = resident();
    let mut uploads: Vec<_> = (0..20).map(|_| fixture.store.begin(None, Declared::default())).collect();
    for _ in 0..40 {
        for upload in &mut uploads {
            upload.push(chunk.clone()).await.unwrap();
        }
    }
    let held = resident().saturating_sub(before);
    eprintln!("20 uploads of 8 MB hold {} KiB", held >> 10);
    assert!(held < 20 * 3 * MIB);
    let adopted = uploads.pop().unwrap().finish().await.unwrap();
    drop(uploads);
    let mut readers = Vec::new();
    for _ in 0..200 {
        let mut reader = fixture.store.reader(stored(&adopted), 0..adopted.size).await.unwrap();
        for _ in 0..6 {
            reader.next().await.unwrap();
        }
        readers.push(reader);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let held = resident().saturating_sub(before);
    eprintln!("200 readers hold {} KiB", held >> 10);
    assert!(held < 100 * MIB);
}

#[tokio::test]
#[ignore = "a measurement: run it alone, in release"]
async fn measure_the_speed_of_storing_and_reading_a_gibibyte() {
    let fixture = Fixture::new();
    let source = noise(64 * MIB);
    for chunk in [64 << 10, 16 << 10, 256 << 10] {
        let clock = std::time::Instant::now();
        let mut incoming = fixture.store.begin(None, Declared::default());
        for at in (0..1024 * MIB).step_by(chunk) {
            let at = at % source.len();
            incoming.push(source.slice(at..at + chunk)).await.unwrap();
        }
        let streamed = clock.elapsed();
        let adopted = incoming.finish().await.unwrap();
        eprintln!("in, {} KiB chunks: {:.2?}, durable {:.2?}", chunk >> 10, streamed, clock.elapsed());
        for _ in 0..2 {
            let clock = std::time::Instant::now();
            let mut reader = fixture.store.reader(stored(&adopted), 0..adopted.size).await.unwrap();
            let mut total = 0;
            while let Some(chunk) = reader.next().await.unwrap() {
                total += chunk.len();
            }
            assert_eq!(total, 1024 * MIB);
            eprintln!("out: {:.2} GiB/s", 1.0 / clock.elapsed().as_secs_f64());
        }
        adopted.discard().unwrap();
    }
    let clock = std::time::Instant::now();
    let small = noise(1024);
    for _ in 0..1000 {
        put_in(&fixture.store, &small, 1024).await.unwrap();
    }
    eprintln!("1000 files of 1 KiB, one after the other: {:.2?}", clock.elapsed());
    let adopted = put(&fixture.store, &small).await;
    let clock = std::time::Instant::now();
    for _ in 0..100_000 {
        fixture.store.read_small(&whole(&adopted.key, 1024)).unwrap();
    }
    eprintln!("100,000 reads of 1 KiB on one thread: {:.2?}", clock.elapsed());
}
