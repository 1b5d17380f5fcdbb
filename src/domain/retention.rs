//! Retention rules: which versions of an owner a job moves to the trash, and which it keeps.

use super::names::{InvalidName, name, text_schema};
use super::pattern::NamePattern;
use super::role::word;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};

/// The most bytes in the name of a rule.
const MAX_NAME_BYTES: usize = 100;
/// The most patterns in one list of a rule.
const MAX_PATTERNS: usize = 100;
/// The most labels in a rule, and the most bytes in the name and the value of one.
const MAX_LABELS: usize = 32;
const MAX_LABEL_BYTES: usize = 255;
/// The most bytes in a regular expression, and in its compiled form: counted repetitions can make it very large.
const MAX_REGEX_BYTES: usize = 500;
const MAX_COMPILED_BYTES: usize = 64 << 10;
/// How deep groups may be nested in a regular expression.
const MAX_NESTING: u32 = 20;

name!(
    /// A rule's name: 1 to 100 bytes, one line, no outer white space.
    RuleName,
    check_name,
    text_schema("The name of a retention rule.", r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$")
        .max_length(Some(MAX_NAME_BYTES))
);

fn check_name(text: &str) -> Result<(), InvalidName> {
    match text {
        "" => Err(InvalidName::Empty),
        _ if text.len() > MAX_NAME_BYTES => Err(InvalidName::TooLong(MAX_NAME_BYTES)),
        _ if text.trim() != text => Err(InvalidName::OuterSpace),
        _ if text.chars().any(char::is_control) => Err(InvalidName::Characters("one line without control characters")),
        _ => Ok(()),
    }
}

word!(
    /// What `keep_last` is counted for.
    KeepPer, "package, major, minor" {
        Package = 0 "package",
        Major = 1 "major",
        Minor = 2 "minor",
    }
);

/// A number is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use a whole number from 0 to {0}")]
pub struct OutOfRange(i32);

/// A whole number from 0 to a limit. JSON has one kind of number, so 14.0 is one too.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $most:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i32);

        impl $name {
            /// The number.
            pub fn number(self) -> i32 {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = OutOfRange;

            fn try_from(number: i64) -> Result<Self, OutOfRange> {
                let number = i32::try_from(number).map_err(|_| OutOfRange($most))?;
                if (0..=$most).contains(&number) { Ok(Self(number)) } else { Err(OutOfRange($most)) }
            }
        }

        impl FromStr for $name {
            type Err = OutOfRange;

            fn from_str(text: &str) -> Result<Self, OutOfRange> {
                text.parse::<i64>().map_err(|_| OutOfRange($most))?.try_into()
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_i64(Whole)?.try_into().map_err(D::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_i32(self.0)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let format = SchemaFormat::KnownFormat(KnownFormat::Int32);
                let number = ObjectBuilder::new().schema_type(Type::Integer).format(Some(format));
                number.minimum(Some(0)).maximum(Some($most)).build().into()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

number!(
    /// A number of days.
    Days,
    36_500
);
number!(
    /// A number of versions to keep.
    Keep,
    1000
);

struct Whole;

impl Visitor<'_> for Whole {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
        Ok(i64::try_from(number).unwrap_or(i64::MAX))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i64, E> {
        // Whole, and larger than any limit where the conversion saturates.
        if number.fract() == 0.0 { Ok(number as i64) } else { Err(E::invalid_type(Unexpected::Float(number), &self)) }
    }
}

impl Days {
    /// The seconds.
    pub fn seconds(self) -> u64 {
        u64::from(self.0.unsigned_abs()) * 86_400
    }
}

/// A regular expression for whole names, whatever their case. It takes time linear in the length of the name.
#[derive(Clone)]
pub struct NameRegex {
    text: String,
    regex: regex::Regex,
}

/// A text is not a regular expression, or too large a one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRegex(String);

impl NameRegex {
    /// The regular expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a whole name matches.
    pub fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }
}

impl FromStr for NameRegex {
    type Err = InvalidRegex;

    fn from_str(text: &str) -> Result<Self, InvalidRegex> {
        if text.is_empty() {
            return Err(InvalidRegex("the regular expression is empty: leave it out".to_owned()));
        }
        if text.len() > MAX_REGEX_BYTES {
            return Err(InvalidRegex(format!("the regular expression is longer than {MAX_REGEX_BYTES} bytes")));
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidRegex("use a regular expression without control characters".to_owned()));
        }
        let build = |pattern: &str| {
            regex::RegexBuilder::new(pattern)
                .case_insensitive(true)
                .size_limit(MAX_COMPILED_BYTES)
                .dfa_size_limit(MAX_COMPILED_BYTES)
                .nest_limit(MAX_NESTING)
                .build()
        };
        // Alone first: a text such as `a)|(b` must not close the group around it.
        let whole = build(text).and_then(|_| build(&format!(r"\A(?:{text})\z")));
        let regex = whole.map_err(|error| InvalidRegex(problem_of(&error)))?;
        Ok(Self { text: text.to_owned(), regex })
    }
}

/// The problem in one line: the library draws a picture of several, and the last one has the reason.
fn problem_of(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => {
            "the regular expression is too large when compiled: use fewer or smaller counted repetitions".to_owned()
        }
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!("the regular expression is invalid: {}", last.trim().trim_start_matches("error: "))
        }
    }
}

