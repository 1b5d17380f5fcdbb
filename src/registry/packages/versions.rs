//! Versions of a package. A version without files does not exist: deleting the last file deletes it.

use super::changeable::{self, Place};
use super::contents::{DOWNLOADS, SIZE};
use super::lifecycle;
use super::lookup::{self, package_is, version_is};
use super::protections::{self, Action};
use super::standing::{self, LIFE_COLUMNS, RANK_COLUMNS, RankedRow, STANDING_COLUMNS, Standing};
use super::trash::{self, Deletion, Discarded};
use crate::db::schema::{packages as packages_table, versions};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, TrashId, VersionId};
use crate::domain::names::PackageName;
use crate::domain::path::VersionPath;
use crate::domain::version::{self, Version};
use crate::domain::version_state::{Life, VersionState};
use crate::error::{Error, Result, What};
use crate::registry::access::{CanPublish, CanRead, shown};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::pages::{ByAge, Page, Slice};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde_json::json;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::str::FromStr;

/// A version in a list.
#[derive(Debug, Clone, Queryable)]
pub struct VersionSummary {
    pub version: Version,
    pub created_at: Timestamp,
    /// The number of files.
    pub files: i64,
    /// Bytes in all its files.
    pub size: i64,
    /// Downloads of all its files.
    pub downloads: i64,
    pub standing: Standing,
}

/// A version that a file is about to be added to.
#[derive(Debug, Clone, Copy)]
pub(in crate::registry) struct TargetVersion {
    pub id: VersionId,
    /// Whether it was created now.
    pub is_new: bool,
    /// Whether it is a draft.
    pub is_draft: bool,
    /// What the publisher found. A change of this waits until the end of the transaction.
    pub(super) place: Place,
}

/// Returns the version with this name, creates it and its package if they do not exist, and prevents their deletion, and
/// changes of the version's state, until the end of the transaction. A new version is a draft if that is wanted.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn find_or_insert(
    conn: &mut PgConnection,
    (owner, path): (OwnerId, &VersionPath),
    as_draft: bool,
    creator: OwnerId,
    now: Timestamp,
) -> Result<TargetVersion> {
    loop {
        // The package comes first: Postgres locks in the order of FROM, and deletions lock the package before its
        // version.
        let found: Option<(VersionId, (Option<Timestamp>, bool), Life)> = packages_table::table
            .inner_join(versions::table)
            .filter(version_is(owner, path))
            .select((
                versions::id,
                (packages_table::archived_at, packages_table::trusted_publishing_only),
                LIFE_COLUMNS,
            ))
            .for_key_share()
            .first(conn)
            .optional()?;
        if let Some((id, (archived_at, trusted_only), life)) = found {
            let place = Place { archived: archived_at.is_some(), trusted_only, life: Some(life) };
            return Ok(TargetVersion { id, is_new: false, is_draft: life.stored == VersionState::Draft, place });
        }
        let (package, archived, trusted_only) = lifecycle::find_or_insert(conn, owner, &path.package, now)?;
        let state = if as_draft { VersionState::Draft } else { VersionState::Published };
        let inserted = diesel::insert_into(versions::table)
            .values((
                versions::package_id.eq(package),
                versions::owner_id.eq(owner),
                versions::version.eq(&path.version),
                versions::lower_version.eq(path.version.lower()),
                versions::creator_id.eq(creator),
                versions::created_at.eq(now),
                versions::state.eq(state),
            ))
            .on_conflict((versions::package_id, versions::lower_version))
            .do_nothing()
            .returning(versions::id)
            .get_result(conn)
            .optional()?;
        // No row was inserted: another publisher was faster, and the next query finds their row.
        if let Some(id) = inserted {
            let place = Place { archived, trusted_only, life: None };
            return Ok(TargetVersion { id, is_new: true, is_draft: as_draft, place });
        }
    }
}

/// Whether a version with this name is there for a reader.
///
/// # Errors
/// Database errors.
pub fn is_shown(conn: &mut PgConnection, right: &CanRead, path: &VersionPath) -> Result<bool> {
    let row = versions::table.inner_join(packages_table::table).filter(version_is(right.owner().id, path));
    let row = row.filter(shown(right.draft_limit())).select(versions::id);
    Ok(diesel::select(diesel::dsl::exists(row)).get_result(conn)?)
}

