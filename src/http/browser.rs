//! Whether a request comes from a browser, which can show a page, or from a program, which would save the page as if it
//! were what it asked for.

use super::accept::{HTML, names_type};
use actix_web::http::header::{HeaderMap, HeaderName};

/// What browsers send with each request over https, also of scripts (Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a browser sent the request, for a page or for what a page loads. It must not get a challenge for the latter:
/// it would ask for a password in a window of its own.
pub fn is_browser(headers: &HeaderMap) -> bool {
    let of_a_page = |kind: &str| kind == HTML || kind.starts_with("image/");
    headers.contains_key(&SEC_FETCH_SITE) || names_type(headers, of_a_page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{self, HeaderValue};

    #[test]
    fn browsers_accept_pages_or_images_or_say_from_where_they_fetch() {
        let with =
            |name: HeaderName, value| is_browser(&[(name, HeaderValue::from_static(value))].into_iter().collect());
        assert!(with(header::ACCEPT, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(with(header::ACCEPT, "application/json;q=0.5, Text/HTML;q=0.1"));
        assert!(with(header::ACCEPT, "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"));
        assert!(with(SEC_FETCH_SITE, "same-origin"));
        for value in ["*/*", "text/*", "text/html;q=0", "text/html;Q=0.0", "application/json", "text/html2", ""] {
            assert!(!with(header::ACCEPT, value), "{value}");
        }
        assert!(!is_browser(&HeaderMap::new()));
    }
}
