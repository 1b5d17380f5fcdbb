//! Packages, which group versions. A package without versions does not exist: deleting the last version deletes it.

use super::changeable;
use super::contents::{self, Contents};
use super::lookup::package_is;
use super::protections::{self, Action};
use super::quotas;
use super::trash::{self, Deletion, Discarded};
use crate::db::schema::packages;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, PackageId, TrashId};
use crate::domain::names::{OwnerName, PackageName};
use crate::error::{Error, Result, What};
use crate::registry::access::CanPublish;
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::owners::namespace;
use diesel::prelude::*;
use serde_json::json;

/// Returns the package with this name and whether it is archived, creates it if it does not exist, and prevents its
/// deletion until the end of the transaction.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn find_or_insert(
    conn: &mut PgConnection,
    owner: OwnerId,
    name: &PackageName,
    now: Timestamp,
) -> Result<(PackageId, bool, bool)> {
    loop {
        let found: Option<(PackageId, Option<Timestamp>, bool)> = packages::table
            .filter(package_is(owner, name))
            .select((packages::id, packages::archived_at, packages::trusted_publishing_only))
            .for_key_share()
            .first(conn)
            .optional()?;
        if let Some((id, archived_at, trusted_only)) = found {
            return Ok((id, archived_at.is_some(), trusted_only));
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
        // No row was inserted: another publisher was faster, and the next query finds their row.
        if let Some(id) = inserted {
            return Ok((id, false, false));
        }
    }
}

/// Returns the package with this name and locks it: nobody publishes to it or deletes from it until the end of the
/// transaction.
///
/// # Errors
/// [`Error::NotFound`].
pub(in crate::registry) fn lock(conn: &mut PgConnection, owner: OwnerId, name: &PackageName) -> Result<PackageId> {
    packages::table
        .filter(package_is(owner, name))
        .select(packages::id)
        .for_update()
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::Package))
}

/// Deletes packages that the caller has locked, with all their versions and files. They don't go to the trash, because
/// their owner is deleted too. Returns the number of versions and bytes.
///
/// # Errors
/// Database errors.
fn remove(conn: &mut PgConnection, owner: OwnerId, ids: &[PackageId], now: Timestamp) -> Result<(i64, i64)> {
    let Contents { versions, bytes, .. } = contents::weigh(conn, ids, None)?;
    contents::let_go(conn, ids, None, None, now)?;
    diesel::delete(packages::table.filter(packages::id.eq_any(ids))).execute(conn)?;
    quotas::count(conn, owner, -versions, -bytes)?;
    Ok((versions, bytes))
}

/// Deletes a package with all its versions and files, and returns its entry in the trash, if it is kept.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::WrongState`] for a version on hold; [`Error::Forbidden`] for a sealed version, unless the
/// caller is an owner.
pub fn delete(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanPublish,
    name: &PackageName,
    deletion: &Deletion,
) -> Result<Option<TrashId>> {
    let owner = right.owner();
    let package = lock(conn, owner.id, name)?;
    protections::check_all(conn, right, Action::Delete)?;
    changeable::demand_deletable(conn, right, package, None, deletion.now())?;
    let removed = trash::discard(conn, caller, ((owner.id, &owner.name), package), Discarded::Package, deletion)?;
    let detail = json!({"versions": removed.versions, "bytes": removed.bytes, "kept_until": deletion.keep_until()});
    let subject = Subject { owner: Some((owner.id, &owner.name)), text: name.to_string(), detail };
    audit::record(conn, caller, Event::PackageDelete, &subject, deletion.now())?;
    Ok(removed.entry)
}

/// How many packages an owner has.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn count(conn: &mut PgConnection, owner: OwnerId) -> Result<i64> {
    Ok(packages::table.filter(packages::owner_id.eq(owner)).count().get_result(conn)?)
}

/// Checks that an owner has no packages.
///
/// # Errors
/// [`Error::Blocked`] naming the number of packages.
pub(in crate::registry) fn demand_none(conn: &mut PgConnection, owner: OwnerId, name: &OwnerName) -> Result<()> {
    match count(conn, owner)? {
        0 => Ok(()),
        1 => Err(Error::Blocked(format!("{name} owns a package: delete it first"))),
        own => Err(Error::Blocked(format!("{name} owns {own} packages: delete them first"))),
    }
}

/// How many packages [`delete_all`] deletes with one statement, which must end before the limit of its connection.
const AT_ONCE: usize = 1000;

/// The packages that [`delete_all`] deleted, in total.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::registry) struct Deleted {
    pub packages: i64,
    pub versions: i64,
    pub bytes: i64,
}

impl std::ops::AddAssign for Deleted {
    fn add_assign(&mut self, more: Self) {
        self.packages += more.packages;
        self.versions += more.versions;
        self.bytes += more.bytes;
    }
}

/// Deletes all packages of an owner, and prevents everybody from publishing to it until the end of the transaction.
///
/// # Errors
/// [`Error::NotFound`] for an owner that no longer exists; [`Error::WrongState`] for a version on hold.
pub(in crate::registry) fn delete_all(
    conn: &mut PgConnection,
    (owner, name): (OwnerId, &OwnerName),
    now: Timestamp,
) -> Result<Deleted> {
    let mut deleted = Deleted::default();
    loop {
        let found: Vec<PackageId> = packages::table
            .filter(packages::owner_id.eq(owner))
            .order(packages::id)
            .select(packages::id)
            .for_update()
            .load(conn)?;
        // Many at a time: one by one, 13,500 packages took 19 seconds.
        for some in found.chunks(AT_ONCE) {
            changeable::demand_not_held(conn, some, None, name)?;
            let (versions, bytes) = remove(conn, owner, some, now)?;
            let packages = i64::try_from(some.len()).unwrap_or(i64::MAX);
            deleted += Deleted { packages, versions, bytes };
        }
        if close(conn, owner)? {
            return Ok(deleted);
        }
    }
}

/// Why [`close`] releases the lock.
enum Open {
    /// Something was published in the meantime.
    Published,
    Failed(Error),
}

impl From<diesel::result::Error> for Open {
    fn from(error: diesel::result::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Locks an owner against publishers if it has no packages; false when it has some. In that case the lock is released
/// by a rollback to a savepoint: publishers lock a package before its owner, and the opposite order would deadlock.
fn close(conn: &mut PgConnection, owner: OwnerId) -> Result<bool> {
    let closed = conn.transaction(|conn| {
        namespace::lock(conn, owner).map_err(Open::Failed)?;
        let left = packages::table.filter(packages::owner_id.eq(owner));
        let left: bool = diesel::select(diesel::dsl::exists(left)).get_result(conn)?;
        if left { Err(Open::Published) } else { Ok(()) }
    });
    match closed {
        Ok(()) => Ok(true),
        Err(Open::Published) => Ok(false),
        Err(Open::Failed(error)) => Err(error),
    }
}
