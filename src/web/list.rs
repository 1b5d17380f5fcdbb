//! Lists in pages: what the query asks for, and the way to the other pages.

use crate::http::paging::Paging;
use crate::registry::pages::Slice;
use actix_web::HttpRequest;
use serde::de::DeserializeOwned;

/// How many rows a page of a list has.
const ROWS: i64 = 30;

/// The query of a request, read as a form that a person may have bent: what does not fit counts as not given.
pub fn query<T: DeserializeOwned + Default>(req: &HttpRequest) -> T {
    serde_html_form::from_str(req.query_string()).unwrap_or_default()
}

/// Which page of a list is wanted.
pub fn slice(req: &HttpRequest) -> Slice {
    let paging = Paging::read(req, ROWS, ROWS);
    Slice { offset: paging.offset(), limit: paging.limit() }
}

/// The way to the other pages of a list; templates show it where there are any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pager {
    pub page: i64,
    pub last: i64,
    pub total: i64,
    pub previous: Option<String>,
    pub next: Option<String>,
}

impl Pager {
    /// For the page of this request.
    pub fn new(req: &HttpRequest, total: i64) -> Self {
        let page = slice(req).offset / ROWS + 1;
        let last = ((total + ROWS - 1) / ROWS).max(1);
        let list = Paging::rest(req);
        let join = if list.contains('?') { '&' } else { '?' };
        let link = |page: i64| if page == 1 { list.clone() } else { format!("{list}{join}page={page}") };
        Self {
            page,
            last,
            total,
            previous: (page > 1).then(|| link((page - 1).min(last))),
            next: (page < last).then(|| link(page + 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_pager_leads_to_the_pages_beside_and_keeps_what_was_searched() {
        let pager = |uri: &str, total| Pager::new(&TestRequest::with_uri(uri).to_http_request(), total);
        assert_eq!((pager("/x", 30).previous, pager("/x", 30).next), (None, None));
        let second = pager("/x?q=a&page=2", 61);
        assert_eq!((second.page, second.last), (2, 3));
        assert_eq!(second.previous.as_deref(), Some("/x?q=a"));
        assert_eq!(second.next.as_deref(), Some("/x?q=a&page=3"));
        assert_eq!(pager("/x?page=9", 31).previous.as_deref(), Some("/x?page=2"));
    }
}
