//! Checks the consistency of the instance: rows against blobs, blobs against rows, and rows against each other.
//!
//! It works beside running servers and never reports their current work as a problem: everything suspicious is checked
//! again, after its row. If the row is gone by then, its blob went with it, and a blob that an upload holds will get
//! its row.

use super::sweep::{Stray, blocking, for_each_stray, leased};
use crate::db::Db;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::ids::BlobId;
use crate::error::Result;
use crate::registry::operations::integrity::{self, Totals};
use crate::registry::operations::settings;
use crate::registry::packages::cleanup;
use crate::registry::packages::files::Blob;
use crate::storage::{BLOCK, BlobStore, StorageKey, StoreError, Stored};
use std::time::Duration;

/// How many rows are checked together.
const BATCH: i64 = 100;
/// How often a constantly changing row is checked again.
const LOOKS: u32 = 5;

/// The options of a check.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How old unused data must be to count as a problem.
    pub patience: Duration,
    /// Whether to read every blob and compute all four digests.
    pub digests: bool,
}

/// The result of a check.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// The number of reported problems.
    pub problems: u64,
    /// How much was checked.
    pub totals: Totals,
    /// Blobs without a file that wait for a sweep, which is normal.
    pub waiting: i64,
}

/// Checks everything and reports each problem in one line: what is wrong, which files are affected, what to do.
///
/// # Errors
/// Database and store errors: then the result is unknown.
pub async fn run(
    db: &Db,
    store: &BlobStore,
    clock: &Clock,
    options: Options,
    mut tell: impl FnMut(&str),
) -> Result<Outcome> {
    demand_own_database(db, store).await?;
    let before = clock.now().minus(options.patience);
    let mut problems = 0;
    let mut tell = |line: &str| {
        problems += 1;
        tell(line);
    };
    let (lines, totals) = db.snapshot(|conn| Ok((integrity::broken_rules(conn)?, integrity::totals(conn)?))).await?;
    lines.iter().for_each(|line| tell(line));
    let waiting = unused(db, before, &mut tell).await?;
    blobs(db, store, options.digests, &mut tell).await?;
    leftovers(db, store, before, &mut tell).await?;
    Ok(Outcome { problems, totals, waiting })
}

/// Makes sure that the database belongs to the store, before a job compares the two.
///
/// # Errors
/// [`crate::error::Error::Busy`] when it belongs to another one; database errors.
pub(super) async fn demand_own_database(db: &Db, store: &BlobStore) -> Result<()> {
    let id = store.id().to_string();
    db.read(move |conn| settings::demand_store(conn, &id)).await
}

/// Checks for blobs without a file. Nobody knows since when they have none, but if nothing at all was deleted lately,
/// it is too long.
async fn unused(db: &Db, before: Timestamp, tell: &mut impl FnMut(&str)) -> Result<i64> {
    let (deleted, (old, bytes)) = db
        .snapshot(move |conn| Ok((integrity::deleted_since(conn, before)?, cleanup::unused_blobs(conn, before)?)))
        .await?;
    if old > 0 && !deleted {
        tell(&format!(
            "{old} blobs of {bytes} bytes belong to no file, and no sweep removed them; run `packhouse gc`, and \
             check that a server runs sweeps (jobs.sweep_every_seconds, and its log)"
        ));
        return Ok(0);
    }
    Ok(old)
}

/// A problem with a blob.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    BadKey,
    Missing,
    NoFile,
    Length(u64),
    Bytes,
    Others,
    NoOthers,
    Checksums,
}

async fn blobs(db: &Db, store: &BlobStore, digests: bool, tell: &mut impl FnMut(&str)) -> Result<()> {
    let mut after = BlobId(0);
    loop {
        let rows = db.read(move |conn| integrity::blobs_after(conn, after, BATCH)).await?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        after = last.id;
        let looker = store.clone();
        let suspects = blocking(move || {
            let mut suspects = Vec::new();
            for row in rows {
                if let Some(fault) = examine(&looker, &row, digests)? {
                    suspects.push((row, fault));
                }
            }
            Ok(suspects)
        })
        .await?;
        for (row, fault) in suspects {
            if let Some((blob, fault)) = look_again(db, store, digests, row, fault).await? {
                tell(&describe(db, store, &blob, &fault).await?);
            }
        }
    }
}

/// Checks a blob again. If its row is unchanged after the fault was seen, the fault is real; if the row is gone, there
/// is none; if the row has changed, because its digests were computed or a lost blob was uploaded again, the blob is
/// examined anew.
async fn look_again(
    db: &Db,
    store: &BlobStore,
    digests: bool,
    mut row: (Blob, Vec<u8>),
    mut fault: Fault,
) -> Result<Option<(Blob, Fault)>> {
    for _ in 0..LOOKS {
        let id = row.0.id;
        let Some(now) = db.read(move |conn| integrity::blob(conn, id)).await? else { return Ok(None) };
        if now.0.storage_key == row.0.storage_key && now.0.other == row.0.other && now.1 == row.1 {
            return Ok(Some((row.0, fault)));
        }
        let looker = store.clone();
        let (examined, found) = blocking(move || {
            let found = examine(&looker, &now, digests)?;
            Ok((now, found))
        })
        .await?;
        row = examined;
        match found {
            Some(found) => fault = found,
            None => return Ok(None),
        }
    }
    Ok(None)
}

