//! How often a package was downloaded on each of the last days.

use super::lookup;
use crate::domain::clock::Timestamp;
use crate::domain::ids::FileId;
use crate::domain::names::PackageName;
use crate::error::Result;
use crate::registry::access::CanRead;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text, Timestamptz};

/// How many days are kept and shown.
pub const DAYS: i32 = 90;

/// The downloads of a day.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct DownloadDay {
    /// As in `2026-01-31`.
    #[diesel(sql_type = Text)]
    pub day: String,
    #[diesel(sql_type = BigInt)]
    pub downloads: i64,
}

/// Adds downloads of files to the days of their packages. Rows are locked in one order, as other servers do.
///
/// # Errors
/// Database errors.
pub(super) fn add(conn: &mut PgConnection, files: &[FileId], counts: &[i64], times: &[Timestamp]) -> Result<()> {
    diesel::sql_query(
        "INSERT INTO download_days (package_id, day, downloads) \
         SELECT v.package_id, (d.last AT TIME ZONE 'UTC')::date AS day, sum(d.count)::bigint \
         FROM unnest($1, $2, $3) AS d (id, count, last) JOIN files f ON f.id = d.id \
         JOIN versions v ON v.id = f.version_id GROUP BY v.package_id, day ORDER BY v.package_id, day \
         ON CONFLICT (package_id, day) DO UPDATE SET downloads = download_days.downloads + excluded.downloads",
    )
    .bind::<Array<BigInt>, _>(files)
    .bind::<Array<BigInt>, _>(counts)
    .bind::<Array<Timestamptz>, _>(times)
    .execute(conn)?;
    Ok(())
}

/// The last [`DAYS`] days of a package, the oldest first.
///
/// # Errors
/// [`crate::error::Error::NotFound`] for an unknown package.
pub fn of_package(
    conn: &mut PgConnection,
    right: &CanRead,
    package: &PackageName,
    now: Timestamp,
) -> Result<Vec<DownloadDay>> {
    let (id, _) = lookup::package(conn, right.owner().id, package)?;
    let days = diesel::sql_query(format!(
        "SELECT to_char(d, 'YYYY-MM-DD') AS day, coalesce(t.downloads, 0) AS downloads FROM generate_series( \
           ($2 AT TIME ZONE 'UTC')::date - {}, ($2 AT TIME ZONE 'UTC')::date, interval '1 day') AS d \
         LEFT JOIN download_days t ON t.package_id = $1 AND t.day = d::date ORDER BY d",
        DAYS - 1
    ));
    Ok(days.bind::<BigInt, _>(id).bind::<Timestamptz, _>(now).load(conn)?)
}

/// Deletes the days that are too old to be shown.
///
/// # Errors
/// Database errors.
pub fn forget(conn: &mut PgConnection, now: Timestamp) -> Result<usize> {
    let old = format!("DELETE FROM download_days WHERE day <= ($1 AT TIME ZONE 'UTC')::date - {DAYS}");
    Ok(diesel::sql_query(old).bind::<Timestamptz, _>(now).execute(conn)?)
}
