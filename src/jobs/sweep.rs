//! Removes the bytes that nothing refers to: rows first, in a transaction, and then the bytes whose rows are gone;
//! then bytes that never had a row, left by uploads that crashed.

use crate::db::Db;
use crate::domain::clock::{Clock, Timestamp};
use crate::error::{Error, Result};
use crate::registry::{attempts, cleanup};
use crate::storage::{BlobStore, Entry, StorageKey, StoreError, Walk};
use std::time::{Duration, SystemTime};

/// How many rows or keys are looked at together.
const BATCH: usize = 500;

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs that no file had any more.
    pub unused: u64,
    /// Blobs, and parts of uploads, that no row named.
    pub orphans: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// Sweeps once. What is younger than `grace` is left alone, and so is what an upload holds, however long it takes.
///
/// # Errors
/// The database's and the store's; what was removed until then stays removed.
pub async fn run(db: &Db, store: &BlobStore, clock: &Clock, grace: Duration) -> Result<Swept> {
    let before = clock.now().minus(grace);
    let mut swept = Swept::default();
    forget_rows(db, store, before, &mut swept).await?;
    remove_orphans(db, store, before, &mut swept).await?;
    let now = clock.now();
    db.write(move |conn| {
        attempts::forget_old(conn, now)?;
        cleanup::forget_sessions(conn, now).map(drop)
    })
    .await?;
    metrics::counter!("packhouse_swept_bytes_total").increment(swept.bytes);
    Ok(swept)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(Error::internal)??)
}

async fn forget_rows(db: &Db, store: &BlobStore, before: Timestamp, swept: &mut Swept) -> Result<()> {
    loop {
        let keys = db.write(move |conn| cleanup::forget_blobs(conn, before, BATCH as i64)).await?;
        if keys.is_empty() {
            return Ok(());
        }
        // Committed: these keys are never used again, whatever is uploaded.
        for key in keys {
            let key: StorageKey = key.parse().map_err(Error::internal)?;
            let store = store.clone();
            let size = blocking(move || {
                let size = store.stat(&key)?.unwrap_or(0);
                store.remove(&key).map(|_| size)
            })
            .await?;
            swept.unused += 1;
            swept.bytes += size;
        }
    }
}

async fn remove_orphans(db: &Db, store: &BlobStore, before: Timestamp, swept: &mut Swept) -> Result<()> {
    let before: SystemTime = before.into();
    let (walker, sweeper) = (store.clone(), store.clone());
    let incoming = blocking(move || sweeper.sweep_incoming(before)).await?;
    swept.orphans += incoming.files;
    swept.bytes += incoming.bytes;
    let mut walk = blocking(move || walker.walk()).await?;
    loop {
        let (rest, keys) = blocking(move || old_keys(walk, before)).await?;
        walk = rest;
        if keys.is_empty() {
            return Ok(());
        }
        for key in unknown(db, keys).await? {
            remove_orphan(db, store, key, swept).await?;
        }
    }
}

/// The next keys of a walk that were written long enough ago.
fn old_keys(mut walk: Walk, before: SystemTime) -> Result<(Walk, Vec<StorageKey>), StoreError> {
    let mut keys = Vec::new();
    while keys.len() < BATCH {
        match walk.next().transpose()? {
            None => break,
            Some(Entry::Blob { key, modified, .. }) if modified < before => keys.push(key),
            Some(Entry::Blob { .. }) => {}
            Some(Entry::Foreign(name)) => tracing::warn!(name, "something in the store is not Packhouse's"),
        }
    }
    Ok((walk, keys))
}

async fn unknown(db: &Db, keys: Vec<StorageKey>) -> Result<Vec<StorageKey>> {
    let names: Vec<String> = keys.iter().map(StorageKey::to_string).collect();
    let known = db.read(move |conn| cleanup::known_keys(conn, &names)).await?;
    Ok(keys.into_iter().filter(|key| !known.contains(&key.to_string())).collect())
}

async fn remove_orphan(db: &Db, store: &BlobStore, key: StorageKey, swept: &mut Swept) -> Result<()> {
    let claimer = store.clone();
    let Some(claim) = blocking(move || claimer.claim(&key)).await? else { return Ok(()) };
    // Asked once more with the bytes claimed: an upload lets go of them after its commit, so the answer is final.
    if unknown(db, vec![key]).await?.is_empty() {
        return Ok(());
    }
    swept.bytes += blocking(move || claim.remove()).await?;
    swept.orphans += 1;
    Ok(())
}
