//! Grants: permissions that an owner gives users and teams for some of its packages. They are read with the caller, in
//! [`crate::registry::reach`].

use super::{namespace, robots};
use crate::db::schema::{grants, owners, teams};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{GrantId, OwnerId, TeamId};
use crate::domain::names::{OwnerName, RobotName};
use crate::domain::role::{OwnerKind, PackagePattern, Permission};
use crate::domain::text::TeamName;
use crate::error::{Error, Result, What};
use crate::registry::access::{CanShare, readable};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::pages::{Page, Slice};
use diesel::prelude::*;
use serde_json::json;
use std::fmt;

/// The most grants of an owner.
const MOST: i64 = 500;

/// A team that has a grant.
#[derive(Debug, Clone)]
pub struct GrantedTeam {
    pub id: TeamId,
    pub org: OwnerName,
    pub name: String,
}

/// Who has a grant.
#[derive(Debug, Clone)]
pub enum Grantee {
    User(OwnerName),
    Team(GrantedTeam),
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => name.fmt(f),
            Self::Team(team) => write!(f, "{}/{}", team.org, team.name),
        }
    }
}

/// A grant.
#[derive(Debug, Clone)]
pub struct Grant {
    pub id: GrantId,
    /// The packages, as a pattern.
    pub pattern: String,
    pub permission: Permission,
    pub grantee: Grantee,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Who is to get a grant, by name.
#[derive(Debug, Clone)]
pub enum NewGrantee {
    User(OwnerName),
    /// A team of an organization.
    Team(OwnerName, TeamName),
    /// A robot of the organization that owns the packages.
    Robot(RobotName),
}

/// What a grant gives: packages and a permission.
#[derive(Debug, Clone)]
pub struct Gift {
    pattern: PackagePattern,
    permission: Permission,
}

impl Gift {
    /// A permission for packages.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the permission `owner`, which is never for some packages only.
    pub fn new(pattern: PackagePattern, permission: Permission) -> Result<Self> {
        if permission == Permission::Owner {
            return Err(Error::invalid(
                "permission",
                "permission: use read, write or admin: an owner owns all packages, so no grant can give that role",
            ));
        }
        Ok(Self { pattern, permission })
    }
}

type GrantRow = (GrantId, String, Permission, Option<OwnerId>, Option<TeamId>, Timestamp, Timestamp);
type GrantColumns = (
    grants::id,
    grants::pattern,
    grants::permission,
    grants::user_id,
    grants::team_id,
    grants::created_at,
    grants::updated_at,
);
const COLUMNS: GrantColumns = (
    grants::id,
    grants::pattern,
    grants::permission,
    grants::user_id,
    grants::team_id,
    grants::created_at,
    grants::updated_at,
);

/// The grants of rows, in the same order. A grant whose user or team was deleted in the meantime is left out.
fn load(conn: &mut PgConnection, rows: Vec<GrantRow>) -> Result<Vec<Grant>> {
    let users: Vec<OwnerId> = rows.iter().filter_map(|row| row.3).collect();
    let users: Vec<(OwnerId, OwnerName)> =
        owners::table.filter(owners::id.eq_any(users)).select((owners::id, owners::name)).load(conn)?;
    let ids: Vec<TeamId> = rows.iter().filter_map(|row| row.4).collect();
    let named: Vec<(TeamId, String, OwnerName)> = teams::table
        .inner_join(owners::table.on(owners::id.eq(teams::org_id)))
        .filter(teams::id.eq_any(ids))
        .select((teams::id, teams::name, owners::name))
        .load(conn)?;
    let grant = |(id, pattern, permission, user, team, created_at, updated_at): GrantRow| {
        let user = || users.iter().find(|(id, _)| Some(*id) == user).map(|(_, name)| Grantee::User(name.clone()));
        let team = || {
            let (id, name, org) = named.iter().find(|(id, ..)| Some(*id) == team)?;
            Some(Grantee::Team(GrantedTeam { id: *id, org: org.clone(), name: name.clone() }))
        };
        Some(Grant { id, pattern, permission, grantee: user().or_else(team)?, created_at, updated_at })
    };
    Ok(rows.into_iter().filter_map(grant).collect())
}

/// An owner's grants, in the order of their creation.
///
/// # Errors
/// Database errors.
pub fn list(conn: &mut PgConnection, right: &CanShare, slice: Slice) -> Result<Page<Grant>> {
    let own = grants::table.filter(grants::owner_id.eq(right.owner().id));
    let total = own.count().get_result(conn)?;
    let rows = own.order(grants::id).offset(slice.offset).limit(slice.limit).select(COLUMNS).load(conn)?;
    Ok(Page { items: load(conn, rows)?, total })
}

/// The grants that an owner gives one user, in the order of their creation. An owner has at most 500 grants in all.
///
/// # Errors
/// Database errors.
pub fn of_user(conn: &mut PgConnection, right: &CanShare, user: OwnerId) -> Result<Vec<Grant>> {
    let own = grants::table.filter(grants::owner_id.eq(right.owner().id)).filter(grants::user_id.eq(user));
    let rows = own.order(grants::id).select(COLUMNS).load(conn)?;
    load(conn, rows)
}

/// A grant of an owner.
///
/// # Errors
/// [`Error::NotFound`].
pub fn find(conn: &mut PgConnection, right: &CanShare, id: GrantId) -> Result<Grant> {
    let own = grants::table.find(id).filter(grants::owner_id.eq(right.owner().id));
    let row: Option<GrantRow> = own.select(COLUMNS).first(conn).optional()?;
    load(conn, row.into_iter().collect())?.into_iter().next().ok_or(Error::NotFound(What::Grant))
}

/// The user or team of this name, if the caller may know it: a user that they see, or a team of an organization that
/// they belong to.
fn grantee(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanShare,
    to: &NewGrantee,
) -> Result<(Option<OwnerId>, Option<TeamId>)> {
    match to {
        NewGrantee::User(name) => {
            let id: Option<OwnerId> = owners::table
                .filter(owners::lower_name.eq(name.lower()))
                .filter(owners::kind.eq(OwnerKind::User))
                .filter(readable(caller.visibility_limit()))
                .select(owners::id)
                .first(conn)
                .optional()?;
            match id {
                Some(id) if id == right.owner().id => {
                    Err(Error::invalid("user", format!("user: {name} owns these packages already")))
                }
                Some(id) => Ok((Some(id), None)),
                None => Err(Error::invalid("user", format!("user: there is no user named {name}"))),
            }
        }
        NewGrantee::Robot(name) => {
            let owner = right.owner();
            let absent = || Error::invalid("robot", format!("robot: {} has no robot named {name}", owner.name));
            Ok((Some(robots::id_of(conn, owner, name)?.ok_or_else(absent)?), None))
        }
        NewGrantee::Team(org, name) => {
            let found: Option<(TeamId, OwnerId)> = teams::table
                .inner_join(owners::table.on(owners::id.eq(teams::org_id)))
                .filter(owners::lower_name.eq(org.lower()))
                .filter(teams::lower_name.eq(name.lower()))
                .filter(readable(caller.visibility_limit()))
                .select((teams::id, teams::org_id))
                .first(conn)
                .optional()?;
            let known = |org: OwnerId| caller.is_admin() || caller.reach().is_member(org);
            match found.filter(|(_, org)| known(*org)) {
                Some((id, _)) => Ok((None, Some(id))),
                None => Err(Error::invalid(
                    "team",
                    format!(
                        "team: {org} has no team named {}, or you are not a member of {org}: name a team of an \
                         organization that you are in",
                        name.as_str()
                    ),
                )),
            }
        }
    }
}

/// Creates a grant.
///
/// # Errors
/// [`Error::Invalid`] for a user or team that does not exist or that the caller cannot see; [`Error::Conflict`] when it
/// has a grant for this pattern already; [`Error::Blocked`] when the owner has the maximum number of grants.
pub fn create(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanShare,
    (to, gift): (&NewGrantee, &Gift),
    now: Timestamp,
) -> Result<Grant> {
    let owner = right.owner();
    let (user, team) = grantee(conn, caller, right, to)?;
    // Two requests for the last free place take turns.
    namespace::lock(conn, owner.id)?;
    let count: i64 = grants::table.filter(grants::owner_id.eq(owner.id)).count().get_result(conn)?;
    if count >= MOST {
        return Err(Error::Blocked(format!(
            "{} already has {MOST} grants, which is the limit: delete one first, or give a team a grant",
            owner.name
        )));
    }
    let id: Option<GrantId> = diesel::insert_into(grants::table)
        .values((
            grants::owner_id.eq(owner.id),
            grants::pattern.eq(gift.pattern.as_str()),
            grants::lower_pattern.eq(gift.pattern.as_str().to_lowercase()),
            grants::user_id.eq(user),
            grants::team_id.eq(team),
            grants::permission.eq(gift.permission),
            grants::created_at.eq(now),
            grants::updated_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .returning(grants::id)
        .get_result(conn)
        .optional()?;
    let grant = find(conn, right, id.ok_or(Error::Conflict(What::Grant))?)?;
    record(conn, caller, (Event::GrantCreate, right), &grant, now)?;
    Ok(grant)
}

fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    (event, right): (Event, &CanShare),
    grant: &Grant,
    now: Timestamp,
) -> Result<()> {
    let owner = right.owner();
    let detail = json!({"to": grant.grantee.to_string(), "permission": grant.permission.as_str()});
    let subject = Subject { owner: Some((owner.id, &owner.name)), text: grant.pattern.clone(), detail };
    audit::record(conn, caller, event, &subject, now)
}

/// Changes what a grant gives.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when its user or team has another grant for this pattern.
pub fn update(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanShare,
    (id, gift): (GrantId, &Gift),
    now: Timestamp,
) -> Result<Grant> {
    let own = grants::table.find(id).filter(grants::owner_id.eq(right.owner().id));
    let changed = diesel::update(own)
        .set((
            grants::pattern.eq(gift.pattern.as_str()),
            grants::lower_pattern.eq(gift.pattern.as_str().to_lowercase()),
            grants::permission.eq(gift.permission),
            grants::updated_at.eq(now),
        ))
        .execute(conn)
        .map_err(|error| match &error {
            diesel::result::Error::DatabaseError(diesel::result::DatabaseErrorKind::UniqueViolation, _) => {
                Error::Conflict(What::Grant)
            }
            _ => Error::from(error),
        })?;
    if changed == 0 {
        return Err(Error::NotFound(What::Grant));
    }
    let grant = find(conn, right, id)?;
    record(conn, caller, (Event::GrantUpdate, right), &grant, now)?;
    Ok(grant)
}

/// Deletes a grant.
///
/// # Errors
/// [`Error::NotFound`].
pub fn delete(conn: &mut PgConnection, caller: &Caller, right: &CanShare, id: GrantId, now: Timestamp) -> Result<()> {
    let grant = find(conn, right, id)?;
    match diesel::delete(grants::table.find(id)).execute(conn)? {
        0 => Err(Error::NotFound(What::Grant)),
        _ => record(conn, caller, (Event::GrantDelete, right), &grant, now),
    }
}
