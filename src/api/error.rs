//! Errors of the REST API: `{"message", "url", "code"}`, with 422 where a field is wrong or a name is taken.

use crate::error::{Error, What};
use crate::http::problem::{self, Shape, status_of};
use crate::state::App;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};

/// Renders an error.
pub fn render_error(req: &HttpRequest, app: &App, error: &Error) -> HttpResponse {
    let named = naming(error);
    let error = named.as_ref().unwrap_or(error);
    let status = match error {
        // As in Gitea: a token needs scopes, and each of them must exist.
        Error::Invalid { field: "scopes", .. } => StatusCode::BAD_REQUEST,
        Error::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        // As in Gitea: a token name that is taken gives 400, any other name gives 422.
        Error::Conflict(What::Token) => StatusCode::BAD_REQUEST,
        Error::Conflict(_) | Error::Blocked(_) => StatusCode::UNPROCESSABLE_ENTITY,
        other => status_of(other).0,
    };
    problem::answer(req, error, status, Shape::Json, app.config.public_root().unwrap_or_default())
}

/// Adds the field's name to the message of an invalid value. Pages show the message beside the field; API clients get
/// only the message.
fn naming(error: &Error) -> Option<Error> {
    match error {
        Error::Invalid { field: "body" | "query" | "page", .. } => None,
        Error::Invalid { field, problem } if !problem.starts_with(field) => {
            Some(Error::invalid(field, format!("{field}: {problem}")))
        }
        _ => None,
    }
}
