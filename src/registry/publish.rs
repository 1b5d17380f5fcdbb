//! Publishing a file: what is decided before its bytes are read, and the one transaction after they are safe.

use super::access::{CanPublish, can_publish};
use super::audit::{self, Event, Subject};
use super::caller::Caller;
use super::hooks::outbox::{self, Of};
use super::quotas::{Allowance, Quota, Usage};
use super::{files, quotas, versions};
use crate::db::schema::{blobs, files as files_table};
use crate::domain::clock::Timestamp;
use crate::domain::digest::{OtherDigests, Sha256};
use crate::domain::hook::HookAction;
use crate::domain::ids::{BlobId, FileId};
use crate::domain::path::FilePath;
use crate::error::{Error, Result, What};
use diesel::prelude::*;
use serde_json::json;

/// What the instance allows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Most bytes in one file.
    pub file_bytes: Option<u64>,
    /// What each owner may store, unless he has his own quota.
    pub quota: Quota,
}

/// What a request says of its upload before its body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Declared {
    /// Bytes, when known.
    pub length: Option<u64>,
    /// SHA-256, when declared.
    pub sha256: Option<Sha256>,
    /// `If-None-Match: *`.
    pub only_if_absent: bool,
}

/// Whether an upload's body is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Yes, up to what the owner's quota leaves.
    Wanted(Option<Allowance>),
    /// No: these very bytes are there under this name.
    SameIsThere(Sha256),
}

/// Bytes that lie safe in the store.
#[derive(Debug, Clone)]
pub struct NewBlob {
    pub sha256: Sha256,
    /// In bytes.
    pub size: u64,
    pub storage_key: String,
    pub block_checksums: Vec<u8>,
    pub other: Option<OtherDigests>,
}

/// What became of an upload.
#[derive(Debug, Clone)]
pub struct Published {
    /// False: the same bytes were there under this name, as declared.
    pub stored: bool,
    /// Where the store has these bytes: the key of [`NewBlob`], or that of an earlier upload of the same bytes, which
    /// makes the new copy superfluous.
    pub storage_key: String,
    /// The row of the bytes.
    pub blob: BlobId,
}

fn already_there(stored: Sha256, declared: &Declared) -> Result<()> {
    if declared.only_if_absent {
        return Err(Error::PreconditionFailed(
            "the package file already exists, and the request says If-None-Match: *",
        ));
    }
    if declared.sha256 == Some(stored) { Ok(()) } else { Err(Error::Conflict(What::File)) }
}

/// Everything that can be decided before the body is read, in this order: right, length, existing file, quota.
///
/// # Errors
/// As [`can_publish`]; [`Error::TooLarge`], [`Error::Conflict`], [`Error::PreconditionFailed`], [`Error::Quota`].
pub fn admit(
    conn: &mut PgConnection,
    caller: &Caller,
    path: &FilePath,
    declared: &Declared,
    limits: &Limits,
) -> Result<Admission> {
    let right = can_publish(conn, caller, &path.owner, &path.package)?;
    if let (Some(length), Some(limit)) = (declared.length, limits.file_bytes)
        && length > limit
    {
        return Err(Error::TooLarge { limit });
    }
    if let Some(stored) = files::stored_digest(conn, right.owner().id, path)? {
        return already_there(stored, declared).map(|()| Admission::SameIsThere(stored));
    }
    let mut allowance = None;
    if let Some(quota) = quotas::limiting(&right, limits.quota) {
        let bytes = i64::try_from(declared.length.unwrap_or(0)).unwrap_or(i64::MAX);
        let new_version = !versions::exists(conn, right.owner().id, &path.in_version())?;
        quotas::check(conn, right.owner(), quota, Usage { versions: i64::from(new_version), bytes })?;
        allowance = quotas::allowance(conn, right.owner(), quota)?;
    }
    Ok(Admission::Wanted(allowance))
}

