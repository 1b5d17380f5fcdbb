//! Errors in HTTP: a status, a stable code, and one line for people, as text or as JSON.

use super::accept::{JSON, TEXT, preferred};
use super::request_log::{log_fields, request_id};
use super::segment::{renamed, route};
use crate::domain::public_url::PublicUrl;
use crate::domain::request_id::RequestId;
use crate::domain::text::visible;
use crate::error::Error;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

/// Clients may retry a request after this many seconds if the database was busy or unavailable.
pub const RETRY_AFTER_BUSY: u64 = 5;

/// The challenge of every 401 that a credential can mend. It asks for names and passwords in UTF-8 (RFC 7617 §2.1).
pub const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"Packhouse\", charset=\"UTF-8\"");

/// The error format that the client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One line of plain text.
    Text,
    /// `{"message", "url", "code"}`, as in Gitea's API.
    Json,
}

impl Shape {
    /// The format of a request's errors: always JSON at and below `/api/v1`.
    pub fn of(req: &HttpRequest) -> Self {
        let below = req.path().strip_prefix("/api/v1");
        if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            Self::Json
        } else {
            Self::asked(req.headers())
        }
    }

    /// The format that `Accept` prefers; text if it doesn't say.
    pub fn asked(headers: &HeaderMap) -> Self {
        if preferred(headers, TEXT, &[JSON]) == JSON { Self::Json } else { Self::Text }
    }
}

/// The status and the stable code of an error.
pub fn status_of(error: &Error) -> (StatusCode, &'static str) {
    match error {
        Error::NotFound(_) | Error::Moved { .. } => (StatusCode::NOT_FOUND, "not_found"),
        Error::NoVersionFits(_) => (StatusCode::NOT_FOUND, "no_version_fits"),
        Error::Unsupported(_) => (StatusCode::NOT_FOUND, "unsupported"),
        Error::Clash(_) => (StatusCode::CONFLICT, "conflict"),
        Error::Ambiguous(_) => (StatusCode::CONFLICT, "ambiguous"),
        Error::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
        Error::MustChangePassword => (StatusCode::FORBIDDEN, "must_change_password"),
        Error::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
        Error::BadCredential(_) => (StatusCode::UNAUTHORIZED, "bad_credential"),
        Error::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid"),
        Error::LengthRequired => (StatusCode::LENGTH_REQUIRED, "length_required"),
        Error::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
        Error::Blocked(_) => (StatusCode::CONFLICT, "blocked"),
        Error::WrongState(_) => (StatusCode::CONFLICT, "wrong_state"),
        Error::PreconditionFailed(_) => (StatusCode::PRECONDITION_FAILED, "precondition_failed"),
        Error::DigestMismatch(_) => (StatusCode::UNPROCESSABLE_ENTITY, "digest_mismatch"),
        Error::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        Error::Quota(_) => (StatusCode::FORBIDDEN, "quota"),
        Error::NoSpace => (StatusCode::INSUFFICIENT_STORAGE, "no_space"),
        Error::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
        Error::Busy(_) | Error::OutcomeUnknown | Error::Retry => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        Error::Aborted => (StatusCode::REQUEST_TIMEOUT, "aborted"),
        Error::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

/// Clients may retry after this many seconds, if waiting helps with this error.
pub fn retry_after(error: &Error) -> Option<u64> {
    match error {
        Error::RateLimited { retry_after, .. } => Some(*retry_after),
        Error::Busy(_) | Error::OutcomeUnknown | Error::NoSpace => Some(RETRY_AFTER_BUSY),
        _ => None,
    }
}

/// Logs an internal error with its causes; the line's span has the ID of the request. This is the only place that logs
/// it, and each interface calls it once, where it renders the error. The administration shows the causes too, and those
/// of other server errors.
pub fn log_internal(req: &HttpRequest, error: &Error) {
    if let Error::Internal(source) = error {
        let route = route(req);
        let (source, path) = (format!("{source:#}"), visible(req.path()));
        tracing::error!(error = source, method = %req.method(), route, path = &*path, "internal error");
        log_fields(req, |log| log.cause = Some(source));
    } else if status_of(error).0.is_server_error() {
        log_fields(req, |log| log.cause = Some(error.to_string()));
    }
}

/// Answers with an error, or redirects if the owner was renamed.
pub fn answer(req: &HttpRequest, error: &Error, status: StatusCode, shape: Shape, root: &str) -> HttpResponse {
    log_internal(req, error);
    if let Error::Moved { from, to, .. } = error
        && matches!(*req.method(), Method::GET | Method::HEAD)
        && let Some(path) = renamed(req, from, to)
    {
        let below = root.parse::<PublicUrl>().map(|site| site.base().link(&path));
        return redirect(&below.unwrap_or(path));
    }
    let (_, code) = status_of(error);
    let mut response = line(&request_id(req), status, code, &error.to_string(), shape, root);
    let headers = response.headers_mut();
    if matches!(error, Error::Unauthenticated | Error::BadCredential(_)) {
        headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
    }
    if let Some(seconds) = retry_after(error) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Redirects to an owner's new name. The redirect is temporary, because the old name may be taken by another owner. It
/// has no host: at another one, clients drop their credential.
fn redirect(path: &str) -> HttpResponse {
    HttpResponse::TemporaryRedirect()
        .insert_header((header::LOCATION, path))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}

/// An error as JSON: Gitea's two fields, and a code that stays the same when the message is improved.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub struct Problem {
    /// One line for people.
    message: String,
    /// The address of the API's documentation.
    url: String,
    /// A code for programs.
    code: String,
    /// The ID of the request, as in the header `X-Request-Id`; the server's log has it too.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,128}$")]
    request_id: String,
}

/// One line for people, in the wanted format. If the server is to blame, the line has the ID of the request, so that
/// the operator finds the cause in the log.
pub fn line(id: &RequestId, status: StatusCode, code: &str, message: &str, shape: Shape, root: &str) -> HttpResponse {
    // A message may name a value from the request.
    let message = visible(message);
    let mut builder = HttpResponse::build(status);
    builder.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    builder.insert_header((header::CACHE_CONTROL, "no-store"));
    match shape {
        Shape::Text => {
            let text = match status {
                StatusCode::INTERNAL_SERVER_ERROR => format!("{message} (request id {id})\n"),
                _ => format!("{message}\n"),
            };
            builder.content_type("text/plain; charset=utf-8").body(text)
        }
        Shape::Json => builder.json(Problem {
            message: message.into_owned(),
            url: format!("{root}/api/swagger"),
            code: code.to_owned(),
            request_id: id.to_string(),
        }),
    }
}
