//! What a caller may see and do. A right is a value that only this module makes and that the functions which need it
//! demand.

mod rights;

pub use rights::{CanAudit, CanChangeOwn, CanHook, CanSearch, CanSeeQuota, CanSetQuota, CanUpload};
pub use rights::{
    can_audit, can_change_own, can_hook, can_hook_own, can_search, can_see_quota, can_set_quota, can_upload,
};

use super::caller::{Caller, Limits, NOBODY, Sight, SignedIn};
use super::owners::formerly;
use super::quotas::OwnQuota;
use crate::db::schema::{owners, team_members, teams};
use crate::domain::ids::OwnerId;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::role::{Area, Level, OwnerKind, PackagePattern, Permission, Visibility};
use crate::error::{Error, Result, What};
use diesel::dsl::{auto_type, max};
use diesel::prelude::*;
use diesel::sql_types::Bool;

/// Whether the owner of the query's row may be read with this sight. The one place that says so: finds, lists, counts
/// and searches all filter by it.
#[auto_type(no_type_alias)]
pub fn readable(sight: Sight) -> _ {
    let widest: i16 = sight.widest;
    let user: OwnerId = sight.user;
    // Which organizations they are does not hang on the row: Postgres finds out once, however many owners it looks at.
    let memberships =
        teams::table.inner_join(team_members::table).filter(team_members::user_id.eq(user)).select(teams::org_id);
    owners::visibility.le(widest).or(owners::id.eq(user)).or(owners::id.eq_any(memberships))
}

/// Whether the owner of the query's row is within the limits of a token. Lists and searches filter by it beside
/// [`readable`]: what a token refuses by name, its lists leave out.
#[auto_type(no_type_alias)]
pub fn within(limits: Limits) -> _ {
    let widest: i16 = limits.widest;
    let any: bool = limits.owners.is_none();
    let only: Vec<OwnerId> = limits.owners.unwrap_or_default();
    owners::visibility.le(widest).and(any.into_sql::<Bool>().or(owners::id.eq_any(only)))
}

/// An owner that the caller may see, and what he is there.
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
    /// What the caller may do with it: his best team's permission, all of it for himself and for administrators.
    pub fn permission(&self) -> Option<Permission> {
        self.permission
    }
}