/// Makes a file of bytes that are in the store: package, version, blob, file, quota and audit in the caller's
/// transaction.
///
/// # Errors
/// [`Error::Conflict`] or [`Error::PreconditionFailed`] when another upload of the name was faster, [`Error::Quota`].
pub fn publish_file(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanPublish,
    (path, blob, declared): (&FilePath, &NewBlob, &Declared),
    limits: &Limits,
    now: Timestamp,
) -> Result<Published> {
    let owner = right.owner();
    let (version, is_new) = versions::find_or_insert(conn, owner.id, &path.in_version(), right.user().id, now)?;
    let (blob_id, storage_key) = insert_blob(conn, blob, now)?;
    let file: Option<FileId> = diesel::insert_into(files_table::table)
        .values((
            files_table::version_id.eq(version),
            files_table::blob_id.eq(blob_id),
            files_table::name.eq(&path.file),
            files_table::lower_name.eq(path.file.lower()),
            files_table::creator_id.eq(right.user().id),
            files_table::created_at.eq(now),
        ))
        .on_conflict((files_table::version_id, files_table::lower_name))
        .do_nothing()
        .returning(files_table::id)
        .get_result(conn)
        .optional()?;
    if file.is_none() {
        let stored = files::stored_digest(conn, owner.id, path)?.ok_or(Error::Conflict(What::File))?;
        already_there(stored, declared)?;
        return Ok(Published { stored: false, storage_key, blob: blob_id });
    }
    let size = i64::try_from(blob.size).map_err(Error::internal)?;
    if is_new {
        outbox::announce(conn, caller, (owner.id, HookAction::Created, Of::Version(version)), now)?;
    }
    quotas::charge(conn, right, Usage { versions: i64::from(is_new), bytes: size }, limits.quota)?;
    let text = format!("{}/{}/{}", path.package, path.version, path.file);
    let detail = json!({"bytes": blob.size, "sha256": blob.sha256.to_hex()});
    let subject = Subject { owner: Some((owner.id, &owner.name)), text, detail };
    audit::record(conn, caller, Event::FilePublish, &subject, now)?;
    Ok(Published { stored: true, storage_key, blob: blob_id })
}

/// The row of some bytes: made, or that of the same bytes, which is then kept from being swept until the end of the
/// transaction. Two statements and not an upsert, which Diesel never prepares: Postgres would parse and plan it for each
/// upload.
fn insert_blob(conn: &mut PgConnection, blob: &NewBlob, now: Timestamp) -> Result<(BlobId, String)> {
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
            .returning((blobs::id, blobs::storage_key))
            .get_result(conn)
            .optional()?;
        if let Some(row) = inserted {
            return Ok(row);
        }
        let found = diesel::update(blobs::table.filter(blobs::sha256.eq(sha256)))
            .set(blobs::touched_at.eq(now))
            .returning((blobs::id, blobs::storage_key))
            .get_result(conn)
            .optional()?;
        // Gone again: a sweep was faster, and the next try inserts.
        if let Some(row) = found {
            return Ok(row);
        }
    }
}

/// Whether an upload whose COMMIT was not answered was made: a file of that name, of these bytes, by this upload.
///
/// # Errors
/// The database's.
pub fn was_published(conn: &mut PgConnection, path: &FilePath, blob: &NewBlob, now: Timestamp) -> Result<bool> {
    use crate::db::schema::{owners, packages, versions};
    let row = files_table::table
        .inner_join(versions::table.inner_join(packages::table.inner_join(owners::table)))
        .inner_join(blobs::table)
        .filter(owners::lower_name.eq(path.owner.lower()))
        .filter(packages::lower_name.eq(path.package.lower()))
        .filter(versions::lower_version.eq(path.version.lower()))
        .filter(files_table::lower_name.eq(path.file.lower()))
        .filter(files_table::created_at.eq(now))
        .filter(blobs::sha256.eq(&blob.sha256.as_bytes()[..]))
        .select(files_table::id);
    Ok(diesel::select(diesel::dsl::exists(row)).get_result(conn)?)
}

/// Lets a blob's row point at another copy of its bytes, because the one it points at was lost. False when the row
/// has changed meanwhile.
///
/// # Errors
/// The database's.
pub fn heal_blob(conn: &mut PgConnection, blob: BlobId, lost_key: &str, key: &str) -> Result<bool> {
    let row = blobs::table.find(blob).filter(blobs::storage_key.eq(lost_key));
    Ok(diesel::update(row).set(blobs::storage_key.eq(key)).execute(conn)? == 1)
}
