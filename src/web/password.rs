//! The page to change the password. Users who must change their password are redirected here first.

use super::forms::Protected;
use super::login::renew;
use super::page::{Frame, Reply, frame, within, within_site};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::auth::{confirm, password};
use crate::domain::ids::SessionId;
use crate::domain::secret::Password;
use crate::error::{Error, Result, What};
use crate::http::paging::param;
use crate::registry::access::can_change_own;
use crate::registry::accounts::users::{self, change_password};
use askama::Template;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage {
    frame: Frame,
    problems: Problems,
    must_change: bool,
    back: String,
}

/// Shows the form.
async fn page(call: &Call, problems: Problems, back: String) -> Result<PasswordPage> {
    let (frame, must_change) = frame(call, |_, caller| Ok(caller.must_change_password())).await?;
    Ok(PasswordPage { frame, problems, must_change, back })
}

/// `GET /user/settings/password`.
pub async fn form(call: Call) -> Result<Reply> {
    let back =
        within(&call.app, &percent_decode_str(param(&call.req, "redirect_to").unwrap_or_default()).decode_utf8_lossy());
    Reply::page(&page(&call, Problems::default(), back).await?)
}

#[derive(Deserialize)]
pub struct NewPassword {
    current_password: String,
    new_password: String,
    again: String,
    #[serde(default)]
    back: String,
}

/// `POST /user/settings/password`.
pub async fn submit(call: Call, form: Protected<NewPassword>) -> Result<Reply> {
    let fields = form.read(&call).await?;
    let back = within_site(&fields.back);
    // People who had to change their password came from the sign-in page, and continue from there.
    let was_forced = call.reading(|_, caller| Ok(caller.must_change_password())).await?;
    match change(&call, fields).await {
        Ok(session) => {
            let to = if back == "/" && !was_forced { "/user/settings/password" } else { &back };
            let reply = Reply::to(to)
                .notice(&call.app, "Your password has been changed. You've been signed out on other devices.");
            renew(&call, reply, session).await
        }
        Err(error) => {
            let problems = Problems::of(error, "new_password")?;
            let page = page(&call, problems, back).await?;
            page.problems.reply(&page)
        }
    }
}

async fn change(call: &Call, fields: NewPassword) -> Result<Option<SessionId>> {
    let (name, email) = call
        .reading(|conn, caller| {
            let name = caller.signed_in()?.name.clone();
            let user = users::find(conn, &name)?.ok_or(Error::NotFound(What::User))?;
            Ok((user.name, user.email))
        })
        .await?;
    let new = Password::new(fields.new_password);
    password::check_new("new_password", &new, &[name.as_str(), &email])?;
    if new.reveal() != fields.again {
        return Err(Error::invalid("again", "the passwords do not match: type the new password twice"));
    }
    confirm::password(call, &fields.current_password).await?;
    if new.reveal() == fields.current_password {
        return Err(Error::invalid("new_password", "this is your current password: choose a different one"));
    }
    let hash = call.app.passwords.hash(new).await?;
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let right = can_change_own(conn, caller)?;
        change_password(conn, caller, &right, &hash, now)
    })
    .await
}
