//! Files that programs ask every site for, whether a page names them or not.

use super::assets;
use super::page::Reply;
use crate::auth::call::Call;
use crate::error::{Error, Result, What};
use crate::http::asset::Asset;
use actix_web::HttpResponse;
use actix_web::http::header;
use std::sync::OnceLock;

/// What crawlers leave alone: files, because a download is counted and may be large; forms, and what needs a session.
const OPEN: [&str; 10] = [
    "/api/",
    "/login",
    "/register",
    "/user/",
    "/org/",
    "/-/",
    "/*/-/upload",
    "/*/-/packages/settings/",
    "/*/-/packages/generic/*/*/files/",
    "/*/-/packages/generic/*/*/delete",
];
/// What crawlers leave alone where everybody must sign in.
const CLOSED: [&str; 1] = ["/"];

/// `GET /robots.txt` (RFC 9309).
pub async fn robots(call: Call) -> Result<Reply> {
    let paths = if call.app.config.require_signin { &CLOSED[..] } else { &OPEN };
    let lines = paths.iter().map(|path| format!("Disallow: {}\n", call.app.link(path)));
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

/// `GET /swagger.v1.json`: where Gitea has its description of the API.
pub async fn swagger() -> Result<Reply> {
    Ok(Reply::to("/api/openapi.json"))
}
