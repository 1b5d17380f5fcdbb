//! What nothing refers to any more: found here, row by row; its bytes are removed by the job that asks.

use super::files::{BLOB_COLUMNS, Blob, BlobRow};
use crate::db::schema::{blobs, files, sessions};
use crate::domain::clock::Timestamp;
use crate::domain::digest::OtherDigests;
use crate::domain::ids::BlobId;
use crate::error::Result;
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use std::collections::HashSet;

/// Forgets up to `limit` blobs that no file has and that were last uploaded before the given time, and returns the
/// keys of their bytes, which may be removed once the transaction is committed.
///
/// # Errors
/// The database's.
pub fn forget_blobs(conn: &mut PgConnection, before: Timestamp, limit: i64) -> Result<Vec<String>> {
    let unused = || not(exists(files::table.filter(files::blob_id.eq(blobs::id))));
    let candidates: Vec<BlobId> = blobs::table
        .filter(blobs::created_at.lt(before))
        .filter(unused())
        .order(blobs::id)
        .limit(limit)
        .select(blobs::id)
        .for_update()
        .skip_locked()
        .load(conn)?;
    // Asked again with the rows locked: an upload of the same bytes may have committed between the look and the lock.
    let gone = blobs::table.filter(blobs::id.eq_any(candidates)).filter(unused());
    Ok(diesel::delete(gone).returning(blobs::storage_key).get_results(conn)?)
}

/// Those of some keys that a row points at.
///
/// # Errors
/// The database's.
pub fn known_keys(conn: &mut PgConnection, keys: &[String]) -> Result<HashSet<String>> {
    let rows: Vec<String> =
        blobs::table.filter(blobs::storage_key.eq_any(keys)).select(blobs::storage_key).load(conn)?;
    Ok(rows.into_iter().collect())
}

/// Some blobs whose other three digests are not computed yet, after an id.
///
/// # Errors
/// The database's.
pub fn without_other_digests(conn: &mut PgConnection, after: BlobId, limit: i64) -> Result<Vec<Blob>> {
    let rows: Vec<BlobRow> = blobs::table
        .filter(blobs::sha512.is_null())
        .filter(blobs::id.gt(after))
        .order(blobs::id)
        .limit(limit)
        .select(BLOB_COLUMNS)
        .load(conn)?;
    rows.into_iter().map(Blob::from_row).collect()
}

/// The other three digests of a blob, if they are computed; `None` also when the blob is gone.
///
/// # Errors
/// The database's.
pub fn other_digests(conn: &mut PgConnection, blob: BlobId) -> Result<Option<OtherDigests>> {
    let row: Option<BlobRow> = blobs::table.find(blob).select(BLOB_COLUMNS).first(conn).optional()?;
    Ok(row.map(Blob::from_row).transpose()?.and_then(|blob| blob.other))
}

/// Writes the other three digests of a blob down.
///
/// # Errors
/// The database's.
pub fn set_other_digests(conn: &mut PgConnection, blob: BlobId, other: &OtherDigests) -> Result<()> {
    diesel::update(blobs::table.find(blob))
        .set((
            blobs::sha512.eq(&other.sha512.as_bytes()[..]),
            blobs::sha1.eq(&other.sha1.as_bytes()[..]),
            blobs::md5.eq(&other.md5.as_bytes()[..]),
        ))
        .execute(conn)?;
    Ok(())
}

/// Forgets sessions that have expired.
///
/// # Errors
/// The database's.
pub fn forget_sessions(conn: &mut PgConnection, now: Timestamp) -> Result<usize> {
    Ok(diesel::delete(sessions::table.filter(sessions::expires_at.le(now))).execute(conn)?)
}
