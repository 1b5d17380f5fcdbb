//! The OpenAPI document as a page. Swagger UI is served from the server's own files, without any other server.

use super::error as api_error;
use crate::domain::public_url::BasePath;
use crate::error::Error;
use crate::http::asset::Asset;
use crate::http::description::{Description, text};
use crate::http::problem::{self, Shape};
use crate::http::request_log::request_id;
use crate::state::App;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/png";

/// The files of Swagger UI that the page uses. The bundle has more files, for other uses.
const BUNDLED: [(&str, &str); 5] = [
    ("swagger-ui.css", STYLE),
    ("index.css", STYLE),
    ("swagger-ui-bundle.js", SCRIPT),
    ("favicon-32x32.png", IMAGE),
    ("favicon-16x16.png", IMAGE),
];

/// The page's own files; the page itself contains the base path of the site.
const PAGE: &str = "index.html";
const START: &str = "start.js";

/// The page's content security policy: load its own files and the images in its style sheet, and send requests to its
/// own site.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const FIELDS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
    (header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
];

/// Its files by name, except the page itself.
static FILES: LazyLock<Vec<(&'static str, Asset)>> = LazyLock::new(|| {
    let bundled = BUNDLED.iter().filter_map(|(name, kind)| Some((*name, bundled(name, kind)?)));
    let start = Asset::new(SCRIPT, include_bytes!("swagger/start.js")).ok().map(|asset| (START, asset));
    bundled.chain(start).collect()
});

/// The page of a site with this base path.
fn page_below(base: &BasePath) -> std::io::Result<Asset> {
    let text = format!(include_str!("swagger/index.html"), folder = base.link("/api/swagger"), api = base.link("/api"));
    Asset::new(HTML, text.as_bytes())
}

/// A file of Swagger UI, which the program contains in compressed form, ready to send.
fn bundled(name: &str, kind: &'static str) -> Option<Asset> {
    let found = utoipa_swagger_ui::serve(name, Arc::default()).ok()??;
    let bytes = match found.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    Some(Asset::packed(kind, bytes))
}

/// `GET /api/swagger`.
pub async fn page(req: HttpRequest, app: web::Data<Arc<App>>) -> HttpResponse {
    answer(&req, &app, PAGE)
}

/// `GET /api/swagger/{asset}`.
pub async fn asset(req: HttpRequest, app: web::Data<Arc<App>>, file: web::Path<String>) -> HttpResponse {
    answer(&req, &app, &file)
}

fn answer(req: &HttpRequest, app: &App, file: &str) -> HttpResponse {
    let found = match FILES.iter().find(|(name, _)| *name == file) {
        Some((_, asset)) => asset.answer(req, &FIELDS),
        None if file == PAGE => {
            page_below(app.config.base_path()).map_err(Error::internal).and_then(|asset| asset.answer(req, &FIELDS))
        }
        None => {
            let root = app.config.public_root().unwrap_or_default();
            let message = "the page of the API has no such file";
            return problem::line(&request_id(req), StatusCode::NOT_FOUND, "not_found", message, Shape::of(req), root);
        }
    };
    found.unwrap_or_else(|error| api_error::render_error(req, app, &error))
}

/// The names of all files of the page.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUNDLED.iter().map(|(name, _)| *name).chain([PAGE, START])
}

/// Describes [`page`].
pub fn describe_page(description: &mut Description) {
    description.answers_with(StatusCode::OK, "The page", "text/html", text());
    not_modified(description);
}

/// Describes [`asset`].
pub fn describe_asset(description: &mut Description) {
    description.answers_with(StatusCode::OK, "A file of the page", STYLE_MEDIA, text());
    description.or(SCRIPT_MEDIA, text());
    description.or(HTML_MEDIA, text());
    description.or(IMAGE, crate::http::description::bytes());
    not_modified(description);
    description.refuses(StatusCode::NOT_FOUND, "The page has no such file");
    description.or("text/plain", text());
}

const HTML_MEDIA: &str = "text/html";
const STYLE_MEDIA: &str = "text/css";
const SCRIPT_MEDIA: &str = "text/javascript";

/// Describes the answer to a client that has the file already.
pub fn not_modified(description: &mut Description) {
    description.with("ETag", "The version of this file.", text());
    description.head("If-None-Match", "The `ETag` of the copy you have; you get 304 if it is still current.", text());
    description.answers(StatusCode::NOT_MODIFIED, "Your copy is current");
}
