//! Deleting a user. Nobody else loses anything by it: the deletion is refused while other people share what the user
//! owns.

use super::edit::demand_other_admin;
use crate::db::schema::{owners as owners_table, packages as packages_table, team_members, teams, tokens, users};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, TeamId};
use crate::domain::names::OwnerName;
use crate::domain::role::{Permission, Visibility};
use crate::error::{Error, Result, What};
use crate::registry::access::{CanAdminister, CanChangeOwn, Visited};
use crate::registry::accounts::{passkeys, two_factor};
use crate::registry::audit::{self, Event};
use crate::registry::caller::Caller;
use crate::registry::owners::namespace;
use crate::registry::packages::lifecycle::{self, Deleted};
use crate::registry::packages::quotas::{self, Usage};
use diesel::prelude::*;
use serde_json::json;

/// An organization whose last owner is the user.
struct Orphan {
    id: OwnerId,
    name: OwnerName,
    visibility: Visibility,
    /// Whether other people are in any of its teams.
    has_others: bool,
}

/// Deletes a user. Without `purge`, only a user who owns no package and is not the last owner of any organization. With
/// `purge`, the user's packages are deleted too, and the organizations that have no other member, with their packages.
///
/// # Errors
/// [`Error::Blocked`] for the caller's own account, for the last administrator who can sign in, and where the rules above
/// forbid the deletion. With `purge`, also for an organization that has other members: they keep it only if one of them
/// becomes its owner. [`Error::Forbidden`] for an organization outside the limits of the token in use.
pub fn delete(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanAdminister,
    purge: bool,
    now: Timestamp,
) -> Result<()> {
    let user = right.user();
    if caller.user().is_some_and(|own| own.id == user.id) {
        return Err(Error::Blocked("you cannot delete your own account here: ask another administrator".to_owned()));
    }
    erase(conn, caller, user, purge, now)
}

/// Deletes the caller's own account if it owns no package and is not the last owner of any organization.
///
/// # Errors
/// [`Error::Blocked`] where the rules above forbid the deletion, and for the last administrator who can sign in.
pub fn delete_own(conn: &mut PgConnection, caller: &Caller, right: &CanChangeOwn, now: Timestamp) -> Result<()> {
    erase(conn, caller, right.user(), false, now)
}

/// The reasons why the caller cannot delete their own account, each as a sentence.
///
/// # Errors
/// Database errors.
pub fn obstacles(conn: &mut PgConnection, right: &CanChangeOwn) -> Result<Vec<String>> {
    let user = right.user();
    let found = [
        demand_no_packages(conn, user),
        refusal(user, &last_owner_of(conn, user.id)?, false).map_or(Ok(()), Err),
        super::edit::demand_other_able(&super::edit::able_admins(conn, false)?, user.id, &user.name),
    ];
    let mut sentences = Vec::new();
    for one in found {
        match one {
            Ok(()) => {}
            Err(Error::Blocked(text)) => sentences.push(format!("{text}.")),
            Err(error) => return Err(error),
        }
    }
    Ok(sentences)
}

/// The things of a user that are deleted with them or prevent the deletion.
#[derive(Debug, Clone)]
pub struct Holdings {
    pub packages: i64,
    pub usage: Usage,
    pub tokens: i64,
    pub has_second_factor: bool,
    pub passkeys: i64,
    /// Organizations whose last owner the user is, and whether other people are in them.
    pub orgs: Vec<(OwnerName, bool)>,
}

/// Counts what a user has.
///
/// # Errors
/// Database errors.
pub fn holdings(conn: &mut PgConnection, right: &CanAdminister) -> Result<Holdings> {
    let user = right.user().id;
    Ok(Holdings {
        packages: packages_table::table.filter(packages_table::owner_id.eq(user)).count().get_result(conn)?,
        usage: quotas::usage(conn, user)?,
        tokens: tokens::table.filter(tokens::user_id.eq(user)).count().get_result(conn)?,
        has_second_factor: two_factor::is_enrolled(conn, user)?,
        passkeys: passkeys::count(conn, user)?,
        orgs: last_owner_of(conn, user)?.into_iter().map(|org| (org.name, org.has_others)).collect(),
    })
}

