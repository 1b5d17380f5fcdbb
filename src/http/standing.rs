//! The headers that say how the version of a file stands: yanked, deprecated, about to be deleted.

use crate::domain::clock::Timestamp;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

const YANKED: HeaderName = HeaderName::from_static("x-packhouse-yanked");
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// The characters of a reason to escape in a header, beside all that are not ASCII.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// What downloads say about their version.
#[derive(Debug, Clone, Default)]
pub struct StandingHeaders {
    /// Why it was yanked; it may be empty.
    pub yanked: Option<String>,
    pub deprecated_at: Option<Timestamp>,
    /// The address of the version to use instead.
    pub successor: Option<String>,
    pub expires_at: Option<Timestamp>,
    /// Whether its files never change, so that caches may keep them.
    pub immutable: bool,
}

impl StandingHeaders {
    /// Adds the headers.
    pub fn insert(&self, headers: &mut HeaderMap) {
        let mut set = |name: HeaderName, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.append(name, value);
            }
        };
        if let Some(reason) = &self.yanked {
            let reason = if reason.is_empty() { "no reason given" } else { reason };
            set(YANKED, utf8_percent_encode(reason, ESCAPED).to_string());
        }
        // RFC 9745: a date as a structured field.
        if let Some(at) = self.deprecated_at {
            set(DEPRECATION, format!("@{}", at.unix()));
        }
        if let Some(url) = &self.successor {
            set(header::LINK, format!("<{url}>; rel=\"successor-version\""));
        }
        // RFC 8594: an HTTP date.
        if let Some(at) = self.expires_at {
            set(SUNSET, super::conditional::http_date(at.into()).to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_one_ascii_line_in_the_header() {
        let of = |reason: &str| {
            let mut headers = HeaderMap::new();
            StandingHeaders { yanked: Some(reason.to_owned()), ..StandingHeaders::default() }.insert(&mut headers);
            headers.get(YANKED).unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(of("deletes the disk: 100%"), "deletes the disk: 100%25");
        assert_eq!(of("schlägt fehl"), "schl%C3%A4gt fehl");
        assert_eq!(of(""), "no reason given");
    }
}
