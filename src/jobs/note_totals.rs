//! Records what is stored today, for the growth chart.

use crate::db::Db;
use crate::domain::clock::Clock;
use crate::error::Result;
use crate::registry::operations::stats;

/// Records today's totals.
///
/// # Errors
/// Database errors.
pub async fn run(db: &Db, clock: &Clock) -> Result<()> {
    let now = clock.now();
    db.write(move |conn| stats::note_today(conn, now)).await
}
