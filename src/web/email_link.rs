//! The pages of links in mail: confirming an address, and choosing a password after forgetting it or being invited. A
//! link only shows a form, so that programs that open every link of a mail use nothing up.

use super::forms::Protected;
use super::login;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::auth::{password, session};
use crate::domain::mail::LinkKind;
use crate::domain::names::{Email, OwnerName};
use crate::domain::secret::Password;
use crate::error::{Error, Result};
use crate::http::paging::param;
use crate::http::request_log::client;
use crate::registry::accounts::email_confirmation;
use crate::registry::accounts::email_links::{self, EmailLink, Unusable};
use crate::registry::accounts::password_reset::{self, Chosen};
use actix_web::http::StatusCode;
use askama::Template;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

#[derive(Template)]
#[template(path = "forgot.html")]
struct ForgotPage {
    frame: Frame,
    problems: Problems,
    name: String,
    /// Whether the request was just made.
    is_sent: bool,
}

/// Marks, in the query of the page, that the request was just made.
const SENT: &str = "sent";

/// `GET /login/forgot`.
pub async fn forgot_form(call: Call) -> Result<Reply> {
    call.app.demand_password_links()?;
    let (frame, ()) = frame(&call, |_, _| Ok(())).await?;
    let is_sent = param(&call.req, SENT).is_some();
    Reply::page(&ForgotPage { frame, problems: Problems::default(), name: String::new(), is_sent })
}

#[derive(Deserialize)]
pub struct Forgotten {
    name: String,
}

/// `POST /login/forgot`. The answer and the work are the same for every name.
pub async fn forget(call: Call, form: Protected<Forgotten>) -> Result<Reply> {
    call.app.demand_password_links()?;
    let Forgotten { name } = form.read(&call).await?;
    let (key, typed) = (call.app.key.clone(), name.clone());
    let (address, now) = (client(&call.req), call.app.clock.now());
    let asked = call.app.db.write(move |conn| password_reset::request(conn, &key, &typed, address, now)).await;
    match asked {
        Ok(()) => Ok(Reply::to(&format!("/login/forgot?{SENT}=1"))),
        Err(error) => {
            let problems = Problems::of(error, "name")?;
            let (frame, ()) = frame(&call, |_, _| Ok(())).await?;
            let page = ForgotPage { frame, problems, name, is_sent: false };
            page.problems.reply(&page)
        }
    }
}

/// The page of a link that cannot be used: why, and what to do.
#[derive(Template)]
#[template(path = "email_link_problem.html")]
struct ProblemPage {
    frame: Frame,
    title: &'static str,
    why: &'static str,
    advice: &'static str,
    /// A page that helps, and its name.
    way: Option<(&'static str, &'static str)>,
}

async fn unusable(call: &Call, kind: LinkKind, why: Unusable) -> Result<Reply> {
    let (frame, ()) = frame(call, |_, _| Ok(())).await?;
    let (title, status, text) = match why {
        Unusable::Unknown => (
            "Unknown link",
            StatusCode::NOT_FOUND,
            "There is no such link. Check that you copied all of it from the email.",
        ),
        Unusable::Used => {
            ("Link already used", StatusCode::GONE, "This link was already used, or a newer one replaced it.")
        }
        Unusable::Expired => ("Link expired", StatusCode::GONE, "This link has expired."),
        Unusable::Outdated => {
            ("Link no longer valid", StatusCode::GONE, "The account has changed since this link was sent.")
        }
        Unusable::Taken => (
            "Address already in use",
            StatusCode::CONFLICT,
            "Another account already signs in with this address, so it can't be confirmed for this one.",
        ),
    };
    let (advice, way) = match (kind, why) {
        (LinkKind::Confirmation, Unusable::Taken) => {
            ("Sign in with the other account, or use another address.", Some(("/login", "Sign in")))
        }
        (LinkKind::Confirmation, _) => (
            "To get a new one, sign in and enter your email address again.",
            Some(("/user/settings/email", "Change email address")),
        ),
        (LinkKind::Reset, _) => {
            ("If you still need to reset your password, ask for a new link.", Some(("/login/forgot", "Get a new link")))
        }
        (LinkKind::Invitation, Unusable::Used) => {
            ("If you chose a password, sign in with it.", Some(("/login", "Sign in")))
        }
        (LinkKind::Invitation, _) => ("Ask an administrator for a new invitation.", None),
    };
    Reply::page_with(status, &ProblemPage { frame, title, why: text, advice, way })
}

/// The secret in the query.
fn code(call: &Call) -> String {
    percent_decode_str(param(&call.req, "code").unwrap_or_default()).decode_utf8_lossy().into_owned()
}

/// The link with this secret.
async fn find(call: &Call, kind: LinkKind, code: &str) -> Result<Result<EmailLink, Unusable>> {
    call.app.demand_mail()?;
    let (code, now) = (code.to_owned(), call.app.clock.now());
    call.app.db.read(move |conn| email_links::find(conn, kind, &code, now)).await
}

#[derive(Template)]
#[template(path = "confirm_email.html")]
struct ConfirmPage {
    frame: Frame,
    code: String,
    name: OwnerName,
    email: Email,
}

