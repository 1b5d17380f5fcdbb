//! A whole version: deleting it.

use crate::auth::call::Call;
use crate::error::Result;
use crate::registry::access::can_publish;
use crate::registry::packages::versions;
use actix_web::HttpResponse;

/// `DELETE` of a version with all its files.
pub async fn delete(call: Call) -> Result<HttpResponse> {
    let path = call.version_path().await?;
    call.about(&path.owner);
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let right = can_publish(conn, caller, &path.owner, &path.package)?;
        versions::delete(conn, caller, &right, &path, now)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
