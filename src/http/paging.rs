//! Pages of long lists: `?page=` and `?limit=`, `X-Total-Count`, and `Link` (RFC 8288).

use actix_web::HttpRequest;
use actix_web::HttpResponseBuilder;
use actix_web::http::header;
use percent_encoding::percent_decode_str;

/// The first page number that is out of any real list's range: offsets beyond it would overflow.
const MOST_PAGES: i64 = 1_000_000_000;

/// The requested page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    page: i64,
    limit: i64,
}

impl Paging {
    /// From a request's query. A value that is not a number of at least 1 counts as not given, and no page is longer
    /// than `most`.
    pub fn read(req: &HttpRequest, default: i64, most: i64) -> Self {
        let number = |wanted: &str| param(req, wanted).and_then(|value| value.parse::<i64>().ok());
        Self {
            page: number("page").filter(|page| (1..=MOST_PAGES).contains(page)).unwrap_or(1),
            limit: number("limit").filter(|limit| *limit > 0).unwrap_or(default).min(most),
        }
    }

    /// The requested page; `None` if neither parameter asks for one.
    pub fn asked(req: &HttpRequest, default: i64, most: i64) -> Option<Self> {
        let asks = |name: &str| param(req, name).and_then(|value| value.parse::<i64>().ok()).is_some_and(|n| n > 0);
        (asks("page") || asks("limit")).then(|| Self::read(req, default, most))
    }

    /// The address of a request's list: its path and its query, without the page parameters and without possible
    /// secrets.
    pub fn rest(req: &HttpRequest) -> String {
        let other = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            !pair.is_empty() && !matches!(name, "page" | "limit" | "after" | "token" | "access_token" | "feed_token")
        };
        let query = req.query_string().split('&').filter(other).collect::<Vec<_>>().join("&");
        let url = if query.is_empty() { req.path().to_owned() } else { format!("{}?{query}", req.path()) };
        // Escape characters that would end the address in a `Link` header; a client may send them.
        url.replace('<', "%3C").replace('>', "%3E").replace('"', "%22")
    }

    /// How many rows to skip.
    pub fn offset(self) -> i64 {
        (self.page - 1) * self.limit
    }

    /// How many rows to return.
    pub fn limit(self) -> i64 {
        self.limit
    }

    /// Adds the length of the whole list and the links to its other pages. `url` is the list's address with every
    /// parameter but these two.
    pub fn describe(self, builder: &mut HttpResponseBuilder, url: &str, total: i64) {
        builder.insert_header(("X-Total-Count", total.to_string()));
        let links = self.links(url, total);
        if !links.is_empty() {
            builder.insert_header((header::LINK, links));
        }
    }

    fn links(self, url: &str, total: i64) -> String {
        let last = ((total + self.limit - 1) / self.limit).max(1);
        let join = if url.contains('?') { '&' } else { '?' };
        let link = |page: i64, rel: &str| format!("<{url}{join}page={page}&limit={}>; rel=\"{rel}\"", self.limit);
        let mut links = Vec::new();
        if self.page < last {
            links.extend([link(self.page + 1, "next"), link(last, "last")]);
        }
        if self.page > 1 {
            links.extend([link(1, "first"), link((self.page - 1).min(last), "prev")]);
        }
        links.join(", ")
    }
}

/// The raw value of a query parameter, empty for one without a `=`.
pub fn param<'a>(req: &'a HttpRequest, wanted: &str) -> Option<&'a str> {
    let pairs = req.query_string().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(|(name, _)| *name == wanted).map(|(_, value)| value).next()
}

/// All decoded values of a query parameter, also those without a `=`.
pub fn params(req: &HttpRequest, wanted: &'static str) -> impl Iterator<Item = String> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = req.query_string().split('&').map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    });
    pairs.filter(move |(name, _)| name == wanted).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn paging(uri: &str) -> Paging {
        Paging::read(&TestRequest::with_uri(uri).to_http_request(), 30, 50)
    }

    #[test]
    fn invalid_paging_parameters_are_ignored_and_page_size_is_limited() {
        assert_eq!(paging("/x"), Paging { page: 1, limit: 30 });
        assert_eq!(paging("/x?page=3&limit=1000"), Paging { page: 3, limit: 50 });
        assert_eq!(paging("/x?page=0&limit=-1"), Paging { page: 1, limit: 30 });
        assert_eq!(paging("/x?page=99999999999999999999&limit=x"), Paging { page: 1, limit: 30 });
    }

    #[test]
    fn only_a_number_asks_for_a_page() {
        let asked = |uri: &str| Paging::asked(&TestRequest::with_uri(uri).to_http_request(), 30, 50);
        assert_eq!(asked("/x?page=2"), Some(Paging { page: 2, limit: 30 }));
        assert_eq!(asked("/x?limit=7"), Some(Paging { page: 1, limit: 7 }));
        for uri in ["/x", "/x?page=", "/x?limit=x&page=0", "/x?limit=-1"] {
            assert_eq!(asked(uri), None, "{uri}");
        }
    }

    #[test]
    fn page_links_keep_other_parameters_but_no_secrets() {
        let rest = |uri: &str| Paging::rest(&TestRequest::with_uri(uri).to_http_request());
        assert_eq!(rest("/x"), "/x");
        assert_eq!(rest("/x?page=2&limit=5&after=9&token=secret&access_token=secret&feed_token=secret"), "/x");
        assert_eq!(rest("/x?q=a%20b&page=2&type=generic&&"), "/x?q=a%20b&type=generic");
        assert_eq!(rest("/x?q=%22"), "/x?q=%22");
    }

    #[test]
    fn page_links_lead_only_to_pages_that_exist() {
        assert_eq!(paging("/x").links("/x", 30), "");
        let second = paging("/x?page=2&limit=10").links("/x?q=a", 30);
        assert_eq!(
            second,
            "</x?q=a&page=3&limit=10>; rel=\"next\", </x?q=a&page=3&limit=10>; rel=\"last\", \
             </x?q=a&page=1&limit=10>; rel=\"first\", </x?q=a&page=1&limit=10>; rel=\"prev\""
        );
        let beyond = paging("/x?page=9&limit=10").links("/x", 30);
        assert_eq!(beyond, "</x?page=1&limit=10>; rel=\"first\", </x?page=3&limit=10>; rel=\"prev\"");
    }
}
