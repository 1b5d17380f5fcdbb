//! Replacing a file by an upload of the same name, where the package allows it. The old file goes to the trash, and the
//! new one has a row, a date and a download count of its own.

use super::declared::DeclaredUpload;
use super::files::{BLOB_COLUMNS, Blob, BlobRow, StoredBlob};
use super::lookup::version_is;
use super::trash::{self, Deletion, Discarded};
use crate::db::schema::{blobs, files, packages, versions};
use crate::domain::clock::Timestamp;
use crate::domain::digest::Sha256;
use crate::domain::ids::{FileId, OwnerId, PackageId, VersionId};
use crate::domain::overwrite::Overwrite;
use crate::domain::path::FilePath;
use crate::domain::trash::TrashReason;
use crate::error::{Error, Result, What};
use crate::registry::access::CanPublish;
use crate::registry::caller::Caller;
use diesel::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

/// The file that has the name of an upload already.
#[derive(Debug, Clone)]
pub(super) struct Existing {
    package: PackageId,
    version: VersionId,
    file: FileId,
    created_at: Timestamp,
    pub stored: StoredBlob,
    overwrite: Overwrite,
}

/// What an upload does to an existing file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: it has these bytes already.
    SameIsThere,
    /// It takes the file's place.
    Replaces,
}

/// The file that has the name of an upload already, if there is one.
///
/// # Errors
/// Database errors.
pub(super) fn existing(conn: &mut PgConnection, owner: OwnerId, path: &FilePath) -> Result<Option<Existing>> {
    type ExistingRow = (PackageId, VersionId, FileId, Timestamp, (BlobRow, Vec<u8>), Vec<String>);
    let row: Option<ExistingRow> = files::table
        .inner_join(versions::table.inner_join(packages::table))
        .inner_join(blobs::table)
        .filter(version_is(owner, &path.in_version()))
        .filter(files::lower_name.eq(path.file.lower()))
        .select((
            packages::id,
            versions::id,
            files::id,
            files::created_at,
            (BLOB_COLUMNS, blobs::block_checksums),
            packages::overwrite_versions,
        ))
        .first(conn)
        .optional()?;
    row.map(|(package, version, file, created_at, (blob, block_checksums), patterns)| {
        let stored = StoredBlob { blob: Blob::from_row(blob)?, block_checksums };
        let overwrite = Overwrite::try_from(patterns).map_err(Error::internal)?;
        Ok(Existing { package, version, file, created_at, stored, overwrite })
    })
    .transpose()
}

/// Checks the conditions of an upload against the file that is there, or against its absence.
///
/// # Errors
/// [`Error::PreconditionFailed`].
pub(super) fn demand_expected(declared: &DeclaredUpload, stored: Option<Sha256>) -> Result<()> {
    if declared.if_match.as_ref().is_some_and(|expected| !expected.holds(stored)) {
        return Err(Error::PreconditionFailed(match stored {
            Some(_) => "the package file is not the one that the request expects (If-Match): it was replaced",
            None => "there is no such package file, and the request expects one (If-Match)",
        }));
    }
    if declared.only_if_absent && stored.is_some() {
        return Err(Error::PreconditionFailed(
            "the package file already exists, and the request says If-None-Match: *",
        ));
    }
    Ok(())
}

/// Decides about an upload for whose name a file exists. Whether the state of the version allows it was decided before. `sent` is the digest of its bytes, as far as it is known.
///
/// # Errors
/// As [`demand_expected`]; [`Error::Conflict`] where files are not replaced.
pub(super) fn judge(
    existing: &Existing,
    path: &FilePath,
    declared: &DeclaredUpload,
    sent: Option<Sha256>,
) -> Result<Verdict> {
    let stored = existing.stored.blob.sha256;
    demand_expected(declared, Some(stored))?;
    let replaceable = existing.overwrite.allows(&path.version);
    // Where files are not replaced, only a digest that the client declared makes a repeated upload a success.
    let same = if replaceable { sent.or(declared.sha256) } else { declared.sha256 };
    if same == Some(stored) {
        return Ok(Verdict::SameIsThere);
    }
    if !replaceable {
        return Err(Error::Conflict(What::File));
    }
    Ok(Verdict::Replaces)
}

/// Moves a file that is about to be replaced to the trash, if it is still there: of several uploads that replace it, one
/// locks its row first, and the others find it gone. Returns what the audit log says of it.
///
/// # Errors
/// As [`trash::discard`].
pub(super) fn clear(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanPublish,
    existing: &Existing,
    keep: Duration,
    now: Timestamp,
) -> Result<Option<Value>> {
    let row = files::table.find(existing.file).select(files::id).for_update();
    if row.first::<FileId>(conn).optional()?.is_none() {
        return Ok(None);
    }
    let what = Discarded::Replaced(existing.version, existing.file);
    let deletion = Deletion::new(keep, now).because(TrashReason::Replaced, "");
    let owner = right.owner();
    trash::discard(conn, caller, ((owner.id, &owner.name), existing.package), what, &deletion)?;
    let sha256 = existing.stored.blob.sha256.to_hex();
    Ok(Some(json!({"sha256": sha256, "created_at": existing.created_at, "kept_until": deletion.keep_until()})))
}
