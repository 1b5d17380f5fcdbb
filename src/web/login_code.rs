//! The second step of signing in: a code of an authenticator app, a recovery code, or a passkey after the password.

use super::forms::Protected;
use super::login::{Proof, back, begin, problems};
use super::notice::Notice;
use super::page::{Frame, Reply, frame, within_site};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::auth::password::{self, SignInSource};
use crate::auth::session;
use crate::domain::ids::OwnerId;
use crate::domain::path::escape;
use crate::error::Result;
use crate::registry::accounts::passkeys;
use crate::registry::accounts::two_factor;
use actix_web::http::StatusCode;
use askama::Template;
use serde::Deserialize;

#[derive(Template)]
#[template(path = "two_factor.html")]
struct CodePage {
    frame: Frame,
    back: String,
    problems: Problems,
    /// Whether the user has an authenticator app.
    has_totp: bool,
    /// Whether the user has a passkey that works here.
    has_passkey: bool,
}

/// The page that asks a user for their second factor.
async fn code_page(call: &Call, user: OwnerId, back: String, problems: Problems) -> Result<CodePage> {
    let (frame, (has_totp, passkeys)) =
        frame(call, move |conn, _| Ok((two_factor::has_totp(conn, user)?, passkeys::count(conn, user)?))).await?;
    let has_passkey = passkeys > 0 && call.app.relying_party().is_some();
    Ok(CodePage { frame, back, problems, has_totp, has_passkey })
}

/// The same page after a problem.
pub(super) async fn ask_again(call: &Call, user: OwnerId, back: String, problems: Problems) -> Result<Reply> {
    let page = code_page(call, user, back, problems).await?;
    page.problems.reply(&page)
}

/// `GET /login/two-factor`.
pub async fn form(call: Call) -> Result<Reply> {
    let Some(pending) = session::pending(&call.req, &call.app) else { return Ok(Reply::to("/login")) };
    Reply::page(&code_page(&call, pending.id, back(&call), Problems::default()).await?)
}

#[derive(Deserialize)]
pub struct Code {
    code: String,
    #[serde(default)]
    back: String,
}

/// `POST /login/two-factor`.
pub async fn submit(call: Call, form: Protected<Code>) -> Result<Reply> {
    let fields = form.read(&call).await?;
    let Some(pending) = session::pending(&call.req, &call.app) else {
        return Ok(begin_again(&call, &within_site(&fields.back)));
    };
    let source = SignInSource::of(&call.req, &call.app);
    let of = (pending.id, pending.epoch);
    let problems = match password::use_code(&call.app, of, &fields.code, true, &source).await {
        Ok(Some(factor)) => {
            return begin(&call, of, Proof::second(pending, factor), &within_site(&fields.back)).await;
        }
        Ok(None) => {
            Problems::whole(StatusCode::UNAUTHORIZED, "the code is wrong or has already been used: enter the next code")
        }
        Err(error) => problems(error)?,
    };
    ask_again(&call, pending.id, within_site(&fields.back), problems).await
}

/// Sends somebody back to the first step, because they took too long.
pub(super) fn begin_again(call: &Call, back: &str) -> Reply {
    let query = format!("?redirect_to={}", escape(back));
    let again = format!("/login{}", if back == "/" { "" } else { query.as_str() });
    Reply::to(&again).tell(&call.app, &Notice::bad("The time for the code is over. Sign in again."))
}
