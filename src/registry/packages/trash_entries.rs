//! The entries of the trash: listing them, and deleting them for good. `restoration` brings them back.

use super::freed::{self, Given};
use super::protections::{self, Action};
use crate::db::schema::{owners, trash};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, TrashId};
use crate::domain::names::{FileName, OwnerName, PackageName};
use crate::domain::role::{Level, PackagePattern, Permission};
use crate::domain::trash::{TrashKind, TrashReason};
use crate::domain::version::Version;
use crate::error::{Error, Result, What};
use crate::registry::access::{CanPublish, CanSeeTrash, Visited, can_publish, can_upload, visit};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::like::like_any;
use crate::registry::pages::{Page, Slice};
use diesel::dsl::sql;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Text, Timestamptz};
use serde_json::json;
use std::time::Duration;

/// What was deleted and can be restored.
#[derive(Debug, Clone, Queryable)]
pub struct TrashEntry {
    pub id: TrashId,
    pub kind: TrashKind,
    pub package: PackageName,
    /// Of a version or file.
    pub version: Option<Version>,
    /// Of a file.
    pub file: Option<FileName>,
    pub reason: TrashReason,
    /// The name of the retention rule, or empty.
    pub rule: String,
    /// Who deleted it, by the name of that time; empty for those who see only some packages of the owner.
    pub actor: String,
    pub deleted_at: Timestamp,
    pub keep_until: Timestamp,
    /// How many versions disappeared with it.
    pub versions: i64,
    pub files: i64,
    /// In all files; shared bytes count once per file.
    pub bytes: i64,
}

impl TrashEntry {
    /// People who see only some packages of an owner must not learn who its members are.
    pub(super) fn seen_at(self, owner: &Visited) -> Self {
        if owner.is_whole() { self } else { Self { actor: String::new(), ..self } }
    }

    /// The path below the owner: `package`, `package/version` or `package/version/file`.
    pub fn path(&self) -> String {
        let version = self.version.as_ref().map(Version::as_str);
        let names = [Some(self.package.as_str()), version, self.file.as_ref().map(FileName::as_str)];
        names.into_iter().flatten().collect::<Vec<_>>().join("/")
    }
}

type EntryColumns = (
    trash::id,
    trash::kind,
    trash::package_name,
    trash::version,
    trash::file_name,
    trash::reason,
    trash::rule,
    trash::actor_name,
    trash::deleted_at,
    trash::keep_until,
    trash::versions,
    trash::files,
    trash::bytes,
);
const ENTRY_COLUMNS: EntryColumns = (
    trash::id,
    trash::kind,
    trash::package_name,
    trash::version,
    trash::file_name,
    trash::reason,
    trash::rule,
    trash::actor_name,
    trash::deleted_at,
    trash::keep_until,
    trash::versions,
    trash::files,
    trash::bytes,
);

/// Whether an entry has no draft in it, and no file of one.
const NO_DRAFT: &str = "coalesce(trash.version_facts->>'state', '') <> '0' AND NOT EXISTS \
    (SELECT FROM trashed_versions t WHERE t.trash_id = trash.id AND t.facts->>'state' = '0')";

/// The entries of an owner that are about packages to which the user may publish. Others are absent.
fn within(owner: &Visited, patterns: Option<&[PackagePattern]>) -> trash::BoxedQuery<'static, Pg> {
    narrowed(trash::table.filter(trash::owner_id.eq(owner.id)).into_boxed(), patterns)
}

/// Only the entries whose packages match one of these patterns, if there are some.
fn narrowed(
    rows: trash::BoxedQuery<'static, Pg>,
    patterns: Option<&[PackagePattern]>,
) -> trash::BoxedQuery<'static, Pg> {
    match patterns {
        Some(patterns) => rows.filter(
            sql::<Bool>("lower(trash.package_name COLLATE \"C\") LIKE ANY (")
                .bind::<Array<Text>, _>(like_any(patterns))
                .sql(")"),
        ),
        None => rows,
    }
}

