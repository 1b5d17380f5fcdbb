//! Copying and moving files between versions. No bytes move: the new files name the same blobs.
//!
//! Rows are locked in the order of uploads: packages (two of them by their ids), versions, blobs, files. So a copy cannot
//! deadlock with an upload, a deletion or another copy. A target version that exists is locked for itself alone, which
//! takes one lock however many files there are.

use super::archives::{self, Content, Member};
use super::lookup::{self, package_is};
use super::protections::{self, Action};
use super::publish::UploadLimits;
use super::quotas::{self, Usage};
use super::trash::Deletion;
use super::{changeable, directories, files, versions};
use crate::db::schema::{blobs, files as files_table, packages as packages_table, versions as versions_table};
use crate::domain::clock::Timestamp;
use crate::domain::glob::FileGlob;
use crate::domain::ids::{BlobId, FileId, OwnerId, PackageId, VersionId};
use crate::domain::path::VersionPath;
use crate::domain::trash::TrashReason;
use crate::domain::webhook::HookAction;
use crate::error::{Error, Result, What};
use crate::registry::access::{CanAddFiles, CanPublish, CanRead, can_publish, can_read};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::webhooks::outbox::{self, Announced};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Jsonb, Nullable, Text, Timestamptz};
use serde_json::json;

/// How many files an error names.
const NAMED: usize = 10;

/// What to copy, and where to.
#[derive(Debug, Clone)]
pub struct Copying {
    pub from: VersionPath,
    pub to: VersionPath,
    /// Only files that match one of these; all files if there are none.
    pub files: Vec<FileGlob>,
}

/// Copies or moves files from a version that the caller may read, and for a move change. All files are copied or none. A
/// move deletes them where they were, in the same transaction; they keep their download counts. True if the target
/// version is new.
///
/// # Errors
/// [`Error::NotFound`] when the version does not exist or no file matches; [`Error::Clash`] naming the files that exist,
/// and for a sealed version; [`Error::Quota`]; [`Error::Forbidden`] when a protection rule forbids it; as the rights to
/// the source and, for a move, as the deletion of a version or a file.
pub fn transfer(
    conn: &mut PgConnection,
    caller: &Caller,
    target: &CanAddFiles,
    (copying, moves): (&Copying, bool),
    limits: &UploadLimits,
    now: Timestamp,
) -> Result<bool> {
    let from = &copying.from;
    let source = can_read(conn, caller, &from.owner, Some(&from.package))?;
    if !moves {
        return copy(conn, caller, (&source, target), copying, limits, now);
    }
    let gives = can_publish(conn, caller, &from.owner, &from.package)?;
    relocate(conn, caller, (&source, &gives, target), copying, limits, now)
}

/// Copies files to another version, and creates that version if it does not exist; true when it did not. All files are
/// copied or none. A new version that gets all files also gets the notes and the labels. A copy of a draft is a draft.
///
/// # Errors
/// [`Error::NotFound`] when the version does not exist or no file matches; [`Error::Clash`] naming the files that exist,
/// and for a sealed version; [`Error::Quota`]; [`Error::Forbidden`] when a protection rule forbids it.
fn copy(
    conn: &mut PgConnection,
    caller: &Caller,
    (source, target): (&CanRead, &CanAddFiles),
    copying: &Copying,
    limits: &UploadLimits,
    now: Timestamp,
) -> Result<bool> {
    lock(conn, (source.owner().id, false), target.owner().id, copying)?;
    let content = source_content(conn, source, copying)?;
    let is_new = insert(conn, caller, target, (copying, &content, false), limits, now)?;
    record(conn, caller, (Event::VersionCopy, target), (copying, &content.files), now)?;
    Ok(is_new)
}

