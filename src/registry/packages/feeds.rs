//! The versions that were published last, for feeds: of an owner, of a package, or of a search.

use super::lookup;
use super::search::{self, Search};
use crate::db::schema::{owners, packages, versions};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, VersionId};
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::role::Visibility;
use crate::domain::version::Version;
use crate::domain::version_state::VersionState;
use crate::error::Result;
use crate::registry::access::{CanRead, CanSearch, OwnerPackages};
use crate::registry::like::like_any;
use crate::registry::packages::releases;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, SmallInt, Text};
use std::collections::HashMap;

/// The most entries of a feed.
const MOST: i64 = 50;

/// A published version.
#[derive(Debug, Clone)]
pub struct Item {
    pub id: VersionId,
    pub owner: OwnerName,
    pub package: PackageName,
    pub version: Version,
    /// Markdown.
    pub notes: String,
    pub published_at: Timestamp,
    /// Who created it, if the account still exists.
    pub creator: Option<OwnerName>,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: VersionId,
}

/// Versions of one owner or package that the caller may see, the last published first. Most versions are published when they are created; the
/// others were drafts before, and are found by another index.
fn newest(
    conn: &mut PgConnection,
    right: &CanRead,
    (column, of): (&str, i64),
    patterns: Option<Vec<String>>,
) -> Result<Vec<VersionId>> {
    let draft = VersionState::Draft.number();
    let listed = OwnerPackages::sql([3, 4, 5, 6]);
    let half = |at: &str, condition: &str| {
        format!(
            "(SELECT v.id, v.{at} AS at FROM versions v JOIN packages ON packages.id = v.package_id WHERE v.{column} = $1 \
             AND v.state > {draft} AND v.published_at {condition} AND {listed} \
             AND ($2 IS NULL OR packages.lower_name LIKE ANY ($2)) \
             ORDER BY v.{at} DESC, v.id DESC LIMIT {MOST})"
        )
    };
    let (created, published) = (half("created_at", "IS NULL"), half("published_at", "IS NOT NULL"));
    let query = format!(
        "SELECT id FROM ({created} UNION ALL {published}) AS all_of_them ORDER BY at DESC, id DESC LIMIT {MOST}"
    );
    let (all, inherited, widest, shared) = right.listed().values();
    let rows: Vec<IdRow> = sql_query(query)
        .bind::<BigInt, _>(of)
        .bind::<Nullable<Array<Text>>, _>(patterns)
        .bind::<Bool, _>(all)
        .bind::<SmallInt, _>(inherited)
        .bind::<SmallInt, _>(widest)
        .bind::<Array<Text>, _>(shared)
        .load(conn)?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// The versions of an owner that were published last.
///
/// # Errors
/// Database errors.
pub fn of_owner(conn: &mut PgConnection, right: &CanRead) -> Result<Vec<Item>> {
    let ids = newest(conn, right, ("owner_id", right.owner().id.0), right.packages().map(like_any))?;
    load(conn, &ids, |_, _| right.owner().is_whole())
}

/// The versions of a package that were published last, and the package's name in its original spelling.
///
/// # Errors
/// [`crate::error::Error::NotFound`] for an unknown package.
pub fn of_package(conn: &mut PgConnection, right: &CanRead, package: &PackageName) -> Result<(PackageName, Vec<Item>)> {
    let (id, name) = lookup::shown_package(conn, right, package)?;
    let ids = newest(conn, right, ("package_id", id.0), None)?;
    Ok((name, load(conn, &ids, |_, _| right.owner().is_whole())?))
}

/// The newest results of a search.
///
/// # Errors
/// As [`search::search()`].
pub fn of_search(conn: &mut PgConnection, right: &CanSearch, wanted: Search) -> Result<Vec<Item>> {
    let found = search::search(conn, right, &Search { limit: MOST, ..wanted })?;
    let ids: Vec<VersionId> = found.hits.into_iter().map(|hit| hit.release.id).collect();
    load(conn, &ids, |owner, visibility| right.sees(owner, visibility))
}

/// The notes, up to one character more than a feed shows.
const NOTES: &str = "left(versions.notes, 32769)";

/// Published versions in the order of these ids. People who see only some packages of an owner, and not the owner as
/// such, must not learn who creates them.
fn load(
    conn: &mut PgConnection,
    ids: &[VersionId],
    is_whole: impl Fn(OwnerId, Visibility) -> bool,
) -> Result<Vec<Item>> {
    type Of = (OwnerId, OwnerName, Visibility);
    type ItemRow = (VersionId, Of, PackageName, Version, String, Timestamp, Option<Timestamp>, Option<OwnerId>);
    let rows: Vec<ItemRow> = versions::table
        .inner_join(packages::table)
        .inner_join(owners::table.on(owners::id.eq(versions::owner_id)))
        .filter(versions::id.eq_any(ids))
        .filter(versions::state.ne(VersionState::Draft))
        .select((
            versions::id,
            (owners::id, owners::name, owners::visibility),
            packages::name,
            versions::version,
            sql::<Text>(NOTES),
            versions::created_at,
            versions::published_at,
            versions::creator_id,
        ))
        .load(conn)?;
    let people = releases::people(conn, rows.iter().filter_map(|row| row.7))?;
    let name = |id: OwnerId| people.iter().find(|person| person.id == id).map(|person| person.name.clone());
    let mut items: HashMap<VersionId, Item> = HashMap::new();
    for (id, (owner_id, owner, visibility), package, version, notes, created_at, published_at, creator) in rows {
        let creator = creator.filter(|_| is_whole(owner_id, visibility)).and_then(name);
        let published_at = published_at.unwrap_or(created_at);
        items.insert(id, Item { id, owner, package, version, notes, published_at, creator });
    }
    Ok(ids.iter().filter_map(|id| items.remove(id)).collect())
}
