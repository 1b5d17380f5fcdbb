//! Finding a package, a version or a file by its name, for all queries that need it.

use crate::db::schema::{files, owners, packages, versions};
use crate::domain::ids::{OwnerId, PackageId, VersionId};
use crate::domain::names::PackageName;
use crate::domain::path::{FilePath, VersionPath};
use crate::domain::version::Version;
use crate::error::{Error, Result, What};
use crate::registry::access::{CanRead, shown};
use diesel::dsl::auto_type;
use diesel::prelude::*;

/// Whether the query's row belongs to this package of an owner.
#[auto_type(no_type_alias)]
pub(super) fn package_is(owner: OwnerId, package: &PackageName) -> _ {
    let name: String = package.lower();
    packages::owner_id.eq(owner).and(packages::lower_name.eq(name))
}

/// Whether the query's row belongs to this version of an owner's package. The owner was checked before: the owner in
/// the path is ignored.
#[auto_type(no_type_alias)]
pub(super) fn version_is(owner: OwnerId, path: &VersionPath) -> _ {
    let package: String = path.package.lower();
    let version: String = path.version.lower();
    packages::owner_id.eq(owner).and(packages::lower_name.eq(package)).and(versions::lower_version.eq(version))
}

/// Whether the query's row belongs to this file, found by names alone: this does not check who may see it.
#[auto_type(no_type_alias)]
pub(super) fn file_is(path: &FilePath) -> _ {
    let owner: String = path.owner.lower();
    let package: String = path.package.lower();
    let version: String = path.version.lower();
    let file: String = path.file.lower();
    owners::lower_name
        .eq(owner)
        .and(packages::lower_name.eq(package))
        .and(versions::lower_version.eq(version))
        .and(files::lower_name.eq(file))
}

/// A package of an owner, with its name in the original spelling.
///
/// # Errors
/// [`Error::NotFound`].
pub(super) fn package(
    conn: &mut PgConnection,
    owner: OwnerId,
    package: &PackageName,
) -> Result<(PackageId, PackageName)> {
    packages::table
        .filter(package_is(owner, package))
        .select((packages::id, packages::name))
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::Package))
}

/// A package, with its name in the original spelling, if the reader sees one of its versions.
///
/// # Errors
/// [`Error::NotFound`].
pub(super) fn shown_package(
    conn: &mut PgConnection,
    right: &CanRead,
    package: &PackageName,
) -> Result<(PackageId, PackageName)> {
    packages::table
        .inner_join(versions::table)
        .filter(package_is(right.owner().id, package))
        .filter(shown(right.draft_limit()))
        .select((packages::id, packages::name))
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::Package))
}

/// A version of a package, with its name in the original spelling.
///
/// # Errors
/// [`Error::NotFound`].
pub(super) fn version(conn: &mut PgConnection, package: PackageId, version: &Version) -> Result<(VersionId, Version)> {
    versions::table
        .filter(versions::package_id.eq(package))
        .filter(versions::lower_version.eq(version.lower()))
        .select((versions::id, versions::version))
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::Version))
}

/// Turns the error for something that does not exist into `None`.
///
/// # Errors
/// Any other error.
pub(super) fn if_found<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Err(Error::NotFound(_)) => Ok(None),
        found => found.map(Some),
    }
}
