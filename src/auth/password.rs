//! Checking passwords and two-factor codes, with rate limits against guessing: the same for programs and browsers.

use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::secret::Password;
use crate::error::{Error, Result};
use crate::registry::accounts::factor::Factor;
use crate::registry::accounts::two_factor::{self, recovery};
use crate::registry::accounts::users::Login;
use crate::registry::accounts::{attempts, users};
use crate::registry::caller::BAD_LOGIN;
use crate::state::App;
use std::net::IpAddr;
use tracing::Instrument;

/// Finds the user with a name or email address, if the password is correct.
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

/// Checks a new password for a user with these names; `field` is the caller's name for the password field.
///
/// # Errors
/// [`Error::Invalid`] with the reason.
pub fn check_new(field: &'static str, password: &Password, names: &[&str]) -> Result<()> {
    password.check_new(names).map_err(|error| Error::invalid(field, format!("{field}: {error}")))
}

/// Finds out whether a password is correct, and remembers it if it is: concurrent requests with the same password wait
/// and hash nothing.
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
    // A task of its own: the attempt is judged even if the request goes away, and then counted or given back.
    let judging = async move {
        let epoch = login.as_ref().map_or(0, |login| login.auth_epoch);
        let _alone = passwords.alone(&account, epoch, &password).await;
        if remembered() {
            return Ok(());
        }
        // The attempt is counted when its turn begins, and the turn lasts until the attempt is given back: waiting
        // requests do not count. Otherwise many users behind one address would lock each other out by signing in
        // correctly at the same time.
        let permit = passwords.permit().await?;
        let taken = buckets.clone();
        db.write(move |conn| attempts::take(conn, &taken, now)).await?;
        let hash = login.as_ref().and_then(|login| login.password_hash.clone());
        let (_permit, right) = match passwords.verify(permit, password.clone(), hash).await {
            Ok(judged) => judged,
            Err(error) => {
                db.write(move |conn| attempts::give_back(conn, &buckets)).await?;
                return Err(error);
            }
        };
        let Some(login) = login.as_ref().filter(|login| right && login.is_active && !login.is_locked) else {
            // Only existing names are logged: people also type passwords and tokens into this field.
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

/// Uses up a two-factor code, or a recovery code where those are accepted, if it is correct and unused.
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
    // One transaction, so that a correct code is never counted as an attempt, not even during the check.
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
