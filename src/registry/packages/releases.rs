//! Versions as the REST API speaks of them: one entry a version, with its package, its makers and its totals.

use super::lookup::package_is;
use crate::db::schema::{owners, packages, versions};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, PackageId, VersionId};
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::path::VersionPath;
use crate::domain::role::Visibility;
use crate::domain::version::Version;
use crate::error::{Error, Result, What};
use crate::registry::access::CanRead;
use crate::registry::like::{containing, like_any};
use crate::registry::pages::{Page, Slice};
use diesel::dsl::sql;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Text};
use std::collections::{HashMap, HashSet};

/// A version with what is said of it everywhere.
#[derive(Debug, Clone, Queryable)]
pub struct Release {
    pub id: VersionId,
    pub package: PackageName,
    pub version: Version,
    pub created_at: Timestamp,
    /// Bytes in all its files.
    pub size: i64,
    /// Downloads of all its files.
    pub downloads: i64,
    /// Who made it, while he exists.
    pub creator: Option<Person>,
}

/// What anybody may see of an owner.
#[derive(Debug, Clone, Queryable)]
pub struct Person {
    pub id: OwnerId,
    pub name: OwnerName,
    pub full_name: String,
    pub visibility: Visibility,
    pub created_at: Timestamp,
}

/// Totals of a version's files; read for the rows of one page, so that each is an index look-up.
const SIZE: &str = "(SELECT coalesce(sum(b.size), 0)::bigint FROM files f JOIN blobs b ON b.id = f.blob_id \
                    WHERE f.version_id = versions.id)";
const DOWNLOADS: &str =
    "(SELECT coalesce(sum(f.download_count), 0)::bigint FROM files f WHERE f.version_id = versions.id)";

