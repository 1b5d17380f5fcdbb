//! The rules that the database must satisfy, checked by `packhouse check`. Each question returns what breaks the rule.

use crate::db::schema::{audit, blobs, files, trashed_files};
use crate::domain::clock::Timestamp;
use crate::domain::digest::Sha256;
use crate::domain::ids::BlobId;
use crate::error::Result;
use crate::registry::packages::files::{BLOB_COLUMNS, Blob, BlobRow};
use crate::registry::packages::quotas;
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

/// Blobs in the order of their ids, after a given id, each with its block checksums.
///
/// # Errors
/// Database errors.
pub fn blobs_after(conn: &mut PgConnection, after: BlobId, limit: i64) -> Result<Vec<(Blob, Vec<u8>)>> {
    let rows: Vec<(BlobRow, Vec<u8>)> = blobs::table
        .filter(blobs::id.gt(after))
        .order(blobs::id)
        .limit(limit)
        .select((BLOB_COLUMNS, blobs::block_checksums))
        .load(conn)?;
    rows.into_iter().map(|(row, checksums)| Ok((Blob::from_row(row)?, checksums))).collect()
}

/// One blob with its block checksums, as it is now; `None` when it no longer exists.
///
/// # Errors
/// Database errors.
pub fn blob(conn: &mut PgConnection, id: BlobId) -> Result<Option<(Blob, Vec<u8>)>> {
    let row: Option<(BlobRow, Vec<u8>)> =
        blobs::table.find(id).select((BLOB_COLUMNS, blobs::block_checksums)).first(conn).optional()?;
    row.map(|(row, checksums)| Ok((Blob::from_row(row)?, checksums))).transpose()
}

/// The current storage key of a blob, if the blob is known.
///
/// # Errors
/// Database errors.
pub fn key_of(conn: &mut PgConnection, sha256: &Sha256) -> Result<Option<String>> {
    let row = blobs::table.filter(blobs::sha256.eq(&sha256.as_bytes()[..]));
    Ok(row.select(blobs::storage_key).first(conn).optional()?)
}

/// The first three files of a blob, as `owner/package/version/file`, and how many use it, the trash included: the files
/// that a loss affects.
///
/// # Errors
/// Database errors.
pub fn files_of_blob(conn: &mut PgConnection, blob: BlobId) -> Result<(Vec<String>, i64)> {
    let rows: Vec<Line> = diesel::sql_query(
        "(SELECT o.name || '/' || p.name || '/' || v.version || '/' || f.name AS text FROM files f \
         JOIN versions v ON v.id = f.version_id JOIN packages p ON p.id = v.package_id \
         JOIN owners o ON o.id = p.owner_id WHERE f.blob_id = $1 ORDER BY f.id LIMIT 3) UNION ALL \
         (SELECT o.name || '/' || concat_ws('/', e.package_name, e.version, f.name) || ' (in the trash)' \
         FROM trashed_files f JOIN trash e ON e.id = f.trash_id JOIN owners o ON o.id = e.owner_id \
         WHERE f.blob_id = $1 ORDER BY f.id LIMIT 3) LIMIT 3",
    )
    .bind::<BigInt, _>(blob)
    .load(conn)?;
    let all: i64 = files::table.filter(files::blob_id.eq(blob)).count().get_result(conn)?;
    let trashed: i64 = trashed_files::table.filter(trashed_files::blob_id.eq(blob)).count().get_result(conn)?;
    Ok((rows.into_iter().map(|row| row.text).collect(), all + trashed))
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    text: String,
}

