//! Members of an organization: the users in its teams.

use super::orgs::Owning;
use super::teams::Team;
use crate::db::schema::{owners, team_members, teams, users as users_table};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, TeamId};
use crate::domain::names::OwnerName;
use crate::domain::role::{Area, Level, OwnerKind, Permission};
use crate::error::{Error, Result, What};
use crate::registry::access::{
    CanGovern, CanInspect, Visited, absent, can_govern, can_inspect, readable, visit_org, visit_user,
};
use crate::registry::accounts::users::{self, User};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::like::escape_like;
use crate::registry::pages::{Page, Slice};
use diesel::dsl::{exists, max};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use serde_json::json;

/// Adds a user to a team; false when the user is in it already.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn insert(
    conn: &mut PgConnection,
    team: TeamId,
    user: OwnerId,
    now: Timestamp,
) -> Result<bool> {
    let values = (team_members::team_id.eq(team), team_members::user_id.eq(user), team_members::created_at.eq(now));
    Ok(diesel::insert_into(team_members::table).values(values).on_conflict_do_nothing().execute(conn)? == 1)
}

/// Adds a user to a team. A user who is in it already stays.
///
/// # Errors
/// [`Error::NotFound`] for a user who does not exist or whom the caller cannot see.
pub fn add(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanGovern,
    team: &Team,
    user: &OwnerName,
    now: Timestamp,
) -> Result<()> {
    let (id, name): (OwnerId, OwnerName) = owners::table
        .filter(owners::lower_name.eq(user.lower()))
        .filter(owners::kind.eq(OwnerKind::User))
        .filter(readable(caller.visibility_limit()))
        .select((owners::id, owners::name))
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::User))?;
    if insert(conn, team.id, id, now)? {
        record(conn, caller, Event::MemberAdd, right, format!("{}/{name}", team.name), now)?;
    }
    Ok(())
}

/// Removes a user from a team.
///
/// # Errors
/// [`Error::NotFound`] when the user is not in the team; [`Error::Forbidden`] when they are the last owner.
pub fn remove(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanGovern,
    team: &Team,
    user: &OwnerName,
    now: Timestamp,
) -> Result<()> {
    let user = users::find(conn, user)?.ok_or(Error::NotFound(What::User))?;
    let owning = Owning::lock(conn, team.org_id)?;
    if diesel::delete(team_members::table.find((team.id, user.id))).execute(conn)? == 0 {
        return Err(Error::NotFound(What::User));
    }
    owning.demand_left(conn)?;
    record(conn, caller, Event::MemberRemove, right, format!("{}/{}", team.name, user.name), now)
}

fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    event: Event,
    right: &CanGovern,
    text: String,
    now: Timestamp,
) -> Result<()> {
    let org = right.org();
    let subject = Subject { owner: Some((org.id, &org.name)), text, detail: json!({}) };
    audit::record(conn, caller, event, &subject, now)
}

/// The members to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MembersOf {
    /// The members of one team.
    Team(TeamId),
    /// The members of all teams of the organization.
    Org,
}

type Joined = diesel::helper_types::InnerJoinQuerySource<users_table::table, owners::table>;
type Condition<'a> = Box<dyn BoxableExpression<Joined, Pg, SqlType = Bool> + 'a>;

fn is_member(org: OwnerId, of: MembersOf) -> Condition<'static> {
    let seats = teams::table
        .inner_join(team_members::table)
        .filter(teams::org_id.eq(org))
        .filter(team_members::user_id.eq(users_table::id));
    match of {
        MembersOf::Org => Box::new(exists(seats)),
        MembersOf::Team(team) => Box::new(exists(seats.filter(teams::id.eq(team)))),
    }
}

/// The members by name, with the fields that the caller may see. Members see each other's names, whatever their
/// visibility.
///
/// # Errors
/// Database errors.
pub fn list(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanInspect,
    of: MembersOf,
    slice: Slice,
) -> Result<Page<User>> {
    search(conn, caller, right, of, "", slice)
}

