//! Looking around: an owner's first page.

use super::owner::{self, Owner};
use super::page::{Frame, Reply, frame};
use crate::auth::call::Call;
use crate::error::Result;
use askama::Template;

#[derive(Template)]
#[template(path = "owner.html")]
struct OwnerPage {
    frame: Frame,
    owner: Owner,
}

/// `GET /{owner}`.
pub async fn owner(call: Call) -> Result<Reply> {
    let name = owner::named(&call)?;
    let (frame, owner) = frame(&call, move |conn, caller| Owner::visit(conn, caller, &name)).await?;
    Reply::page(&OwnerPage { frame, owner })
}
