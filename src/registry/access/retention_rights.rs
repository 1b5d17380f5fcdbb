//! Rights to an owner's retention rules, which are about all of its packages.

use super::visibility::{Visited, visit};
use crate::domain::names::OwnerName;
use crate::domain::role::{Area, Level, Permission};
use crate::error::{Error, Result};
use crate::registry::caller::Caller;
use diesel::prelude::*;

/// The right to see an owner's retention rules and what they would delete.
#[derive(Debug, Clone)]
pub struct CanSeeRetention {
    owner: Visited,
    sees_drafts: bool,
}

impl CanSeeRetention {
    pub fn owner(&self) -> &Visited {
        &self.owner
    }

    /// Whether the caller's credential may publish, and so see drafts.
    pub fn sees_drafts(&self) -> bool {
        self.sees_drafts
    }
}

/// Checks that a caller may see an owner's retention rules, as everybody may who may publish there.
///
/// # Errors
/// [`Error::Unauthenticated`]; as [`visit`]; [`Error::Forbidden`] naming the missing scope or right, also for a token
/// that is limited to some packages.
pub fn can_see_retention(conn: &mut PgConnection, caller: &Caller, name: &OwnerName) -> Result<CanSeeRetention> {
    let user = caller.signed_in()?;
    let owner = visit_whole(conn, caller, (name, Level::Read))?;
    if owner.permission() < Some(Permission::Write) {
        return Err(Error::Forbidden(format!("{} does not have write access to {}", user.name, owner.name)));
    }
    Ok(CanSeeRetention { owner, sees_drafts: caller.may_publish() })
}

/// The right to change an owner's retention rules.
#[derive(Debug, Clone)]
pub struct CanSetRetention {
    owner: Visited,
}

impl CanSetRetention {
    pub fn owner(&self) -> &Visited {
        &self.owner
    }

    /// Everyone who may change the rules may also see them.
    pub fn to_see(&self) -> CanSeeRetention {
        CanSeeRetention { owner: self.owner.clone(), sees_drafts: true }
    }
}

/// Checks that a caller may change an owner's retention rules: users may do so with their own, and an organization's
/// owners and site administrators with the organization's.
///
/// # Errors
/// As [`can_see_retention`].
pub fn can_set_retention(conn: &mut PgConnection, caller: &Caller, name: &OwnerName) -> Result<CanSetRetention> {
    let user = caller.signed_in()?;
    let owner = visit_whole(conn, caller, (name, Level::Write))?;
    if owner.permission() < Some(Permission::Owner) {
        return Err(Error::Forbidden(format!(
            "only an owner of {} can change its retention rules, and {} is not one",
            owner.name, user.name
        )));
    }
    Ok(CanSetRetention { owner })
}

/// Finds an owner for something that is about all of its packages.
fn visit_whole(conn: &mut PgConnection, caller: &Caller, (name, level): (&OwnerName, Level)) -> Result<Visited> {
    caller.demand_scope(Area::Package, level)?;
    let owner = visit(conn, caller, name)?;
    caller.demand_all_packages()?;
    Ok(owner)
}
