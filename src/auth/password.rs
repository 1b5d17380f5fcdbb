//! Checking passwords and two-factor codes, with rate limits against guessing: the same for programs and browsers.

use super::device::{self, Device};
use crate::db::Connection;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, SessionId};
use crate::domain::secret::Password;
use crate::error::{Error, Result};
use crate::http::request_log::client;
use crate::registry::accounts::attempts::{Bucket, KnownPlace};
use crate::registry::accounts::factor::Factor;
use crate::registry::accounts::two_factor::{self, recovery};
use crate::registry::accounts::users::{Login, RESCUE};
use crate::registry::accounts::{attempts, identities, known_addresses, passkeys, sessions, users};
use crate::registry::caller::{BAD_LOGIN, NOBODY};
use crate::state::App;
use actix_web::HttpRequest;
use std::net::IpAddr;
use tracing::Instrument;

/// Where a sign-in comes from.
#[derive(Debug, Clone)]
pub struct SignInSource {
    address: Option<IpAddr>,
    devices: Vec<Device>,
    session: Option<(OwnerId, SessionId)>,
}

impl SignInSource {
    /// The source of a program's request, which has no cookies.
    pub fn at(address: Option<IpAddr>) -> Self {
        Self { address, devices: Vec::new(), session: None }
    }

    /// The source of a browser's request.
    pub fn of(req: &HttpRequest, app: &App) -> Self {
        Self { devices: device::read(req, app), ..Self::at(client(req)) }
    }

    /// The source of a request by a signed-in user who types their password again.
    pub fn in_session(req: &HttpRequest, user: OwnerId, session: Option<SessionId>) -> Self {
        Self { session: session.map(|session| (user, session)), ..Self::at(client(req)) }
    }

    /// The place that is known to be this user's, if the source is one. The queries are the same for a name that nobody
    /// has, so that the time tells nothing.
    fn known_place(
        &self,
        conn: &mut Connection,
        login: Option<(OwnerId, i32)>,
        now: Timestamp,
    ) -> Result<Option<KnownPlace>> {
        let (user, epoch) = login.unwrap_or((NOBODY, 0));
        let known_address = match self.address {
            Some(address) if known_addresses::is_known(conn, (user, epoch), address, now)? => Some(address),
            _ => None,
        };
        if let Some((_, session)) = self.session.filter(|(own, _)| *own == user) {
            return Ok(Some(KnownPlace::Session(session)));
        }
        let device = device::id_for(&self.devices, (user, epoch)).map(KnownPlace::Device);
        Ok(device.or_else(|| known_address.map(|address| KnownPlace::Address(user, address))))
    }

    /// The buckets of a password sign-in, which have room, and whether they belong to a known place.
    fn look(
        &self,
        conn: &mut Connection,
        account: &str,
        login: Option<(OwnerId, i32)>,
        now: Timestamp,
    ) -> Result<(Vec<Bucket>, bool)> {
        let place = self.known_place(conn, login, now)?;
        let buckets = attempts::sign_in_buckets(account, self.address, place.as_ref());
        attempts::look(conn, &buckets, now)?;
        Ok((buckets, place.is_some()))
    }
}

/// The error for a password of an account that has none, because a provider or a passkey opens it.
pub const NO_PASSWORD: Error = Error::BadCredential("this account has no password: use an access token");
/// The error for a password that is right, where the settings forbid passwords.
pub const PASSWORDS_OFF: Error =
    Error::BadCredential("this server accepts no password for this account: use an access token");

/// Whether the settings let a user sign in with their password.
fn may_use_password(app: &App, login: &Login, now: Timestamp) -> bool {
    let is_rescued = login.rescued_until.is_some_and(|until| until > now && until <= now.latest_end_of(RESCUE));
    is_rescued || app.config.auth.password_sign_in.allows(login.is_admin)
}

/// Finds the user with a name or email address, if the password is correct and may be used.
///
/// # Errors
/// [`Error::BadCredential`], the same for a wrong name and a wrong password; [`Error::RateLimited`], [`Error::Busy`].
pub async fn sign_in(app: &App, name: &str, password: Password, source: &SignInSource) -> Result<Login> {
    let login = check(app, name, password, source).await?;
    if may_use_password(app, &login, app.clock.now()) { Ok(login) } else { Err(PASSWORDS_OFF) }
}

/// Finds the user with a name or email address, if the password is correct, whether it may be used to sign in or not.
///
/// # Errors
/// As [`sign_in`].
pub(super) async fn check(app: &App, name: &str, password: Password, source: &SignInSource) -> Result<Login> {
    let now = app.clock.now();
    let wanted = name.to_owned();
    let login = app.db.read(move |conn| users::find_login(conn, &wanted)).await?;
    let account = attempts::account(&app.key, login.as_ref().map(|login| login.id), name);
    judge(app, account, login.clone(), password, source.clone(), now).await?;
    login.ok_or(BAD_LOGIN)
}

/// Remembers where a user signed in from, after their password and their two-factor code were correct: sign-ins from
/// there no longer share a bucket with strangers. With mail, users are told of a new one.
///
/// # Errors
/// Database errors; [`Error::NotFound`] when the user was deleted a moment ago.
pub async fn remember_address(app: &App, login: &Login, source: &SignInSource) -> Result<()> {
    let (user, epoch, now) = (login.id, login.auth_epoch, app.clock.now());
    let Some(address) = source.address else { return Ok(()) };
    if app.passwords.remembers_address(user, epoch, address, now) {
        return Ok(());
    }
    let is_first = login.last_login_at.is_none();
    app.db.write(move |conn| sessions::note_program(conn, (user, epoch), address, is_first, now)).await?;
    app.passwords.remember_address(user, epoch, address, now);
    Ok(())
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
    source: SignInSource,
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
    let (address, name) = (source.address, account.clone());
    let known = login.as_ref().map(|login| (login.id, login.auth_epoch));
    let (buckets, is_known) = db.read(move |conn| source.look(conn, &name, known, now)).await?;
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
        let permit = passwords.permit(is_known).await?;
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
        let admitted = login.as_ref().filter(|login| right && login.is_active && !login.is_locked);
        let Some(login) = admitted else {
            // Only existing names are logged: people also type passwords and tokens into this field.
            let user = login.as_ref().map(|login| login.id.0);
            tracing::warn!(user, client = ?address, "sign-in failed");
            // Accounts that a provider or a passkey opens are told how to go on. Others look like names that nobody has.
            let has_none = |login: &&Login| login.password_hash.is_none() && login.is_active && !login.is_locked;
            let Some(user) = login.as_ref().filter(has_none).map(|login| login.id) else { return Err(BAD_LOGIN) };
            let look = move |conn: &mut Connection| {
                Ok(!identities::list(conn, user)?.is_empty() || passkeys::count(conn, user)? > 0)
            };
            let has_other = db.read(look).await?;
            return Err(if has_other { NO_PASSWORD } else { BAD_LOGIN });
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
pub async fn use_code(
    app: &App,
    (user, epoch): (OwnerId, i32),
    code: &str,
    with_recovery: bool,
    source: &SignInSource,
) -> Result<Option<Factor>> {
    let now = app.clock.now();
    let key = app.key.clone();
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let source = source.clone();
    let find_buckets = move |conn: &mut Connection| {
        let buckets = attempts::code_buckets(user, source.known_place(conn, Some((user, epoch)), now)?.as_ref());
        attempts::look(conn, &buckets, now)?;
        Ok(buckets)
    };
    let buckets = app.db.read(find_buckets).await?;
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
