//! Downloads a file in the browser. It uses the browser's session; otherwise the answer is the same as in the generic
//! package protocol.

use super::page::Reply;
use super::version;
use crate::auth::call::Call;
use crate::domain::ids::FileId;
use crate::error::{Result, What};
use crate::http::paging::param;
use crate::registry::packages::files::find_downloadable_by_id;
use crate::serve;

/// `GET /{owner}/-/packages/generic/{name}/{version}/files/{id}`.
pub async fn file(call: Call) -> Result<Reply> {
    let path = version::named(&call).await?;
    let id = FileId(call.part("id", What::File).await?);
    let file = call.reading(move |conn, caller| find_downloadable_by_id(conn, caller, &path, id)).await?;
    let served = serve::send(&call, file, None).await?;
    // The images of a README load with the page and are not downloads.
    if served.counts && param(&call.req, "shown").is_none() {
        call.app.counters.download(id);
    }
    Ok(Reply::raw(served.response))
}
