//! Sends a client to the object store for the bytes of a file.

use super::disposition::attachment;
use crate::error::Error;
use crate::storage::{BlobStore, Stored};
use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use std::time::Duration;

/// How long an address is valid. A download that has begun may take longer.
const VALID: Duration = Duration::from_secs(600);
/// An address is valid for a short time and for whoever has it.
const UNCACHED: HeaderValue = HeaderValue::from_static("private, no-store");

/// The address of a blob in the object store, `None` if the store has no addresses.
///
/// # Errors
/// [`Error::Busy`] when there are no credentials to sign the address with.
pub(super) async fn address(store: &BlobStore, blob: &Stored, file_name: &str) -> Result<Option<String>, Error> {
    Ok(store.presign(&blob.key, &attachment(file_name), "application/octet-stream", VALID).await?)
}

/// Makes an answer lead to an address. `own` is the address on this site, which stays valid.
pub(super) fn lead(response: &mut HttpResponse, address: &str, own: &str) {
    let mut add = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().append(name, value);
        }
    };
    add(header::LOCATION, address);
    add(header::LINK, &format!("<{own}>; rel=\"immutable\""));
    response.headers_mut().insert(header::CACHE_CONTROL, UNCACHED);
}
