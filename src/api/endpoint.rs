//! How a handler of the API is written: an async function from typed inputs to a typed answer. The OpenAPI document
//! describes the route from these types, so that the two cannot differ.
//!
//! Nothing of a body or a query is checked before the credential: the handler reads its inputs after it has
//! [admitted](crate::auth::call::Call::admit) its caller.

pub use super::body::{Input, JsonBody, LongBody, OptionalLongBody};

use crate::domain::path::escape;
use crate::error::{Error, Result};
use crate::http::description::{Description, integer};
use crate::http::paging::Paging;
use crate::listing::Extent;
use crate::registry::pages::{Page, Slice};
use crate::state::App;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder, web};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashSet;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Entries per page unless `limit` says otherwise.
pub const PAGE: i64 = 30;
/// The most entries per page.
pub const LONGEST_PAGE: i64 = 50;
/// The answer of a handler.
pub trait Answer {
    /// The answer itself.
    fn respond(self) -> HttpResponse;
    /// Describes the answer.
    fn describe(description: &mut Description);
}

/// The parameters of the query. If one is given several times, the first counts, as in Gitea.
pub struct Query<T>(Result<T>);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let read = web::Query::<T>::from_query(&first_of_each(req.query_string())).map(web::Query::into_inner);
        ready(Ok(Self(read.map_err(|error| Error::invalid("query", error.to_string())))))
    }
}

/// The query without repeated parameters.
fn first_of_each(query: &str) -> String {
    let mut seen = HashSet::new();
    let is_first = |pair: &&str| {
        let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
        seen.insert(percent_decode_str(name).collect::<Vec<u8>>())
    };
    query.split('&').filter(is_first).collect::<Vec<_>>().join("&")
}

impl<T: IntoParams> Input for Query<T> {
    fn describe(description: &mut Description) {
        description.parameters.extend(T::into_params(|| Some(utoipa::openapi::path::ParameterIn::Query)));
        description.refuses(StatusCode::UNPROCESSABLE_ENTITY, "A query parameter is invalid");
    }
}

impl<T> Query<T> {
    /// Reads the parameters.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the problem.
    pub fn read(self) -> Result<T> {
        self.0
    }
}

/// `?page=` and `?limit=`, and the address of the list that they page through.
pub struct Pages {
    paging: Paging,
    url: String,
}

/// The address of the list that a request asks for, without the page.
fn list_url(req: &HttpRequest) -> String {
    let root = req.app_data::<web::Data<Arc<App>>>().map_or_else(String::new, |app| app.url(""));
    format!("{root}{}", Paging::rest(req))
}

impl FromRequest for Pages {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self { paging: Paging::read(req, PAGE, LONGEST_PAGE), url: list_url(req) }))
    }
}

impl Input for Pages {
    fn describe(description: &mut Description) {
        description.query("page", "The page, from 1; an invalid number is ignored.", integer(1));
        description.query("limit", "Entries per page: 30 by default, at most 50.", integer(1));
    }
}

impl Pages {
    /// The rows of the page.
    pub fn slice(&self) -> Slice {
        Slice { offset: self.paging.offset(), limit: self.paging.limit() }
    }

    /// The page as the answer to a search.
    pub fn found<R, T>(&self, page: Page<R>, body: impl FnMut(R) -> T) -> Searched<T> {
        Searched(self.answer(page, body))
    }

    /// The page of a list that is always empty: of things that Gitea's clients ask for and that do not exist here.
    pub fn none(&self) -> Listed<Value> {
        self.answer(Page { items: Vec::new(), total: 0 }, |none| none)
    }

    /// The page as an answer.
    pub fn answer<R, T>(&self, page: Page<R>, body: impl FnMut(R) -> T) -> Listed<T> {
        Listed {
            items: page.items.into_iter().map(body).collect(),
            total: page.total,
            paging: self.paging,
            url: self.url.clone(),
        }
    }
}

/// `?page=` and `?limit=` of a list that is whole without them, because Gitea doesn't page it.
pub struct PagesIfAsked {
    extent: Extent,
    url: String,
}

impl FromRequest for PagesIfAsked {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self { extent: Extent(Paging::asked(req, PAGE, LONGEST_PAGE)), url: list_url(req) }))
    }
}

impl Input for PagesIfAsked {
    fn describe(description: &mut Description) {
        description.query("page", "The page, from 1. Without `page` and `limit` the list is complete.", integer(1));
        description.query("limit", "Entries per page: at most 50, and 30 if only `page` is given.", integer(1));
    }
}

impl PagesIfAsked {
    /// The rows of the page, or all rows.
    pub fn slice(&self) -> Slice {
        self.extent.slice()
    }

    /// The headers of the answer.
    pub fn head(&self, total: i64) -> HttpResponseBuilder {
        let mut builder = HttpResponse::Ok();
        builder.insert_header((header::CACHE_CONTROL, "no-store"));
        self.extent.describe(&mut builder, &self.url, total);
        builder
    }
}

