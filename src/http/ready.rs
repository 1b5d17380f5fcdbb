//! Answers that are rendered once and sent many times: everything but the date and the ID of the request.

use crate::domain::clock::Timestamp;
use crate::domain::request_id::RequestId;
use crate::http::conditional::http_date;
use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::{StatusCode, header};
use bytes::{BufMut, Bytes, BytesMut};
use std::cell::RefCell;

/// A rendered answer.
#[derive(Debug, Clone)]
pub struct ReadyAnswer {
    pub status: StatusCode,
    /// The status line and the headers that stay the same.
    head: Bytes,
    body: Bytes,
}

impl ReadyAnswer {
    /// Renders an answer as actix does, whose body is `body`.
    pub fn of(response: &HttpResponse, body: Bytes) -> Self {
        let status = response.status();
        let mut head = BytesMut::with_capacity(1024);
        let reason = status.canonical_reason().unwrap_or_default();
        head.put_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
        if !matches!(response.body().size(), BodySize::None) {
            head.put_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        for (name, value) in response.headers().iter().filter(|(name, _)| *name != header::DATE) {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                head.put_slice(part);
            }
        }
        Self { status, head: Bytes::copy_from_slice(&head), body }
    }

    /// The bytes of its body.
    pub fn body_bytes(&self) -> u64 {
        self.body.len() as u64
    }

    /// How many bytes it takes without its body.
    pub fn head_bytes(&self) -> usize {
        self.head.len()
    }

    /// Writes the answer to one request.
    pub fn write(&self, now: Timestamp, id: &RequestId, out: &mut BytesMut) {
        out.reserve(self.head.len() + self.body.len() + 128);
        out.put_slice(&self.head);
        out.put_slice(b"date: ");
        with_date(now, |date| out.put_slice(date.as_bytes()));
        out.put_slice(b"\r\nx-request-id: ");
        out.put_slice(id.as_str().as_bytes());
        out.put_slice(b"\r\n\r\n");
        out.put_slice(&self.body);
    }
}

/// Uses the date of a time, which each thread formats once per second.
fn with_date(now: Timestamp, work: impl FnOnce(&str)) {
    thread_local! {
        static LAST: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    LAST.with_borrow_mut(|(second, date)| {
        if *second != now.unix() {
            (*second, *date) = (now.unix(), http_date(now.into()));
        }
        work(date);
    });
}