fn examine(store: &BlobStore, (blob, checksums): &(Blob, Vec<u8>), digests: bool) -> Result<Option<Fault>, StoreError> {
    let Ok(key) = blob.storage_key.parse::<StorageKey>() else { return Ok(Some(Fault::BadKey)) };
    match store.stat(&key) {
        Ok(Some(size)) if size == blob.size => {}
        Ok(Some(size)) => return Ok(Some(Fault::Length(size))),
        Ok(None) => return Ok(Some(Fault::Missing)),
        Err(StoreError::Damaged(_)) => return Ok(Some(Fault::NoFile)),
        Err(error) => return Err(error),
    }
    let blocks = if blob.size > BLOCK { blob.size.div_ceil(BLOCK) } else { 0 };
    if u64::try_from(checksums.len()) != Ok(4 * blocks) {
        return Ok(Some(Fault::Checksums));
    }
    if blob.other.is_none() && blob.size <= BLOCK {
        return Ok(Some(Fault::NoOthers));
    }
    if !digests {
        return Ok(None);
    }
    Ok(match store.digests(&Stored::whole(key, blob.sha256, blob.size)) {
        Ok(all) if blob.other.is_some_and(|other| other != all.other) => Some(Fault::Others),
        Ok(all) if all.block_checksums != *checksums => Some(Fault::Checksums),
        Ok(_) => None,
        Err(StoreError::Missing(_)) => Some(Fault::Missing),
        Err(StoreError::Damaged(_)) => Some(Fault::Bytes),
        Err(error) => return Err(error),
    })
}

/// The fault as one line.
async fn describe(db: &Db, store: &BlobStore, blob: &Blob, fault: &Fault) -> Result<String> {
    let id = blob.id;
    let (names, count) = db.read(move |conn| integrity::files_of_blob(conn, id)).await?;
    let shown = i64::try_from(names.len()).unwrap_or(count);
    let whose = match names.as_slice() {
        [] => "no file".to_owned(),
        names if count > shown => format!("{} and {} more", names.join(", "), count - shown),
        names => names.join(", "),
    };
    let key: Option<StorageKey> = blob.storage_key.parse().ok();
    let place = key.map_or_else(|| blob.storage_key.clone(), |key| store.whereabouts(&key));
    let bring_back = format!(
        "restore {place} in the store from a backup (its blobs/{}/{}), or delete the files that use it, run \
         `packhouse gc --grace 0` and publish them again",
        &blob.sha256.to_hex().get(..2).unwrap_or_default(),
        blob.sha256
    );
    let anew = format!(
        "let the server compute them again: UPDATE blobs SET sha512 = NULL, sha1 = NULL, md5 = NULL WHERE id = {id}, \
         and restart it"
    );
    let (what, remedy) = match fault {
        Fault::BadKey => (
            format!("the database has an invalid storage key for it: {:?}", blob.storage_key),
            "restore a \
              database from before the key was edited by hand"
                .to_owned(),
        ),
        Fault::Missing => ("its bytes are missing from the store".to_owned(), bring_back),
        Fault::NoFile => ("something that is not a file is in its place in the store".to_owned(), bring_back),
        Fault::Length(size) if *size < blob.size => {
            (format!("its bytes are cut short: {size} of {} are in the store", blob.size), bring_back)
        }
        Fault::Length(size) => {
            (format!("it has too many bytes in the store: {size} instead of {}", blob.size), bring_back)
        }
        Fault::Bytes => ("its bytes are damaged: the SHA-256 does not match".to_owned(), bring_back),
        Fault::Others => ("its recorded SHA-512, SHA-1 or MD5 is wrong".to_owned(), anew),
        Fault::NoOthers => (
            "its SHA-512, SHA-1 and MD5 are not recorded".to_owned(),
            "restart the server, which \
                             computes them"
                .to_owned(),
        ),
        Fault::Checksums => {
            ("its recorded block checksums are wrong, so downloads of it are cut off".to_owned(), bring_back)
        }
    };
    Ok(format!("{whose}: {what}; {remedy}"))
}

/// Checks for files in the store that no row names.
async fn leftovers(db: &Db, store: &BlobStore, before: Timestamp, tell: &mut impl FnMut(&str)) -> Result<()> {
    let (looker, leased) = (store.clone(), leased(db, store).await?);
    let incoming = blocking(move || looker.leftovers(before.into(), &leased)).await?;
    if incoming.abandoned.files > 0 {
        tell(&format!(
            "{} crashed uploads left {} bytes in incoming, and no sweep removed them; run `packhouse gc`",
            incoming.abandoned.files, incoming.abandoned.bytes
        ));
    }
    let foreign = |name: &str| {
        format!("{name} in the store was not created by Packhouse; find out what it is, and move it elsewhere")
    };
    incoming.foreign.iter().for_each(|name| tell(&foreign(name)));
    for_each_stray(db, store, before, async |stray| {
        match stray {
            Stray::Orphan(claim) => {
                let place = store.whereabouts(&claim.key());
                let size = blocking(move || claim.size()).await?;
                tell(&format!("{place} in the store ({size} bytes) is unused; run `packhouse gc`"));
            }
            Stray::Foreign(name) => tell(&foreign(&format!("blobs/{name}"))),
        }
        Ok(())
    })
    .await
}
