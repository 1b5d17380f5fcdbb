//! Basic authentication (RFC 7617): a token in either place, or a user's password and, where he has one, a second
//! factor's code in `X-Gitea-OTP`.

use super::{NOT_UNDERSTOOD, token};
use crate::domain::clock::Timestamp;
use crate::domain::secret::{Password, TokenSecret};
use crate::error::{Error, Result};
use crate::registry::caller::{BAD_LOGIN, Credential};
use crate::registry::users::Login;
use crate::registry::{attempts, two_factor, users};
use crate::state::App;
use actix_web::HttpRequest;
use actix_web::http::header::HeaderName;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::net::IpAddr;
use tracing::Instrument;

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
    let account = attempts::account(&app.key, login.as_ref().map(|login| login.id), name);
    judge(app, account, login.clone(), password, address, now).await?;
    let login = login.ok_or(BAD_LOGIN)?;
    second_factor(req, app, &login, now).await?;
    Ok(Credential::Login { user: login.id, epoch: login.auth_epoch })
}

/// Finds out whether a password is right, and remembers one that is: whoever brings it too meanwhile waits and hashes
/// nothing.
async fn judge(
    app: &App,
    account: String,
    login: Option<Login>,
    password: Password,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<()> {
    let (db, passwords) = (app.db.clone(), app.passwords.clone());
    let remembered = {
        let (passwords, password) = (passwords.clone(), password.clone());
        let known = login.as_ref().map(|login| (login.id, login.auth_epoch));
        move || known.is_some_and(|(user, epoch)| passwords.remembers(user, epoch, &password, now))
    };
    if remembered() {
        return Ok(());
    }
    let buckets = attempts::sign_in_buckets(&account, address);
    let looked_at = buckets.clone();
    db.read(move |conn| attempts::look(conn, &looked_at, now)).await?;
    // On its own from here: the attempt of a request that goes away is judged all the same, and given back or not.
    let judging = async move {
        let epoch = login.as_ref().map_or(0, |login| login.auth_epoch);
        let _alone = passwords.alone(&account, epoch, &password).await;
        if remembered() {
            return Ok(());
        }
        // Counted when it has its turn and not before, and the turn is kept until it is given back: what waits counts for
        // nothing, or many users behind one address would lock each other out by being right at the same time.
        let turn = passwords.turn().await?;
        let taken = buckets.clone();
        db.write(move |conn| attempts::take(conn, &taken, now)).await?;
        let hash = login.as_ref().and_then(|login| login.password_hash.clone());
        let (_turn, right) = match passwords.verify(turn, password.clone(), hash).await {
            Ok(judged) => judged,
            Err(error) => {
                db.write(move |conn| attempts::give_back(conn, &buckets)).await?;
                return Err(error);
            }
        };
        let Some(login) = login.as_ref().filter(|login| right && login.is_active && !login.is_locked) else {
            // Only a name that exists: in its place people type passwords and tokens too.
            let user = login.as_ref().map(|login| login.id.0);
            tracing::warn!(user, client = ?address, "sign-in failed");
            return Err(BAD_LOGIN);
        };
        passwords.remember(login.id, login.auth_epoch, &password, now);
        let user = login.id;
        db.write(move |conn| {
            attempts::give_back(conn, &buckets)?;
            users::note_login(conn, user, now)
        })
        .await
    };
    tokio::spawn(judging.in_current_span()).await.map_err(Error::internal)?
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
    let looked_at = buckets.clone();
    app.db.read(move |conn| attempts::look(conn, &looked_at, now)).await?;
    // One transaction, so that a right code is never counted, not even while it is looked at.
    let judged = app.db.write(move |conn| {
        attempts::take(conn, &buckets, now)?;
        let right = two_factor::use_code(conn, &key, user, &code, now)?;
        if right {
            attempts::give_back(conn, &buckets)?;
        }
        Ok(right)
    });
    if judged.await? { Ok(()) } else { Err(CODE_WANTED) }
}
