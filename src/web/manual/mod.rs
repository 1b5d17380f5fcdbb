//! The manual: the Markdown files in `docs/`, rendered as pages.

pub mod book;
pub mod image;
pub mod matter;
pub mod render;

use super::page::{Frame, Reply, frame};
use crate::auth::call::Call;
use crate::error::{Error, Result, What};
use crate::http::middleware::path_as_sent;
use askama::Template;
use book::{Book, Found, Page};

#[derive(Template)]
#[template(path = "manual.html")]
struct ManualPage {
    frame: Frame,
    book: &'static Book,
    page: &'static Page,
}

/// `GET /docs/…`. The address of a page ends in a slash; without it, and for every alias, redirects there.
pub async fn page(call: Call) -> Result<Reply> {
    let (frame, ()) = frame(&call, |_, _| Ok(())).await?;
    let book = Book::get();
    let sent = path_as_sent(&call.req);
    let to = match book.find(call.req.uri().path()) {
        Some(Found::Page(page)) if page.url == sent => {
            let anonymous = frame.user.is_none();
            let reply = Reply::page(&ManualPage { frame, book, page })?;
            return Ok(if anonymous { reply.revalidated() } else { reply });
        }
        Some(Found::Page(page) | Found::Alias(page)) => page.url.clone(),
        None => return Err(Error::NotFound(What::Page)),
    };
    let query = call.req.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    Ok(Reply::moved(&format!("{to}{query}")))
}
