//! Package lists for people: one entry per package, with its newest version and its totals.
//!
//! As in every list, one query finds the ids of a page and another one loads the details, so that only the versions and
//! files of that page's packages are read.

use super::standing::{self, RANK_COLUMNS, RankedRow};
use crate::db::schema::{owners, packages, versions};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, PackageId};
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::role::{OwnerKind, Permission};
use crate::domain::version::Version;
use crate::error::{Error, Result};
use crate::registry::access::{CanRead, OwnerPackages, PackageReadable, has_shown_version, package_readable};
use crate::registry::access::{shown, shown_sql};
use crate::registry::caller::Caller;
use crate::registry::draft_limit::DraftLimit;
use crate::registry::like::{containing, like_any, package_is_like_any};
use crate::registry::pages::{ByAge, Page, Slice};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::BoxedSqlQuery;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, SmallInt, Text};
use std::collections::HashMap;
use std::str::FromStr;

/// A package with its newest version and its totals.
#[derive(Debug, Clone)]
pub struct Entry {
    pub id: PackageId,
    pub owner: OwnerId,
    pub name: PackageName,
    /// The version that `latest` stands for, if there is one.
    pub latest: Option<Version>,
    /// The version to show: the latest, or without one, another.
    pub newest: Version,
    /// When that version was created.
    pub newest_at: Timestamp,
    /// The version that was created last.
    pub last: Version,
    /// The number of versions.
    pub versions: i64,
    /// Bytes in all files of all versions.
    pub size: i64,
    /// Downloads of all versions.
    pub downloads: i64,
    /// When its first version was created.
    pub created_at: Timestamp,
    /// When the last version was created.
    pub updated_at: Timestamp,
}

/// The order of an owner's packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatalogOrder {
    /// The most recently updated first.
    #[default]
    Updated,
    Name,
    /// The largest first.
    Size,
    /// The most downloaded first.
    Downloads,
}

impl FromStr for CatalogOrder {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" | "updated" => Ok(Self::Updated),
            "name" => Ok(Self::Name),
            "size" => Ok(Self::Size),
            "downloads" => Ok(Self::Downloads),
            _ => Err(Error::invalid("sort", "sort: use updated, name, size or downloads".to_owned())),
        }
    }
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: PackageId,
}

/// A condition for the last version of a package that is shown. In this form Postgres checks one version after another, in index order,
/// until the page is full. Without `coalesce`, Postgres estimates that `id = …` matches a single row and sorts
/// everything for that one-row list (1.3 s instead of 30 ms for 300,000 versions).
pub(in crate::registry) fn last_of_package(limit: &DraftLimit) -> String {
    let shown = shown_sql(limit, "last");
    format!(
        "coalesce(versions.id = (SELECT last.id FROM versions last WHERE last.package_id = versions.package_id \
         AND {shown} ORDER BY last.created_at DESC, last.id DESC LIMIT 1), false)"
    )
}

/// The packages of an owner whose names contain a text, ignoring case.
///
/// # Errors
/// Database errors.
pub fn of_owner(
    conn: &mut PgConnection,
    right: &CanRead,
    part: &str,
    order: CatalogOrder,
    slice: Slice,
) -> Result<Page<Entry>> {
    // No name has such a character, and Postgres rejects NUL in a text.
    if part.chars().any(char::is_control) {
        return Ok(Page { items: Vec::new(), total: 0 });
    }
    let mut likes = Vec::new();
    likes.extend((!part.is_empty()).then(|| vec![containing(part)]));
    likes.extend(right.packages().map(like_any));
    let (owner, limit) = (right.owner().id, right.draft_limit());
    let ids = ids_of_owner(conn, right, &likes, order, slice)?;
    let all = packages::table.filter(packages::owner_id.eq(owner)).filter(has_shown_version(&limit, owner));
    let mut all = all.filter(right.listed().clone()).into_boxed::<Pg>();
    for like in &likes {
        all = all.filter(package_is_like_any(like.clone()));
    }
    Ok(Page { total: all.count().get_result(conn)?, items: load(conn, &limit, &ids)? })
}

