//! Sending a file that its caller may read, for every face with downloads.

use crate::auth::call::Call;
use crate::error::{Error, Result};
use crate::http::blob::{BlobToServe, Served, respond};
use crate::registry::packages::files::Downloadable;
use crate::storage::Stored;
use bytes::Bytes;

/// Answers a GET or HEAD of a file. `small` is the whole content, if it was already read.
///
/// # Errors
/// As [`respond`].
pub async fn send(call: &Call, file: Downloadable, small: Option<Bytes>) -> Result<Served> {
    let blob = BlobToServe {
        blob: Stored {
            key: file.blob.storage_key.parse().map_err(Error::internal)?,
            size: file.blob.size,
            block_checksums: Some(file.block_checksums).filter(|bytes| !bytes.is_empty()).map(Bytes::from),
        },
        file_name: file.name.as_str(),
        last_modified: file.created_at.into(),
        public: file.public && !call.app.config.require_signin,
        small,
    };
    respond(call.req.method(), call.req.headers(), &call.app.store, blob).await
}