/// The entries that [`list`] shows: no packages to which the user may not publish or that the caller's token does not
/// allow, and for a token that may not publish no drafts.
fn shown(caller: &Caller, right: &CanSeeTrash) -> trash::BoxedQuery<'static, Pg> {
    let rows = narrowed(within(right.owner(), right.patterns()), caller.only_packages());
    if caller.may_publish() { rows } else { rows.filter(sql::<Bool>(NO_DRAFT)) }
}

/// The trash of an owner that the caller may see, what was deleted last first.
///
/// # Errors
/// Database errors.
pub fn list(conn: &mut PgConnection, caller: &Caller, right: &CanSeeTrash, slice: Slice) -> Result<Page<TrashEntry>> {
    let rows = || shown(caller, right);
    let total = rows().count().get_result(conn)?;
    let page = rows().order(trash::id.desc()).offset(slice.offset).limit(slice.limit);
    let items: Vec<TrashEntry> = page.select(ENTRY_COLUMNS).load(conn)?;
    Ok(Page { items: items.into_iter().map(|entry| entry.seen_at(right.owner())).collect(), total })
}

/// The bytes that would be free without the entries of an owner that [`list`] shows.
///
/// # Errors
/// Database errors.
pub fn occupied_by(conn: &mut PgConnection, caller: &Caller, right: &CanSeeTrash) -> Result<i64> {
    if right.patterns().is_none() && caller.only_packages().is_none() && caller.may_publish() {
        return freed::bytes(conn, Given::TrashOf(&[right.owner().id]), Some(right.owner().id));
    }
    let ids: Vec<TrashId> = shown(caller, right).select(trash::id).load(conn)?;
    freed::bytes(conn, Given::Entries(&ids), Some(right.owner().id))
}

/// An entry of an owner's trash, and the right to its package: to restore or purge it.
///
/// # Errors
/// [`Error::NotFound`], also for a package to which the user may not publish; as [`can_publish`].
pub fn find_to_change(
    conn: &mut PgConnection,
    caller: &Caller,
    owner: &OwnerName,
    id: TrashId,
) -> Result<(CanPublish, TrashEntry)> {
    let right = can_upload(conn, caller, owner)?;
    caller.demand_hidden()?;
    let rows = narrowed(within(right.owner(), right.patterns()), caller.only_packages());
    let row = rows.filter(trash::id.eq(id)).select(ENTRY_COLUMNS);
    let entry: TrashEntry = row.first(conn).optional()?.ok_or(Error::NotFound(What::TrashEntry))?;
    let entry = entry.seen_at(right.owner());
    Ok((can_publish(conn, caller, owner, &entry.package)?, entry))
}

/// Locks an entry: of those who restore and purge it, one is first, and the others find nothing.
///
/// # Errors
/// [`Error::NotFound`].
pub(in crate::registry) fn lock(conn: &mut PgConnection, owner: OwnerId, id: TrashId) -> Result<TrashEntry> {
    let row = trash::table.filter(trash::owner_id.eq(owner)).filter(trash::id.eq(id)).select(ENTRY_COLUMNS);
    row.for_update().first(conn).optional()?.ok_or(Error::NotFound(What::TrashEntry))
}

/// Whether the caller may delete for good: owners and administrators may.
pub fn can_purge(right: &CanPublish) -> bool {
    right.owner().permission() >= Some(Permission::Owner)
}

/// Checks that the caller [can delete for good](can_purge).
///
/// # Errors
/// [`Error::Forbidden`].
pub fn demand_purge(right: &CanPublish) -> Result<()> {
    if can_purge(right) {
        return Ok(());
    }
    let (owner, user) = (right.owner(), right.user());
    Err(Error::Forbidden(format!(
        "only owners of {} can delete for good, and {} is not an owner: delete without purge, or ask an owner",
        owner.name, user.name
    )))
}

