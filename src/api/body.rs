//! The bodies of requests to the API, and what every input of a handler has.

use super::form;
use crate::auth::call::Call;
use crate::error::{Error, Result};
use crate::http::body::PacedBody;
use crate::http::description::Description;
use crate::state::App;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use utoipa::ToSchema;
use utoipa::openapi::Required;

/// The most bytes in a request's JSON.
const MAX_JSON: usize = 64 << 10;
/// The most bytes in JSON with long texts: 256 KiB of Markdown, escaped, or ten thousand names and digests.
const MAX_LONG_JSON: usize = 2 << 20;

/// An input of a handler, and its part of the description.
pub trait Input {
    /// Describes the input.
    fn describe(_: &mut Description) {}
}

impl Input for Call {}

/// A JSON object or, as in Gitea, a form (`super::form`) with the same fields. It is read at the pace of uploads, after
/// the caller was [admitted](Call::admit): no unknown client makes the server wait for a body.
pub struct JsonBody<T, const MOST: usize = MAX_JSON> {
    payload: web::Payload,
    content_type: Option<HeaderValue>,
    type_of: PhantomData<T>,
}

impl<T, const MOST: usize> FromRequest for JsonBody<T, MOST> {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, actix_web::Error>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let payload = web::Payload::from_request(req, payload).into_inner();
        let content_type = req.headers().get(header::CONTENT_TYPE).cloned();
        ready(payload.map(|payload| Self { payload, content_type, type_of: PhantomData }))
    }
}

impl<T: ToSchema, const MOST: usize> Input for JsonBody<T, MOST> {
    fn describe(description: &mut Description) {
        description.takes_json::<T>();
        description.refuses(StatusCode::REQUEST_TIMEOUT, "The body was too slow or incomplete");
    }
}

impl<T: DeserializeOwned, const MOST: usize> JsonBody<T, MOST> {
    /// Reads the body.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the first field that is wrong; [`Error::Aborted`].
    pub async fn read(self, app: &App) -> Result<T> {
        let content_type = self.content_type.clone();
        parse(content_type, self.bytes(app).await?).await
    }

    /// As [`Self::read`], and whether the body is a form and not JSON, also if a field is wrong.
    ///
    /// # Errors
    /// The outer ones for a body that did not arrive: [`Error::Invalid`] if it is too long; [`Error::Aborted`].
    pub async fn read_either(self, app: &App) -> Result<(bool, Result<T>)> {
        let content_type = self.content_type.clone();
        let text = self.bytes(app).await?;
        let is_form = form::kind(content_type.as_ref(), &text).is_some();
        Ok((is_form, parse(content_type, text).await))
    }

    async fn bytes(self, app: &App) -> Result<Vec<u8>> {
        let text = PacedBody::new(self.payload, app.pace()).read_up_to(MOST).await?;
        text.ok_or_else(|| Error::invalid("body", format!("the body is longer than {MOST} bytes")))
    }
}

/// A JSON object with texts of many lines or the names of many files.
pub type LongBody<T> = JsonBody<T, MAX_LONG_JSON>;

/// A JSON object that may be left out.
pub struct OptionalBody<T, const MOST: usize = MAX_JSON>(JsonBody<T, MOST>);

/// A [`LongBody`] that may be left out.
pub type OptionalLongBody<T> = OptionalBody<T, MAX_LONG_JSON>;

impl<T, const MOST: usize> FromRequest for OptionalBody<T, MOST> {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, actix_web::Error>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(JsonBody::from_request(req, payload).into_inner().map(Self))
    }
}

impl<T: ToSchema, const MOST: usize> Input for OptionalBody<T, MOST> {
    fn describe(description: &mut Description) {
        JsonBody::<T, MOST>::describe(description);
        if let Some(body) = &mut description.body {
            body.required = Some(Required::False);
        }
    }
}

impl<T: DeserializeOwned + Default, const MOST: usize> OptionalBody<T, MOST> {
    /// Reads the body; without one, everything has its default.
    ///
    /// # Errors
    /// As [`JsonBody::read`].
    pub async fn read(self, app: &App) -> Result<T> {
        let content_type = self.0.content_type.clone();
        let text = self.0.bytes(app).await?;
        if text.trim_ascii().is_empty() { Ok(T::default()) } else { parse(content_type, text).await }
    }
}

async fn parse<T: DeserializeOwned>(content_type: Option<HeaderValue>, text: Vec<u8>) -> Result<T> {
    match form::kind(content_type.as_ref(), &text) {
        Some(kind) => form::read(kind, text).await,
        None => read_json(&text),
    }
}

fn read_json<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    // Otherwise an array would be accepted as the fields of the object in their order.
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err(Error::invalid("body", "the JSON is not an object: send the fields as an object"));
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        let problem = problem_of(&error.into_inner());
        match field.as_str() {
            "." => Error::invalid("body", format!("the JSON is invalid: {problem}")),
            field => Error::invalid("body", format!("{field}: {problem}")),
        }
    })?;
    json.end().map_err(|error| Error::invalid("body", format!("the JSON is invalid: {error}")))?;
    Ok(value)
}

/// The error for JSON that cannot be parsed or has a wrong value: the position helps to find a syntax error, and a
/// wrong value is named.
fn problem_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(bare) if error.is_data() => bare.to_owned(),
        _ => text,
    }
}
