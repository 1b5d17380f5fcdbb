//! Leases that keep sweeps, of all servers, away from a blob in an object store that no row names yet or any longer.
//!
//! An upload has a lease from before its first byte. The transaction that inserts the blob's row ends it, and fails if a
//! sweep has taken it. So a sweep that removes a blob without a lease cannot be wrong.

use super::cleanup::may_forget;
use crate::db::schema::{blobs, upload_leases};
use crate::domain::clock::Timestamp;
use crate::error::{Error, Result};
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::upsert::excluded;
use std::time::Duration;

/// How long a lease lasts unless it is renewed.
pub const LEASE: Duration = Duration::from_secs(300);
/// How long a copy that was replaced stays: signed addresses are valid for 10 minutes, and a download that begins at
/// their end takes some time.
const RETIRED: Duration = Duration::from_secs(3600);

/// Begins a lease.
///
/// # Errors
/// Database errors.
pub fn begin(conn: &mut PgConnection, key: &str, now: Timestamp) -> Result<()> {
    insert(conn, key, now.plus(LEASE))
}

fn insert(conn: &mut PgConnection, key: &str, expires_at: Timestamp) -> Result<()> {
    diesel::insert_into(upload_leases::table)
        .values((upload_leases::storage_key.eq(key), upload_leases::expires_at.eq(expires_at)))
        .on_conflict(upload_leases::storage_key)
        .do_update()
        .set(upload_leases::expires_at.eq(excluded(upload_leases::expires_at)))
        .execute(conn)?;
    Ok(())
}

/// Renews a lease; false when a sweep has taken it.
///
/// # Errors
/// Database errors.
pub fn renew(conn: &mut PgConnection, key: &str, now: Timestamp) -> Result<bool> {
    let lease = upload_leases::table.find(key);
    Ok(diesel::update(lease).set(upload_leases::expires_at.eq(now.plus(LEASE))).execute(conn)? == 1)
}

/// Ends the lease of an upload in the transaction that inserts its row.
///
/// # Errors
/// [`Error::Busy`] when a sweep has taken the lease, and so maybe the bytes.
pub fn end(conn: &mut PgConnection, key: &str) -> Result<()> {
    match diesel::delete(upload_leases::table.find(key)).execute(conn)? {
        1 => Ok(()),
        _ => Err(Error::Busy("the upload was interrupted for too long")),
    }
}

/// Ends the lease of a blob that was removed.
///
/// # Errors
/// Database errors.
pub fn forget(conn: &mut PgConnection, key: &str) -> Result<()> {
    diesel::delete(upload_leases::table.find(key)).execute(conn)?;
    Ok(())
}

/// Lets a copy that no row names any longer stay for the downloads that have begun with it.
///
/// # Errors
/// Database errors.
pub fn retire(conn: &mut PgConnection, key: &str, now: Timestamp) -> Result<()> {
    insert(conn, key, now.plus(RETIRED))
}

/// The keys of all leases.
///
/// # Errors
/// Database errors.
pub fn keys(conn: &mut PgConnection) -> Result<Vec<String>> {
    Ok(upload_leases::table.select(upload_leases::storage_key).load(conn)?)
}

/// Takes up to `limit` leases that expired before a time, and returns the keys that no row names, whose blobs may be
/// removed once the transaction is committed; `None` while a running backup may still need them.
///
/// # Errors
/// As [`settings::demand_primary`](crate::registry::operations::settings::demand_primary).
pub fn take_expired(
    conn: &mut PgConnection,
    store: &str,
    before: Timestamp,
    limit: i64,
) -> Result<Option<Vec<String>>> {
    if !may_forget(conn, store)? {
        return Ok(None);
    }
    let expired: Vec<String> = upload_leases::table
        .filter(upload_leases::expires_at.lt(before))
        .order(upload_leases::expires_at)
        .limit(limit)
        .select(upload_leases::storage_key)
        .for_update()
        .skip_locked()
        .load(conn)?;
    diesel::delete(upload_leases::table.filter(upload_leases::storage_key.eq_any(&expired))).execute(conn)?;
    let mut unnamed = Vec::with_capacity(expired.len());
    for key in expired {
        let row = blobs::table.filter(blobs::storage_key.eq(&key));
        if !diesel::select(exists(row)).get_result::<bool>(conn)? {
            unnamed.push(key);
        }
    }
    Ok(Some(unnamed))
}

/// How many blobs [`take_expired`] would let a sweep remove.
///
/// # Errors
/// Database errors.
pub fn count_expired(conn: &mut PgConnection, before: Timestamp) -> Result<i64> {
    Ok(upload_leases::table.filter(upload_leases::expires_at.lt(before)).count().get_result(conn)?)
}
