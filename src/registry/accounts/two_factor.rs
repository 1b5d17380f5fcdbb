//! Two-factor authentication by TOTP (RFC 6238, SHA-1, 6 digits, 30 seconds), whose codes each work once, or by passkeys
//! alone. Where it is on, a passkey always counts as the second factor.

pub mod recovery;

use super::factor::no_factor;
use super::sessions;
use crate::db::schema::{passkeys, second_factors, users};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, SessionId};
use crate::domain::mail::{FactorChange, Facts};
use crate::domain::secret::{MasterKey, random_bytes};
use crate::error::{Error, Result};
use crate::registry::access::{CanAdminister, CanChangeOwn, Visited};
use crate::registry::audit::{self, Event};
use crate::registry::caller::Caller;
use crate::registry::encryption::{self, SEED, SEED_OFFER};
use crate::registry::mail::{self, Readers};
use diesel::prelude::*;
use recovery::RecoveryCode;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;
use totp_rs::{Builder, Secret, Totp};

/// Bytes of a seed: as long as SHA-1's output, as RFC 4226 §4 recommends.
const SEED_BYTES: usize = 20;
const STEP_SECONDS: i64 = 30;
/// How long a user can accept an offered seed.
const OFFER: Duration = Duration::from_secs(600);
/// The issuer name that an authenticator app shows.
const ISSUER: &str = "Packhouse";

/// The secret that the codes are computed from.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed([u8; SEED_BYTES]);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

impl Seed {
    pub fn generate() -> Self {
        Self(random_bytes())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The seed in base32, in groups of four letters, for people who type it into their device.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn spelled(&self) -> Result<String> {
        let text = totp(self, "user")?.secret().to_base32();
        let letters: Vec<char> = text.chars().collect();
        Ok(letters.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" "))
    }

    /// The seed as an `otpauth://` address for a QR code, with the account name that the device shows.
    ///
    /// # Errors
    /// [`Error::Internal`] when the account name has a colon.
    pub fn address(&self, account: &str) -> Result<String> {
        totp(self, account)?.to_url().map_err(|error| Error::internal(anyhow::anyhow!("TOTP: {error}")))
    }

    /// The code that a device with this seed shows at a time.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn code_at(&self, at: Timestamp) -> Result<String> {
        Ok(totp(self, "user")?.generate(u64::try_from(at.unix()).unwrap_or_default()).to_string())
    }

    /// The time step that this code belongs to, allowing one step of clock difference in either direction.
    fn matching_step(&self, code: &str, now: Timestamp) -> Result<Option<i64>> {
        let totp = totp(self, "user")?;
        let step = now.unix() / STEP_SECONDS;
        Ok((step - 1..=step + 1).find(|step| {
            let at = u64::try_from(step * STEP_SECONDS).unwrap_or_default();
            totp.generate(at).to_string() == code
        }))
    }
}

fn totp(seed: &Seed, account: &str) -> Result<Totp> {
    Builder::new()
        .with_secret(Secret::from(seed.0.to_vec()))
        .with_skew(1)
        .with_account_name(account)
        .with_issuer(Some(ISSUER))
        .build()
        .map_err(|error| Error::internal(anyhow::anyhow!("TOTP: {error}")))
}

/// Encrypts a seed that a page offers to a user, valid for ten minutes. The server stores nothing until the user
/// accepts it.
///
/// # Errors
/// [`Error::Internal`].
pub fn offer(key: &MasterKey, user: OwnerId, seed: &Seed, now: Timestamp) -> Result<Vec<u8>> {
    let end = now.plus(OFFER).unix().to_le_bytes();
    encryption::encrypt(key, SEED_OFFER, user, &[&end[..], &seed.0].concat())
}

/// The seed that was offered to this user; `None` when it was not, or the offer has expired.
pub fn accept(key: &MasterKey, user: OwnerId, offer: &[u8], now: Timestamp) -> Option<Seed> {
    let content = encryption::decrypt(key, SEED_OFFER, user, offer).ok()?;
    let (end, seed) = content.split_first_chunk::<8>()?;
    (Timestamp::from_unix(i64::from_le_bytes(*end)) > now).then(|| Seed::from_bytes(seed)).flatten()
}

/// The result of setting up two-factor authentication.
#[derive(Debug)]
pub struct Enrolled {
    /// Shown once.
    pub codes: Vec<RecoveryCode>,
    /// The session that replaces the one in use.
    pub session: Option<SessionId>,
}

