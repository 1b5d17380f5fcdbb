//! Publishing a file: the checks before its bytes are read, and the one transaction after they are stored safely.

use super::declared::DeclaredUpload;
use super::files::StoredBlob;
use super::lookup::file_is;
use super::protections::{self, Action};
use super::quotas::{Allowance, Usage};
use super::replacing::{self, Existing, Verdict};
use super::{changeable, directories, expiry, quotas, versions};
use crate::db::schema::{blobs, files as files_table};
use crate::domain::clock::Timestamp;
use crate::domain::digest::{OtherDigests, Sha256};
use crate::domain::ids::{BlobId, FileId, VersionId};
use crate::domain::names::FileName;
use crate::domain::path::FilePath;
use crate::domain::quota::Quota;
use crate::domain::webhook::HookAction;
use crate::error::{Error, Result};
use crate::registry::access::{CanAddFiles, CanPublish, can_publish};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::operations::damage;
use crate::registry::webhooks::outbox::{self, Announced};
use diesel::prelude::*;
use serde_json::json;
use std::time::Duration;

/// Up to this size, a body arrives sooner than the database answers one more query, so a check before it saves nothing.
const SMALL: u64 = 64 << 10;

/// The limits that the instance sets.
#[derive(Debug, Clone, Copy, Default)]
pub struct UploadLimits {
    /// The most bytes in one file.
    pub file_bytes: Option<u64>,
    /// The quota of each owner without their own quota.
    pub quota: Quota,
    /// How long replaced files can be restored.
    pub trash_kept: Duration,
}

/// Whether the server needs an upload's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Yes, up to the rest of the owner's quota.
    Wanted(Option<Allowance>),
    /// No, if this blob is undamaged: the declared bytes already exist under this name.
    SameIsThere(Box<StoredBlob>),
}

/// A blob that is stored safely.
#[derive(Debug, Clone)]
pub struct NewBlob {
    pub sha256: Sha256,
    /// In bytes.
    pub size: u64,
    pub storage_key: String,
    pub block_checksums: Vec<u8>,
    pub other: Option<OtherDigests>,
}

/// The result of an upload.
#[derive(Debug, Clone)]
pub struct PublishOutcome {
    /// False when the name had a file already: the same bytes, or one that was replaced.
    pub created: bool,
    /// The key of an earlier copy of the same bytes, which no row names any longer: the row now names the new copy,
    /// whose bytes were just verified.
    pub superseded: Option<String>,
}

/// Whether an upload repeats what is stored and so changes nothing, whatever the state of the version.
fn stays_the_same(there: &Existing, declared: &DeclaredUpload) -> bool {
    declared.sha256 == Some(there.stored.blob.sha256) && !declared.only_if_absent && !declared.draft
}

/// Runs every check that is possible before the body is read, in this order: permission, length, state, existing file,
/// quota.
///
/// # Errors
/// As [`can_add_files`](crate::registry::access::can_add_files); [`Error::TooLarge`], [`Error::WrongState`],
/// [`Error::Conflict`], [`Error::PreconditionFailed`],
/// [`Error::Quota`]; [`Error::Blocked`] if a directory has the name of the file, or a file has the name of its
/// directory; [`Error::WrongState`] if the version exists with another expiry.
pub fn admit(
    conn: &mut PgConnection,
    caller: &Caller,
    path: &FilePath,
    declared: &DeclaredUpload,
    limits: &UploadLimits,
    now: Timestamp,
) -> Result<Admission> {
    let right = can_publish(conn, caller, &path.owner, &path.package)?;
    let version = path.in_version();
    let place = changeable::place(conn, right.owner().id, &version)?;
    let right = right.add_files(caller, place.trusted_only)?;
    protections::check(conn, &right, Action::Publish, &path.version)?;
    if let (Some(length), Some(limit)) = (declared.length, limits.file_bytes)
        && length > limit
    {
        return Err(Error::TooLarge { limit });
    }
    if let Some(life) = declared.expires_in {
        expiry::demand_same(conn, right.owner().id, &version, life)?;
    }
    let addable = changeable::demand_addable(&version, place, declared.draft, now);
    let existing = match place.life {
        Some(_) => replacing::existing(conn, right.owner().id, path)?,
        None => None,
    };
    if !existing.as_ref().is_some_and(|there| stays_the_same(there, declared)) {
        addable?;
    }
    match &existing {
        Some(there) => match replacing::judge(there, path, declared, None)? {
            Verdict::SameIsThere => return Ok(Admission::SameIsThere(Box::new(there.stored.clone()))),
            Verdict::Replaces => protections::check(conn, &right, Action::Replace, &path.version)?,
        },
        None => replacing::demand_expected(declared, None)?,
    }
    // For a small file, it is enough that `publish_file` checks this.
    if declared.length.is_none_or(|length| length > SMALL) {
        directories::admit(conn, right.owner().id, path)?;
    }
    let mut allowance = None;
    if let Some(quota) = quotas::limiting(&right, limits.quota) {
        // A file that is replaced makes room.
        let room = existing.map_or(0, |there| i64::try_from(there.stored.blob.size).unwrap_or(0));
        let bytes = i64::try_from(declared.length.unwrap_or(0)).unwrap_or(i64::MAX);
        let more = Usage { versions: i64::from(place.life.is_none()), bytes };
        quotas::check_making_room(conn, right.owner(), quota, more, room)?;
        allowance = quotas::allowance(conn, right.owner(), quota, room)?;
    }
    Ok(Admission::Wanted(allowance))
}

