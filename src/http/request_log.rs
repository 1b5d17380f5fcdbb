//! The line that each request leaves in the log, and what its handler adds to it.

use crate::domain::request_id::RequestId;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpMessage, HttpRequest};
use bytes::Bytes;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tracing::Span;

/// What the log line of a request says beyond its head and its answer.
#[derive(Debug)]
pub struct RequestLog {
    /// Which request.
    pub id: RequestId,
    /// Who is behind the request.
    pub client: Option<IpAddr>,
    /// Whose packages.
    pub owner: Option<String>,
    /// Which user.
    pub actor: Option<String>,
    /// Bytes of its body that were taken.
    pub received: u64,
}

impl RequestLog {
    /// For a request that begins.
    pub fn new(id: RequestId, client: Option<IpAddr>) -> Self {
        Self { id, client, owner: None, actor: None, received: 0 }
    }
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

/// The ID of a request. Each has one from its first step on.
pub fn request_id(req: &HttpRequest) -> RequestId {
    let known = req.extensions().get::<RequestLog>().map(|log| log.id.clone());
    known.unwrap_or_else(|| RequestId::new(rand::random()))
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
    /// What happens while the body is sent is the request's too.
    span: Span,
}

impl LoggedBody {
    /// Gives a response its log line; the request arrived at `started`, and what it logs is in `span`.
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
        let route = request.match_pattern();
        let route = route.as_deref().unwrap_or("none");
        let seconds = started.elapsed().as_secs_f64();
        let extensions = request.extensions();
        let Some(log) = extensions.get::<RequestLog>() else { return };
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
