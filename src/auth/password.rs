//! Judging passwords and second factors, with their buckets against guessing: the same for programs and browsers.

use super::call::Call;
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::secret::Password;
use crate::error::{Error, Result};
use crate::http::request_log::client;
use crate::registry::caller::BAD_LOGIN;
use crate::registry::two_factor::{self, Factor, recovery};
use crate::registry::users::Login;
use crate::registry::{attempts, users};
use crate::state::App;
use std::net::IpAddr;
use tracing::Instrument;

/// Finds the user of a name or e-mail address, if this is his password.
///
/// # Errors
/// [`Error::BadCredential`], the same for a wrong name and a wrong password; [`Error::RateLimited`], [`Error::Busy`].
pub async fn sign_in(app: &App, name: &str, password: Password, address: Option<IpAddr>) -> Result<Login> {
    let now = app.clock.now();
    let wanted = name.to_owned();
    let login = app.db.read(move |conn| users::find_login(conn, &wanted)).await?;
    let account = attempts::account(&app.key, login.as_ref().map(|login| login.id), name);
    judge(app, account, login.clone(), password, address, now).await?;
    login.ok_or(BAD_LOGIN)
}

/// The field of forms that ask for the password again.
pub const CONFIRMATION: &str = "current_password";

/// Asks whoever is signed in for his password again, before what nobody may do with a browser that was left open or a
/// cookie that was stolen. A wrong one is counted as a sign-in that failed.
///
/// # Errors
/// [`Error::Invalid`] at the field [`CONFIRMATION`] for a wrong one; [`Error::Unauthenticated`], [`Error::RateLimited`],
/// [`Error::Busy`].
pub async fn confirm(call: &Call, password: &str) -> Result<()> {
    if password.is_empty() {
        return Err(Error::invalid(CONFIRMATION, "type your password, to show that it is you"));
    }
    let user = call.reading(|_, caller| caller.signed_in().cloned()).await?;
    let password = Password::new(password);
    match sign_in(&call.app, user.name.as_str(), password, client(&call.req)).await {
        Ok(login) if login.id == user.id => Ok(()),
        Ok(_) | Err(Error::BadCredential(_)) => Err(Error::invalid(CONFIRMATION, "this is not your password")),
        Err(error) => Err(error),
    }
}

/// Checks a password that a user of these names wants to have; `field` is what the caller calls it.
///
/// # Errors
/// [`Error::Invalid`] with the reason.
pub fn check_new(field: &'static str, password: &Password, names: &[&str]) -> Result<()> {
    password.check_new(names).map_err(|error| Error::invalid(field, format!("{field}: {error}")))
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

/// Uses a second factor's code up, if it is right and fresh; where recovery codes are good too, one of these.
///
/// # Errors
/// [`Error::RateLimited`].
pub async fn use_code(app: &App, user: OwnerId, code: &str, with_recovery: bool) -> Result<Option<Factor>> {
    let now = app.clock.now();
    let key = app.key.clone();
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let buckets = attempts::code_buckets(user);
    let looked_at = buckets.clone();
    app.db.read(move |conn| attempts::look(conn, &looked_at, now)).await?;
    // One transaction, so that a right code is never counted, not even while it is looked at.
    app.db
        .write(move |conn| {
            attempts::take(conn, &buckets, now)?;
            let factor = if two_factor::use_code(conn, &key, user, &code, now)? {
                Some(Factor::Totp)
            } else if with_recovery && recovery::use_code(conn, &key, user, &code, now)? {
                Some(Factor::RecoveryCode)
            } else {
                None
            };
            if factor.is_some() {
                attempts::give_back(conn, &buckets)?;
            }
            Ok(factor)
        })
        .await
}