/// The versions of a package, by the time when they were created.
///
/// # Errors
/// [`Error::NotFound`] for a package without versions.
pub fn ids(
    conn: &mut PgConnection,
    right: &CanRead,
    package: &PackageName,
    order: ByAge,
    slice: Slice,
) -> Result<Page<VersionId>> {
    let (id, _) = lookup::package(conn, right.owner().id, package)?;
    let all = || versions::table.filter(versions::package_id.eq(id)).filter(shown(right.draft_limit()));
    let total = all().count().get_result(conn)?;
    let rows = all().select(versions::id).into_boxed();
    let rows = match order {
        ByAge::OldestFirst => rows.order(versions::id.asc()),
        ByAge::NewestFirst => rows.order(versions::id.desc()),
    };
    let items: Vec<VersionId> = rows.offset(slice.offset).limit(slice.limit).load(conn)?;
    // The package was deleted after it was found: a package without versions is never shown.
    if total == 0 || (items.is_empty() && slice.offset == 0) {
        return Err(Error::NotFound(What::Package));
    }
    Ok(Page { items, total })
}

/// The names of versions in the order of these ids. A version that was deleted in the meantime is left out.
///
/// # Errors
/// Database errors.
pub fn names(conn: &mut PgConnection, right: &CanRead, ids: &[VersionId]) -> Result<Vec<Version>> {
    let rows = versions::table.filter(versions::id.eq_any(ids)).filter(shown(right.draft_limit()));
    let rows = rows.select((versions::id, versions::version));
    let mut found: HashMap<VersionId, Version> = rows.load::<(VersionId, Version)>(conn)?.into_iter().collect();
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// [`names`], each with the time when the version was created.
///
/// # Errors
/// Database errors.
pub fn dated(conn: &mut PgConnection, right: &CanRead, ids: &[VersionId]) -> Result<Vec<(Version, Timestamp)>> {
    let rows = versions::table.filter(versions::id.eq_any(ids)).filter(shown(right.draft_limit()));
    let rows = rows.select((versions::id, versions::version, versions::created_at));
    let rows: Vec<(VersionId, Version, Timestamp)> = rows.load(conn)?;
    let mut found: HashMap<VersionId, (Version, Timestamp)> =
        rows.into_iter().map(|(id, version, created_at)| (id, (version, created_at))).collect();
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// The order in which versions are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VersionOrder {
    /// By number, the latest first.
    #[default]
    Number,
    Newest,
    Oldest,
}

impl FromStr for VersionOrder {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" | "semver" => Ok(Self::Number),
            "newest" => Ok(Self::Newest),
            "oldest" => Ok(Self::Oldest),
            _ => Err(Error::invalid("sort", "sort: use semver, newest or oldest".to_owned())),
        }
    }
}

/// A page of a package's versions.
#[derive(Debug, Clone)]
pub struct Browsed {
    pub package: PackageName,
    /// The version that `latest` stands for, if there is one.
    pub latest: Option<Version>,
    /// The version that the package's page shows: the latest, or without one, another.
    pub newest: Version,
    /// How many versions there are, whatever the search text is.
    pub all: i64,
    pub page: Page<VersionSummary>,
}

/// A package's versions whose name contains a text, ignoring case. This reads all of their names, five thousand in some
/// milliseconds, because no index knows the order of versions.
///
/// # Errors
/// [`Error::NotFound`] for an unknown package.
pub fn browse(
    conn: &mut PgConnection,
    right: &CanRead,
    package: &PackageName,
    part: &str,
    order: VersionOrder,
    slice: Slice,
) -> Result<Browsed> {
    let (package_id, package) = lookup::package(conn, right.owner().id, package)?;
    let mut rows: Vec<RankedRow> = versions::table
        .filter(versions::package_id.eq(package_id))
        .filter(shown(right.draft_limit()))
        .select(RANK_COLUMNS)
        .load(conn)?;
    let all = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let latest = standing::latest(&rows).map(|row| row.version.clone());
    let newest = standing::foremost(&rows).map(|row| row.version.clone()).ok_or(Error::NotFound(What::Package))?;
    let lower = part.to_lowercase();
    rows.retain(|row| row.version.lower().contains(&lower));
    match order {
        VersionOrder::Number => version::sort_by_number(&mut rows, RankedRow::ranked),
        VersionOrder::Newest => rows.sort_by_key(|row| Reverse((row.created_at, row.id))),
        VersionOrder::Oldest => rows.sort_by_key(|row| (row.created_at, row.id)),
    }
    let total = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let taken = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    let ids: Vec<VersionId> =
        rows.iter().skip(taken(slice.offset)).take(taken(slice.limit)).map(|row| row.id).collect();
    Ok(Browsed { package, latest, newest, all, page: Page { items: summaries(conn, right, &ids)?, total } })
}

