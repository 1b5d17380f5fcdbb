//! Uploads one file as a request body, for our script: each file has its own progress, and can have any length.

use super::version_page;
use crate::auth::call::Call;
use crate::domain::path::FilePath;
use crate::error::{Error, Result};
use crate::http::body::PacedBody;
use crate::http::problem::{log_internal, retry_after, status_of};
use crate::http::request_log::request_id;
use crate::publish::{self, Published, Target, wants_draft};
use crate::web::forms;
use crate::web::page::Reply;
use actix_web::http::{StatusCode, header};
use actix_web::web;
use serde_json::json;

/// `PUT /{owner}/-/upload/{name}/{version}/{file}`.
pub async fn put(call: Call, payload: web::Payload) -> Result<Reply> {
    let error = match receive(&call, payload).await {
        Ok((path, published)) => return answer(&call, &path, published),
        Err(error) => error,
    };
    log_internal(&call.req, &error);
    let (status, code) = status_of(&error);
    let body = json!({"message": error.to_string(), "code": code, "request_id": request_id(&call.req)});
    Ok(Reply::json(status, &body)?.retry_after(retry_after(&error)))
}

async fn receive(call: &Call, payload: web::Payload) -> Result<(FilePath, Published)> {
    let path = call.file_path().await?;
    call.demand_credentials().await?;
    forms::check_head(call)?;
    let target = Target::of_request(path.clone(), call.req.headers()).draft(wants_draft(call));
    Ok((path, publish::receive(call, target, PacedBody::new(payload, call.app.pace())).await?))
}

fn answer(call: &Call, path: &FilePath, published: Published) -> Result<Reply> {
    let status = if published.created { StatusCode::CREATED } else { StatusCode::OK };
    let page = call.app.link(version_page(&path.in_version()));
    let body = json!({"name": path.file, "size": published.size, "sha256": published.sha256.to_hex(), "page": page});
    let etag = header::HeaderValue::from_str(&format!("\"{}\"", published.sha256)).map_err(Error::internal)?;
    Ok(Reply::json(status, &body)?.header(header::ETAG, etag))
}
