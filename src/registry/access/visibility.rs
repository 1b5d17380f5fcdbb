//! The owners that a caller sees, and the caller's permission for each.

use crate::db::schema::{owner_redirects, owners, team_members, teams};
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::quota::OwnQuota;
use crate::domain::role::{OwnerKind, Permission, Visibility};
use crate::error::{Error, Result, What};
use crate::registry::caller::{Caller, NOBODY, TokenLimits, VisibilityLimit};
use diesel::dsl::{auto_type, max};
use diesel::prelude::*;
use diesel::sql_types::Bool;

/// Whether the owner of the query's row may be read with this scope. Every find, list, count and search filters by this
/// one expression. It compares the row with values and asks nothing else of the database, so that a private owner takes
/// no longer than an absent one.
#[auto_type(no_type_alias)]
pub fn readable(scope: VisibilityLimit) -> _ {
    let widest: i16 = scope.widest;
    let user: OwnerId = scope.user;
    let orgs: Vec<OwnerId> = scope.orgs;
    owners::visibility.le(widest).or(owners::id.eq(user)).or(owners::id.eq_any(orgs))
}

/// Whether the owner of the query's row is within the limits of a token. Lists and searches filter by it in addition to
/// [`readable`]: they leave out the owners that the token refuses by name.
#[auto_type(no_type_alias)]
pub fn within_token_limits(limits: TokenLimits) -> _ {
    let widest: i16 = limits.widest;
    let any: bool = limits.owners.is_none();
    let only: Vec<OwnerId> = limits.owners.unwrap_or_default();
    owners::visibility.le(widest).and(any.into_sql::<Bool>().or(owners::id.eq_any(only)))
}

/// An owner that the caller may see, and the caller's role there.
#[derive(Debug, Clone)]
pub struct Visited {
    pub id: OwnerId,
    pub name: OwnerName,
    pub kind: OwnerKind,
    pub visibility: Visibility,
    pub quota: OwnQuota,
    permission: Option<Permission>,
}

impl Visited {
    /// The caller's permission: the permission of their best team, or everything for the user themselves and for
    /// administrators.
    pub fn permission(&self) -> Option<Permission> {
        self.permission
    }
}

/// Finds an owner that the caller may read.
///
/// # Errors
/// An absent owner and an unreadable one give the same error: [`Error::Unauthenticated`] for anonymous callers,
/// [`Error::NotFound`] for others; [`Error::Forbidden`] when the token's limits exclude the owner.
pub fn visit(conn: &mut PgConnection, caller: &Caller, name: &OwnerName) -> Result<Visited> {
    let user = caller.user().map_or(NOBODY, |user| user.id);
    let best = teams::table
        .inner_join(team_members::table)
        .filter(teams::org_id.eq(owners::id))
        .filter(team_members::user_id.eq(user))
        .select(max(teams::permission))
        .single_value();
    type VisitedRow = (OwnerId, OwnerName, OwnerKind, Visibility, OwnQuota, Option<Permission>);
    let quota = (owners::quota_versions, owners::quota_bytes, owners::quota_file_bytes);
    let row: Option<VisitedRow> = owners::table
        .filter(owners::lower_name.eq(name.lower()))
        .filter(readable(caller.visibility_limit()))
        .select((owners::id, owners::name, owners::kind, owners::visibility, quota, best))
        .first(conn)
        .optional()?;
    let Some((id, name, kind, visibility, quota, best)) = row else {
        return Err(absent(conn, caller, name, What::Owner)?);
    };
    let all = caller.is_admin() || (id == user && kind == OwnerKind::User);
    let permission = if all { Some(Permission::Owner) } else { best };
    let visited = Visited { id, name, kind, visibility, quota, permission };
    caller.demand_owner(visited.id, &visited.name, visited.visibility)?;
    Ok(visited)
}

/// The error for an owner that the caller cannot find: the owner's new name if it was renamed, otherwise the same error
/// for an absent owner and for an invisible one.
///
/// # Errors
/// Database errors; [`Error::Forbidden`] when the token's limits exclude the owner.
pub(in crate::registry) fn absent(
    conn: &mut PgConnection,
    caller: &Caller,
    name: &OwnerName,
    what: What,
) -> Result<Error> {
    let Some((id, to, visibility)) = formerly(conn, caller, name)? else {
        return Ok(if caller.user().is_some() { Error::NotFound(what) } else { Error::Unauthenticated });
    };
    caller.demand_owner(id, &to, visibility)?;
    Ok(Error::Moved { what, from: name.clone(), to })
}

/// The owner who had this name, if the caller may see that owner.
///
/// # Errors
/// Database errors.
fn formerly(
    conn: &mut PgConnection,
    caller: &Caller,
    name: &OwnerName,
) -> Result<Option<(OwnerId, OwnerName, Visibility)>> {
    Ok(owner_redirects::table
        .inner_join(owners::table)
        .filter(owner_redirects::lower_name.eq(name.lower()))
        .filter(readable(caller.visibility_limit()))
        .select((owners::id, owners::name, owners::visibility))
        .first(conn)
        .optional()?)
}

/// Finds an owner of this kind that the caller may read.
///
/// # Errors
/// As [`visit`]; an owner of the other kind is not found.
pub(super) fn visit_kind(
    conn: &mut PgConnection,
    caller: &Caller,
    name: &OwnerName,
    kind: OwnerKind,
) -> Result<Visited> {
    let what = What::from(kind);
    let owner = visit(conn, caller, name).map_err(|error| match error {
        Error::NotFound(_) => Error::NotFound(what),
        Error::Moved { from, to, .. } => Error::Moved { what, from, to },
        other => other,
    })?;
    match owner.kind == kind {
        true => Ok(owner),
        false if caller.user().is_some() => Err(Error::NotFound(what)),
        false => Err(Error::Unauthenticated),
    }
}

/// Finds a user that the caller may read.
///
/// # Errors
/// As [`visit`]; [`Error::NotFound`] for an organization.
pub fn visit_user(conn: &mut PgConnection, caller: &Caller, name: &OwnerName) -> Result<Visited> {
    visit_kind(conn, caller, name, OwnerKind::User)
}

/// Finds an organization that the caller may read.
///
/// # Errors
/// As [`visit`]; [`Error::NotFound`] for a user.
pub fn visit_org(conn: &mut PgConnection, caller: &Caller, name: &OwnerName) -> Result<Visited> {
    visit_kind(conn, caller, name, OwnerKind::Organization)
}
