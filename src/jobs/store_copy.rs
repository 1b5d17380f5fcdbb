//! Copies all blobs to another store while servers use the first one, and then makes it the database's store.
//!
//! Keys are the same in both stores. A copy can be interrupted: blobs that the new store has in their full size are not
//! copied again, because a blob gets its name only when all of its bytes were verified.

use super::pace::Pace;
use super::sweep::blocking;
use crate::blocking::spawn_blocking;
use crate::db::Db;
use crate::domain::ids::BlobId;
use crate::error::{Error, Result};
use crate::registry::operations::{integrity, store_switch};
use crate::registry::packages::files::Blob;
use crate::storage::{BlobStore, Entry, StorageKey, StoreError, Stored, TransferError};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// How many rows are read at once.
const BATCH: i64 = 100;
/// How often blobs that were uploaded in the meantime are copied before a switch gives up.
const ROUNDS: u32 = 10;

/// Both stores.
#[derive(Debug, Clone)]
pub struct Stores {
    pub from: BlobStore,
    pub to: BlobStore,
}

/// The result of a copy.
#[derive(Debug, Clone, Default)]
pub struct Copied {
    /// The blobs that the new store has now, and their bytes.
    pub blobs: u64,
    pub bytes: u64,
    /// Those that were copied this time, and their bytes.
    pub copied: u64,
    pub copied_bytes: u64,
    /// The keys of blobs that the first store has lost or that are damaged in it.
    pub lost: Vec<String>,
    keys: HashSet<String>,
}

/// What is told about the progress: more blobs and bytes that the new store has.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// Copies every blob that the new store lacks. `bytes_per_second` limits the rate.
///
/// # Errors
/// [`Error::Clash`] when the new store is not empty and not the target of an earlier copy. Database and store errors:
/// the next copy continues.
pub async fn copy(db: &Db, stores: &Stores, bytes_per_second: Option<u64>, progress: Progress) -> Result<Copied> {
    let listed = stores.to.clone();
    let there = blocking(move || sizes(&listed)).await?;
    let (from, to, is_empty) = (stores.from.id().to_string(), stores.to.id().to_string(), there.is_empty());
    db.write(move |conn| store_switch::begin_copy(conn, &from, &to, is_empty)).await?;
    let pace = Arc::new(Mutex::new(bytes_per_second.map(Pace::new)));
    let (mut copied, mut after) = (Copied::default(), BlobId(0));
    loop {
        let rows = db.read(move |conn| integrity::blobs_after(conn, after, BATCH)).await?;
        let Some((last, _)) = rows.last() else { return Ok(copied) };
        after = last.id;
        for (blob, _) in rows {
            let key: StorageKey = blob.storage_key.parse().map_err(Error::internal)?;
            if there.get(&key) == Some(&blob.size) {
                copied.has(&blob);
            } else {
                copy_one(db, stores, blob.clone(), &pace, &mut copied).await?;
            }
            progress(blob.size);
        }
    }
}

impl Copied {
    fn has(&mut self, blob: &Blob) {
        self.blobs += 1;
        self.bytes = self.bytes.saturating_add(blob.size);
        self.keys.insert(blob.storage_key.clone());
    }
}

/// The blobs that a store has, and their sizes in bytes.
fn sizes(store: &BlobStore) -> Result<HashMap<StorageKey, u64>, StoreError> {
    let mut sizes = HashMap::new();
    for entry in store.walk()? {
        if let Entry::Blob { key, size, .. } = entry? {
            sizes.insert(key, size);
        }
    }
    Ok(sizes)
}

async fn copy_one(
    db: &Db,
    stores: &Stores,
    blob: Blob,
    pace: &Arc<Mutex<Option<Pace>>>,
    copied: &mut Copied,
) -> Result<()> {
    let (stores, pace) = (stores.clone(), Arc::clone(pace));
    let stored = Stored::whole(blob.storage_key.parse().map_err(Error::internal)?, blob.sha256, blob.size);
    let work = move || {
        stores.from.copy(&stored, &stores.to, |bytes| {
            if let Some(pace) = pace.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                pace.wait(bytes);
            }
        })
    };
    match spawn_blocking(work).await.map_err(Error::internal)? {
        Ok(()) => {
            copied.has(&blob);
            copied.copied += 1;
            copied.copied_bytes = copied.copied_bytes.saturating_add(blob.size);
            Ok(())
        }
        Err(TransferError::Store(StoreError::Missing(_) | StoreError::Damaged(_))) => {
            let id = blob.id;
            let now = db.read(move |conn| integrity::blob(conn, id)).await?;
            // Otherwise it was deleted, or uploaded again under another key: the next copy finds that one.
            if now.is_some_and(|(now, _)| now.storage_key == blob.storage_key) {
                copied.lost.push(blob.storage_key);
            }
            Ok(())
        }
        Err(TransferError::Store(error)) => Err(error.into()),
        Err(TransferError::Elsewhere(error)) => Err(Error::internal(error)),
    }
}

/// Copies the rest, and makes the new store the database's store. With `without_lost`, blobs that the first store has
/// lost don't prevent this.
///
/// # Errors
/// As [`copy`]; [`Error::Blocked`] when blobs are lost, or when uploads are faster than the copy.
pub async fn switch(db: &Db, stores: &Stores, without_lost: bool, progress: Progress) -> Result<Copied> {
    for _ in 0..ROUNDS {
        let mut copied = copy(db, stores, None, Arc::clone(&progress)).await?;
        if !copied.lost.is_empty() && !without_lost {
            return Err(Error::Blocked(format!(
                "the store has lost {} blobs, or they are damaged: `packhouse check --digests` lists their files. \
                 Nothing was switched. Restore these blobs, or repeat the command with --without-lost",
                copied.lost.len()
            )));
        }
        copied.keys.extend(copied.lost.iter().cloned());
        let keys = Arc::new(std::mem::take(&mut copied.keys));
        let (from, to) = (stores.from.id().to_string(), stores.to.id().to_string());
        if db.write(move |conn| store_switch::switch(conn, &from, &to, &keys)).await? == 0 {
            return Ok(copied);
        }
    }
    Err(Error::Blocked(
        "files are uploaded faster than they are copied, so nothing was switched: try again at a quieter time"
            .to_owned(),
    ))
}
