//! What happens to every request before and after its handler: limits on its head, one spelling of its path, a panic
//! caught, and the line in the log that says what it was.

use super::body;
use super::connections::Connections;
use super::problem::{self, Shape};
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header;
use actix_web::http::uri::{PathAndQuery, Uri};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::FutureExt;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// Most bytes in a request's target.
const MAX_TARGET: usize = 8 << 10;
/// Most bytes in a request's header fields, names and values.
const MAX_HEAD: usize = 16 << 10;
/// Most header fields.
const MAX_FIELDS: usize = 64;

/// What the log line of a request says beyond its head and its answer.
#[derive(Debug, Default)]
pub struct RequestLog {
    /// Who is behind the request.
    pub client: Option<IpAddr>,
    /// Whose packages.
    pub owner: Option<String>,
    /// Which user.
    pub actor: Option<String>,
    /// Bytes of its body that were taken.
    pub received: u64,
}

/// Sets fields of a request's log line.
pub fn log_fields(req: &HttpRequest, set: impl FnOnce(&mut RequestLog)) {
    if let Some(log) = req.extensions_mut().get_mut::<RequestLog>() {
        set(log);
    }
}

/// Who is behind a request.
pub fn client(req: &HttpRequest) -> Option<IpAddr> {
    req.extensions().get::<RequestLog>().and_then(|log| log.client)
}

/// What the middleware needs to know.
#[derive(Clone)]
pub struct Guard {
    pub connections: Arc<Connections>,
    /// Whether the server is on its way out: connections are then closed after their answer.
    pub draining: Arc<dyn Fn() -> bool + Send + Sync>,
    /// The site's own address, for links in errors.
    pub root: Arc<str>,
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
    let client = guard.connections.client(req.peer_addr().map(|peer| peer.ip()), req.headers());
    req.extensions_mut().insert(RequestLog { client, ..RequestLog::default() });
    fold_path(&mut req);
    body::hold(&mut req);
    let shape = Shape::of(req.request());
    let mut response = match refusal(&req, &guard) {
        Some(response) => {
            // The body is not read: whoever sends it is told and cut off.
            drop(req.take_payload());
            req.into_response(response)
        }
        // The request may not be shared before it is routed, so nothing of it is left when its handler panics.
        None => match AssertUnwindSafe(next.call(req)).catch_unwind().await {
            Ok(response) => response?.map_into_boxed_body(),
            Err(_) => {
                tracing::error!(ms = started.elapsed().as_millis(), "a handler panicked; its request was answered 500");
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                let response = problem::line(status, "internal", "internal error", shape, &guard.root);
                return Err(InternalError::from_response("a handler panicked", response).into());
            }
        },
    };
    if (guard.draining)() {
        // A `Connection` field among the headers would be passed over: actix writes it from this alone.
        response.response_mut().head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
    }
    let answer = Answered { request: response.request().clone(), status: response.status(), started };
    let logged = |body: BoxBody| LoggedBody { size: body.size(), body, sent: 0, complete: false, answer: Some(answer) };
    Ok(response.map_body(|_, body| logged(body)))
}

/// The path of a request before it was folded.
struct PathAsSent(String);

/// The path of a request as it was sent, with its doubled slashes and the one at its end.
pub fn path_as_sent(req: &HttpRequest) -> String {
    let sent = req.extensions().get::<PathAsSent>().map(|sent| sent.0.clone());
    sent.unwrap_or_else(|| req.uri().path().to_owned())
}

/// Folds doubled slashes and a trailing one, before routing. Percent-encoded ones are left alone: they are data.
fn fold_path(req: &mut ServiceRequest) {
    let path = req.uri().path();
    if !path.contains("//") && (path.len() < 2 || !path.ends_with('/')) {
        return;
    }
    let folded: String = path.split('/').filter(|segment| !segment.is_empty()).flat_map(|s| ["/", s]).collect();
    let folded = if folded.is_empty() { "/".to_owned() } else { folded };
    let target = match req.uri().query() {
        Some(query) => format!("{folded}?{query}"),
        None => folded,
    };
    let sent = PathAsSent(path.to_owned());
    req.extensions_mut().insert(sent);
    let mut parts = req.uri().clone().into_parts();
    parts.path_and_query = PathAndQuery::from_maybe_shared(Bytes::from(target)).ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        req.match_info_mut().get_mut().update(&uri);
        req.head_mut().uri = uri;
    }
}

/// What is refused by its head alone.
fn refusal(req: &ServiceRequest, guard: &Guard) -> Option<HttpResponse> {
    let say = |status, code, message: &str| {
        let mut response = problem::line(status, code, message, Shape::of(req.request()), &guard.root);
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
        let message = "the header fields are more than 64, or longer than 16384 bytes";
        return say(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", message);
    }
    let has_body = headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING);
    // Actix takes what follows such a head for another protocol, whatever Content-Length says.
    if headers.contains_key(header::UPGRADE) && (has_body || !matches!(*req.method(), Method::GET | Method::HEAD)) {
        return say(StatusCode::BAD_REQUEST, "upgrade", "Upgrade is not possible here: leave the field out");
    }
    None
}

/// What is known of a request when its answer begins.
struct Answered {
    request: HttpRequest,
    status: StatusCode,
    started: Instant,
}

/// A response's body that writes the request's log line at its end: only then is it known how many bytes went out.
pub struct LoggedBody {
    body: BoxBody,
    size: BodySize,
    sent: u64,
    complete: bool,
    answer: Option<Answered>,
}

impl MessageBody for LoggedBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(chunk))) => self.sent += u64::try_from(chunk.len()).unwrap_or_default(),
            Poll::Ready(None) => self.complete = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }
}

impl Drop for LoggedBody {
    fn drop(&mut self) {
        let Some(Answered { request, status, started }) = self.answer.take() else { return };
        let whole = match self.size {
            BodySize::None | BodySize::Sized(0) => true,
            BodySize::Sized(size) => self.sent == size || request.method() == Method::HEAD,
            BodySize::Stream => self.complete,
        };
        let route = request.match_pattern();
        let route = route.as_deref().unwrap_or("none");
        let seconds = started.elapsed().as_secs_f64();
        let extensions = request.extensions();
        let nothing = RequestLog::default();
        let log = extensions.get::<RequestLog>().unwrap_or(&nothing);
        let method = metric_method(request.method());
        metrics::counter!("packhouse_requests_total",
            "method" => method, "route" => route.to_owned(), "status" => status.as_str().to_owned())
        .increment(1);
        metrics::histogram!("packhouse_request_seconds", "method" => method, "route" => route.to_owned())
            .record(seconds);
        metrics::counter!("packhouse_sent_bytes_total").increment(self.sent);
        metrics::counter!("packhouse_received_bytes_total").increment(log.received);
        tracing::info!(
            method = %request.method(),
            route,
            // Without the query: a secret may have been put there.
            path = request.uri().path(),
            status = status.as_u16(),
            owner = log.owner.as_deref(),
            actor = log.actor.as_deref(),
            client = log.client.map(tracing::field::display),
            received = log.received,
            sent = self.sent,
            ms = (seconds * 10_000.0).round() / 10.0,
            cut = (!whole).then_some(true),
            "request"
        );
    }
}

/// The method as a label; anything unusual is one, or a client could make metrics without end.
fn metric_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
