//! JSON answers that more than one interface uses.

use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::identity::VerifiedIdentity;
use crate::domain::ids::FileId;
use crate::domain::names::FileName;
use crate::domain::path::VersionPath;
use crate::error::Result;
use crate::jobs::digests;
use crate::registry::packages::files::FileSummary;
use crate::state::App;
use serde::Serialize;
use utoipa::ToSchema;

/// A file of a version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PackageFile)]
pub struct FileView {
    id: FileId,
    #[schema(minimum = 0)]
    size: u64,
    name: FileName,
    #[schema(pattern = "^[0-9a-f]{32}$")]
    md5: String,
    #[schema(pattern = "^[0-9a-f]{40}$")]
    sha1: String,
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
    #[schema(pattern = "^[0-9a-f]{128}$")]
    sha512: String,
    created_at: Timestamp,
    #[schema(minimum = 0)]
    download_count: i64,
    download_url: String,
    /// The job that published it, if it was a trusted publisher's.
    verified_identity: Option<VerifiedIdentity>,
}

impl FileView {
    /// The digests are always complete: missing ones are computed now.
    ///
    /// # Errors
    /// As [`digests::of_blob`].
    pub async fn new(app: &App, path: &VersionPath, file: FileSummary) -> Result<Self> {
        let other = digests::of_blob(&app.db, &app.store, &app.digesting, &file.blob).await?;
        Ok(Self {
            id: file.id,
            download_url: app.url(&address::generic_file(&path.with_file(file.name.clone()))),
            size: file.blob.size,
            name: file.name,
            md5: other.md5.to_hex(),
            sha1: other.sha1.to_hex(),
            sha256: file.blob.sha256.to_hex(),
            sha512: other.sha512.to_hex(),
            created_at: file.created_at,
            download_count: file.downloads,
            verified_identity: file.identity,
        })
    }
}
