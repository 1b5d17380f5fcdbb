//! Whole lists, however long they are: a batch of rows is read and sent, then the next one. In memory are one batch and
//! the ids of the others.

use crate::auth::call::Call;
use crate::db::Connection;
use crate::error::{Error, Result, What};
use crate::http::paging::Paging;
use crate::http::problem::Shape;
use crate::http::streamed::streamed;
use crate::registry::caller::Caller;
use crate::registry::pages::{Page, Slice};
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;

/// How many rows are read and sent at a time.
pub const BATCH: usize = 250;

/// The page of a list that a request asks for. The list is whole without one.
#[derive(Debug, Clone, Copy)]
pub struct Extent(pub Option<Paging>);

impl Extent {
    /// The rows to read.
    pub fn slice(self) -> Slice {
        self.0.map_or(Slice::WHOLE, |page| Slice { offset: page.offset(), limit: page.limit() })
    }

    /// The length of the whole list and the links to other pages, as headers. `url` is the list's address.
    pub fn describe(self, answer: &mut HttpResponseBuilder, url: &str, total: i64) {
        match self.0 {
            Some(page) => page.describe(answer, url, total),
            None => drop(answer.insert_header(("X-Total-Count", total.to_string()))),
        }
    }
}

/// A list whose first rows are read. They are the whole list unless it is long.
pub struct Listing<K, R> {
    first: Vec<R>,
    /// The ids of the rows that are not read yet.
    rest: Vec<K>,
    /// How many rows there are, whatever page of them this is.
    pub total: i64,
    /// How many rows are read at a time.
    batch: usize,
}

impl<K, R> Listing<K, R> {
    /// Reads the first rows of these ids. If all of them were deleted since, so was `of`, which is never listed empty.
    ///
    /// # Errors
    /// [`Error::NotFound`] for `of`; as `load`.
    pub fn open(ids: Page<K>, of: Option<What>, load: impl FnOnce(&[K]) -> Result<Vec<R>>) -> Result<Self> {
        Self::open_by(BATCH, ids, of, load)
    }

    /// [`Listing::open`] for rows that take longer, so fewer are read at a time.
    ///
    /// # Errors
    /// As [`Listing::open`].
    pub fn open_by(
        batch: usize,
        ids: Page<K>,
        of: Option<What>,
        load: impl FnOnce(&[K]) -> Result<Vec<R>>,
    ) -> Result<Self> {
        let Page { items: mut first, total } = ids;
        let rest = first.split_off(first.len().min(batch));
        let asked = first.len();
        let list = Self { first: load(&first)?, rest, total, batch };
        match of {
            Some(what) if asked > 0 && list.is_empty() => Err(Error::NotFound(what)),
            _ => Ok(list),
        }
    }

    /// A list of rows that are all read.
    pub fn of(first: Vec<R>) -> Self {
        Self { total: i64::try_from(first.len()).unwrap_or(i64::MAX), first, rest: Vec::new(), batch: BATCH }
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty() && self.rest.is_empty()
    }
}

/// What is written around the rows of a list.
pub struct Layout {
    pub content_type: &'static str,
    /// Before the first row.
    pub start: String,
    /// Between two rows.
    pub between: &'static str,
    /// After each row.
    pub after: &'static str,
    /// After the last row.
    pub end: &'static str,
}

impl From<Shape> for Layout {
    /// Lines, or the elements of a JSON array.
    fn from(shape: Shape) -> Self {
        let start = String::new();
        match shape {
            Shape::Text => {
                let content_type = "text/plain; charset=utf-8";
                Self { content_type, start, between: "", after: "\n", end: "" }
            }
            Shape::Json => {
                let start = "[".to_owned();
                Self { content_type: "application/json", start, between: ",", after: "", end: "]" }
            }
        }
    }
}

/// Sends a list. `load` reads rows in the order of their ids and checks the caller's right again: a caller who loses it
/// gets no more rows. `render` turns a row into a line of text, without its end, or into JSON.
///
/// # Errors
/// As `render`, for the first rows. Errors after them cut the connection.
pub async fn send<K, R>(
    call: Call,
    mut response: HttpResponseBuilder,
    layout: impl Into<Layout>,
    list: Listing<K, R>,
    load: impl Fn(&mut Connection, &Caller, &[K]) -> Result<Vec<R>> + Clone + Send + 'static,
    render: impl AsyncFn(R) -> Result<Vec<u8>> + 'static,
) -> Result<HttpResponse>
where
    K: Clone + Send + 'static,
    R: Send + 'static,
{
    let mut layout: Layout = layout.into();
    response.content_type(layout.content_type);
    let mut part = std::mem::take(&mut layout.start).into_bytes();
    let mut writer = Writer { layout, render, rows: 0 };
    let Listing { first, rest, batch, .. } = list;
    writer.add(first, &mut part).await?;
    if rest.is_empty() {
        writer.end(&mut part);
        return Ok(response.body(part));
    }
    let req = call.req.clone();
    let state = (call, writer, rest.into_iter(), Some(part));
    let parts = stream::try_unfold(state, move |(call, mut writer, mut rest, begun)| {
        let load = load.clone();
        async move {
            if let Some(part) = begun {
                return Ok(Some((Bytes::from(part), (call, writer, rest, None))));
            }
            let ids: Vec<K> = rest.by_ref().take(batch).collect();
            if ids.is_empty() {
                return Ok(None);
            }
            let rows = call.reading(move |conn, caller| load(conn, caller, &ids)).await?;
            let mut part = Vec::new();
            writer.add(rows, &mut part).await?;
            if rest.len() == 0 {
                writer.end(&mut part);
            }
            Ok::<_, Error>(Some((Bytes::from(part), (call, writer, rest, None))))
        }
    });
    Ok(streamed(&req, &mut response, parts))
}

/// A row as JSON.
///
/// # Errors
/// [`Error::Internal`] if it cannot be serialized.
pub fn json(row: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(row).map_err(Error::internal)
}

/// Writes rows, and what is around them.
struct Writer<F> {
    layout: Layout,
    render: F,
    rows: u64,
}

impl<F> Writer<F> {
    async fn add<R>(&mut self, rows: Vec<R>, part: &mut Vec<u8>) -> Result<()>
    where
        F: AsyncFn(R) -> Result<Vec<u8>>,
    {
        for row in rows {
            if self.rows > 0 {
                part.extend(self.layout.between.as_bytes());
            }
            part.extend((self.render)(row).await?);
            part.extend(self.layout.after.as_bytes());
            self.rows += 1;
        }
        Ok(())
    }

    fn end(&self, part: &mut Vec<u8>) {
        part.extend(self.layout.end.as_bytes());
    }
}
