//! Organizations. [`super::teams`] has their teams, [`super::members`] the users in them.

use super::namespace::{self, OwnerEdit, Profile};
use crate::db::schema::{owners as owners_table, team_members, teams as teams_table};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, TeamId};
use crate::domain::names::OwnerName;
use crate::domain::role::{OwnerKind, Permission, Visibility};
use crate::error::{Error, Result, What};
use crate::registry::access::{CanGovern, readable, visit_org, within_token_limits};
use crate::registry::audit::{self, Event};
use crate::registry::caller::Caller;
use crate::registry::packages::lifecycle;
use crate::registry::pages::{Page, Slice};
use diesel::dsl::{count, exists, max};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use serde_json::json;
use std::collections::{HashMap, HashSet};

/// An organization, with the fields that everyone who sees it may see.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = owners_table)]
pub struct Org {
    pub id: OwnerId,
    pub name: OwnerName,
    pub full_name: String,
    #[diesel(embed)]
    pub profile: Profile,
    pub visibility: Visibility,
}

/// The organization with this id.
///
/// # Errors
/// Database errors.
pub fn find(conn: &mut PgConnection, id: OwnerId) -> Result<Option<Org>> {
    let orgs = owners_table::table.filter(owners_table::kind.eq(OwnerKind::Organization));
    Ok(orgs.filter(owners_table::id.eq(id)).select(Org::as_select()).first(conn).optional()?)
}

/// An organization that the caller may see.
///
/// # Errors
/// As [`visit_org`].
pub fn see(conn: &mut PgConnection, caller: &Caller, name: &OwnerName) -> Result<Org> {
    let id = visit_org(conn, caller, name)?.id;
    find(conn, id)?.ok_or(Error::NotFound(What::Organization))
}

/// The organizations to list, of those that the caller may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    All,
    /// The organizations that a user is a member of.
    Of(OwnerId),
}

type Condition<'a> = Box<dyn BoxableExpression<owners_table::table, Pg, SqlType = Bool> + 'a>;

/// The organizations that a caller may see, within the limits of their token, by name.
///
/// # Errors
/// Database errors.
pub fn list(conn: &mut PgConnection, caller: &Caller, which: Which, slice: Slice) -> Result<Page<Org>> {
    let condition = || -> Condition<'_> {
        let seen = owners_table::kind
            .eq(OwnerKind::Organization)
            .and(readable(caller.visibility_limit()))
            .and(within_token_limits(caller.limits()));
        match which {
            Which::All => Box::new(seen),
            Which::Of(user) => Box::new(
                seen.and(exists(
                    teams_table::table
                        .inner_join(team_members::table)
                        .filter(teams_table::org_id.eq(owners_table::id))
                        .filter(team_members::user_id.eq(user)),
                )),
            ),
        }
    };
    let total = owners_table::table.filter(condition()).count().get_result(conn)?;
    let rows = owners_table::table.filter(condition()).order(owners_table::lower_name);
    let rows = rows.offset(slice.offset).limit(slice.limit).select(Org::as_select());
    Ok(Page { items: rows.load(conn)?, total })
}

/// The organizations that the caller is a member of, by name, each with the caller's permission.
///
/// # Errors
/// [`Error::Unauthenticated`]; database errors.
pub fn of_caller(conn: &mut PgConnection, caller: &Caller, slice: Slice) -> Result<Page<(Org, Permission)>> {
    let user = caller.signed_in()?.id;
    let page = list(conn, caller, Which::Of(user), slice)?;
    let ids: Vec<OwnerId> = page.items.iter().map(|org| org.id).collect();
    let best: HashMap<OwnerId, Option<Permission>> = teams_table::table
        .inner_join(team_members::table)
        .filter(team_members::user_id.eq(user))
        .filter(teams_table::org_id.eq_any(&ids))
        .filter(teams_table::package_patterns.is_null())
        .group_by(teams_table::org_id)
        .select((teams_table::org_id, max(teams_table::permission)))
        .load(conn)?
        .into_iter()
        .collect();
    // Members who are only in limited teams see the organization, and those packages.
    let with = |org: Org| {
        let permission = best.get(&org.id).copied().flatten().unwrap_or(Permission::Read);
        (org, permission)
    };
    Ok(Page { items: page.items.into_iter().map(with).collect(), total: page.total })
}

/// The contents of an organization, which are deleted with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    pub packages: i64,
    pub teams: i64,
    pub members: i64,
}

/// Counts the contents of an organization.
///
/// # Errors
/// Database errors.
pub fn holdings(conn: &mut PgConnection, right: &CanGovern) -> Result<Holdings> {
    let org = right.org().id;
    let teams = teams_table::table.filter(teams_table::org_id.eq(org));
    let members = teams.inner_join(team_members::table).select(count(team_members::user_id).aggregate_distinct());
    Ok(Holdings {
        packages: lifecycle::count(conn, org)?,
        teams: teams.count().get_result(conn)?,
        members: members.first(conn)?,
    })
}