/// Creates a file from a stored blob: package, version, blob, file, quota and audit record in the caller's transaction.
///
/// # Errors
/// [`Error::Conflict`] or [`Error::PreconditionFailed`] when the name has a file, also one of a faster upload;
/// [`Error::WrongState`] when the version was sealed or published in the meantime, or has another expiry;
/// [`Error::Quota`]; [`Error::Blocked`] as [`admit`].
pub fn publish_file(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanPublish,
    (path, blob, declared): (&FilePath, &NewBlob, &DeclaredUpload),
    limits: &UploadLimits,
    now: Timestamp,
) -> Result<PublishOutcome> {
    let owner = right.owner();
    protections::check(conn, right, Action::Publish, &path.version)?;
    let in_version = path.in_version();
    let version = versions::find_or_insert(conn, (owner.id, &in_version), declared.draft, right.user().id, now)?;
    let right = &right.clone().add_files(caller, version.place.trusted_only)?;
    // Decided with the version's row locked: a request that seals or publishes it waits, or came first.
    if let Err(refusal) = changeable::demand_addable(&in_version, version.place, declared.draft, now) {
        let there = replacing::existing(conn, owner.id, path)?;
        there.filter(|there| stays_the_same(there, declared)).ok_or(refusal)?;
    }
    // Nobody else knows a version that this transaction has created.
    if !version.is_new {
        directories::hold(conn, version.id, &path.file)?;
    }
    let expires_at = match declared.expires_in {
        Some(life) if version.is_new => Some(expiry::begin(conn, version.id, life, now)?),
        Some(life) => expiry::demand_same(conn, owner.id, &in_version, life).map(|()| None)?,
        None => None,
    };
    let (blob_id, superseded) = insert_blob(conn, blob, now)?;
    let mut replaced = None;
    while !insert_file(conn, caller, right, (version.id, blob_id), path, now)? {
        // Deleted in the meantime, or replaced by another upload: then the next try finds that one.
        let Some(there) = replacing::existing(conn, owner.id, path)? else { continue };
        match replacing::judge(&there, path, declared, Some(blob.sha256))? {
            Verdict::SameIsThere => return Ok(PublishOutcome { created: false, superseded }),
            Verdict::Replaces => {
                protections::check(conn, right, Action::Replace, &path.version)?;
                replaced = replacing::clear(conn, caller, right, &there, limits.trash_kept, now)?;
            }
        }
    }
    if replaced.is_none() {
        replacing::demand_expected(declared, None)?;
    }
    let size = i64::try_from(blob.size).map_err(Error::internal)?;
    if version.is_new && !version.is_draft {
        outbox::announce(conn, caller, (owner.id, HookAction::Created, Announced::Version(version.id)), now)?;
    }
    quotas::charge(conn, right, Usage { versions: i64::from(version.is_new), bytes: size }, limits.quota)?;
    let text = format!("{}/{}/{}", path.package, path.version, path.file);
    let mut detail = json!({"bytes": blob.size, "sha256": blob.sha256.to_hex()});
    let created = replaced.is_none();
    if let (Some(at), Some(detail)) = (expires_at, detail.as_object_mut()) {
        detail.insert("expires_at".to_owned(), json!(at));
    }
    if let (Some(identity), Some(detail)) = (caller.identity(), detail.as_object_mut()) {
        detail.insert("identity".to_owned(), json!(identity));
    }
    if let (Some(replaced), Some(detail)) = (replaced, detail.as_object_mut()) {
        detail.insert("replaced".to_owned(), replaced);
    }
    let subject = Subject { owner: Some((owner.id, &owner.name)), text, detail };
    audit::record(conn, caller, Event::FilePublish, &subject, now)?;
    Ok(PublishOutcome { created, superseded })
}

