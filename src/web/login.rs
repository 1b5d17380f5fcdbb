//! Signing in: first the password, then the second step of users who have set it up (`login_code`), and only then a
//! session.

use super::device::device as device_name;
use super::forms::Protected;
use super::page::{Frame, Reply, frame, within, within_site};
use super::problems::Problems;
use super::purpose::purpose;
use crate::auth::call::Call;
use crate::auth::password::SignInSource;
use crate::auth::session::PendingUser;
use crate::auth::{device, password, session};
use crate::db::Connection;
use crate::domain::address;
use crate::domain::ids::{OwnerId, SessionId};
use crate::domain::path::escape;
use crate::domain::secret::Password;
use crate::domain::sign_in::PasswordSignIn;
use crate::error::{Error, Result};
use crate::http::paging::{param, params};
use crate::http::request_log::client;
use crate::oidc::Provider;
use crate::registry::accounts::factor::Factor;
use crate::registry::accounts::sessions::{self, Arrival, ProvenIdentity};
use crate::registry::accounts::two_factor::{self, recovery};
use actix_web::http::StatusCode;
use actix_web::http::header;
use askama::Template;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    name: String,
    back: String,
    problems: Problems,
    /// Whether people can create their own accounts here.
    may_register: bool,
    /// Whether people can reset their passwords here.
    may_reset: bool,
    /// What they sign in for.
    purpose: Option<String>,
    /// Why they have to, if they were signed in before.
    reason: Option<&'static str>,
    /// The other ways to sign in.
    providers: Vec<Button>,
    /// Whether to ask for a password.
    takes_passwords: bool,
    /// Whether to offer passkeys, which a browser without JavaScript doesn't show.
    takes_passkeys: bool,
}

/// The button of an OpenID Connect provider.
struct Button {
    label: String,
    /// A data URL; empty for the icon that all others have.
    icon: String,
    url: String,
    is_up: bool,
}

impl LoginPage {
    fn new(call: &Call, frame: Frame, (name, back): (String, String), problems: Problems) -> Self {
        let reason = match (param(&call.req, LOST).is_some(), session::is_sent(&call.req, &call.app)) {
            (true, _) => Some("Your session has ended, so the form was not saved. Sign in and send it again."),
            (false, true) => Some("Your session has ended. Sign in again."),
            (false, false) => None,
        };
        let reason = reason.filter(|_| problems.is_empty());
        let purpose = purpose(&back);
        let passwords = call.app.config.auth.password_sign_in;
        // Someone who was rescued on the command line finds the form at an address of its own.
        let takes_passwords = passwords != PasswordSignIn::Nobody
            || !problems.is_empty()
            || params(&call.req, "password").next().is_some();
        let may_register = call.app.config.registration.enabled && passwords == PasswordSignIn::Everybody;
        let providers = buttons(call, &back);
        let may_reset = call.app.offers_password_links();
        Self {
            frame,
            name,
            back,
            problems,
            may_register,
            may_reset,
            purpose,
            reason,
            providers,
            takes_passwords,
            takes_passkeys: call.app.relying_party().is_some(),
        }
    }
}

/// The buttons of all providers. Those that can't be used are tried again in the background, and nobody waits for it.
fn buttons(call: &Call, back: &str) -> Vec<Button> {
    let now = call.app.clock.now();
    let button = |provider: &Arc<Provider>| {
        if provider.wants_look(now) {
            let provider = Arc::clone(provider);
            // A failure is remembered and logged there.
            actix_web::rt::spawn(async move { drop(provider.look(now).await) });
        }
        let config = provider.config();
        let query = if back == "/" { String::new() } else { format!("?redirect_to={}", escape(back)) };
        Button {
            label: config.label().to_owned(),
            icon: config.icon.clone(),
            url: format!("{}{query}", address::oidc_start(&config.name)),
            is_up: provider.failure().is_none(),
        }
    };
    call.app.oidc.all().iter().map(button).collect()
}

/// The most characters of a browser's name in a mail: an unknown one says what it likes.
const MOST_OF_DEVICE: usize = 60;

/// Marks, in the query of the sign-in page, that a form was not saved.
pub(super) const LOST: &str = "lost";

/// The sign-in page after a problem.
pub(super) async fn sign_in_again(call: &Call, name: String, back: String, problems: Problems) -> Result<Reply> {
    let (frame, ()) = frame(call, |_, _| Ok(())).await?;
    let page = LoginPage::new(call, frame, (name, back), problems);
    page.problems.reply(&page)
}

/// Where to go after signing in.
pub(super) fn back(call: &Call) -> String {
    let raw = param(&call.req, "redirect_to").unwrap_or_default();
    within(&call.app, &percent_decode_str(raw).decode_utf8_lossy())
}

/// `GET /login`.
pub async fn form(call: Call) -> Result<Reply> {
    let (frame, ()) = frame(&call, |_, _| Ok(())).await?;
    let back = back(&call);
    if frame.user.is_some() {
        return Ok(Reply::to(&back));
    }
    Reply::page(&LoginPage::new(&call, frame, (String::new(), back), Problems::default()))
}

#[derive(Deserialize)]
pub struct SignIn {
    name: String,
    password: String,
    #[serde(default)]
    back: String,
}

