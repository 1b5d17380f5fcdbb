//! Deletes for good what was in the trash long enough. A sweep removes the bytes later.

use crate::db::Db;
use crate::domain::clock::Clock;
use crate::error::Result;
use crate::registry::packages::trash_entries;

/// Deletes all entries that are due, some in each transaction. Returns how many.
///
/// # Errors
/// Database errors; what was deleted until then stays deleted.
pub async fn run(db: &Db, clock: &Clock) -> Result<usize> {
    let mut purged = 0;
    loop {
        let now = clock.now();
        match db.write(move |conn| trash_entries::purge_due(conn, now)).await? {
            0 => return Ok(purged),
            some => purged += some,
        }
    }
}
