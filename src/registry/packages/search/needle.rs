//! The text of a search, and its words.

use crate::error::{Error, Result};
use std::str::FromStr;

/// The most bytes of a search text.
pub(super) const MAX_NEEDLE_BYTES: usize = 255;
/// The most words of a search text: each is looked for on its own.
const MAX_WORDS: usize = 8;

/// A text to search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needle(pub(super) String);

impl FromStr for Needle {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |problem: &str| Err(Error::invalid("q", problem.to_owned()));
        match text.trim() {
            "" => wrong("q: the search text is empty"),
            text if text.len() > MAX_NEEDLE_BYTES => wrong("q: the search text is longer than 255 bytes"),
            text if text.chars().any(char::is_control) => {
                wrong("q: the search text must not contain control characters")
            }
            text => Ok(Self(text.to_owned())),
        }
    }
}

impl Needle {
    /// The words of the text in lower case, as people type them: `acme/shipit 1.2` has three. More than [`MAX_WORDS`] are
    /// one text.
    pub(super) fn words(&self) -> Vec<String> {
        let lower = self.0.to_lowercase();
        let mut words: Vec<String> = Vec::new();
        for word in lower.split(|c: char| c.is_whitespace() || c == '/').filter(|word| !word.is_empty()) {
            if !words.iter().any(|known| known == word) {
                words.push(word.to_owned());
            }
        }
        if words.is_empty() || words.len() > MAX_WORDS { vec![lower] } else { words }
    }
}
