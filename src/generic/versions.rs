//! A whole version: deleting it.

use super::purge;
use crate::auth::call::Call;
use crate::error::{Error, Result};
use crate::registry::access::can_publish;
use crate::registry::packages::trash::Deletion;
use crate::registry::packages::versions;
use actix_web::HttpResponse;

/// `DELETE` of a version with all its files.
pub async fn delete(call: Call) -> Result<HttpResponse> {
    let path = call.version_path().await?;
    call.about(&path.owner);
    let (purge, keep, now) = (purge::is_asked(&call.req), call.app.config.trash_kept(), call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_publish(conn, caller, &path.owner, &path.package)?;
        let purge = *purge.as_ref().map_err(Error::again)?;
        versions::delete(conn, caller, &right, &path, &Deletion::asked(&right, purge, keep, now)?).map(drop)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
