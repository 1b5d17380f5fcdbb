//! Packages: what holds versions together. One without a version does not exist: the last version takes it along.

use super::access::CanPublish;
use super::audit::{self, Event, Subject};
use super::caller::Caller;
use super::{quotas, versions};
use crate::db::schema::{packages, versions as versions_table};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, PackageId};
use crate::domain::names::PackageName;
use crate::error::{Error, Result, What};
use diesel::prelude::*;
use serde_json::json;

/// The package of this name, made if it is not there, and kept from being deleted until the end of the transaction.
///
/// # Errors
/// The database's.
pub(super) fn find_or_insert(
    conn: &mut PgConnection,
    owner: OwnerId,
    name: &PackageName,
    now: Timestamp,
) -> Result<PackageId> {
    loop {
        let found = packages::table
            .filter(packages::owner_id.eq(owner))
            .filter(packages::lower_name.eq(name.lower()))
            .select(packages::id)
            .for_key_share()
            .first(conn)
            .optional()?;
        if let Some(id) = found {
            return Ok(id);
        }
        let inserted = diesel::insert_into(packages::table)
            .values((
                packages::owner_id.eq(owner),
                packages::name.eq(name),
                packages::lower_name.eq(name.lower()),
                packages::created_at.eq(now),
            ))
            .on_conflict((packages::owner_id, packages::lower_name))
            .do_nothing()
            .returning(packages::id)
            .get_result(conn)
            .optional()?;
        // Nothing inserted: another publisher was faster, and the next look finds his.
        if let Some(id) = inserted {
            return Ok(id);
        }
    }
}

/// The package of this name, with nobody publishing to it or deleting from it until the end of the transaction.
///
/// # Errors
/// [`Error::NotFound`].
pub(super) fn lock(conn: &mut PgConnection, owner: OwnerId, name: &PackageName) -> Result<PackageId> {
    packages::table
        .filter(packages::owner_id.eq(owner))
        .filter(packages::lower_name.eq(name.lower()))
        .select(packages::id)
        .for_update()
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::Package))
}

/// Deletes a package that was just emptied; the caller holds its lock.
///
/// # Errors
/// The database's.
pub(super) fn delete_if_empty(conn: &mut PgConnection, package: PackageId) -> Result<()> {
    let versions = versions_table::table.filter(versions_table::package_id.eq(package));
    let empty = packages::table.find(package).filter(diesel::dsl::not(diesel::dsl::exists(versions)));
    diesel::delete(empty).execute(conn)?;
    Ok(())
}

/// Deletes a package with all its versions and files.
///
/// # Errors
/// [`Error::NotFound`].
pub fn delete(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanPublish,
    name: &PackageName,
    now: Timestamp,
) -> Result<()> {
    let owner = right.owner();
    let package = lock(conn, owner.id, name)?;
    let (count, bytes) = versions::weigh(conn, package, None)?;
    versions::let_go(conn, package, None, None, now)?;
    diesel::delete(packages::table.find(package)).execute(conn)?;
    quotas::count(conn, owner.id, -count, -bytes)?;
    let detail = json!({"versions": count, "bytes": bytes});
    let subject = Subject { owner: Some((owner.id, &owner.name)), text: name.to_string(), detail };
    audit::record(conn, caller, Event::PackageDelete, &subject, now)
}
