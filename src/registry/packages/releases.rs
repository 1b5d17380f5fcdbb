//! Versions as the REST API returns them: one entry per version, with its package, its creators and its totals.

use super::contents::{DOWNLOADS, IDENTITY, SIZE};
use super::lookup::{package_is, version_is};
use super::standing::{STANDING_COLUMNS, Standing};
use crate::db::schema::{owners, packages, versions};
use crate::domain::clock::Timestamp;
use crate::domain::identity::VerifiedIdentity;
use crate::domain::ids::{OwnerId, PackageId, VersionId};
use crate::domain::labels::Labels;
use crate::domain::names::PackageName;
use crate::domain::package_texts::Markdown;
use crate::domain::path::VersionPath;
use crate::domain::version::Version;
use crate::error::{Error, Result, What};
use crate::registry::access::{CanRead, OwnerPackages, shown};
use crate::registry::draft_limit::DraftLimit;
use crate::registry::like::{containing, like_any, package_is_like_any};
use crate::registry::owners::person::Person;
use crate::registry::pages::{Page, Slice};
use diesel::dsl::sql;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Jsonb, Nullable, Text};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// A version with the details that every list shows.
#[derive(Debug, Clone)]
pub struct Release {
    pub id: VersionId,
    pub package: PackageName,
    pub version: Version,
    pub created_at: Timestamp,
    /// Bytes in all its files.
    pub size: i64,
    /// Downloads of all its files.
    pub downloads: i64,
    /// The user who created it, if the account still exists.
    pub creator: Option<Person>,
    /// The job of a trusted publisher that published all its files, if one did.
    pub identity: Option<VerifiedIdentity>,
    pub standing: Standing,
    pub labels: Labels,
}

impl Release {
    /// People who see only some packages of an owner must not learn who its members are.
    fn seen_by(self, right: &CanRead) -> Self {
        if right.owner().is_whole() { self } else { self.in_part() }
    }

    /// The version without its creator.
    #[must_use]
    pub fn in_part(self) -> Self {
        Self { creator: None, ..self }
    }
}

