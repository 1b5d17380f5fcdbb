//! Checksum files that are computed: `{file}.sha256`, `{file}.sha512`, and `SHA256SUMS`, `SHA512SUMS` of a version, in
//! the format that `sha256sum -c` reads. A real file with such a name takes precedence.

use crate::db::Connection;
use crate::domain::names::FileName;
use crate::domain::path::FilePath;
use crate::error::{Error, Result, What};
use crate::http::blob::INERT;
use crate::jobs::digests;
use crate::registry::access::CanRead;
use crate::registry::packages::files::{self, FileSummary};
use crate::registry::pages::Slice;
use crate::state::App;
use actix_web::HttpResponse;
use actix_web::http::header;
use std::fmt::Write as _;

/// The digest in a checksum file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sha256,
    Sha512,
}

/// A checksum file, and the files that it lists.
pub(super) struct Sidecar {
    kind: Kind,
    name: FileName,
    files: Vec<FileSummary>,
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
        Some(base) => files::find(conn, right, &version, base)?.into_iter().collect(),
        None => match files::list(conn, right, &version, Slice { offset: 0, limit: i64::MAX }) {
            Ok(page) => page.items,
            Err(Error::NotFound(What::Version)) => return Ok(None),
            Err(error) => return Err(error),
        },
    };
    Ok(Some(Sidecar { kind, name: path.file.clone(), files }).filter(|sidecar| !sidecar.files.is_empty()))
}

/// Sends a checksum file; computes missing digests first.
///
/// # Errors
/// As [`digests::of_blob`].
pub(super) async fn answer(app: &App, sidecar: Sidecar) -> Result<HttpResponse> {
    let mut lines = String::new();
    for file in &sidecar.files {
        let digest = match sidecar.kind {
            Kind::Sha256 => file.blob.sha256.to_hex(),
            Kind::Sha512 => digests::of_blob(&app.db, &app.store, &app.digesting, &file.blob).await?.sha512.to_hex(),
        };
        // Two spaces: the name follows unescaped, because the allowed names contain nothing that coreutils would
        // escape.
        let _ = writeln!(lines, "{digest}  {}", file.name);
    }
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::CONTENT_DISPOSITION, crate::http::disposition::attachment(sidecar.name.as_str())))
        .insert_header((header::CONTENT_SECURITY_POLICY, INERT))
        .body(lines))
}
