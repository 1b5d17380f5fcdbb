//! Checksum files that are computed: `{file}.sha256`, `{file}.sha512`, and `SHA256SUMS`, `SHA512SUMS` of a version, in
//! the format that `sha256sum -c` reads. A real file with such a name takes precedence.

use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::ids::FileId;
use crate::domain::path::FilePath;
use crate::error::{Error, Result, What};
use crate::http::blob::INERT;
use crate::http::problem::Shape;
use crate::jobs::digests;
use crate::listing::{self, Listing};
use crate::registry::access::{CanRead, can_read};
use crate::registry::packages::files::{self, FileSummary, ListOrder};
use crate::registry::pages::{ByAge, Slice};
use actix_web::HttpResponse;
use actix_web::http::header;
use std::sync::Arc;

/// The digest in a checksum file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sha256,
    Sha512,
}

/// A checksum file, and the files that it lists.
pub(super) struct Sidecar {
    kind: Kind,
    path: FilePath,
    files: Listing<FileId, FileSummary>,
}

/// The checksum file with this name, if the name is one of a checksum file and the files that it lists exist.
///
/// # Errors
/// Database errors.
pub(super) fn find(conn: &mut Connection, right: &CanRead, path: &FilePath) -> Result<Option<Sidecar>> {
    let lower = path.file.lower();
    let (kind, base) = match lower.as_str() {
        "sha256sums" => (Kind::Sha256, None),
        "sha512sums" => (Kind::Sha512, None),
        other => match (other.strip_suffix(".sha256"), other.strip_suffix(".sha512")) {
            (Some(base), _) => (Kind::Sha256, Some(base)),
            (_, Some(base)) => (Kind::Sha512, Some(base)),
            _ => return Ok(None),
        },
    };
    let version = path.in_version();
    let files = match base {
        Some(base) => Listing::of(files::find(conn, right, &version, base)?.into_iter().collect()),
        None => match files::ids(conn, right, &version, ListOrder::Age(ByAge::OldestFirst), Slice::WHOLE) {
            Ok(ids) => Listing::open(ids, |ids| files::load(conn, ids))?,
            Err(Error::NotFound(What::Version)) => return Ok(None),
            Err(error) => return Err(error),
        },
    };
    Ok(Some(Sidecar { kind, path: path.clone(), files }).filter(|sidecar| !sidecar.files.is_empty()))
}

/// Sends a checksum file; computes missing digests before their lines are sent.
///
/// # Errors
/// As [`digests::of_blob`].
pub(super) async fn answer(call: Call, sidecar: Sidecar) -> Result<HttpResponse> {
    let Sidecar { kind, path, files } = sidecar;
    let mut head = HttpResponse::Ok();
    head.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::CONTENT_DISPOSITION, crate::http::disposition::attachment(path.file.as_str())))
        .insert_header((header::CONTENT_SECURITY_POLICY, INERT));
    let app = Arc::clone(&call.app);
    let more = move |conn: &mut _, caller: &_, ids: &[FileId]| {
        can_read(conn, caller, &path.owner, Some(&path.package))?;
        files::load(conn, ids)
    };
    listing::send(call, head, Shape::Text, files, more, async move |file: FileSummary| {
        let digest = match kind {
            Kind::Sha256 => file.blob.sha256.to_hex(),
            Kind::Sha512 => digests::of_blob(&app.db, &app.store, &app.digesting, &file.blob).await?.sha512.to_hex(),
        };
        // Two spaces: the name follows unescaped, because the allowed names contain nothing that coreutils would
        // escape.
        Ok(format!("{digest}  {}", file.name).into_bytes())
    })
    .await
}
