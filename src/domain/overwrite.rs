//! Whether an upload may take the place of an existing file.

use super::digest::Sha256;
use super::names::InvalidName;
use super::pattern::NamePattern;
use super::version::Version;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most patterns of a package.
const MAX_PATTERNS: usize = 32;

/// The versions of a package whose files may be replaced by an upload.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overwrite {
    /// No file of any version.
    #[default]
    Never,
    /// The files of every version.
    Always,
    /// The files of versions that match one of these patterns.
    Versions(Patterns),
}

/// One to 32 patterns for versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "Vec<NamePattern>", into = "Vec<NamePattern>")]
pub struct Patterns(Vec<NamePattern>);

impl TryFrom<Vec<NamePattern>> for Patterns {
    type Error = WrongNumber;

    fn try_from(patterns: Vec<NamePattern>) -> Result<Self, Self::Error> {
        if patterns.is_empty() || patterns.len() > MAX_PATTERNS { Err(WrongNumber) } else { Ok(Self(patterns)) }
    }
}

impl From<Patterns> for Vec<NamePattern> {
    fn from(patterns: Patterns) -> Self {
        patterns.0
    }
}

/// There are no patterns, or too many.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("list 1 to {MAX_PATTERNS} patterns; for no version, use \"never\"")]
pub struct WrongNumber;

impl Overwrite {
    /// Whether files of a version may be replaced.
    pub fn allows(&self, version: &Version) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Versions(Patterns(patterns)) => {
                let lower = version.lower();
                patterns.iter().any(|pattern| pattern.matches(&lower))
            }
        }
    }

    /// Parses patterns separated by spaces or commas, which is how people type them.
    ///
    /// # Errors
    /// Text that says what to do.
    pub fn for_versions(text: &str) -> Result<Self, String> {
        let words = text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
        let patterns: Result<Vec<NamePattern>, _> = words.map(str::parse).collect();
        let patterns = patterns.map_err(|error| error.to_string())?;
        let wrong = |_| format!("type 1 to {MAX_PATTERNS} patterns, such as nightly or *-SNAPSHOT");
        Patterns::try_from(patterns).map(Self::Versions).map_err(wrong)
    }

    /// The setting as the database has it: a list of patterns.
    pub fn patterns(&self) -> Vec<String> {
        match self {
            Self::Never => Vec::new(),
            Self::Always => vec!["*".to_owned()],
            Self::Versions(Patterns(patterns)) => patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
        }
    }
}

/// From [`Overwrite::patterns`].
impl TryFrom<Vec<String>> for Overwrite {
    type Error = InvalidName;

    fn try_from(patterns: Vec<String>) -> Result<Self, InvalidName> {
        Ok(match patterns.as_slice() {
            [] => Self::Never,
            [all] if all == "*" => Self::Always,
            some => Self::Versions(Patterns(some.iter().map(|text| text.parse()).collect::<Result<_, _>>()?)),
        })
    }
}

/// The file that a request expects to replace (`If-Match`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: any file.
    Any,
    /// A file with one of these digests; with none, the condition never holds.
    OneOf(Vec<Sha256>),
}

impl IfMatch {
    /// Whether this is the expected file; `None` stands for no file.
    pub fn holds(&self, stored: Option<Sha256>) -> bool {
        match (self, stored) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::OneOf(digests), Some(stored)) => digests.contains(&stored),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overwrite_is_a_word_or_patterns_in_json_and_patterns_in_the_database() {
        for (json, patterns, allows) in [
            (r#""never""#, vec![], [false, false]),
            (r#""always""#, vec!["*"], [true, true]),
            (r#"{"versions":["nightly","*-SNAPSHOT"]}"#, vec!["nightly", "*-SNAPSHOT"], [true, false]),
        ] {
            let overwrite: Overwrite = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&overwrite).unwrap(), json);
            assert_eq!(overwrite.patterns(), patterns);
            assert_eq!(Overwrite::try_from(overwrite.patterns()).unwrap(), overwrite);
            let allowed = ["Nightly", "1.0"].map(|version| overwrite.allows(&version.parse().unwrap()));
            assert_eq!(allowed, allows, "{json}");
        }
        for wrong in [r#""sometimes""#, r#"{"versions":[]}"#, r#"{"versions":[""]}"#, r#"{"files":["*"]}"#, "true"] {
            assert!(serde_json::from_str::<Overwrite>(wrong).is_err(), "{wrong}");
        }
    }
}
