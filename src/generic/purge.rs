//! `?purge=true` of a `DELETE`: deletes for good, without the trash.

use crate::error::{Error, Result};
use crate::http::paging::param;
use actix_web::HttpRequest;

/// Whether the request deletes for good, without the trash.
///
/// # Errors
/// [`Error::Invalid`].
pub(super) fn is_asked(req: &HttpRequest) -> Result<bool> {
    match param(req, "purge") {
        None | Some("" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Error::invalid("purge", "purge: use true or false")),
    }
}
