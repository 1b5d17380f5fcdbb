//! Adding, renaming and removing passkeys.

use super::device::device;
use super::forms::Protected;
use super::login::renew;
use super::page::{Frame, Reply, frame};
use super::passkey_sign_in::{ask, problems};
use super::problems::Problems;
use super::two_factor::codes_reply;
use crate::auth::call::Call;
use crate::auth::confirm;
use crate::auth::passkey::{self, Purpose, accept_new};
use crate::domain::address;
use crate::domain::ids::{PasskeyId, SessionId};
use crate::domain::text::PasskeyName;
use crate::error::{Error, Result, What};
use crate::registry::access::can_change_own;
use crate::registry::accounts::passkeys::relying_party::PasskeyUser;
use crate::registry::accounts::passkeys::{self, Passkey, Removed};
use crate::registry::accounts::two_factor::{Enrolled, enroll_passkeys, is_enrolled};
use crate::registry::caller::SignedIn;
use actix_web::http::header;
use askama::Template;
use serde::Deserialize;

const SECURITY: &str = "/user/settings/security";

#[derive(Template)]
#[template(path = "passkey_new.html")]
struct NewPage {
    frame: Frame,
    problems: Problems,
    name: String,
    /// Whether to offer two-factor authentication with it, and whether that was chosen.
    offers_two_factor: bool,
    second_factor: bool,
    /// Whether browsers have passkeys at the site's address.
    is_available: bool,
}

async fn new_page(call: &Call, name: String, second_factor: bool, problems: Problems) -> Result<NewPage> {
    let (frame, is_on) = frame(call, |conn, caller| is_enrolled(conn, caller.signed_in()?.id)).await?;
    let passwords = call.app.config.auth.password_sign_in;
    let may_use_password = |user: &SignedIn| user.has_password && passwords.allows(user.is_admin);
    let offers_two_factor = !is_on && frame.user.as_ref().is_some_and(may_use_password);
    let is_available = call.app.relying_party().is_some();
    Ok(NewPage { frame, problems, name, offers_two_factor, second_factor, is_available })
}

/// `GET /user/settings/security/passkeys/new`.
pub async fn new_form(call: Call) -> Result<Reply> {
    let agent = call.req.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let name = device(agent.unwrap_or_default()).chars().take(25).collect();
    Reply::page(&new_page(&call, name, false, Problems::default()).await?)
}

#[derive(Deserialize)]
pub struct NewFields {
    name: String,
    #[serde(default)]
    second_factor: Option<String>,
    /// Only for [`options`].
    #[serde(default)]
    current_password: String,
    /// A `RegistrationResponseJSON`; not for [`options`].
    #[serde(default)]
    answer: String,
}

fn name_of(text: &str) -> Result<PasskeyName> {
    text.trim().parse().map_err(|error| Error::invalid("name", format!("name: {error}")))
}

/// `POST /user/settings/security/passkeys/options`: what to ask the browser for a new passkey, as JSON. The password is
/// checked here already, so that no device makes a passkey that is refused.
pub async fn options(call: Call, form: Protected<NewFields>) -> Result<Reply> {
    let fields = form.read(&call).await?;
    match question(&call, &fields).await {
        Ok(reply) => Ok(reply),
        Err(error) => problems(error)?.reply_json(),
    }
}

async fn question(call: &Call, fields: &NewFields) -> Result<Reply> {
    let site = passkey::relying_party(&call.app)?;
    name_of(&fields.name)?;
    confirm::password(call, &fields.current_password).await?;
    let (session, user, known) = call
        .reading(|conn, caller| {
            let (session, user) = (caller.session().ok_or(Error::Unauthenticated)?, caller.signed_in()?.clone());
            let known = passkeys::known(conn, user.id)?;
            Ok((session, user, known))
        })
        .await?;
    let asked = site.ask_for_new(&PasskeyUser::new(&call.app.key, user.id, user.name), &known)?;
    ask(call, Purpose::add(session), &asked)
}

/// `POST /user/settings/security/passkeys/new`.
pub async fn add(call: Call, form: Protected<NewFields>) -> Result<Reply> {
    let fields = form.read(&call).await?;
    let wants_two_factor = fields.second_factor.is_some();
    match store(&call, &fields).await {
        Ok((user, Some(done))) => codes_reply(&call, user, &done.codes, done.session, true).await,
        Ok((_, None)) => {
            let notice = "Passkey added. From now on, you can sign in with it instead of your password.";
            Ok(Reply::to(SECURITY).notice(&call.app, notice))
        }
        Err(error) => {
            let page = new_page(&call, fields.name, wants_two_factor, problems(error)?).await?;
            page.problems.reply(&page)
        }
    }
    .map(|reply| reply.cookie(passkey::unpend(&call.app)))
}