/// A whole list, or one page of it, 200. It is sent while it is read.
pub struct Whole<T>(HttpResponse, PhantomData<T>);

impl<T> Whole<T> {
    /// `response` has the list as JSON.
    pub fn new(response: HttpResponse) -> Self {
        Self(response, PhantomData)
    }
}

impl<T: Serialize + ToSchema> Answer for Whole<T> {
    fn respond(self) -> HttpResponse {
        self.0
    }

    fn describe(description: &mut Description) {
        description.answers_page::<T>("The whole list, or one page of it");
    }
}

/// One page of a list, 200.
pub struct Listed<T> {
    items: Vec<T>,
    total: i64,
    paging: Paging,
    url: String,
}

impl<T: Serialize + ToSchema> Answer for Listed<T> {
    fn respond(self) -> HttpResponse {
        let mut builder = HttpResponse::Ok();
        builder.insert_header((header::CACHE_CONTROL, "no-store"));
        self.paging.describe(&mut builder, &self.url, self.total);
        builder.json(self.items)
    }

    fn describe(description: &mut Description) {
        description.answers_page::<T>("One page of the list");
    }
}

/// The results of a search, in the format of Gitea's searches.
#[derive(Serialize)]
struct SearchResults<T> {
    data: Vec<T>,
    /// Always true: errors have another status.
    ok: bool,
}

/// One page of search results, 200.
pub struct Searched<T>(Listed<T>);

impl<T: Serialize + ToSchema> Answer for Searched<T> {
    fn respond(self) -> HttpResponse {
        let Listed { items, total, paging, url } = self.0;
        let mut builder = HttpResponse::Ok();
        builder.insert_header((header::CACHE_CONTROL, "no-store"));
        paging.describe(&mut builder, &url, total);
        builder.json(SearchResults { data: items, ok: true })
    }

    fn describe(description: &mut Description) {
        description.answers_found::<T>("One page of search results");
    }
}

impl Pages {
    /// A page as an answer; the next page is found by the last entry of this one.
    pub fn chain<R, T>(&self, items: Vec<R>, total: i64, next: Option<String>, body: impl FnMut(R) -> T) -> Chained<T> {
        let join = if self.url.contains('?') { '&' } else { '?' };
        let limit = self.paging.limit();
        let next =
            next.map(|place| format!("<{}{join}after={}&limit={limit}>; rel=\"next\"", self.url, escape(&place)));
        Chained { items: items.into_iter().map(body).collect(), total, next }
    }
}

/// One page of a list that is too long to count or to skip through, 200.
pub struct Chained<T> {
    items: Vec<T>,
    total: i64,
    next: Option<String>,
}

impl<T: Serialize + ToSchema> Answer for Chained<T> {
    fn respond(self) -> HttpResponse {
        let mut builder = HttpResponse::Ok();
        builder.insert_header((header::CACHE_CONTROL, "no-store"));
        builder.insert_header(("X-Total-Count", self.total.to_string()));
        if let Some(next) = self.next {
            builder.insert_header((header::LINK, next));
        }
        builder.json(self.items)
    }

    fn describe(description: &mut Description) {
        description.answers_page::<T>("One page of the list; a count of 1,000 means 1,000 or more");
    }
}

fn with_body(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status).insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

/// 200 with a body.
pub struct Json<T>(pub T);

impl<T: Serialize + ToSchema> Answer for Json<T> {
    fn respond(self) -> HttpResponse {
        with_body(StatusCode::OK, &self.0)
    }

    fn describe(description: &mut Description) {
        description.answers_json::<T>(StatusCode::OK, "As asked");
    }
}

/// 201 with the created object.
pub struct Created<T>(pub T);

impl<T: Serialize + ToSchema> Answer for Created<T> {
    fn respond(self) -> HttpResponse {
        with_body(StatusCode::CREATED, &self.0)
    }

    fn describe(description: &mut Description) {
        description.answers_json::<T>(StatusCode::CREATED, "Made");
    }
}

/// 204: done, with nothing to return.
pub struct NoContent;

impl Answer for NoContent {
    fn respond(self) -> HttpResponse {
        HttpResponse::NoContent().finish()
    }

    fn describe(description: &mut Description) {
        description.answers(StatusCode::NO_CONTENT, "Done");
    }
}

/// No answer: the handler only refuses.
pub enum Never {}

impl Answer for Never {
    fn respond(self) -> HttpResponse {
        match self {}
    }

    fn describe(_: &mut Description) {}
}

macro_rules! inputs {
    ($($input:ident)*) => {
        impl<$($input: Input),*> Input for ($($input,)*) {
            fn describe(description: &mut Description) {
                $($input::describe(description);)*
            }
        }
    };
}

inputs!(A);
inputs!(A B);
inputs!(A B C);
