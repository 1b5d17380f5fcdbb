//! A limit that can be turned off.

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::fmt;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};

/// A maximum number, or -1 for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(i64);

/// The largest whole number up to which a float represents every whole number: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A number is not a valid limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a limit must be 0 or more, or -1 for unlimited")]
pub struct InvalidLimit;

impl Limit {
    /// The number; -1 for no limit.
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

/// JSON has one kind of number, and programs that count in floats write `1e9` or `1000000000.0`, which are whole
/// numbers too.
impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(Number)
    }
}

struct Number;

impl Visitor<'_> for Number {
    type Value = Limit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Limit, E> {
        Limit::try_from(number).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Limit, E> {
        self.visit_i64(i64::try_from(number).map_err(|_| E::custom("a limit must fit into 63 bits"))?)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Limit, E> {
        if number.fract() != 0.0 || number.abs() > EXACT {
            return Err(E::invalid_type(serde::de::Unexpected::Float(number), &self));
        }
        // Whole and within the bound, so the conversion loses nothing.
        self.visit_i64(number as i64)
    }
}

impl utoipa::PartialSchema for Limit {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
        ObjectBuilder::new().schema_type(Type::Integer).format(Some(format)).minimum(Some(-1)).build().into()
    }
}

impl utoipa::ToSchema for Limit {}
