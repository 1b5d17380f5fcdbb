//! Damaged blobs: stored copies whose digest no longer matches, and the files that use them.

use super::integrity;
use crate::db::schema::{blobs, damaged_blobs};
use crate::domain::clock::Timestamp;
use crate::domain::damage::Damage;
use crate::domain::ids::BlobId;
use crate::error::Result;
use crate::registry::webhooks::outbox;
use diesel::prelude::*;
use std::collections::HashSet;

/// A blob whose stored copy differs from what was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedBlob {
    pub id: BlobId,
    pub storage_key: String,
    pub damage: Damage,
    pub found_at: Timestamp,
    /// The first files that use the blob, as `owner/package/version/file`.
    pub files: Vec<String>,
    /// How many files use the blob.
    pub file_count: i64,
}

/// Records that a copy is damaged and announces it to webhooks. `None` when that is known already, or when the blob was
/// uploaded again or deleted in the meantime.
///
/// # Errors
/// Database errors.
pub fn record(
    conn: &mut PgConnection,
    (id, storage_key): (BlobId, &str),
    damage: Damage,
    now: Timestamp,
) -> Result<Option<DamagedBlob>> {
    let row = blobs::table.find(id).filter(blobs::storage_key.eq(storage_key)).select(blobs::id).for_update();
    if row.first::<BlobId>(conn).optional()?.is_none() {
        return Ok(None);
    }
    let known = damaged_blobs::table.find(id).filter(damaged_blobs::storage_key.eq(storage_key));
    if known.select(damaged_blobs::blob_id).first::<BlobId>(conn).optional()?.is_some() {
        return Ok(None);
    }
    let values =
        (damaged_blobs::storage_key.eq(storage_key), damaged_blobs::damage.eq(damage), damaged_blobs::found_at.eq(now));
    diesel::insert_into(damaged_blobs::table)
        .values((damaged_blobs::blob_id.eq(id), values))
        .on_conflict(damaged_blobs::blob_id)
        .do_update()
        .set(values)
        .execute(conn)?;
    outbox::announce_damage(conn, id, now)?;
    let (files, file_count) = integrity::files_of_blob(conn, id)?;
    Ok(Some(DamagedBlob { id, storage_key: storage_key.to_owned(), damage, found_at: now, files, file_count }))
}

/// Deletes the damage record of a blob that was uploaded again or repaired.
///
/// # Errors
/// Database errors.
pub fn forget(conn: &mut PgConnection, id: BlobId) -> Result<bool> {
    Ok(diesel::delete(damaged_blobs::table.find(id)).execute(conn)? == 1)
}

/// Those of the blobs that are known to be damaged.
///
/// # Errors
/// Database errors.
pub fn known_of(conn: &mut PgConnection, ids: &[BlobId]) -> Result<HashSet<BlobId>> {
    let known = damaged_blobs::table.filter(damaged_blobs::blob_id.eq_any(ids)).select(damaged_blobs::blob_id);
    Ok(known.load(conn)?.into_iter().collect())
}

/// How many blobs are known to be damaged.
///
/// # Errors
/// Database errors.
pub fn count(conn: &mut PgConnection) -> Result<i64> {
    Ok(damaged_blobs::table
        .inner_join(blobs::table)
        .filter(damaged_blobs::storage_key.eq(blobs::storage_key))
        .count()
        .get_result(conn)?)
}

/// The blobs that are known to be damaged, the most recent first.
///
/// # Errors
/// Database errors.
pub fn list(conn: &mut PgConnection, limit: i64) -> Result<Vec<DamagedBlob>> {
    let rows: Vec<(BlobId, String, Damage, Timestamp)> = damaged_blobs::table
        .inner_join(blobs::table)
        .filter(damaged_blobs::storage_key.eq(blobs::storage_key))
        .order((damaged_blobs::found_at.desc(), damaged_blobs::blob_id))
        .limit(limit)
        .select((damaged_blobs::blob_id, damaged_blobs::storage_key, damaged_blobs::damage, damaged_blobs::found_at))
        .load(conn)?;
    rows.into_iter()
        .map(|(id, storage_key, damage, found_at)| {
            let (files, file_count) = integrity::files_of_blob(conn, id)?;
            Ok(DamagedBlob { id, storage_key, damage, found_at, files, file_count })
        })
        .collect()
}
