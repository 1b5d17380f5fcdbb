//! Mail that could not be sent or is still to be sent.

use crate::auth::call::Call;
use crate::error::Result;
use crate::registry::mail::log::{self, Queued, QueuedMail};
use crate::web::format::{Count, When};
use crate::web::forms::Protected;
use crate::web::list::{Pager, slice};
use crate::web::login::Nothing;
use crate::web::page::{Frame, Reply, frame};
use askama::Template;

/// The address of the page.
pub const PAGE: &str = "/-/admin/mail";

/// A row of the list.
struct Row {
    mail: QueuedMail,
    created: When,
    next: Option<When>,
}

#[derive(Template)]
#[template(path = "admin_mail.html")]
struct MailPage {
    frame: Frame,
    queued: Queued,
    rows: Vec<Row>,
    pager: Pager,
}

/// `GET /-/admin/mail`.
pub async fn page(call: Call) -> Result<Reply> {
    let (slice, now) = (slice(&call.req), call.app.clock.now());
    call.app.demand_mail()?;
    let (frame, (queued, page)) =
        frame(&call, move |conn, caller| Ok((log::count(conn)?, log::list(conn, caller, slice)?))).await?;
    let pager = Pager::new(&call.req, page.total);
    let row = |mail: QueuedMail| Row {
        created: When { at: mail.created_at, now },
        next: mail.next_attempt_at.map(|at| When { at, now }),
        mail,
    };
    Reply::page(&MailPage { frame, queued, rows: page.items.into_iter().map(row).collect(), pager })
}

/// `POST /-/admin/mail/dismiss`.
pub async fn dismiss(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    form.read(&call).await?;
    call.app.demand_mail()?;
    let now = call.app.clock.now();
    let deleted = call.writing(move |conn, caller| log::dismiss(conn, caller, now)).await?;
    let deleted = Count(i64::try_from(deleted).unwrap_or(i64::MAX));
    Ok(Reply::to(PAGE).notice(&call.app, &format!("Deleted {}.", deleted.of("failed mail"))))
}
