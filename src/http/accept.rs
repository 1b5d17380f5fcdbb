//! What a client accepts: `Accept` and `Accept-Encoding`, with their weights (RFC 9110 §12.4.2).

use actix_web::http::header::{self, HeaderMap, HeaderName};

/// The media type of a line of text.
pub const TEXT: &str = "text/plain";
/// The media type of JSON.
pub const JSON: &str = "application/json";
/// The media type of pages.
pub const HTML: &str = "text/html";

/// The weight of an item without one, and the greatest.
const WHOLE: u16 = 1000;

/// The offered media type that the client prefers: the greatest weight counts, then a type that is named over a
/// wildcard, then the order in `Accept`, then the order of the offers. The first offer is also the answer for a client
/// that accepts none of them or doesn't say.
pub fn preferred<'a>(headers: &HeaderMap, first: &'a str, others: &[&'a str]) -> &'a str {
    let accepted = weighted(headers, header::ACCEPT);
    let mut best = (first, rank(&accepted, first));
    for offer in others {
        let rank = rank(&accepted, offer);
        if rank > best.1 {
            best = (offer, rank);
        }
    }
    best.0
}

/// Whether the client prefers a page to text and JSON: a browser, and not a program.
pub fn prefers_page(headers: &HeaderMap) -> bool {
    preferred(headers, TEXT, &[JSON, HTML]) == HTML
}

/// Whether the client accepts a type that fits; `fits` gets each named type or range in lower case.
pub fn names_type(headers: &HeaderMap, fits: impl Fn(&str) -> bool) -> bool {
    weighted(headers, header::ACCEPT).iter().any(|(kind, weight)| *weight > 0 && fits(&kind.to_ascii_lowercase()))
}

/// Whether the client accepts this content coding. Without the header it doesn't expect any.
pub fn takes_coding(headers: &HeaderMap, coding: &str) -> bool {
    let accepted = weighted(headers, header::ACCEPT_ENCODING);
    let of = |name: &str| accepted.iter().find(|(item, _)| item.eq_ignore_ascii_case(name)).map(|(_, weight)| *weight);
    of(coding).or_else(|| of("*")).is_some_and(|weight| weight > 0)
}

/// The weight of an offer, how exactly it is named, and how early; `None` when it isn't accepted.
fn rank(accepted: &[(&str, u16)], offer: &str) -> Option<(u16, u8, std::cmp::Reverse<usize>)> {
    let (kind, _) = offer.split_once('/')?;
    let exactness = |range: &str| match range.split_once('/') {
        _ if range.eq_ignore_ascii_case(offer) => Some(2),
        Some((of_kind, "*")) if of_kind.eq_ignore_ascii_case(kind) => Some(1),
        Some(("*", "*")) => Some(0),
        // Java's HttpURLConnection sends this.
        None if range == "*" => Some(0),
        _ => None,
    };
    let fits = accepted.iter().enumerate().filter_map(|(place, (range, weight))| {
        exactness(range).map(|exactness| (exactness, std::cmp::Reverse(place), *weight))
    });
    // The most exact range decides: `text/plain;q=0, */*` refuses text.
    let (exactness, place, weight) = fits.max_by_key(|(exactness, place, _)| (*exactness, *place))?;
    (weight > 0).then_some((weight, exactness, place))
}

/// The items of a list with their weights in thousandths. Parameters other than the weight are ignored, and so is an
/// item whose weight is no number.
pub(super) fn weighted(headers: &HeaderMap, name: HeaderName) -> Vec<(&str, u16)> {
    fn item(item: &str) -> Option<(&str, u16)> {
        let mut parts = outside_quotes(item, ';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let weight = parts.find_map(|part| part.strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('='));
        let weight = weight.map_or(Some(WHOLE), |text| thousandths(text.trim()))?;
        Some((name, weight))
    }
    let values = headers.get_all(name).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| outside_quotes(value, ',')).filter_map(item).collect()
}

/// Splits a text at a character, but not inside quoted strings.
fn outside_quotes(text: &str, at: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let taken = escaped;
        escaped = quoted && !taken && c == '\\';
        quoted ^= c == '"' && !taken;
        c == at && !quoted
    })
}

/// A weight in thousandths. Clients write `.2` too; more than 1 counts as 1.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || (whole.is_empty() && decimals.is_empty()) {
        return None;
    }
    if !whole.trim_start_matches('0').is_empty() {
        return Some(WHOLE);
    }
    let padded: String = decimals.chars().chain("000".chars()).take(3).collect();
    padded.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn media_types_are_chosen_by_weight_and_without_case() {
        for (accept, chosen) in [
            ("", TEXT),
            ("*/*", TEXT),
            ("*; q=.2, */*; q=.2", TEXT),
            ("application/json", JSON),
            ("APPLICATION/Json", JSON),
            ("application/json; charset=utf-8", JSON),
            ("application/*", JSON),
            ("*/*, application/json", JSON),
            ("application/json, text/plain, */*", JSON),
            ("text/plain, application/json", TEXT),
            ("text/plain;q=0.5, application/json;q=0.4", TEXT),
            ("text/plain;q=0.4, application/json;q=0.5", JSON),
            ("text/plain;Q=0.4 , application/json ; q = 0.5", JSON),
            ("text/*;q=0.3, application/json;q=0.2", TEXT),
            ("application/json;q=0, */*", TEXT),
            ("application/json;q=0.0", TEXT),
            ("text/plain;q=0, */*;q=0.1", JSON),
            ("text/plain;q=0.999, application/json;q=7", JSON),
            ("text/plain;q=0.9, application/json;q=x", TEXT),
            ("text/plain;a=\", application/json;q=1\"", TEXT),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT),
            ("text/html, application/json;q=0.9, */*;q=0.8", JSON),
            ("application/jsonp, application/json-seq", TEXT),
        ] {
            assert_eq!(preferred(&headers(header::ACCEPT, &[accept]), TEXT, &[JSON]), chosen, "{accept}");
        }
        assert_eq!(preferred(&headers(header::ACCEPT, &["text/plain;q=0.1", "application/json"]), TEXT, &[JSON]), JSON);
        assert_eq!(preferred(&HeaderMap::new(), TEXT, &[JSON]), TEXT);
    }

    #[test]
    fn pages_are_for_clients_that_name_them() {
        let page = |accept: &str| prefers_page(&headers(header::ACCEPT, &[accept]));
        assert!(page("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(page("TEXT/HTML"));
        for other in ["*/*", "", "text/html;q=0", "text/*", "application/json, text/html;q=0.9", "text/htmlx"] {
            assert!(!page(other), "{other}");
        }
    }

    #[test]
    fn codings_are_accepted_by_name_or_wildcard_unless_their_weight_is_0() {
        let takes = |value: &str| takes_coding(&headers(header::ACCEPT_ENCODING, &[value]), "gzip");
        for value in ["gzip, deflate, br, zstd", "br;q=1.0, GZIP;q=0.5", "*", "*;q=0, gzip"] {
            assert!(takes(value), "{value}");
        }
        for value in ["identity", "gzip;q=0, br", "gzip;Q=0.000", "gzip;q=0, *", ""] {
            assert!(!takes(value), "{value}");
        }
    }
}
