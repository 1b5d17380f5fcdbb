//! The log line of each request, and the fields that its handler adds to it.

use super::recent::{Answer, RecentRequests};
use super::segment::route;
use crate::domain::request_id::RequestId;
use crate::domain::text::visible;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpMessage, HttpRequest, web};
use bytes::Bytes;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tracing::Span;

/// The fields of a request's log line that are not in its headers or its response.
#[derive(Debug)]
pub struct RequestLog {
    /// The ID of the request.
    pub id: RequestId,
    /// The client of the request.
    pub client: Option<IpAddr>,
    /// The path as it was sent.
    path: String,
    /// Whether it has other spellings of an address: doubled or trailing slashes, or `.` segments.
    pub is_folded: bool,
    /// The owner that the request is about.
    pub owner: Option<String>,
    /// The user who sent the request.
    pub actor: Option<String>,
    /// The administrator who sent the request as that user.
    pub administrator: Option<String>,
    /// Bytes of the body that were accepted.
    pub received: u64,
    /// Why the server could not do what was asked, if that is its own fault. The error has its own log line.
    pub cause: Option<String>,
}

impl RequestLog {
    /// The fields at the start of a request.
    pub fn new(id: RequestId, client: Option<IpAddr>, path: &str) -> Self {
        let path = path.to_owned();
        Self {
            id,
            client,
            path,
            is_folded: false,
            owner: None,
            actor: None,
            administrator: None,
            received: 0,
            cause: None,
        }
    }
}

/// Sets fields of a request's log line.
pub fn log_fields(req: &HttpRequest, set: impl FnOnce(&mut RequestLog)) {
    if let Some(log) = req.extensions_mut().get_mut::<RequestLog>() {
        set(log);
    }
}

/// The client of a request.
pub fn client(req: &HttpRequest) -> Option<IpAddr> {
    req.extensions().get::<RequestLog>().and_then(|log| log.client)
}

/// The path of a request as it was sent: with doubled and trailing slashes, and with the base path of the site if the
/// proxy keeps it.
pub fn path_as_sent(req: &HttpRequest) -> String {
    let sent = req.extensions().get::<RequestLog>().map(|log| log.path.clone());
    sent.unwrap_or_else(|| req.uri().path().to_owned())
}

/// The ID of a request. Every request has one from the start.
pub fn request_id(req: &HttpRequest) -> RequestId {
    let known = req.extensions().get::<RequestLog>().map(|log| log.id.clone());
    known.unwrap_or_else(|| RequestId::new(rand::random()))
}

/// The facts that are known when the response starts.
struct Answered {
    request: HttpRequest,
    status: StatusCode,
    started: Instant,
}

/// A response's body that writes the request's log line at its end: only then is the number of sent bytes known.
pub struct LoggedBody {
    body: BoxBody,
    size: BodySize,
    sent: u64,
    complete: bool,
    answer: Option<Answered>,
    /// Log lines that are written while the body is sent belong to the request too.
    span: Span,
}

impl LoggedBody {
    /// Wraps a response so that it writes its log line. The request arrived at `started`, and its log lines are in
    /// `span`.
    pub fn wrap(response: ServiceResponse<BoxBody>, started: Instant, span: Span) -> ServiceResponse<Self> {
        let answer = Answered { request: response.request().clone(), status: response.status(), started };
        response.map_body(|_, body| Self {
            size: body.size(),
            body,
            sent: 0,
            complete: false,
            answer: Some(answer),
            span,
        })
    }
}

impl MessageBody for LoggedBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        let _entered = this.span.enter();
        let polled = Pin::new(&mut this.body).poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(chunk))) => this.sent += u64::try_from(chunk.len()).unwrap_or_default(),
            Poll::Ready(None) => this.complete = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }
}

