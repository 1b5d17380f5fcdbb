//! The generic package protocol: plain text over HTTP, as in Gitea. Its routes are in `crate::routes::generic`.

pub mod describe;
pub mod files;
mod index;
pub mod listings;
mod purge;
mod redirects;
mod sidecars;
pub mod upload;
pub mod versions;

use crate::error::Error;
use crate::http::cors::let_follow;
use crate::http::problem::{self, Shape, status_of};
use crate::state::App;
use actix_web::{HttpRequest, HttpResponse};

/// Renders an error: one line of text, or JSON for clients that ask for it.
pub fn render_error(req: &HttpRequest, app: &App, error: &Error) -> HttpResponse {
    let (status, _) = status_of(error);
    let root = app.config.public_root().unwrap_or_default();
    let mut response = problem::answer(req, error, status, Shape::asked(req.headers()), root);
    if response.status().is_redirection() {
        let_follow(req).iter().cloned().for_each(|(name, value)| drop(response.headers_mut().insert(name, value)));
    }
    response
}
