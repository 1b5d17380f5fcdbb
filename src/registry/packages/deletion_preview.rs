//! Previews of deletions: everything that a deletion would delete.

use crate::db::schema::{blobs, files, packages, versions};
use crate::domain::ids::{FileId, PackageId, VersionId};
use crate::domain::names::{FileName, PackageName};
use crate::domain::path::VersionPath;
use crate::domain::version::Version;
use crate::error::{Error, Result, What};
use crate::registry::access::CanPublish;
use diesel::dsl::{count, sql};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

/// Everything that a deletion would delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable)]
pub struct DeletionPreview {
    pub versions: i64,
    pub files: i64,
    /// In all its files; shared bytes count once per file.
    pub bytes: i64,
    pub downloads: i64,
}

/// A package and everything that would be deleted with it.
///
/// # Errors
/// [`Error::NotFound`].
pub fn of_package(
    conn: &mut PgConnection,
    right: &CanPublish,
    name: &PackageName,
) -> Result<(PackageName, DeletionPreview)> {
    let (id, name): (PackageId, PackageName) = find_package(conn, right, name)?;
    Ok((name, weigh(conn, id, None)?))
}

/// A version, everything that would be deleted with it, and whether its package would be.
///
/// # Errors
/// [`Error::NotFound`].
pub fn of_version(
    conn: &mut PgConnection,
    right: &CanPublish,
    path: &VersionPath,
) -> Result<(Version, DeletionPreview, bool)> {
    let (package, _) = find_package(conn, right, &path.package)?;
    let (id, version) = find_version(conn, package, path)?;
    Ok((version, weigh(conn, package, Some(id))?, is_last_version(conn, package, id)?))
}

/// A file by its id, everything that would be deleted with it, and whether its version and package would be.
#[derive(Debug, Clone)]
pub struct FileDeletionPreview {
    pub name: FileName,
    pub bytes: i64,
    pub downloads: i64,
    pub takes_version: bool,
    pub takes_package: bool,
}

/// A file of a version and everything that would be deleted with it.
///
/// # Errors
/// [`Error::NotFound`].
pub fn of_file(
    conn: &mut PgConnection,
    right: &CanPublish,
    path: &VersionPath,
    id: FileId,
) -> Result<FileDeletionPreview> {
    let (package, _) = find_package(conn, right, &path.package)?;
    let (version, _) = find_version(conn, package, path)?;
    let row: Option<(FileName, i64, i64)> = files::table
        .inner_join(blobs::table)
        .filter(files::version_id.eq(version))
        .filter(files::id.eq(id))
        .select((files::name, blobs::size, files::download_count))
        .first(conn)
        .optional()?;
    let (name, bytes, downloads) = row.ok_or(Error::NotFound(What::File))?;
    let others = files::table.filter(files::version_id.eq(version)).filter(files::id.ne(id));
    let others: bool = diesel::select(diesel::dsl::exists(others)).get_result(conn)?;
    let takes_package = !others && is_last_version(conn, package, version)?;
    Ok(FileDeletionPreview { name, bytes, downloads, takes_version: !others, takes_package })
}

fn find_package(conn: &mut PgConnection, right: &CanPublish, name: &PackageName) -> Result<(PackageId, PackageName)> {
    packages::table
        .filter(packages::owner_id.eq(right.owner().id))
        .filter(packages::lower_name.eq(name.lower()))
        .select((packages::id, packages::name))
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::Package))
}

fn find_version(conn: &mut PgConnection, package: PackageId, path: &VersionPath) -> Result<(VersionId, Version)> {
    versions::table
        .filter(versions::package_id.eq(package))
        .filter(versions::lower_version.eq(path.version.lower()))
        .select((versions::id, versions::version))
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::Version))
}

fn is_last_version(conn: &mut PgConnection, package: PackageId, version: VersionId) -> Result<bool> {
    let others = versions::table.filter(versions::package_id.eq(package)).filter(versions::id.ne(version));
    let others: bool = diesel::select(diesel::dsl::exists(others)).get_result(conn)?;
    Ok(!others)
}

fn weigh(conn: &mut PgConnection, package: PackageId, one: Option<VersionId>) -> Result<DeletionPreview> {
    let query = versions::table
        .inner_join(files::table.inner_join(blobs::table))
        .filter(versions::package_id.eq(package))
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
