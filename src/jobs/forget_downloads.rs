//! Deletes the days of downloads that no plot shows any longer.

use crate::db::Db;
use crate::domain::clock::Clock;
use crate::error::Result;
use crate::registry::packages::download_days;

/// Deletes the days that are too old. Returns how many rows that were.
///
/// # Errors
/// Database errors.
pub async fn run(db: &Db, clock: &Clock) -> Result<usize> {
    let now = clock.now();
    db.write(move |conn| download_days::forget(conn, now)).await
}
