//! The name of a channel: a word of a package that stands for one of its versions.

use super::names::{InvalidName, name, text_schema};

/// The most bytes in a channel's name.
const MOST: usize = 64;

name!(
    /// A channel's name: a letter, then letters, digits, `-`, `.` and `_`, at most 64 bytes. It begins with a letter, so
    /// that it is never taken for a version requirement. `latest` is no channel, because it has a meaning of its own.
    ChannelName,
    check,
    text_schema("A channel's name.", r"^(?![Ll][Aa][Tt][Ee][Ss][Tt]$)[A-Za-z][-._0-9A-Za-z]*$").max_length(Some(MOST))
);

fn check(text: &str) -> Result<(), InvalidName> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    match text.as_bytes() {
        [] => Err(InvalidName::Empty),
        bytes if bytes.len() > MOST => Err(InvalidName::TooLong(MOST)),
        [first, ..] if !first.is_ascii_alphabetic() || !text.bytes().all(fits) => {
            Err(InvalidName::Characters("a letter first, then only letters, digits, hyphens, periods, and underscores"))
        }
        _ if text.eq_ignore_ascii_case("latest") => {
            Err(InvalidName::Characters("another name: latest always stands for the latest version"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_names_begin_with_a_letter_and_are_not_latest() {
        for text in ["beta", "LTS", "v1", "x", "stable-2026.1_a", &"a".repeat(64)] {
            assert!(text.parse::<ChannelName>().is_ok(), "{text}");
        }
        for text in ["", "1", "1.x", "^1", "-beta", "latest", "Latest", "a b", "a/b", "ü", "a@b", &"a".repeat(65)] {
            assert!(text.parse::<ChannelName>().is_err(), "{text}");
        }
    }
}
