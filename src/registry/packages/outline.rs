//! All files of a version at a glance: what a page needs to group them, before it loads the few that it shows.

use crate::db::schema::{blobs, files};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{FileId, VersionId};
use crate::domain::names::FileName;
use crate::error::Result;
use diesel::prelude::*;

/// The most files of a version that are read at once: 5,000 take about 10 ms.
pub const MOST: i64 = 5_000;

/// A file of a version.
#[derive(Debug, Clone, Queryable)]
pub struct OutlinedFile {
    pub id: FileId,
    pub name: FileName,
    /// In bytes.
    pub size: i64,
    pub downloads: i64,
    pub created_at: Timestamp,
}

/// The files of a version by name, at most [`MOST`].
///
/// # Errors
/// Database errors.
pub fn of_version(conn: &mut PgConnection, version: VersionId) -> Result<Vec<OutlinedFile>> {
    Ok(files::table
        .inner_join(blobs::table)
        .filter(files::version_id.eq(version))
        .order(files::lower_name)
        .limit(MOST)
        .select((files::id, files::name, blobs::size, files::download_count, files::created_at))
        .load(conn)?)
}
