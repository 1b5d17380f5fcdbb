//! The first page.

use super::page::{Frame, Reply, frame};
use crate::auth::call::Call;
use crate::error::Result;
use askama::Template;

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
}

/// `GET /`.
pub async fn home(call: Call) -> Result<Reply> {
    let (frame, ()) = frame(&call, |_, _| Ok(())).await?;
    Reply::page(&HomePage { frame })
}
