//! Restoring from the trash: the rows move back into the tables of packages, versions and files, with their ids, dates,
//! publishers, states, settings and download counts.
//!
//! If a file's version or a version's package is gone too, it is created again, as it was at the time of the deletion.

use super::protections::Action;
use super::quotas::{self, Usage};
use super::trash_entries::{self, TrashEntry};
use super::{changeable, directories, visibility};
use crate::db::schema::{packages, trash, versions};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, PackageId, TrashId, VersionId};
use crate::domain::path::VersionPath;
use crate::domain::quota::Quota;
use crate::domain::trash::TrashKind;
use crate::domain::webhook::HookAction;
use crate::error::{Error, Result, What};
use crate::registry::access::{CanPublish, Visited};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::webhooks::outbox::{self, Announced};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Timestamptz};
use serde_json::json;

/// Restores an entry of the trash, whole or not at all.
///
/// # Errors
/// [`Error::NotFound`] when it was restored or purged already; [`Error::Clash`] when its name is taken,
/// [`Error::WrongState`] when its version is sealed; [`Error::Quota`]; [`Error::Forbidden`] when a protection rule forbids
/// it.
pub fn restore(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanPublish,
    id: TrashId,
    instance: Quota,
    now: Timestamp,
) -> Result<TrashEntry> {
    let owner = right.owner();
    let entry = trash_entries::lock(conn, owner.id, id)?;
    trash_entries::check_protections(conn, right, Action::Publish, &entry)?;
    let (package, is_new) = find_or_restore_package(conn, owner.id, &entry)?;
    if entry.kind == TrashKind::Package && !is_new {
        return Err(taken(&entry));
    }
    let announced = match entry.kind {
        TrashKind::File => restore_file(conn, (owner, package), &entry, now)?.map(Announced::Version),
        TrashKind::Version => {
            restore_versions(conn, (owner.id, package), &entry, now)?;
            restore_files(conn, package, id)?;
            version_named(conn, package, &entry)?.map(Announced::Version)
        }
        TrashKind::Package => {
            restore_versions(conn, (owner.id, package), &entry, now)?;
            restore_files(conn, package, id)?;
            Some(Announced::Package(package))
        }
    };
    diesel::delete(trash::table.find(id)).execute(conn)?;
    let versions = match (entry.kind, announced) {
        (TrashKind::File, created) => i64::from(created.is_some()),
        _ => entry.versions,
    };
    quotas::charge_again(conn, right, Usage { versions, bytes: entry.bytes }, instance)?;
    if let Some(announced) = announced {
        outbox::announce(conn, caller, (owner.id, HookAction::Created, announced), now)?;
    }
    let detail =
        json!({"versions": versions, "files": entry.files, "bytes": entry.bytes, "deleted_at": entry.deleted_at});
    let subject = Subject { owner: Some((owner.id, &owner.name)), text: entry.path(), detail };
    audit::record(conn, caller, Event::TrashRestore, &subject, now)?;
    Ok(entry.seen_at(owner))
}

/// The error for a name that something else has by now.
fn taken(entry: &TrashEntry) -> Error {
    let what = match entry.kind {
        TrashKind::File => What::File,
        TrashKind::Version => What::Version,
        TrashKind::Package => What::Package,
    };
    Error::Clash(format!(
        "{what} {} cannot be restored, because another one has taken its name: delete that one first",
        entry.path()
    ))
}