/// The versions of an owner to return.
#[derive(Debug, Clone, Copy)]
pub enum Filter<'a> {
    /// Versions of packages whose name contains this text, ignoring case.
    NameContains(&'a str),
    /// The versions of one package.
    Package(&'a PackageName),
}

/// A filter whose package was looked up: its versions are a range of an index, counted and ordered.
enum Target {
    Owner(OwnerId),
    /// The packages that the caller sees, a name pattern to search for, and the patterns that a token is limited to.
    Names(OwnerId, OwnerPackages, Option<String>, Option<Vec<String>>),
    Package(PackageId),
}

type Condition = Box<dyn BoxableExpression<versions::table, Pg, SqlType = Bool>>;

impl Target {
    /// `None` when the package does not exist.
    fn find(conn: &mut PgConnection, right: &CanRead, filter: Filter<'_>) -> Result<Option<Self>> {
        let owner = right.owner().id;
        let limits = right.packages().map(like_any);
        Ok(match filter {
            Filter::NameContains("") if limits.is_none() && right.listed().are_all() => Some(Self::Owner(owner)),
            Filter::NameContains(part) => {
                let part = (!part.is_empty()).then(|| containing(part));
                Some(Self::Names(owner, right.listed().clone(), part, limits))
            }
            Filter::Package(name) => {
                let query = packages::table.filter(package_is(owner, name)).select(packages::id).into_boxed();
                let query = match limits {
                    Some(patterns) => query.filter(package_is_like_any(patterns)),
                    None => query,
                };
                query.first(conn).optional()?.map(Self::Package)
            }
        })
    }

    fn condition(&self) -> Condition {
        match self {
            Self::Owner(owner) => Box::new(versions::owner_id.eq(*owner)),
            Self::Names(owner, seen, part, limits) => {
                let names = packages::table.filter(packages::owner_id.eq(*owner)).select(packages::id).into_boxed();
                let names = if seen.are_all() { names } else { names.filter(seen.clone()) };
                let names = match part {
                    // As SQL text, which Diesel does not keep prepared: Postgres then plans with the number of names
                    // that match this text.
                    Some(part) => names.filter(sql::<Bool>("packages.lower_name LIKE ").bind::<Text, _>(part.clone())),
                    None => names,
                };
                let names = match limits {
                    Some(patterns) => names.filter(package_is_like_any(patterns.clone())),
                    None => names,
                };
                Box::new(versions::owner_id.eq(*owner).and(versions::package_id.eq_any(names)))
            }
            Self::Package(id) => Box::new(versions::package_id.eq(*id)),
        }
    }

    /// The newest first.
    fn ids(&self, conn: &mut PgConnection, limit: DraftLimit, slice: Slice) -> Result<Vec<VersionId>> {
        Ok(versions::table
            .filter(self.condition())
            .filter(shown(limit))
            .order((versions::created_at.desc(), versions::id.desc()))
            .offset(slice.offset)
            .limit(slice.limit)
            .select(versions::id)
            .load(conn)?)
    }
}

/// Versions of an owner, the newest first.
///
/// # Errors
/// Database errors.
pub fn list(conn: &mut PgConnection, right: &CanRead, filter: Filter<'_>, slice: Slice) -> Result<Page<Release>> {
    let Some(target) = Target::find(conn, right, filter)? else {
        return Ok(Page { items: Vec::new(), total: 0 });
    };
    let limit = right.draft_limit();
    let total = versions::table.filter(target.condition()).filter(shown(limit.clone())).count().get_result(conn)?;
    // The ids first, then the details: only the files of this page are summed up.
    let ids = target.ids(conn, limit, slice)?;
    let items = load(conn, &ids)?.into_iter().map(|(_, release)| release.seen_by(right)).collect();
    Ok(Page { items, total })
}

/// One version.
///
/// # Errors
/// [`Error::NotFound`].
pub fn find(conn: &mut PgConnection, right: &CanRead, path: &VersionPath) -> Result<Release> {
    let row = versions::table.inner_join(packages::table).filter(version_is(right.owner().id, path));
    let row = row.filter(shown(right.draft_limit()));
    let id: Option<VersionId> = row.select(versions::id).first(conn).optional()?;
    let found = load(conn, id.as_slice())?.into_iter().next();
    found.map(|(_, release)| release.seen_by(right)).ok_or(Error::NotFound(What::Version))
}

/// The notes of a version, which lists leave out.
///
/// # Errors
/// [`Error::NotFound`] when it was deleted in the meantime.
pub fn notes(conn: &mut PgConnection, id: VersionId) -> Result<Markdown> {
    let row = versions::table.find(id).select(versions::notes);
    row.first(conn).optional()?.ok_or(Error::NotFound(What::Version))
}

/// Versions with their owners, in the order of these ids. A version that was deleted in the meantime is left out.
pub(in crate::registry) fn load(conn: &mut PgConnection, ids: &[VersionId]) -> Result<Vec<(OwnerId, Release)>> {
    type Details = (PackageName, Version, Timestamp, i64, i64, Standing, Labels);
    type ReleaseRow = (VersionId, OwnerId, (Option<OwnerId>, Option<Value>), Details);
    let rows: Vec<ReleaseRow> = versions::table
        .inner_join(packages::table)
        .filter(versions::id.eq_any(ids))
        .select((
            versions::id,
            versions::owner_id,
            (versions::creator_id.nullable(), sql::<Nullable<Jsonb>>(IDENTITY)),
            (
                packages::name,
                versions::version,
                versions::created_at,
                sql::<BigInt>(SIZE),
                sql::<BigInt>(DOWNLOADS),
                STANDING_COLUMNS,
                versions::labels,
            ),
        ))
        .load(conn)?;
    let makers = people(conn, rows.iter().filter_map(|row| row.2.0))?;
    let mut releases: HashMap<VersionId, (OwnerId, Release)> = rows
        .into_iter()
        .map(|(id, owner, (creator, identity), details)| {
            let (package, version, created_at, size, downloads, standing, labels) = details;
            let creator = creator.and_then(|id| makers.iter().find(|person| person.id == id).cloned());
            let identity = identity.map(serde_json::from_value).transpose().map_err(Error::internal)?;
            let release =
                Release { id, package, version, created_at, size, downloads, creator, identity, standing, labels };
            Ok((id, (owner, release)))
        })
        .collect::<Result<_>>()?;
    Ok(ids.iter().filter_map(|id| releases.remove(id)).collect())
}

/// The public fields of some owners.
///
/// # Errors
/// Database errors.
pub fn people(conn: &mut PgConnection, ids: impl Iterator<Item = OwnerId>) -> Result<Vec<Person>> {
    let ids: HashSet<OwnerId> = ids.collect();
    Ok(owners::table
        .filter(owners::id.eq_any(ids))
        .select((owners::id, owners::name, owners::full_name, owners::visibility, owners::created_at))
        .load(conn)?)
}

/// An owner, with the fields that the reader may see.
///
/// # Errors
/// Database errors.
pub fn owner(conn: &mut PgConnection, right: &CanRead) -> Result<Person> {
    let person: Person = owners::table
        .find(right.owner().id)
        .select((owners::id, owners::name, owners::full_name, owners::visibility, owners::created_at))
        .first(conn)?;
    Ok(if right.owner().is_whole() { person } else { person.in_part() })
}
