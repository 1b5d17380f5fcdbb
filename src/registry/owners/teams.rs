//! Teams of organizations. Each team gives its members a permission, and a member has the highest permission of their
//! teams.

use super::orgs::{Org, Owning};
use crate::db::schema::{owners, team_members, teams};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, TeamId};
use crate::domain::names::OwnerName;
use crate::domain::role::{Area, Level, PackagePattern, Permission};
use crate::domain::text::{Prose, TeamName};
use crate::error::{Error, Result, What};
use crate::registry::access::{CanGovern, CanInspect, can_govern, can_inspect, readable, within_token_limits};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::like::escape_like;
use crate::registry::pages::{Page, Slice};
use diesel::dsl::count_star;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use serde_json::{Value, json};
use std::collections::HashMap;

/// The team that every organization has from the start and that its creator is in. Its name and permission cannot
/// change.
pub const OWNERS: &str = "Owners";

#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = teams)]
pub struct Team {
    pub id: TeamId,
    pub org_id: OwnerId,
    pub name: String,
    pub description: String,
    pub permission: Permission,
    /// The only packages that the permission is for; `None` for all.
    pub package_patterns: Option<Vec<String>>,
}

impl Team {
    /// Whether this is the team called [`OWNERS`].
    pub fn is_owners(&self) -> bool {
        self.name == OWNERS
    }
}

/// The properties of a team to create.
#[derive(Debug, Clone)]
pub struct NewTeam {
    pub name: TeamName,
    pub description: Prose,
    pub permission: Permission,
    /// The only packages that the permission is for; `None` for all.
    pub packages: Option<TeamPackages>,
}

/// A change to a team. A field that is `None` keeps its value.
#[derive(Debug, Clone, Default)]
pub struct TeamEdit {
    pub name: Option<TeamName>,
    pub description: Option<Prose>,
    pub permission: Option<Permission>,
    /// `Some(None)` for all packages.
    pub packages: Option<Option<TeamPackages>>,
}

/// The packages that a team is limited to: between 1 and [`TeamPackages::MOST`] patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamPackages(Vec<PackagePattern>);

impl TeamPackages {
    /// The most patterns of a team.
    pub const MOST: usize = 50;

    /// The patterns of a team; `None` for no patterns, which means no limit.
    ///
    /// # Errors
    /// [`Error::Invalid`] for too many.
    pub fn new(patterns: Vec<PackagePattern>) -> Result<Option<Self>> {
        if patterns.len() > Self::MOST {
            return Err(Error::invalid("packages", format!("packages: list at most {} patterns", Self::MOST)));
        }
        Ok((!patterns.is_empty()).then_some(Self(patterns)))
    }

    fn texts(&self) -> Vec<String> {
        self.0.iter().map(|pattern| pattern.as_str().to_owned()).collect()
    }
}

/// Checks that a team that is limited to some packages does not own the organization.
fn demand_fitting(permission: Permission, is_limited: bool) -> Result<()> {
    if permission == Permission::Owner && is_limited {
        return Err(Error::invalid(
            "packages",
            "packages: a team with the permission owner cannot be limited to some packages: owners manage all of the \
             organization",
        ));
    }
    Ok(())
}

/// Creates an organization's first team.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn insert_owners(conn: &mut PgConnection, org: OwnerId, now: Timestamp) -> Result<TeamId> {
    let team = insert(conn, org, (OWNERS, "", Permission::Owner, None), now)?;
    team.map(|team| team.id).ok_or(Error::Conflict(What::Team))
}

fn insert(
    conn: &mut PgConnection,
    org: OwnerId,
    (name, description, permission, packages): (&str, &str, Permission, Option<&TeamPackages>),
    now: Timestamp,
) -> Result<Option<Team>> {
    Ok(diesel::insert_into(teams::table)
        .values((
            teams::org_id.eq(org),
            teams::name.eq(name),
            teams::lower_name.eq(name.to_lowercase()),
            teams::description.eq(description),
            teams::permission.eq(permission),
            teams::package_patterns.eq(packages.map(TeamPackages::texts)),
            teams::created_at.eq(now),
        ))
        .on_conflict((teams::org_id, teams::lower_name))
        .do_nothing()
        .returning(Team::as_returning())
        .get_result(conn)
        .optional()?)
}

/// Creates a team.
///
/// # Errors
/// [`Error::Conflict`] for a name that is taken.
pub fn create(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanGovern,
    new: &NewTeam,
    now: Timestamp,
) -> Result<Team> {
    let said = (new.name.as_str(), new.description.as_str(), new.permission, new.packages.as_ref());
    demand_fitting(new.permission, new.packages.is_some())?;
    let team = insert(conn, right.org().id, said, now)?.ok_or(Error::Conflict(What::Team))?;
    let detail = json!({"permission": team.permission.as_str(), "packages": team.package_patterns});
    record(conn, caller, Event::TeamCreate, right, &team, detail, now)?;
    Ok(team)
}

fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    event: Event,
    right: &CanGovern,
    team: &Team,
    detail: Value,
    now: Timestamp,
) -> Result<()> {
    let org = right.org();
    let subject = Subject { owner: Some((org.id, &org.name)), text: team.name.clone(), detail };
    audit::record(conn, caller, event, &subject, now)
}

/// A team of an organization that the caller can see. A hidden team takes the same one query as none.
fn find(conn: &mut PgConnection, caller: &Caller, id: TeamId) -> Result<(Team, OwnerName)> {
    teams::table
        .inner_join(owners::table.on(owners::id.eq(teams::org_id)))
        .filter(teams::id.eq(id))
        .filter(readable(caller.visibility_limit()))
        .select((Team::as_select(), owners::name))
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::Team))
}

/// Turns the error into "no such team": the answer is the same for a team that does not exist and for one whose
/// organization the caller cannot see.
fn no_team(error: Error) -> Error {
    match error {
        Error::NotFound(_) | Error::Moved { .. } => Error::NotFound(What::Team),
        other => other,
    }
}

/// A team, and the right to manage its organization.
///
/// # Errors
/// As [`can_govern`]; [`Error::NotFound`] both when the team does not exist and when the caller cannot see its
/// organization.
pub fn govern(conn: &mut PgConnection, caller: &Caller, id: TeamId) -> Result<(Team, CanGovern)> {
    // Checked before the team is looked up: a token without the scope learns nothing about it.
    caller.signed_in()?;
    caller.demand_scope(Area::Organization, Level::Write)?;
    let (team, org) = find(conn, caller, id)?;
    let right = can_govern(conn, caller, &org).map_err(no_team)?;
    Ok((team, right))
}

/// A team, and the right to see its organization from inside.
///
/// # Errors
/// As [`can_inspect`]; [`Error::NotFound`] both when the team does not exist and when the caller cannot see its
/// organization.
pub fn inspect(conn: &mut PgConnection, caller: &Caller, id: TeamId) -> Result<(Team, CanInspect)> {
    caller.signed_in()?;
    caller.demand_scope(Area::Organization, Level::Read)?;
    let (team, org) = find(conn, caller, id)?;
    let right = can_inspect(conn, caller, &org).map_err(no_team)?;
    Ok((team, right))
}

/// A team of an organization, by its name or else by its id.
///
/// # Errors
/// [`Error::NotFound`].
pub fn find_in(conn: &mut PgConnection, org: OwnerId, called: &TeamName) -> Result<Team> {
    let own = || teams::table.filter(teams::org_id.eq(org)).select(Team::as_select());
    let by_name = own().filter(teams::lower_name.eq(called.lower())).first(conn).optional()?;
    let found = match (by_name, called.as_str().parse().map(TeamId)) {
        (None, Ok(id)) => own().filter(teams::id.eq(id)).first(conn).optional()?,
        (found, _) => found,
    };
    found.ok_or(Error::NotFound(What::Team))
}

/// A team in a list, with its number of members and whether the caller is one of them.
#[derive(Debug, Clone)]
pub struct Counted {
    pub team: Team,
    pub members: i64,
    pub is_in: bool,
}

/// The teams of an organization, by name, each with its number of members.
///
/// # Errors
/// Database errors.
pub fn overview(conn: &mut PgConnection, caller: &Caller, right: &CanInspect, slice: Slice) -> Result<Page<Counted>> {
    let page = list(conn, right, "", slice)?;
    let ids: Vec<TeamId> = page.items.iter().map(|team| team.id).collect();
    let seats = || team_members::table.filter(team_members::team_id.eq_any(&ids));
    let counted = seats().group_by(team_members::team_id).select((team_members::team_id, count_star()));
    let counts: HashMap<TeamId, i64> = counted.load(conn)?.into_iter().collect();
    let user = caller.signed_in()?.id;
    let own: Vec<TeamId> = seats().filter(team_members::user_id.eq(user)).select(team_members::team_id).load(conn)?;
    let count = |team: Team| Counted {
        members: counts.get(&team.id).copied().unwrap_or_default(),
        is_in: own.contains(&team.id),
        team,
    };
    Ok(Page { items: page.items.into_iter().map(count).collect(), total: page.total })
}

