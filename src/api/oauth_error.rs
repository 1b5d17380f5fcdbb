//! Errors of a token endpoint (RFC 6749 §5.2): `{"error", "error_description"}`.

use crate::error::Error;
use crate::http::problem::{log_internal, retry_after, status_of};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

/// An error in the words of OAuth.
#[derive(Debug, Serialize, ToSchema)]
pub struct OAuthError {
    /// `invalid_request`, `unsupported_grant_type`, `temporarily_unavailable` or `server_error`.
    error: &'static str,
    /// One line for people.
    error_description: String,
}

/// A refused request to the token endpoint.
pub struct Refused {
    status: StatusCode,
    retry_after: Option<u64>,
    body: OAuthError,
}

impl Refused {
    /// The error in the words of OAuth. Whatever is wrong with the request or with its token is `invalid_request`
    /// (RFC 8693 §2.2.2), except for another grant.
    pub fn new(req: &HttpRequest, error: &Error, is_other_grant: bool) -> Self {
        log_internal(req, error);
        let (status, retry_after) = (status_of(error).0, retry_after(error));
        let (status, word) = match status {
            _ if retry_after.is_some() => (status, "temporarily_unavailable"),
            _ if status.is_server_error() => (status, "server_error"),
            _ if is_other_grant => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
            _ => (StatusCode::BAD_REQUEST, "invalid_request"),
        };
        Self { status, retry_after, body: OAuthError { error: word, error_description: described(error) } }
    }

    /// The answer, which nobody keeps.
    pub fn respond(self) -> HttpResponse {
        let mut builder = HttpResponse::build(self.status);
        builder.insert_header((header::CACHE_CONTROL, "no-store"));
        builder.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        if let Some(seconds) = self.retry_after {
            builder.insert_header((header::RETRY_AFTER, HeaderValue::from(seconds)));
        }
        builder.json(self.body)
    }
}

/// The message in the characters that RFC 6749 allows: printable ASCII without `"` and `\`.
fn described(error: &Error) -> String {
    let allowed = |c: char| match c {
        '"' => '\'',
        '\\' => '/',
        ' '..='~' => c,
        _ => '?',
    };
    error.to_string().replace('…', "...").chars().map(allowed).collect()
}
