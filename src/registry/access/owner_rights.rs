//! Rights to owners: manage an organization or see it from inside, change a user or one's own account, see and set
//! quotas, manage webhooks, read the audit log.

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
    pub fn user(&self) -> &Visited {
        &self.owner
    }
}

/// Checks that a caller may change their own account: any signed-in user whose credential is not a token.
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
    pub fn org(&self) -> &Visited {
        &self.owner
    }
}

/// Checks that a caller may manage an organization. A token that is limited to some packages must not: with a team or a
/// robot, it would give others access to all of them.
///
/// # Errors
/// As [`super::can_publish`]; [`Error::NotFound`] also when the name belongs to a user.
pub fn can_govern(conn: &mut PgConnection, caller: &Caller, org: &OwnerName) -> Result<CanGovern> {
    let owner = visit_own_org(conn, caller, org, Level::Write)?;
    caller.demand_no_package_limit()?;
    Ok(CanGovern { owner })
}

/// The right to see what only the owners of an organization see: its robots.
#[derive(Debug, Clone)]
pub struct CanOversee {
    owner: Visited,
}

impl CanOversee {
    pub fn org(&self) -> &Visited {
        &self.owner
    }
}

/// Checks that a caller may see what only the owners of an organization see.
///
/// # Errors
/// As [`can_govern`], but a token needs only `read:organization`.
pub fn can_oversee(conn: &mut PgConnection, caller: &Caller, org: &OwnerName) -> Result<CanOversee> {
    Ok(CanOversee { owner: visit_own_org(conn, caller, org, Level::Read)? })
}

/// The right to see an organization from inside: its teams and their members.
#[derive(Debug, Clone)]
pub struct CanInspect {
    owner: Visited,
}

impl CanInspect {
    pub fn org(&self) -> &Visited {
        &self.owner
    }
}

