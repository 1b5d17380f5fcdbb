//! Checksum files that are computed: `{file}.sha256`, `.sha512`, `.sha1` and `.md5`, and `SHA256SUMS`, `SHA512SUMS` of a
//! version or a directory of it, in the format that `sha256sum -c` reads. A real file or directory with such a name takes
//! precedence.

use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::ids::FileId;
use crate::domain::names::{FileName, InvalidName};
use crate::domain::path::VersionPath;
use crate::domain::role::Visibility;
use crate::error::{Error, Result};
use crate::http::blob::INERT;
use crate::http::cors::{ANY_ORIGIN, EXPOSED};
use crate::http::problem::Shape;
use crate::jobs::digests;
use crate::listing::{self, Listing};
use crate::registry::access::{CanRead, can_read};
use crate::registry::packages::directories;
use crate::registry::packages::files::{self, FileSummary, ListOrder};
use crate::registry::pages::{ByAge, Slice};
use crate::serve::is_open;
use crate::state::App;
use actix_web::HttpResponse;
use actix_web::http::header;
use std::str::FromStr;
use std::sync::Arc;

/// The digest in a checksum file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sha256,
    Sha512,
    Sha1,
    Md5,
}

/// The endings of checksum files.
const ENDINGS: [(&str, Kind); 4] =
    [(".sha256", Kind::Sha256), (".sha512", Kind::Sha512), (".sha1", Kind::Sha1), (".md5", Kind::Md5)];

/// The files that a checksum file is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum About {
    Version,
    Directory(FileName),
    File(FileName),
}

/// The end of a download's address: the path of a file, or of a checksum file, which may be longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DownloadName {
    text: String,
    file: Option<FileName>,
    checksums: Option<(Kind, About)>,
}

impl DownloadName {
    /// The name as it was sent.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of a file that may exist.
    pub(super) fn file(&self) -> Option<&FileName> {
        self.file.as_ref()
    }
}

impl FromStr for DownloadName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (file, checksums) = (text.parse(), checksums(text));
        match (file, checksums) {
            (Err(why), None) => Err(why),
            (file, checksums) => Ok(Self { text: text.to_owned(), file: file.ok(), checksums }),
        }
    }
}

/// The digest and the files that the name of a checksum file stands for.
fn checksums(text: &str) -> Option<(Kind, About)> {
    let (directory, name) = text.rsplit_once('/').map_or((None, text), |(directory, name)| (Some(directory), name));
    let kind_of_list = match name.to_ascii_lowercase().as_str() {
        "sha256sums" => Some(Kind::Sha256),
        "sha512sums" => Some(Kind::Sha512),
        _ => None,
    };
    if let Some(kind) = kind_of_list {
        let about = directory.map_or(Ok(About::Version), |directory| directory.parse().map(About::Directory));
        return Some((kind, about.ok()?));
    }
    ENDINGS.iter().find_map(|(ending, kind)| {
        let (base, end) = text.split_at_checked(text.len().checked_sub(ending.len())?)?;
        if !end.eq_ignore_ascii_case(ending) {
            return None;
        }
        Some((*kind, About::File(base.parse().ok()?)))
    })
}

/// A checksum file, and the files that it lists.
pub(super) struct Sidecar {
    kind: Kind,
    /// The name to save it under.
    name: String,
    version: VersionPath,
    about: About,
    files: Listing<FileId, FileSummary>,
    /// Whether its owner is public.
    public: bool,
}

/// The checksum file with this name, if the name is one of a checksum file and the files that it lists exist.
///
/// # Errors
/// Database errors.
pub(super) fn find(
    conn: &mut Connection,
    right: &CanRead,
    version: &VersionPath,
    name: &DownloadName,
) -> Result<Option<Sidecar>> {
    let Some((kind, about)) = &name.checksums else { return Ok(None) };
    let sidecar = |files: Listing<FileId, FileSummary>| Sidecar {
        kind: *kind,
        name: name.text.rsplit('/').next().unwrap_or_default().to_owned(),
        version: version.clone(),
        about: about.clone(),
        files,
        public: right.visibility() == Visibility::Public,
    };
    let order = ByAge::OldestFirst;
    let ids = match about {
        About::File(file) => {
            let found = files::find(conn, right, version, &file.lower())?;
            return Ok(found.map(|file| sidecar(Listing::of(vec![file]))));
        }
        About::Version => files::ids(conn, right, version, ListOrder::Age(order), Slice::WHOLE),
        About::Directory(directory) => directories::files_below(conn, right, (version, directory), order, Slice::WHOLE),
    };
    match ids {
        Ok(ids) => {
            let files = Listing::open(ids, None, |ids| files::load(conn, ids))?;
            Ok(Some(sidecar(files)).filter(|sidecar| !sidecar.files.is_empty()))
        }
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The digest of a file in hexadecimal, computed now if it is missing.
async fn digest(app: &App, kind: Kind, file: &FileSummary) -> Result<String> {
    if kind == Kind::Sha256 {
        return Ok(file.blob.sha256.to_hex());
    }
    let other = digests::of_blob(&app.db, &app.store, &app.digesting, &file.blob).await?;
    Ok(match kind {
        Kind::Sha256 | Kind::Sha512 => other.sha512.to_hex(),
        Kind::Sha1 => other.sha1.to_hex(),
        Kind::Md5 => other.md5.to_hex(),
    })
}

/// Sends a checksum file; computes missing digests before their lines are sent.
///
/// # Errors
/// As [`digests::of_blob`].
pub(super) async fn answer(call: Call, sidecar: Sidecar) -> Result<HttpResponse> {
    let Sidecar { kind, name, version, about, files, public } = sidecar;
    let mut head = HttpResponse::Ok();
    if is_open(&call.app, public) {
        head.insert_header(ANY_ORIGIN).insert_header(EXPOSED);
    }
    head.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::CONTENT_DISPOSITION, crate::http::disposition::attachment(&name)))
        .insert_header((header::CONTENT_SECURITY_POLICY, INERT));
    let app = Arc::clone(&call.app);
    let more = move |conn: &mut _, caller: &_, ids: &[FileId]| {
        can_read(conn, caller, &version.owner, Some(&version.package))?;
        files::load(conn, ids)
    };
    listing::send(call, head, Shape::Text, files, more, async move |file: FileSummary| {
        let name = match &about {
            About::Version => file.name.as_str(),
            About::Directory(directory) => file.name.inside(Some(directory)),
            About::File(_) => file.name.last_segment(),
        };
        // Two spaces: the name follows unescaped, because the allowed names contain nothing that coreutils would
        // escape.
        Ok(format!("{}  {name}", digest(&app, kind, &file).await?).into_bytes())
    })
    .await
}
