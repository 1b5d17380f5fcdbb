//! Sending a file that its caller may read, for every interface with downloads.

use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::ids::FileId;
use crate::domain::path::VersionPath;
use crate::domain::version_state::VersionState;
use crate::error::{Error, Result};
use crate::http::blob::{BlobToServe, Served, respond};
use crate::http::conditional::has_dated_range;
use crate::http::paging::params;
use crate::http::preferred_digest::prefers_sha512;
use crate::http::standing::StandingHeaders;
use crate::jobs::digests;
use crate::registry::packages::files::Downloadable;
use crate::registry::packages::replacement;
use crate::registry::packages::standing::Standing;
use crate::state::App;
use crate::storage::Stored;
use bytes::Bytes;

/// Answers a GET or HEAD of a file. `small` is the whole content, if it was already read.
///
/// # Errors
/// As [`respond`] and [`replacement::is_possible`].
pub async fn send(call: &Call, file: Downloadable, small: Option<Bytes>) -> Result<Served> {
    let (app, headers) = (&call.app, call.req.headers());
    let now = app.clock.now();
    let sha512 = match prefers_sha512(headers) {
        // A preference is no demand: without it the answer has the SHA-256.
        true => digests::of_blob(&app.db, &app.store, &app.digesting, &file.blob).await.ok(),
        false => None,
    };
    let blob = BlobToServe {
        blob: Stored {
            key: file.blob.storage_key.parse().map_err(Error::internal)?,
            sha256: file.blob.sha256,
            size: file.blob.size,
            block_checksums: Some(file.block_checksums).filter(|bytes| !bytes.is_empty()).map(Bytes::from),
        },
        file_name: file.name.last_segment(),
        last_modified: file.created_at.into(),
        date_is_strong: has_dated_range(headers) && is_strong(call, file.id, file.created_at, now).await?,
        now: now.into(),
        sha512: sha512.map(|other| other.sha512),
        // Only publishers may see a draft, no matter who owns it.
        public: is_open(app, file.public) && !file.standing.is_draft(),
        standing: standing(app, &file.version, &file.standing, now),
        small,
        redirects_from: redirects_from(call, &file.version, file.name.as_str(), file.blob.size),
    };
    respond(call.req.method(), headers, &app.store, blob).await
}

/// The file's own address, if the client may be sent to the object store for its bytes.
fn redirects_from(call: &Call, version: &VersionPath, name: &str, size: u64) -> Option<String> {
    let is_refused = || params(&call.req, "redirect").any(|value| value == "false");
    let redirects = call.app.config.store.redirects(size) && !is_refused();
    redirects.then(|| call.app.link(address::generic_download(version, name)))
}

/// What a download says about the version of the file.
fn standing(app: &App, path: &VersionPath, standing: &Standing, now: Timestamp) -> StandingHeaders {
    let successor = standing.successor.clone().filter(|_| standing.deprecated_at.is_some());
    // Relative, so that a client inside a network stays there.
    let url = |version| app.link(address::generic_version(&VersionPath { version, ..path.clone() }));
    StandingHeaders {
        yanked: standing.yanked_at.map(|_| standing.yank_reason.to_string()),
        deprecated_at: standing.deprecated_at,
        successor: successor.map(url),
        expires_at: standing.expires_at,
        immutable: standing.life.state(now) == VersionState::Sealed,
    }
}

/// Whether the date of a file stands for its content alone: the second of its upload is over, and nothing else was at
/// its address in that second (RFC 9110 §8.8.2.2).
async fn is_strong(call: &Call, id: FileId, uploaded: Timestamp, now: Timestamp) -> Result<bool> {
    let over = now.unix() > uploaded.unix();
    Ok(over && !call.app.db.read(move |conn| replacement::is_possible(conn, id)).await?)
}

/// Whether anonymous readers may see what a public owner has.
pub fn is_open(app: &App, public: bool) -> bool {
    public && !app.config.require_signin
}
