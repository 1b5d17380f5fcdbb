//! Organizations, their teams and members.

use super::access::{CanGovern, can_govern, readable};
use super::audit::{self, Event, Subject};
use super::caller::{Caller, SignedIn};
use super::owners::{self, NewOwner};
use super::users;
use crate::db::schema::{owners as owners_table, team_members, teams};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, TeamId};
use crate::domain::names::OwnerName;
use crate::domain::role::{Area, Level, OwnerKind, Permission, Visibility};
use crate::domain::text::{Line, Prose};
use crate::error::{Error, Result, What};
use diesel::prelude::*;
use serde_json::json;

/// The team that every organization has from the start, and that its maker is in.
pub const OWNERS_TEAM: &str = "Owners";

/// What is said of an organization when it is made.
#[derive(Debug, Clone)]
pub struct NewOrg {
    pub name: OwnerName,
    pub full_name: Line,
    pub description: Prose,
    pub visibility: Visibility,
}

/// A team.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = teams)]
pub struct Team {
    pub id: TeamId,
    pub org_id: OwnerId,
    pub name: String,
    pub description: String,
    pub permission: Permission,
}

/// Who makes an organization, if he may make one at all.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::Forbidden`] for a token without the scope, or limited to some owners.
pub fn demand_create(caller: &Caller) -> Result<&SignedIn> {
    let maker = caller.signed_in()?;
    caller.demand(Area::Organization, Level::Write)?;
    caller.demand_any_owner()?;
    Ok(maker)
}

/// Makes an organization whose first owner is the user.
///
/// # Errors
/// As [`demand_create`]; [`Error::Forbidden`] also for one that the token could not see, [`Error::Conflict`] for a name
/// that is taken, [`Error::Invalid`] for a reserved one.
pub fn create(conn: &mut PgConnection, caller: &Caller, new: &NewOrg, now: Timestamp) -> Result<OwnerId> {
    let maker = demand_create(caller)?;
    caller.demand_visible(&new.name, new.visibility)?;
    let owner = NewOwner {
        kind: OwnerKind::Organization,
        name: &new.name,
        full_name: new.full_name.as_str(),
        description: new.description.as_str(),
        visibility: new.visibility,
    };
    let id = owners::insert(conn, &owner, now)?;
    let team = insert_team(conn, id, OWNERS_TEAM, Permission::Owner, now)?.ok_or(Error::Conflict(What::Team))?;
    insert_member(conn, team.id, maker.id, now)?;
    let detail = json!({"visibility": new.visibility.as_str()});
    let subject = Subject { owner: Some((id, &new.name)), text: new.name.to_string(), detail };
    audit::record(conn, caller, Event::OrgCreate, &subject, now)?;
    Ok(id)
}

fn insert_team(
    conn: &mut PgConnection,
    org: OwnerId,
    name: &str,
    permission: Permission,
    now: Timestamp,
) -> Result<Option<Team>> {
    Ok(diesel::insert_into(teams::table)
        .values((
            teams::org_id.eq(org),
            teams::name.eq(name),
            teams::lower_name.eq(name.to_lowercase()),
            teams::permission.eq(permission),
            teams::created_at.eq(now),
        ))
        .on_conflict((teams::org_id, teams::lower_name))
        .do_nothing()
        .returning(Team::as_returning())
        .get_result(conn)
        .optional()?)
}

/// Makes a team.
///
/// # Errors
/// [`Error::Invalid`] for a bad name, [`Error::Conflict`] for one that is taken.
pub fn create_team(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanGovern,
    name: &str,
    permission: Permission,
    now: Timestamp,
) -> Result<Team> {
    let fits = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
    if name.trim() != name || name.is_empty() || name.len() > 255 || !name.chars().all(fits) {
        return Err(Error::invalid("name", "a team's name has letters, digits, spaces and - _ ."));
    }
    let org = right.org();
    let team = insert_team(conn, org.id, name, permission, now)?.ok_or(Error::Conflict(What::Team))?;
    let detail = json!({"permission": permission.as_str()});
    let subject = Subject { owner: Some((org.id, &org.name)), text: name.to_owned(), detail };
    audit::record(conn, caller, Event::TeamCreate, &subject, now)?;
    Ok(team)
}