/// Checks that the owner's protection rules let a publisher do something to the versions of an entry.
///
/// # Errors
/// As [`protections::check`].
pub(super) fn check_protections(
    conn: &mut PgConnection,
    right: &CanPublish,
    action: Action,
    entry: &TrashEntry,
) -> Result<()> {
    match &entry.version {
        Some(version) => protections::check(conn, right, action, version),
        None => protections::check_each(conn, right, action, |conn| {
            #[derive(QueryableByName)]
            struct Row {
                #[diesel(sql_type = Text)]
                version: Version,
            }
            let query = "SELECT facts->>'version' AS version FROM trashed_versions WHERE trash_id = $1 ORDER BY id";
            let rows: Vec<Row> = diesel::sql_query(query).bind::<BigInt, _>(entry.id).load(conn)?;
            Ok(rows.into_iter().map(|row| row.version).collect())
        }),
    }
}

/// Deletes an entry for good, at once.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Forbidden`] when the caller may not [purge](demand_purge), or a protection rule forbids
/// it.
pub fn purge(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanPublish,
    id: TrashId,
    now: Timestamp,
) -> Result<TrashEntry> {
    demand_purge(right)?;
    let owner = right.owner();
    let entry = lock(conn, owner.id, id)?;
    check_protections(conn, right, Action::Delete, &entry)?;
    drop_entries(conn, &[id], now)?;
    let detail = json!({"versions": entry.versions, "files": entry.files, "bytes": entry.bytes});
    let subject = Subject { owner: Some((owner.id, &owner.name)), text: entry.path(), detail };
    audit::record(conn, caller, Event::TrashPurge, &subject, now)?;
    Ok(entry)
}

/// Deletes entries that the caller has locked, and starts the grace period of their blobs.
fn drop_entries(conn: &mut PgConnection, ids: &[TrashId], now: Timestamp) -> Result<()> {
    // Locked in the order of their ids, so that two of these never wait for each other.
    diesel::sql_query(
        "WITH released AS (SELECT id FROM blobs WHERE id IN (SELECT blob_id FROM trashed_files WHERE trash_id = ANY ($1)) \
           ORDER BY id FOR NO KEY UPDATE) \
         UPDATE blobs SET touched_at = $2 FROM released WHERE blobs.id = released.id",
    )
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Timestamptz, _>(now)
        .execute(conn)?;
    diesel::delete(trash::table.filter(trash::id.eq_any(ids))).execute(conn)?;
    Ok(())
}

/// Deletes the whole trash of an owner who is about to be deleted. The caller has locked the owner, so nothing is added.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn drop_all_of(conn: &mut PgConnection, owner: OwnerId, now: Timestamp) -> Result<()> {
    let ids: Vec<TrashId> =
        trash::table.filter(trash::owner_id.eq(owner)).order(trash::id).select(trash::id).for_update().load(conn)?;
    drop_entries(conn, &ids, now)
}

/// The most entries that are purged in one transaction.
const AT_ONCE: i64 = 100;

/// Deletes some entries that were kept long enough. Returns how many.
///
/// An entry that was made while a clock was ahead would be kept for too long. Its time begins now: nothing is lost early.
///
/// # Errors
/// Database errors.
pub fn purge_due(conn: &mut PgConnection, now: Timestamp) -> Result<usize> {
    let ahead = now.latest_end_of(Duration::ZERO);
    diesel::update(trash::table.filter(trash::deleted_at.gt(ahead)))
        .set((
            trash::keep_until.eq(sql::<Timestamptz>("keep_until - deleted_at + ").bind::<Timestamptz, _>(now)),
            trash::deleted_at.eq(now),
        ))
        .execute(conn)?;
    let due: Vec<TrashId> = trash::table
        .filter(trash::keep_until.le(now))
        .order(trash::id)
        .limit(AT_ONCE)
        .select(trash::id)
        .for_update()
        .skip_locked()
        .load(conn)?;
    drop_entries(conn, &due, now)?;
    Ok(due.len())
}