/// Which versions of an owner.
#[derive(Debug, Clone, Copy)]
pub enum Filter<'a> {
    /// Those of packages whose name contains this, in either case.
    NameContains(&'a str),
    /// Those of one package.
    Package(&'a PackageName),
    /// One.
    Version(&'a VersionPath),
}

/// A filter, once its package is found: then its versions are a stretch of an index, counted and ordered.
enum Target {
    Owner(OwnerId),
    /// Names like these: the searched part's, and what a token is limited to.
    Names(OwnerId, Option<String>, Option<Vec<String>>),
    Package(PackageId),
    Version(PackageId, String),
}

type Condition = Box<dyn BoxableExpression<versions::table, Pg, SqlType = Bool>>;

impl Target {
    /// `None`: there is no such package.
    fn find(conn: &mut PgConnection, right: &CanRead, filter: Filter<'_>) -> Result<Option<Self>> {
        let owner = right.owner().id;
        let limits = right.packages().map(like_any);
        let mut find = |name: &PackageName| {
            let query = packages::table.filter(package_is(owner, name)).select(packages::id).into_boxed();
            let query = match &limits {
                Some(patterns) => query.filter(name_like_any(patterns.clone())),
                None => query,
            };
            query.first::<PackageId>(conn).optional()
        };
        Ok(match filter {
            Filter::NameContains("") if limits.is_none() => Some(Self::Owner(owner)),
            Filter::NameContains(part) => {
                Some(Self::Names(owner, (!part.is_empty()).then(|| containing(part)), limits))
            }
            Filter::Package(name) => find(name)?.map(Self::Package),
            Filter::Version(path) => find(&path.package)?.map(|id| Self::Version(id, path.version.lower())),
        })
    }

    fn condition(&self) -> Condition {
        match self {
            Self::Owner(owner) => Box::new(versions::owner_id.eq(*owner)),
            Self::Names(owner, part, limits) => {
                let names = packages::table.filter(packages::owner_id.eq(*owner)).select(packages::id).into_boxed();
                let names = match part {
                    // In words, which Diesel does not keep prepared: Postgres plans by how many names fit this very part.
                    Some(part) => names.filter(sql::<Bool>("packages.lower_name LIKE ").bind::<Text, _>(part.clone())),
                    None => names,
                };
                let names = match limits {
                    Some(patterns) => names.filter(name_like_any(patterns.clone())),
                    None => names,
                };
                Box::new(versions::owner_id.eq(*owner).and(versions::package_id.eq_any(names)))
            }
            Self::Package(id) => Box::new(versions::package_id.eq(*id)),
            Self::Version(id, lower) => {
                Box::new(versions::package_id.eq(*id).and(versions::lower_version.eq(lower.clone())))
            }
        }
    }

    /// The newest first.
    fn ids(&self, conn: &mut PgConnection, slice: Slice) -> Result<Vec<VersionId>> {
        Ok(versions::table
            .filter(self.condition())
            .order((versions::created_at.desc(), versions::id.desc()))
            .offset(slice.offset)
            .limit(slice.limit)
            .select(versions::id)
            .load(conn)?)
    }
}

fn name_like_any(patterns: Vec<String>) -> Box<dyn BoxableExpression<packages::table, Pg, SqlType = Bool>> {
    Box::new(sql::<Bool>("packages.lower_name LIKE ANY (").bind::<Array<Text>, _>(patterns).sql(")"))
}

/// Versions of an owner, the newest first.
///
/// # Errors
/// The database's.
pub fn list(conn: &mut PgConnection, right: &CanRead, filter: Filter<'_>, slice: Slice) -> Result<Page<Release>> {
    let Some(target) = Target::find(conn, right, filter)? else {
        return Ok(Page { items: Vec::new(), total: 0 });
    };
    let total = versions::table.filter(target.condition()).count().get_result(conn)?;
    // First which, then what of them: only the files of the page are added up.
    let ids = target.ids(conn, slice)?;
    let items = load(conn, &ids)?.into_iter().map(|(_, release)| release).collect();
    Ok(Page { items, total })
}

/// The one version of a filter, or the newest of it.
///
/// # Errors
/// [`Error::NotFound`].
pub fn first(conn: &mut PgConnection, right: &CanRead, filter: Filter<'_>) -> Result<Release> {
    let what = if matches!(filter, Filter::Version(_)) { What::Version } else { What::Package };
    let ids = match Target::find(conn, right, filter)? {
        Some(target) => target.ids(conn, Slice { offset: 0, limit: 1 })?,
        None => Vec::new(),
    };
    load(conn, &ids)?.into_iter().next().map(|(_, release)| release).ok_or(Error::NotFound(what))
}

/// Versions with their owners, in the order of their ids here. One that was deleted meanwhile is left out.
pub(in crate::registry) fn load(conn: &mut PgConnection, ids: &[VersionId]) -> Result<Vec<(OwnerId, Release)>> {
    type ReleaseRow = (VersionId, OwnerId, PackageName, Version, Timestamp, i64, i64, Option<OwnerId>);
    let rows: Vec<ReleaseRow> = versions::table
        .inner_join(packages::table)
        .filter(versions::id.eq_any(ids))
        .select((
            versions::id,
            versions::owner_id,
            packages::name,
            versions::version,
            versions::created_at,
            sql::<BigInt>(SIZE),
            sql::<BigInt>(DOWNLOADS),
            versions::creator_id.nullable(),
        ))
        .load(conn)?;
    let makers = people(conn, rows.iter().filter_map(|row| row.7))?;
    let mut releases: HashMap<VersionId, (OwnerId, Release)> = rows
        .into_iter()
        .map(|(id, owner, package, version, created_at, size, downloads, creator)| {
            let creator = creator.and_then(|id| makers.iter().find(|person| person.id == id).cloned());
            (id, (owner, Release { id, package, version, created_at, size, downloads, creator }))
        })
        .collect();
    Ok(ids.iter().filter_map(|id| releases.remove(id)).collect())
}

/// Some owners, as anybody may see them.
///
/// # Errors
/// The database's.
pub fn people(conn: &mut PgConnection, ids: impl Iterator<Item = OwnerId>) -> Result<Vec<Person>> {
    let ids: HashSet<OwnerId> = ids.collect();
    Ok(owners::table
        .filter(owners::id.eq_any(ids))
        .select((owners::id, owners::name, owners::full_name, owners::visibility, owners::created_at))
        .load(conn)?)
}

/// An owner, as anybody who may read it sees it.
///
/// # Errors
/// The database's.
pub fn owner(conn: &mut PgConnection, right: &CanRead) -> Result<Person> {
    Ok(owners::table
        .find(right.owner().id)
        .select((owners::id, owners::name, owners::full_name, owners::visibility, owners::created_at))
        .first(conn)?)
}
