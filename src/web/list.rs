//! Lists in pages: reading the query, and links to the other pages.

use crate::domain::path::escape;
use crate::http::paging::{Paging, param};
use crate::registry::pages::Slice;
use actix_web::HttpRequest;
use serde::de::DeserializeOwned;
use std::fmt::Display;

/// The number of rows on a page of a list.
const ROWS: i64 = 30;

/// Reads the query of a request. People edit addresses by hand, so an invalid query counts as an empty one.
pub fn query<T: DeserializeOwned + Default>(req: &HttpRequest) -> T {
    serde_html_form::from_str(req.query_string()).unwrap_or_default()
}

/// The requested page of a list.
pub fn slice(req: &HttpRequest) -> Slice {
    slice_of(req, ROWS)
}

/// The requested page of a list with this many rows on a page.
pub fn slice_of(req: &HttpRequest, rows: i64) -> Slice {
    let paging = Paging::read(req, rows, rows);
    Slice { offset: paging.offset(), limit: paging.limit() }
}

/// Links to the other pages of a list; templates show them if there are any.
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
        Self::of(req, total, ROWS)
    }

    /// For the page of this request in a list with this many rows on a page.
    pub fn of(req: &HttpRequest, total: i64, rows: i64) -> Self {
        let page = slice_of(req, rows).offset / rows + 1;
        let last = ((total + rows - 1) / rows).max(1);
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

/// Links in a list that is too long for page numbers: the next page starts where this one ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The first page, on any other page.
    pub first: Option<String>,
    pub next: Option<String>,
}

impl Chain {
    /// For the page of this request; `next` is where the next page starts, if there is one.
    pub fn new(req: &HttpRequest, next: Option<&impl Display>) -> Self {
        let list = Paging::rest(req);
        let join = if list.contains('?') { '&' } else { '?' };
        let next = next.map(|place| format!("{list}{join}after={}", escape(&place.to_string())));
        Self { first: param(req, "after").map(|_| list), next }
    }
}

/// One way to show a list, such as a sort order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub label: &'static str,
    pub href: String,
    pub chosen: bool,
}

/// The label of the way that is chosen.
pub fn chosen(ways: &[Choice]) -> &'static str {
    ways.iter().find(|way| way.chosen).map_or("", |way| way.label)
}

/// The first page of this list with another value of a query parameter, or without it.
pub fn changed(req: &HttpRequest, name: &str, value: Option<&str>) -> String {
    let list = Paging::rest(req);
    let (path, query) = list.split_once('?').unwrap_or((&list, ""));
    let others = query.split('&').filter(|pair| !pair.is_empty() && pair.split('=').next() != Some(name));
    let own = value.map(|value| format!("{name}={}", escape(value)));
    let pairs: Vec<String> = others.map(str::to_owned).chain(own).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

/// The ways to show a list by a query parameter; the first is the default, without the parameter. The links keep the
/// search text and lead to the first page.
pub fn choices(req: &HttpRequest, name: &str, words: &[(&str, &'static str)]) -> Vec<Choice> {
    let given = param(req, name).unwrap_or_default();
    let known = words.iter().skip(1).any(|(word, _)| *word == given);
    let choice = |(index, (word, label)): (usize, &(&str, &'static str))| {
        let href = changed(req, name, (index > 0).then_some(*word));
        Choice { label, href, chosen: if known { *word == given } else { index == 0 } }
    };
    words.iter().enumerate().map(choice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_pager_links_to_adjacent_pages_and_keeps_the_search() {
        let pager = |uri: &str, total| Pager::new(&TestRequest::with_uri(uri).to_http_request(), total);
        assert_eq!((pager("/x", 30).previous, pager("/x", 30).next), (None, None));
        let second = pager("/x?q=a&page=2", 61);
        assert_eq!((second.page, second.last), (2, 3));
        assert_eq!(second.previous.as_deref(), Some("/x?q=a"));
        assert_eq!(second.next.as_deref(), Some("/x?q=a&page=3"));
        assert_eq!(pager("/x?page=9", 31).previous.as_deref(), Some("/x?page=2"));
    }

    #[test]
    fn filters_and_sort_order_keep_the_search_and_go_to_page_one() {
        let words = [("updated", "Updated"), ("name", "Name")];
        let at = |uri: &str| choices(&TestRequest::with_uri(uri).to_http_request(), "sort", &words);
        let hrefs = |uri: &str| at(uri).into_iter().map(|choice| (choice.href, choice.chosen)).collect::<Vec<_>>();
        assert_eq!(hrefs("/x"), [("/x".to_owned(), true), ("/x?sort=name".to_owned(), false)]);
        assert_eq!(
            hrefs("/x?q=a%26b&sort=name&page=3&after=9"),
            [("/x?q=a%26b".to_owned(), false), ("/x?q=a%26b&sort=name".to_owned(), true)]
        );
        assert!(at("/x?sort=nonsense").iter().any(|choice| choice.chosen && choice.label == "Updated"));
    }

    #[test]
    fn a_cursor_pager_links_to_the_next_page_and_the_first() {
        let chain =
            |uri: &str, next: Option<&str>| Chain::new(&TestRequest::with_uri(uri).to_http_request(), next.as_ref());
        assert_eq!(chain("/x?q=a", Some("1~2~c+")).next.as_deref(), Some("/x?q=a&after=1~2~c%2B"));
        assert_eq!(chain("/x?q=a&after=1", None), Chain { first: Some("/x?q=a".to_owned()), next: None });
    }
}