/// The members whose name or full name contains a text, ignoring case.
///
/// # Errors
/// Database errors.
pub fn search(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanInspect,
    of: MembersOf,
    part: &str,
    slice: Slice,
) -> Result<Page<User>> {
    // No user has such a name, and Postgres rejects NUL in a text.
    if part.contains('\0') {
        return Ok(Page { items: Vec::new(), total: 0 });
    }
    let contains = format!("%{}%", escape_like(&part.to_lowercase()));
    let condition = || -> Condition<'_> {
        let members = is_member(right.org().id, of);
        let named = owners::lower_name.like(&contains).or(owners::full_name.ilike(&contains));
        if part.is_empty() { members } else { Box::new(members.and(named)) }
    };
    let all = || users_table::table.inner_join(owners::table).filter(condition());
    let total = all().count().get_result(conn)?;
    let rows = all().order(owners::lower_name).offset(slice.offset).limit(slice.limit);
    let found: Vec<User> = rows.select(User::as_select()).load(conn)?;
    Ok(Page { items: found.into_iter().map(|user| user.seen_by(caller)).collect(), total })
}

/// A member and their teams.
#[derive(Debug, Clone)]
pub struct Seated {
    pub user: User,
    /// By name; never empty.
    pub teams: Vec<Team>,
}

impl Seated {
    /// The member's permission in the organization: the highest of their teams that are not limited to some packages.
    pub fn permission(&self) -> Option<Permission> {
        self.teams.iter().filter(|team| team.package_patterns.is_none()).map(|team| team.permission).max()
    }
}

/// The members of an organization with their teams, filtered as in [`search`].
///
/// # Errors
/// Database errors.
pub fn roster(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanInspect,
    part: &str,
    slice: Slice,
) -> Result<Page<Seated>> {
    let page = search(conn, caller, right, MembersOf::Org, part, slice)?;
    Ok(Page { items: seat(conn, right.org().id, page.items)?, total: page.total })
}

fn seat(conn: &mut PgConnection, org: OwnerId, users: Vec<User>) -> Result<Vec<Seated>> {
    let ids: Vec<OwnerId> = users.iter().map(|user| user.id).collect();
    let seats: Vec<(OwnerId, Team)> = teams::table
        .inner_join(team_members::table)
        .filter(teams::org_id.eq(org))
        .filter(team_members::user_id.eq_any(&ids))
        .order(teams::lower_name)
        .select((team_members::user_id, Team::as_select()))
        .load(conn)?;
    let of = |user: &User| seats.iter().filter(|(id, _)| *id == user.id).map(|(_, team)| team.clone()).collect();
    Ok(users.into_iter().map(|user| Seated { teams: of(&user), user }).collect())
}

/// A member, with the fields that the caller may see.
///
/// # Errors
/// [`Error::NotFound`] for a user who is not a member; [`Error::Moved`] for a member's old name.
pub fn find(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanInspect,
    of: MembersOf,
    name: &OwnerName,
) -> Result<User> {
    let found: Option<User> = users_table::table
        .inner_join(owners::table)
        .filter(is_member(right.org().id, of))
        .filter(owners::lower_name.eq(name.lower()))
        .select(User::as_select())
        .first(conn)
        .optional()?;
    match found {
        Some(user) => Ok(user.seen_by(caller)),
        None if users::find(conn, name)?.is_some() => Err(Error::NotFound(What::User)),
        None => Err(absent(conn, caller, name, What::User)?),
    }
}

/// Checks that a user is a member of an organization. Members may ask about everybody; other users who see the
/// organization may ask about themselves.
///
/// # Errors
/// As [`can_inspect`] and [`find`].
pub fn demand_member(conn: &mut PgConnection, caller: &Caller, org: &OwnerName, user: &OwnerName) -> Result<()> {
    let own = caller.signed_in()?;
    caller.demand_scope(Area::Organization, Level::Read)?;
    if own.name.lower() != user.lower() {
        let right = can_inspect(conn, caller, org)?;
        return find(conn, caller, &right, MembersOf::Org, user).map(drop);
    }
    let org = visit_org(conn, caller, org)?;
    if is_in(conn, org.id, own.id)? { Ok(()) } else { Err(Error::NotFound(What::User)) }
}

