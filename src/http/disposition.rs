//! The `Content-Disposition` header of a download (RFC 6266, RFC 8187).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but the `attr-char` of RFC 8187 §3.2.1.
const NOT_ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// `attachment` with the file's name twice: in ASCII for old clients, with quotes and backslashes escaped and every
/// other character that is not printable ASCII as an underscore; and in full, percent-encoded. It is one header,
/// whatever the name is.
pub fn attachment(name: &str) -> String {
    let mut value = String::with_capacity(48 + 2 * name.len());
    value.push_str("attachment; filename=\"");
    for letter in name.chars() {
        match letter {
            '"' | '\\' => value.extend(['\\', letter]),
            ' '..='~' => value.push(letter),
            _ => value.push('_'),
        }
    }
    value.push_str("\"; filename*=UTF-8''");
    value.extend(utf8_percent_encode(name, NOT_ATTR_CHAR));
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn content_disposition_has_both_forms_of_a_plain_name() {
        assert_eq!(
            attachment("tool-1.0.tar.gz"),
            "attachment; filename=\"tool-1.0.tar.gz\"; filename*=UTF-8''tool-1.0.tar.gz"
        );
    }

    #[test]
    fn dangerous_file_names_stay_inside_their_quotes() {
        assert_eq!(
            attachment("a\"; b\\.x"),
            "attachment; filename=\"a\\\"; b\\\\.x\"; filename*=UTF-8''a%22%3B%20b%5C.x"
        );
        assert_eq!(attachment("é\r\nX: y"), "attachment; filename=\"___X: y\"; filename*=UTF-8''%C3%A9%0D%0AX%3A%20y");
        assert_eq!(attachment("50%'(x)*"), "attachment; filename=\"50%'(x)*\"; filename*=UTF-8''50%25%27%28x%29%2A");
    }

    proptest! {
        #[test]
        fn every_file_name_is_one_valid_header_and_round_trips(name in "\\PC{0,40}|(?s:.{0,40})") {
            let value = attachment(&name);
            prop_assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            let (_, encoded) = value.rsplit_once("''").unwrap();
            prop_assert_eq!(percent_encoding::percent_decode_str(encoded).decode_utf8().unwrap(), name.as_str());
            // Unescaping the quoted string must end exactly before the second parameter.
            let rest = value.strip_prefix("attachment; filename=\"").unwrap();
            let mut letters = rest.chars();
            let mut quoted = 0;
            loop {
                match letters.next() {
                    Some('\\') => { letters.next(); quoted += 1; }
                    Some('"') => break,
                    Some(_) => quoted += 1,
                    None => prop_assert!(false, "no closing quote"),
                }
            }
            prop_assert_eq!(quoted, name.chars().count());
            prop_assert!(letters.as_str().starts_with("; filename*=UTF-8''"));
        }
    }
}