/// A team, and the right to govern its organization.
///
/// # Errors
/// As [`can_govern`]; [`Error::NotFound`] of a team both where there is none and where its organization may not be seen.
pub fn govern_team(conn: &mut PgConnection, caller: &Caller, id: TeamId) -> Result<(Team, CanGovern)> {
    // Asked before the team is looked for: a token without the scope learns nothing of it.
    caller.signed_in()?;
    caller.demand(Area::Organization, Level::Write)?;
    let (team, org): (Team, OwnerName) = teams::table
        .inner_join(owners_table::table.on(owners_table::id.eq(teams::org_id)))
        .filter(teams::id.eq(id))
        .select((Team::as_select(), owners_table::name))
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::Team))?;
    let right = can_govern(conn, caller, &org).map_err(|error| match error {
        Error::NotFound(_) => Error::NotFound(What::Team),
        other => other,
    })?;
    Ok((team, right))
}

fn insert_member(conn: &mut PgConnection, team: TeamId, user: OwnerId, now: Timestamp) -> Result<bool> {
    let values = (team_members::team_id.eq(team), team_members::user_id.eq(user), team_members::created_at.eq(now));
    Ok(diesel::insert_into(team_members::table).values(values).on_conflict_do_nothing().execute(conn)? == 1)
}

/// Takes a user into a team; one who is in it already stays.
///
/// # Errors
/// [`Error::NotFound`] for a user who is unknown, or whom the caller may not see.
pub fn add_member(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanGovern,
    team: &Team,
    user: &OwnerName,
    now: Timestamp,
) -> Result<()> {
    let (id, name): (OwnerId, OwnerName) = owners_table::table
        .filter(owners_table::lower_name.eq(user.lower()))
        .filter(owners_table::kind.eq(OwnerKind::User))
        .filter(readable(caller.sight()))
        .select((owners_table::id, owners_table::name))
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::User))?;
    if insert_member(conn, team.id, id, now)? {
        record_member(conn, caller, Event::MemberAdd, right, (team, &name), now)?;
    }
    Ok(())
}

/// Takes a user out of a team.
///
/// # Errors
/// [`Error::NotFound`] when he is not in it; [`Error::Forbidden`] when he is the last owner.
pub fn remove_member(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanGovern,
    team: &Team,
    user: &OwnerName,
    now: Timestamp,
) -> Result<()> {
    let user = users::find(conn, user)?.ok_or(Error::NotFound(What::User))?;
    let owning = teams::table.filter(teams::org_id.eq(team.org_id)).filter(teams::permission.eq(Permission::Owner));
    // Two owners who leave at the same moment take turns, whichever teams they are in, so that one of them stays.
    let owning: Vec<TeamId> = owning.order(teams::id).select(teams::id).for_update().load(conn)?;
    if diesel::delete(team_members::table.find((team.id, user.id))).execute(conn)? == 0 {
        return Err(Error::NotFound(What::User));
    }
    let left: i64 = team_members::table.filter(team_members::team_id.eq_any(owning)).count().get_result(conn)?;
    if team.permission == Permission::Owner && left == 0 {
        return Err(Error::Forbidden("the last owner of an organization cannot leave it".to_owned()));
    }
    record_member(conn, caller, Event::MemberRemove, right, (team, &user.name), now)
}

fn record_member(
    conn: &mut PgConnection,
    caller: &Caller,
    event: Event,
    right: &CanGovern,
    (team, user): (&Team, &OwnerName),
    now: Timestamp,
) -> Result<()> {
    let org = right.org();
    let subject =
        Subject { owner: Some((org.id, &org.name)), text: format!("{}/{user}", team.name), detail: json!({}) };
    audit::record(conn, caller, event, &subject, now)
}
