//! The contents of a package: counted before a deletion, and released by it.

use crate::db::schema::{blobs, files, versions};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{BlobId, FileId, PackageId, VersionId};
use crate::error::Result;
use diesel::dsl::{count, sql};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

/// The contents of packages or of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable)]
pub struct Contents {
    pub versions: i64,
    pub files: i64,
    /// In all its files; shared bytes count once per file.
    pub bytes: i64,
    pub downloads: i64,
}

/// Totals of a version's files. They are computed for the rows of one page, so that each is an index look-up.
pub(super) const SIZE: &str = "(SELECT coalesce(sum(b.size), 0)::bigint FROM files f JOIN blobs b ON b.id = f.blob_id \
                               WHERE f.version_id = versions.id)";
/// The verified identity of the job that published all files of a version; null if they were published by several, or
/// without one.
pub(super) const IDENTITY: &str = "(SELECT CASE WHEN count(*) = count(f.identity) AND count(DISTINCT f.identity) = 1 \
                                   THEN min(f.identity::text)::jsonb END FROM files f WHERE f.version_id = versions.id)";
pub(super) const DOWNLOADS: &str =
    "(SELECT coalesce(sum(f.download_count), 0)::bigint FROM files f WHERE f.version_id = versions.id)";

/// Computes the contents of packages, or of one version of them.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn weigh(
    conn: &mut PgConnection,
    packages: &[PackageId],
    one: Option<VersionId>,
) -> Result<Contents> {
    let query = versions::table
        .inner_join(files::table.inner_join(blobs::table))
        .filter(versions::package_id.eq_any(packages))
        .select((
            count(versions::id).aggregate_distinct(),
            count(files::id),
            sql::<BigInt>("coalesce(sum(blobs.size), 0)::bigint"),
            sql::<BigInt>("coalesce(sum(files.download_count), 0)::bigint"),
        ))
        .into_boxed();
    let query = match one {
        Some(id) => query.filter(versions::id.eq(id)),
        None => query,
    };
    Ok(query.first(conn)?)
}

/// Starts the grace period of the blobs of files that are about to be deleted: a sweep counts it from now.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn let_go(
    conn: &mut PgConnection,
    packages: &[PackageId],
    version: Option<VersionId>,
    file: Option<FileId>,
    now: Timestamp,
) -> Result<()> {
    let query = files::table
        .inner_join(versions::table)
        .filter(versions::package_id.eq_any(packages))
        .select(files::blob_id)
        .order(files::blob_id)
        .into_boxed();
    let query = match version {
        Some(version) => query.filter(versions::id.eq(version)),
        None => query,
    };
    let query = match file {
        Some(file) => query.filter(files::id.eq(file)),
        None => query,
    };
    let blobs: Vec<BlobId> = query.load(conn)?;
    diesel::update(blobs::table.filter(blobs::id.eq_any(blobs))).set(blobs::touched_at.eq(now)).execute(conn)?;
    Ok(())
}