/// The packages of an owner, by the time when they were created.
///
/// # Errors
/// Database errors.
pub fn ids(conn: &mut PgConnection, right: &CanRead, order: ByAge, slice: Slice) -> Result<Page<PackageId>> {
    let (owner, limit) = (right.owner().id, right.draft_limit());
    let rows = || {
        let rows = packages::table.filter(packages::owner_id.eq(owner)).filter(has_shown_version(&limit, owner));
        let rows = rows.filter(right.listed().clone()).into_boxed::<Pg>();
        match right.packages().map(like_any) {
            Some(patterns) => rows.filter(package_is_like_any(patterns)),
            None => rows,
        }
    };
    let total = rows().count().get_result(conn)?;
    let ordered = match order {
        ByAge::OldestFirst => rows().order(packages::id.asc()),
        ByAge::NewestFirst => rows().order(packages::id.desc()),
    };
    let items = ordered.offset(slice.offset).limit(slice.limit).select(packages::id).load(conn)?;
    Ok(Page { items, total })
}

/// The names of packages in the order of these ids. A package that was deleted or hidden in the meantime is left out.
///
/// # Errors
/// Database errors.
pub fn names(conn: &mut PgConnection, right: &CanRead, ids: &[PackageId]) -> Result<Vec<PackageName>> {
    let rows = packages::table.filter(packages::id.eq_any(ids)).filter(right.listed().clone());
    let rows = rows.filter(has_shown_version(&right.draft_limit(), right.owner().id));
    let rows = rows.select((packages::id, packages::name));
    let mut found: HashMap<PackageId, PackageName> = rows.load::<(PackageId, PackageName)>(conn)?.into_iter().collect();
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

fn ids_of_owner(
    conn: &mut PgConnection,
    right: &CanRead,
    likes: &[Vec<String>],
    order: CatalogOrder,
    slice: Slice,
) -> Result<Vec<PackageId>> {
    let everything = likes.is_empty() && right.listed().are_all();
    let seen = OwnerPackages::sql([4, 5, 6, 7]);
    let named: String = (0..likes.len()).map(|n| format!(" AND packages.lower_name LIKE ANY (${})", n + 8)).collect();
    let named = format!(" AND {seen}{named}");
    let limit = &right.draft_limit();
    let (shown, last) = (shown_sql(limit, "versions"), last_of_package(limit));
    let of_all = format!(
        "FROM packages JOIN versions ON versions.package_id = packages.id AND {shown} \
         JOIN files ON files.version_id = versions.id"
    );
    let rows = match order {
        CatalogOrder::Updated if everything => format!(
            "SELECT versions.package_id AS id FROM versions WHERE versions.owner_id = $1 AND {shown} AND {last} \
             ORDER BY versions.created_at DESC, versions.id DESC"
        ),
        CatalogOrder::Updated => format!(
            "SELECT packages.id FROM packages, LATERAL (SELECT created_at, id FROM versions WHERE package_id = packages.id \
             AND {shown} ORDER BY created_at DESC, id DESC LIMIT 1) last WHERE packages.owner_id = $1{named} \
             ORDER BY last.created_at DESC, last.id DESC"
        ),
        CatalogOrder::Name => format!(
            "SELECT id FROM packages WHERE owner_id = $1{named} AND EXISTS \
             (SELECT FROM versions WHERE versions.package_id = packages.id AND {shown}) ORDER BY lower_name"
        ),
        CatalogOrder::Size => format!(
            "SELECT packages.id {of_all} JOIN blobs ON blobs.id = files.blob_id WHERE packages.owner_id = $1{named} \
             GROUP BY packages.id ORDER BY sum(blobs.size) DESC, packages.id"
        ),
        CatalogOrder::Downloads => format!(
            "SELECT packages.id {of_all} WHERE packages.owner_id = $1{named} \
             GROUP BY packages.id ORDER BY sum(files.download_count) DESC, packages.id"
        ),
    };
    let mut query: BoxedSqlQuery<'_, Pg, _> = sql_query(format!("{rows} OFFSET $2 LIMIT $3"))
        .into_boxed()
        .bind::<BigInt, _>(right.owner().id)
        .bind::<BigInt, _>(slice.offset)
        .bind::<BigInt, _>(slice.limit);
    if !(everything && order == CatalogOrder::Updated) {
        let (all, inherited, widest, patterns) = right.listed().values();
        query = query.bind::<Bool, _>(all).bind::<SmallInt, _>(inherited).bind::<SmallInt, _>(widest);
        query = query.bind::<Array<Text>, _>(patterns);
    }
    for like in likes {
        query = query.bind::<Array<Text>, _>(like.clone());
    }
    Ok(query.load::<Id>(conn)?.into_iter().map(|row| row.id).collect())
}

/// Packages in the order of these ids. A package that was deleted in the meantime is left out.
///
/// # Errors
/// Database errors.
pub fn load(conn: &mut PgConnection, limit: &DraftLimit, ids: &[PackageId]) -> Result<Vec<Entry>> {
    type PackageRow = (PackageId, OwnerId, PackageName, Timestamp);
    let named: Vec<PackageRow> = packages::table
        .filter(packages::id.eq_any(ids))
        .select((packages::id, packages::owner_id, packages::name, packages::created_at))
        .load(conn)?;
    let mut versions_of: HashMap<PackageId, Vec<RankedRow>> = HashMap::new();
    let rows: Vec<(PackageId, RankedRow)> = versions::table
        .filter(versions::package_id.eq_any(ids))
        .filter(shown(limit.clone()))
        .select((versions::package_id, RANK_COLUMNS))
        .load(conn)?;
    for (package, row) in rows {
        versions_of.entry(package).or_default().push(row);
    }
    let totals = totals(conn, limit, ids)?;
    let entry = |(id, owner, name, created_at): PackageRow| {
        let all = versions_of.remove(&id)?;
        let versions = i64::try_from(all.len()).unwrap_or(i64::MAX);
        let last = all.iter().max_by_key(|row| (row.created_at, row.id))?;
        let (last, updated_at) = (last.version.clone(), last.created_at);
        let latest = standing::latest(&all).map(|row| row.version.clone());
        let newest = standing::foremost(&all)?;
        let (newest, newest_at) = (newest.version.clone(), newest.created_at);
        let (size, downloads) = totals.get(&id).copied().unwrap_or_default();
        let entry = Entry {
            id,
            owner,
            name,
            latest,
            newest,
            newest_at,
            last,
            versions,
            size,
            downloads,
            created_at,
            updated_at,
        };
        Some((id, entry))
    };
    let mut entries: HashMap<PackageId, Entry> = named.into_iter().filter_map(entry).collect();
    Ok(ids.iter().filter_map(|id| entries.remove(id)).collect())
}

/// Bytes and downloads of all files of some packages.
fn totals(conn: &mut PgConnection, limit: &DraftLimit, ids: &[PackageId]) -> Result<HashMap<PackageId, (i64, i64)>> {
    #[derive(QueryableByName)]
    struct EntryRow {
        #[diesel(sql_type = BigInt)]
        id: PackageId,
        #[diesel(sql_type = BigInt)]
        size: i64,
        #[diesel(sql_type = BigInt)]
        downloads: i64,
    }
    let rows: Vec<EntryRow> = sql_query(format!(
        "SELECT v.package_id AS id, sum(b.size)::bigint AS size, sum(f.download_count)::bigint AS downloads \
         FROM versions v JOIN files f ON f.version_id = v.id JOIN blobs b ON b.id = f.blob_id \
         WHERE v.package_id = ANY ($1) AND {} GROUP BY v.package_id",
        shown_sql(limit, "v")
    ))
    .bind::<Array<BigInt>, _>(ids)
    .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.id, (row.size, row.downloads))).collect())
}