/// Changes an organization's settings.
///
/// # Errors
/// [`Error::Forbidden`] for a visibility that the token in use cannot see.
pub fn update(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanGovern,
    edit: &OwnerEdit,
    now: Timestamp,
) -> Result<()> {
    let org = right.org();
    let mut detail = json!({"changed": edit.fields()});
    if let Some(visibility) = edit.visibility {
        caller.demand_visible(&org.name, visibility)?;
        if let Some(detail) = detail.as_object_mut() {
            detail.insert("visibility".to_owned(), json!(visibility.as_str()));
        }
    }
    namespace::edit(conn, org.id, edit)?;
    audit::record_owner(conn, caller, Event::OrgUpdate, (org.id, &org.name), detail, now)
}

/// Renames an organization. The old name redirects to it until someone else takes that name.
///
/// # Errors
/// [`Error::Invalid`] for a reserved name, [`Error::Conflict`] for one that is taken.
pub fn rename(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanGovern,
    to: &OwnerName,
    now: Timestamp,
) -> Result<()> {
    let org = right.org();
    namespace::rename(conn, (org.id, OwnerKind::Organization), to, "new_name", now)?;
    audit::record_owner(conn, caller, Event::OrgRename, (org.id, to), json!({"from": org.name}), now)
}

/// Deletes an organization that owns no packages.
///
/// # Errors
/// [`Error::Blocked`] naming the number of packages it owns.
pub fn delete(conn: &mut PgConnection, caller: &Caller, right: &CanGovern, now: Timestamp) -> Result<()> {
    let org = right.org();
    namespace::lock(conn, org.id)?;
    lifecycle::demand_none(conn, org.id, &org.name)?;
    namespace::delete(conn, org.id, now)?;
    audit::record_owner(conn, caller, Event::OrgDelete, (org.id, &org.name), json!({}), now)
}

/// The owner teams of an organization, locked.
pub(in crate::registry) struct Owning {
    org: OwnerId,
    had_owner: bool,
}

impl Owning {
    /// Locks the owner teams. From here to the end of their transactions, owners who leave at the same moment take
    /// turns, whichever teams they are in, and so does everyone who changes or deletes one of the teams.
    ///
    /// # Errors
    /// Database errors.
    pub(in crate::registry) fn lock(conn: &mut PgConnection, org: OwnerId) -> Result<Self> {
        let owning = teams_table::table
            .filter(teams_table::org_id.eq(org))
            .filter(teams_table::permission.eq(Permission::Owner))
            .order(teams_table::id)
            .select(teams_table::id)
            .for_update();
        let _: Vec<TeamId> = owning.load(conn)?;
        Ok(Self { org, had_owner: has_owner(conn, org)? })
    }

    /// Checks, after all changes, that the organization still has an owner.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when no owner is left.
    pub(in crate::registry) fn demand_left(self, conn: &mut PgConnection) -> Result<()> {
        if !self.had_owner || has_owner(conn, self.org)? {
            return Ok(());
        }
        Err(Error::Forbidden(
            "this would remove the last owner of the organization: make someone else an owner first".to_owned(),
        ))
    }
}

/// The only owner of an organization, if it has exactly one: they can neither leave nor lose the right.
///
/// # Errors
/// Database errors.
pub fn only_owner(conn: &mut PgConnection, org: OwnerId) -> Result<Option<OwnerId>> {
    let owners: Vec<OwnerId> = teams_table::table
        .inner_join(team_members::table)
        .filter(teams_table::org_id.eq(org))
        .filter(teams_table::permission.eq(Permission::Owner))
        .select(team_members::user_id)
        .distinct()
        .limit(2)
        .load(conn)?;
    Ok(if let [only] = owners.as_slice() { Some(*only) } else { None })
}

/// Those of some organizations whose only owner is this user.
///
/// # Errors
/// Database errors.
pub fn only_owned_by(conn: &mut PgConnection, user: OwnerId, orgs: &[OwnerId]) -> Result<HashSet<OwnerId>> {
    let owners: Vec<(OwnerId, OwnerId)> = teams_table::table
        .inner_join(team_members::table)
        .filter(teams_table::org_id.eq_any(orgs))
        .filter(teams_table::permission.eq(Permission::Owner))
        .select((teams_table::org_id, team_members::user_id))
        .distinct()
        .load(conn)?;
    let (own, others): (Vec<_>, Vec<_>) = owners.into_iter().partition(|(_, owner)| *owner == user);
    let others: HashSet<OwnerId> = others.into_iter().map(|(org, _)| org).collect();
    Ok(own.into_iter().map(|(org, _)| org).filter(|org| !others.contains(org)).collect())
}

fn has_owner(conn: &mut PgConnection, org: OwnerId) -> Result<bool> {
    let owners = teams_table::table
        .inner_join(team_members::table)
        .filter(teams_table::org_id.eq(org))
        .filter(teams_table::permission.eq(Permission::Owner))
        .select(teams_table::id);
    Ok(diesel::select(exists(owners)).get_result(conn)?)
}
