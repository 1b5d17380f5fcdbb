//! A request's body, with limits on how long it may pause and how slow it may be on average.

use super::gate::Exchange;
use crate::error::{Error, Result};
use actix_web::HttpMessage;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::header;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;

/// A body that the request keeps too, until its answer is sent.
#[derive(Clone)]
struct Held {
    payload: Rc<RefCell<Payload>>,
    exchange: Option<Exchange>,
}

impl Stream for Held {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(exchange) = &self.exchange else { return Pin::new(&mut *self.payload.borrow_mut()).poll_next(cx) };
        exchange.want_body();
        let polled = Pin::new(&mut *self.payload.borrow_mut()).poll_next(cx);
        polled.map_err(|error| if exchange.is_malformed() { PayloadError::EncodingCorrupted } else { error })
    }
}

/// Keeps a chunked body until the answer is sent, whatever else drops it before. Actix reads the rest of a dropped body
/// to its end, however long that takes, and may hang while it does so (seen in actix-http 3.20 with a full read
/// buffer). If the body is kept, actix reads for a short time and closes the connection, as it does when a length was
/// declared.
///
/// Also tells the connection's gate when the handler begins to read, for a client that waits for `100 Continue`.
pub fn hold(req: &mut ServiceRequest) {
    if req.headers().contains_key(header::TRANSFER_ENCODING) || req.headers().contains_key(header::EXPECT) {
        let payload = Rc::new(RefCell::new(req.take_payload()));
        let held = Held { payload, exchange: req.request().conn_data::<Exchange>().cloned() };
        req.set_payload(Payload::Stream { payload: Box::pin(held.clone()) });
        req.extensions_mut().insert(held);
    }
}

/// The limits on the pace of a body.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The longest time without a byte.
    pub stall: Duration,
    /// The lowest average rate in bytes per second, checked once a body takes longer than `stall`.
    pub least_rate: u64,
}

/// A body with a limit on its pace: a stream that ends with [`PayloadError::Incomplete`] if the sender is too slow.
pub struct PacedBody<S> {
    stream: Pin<Box<S>>,
    pace: Pace,
    started: Instant,
    received: u64,
    stalled: Pin<Box<Sleep>>,
}

impl<S: Stream<Item = Result<Bytes, PayloadError>>> PacedBody<S> {
    /// Starts to read.
    pub fn new(stream: S, pace: Pace) -> Self {
        let stalled = Box::pin(tokio::time::sleep(pace.stall));
        Self { stream: Box::pin(stream), pace, started: Instant::now(), received: 0, stalled }
    }

    /// The next chunk; `None` at the proper end.
    ///
    /// # Errors
    /// [`Error::Aborted`] when the body ended early, stalled or was too slow; [`Error::Invalid`] when its chunks are
    /// malformed.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        StreamExt::next(self).await.transpose().map_err(|error| BodyError::from(error).0)
    }

    /// The whole body, kept in memory; `None` if it has more bytes than this.
    ///
    /// # Errors
    /// As [`PacedBody::next`].
    pub async fn read_up_to(mut self, most: usize) -> Result<Option<Vec<u8>>> {
        let mut all = Vec::new();
        while let Some(chunk) = self.next().await? {
            if all.len() + chunk.len() > most {
                return Ok(None);
            }
            all.extend_from_slice(&chunk);
        }
        Ok(Some(all))
    }

    fn trickles(&mut self, chunk: &Bytes) -> bool {
        self.received += u64::try_from(chunk.len()).unwrap_or_default();
        let lasted = self.started.elapsed();
        lasted > self.pace.stall && self.received < self.pace.least_rate.saturating_mul(lasted.as_secs())
    }
}

impl<S: Stream<Item = Result<Bytes, PayloadError>>> Stream for PacedBody<S> {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.stream.as_mut().poll_next(cx) {
            Poll::Ready(Some(Ok(chunk))) => {
                let deadline = tokio::time::Instant::now() + self.pace.stall;
                self.stalled.as_mut().reset(deadline);
                let trickles = self.trickles(&chunk);
                Poll::Ready(Some(if trickles { Err(PayloadError::Incomplete(None)) } else { Ok(chunk) }))
            }
            Poll::Pending => self.stalled.as_mut().poll(cx).map(|()| Some(Err(PayloadError::Incomplete(None)))),
            ended => ended,
        }
    }
}

/// Checks that the fields of an urlencoded form are UTF-8. The crate that reads them would replace other bytes, and two
/// names or passwords would become one.
///
/// # Errors
/// [`Error::Invalid`].
pub fn demand_utf8_form(text: &[u8]) -> Result<()> {
    let decoded = percent_encoding::percent_decode(text).decode_utf8();
    decoded.map(drop).map_err(|_| Error::invalid("body", "the text of the form is not UTF-8"))
}

/// Classifies an error of a body's stream: the client disconnected, or sent malformed chunks or an invalid form.
pub struct BodyError(pub Error);

impl From<PayloadError> for BodyError {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::EncodingCorrupted => Self(Error::invalid("body", "the chunks of this body are malformed")),
            _ => Self(Error::Aborted),
        }
    }
}

/// Checks that a part of a form has no `Content-Length`, which forms must not have (RFC 7578 §4.8): the parser would
/// believe it, and a wrong one would store other bytes than were sent.
///
/// # Errors
/// [`Error::Invalid`].
pub fn demand_no_length(part: &actix_multipart::Field) -> Result<(), BodyError> {
    match part.headers().contains_key(header::CONTENT_LENGTH) {
        true => Err(BodyError(Error::invalid(
            "body",
            "a part of the form has a Content-Length, which forms must not have: leave it out, or send the file as the body",
        ))),
        false => Ok(()),
    }
}

impl From<actix_multipart::MultipartError> for BodyError {
    fn from(error: actix_multipart::MultipartError) -> Self {
        match error {
            actix_multipart::MultipartError::Payload(PayloadError::Overflow) => {
                Self(Error::invalid("body", "this multipart/form-data cannot be read: a part has no end of its header"))
            }
            actix_multipart::MultipartError::Payload(error) => error.into(),
            other => Self(Error::invalid("body", format!("this multipart/form-data cannot be read: {other}"))),
        }
    }
}