/// A user's permission in an organization; `None` for a user who is not a member. Members may ask about everybody;
/// other users who see the organization may ask about themselves.
///
/// # Errors
/// As [`demand_member`]; [`Error::NotFound`] for a user who does not exist or whom the caller cannot see.
pub fn permission_of(
    conn: &mut PgConnection,
    caller: &Caller,
    org: &OwnerName,
    user: &OwnerName,
) -> Result<Option<Permission>> {
    let own = caller.signed_in()?;
    caller.demand_scope(Area::Organization, Level::Read)?;
    let org = match own.name.lower() == user.lower() {
        true => visit_org(conn, caller, org)?,
        false => can_inspect(conn, caller, org)?.org().clone(),
    };
    // By name in one query, so that a user whom the caller may not see costs no more than an absent one.
    let named = owners::table.filter(owners::lower_name.eq(user.lower())).select(owners::id);
    let best: Option<Permission> = teams::table
        .inner_join(team_members::table)
        .filter(teams::org_id.eq(org.id))
        .filter(team_members::user_id.eq_any(named))
        // A team that is limited to some packages gives no right to the organization.
        .filter(teams::package_patterns.is_null())
        .select(max(teams::permission))
        .first(conn)?;
    if best.is_none() && own.name.lower() != user.lower() {
        visit_user(conn, caller, user)?;
    }
    Ok(best)
}

/// Whether a user is a member of an organization.
///
/// # Errors
/// Database errors.
pub fn is_in(conn: &mut PgConnection, org: OwnerId, user: OwnerId) -> Result<bool> {
    let seats = teams::table
        .inner_join(team_members::table)
        .filter(teams::org_id.eq(org))
        .filter(team_members::user_id.eq(user));
    Ok(diesel::select(exists(seats)).get_result(conn)?)
}

/// The right to remove a member from an organization: its owners have it, and the member themselves.
#[derive(Debug, Clone)]
pub struct CanExpel {
    org: Visited,
    member: Seated,
}

impl CanExpel {
    pub fn org(&self) -> &Visited {
        &self.org
    }

    /// The member and the teams that they would be removed from.
    pub fn member(&self) -> &Seated {
        &self.member
    }
}

/// Checks that a caller may remove a member from an organization.
///
/// # Errors
/// As [`can_govern`]; [`Error::NotFound`] when the user is not a member.
pub fn can_expel(conn: &mut PgConnection, caller: &Caller, org: &OwnerName, user: &OwnerName) -> Result<CanExpel> {
    let own = caller.signed_in()?;
    let org = if own.name.lower() == user.lower() {
        caller.demand_scope(Area::Organization, Level::Write)?;
        visit_org(conn, caller, org)?
    } else {
        can_govern(conn, caller, org)?.org().clone()
    };
    let user = users::find(conn, user)?.ok_or(Error::NotFound(What::User))?.seen_by(caller);
    let member = seat(conn, org.id, vec![user])?.into_iter().find(|member| !member.teams.is_empty());
    Ok(CanExpel { org, member: member.ok_or(Error::NotFound(What::User))? })
}

/// Removes a member from all teams of an organization.
///
/// # Errors
/// [`Error::NotFound`] when the user is no longer a member; [`Error::Forbidden`] when they are the last owner.
pub fn expel(conn: &mut PgConnection, caller: &Caller, right: &CanExpel, now: Timestamp) -> Result<()> {
    let (org, user) = (right.org(), &right.member().user);
    let owning = Owning::lock(conn, org.id)?;
    let all = teams::table.filter(teams::org_id.eq(org.id)).select(teams::id);
    let seats = team_members::table.filter(team_members::user_id.eq(user.id)).filter(team_members::team_id.eq_any(all));
    if diesel::delete(seats).execute(conn)? == 0 {
        return Err(Error::NotFound(What::User));
    }
    owning.demand_left(conn)?;
    let subject = Subject { owner: Some((org.id, &org.name)), text: user.name.to_string(), detail: json!({}) };
    audit::record(conn, caller, Event::OrgMemberRemove, &subject, now)
}