/// Rules that hold between rows. Each query returns a line for each violation, which says what to do.
const RULES: [&str; 13] = [
    "SELECT o.name || '/' || p.name || '/' || v.version || ': the version has no file; delete the version' AS text \
     FROM versions v JOIN packages p ON p.id = v.package_id JOIN owners o ON o.id = p.owner_id \
     WHERE NOT EXISTS (SELECT FROM files f WHERE f.version_id = v.id)",
    "SELECT o.name || '/' || p.name || ': the package has no version; delete the package' AS text FROM packages p \
     JOIN owners o ON o.id = p.owner_id WHERE NOT EXISTS (SELECT FROM versions v WHERE v.package_id = p.id)",
    "SELECT o.name || ': the organization has no owner; let an administrator add a member to its team of owners' \
     AS text FROM owners o WHERE o.kind = 1 AND NOT EXISTS \
     (SELECT FROM teams t JOIN team_members m ON m.team_id = t.id WHERE t.org_id = o.id AND t.permission = 4)",
    "SELECT o.name || ': the owner is a user without an account; delete the owner or restore a backup' AS text \
     FROM owners o WHERE o.kind = 0 AND NOT EXISTS (SELECT FROM users u WHERE u.id = o.id)",
    "SELECT r.name || ': the robot is not named after its organization; rename ' || o.name || ' and back' AS text \
     FROM users u JOIN owners r ON r.id = u.id JOIN owners o ON o.id = u.robot_of \
     WHERE split_part(r.lower_name, '/', 1) <> o.lower_name \
     OR o.kind <> 1 AND NOT EXISTS (SELECT FROM publishers b WHERE b.id = u.id AND b.owner_id = o.id)",
    "SELECT o.name || '/' || p.name || '/' || v.version || '/' || f.name || ': the version was sealed before this file \
     was added; find out who changed the database, and restore a backup' AS text FROM versions v \
     JOIN packages p ON p.id = v.package_id JOIN owners o ON o.id = p.owner_id JOIN files f ON f.version_id = v.id \
     WHERE v.state = 2 AND f.created_at > v.sealed_at",
    "SELECT o.name || '/' || p.name || '/' || v.version || ': the version is a draft, but has a time of publication; \
     publish it again' AS text FROM versions v JOIN packages p ON p.id = v.package_id JOIN owners o ON o.id = p.owner_id \
     WHERE v.state = 0 AND v.published_at IS NOT NULL",
    "SELECT o.name || '/' || p.name || '/' || v.version || ': the version was sealed before it was published; find out \
     who changed the database' AS text FROM versions v JOIN packages p ON p.id = v.package_id \
     JOIN owners o ON o.id = p.owner_id WHERE v.state = 2 AND v.sealed_at < coalesce(v.published_at, v.created_at)",
    "SELECT o.name || '/' || p.name || '/' || v.version || '/' || above.name || ': the file is also a directory, which \
     contains ' || f.name || '; delete one of the two files' AS text FROM files f \
     JOIN files above ON above.version_id = f.version_id AND above.id <> f.id \
     AND above.lower_name = ANY (SELECT array_to_string((string_to_array(f.lower_name, '/'))[:n], '/') \
     FROM generate_series(1, 15) n) \
     JOIN versions v ON v.id = f.version_id JOIN packages p ON p.id = v.package_id JOIN owners o ON o.id = p.owner_id \
     WHERE position('/' IN f.lower_name) > 0",
    "SELECT o.name || ': the recorded visibilities of its packages are wrong; change the visibility of one of them' AS text \
     FROM owners o CROSS JOIN LATERAL (SELECT coalesce(min(p.visibility), 2) AS widest, coalesce(max(p.visibility), 0) \
     AS narrowest FROM packages p WHERE p.owner_id = o.id AND p.visibility IS NOT NULL) span \
     WHERE (o.widest_package, o.narrowest_package) IS DISTINCT FROM (span.widest, span.narrowest)",
    "SELECT o.name || '/' || concat_ws('/', e.package_name, e.version, e.file_name) || ': entry ' || e.id \
     || ' of the trash has ' || f.files || ' files of ' || f.bytes || ' bytes instead of ' || e.files || ' of ' \
     || e.bytes || '; restore or delete it' AS text FROM trash e JOIN owners o ON o.id = e.owner_id, LATERAL \
     (SELECT count(*) AS files, coalesce(sum(b.size), 0) AS bytes FROM trashed_files t JOIN blobs b ON b.id = t.blob_id \
      WHERE t.trash_id = e.id) f WHERE e.files <> f.files OR e.bytes <> f.bytes OR f.files = 0",
    "SELECT o.name || '/' || concat_ws('/', e.package_name, e.version, e.file_name) || ': entry ' || e.id \
     || ' of the trash lacks its package or versions; delete it' AS text FROM trash e JOIN owners o ON o.id = e.owner_id \
     WHERE NOT EXISTS (SELECT FROM trashed_packages p WHERE p.trash_id = e.id) \
     OR e.versions <> (SELECT count(*) FROM trashed_versions v WHERE v.trash_id = e.id)",
    "SELECT o.name || ': counted as ' || u.counted_versions || ' versions and ' || u.counted_bytes \
     || ' bytes, but has ' || u.versions || ' and ' || u.bytes || '; run `packhouse gc`, which counts again' AS text \
     FROM ",
];

