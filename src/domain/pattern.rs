//! Patterns for names, in which `*` stands for any run of characters.

use super::names::{InvalidName, MAX_NAME_BYTES, name, text_schema};
use std::borrow::Cow;

name!(
    /// A pattern for packages or versions: `*` matches any run of characters, every other character matches itself, ignoring case.
    /// At most 255 bytes without control characters.
    NamePattern,
    check,
    text_schema(
        "A pattern for names: `*` matches any characters, and everything else matches itself.",
        r"^[^\x00-\x1f\x7f-\x9f]+$"
    )
    .max_length(Some(MAX_NAME_BYTES))
);

impl NamePattern {
    /// Whether a name in lower case matches.
    pub fn matches(&self, lower_name: &str) -> bool {
        matches(&one_sigma(self.lower().into()), &one_sigma(lower_name.into()))
    }
}

/// A text in lower case with one form of the Greek letter sigma. Its form at the end of a word depends on what follows
/// (Unicode Standard §3.13), and in a pattern that is something else than in the name.
fn one_sigma(lower: Cow<'_, str>) -> Cow<'_, str> {
    if lower.contains('ς') { Cow::Owned(lower.replace('ς', "σ")) } else { lower }
}

fn check(text: &str) -> Result<(), InvalidName> {
    match text.len() {
        0 => Err(InvalidName::Empty),
        length if length > MAX_NAME_BYTES => Err(InvalidName::TooLong(MAX_NAME_BYTES)),
        _ if text.chars().any(char::is_control) => Err(InvalidName::Characters("text without control characters")),
        _ => Ok(()),
    }
}

/// Whether a whole text matches a pattern; both are compared as they are.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_patterns_match_whole_versions_and_ignore_case() {
        let matches = |pattern: &str, version: &str| pattern.parse::<NamePattern>().unwrap().matches(version);
        assert!(matches("nightly", "nightly"));
        assert!(!matches("nightly", "nightly-2"));
        assert!(matches("*-SNAPSHOT", "1.0-snapshot"));
        assert!(!matches("*-SNAPSHOT", "1.0-snapshot.1"));
        assert!(matches("1.*/ü*", "1.2/übung"));
        assert!(matches("ΑΣ*", &"ΑΣΑ".to_lowercase()) && matches("*ΑΣ", &"ΑΣΑ ΑΣ".to_lowercase()));
        assert!("".parse::<NamePattern>().is_err() && "a\nb".parse::<NamePattern>().is_err());
        assert!("*".repeat(256).parse::<NamePattern>().is_err());
    }
}
