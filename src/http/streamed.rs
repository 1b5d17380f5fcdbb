//! Answers that are sent while they are read, because they may be too long for memory.

use crate::error::{Error, Result};
use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};

/// Sends parts one after another. An error on the way cuts the connection, so that nobody takes a part for the whole.
pub fn streamed(
    req: &HttpRequest,
    response: &mut HttpResponseBuilder,
    parts: impl Stream<Item = Result<Bytes>> + 'static,
) -> HttpResponse {
    if *req.method() == Method::HEAD {
        // The same headers as for GET, without reading anything.
        return response.streaming(stream::empty::<Result<Bytes, actix_web::Error>>());
    }
    response.streaming(parts.map_err(cut))
}

fn cut(error: Error) -> actix_web::Error {
    tracing::warn!(error = %error.explained(), "a streamed answer ended early");
    actix_web::error::ErrorInternalServerError("the answer ended early")
}
