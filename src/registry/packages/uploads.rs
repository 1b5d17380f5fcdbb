//! Facts for the upload form: the owners the user can publish to, the existing packages, versions and files for the
//! names they type, and the space that is left.

use super::changeable;
use super::lookup;
use super::publish::UploadLimits;
use super::quotas::{self, Usage};
use crate::db::schema::{files, owners, packages, team_members, teams, versions};
use crate::domain::clock::Timestamp;
use crate::domain::ids::PackageId;
use crate::domain::names::{FileName, OwnerName, PackageName};
use crate::domain::path::VersionPath;
use crate::domain::role::{OwnerKind, Permission};
use crate::domain::version::Version;
use crate::error::{Error, Result};
use crate::registry::access::CanUpload;
use crate::registry::like::escape_like;
use diesel::prelude::*;

/// The most suggestions of each kind.
const PROPOSED: i64 = 50;
/// The most file names listed for an existing version.
const NAMED: i64 = 500;

/// The names typed so far. An invalid name counts as empty.
#[derive(Debug, Clone, Default)]
pub struct Typed {
    pub package: String,
    pub version: String,
}

/// An existing version.
#[derive(Debug, Clone)]
pub struct ExistingVersion {
    /// How many files it has.
    pub count: i64,
    /// Their names, up to some hundreds.
    pub files: Vec<FileName>,
}

/// The facts about an upload that may follow.
#[derive(Debug, Clone)]
pub struct Prospect {
    /// The owners that the user can publish to: themselves first, then their organizations by name, and the owner of
    /// this form.
    pub owners: Vec<OwnerName>,
    /// Packages whose names begin with the typed text.
    pub packages: Vec<PackageName>,
    /// The named package in its original spelling, if it exists.
    pub package: Option<PackageName>,
    /// Its versions, the newest first.
    pub versions: Vec<Version>,
    /// The named version, if it exists.
    pub there: Option<ExistingVersion>,
    /// The most bytes that one more file may have; `None` for no limit.
    pub most: Option<u64>,
    /// Why nothing more fits.
    pub obstacle: Option<String>,
}

/// Looks up all of these facts.
///
/// # Errors
/// Database errors.
pub fn prospect(
    conn: &mut PgConnection,
    right: &CanUpload,
    typed: &Typed,
    limits: &UploadLimits,
    now: Timestamp,
) -> Result<Prospect> {
    let owner = right.owner();
    let mut prospect = Prospect {
        owners: publishable(conn, right)?,
        packages: beginning(conn, right, &typed.package)?,
        package: None,
        versions: Vec::new(),
        there: None,
        most: limits.file_bytes,
        obstacle: None,
    };
    let package = typed.package.parse::<PackageName>().ok();
    let found = package.map(|name| lookup::if_found(lookup::package(conn, owner.id, &name))).transpose()?.flatten();
    if let Some((id, name)) = found {
        prospect.package = Some(name);
        prospect.versions = newest_versions(conn, id)?;
        prospect.there = typed.version.parse().ok().map(|version| there(conn, id, &version)).transpose()?.flatten();
    }
    if let Some(quota) = quotas::limits_of(owner, right.user(), limits.quota) {
        let more = Usage { versions: i64::from(prospect.there.is_none()), bytes: 0 };
        match quotas::check(conn, owner, quota, more) {
            Err(Error::Quota(text)) => prospect.obstacle = Some(text),
            other => other?,
        }
        let allowed = quotas::allowance(conn, owner, quota, 0)?.map(|allowance| allowance.bytes);
        prospect.most = allowed.into_iter().chain(prospect.most).min();
    }
    if let (Some(package), Ok(version)) = (prospect.package.clone(), typed.version.parse()) {
        let path = VersionPath { owner: owner.name.clone(), package, version };
        let place = changeable::place(conn, owner.id, &path)?;
        match changeable::demand_addable(&path, place, false, now) {
            Err(Error::WrongState(text)) => prospect.obstacle = Some(text),
            other => other?,
        }
    }
    Ok(prospect)
}

fn publishable(conn: &mut PgConnection, right: &CanUpload) -> Result<Vec<OwnerName>> {
    let user = right.user();
    let orgs = teams::table
        .inner_join(team_members::table)
        .filter(team_members::user_id.eq(user.id))
        .filter(teams::permission.ge(Permission::Write))
        .select(teams::org_id);
    let orgs: Vec<OwnerName> = owners::table
        .filter(owners::kind.eq(OwnerKind::Organization))
        .filter(owners::id.eq_any(orgs))
        .order(owners::lower_name)
        .select(owners::name)
        .load(conn)?;
    let mut all = vec![user.name.clone()];
    all.extend(orgs);
    // Administrators may publish to everybody, and those owners are too many to list.
    if !all.contains(&right.owner().name) {
        all.push(right.owner().name.clone());
    }
    Ok(all)
}

fn beginning(conn: &mut PgConnection, right: &CanUpload, text: &str) -> Result<Vec<PackageName>> {
    if text.contains('\0') {
        return Ok(Vec::new());
    }
    Ok(packages::table
        .filter(packages::owner_id.eq(right.owner().id))
        .filter(packages::lower_name.like(format!("{}%", escape_like(&text.to_lowercase()))))
        .order(packages::lower_name)
        .limit(PROPOSED)
        .select(packages::name)
        .load(conn)?)
}

fn newest_versions(conn: &mut PgConnection, package: PackageId) -> Result<Vec<Version>> {
    Ok(versions::table
        .filter(versions::package_id.eq(package))
        .order(versions::id.desc())
        .limit(PROPOSED)
        .select(versions::version)
        .load(conn)?)
}

fn there(conn: &mut PgConnection, package: PackageId, version: &Version) -> Result<Option<ExistingVersion>> {
    let Some((id, _)) = lookup::if_found(lookup::version(conn, package, version))? else { return Ok(None) };
    let of_version = files::table.filter(files::version_id.eq(id));
    let count = of_version.count().get_result(conn)?;
    let names = of_version.order(files::lower_name).limit(NAMED).select(files::name).load(conn)?;
    Ok(Some(ExistingVersion { count, files: names }))
}
