//! The owners that a caller sees, and the caller's permission for each.

use crate::db::schema::{owner_redirects, owners};
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::quota::OwnQuota;
use crate::domain::role::{OwnerKind, Permission, Visibility};
use crate::error::{Error, Result, What};
use crate::registry::caller::{Caller, TokenLimits};
use crate::registry::reach::VisibilityLimit;
use diesel::dsl::auto_type;
use diesel::prelude::*;
use diesel::sql_types::Bool;

/// Whether the owner of the query's row may be read with this scope: the owner as such, with all that everybody who sees
/// it may know. It compares the row with values and asks nothing else of the database, so that a private owner takes no
/// longer than an absent one.
#[auto_type(no_type_alias)]
pub fn readable(scope: VisibilityLimit) -> _ {
    let widest: i16 = scope.widest;
    let user: OwnerId = scope.user;
    let orgs: Vec<OwnerId> = scope.member_of;
    owners::visibility.le(widest).or(owners::id.eq(user)).or(owners::id.eq_any(orgs))
}

/// Whether some package of the owner of the query's row may be read with this scope, so that the owner is known to
/// exist: as [`readable`], and besides if a package is wider than its owner or shared with the user. The widest
/// visibility of an owner's packages is in the owner's row.
#[auto_type(no_type_alias)]
pub fn has_readable_packages(scope: VisibilityLimit) -> _ {
    let widest: i16 = scope.widest;
    let user: OwnerId = scope.user;
    let known: Vec<OwnerId> = scope.known();
    owners::visibility
        .le(widest)
        .or(owners::widest_package.le(widest))
        .or(owners::id.eq(user))
        .or(owners::id.eq_any(known))
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
    /// The narrowest visibility of a package that has one of its own.
    pub(super) narrowest_package: i16,
    permission: Option<Permission>,
    is_member: bool,
    is_whole: bool,
}

impl Visited {
    /// The caller's permission for everything of the owner: the permission of their best team that is not limited to
    /// some packages, or everything for the user themselves and for administrators.
    pub fn permission(&self) -> Option<Permission> {
        self.permission
    }

    /// Whether the caller belongs to the owner: the user themselves, a member of any team, or an administrator.
    pub fn is_member(&self) -> bool {
        self.is_member || self.permission.is_some()
    }

    /// Whether the caller sees the owner as such. Otherwise they see that it exists and some of its packages, and must
    /// learn nothing else.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }
}

type VisitedRow = (OwnerId, OwnerName, OwnerKind, Visibility, OwnQuota, Visibility, i16);

/// Finds an owner that the caller may read.
///
/// # Errors
/// An absent owner and an unreadable one give the same error: [`Error::Unauthenticated`] for anonymous callers,
/// [`Error::NotFound`] for others; [`Error::Forbidden`] when the token's limits exclude the owner.
pub fn visit(conn: &mut PgConnection, caller: &Caller, name: &OwnerName) -> Result<Visited> {
    let row: Option<VisitedRow> = owners::table
        .filter(owners::lower_name.eq(name.lower()))
        .filter(readable(caller.visibility_limit()))
        .select(VISITED)
        .first(conn)
        .optional()?;
    let Some(row) = row else { return Err(absent(conn, caller, name, What::Owner)?) };
    let (visited, _) = visited(caller, row);
    caller.demand_owner(visited.id, &visited.name, visited.visibility)?;
    Ok(visited)
}

/// Finds an owner if the caller may read the owner as such, or one of their packages. [`Visited::is_whole`] tells
/// which.
///
/// # Errors
/// As [`visit`], except that the token's limit to what is public is left to check for each package: it excludes an owner
/// here only if nothing of the owner is public.
pub fn visit_packages(conn: &mut PgConnection, caller: &Caller, name: &OwnerName) -> Result<Visited> {
    let row: Option<VisitedRow> = owners::table
        .filter(owners::lower_name.eq(name.lower()))
        .filter(has_readable_packages(caller.visibility_limit()))
        .select(VISITED)
        .first(conn)
        .optional()?;
    let Some(row) = row else {
        return Err(match formerly_packages(conn, caller, name)? {
            Some((id, to, visibility)) => moved(caller, What::Owner, name, (id, to, visibility))?,
            None => nowhere(caller, What::Owner),
        });
    };
    let (visited, widest_package) = visited(caller, row);
    caller.demand_owner(visited.id, &visited.name, visited.visibility.min(widest_package))?;
    Ok(visited)
}

type VisitedColumns = (
    owners::id,
    owners::name,
    owners::kind,
    owners::visibility,
    (owners::quota_versions, owners::quota_bytes, owners::quota_file_bytes),
    owners::widest_package,
    owners::narrowest_package,
);
const VISITED: VisitedColumns = (
    owners::id,
    owners::name,
    owners::kind,
    owners::visibility,
    (owners::quota_versions, owners::quota_bytes, owners::quota_file_bytes),
    owners::widest_package,
    owners::narrowest_package,
);

/// The owner of a row, and the widest visibility of its packages.
fn visited(caller: &Caller, row: VisitedRow) -> (Visited, Visibility) {
    let (id, name, kind, visibility, quota, widest_package, narrowest_package) = row;
    let own = caller.user().is_some_and(|user| user.id == id) && kind == OwnerKind::User;
    let all = caller.is_admin() || own;
    let visited = Visited {
        id,
        name,
        kind,
        visibility,
        quota,
        narrowest_package,
        permission: if all { Some(Permission::Owner) } else { caller.reach().permission(id) },
        is_member: caller.reach().is_member(id),
        is_whole: caller.visibility_limit().sees(id, visibility),
    };
    (visited, widest_package)
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
    match formerly(conn, caller, name)? {
        Some(found) => moved(caller, what, name, found),
        None => Ok(nowhere(caller, what)),
    }
}

fn nowhere(caller: &Caller, what: What) -> Error {
    if caller.user().is_some() { Error::NotFound(what) } else { Error::Unauthenticated }
}

type Former = (OwnerId, OwnerName, Visibility);

fn moved(caller: &Caller, what: What, from: &OwnerName, (id, to, visibility): Former) -> Result<Error> {
    caller.demand_owner(id, &to, visibility)?;
    Ok(Error::Moved { what, from: from.clone(), to })
}

/// The owner who had this name, if the caller may see that owner.
///
/// # Errors
/// Database errors.
fn formerly(conn: &mut PgConnection, caller: &Caller, name: &OwnerName) -> Result<Option<Former>> {
    Ok(owner_redirects::table
        .inner_join(owners::table)
        .filter(owner_redirects::lower_name.eq(name.lower()))
        .filter(readable(caller.visibility_limit()))
        .select((owners::id, owners::name, owners::visibility))
        .first(conn)
        .optional()?)
}

/// The owner who had this name, if the caller may see some package of that owner. The visibility is the widest of the
/// owner's and their packages'.
///
/// # Errors
/// Database errors.
fn formerly_packages(conn: &mut PgConnection, caller: &Caller, name: &OwnerName) -> Result<Option<Former>> {
    let row: Option<(OwnerId, OwnerName, Visibility, Visibility)> = owner_redirects::table
        .inner_join(owners::table)
        .filter(owner_redirects::lower_name.eq(name.lower()))
        .filter(has_readable_packages(caller.visibility_limit()))
        .select((owners::id, owners::name, owners::visibility, owners::widest_package))
        .first(conn)
        .optional()?;
    Ok(row.map(|(id, name, visibility, widest)| (id, name, visibility.min(widest))))
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