/// The teams of an organization whose names contain a text, ignoring case, by name.
///
/// # Errors
/// Database errors.
pub fn list(conn: &mut PgConnection, right: &CanInspect, part: &str, slice: Slice) -> Result<Page<Team>> {
    // No team has such a name, and Postgres rejects NUL in a text.
    if part.contains('\0') {
        return Ok(Page { items: Vec::new(), total: 0 });
    }
    let contains = format!("%{}%", escape_like(&part.to_lowercase()));
    let condition = || -> Box<dyn BoxableExpression<teams::table, Pg, SqlType = Bool> + '_> {
        let own = teams::org_id.eq(right.org().id);
        if part.is_empty() { Box::new(own) } else { Box::new(own.and(teams::lower_name.like(&contains))) }
    };
    let total = teams::table.filter(condition()).count().get_result(conn)?;
    let rows = teams::table.filter(condition()).order(teams::lower_name).offset(slice.offset).limit(slice.limit);
    Ok(Page { items: rows.select(Team::as_select()).load(conn)?, total })
}

/// The teams that the caller is in, within the limits of their token, each with its organization.
///
/// # Errors
/// [`Error::Unauthenticated`]; database errors.
pub fn of_caller(conn: &mut PgConnection, caller: &Caller, slice: Slice) -> Result<Page<(Team, Org)>> {
    let user = caller.signed_in()?;
    let own = || {
        teams::table
            .inner_join(owners::table.on(owners::id.eq(teams::org_id)))
            .inner_join(team_members::table)
            .filter(team_members::user_id.eq(user.id))
            // Members always see their organization, so only the token's limits are checked.
            .filter(within_token_limits(caller.limits()))
    };
    let total = own().count().get_result(conn)?;
    let rows = own().order((owners::lower_name, teams::lower_name)).offset(slice.offset).limit(slice.limit);
    Ok(Page { items: rows.select((Team::as_select(), Org::as_select())).load(conn)?, total })
}

/// Changes a team.
///
/// # Errors
/// [`Error::Blocked`] for a new name or permission of the team [`OWNERS`], [`Error::Conflict`] for a name that is
/// taken, [`Error::Forbidden`] when no owner would be left.
pub fn update(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanGovern,
    team: &Team,
    edit: &TeamEdit,
    now: Timestamp,
) -> Result<Team> {
    let name = edit.name.as_ref().map(TeamName::as_str).filter(|name| *name != team.name);
    let permission = edit.permission.filter(|permission| *permission != team.permission);
    let packages = match &edit.packages {
        Some(packages) => packages.as_ref().map(TeamPackages::texts),
        None => team.package_patterns.clone(),
    };
    if team.is_owners() && (name.is_some() || permission.is_some()) {
        return Err(Error::Blocked(format!(
            "the name and permission of the team {OWNERS} cannot be changed: every organization needs it"
        )));
    }
    demand_fitting(permission.unwrap_or(team.permission), packages.is_some())?;
    let owning = Owning::lock(conn, team.org_id)?;
    let updated: Option<Team> = diesel::update(teams::table.find(team.id))
        .set((
            teams::name.eq(name.unwrap_or(&team.name)),
            teams::lower_name.eq(name.unwrap_or(&team.name).to_lowercase()),
            teams::description.eq(edit.description.as_ref().map_or(team.description.as_str(), Prose::as_str)),
            teams::permission.eq(permission.unwrap_or(team.permission)),
            teams::package_patterns.eq(packages),
        ))
        .returning(Team::as_returning())
        .get_result(conn)
        .optional()
        .map_err(|error| match &error {
            diesel::result::Error::DatabaseError(diesel::result::DatabaseErrorKind::UniqueViolation, info)
                if info.constraint_name() == Some("teams_org_id_lower_name_key") =>
            {
                Error::Conflict(What::Team)
            }
            _ => Error::from(error),
        })?;
    let updated = updated.ok_or(Error::NotFound(What::Team))?;
    owning.demand_left(conn)?;
    let detail = json!({
        "from": name.map(|_| &team.name),
        "permission": updated.permission.as_str(),
        "packages": updated.package_patterns,
    });
    record(conn, caller, Event::TeamUpdate, right, &updated, detail, now)?;
    Ok(updated)
}

/// Deletes a team.
///
/// # Errors
/// [`Error::Blocked`] for the team [`OWNERS`], [`Error::Forbidden`] when no owner would be left, [`Error::NotFound`]
/// when the team no longer exists.
pub fn delete(conn: &mut PgConnection, caller: &Caller, right: &CanGovern, team: &Team, now: Timestamp) -> Result<()> {
    if team.is_owners() {
        return Err(Error::Blocked(format!("the team {OWNERS} cannot be deleted: every organization needs it")));
    }
    let owning = Owning::lock(conn, team.org_id)?;
    if diesel::delete(teams::table.find(team.id)).execute(conn)? == 0 {
        return Err(Error::NotFound(What::Team));
    }
    owning.demand_left(conn)?;
    record(conn, caller, Event::TeamDelete, right, team, json!({}), now)
}
