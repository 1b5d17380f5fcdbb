//! Answers requests for a blob: whole, in ranges, or without a body where conditions say so.
//!
//! This replaces `actix_files::NamedFile`: the ETag is the digest, the bytes may come from an object store, and they
//! are verified while they are sent. A blob that turns out to be damaged ends the body with an error, and actix then
//! cuts the connection before its `Content-Length`.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, HttpResponseBuilder};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::conditional::{Validators, Verdict, http_date, judge, range_holds};
use super::cors::{ANY_ORIGIN, EXPOSED};
use super::disposition::attachment;
use super::preferred_digest::wants_digest;
use super::problem::{Shape, line};
use super::range::{Selection, select};
use super::redirected;
use super::standing::StandingHeaders;
use crate::domain::digest::Sha512;
use crate::domain::request_id::RequestId;
use crate::error::Error;
use crate::storage::{BlobReader, BlobStore, StoreError, Stored};

/// The content security policy for a browser that displays a file: everything is forbidden.
pub const INERT: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

/// A body of up to this many bytes, 64 KiB, is sent as one piece, in one write with its header.
const ONE_PIECE: u64 = 64 << 10;

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// A file to send.
#[derive(Debug, Clone)]
pub struct BlobToServe<'a> {
    /// The blob.
    pub blob: Stored,
    /// The file name to save it under.
    pub file_name: &'a str,
    /// When the file was uploaded.
    pub last_modified: SystemTime,
    /// Whether no other content was at this address in the second of the upload, and that second is over.
    pub date_is_strong: bool,
    /// The time of the answer.
    pub now: SystemTime,
    /// The SHA-512, if the client prefers it to the SHA-256.
    pub sha512: Option<Sha512>,
    /// Whether anonymous readers may see the file, shared caches may store it, and scripts of other sites may read it.
    pub public: bool,
    /// How the version of the file stands.
    pub standing: StandingHeaders,
    /// The whole content, when the caller has read and verified it already.
    pub small: Option<Bytes>,
    /// The file's address on this site, if the client may be sent to the object store.
    pub redirects_from: Option<String>,
}

/// An answer, and whether it counts for the statistics.
#[derive(Debug)]
pub struct Served {
    pub response: HttpResponse,
    /// Whether it counts as a download: a GET that sends byte 0 (or an empty file).
    pub counts: bool,
}

/// Answers GET or HEAD for a blob that the caller may read: 200, 206, 304, 412 or 416, each with the headers that keep
/// uploaded content from running in our origin.
///
/// # Errors
/// [`Error::Busy`] when the blob cannot be read, or is found damaged before the answer has started.
pub async fn respond(
    method: &Method,
    headers: &HeaderMap,
    store: &BlobStore,
    file: BlobToServe<'_>,
) -> Result<Served, Error> {
    let etag = format!("\"{}\"", file.blob.sha256);
    let validators = Validators { etag: &etag, last_modified: file.last_modified, date_is_strong: file.date_is_strong };
    let wants_digest = wants_digest(headers);
    match judge(headers, validators) {
        Verdict::Failed => return Ok(not_counted(refusal(StatusCode::PRECONDITION_FAILED, &file, &etag))),
        Verdict::NotModified => return Ok(not_counted(not_modified(&file, &etag, wants_digest))),
        Verdict::Proceed => {}
    }
    // Range applies to GET only (RFC 9110 §14.2), and a second Range header makes both invalid.
    let mut asked = headers.get_all(header::RANGE);
    let selection = match (asked.next(), asked.next()) {
        (Some(value), None) if method == Method::GET && range_holds(headers, validators) => {
            value.to_str().map_or(Selection::Whole, |value| select(value, file.blob.size))
        }
        _ => Selection::Whole,
    };
    let size = file.blob.size;
    let counts = method == Method::GET && sends_first_byte(&selection);
    let has_bytes = !matches!(selection, Selection::Unsatisfiable);
    if let Some(own) = file.redirects_from.as_deref().filter(|_| method == Method::GET && has_bytes)
        && let Some(address) = redirected::address(store, &file.blob, file.file_name).await?
    {
        let mut response = described(StatusCode::TEMPORARY_REDIRECT, &file, &etag, wants_digest).finish();
        redirected::lead(&mut response, &address, own);
        return Ok(Served { response, counts });
    }
    let response = match selection {
        Selection::Unsatisfiable => {
            let mut response = refusal(StatusCode::RANGE_NOT_SATISFIABLE, &file, &etag);
            insert(&mut response, header::CONTENT_RANGE, &format!("bytes */{size}"));
            response
        }
        Selection::Whole => {
            let response = head(StatusCode::OK, &file, &etag, wants_digest);
            if method == Method::HEAD {
                response.set_body(Promised(size)).map_into_boxed_body()
            } else {
                with_body(response, store, file, vec![Part::Blob(0..size)]).await?
            }
        }
        Selection::One(range) => {
            let mut response = head(StatusCode::PARTIAL_CONTENT, &file, &etag, wants_digest);
            insert(&mut response, header::CONTENT_RANGE, &content_range(&range, size));
            with_body(response, store, file, vec![Part::Blob(range)]).await?
        }
        Selection::Many(ranges) => {
            let boundary = format!("{:032x}", rand::random::<u128>());
            let mut response = head(StatusCode::PARTIAL_CONTENT, &file, &etag, wants_digest);
            let kind = format!("multipart/byteranges; boundary={boundary}");
            insert(&mut response, header::CONTENT_TYPE, &kind);
            with_body(response, store, file, multipart(&ranges, &boundary, size)).await?
        }
    };
    Ok(Served { response, counts })
}

