//! Versions as the REST API speaks of them: one entry a version, with its package, its makers and its totals.

use super::access::CanRead;
use super::pages::{Page, Slice};
use crate::db::schema::{owners, packages, users, versions};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, VersionId};
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::path::VersionPath;
use crate::domain::role::{PackagePattern, Visibility};
use crate::domain::version::Version;
use crate::error::{Error, Result, What};
use diesel::dsl::sql;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Text};

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

type Condition<'a> = Box<dyn BoxableExpression<Joined, Pg, SqlType = Bool> + 'a>;
type Joined = diesel::helper_types::InnerJoinQuerySource<versions::table, packages::table>;

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

impl<'a> Filter<'a> {
    fn condition(self, right: &CanRead) -> Condition<'a> {
        let own = packages::owner_id.eq(right.owner().id);
        let wanted: Condition<'a> = match self {
            Self::NameContains("") => Box::new(own),
            Self::NameContains(part) => {
                let pattern = format!("%{}%", escape_like(&part.to_lowercase()));
                Box::new(own.and(packages::lower_name.like(pattern)))
            }
            Self::Package(name) => Box::new(own.and(packages::lower_name.eq(name.lower()))),
            Self::Version(path) => Box::new(
                own.and(packages::lower_name.eq(path.package.lower()))
                    .and(versions::lower_version.eq(path.version.lower())),
            ),
        };
        match right.packages() {
            None => wanted,
            Some(patterns) => Box::new(wanted.and(fits(patterns))),
        }
    }
}

/// Whether the name of the query's package fits one of the patterns, as [`PackagePattern::matches`] says.
fn fits(patterns: &[PackagePattern]) -> Condition<'static> {
    let like = |pattern: &PackagePattern| {
        let lower = pattern.as_str().to_lowercase();
        lower.split('*').map(escape_like).collect::<Vec<_>>().join("%")
    };
    let patterns: Vec<String> = patterns.iter().map(like).collect();
    Box::new(sql::<Bool>("packages.lower_name LIKE ANY (").bind::<Array<Text>, _>(patterns).sql(")"))
}

/// A text that stands for itself in a LIKE pattern.
pub(super) fn escape_like(text: &str) -> String {
    text.chars().flat_map(|c| matches!(c, '%' | '_' | '\\').then_some('\\').into_iter().chain([c])).collect()
}

/// Versions of an owner, the newest first.
///
/// # Errors
/// The database's.
pub fn list(conn: &mut PgConnection, right: &CanRead, filter: Filter<'_>, slice: Slice) -> Result<Page<Release>> {
    let total = versions::table.inner_join(packages::table).filter(filter.condition(right)).count().get_result(conn)?;
    type Row = (VersionId, PackageName, Version, Timestamp, i64, i64, Option<OwnerId>);
    let rows: Vec<Row> = versions::table
        .inner_join(packages::table)
        .filter(filter.condition(right))
        .order((versions::created_at.desc(), versions::id.desc()))
        .offset(slice.offset)
        .limit(slice.limit)
        .select((
            versions::id,
            packages::name,
            versions::version,
            versions::created_at,
            sql::<BigInt>(SIZE),
            sql::<BigInt>(DOWNLOADS),
            versions::creator_id.nullable(),
        ))
        .load(conn)?;
    let people = people(conn, rows.iter().filter_map(|row| row.6))?;
    let items = rows
        .into_iter()
        .map(|(id, package, version, created_at, size, downloads, creator)| Release {
            id,
            package,
            version,
            created_at,
            size,
            downloads,
            creator: creator.and_then(|id| people.iter().find(|person| person.id == id).cloned()),
        })
        .collect();
    Ok(Page { items, total })
}

/// The one version of a filter, or the newest of it.
///
/// # Errors
/// [`Error::NotFound`].
pub fn first(conn: &mut PgConnection, right: &CanRead, filter: Filter<'_>) -> Result<Release> {
    let what = if matches!(filter, Filter::Version(_)) { What::Version } else { What::Package };
    let page = list(conn, right, filter, Slice { offset: 0, limit: 1 })?;
    page.items.into_iter().next().ok_or(Error::NotFound(what))
}

/// Some users, as anybody may see them.
fn people(conn: &mut PgConnection, ids: impl Iterator<Item = OwnerId>) -> Result<Vec<Person>> {
    let ids: Vec<OwnerId> = ids.collect();
    Ok(users::table
        .inner_join(owners::table)
        .filter(users::id.eq_any(ids))
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
