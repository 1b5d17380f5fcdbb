//! Rights that are asked for in one place each: to change oneself, to search, to upload, to read the record of changes,
//! to see and to set quotas, to have webhooks.

use super::{Visited, visit, visit_org, visit_user};
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::role::{Area, Level, OwnerKind, PackagePattern, Permission};
use crate::error::{Error, Result};
use crate::registry::caller::{Caller, Sight, SignedIn};
use diesel::prelude::*;

/// The right to change one's own account.
#[derive(Debug, Clone)]
pub struct CanChangeOwn {
    owner: Visited,
}

impl CanChangeOwn {
    /// The user himself.
    pub fn user(&self) -> &Visited {
        &self.owner
    }
}

/// Whether a caller may change his own account: whoever is signed in by anything but a token.
///
/// # Errors
/// As [`Caller::demand_password`].
pub fn can_change_own(conn: &mut PgConnection, caller: &Caller) -> Result<CanChangeOwn> {
    let name = caller.demand_password()?.name.clone();
    Ok(CanChangeOwn { owner: visit_user(conn, caller, &name)? })
}

/// The right to search: what the caller sees, within the limits of his token. They leave results out where elsewhere
/// they refuse.
#[derive(Debug, Clone)]
pub struct CanSearch {
    sight: Sight,
    owners: Option<Vec<OwnerId>>,
    packages: Option<Vec<PackagePattern>>,
}

impl CanSearch {
    /// Owners to search: the parameters of [`super::readable`].
    pub fn sight(&self) -> Sight {
        self.sight
    }

    /// The only owners to search, where a token is limited to some.
    pub fn owners(&self) -> Option<&[OwnerId]> {
        self.owners.as_deref()
    }

    /// The only packages to search, where a token is limited to some.
    pub fn packages(&self) -> Option<&[PackagePattern]> {
        self.packages.as_deref()
    }
}

/// How far a caller may search.
///
/// # Errors
/// [`Error::Forbidden`] for a token without `read:package`.
pub fn can_search(caller: &Caller) -> Result<CanSearch> {
    caller.demand(Area::Package, Level::Read)?;
    let limits = caller.limits();
    let sight = if limits.public_only() { Caller::anonymous(None).sight() } else { caller.sight() };
    Ok(CanSearch { sight, owners: limits.owners, packages: caller.only_packages().map(<[PackagePattern]>::to_vec) })
}

/// The right to publish to an owner at all. To which of its packages is asked with the package's name.
#[derive(Debug, Clone)]
pub struct CanUpload {
    owner: Visited,
    user: SignedIn,
}

impl CanUpload {
    /// To whom.
    pub fn owner(&self) -> &Visited {
        &self.owner
    }

    /// Who has it.
    pub fn user(&self) -> &SignedIn {
        &self.user
    }
}

/// Whether a caller may publish to an owner.
///
/// # Errors
/// As [`super::can_publish`].
pub fn can_upload(conn: &mut PgConnection, caller: &Caller, owner: &OwnerName) -> Result<CanUpload> {
    let user = caller.signed_in()?.clone();
    caller.demand(Area::Package, Level::Write)?;
    let owner = visit(conn, caller, owner)?;
    if owner.permission < Some(Permission::Write) {
        return Err(Error::Forbidden(format!("{} does not have write access to {}", user.name, owner.name)));
    }
    Ok(CanUpload { owner, user })
}

/// The right to read the record of changes.
#[derive(Debug, Clone)]
pub struct CanAudit {
    owners: Option<Vec<OwnerId>>,
    public_only: bool,
}

impl CanAudit {
    /// The only owners whose records may be read, where a token is limited to some.
    pub fn owners(&self) -> Option<&[OwnerId]> {
        self.owners.as_deref()
    }

    /// Whether only records of public owners may be read.
    pub fn public_only(&self) -> bool {
        self.public_only
    }
}

