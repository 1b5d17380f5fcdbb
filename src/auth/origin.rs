//! Whether a page of another site made the browser send a request. A browser attaches what it has for this site, a cookie
//! or a Basic password that somebody typed, whichever page asks for it.

use crate::domain::public_url::PublicUrl;
use crate::state::App;
use actix_web::HttpRequest;
use actix_web::http::header;

/// Whether the browser says that the request comes from another site (Fetch Metadata, else `Origin`). Programs send
/// neither.
pub fn is_foreign(req: &HttpRequest, app: &App) -> bool {
    if let Some(site) = field(req, "sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = field(req, "origin") else { return false };
    let own = app.config.public_url.as_ref().map(PublicUrl::authority);
    host_of(origin).or(Some(origin)) != own.or(field(req, header::HOST.as_str()))
}

/// A header of the request.
pub fn field<'a>(req: &'a HttpRequest, name: &str) -> Option<&'a str> {
    req.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The host and port of an origin.
pub fn host_of(origin: &str) -> Option<&str> {
    origin.split_once("://").map(|(_, host)| host)
}
