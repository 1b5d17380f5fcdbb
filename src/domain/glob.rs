//! Patterns in which `*` stands for any characters.

use super::names::{InvalidName, MAX_NAME_BYTES, name, text_schema};
use super::pattern;

name!(
    /// A pattern for names of packages or versions: `*` stands for any characters, everything else for itself, whatever
    /// its case. At most 255 bytes without control characters.
    NamePattern,
    check_pattern,
    text_schema("A pattern of names: `*` stands for any characters.", r"^[^\x00-\x1f\x7f-\x9f]+$")
        .max_length(Some(MAX_NAME_BYTES))
);

impl NamePattern {
    /// Whether a name in lower case matches.
    pub fn matches(&self, lower_name: &str) -> bool {
        pattern::matches(&self.lower(), lower_name)
    }
}

fn check_pattern(text: &str) -> Result<(), InvalidName> {
    match text {
        "" => Err(InvalidName::Empty),
        _ if text.len() > MAX_NAME_BYTES => Err(InvalidName::TooLong(MAX_NAME_BYTES)),
        _ if text.chars().any(char::is_control) => Err(InvalidName::Characters("text without control characters")),
        _ => Ok(()),
    }
}
