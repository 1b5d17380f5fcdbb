//! The manual: the Markdown files in `docs/`, rendered as pages.

pub mod files;
pub mod front_matter;
pub mod image;
pub mod pages;
pub mod render;

use super::page::{Frame, Reply, frame};
use crate::auth::call::Call;
use crate::error::{Error, Result, What};
use crate::http::request_log::path_as_sent;
use crate::http::segment::with_query;
use askama::Template;
use pages::{FoundPage, ManualPage, ManualPages};

#[derive(Template)]
#[template(path = "manual.html")]
struct ManualPageView {
    frame: Frame,
    manual: &'static ManualPages,
    page: &'static ManualPage,
}

/// `GET /docs/…`. The address of a page ends in a slash; without it, and for every alias, redirects there.
pub async fn page(call: Call) -> Result<Reply> {
    let (frame, ()) = frame(&call, |_, _| Ok(())).await?;
    let manual = ManualPages::get();
    let sent = path_as_sent(&call.req);
    let sent = call.app.config.base_path().strip(&sent).unwrap_or(&sent);
    let to = match manual.find(call.req.uri().path()) {
        Some(FoundPage::Page(page)) if page.url == sent => {
            let anonymous = frame.user.is_none();
            let reply = Reply::page(&ManualPageView { frame, manual, page })?;
            return Ok(if anonymous { reply.revalidated() } else { reply });
        }
        Some(FoundPage::Page(page) | FoundPage::Alias(page)) => page.url.clone(),
        None => return Err(Error::NotFound(What::Page)),
    };
    Ok(Reply::moved(&with_query(to, &call.req)))
}
