//! The generic package protocol: plain text over HTTP, as Gitea's.

mod files;
mod listings;
mod sidecars;
mod upload;
mod versions;

use crate::auth::Presented;
use crate::error::{Error, Result, What};
use crate::http::problem::{self, Shape, status_of};
use crate::state::App;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use std::sync::Arc;

/// Every route of this face: path, and its methods with what each needs.
pub const ROUTES: [(&str, &[(&str, &str)]); 3] = [
    (
        "/api/packages/{owner}/generic/{name}/{version}/{file}",
        &[("GET", "read"), ("HEAD", "read"), ("PUT", "write"), ("DELETE", "write")],
    ),
    ("/api/packages/{owner}/generic/{name}/{version}", &[("GET", "read"), ("HEAD", "read"), ("DELETE", "write")]),
    ("/api/packages/{owner}/generic/{name}", &[("GET", "read"), ("HEAD", "read")]),
];

/// Adds the routes.
pub fn routes(config: &mut web::ServiceConfig) {
    let [file, version, package] = ROUTES;
    config.service(
        web::resource(file.0)
            .route(web::get().to(files::download))
            .route(web::head().to(files::download))
            .route(web::put().to(upload::upload))
            .route(web::delete().to(files::delete))
            .default_service(web::to(move || wrong_method(file.1))),
    );
    config.service(
        web::resource(version.0)
            .route(web::get().to(listings::files))
            .route(web::head().to(listings::files))
            .route(web::delete().to(versions::delete))
            .default_service(web::to(move || wrong_method(version.1))),
    );
    config.service(
        web::resource(package.0)
            .route(web::get().to(listings::versions))
            .route(web::head().to(listings::versions))
            .default_service(web::to(move || wrong_method(package.1))),
    );
}

async fn wrong_method(allowed: &'static [(&str, &str)]) -> HttpResponse {
    let methods: Vec<&str> = allowed.iter().map(|(method, _)| *method).collect();
    let mut response = HttpResponse::MethodNotAllowed()
        .content_type("text/plain; charset=utf-8")
        .body(format!("this address answers {} alone\n", methods.join(", ")));
    if let Ok(value) = HeaderValue::from_str(&methods.join(", ")) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

type AppData = web::Data<Arc<App>>;

/// Renders an error of this face: one line of text, or JSON for who asks for it. A name that cannot be is a mistake
/// of a PUT, and simply absent elsewhere.
fn answer(req: &HttpRequest, app: &App, result: Result<HttpResponse>) -> HttpResponse {
    let error = match result {
        Ok(response) => return response,
        Err(Error::Invalid { field, .. }) if *req.method() != Method::PUT && is_name(field) => {
            Error::NotFound(What::File)
        }
        Err(error) => error,
    };
    let (status, _) = status_of(&error);
    problem::answer(req, &error, status, Shape::asked(req.headers()), app.config.public_root().unwrap_or_default())
}

fn is_name(field: &str) -> bool {
    matches!(field, "owner" | "package name" | "package version" | "filename")
}

/// Reads the names of a path and then the credential, in this order. An owner that cannot be is as unknown as one
/// that is not there: the anonymous are asked to sign in.
async fn begin<T>(req: &HttpRequest, app: &App, path: Result<T>) -> Result<(T, Presented)> {
    match path {
        Ok(path) => Ok((path, Presented::read(req, app).await?)),
        Err(Error::Invalid { field: "owner", .. }) if *req.method() != Method::PUT => {
            let presented = Presented::read(req, app).await?;
            Err(if presented.is_anonymous() { Error::Unauthenticated } else { Error::NotFound(What::Owner) })
        }
        Err(error) => Err(error),
    }
}
