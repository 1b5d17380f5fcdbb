//! Rights to packages: read, search, publish and delete.

use super::drafts::has_shown_version;
use super::visibility::{Visited, visit_packages};
use super::visible_packages::{self, OwnerPackages, effective};
use crate::db::schema::packages;
use crate::domain::ids::OwnerId;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::role::{Area, Level, PackagePattern, Permission, Visibility};
use crate::error::{Error, Result, What};
use crate::registry::caller::{Caller, SignedIn};
use crate::registry::draft_limit::DraftLimit;
use crate::registry::reach::VisibilityLimit;
use diesel::prelude::*;

/// The right to read an owner's packages: one package that was found, or those in the owner's lists.
#[derive(Debug, Clone)]
pub struct CanRead {
    owner: Visited,
    listed: OwnerPackages,
    packages: Option<Vec<PackagePattern>>,
    drafts: DraftLimit,
    visibility: Visibility,
    permission: Option<Permission>,
}

impl CanRead {
    /// The owner of the packages.
    pub fn owner(&self) -> &Visited {
        &self.owner
    }

    /// The packages of the owner that the caller may see. Every list and count of the owner's packages has this
    /// condition.
    pub fn listed(&self) -> &OwnerPackages {
        &self.listed
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

    /// The visibility of the package, or of the owner if the right is for its lists.
    pub fn visibility(&self) -> Visibility {
        self.visibility
    }

    /// The caller's permission for the package, or for all packages of the owner if the right is for its lists.
    pub fn permission(&self) -> Option<Permission> {
        self.permission
    }
}

/// Checks that a caller may read a package of an owner, or the owner's lists.
///
/// # Errors
/// As [`visit_packages`]; [`Error::NotFound`] both for a package that does not exist and for one that the caller cannot
/// see; [`Error::Forbidden`] also for a token without `read:package` or limited to other packages.
pub fn can_read(
    conn: &mut PgConnection,
    caller: &Caller,
    owner: &OwnerName,
    package: Option<&PackageName>,
) -> Result<CanRead> {
    caller.demand_scope(Area::Package, Level::Read)?;
    let owner = visit_packages(conn, caller, owner)?;
    package.map_or(Ok(()), |package| caller.demand_package(package))?;
    let permission = match package {
        Some(package) => permission_for(caller, &owner, package),
        None => owner.permission(),
    };
    let publishes = caller.may_publish() && permission >= Some(Permission::Write);
    let drafts = if publishes { DraftLimit::everything() } else { DraftLimit::published() };
    let visibility = match package {
        Some(package) => find(conn, caller, &owner, (package, &drafts))?.ok_or(Error::NotFound(What::Package))?,
        None => owner.visibility,
    };
    let listed = visible_packages::listed(&owner, caller);
    let packages = caller.only_packages().map(<[PackagePattern]>::to_vec);
    Ok(CanRead { owner, listed, packages, drafts, visibility, permission })
}

/// The effective visibility of a package that the caller can see, within the token's limit to what is public. A package
/// that has nothing but drafts is only seen by its publishers.
fn find(
    conn: &mut PgConnection,
    caller: &Caller,
    owner: &Visited,
    (package, drafts): (&PackageName, &DraftLimit),
) -> Result<Option<Visibility>> {
    let own: Option<Option<Visibility>> = packages::table
        .filter(packages::owner_id.eq(owner.id))
        .filter(packages::lower_name.eq(package.lower()))
        .filter(OwnerPackages::of(owner, &caller.visibility_limit()))
        .filter(has_shown_version(drafts, owner.id))
        .select(packages::visibility)
        .first(conn)
        .optional()?;
    // Where no package is found, the owner's visibility counts: a token for what is public is refused as elsewhere.
    demand_public(caller, (&owner.name, owner.visibility), (package, own.flatten()))?;
    Ok(own.map(|own| effective(own, owner.visibility)))
}

/// A caller's permission for a package, whether it exists or not.
fn permission_for(caller: &Caller, owner: &Visited, package: &PackageName) -> Option<Permission> {
    owner.permission().max(caller.reach().permission_for(owner.id, &package.lower()))
}

/// Runs the checks of [`can_read`] that remain for a file whose query had [`super::package_readable`] among its
/// conditions. Both visibilities are as in the database: the owner's, and the package's own.
///
/// # Errors
/// [`Error::Forbidden`] when a limit of the token excludes the owner or the package.
pub fn confirm_read(
    caller: &Caller,
    (id, name, visibility): (OwnerId, &OwnerName, Visibility),
    (package, own): (&PackageName, Option<Visibility>),
) -> Result<()> {
    caller.demand_owner(id, name, Visibility::Public)?;
    caller.demand_package(package)?;
    demand_public(caller, (name, visibility), (package, own))
}

/// Checks a token's limit to what is public, for a package with a visibility of its own or its owner's.
fn demand_public(
    caller: &Caller,
    (owner, visibility): (&OwnerName, Visibility),
    (package, own): (&PackageName, Option<Visibility>),
) -> Result<()> {
    match own {
        Some(own) => caller.demand_visible(&format_args!("{package} of {owner}"), own),
        None => caller.demand_visible(owner, visibility),
    }
}

/// The right to publish to an owner, though not to a particular package: enough to see the upload form.
/// [`can_publish`] checks the package once its name is known.
#[derive(Debug, Clone)]
pub struct CanUpload {
    owner: Visited,
    user: SignedIn,
    listed: OwnerPackages,
    patterns: Option<Vec<PackagePattern>>,
    elsewhere: Vec<OwnerId>,
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