/// The message for a failed sign-in; it doesn't say which part was wrong.
pub(super) fn problems(error: Error) -> Result<Problems> {
    match error {
        Error::BadCredential(_) => Ok(Problems::whole(
            StatusCode::UNAUTHORIZED,
            "incorrect username or password, or this account isn't allowed to sign in. Try again, or ask an \
             administrator",
        )),
        Error::RateLimited { retry_after, .. } => Ok(Problems::limited(
            retry_after,
            ", or sign in with a browser or from a network that you used before. Access tokens keep working",
        )),
        other => Problems::of(other, "name"),
    }
}

/// `POST /login`.
pub async fn submit(call: Call, form: Protected<SignIn>) -> Result<Reply> {
    let fields = form.read(&call).await?;
    let back = within_site(&fields.back);
    let source = SignInSource::of(&call.req, &call.app);
    let signed_in = password::sign_in(&call.app, &fields.name, Password::new(fields.password), &source).await;
    let login = match signed_in {
        Ok(login) => login,
        Err(error) => {
            return sign_in_again(&call, fields.name, back, problems(error)?).await;
        }
    };
    let user = login.id;
    if call.app.db.read(move |conn| two_factor::is_enrolled(conn, user)).await? {
        return ask_for_code(&call, PendingUser { id: user, epoch: login.auth_epoch, identity: None }, &back);
    }
    match login.last_login_at {
        Some(_) => begin(&call, (user, login.auth_epoch), Proof::default(), &back).await,
        None => begin_quietly(&call, (user, login.auth_epoch), &back).await,
    }
}

/// Asks a user for their two-factor code.
pub(super) fn ask_for_code(call: &Call, user: PendingUser, back: &str) -> Result<Reply> {
    let next = format!("/login/two-factor?redirect_to={}", escape(back));
    Ok(Reply::to(&next).cookie(session::pend(&call.app, user)?))
}

/// What users proved besides their password, or instead of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Proof {
    pub(super) factor: Option<Factor>,
    pub(super) identity: Option<ProvenIdentity>,
    /// The name of the passkey that they signed in with.
    pub(super) passkey: Option<String>,
}

impl Proof {
    /// The first step that a user waits after, and the second factor.
    pub(super) fn second(pending: PendingUser, factor: Factor) -> Self {
        let identity = pending.identity.map(|id| ProvenIdentity { id, sealed_hint: None });
        Self { factor: Some(factor), identity, passkey: None }
    }
}

/// Starts a session and sets its cookie. The browser's previous session ends. With mail, the user is told if they did
/// not sign in with this browser before.
pub(super) async fn begin(call: &Call, of: (OwnerId, i32), proof: Proof, back: &str) -> Result<Reply> {
    let is_new = !device::is_known(&call.req, &call.app, of.0);
    begin_with(call, of, (proof, is_new), back).await
}

/// [`begin`] for somebody who signs in for the first time, or with a link from their mail: nobody else needs to be told.
pub(super) async fn begin_quietly(call: &Call, of: (OwnerId, i32), back: &str) -> Result<Reply> {
    begin_with(call, of, (Proof::default(), false), back).await
}

async fn begin_with(call: &Call, of: (OwnerId, i32), (proof, is_new): (Proof, bool), back: &str) -> Result<Reply> {
    let (id, left) = enter(call, of, (proof, is_new)).await?;
    let reply = Reply::to(back).cookie(session::begin(&call.app, id)?).cookie(session::unpend(&call.app));
    let reply = reply.cookie(device::remember(&call.req, &call.app, of)?);
    Ok(match left {
        Some(1) => reply.notice(&call.app, "Recovery code used. You have 1 left."),
        Some(left) => reply.notice(&call.app, &format!("Recovery code used. You have {left} left.")),
        None => reply,
    })
}

/// Sets the cookie of a session that replaces the one in use, and makes the browser known again: the change that ended
/// all other sessions made it unknown.
pub(super) async fn renew(call: &Call, reply: Reply, session: Option<SessionId>) -> Result<Reply> {
    let Some(id) = session else { return Ok(reply) };
    let reply = reply.cookie(session::begin(&call.app, id)?);
    let of = call.app.db.read(move |conn| sessions::login_of(conn, id)).await?;
    Ok(match of {
        Some(of) => reply.cookie(device::remember(&call.req, &call.app, of)?),
        None => reply,
    })
}

/// The new session and, if a recovery code was used, the number of codes left.
async fn enter(call: &Call, of: (OwnerId, i32), (proof, is_new): (Proof, bool)) -> Result<(SessionId, Option<i64>)> {
    let agent = call.req.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let (agent, address) = (agent.unwrap_or_default().to_owned(), client(&call.req));
    let (previous, now) = (session::read(&call.req, &call.app), call.app.clock.now());
    let begin = move |conn: &mut Connection| {
        let name: String = device_name(&agent).chars().take(MOST_OF_DEVICE).collect();
        let new_device = is_new.then_some(name.as_str());
        let (factor, identity, passkey) = (proof.factor, proof.identity.as_ref(), proof.passkey.as_deref());
        let arrival = Arrival { address, user_agent: &agent, previous, factor, new_device, identity, passkey };
        let id = sessions::begin(conn, of, &arrival, now)?;
        let left = (factor == Some(Factor::RecoveryCode)).then(|| recovery::left(conn, of.0)).transpose()?;
        Ok((id, left))
    };
    call.app.db.write(begin).await
}

/// A form with no fields but the CSRF token.
#[derive(Deserialize)]
pub struct Nothing {}