/// Checks that a caller may see an organization from inside, as its members and administrators may.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`] when the caller cannot see the organization at all;
/// [`Error::Forbidden`] naming the missing scope or right.
pub fn can_inspect(conn: &mut PgConnection, caller: &Caller, org: &OwnerName) -> Result<CanInspect> {
    let user = caller.signed_in()?;
    caller.demand_scope(Area::Organization, Level::Read)?;
    let owner = visit_org(conn, caller, org)?;
    if !owner.is_member() {
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
    pub fn user(&self) -> &Visited {
        &self.owner
    }
}

/// Checks that a caller may change a user as a site administrator.
///
/// # Errors
/// As [`Caller::demand_admin`]; [`Error::NotFound`]; [`Error::Forbidden`] also when the token's limits exclude the
/// user.
pub fn can_administer(conn: &mut PgConnection, caller: &Caller, user: &OwnerName) -> Result<CanAdminister> {
    caller.demand_admin(Level::Write)?;
    Ok(CanAdminister { owner: visit_user(conn, caller, user)? })
}

/// The right to read the audit log.
#[derive(Debug, Clone)]
pub struct CanAudit {
    owners: Option<Vec<OwnerId>>,
}

impl CanAudit {
    /// The only owners whose records the caller may read, when a token is limited to some owners.
    pub fn owners(&self) -> Option<&[OwnerId]> {
        self.owners.as_deref()
    }
}

/// Checks that a caller may read the audit log: site administrators may. A token may be limited to some owners. One that
/// is limited to some packages or to what is public may not, because records don't say which of them they are about.
///
/// # Errors
/// As [`Caller::demand_admin`]; [`Error::Forbidden`] naming the token's limit.
pub fn can_audit(caller: &Caller) -> Result<CanAudit> {
    caller.demand_admin(Level::Read)?;
    caller.demand_all_packages()?;
    Ok(CanAudit { owners: caller.limits().owners })
}

/// The right to see an owner's quota.
#[derive(Debug, Clone)]
pub struct CanSeeQuota {
    owner: Visited,
}

impl CanSeeQuota {
    pub fn owner(&self) -> &Visited {
        &self.owner
    }
}

/// Checks that a caller may see an owner's quota: the user themselves, an organization's members and site
/// administrators may.
///
/// # Errors
/// As [`super::visit`]; [`Error::NotFound`] also when the name belongs to the other kind of owner; [`Error::Forbidden`]
/// naming the missing scope or right.
pub fn can_see_quota(
    conn: &mut PgConnection,
    caller: &Caller,
    name: &OwnerName,
    kind: OwnerKind,
) -> Result<CanSeeQuota> {
    let user = caller.signed_in()?;
    let area = if kind == OwnerKind::User { Area::User } else { Area::Organization };
    caller.demand_scope(area, Level::Read)?;
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
    pub fn owner(&self) -> &Visited {
        &self.owner
    }
}

/// Checks that a caller may set an owner's quota: only site administrators may.
///
/// # Errors
/// As [`Caller::demand_admin`] and [`super::visit`]; [`Error::NotFound`] also when the name belongs to the other kind
/// of owner.
pub fn can_set_quota(
    conn: &mut PgConnection,
    caller: &Caller,
    name: &OwnerName,
    kind: OwnerKind,
) -> Result<CanSetQuota> {
    caller.demand_admin(Level::Write)?;
    Ok(CanSetQuota { owner: visit_kind(conn, caller, name, kind)? })
}

/// The right to see and change an owner's webhooks. Webhooks send package data to any address, so this is a right of
/// its own.
#[derive(Debug, Clone)]
pub struct CanHook {
    owner: Visited,
}

impl CanHook {
    pub fn owner(&self) -> &Visited {
        &self.owner
    }
}

/// The owner of the webhooks that a request is about.
#[derive(Debug, Clone)]
pub enum HooksOf {
    /// The user who is signed in.
    SignedInUser,
    Organization(OwnerName),
}

/// Checks that a caller may see or change these webhooks: users may do so with their own, and an organization's owners
/// and site administrators with the organization's.
///
/// # Errors
/// As [`visit_org`]; [`Error::Unauthenticated`]; [`Error::Forbidden`] naming the missing scope or right, or the token's
/// limit that excludes the owner.
pub fn can_hook(conn: &mut PgConnection, caller: &Caller, of: &HooksOf, level: Level) -> Result<CanHook> {
    let owner = match of {
        HooksOf::SignedInUser => {
            let user = caller.signed_in()?;
            caller.demand_scope(Area::User, level)?;
            visit(conn, caller, &user.name)?
        }
        HooksOf::Organization(org) => visit_own_org(conn, caller, org, level)?,
    };
    caller.demand_all_packages()?;
    Ok(CanHook { owner })
}

/// The right to say who may do what with an owner's packages: its grants and its protection rules.
#[derive(Debug, Clone)]
pub struct CanShare {
    owner: Visited,
}

impl CanShare {
    pub fn owner(&self) -> &Visited {
        &self.owner
    }
}

/// Checks that a caller may see or change an owner's grants and protection rules: the user themselves, an organization's
/// owners and site administrators may. A token needs the scope for organizations: one that only publishes must not be
/// able to give others lasting access.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`] when the caller cannot see the owner as such; [`Error::Forbidden`]
/// naming the missing scope or right, or the token's limit to some packages.
pub fn can_share(conn: &mut PgConnection, caller: &Caller, owner: &OwnerName, level: Level) -> Result<CanShare> {
    let user = caller.signed_in()?;
    caller.demand_scope(Area::Organization, level)?;
    let owner = visit(conn, caller, owner)?;
    if owner.permission() < Some(Permission::Owner) {
        return Err(Error::Forbidden(format!(
            "only owners of {} can do this, and {} is not an owner",
            owner.name, user.name
        )));
    }
    caller.demand_all_packages()?;
    Ok(CanShare { owner })
}

/// Finds an organization that the caller owns. Site administrators count as owners of every organization.
fn visit_own_org(conn: &mut PgConnection, caller: &Caller, org: &OwnerName, level: Level) -> Result<Visited> {
    let user = caller.signed_in()?;
    caller.demand_scope(Area::Organization, level)?;
    let owner = visit_org(conn, caller, org)?;
    if owner.permission() < Some(Permission::Owner) {
        return Err(Error::Forbidden(format!(
            "only owners of {} can do this, and {} is not an owner",
            owner.name, user.name
        )));
    }
    Ok(owner)
}
