//! SHA-512, SHA-1 and MD5 of large files. They are computed after the answer, because they cost six times as much as
//! SHA-256.

use super::check::demand_own_database;
use crate::blocking::spawn_blocking;
use crate::db::Db;
use crate::domain::digest::OtherDigests;
use crate::domain::ids::BlobId;
use crate::error::{Error, Result};
use crate::registry::packages::cleanup;
use crate::registry::packages::files::Blob;
use crate::storage::{BlobStore, Stored};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// How long a request waits for other computations before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(60);

/// Locks that make sure that each blob is computed once, and only a few at a time, since each takes a core.
#[derive(Debug, Default)]
pub struct Turns([Mutex<()>; 4]);

impl Turns {
    /// Locks a blob. A second request for the same blob finds its digests computed.
    async fn of(&self, blob: BlobId) -> Result<MutexGuard<'_, ()>> {
        let [first, others @ ..] = &self.0;
        let place = usize::try_from(blob.0.unsigned_abs()).unwrap_or(0) % (others.len() + 1);
        let turn = place.checked_sub(1).and_then(|place| others.get(place)).unwrap_or(first);
        let busy = |_| Error::Busy("the digests of large files are still being computed");
        tokio::time::timeout(PATIENCE, turn.lock()).await.map_err(busy)
    }
}

/// The three digests of a blob: from its row, or else computed now and stored.
///
/// # Errors
/// [`Error::Busy`] when the blob cannot be read or the database is unavailable.
pub async fn of_blob(db: &Db, store: &BlobStore, turns: &Turns, blob: &Blob) -> Result<OtherDigests> {
    if let Some(other) = blob.other {
        return Ok(other);
    }
    let id = blob.id;
    let _turn = turns.of(id).await?;
    if let Some(other) = db.read(move |conn| cleanup::other_digests(conn, id)).await? {
        return Ok(other);
    }
    let key = blob.storage_key.parse().map_err(Error::internal)?;
    let (store, stored) = (store.clone(), Stored::whole(key, blob.sha256, blob.size));
    let all = spawn_blocking(move || store.digests(&stored)).await.map_err(Error::internal)??;
    db.write(move |conn| cleanup::set_other_digests(conn, id, &all.other)).await?;
    Ok(all.other)
}

/// Computes the digests of every blob that still lacks them. A blob that cannot be read is skipped: `packhouse check`
/// reports it.
///
/// # Errors
/// Database errors; [`Error::Busy`] when the database belongs to another store.
pub async fn complete(db: &Db, store: &BlobStore, turns: &Turns) -> Result<u64> {
    demand_own_database(db, store).await?;
    let (mut after, mut done) = (BlobId(0), 0);
    loop {
        let batch = db.read(move |conn| cleanup::without_other_digests(conn, after, 50)).await?;
        let Some(last) = batch.last() else { return Ok(done) };
        after = last.id;
        for blob in &batch {
            match of_blob(db, store, turns, blob).await {
                Ok(_) => done += 1,
                Err(error) => tracing::warn!(%error, blob = blob.storage_key, "could not compute digests"),
            }
        }
    }
}
