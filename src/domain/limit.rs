//! A limit that may be none.

use serde::Deserialize;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};

/// So many at most, or -1 for any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Limit(i64);

/// Why a number is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a limit is 0 or more, or -1 for none")]
pub struct InvalidLimit;

impl Limit {
    /// As a number; -1 is none.
    pub fn number(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Limit {
    type Error = InvalidLimit;

    fn try_from(number: i64) -> Result<Self, Self::Error> {
        if number >= -1 { Ok(Self(number)) } else { Err(InvalidLimit) }
    }
}

impl utoipa::PartialSchema for Limit {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
        ObjectBuilder::new().schema_type(Type::Integer).format(Some(format)).minimum(Some(-1)).build().into()
    }
}

impl utoipa::ToSchema for Limit {}
