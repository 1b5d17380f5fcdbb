//! What must hold in the database, asked for by `packhouse check`: each question returns what breaks the rule.

use super::files::{BLOB_COLUMNS, Blob, BlobRow};
use crate::db::schema::blobs;
use crate::domain::clock::Timestamp;
use crate::domain::ids::BlobId;
use crate::error::Result;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Timestamptz};

/// Blobs in the order of their ids, after one, each with its block checksums.
///
/// # Errors
/// The database's.
pub fn blobs_after(conn: &mut PgConnection, after: BlobId, limit: i64) -> Result<Vec<(Blob, Vec<u8>)>> {
    let rows: Vec<(BlobRow, Vec<u8>)> = blobs::table
        .filter(blobs::id.gt(after))
        .order(blobs::id)
        .limit(limit)
        .select((BLOB_COLUMNS, blobs::block_checksums))
        .load(conn)?;
    rows.into_iter().map(|(row, checksums)| Ok((Blob::from_row(row)?, checksums))).collect()
}

/// The files of a blob, as `owner/package/version/file`, at most ten: whom its loss concerns.
///
/// # Errors
/// The database's.
pub fn files_of_blob(conn: &mut PgConnection, blob: BlobId) -> Result<Vec<String>> {
    texts(
        conn,
        "SELECT o.name || '/' || p.name || '/' || v.version || '/' || f.name AS text FROM files f \
         JOIN versions v ON v.id = f.version_id JOIN packages p ON p.id = v.package_id \
         JOIN owners o ON o.id = p.owner_id WHERE f.blob_id = $1 ORDER BY f.id LIMIT 10",
        blob,
    )
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    text: String,
}

fn texts(conn: &mut PgConnection, query: &'static str, parameter: BlobId) -> Result<Vec<String>> {
    let rows: Vec<Line> = diesel::sql_query(query).bind::<BigInt, _>(parameter).load(conn)?;
    Ok(rows.into_iter().map(|row| row.text).collect())
}

/// Rules that hold between rows. Each query returns a line for what breaks the rule; `$1` is the time before which
/// unused blobs should be gone.
const RULES: [&str; 5] = [
    "SELECT 'version ' || v.version || ' of package ' || p.name || ' has no file' AS text FROM versions v \
     JOIN packages p ON p.id = v.package_id WHERE NOT EXISTS (SELECT FROM files f WHERE f.version_id = v.id)",
    "SELECT 'package ' || p.name || ' of ' || o.name || ' has no version' AS text FROM packages p \
     JOIN owners o ON o.id = p.owner_id WHERE NOT EXISTS (SELECT FROM versions v WHERE v.package_id = p.id)",
    "SELECT 'organization ' || o.name || ' has no owner' AS text FROM owners o WHERE o.kind = 1 AND NOT EXISTS \
     (SELECT FROM teams t JOIN team_members m ON m.team_id = t.id WHERE t.org_id = o.id AND t.permission = 4)",
    "SELECT 'no file has the bytes ' || encode(b.sha256, 'hex') || ', and no sweep removed them' AS text FROM blobs b \
     WHERE b.created_at < $1 AND NOT EXISTS (SELECT FROM files f WHERE f.blob_id = b.id)",
    "SELECT 'the usage of ' || o.name || ' is counted as ' || coalesce(c.versions, 0) || ' versions and ' \
     || coalesce(c.bytes, 0) || ' bytes, but is ' || coalesce(r.versions, 0) || ' and ' || coalesce(r.bytes, 0) AS text \
     FROM owners o \
     LEFT JOIN (SELECT owner_id, sum(versions) AS versions, sum(bytes) AS bytes FROM \
       (SELECT owner_id, versions, bytes FROM owner_usage UNION ALL \
        SELECT owner_id, versions, bytes FROM usage_changes) AS parts GROUP BY owner_id) c ON c.owner_id = o.id \
     LEFT JOIN (SELECT p.owner_id, count(DISTINCT v.id) AS versions, sum(b.size) AS bytes FROM packages p \
       JOIN versions v ON v.package_id = p.id JOIN files f ON f.version_id = v.id JOIN blobs b ON b.id = f.blob_id \
       GROUP BY p.owner_id) r ON r.owner_id = o.id \
     WHERE coalesce(c.versions, 0) <> coalesce(r.versions, 0) OR coalesce(c.bytes, 0) <> coalesce(r.bytes, 0)",
];

/// Everything that breaks a rule between rows, in words. Called in a snapshot, so that a change in the middle of it
/// looks like nothing.
///
/// # Errors
/// The database's.
pub fn broken_rules(conn: &mut PgConnection, unused_since: Timestamp) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for rule in RULES {
        // Every rule is given the time, also those that do not look at it: Postgres must see the parameter used.
        let query = format!("SELECT text FROM ({rule}) AS broken WHERE $1::timestamptz IS NOT NULL ORDER BY text");
        let rows: Vec<Line> = diesel::sql_query(query).bind::<Timestamptz, _>(unused_since).load(conn)?;
        found.extend(rows.into_iter().map(|row| row.text));
    }
    Ok(found)
}

/// Totals for people: owners, packages, versions, files, blobs and the blobs' bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub struct Totals {
    #[diesel(sql_type = BigInt)]
    pub owners: i64,
    #[diesel(sql_type = BigInt)]
    pub packages: i64,
    #[diesel(sql_type = BigInt)]
    pub versions: i64,
    #[diesel(sql_type = BigInt)]
    pub files: i64,
    #[diesel(sql_type = BigInt)]
    pub blobs: i64,
    #[diesel(sql_type = BigInt)]
    pub bytes: i64,
}

/// How much there is of everything.
///
/// # Errors
/// The database's.
pub fn totals(conn: &mut PgConnection) -> Result<Totals> {
    Ok(diesel::sql_query(
        "SELECT (SELECT count(*) FROM owners) AS owners, (SELECT count(*) FROM packages) AS packages, \
         (SELECT count(*) FROM versions) AS versions, (SELECT count(*) FROM files) AS files, \
         (SELECT count(*) FROM blobs) AS blobs, (SELECT coalesce(sum(size), 0)::bigint FROM blobs) AS bytes",
    )
    .get_result(conn)?)
}

/// How many blobs there are, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub struct BlobTotals {
    #[diesel(sql_type = BigInt)]
    pub blobs: i64,
    #[diesel(sql_type = BigInt)]
    pub bytes: i64,
}

/// How many blobs there are, and their bytes: for the metrics.
///
/// # Errors
/// The database's.
pub fn blob_totals(conn: &mut PgConnection) -> Result<BlobTotals> {
    let query = "SELECT count(*) AS blobs, coalesce(sum(size), 0)::bigint AS bytes FROM blobs";
    Ok(diesel::sql_query(query).get_result(conn)?)
}