impl Drop for LoggedBody {
    fn drop(&mut self) {
        let Some(Answered { request, status, started }) = self.answer.take() else { return };
        let _entered = self.span.enter();
        let whole = match self.size {
            BodySize::None | BodySize::Sized(0) => true,
            BodySize::Sized(size) => self.sent == size || request.method() == Method::HEAD,
            BodySize::Stream => self.complete,
        };
        let (route, took) = (route(&request), started.elapsed());
        let extensions = request.extensions();
        let Some(log) = extensions.get::<RequestLog>() else { return };
        let answered = AnsweredRequest {
            id: &log.id,
            method: request.method(),
            route: &route,
            path: &log.path,
            status,
            owner: log.owner.as_deref(),
            actor: log.actor.as_deref(),
            administrator: log.administrator.as_deref(),
            client: log.client,
            received: log.received,
            sent: self.sent,
            took,
            is_cut: !whole,
            cause: log.cause.as_deref(),
        };
        RequestMetrics::new(answered.method, &route, status).record(&answered);
        if let Some(recent) = request.app_data::<web::Data<RecentRequests>>() {
            recent.note(&answered.as_recent(), took);
        }
        answered.log();
    }
}

/// A request that was answered, for its log line, the metrics and the administration.
#[derive(Debug, Clone, Copy)]
pub struct AnsweredRequest<'a> {
    pub id: &'a RequestId,
    pub method: &'a Method,
    pub route: &'a str,
    /// As it was sent, without the query, which may contain a secret.
    pub path: &'a str,
    pub status: StatusCode,
    pub owner: Option<&'a str>,
    pub actor: Option<&'a str>,
    pub administrator: Option<&'a str>,
    pub client: Option<IpAddr>,
    /// Bytes of the request's body.
    pub received: u64,
    /// Bytes of the answer's body.
    pub sent: u64,
    pub took: Duration,
    /// Whether the answer ended early.
    pub is_cut: bool,
    pub cause: Option<&'a str>,
}

impl<'a> AnsweredRequest<'a> {
    /// The answer for the administration.
    pub fn as_recent(&self) -> Answer<'a> {
        let Self { id, status, method, path, actor, cause, .. } = *self;
        Answer { id, status, method, path, actor, cause }
    }

    /// Writes the log line. Its ID is a field: a span for it would take as long as all the rest.
    pub fn log(&self) {
        tracing::info!(
            parent: None,
            request_id = %self.id,
            method = %self.method,
            route = self.route,
            path = &*visible(self.path),
            status = self.status.as_u16(),
            owner = self.owner,
            actor = self.actor,
            administrator = self.administrator,
            client = self.client.map(tracing::field::display),
            received = self.received,
            sent = self.sent,
            ms = (self.took.as_secs_f64() * 10_000.0).round() / 10.0,
            cut = self.is_cut.then_some(true),
            "request"
        );
    }
}

/// The metrics of the requests with the same method, route and status. To find them by their labels takes longer than to
/// count a request.
pub struct RequestMetrics {
    requests: metrics::Counter,
    seconds: metrics::Histogram,
    sent: metrics::Counter,
    received: metrics::Counter,
}

impl RequestMetrics {
    pub fn new(method: &Method, route: &str, status: StatusCode) -> Self {
        let method = metric_method(method);
        Self {
            requests: metrics::counter!("packhouse_requests_total",
                "method" => method, "route" => route.to_owned(), "status" => status.as_str().to_owned()),
            seconds: metrics::histogram!("packhouse_request_seconds", "method" => method, "route" => route.to_owned()),
            sent: metrics::counter!("packhouse_sent_bytes_total"),
            received: metrics::counter!("packhouse_received_bytes_total"),
        }
    }

    /// Counts a request.
    pub fn record(&self, answered: &AnsweredRequest<'_>) {
        self.requests.increment(1);
        self.seconds.record(answered.took.as_secs_f64());
        self.sent.increment(answered.sent);
        self.received.increment(answered.received);
    }
}

/// The method as a label. All unusual methods share one label, because otherwise a client could create metrics without
/// end.
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
