//! The second factor: TOTP (RFC 6238, SHA-1, 6 digits, 30 seconds), each code good once.

pub mod recovery;

use super::factor::no_factor;
use super::sessions;
use crate::db::schema::{second_factors, users};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, SessionId};
use crate::domain::secret::{MasterKey, random_bytes};
use crate::error::{Error, Result};
use crate::registry::access::{CanAdminister, CanChangeOwn, Visited};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::encryption::{self, SEED, SEED_OFFER};
use diesel::prelude::*;
use recovery::RecoveryCode;
use serde_json::json;
use std::fmt;
use std::time::Duration;
use totp_rs::{Builder, Secret, Totp};

/// Bytes of a seed: as long as SHA-1's output, as RFC 4226 §4 recommends.
const SEED_BYTES: usize = 20;
const STEP_SECONDS: i64 = 30;
/// How long a seed that was offered can be taken.
const OFFER: Duration = Duration::from_secs(600);
/// What a device calls the place its codes are for.
const ISSUER: &str = "Packhouse";

/// What a second factor's codes are computed from.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed([u8; SEED_BYTES]);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

impl Seed {
    /// A new one.
    pub fn generate() -> Self {
        Self(random_bytes())
    }

    /// The bytes themselves.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// In the letters that people type into their devices: base32, four and four.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn spelled(&self) -> Result<String> {
        let text = totp(self, "user")?.secret().to_base32();
        let letters: Vec<char> = text.chars().collect();
        Ok(letters.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" "))
    }

    /// As devices read it from a picture: an `otpauth://` address, with what they are to call the account.
    ///
    /// # Errors
    /// [`Error::Internal`] for a colon in that.
    pub fn address(&self, account: &str) -> Result<String> {
        totp(self, account)?.to_url().map_err(|error| Error::internal(anyhow::anyhow!("TOTP: {error}")))
    }

    /// The code a device with this seed shows at a time.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn code_at(&self, at: Timestamp) -> Result<String> {
        Ok(totp(self, "user")?.generate(u64::try_from(at.unix()).unwrap_or_default()).to_string())
    }

    /// The step whose code this is, with one step of clock difference either way forgiven.
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

/// A seed as it is offered to a user in a page: sealed, for ten minutes, so that nothing is kept of one that is not taken.
///
/// # Errors
/// [`Error::Internal`].
pub fn offer(key: &MasterKey, user: OwnerId, seed: &Seed, now: Timestamp) -> Result<Vec<u8>> {
    let end = now.plus(OFFER).unix().to_le_bytes();
    encryption::encrypt(key, SEED_OFFER, user, &[&end[..], &seed.0].concat())
}

/// The seed that was offered to this user; `None` when it was not, or too long ago.
pub fn accept(key: &MasterKey, user: OwnerId, offer: &[u8], now: Timestamp) -> Option<Seed> {
    let content = encryption::decrypt(key, SEED_OFFER, user, offer).ok()?;
    let (end, seed) = content.split_first_chunk::<8>()?;
    (Timestamp::from_unix(i64::from_le_bytes(*end)) > now).then(|| Seed::from_bytes(seed)).flatten()
}

/// A second factor that a user has set up.
#[derive(Debug)]
pub struct Enrolled {
    /// Shown once.
    pub codes: Vec<RecoveryCode>,
    /// What stands in the place of the session in use.
    pub session: Option<SessionId>,
}

