//! Request fields, parsed the way Gitea's clients write them.

use serde::de::{Deserialize, Deserializer, Error};
use std::fmt::Display;
use std::str::FromStr;
use utoipa::PartialSchema;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

/// A value that may be missing, null or empty, all of which mean that it is not given: Go clients send `""` for a field
/// that was not set.
///
/// # Errors
/// The errors of the value's parser.
pub fn given<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.filter(|text| !text.is_empty()).map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

/// A field that may be left out, which changes nothing, or null, which is a value. With `default`, the outer `None`
/// means left out and the inner `None` means null.
///
/// # Errors
/// The errors of the value's deserializer.
pub fn changed<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// The schema of a query parameter that may be empty, which equals leaving it out.
pub fn or_empty<T: PartialSchema>() -> RefOr<Schema> {
    let empty = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([""]));
    OneOfBuilder::new().item(T::schema()).item(empty).into()
}

/// The schema of a field that [`given`] parses.
pub fn given_schema<T: PartialSchema>() -> RefOr<Schema> {
    let empty = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([""]));
    let null = ObjectBuilder::new().schema_type(Type::Null);
    OneOfBuilder::new().item(T::schema()).item(empty).item(null).into()
}
