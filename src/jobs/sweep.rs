//! Removes the bytes that nothing refers to: rows first, in a transaction, and then the bytes whose rows are gone;
//! then bytes that never had a row, left by uploads that crashed.

use crate::db::Db;
use crate::domain::clock::{Clock, Timestamp};
use crate::error::{Error, Result};
use crate::registry::accounts::attempts;
use crate::registry::packages::cleanup;
use crate::storage::{BlobStore, Claim, Entry, StorageKey, StoreError, Walk};
use std::time::{Duration, SystemTime};

/// How many rows or keys are looked at together.
const BATCH: usize = 500;

/// What a sweep removed, or would remove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs that no file had any more.
    pub unused: u64,
    /// Blobs, and parts of uploads, that no row named.
    pub orphans: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// A backup is running: blobs that no file has any more stay until the next sweep.
    pub held_off: bool,
}

/// Sweeps once. What is younger than `grace` is left alone, and so is what an upload holds, however long it takes.
///
/// # Errors
/// The database's and the store's; what was removed until then stays removed.
pub async fn run(db: &Db, store: &BlobStore, clock: &Clock, grace: Duration) -> Result<Swept> {
    let before = clock.now().minus(grace);
    let mut swept = Swept::default();
    forget_rows(db, store, before, &mut swept).await?;
    let sweeper = store.clone();
    let incoming = blocking(move || sweeper.sweep_incoming(before.into())).await?;
    swept.orphans += incoming.files;
    swept.bytes += incoming.bytes;
    for_each_stray(db, store, before, async |stray| {
        match stray {
            Stray::Orphan(claim) => {
                swept.bytes += blocking(move || claim.remove()).await?;
                swept.orphans += 1;
            }
            Stray::Foreign(name) => tracing::warn!(name, "something in the store is not Packhouse's"),
        }
        Ok(())
    })
    .await?;
    let now = clock.now();
    db.write(move |conn| {
        attempts::forget_old(conn, now)?;
        cleanup::forget_sessions(conn, now).map(drop)
    })
    .await?;
    metrics::counter!("packhouse_swept_bytes_total").increment(swept.bytes);
    Ok(swept)
}

/// What [`run`] would remove now.
///
/// # Errors
/// The database's and the store's.
pub async fn preview(db: &Db, store: &BlobStore, clock: &Clock, grace: Duration) -> Result<Swept> {
    let before = clock.now().minus(grace);
    let (unused, bytes) = db.read(move |conn| cleanup::unused_blobs(conn, before)).await?;
    let looker = store.clone();
    let abandoned = blocking(move || looker.leftovers(before.into())).await?.abandoned;
    let mut swept = Swept {
        unused: u64::try_from(unused).unwrap_or_default(),
        orphans: abandoned.files,
        bytes: u64::try_from(bytes).unwrap_or_default() + abandoned.bytes,
        held_off: false,
    };
    for_each_stray(db, store, before, async |stray| {
        if let Stray::Orphan(claim) = stray {
            swept.bytes += blocking(move || claim.size()).await?;
            swept.orphans += 1;
        }
        Ok(())
    })
    .await?;
    Ok(swept)
}

/// Something in the store that no row knows.
pub(super) enum Stray {
    /// A blob that no row names and no upload holds; it is claimed, so nobody else touches it meanwhile.
    Orphan(Claim),
    /// Something that Packhouse did not put there.
    Foreign(String),
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(Error::internal)??)
}

async fn forget_rows(db: &Db, store: &BlobStore, before: Timestamp, swept: &mut Swept) -> Result<()> {
    loop {
        let keys = db.write(move |conn| cleanup::forget_blobs(conn, before, BATCH as i64)).await?;
        let Some(keys) = keys else {
            swept.held_off = true;
            return Ok(());
        };
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

/// Goes through what is stray in the store; blobs only if they were written before a time.
pub(super) async fn for_each_stray(
    db: &Db,
    store: &BlobStore,
    before: Timestamp,
    mut found: impl AsyncFnMut(Stray) -> Result<()>,
) -> Result<()> {
    let walker = store.clone();
    let mut walk = blocking(move || walker.walk()).await?;
    loop {
        let (rest, seen) = blocking(move || old_keys(walk, before.into())).await?;
        walk = rest;
        for name in seen.foreign {
            found(Stray::Foreign(name)).await?;
        }
        if seen.ended && seen.keys.is_empty() {
            return Ok(());
        }
        for key in unknown(db, seen.keys).await? {
            if let Some(claim) = claim_orphan(db, store, key).await? {
                found(Stray::Orphan(claim)).await?;
            }
        }
    }
}

/// What the next steps of a walk found.
#[derive(Default)]
struct Seen {
    /// Written long enough ago.
    keys: Vec<StorageKey>,
    foreign: Vec<String>,
    ended: bool,
}

fn old_keys(mut walk: Walk, before: SystemTime) -> Result<(Walk, Seen), StoreError> {
    let mut seen = Seen::default();
    while seen.keys.len() + seen.foreign.len() < BATCH {
        match walk.next().transpose()? {
            None => {
                seen.ended = true;
                break;
            }
            Some(Entry::Blob { key, modified, .. }) if modified < before => seen.keys.push(key),
            Some(Entry::Blob { .. }) => {}
            Some(Entry::Foreign(name)) => seen.foreign.push(name),
        }
    }
    Ok((walk, seen))
}

async fn unknown(db: &Db, keys: Vec<StorageKey>) -> Result<Vec<StorageKey>> {
    let names: Vec<String> = keys.iter().map(StorageKey::to_string).collect();
    let known = db.read(move |conn| cleanup::known_keys(conn, &names)).await?;
    Ok(keys.into_iter().filter(|key| !known.contains(&key.to_string())).collect())
}

async fn claim_orphan(db: &Db, store: &BlobStore, key: StorageKey) -> Result<Option<Claim>> {
    let claimer = store.clone();
    let Some(claim) = blocking(move || claimer.claim(&key)).await? else { return Ok(None) };
    // Asked once more with the bytes claimed: an upload lets go of them after its commit, so the answer is final.
    Ok((!unknown(db, vec![key]).await?.is_empty()).then_some(claim))
}
