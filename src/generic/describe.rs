//! What the routes of this face take and answer, for the OpenAPI document: their bodies are bytes and lines, which no
//! type speaks of.

use crate::http::description::{Description, bytes, integer, text};
use crate::http::problem::Problem;
use actix_web::http::StatusCode;

const LINE: &str = "text/plain; charset=utf-8";

/// A refusal, in both shapes.
fn refuses(description: &mut Description, status: StatusCode, about: &str) {
    description.answers_json::<Problem>(status, about);
    if let Some((_, response)) = description.answers.last_mut() {
        response.content.insert(LINE.to_owned(), utoipa::openapi::Content::new(Some(text())).into());
    }
}

/// `GET` of a file.
pub fn download(description: &mut Description) {
    description.answers_with(StatusCode::OK, "The file", "application/octet-stream", bytes());
    description.answers_with(StatusCode::PARTIAL_CONTENT, "A part of it", "application/octet-stream", bytes());
    description.answers(StatusCode::FOUND, "The version `latest` stands for this one");
    description.answers(StatusCode::NOT_MODIFIED, "The reader has it already");
    refuses(description, StatusCode::PRECONDITION_FAILED, "If-Match or If-Unmodified-Since does not hold");
    refuses(description, StatusCode::RANGE_NOT_SATISFIABLE, "The file has no such range");
}

/// `PUT` of a file.
pub fn upload(description: &mut Description) {
    description.takes("application/octet-stream", bytes());
    description.answers(StatusCode::CREATED, "Stored");
    description.answers(StatusCode::OK, "The same bytes are there already, as their declared SHA-256 says");
    refuses(description, StatusCode::BAD_REQUEST, "A name or a field of the head is wrong");
    refuses(description, StatusCode::REQUEST_TIMEOUT, "The body came too slowly");
    refuses(description, StatusCode::CONFLICT, "The version has a file of this name");
    refuses(description, StatusCode::LENGTH_REQUIRED, "Neither a length nor chunked coding");
    refuses(description, StatusCode::PRECONDITION_FAILED, "If-None-Match: * and the file is there");
    refuses(description, StatusCode::PAYLOAD_TOO_LARGE, "Larger than the limit");
    refuses(description, StatusCode::UNPROCESSABLE_ENTITY, "The bytes do not have the declared digest");
    refuses(description, StatusCode::INSUFFICIENT_STORAGE, "No room left; nothing was kept");
}

/// `DELETE`.
pub fn delete(description: &mut Description) {
    description.answers(StatusCode::NO_CONTENT, "Gone");
}

/// A list: a name a line, or JSON for who asks for it.
pub fn list(description: &mut Description) {
    description.query("page", "Which page, from 1.", integer(1));
    description.query("limit", "Entries of a page, at most 1,000.", integer(1));
    description.answers_with(StatusCode::OK, "A name a line; objects for who accepts JSON", LINE, text());
    if let Some((_, response)) = description.answers.last_mut() {
        let objects = utoipa::openapi::ArrayBuilder::new().items(utoipa::openapi::ObjectBuilder::new());
        let content = utoipa::openapi::Content::new(Some(objects));
        response.content.insert("application/json".to_owned(), content.into());
    }
    description.answers(StatusCode::FOUND, "The version `latest` stands for this one");
}
