//! The handling of every request before and after its handler: its ID, limits on its headers, one spelling of its path,
//! catching panics, and its log line.

use super::body;
use super::connections::Connections;
use super::problem::{self, Shape};
use super::recent::{Answer, RecentRequests};
use super::request_log::{LoggedBody, RequestLog, request_id};
use crate::domain::public_url::BasePath;
use crate::domain::request_id::RequestId;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::uri::{PathAndQuery, Uri};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpResponse, web};
use bytes::Bytes;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tracing::Instrument;

/// The most bytes in a request's target.
const MAX_TARGET: usize = 8 << 10;
/// The most bytes in a request's headers, names and values.
const MAX_HEAD: usize = 16 << 10;
/// The most headers.
const MAX_FIELDS: usize = 64;

/// The data that the middleware needs.
#[derive(Clone)]
pub struct Guard {
    pub connections: Arc<Connections>,
    /// Whether the server is shutting down: connections are then closed after their answer.
    pub draining: Arc<dyn Fn() -> bool + Send + Sync>,
    /// The site's own address, for links in errors.
    pub root: Arc<str>,
    /// The path that may be in front of the site's own paths.
    pub base: BasePath,
}

/// The middleware itself.
///
/// # Errors
/// None of its own: the signature is actix's.
pub async fn guard(
    mut req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<LoggedBody>, actix_web::Error> {
    let started = Instant::now();
    let Some(guard) = req.app_data::<web::Data<Guard>>().cloned() else {
        return Err(actix_web::error::ErrorInternalServerError("the guard is not set up"));
    };
    let peer = req.peer_addr().map(|peer| peer.ip());
    let client = guard.connections.client(peer, req.headers());
    let id = guard.connections.is_proxy(peer).then(|| given_id(req.headers())).flatten();
    let id = id.unwrap_or_else(|| RequestId::new(rand::random()));
    // The level of an error, so that the lines carry the ID whatever level the log keeps.
    let span = tracing::error_span!("request", request_id = %id);
    let log = RequestLog::new(id.clone(), client, req.uri().path());
    req.extensions_mut().insert(log);
    fold_path(&mut req);
    strip_base(&mut req, &guard.base);
    body::hold(&mut req);
    let (shape, method, uri) = (Shape::of(req.request()), req.method().clone(), req.uri().clone());
    let recent = req.app_data::<web::Data<RecentRequests>>().cloned();
    // Answers without a log line, which notes the others.
    let note = |status: StatusCode, cause: &str| {
        let answer = Answer { id: &id, status, method: &method, path: uri.path(), actor: None, cause: Some(cause) };
        recent.iter().for_each(|recent| recent.note(&answer, started.elapsed()));
    };
    let mut response = match refusal(&req, &guard) {
        Some(response) => {
            // The body is not read: the client gets the answer and is cut off.
            drop(req.take_payload());
            req.into_response(response)
        }
        // The request must not be shared before it is routed, so nothing of it is left when its handler panics.
        None => match AssertUnwindSafe(async { next.call(req).await }.instrument(span.clone())).catch_unwind().await {
            Ok(Ok(response)) => response.map_into_boxed_body(),
            Ok(Err(error)) => {
                let response = error.error_response();
                note(response.status(), &error.to_string());
                return Err(with_id(error, response, &id));
            }
            Err(_) => {
                let (path, ms) = (uri.path(), started.elapsed().as_millis());
                span.in_scope(
                    || tracing::error!(%method, path, ms, "a handler panicked; its request was answered 500"),
                );
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                note(status, "a handler panicked: the log has the reason");
                let response = problem::line(&id, status, "internal", "internal error", shape, &guard.root);
                return Err(with_id("a handler panicked", response, &id));
            }
        },
    };
    identify(response.headers_mut(), &id);
    if (guard.draining)() {
        // A `Connection` header in the response would be ignored: actix writes it from this setting alone.
        response.response_mut().head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
    }
    Ok(LoggedBody::wrap(response, started, span))
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The ID that a proxy gave the request, if there is exactly one and it is valid.
fn given_id(headers: &HeaderMap) -> Option<RequestId> {
    let mut given = headers.get_all(&X_REQUEST_ID);
    match (given.next(), given.next()) {
        (Some(id), None) => id.to_str().ok()?.parse().ok(),
        _ => None,
    }
}

/// Adds the request's ID to the headers of a response.
fn identify(headers: &mut HeaderMap, id: &RequestId) {
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert(X_REQUEST_ID, value);
    }
}

/// An error whose response has the request's ID.
fn with_id<T>(cause: T, mut response: HttpResponse, id: &RequestId) -> actix_web::Error
where
    T: std::fmt::Debug + std::fmt::Display + 'static,
{
    identify(response.headers_mut(), id);
    InternalError::from_response(cause, response).into()
}

/// Removes doubled and trailing slashes and `.` segments, before routing: clients write `/./` between a base and a
/// relative address, as apt does for flat repositories. Percent-encoded slashes and dots stay, because they are data. So
/// does a `.` at the end, which is the name of no file, and every `..`, which no name allows.
fn fold_path(req: &mut ServiceRequest) {
    let path = req.uri().path();
    if !path.contains("//") && !path.contains("/./") && (path.len() < 2 || !path.ends_with('/')) {
        return;
    }
    let mut segments: Vec<&str> = path.split('/').collect();
    let last = segments.pop().unwrap_or_default();
    let inner = segments.into_iter().filter(|segment| !matches!(*segment, "" | "."));
    let folded: String = inner.chain(Some(last).filter(|last| !last.is_empty())).flat_map(|s| ["/", s]).collect();
    let folded = if folded.is_empty() { "/".to_owned() } else { folded };
    if let Some(log) = req.extensions_mut().get_mut::<RequestLog>() {
        log.is_folded = true;
    }
    route_as(req, folded);
}

/// The address of the metrics. The base path is not removed from it: a proxy that removes the base path and denies
/// `/packages/metrics` would pass `/packages/packages/metrics` on.
const METRICS: &str = "/metrics";

/// Removes the base path of the site, before routing. A proxy may have removed it already.
fn strip_base(req: &mut ServiceRequest, base: &BasePath) {
    let path = base.strip(req.uri().path()).filter(|path| *path != METRICS);
    if let Some(path) = path.map(str::to_owned) {
        route_as(req, path);
    }
}

/// Replaces the path by which a request is routed.
fn route_as(req: &mut ServiceRequest, path: String) {
    let target = match req.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = req.uri().clone().into_parts();
    parts.path_and_query = PathAndQuery::from_maybe_shared(Bytes::from(target)).ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        req.match_info_mut().get_mut().update(&uri);
        req.head_mut().uri = uri;
    }
}

/// The refusal of a request because of its headers alone.
fn refusal(req: &ServiceRequest, guard: &Guard) -> Option<HttpResponse> {
    let say = |status, code, message: &str| {
        let (id, shape) = (request_id(req.request()), Shape::of(req.request()));
        let mut response = problem::line(&id, status, code, message, shape, &guard.root);
        response.head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
        Some(response)
    };
    let target = req.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET {
        return say(StatusCode::URI_TOO_LONG, "uri_too_long", "the URL is longer than 8192 bytes");
    }
    let headers = req.headers();
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if size > MAX_HEAD || headers.len() > MAX_FIELDS {
        let message = "there are more than 64 header fields, or they are longer than 16384 bytes";
        return say(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", message);
    }
    None
}