/// Turns on two-factor authentication for a user whose device showed this code. Ends every session and remembered login
/// except the session in use, which is renewed.
///
/// # Errors
/// [`Error::Invalid`] at `code` for a wrong code; [`Error::Blocked`] when two-factor authentication is on already.
pub fn enroll(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    (key, seed): (&MasterKey, &Seed),
    code: &str,
    now: Timestamp,
) -> Result<Enrolled> {
    let user = right.user();
    let step = seed.matching_step(code, now)?;
    let step = step.ok_or_else(|| {
        Error::invalid(
            "code",
            "the code does not match this secret: enter the current code from your authenticator app",
        )
    })?;
    let sealed = encryption::encrypt(key, SEED, user.id, &seed.0)?;
    // Replace a setup that was started and never confirmed, or one with passkeys alone.
    let replaced = second_factors::confirmed_at.is_null().or(diesel::dsl::not(second_factors::has_totp));
    diesel::delete(second_factors::table.find(user.id).filter(replaced)).execute(conn)?;
    // The code that confirms the setup cannot be used again.
    turn_on(conn, caller, user, (key, &sealed), (true, step), now)
}

/// Turns on two-factor authentication for a user whose second factor is a passkey alone. Sessions end as in [`enroll`].
///
/// # Errors
/// [`Error::Blocked`] when the user has no passkey, or two-factor authentication is on already.
pub fn enroll_passkeys(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    key: &MasterKey,
    now: Timestamp,
) -> Result<Enrolled> {
    let user = right.user();
    // Nobody removes the last passkey at the same time.
    let _: OwnerId = users::table.find(user.id).select(users::id).for_no_key_update().first(conn)?;
    let own = passkeys::table.filter(passkeys::user_id.eq(user.id)).select(passkeys::id);
    let has_passkey: bool = diesel::select(diesel::dsl::exists(own)).get_result(conn)?;
    if !has_passkey {
        return Err(Error::Blocked("you have no passkey: add one first".to_owned()));
    }
    // A seed that no device gets. Servers with an earlier version would ask for its codes.
    let sealed = encryption::encrypt(key, SEED, user.id, &Seed::generate().0)?;
    turn_on(conn, caller, user, (key, &sealed), (false, 0), now)
}

