//! Rights to owners: to govern an organization or see it from inside, to change a user or oneself; to see and to set
//! quotas; to have webhooks; to read the record of changes.

use super::visibility::{Visited, visit, visit_kind, visit_org, visit_user};
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::role::{Area, Level, OwnerKind, Permission};
use crate::error::{Error, Result};
use crate::registry::caller::Caller;
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

/// The right to change an organization itself: its settings, teams and members.
#[derive(Debug, Clone)]
pub struct CanGovern {
    owner: Visited,
}

impl CanGovern {
    /// The organization.
    pub fn org(&self) -> &Visited {
        &self.owner
    }
}

/// Whether a caller may govern an organization.
///
/// # Errors
/// As [`super::can_publish`]; [`Error::NotFound`] also when the name is a user's.
pub fn can_govern(conn: &mut PgConnection, caller: &Caller, org: &OwnerName) -> Result<CanGovern> {
    Ok(CanGovern { owner: visit_own_org(conn, caller, org, Level::Write)? })
}

/// The right to see an organization from inside: its teams, and who is in them.
#[derive(Debug, Clone)]
pub struct CanInspect {
    owner: Visited,
}

impl CanInspect {
    /// The organization.
    pub fn org(&self) -> &Visited {
        &self.owner
    }
}

/// Whether a caller may see an organization from inside, as its members and administrators do.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`] when he may not even see it; [`Error::Forbidden`] naming the missing
/// scope or right.
pub fn can_inspect(conn: &mut PgConnection, caller: &Caller, org: &OwnerName) -> Result<CanInspect> {
    let user = caller.signed_in()?;
    caller.demand(Area::Organization, Level::Read)?;
    let owner = visit_org(conn, caller, org)?;
    if owner.permission().is_none() {
        return Err(Error::Forbidden(format!(
            "only members of {} can do this, and {} is not a member",
            owner.name, user.name
        )));
    }
    Ok(CanInspect { owner })
}

/// The right of a site administrator to change a user.
#[derive(Debug, Clone)]
pub struct CanAdminister {
    owner: Visited,
}

impl CanAdminister {
    /// The user.
    pub fn user(&self) -> &Visited {
        &self.owner
    }
}

/// Whether a caller may change a user as a site administrator.
///
/// # Errors
/// As [`Caller::demand_admin`]; [`Error::NotFound`]; [`Error::Forbidden`] also when it is the token's limits that are in
/// the way.
pub fn can_administer(conn: &mut PgConnection, caller: &Caller, user: &OwnerName) -> Result<CanAdminister> {
    caller.demand_admin(Level::Write)?;
    Ok(CanAdminister { owner: visit_user(conn, caller, user)? })
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
/// As [`super::visit`]; [`Error::NotFound`] also when the name is of the other kind; [`Error::Forbidden`] naming the
/// missing scope or right.
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
    if owner.permission().is_none() {
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

/// Whose webhooks are meant.
#[derive(Debug, Clone)]
pub enum HooksOf {
    /// The user who is signed in.
    SignedInUser,
    Organization(OwnerName),
}

/// Whether a caller may see, or change, these webhooks: users may their own, and an organization's owners and site
/// administrators may the organization's.
///
/// # Errors
/// As [`visit_org`]; [`Error::Unauthenticated`]; [`Error::Forbidden`] naming the missing scope or right, or the token's
/// limit that is in the way.
pub fn can_hook(conn: &mut PgConnection, caller: &Caller, of: &HooksOf, level: Level) -> Result<CanHook> {
    let owner = match of {
        HooksOf::SignedInUser => {
            let user = caller.signed_in()?;
            caller.demand(Area::User, level)?;
            visit(conn, caller, &user.name)?
        }
        HooksOf::Organization(org) => visit_own_org(conn, caller, org, level)?,
    };
    Ok(CanHook { owner })
}

/// Finds an organization that the caller owns. To site administrators they all count as their own.
fn visit_own_org(conn: &mut PgConnection, caller: &Caller, org: &OwnerName, level: Level) -> Result<Visited> {
    let user = caller.signed_in()?;
    caller.demand(Area::Organization, level)?;
    let owner = visit_org(conn, caller, org)?;
    if owner.permission() < Some(Permission::Owner) {
        return Err(Error::Forbidden(format!(
            "only owners of {} can do this, and {} is not an owner",
            owner.name, user.name
        )));
    }
    Ok(owner)
}