fn not_counted(response: HttpResponse) -> Served {
    Served { response, counts: false }
}

fn sends_first_byte(selection: &Selection) -> bool {
    match selection {
        Selection::Whole => true,
        Selection::Unsatisfiable => false,
        Selection::One(range) => range.start == 0,
        Selection::Many(ranges) => ranges.iter().any(|range| range.start == 0),
    }
}

/// The headers of every answer, including errors and 304.
fn protected(status: StatusCode, file: &BlobToServe<'_>, etag: &str) -> HttpResponseBuilder {
    const PUBLIC: &str = "public, max-age=0, must-revalidate, no-transform";
    /// For files that never change and that everybody may read.
    const IMMUTABLE: &str = "public, max-age=31536000, immutable, no-transform";
    const PRIVATE: &str = "private, max-age=0, must-revalidate, no-transform";
    const SHA256: HeaderName = HeaderName::from_static("x-checksum-sha256");
    let mut builder = HttpResponse::build(status);
    let fixed = |value: &'static str| HeaderValue::from_static(value);
    let caching = match (file.public, file.standing.immutable) {
        (true, true) => IMMUTABLE,
        (true, false) => PUBLIC,
        (false, _) => PRIVATE,
    };
    let mut standing = HeaderMap::new();
    file.standing.insert(&mut standing);
    builder
        .insert_header((header::CONTENT_DISPOSITION, attachment(file.file_name)))
        .insert_header((SHA256, file.blob.sha256.to_hex()))
        .insert_header((header::ETAG, etag))
        // Otherwise actix writes a date that may be half a second old, and so earlier than the upload.
        .insert_header((header::DATE, http_date(file.now)))
        // Another server's clock may be ahead (RFC 9110 §8.8.2.1).
        .insert_header((header::LAST_MODIFIED, http_date(file.last_modified.min(file.now))))
        .insert_header((header::CACHE_CONTROL, fixed(caching)))
        .insert_header((header::ACCEPT_RANGES, fixed("bytes")))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")))
        .insert_header((header::CONTENT_SECURITY_POLICY, fixed(INERT)))
        .insert_header((header::CROSS_ORIGIN_RESOURCE_POLICY, fixed("same-origin")));
    if file.public {
        builder.insert_header(ANY_ORIGIN).insert_header(EXPOSED);
    }
    for header in standing {
        builder.append_header(header);
    }
    builder
}

/// The same with the digests of the file, whether the answer has all of its bytes, a part of them, or none.
fn described(status: StatusCode, file: &BlobToServe<'_>, etag: &str, wants_digest: bool) -> HttpResponseBuilder {
    const DIGEST: HeaderName = HeaderName::from_static("digest");
    let sha256 = STANDARD.encode(file.blob.sha256.as_bytes());
    let mut builder = protected(status, file, etag);
    if wants_digest {
        builder.insert_header((DIGEST, format!("SHA-256={sha256}")));
    }
    let repr_digest = match file.sha512 {
        Some(sha512) => format!("sha-512=:{}:", STANDARD.encode(sha512.as_bytes())),
        None => format!("sha-256=:{sha256}:"),
    };
    builder.insert_header((REPR_DIGEST, repr_digest));
    builder
}

/// The response header of an answer that sends bytes of the file.
fn head(status: StatusCode, file: &BlobToServe<'_>, etag: &str, wants_digest: bool) -> HttpResponse {
    described(status, file, etag, wants_digest)
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")))
        .body(actix_web::body::None::new())
}

/// Without a body, and without the `Content-Length: 0` that an empty body would have.
fn not_modified(file: &BlobToServe<'_>, etag: &str, wants_digest: bool) -> HttpResponse {
    described(StatusCode::NOT_MODIFIED, file, etag, wants_digest).body(actix_web::body::None::new())
}

const ANOTHER_FILE: &str = "the file does not match If-Match or If-Unmodified-Since";
const NO_SUCH_RANGE: &str = "the file has no bytes in the requested range";

/// The file's header with an error message as its body, which has another digest.
fn refusal(status: StatusCode, file: &BlobToServe<'_>, etag: &str) -> HttpResponse {
    let text = if status == StatusCode::PRECONDITION_FAILED { ANOTHER_FILE } else { NO_SUCH_RANGE };
    protected(status, file, etag)
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")))
        .body(format!("{text}\n"))
}

