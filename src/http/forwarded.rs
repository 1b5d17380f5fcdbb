//! The addresses that proxies report: `X-Forwarded-For`, or else `Forwarded` (RFC 7239).

use actix_web::http::header::{self, HeaderMap, HeaderName};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The reported addresses, the nearest first: each proxy appends the address that it was called from. `None` is an
/// entry that has no address, such as `unknown` or a syntax error.
///
/// `Forwarded` counts only in a request without `X-Forwarded-For`: most proxies write the latter and pass on the former
/// as their client sent it.
pub fn reported(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    // A field that is not ASCII has entries too: leaving it out would promote those before it.
    let mut entries: Vec<_> = match headers.contains_key(&X_FORWARDED_FOR) {
        true => headers.get_all(X_FORWARDED_FOR).flat_map(|value| listed(value.as_bytes())).collect(),
        false => headers.get_all(header::FORWARDED).flat_map(|value| forwarded(value.as_bytes())).collect(),
    };
    entries.reverse();
    entries
}

/// The entries of `X-Forwarded-For`.
fn listed(value: &[u8]) -> Vec<Option<IpAddr>> {
    let entry = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok()?.trim();
        let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        address(bare.unwrap_or(text))
    };
    value.split(|byte| *byte == b',').map(entry).collect()
}

/// The entries of `Forwarded`. A syntax error in its quotes is one bad entry, because it hides where the others end.
fn forwarded(value: &[u8]) -> Vec<Option<IpAddr>> {
    let elements = std::str::from_utf8(value).ok().and_then(|text| split(text, ','));
    let Some(elements) = elements else { return vec![None] };
    elements.into_iter().map(of_element).collect()
}

/// The address of the only `for` in an element such as `for="[2001:db8::1]:51008";proto=https`.
fn of_element(element: &str) -> Option<IpAddr> {
    let mut clients = Vec::new();
    for pair in split(element, ';')?.into_iter().map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        if name.eq_ignore_ascii_case("for") {
            clients.push(value);
        }
    }
    match clients[..] {
        [value] => address(&unquoted(value)?),
        _ => None,
    }
}

/// Splits a text at a separator outside of quoted strings; `None` if a quoted string does not end.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if letter == separator && !quoted => {
                parts.push(text.get(start..at)?);
                start = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    (!quoted).then_some(parts)
}

/// The text of a token or of a quoted string (RFC 9110 §5.6.4).
fn unquoted(value: &str) -> Option<String> {
    let Some(rest) = value.strip_prefix('"') else { return Some(value.to_owned()) };
    let (mut text, mut escaped) = (String::new(), false);
    for letter in rest.strip_suffix('"')?.chars() {
        if !escaped && letter == '\\' {
            escaped = true;
        } else {
            text.push(letter);
            escaped = false;
        }
    }
    (!escaped).then_some(text)
}

/// The address of a node: `192.0.2.7`, `192.0.2.7:5101`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:51008`.
fn address(node: &str) -> Option<IpAddr> {
    if let Some(rest) = node.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address = address.parse::<Ipv6Addr>().ok()?;
        return (port.is_empty() || is_port(port.strip_prefix(':')?)).then_some(address.into());
    }
    match node.split_once(':') {
        Some((address, port)) if !port.contains(':') => {
            let address = address.parse::<Ipv4Addr>().ok()?;
            is_port(port).then_some(address.into())
        }
        _ => node.parse().ok(),
    }
}

