//! Request bodies that are forms, which Gitea takes instead of JSON: each field by its name, and a list by repeating
//! its name.

use crate::error::{Error, Result};
use crate::http::body::{BodyError, demand_no_length, demand_utf8_form};
use actix_multipart::Multipart;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::de::value::{Error as FormError, MapDeserializer, SeqDeserializer, StringDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use std::collections::BTreeMap;

/// The coding of a form.
pub(super) enum Kind {
    Urlencoded,
    /// With its media type, which contains the boundary.
    Multipart(HeaderValue),
}

/// The coding of a body; `None` for JSON. `curl -d` says `application/x-www-form-urlencoded` whatever it sends, and no
/// form begins with a brace or bracket, which its coding escapes.
pub(super) fn kind(content_type: Option<&HeaderValue>, text: &[u8]) -> Option<Kind> {
    let content_type = content_type?;
    let media_type = content_type.to_str().ok()?.split(';').next()?.trim().to_ascii_lowercase();
    let is_json = text.trim_ascii_start().first().is_some_and(|first| matches!(first, b'{' | b'['));
    match media_type.as_str() {
        "application/x-www-form-urlencoded" if !is_json => Some(Kind::Urlencoded),
        "multipart/form-data" => Some(Kind::Multipart(content_type.clone())),
        _ => None,
    }
}

/// Reads the fields of a form.
///
/// # Errors
/// [`Error::Invalid`] naming the first field that is wrong.
pub(super) async fn read<T: DeserializeOwned>(kind: Kind, text: Vec<u8>) -> Result<T> {
    let wrong = |problem: &dyn std::fmt::Display| Error::invalid("body", format!("the form is invalid: {problem}"));
    let fields = match kind {
        Kind::Urlencoded => {
            demand_utf8_form(&text)?;
            serde_html_form::from_bytes(&text).map_err(|error| wrong(&error))?
        }
        Kind::Multipart(content_type) => parts(content_type, text).await.map_err(|error| error.0)?,
    };
    let mut form: BTreeMap<String, Values> = BTreeMap::new();
    for (name, value) in fields {
        form.entry(name).or_default().0.push(value);
    }
    let form = MapDeserializer::<_, FormError>::new(form.into_iter());
    serde_path_to_error::deserialize(form).map_err(|error| match error.path().to_string().as_str() {
        "." => wrong(error.inner()),
        field => Error::invalid("body", format!("{field}: {}", error.inner())),
    })
}

async fn parts(content_type: HeaderValue, text: Vec<u8>) -> Result<Vec<(String, String)>, BodyError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, content_type);
    let mut form = Multipart::new(&headers, stream::iter([Ok(Bytes::from(text))]));
    let mut fields = Vec::new();
    while let Some(part) = form.next().await {
        let mut part = part?;
        demand_no_length(&part)?;
        let name = part.name().unwrap_or_default().to_owned();
        let mut value = Vec::new();
        while let Some(chunk) = part.next().await {
            value.extend_from_slice(&chunk?);
        }
        let value = String::from_utf8(value);
        let value = value.map_err(|_| BodyError(Error::invalid("body", format!("{name}: the text is not UTF-8"))))?;
        fields.push((name, value));
    }
    Ok(fields)
}

/// The values of a field, in their order. Where one is expected, the first counts.
#[derive(Default)]
struct Values(Vec<String>);

impl Values {
    fn first(self) -> String {
        self.0.into_iter().next().unwrap_or_default()
    }
}

impl IntoDeserializer<'_, FormError> for Values {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A number, as the type that is expected.
macro_rules! numbers {
    ($($deserialize:ident $visit:ident)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
            let text = self.first();
            visitor.$visit(text.trim().parse().map_err(|_| FormError::custom(format!("{text:?} is not a number")))?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Values {
    type Error = FormError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        visitor.visit_string(self.first())
    }

    /// As Go reads it, and as a browser sends a ticked box.
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        let text = self.first();
        match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" | "on" => visitor.visit_bool(true),
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" | "off" => visitor.visit_bool(false),
            _ => Err(FormError::custom(format!("{text:?} is neither true nor false"))),
        }
    }

    numbers! {
        deserialize_i8 visit_i8 deserialize_i16 visit_i16 deserialize_i32 visit_i32 deserialize_i64 visit_i64
        deserialize_u8 visit_u8 deserialize_u16 visit_u16 deserialize_u32 visit_u32 deserialize_u64 visit_u64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, FormError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FormError> {
        visitor.visit_seq(SeqDeserializer::new(self.0.into_iter().map(|value| Values(vec![value]))))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FormError> {
        let word: StringDeserializer<FormError> = self.first().into_deserializer();
        visitor.visit_enum(word)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, FormError> {
        Err(FormError::custom("a form cannot have this field: send JSON"))
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct map identifier ignored_any
    }
}
