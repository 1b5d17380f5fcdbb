//! What scripts of other sites may read: the files that everybody may read without a credential, and nothing else. Web
//! pages that flash firmware need it.

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

/// Any site's scripts may read the answer. Browsers do not accept it for a request with cookies.
pub const ANY_ORIGIN: (HeaderName, HeaderValue) = (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
/// The headers that these scripts may read too, besides those that are always readable, such as `Last-Modified`.
pub const EXPOSED: (HeaderName, HeaderValue) = (
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    HeaderValue::from_static(
        "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, Date, Deprecation, Digest, ETag, Link, \
         Repr-Digest, Sunset, X-Checksum-Sha256, X-Packhouse-Yanked, X-Request-Id",
    ),
);
/// Lets any site's scripts read an answer that was built elsewhere.
pub fn allow_any_origin(headers: &mut HeaderMap) {
    for (name, value) in [ANY_ORIGIN, EXPOSED] {
        headers.insert(name, value);
    }
}

/// The headers of a redirect to an owner's new name that let any site's scripts follow it: none if the request says who
/// sent it, because only without that is everybody redirected like this. Whether the scripts may read what is at the new
/// address is said by its own answer.
pub fn let_follow(req: &HttpRequest) -> &'static [(HeaderName, HeaderValue)] {
    let sent = req.headers();
    let says_who = sent.contains_key(header::AUTHORIZATION) || sent.contains_key(header::COOKIE);
    if says_who { &[] } else { &FOLLOWED }
}

static FOLLOWED: [(HeaderName, HeaderValue); 2] = [ANY_ORIGIN, EXPOSED];

/// The methods that these scripts may use.
const METHODS: &str = "GET, HEAD";
/// The headers that these scripts may send. Without `Authorization`: they get what everybody gets.
const HEADERS: &str = "Range, If-Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, Accept, \
                       Cache-Control, Pragma, Want-Digest, Want-Repr-Digest";
/// How long a browser remembers the answer to a preflight, in seconds: as long as Firefox does at most.
const MAX_AGE: &str = "86400";

/// Answers a browser that asks whether a script of another site may send a request that reads (the "preflight" of the
/// Fetch standard); `None` for any other request. The answer is the same for a public, a private and an absent file,
/// because no database is asked: whether the script may read the answer to its request is said there.
pub fn preflight(req: &HttpRequest) -> Option<HttpResponse> {
    let method = req.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    let reads = method == "GET" || method == "HEAD";
    if req.method() != Method::OPTIONS || !reads || !req.headers().contains_key(header::ORIGIN) {
        return None;
    }
    let mut builder = HttpResponseBuilder::new(StatusCode::NO_CONTENT);
    builder
        .insert_header(ANY_ORIGIN)
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, METHODS))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE));
    Some(builder.finish())
}