/// An owner that a user belongs to: the user themselves, or an organization they are a member of.
#[derive(Debug, Clone)]
pub struct Belonging {
    pub id: OwnerId,
    pub name: OwnerName,
    pub full_name: String,
    pub kind: OwnerKind,
    /// The user's permission there; for some packages only if not `is_whole`.
    pub permission: Permission,
    /// Whether the permission is for all packages.
    is_whole: bool,
}

/// A user's owners: the user first, then their organizations by name.
///
/// # Errors
/// [`Error::Unauthenticated`] for the anonymous; database errors.
pub fn belonging(conn: &mut PgConnection, caller: &Caller) -> Result<Vec<Belonging>> {
    let user = caller.signed_in()?.id;
    type BelongingRow = (OwnerId, OwnerName, String, OwnerKind);
    let own: Option<BelongingRow> = owners::table
        .find(user)
        .select((owners::id, owners::name, owners::full_name, owners::kind))
        .first(conn)
        .optional()?;
    let reach = caller.reach();
    let orgs: Vec<BelongingRow> = owners::table
        .filter(owners::id.eq_any(reach.member_of()))
        .order(owners::lower_name)
        .select((owners::id, owners::name, owners::full_name, owners::kind))
        .load(conn)?;
    let all = own.into_iter().chain(orgs);
    Ok(all
        .map(|(id, name, full_name, kind)| {
            let permission = if id == user { Permission::Owner } else { reach.best(id).unwrap_or(Permission::Read) };
            let is_whole = id == user || reach.permission(id).is_some();
            Belonging { id, name, full_name, kind, permission, is_whole }
        })
        .collect())
}