    /// The packages of the owner that the user may see.
    pub fn listed(&self) -> &OwnerPackages {
        &self.listed
    }

    /// The only packages that the user may publish to, if they may not publish to all.
    pub fn patterns(&self) -> Option<&[PackagePattern]> {
        self.patterns.as_deref()
    }

    /// The other owners that the user may publish to, if only to some of their packages.
    pub fn elsewhere(&self) -> &[OwnerId] {
        &self.elsewhere
    }
}

/// The right to see what an owner has in the trash. Only publishers have it, because a deleted version may have been a
/// draft.
#[derive(Debug, Clone)]
pub struct CanSeeTrash(CanUpload);

impl CanSeeTrash {
    /// The owner of the trash.
    pub fn owner(&self) -> &Visited {
        self.0.owner()
    }

    /// The only packages whose deletions the user may see, if they may not publish to all.
    pub fn patterns(&self) -> Option<&[PackagePattern]> {
        self.0.patterns()
    }
}

/// Checks that a caller may see an owner's trash, if only of some packages.
///
/// # Errors
/// As [`can_upload`], but a token needs only `read:package`.
pub fn can_see_trash(conn: &mut PgConnection, caller: &Caller, owner: &OwnerName) -> Result<CanSeeTrash> {
    let publisher = as_publisher(conn, caller, owner, Level::Read)?;
    caller.demand_hidden()?;
    Ok(CanSeeTrash(publisher))
}

/// The right to publish to a package of an owner and to delete from it: the limits of the token allow this package too.
/// Protection rules are checked separately, once the version is known: see
/// [`crate::registry::packages::protections::check`].
#[derive(Debug, Clone)]
pub struct CanPublish {
    owner: Visited,
    user: SignedIn,
    package: PackageName,
    permission: Permission,
}

impl CanPublish {
    /// The owner of the package.
    pub fn owner(&self) -> &Visited {
        &self.owner
    }

    /// The user who holds the right.
    pub fn user(&self) -> &SignedIn {
        &self.user
    }

    /// The package, as the request spells it.
    pub fn package(&self) -> &PackageName {
        &self.package
    }

    /// The right to add files too, whose package accepts files from trusted publishers alone or not.
    ///
    /// # Errors
    /// As [`CanAddFiles::demand_accepted`].
    pub fn add_files(self, caller: &Caller, trusted_only: bool) -> Result<CanAddFiles> {
        let right = CanAddFiles { right: self, is_trusted: caller.identity().is_some() };
        right.demand_accepted(trusted_only)?;
        Ok(right)
    }

    /// The user's permission for the package: at least [`Permission::Write`].
    pub fn permission(&self) -> Permission {
        self.permission
    }

    /// Checks that the user has a permission for the package.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming it.
    pub fn demand(&self, least: Permission) -> Result<()> {
        if self.permission >= least {
            return Ok(());
        }
        Err(Error::Forbidden(format!(
            "this needs the permission {least} for {} of {}, and {} has {}",
            self.package, self.owner.name, self.user.name, self.permission
        )))
    }
}

/// The right to add files to a package: [`CanPublish`] by a credential from which the package accepts files.
#[derive(Debug, Clone)]
pub struct CanAddFiles {
    right: CanPublish,
    /// Whether the credential is a trusted publisher's.
    is_trusted: bool,
}

impl CanAddFiles {
    /// Checks that the package accepts files from this credential, once more with its row locked: somebody may have
    /// changed the setting.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming the setting.
    pub fn demand_accepted(&self, trusted_only: bool) -> Result<()> {
        if self.is_trusted || !trusted_only {
            return Ok(());
        }
        Err(Error::Forbidden(format!(
            "{} of {} accepts files only from trusted publishers: publish from a job that one of them accepts, or change \
             the package's setting trusted_publishing_only",
            self.right.package, self.right.owner.name
        )))
    }
}

impl std::ops::Deref for CanAddFiles {
    type Target = CanPublish;

