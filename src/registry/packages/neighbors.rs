//! The versions around a version: the one before it, which it is compared with, and a pre-release of the next one.

use super::standing::{self, RankedRow};
use super::versions;
use crate::domain::names::PackageName;
use crate::domain::version::Version;
use crate::error::Result;
use crate::registry::access::CanRead;
use diesel::prelude::*;

/// The versions around a version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbors {
    /// The version before it.
    pub previous: Option<Version>,
    /// The version that `latest` stands for.
    pub latest: Option<Version>,
    /// Whether [`Self::latest`] is a release, and no pre-release.
    pub latest_is_release: bool,
    /// The newest pre-release, if its number is higher than the latest release's.
    pub prerelease: Option<Version>,
}

/// The versions around a version of a package, as far as the caller sees them.
///
/// # Errors
/// Database errors.
pub fn of(conn: &mut PgConnection, right: &CanRead, package: &PackageName, version: &Version) -> Result<Neighbors> {
    let rows = versions::ranked(conn, right, package)?;
    let latest = standing::latest(&rows);
    Ok(Neighbors {
        previous: previous(&rows, version),
        latest_is_release: latest.is_some_and(|row| !is_prerelease(row)),
        prerelease: prerelease(&rows, latest),
        latest: latest.map(|row| row.version.clone()),
    })
}

fn is_prerelease(row: &RankedRow) -> bool {
    row.prerelease.unwrap_or_else(|| row.version.is_prerelease())
}

/// For a release, the release with the next lower number; for a pre-release, the version with the next lower number,
/// whether a release or not. Versions that aren't numeric are ordered by time.
fn previous(rows: &[RankedRow], version: &Version) -> Option<Version> {
    let own = rows.iter().find(|row| row.version.lower() == version.lower())?;
    let others = || rows.iter().filter(|row| row.id != own.id && row.may_be_latest());
    let found = match own.version.semver_order() {
        Some(order) => {
            let lower = || {
                let placed = others().filter_map(|row| Some((row.version.semver_order()?, row)));
                placed.filter(|(other, _)| *other < order)
            };
            let highest = |release_only: bool| {
                let fitting = lower().filter(|(_, row)| !release_only || !is_prerelease(row));
                fitting.max_by(|one, other| one.0.cmp(&other.0)).map(|(_, row)| row)
            };
            if is_prerelease(own) { highest(false) } else { highest(true).or_else(|| highest(false)) }
        }
        None => {
            let earlier = others().filter(|row| (row.created_at, row.id) < (own.created_at, own.id));
            earlier.max_by_key(|row| (row.created_at, row.id))
        }
    };
    found.map(|row| row.version.clone())
}

fn prerelease(rows: &[RankedRow], latest: Option<&RankedRow>) -> Option<Version> {
    let latest = latest.filter(|row| !is_prerelease(row))?;
    let released = latest.version.semver_order()?;
    let next = rows.iter().filter(|row| row.may_be_latest() && is_prerelease(row));
    let next = next.filter_map(|row| Some((row.version.semver_order()?, row))).filter(|(order, _)| *order > released);
    next.max_by(|one, other| one.0.cmp(&other.0)).map(|(_, row)| row.version.clone())
}
