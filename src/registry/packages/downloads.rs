//! Download counts. Each server collects them in memory and a job writes them, so that no download waits for a write.

use crate::domain::ids::FileId;
use crate::error::Result;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt};

/// Adds counts to files, also to those in the trash.
///
/// # Errors
/// Database errors.
pub fn add(conn: &mut PgConnection, counts: &[(FileId, i64)]) -> Result<()> {
    let (ids, counts): (Vec<FileId>, Vec<i64>) = counts.iter().copied().unzip();
    for table in ["files", "trashed_files"] {
        diesel::sql_query(format!(
            "UPDATE {table} AS f SET download_count = download_count + counted.count \
             FROM unnest($1, $2) AS counted (id, count) WHERE f.id = counted.id"
        ))
        .bind::<Array<BigInt>, _>(&ids)
        .bind::<Array<BigInt>, _>(&counts)
        .execute(conn)?;
    }
    Ok(())
}
