//! Facts for the upload form: the owners the user can publish to, the existing packages, versions and files for the
//! names they type, and the space that is left.

use super::changeable;
use super::lookup;
use super::publish::UploadLimits;
use super::quotas::{self, Usage};
use crate::db::schema::{files, owners, packages, versions};
use crate::domain::clock::Timestamp;
use crate::domain::ids::PackageId;
use crate::domain::names::{FileName, OwnerName, PackageName};
use crate::domain::path::VersionPath;
use crate::domain::version::Version;
use crate::error::{Error, Result};
use crate::registry::access::CanUpload;
use crate::registry::like::{escape_like, like_any, package_is_like_any};
use diesel::dsl::sql;
use diesel::expression::BoxableExpression;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::Bool;

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
    /// The owners that the user can publish to: themselves first, then others by name, and the owner of this form.
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
    let found = package.map(|name| existing(conn, right, &name)).transpose()?.flatten();
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
    let orgs: Vec<OwnerName> = owners::table
        .filter(owners::id.eq_any(right.elsewhere()))
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
        .filter(right.listed().clone())
        .filter(writable(right))
        .filter(packages::lower_name.like(format!("{}%", escape_like(&text.to_lowercase()))))
        .order(packages::lower_name)
        .limit(PROPOSED)
        .select(packages::name)
        .load(conn)?)
}

/// Whether the user may publish to the package of the query's row, whatever the limits of a token. Publishers see
/// drafts, so the form has no facts about other packages.
fn writable<QS: 'static>(right: &CanUpload) -> Box<dyn BoxableExpression<QS, Pg, SqlType = Bool>> {
    match right.patterns() {
        Some(patterns) => package_is_like_any(like_any(patterns)),
        None => Box::new(sql::<Bool>("true")),
    }
}

/// The package of this name, if it exists and the user may see it and publish to it.
fn existing(
    conn: &mut PgConnection,
    right: &CanUpload,
    name: &PackageName,
) -> Result<Option<(PackageId, PackageName)>> {
    Ok(packages::table
        .filter(lookup::package_is(right.owner().id, name))
        .filter(right.listed().clone())
        .filter(writable(right))
        .select((packages::id, packages::name))
        .first(conn)
        .optional()?)
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
