//! Sending a file that its caller may read, for every interface with downloads.

pub mod hot;

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
use crate::http::ready::ReadyAnswer;
use crate::http::standing::StandingHeaders;
use crate::jobs::digests;
use crate::registry::packages::files::Downloadable;
use crate::registry::packages::replacement;
use crate::registry::packages::standing::Standing;
use crate::state::App;
use crate::state::download_cache::ReadyDownload;
use crate::storage::Stored;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use bytes::Bytes;

/// The answers to a plain GET of a small file, rendered once for all requests. `None` if there is none now: the clock is
/// behind the file's date, which the answer must not show.
///
/// # Errors
/// As [`respond`].
pub async fn ready(app: &App, file: &Downloadable, content: &Bytes) -> Result<Option<ReadyDownload>> {
    let now = app.clock.now();
    if file.created_at > now {
        return Ok(None);
    }
    let etag = format!("\"{}\"", file.blob.sha256);
    let render = async |headers: &HeaderMap, body: Bytes| {
        let blob = blob(app, file, now, Some(content.clone()))?;
        let served = respond(&Method::GET, headers, &app.store, blob).await?;
        Ok::<_, Error>(ReadyAnswer::of(&served.response, body))
    };
    let whole = render(&HeaderMap::new(), content.clone()).await?;
    let mut same = HeaderMap::new();
    same.insert(header::IF_NONE_MATCH, HeaderValue::from_str(&etag).map_err(Error::internal)?);
    let unchanged = render(&same, Bytes::new()).await?;
    Ok(Some(ReadyDownload { etag, whole, unchanged, state: file.standing.life.state(now) }))
}

/// Answers a GET or HEAD of a file. `small` is the whole content, if it was already read. `takes_redirects` is whether
/// the caller may be sent to the object store.
///
/// # Errors
/// As [`respond`] and [`replacement::is_possible`].
pub async fn send(call: &Call, file: &Downloadable, small: Option<Bytes>, takes_redirects: bool) -> Result<Served> {
    let (app, headers) = (&call.app, call.req.headers());
    let now = app.clock.now();
    let sha512 = match prefers_sha512(headers) {
        // A preference is no demand: without it the answer has the SHA-256.
        true => digests::of_blob(&app.db, &app.store, &app.digesting, &file.blob).await.ok(),
        false => None,
    };
    let date_is_strong = has_dated_range(headers) && is_strong(call, file.id, file.created_at, now).await?;
    let blob = blob(app, file, now, small)?;
    let own_address = || redirects_from(call, &file.version, file.name.as_str(), file.blob.size);
    let redirects_from = if takes_redirects { own_address() } else { None };
    let blob = BlobToServe { date_is_strong, sha512: sha512.map(|other| other.sha512), redirects_from, ..blob };
    respond(call.req.method(), headers, &app.store, blob).await
}

fn blob<'a>(app: &App, file: &'a Downloadable, now: Timestamp, small: Option<Bytes>) -> Result<BlobToServe<'a>> {
    let checksums = Some(&file.block_checksums).filter(|bytes| !bytes.is_empty());
    Ok(BlobToServe {
        blob: Stored {
            key: file.blob.storage_key.parse().map_err(Error::internal)?,
            sha256: file.blob.sha256,
            size: file.blob.size,
            block_checksums: checksums.cloned().map(Bytes::from),
        },
        file_name: file.name.last_segment(),
        last_modified: file.created_at.into(),
        date_is_strong: false,
        now: now.into(),
        sha512: None,
        // Only publishers may see a draft, no matter who owns it.
        public: is_open(app, file.public) && !file.standing.is_draft(),
        standing: standing(app, &file.version, &file.standing, now),
        small,
        redirects_from: None,
    })
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
