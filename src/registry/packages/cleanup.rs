//! Rows that nothing refers to any longer. This module finds and deletes them; the calling job removes the blobs'
//! bytes.

use super::files::{BLOB_COLUMNS, Blob, BlobRow};
use super::quotas;
use crate::db::schema::{blobs, files, sessions, trashed_files, upload_leases};
use crate::domain::clock::Timestamp;
use crate::domain::digest::OtherDigests;
use crate::domain::ids::BlobId;
use crate::error::Result;
use crate::registry::operations::settings;
use diesel::dsl::{count_star, exists, not, sql};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use std::collections::HashSet;

/// The lock that every running backup holds, shared and by its connection, and each sweep for a moment while it deletes
/// rows. The numbers are arbitrary and must never change: servers of several versions may share a database.
const BACKUPS: i64 = 0x7061_636b_0000_0001;
/// The lock that one sweep holds at a time, so that only a backup can conflict on the other lock.
const SWEEPS: i64 = 0x7061_636b_0000_0002;

/// Keeps all sweeps, including other servers' sweeps, from deleting rows for as long as this connection lives.
/// Everything a later snapshot names stays in the store, where a backup can fetch it.
///
/// # Errors
/// Database errors.
pub fn hold_off_sweeps(conn: &mut PgConnection) -> Result<()> {
    diesel::sql_query("SELECT pg_advisory_lock_shared($1)").bind::<BigInt, _>(BACKUPS).execute(conn)?;
    Ok(())
}

/// Whether rows that keep bytes in this store may be deleted: no backup is running, and none can start before the end of
/// this transaction.
///
/// # Errors
/// As [`settings::demand_primary`].
pub(super) fn may_forget(conn: &mut PgConnection, store: &str) -> Result<bool> {
    settings::demand_primary(conn, store)?;
    diesel::sql_query("SELECT pg_advisory_xact_lock($1)").bind::<BigInt, _>(SWEEPS).execute(conn)?;
    Ok(diesel::select(sql::<Bool>("pg_try_advisory_xact_lock(").bind::<BigInt, _>(BACKUPS).sql(")"))
        .get_result(conn)?)
}

macro_rules! unused {
    () => {
        not(exists(files::table.filter(files::blob_id.eq(blobs::id))))
            .and(not(exists(trashed_files::table.filter(trashed_files::blob_id.eq(blobs::id)))))
    };
}

/// Deletes up to `limit` blob rows that no file uses, not even one in the trash, and that were last uploaded, or lost a
/// file, before the given time. Returns their storage keys, whose bytes may be removed once the transaction is
/// committed; `None` when a running backup may still need the bytes.
///
/// # Errors
/// As [`settings::demand_primary`].
pub fn forget_blobs(
    conn: &mut PgConnection,
    store: &str,
    before: Timestamp,
    limit: i64,
) -> Result<Option<Vec<String>>> {
    if !may_forget(conn, store)? {
        return Ok(None);
    }
    let candidates: Vec<BlobId> = blobs::table
        .filter(blobs::touched_at.lt(before))
        .filter(unused!())
        .order(blobs::id)
        .limit(limit)
        .select(blobs::id)
        .for_update()
        .skip_locked()
        .load(conn)?;
    // Checked again with the rows locked: an upload of the same bytes may have committed between the query and the
    // lock.
    let gone = blobs::table.filter(blobs::id.eq_any(candidates)).filter(unused!());
    Ok(Some(diesel::delete(gone).returning(blobs::storage_key).get_results(conn)?))
}

/// Entries of the trash without all of their files.
const TRASH_LACKS_FILES: &str =
    "SELECT FROM trash e WHERE e.files <> (SELECT count(*) FROM trashed_files t WHERE t.trash_id = e.id)";

/// Whether the stored usage counts equal the sums over the files. They differ when rows of files are missing that
/// nobody deleted, as in the middle of a restore; then blobs look unused although they are needed.
///
/// # Errors
/// Database errors.
pub fn files_are_whole(conn: &mut PgConnection) -> Result<bool> {
    #[derive(QueryableByName)]
    struct Whole {
        #[diesel(sql_type = Bool)]
        whole: bool,
    }
    // The statement timeout is meant for requests; this query reads a whole table.
    diesel::sql_query("SET LOCAL statement_timeout = 0").execute(conn)?;
    let query = format!("SELECT NOT EXISTS ({}) AND NOT EXISTS ({TRASH_LACKS_FILES}) AS whole", quotas::MISCOUNTED);
    Ok(diesel::sql_query(query).get_result::<Whole>(conn)?.whole)
}

/// How many blobs there are.
///
/// # Errors
/// Database errors.
pub fn count_blobs(conn: &mut PgConnection) -> Result<i64> {
    Ok(blobs::table.count().get_result(conn)?)
}

/// How many blobs [`forget_blobs`] would delete, and their bytes.
///
/// # Errors
/// Database errors.
pub fn unused_blobs(conn: &mut PgConnection, before: Timestamp) -> Result<(i64, i64)> {
    Ok(blobs::table
        .filter(blobs::touched_at.lt(before))
        .filter(unused!())
        .select((count_star(), sql::<BigInt>("coalesce(sum(size), 0)::bigint")))
        .first(conn)?)
}

/// The keys among these that a row of a blob or a lease refers to.
///
/// # Errors
/// As [`settings::demand_primary`].
pub fn known_keys(conn: &mut PgConnection, store: &str, keys: &[String]) -> Result<HashSet<String>> {
    settings::demand_primary(conn, store)?;
    // Leases first: a row that is committed between the two queries had a lease before.
    let leases = upload_leases::table.filter(upload_leases::storage_key.eq_any(keys));
    let mut known: HashSet<String> =
        leases.select(upload_leases::storage_key).load::<String>(conn)?.into_iter().collect();
    let rows = blobs::table.filter(blobs::storage_key.eq_any(keys)).select(blobs::storage_key);
    known.extend(rows.load::<String>(conn)?);
    Ok(known)
}

/// Some blobs after an id whose other three digests are not computed yet.
///
/// # Errors
/// Database errors.
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

/// The other three digests of a blob, if they are computed; `None` also when the blob no longer exists.
///
/// # Errors
/// Database errors.
pub fn other_digests(conn: &mut PgConnection, blob: BlobId) -> Result<Option<OtherDigests>> {
    let row: Option<BlobRow> = blobs::table.find(blob).select(BLOB_COLUMNS).first(conn).optional()?;
    Ok(row.map(Blob::from_row).transpose()?.and_then(|blob| blob.other))
}

/// Stores the other three digests of a blob.
///
/// # Errors
/// Database errors.
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

/// Deletes expired sessions. Those that began while the clock was ahead are left: this server's clock may be the one
/// that is wrong.
///
/// # Errors
/// Database errors.
pub fn forget_sessions(conn: &mut PgConnection, now: Timestamp) -> Result<usize> {
    Ok(diesel::delete(sessions::table.filter(sessions::expires_at.le(now))).execute(conn)?)
}
