//! The last layer around the handlers: tells the gate when an answer is complete. And the answers that the gate gives
//! itself, to what no handler ever sees.

use super::Exchange;
use super::framing::Refusal;
use crate::domain::clock::Clock;
use crate::domain::request_id::RequestId;
use actix_http::Request;
use actix_web::Error;
use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Response, Service, ServiceFactory, ServiceResponse};
use actix_web::http::{ConnectionType, StatusCode, Version};
use bytes::{Bytes, BytesMut};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The refusal of a header section that takes too long.
pub const TOO_SLOW: Refusal =
    Refusal { status: StatusCode::REQUEST_TIMEOUT, message: "the headers of the request took too long" };

/// The refusal of empty lines without a request.
pub const EMPTY: Refusal =
    Refusal { status: StatusCode::BAD_REQUEST, message: "only empty lines came instead of a request" };

/// A body that tells the gate when it is dropped: then the whole answer was handed to actix, or never will be.
pub struct Answer<B> {
    body: EitherBody<B>,
    exchange: Option<Exchange>,
}

impl<B: MessageBody + Unpin + 'static> MessageBody for Answer<B> {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(cx).map_err(Into::into)
    }
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        if let Some(exchange) = &self.exchange {
            exchange.set_answered();
        }
    }
}

/// Wraps the handlers of all requests, so that the gate knows when each one is answered.
pub fn one_at_a_time<F, B>(
    handlers: F,
) -> impl ServiceFactory<
    Request,
    Config = F::Config,
    Response = Response<Answer<B>>,
    Error = F::Error,
    InitError = F::InitError,
>
where
    F: ServiceFactory<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + Unpin + 'static,
{
    actix_service::apply_fn_factory(handlers, |request: Request, handlers: &F::Service| {
        let exchange = request.conn_data::<Exchange>().cloned();
        let version = request.head().version;
        let answered = handlers.call(request);
        async move {
            let mut response = match answered.await {
                Ok(response) => Response::from(response).map_body(|_, body| EitherBody::left(body)),
                Err(error) => {
                    Response::<BoxBody>::from(error.error_response()).map_body(|_, body| EitherBody::right(body))
                }
            };
            let head = response.head_mut();
            // actix takes the head from a pool, with the version of the answer before. It sets the version only when it
            // writes the head, and takes an answer to HTTP/1.0 for a closing one.
            head.version = Version::HTTP_11;
            if exchange.as_ref().is_some_and(Exchange::is_malformed) {
                head.set_connection_type(ConnectionType::Close);
            }
            if version < Version::HTTP_11 && matches!(response.body().size(), BodySize::Stream) {
                // HTTP/1.0 knows no chunks: such a body ends with the connection.
                let head = response.head_mut();
                head.no_chunking(true);
                head.set_connection_type(ConnectionType::Close);
            }
            if let Some(exchange) = &exchange
                && response.head().connection_type() == ConnectionType::Close
            {
                exchange.set_closes();
            }
            Ok(response.map_body(|_, body| Answer { body, exchange }))
        }
    })
}

/// Whether the head of an answer, as actix writes it, says that the connection closes.
pub fn is_last(answer: &[u8]) -> bool {
    let mut lines = answer.split(|byte| *byte == b'\n').take_while(|line| line != b"\r");
    lines.any(|line| line == b"connection: close\r")
}

/// An answer of the gate: one line of text, after which the connection closes.
pub fn last_words(refusal: Refusal) -> BytesMut {
    let Refusal { status, message } = refusal;
    let id = RequestId::new(rand::random());
    tracing::info!(request_id = %id, status = status.as_u16(), "refused a connection: {message}");
    let reason = status.canonical_reason().unwrap_or_default();
    let retry = if status == StatusCode::SERVICE_UNAVAILABLE { "retry-after: 5\r\n" } else { "" };
    let date = httpdate::fmt_http_date(Clock::system().now().into());
    let length = message.len() + 1;
    let answer = format!(
        "HTTP/1.1 {} {reason}\r\ndate: {date}\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {length}\r\n{retry}x-content-type-options: nosniff\r\nx-request-id: {id}\r\n\r\n{message}\n",
        status.as_u16(),
    );
    BytesMut::from(answer.as_bytes())
}
