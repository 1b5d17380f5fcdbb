//! Texts that people write about themselves and their things. They are displayed, never compared.

use super::names::{InvalidName, name, text_schema};
use std::borrow::Cow;

/// The most bytes in a line.
const MAX_LINE_BYTES: usize = 255;
/// The most bytes in the name of a passkey.
const MAX_PASSKEY_BYTES: usize = 100;
/// The most bytes in a description.
const MAX_PROSE_BYTES: usize = 2000;

name!(
    /// One line, such as a full name: at most 255 bytes without control characters; it may be empty.
    #[derive(Default)]
    Line,
    check_line,
    text_schema("A line of up to 255 bytes without control characters.", r"^[^\x00-\x1f\x7f-\x9f]*$").max_length(Some(MAX_LINE_BYTES))
);
name!(
    /// A description: at most 2,000 bytes without control characters other than line breaks and tabs; it may be empty.
    #[derive(Default)]
    Prose,
    check_prose,
    text_schema(
        "Lines of text, up to 2,000 bytes, without other control characters.",
        r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
    ).max_length(Some(MAX_PROSE_BYTES))
);
name!(
    /// The address of a web page: `http://` or `https://`, at most 255 bytes without white space; it may be empty.
    /// Pages show it as a link, so it must not be anything that a browser would run.
    #[derive(Default)]
    Website,
    check_website,
    text_schema("The http or https address of a page, or an empty string.", r#"^([hH][tT][tT][pP][sS]?://[^/\s<>"\x00-\x1f\x7f-\x9f][^\s<>"\x00-\x1f\x7f-\x9f]*)?$"#)
        .max_length(Some(MAX_LINE_BYTES))
);

name!(
    /// A team's name: letters, digits, spaces and `- _ .`, at most 255 bytes, no outer white space.
    TeamName,
    check_team,
    text_schema("A team's name.", r"^[\p{L}\p{N}\-_.]([\p{L}\p{N}\-_. ]*[\p{L}\p{N}\-_.])?$").max_length(Some(MAX_LINE_BYTES))
);

name!(
    /// What a user calls a passkey: one line of 1 to 100 bytes, no outer white space.
    PasskeyName,
    check_passkey,
    text_schema("A passkey's name.", r"^[^\x00-\x1f\x7f-\x9f]+$").max_length(Some(MAX_PASSKEY_BYTES))
);

/// Whether a character is one of the 66 that no text may contain (Unicode Standard §23.7). XML forbids some of them.
fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    code & 0xfffe == 0xfffe || matches!(code, 0xfdd0..=0xfdef)
}

/// A text that a terminal, a browser and a feed reader show as text: control characters other than line breaks and tabs,
/// and noncharacters, become visible symbols. Others wrote the text, and control characters could recolor, hide or
/// overwrite what surrounds it.
pub fn visible(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t') || is_noncharacter(c);
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let show = |c: char| match u32::from(c) {
        _ if !hidden(c) => c,
        // The block Control Pictures has a symbol for each of them.
        code @ 0..0x20 => char::from_u32(0x2400 + code).unwrap_or(char::REPLACEMENT_CHARACTER),
        0x7f => '\u{2421}',
        _ => char::REPLACEMENT_CHARACTER,
    };
    Cow::Owned(text.chars().map(show).collect())
}

fn check_team(text: &str) -> Result<(), InvalidName> {
    check_line(text)?;
    if text.is_empty() {
        return Err(InvalidName::Empty);
    }
    if text.trim() != text {
        return Err(InvalidName::OuterSpace);
    }
    if !text.chars().all(|c| c.is_alphanumeric() || "-_. ".contains(c)) {
        return Err(InvalidName::Characters("only letters, digits, spaces, hyphens, underscores, and periods"));
    }
    Ok(())
}

fn check_passkey(text: &str) -> Result<(), InvalidName> {
    check_line(text)?;
    match text {
        "" => Err(InvalidName::Empty),
        _ if text.trim() != text => Err(InvalidName::OuterSpace),
        _ if text.len() > MAX_PASSKEY_BYTES => Err(InvalidName::TooLong(MAX_PASSKEY_BYTES)),
        _ => Ok(()),
    }
}

fn check_website(text: &str) -> Result<(), InvalidName> {
    check_line(text)?;
    let lower = text.to_ascii_lowercase();
    let rest = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"));
    let shaped = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    let fits = |c: char| !c.is_whitespace() && !matches!(c, '<' | '>' | '"');
    if text.is_empty() || shaped && text.chars().all(fits) {
        return Ok(());
    }
    Err(InvalidName::Characters("an address that begins with http:// or https://, or leave it empty"))
}

fn check_line(text: &str) -> Result<(), InvalidName> {
    if text.len() > MAX_LINE_BYTES {
        return Err(InvalidName::TooLong(MAX_LINE_BYTES));
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidName::Characters("one line without control characters"));
    }
    Ok(())
}

fn check_prose(text: &str) -> Result<(), InvalidName> {
    if text.len() > MAX_PROSE_BYTES {
        return Err(InvalidName::TooLong(MAX_PROSE_BYTES));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(InvalidName::Characters("text whose only control characters are tabs and line breaks"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_visible_and_other_text_stays() {
        assert_eq!(visible("a\tb\r\nü€"), "a\tb\r\nü€");
        assert_eq!(visible("\u{1b}[31m\u{0}\u{7f}\u{9b}x"), "\u{241b}[31m\u{2400}\u{2421}\u{fffd}x");
    }

    #[test]
    fn a_line_has_a_maximum_length_and_no_control_characters() {
        assert!("".parse::<Line>().is_ok());
        assert!("Ada Lovelace, née Byron 🦀".parse::<Line>().is_ok());
        assert!("x".repeat(255).parse::<Line>().is_ok());
        assert_eq!("x".repeat(256).parse::<Line>(), Err(InvalidName::TooLong(255)));
        for wrong in ["a\0", "a\nb", "\u{1b}[31m", "\u{85}"] {
            assert!(wrong.parse::<Line>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_website_must_be_http_or_https_and_never_a_script() {
        for good in ["", "https://example.org", "HTTP://example.org:8080/a?b#c", "https://xn--bcher-kva.example/ü"] {
            assert!(good.parse::<Website>().is_ok(), "{good:?}");
        }
        for wrong in
            ["example.org", "javascript:alert(1)", "https://", "https:///a", "https://a b", "http://a\"b", "ftp://a"]
        {
            assert!(wrong.parse::<Website>().is_err(), "{wrong:?}");
        }
        assert!(format!("https://{}", "x".repeat(250)).parse::<Website>().is_err());
    }

    #[test]
    fn prose_may_have_line_breaks_but_no_other_control_characters() {
        assert!("one\n\ttwo\r\nthree".parse::<Prose>().is_ok());
        assert!("é".repeat(1000).parse::<Prose>().is_ok());
        assert_eq!("é".repeat(1001).parse::<Prose>(), Err(InvalidName::TooLong(2000)));
        for wrong in ["a\0", "\u{7}", "\u{9b}"] {
            assert!(wrong.parse::<Prose>().is_err(), "{wrong:?}");
        }
    }
}