fn erase(conn: &mut PgConnection, caller: &Caller, user: &Visited, purge: bool, now: Timestamp) -> Result<()> {
    demand_other_admin(conn, user.id, &user.name)?;
    let orphans = orphans(conn, user.id)?;
    if let Some(refusal) = refusal(user, &orphans, purge) {
        return Err(refusal);
    }
    for org in &orphans {
        caller.demand_owner(org.id, &org.name, org.visibility)?;
    }
    let mut deleted = Deleted::default();
    for org in &orphans {
        deleted += lifecycle::delete_all(conn, (org.id, &org.name), now)?;
        demand_alone(conn, user, org.id)?;
        namespace::delete(conn, org.id, now)?;
    }
    if purge {
        deleted += lifecycle::delete_all(conn, (user.id, &user.name), now)?;
    } else {
        namespace::lock(conn, user.id)?;
        demand_no_packages(conn, user)?;
    }
    demand_no_orphans(conn, user)?;
    namespace::delete(conn, user.id, now)?;
    let orgs: Vec<&OwnerName> = orphans.iter().map(|org| &org.name).collect();
    let detail = json!({
        "purge": purge, "organizations": orgs,
        "packages": deleted.packages, "versions": deleted.versions, "bytes": deleted.bytes,
    });
    audit::record_owner(conn, caller, Event::UserDelete, (user.id, &user.name), detail, now)
}

fn demand_no_packages(conn: &mut PgConnection, user: &Visited) -> Result<()> {
    lifecycle::demand_none(conn, user.id, &user.name).map_err(|error| match error {
        // Pages capitalize the first letter, which must not be part of a username.
        Error::Blocked(text) => Error::Blocked(format!("the user {text}")),
        other => other,
    })
}

/// Checks again that nobody else is in the organization: somebody may have joined before its teams were locked.
fn demand_alone(conn: &mut PgConnection, user: &Visited, org: OwnerId) -> Result<()> {
    let mut now = orphans(conn, user.id)?;
    now.retain(|orphan| orphan.id == org);
    refusal(user, &now, true).map_or(Ok(()), Err)
}

/// Checks again that the user is not an organization's last owner: they may have become one before they were locked out
/// of teams. The user's row is locked last, because publishers lock their package, then its owner, then its creator.
fn demand_no_orphans(conn: &mut PgConnection, user: &Visited) -> Result<()> {
    let locked = users::table.find(user.id).select(users::id).for_update();
    locked.first::<OwnerId>(conn).optional()?.ok_or(Error::NotFound(What::User))?;
    refusal(user, &orphans(conn, user.id)?, false).map_or(Ok(()), Err)
}

fn refusal(user: &Visited, orphans: &[Orphan], purge: bool) -> Option<Error> {
    let kept: Vec<&str> = orphans.iter().filter(|org| !purge || org.has_others).map(|org| org.name.as_str()).collect();
    let name = &user.name;
    match (kept.as_slice(), purge) {
        ([], _) => None,
        (kept, false) => Some(Error::Blocked(format!(
            "the user {name} is the sole owner of {}. Make someone else an owner, or delete the organization first",
            kept.join(", ")
        ))),
        (kept, true) => Some(Error::Blocked(format!(
            "the user {name} is the sole owner of {}, which has other members. Make one of them an owner first",
            kept.join(", ")
        ))),
    }
}

fn owned_by(conn: &mut PgConnection, user: OwnerId) -> Result<Vec<OwnerId>> {
    Ok(teams::table
        .inner_join(team_members::table)
        .filter(team_members::user_id.eq(user))
        .filter(teams::permission.eq(Permission::Owner))
        .select(teams::org_id)
        .load(conn)?)
}

/// The organizations whose last owner is the user. Nobody can leave or join any of their teams until the end of the
/// transaction.
fn orphans(conn: &mut PgConnection, user: OwnerId) -> Result<Vec<Orphan>> {
    let owned = owned_by(conn, user)?;
    let teams = teams::table.filter(teams::org_id.eq_any(&owned)).order(teams::id).select(teams::id);
    let _: Vec<TeamId> = teams.for_update().load(conn)?;
    without_others(conn, user, &owned)
}

/// The organizations whose last owner is the user at this moment, without locks.
fn last_owner_of(conn: &mut PgConnection, user: OwnerId) -> Result<Vec<Orphan>> {
    let owned = owned_by(conn, user)?;
    without_others(conn, user, &owned)
}

/// The organizations among these that have no other owner.
fn without_others(conn: &mut PgConnection, user: OwnerId, owned: &[OwnerId]) -> Result<Vec<Orphan>> {
    let seats: Vec<(OwnerId, Permission)> = teams::table
        .inner_join(team_members::table)
        .filter(teams::org_id.eq_any(owned))
        .filter(team_members::user_id.ne(user))
        .select((teams::org_id, teams::permission))
        .load(conn)?;
    let orgs: Vec<(OwnerId, OwnerName, Visibility)> = owners_table::table
        .filter(owners_table::id.eq_any(owned))
        .order(owners_table::lower_name)
        .select((owners_table::id, owners_table::name, owners_table::visibility))
        .load(conn)?;
    let of = |id: OwnerId| seats.iter().filter(move |(org, _)| *org == id);
    Ok(orgs
        .into_iter()
        .filter(|(id, ..)| !of(*id).any(|(_, permission)| *permission == Permission::Owner))
        .map(|(id, name, visibility)| Orphan { id, has_others: of(id).next().is_some(), name, visibility })
        .collect())
}
