//! The generic package protocol: plain text over HTTP, as Gitea's.

pub mod describe;
pub mod files;
pub mod listings;
mod sidecars;
pub mod upload;
pub mod versions;

use crate::auth::Credentials;
use crate::error::{Error, Result, What};
use crate::http::problem::{self, Shape, status_of};
use crate::state::App;
use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use std::sync::Arc;

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
async fn begin<T>(req: &HttpRequest, app: &App, path: Result<T>) -> Result<(T, Credentials)> {
    match path {
        Ok(path) => Ok((path, Credentials::read(req, app).await?)),
        Err(Error::Invalid { field: "owner", .. }) if *req.method() != Method::PUT => {
            Credentials::read(req, app).await?;
            Err(if Credentials::is_absent(req, app) { Error::Unauthenticated } else { Error::NotFound(What::Owner) })
        }
        Err(error) => Err(error),
    }
}
