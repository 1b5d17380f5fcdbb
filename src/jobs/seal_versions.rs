//! Seals versions whose time has come. Their state is computed wherever it decides, so a late run changes nothing; this
//! writes it down, for the audit log and for webhooks.

use crate::db::Db;
use crate::domain::clock::Clock;
use crate::domain::ids::VersionId;
use crate::error::Result;
use crate::registry::caller::Caller;
use crate::registry::packages::version_states;

/// How many versions are looked up at a time.
const BATCH: i64 = 200;

/// Seals all versions that are due, each in a transaction of its own, and returns how many.
///
/// # Errors
/// Database errors. Versions that were sealed before stay so.
pub async fn run(db: &Db, clock: &Clock) -> Result<u64> {
    let (mut after, mut sealed) = (VersionId(0), 0);
    loop {
        let now = clock.now();
        let due = db.read(move |conn| version_states::due(conn, None, after, BATCH, now)).await?;
        let Some(last) = due.last() else { return Ok(sealed) };
        after = last.id;
        for version in due {
            let done = db.write(move |conn| version_states::seal_due(conn, &Caller::system(), &version, now)).await?;
            sealed += u64::from(done);
        }
    }
}
