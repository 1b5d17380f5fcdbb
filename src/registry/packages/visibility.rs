//! The visibility of a package: its own, or else its owner's.

use super::lookup::package_is;
use crate::db::schema::{owners, packages};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, PackageId};
use crate::domain::names::PackageName;
use crate::domain::package_access::PackageVisibility;
use crate::domain::role::{Permission, Visibility};
use crate::error::{Error, Result, What};
use crate::registry::access::{CanPublish, effective};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use diesel::prelude::*;
use serde_json::json;

/// The visibility that a package has of its own; `None` for its owner's.
///
/// # Errors
/// [`Error::NotFound`].
pub fn own(conn: &mut PgConnection, right: &CanPublish) -> Result<Option<Visibility>> {
    packages::table
        .filter(package_is(right.owner().id, right.package()))
        .select(packages::visibility)
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::Package))
}

/// Sets the visibility of a package; `None` for its owner's. Users with the permission `admin` for the package may make
/// it narrower than its owner. Only the owner, or an organization's owners, may make it wider.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Forbidden`] naming the missing permission, or the token's limit to what is public.
pub fn set(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanPublish,
    visibility: Option<Visibility>,
    now: Timestamp,
) -> Result<()> {
    right.demand(Permission::Admin)?;
    let owner = right.owner();
    // Held to the end, so that the owner cannot become narrower without seeing this package.
    let around = hold(conn, owner.id)?;
    if visibility.is_some_and(|own| own < around) && right.permission() < Permission::Owner {
        return Err(Error::Forbidden(format!(
            "only an owner of {} can make {} visible to more people than {} itself, which is {around}",
            owner.name,
            right.package(),
            owner.name
        )));
    }
    caller.demand_visible(right.package(), effective(visibility, around))?;
    let row = packages::table.filter(package_is(owner.id, right.package())).for_update();
    let row = row.select((packages::id, packages::name, packages::visibility)).first(conn).optional()?;
    let (id, name, before): (PackageId, PackageName, Option<Visibility>) = row.ok_or(Error::NotFound(What::Package))?;
    if before == visibility {
        return Ok(());
    }
    diesel::update(packages::table.find(id)).set(packages::visibility.eq(visibility)).execute(conn)?;
    let detail = json!({"from": PackageVisibility::from(before), "to": PackageVisibility::from(visibility)});
    let subject = Subject { owner: Some((owner.id, &owner.name)), text: name.to_string(), detail };
    audit::record(conn, caller, Event::PackageVisibility, &subject, now)
}

/// Locks the visibility of an owner and returns it.
///
/// # Errors
/// [`Error::NotFound`] when the owner was deleted.
pub(super) fn hold(conn: &mut PgConnection, owner: OwnerId) -> Result<Visibility> {
    let row = owners::table.find(owner).select(owners::visibility).for_no_key_update();
    row.first(conn).optional()?.ok_or(Error::NotFound(What::Owner))
}

/// Takes its own visibility from a package that comes back from the trash, if that is wider than its owner's: the owner
/// may have become narrower in the meantime, and can open the package again.
///
/// # Errors
/// Database errors.
pub(super) fn narrow(conn: &mut PgConnection, package: PackageId, around: Visibility) -> Result<()> {
    let wider = packages::table.find(package).filter(packages::visibility.lt(around));
    diesel::update(wider).set(packages::visibility.eq(None::<Visibility>)).execute(conn)?;
    Ok(())
}

/// Changes the visibility of an owner. If it becomes narrower, packages that would be wider than the owner lose their
/// own visibility, because people who make an account private expect all of it to be private. They can open single
/// packages again. Returns how many packages changed.
///
/// # Errors
/// [`Error::NotFound`] when the owner was deleted.
pub(in crate::registry) fn set_of_owner(conn: &mut PgConnection, owner: OwnerId, to: Visibility) -> Result<usize> {
    let before = hold(conn, owner)?;
    diesel::update(owners::table.find(owner)).set(owners::visibility.eq(to)).execute(conn)?;
    if to <= before {
        return Ok(0);
    }
    let wider = packages::table.filter(packages::owner_id.eq(owner)).filter(packages::visibility.lt(to));
    Ok(diesel::update(wider).set(packages::visibility.eq(None::<Visibility>)).execute(conn)?)
}