/// As [`copy`], and then deletes the files where they were, in the same transaction. They keep their download counts.
///
/// # Errors
/// As [`copy`] and the deletion of a version or a file.
fn relocate(
    conn: &mut PgConnection,
    caller: &Caller,
    (source, from, target): (&CanRead, &CanPublish, &CanAddFiles),
    copying: &Copying,
    limits: &UploadLimits,
    now: Timestamp,
) -> Result<bool> {
    lock(conn, (source.owner().id, true), target.owner().id, copying)?;
    let content = source_content(conn, source, copying)?;
    let is_new = insert(conn, caller, target, (copying, &content, true), limits, now)?;
    let deletion = Deletion::new(limits.trash_kept, now).because(TrashReason::Moved, "");
    if copying.files.is_empty() {
        versions::delete(conn, caller, from, &copying.from, &deletion)?;
    } else {
        for member in &content.files {
            files::delete(conn, caller, from, &copying.from.with_file(member.name.clone()), &deletion)?;
        }
    }
    record(conn, caller, (Event::VersionMove, target), (copying, &content.files), now)?;
    Ok(is_new)
}

/// Locks both packages: the source so that nothing of it is deleted by others, or, if it is going to be deleted, so that
/// nobody else changes it.
fn lock(conn: &mut PgConnection, source: (OwnerId, bool), target: OwnerId, copying: &Copying) -> Result<()> {
    let (owner, is_moved) = source;
    let (from, _) = lookup::package(conn, owner, &copying.from.package)?;
    let to = packages_table::table.filter(package_is(target, &copying.to.package)).select(packages_table::id);
    let to: Option<PackageId> = to.first(conn).optional()?;
    // A package that does not exist yet gets a higher id, so its lock comes second too.
    let mut ids: Vec<PackageId> = [Some(from), to].into_iter().flatten().collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let row = packages_table::table.find(id).select(packages_table::id);
        let found: Option<PackageId> = match id == from && is_moved {
            true => row.for_update().first(conn).optional()?,
            false => row.for_key_share().first(conn).optional()?,
        };
        if found.is_none() && id == from {
            return Err(Error::NotFound(What::Package));
        }
    }
    // Uploads and restores share this lock, so nobody adds a file beside the copied ones.
    if let Some(to) = to {
        let row = versions_table::table
            .filter(versions_table::package_id.eq(to))
            .filter(versions_table::lower_version.eq(copying.to.version.lower()))
            .select(versions_table::id)
            .for_update();
        let _: Option<VersionId> = row.first(conn).optional()?;
    }
    Ok(())
}

/// The version that the files come from, with only the files to copy.
fn source_content(conn: &mut PgConnection, source: &CanRead, copying: &Copying) -> Result<Content> {
    let mut content = archives::content(conn, source, &copying.from)?;
    let members = &mut content.files;
    if !copying.files.is_empty() {
        members.retain(|member| copying.files.iter().any(|pattern| pattern.matches(member.name.as_str())));
    }
    if members.is_empty() {
        return Err(Error::NotFound(What::File));
    }
    Ok(content)
}

#[derive(QueryableByName)]
struct Inserted {
    #[diesel(sql_type = Text)]
    lower_name: String,
}

