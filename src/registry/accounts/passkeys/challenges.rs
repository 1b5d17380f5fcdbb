//! What the server asked a passkey. A browser keeps it, encrypted, until it brings the answer, and each is answered once.

use crate::db::schema::used_challenges;
use crate::domain::clock::Timestamp;
use crate::domain::secret::MasterKey;
use crate::error::Result;
use crate::registry::caller::NOBODY;
use crate::registry::encryption::{self, PASSKEY_STATE};
use diesel::prelude::*;
use sha2::{Digest, Sha256};

/// Encrypts what a browser keeps while it asks for a passkey.
///
/// # Errors
/// [`crate::error::Error::Internal`].
pub fn seal(key: &MasterKey, state: &[u8]) -> Result<Vec<u8>> {
    encryption::encrypt(key, PASSKEY_STATE, NOBODY, state)
}

/// Decrypts it; `None` if this server didn't encrypt it.
pub fn open(key: &MasterKey, sealed: &[u8]) -> Option<Vec<u8>> {
    encryption::decrypt(key, PASSKEY_STATE, NOBODY, sealed).ok()
}

/// Uses up a challenge: false if it was used before. `asked` is what the server stored of it, and `expires_at` the time
/// from which an answer is refused without this.
///
/// # Errors
/// Database errors.
pub fn use_up(conn: &mut PgConnection, asked: &[u8], expires_at: Timestamp) -> Result<bool> {
    let used = diesel::insert_into(used_challenges::table)
        .values((
            used_challenges::digest.eq(Sha256::digest(asked).to_vec()),
            used_challenges::expires_at.eq(expires_at),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    Ok(used == 1)
}

/// Forgets used challenges whose answers would be too late.
///
/// # Errors
/// Database errors.
pub fn forget_old(conn: &mut PgConnection, now: Timestamp) -> Result<usize> {
    Ok(diesel::delete(used_challenges::table.filter(used_challenges::expires_at.le(now))).execute(conn)?)
}