/// Makes a second factor count from now on, whose device showed this code. Ends every session and remembered login but the
/// one in use, which is renewed.
///
/// # Errors
/// [`Error::Invalid`] at `code` for a wrong one; [`Error::Blocked`] when he has one already.
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
    // One that was begun and never confirmed is in nobody's way.
    diesel::delete(second_factors::table.find(user.id).filter(second_factors::confirmed_at.is_null())).execute(conn)?;
    let inserted = diesel::insert_into(second_factors::table)
        .values((
            second_factors::user_id.eq(user.id),
            second_factors::sealed_seed.eq(&sealed),
            // The code that confirms it is used up by that.
            second_factors::last_step.eq(step),
            second_factors::confirmed_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    if inserted == 0 {
        return Err(Error::Blocked("two-factor authentication is already on: turn it off first".to_owned()));
    }
    let codes = recovery::replace(conn, key, user.id)?;
    changed(conn, caller, user, Event::TwoFactorEnroll, now)?;
    Ok(Enrolled { codes, session: sessions::renew(conn, caller, now)? })
}

/// Takes a user's second factor away, with its recovery codes; sessions end as by [`enroll`].
///
/// # Errors
/// [`Error::Blocked`] when he has none.
pub fn remove(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    now: Timestamp,
) -> Result<Option<SessionId>> {
    take_away(conn, caller, right.user(), now)?;
    sessions::renew(conn, caller, now)
}

/// Takes the second factor of somebody away who lost it, as a site administrator; ends every session of his.
///
/// # Errors
/// [`Error::Blocked`] when he has none.
pub fn reset(conn: &mut PgConnection, caller: &Caller, right: &CanAdminister, now: Timestamp) -> Result<()> {
    take_away(conn, caller, right.user(), now)
}

fn take_away(conn: &mut PgConnection, caller: &Caller, user: &Visited, now: Timestamp) -> Result<()> {
    if diesel::delete(second_factors::table.find(user.id)).execute(conn)? == 0 {
        return Err(no_factor());
    }
    changed(conn, caller, user, Event::TwoFactorRemove, now)
}

/// Counts up the account's epoch, which ends every session and remembered login, and writes the record.
fn changed(conn: &mut PgConnection, caller: &Caller, user: &Visited, event: Event, now: Timestamp) -> Result<()> {
    diesel::update(users::table.find(user.id)).set(users::auth_epoch.eq(users::auth_epoch + 1)).execute(conn)?;
    let subject = Subject { owner: Some((user.id, &user.name)), text: user.name.to_string(), detail: json!({}) };
    audit::record(conn, caller, event, &subject, now)
}

/// Since when the user has one; `None`: he has none.
///
/// # Errors
/// The database's.
pub fn enrolled_since(conn: &mut PgConnection, user: OwnerId) -> Result<Option<Timestamp>> {
    let since: Option<Option<Timestamp>> =
        second_factors::table.find(user).select(second_factors::confirmed_at).first(conn).optional()?;
    Ok(since.flatten())
}

/// Whether the user has one.
///
/// # Errors
/// The database's.
pub fn is_enrolled(conn: &mut PgConnection, user: OwnerId) -> Result<bool> {
    Ok(enrolled_since(conn, user)?.is_some())
}

/// Whether anybody has one, confirmed or not: a seed that only the right key opens.
///
/// # Errors
/// The database's.
pub fn any(conn: &mut PgConnection) -> Result<bool> {
    Ok(diesel::select(diesel::dsl::exists(second_factors::table.select(second_factors::user_id))).get_result(conn)?)
}

/// Uses a code up: true when it is right and was not used before.
///
/// # Errors
/// The database's; [`Error::Internal`] when the seed does not decrypt.
pub fn use_code(conn: &mut PgConnection, key: &MasterKey, user: OwnerId, code: &str, now: Timestamp) -> Result<bool> {
    let confirmed = second_factors::table.find(user).filter(second_factors::confirmed_at.is_not_null());
    let row: Option<Vec<u8>> = confirmed.select(second_factors::sealed_seed).first(conn).optional()?;
    let Some(sealed) = row else { return Ok(false) };
    let seed = encryption::decrypt(key, SEED, user, &sealed).ok().and_then(|seed| Seed::from_bytes(&seed)).ok_or_else(
        || {
            Error::internal(anyhow::anyhow!(
                "cannot decrypt the two-factor secret of user {user}: is the secret key wrong?"
            ))
        },
    )?;
    let Some(step) = seed.matching_step(code, now)? else { return Ok(false) };
    // Of two requests with one code, one finds the row changed.
    let used = diesel::update(second_factors::table.find(user).filter(second_factors::last_step.lt(step)))
        .set(second_factors::last_step.eq(step))
        .execute(conn)?;
    Ok(used == 1)
}