/// Adds the files to the target version. True when it is new.
fn insert(
    conn: &mut PgConnection,
    caller: &Caller,
    target: &CanAddFiles,
    (copying, content, moves): (&Copying, &Content, bool),
    limits: &UploadLimits,
    now: Timestamp,
) -> Result<bool> {
    let (owner, members) = (target.owner(), &content.files[..]);
    protections::check(conn, target, Action::Publish, &copying.to.version)?;
    let found = versions::find_or_insert(conn, (owner.id, &copying.to), content.is_draft, target.user().id, now)?;
    target.demand_accepted(found.place.trusted_only)?;
    changeable::demand_addable(&copying.to, found.place, false, now)?;
    let (version, is_new) = (found.id, found.is_new);
    let mut used: Vec<BlobId> = members.iter().map(|member| member.blob).collect();
    used.sort_unstable();
    used.dedup();
    // Before any file is inserted: an upload holds its blob while it waits for a file of the same name.
    let locked: Vec<BlobId> =
        blobs::table.filter(blobs::id.eq_any(&used)).order(blobs::id).select(blobs::id).for_key_share().load(conn)?;
    if locked.len() != used.len() {
        return Err(Error::Retry);
    }
    let ids: Vec<FileId> = members.iter().map(|member| member.id).collect();
    // Whoever copies a file answers for its new name, so the identity is theirs.
    let identity = caller.identity().map(serde_json::to_value).transpose().map_err(Error::internal)?;
    let inserted: Vec<Inserted> = diesel::sql_query(
        "INSERT INTO files (version_id, blob_id, name, lower_name, creator_id, created_at, download_count, identity) \
         SELECT $1, f.blob_id, f.name, f.lower_name, $2, $3, CASE WHEN $4 THEN f.download_count ELSE 0 END, $6 \
         FROM files f WHERE f.id = ANY ($5) ORDER BY f.lower_name COLLATE \"C\" \
         ON CONFLICT (version_id, lower_name) DO NOTHING RETURNING lower_name",
    )
    .bind::<BigInt, _>(version)
    .bind::<BigInt, _>(target.user().id)
    .bind::<Timestamptz, _>(now)
    .bind::<Bool, _>(moves)
    .bind::<Array<BigInt>, _>(&ids)
    .bind::<Nullable<Jsonb>, _>(identity)
    .load(conn)?;
    if inserted.len() != members.len() {
        // Of the source, an upload may have replaced a file in the meantime.
        let left: i64 = files_table::table.filter(files_table::id.eq_any(&ids)).count().get_result(conn)?;
        return Err(if usize::try_from(left) == Ok(ids.len()) {
            taken(copying, members, &inserted)
        } else {
            Error::Retry
        });
    }
    if !is_new {
        directories::demand_none_is_file(conn, version)?;
    }
    if is_new && copying.files.is_empty() {
        describe(conn, version, members, moves)?;
    }
    if is_new && !found.is_draft {
        outbox::announce(conn, caller, (owner.id, HookAction::Created, Announced::Version(version)), now)?;
    }
    let size = |member: &Member| i64::try_from(member.size).unwrap_or(i64::MAX);
    let bytes = members.iter().map(size).fold(0, i64::saturating_add);
    let largest = members.iter().map(size).max().unwrap_or(0);
    let more = Usage { versions: i64::from(is_new), bytes };
    quotas::charge_files(conn, target, (more, largest), limits.quota)?;
    Ok(is_new)
}

/// The error that names the files that exist already.
fn taken(copying: &Copying, members: &[Member], inserted: &[Inserted]) -> Error {
    let is_inserted = |member: &Member| inserted.iter().any(|row| row.lower_name == member.name.lower());
    let taken: Vec<&str> =
        members.iter().filter(|member| !is_inserted(member)).map(|member| member.name.as_str()).collect();
    let named = taken.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = match taken.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Error::Clash(format!("nothing was changed, because {} has these files already: {named}{more}", copying.to))
}

/// Gives a version the notes and labels of the version that its files come from, and if that moves, its flags too.
fn describe(conn: &mut PgConnection, version: VersionId, members: &[Member], moves: bool) -> Result<()> {
    let Some(first) = members.first() else { return Ok(()) };
    let flags = match moves {
        true => {
            ", yanked_at = v.yanked_at, yank_reason = v.yank_reason, deprecated_at = v.deprecated_at, \
             deprecation_message = v.deprecation_message, successor = v.successor, expires_at = v.expires_at"
        }
        false => "",
    };
    diesel::sql_query(format!(
        "UPDATE versions SET notes = v.notes, labels = v.labels, is_prerelease = v.is_prerelease{flags} \
         FROM files f JOIN versions v ON v.id = f.version_id WHERE versions.id = $1 AND f.id = $2"
    ))
    .bind::<BigInt, _>(version)
    .bind::<BigInt, _>(first.id)
    .execute(conn)?;
    Ok(())
}

fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    (event, target): (Event, &CanPublish),
    (copying, members): (&Copying, &[Member]),
    now: Timestamp,
) -> Result<()> {
    let owner = target.owner();
    let bytes = members.iter().fold(0_u64, |sum, member| sum.saturating_add(member.size));
    let detail = json!({"from": copying.from.to_string(), "files": members.len(), "bytes": bytes});
    let text = format!("{}/{}", copying.to.package, copying.to.version);
    audit::record(conn, caller, event, &Subject { owner: Some((owner.id, &owner.name)), text, detail }, now)
}
