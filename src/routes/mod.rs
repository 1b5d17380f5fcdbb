//! All addresses of the server, in one file per interface: method, path, handler, and the demands on the caller. The
//! router and the OpenAPI document are built from this table; a handler that is not in it cannot be reached, and a
//! handler that reads a credential without a policy answers nothing.

mod api;
mod generic;
mod ops;
mod table;
mod web;

pub use generic::DOWNLOAD;
pub use table::Row;

use crate::api::openapi::{Document, Entry};
use crate::domain::public_url::PublicUrl;
use crate::http::cors::preflight;
use crate::http::middleware::Guard;
use crate::http::problem::{self, Shape};
use crate::http::request_log::{RequestLog, request_id};
use crate::http::segment::REST;
use crate::web::assets;
use actix_web::guard::{GuardContext, fn_guard};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Data, ServiceConfig, resource, to};
use actix_web::{HttpRequest, HttpResponse};
use std::future::ready;
use std::path::Path;

/// The table. A page's address may begin with any name, so pages come last.
pub fn table() -> Vec<Row> {
    let mut rows = ops::routes().into_rows();
    rows.extend(generic::routes().into_rows());
    rows.extend(api::routes().into_rows());
    rows.extend(web::routes().into_rows());
    rows
}

/// The OpenAPI document of the table; `site` is the site's own address, if it is known.
pub fn document(site: Option<&PublicUrl>) -> Document {
    let rows = table();
    let entries = rows.iter().filter_map(|row| {
        Some(Entry {
            method: &row.method,
            path: row.path,
            policy: row.policy,
            about: row.about,
            id: row.id,
            description: row.description()?,
        })
    });
    Document::new(entries, site)
}

/// Adds all routes. A known address answers any other method with 405 and lists its methods.
pub fn configure(config: &mut ServiceConfig, assets_dir: &Path) {
    let mut paths: Vec<(&'static str, Vec<Row>)> = Vec::new();
    for row in table() {
        match paths.iter_mut().find(|(path, _)| *path == row.path) {
            Some((_, rows)) => rows.push(row),
            None => paths.push((row.path, vec![row])),
        }
    }
    for (path, rows) in paths {
        let mut methods: Vec<&str> = rows.iter().map(|row| row.method.as_str()).collect();
        if let Some(at) = methods.iter().position(|method| *method == "GET") {
            methods.insert(at + 1, "HEAD");
        }
        let allowed = methods.join(", ");
        let cross_origin = rows.iter().any(|row| row.cross_origin);
        let exact = rows.iter().any(|row| row.exact);
        let pattern = if rows.iter().any(|row| row.takes_rest) { format!("{path}{REST}") } else { path.to_owned() };
        let mut service = rows.into_iter().fold(resource(pattern), |service, row| service.route(row.into_route()));
        if exact {
            service = service.guard(fn_guard(move |context| is_sent_as(context, path)));
        }
        let other = move |req: HttpRequest| {
            let preflight = if cross_origin { preflight(&req) } else { None };
            ready(preflight.unwrap_or_else(|| wrong_method(&req, &allowed)))
        };
        config.service(service.default_service(to(other)));
        if exact {
            // Every other spelling of this address. Without it a page for any name could answer there.
            config.service(resource(path).default_service(to(|req: HttpRequest| ready(nothing(&req)))));
        }
    }
    config.service(assets::service(assets_dir));
}

/// Whether the path of a request was sent as exactly this text: with no slash more, and nothing percent-encoded.
fn is_sent_as(context: &GuardContext<'_>, path: &str) -> bool {
    let folded = context.req_data().get::<RequestLog>().is_some_and(|log| log.is_folded);
    !folded && context.head().uri.path() == path
}

/// The answer where there is nothing, in the client's error format.
pub fn nothing(req: &HttpRequest) -> HttpResponse {
    refuse(req, StatusCode::NOT_FOUND, "not_found", "there is nothing at this address")
}

fn wrong_method(req: &HttpRequest, allowed: &str) -> HttpResponse {
    let message = format!("this address only supports {allowed}");
    let mut response = refuse(req, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &message);
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

fn refuse(req: &HttpRequest, status: StatusCode, code: &str, message: &str) -> HttpResponse {
    let guard = req.app_data::<Data<Guard>>();
    let root = guard.map_or("", |guard| &guard.root);
    problem::line(&request_id(req), status, code, message, Shape::of(req), root)
}
