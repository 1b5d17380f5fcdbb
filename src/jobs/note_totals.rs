//! Notes what is stored today, for the plot of the growth.

use crate::db::Db;
use crate::domain::clock::Clock;
use crate::error::Result;
use crate::registry::operations::stats;

/// Notes it.
///
/// # Errors
/// The database's.
pub async fn run(db: &Db, clock: &Clock) -> Result<()> {
    let now = clock.now();
    db.write(move |conn| stats::note_today(conn, now)).await
}