/// The most lines per rule.
const MOST: i64 = 1000;

/// Describes every violation of a rule between rows, at most a thousand per rule. Call it in a snapshot, so that a
/// concurrent change does not look like a violation.
///
/// # Errors
/// Database errors.
pub fn broken_rules(conn: &mut PgConnection) -> Result<Vec<String>> {
    take_time(conn)?;
    let mut found = Vec::new();
    for rule in RULES {
        // The last rule's query continues with the SQL that the recount uses too.
        let from = if rule.ends_with("FROM ") {
            format!("({}) AS u JOIN owners o ON o.id = u.owner_id", quotas::MISCOUNTED)
        } else {
            String::new()
        };
        let query = format!("SELECT text FROM ({rule}{from}) AS broken ORDER BY text LIMIT {}", MOST + 1);
        let rows: Vec<Line> = diesel::sql_query(query).load(conn)?;
        let more = rows.len() > usize::try_from(MOST).unwrap_or(usize::MAX);
        found.extend(rows.into_iter().take(usize::try_from(MOST).unwrap_or(usize::MAX)).map(|row| row.text));
        if more {
            found.push(format!("and more of the same kind: only the first {MOST} are shown"));
        }
    }
    Ok(found)
}

/// Lifts the statement timeout: it is meant for requests, and a check reads whole tables.
fn take_time(conn: &mut PgConnection) -> Result<()> {
    diesel::sql_query("SET LOCAL statement_timeout = 0").execute(conn)?;
    Ok(())
}

/// Whether anything was deleted since a time: then blobs may have lost their last file since.
///
/// # Errors
/// Database errors.
pub fn deleted_since(conn: &mut PgConnection, since: Timestamp) -> Result<bool> {
    let deletions = audit::table.filter(audit::at.ge(since)).filter(audit::event.like("%.delete"));
    Ok(diesel::select(exists(deletions.select(audit::id))).get_result(conn)?)
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

/// Counts everything. Call it in a transaction.
///
/// # Errors
/// Database errors.
pub fn totals(conn: &mut PgConnection) -> Result<Totals> {
    take_time(conn)?;
    Ok(diesel::sql_query(
        "SELECT (SELECT count(*) FROM owners) AS owners, (SELECT count(*) FROM packages) AS packages, \
         (SELECT count(*) FROM versions) AS versions, (SELECT count(*) FROM files) AS files, \
         (SELECT count(*) FROM blobs) AS blobs, (SELECT coalesce(sum(size), 0)::bigint FROM blobs) AS bytes",
    )
    .get_result(conn)?)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub struct BlobTotals {
    #[diesel(sql_type = BigInt)]
    pub blobs: i64,
    #[diesel(sql_type = BigInt)]
    pub bytes: i64,
}

/// The number of blobs and their bytes, for the metrics.
///
/// # Errors
/// Database errors.
pub fn blob_totals(conn: &mut PgConnection) -> Result<BlobTotals> {
    let query = "SELECT count(*) AS blobs, coalesce(sum(size), 0)::bigint AS bytes FROM blobs";
    Ok(diesel::sql_query(query).get_result(conn)?)
}
