//! Downloads a file in the browser. It uses the browser's session; otherwise the answer is the same as in the generic
//! package protocol.

use super::version;
use crate::auth::call::Call;
use crate::domain::ids::FileId;
use crate::error::{Error, Result, What};
use crate::http::blob::{BlobToServe, respond};
use crate::http::paging::param;
use crate::registry::packages::files::find_downloadable_by_id;
use crate::storage::Stored;
use actix_web::HttpResponse;
use bytes::Bytes;

/// `GET /{owner}/-/packages/generic/{name}/{version}/files/{id}`.
pub async fn file(call: Call) -> Result<HttpResponse> {
    let path = version::named(&call).await?;
    let id = FileId(call.part("id", What::File).await?);
    let file = call.reading(move |conn, caller| find_downloadable_by_id(conn, caller, &path, id)).await?;
    let checksums = Some(file.block_checksums).filter(|bytes| !bytes.is_empty());
    let blob = BlobToServe {
        blob: Stored {
            key: file.blob.storage_key.parse().map_err(Error::internal)?,
            size: file.blob.size,
            block_checksums: checksums.map(Bytes::from),
        },
        file_name: file.name.as_str(),
        last_modified: file.created_at.into(),
        public: file.public && !call.app.config.require_signin,
        small: None,
    };
    let served = respond(call.req.method(), call.req.headers(), &call.app.store, blob).await?;
    // The images of a README load with the page and are not downloads.
    if served.counts && param(&call.req, "shown").is_none() {
        call.app.counters.download(file.id);
    }
    Ok(served.response)
}
