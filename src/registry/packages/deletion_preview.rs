//! Previews of deletions: everything that a deletion would delete.

use super::contents::{self, Contents};
use super::lookup;
use crate::db::schema::{blobs, files, versions};
use crate::domain::ids::{FileId, PackageId, VersionId};
use crate::domain::names::{FileName, PackageName};
use crate::domain::path::VersionPath;
use crate::domain::version::Version;
use crate::error::{Error, Result, What};
use crate::registry::access::CanPublish;
use diesel::prelude::*;

/// A package and everything that would be deleted with it.
///
/// # Errors
/// [`Error::NotFound`].
pub fn of_package(conn: &mut PgConnection, right: &CanPublish, name: &PackageName) -> Result<(PackageName, Contents)> {
    let (id, name) = lookup::package(conn, right.owner().id, name)?;
    Ok((name, contents::weigh(conn, &[id], None)?))
}

/// A version, everything that would be deleted with it, and whether its package would be.
///
/// # Errors
/// [`Error::NotFound`].
pub fn of_version(
    conn: &mut PgConnection,
    right: &CanPublish,
    path: &VersionPath,
) -> Result<(Version, Contents, bool)> {
    let (package, _) = lookup::package(conn, right.owner().id, &path.package)?;
    let (id, version) = lookup::version(conn, package, &path.version)?;
    Ok((version, contents::weigh(conn, &[package], Some(id))?, is_last_version(conn, package, id)?))
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
    let (package, _) = lookup::package(conn, right.owner().id, &path.package)?;
    let (version, _) = lookup::version(conn, package, &path.version)?;
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

fn is_last_version(conn: &mut PgConnection, package: PackageId, version: VersionId) -> Result<bool> {
    let others = versions::table.filter(versions::package_id.eq(package)).filter(versions::id.ne(version));
    let others: bool = diesel::select(diesel::dsl::exists(others)).get_result(conn)?;
    Ok(!others)
}
