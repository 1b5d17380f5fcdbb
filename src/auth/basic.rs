//! Basic authentication (RFC 7617): a token in either place, or a user's password and, where he has one, a second
//! factor's code in `X-Gitea-OTP`.

use super::{NOT_UNDERSTOOD, bad_login, token};
use crate::domain::clock::Timestamp;
use crate::domain::secret::{Password, TokenSecret};
use crate::error::{Error, Result};
use crate::registry::access::Credential;
use crate::registry::users::Login;
use crate::registry::{attempts, two_factor, users};
use crate::state::App;
use actix_web::HttpRequest;
use actix_web::http::header::HeaderName;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::net::IpAddr;

const X_GITEA_OTP: HeaderName = HeaderName::from_static("x-gitea-otp");
const CODE_WANTED: Error = Error::BadCredential(
    "this account has a second factor: send its code as X-Gitea-OTP (each code works once), or use an access token",
);

/// What the encoded part of a Basic credential stands for.
pub(super) async fn credential(
    req: &HttpRequest,
    app: &App,
    encoded: &str,
    address: Option<IpAddr>,
) -> Result<Credential> {
    let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or(NOT_UNDERSTOOD)?;
    let (name, password) = decoded.split_once(':').ok_or(NOT_UNDERSTOOD)?;
    if password.parse::<TokenSecret>().is_ok() {
        return token(password);
    }
    if matches!(password, "" | "x-oauth-basic") && name.parse::<TokenSecret>().is_ok() {
        return token(name);
    }
    sign_in(req, app, name, Password::new(password), address).await
}

async fn sign_in(
    req: &HttpRequest,
    app: &App,
    name: &str,
    password: Password,
    address: Option<IpAddr>,
) -> Result<Credential> {
    let now = app.clock.now();
    let wanted = name.to_owned();
    let login = app.db.read(move |conn| users::find_login(conn, &wanted)).await?;
    let remembered =
        login.as_ref().is_some_and(|login| app.passwords.remembers(login.id, login.auth_epoch, &password, now));
    if !remembered {
        let buckets = attempts::sign_in_buckets(name, address);
        let taken = buckets.clone();
        app.db.write(move |conn| attempts::take(conn, &taken, now)).await?;
        let hash = login.as_ref().and_then(|login| login.password_hash.clone());
        let right = app.passwords.verify(password.clone(), hash).await?;
        let open = login.as_ref().is_some_and(|login| login.is_active && !login.is_locked);
        if !right || !open {
            // Only a name that exists: in its place people type passwords and tokens too.
            let user = login.as_ref().map(|login| login.id.0);
            tracing::warn!(user, client = ?address, "sign-in failed");
            return Err(bad_login());
        }
        let user = login.as_ref().map(|login| login.id);
        app.db
            .write(move |conn| {
                attempts::give_back(conn, &buckets)?;
                user.map_or(Ok(()), |user| users::note_login(conn, user, now))
            })
            .await?;
    }
    let login = login.ok_or_else(bad_login)?;
    second_factor(req, app, &login, now).await?;
    app.passwords.remember(login.id, login.auth_epoch, &password, now);
    Ok(Credential::Login { user: login.id, epoch: login.auth_epoch })
}

/// Asks for the second factor's code of a user who has one; each request needs a new one.
async fn second_factor(req: &HttpRequest, app: &App, login: &Login, now: Timestamp) -> Result<()> {
    let user = login.id;
    if !app.db.read(move |conn| two_factor::is_enrolled(conn, user)).await? {
        return Ok(());
    }
    let code = req.headers().get(X_GITEA_OTP).and_then(|value| value.to_str().ok()).ok_or(CODE_WANTED)?.to_owned();
    let key = app.key.clone();
    let buckets = attempts::code_buckets(user);
    let taken = buckets.clone();
    app.db.write(move |conn| attempts::take(conn, &taken, now)).await?;
    if !app.db.write(move |conn| two_factor::use_code(conn, &key, user, &code, now)).await? {
        return Err(CODE_WANTED);
    }
    app.db.write(move |conn| attempts::give_back(conn, &buckets)).await
}
