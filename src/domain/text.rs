//! Texts that people write about themselves and their things: shown, never compared.

use super::names::{InvalidName, name, text_schema};

/// Most bytes in a line.
const MAX_LINE_BYTES: usize = 255;
/// Most bytes in a description.
const MAX_PROSE_BYTES: usize = 2000;

name!(
    /// One line, such as a full name: at most 255 bytes without control characters; it may be empty.
    #[derive(Default)]
    Line,
    check_line,
    text_schema("A line: up to 255 bytes without control characters.", r"^[^\x00-\x1f\x7f-\x9f]*$").max_length(Some(MAX_LINE_BYTES))
);
name!(
    /// A description: at most 2,000 bytes without control characters, but it may have lines and tabs; it may be empty.
    #[derive(Default)]
    Prose,
    check_prose,
    text_schema(
        "Lines of text: up to 2,000 bytes without other control characters.",
        r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
    ).max_length(Some(MAX_PROSE_BYTES))
);

fn check_line(text: &str) -> Result<(), InvalidName> {
    if text.len() > MAX_LINE_BYTES {
        return Err(InvalidName::TooLong(MAX_LINE_BYTES));
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidName::Characters("one line, without control characters"));
    }
    Ok(())
}

fn check_prose(text: &str) -> Result<(), InvalidName> {
    if text.len() > MAX_PROSE_BYTES {
        return Err(InvalidName::TooLong(MAX_PROSE_BYTES));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(InvalidName::Characters("lines of text, without other control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_an_end_and_no_control_characters() {
        assert!("".parse::<Line>().is_ok());
        assert!("Ada Lovelace, née Byron 🦀".parse::<Line>().is_ok());
        assert!("x".repeat(255).parse::<Line>().is_ok());
        assert_eq!("x".repeat(256).parse::<Line>(), Err(InvalidName::TooLong(255)));
        for wrong in ["a\0", "a\nb", "\u{1b}[31m", "\u{85}"] {
            assert!(wrong.parse::<Line>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn prose_may_have_lines_but_no_other_control_characters() {
        assert!("one\n\ttwo\r\nthree".parse::<Prose>().is_ok());
        assert!("é".repeat(1000).parse::<Prose>().is_ok());
        assert_eq!("é".repeat(1001).parse::<Prose>(), Err(InvalidName::TooLong(2000)));
        for wrong in ["a\0", "\u{7}", "\u{9b}"] {
            assert!(wrong.parse::<Prose>().is_err(), "{wrong:?}");
        }
    }
}
