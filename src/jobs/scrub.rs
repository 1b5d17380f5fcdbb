//! Scrubbing: every stored blob is read in turn and compared with its checksums, so that damage is found before
//! somebody needs the file. The progress of a pass is stored, and another server, or the next start, continues it.

use super::pace::Pace;
use crate::blocking::run_idle;
use crate::db::Db;
use crate::domain::clock::Clock;
use crate::domain::damage::Damage;
use crate::domain::ids::BlobId;
use crate::error::{Error, Result};
use crate::registry::operations::scrub::{self, Progress};
use crate::registry::operations::{damage, integrity, settings};
use crate::registry::packages::files::Blob;
use crate::storage::{BlobStore, StoreError, Stored};
use bytes::Bytes;
use std::time::Duration;

/// How many blobs, and about how many bytes, are read between two updates of the progress.
const BATCH: i64 = 200;
const BATCH_BYTES: u64 = 256 << 20;

/// How to scrub.
#[derive(Debug, Clone, Copy)]
pub struct ScrubPlan {
    /// Every blob is read once in this time.
    pub every: Duration,
    /// The most bytes per second.
    pub bytes_per_second: u64,
    /// Start a pass now, even though the last one is recent.
    pub now_please: bool,
    /// The id of this server, a random number.
    pub server: u64,
}

/// The result of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrubbed {
    /// The pass is complete: the blobs and bytes that were read, and the blobs that are damaged now.
    Finished { blobs: u64, bytes: u64, damaged: i64 },
    /// Another server has taken over the pass.
    TakenOver,
}

/// A blob that was read, and its damage, if any.
type Verdict = (Blob, Option<Damage>);

/// Leases the pass that is due, a new or an unfinished one, to this server. `None` when another server holds the lease,
/// or nothing is due.
///
/// # Errors
/// Database errors; [`Error::Busy`] when the database belongs to another store.
pub async fn lease_due(db: &Db, store: &BlobStore, clock: &Clock, plan: ScrubPlan) -> Result<Option<Progress>> {
    let (id, now) = (store.id().to_string(), clock.now());
    db.write(move |conn| {
        settings::demand_store(conn, &id)?;
        scrub::take(conn, plan.server, (plan.every, plan.now_please), now)
    })
    .await
}

/// Reads all blobs that the pass has not read yet, which takes a day or more for a large store.
///
/// # Errors
/// Database and store errors: the next call continues where this one stopped.
pub async fn pass(
    db: &Db,
    store: &BlobStore,
    clock: &Clock,
    plan: ScrubPlan,
    mut progress: Progress,
) -> Result<Scrubbed> {
    loop {
        let after = progress.after;
        let rows = db.read(move |conn| integrity::blobs_after(conn, after, BATCH)).await?;
        let rows = up_to_bytes(rows, BATCH_BYTES);
        progress.finished_at = rows.is_empty().then(|| clock.now());
        if let Some((last, _)) = rows.last() {
            progress.after = last.id;
        }
        progress.blobs += u64::try_from(rows.len()).unwrap_or(0);
        progress.bytes += rows.iter().map(|(blob, _)| blob.size).sum::<u64>();
        let verdicts = read(store.clone(), rows, plan.bytes_per_second).await?;
        let read = verdicts.iter().map(|(blob, _)| blob.size).sum();
        metrics::counter!("packhouse_scrubbed_bytes_total").increment(read);
        let ids: Vec<BlobId> = verdicts.iter().map(|(blob, _)| blob.id).collect();
        let known = db.read(move |conn| damage::known_of(conn, &ids)).await?;
        for (blob, found) in verdicts {
            match found {
                Some(damage) => note(db, store, clock, blob, damage).await?,
                None if known.contains(&blob.id) => forget(db, blob).await?,
                None => {}
            }
        }
        let (to, now) = (progress.clone(), clock.now());
        if !db.write(move |conn| scrub::advance(conn, to.clone(), now)).await? {
            return Ok(Scrubbed::TakenOver);
        }
        if progress.finished_at.is_some() {
            let Progress { blobs, bytes, .. } = progress;
            return Ok(Scrubbed::Finished { blobs, bytes, damaged: db.read(damage::count).await? });
        }
    }
}

/// The first blobs up to this many bytes; at least one.
fn up_to_bytes(mut rows: Vec<(Blob, Vec<u8>)>, most: u64) -> Vec<(Blob, Vec<u8>)> {
    let mut sum = 0_u64;
    let within = rows.iter().take_while(|(blob, _)| {
        let fits = sum < most;
        sum = sum.saturating_add(blob.size);
        fits
    });
    let count = within.count();
    rows.truncate(count);
    rows
}

/// Reads blobs while nothing else needs the machine.
async fn read(store: BlobStore, rows: Vec<(Blob, Vec<u8>)>, bytes_per_second: u64) -> Result<Vec<Verdict>> {
    let work = move || {
        let mut pace = Pace::new(bytes_per_second);
        rows.into_iter().map(|(blob, checksums)| verify(&store, blob, checksums, &mut pace)).collect()
    };
    let verdicts: Result<Vec<Verdict>, StoreError> = run_idle("scrub", work).await.map_err(Error::internal)?;
    Ok(verdicts?)
}

fn verify(store: &BlobStore, blob: Blob, checksums: Vec<u8>, pace: &mut Pace) -> Result<Verdict, StoreError> {
    let key = blob.storage_key.parse();
    let Ok(key) = key else { return Ok((blob, Some(Damage::Missing))) };
    let block_checksums = Some(checksums).filter(|sums| !sums.is_empty()).map(Bytes::from);
    let stored = Stored { key, sha256: blob.sha256, size: blob.size, block_checksums };
    let damage = store.verify(&stored, |bytes| pace.wait(bytes))?;
    Ok((blob, damage))
}

async fn forget(db: &Db, blob: Blob) -> Result<()> {
    if db.write(move |conn| damage::forget(conn, blob.id)).await? {
        tracing::info!(blob = %blob.storage_key, "a damaged file is intact again");
    }
    Ok(())
}

/// Records that a blob is damaged, and announces it if that is new.
async fn note(db: &Db, store: &BlobStore, clock: &Clock, blob: Blob, damage: Damage) -> Result<()> {
    let id = blob.id;
    let (key, now) = (blob.storage_key.clone(), clock.now());
    let Some(new) = db.write(move |conn| damage::record(conn, (id, &key), damage, now)).await? else { return Ok(()) };
    metrics::counter!("packhouse_damaged_blobs_found_total").increment(1);
    let files = in_words(&new.files, new.file_count);
    tracing::error!(
        blob = %new.storage_key, %damage, files, path = place(store, id, &new.storage_key),
        "a stored file is damaged: upload the same file again, or restore it from a backup"
    );
    Ok(())
}

fn place(store: &BlobStore, id: BlobId, key: &str) -> String {
    key.parse().map_or_else(|_| format!("blob {id}"), |key| store.whereabouts(&key))
}

/// File names for a line of text.
pub fn in_words(files: &[String], count: i64) -> String {
    let more = count - i64::try_from(files.len()).unwrap_or(count);
    match files {
        [] => "no file".to_owned(),
        files if more > 0 => format!("{} and {more} more", files.join(", ")),
        files => files.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_damaged_files_are_named_and_the_rest_counted() {
        let names = ["a/b/1/c".to_owned(), "a/b/2/c".to_owned()];
        assert_eq!(in_words(&names, 2), "a/b/1/c, a/b/2/c");
        assert_eq!(in_words(&names, 5), "a/b/1/c, a/b/2/c and 3 more");
        assert_eq!(in_words(&[], 0), "no file");
    }
}
