//! Locks for what has no row yet, by a name for it. They last until the end of the transaction. Two names can have the
//! same lock, which only costs time.

use crate::error::Result;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

diesel::define_sql_function! { fn hashtextextended(text: Text, seed: BigInt) -> BigInt; }
diesel::define_sql_function! { fn pg_advisory_xact_lock(key: BigInt) -> Text; }
diesel::define_sql_function! { fn pg_advisory_xact_lock_shared(key: BigInt) -> Text; }

/// Waits for the lock with this name and number.
///
/// # Errors
/// Database errors.
pub(super) fn lock(conn: &mut PgConnection, name: &str, number: i64) -> Result<()> {
    diesel::select(pg_advisory_xact_lock(hashtextextended(name, number))).execute(conn)?;
    Ok(())
}

/// As [`lock`], at the same time as others who share it.
///
/// # Errors
/// Database errors.
pub(super) fn share(conn: &mut PgConnection, name: &str, number: i64) -> Result<()> {
    diesel::select(pg_advisory_xact_lock_shared(hashtextextended(name, number))).execute(conn)?;
    Ok(())
}