/// Whether a text is a port, or a word that stands for one (RFC 7239 §6.3).
fn is_port(text: &str) -> bool {
    let word = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits && text.parse::<u16>().is_ok() || text.strip_prefix('_').is_some_and(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    fn read(fields: &[(HeaderName, &[u8])]) -> Vec<Option<String>> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.clone(), HeaderValue::from_bytes(value).unwrap());
        }
        reported(&headers).into_iter().map(|entry| entry.map(|address| address.to_string())).collect()
    }

    fn some(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|text| (!text.is_empty()).then(|| (*text).to_owned())).collect()
    }

    #[test]
    fn x_forwarded_for_is_read_in_all_its_spellings() {
        for (value, found) in [
            ("192.0.2.7", &["192.0.2.7"][..]),
            ("192.0.2.7:5101", &["192.0.2.7"]),
            ("2001:db8::1", &["2001:db8::1"]),
            ("[2001:db8::1]", &["2001:db8::1"]),
            ("[2001:db8::1]:51008", &["2001:db8::1"]),
            ("\"[2001:db8::1]:51008\"", &["2001:db8::1"]),
            ("\"192.0.2.7:5101\" ,\t198.51.100.1", &["198.51.100.1", "192.0.2.7"]),
            ("::ffff:192.0.2.7", &["::ffff:192.0.2.7"]),
            ("unknown, 192.0.2.7", &["192.0.2.7", ""]),
            ("192.0.2.7,", &["", "192.0.2.7"]),
            ("", &[""]),
            ("192.0.2.7:", &[""]),
            ("192.0.2.7:99999", &[""]),
            ("192.0.2.7:+80", &[""]),
            ("192.0.2.7.", &[""]),
            ("192.0.2", &[""]),
            ("[192.0.2.7]:80", &[""]),
            ("[2001:db8::1", &[""]),
            ("[2001:db8::1]51008", &[""]),
            ("\"192.0.2.7", &[""]),
            ("for=192.0.2.7", &[""]),
            ("http://192.0.2.7", &[""]),
        ] {
            assert_eq!(read(&[(X_FORWARDED_FOR, value.as_bytes())]), some(found), "{value}");
        }
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_says() {
        for (value, found) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", &["192.0.2.60"][..]),
            ("For=\"[2001:db8:cafe::17]:4711\"", &["2001:db8:cafe::17"]),
            ("by=_hidden; for=192.0.2.43, FOR=198.51.100.17:_port", &["198.51.100.17", "192.0.2.43"]),
            ("for=\"192.0.2.43:47011\"", &["192.0.2.43"]),
            ("for=\"\\192.0.2.43\"", &["192.0.2.43"]),
            ("for=192.0.2.1;host=\"a,for=192.0.2.2;b\"", &["192.0.2.1"]),
            ("for=192.0.2.1;host=\"a\\\",for=192.0.2.2\"", &["192.0.2.1"]),
            ("for=unknown", &[""]),
            ("for=_gazonk, for=192.0.2.1", &["192.0.2.1", ""]),
            ("proto=https", &[""]),
            ("for=192.0.2.1;for=192.0.2.2", &[""]),
            ("for=192.0.2.1;host=\"open, for=192.0.2.2", &[""]),
            ("for=\"192.0.2.1", &[""]),
            ("192.0.2.1", &[""]),
            ("for = 192.0.2.1", &[""]),
        ] {
            assert_eq!(read(&[(header::FORWARDED, value.as_bytes())]), some(found), "{value}");
        }
    }

    #[test]
    fn a_field_that_is_not_ascii_hides_no_entry() {
        let first = (X_FORWARDED_FOR, &b"192.0.2.1"[..]);
        assert_eq!(
            read(&[first.clone(), (X_FORWARDED_FOR, b"\xff, 198.51.100.1")]),
            some(&["198.51.100.1", "", "192.0.2.1"])
        );
        assert_eq!(read(&[first, (header::FORWARDED, b"for=198.51.100.1")]), some(&["192.0.2.1"]));
        assert_eq!(
            read(&[(header::FORWARDED, b"for=192.0.2.1"), (header::FORWARDED, b"for=\xff")]),
            some(&["", "192.0.2.1"])
        );
        assert_eq!(read(&[]), some(&[]));
    }

    proptest! {
        #[test]
        fn every_reported_address_is_written_in_the_field(value in "[for=\",;\\\\0-9.:\\[\\]a-f _]{0,40}") {
            for name in [X_FORWARDED_FOR, header::FORWARDED] {
                for address in read(&[(name, value.as_bytes())]).into_iter().flatten() {
                    let plain = value.replace('\\', "");
                    let v6 = address.contains(':');
                    prop_assert!(v6 || plain.contains(&address), "{address} from {value}");
                }
            }
        }
    }
}
