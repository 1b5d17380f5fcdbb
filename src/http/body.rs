//! A request's body, with a deadline: it must go on, and on average not too slowly.

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

/// A body that the request holds too, until its answer is sent.
#[derive(Clone)]
struct Held(Rc<RefCell<Payload>>);

impl Stream for Held {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(cx)
    }
}

/// Holds a chunked body until its answer is sent, whoever drops it before. What is left of a dropped one actix reads to
/// its end, however long that takes, and may fall asleep over it (seen in actix-http 3.20 with a full read buffer); of
/// one that is held it reads for a short time and closes, as it does where a length was declared.
pub fn hold(req: &mut ServiceRequest) {
    if req.headers().contains_key(header::TRANSFER_ENCODING) {
        let held = Held(Rc::new(RefCell::new(req.take_payload())));
        req.set_payload(Payload::Stream { payload: Box::pin(held.clone()) });
        req.extensions_mut().insert(held);
    }
}

/// What a body is given.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Longest time without a byte.
    pub stall: Duration,
    /// Least average of bytes a second, asked for once a body has lasted longer than `stall`.
    pub least_rate: u64,
}

/// A body that keeps its pace: a stream that ends with [`PayloadError::Incomplete`] where the sender does not.
pub struct PacedBody<S> {
    stream: Pin<Box<S>>,
    pace: Pace,
    started: Instant,
    received: u64,
    stalled: Pin<Box<Sleep>>,
}

impl<S: Stream<Item = Result<Bytes, PayloadError>>> PacedBody<S> {
    /// Begins to read.
    pub fn new(stream: S, pace: Pace) -> Self {
        let stalled = Box::pin(tokio::time::sleep(pace.stall));
        Self { stream: Box::pin(stream), pace, started: Instant::now(), received: 0, stalled }
    }

    /// The next chunk, `None` at the proper end.
    ///
    /// # Errors
    /// [`Error::Aborted`] when the body ended early, stood still or trickled.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        StreamExt::next(self).await.transpose().map_err(|_| Error::Aborted)
    }

    /// All of a body that is kept in memory; `None` of one that has more bytes than this.
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

/// An error of a body's stream, sorted: the client went away, or sent what is no form.
pub struct BodyError(pub Error);

impl From<PayloadError> for BodyError {
    fn from(_: PayloadError) -> Self {
        Self(Error::Aborted)
    }
}

impl From<actix_multipart::MultipartError> for BodyError {
    fn from(error: actix_multipart::MultipartError) -> Self {
        match error {
            actix_multipart::MultipartError::Payload(_) => Self(Error::Aborted),
            other => Self(Error::invalid("body", format!("this multipart/form-data cannot be read: {other}"))),
        }
    }
}
