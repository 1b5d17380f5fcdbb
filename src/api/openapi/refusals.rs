//! The errors that a route can return whatever its handler does: they follow from its policy and its path.

use super::entry::Entry;
use crate::auth::policy::AcceptedCredentials;
use crate::http::description::{Description, integer, text};
use actix_web::http::StatusCode;
use utoipa::openapi::Response;

const NO_CREDENTIAL: &str = "The credential is missing or invalid";
const NO_RIGHT: &str = "The caller lacks a right or scope; the message names it";
const NOT_THERE: &str = "Nothing with this name exists, or the caller cannot see it";
const WRONG_FIELD: &str = "A field is missing, invalid or taken; the message names it";
const TOO_OFTEN: &str = "Too many sign-in attempts";
const AWAY: &str = "The database is unavailable or overloaded; nothing was changed";

/// The errors of a route.
pub fn of(entry: &Entry<'_>) -> Vec<(StatusCode, Response)> {
    let mut refused = Description::default();
    let judges = !matches!(entry.policy.credentials, AcceptedCredentials::Ignored | AcceptedCredentials::Own);
    if judges {
        refused.refuses(StatusCode::UNAUTHORIZED, NO_CREDENTIAL);
        refused.with("WWW-Authenticate", "How to sign in (RFC 7617).", text());
        refused.refuses(StatusCode::FORBIDDEN, NO_RIGHT);
        if entry.path.contains('{') {
            refused.refuses(StatusCode::NOT_FOUND, NOT_THERE);
        }
    }
    let body = entry.description.body.as_ref();
    if body.is_some_and(|body| body.content.contains_key("application/json")) {
        refused.refuses(StatusCode::UNPROCESSABLE_ENTITY, WRONG_FIELD);
    }
    if judges {
        refused.refuses(StatusCode::TOO_MANY_REQUESTS, TOO_OFTEN);
        refused.with("Retry-After", "Try again after this many seconds.", integer(0));
        refused.refuses(StatusCode::SERVICE_UNAVAILABLE, AWAY);
        refused.with("Retry-After", "Try again after this many seconds.", integer(0));
    }
    refused.answers
}
