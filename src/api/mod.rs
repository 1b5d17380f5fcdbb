//! The REST API v1: JSON, as Gitea's.

mod error;
mod meta;
mod orgs;
mod packages;
mod tokens;
mod users;

use crate::auth::Presented;
use crate::db::Connection;
use crate::error::{Error, Result, What};
use crate::http::body::{Body, Pace};
use crate::http::paging::Paging;
use crate::http::params::segment;
use crate::http::routes::resource;
use crate::registry::access::Caller;
use crate::registry::versions::Slice;
use crate::state::App;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

type AppData = web::Data<Arc<App>>;

/// Most bytes in a request's JSON.
const MAX_JSON: usize = 64 << 10;

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            resource("/api/v1/version", "GET, HEAD")
                .route(web::get().to(meta::version))
                .route(web::head().to(meta::version)),
        )
        .service(resource("/api/v1/user", "GET, HEAD").route(web::get().to(users::me)).route(web::head().to(users::me)))
        .configure(packages::routes)
        .service(resource("/api/v1/admin/users", "POST").route(web::post().to(users::create)))
        .service(
            resource("/api/v1/users/{user}/tokens", "GET, HEAD, POST")
                .route(web::get().to(tokens::list))
                .route(web::head().to(tokens::list))
                .route(web::post().to(tokens::create)),
        )
        .service(resource("/api/v1/users/{user}/tokens/{token}", "DELETE").route(web::delete().to(tokens::revoke)))
        .service(resource("/api/v1/orgs", "POST").route(web::post().to(orgs::create)))
        .service(resource("/api/v1/orgs/{org}/teams", "POST").route(web::post().to(orgs::create_team)))
        .service(
            resource("/api/v1/teams/{team}/members/{user}", "PUT, DELETE")
                .route(web::put().to(orgs::add_member))
                .route(web::delete().to(orgs::remove_member)),
        );
}

/// Reads a request's JSON, at the pace of uploads. It is read after the credential was [judged](admit): nobody unknown
/// makes the server wait for a body.
async fn json<T: DeserializeOwned>(app: &App, payload: web::Payload) -> Result<T> {
    let limits = &app.config.limits;
    let pace = Pace {
        stall: Duration::from_secs(limits.upload_stall_seconds),
        least_rate: limits.upload_least_bytes_per_second,
    };
    let mut body = Body::new(payload, pace);
    let mut text = Vec::new();
    while let Some(chunk) = body.next().await? {
        if text.len() + chunk.len() > MAX_JSON {
            return Err(Error::invalid("body", format!("the JSON is longer than {MAX_JSON} bytes")));
        }
        text.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&text).map_err(|error| Error::invalid("body", format!("the JSON does not fit: {error}")))
}

/// Reads the credential, and refuses who has none.
async fn signed_in(req: &HttpRequest, app: &App) -> Result<Presented> {
    let presented = Presented::read(req, app).await?;
    if presented.is_anonymous() { Err(Error::Unauthenticated) } else { Ok(presented) }
}

/// Reads the credential and judges it before the body: whether its user may do at all what the address is for.
async fn admit(
    req: &HttpRequest,
    app: &Arc<App>,
    demand: impl FnMut(&mut Connection, &Caller) -> Result<()> + Send + 'static,
) -> Result<Presented> {
    let presented = signed_in(req, app).await?;
    presented.reading(req, app, demand).await?;
    Ok(presented)
}

/// The rows of a page.
fn slice(paging: Paging) -> Slice {
    Slice { offset: paging.offset(), limit: paging.limit() }
}

/// A segment of the path, counted from 0; one that cannot be is one that is not there.
fn part<T: std::str::FromStr<Err: std::fmt::Display>>(req: &HttpRequest, index: usize, what: What) -> Result<T> {
    segment(req, index, "path").map_err(|_| Error::NotFound(what))
}

/// A field that must be there.
fn required<T>(value: Option<T>, field: &'static str) -> Result<T> {
    value.ok_or_else(|| Error::invalid(field, format!("the field {field} is missing")))
}

/// A field that must parse.
fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str, field: &'static str) -> Result<T> {
    text.parse().map_err(|error| Error::invalid(field, format!("{field}: {error}")))
}

/// An answer with a body.
fn answer_json(status: actix_web::http::StatusCode, body: &impl serde::Serialize) -> HttpResponse {
    HttpResponse::build(status).insert_header((actix_web::http::header::CACHE_CONTROL, "no-store")).json(body)
}
