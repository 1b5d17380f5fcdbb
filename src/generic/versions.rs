//! A whole version: deleting it.

use super::{AppData, answer, begin};
use crate::error::Result;
use crate::http::params::GENERIC;
use crate::http::request_log::log_fields;
use crate::registry::access::can_publish;
use crate::registry::versions;
use crate::state::App;
use actix_web::{HttpRequest, HttpResponse};
use std::sync::Arc;

/// `DELETE` of a version with all its files.
pub async fn delete(req: HttpRequest, app: AppData) -> HttpResponse {
    let result = try_delete(&req, &app).await;
    answer(&req, &app, result)
}

async fn try_delete(req: &HttpRequest, app: &Arc<App>) -> Result<HttpResponse> {
    let (path, presented) = begin(req, app, GENERIC.version(req)).await?;
    log_fields(req, |log| log.owner = Some(path.owner.to_string()));
    let now = app.clock.now();
    presented
        .writing(req, app, move |conn, caller| {
            let right = can_publish(conn, caller, &path.owner, &path.package)?;
            versions::delete(conn, caller, &right, &path, now)
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