/// Finds an owner the caller may read.
///
/// # Errors
/// Absent and unreadable alike: [`Error::Unauthenticated`] for the anonymous, [`Error::NotFound`] for others;
/// [`Error::Forbidden`] when it is the token's limits that are in the way.
pub fn visit(conn: &mut PgConnection, caller: &Caller, name: &OwnerName) -> Result<Visited> {
    let user = caller.user().map_or(NOBODY, |user| user.id);
    let best = teams::table
        .inner_join(team_members::table)
        .filter(teams::org_id.eq(owners::id))
        .filter(team_members::user_id.eq(user))
        .select(max(teams::permission))
        .single_value();
    type Row = (OwnerId, OwnerName, OwnerKind, Visibility, OwnQuota, Option<Permission>);
    let quota = (owners::quota_versions, owners::quota_bytes, owners::quota_file_bytes);
    let row: Option<Row> = owners::table
        .filter(owners::lower_name.eq(name.lower()))
        .filter(readable(caller.sight()))
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

/// What is said of an owner who is not there for the caller: that he has another name now, or else the same whether there
/// is none or he may not be seen.
///
/// # Errors
/// The database's; [`Error::Forbidden`] when it is the token's limits that are in the way.
pub(super) fn absent(conn: &mut PgConnection, caller: &Caller, name: &OwnerName, what: What) -> Result<Error> {
    let Some((id, to, visibility)) = formerly(conn, caller, name)? else {
        return Ok(if caller.user().is_some() { Error::NotFound(what) } else { Error::Unauthenticated });
    };
    caller.demand_owner(id, &to, visibility)?;
    Ok(Error::Moved { what, from: name.clone(), to })
}

fn visit_kind(
    conn: &mut PgConnection,
    caller: &Caller,
    name: &OwnerName,
    (kind, what): (OwnerKind, What),
) -> Result<Visited> {
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

/// Finds a user the caller may read.
///
/// # Errors
/// As [`visit`]; an organization is no user.
pub fn visit_user(conn: &mut PgConnection, caller: &Caller, name: &OwnerName) -> Result<Visited> {
    visit_kind(conn, caller, name, (OwnerKind::User, What::User))
}

/// Finds an organization the caller may read.
///
/// # Errors
/// As [`visit`]; a user is no organization.
pub fn visit_org(conn: &mut PgConnection, caller: &Caller, name: &OwnerName) -> Result<Visited> {
    visit_kind(conn, caller, name, (OwnerKind::Organization, What::Organization))
}

/// The right to read an owner's packages.
#[derive(Debug, Clone)]
pub struct CanRead {
    owner: Visited,
    packages: Option<Vec<PackagePattern>>,
}

impl CanRead {
    /// The owner it is a right to.
    pub fn owner(&self) -> &Visited {
        &self.owner
    }

    /// The only packages it is a right to, where a token is limited to some: lists and counts are of these alone.
    pub fn packages(&self) -> Option<&[PackagePattern]> {
        self.packages.as_deref()
    }
}

/// Whether a caller may read a package of an owner.
///
/// # Errors
/// As [`visit`]; [`Error::Forbidden`] also for a token without `read:package`, or limited to other packages.
pub fn can_read(
    conn: &mut PgConnection,
    caller: &Caller,
    owner: &OwnerName,
    package: Option<&PackageName>,
) -> Result<CanRead> {
    caller.demand(Area::Package, Level::Read)?;
    let owner = visit(conn, caller, owner)?;
    package.map_or(Ok(()), |package| caller.demand_package(package))?;
    let packages = caller.only_packages().map(<[PackagePattern]>::to_vec);
    Ok(CanRead { owner, packages })
}

/// The checks of [`can_read`] for a file that was found without them. Where the owner's visibility alone lets the caller
/// in they cost nothing: the membership of an organization, which [`readable`] asks for, takes Postgres a third of the
/// time of a whole download's query. Everywhere else it is [`can_read`] that decides.
///
/// # Errors
/// As [`can_read`].
pub fn confirm_read(
    conn: &mut PgConnection,
    caller: &Caller,
    (id, name, visibility): (OwnerId, &OwnerName, Visibility),
    package: &PackageName,
) -> Result<()> {
    if visibility.number() > caller.sight().widest {
        return can_read(conn, caller, name, Some(package)).map(drop);
    }
    caller.demand_owner(id, name, visibility)?;
    caller.demand_package(package)
}

/// The right to publish and delete in a package of an owner.
#[derive(Debug, Clone)]
pub struct CanPublish {
    owner: Visited,
    user: SignedIn,
}

impl CanPublish {
    /// The owner it is a right to.
    pub fn owner(&self) -> &Visited {
        &self.owner
    }

    /// Who has it.
    pub fn user(&self) -> &SignedIn {
        &self.user
    }
}

/// Whether a caller may publish and delete in a package of an owner.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`] when he may not even read it; [`Error::Forbidden`] naming the
/// missing scope or right.
pub fn can_publish(
    conn: &mut PgConnection,
    caller: &Caller,
    owner: &OwnerName,
    package: &PackageName,
) -> Result<CanPublish> {
    let user = caller.signed_in()?.clone();
    caller.demand(Area::Package, Level::Write)?;
    let owner = visit(conn, caller, owner)?;
    caller.demand_package(package)?;
    if owner.permission < Some(Permission::Write) {
        return Err(Error::Forbidden(format!("{} does not have write access to {}", user.name, owner.name)));
    }
    Ok(CanPublish { owner, user })
}

/// The right to change an organization itself: its settings, teams and members.
#[derive(Debug, Clone)]
pub struct CanGovern {
    owner: Visited,
}

impl CanGovern {
    /// The organization.
    pub fn org(&self) -> &Visited {
        &self.owner
    }
}

/// Whether a caller may govern an organization.
///
/// # Errors
/// As [`can_publish`]; [`Error::NotFound`] also when the name is a user's.
pub fn can_govern(conn: &mut PgConnection, caller: &Caller, org: &OwnerName) -> Result<CanGovern> {
    let user = caller.signed_in()?;
    caller.demand(Area::Organization, Level::Write)?;
    let owner = visit_org(conn, caller, org)?;
    if owner.permission < Some(Permission::Owner) {
        return Err(Error::Forbidden(format!(
            "only owners of {} can do this, and {} is not an owner",
            owner.name, user.name
        )));
    }
    Ok(CanGovern { owner })
}

/// The right to see an organization from inside: its teams, and who is in them.
#[derive(Debug, Clone)]
pub struct CanInspect {
    owner: Visited,
}

impl CanInspect {
    /// The organization.
    pub fn org(&self) -> &Visited {
        &self.owner
    }
}

/// Whether a caller may see an organization from inside, as its members and administrators do.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`] when he may not even see it; [`Error::Forbidden`] naming the missing
/// scope or right.
pub fn can_inspect(conn: &mut PgConnection, caller: &Caller, org: &OwnerName) -> Result<CanInspect> {
    let user = caller.signed_in()?;
    caller.demand(Area::Organization, Level::Read)?;
    let owner = visit_org(conn, caller, org)?;
    if owner.permission.is_none() {
        return Err(Error::Forbidden(format!(
            "only members of {} can do this, and {} is not a member",
            owner.name, user.name
        )));
    }
    Ok(CanInspect { owner })
}

/// The right of a site administrator to change a user.
#[derive(Debug, Clone)]
pub struct CanAdminister {
    owner: Visited,
}

impl CanAdminister {
    /// The user.
    pub fn user(&self) -> &Visited {
        &self.owner
    }
}

/// Whether a caller may change a user as a site administrator.
///
/// # Errors
/// As [`Caller::demand_admin`]; [`Error::NotFound`]; [`Error::Forbidden`] also when it is the token's limits that are in
/// the way.
pub fn can_administer(conn: &mut PgConnection, caller: &Caller, user: &OwnerName) -> Result<CanAdminister> {
    caller.demand_admin(Level::Write)?;
    Ok(CanAdminister { owner: visit_user(conn, caller, user)? })
}