/// Versions in the order of these ids. A version that was deleted in the meantime is left out.
///
/// # Errors
/// Database errors.
pub fn summaries(conn: &mut PgConnection, right: &CanRead, ids: &[VersionId]) -> Result<Vec<VersionSummary>> {
    const FILES: &str = "(SELECT count(*) FROM files f WHERE f.version_id = versions.id)";
    let mut found: HashMap<VersionId, VersionSummary> = versions::table
        .inner_join(packages_table::table)
        .filter(versions::id.eq_any(ids))
        .filter(shown(right.draft_limit()))
        .select((
            versions::id,
            (
                versions::version,
                versions::created_at,
                sql::<BigInt>(FILES),
                sql::<BigInt>(SIZE),
                sql::<BigInt>(DOWNLOADS),
                STANDING_COLUMNS,
            ),
        ))
        .load::<(VersionId, VersionSummary)>(conn)?
        .into_iter()
        .collect();
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// The version that `latest` stands for.
///
/// # Errors
/// [`Error::NotFound`] for an unknown package, and for one that has only drafts and yanked versions.
pub fn newest(conn: &mut PgConnection, right: &CanRead, package: &PackageName) -> Result<Version> {
    let all = ranked(conn, right, package)?;
    standing::latest(&all).map(|row| row.version.clone()).ok_or(Error::NotFound(What::Package))
}

/// The version that was created last, a pre-release or not, among those that `latest` may stand for.
///
/// # Errors
/// As [`newest`].
pub fn last_created(conn: &mut PgConnection, right: &CanRead, package: &PackageName) -> Result<Version> {
    let mut all = ranked(conn, right, package)?;
    all.retain(RankedRow::may_be_latest);
    let last = all.into_iter().max_by_key(|row| (row.created_at, row.id));
    last.map(|row| row.version).ok_or(Error::NotFound(What::Package))
}

/// All shown versions of a package, with what orders them.
///
/// # Errors
/// Database errors.
pub(super) fn ranked(conn: &mut PgConnection, right: &CanRead, package: &PackageName) -> Result<Vec<RankedRow>> {
    Ok(versions::table
        .inner_join(packages_table::table)
        .filter(package_is(right.owner().id, package))
        .filter(shown(right.draft_limit()))
        .select(RANK_COLUMNS)
        .load(conn)?)
}

/// Deletes a version with all its files, and returns its entry in the trash, if it is kept.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::WrongState`] for a version on hold; [`Error::Forbidden`] for a sealed version, unless the
/// caller is an owner.
pub fn delete(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanPublish,
    path: &VersionPath,
    deletion: &Deletion,
) -> Result<Option<TrashId>> {
    let owner = right.owner();
    let package = lifecycle::lock(conn, owner.id, &path.package)?;
    let (version, _) = lookup::version(conn, package, &path.version)?;
    protections::check(conn, right, Action::Delete, &path.version)?;
    changeable::demand_deletable(conn, right, package, Some(version), deletion.now())?;
    let discarded = Discarded::Version(version);
    let removed = trash::discard(conn, caller, ((owner.id, &owner.name), package), discarded, deletion)?;
    let text = format!("{}/{}", path.package, path.version);
    let detail = json!({"bytes": removed.bytes, "kept_until": deletion.keep_until()});
    let subject = Subject { owner: Some((owner.id, &owner.name)), text, detail };
    audit::record(conn, caller, Event::VersionDelete, &subject, deletion.now())?;
    Ok(removed.entry)
}
