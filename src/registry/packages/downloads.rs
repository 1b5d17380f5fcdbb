//! Download counts and the time of the last download. Each server collects them in memory and a job writes them, so that
//! no download waits for a write.

use super::download_days;
use crate::domain::clock::Timestamp;
use crate::domain::ids::FileId;
use crate::error::Result;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Timestamptz};
use std::time::Duration;

/// Downloads of a file: how many, and when the last one was.
pub type DownloadsOfFile = (FileId, i64, Timestamp);

/// Adds counts to files, and notes the last download of their versions. Files in the trash are counted too.
///
/// # Errors
/// Database errors.
pub fn add(conn: &mut PgConnection, downloads: &[DownloadsOfFile], now: Timestamp) -> Result<()> {
    let ids: Vec<FileId> = downloads.iter().map(|(id, ..)| *id).collect();
    let counts: Vec<i64> = downloads.iter().map(|(_, count, _)| *count).collect();
    let times: Vec<Timestamp> = downloads.iter().map(|(.., last)| *last).collect();
    download_days::add(conn, &ids, &counts, &times)?;
    // The versions come first, as in a deletion, and in the order of their ids, as in other servers. A stored time that
    // is yet to come is from a clock that was ahead, and gives way.
    diesel::sql_query(
        "WITH downloaded AS (SELECT f.version_id, max(d.last) AS last FROM unnest($1, $2) AS d (id, last) \
           JOIN files f ON f.id = d.id GROUP BY f.version_id), \
         locked AS (SELECT v.id FROM versions v WHERE v.id IN (SELECT version_id FROM downloaded) ORDER BY v.id \
           FOR NO KEY UPDATE) \
         UPDATE versions SET last_downloaded_at = downloaded.last FROM locked, downloaded \
         WHERE versions.id = locked.id AND downloaded.version_id = locked.id AND (versions.last_downloaded_at IS NULL \
           OR versions.last_downloaded_at < downloaded.last OR versions.last_downloaded_at > $3)",
    )
    .bind::<Array<BigInt>, _>(&ids)
    .bind::<Array<Timestamptz>, _>(times)
    .bind::<Timestamptz, _>(now.latest_end_of(Duration::ZERO))
    .execute(conn)?;
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