#[derive(QueryableByName)]
struct Restored {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Columns as a list in SQL, of the table and of the record `n`.
#[derive(QueryableByName)]
struct Columns {
    #[diesel(sql_type = Text)]
    columns: String,
    #[diesel(sql_type = Text)]
    values: String,
}

/// The columns of a table that its rows in the trash have. Columns that were added since get their default values.
fn columns(conn: &mut PgConnection, table: &'static str, keys: &str, entry: TrashId) -> Result<Columns> {
    Ok(diesel::sql_query(format!(
        "SELECT string_agg(quote_ident(a.attname), ', ') AS columns, \
           string_agg('n.' || quote_ident(a.attname), ', ') AS values FROM pg_attribute a \
         WHERE a.attrelid = '{table}'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' \
         AND a.attname::text IN ({keys})"
    ))
    .bind::<BigInt, _>(entry)
    .get_result(conn)?)
}

/// The package that an entry belongs to, which nobody deletes until the end of the transaction: the package that has
/// its name now, or else the deleted one. True when it was restored.
fn find_or_restore_package(conn: &mut PgConnection, owner: OwnerId, entry: &TrashEntry) -> Result<(PackageId, bool)> {
    let Columns { columns, values } = columns(
        conn,
        "packages",
        "SELECT jsonb_object_keys(facts) FROM trashed_packages WHERE trash_id = $1",
        entry.id,
    )?;
    loop {
        let found = packages::table
            .filter(packages::owner_id.eq(owner))
            .filter(packages::lower_name.eq(entry.package.lower()))
            .select((packages::id, packages::archived_at.is_not_null()))
            .for_key_share();
        if let Some((id, archived)) = found.first(conn).optional()? {
            return if archived { Err(changeable::archived(&entry.package)) } else { Ok((id, false)) };
        }
        // Held, so that the owner cannot become narrower without seeing this package.
        let around = visibility::hold(conn, owner)?;
        let restored: Option<Restored> = diesel::sql_query(format!(
            "INSERT INTO packages ({columns}) OVERRIDING SYSTEM VALUE SELECT {values} FROM trashed_packages t, \
             jsonb_populate_record(NULL::packages, t.facts || jsonb_build_object('owner_id', $2, 'id', \
               CASE WHEN EXISTS (SELECT FROM packages p WHERE p.id = (t.facts->>'id')::bigint) \
               THEN nextval(pg_get_serial_sequence('packages', 'id')) ELSE (t.facts->>'id')::bigint END)) AS n \
             WHERE t.trash_id = $1 ON CONFLICT (owner_id, lower_name) DO NOTHING RETURNING id"
        ))
        .bind::<BigInt, _>(entry.id)
        .bind::<BigInt, _>(owner)
        .get_result(conn)
        .optional()?;
        // No row was inserted: a publisher was faster, and the next query finds their row.
        if let Some(Restored { id }) = restored {
            visibility::narrow(conn, PackageId(id), around)?;
            restore_channels(conn, PackageId(id), entry.id)?;
            return Ok((PackageId(id), true));
        }
    }
}

/// Channels are names for versions, so they come back with their package, whether or not their versions do.
fn restore_channels(conn: &mut PgConnection, package: PackageId, entry: TrashId) -> Result<()> {
    diesel::sql_query(
        "INSERT INTO channels (package_id, name, lower_name, version, lower_version, updater_id, updated_at, revision) \
         SELECT $1, c.name, c.lower_name, c.version, c.lower_version, u.id, c.updated_at, c.revision \
         FROM trashed_packages t, jsonb_populate_recordset(NULL::channels, coalesce(t.facts->'channels', '[]')) AS c \
         LEFT JOIN users u ON u.id = c.updater_id WHERE t.trash_id = $2",
    )
    .bind::<BigInt, _>(package)
    .bind::<BigInt, _>(entry)
    .execute(conn)?;
    Ok(())
}

/// A version's row from its facts: of the package $2 and the owner $3, without a publisher whose account is gone, and
/// without an expiry that is over at the time $4: it would be deleted again at once. `id` is the row's id in SQL.
fn version_row(facts: &str, id: &str) -> String {
    format!(
        "jsonb_populate_record(NULL::versions, {facts} || jsonb_build_object('id', {id}, 'package_id', $2, \
         'owner_id', $3, 'creator_id', (SELECT u.id FROM users u WHERE u.id = ({facts}->>'creator_id')::bigint), \
         'expires_at', CASE WHEN ({facts}->>'expires_at')::timestamptz > $4 THEN {facts}->'expires_at' END))"
    )
}

/// Restores the versions that disappeared with a deletion.
fn restore_versions(
    conn: &mut PgConnection,
    (owner, package): (OwnerId, PackageId),
    entry: &TrashEntry,
    now: Timestamp,
) -> Result<()> {
    let keys = "SELECT jsonb_object_keys(facts) FROM trashed_versions WHERE trash_id = $1";
    let Columns { columns, values } = columns(conn, "versions", keys, entry.id)?;
    let restored = diesel::sql_query(format!(
        "INSERT INTO versions ({columns}) OVERRIDING SYSTEM VALUE SELECT {values} FROM trashed_versions t, {} AS n \
         WHERE t.trash_id = $1 ON CONFLICT (package_id, lower_version) DO NOTHING",
        version_row("t.facts", "t.id")
    ))
    .bind::<BigInt, _>(entry.id)
    .bind::<BigInt, _>(package)
    .bind::<BigInt, _>(owner)
    .bind::<Timestamptz, _>(now)
    .execute(conn)?;
    if i64::try_from(restored) == Ok(entry.versions) { Ok(()) } else { Err(taken(entry)) }
}

/// Restores the files of versions that were restored with their ids.
fn restore_files(conn: &mut PgConnection, package: PackageId, entry: TrashId) -> Result<()> {
    diesel::sql_query(
        "INSERT INTO files (id, version_id, blob_id, name, lower_name, creator_id, created_at, download_count, identity) \
         OVERRIDING SYSTEM VALUE SELECT t.id, v.id, t.blob_id, t.name, t.lower_name, t.creator_id, t.created_at, \
           t.download_count, t.identity FROM trashed_files t JOIN versions v ON v.id = t.version_id \
         WHERE t.trash_id = $1 AND v.package_id = $2 ORDER BY t.id",
    )
    .bind::<BigInt, _>(entry)
    .bind::<BigInt, _>(package)
    .execute(conn)?;
    Ok(())
}

/// The version with an entry's name.
fn version_named(conn: &mut PgConnection, package: PackageId, entry: &TrashEntry) -> Result<Option<VersionId>> {
    let Some(version) = &entry.version else { return Ok(None) };
    let named = versions::table
        .filter(versions::package_id.eq(package))
        .filter(versions::lower_version.eq(version.lower()))
        .select(versions::id)
        .for_key_share();
    Ok(named.first(conn).optional()?)
}

/// Restores a file into the version with its version's name. Returns the version if it had to be created again.
fn restore_file(
    conn: &mut PgConnection,
    (owner, package): (&Visited, PackageId),
    entry: &TrashEntry,
    now: Timestamp,
) -> Result<Option<VersionId>> {
    let name = entry.version.clone().ok_or(Error::NotFound(What::TrashEntry))?;
    let path = VersionPath { owner: owner.name.clone(), package: entry.package.clone(), version: name };
    let (version, created) = loop {
        if let Some(version) = version_named(conn, package, entry)? {
            changeable::demand_changeable(conn, version, &path, now)?;
            break (version, None);
        }
        if let Some(version) = recreate_version(conn, (owner.id, package), entry.id, now)? {
            break (version, Some(version));
        }
    };
    demand_place(conn, owner.id, version, &path, entry)?;
    let restored = diesel::sql_query(
        "INSERT INTO files (id, version_id, blob_id, name, lower_name, creator_id, created_at, download_count, identity) \
         OVERRIDING SYSTEM VALUE SELECT t.id, $2, t.blob_id, t.name, t.lower_name, t.creator_id, t.created_at, \
           t.download_count, t.identity FROM trashed_files t WHERE t.trash_id = $1 \
         ON CONFLICT (version_id, lower_name) DO NOTHING",
    )
    .bind::<BigInt, _>(entry.id)
    .bind::<BigInt, _>(version)
    .execute(conn)?;
    if restored == 1 { Ok(created) } else { Err(taken(entry)) }
}

/// Checks that neither a directory has the name of a file by now, nor a file the name of its directory.
fn demand_place(
    conn: &mut PgConnection,
    owner: OwnerId,
    version: VersionId,
    path: &VersionPath,
    entry: &TrashEntry,
) -> Result<()> {
    let file = entry.file.clone().ok_or(Error::NotFound(What::TrashEntry))?;
    directories::hold(conn, version, &file)?;
    directories::demand_place(conn, owner, &path.with_file(file))
}

/// Creates the version of a file again, as it was when the file was deleted. It gets its former id, unless another entry
/// of the trash has that. `None` when another publisher was faster.
fn recreate_version(
    conn: &mut PgConnection,
    (owner, package): (OwnerId, PackageId),
    entry: TrashId,
    now: Timestamp,
) -> Result<Option<VersionId>> {
    let Columns { columns, values } =
        columns(conn, "versions", "SELECT jsonb_object_keys(version_facts) FROM trash WHERE id = $1", entry)?;
    let id = "CASE WHEN EXISTS (SELECT FROM versions x WHERE x.id = (e.version_facts->>'id')::bigint) OR EXISTS \
              (SELECT FROM trashed_versions x WHERE x.id = (e.version_facts->>'id')::bigint AND x.trash_id <> e.id) \
              THEN nextval(pg_get_serial_sequence('versions', 'id')) ELSE (e.version_facts->>'id')::bigint END";
    let restored: Option<Restored> = diesel::sql_query(format!(
        "INSERT INTO versions ({columns}) OVERRIDING SYSTEM VALUE SELECT {values} FROM trash e, {} AS n \
         WHERE e.id = $1 ON CONFLICT (package_id, lower_version) DO NOTHING RETURNING id",
        version_row("e.version_facts", id)
    ))
    .bind::<BigInt, _>(entry)
    .bind::<BigInt, _>(package)
    .bind::<BigInt, _>(owner)
    .bind::<Timestamptz, _>(now)
    .get_result(conn)
    .optional()?;
    Ok(restored.map(|row| VersionId(row.id)))
}
