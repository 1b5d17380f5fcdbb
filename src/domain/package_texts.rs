//! Texts that publishers write about packages and versions. They are displayed, never compared.

use super::names::{InvalidName, name, text_schema};

/// The most characters in a package's description.
const MAX_SUMMARY_CHARS: usize = 200;
/// The most characters in a reason or message.
const MAX_REASON_CHARS: usize = 500;
/// The most bytes in a Markdown text.
const MAX_MARKDOWN_BYTES: usize = 256 << 10;

name!(
    /// What a package is, in one line of at most 200 characters; it may be empty.
    #[derive(Default)]
    Summary,
    check_summary,
    text_schema("One line of up to 200 characters without control characters.", LINE).max_length(Some(MAX_SUMMARY_CHARS))
);
name!(
    /// Why a version was yanked, deprecated or put on hold, in one line of at most 500 characters; it may be empty.
    #[derive(Default)]
    Reason,
    check_reason,
    text_schema("One line of up to 500 characters without control characters.", LINE).max_length(Some(MAX_REASON_CHARS))
);
name!(
    /// A Markdown text of at most 256 KiB, without control characters other than line breaks and tabs; it may be empty.
    #[derive(Default)]
    Markdown,
    check_markdown,
    text_schema("Markdown, up to 256 KiB.", r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")
        .max_length(Some(MAX_MARKDOWN_BYTES))
);

/// One line as a regular expression.
const LINE: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";

impl Reason {
    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.as_str().is_empty()
    }
}

impl Markdown {
    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.as_str().trim().is_empty()
    }
}

fn check_line(text: &str, most: usize) -> Result<(), InvalidName> {
    if text.chars().count() > most {
        return Err(InvalidName::TooManyCharacters(most));
    }
    match text.chars().any(char::is_control) {
        true => Err(InvalidName::Characters("one line without control characters")),
        false => Ok(()),
    }
}

fn check_summary(text: &str) -> Result<(), InvalidName> {
    check_line(text, MAX_SUMMARY_CHARS)
}

fn check_reason(text: &str) -> Result<(), InvalidName> {
    check_line(text, MAX_REASON_CHARS)
}

fn check_markdown(text: &str) -> Result<(), InvalidName> {
    if text.len() > MAX_MARKDOWN_BYTES {
        return Err(InvalidName::TooLong(MAX_MARKDOWN_BYTES));
    }
    match text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        true => Err(InvalidName::Characters("text without control characters other than line breaks and tabs")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_limited_in_characters_and_markdown_in_bytes() {
        assert!("ü".repeat(200).parse::<Summary>().is_ok() && "ü".repeat(201).parse::<Summary>().is_err());
        assert!("".parse::<Reason>().unwrap().is_empty() && "a\nb".parse::<Reason>().is_err());
        assert!("ü".repeat(128 << 10).parse::<Markdown>().is_ok());
        for wrong in ["a\0", "\u{1b}[31m", &"x".repeat(MAX_MARKDOWN_BYTES + 1)] {
            assert!(wrong.parse::<Markdown>().is_err());
        }
    }
}
