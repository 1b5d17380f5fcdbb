//! What the server answers until its database and store are open: it is alive, and not ready.

use super::listen::Listeners;
use crate::domain::public_url::{PublicUrl, ROOT};
use crate::domain::request_id::RequestId;
use crate::http::problem::{self, Shape};
use actix_web::dev::ServerHandle;
use actix_web::http::{ConnectionType, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Result;

/// Answers on the listeners until the returned handle stops it: `/livez` with 200, and everything else with 503. `site`
/// is the site's own address.
///
/// # Errors
/// When a listener cannot be shared.
pub fn serve(listeners: &Listeners, site: Option<&PublicUrl>) -> Result<ServerHandle> {
    let root = site.map_or("", PublicUrl::root).to_owned();
    let livez_below = site.map_or(ROOT, PublicUrl::base).link("/livez");
    let mut server = HttpServer::new(move || {
        actix_web::App::new()
            .app_data(web::Data::new(Root(root.clone())))
            .route("/livez", web::get().to(livez))
            .route(&livez_below, web::get().to(livez))
            .default_service(web::to(not_yet))
    })
    .workers(1)
    .shutdown_timeout(1)
    .disable_signals();
    for listener in listeners.share()? {
        server = server.listen(listener)?;
    }
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    Ok(handle)
}

struct Root(String);

async fn livez() -> HttpResponse {
    last("ok\n")
}

/// An answer after which the connection is closed: the next request is for the real server.
fn last(text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .force_close()
        .body(text)
}

async fn not_yet(req: HttpRequest, root: web::Data<Root>) -> HttpResponse {
    let (id, status) = (RequestId::new(rand::random()), StatusCode::SERVICE_UNAVAILABLE);
    let message = "database: the server is starting and waits for it";
    let mut response = problem::line(&id, status, "busy", message, Shape::of(&req), &root.0);
    response.headers_mut().insert(header::RETRY_AFTER, problem::RETRY_AFTER_BUSY.into());
    response.head_mut().set_connection_type(ConnectionType::Close);
    response
}