/// Whether a caller may read the record of changes: site administrators, within the limits of their tokens.
///
/// # Errors
/// As [`Caller::demand_admin`].
pub fn can_audit(caller: &Caller) -> Result<CanAudit> {
    caller.demand_admin(Level::Read)?;
    let limits = caller.limits();
    Ok(CanAudit { public_only: limits.public_only(), owners: limits.owners })
}

/// The right to see an owner's quota.
#[derive(Debug, Clone)]
pub struct CanSeeQuota {
    owner: Visited,
}

impl CanSeeQuota {
    /// Whose.
    pub fn owner(&self) -> &Visited {
        &self.owner
    }
}

/// Whether a caller may see an owner's quota: the user himself, an organization's members, site administrators.
///
/// # Errors
/// As [`super::visit`]; [`Error::NotFound`] also when the name is of the other kind; [`Error::Forbidden`] naming the missing
/// scope or right.
pub fn can_see_quota(
    conn: &mut PgConnection,
    caller: &Caller,
    name: &OwnerName,
    kind: OwnerKind,
) -> Result<CanSeeQuota> {
    let user = caller.signed_in()?;
    let area = if kind == OwnerKind::User { Area::User } else { Area::Organization };
    caller.demand(area, Level::Read)?;
    let owner = visit_kind(conn, caller, name, kind)?;
    if owner.permission.is_none() {
        let whose = if kind == OwnerKind::User { "this user" } else { "its members" };
        return Err(Error::Forbidden(format!("only {whose} can see the quota of {}, not {}", owner.name, user.name)));
    }
    Ok(CanSeeQuota { owner })
}

/// The right to set an owner's quota.
#[derive(Debug, Clone)]
pub struct CanSetQuota {
    owner: Visited,
}

impl CanSetQuota {
    /// Whose.
    pub fn owner(&self) -> &Visited {
        &self.owner
    }
}

/// Whether a caller may set an owner's quota: site administrators alone.
///
/// # Errors
/// As [`Caller::demand_admin`] and [`super::visit`]; [`Error::NotFound`] also when the name is of the other kind.
pub fn can_set_quota(
    conn: &mut PgConnection,
    caller: &Caller,
    name: &OwnerName,
    kind: OwnerKind,
) -> Result<CanSetQuota> {
    caller.demand_admin(Level::Write)?;
    Ok(CanSetQuota { owner: visit_kind(conn, caller, name, kind)? })
}

/// The right to see and to change an owner's webhooks: what is told goes anywhere.
#[derive(Debug, Clone)]
pub struct CanHook {
    owner: Visited,
}

impl CanHook {
    /// Whose.
    pub fn owner(&self) -> &Visited {
        &self.owner
    }
}

/// Whether a caller may see, or change, an organization's webhooks: its owners may, and site administrators.
///
/// # Errors
/// As [`visit_org`]; [`Error::Unauthenticated`]; [`Error::Forbidden`] naming the missing scope or right.
pub fn can_hook(conn: &mut PgConnection, caller: &Caller, org: &OwnerName, level: Level) -> Result<CanHook> {
    let user = caller.signed_in()?;
    caller.demand(Area::Organization, level)?;
    let owner = visit_org(conn, caller, org)?;
    if owner.permission < Some(Permission::Owner) {
        return Err(Error::Forbidden(format!(
            "only owners of {} can do this, and {} is not an owner",
            owner.name, user.name
        )));
    }
    Ok(CanHook { owner })
}

/// Whether a caller may see, or change, his own webhooks.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::Forbidden`] naming the missing scope, or the token's limit that is in the way.
pub fn can_hook_own(conn: &mut PgConnection, caller: &Caller, level: Level) -> Result<CanHook> {
    let user = caller.signed_in()?;
    caller.demand(Area::User, level)?;
    Ok(CanHook { owner: visit(conn, caller, &user.name)? })
}

fn visit_kind(conn: &mut PgConnection, caller: &Caller, name: &OwnerName, kind: OwnerKind) -> Result<Visited> {
    match kind {
        OwnerKind::User => visit_user(conn, caller, name),
        OwnerKind::Organization => visit_org(conn, caller, name),
    }
}