/// Renders an answer of [`respond`] in the client's error format: 412 and 416 as JSON for clients that accept it, with
/// the same headers.
pub fn in_shape(response: HttpResponse, id: &RequestId, shape: Shape, root: &str) -> HttpResponse {
    let (code, text) = match (shape, response.status()) {
        (Shape::Json, StatusCode::PRECONDITION_FAILED) => ("precondition_failed", ANOTHER_FILE),
        (Shape::Json, StatusCode::RANGE_NOT_SATISFIABLE) => ("range_not_satisfiable", NO_SUCH_RANGE),
        _ => return response,
    };
    let mut said = line(id, response.status(), code, text, shape, root);
    for (name, value) in response.headers().iter().filter(|(name, _)| *name != header::CONTENT_TYPE) {
        said.headers_mut().insert(name.clone(), value.clone());
    }
    said
}

fn insert(response: &mut HttpResponse, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The value of `Content-Range` for a part of so many bytes.
pub fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1))
}

/// A piece of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Bytes),
    Blob(Range<u64>),
}

impl Part {
    fn size(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Blob(range) => range.end.saturating_sub(range.start),
        }
    }
}

/// The parts of a `multipart/byteranges` body (RFC 9110 §14.6).
fn multipart(ranges: &[Range<u64>], boundary: &str, size: u64) -> Vec<Part> {
    let mut parts = Vec::with_capacity(2 * ranges.len() + 1);
    for range in ranges {
        let lead = if parts.is_empty() { "" } else { "\r\n" };
        let place = content_range(range, size);
        let kind = "Content-Type: application/octet-stream";
        let text = format!("{lead}--{boundary}\r\n{kind}\r\nContent-Range: {place}\r\n\r\n");
        parts.push(Part::Text(text.into()));
        parts.push(Part::Blob(range.clone()));
    }
    parts.push(Part::Text(format!("\r\n--{boundary}--\r\n").into()));
    parts
}

/// Adds the body. The first chunk is read before the header is sent: an error at that point can still be answered, and
/// a body of one piece is sent with the header.
async fn with_body(
    response: HttpResponse,
    store: &BlobStore,
    file: BlobToServe<'_>,
    parts: Vec<Part>,
) -> Result<HttpResponse, Error> {
    let size = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.size()));
    let first = parts.iter().find_map(|part| match part {
        Part::Blob(range) => Some(range.clone()),
        Part::Text(_) => None,
    });
    let source = match (file.small, first) {
        (Some(contents), _) => Source::Memory(contents),
        (None, Some(range)) => Source::Store(store.reader(file.blob, range).await?),
        (None, None) => Source::Memory(Bytes::new()),
    };
    let mut body = BlobBody { parts: parts.into(), source, entered: true, left: size };
    if size > ONE_PIECE {
        return Ok(response.set_body(body).map_into_boxed_body());
    }
    let mut whole = std::future::poll_fn(|cx| body.poll_part(cx)).await?.unwrap_or_default();
    while let Some(more) = std::future::poll_fn(|cx| body.poll_part(cx)).await? {
        whole = [whole, more].concat().into();
    }
    Ok(response.set_body(whole).map_into_boxed_body())
}

/// A HEAD response's body: empty, with the length that a GET would send.
pub struct Promised(pub u64);

impl MessageBody for Promised {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(None)
    }
}

enum Source {
    Memory(Bytes),
    Store(BlobReader),
}

/// A body of known length, made of texts and ranges of one blob.
struct BlobBody {
    parts: VecDeque<Part>,
    source: Source,
    /// Whether the reader is at the first range already.
    entered: bool,
    /// Bytes still to be sent.
    left: u64,
}

impl BlobBody {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StoreError>> {
        loop {
            let bytes = match (self.parts.front(), &mut self.source) {
                (None, _) => return Poll::Ready(Ok(None)),
                (Some(Part::Text(text)), _) => {
                    let text = text.clone();
                    self.parts.pop_front();
                    text
                }
                (Some(Part::Blob(range)), Source::Memory(contents)) => {
                    let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(contents.len());
                    let bytes = contents.slice(at(range.start)..at(range.end));
                    self.parts.pop_front();
                    bytes
                }
                (Some(Part::Blob(range)), Source::Store(reader)) => {
                    if !self.entered {
                        reader.seek(range.clone());
                        self.entered = true;
                    }
                    let Poll::Ready(chunk) = reader.poll_next(cx)? else { return Poll::Pending };
                    let Some(chunk) = chunk else {
                        self.parts.pop_front();
                        self.entered = false;
                        continue;
                    };
                    chunk
                }
            };
            if !bytes.is_empty() {
                self.left = self.left.saturating_sub(bytes.len() as u64);
                return Poll::Ready(Ok(Some(bytes)));
            }
        }
    }
}

impl MessageBody for BlobBody {
    type Error = StoreError;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.left)
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.poll_part(cx)
            .map(|part| part.inspect_err(|error| tracing::error!(error = %error, "a download was cut off")).transpose())
    }
}
