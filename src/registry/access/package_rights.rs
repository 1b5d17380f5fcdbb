//! Rights to packages: read, search, publish and delete.

use super::visibility::{Visited, visit};
use crate::domain::ids::OwnerId;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::role::{Area, Level, PackagePattern, Permission, Visibility};
use crate::error::{Error, Result};
use crate::registry::caller::{Caller, SignedIn, VisibilityLimit};
use crate::registry::draft_limit::DraftLimit;
use diesel::prelude::*;

/// The right to read an owner's packages.
#[derive(Debug, Clone)]
pub struct CanRead {
    owner: Visited,
    packages: Option<Vec<PackagePattern>>,
    drafts: DraftLimit,
}

impl CanRead {
    /// The owner of the packages.
    pub fn owner(&self) -> &Visited {
        &self.owner
    }

    /// The only packages the caller may read, when a token is limited to some packages. Lists and counts contain only
    /// these.
    pub fn packages(&self) -> Option<&[PackagePattern]> {
        self.packages.as_deref()
    }

    /// The versions to show: the parameter of [`super::shown`]. Publishers see drafts.
    pub fn draft_limit(&self) -> DraftLimit {
        self.drafts.clone()
    }
}

/// Checks that a caller may read a package of an owner.
///
/// # Errors
/// As [`visit`]; [`Error::Forbidden`] also for a token without `read:package` or limited to other packages.
pub fn can_read(
    conn: &mut PgConnection,
    caller: &Caller,
    owner: &OwnerName,
    package: Option<&PackageName>,
) -> Result<CanRead> {
    caller.demand_scope(Area::Package, Level::Read)?;
    let owner = visit(conn, caller, owner)?;
    package.map_or(Ok(()), |package| caller.demand_package(package))?;
    let packages = caller.only_packages().map(<[PackagePattern]>::to_vec);
    let publishes = caller.may_publish() && owner.permission() >= Some(Permission::Write);
    let drafts = if publishes { DraftLimit::everything() } else { DraftLimit::published() };
    Ok(CanRead { owner, packages, drafts })
}

/// Runs the checks of [`can_read`] that remain for a file whose query had [`super::readable`] among its conditions.
///
/// # Errors
/// [`Error::Forbidden`] when a limit of the token excludes the owner or the package.
pub fn confirm_read(
    caller: &Caller,
    (id, name, visibility): (OwnerId, &OwnerName, Visibility),
    package: &PackageName,
) -> Result<()> {
    caller.demand_owner(id, name, visibility)?;
    caller.demand_package(package)
}

/// The right to publish to an owner, though not to a particular package: enough to see the upload form.
/// [`can_publish`] checks the package once its name is known.
#[derive(Debug, Clone)]
pub struct CanUpload {
    owner: Visited,
    user: SignedIn,
}

impl CanUpload {
    /// The owner to publish to.
    pub fn owner(&self) -> &Visited {
        &self.owner
    }

    /// The user who holds the right.
    pub fn user(&self) -> &SignedIn {
        &self.user
    }
}

/// The right to see what an owner has in the trash: for whoever may publish there, because it may have been a draft.
#[derive(Debug, Clone)]
pub struct CanSeeTrash {
    owner: Visited,
}

impl CanSeeTrash {
    /// The owner of the trash.
    pub fn owner(&self) -> &Visited {
        &self.owner
    }
}

/// Checks that a caller may see an owner's trash.
///
/// # Errors
/// As [`can_publish`], but a token needs only `read:package`.
pub fn can_see_trash(conn: &mut PgConnection, caller: &Caller, owner: &OwnerName) -> Result<CanSeeTrash> {
    may_write(conn, caller, (owner, None), Level::Read).map(|CanUpload { owner, .. }| CanSeeTrash { owner })
}

/// The right to publish to a package of an owner and to delete from it: the limits of the token allow this package too.
#[derive(Debug, Clone)]
pub struct CanPublish(CanUpload);

impl CanPublish {
    /// The owner of the package.
    pub fn owner(&self) -> &Visited {
        self.0.owner()
    }

    /// The user who holds the right.
    pub fn user(&self) -> &SignedIn {
        self.0.user()
    }
}

/// Checks that a caller may publish to an owner.
///
/// # Errors
/// As [`can_publish`].
pub fn can_upload(conn: &mut PgConnection, caller: &Caller, owner: &OwnerName) -> Result<CanUpload> {
    can_write(conn, caller, owner, None)
}

/// Checks that a caller may publish to a package of an owner and delete from it.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`] when the caller cannot even read the package; [`Error::Forbidden`]
/// naming the missing scope or right.
pub fn can_publish(
    conn: &mut PgConnection,
    caller: &Caller,
    owner: &OwnerName,
    package: &PackageName,
) -> Result<CanPublish> {
    can_write(conn, caller, owner, Some(package)).map(CanPublish)
}

fn can_write(
    conn: &mut PgConnection,
    caller: &Caller,
    owner: &OwnerName,
    package: Option<&PackageName>,
) -> Result<CanUpload> {
    may_write(conn, caller, (owner, package), Level::Write)
}

/// Checks that a caller may write to an owner, and that their token has a scope of this level.
fn may_write(
    conn: &mut PgConnection,
    caller: &Caller,
    (owner, package): (&OwnerName, Option<&PackageName>),
    level: Level,
) -> Result<CanUpload> {
    let user = caller.signed_in()?.clone();
    caller.demand_scope(Area::Package, level)?;
    let owner = visit(conn, caller, owner)?;
    package.map_or(Ok(()), |package| caller.demand_package(package))?;
    if owner.permission() < Some(Permission::Write) {
        return Err(Error::Forbidden(format!("{} does not have write access to {}", user.name, owner.name)));
    }
    Ok(CanUpload { owner, user })
}

/// The right to search: everything the caller sees, within the limits of their token. A search leaves out the results
/// that another endpoint would refuse.
#[derive(Debug, Clone)]
pub struct CanSearch {
    scope: VisibilityLimit,
    drafts: DraftLimit,
    owners: Option<Vec<OwnerId>>,
    packages: Option<Vec<PackagePattern>>,
}

impl CanSearch {
    /// The owners to search: the parameters of [`super::readable`].
    pub fn visibility_limit(&self) -> VisibilityLimit {
        self.scope.clone()
    }

    /// The versions to search: the parameter of [`super::shown`].
    pub fn draft_limit(&self) -> DraftLimit {
        self.drafts.clone()
    }

    /// The only owners to search, when a token is limited to some owners.
    pub fn owners(&self) -> Option<&[OwnerId]> {
        self.owners.as_deref()
    }

    /// The only packages to search, when a token is limited to some packages.
    pub fn packages(&self) -> Option<&[PackagePattern]> {
        self.packages.as_deref()
    }
}

/// Determines what a caller may search.
///
/// # Errors
/// [`Error::Forbidden`] for a token without `read:package`.
pub fn can_search(caller: &Caller) -> Result<CanSearch> {
    caller.demand_scope(Area::Package, Level::Read)?;
    let limits = caller.limits();
    let scope =
        if limits.public_only() { Caller::anonymous(None).visibility_limit() } else { caller.visibility_limit() };
    let (owners, packages) = (limits.owners, caller.only_packages().map(<[PackagePattern]>::to_vec));
    Ok(CanSearch { scope, drafts: caller.draft_limit(), owners, packages })
}
