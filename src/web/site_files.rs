//! Files that programs ask every site for, whether a page names them or not.

use super::assets;
use super::page::Reply;
use crate::auth::call::Call;
use crate::error::{Error, Result, What};
use crate::http::asset::Asset;
use actix_web::HttpResponse;
use actix_web::http::header;
use std::sync::OnceLock;
use std::time::Duration;

/// What crawlers leave alone: files and archives, because a download is counted and may be large; forms, and what needs a session.
const OPEN: [&str; 15] = [
    "/api/",
    "/login",
    "/register",
    "/user/",
    "/org/",
    "/-/",
    "/*/-/upload",
    "/*/-/trash",
    "/*/-/access",
    "/*/-/packages/generic/*/*/archive.",
    "/*/-/packages/settings/",
    "/*/-/packages/generic/*/*/files/",
    "/*/-/packages/generic/*/*/delete",
    // Lists in every order, and searches, have no end. Their pages in the usual order do.
    "/*?",
    "/*.atom$",
];
/// The only pages with a query that crawlers may read.
const PAGED: &str = "/*?page=";
/// What crawlers leave alone where everybody must sign in.
const CLOSED: [&str; 1] = ["/"];

/// `GET /robots.txt` (RFC 9309).
pub async fn robots(call: Call) -> Result<Reply> {
    let paths = if call.app.config.require_signin { &CLOSED[..] } else { &OPEN };
    let lines = paths.iter().map(|path| format!("Disallow: {}\n", call.app.link(path)));
    let paged = (!call.app.config.require_signin).then(|| format!("Allow: {}\n", call.app.link(PAGED)));
    let lines = lines.chain(paged);
    // `wget -r` follows the rules of robots too, but a person decides what it fetches, from the index pages of packages.
    let rules = format!("User-agent: *\n{}\nUser-agent: Wget\nDisallow:\n", lines.collect::<String>());
    let response = HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
        .body(rules);
    Ok(Reply::raw(response))
}

/// `GET /favicon.ico`: the icon for programs that read no page, or no SVG.
pub async fn favicon(call: Call) -> Result<Reply> {
    static ICON: OnceLock<Option<Asset>> = OnceLock::new();
    let icon = ICON.get_or_init(|| Asset::new("image/x-icon", assets::source("favicon.ico")?).ok());
    let icon = icon.as_ref().ok_or(Error::NotFound(What::Page))?;
    Ok(Reply::raw(icon.answer(&call.req, &[])?))
}

/// `GET /.well-known/security.txt` (RFC 9116): whom to tell about a vulnerability of this site.
pub async fn security(call: Call) -> Result<Reply> {
    let contact = &call.app.config.security_contact;
    if contact.is_empty() {
        return Err(Error::NotFound(What::Page));
    }
    let expires = call.app.clock.now().plus(SECURITY_EXPIRES);
    let root = call.app.config.public_root();
    let own = root.map(|root| format!("Canonical: {root}/.well-known/security.txt\n")).unwrap_or_default();
    let text = format!("Contact: {contact}\nExpires: {expires}\n{own}");
    Ok(Reply::raw(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text)))
}

/// How long a reader may believe `security.txt`; RFC 9116 recommends less than a year.
const SECURITY_EXPIRES: Duration = Duration::from_secs(180 * 86_400);

/// `GET /swagger.v1.json`: where Gitea has its description of the API.
pub async fn swagger() -> Result<Reply> {
    Ok(Reply::to("/api/openapi.json"))
}