/// Everything in the trash, of one owner or of all, with its owners; what was deleted first comes first.
///
/// # Errors
/// As [`Caller::demand_admin`]; [`Error::NotFound`] for an unknown owner.
pub fn all(
    conn: &mut PgConnection,
    caller: &Caller,
    owner: Option<&OwnerName>,
) -> Result<Vec<(OwnerName, TrashEntry)>> {
    caller.demand_admin(Level::Read)?;
    let only = owner.map(|name| visit(conn, caller, name)).transpose()?.map(|owner| owner.id);
    Ok(trash::table
        .inner_join(owners::table)
        .filter(only.is_none().into_sql::<Bool>().or(trash::owner_id.eq_any(only)))
        .order(trash::id)
        .select((owners::name, ENTRY_COLUMNS))
        .load(conn)?)
}

/// What the trash of everybody occupies.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub struct Occupied {
    #[diesel(sql_type = BigInt)]
    pub entries: i64,
    #[diesel(sql_type = BigInt)]
    pub files: i64,
    /// In all files; shared bytes count once per file.
    #[diesel(sql_type = BigInt)]
    pub bytes: i64,
}

/// Adds up the trash of everybody, for administrators.
///
/// # Errors
/// As [`Caller::demand_admin`].
pub fn occupied(conn: &mut PgConnection, caller: &Caller) -> Result<Occupied> {
    caller.demand_admin(Level::Read)?;
    Ok(diesel::sql_query(
        "SELECT count(*) AS entries, coalesce(sum(files), 0)::bigint AS files, \
         coalesce(sum(bytes), 0)::bigint AS bytes FROM trash",
    )
    .get_result(conn)?)
}

/// What was in the trash of an owner.
#[derive(Debug, Clone, QueryableByName)]
pub struct Emptied {
    #[diesel(sql_type = BigInt)]
    id: OwnerId,
    #[diesel(sql_type = Text)]
    pub owner: OwnerName,
    #[diesel(sql_type = BigInt)]
    pub entries: i64,
    #[diesel(sql_type = BigInt)]
    pub files: i64,
    /// In all files; shared bytes count once per file.
    #[diesel(sql_type = BigInt)]
    pub bytes: i64,
}

/// Deletes for good everything that was deleted up to a time, of one owner or of all, with one audit record for each
/// owner. Also returns how many bytes the next sweep frees on the disk.
///
/// # Errors
/// As [`Caller::demand_admin`]; [`Error::NotFound`] for an unknown owner.
pub fn empty(
    conn: &mut PgConnection,
    caller: &Caller,
    owner: Option<&OwnerName>,
    deleted_before: Timestamp,
    now: Timestamp,
) -> Result<(Vec<Emptied>, i64)> {
    caller.demand_admin(Level::Write)?;
    let only = owner.map(|name| visit(conn, caller, name)).transpose()?.map(|owner| owner.id);
    let ids: Vec<TrashId> = trash::table
        .filter(trash::deleted_at.le(deleted_before))
        .filter(only.is_none().into_sql::<Bool>().or(trash::owner_id.eq_any(only)))
        .order(trash::id)
        .select(trash::id)
        .for_update()
        .load(conn)?;
    let emptied: Vec<Emptied> = diesel::sql_query(
        "SELECT o.id, o.name AS owner, count(*) AS entries, sum(t.files)::bigint AS files, sum(t.bytes)::bigint AS bytes \
         FROM trash t JOIN owners o ON o.id = t.owner_id WHERE t.id = ANY ($1) GROUP BY o.id ORDER BY o.lower_name",
    )
    .bind::<Array<BigInt>, _>(&ids)
    .load(conn)?;
    let freed = freed::bytes(conn, Given::Entries(&ids), None)?;
    drop_entries(conn, &ids, now)?;
    for Emptied { id, owner, entries, files, bytes } in &emptied {
        let detail = json!({"entries": entries, "files": files, "bytes": bytes});
        audit::record_owner(conn, caller, Event::TrashEmpty, (*id, owner), detail, now)?;
    }
    Ok((emptied, freed))
}
