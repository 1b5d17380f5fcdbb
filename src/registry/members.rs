//! Who is in the teams of an organization: its members.

use super::access::{CanGovern, CanInspect, absent, can_govern, can_inspect, readable, visit_org};
use super::audit::{self, Event, Subject};
use super::caller::Caller;
use super::orgs::Owning;
use super::pages::{Page, Slice};
use super::teams::Team;
use super::users::{self, User};
use crate::db::schema::{owners, team_members, teams, users as users_table};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, TeamId};
use crate::domain::names::OwnerName;
use crate::domain::role::{Area, Level, OwnerKind};
use crate::error::{Error, Result, What};
use diesel::dsl::exists;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use serde_json::json;

/// Makes a user a member of a team; false: he is one.
///
/// # Errors
/// The database's.
pub(super) fn insert(conn: &mut PgConnection, team: TeamId, user: OwnerId, now: Timestamp) -> Result<bool> {
    let values = (team_members::team_id.eq(team), team_members::user_id.eq(user), team_members::created_at.eq(now));
    Ok(diesel::insert_into(team_members::table).values(values).on_conflict_do_nothing().execute(conn)? == 1)
}

/// Takes a user into a team; one who is in it already stays.
///
/// # Errors
/// [`Error::NotFound`] for a user who is unknown, or whom the caller may not see.
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
        .filter(readable(caller.sight()))
        .select((owners::id, owners::name))
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::User))?;
    if insert(conn, team.id, id, now)? {
        record(conn, caller, Event::MemberAdd, right, format!("{}/{name}", team.name), now)?;
    }
    Ok(())
}

/// Takes a user out of a team.
///
/// # Errors
/// [`Error::NotFound`] when he is not in it; [`Error::Forbidden`] when he is the last owner.
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

/// Whose members are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Those of one team.
    Team(TeamId),
    /// Those of all teams of the organization.
    Org,
}

type Joined = diesel::helper_types::InnerJoinQuerySource<users_table::table, owners::table>;
type Condition = Box<dyn BoxableExpression<Joined, Pg, SqlType = Bool>>;

fn is_member(right: &CanInspect, of: Of) -> Condition {
    let seats = teams::table
        .inner_join(team_members::table)
        .filter(teams::org_id.eq(right.org().id))
        .filter(team_members::user_id.eq(users_table::id));
    match of {
        Of::Org => Box::new(exists(seats)),
        Of::Team(team) => Box::new(exists(seats.filter(teams::id.eq(team)))),
    }
}

/// The members, by name, as the caller may know them. Each other's names members see, whatever their visibility.
///
/// # Errors
/// The database's.
pub fn list(conn: &mut PgConnection, caller: &Caller, right: &CanInspect, of: Of, slice: Slice) -> Result<Page<User>> {
    let all = || users_table::table.inner_join(owners::table).filter(is_member(right, of));
    let total = all().count().get_result(conn)?;
    let rows = all().order(owners::lower_name).offset(slice.offset).limit(slice.limit);
    let found: Vec<User> = rows.select(User::as_select()).load(conn)?;
    Ok(Page { items: found.into_iter().map(|user| user.seen_by(caller)).collect(), total })
}

/// A member, as the caller may know him.
///
/// # Errors
/// [`Error::NotFound`] for whoever is none; [`Error::Moved`] for a member's old name.
pub fn find(conn: &mut PgConnection, caller: &Caller, right: &CanInspect, of: Of, name: &OwnerName) -> Result<User> {
    let found: Option<User> = users_table::table
        .inner_join(owners::table)
        .filter(is_member(right, of))
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

/// Checks that a user is a member of an organization. Members may ask, and everybody who sees it about himself.
///
/// # Errors
/// As [`can_inspect`] and [`find`].
pub fn demand_member(conn: &mut PgConnection, caller: &Caller, org: &OwnerName, user: &OwnerName) -> Result<()> {
    let own = caller.signed_in()?;
    caller.demand(Area::Organization, Level::Read)?;
    if own.name.lower() != user.lower() {
        let right = can_inspect(conn, caller, org)?;
        return find(conn, caller, &right, Of::Org, user).map(drop);
    }
    let org = visit_org(conn, caller, org)?;
    let seats = teams::table
        .inner_join(team_members::table)
        .filter(teams::org_id.eq(org.id))
        .filter(team_members::user_id.eq(own.id));
    let is_member: bool = diesel::select(exists(seats)).get_result(conn)?;
    if is_member { Ok(()) } else { Err(Error::NotFound(What::User)) }
}

/// Takes a user out of all teams of an organization. Owners may, and he himself.
///
/// # Errors
/// As [`can_govern`]; [`Error::NotFound`] when he is no member; [`Error::Forbidden`] when he is the last owner.
pub fn expel(
    conn: &mut PgConnection,
    caller: &Caller,
    org: &OwnerName,
    user: &OwnerName,
    now: Timestamp,
) -> Result<()> {
    let own = caller.signed_in()?;
    let org = if own.name.lower() == user.lower() {
        caller.demand(Area::Organization, Level::Write)?;
        visit_org(conn, caller, org)?
    } else {
        can_govern(conn, caller, org)?.org().clone()
    };
    let user = users::find(conn, user)?.ok_or(Error::NotFound(What::User))?;
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
