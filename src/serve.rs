//! Sending a file that its caller may read, for every face with downloads.

use crate::auth::call::Call;
use crate::domain::clock::Timestamp;
use crate::domain::ids::FileId;
use crate::error::{Error, Result};
use crate::http::blob::{BlobToServe, Served, respond};
use crate::http::conditional::has_dated_range;
use crate::http::preferred_digest::prefers_sha512;
use crate::jobs::digests;
use crate::registry::packages::files::Downloadable;
use crate::registry::packages::replacement;
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
            size: file.blob.size,
            block_checksums: Some(file.block_checksums).filter(|bytes| !bytes.is_empty()).map(Bytes::from),
        },
        file_name: file.name.as_str(),
        last_modified: file.created_at.into(),
        date_is_strong: has_dated_range(headers) && is_strong(call, file.id, file.created_at, now).await?,
        now: now.into(),
        sha512: sha512.map(|other| other.sha512),
        public: is_open(app, file.public),
        small,
    };
    respond(call.req.method(), headers, &app.store, blob).await
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
