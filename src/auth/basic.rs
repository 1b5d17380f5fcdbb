//! Basic authentication (RFC 7617): a token in either place, or a user's password and, for users with two-factor
//! authentication, a code in `X-Gitea-OTP`.

use super::bearer::{NOT_UNDERSTOOD, token};
use super::origin::is_foreign;
use super::password::{self, SignInSource};
use crate::db::Connection;
use crate::domain::secret::{Password, TokenSecret};
use crate::error::{Error, Result};
use crate::http::request_log::client;
use crate::registry::accounts::two_factor;
use crate::registry::accounts::users::Login;
use crate::registry::caller::Credential;
use crate::state::App;
use actix_web::HttpRequest;
use actix_web::http::header::HeaderName;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const X_GITEA_OTP: HeaderName = HeaderName::from_static("x-gitea-otp");
const CODE_WANTED: Error = Error::BadCredential(
    "this account has two-factor authentication: send the code as X-Gitea-OTP (each code works once) or use an access \
     token",
);

const NO_CODE: Error = Error::BadCredential(
    "this account has two-factor authentication with a passkey, which works only in a browser: use an access token",
);

const FOREIGN: &str = "a page of another site sent this request with the password that the browser remembers, so nothing \
                       was changed";

/// The decoded content of a Basic credential.
///
/// # Errors
/// [`Error::Forbidden`] when a page of another site would change something with a password that the browser remembers;
/// the errors of a sign-in.
pub(super) async fn credential(req: &HttpRequest, app: &App, encoded: &str) -> Result<Credential> {
    if !req.method().is_safe() && is_foreign(req, app) {
        return Err(Error::Forbidden(FOREIGN.to_owned()));
    }
    let decoded = STANDARD.decode(encoded).map(text).map_err(|_| NOT_UNDERSTOOD)?;
    let (name, password) = decoded.split_once(':').ok_or(NOT_UNDERSTOOD)?;
    if password.parse::<TokenSecret>().is_ok() {
        return token(password);
    }
    if matches!(password, "" | "x-oauth-basic") && name.parse::<TokenSecret>().is_ok() {
        return token(name);
    }
    sign_in(req, app, name, Password::new(password)).await
}

/// The text of a credential. It is UTF-8, as the challenge asks; older clients send Latin-1, whose bytes beyond ASCII are
/// practically never valid UTF-8.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| error.as_bytes().iter().map(|byte| char::from(*byte)).collect())
}

async fn sign_in(req: &HttpRequest, app: &App, name: &str, password: Password) -> Result<Credential> {
    // No cookie counts here, so the source is only an address.
    let source = SignInSource::at(client(req));
    let login = password::sign_in(app, name, password, &source).await?;
    check_two_factor(req, app, &login, &source).await?;
    password::remember_address(app, &login, &source).await?;
    Ok(Credential::Login { user: login.id, epoch: login.auth_epoch })
}

/// Requires the two-factor code of users who have two-factor authentication; each request needs a new code.
async fn check_two_factor(req: &HttpRequest, app: &App, login: &Login, source: &SignInSource) -> Result<()> {
    let (user, epoch) = (login.id, login.auth_epoch);
    let look =
        move |conn: &mut Connection| Ok((two_factor::is_enrolled(conn, user)?, two_factor::has_totp(conn, user)?));
    match app.db.read(look).await? {
        (false, _) => return Ok(()),
        (true, false) => return Err(NO_CODE),
        (true, true) => {}
    }
    let code = req.headers().get(X_GITEA_OTP).and_then(|value| value.to_str().ok()).ok_or(CODE_WANTED)?.to_owned();
    password::use_code(app, (user, epoch), &code, false, source).await?.map(drop).ok_or(CODE_WANTED)
}
