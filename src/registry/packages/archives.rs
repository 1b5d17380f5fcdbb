//! The files of a version for an archive of them: all at once with what an archive's length and tag depend on, then
//! some at a time with what it takes to read them.

use super::files::{BLOB_COLUMNS, Blob, BlobRow, StoredBlob};
use super::lookup::version_is;
use crate::db::schema::{blobs, files, packages as packages_table, versions as versions_table};
use crate::domain::digest::Sha256;
use crate::domain::ids::{BlobId, FileId, VersionId};
use crate::domain::names::{FileName, PackageName};
use crate::domain::path::VersionPath;
use crate::domain::version::Version;
use crate::domain::version_state::VersionState;
use crate::error::{Error, Result, What};
use crate::registry::access::{CanRead, shown};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Text;
use std::collections::HashMap;

/// A version to be archived, in its original spelling.
#[derive(Debug, Clone)]
pub struct Content {
    pub package: PackageName,
    pub version: Version,
    pub is_draft: bool,
    /// By path, byte for byte.
    pub files: Vec<Member>,
}

/// A file of an archive.
#[derive(Debug, Clone)]
pub struct Member {
    pub id: FileId,
    pub blob: BlobId,
    pub name: FileName,
    /// In bytes.
    pub size: u64,
    pub sha256: Sha256,
}

/// The content of a version.
///
/// # Errors
/// [`Error::NotFound`] for an unknown version, and for a draft of someone who may not publish.
pub fn content(conn: &mut PgConnection, right: &CanRead, path: &VersionPath) -> Result<Content> {
    let found: Option<(VersionId, PackageName, Version, VersionState)> = versions_table::table
        .inner_join(packages_table::table)
        .filter(version_is(right.owner().id, path))
        .filter(shown(right.draft_limit()))
        .select((versions_table::id, packages_table::name, versions_table::version, versions_table::state))
        .first(conn)
        .optional()?;
    let (id, package, version, state) = found.ok_or(Error::NotFound(What::Version))?;
    let rows: Vec<(FileId, BlobId, FileName, i64, Vec<u8>)> = files::table
        .inner_join(blobs::table)
        .filter(files::version_id.eq(id))
        .order(sql::<Text>("files.name COLLATE \"C\""))
        .select((files::id, blobs::id, files::name, blobs::size, blobs::sha256))
        .load(conn)?;
    let member = |(id, blob, name, size, sha256): (FileId, BlobId, FileName, i64, Vec<u8>)| {
        let size = u64::try_from(size).map_err(Error::internal)?;
        let sha256 = Sha256::try_from(&sha256[..]).map_err(Error::internal)?;
        Ok(Member { id, blob, name, size, sha256 })
    };
    let files = rows.into_iter().map(member).collect::<Result<Vec<_>>>()?;
    if files.is_empty() {
        return Err(Error::NotFound(What::Version));
    }
    Ok(Content { package, version, is_draft: state == VersionState::Draft, files })
}

/// Files with what it takes to read them, by their ids.
///
/// # Errors
/// Database errors.
pub fn load(conn: &mut PgConnection, ids: &[FileId]) -> Result<HashMap<FileId, (FileName, StoredBlob)>> {
    let rows: Vec<(FileId, FileName, BlobRow, Vec<u8>)> = files::table
        .inner_join(blobs::table)
        .filter(files::id.eq_any(ids))
        .select((files::id, files::name, BLOB_COLUMNS, blobs::block_checksums))
        .load(conn)?;
    let stored = |(id, name, blob, block_checksums): (FileId, FileName, BlobRow, Vec<u8>)| {
        Ok((id, (name, StoredBlob { blob: Blob::from_row(blob)?, block_checksums })))
    };
    rows.into_iter().map(stored).collect()
}
