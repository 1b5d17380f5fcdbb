//! The second factor: TOTP (RFC 6238, SHA-1, 6 digits, 30 seconds), each code good once.

use super::audit::{self, Event, Subject};
use super::caller::Caller;
use crate::db::schema::{second_factors, users};
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::secret::{MasterKey, random_bytes};
use crate::error::{Error, Result};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use diesel::prelude::*;
use serde_json::json;
use totp_rs::{Builder, Secret, Totp};

/// Bytes of a seed: as long as SHA-1's output, as RFC 4226 §4 recommends.
const SEED_BYTES: usize = 20;
const NONCE_BYTES: usize = 24;
const STEP_SECONDS: i64 = 30;

fn cipher(key: &MasterKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&key.derive("seeds of second factors").into())
}

/// Encrypts a seed for the one user it belongs to.
fn seal(key: &MasterKey, user: OwnerId, seed: &[u8]) -> Result<Vec<u8>> {
    let nonce: [u8; NONCE_BYTES] = random_bytes();
    let payload = Payload { msg: seed, aad: &user.0.to_le_bytes() };
    let sealed = cipher(key)
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| Error::internal(anyhow::anyhow!("cannot encrypt a second factor's seed")))?;
    Ok([&nonce[..], &sealed].concat())
}

fn open(key: &MasterKey, user: OwnerId, sealed: &[u8]) -> Result<Vec<u8>> {
    let wrong =
        || Error::internal(anyhow::anyhow!("cannot decrypt the second factor of user {user}: wrong secret key?"));
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(wrong)?;
    let payload = Payload { msg: sealed, aad: &user.0.to_le_bytes() };
    cipher(key).decrypt(&XNonce::from(*nonce), payload).map_err(|_| wrong())
}

fn totp(seed: &[u8]) -> Result<Totp> {
    Builder::new()
        .with_secret(Secret::from(seed.to_vec()))
        .with_skew(1)
        .with_account_name("user")
        .with_issuer(Some("Packhouse"))
        .build()
        .map_err(|error| Error::internal(anyhow::anyhow!("TOTP: {error}")))
}

/// A second factor that counts from now on; returns the seed, for the user's device. Ends every session and
/// remembered login.
///
/// # Errors
/// The database's.
pub fn enroll(
    conn: &mut PgConnection,
    caller: &Caller,
    key: &MasterKey,
    (user, name): (OwnerId, &OwnerName),
    now: Timestamp,
) -> Result<[u8; SEED_BYTES]> {
    let seed: [u8; SEED_BYTES] = random_bytes();
    let sealed = seal(key, user, &seed)?;
    diesel::insert_into(second_factors::table)
        .values((
            second_factors::user_id.eq(user),
            second_factors::sealed_seed.eq(&sealed),
            second_factors::confirmed_at.eq(now),
        ))
        .on_conflict(second_factors::user_id)
        .do_update()
        .set((
            second_factors::sealed_seed.eq(&sealed),
            second_factors::confirmed_at.eq(now),
            second_factors::last_step.eq(0),
        ))
        .execute(conn)?;
    diesel::update(users::table.find(user)).set(users::auth_epoch.eq(users::auth_epoch + 1)).execute(conn)?;
    let subject = Subject { owner: Some((user, name)), text: name.to_string(), detail: json!({}) };
    audit::record(conn, caller, Event::TwoFactorEnroll, &subject, now)?;
    Ok(seed)
}

/// Whether the user has one.
///
/// # Errors
/// The database's.
pub fn is_enrolled(conn: &mut PgConnection, user: OwnerId) -> Result<bool> {
    let confirmed = second_factors::table.find(user).filter(second_factors::confirmed_at.is_not_null());
    Ok(diesel::select(diesel::dsl::exists(confirmed)).get_result(conn)?)
}

/// Whether anybody has one, confirmed or not: a seed that only the right key opens.
///
/// # Errors
/// The database's.
pub fn any(conn: &mut PgConnection) -> Result<bool> {
    Ok(diesel::select(diesel::dsl::exists(second_factors::table.select(second_factors::user_id))).get_result(conn)?)
}

/// Uses a code up: true when it is right and was not used before. One step of clock difference either way is forgiven.
///
/// # Errors
/// The database's; [`Error::Internal`] when the seed does not decrypt.
pub fn use_code(conn: &mut PgConnection, key: &MasterKey, user: OwnerId, code: &str, now: Timestamp) -> Result<bool> {
    let row: Option<Vec<u8>> =
        second_factors::table.find(user).select(second_factors::sealed_seed).first(conn).optional()?;
    let Some(sealed) = row else { return Ok(false) };
    let totp = totp(&open(key, user, &sealed)?)?;
    let Some(step) = matching_step(&totp, code, now) else { return Ok(false) };
    // Of two requests with one code, one finds the row changed.
    let used = diesel::update(second_factors::table.find(user).filter(second_factors::last_step.lt(step)))
        .set(second_factors::last_step.eq(step))
        .execute(conn)?;
    Ok(used == 1)
}

fn matching_step(totp: &Totp, code: &str, now: Timestamp) -> Option<i64> {
    let step = now.unix() / STEP_SECONDS;
    (step - 1..=step + 1).find(|step| {
        let at = u64::try_from(step * STEP_SECONDS).unwrap_or_default();
        totp.generate(at).to_string() == code
    })
}

/// The code a device with this seed shows at a time.
///
/// # Errors
/// [`Error::Internal`] for a seed of the wrong length.
pub fn code_at(seed: &[u8], at: Timestamp) -> Result<String> {
    Ok(totp(seed)?.generate(u64::try_from(at.unix()).unwrap_or_default()).to_string())
}