    fn deref(&self) -> &CanPublish {
        &self.right
    }
}

/// Checks that a caller may add files to a package of an owner: a package may accept files from trusted publishers
/// alone. It need not exist.
///
/// # Errors
/// As [`can_publish`]; [`Error::Forbidden`] also for any credential but a trusted publisher's, if the package demands one.
pub fn can_add_files(
    conn: &mut PgConnection,
    caller: &Caller,
    owner: &OwnerName,
    package: &PackageName,
) -> Result<CanAddFiles> {
    let right = can_publish(conn, caller, owner, package)?;
    let row = packages::table
        .filter(packages::owner_id.eq(right.owner().id))
        .filter(packages::lower_name.eq(package.lower()));
    let trusted_only: Option<bool> = row.select(packages::trusted_publishing_only).first(conn).optional()?;
    right.add_files(caller, trusted_only.unwrap_or_default())
}

/// Checks that a caller may publish to an owner, if only to some packages.
///
/// # Errors
/// As [`can_publish`].
pub fn can_upload(conn: &mut PgConnection, caller: &Caller, owner: &OwnerName) -> Result<CanUpload> {
    as_publisher(conn, caller, owner, Level::Write)
}

/// Checks that a caller may publish to an owner, if only to some packages, and that their token has a scope of this
/// level.
fn as_publisher(conn: &mut PgConnection, caller: &Caller, owner: &OwnerName, level: Level) -> Result<CanUpload> {
    let user = caller.signed_in()?.clone();
    caller.demand_scope(Area::Package, level)?;
    let owner = visit_packages(conn, caller, owner)?;
    let whole = owner.permission() >= Some(Permission::Write);
    let patterns = caller.reach().patterns(owner.id, Permission::Write);
    if !whole && patterns.is_empty() {
        return Err(no_write_access(&user, &owner));
    }
    let listed = visible_packages::listed(&owner, caller);
    let elsewhere = caller.reach().owners(Permission::Write);
    Ok(CanUpload { owner, user, listed, patterns: (!whole).then_some(patterns), elsewhere })
}

/// Whether a caller may publish to an owner, if only to some packages, whatever the token's scope is.
pub fn may_upload(caller: &Caller, owner: &Visited) -> bool {
    owner.permission() >= Some(Permission::Write) || !caller.reach().patterns(owner.id, Permission::Write).is_empty()
}

fn no_write_access(user: &SignedIn, owner: &Visited) -> Error {
    Error::Forbidden(format!("{} does not have write access to {}", user.name, owner.name))
}

/// Checks that a caller may publish to a package of an owner and delete from it. The package need not exist.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`] when the caller cannot see the owner or any package of it;
/// [`Error::Forbidden`] naming the missing scope or right. It is the same for a package that does not exist and for one
/// that the caller cannot see.
pub fn can_publish(
    conn: &mut PgConnection,
    caller: &Caller,
    owner: &OwnerName,
    package: &PackageName,
) -> Result<CanPublish> {
    let user = caller.signed_in()?.clone();
    caller.demand_scope(Area::Package, Level::Write)?;
    let owner = visit_packages(conn, caller, owner)?;
    caller.demand_package(package)?;
    let Some(permission) = permission_for(caller, &owner, package).filter(|own| *own >= Permission::Write) else {
        let patterns = caller.reach().patterns(owner.id, Permission::Write);
        let Some(first) = patterns.first() else { return Err(no_write_access(&user, &owner)) };
        let others = if patterns.len() > 1 { " and others" } else { "" };
        return Err(Error::Forbidden(format!(
            "{} does not have write access to {package} of {}, only to {}{others}",
            user.name,
            owner.name,
            first.as_str()
        )));
    };
    if caller.limits().public_only() {
        find(conn, caller, &owner, (package, &DraftLimit::everything()))?;
    }
    Ok(CanPublish { owner, user, package: package.clone(), permission })
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
    /// What to search: the parameters of [`super::package_readable`].
    pub fn visibility_limit(&self) -> VisibilityLimit {
        self.scope.clone()
    }

    /// The versions to search: the parameter of [`super::shown`].
    pub fn draft_limit(&self) -> DraftLimit {
        self.drafts.clone()
    }

    /// Whether the caller sees an owner as such, and not only some of its packages.
    pub fn sees(&self, owner: OwnerId, visibility: Visibility) -> bool {
        self.scope.sees(owner, visibility)
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
    let scope = visible_packages::listable(caller);
    let (owners, packages) = (limits.owners, caller.only_packages().map(<[PackagePattern]>::to_vec));
    Ok(CanSearch { scope, drafts: caller.draft_limit(), owners, packages })
}