/// The most recently updated packages of some owners, as far as the caller may see them, and whether there are more.
///
/// # Errors
/// Database errors.
pub fn recent(conn: &mut PgConnection, caller: &Caller, of: &[Belonging], slice: Slice) -> Result<(Vec<Entry>, bool)> {
    let drafts = caller.draft_limit();
    let (shown, last) = (shown_sql(&drafts, "versions"), last_of_package(&drafts));
    let owners: Vec<OwnerId> = of.iter().map(|owner| owner.id).collect();
    let whole: Vec<bool> = of.iter().map(|owner| owner.is_whole).collect();
    let seen = PackageReadable::sql([4, 5, 6, 7, 8]);
    let (widest, user, orgs, sharing, patterns) = package_readable(caller.visibility_limit()).values();
    // Each owner has their own index scan: a walk over all versions would take too long for owners without any.
    let rows: Vec<Id> = sql_query(format!(
        "SELECT each.package_id AS id FROM unnest($1, $3) AS owner (id, is_whole), LATERAL (SELECT versions.package_id, \
         versions.created_at, versions.id AS version_id FROM versions WHERE versions.owner_id = owner.id AND \
         {shown} AND {last} AND (owner.is_whole OR coalesce((SELECT {seen} FROM packages JOIN owners \
         ON owners.id = packages.owner_id WHERE packages.id = versions.package_id), false)) \
         ORDER BY versions.created_at DESC, versions.id DESC LIMIT $2) each \
         ORDER BY each.created_at DESC, each.version_id DESC OFFSET $9 LIMIT $10"
    ))
    .bind::<Array<BigInt>, _>(owners)
    .bind::<BigInt, _>(slice.offset.saturating_add(slice.limit).saturating_add(1))
    .bind::<Array<Bool>, _>(whole)
    .bind::<SmallInt, _>(widest)
    .bind::<BigInt, _>(user)
    .bind::<Array<BigInt>, _>(orgs)
    .bind::<Array<BigInt>, _>(sharing)
    .bind::<Array<Text>, _>(patterns)
    .bind::<BigInt, _>(slice.offset)
    .bind::<BigInt, _>(slice.limit.saturating_add(1))
    .load(conn)?;
    let length = usize::try_from(slice.limit).unwrap_or_default();
    let ids: Vec<PackageId> = rows.iter().take(length).map(|row| row.id).collect();
    Ok((load(conn, &drafts, &ids)?, rows.len() > length))
}
