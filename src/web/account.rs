//! Account settings: the username, the email address and deleting the account. Each change asks for the password
//! again.

use super::format::When;
use super::forms::Protected;
use super::page::{Frame, Reply, frame};
use super::problems::{Problems, sentence};
use crate::auth::call::Call;
use crate::auth::{confirm, session};
use crate::domain::mail::LinkKind;
use crate::domain::names::{Email, OwnerName};
use crate::error::{Error, Result, What};
use crate::mailer::is_deliverable;
use crate::registry::access::can_change_own;
use crate::registry::accounts::email_links;
use crate::registry::accounts::users::{self, EmailChange, User, change_own_email, delete_own, obstacles, rename_own};
use askama::Template;
use serde::Deserialize;

/// The signed-in user, with the frame of a page.
async fn own(call: &Call) -> Result<(Frame, User)> {
    frame(call, |conn, caller| {
        let name = caller.signed_in()?.name.clone();
        users::find(conn, &name)?.ok_or(Error::NotFound(What::User))
    })
    .await
}

#[derive(Template)]
#[template(path = "account_email.html")]
struct EmailPage {
    frame: Frame,
    problems: Problems,
    user: User,
    email: String,
    /// An address that a link was sent to, and when it expires.
    pending: Option<(String, When)>,
}

async fn email_page(call: &Call, problems: Problems, typed: Option<String>) -> Result<EmailPage> {
    let now = call.app.clock.now();
    let (frame, (user, pending)) = frame(call, move |conn, caller| {
        let name = caller.signed_in()?.name.clone();
        let user = users::find(conn, &name)?.ok_or(Error::NotFound(What::User))?;
        let pending = email_links::pending(conn, user.id, LinkKind::Confirmation, now)?;
        Ok((user, pending))
    })
    .await?;
    let pending = pending.filter(|_| frame.sends_mail).map(|link| (link.email, When { at: link.expires_at, now }));
    let email = typed.unwrap_or_else(|| user.email.clone());
    Ok(EmailPage { frame, problems, user, email, pending })
}

/// `GET /user/settings/email`.
pub async fn email_form(call: Call) -> Result<Reply> {
    Reply::page(&email_page(&call, Problems::default(), None).await?)
}

#[derive(Deserialize)]
pub struct NewEmail {
    email: String,
    current_password: String,
}

/// `POST /user/settings/email`.
pub async fn set_email(call: Call, form: Protected<NewEmail>) -> Result<Reply> {
    let fields = form.read(&call).await?;
    match change_email(&call, &fields).await {
        Ok(EmailChange::Set) => {
            Ok(Reply::to("/user/settings").notice(&call.app, "Your email address has been changed."))
        }
        Ok(EmailChange::LinkSent) => Ok(Reply::to("/user/settings/email")
            .notice(&call.app, "We've sent you an email. Open the link in it to confirm your address.")),
        Err(error) => {
            let page = email_page(&call, Problems::of(error, "email")?, Some(fields.email)).await?;
            page.problems.reply(&page)
        }
    }
}

async fn change_email(call: &Call, fields: &NewEmail) -> Result<EmailChange> {
    let email: Email = fields.email.trim().parse().map_err(|error| wrong("email", &error))?;
    if call.app.sends_mail() && !is_deliverable(email.as_str()) {
        return Err(Error::invalid("email", "no mail can be sent to this address: check its spelling"));
    }
    confirm::password(call, &fields.current_password).await?;
    let (now, key) = (call.app.clock.now(), call.app.key.clone());
    call.writing(move |conn, caller| {
        let right = can_change_own(conn, caller)?;
        change_own_email(conn, caller, &right, (&email, &key), now)
    })
    .await
}

fn wrong(field: &'static str, error: &dyn std::fmt::Display) -> Error {
    Error::invalid(field, error.to_string())
}

#[derive(Template)]
#[template(path = "account_rename.html")]
struct RenamePage {
    frame: Frame,
    problems: Problems,
    user: User,
    name: String,
}

/// `GET /user/settings/rename`.
pub async fn rename_form(call: Call) -> Result<Reply> {
    let (frame, user) = own(&call).await?;
    let name = user.name.to_string();
    Reply::page(&RenamePage { frame, problems: Problems::default(), user, name })
}

#[derive(Deserialize)]
pub struct NewName {
    name: String,
    current_password: String,
}

/// `POST /user/settings/rename`.
pub async fn rename(call: Call, form: Protected<NewName>) -> Result<Reply> {
    let fields = form.read(&call).await?;
    match change_name(&call, &fields).await {
        Ok(name) => Ok(Reply::to("/user/settings").notice(&call.app, &format!("Your username is now {name}."))),
        Err(error) => {
            let problems = Problems::of(error, "name")?;
            let (frame, user) = own(&call).await?;
            let page = RenamePage { frame, problems, user, name: fields.name };
            page.problems.reply(&page)
        }
    }
}

async fn change_name(call: &Call, fields: &NewName) -> Result<OwnerName> {
    let name: OwnerName = fields.name.trim().parse().map_err(|error| wrong("name", &error))?;
    confirm::password(call, &fields.current_password).await?;
    let (now, to) = (call.app.clock.now(), name.clone());
    call.writing(move |conn, caller| {
        let right = can_change_own(conn, caller)?;
        rename_own(conn, caller, &right, &to, now)
    })
    .await?;
    Ok(name)
}

#[derive(Template)]
#[template(path = "account_delete.html")]
struct DeletePage {
    frame: Frame,
    problems: Problems,
    user: User,
    /// The reasons why the account cannot be deleted, each a sentence.
    obstacles: Vec<String>,
    name: String,
}

async fn delete_page(call: &Call, problems: Problems, name: String) -> Result<DeletePage> {
    let (frame, (user, obstacles)) = frame(call, |conn, caller| {
        let right = can_change_own(conn, caller)?;
        let user = users::find(conn, &right.user().name)?.ok_or(Error::NotFound(What::User))?;
        Ok((user, obstacles(conn, &right)?))
    })
    .await?;
    let obstacles = obstacles.iter().map(|text| sentence("", text)).collect();
    Ok(DeletePage { frame, problems, user, obstacles, name })
}

/// `GET /user/settings/delete`.
pub async fn delete_form(call: Call) -> Result<Reply> {
    Reply::page(&delete_page(&call, Problems::default(), String::new()).await?)
}

#[derive(Deserialize)]
pub struct Deletion {
    name: String,
    current_password: String,
}

/// `POST /user/settings/delete`.
pub async fn delete(call: Call, form: Protected<Deletion>) -> Result<Reply> {
    let fields = form.read(&call).await?;
    match remove(&call, &fields).await {
        Ok(()) => {
            Ok(Reply::to("/").cookie(session::end(&call.app)).notice(&call.app, "Your account has been deleted."))
        }
        Err(error) => {
            let page = delete_page(&call, Problems::of(error, "name")?, fields.name).await?;
            page.problems.reply(&page)
        }
    }
}

async fn remove(call: &Call, fields: &Deletion) -> Result<()> {
    let own = call.reading(|_, caller| Ok(caller.signed_in()?.name.lower())).await?;
    if fields.name.trim().to_lowercase() != own {
        return Err(Error::invalid("name", "this is not your username: type your username to confirm"));
    }
    confirm::password(call, &fields.current_password).await?;
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let right = can_change_own(conn, caller)?;
        delete_own(conn, caller, &right, now)
    })
    .await
}
