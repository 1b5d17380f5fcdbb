//! Whether the files of a version may change, and whether a version may be deleted.

use crate::db::schema::{packages, versions};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, PackageId, VersionId};
use crate::domain::iso_duration::IsoDuration;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::package_texts::Reason;
use crate::domain::path::VersionPath;
use crate::domain::role::Permission;
use crate::domain::version::Version;
use crate::domain::version_state::{Life, VersionState};
use crate::error::{Error, Result};
use crate::registry::access::CanPublish;
use crate::registry::packages::standing::LIFE_COLUMNS;
use diesel::prelude::*;

/// What a publisher finds under the names of a version.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Whether the package is archived.
    pub archived: bool,
    /// Whether the package accepts files from trusted publishers alone.
    pub trusted_only: bool,
    /// The version, if it exists.
    pub life: Option<Life>,
}

/// Looks up whether a version exists and what its state is, in one query.
///
/// # Errors
/// Database errors.
pub(super) fn place(conn: &mut PgConnection, owner: OwnerId, path: &VersionPath) -> Result<Place> {
    type StateColumns = (VersionState, Timestamp, Option<Timestamp>, Option<Timestamp>);
    let same = versions::package_id.eq(packages::id).and(versions::lower_version.eq(path.version.lower()));
    let columns = (versions::state, versions::created_at, versions::published_at, versions::sealed_at);
    type PlaceRow = ((Option<Timestamp>, bool), Option<IsoDuration>, Option<StateColumns>);
    let row: Option<PlaceRow> = packages::table
        .left_join(versions::table.on(same))
        .filter(packages::owner_id.eq(owner))
        .filter(packages::lower_name.eq(path.package.lower()))
        .select((
            (packages::archived_at, packages::trusted_publishing_only),
            packages::seal_after_seconds,
            columns.nullable(),
        ))
        .first(conn)
        .optional()?;
    let Some(((archived_at, trusted_only), seal_after, columns)) = row else { return Ok(Place::default()) };
    let life = columns.map(|(stored, created_at, published, sealed)| Life {
        stored,
        created_at,
        published,
        sealed,
        seal_after,
    });
    Ok(Place { archived: archived_at.is_some(), trusted_only, life })
}

/// The error for publishing to an archived package.
pub(super) fn archived(package: &PackageName) -> Error {
    Error::WrongState(format!(
        "the package {package} is archived, so nothing can be published to it: a publisher can change this in its settings"
    ))
}

fn sealed(path: &VersionPath) -> Error {
    Error::WrongState(format!(
        "version is sealed: no file of {} {} can be added, replaced or deleted; publish another version",
        path.package, path.version
    ))
}

/// Checks that a file may be added to a version, or to a new one. With `as_draft` the version must be a draft or new.
///
/// # Errors
/// [`Error::WrongState`].
pub(super) fn demand_addable(path: &VersionPath, place: Place, as_draft: bool, now: Timestamp) -> Result<()> {
    if place.archived {
        return Err(archived(&path.package));
    }
    match place.life.map(|life| life.state(now)) {
        Some(VersionState::Sealed) => Err(sealed(path)),
        Some(VersionState::Published) if as_draft => Err(Error::WrongState(format!(
            "version {} of {} is published, not a draft: leave out draft=true to add a file to it",
            path.version, path.package
        ))),
        _ => Ok(()),
    }
}

/// Checks that a file of a version may be replaced or deleted. The caller holds the lock of the package.
///
/// # Errors
/// [`Error::WrongState`]; [`Error::NotFound`] is left to the caller's own query.
pub(super) fn demand_changeable(
    conn: &mut PgConnection,
    version: VersionId,
    path: &VersionPath,
    now: Timestamp,
) -> Result<()> {
    let row = versions::table.inner_join(packages::table).filter(versions::id.eq(version));
    let life: Option<Life> = row.select(LIFE_COLUMNS).first(conn).optional()?;
    match life.map(|life| life.state(now)) {
        Some(VersionState::Sealed) => Err(sealed(path)),
        _ => Ok(()),
    }
}

/// Checks that versions may be deleted: one of a package, or all of it. Nobody can delete a version on hold, and only
/// owners and administrators a sealed one. The caller holds the lock of the package.
///
/// # Errors
/// [`Error::WrongState`] naming a version on hold; [`Error::Forbidden`] naming a sealed one.
pub(super) fn demand_deletable(
    conn: &mut PgConnection,
    right: &CanPublish,
    package: PackageId,
    one: Option<VersionId>,
    now: Timestamp,
) -> Result<()> {
    let owner = right.owner();
    demand_not_held(conn, &[package], one, &owner.name)?;
    if owner.permission() >= Some(Permission::Owner) {
        return Ok(());
    }
    // Only sealed versions, or those that may be due.
    let query = versions::table
        .inner_join(packages::table)
        .filter(versions::package_id.eq(package))
        .filter(versions::state.eq(VersionState::Sealed).or(packages::seal_after_seconds.is_not_null()));
    let query = query.order(versions::id).select((versions::version, LIFE_COLUMNS)).into_boxed();
    let query = match one {
        Some(id) => query.filter(versions::id.eq(id)),
        None => query,
    };
    let rows: Vec<(Version, Life)> = query.load(conn)?;
    match rows.into_iter().find(|(_, life)| life.state(now) == VersionState::Sealed) {
        Some((version, _)) => Err(sealed_for_owners(&version, &owner.name)),
        None => Ok(()),
    }
}

/// Only owners and administrators can delete a sealed version.
pub(super) fn sealed_for_owners(version: &Version, owner: &OwnerName) -> Error {
    Error::Forbidden(format!("version {version} is sealed: only an owner of {owner} or an administrator can delete it"))
}

/// Checks that no version of these packages, or not this one of them, is on hold. The caller holds the locks of the
/// packages.
///
/// # Errors
/// [`Error::WrongState`] naming the version and who can lift the hold.
pub(super) fn demand_not_held(
    conn: &mut PgConnection,
    ids: &[PackageId],
    one: Option<VersionId>,
    owner: &OwnerName,
) -> Result<()> {
    let query = versions::table.inner_join(packages::table).filter(versions::package_id.eq_any(ids));
    let query = query.filter(versions::held_at.is_not_null()).order(versions::id);
    let query = query.select((packages::name, versions::version, versions::hold_reason)).into_boxed();
    let query = match one {
        Some(id) => query.filter(versions::id.eq(id)),
        None => query,
    };
    let held: Option<(PackageName, Version, Reason)> = query.first(conn).optional()?;
    let Some((package, version, reason)) = held else { return Ok(()) };
    let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    Err(Error::WrongState(format!(
        "version {version} of {package} is on hold{why}, so it cannot be deleted: an owner of {owner} or an administrator \
         can lift the hold"
    )))
}
