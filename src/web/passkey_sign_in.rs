//! Signing in with a passkey, using one as the second factor, and confirming with one. A script asks for the options,
//! passes them to the browser, and sends its answer.

use super::forms::Protected;
use super::login::{self, Proof, begin};
use super::login_code::{ask_again, begin_again};
use super::page::{Reply, within_site};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::auth::passkey::{self, EXPIRED, Purpose, prove};
use crate::auth::session::{self, PendingUser};
use crate::error::{Error, Result};
use crate::registry::accounts::factor::Factor;
use crate::registry::accounts::passkeys::relying_party::Asked;
use crate::registry::accounts::sessions;
use actix_web::http::StatusCode;
use serde::Deserialize;
use serde_json::json;

/// What the script wants a passkey for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Wanted {
    SignIn,
    SecondFactor,
    Confirm,
}

#[derive(Deserialize)]
pub struct Question {
    purpose: Wanted,
}

#[derive(Deserialize)]
pub struct Answered {
    /// An `AuthenticationResponseJSON`.
    answer: String,
    #[serde(default)]
    back: String,
}

/// The options for the browser, and the cookie that keeps what was asked.
pub(super) fn ask(call: &Call, purpose: Purpose, asked: &Asked) -> Result<Reply> {
    let reply = Reply::json(StatusCode::OK, &asked.options)?;
    Ok(reply.cookie(passkey::pend(&call.app, purpose, asked)?))
}

/// The problems of an answer.
pub(super) fn problems(error: Error) -> Result<Problems> {
    match error {
        Error::BadCredential(text) => Ok(Problems::whole(StatusCode::UNAUTHORIZED, text)),
        Error::RateLimited { .. } => login::problems(error),
        other => Problems::of(other, "answer"),
    }
}

fn second_factor(pending: &PendingUser) -> Purpose {
    Purpose::second_factor((pending.id, pending.epoch))
}

/// To confirm that the reader is the user of their session.
async fn confirmation(call: &Call) -> Result<Purpose> {
    call.reading(|_, caller| {
        let session = caller.session().ok_or(Error::Unauthenticated)?;
        Ok(Purpose::confirm(caller.signed_in()?.id, session))
    })
    .await
}

async fn question(call: &Call, wanted: Wanted) -> Result<Reply> {
    let purpose = match wanted {
        Wanted::SignIn => Purpose::SignIn,
        Wanted::SecondFactor => second_factor(&session::pending(&call.req, &call.app).ok_or(EXPIRED)?),
        Wanted::Confirm => confirmation(call).await?,
    };
    ask(call, purpose, &passkey::relying_party(&call.app)?.ask()?)
}

/// `POST /login/passkey/options`: what to ask a passkey, as JSON.
pub async fn options(call: Call, form: Protected<Question>) -> Result<Reply> {
    let wanted = form.read(&call).await?.purpose;
    match question(&call, wanted).await {
        Ok(reply) => Ok(reply),
        Err(error) => problems(error)?.reply_json(),
    }
}

/// `POST /login/passkey`.
pub async fn sign_in(call: Call, form: Protected<Answered>) -> Result<Reply> {
    let fields = form.read(&call).await?;
    let back = within_site(&fields.back);
    match prove(&call, &Purpose::SignIn, &fields.answer).await {
        Ok(proven) => {
            let proof = Proof { passkey: Some(proven.passkey), ..Proof::default() };
            let reply = begin(&call, (proven.user, proven.epoch), proof, &back).await?;
            Ok(reply.cookie(passkey::unpend(&call.app)))
        }
        Err(error) => login::sign_in_again(&call, String::new(), back, problems(error)?).await,
    }
}

/// `POST /login/two-factor/passkey`.
pub async fn prove_second_factor(call: Call, form: Protected<Answered>) -> Result<Reply> {
    let fields = form.read(&call).await?;
    let back = within_site(&fields.back);
    let Some(pending) = session::pending(&call.req, &call.app) else { return Ok(begin_again(&call, &back)) };
    match prove(&call, &second_factor(&pending), &fields.answer).await {
        Ok(_) => {
            let of = (pending.id, pending.epoch);
            let reply = begin(&call, of, Proof::second(pending, Factor::Passkey), &back).await?;
            Ok(reply.cookie(passkey::unpend(&call.app)))
        }
        Err(error) => ask_again(&call, pending.id, back, problems(error)?).await,
    }
}

/// `POST /login/passkey/confirm`: answers with JSON. The form that asked is sent afterwards.
pub async fn confirm(call: Call, form: Protected<Answered>) -> Result<Reply> {
    let fields = form.read(&call).await?;
    let purpose = confirmation(&call).await?;
    if let Err(error) = prove(&call, &purpose, &fields.answer).await {
        return problems(error)?.reply_json();
    }
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let session = caller.session().ok_or(Error::Unauthenticated)?;
        sessions::confirm(conn, session, now)
    })
    .await?;
    let reply = Reply::json(StatusCode::OK, &json!({"message": "You have confirmed that it's you."}))?;
    Ok(reply.cookie(passkey::unpend(&call.app)))
}