/// Adds the passkey and, if that was chosen, turns on two-factor authentication with it.
async fn store(call: &Call, fields: &NewFields) -> Result<(SignedIn, Option<Enrolled>)> {
    let name = name_of(&fields.name)?;
    let session: SessionId = call.reading(|_, caller| caller.session().ok_or(Error::Unauthenticated)).await?;
    let new = accept_new(call, session, &fields.answer).await?;
    let (key, now, wants_two_factor) = (call.app.key.clone(), call.app.clock.now(), fields.second_factor.is_some());
    call.writing(move |conn, caller| {
        let (right, user) = (can_change_own(conn, caller)?, caller.signed_in()?.clone());
        passkeys::add(conn, caller, &right, (&name, &new), now)?;
        let turns_on = wants_two_factor && !is_enrolled(conn, user.id)?;
        let done = turns_on.then(|| enroll_passkeys(conn, caller, &right, &key, now)).transpose()?;
        Ok((user, done))
    })
    .await
}

/// A page about one passkey.
#[derive(Template)]
#[template(path = "passkey_edit.html")]
struct EditPage {
    frame: Frame,
    problems: Problems,
    passkey: Passkey,
    /// The name in the form that renames it; `None` to remove it.
    name: Option<String>,
    /// Whether two-factor authentication ends with it.
    ends_two_factor: bool,
    action: String,
}

async fn edit_page(call: &Call, id: PasskeyId, name: Option<String>, problems: Problems) -> Result<EditPage> {
    let (frame, (passkey, ends_two_factor)) = frame(call, move |conn, caller| {
        let user = caller.signed_in()?.id;
        let passkey = passkeys::find(conn, user, id)?;
        Ok((passkey, passkeys::is_second_factor_alone(conn, user)?))
    })
    .await?;
    let action = if name.is_some() { address::passkey_rename(id) } else { address::passkey_remove(id) };
    Ok(EditPage { frame, problems, passkey, name, ends_two_factor, action })
}

async fn id_of(call: &Call) -> Result<PasskeyId> {
    Ok(PasskeyId(call.part("passkey", What::Passkey).await?))
}

/// `GET /user/settings/security/passkeys/{passkey}/rename`.
pub async fn rename_form(call: Call) -> Result<Reply> {
    let page = edit_page(&call, id_of(&call).await?, Some(String::new()), Problems::default()).await?;
    let name = Some(page.passkey.name.to_string());
    Reply::page(&EditPage { name, ..page })
}

#[derive(Deserialize)]
pub struct NewName {
    name: String,
}

/// `POST /user/settings/security/passkeys/{passkey}/rename`.
pub async fn rename(call: Call, form: Protected<NewName>) -> Result<Reply> {
    let (id, fields, now) = (id_of(&call).await?, form.read(&call).await?, call.app.clock.now());
    let change = async {
        let name = name_of(&fields.name)?;
        call.writing(move |conn, caller| {
            let right = can_change_own(conn, caller)?;
            passkeys::rename(conn, caller, &right, (id, &name), now)
        })
        .await
    };
    match change.await {
        Ok(()) => Ok(Reply::to(SECURITY).notice(&call.app, "Passkey renamed.")),
        Err(error) => {
            let page = edit_page(&call, id, Some(fields.name), Problems::of(error, "name")?).await?;
            page.problems.reply(&page)
        }
    }
}

/// `GET /user/settings/security/passkeys/{passkey}/remove`.
pub async fn remove_form(call: Call) -> Result<Reply> {
    Reply::page(&edit_page(&call, id_of(&call).await?, None, Problems::default()).await?)
}

#[derive(Deserialize)]
pub struct Confirmed {
    current_password: String,
}

/// `POST /user/settings/security/passkeys/{passkey}/remove`.
pub async fn remove(call: Call, form: Protected<Confirmed>) -> Result<Reply> {
    let (id, fields) = (id_of(&call).await?, form.read(&call).await?);
    let (now, open) = (call.app.clock.now(), call.app.open_ways());
    let removal = async {
        confirm::password(&call, &fields.current_password).await?;
        call.writing(move |conn, caller| {
            let right = can_change_own(conn, caller)?;
            passkeys::remove(conn, caller, &right, (id, &open), now)
        })
        .await
    };
    match removal.await {
        Ok(Removed { name, ended_two_factor, session }) => {
            let end = if ended_two_factor { " Two-factor authentication is off." } else { "" };
            let notice = format!("Passkey {name} removed.{end} You've been signed out on other devices.");
            renew(&call, Reply::to(SECURITY).notice(&call.app, &notice), session).await
        }
        Err(error) => {
            let page = edit_page(&call, id, None, Problems::of(error, confirm::FIELD)?).await?;
            page.problems.reply(&page)
        }
    }
}
