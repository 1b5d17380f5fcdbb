//! Labels of packages and versions: a few keys with values, for rules and searches.

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::Pg;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Jsonb;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Type};

/// The most labels.
pub const MOST_LABELS: usize = 32;
/// The most bytes in a key.
const MAX_KEY_BYTES: usize = 63;
/// The most bytes in a value.
const MAX_VALUE_BYTES: usize = 255;

/// Labels break a rule. The message is one line that names the label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabels {
    #[error("there are {0} labels: at most 32 are possible")]
    TooMany(usize),
    #[error(
        "the label {0:?} is invalid: use up to 63 letters, digits and - _ . /, beginning and ending with a letter or digit"
    )]
    Key(String),
    #[error("the value of the label {0} is invalid: use up to 255 bytes without control characters")]
    Value(String),
    #[error("the line {0:?} is not a label: write key=value")]
    Line(String),
    #[error("the label {0} is there twice")]
    Twice(String),
}

/// Up to 32 labels: keys of up to 63 letters, digits and `-_./`, and values of up to 255 bytes. Keys are compared with
/// their case.
#[derive(Debug, Clone, Default, PartialEq, Eq, AsExpression, FromSqlRow, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
#[diesel(sql_type = Jsonb)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// The keys and values, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Parses a text with one label a line, as `key=value`, which is how people type labels. Empty lines don't count.
    ///
    /// # Errors
    /// [`InvalidLabels`] naming the line or the label.
    pub fn from_lines(text: &str) -> Result<Self, InvalidLabels> {
        let mut labels = BTreeMap::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (key, value) = line.split_once('=').ok_or_else(|| InvalidLabels::Line(line.to_owned()))?;
            let key = key.trim();
            if labels.insert(key.to_owned(), value.trim().to_owned()).is_some() {
                return Err(InvalidLabels::Twice(key.to_owned()));
            }
        }
        Self::try_from(labels)
    }

    /// The text that [`Self::from_lines`] parses.
    pub fn to_lines(&self) -> String {
        self.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn check_key(key: &str) -> bool {
    let (first, last) = (key.bytes().next(), key.bytes().next_back());
    let alphanumeric = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    key.len() <= MAX_KEY_BYTES && alphanumeric(first) && alphanumeric(last) && key.bytes().all(fits)
}

impl TryFrom<BTreeMap<String, String>> for Labels {
    type Error = InvalidLabels;

    fn try_from(labels: BTreeMap<String, String>) -> Result<Self, Self::Error> {
        if labels.len() > MOST_LABELS {
            return Err(InvalidLabels::TooMany(labels.len()));
        }
        for (key, value) in &labels {
            if !check_key(key) {
                return Err(InvalidLabels::Key(key.clone()));
            }
            if value.len() > MAX_VALUE_BYTES || value.chars().any(char::is_control) {
                return Err(InvalidLabels::Value(key.clone()));
            }
        }
        Ok(Self(labels))
    }
}

impl From<Labels> for BTreeMap<String, String> {
    fn from(labels: Labels) -> Self {
        labels.0
    }
}

impl utoipa::PartialSchema for Labels {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let value = ObjectBuilder::new().schema_type(Type::String).max_length(Some(MAX_VALUE_BYTES));
        let value = value.pattern(Some(r"^[^\x00-\x1f\x7f-\x9f]*$"));
        let key = ObjectBuilder::new().schema_type(Type::String).max_length(Some(MAX_KEY_BYTES));
        let key = key.pattern(Some(r"^[0-9A-Za-z]([-_./0-9A-Za-z]*[0-9A-Za-z])?$"));
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("Up to 32 labels: their keys and values."))
            .property_names(Some(key))
            .additional_properties(Some(AdditionalProperties::<utoipa::openapi::Schema>::RefOr(value.into())))
            .build()
            .into()
    }
}

impl utoipa::ToSchema for Labels {}

impl ToSql<Jsonb, Pg> for Labels {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let value = serde_json::to_value(self)?;
        ToSql::<Jsonb, Pg>::to_sql(&value, &mut out.reborrow())
    }
}

impl FromSql<Jsonb, Pg> for Labels {
    fn from_sql(bytes: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let value = <serde_json::Value as FromSql<Jsonb, Pg>>::from_sql(bytes)?;
        Ok(serde_json::from_value(value)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(all: &[(&str, &str)]) -> Result<Labels, InvalidLabels> {
        Labels::try_from(
            all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>(),
        )
    }

    #[test]
    fn labels_are_typed_one_a_line() {
        let typed = Labels::from_lines(" kind = ci\r\n\nurl=https://x.example/?a=b\n").unwrap();
        assert_eq!(typed.to_lines(), "kind=ci\nurl=https://x.example/?a=b\n");
        assert_eq!(Labels::from_lines(&typed.to_lines()), Ok(typed));
        assert_eq!(Labels::from_lines("\n"), Ok(Labels::default()));
        assert_eq!(Labels::from_lines("kind"), Err(InvalidLabels::Line("kind".to_owned())));
        assert_eq!(Labels::from_lines("a=1\na=2"), Err(InvalidLabels::Twice("a".to_owned())));
        assert_eq!(Labels::from_lines("=1"), Err(InvalidLabels::Key(String::new())));
    }

    #[test]
    fn labels_have_limits_that_name_the_label() {
        assert!(labels(&[("kind", "ci"), ("example.org/build-id", ""), ("a", "ü")]).is_ok());
        for key in ["", "-a", "a-", "a b", "ü", "a\0", &"k".repeat(64)] {
            assert_eq!(labels(&[(key, "")]), Err(InvalidLabels::Key(key.to_owned())));
        }
        for value in ["a\nb", "\0", &"v".repeat(256)] {
            assert_eq!(labels(&[("a", value)]), Err(InvalidLabels::Value("a".to_owned())));
        }
        let many: BTreeMap<String, String> = (0..33).map(|n| (format!("k{n}"), String::new())).collect();
        assert_eq!(Labels::try_from(many), Err(InvalidLabels::TooMany(33)));
    }
}