/// `GET /login/confirm-email`.
pub async fn confirm_form(call: Call) -> Result<Reply> {
    let code = code(&call);
    match find(&call, LinkKind::Confirmation, &code).await? {
        Ok(EmailLink { name, email, .. }) => {
            let (frame, ()) = frame(&call, |_, _| Ok(())).await?;
            Reply::page(&ConfirmPage { frame, code, name, email })
        }
        Err(why) => unusable(&call, LinkKind::Confirmation, why).await,
    }
}

#[derive(Deserialize)]
pub struct Code {
    code: String,
}

/// `POST /login/confirm-email`.
pub async fn confirm(call: Call, form: Protected<Code>) -> Result<Reply> {
    call.app.demand_mail()?;
    let Code { code } = form.read(&call).await?;
    let now = call.app.clock.now();
    let done = call.writing(move |conn, caller| email_confirmation::confirm(conn, caller, &code, now)).await?;
    match done {
        Ok(EmailLink { name, email, .. }) => {
            let notice = format!("{email} is confirmed. You can now sign in to {name} with it.");
            Ok(Reply::to("/user/settings").notice(&call.app, &notice))
        }
        Err(why) => unusable(&call, LinkKind::Confirmation, why).await,
    }
}

#[derive(Template)]
#[template(path = "choose_password.html")]
struct ChoosePage {
    frame: Frame,
    problems: Problems,
    code: String,
    name: OwnerName,
    is_invitation: bool,
}

impl ChoosePage {
    fn action(&self) -> &'static str {
        if self.is_invitation { "/login/invitation" } else { "/login/reset" }
    }
}

async fn choose_form(call: Call, kind: LinkKind) -> Result<Reply> {
    let code = code(&call);
    match find(&call, kind, &code).await? {
        Ok(EmailLink { name, .. }) => {
            let (frame, ()) = frame(&call, |_, _| Ok(())).await?;
            let is_invitation = kind == LinkKind::Invitation;
            Reply::page(&ChoosePage { frame, problems: Problems::default(), code, name, is_invitation })
        }
        Err(why) => unusable(&call, kind, why).await,
    }
}

/// `GET /login/reset`.
pub async fn reset_form(call: Call) -> Result<Reply> {
    choose_form(call, LinkKind::Reset).await
}

/// `GET /login/invitation`.
pub async fn invitation_form(call: Call) -> Result<Reply> {
    choose_form(call, LinkKind::Invitation).await
}

#[derive(Deserialize)]
pub struct Choice {
    code: String,
    new_password: String,
    again: String,
}

/// `POST /login/reset`.
pub async fn reset(call: Call, form: Protected<Choice>) -> Result<Reply> {
    choose(call, form, LinkKind::Reset).await
}

/// `POST /login/invitation`.
pub async fn accept_invitation(call: Call, form: Protected<Choice>) -> Result<Reply> {
    choose(call, form, LinkKind::Invitation).await
}

async fn choose(call: Call, form: Protected<Choice>, kind: LinkKind) -> Result<Reply> {
    call.app.demand_password_links()?;
    let fields = form.read(&call).await?;
    let link = match find(&call, kind, &fields.code).await? {
        Ok(link) => link,
        Err(why) => return unusable(&call, kind, why).await,
    };
    match set_password(&call, kind, &link, &fields).await {
        Ok(Ok(chosen)) => enter(&call, kind, chosen).await,
        Ok(Err(why)) => unusable(&call, kind, why).await,
        Err(error) => {
            let problems = Problems::of(error, "new_password")?;
            let (frame, ()) = frame(&call, |_, _| Ok(())).await?;
            let is_invitation = kind == LinkKind::Invitation;
            let page = ChoosePage { frame, problems, code: fields.code, name: link.name, is_invitation };
            page.problems.reply(&page)
        }
    }
}

async fn set_password(
    call: &Call,
    kind: LinkKind,
    link: &EmailLink,
    fields: &Choice,
) -> Result<Result<Chosen, Unusable>> {
    let new = Password::new(fields.new_password.clone());
    password::check_new("new_password", &new, &[link.name.as_str(), link.email.as_str()])?;
    if fields.new_password != fields.again {
        return Err(Error::invalid("again", "the passwords do not match: type the new password twice"));
    }
    let hash = call.app.passwords.hash(new).await?;
    let (code, now) = (fields.code.clone(), call.app.clock.now());
    call.writing(move |conn, caller| password_reset::choose(conn, caller, (kind, &code), &hash, now)).await
}

/// Signs in somebody who has just chosen a password. Without this, strangers who fill the account's limit of attempts
/// could keep them out: the new password made every known device unknown. A two-factor code is asked for as always.
async fn enter(call: &Call, kind: LinkKind, chosen: Chosen) -> Result<Reply> {
    let of = (chosen.user, chosen.epoch);
    if chosen.has_factor {
        let pending = session::PendingUser { id: of.0, epoch: of.1, identity: None };
        let notice = "Your password has been changed. Enter a code to sign in.";
        let pending = session::pend(&call.app, pending)?;
        return Ok(Reply::to("/login/two-factor").cookie(pending).notice(&call.app, notice));
    }
    let reply = login::begin_quietly(call, of, "/").await?;
    let notice = match kind {
        LinkKind::Invitation => format!("Welcome, {}! Your password is set.", chosen.name),
        LinkKind::Reset | LinkKind::Confirmation => {
            "Your password has been changed. You've been signed out on other devices.".to_owned()
        }
    };
    Ok(reply.notice(&call.app, &notice))
}
