//! Uploads one file as a request body, for our script: each file has its own progress, and can have any length.

use super::version_page;
use crate::auth::call::Call;
use crate::domain::path::FilePath;
use crate::error::{Error, Result};
use crate::http::body::Body;
use crate::http::params::UPLOAD;
use crate::http::problem::status_of;
use crate::intake::{Admitted, Kept, Sender, check_head, content_length, pace};
use crate::registry::publish;
use crate::web::forms;
use crate::web::page::Reply;
use actix_web::http::{StatusCode, header};
use actix_web::web;
use serde_json::json;

/// `PUT /{owner}/-/upload/{name}/{version}/{file}`.
pub async fn put(call: Call, payload: web::Payload) -> Result<Reply> {
    let error = match receive(&call, payload).await {
        Ok((path, kept)) => return answer(&path, kept),
        Err(error) => error,
    };
    if let Error::Internal(source) = &error {
        tracing::error!(error = format!("{source:#}"), path = call.req.path(), "internal error");
    }
    let (status, code) = status_of(&error);
    let reply = Reply::json(status, &json!({"message": error.to_string(), "code": code}))?;
    Ok(match error {
        Error::RateLimited { retry_after } => reply.header(header::RETRY_AFTER, retry_after.into()),
        Error::Busy(_) | Error::OutcomeUnknown | Error::NoSpace => reply.header(header::RETRY_AFTER, 5.into()),
        _ => reply,
    })
}

async fn receive(call: &Call, payload: web::Payload) -> Result<(FilePath, Kept)> {
    let path = UPLOAD.file(&call.req)?;
    call.about(&path.owner);
    let presented = call.presented().await?;
    forms::check_head(call)?;
    let headers = call.req.headers();
    let digests = check_head(headers, false);
    let said = publish::Declared {
        length: content_length(headers),
        sha256: digests.as_ref().ok().and_then(|digests| digests.sha256),
        only_if_absent: false,
    };
    let sender = Sender { req: &call.req, app: &call.app, presented };
    let admitted = sender.admit(path.clone(), said).await?;
    let digests = digests?;
    let mut receiving = match admitted {
        Admitted::SameIsThere(sha256) => {
            return Ok((path, Kept { stored: false, sha256, size: said.length.unwrap_or(0) }));
        }
        Admitted::Wanted(wanted) => wanted.begin(digests)?,
    };
    receiving.receive(Body::new(payload, pace(&call.app))).await?;
    Ok((path, receiving.keep().await?))
}

fn answer(path: &FilePath, kept: Kept) -> Result<Reply> {
    let status = if kept.stored { StatusCode::CREATED } else { StatusCode::OK };
    let page = version_page(&path.in_version());
    let body = json!({"name": path.file, "size": kept.size, "sha256": kept.sha256.to_hex(), "page": page});
    let etag = header::HeaderValue::from_str(&format!("\"{}\"", kept.sha256)).map_err(Error::internal)?;
    Ok(Reply::json(status, &body)?.header(header::ETAG, etag))
}