/// Inserts the file's row. False if the version has a file of this name.
fn insert_file(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanAddFiles,
    (version, blob): (VersionId, BlobId),
    path: &FilePath,
    now: Timestamp,
) -> Result<bool> {
    let inserted: Option<(FileId, Option<FileName>)> = diesel::insert_into(files_table::table)
        .values((
            files_table::version_id.eq(version),
            files_table::blob_id.eq(blob),
            files_table::name.eq(&path.file),
            files_table::lower_name.eq(path.file.lower()),
            files_table::creator_id.eq(right.user().id),
            files_table::created_at.eq(now),
            files_table::identity.eq(caller
                .identity()
                .map(serde_json::to_value)
                .transpose()
                .map_err(Error::internal)?),
        ))
        .on_conflict((files_table::version_id, files_table::lower_name))
        .do_nothing()
        .returning((files_table::id, directories::obstacle("files.version_id", &path.file)))
        .get_result(conn)
        .optional()?;
    let Some((_, obstacle)) = inserted else { return Ok(false) };
    directories::refuse(&path.file, obstacle)?;
    Ok(true)
}

/// Inserts the blob's row, or makes the existing row of the same bytes name the new copy and returns the key of the old
/// copy. The new bytes were hashed on their way in, while the old copy may have been damaged since, so the answer rests
/// on verified bytes. An existing row stays locked until the end of the transaction, so that no sweep deletes it. These
/// are several statements instead of an upsert, because Diesel never prepares an upsert: Postgres would parse and plan
/// it for each upload.
fn insert_blob(conn: &mut PgConnection, blob: &NewBlob, now: Timestamp) -> Result<(BlobId, Option<String>)> {
    let other = blob.other.as_ref();
    let sha256 = &blob.sha256.as_bytes()[..];
    loop {
        let inserted = diesel::insert_into(blobs::table)
            .values((
                blobs::sha256.eq(sha256),
                blobs::size.eq(i64::try_from(blob.size).map_err(Error::internal)?),
                blobs::storage_key.eq(&blob.storage_key),
                blobs::block_checksums.eq(&blob.block_checksums),
                blobs::sha512.eq(other.map(|other| &other.sha512.as_bytes()[..])),
                blobs::sha1.eq(other.map(|other| &other.sha1.as_bytes()[..])),
                blobs::md5.eq(other.map(|other| &other.md5.as_bytes()[..])),
                blobs::touched_at.eq(now),
            ))
            .on_conflict(blobs::sha256)
            .do_nothing()
            .returning(blobs::id)
            .get_result(conn)
            .optional()?;
        if let Some(id) = inserted {
            return Ok((id, None));
        }
        let row = blobs::table.filter(blobs::sha256.eq(sha256)).select((blobs::id, blobs::storage_key)).for_update();
        let found: Option<(BlobId, String)> = row.first(conn).optional()?;
        // A sweep deleted the row in the meantime; the next try inserts it.
        let Some((id, superseded)) = found else { continue };
        diesel::update(blobs::table.find(id))
            .set((
                blobs::touched_at.eq(now),
                blobs::storage_key.eq(&blob.storage_key),
                blobs::block_checksums.eq(&blob.block_checksums),
            ))
            .execute(conn)?;
        damage::forget(conn, id)?;
        return Ok((id, Some(superseded)));
    }
}

/// Whether an upload whose COMMIT was not answered succeeded: a file with that name and these bytes from this upload
/// exists.
///
/// # Errors
/// Database errors.
pub fn was_published(conn: &mut PgConnection, path: &FilePath, blob: &NewBlob, now: Timestamp) -> Result<bool> {
    use crate::db::schema::{owners, packages, versions};
    let row = files_table::table
        .inner_join(versions::table.inner_join(packages::table.inner_join(owners::table)))
        .inner_join(blobs::table)
        .filter(file_is(path))
        .filter(files_table::created_at.eq(now))
        .filter(blobs::sha256.eq(&blob.sha256.as_bytes()[..]))
        .select(files_table::id);
    Ok(diesel::select(diesel::dsl::exists(row)).get_result(conn)?)
}
