//! Download counts. Each server collects them in memory and a job writes them, so that no download waits for a write.

use crate::domain::ids::FileId;
use crate::error::Result;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt};

/// Adds counts to files. Counts of deleted files are lost with them.
///
/// # Errors
/// Database errors.
pub fn add(conn: &mut PgConnection, counts: &[(FileId, i64)]) -> Result<()> {
    let (ids, counts): (Vec<FileId>, Vec<i64>) = counts.iter().copied().unzip();
    diesel::sql_query(
        "UPDATE files SET download_count = download_count + counted.count \
         FROM unnest($1, $2) AS counted (id, count) WHERE files.id = counted.id",
    )
    .bind::<Array<BigInt>, _>(ids)
    .bind::<Array<BigInt>, _>(counts)
    .execute(conn)?;
    Ok(())
}