impl fmt::Debug for NameRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl PartialEq for NameRegex {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for NameRegex {}

impl Serialize for NameRegex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl utoipa::PartialSchema for NameRegex {
    fn schema() -> RefOr<Schema> {
        let about = "A regular expression that must match the whole text, ignoring case.";
        text_schema(about, r"^[a-z0-9.]+$").max_length(Some(MAX_REGEX_BYTES)).build().into()
    }
}

impl utoipa::ToSchema for NameRegex {}

/// What a rule says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetentionRule {
    pub name: RuleName,
    /// Only enabled rules delete or keep anything.
    pub enabled: bool,
    /// The packages that the rule is about; empty for all.
    pub packages: Vec<NamePattern>,
    /// The versions that it is about; empty for all.
    pub versions: Vec<NamePattern>,
    /// The labels that a version must have for the rule to be about it.
    pub labels: BTreeMap<String, String>,
    /// The two regular expressions are compared with `package/version`.
    pub match_full_name: bool,
    pub delete_pattern: Option<NameRegex>,
    pub delete_older_than_days: Option<Days>,
    pub delete_not_downloaded_for_days: Option<Days>,
    pub delete_superseded_prereleases: bool,
    pub keep_last: Option<Keep>,
    pub keep_last_per: KeepPer,
    pub keep_versions: Vec<NamePattern>,
    pub keep_pattern: Option<NameRegex>,
    pub keep_if_downloaded_within_days: Option<Days>,
}

impl RetentionRule {
    /// Whether the rule deletes anything; otherwise it only protects.
    pub fn deletes(&self) -> bool {
        self.delete_pattern.is_some()
            || self.delete_older_than_days.is_some()
            || self.delete_not_downloaded_for_days.is_some()
            || self.delete_superseded_prereleases
    }

    /// Whether the rule protects anything.
    pub fn keeps(&self) -> bool {
        self.keep_last.is_some_and(|keep| keep.number() > 0)
            || !self.keep_versions.is_empty()
            || self.keep_pattern.is_some()
            || self.keep_if_downloaded_within_days.is_some()
    }

    /// The first field that is wrong, and what is wrong with it.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        for (field, patterns) in
            [("packages", &self.packages), ("versions", &self.versions), ("keep_versions", &self.keep_versions)]
        {
            if patterns.len() > MAX_PATTERNS {
                return Some((field, format!("{} patterns are too many: use at most {MAX_PATTERNS}", patterns.len())));
            }
        }
        if self.labels.len() > MAX_LABELS {
            return Some(("labels", format!("use at most {MAX_LABELS} labels")));
        }
        let is_text = |text: &str| text.len() <= MAX_LABEL_BYTES && !text.chars().any(char::is_control);
        if let Some((label, _)) = self.labels.iter().find(|(label, value)| !is_text(label) || !is_text(value)) {
            let limit = format!("use names and values of up to {MAX_LABEL_BYTES} bytes without control characters");
            return Some(("labels", format!("the label {label:?} is invalid: {limit}")));
        }
        if !self.deletes() && !self.keeps() {
            let problem = "the rule neither deletes nor keeps anything: give it a delete_ or a keep_ condition";
            return Some(("name", problem.to_owned()));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_expressions_match_whole_names_whatever_their_case() {
        let matches = |regex: &str, name: &str| regex.parse::<NameRegex>().unwrap().matches(name);
        assert!(matches("a|b", "B") && !matches("a|b", "ab"));
        assert!(matches(".*-snapshot", "1.0-SNAPSHOT") && !matches("snapshot", "1.0-snapshot"));
    }

    #[test]
    fn large_and_broken_regular_expressions_are_refused_with_the_reason() {
        let refused = |regex: &str| regex.parse::<NameRegex>().unwrap_err().to_string();
        assert!(refused("(").contains("unclosed group"), "{}", refused("("));
        assert!(refused("a)|(b").contains("unopened group"));
        assert!(refused(r"(?:\w{100}){100}").contains("too large"));
        assert!(refused(&"(?:".repeat(30)).contains("invalid"));
        assert!(refused(&"a".repeat(501)).contains("longer than 500 bytes"));
        assert!(refused(r"(a)\1").contains("backreferences"), "they can take exponential time");
        assert!(refused("").contains("empty") && refused("a\n").contains("control"));
    }

    #[test]
    fn numbers_are_whole_and_within_their_range() {
        let days = |json: &str| serde_json::from_str::<Days>(json).map(Days::number).map_err(|error| error.to_string());
        assert_eq!((days("14"), days("14.0"), days("0")), (Ok(14), Ok(14), Ok(0)));
        for wrong in ["-1", "36501", "1e300", "99999999999999999999"] {
            assert!(days(wrong).unwrap_err().contains("from 0 to 36500"), "{wrong}");
        }
        assert!(days("1.5").is_err() && days("\"14\"").is_err());
        assert!("1001".parse::<Keep>().is_err());
    }
}
