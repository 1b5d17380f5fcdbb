//! The kinds of mail that users get, and may turn off.

use super::forms::Protected;
use super::page::{Frame, Reply, frame};
use crate::auth::call::Call;
use crate::domain::mail::MailKind;
use crate::error::{Error, Result, What};
use crate::registry::access::can_change_own;
use crate::registry::accounts::muted_mail;
use crate::registry::accounts::users::{self, User};
use askama::Template;
use serde::Deserialize;

/// The address of the page.
pub const PAGE: &str = "/user/settings/notifications";

/// A kind of mail with a check box.
struct Choice {
    kind: MailKind,
    label: &'static str,
    hint: &'static str,
    is_on: bool,
}

#[derive(Template)]
#[template(path = "notifications.html")]
struct NotificationsPage {
    frame: Frame,
    user: User,
    choices: Vec<Choice>,
}

fn choice(kind: MailKind, muted: &[MailKind]) -> Choice {
    let (label, hint) = match kind {
        MailKind::HookOff => (
            "Webhook turned off",
            "Packhouse turns off a webhook after it has failed for a week. Organizations' owners get this too.",
        ),
        MailKind::DiskNearlyFull => ("Disk nearly full", "For administrators, once until there is room again."),
        MailKind::OldBackup => ("Old backup", "For administrators, when the last backup is older than it should be."),
        _ => ("Access token expires", "Once, a week before a token of yours or of a robot expires."),
    };
    Choice { kind, label, hint, is_on: !muted.contains(&kind) }
}

/// `GET /user/settings/notifications`.
pub async fn form(call: Call) -> Result<Reply> {
    call.app.demand_mail()?;
    let (frame, (user, muted)) = frame(&call, |conn, caller| {
        let name = caller.signed_in()?.name.clone();
        let user = users::find(conn, &name)?.ok_or(Error::NotFound(What::User))?;
        Ok((user, muted_mail::get(conn, caller)?))
    })
    .await?;
    let kinds = MailKind::OPTIONAL.into_iter().filter(|kind| user.is_admin || !kind.is_for_administrators());
    let choices = kinds.map(|kind| choice(kind, &muted)).collect();
    Reply::page(&NotificationsPage { frame, user, choices })
}

/// The kinds that are checked: a box that is not checked is not sent.
#[derive(Deserialize)]
pub struct Checked {
    #[serde(default)]
    on: Vec<String>,
}

/// `POST /user/settings/notifications`.
pub async fn submit(call: Call, form: Protected<Checked>) -> Result<Reply> {
    call.app.demand_mail()?;
    let on: Vec<MailKind> = form.read(&call).await?.on.iter().filter_map(|word| word.parse().ok()).collect();
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let right = can_change_own(conn, caller)?;
        let is_admin = caller.is_admin();
        // What the page did not offer stays as it is.
        let before = muted_mail::get(conn, caller)?;
        let is_off = |kind: &MailKind| match is_admin || !kind.is_for_administrators() {
            true => !on.contains(kind),
            false => before.contains(kind),
        };
        let muted: Vec<MailKind> = MailKind::OPTIONAL.into_iter().filter(is_off).collect();
        muted_mail::set(conn, caller, &right, &muted, now)
    })
    .await?;
    Ok(Reply::to(PAGE).notice(&call.app, "Notifications saved."))
}