fn turn_on(
    conn: &mut PgConnection,
    caller: &Caller,
    user: &Visited,
    (key, sealed): (&MasterKey, &[u8]),
    (has_totp, last_step): (bool, i64),
    now: Timestamp,
) -> Result<Enrolled> {
    let inserted = diesel::insert_into(second_factors::table)
        .values((
            second_factors::user_id.eq(user.id),
            second_factors::sealed_seed.eq(sealed),
            second_factors::last_step.eq(last_step),
            second_factors::confirmed_at.eq(now),
            second_factors::has_totp.eq(has_totp),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    if inserted == 0 {
        return Err(Error::Blocked("two-factor authentication is already on: turn it off first".to_owned()));
    }
    let codes = recovery::replace(conn, key, user.id)?;
    let detail = if has_totp { json!({}) } else { json!({"method": "passkey"}) };
    changed(conn, caller, user, (Event::TwoFactorEnroll, detail), now)?;
    Ok(Enrolled { codes, session: sessions::renew(conn, caller, now)? })
}

/// Turns off a user's two-factor authentication and deletes the recovery codes. Sessions end as in [`enroll`].
///
/// # Errors
/// [`Error::Blocked`] when two-factor authentication is off.
pub fn remove(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    now: Timestamp,
) -> Result<Option<SessionId>> {
    let user = right.user();
    if diesel::delete(second_factors::table.find(user.id)).execute(conn)? == 0 {
        return Err(no_factor());
    }
    changed(conn, caller, user, (Event::TwoFactorRemove, json!({})), now)?;
    sessions::renew(conn, caller, now)
}

/// Turns off two-factor authentication and removes all passkeys of somebody who lost their device, as a site
/// administrator: who has the device now could sign in with them. Every session of that user ends.
///
/// # Errors
/// [`Error::Blocked`] when the user has neither.
pub fn reset(conn: &mut PgConnection, caller: &Caller, right: &CanAdminister, now: Timestamp) -> Result<()> {
    let user = right.user();
    let factors = diesel::delete(second_factors::table.find(user.id)).execute(conn)?;
    let passkeys = diesel::delete(passkeys::table.filter(passkeys::user_id.eq(user.id))).execute(conn)?;
    if factors + passkeys == 0 {
        return Err(no_factor());
    }
    let detail = if passkeys == 0 { json!({}) } else { json!({"passkeys": passkeys}) };
    changed(conn, caller, user, (Event::TwoFactorRemove, detail), now)
}

/// Turns off two-factor authentication of a user who has just removed their last passkey, if they have no other second
/// factor. False: nothing was changed.
pub(super) fn end_without_passkeys(
    conn: &mut PgConnection,
    caller: &Caller,
    user: &Visited,
    now: Timestamp,
) -> Result<bool> {
    let passkeys_alone = second_factors::table.find(user.id).filter(diesel::dsl::not(second_factors::has_totp));
    if diesel::delete(passkeys_alone).execute(conn)? == 0 {
        return Ok(false);
    }
    changed(conn, caller, user, (Event::TwoFactorRemove, json!({})), now)?;
    Ok(true)
}

/// Increments the account's epoch, which ends every session and remembered login, and writes the audit record.
fn changed(
    conn: &mut PgConnection,
    caller: &Caller,
    user: &Visited,
    (event, detail): (Event, Value),
    now: Timestamp,
) -> Result<()> {
    diesel::update(users::table.find(user.id)).set(users::auth_epoch.eq(users::auth_epoch + 1)).execute(conn)?;
    let change = if event == Event::TwoFactorEnroll { FactorChange::On } else { FactorChange::Off };
    let (by, from) = (mail::maker(caller, user.id), mail::origin(caller));
    mail::enqueue(conn, Readers::User(user.id), &Facts::TwoFactorChanged { change, by, from }, now)?;
    audit::record_owner(conn, caller, event, (user.id, &user.name), detail, now)
}

/// Since when the user has two-factor authentication; `None` when it is off.
///
/// # Errors
/// Database errors.
pub fn enrolled_since(conn: &mut PgConnection, user: OwnerId) -> Result<Option<Timestamp>> {
    let since: Option<Option<Timestamp>> =
        second_factors::table.find(user).select(second_factors::confirmed_at).first(conn).optional()?;
    Ok(since.flatten())
}

/// Whether the user has two-factor authentication.
///
/// # Errors
/// Database errors.
pub fn is_enrolled(conn: &mut PgConnection, user: OwnerId) -> Result<bool> {
    Ok(enrolled_since(conn, user)?.is_some())
}

/// Whether the user has an authenticator app, whose codes count as the second factor.
///
/// # Errors
/// Database errors.
pub fn has_totp(conn: &mut PgConnection, user: OwnerId) -> Result<bool> {
    let confirmed = second_factors::table.find(user).filter(second_factors::confirmed_at.is_not_null());
    Ok(confirmed.select(second_factors::has_totp).first(conn).optional()?.unwrap_or(false))
}

/// Whether any user has a seed, confirmed or not: only the right key decrypts it.
///
/// # Errors
/// Database errors.
pub fn any(conn: &mut PgConnection) -> Result<bool> {
    Ok(diesel::select(diesel::dsl::exists(second_factors::table.select(second_factors::user_id))).get_result(conn)?)
}

/// Uses a code: true when the code is right and was not used before.
///
/// # Errors
/// Database errors; [`Error::Internal`] when the seed does not decrypt.
pub fn use_code(conn: &mut PgConnection, key: &MasterKey, user: OwnerId, code: &str, now: Timestamp) -> Result<bool> {
    let confirmed = second_factors::table.find(user).filter(second_factors::confirmed_at.is_not_null());
    let row: Option<Vec<u8>> =
        confirmed.filter(second_factors::has_totp).select(second_factors::sealed_seed).first(conn).optional()?;
    let Some(sealed) = row else { return Ok(false) };
    let seed = encryption::decrypt(key, SEED, user, &sealed).ok().and_then(|seed| Seed::from_bytes(&seed)).ok_or_else(
        || {
            Error::internal(anyhow::anyhow!(
                "cannot decrypt the two-factor secret of user {user}: is the secret key wrong?"
            ))
        },
    )?;
    let Some(step) = seed.matching_step(code, now)? else { return Ok(false) };
    // Of two requests with the same code, the second finds the row changed. A step that no valid code has yet was stored
    // when the clock was wrong.
    let unused = second_factors::last_step.lt(step).or(second_factors::last_step.gt(now.unix() / STEP_SECONDS + 1));
    let used = diesel::update(second_factors::table.find(user).filter(unused))
        .set(second_factors::last_step.eq(step))
        .execute(conn)?;
    Ok(used == 1)
}
