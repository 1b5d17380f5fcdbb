//! Recovery codes let users in who have lost their two-factor device. There are ten at a time, and each works once.

use crate::db::schema::{recovery_codes, second_factors};
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::mail::{FactorChange, Facts};
use crate::domain::secret::{MasterKey, random_bytes};
use crate::error::Result;
use crate::registry::access::CanChangeOwn;
use crate::registry::accounts::factor::no_factor;
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::mail::{self, Readers};
use diesel::prelude::*;
use serde_json::json;
use std::fmt;

/// How many codes are issued at a time.
pub const COUNT: usize = 10;
/// Crockford's base32 digits, which leave out look-alike letters: 50 bits per code.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const DIGITS: usize = 10;

/// A recovery code, as it is shown once.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode(String);

impl RecoveryCode {
    fn generate() -> Self {
        let digits = random_bytes::<DIGITS>();
        let digit = |byte: u8| char::from(ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'0'));
        Self(digits.into_iter().map(digit).collect())
    }

    /// Parses what a person typed: upper or lower case, with or without the hyphen, and with letters that look like
    /// digits.
    pub fn typed(text: &str) -> Option<Self> {
        let digits: Option<String> = text
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .map(|c| match c.to_ascii_lowercase() {
                'o' => Some('0'),
                'i' | 'l' => Some('1'),
                c => u8::try_from(c).ok().filter(|byte| ALPHABET.contains(byte)).map(char::from),
            })
            .collect();
        digits.filter(|digits| digits.len() == DIGITS).map(Self)
    }

    /// The text to show: two halves with a hyphen between them.
    pub fn reveal(&self) -> String {
        let (one, other) = self.0.split_at(self.0.len() / 2);
        format!("{one}-{other}")
    }

    /// The hash that the database stores. It uses the instance's key, because 50 bits are quickly brute-forced from a
    /// plain digest.
    fn hash(&self, key: &MasterKey, user: OwnerId) -> Vec<u8> {
        let key = MasterKey::new(key.derive("recovery codes"));
        key.authenticate(&[&user.0.to_le_bytes(), self.0.as_bytes()]).to_vec()
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(…)")
    }
}

/// Replaces a user's codes with new ones.
pub(super) fn replace(conn: &mut PgConnection, key: &MasterKey, user: OwnerId) -> Result<Vec<RecoveryCode>> {
    diesel::delete(recovery_codes::table.filter(recovery_codes::user_id.eq(user))).execute(conn)?;
    let codes: Vec<RecoveryCode> = std::iter::repeat_with(RecoveryCode::generate).take(COUNT).collect();
    let rows: Vec<_> = codes
        .iter()
        .map(|code| (recovery_codes::user_id.eq(user), recovery_codes::hash.eq(code.hash(key, user))))
        .collect();
    diesel::insert_into(recovery_codes::table).values(rows).execute(conn)?;
    Ok(codes)
}

/// Gives a user new codes; the old ones stop working.
///
/// # Errors
/// [`crate::error::Error::Blocked`] when two-factor authentication is off.
pub fn renew(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    key: &MasterKey,
    now: Timestamp,
) -> Result<Vec<RecoveryCode>> {
    let user = right.user();
    // Lock the row, so that two concurrent renewals take turns.
    let factor: Option<OwnerId> = second_factors::table
        .find(user.id)
        .filter(second_factors::confirmed_at.is_not_null())
        .select(second_factors::user_id)
        .for_update()
        .first(conn)
        .optional()?;
    factor.ok_or_else(no_factor)?;
    let codes = replace(conn, key, user.id)?;
    let facts = Facts::TwoFactorChanged {
        change: FactorChange::NewCodes,
        by: mail::maker(caller, user.id),
        from: mail::origin(caller),
    };
    mail::enqueue(conn, Readers::User(user.id), &facts, now)?;
    let subject = Subject { owner: Some((user.id, &user.name)), text: user.name.to_string(), detail: json!({}) };
    audit::record(conn, caller, Event::RecoveryCodes, &subject, now)?;
    Ok(codes)
}

/// How many unused codes a user has.
///
/// # Errors
/// Database errors.
pub fn left(conn: &mut PgConnection, user: OwnerId) -> Result<i64> {
    let own = recovery_codes::table.filter(recovery_codes::user_id.eq(user));
    Ok(own.filter(recovery_codes::used_at.is_null()).count().get_result(conn)?)
}

/// Uses a code: true when it belongs to the user and was not used before.
///
/// # Errors
/// Database errors.
pub fn use_code(conn: &mut PgConnection, key: &MasterKey, user: OwnerId, typed: &str, now: Timestamp) -> Result<bool> {
    let Some(code) = RecoveryCode::typed(typed) else { return Ok(false) };
    // Of two requests with the same code, the second finds the row changed.
    let unused = recovery_codes::table.find((user, code.hash(key, user))).filter(recovery_codes::used_at.is_null());
    Ok(diesel::update(unused).set(recovery_codes::used_at.eq(now)).execute(conn)? == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_code_may_have_spaces_dashes_and_capitals() {
        let code = RecoveryCode::generate();
        let shown = code.reveal();
        assert_eq!(shown.len(), DIGITS + 1);
        for typed in [shown.clone(), shown.to_uppercase(), shown.replace('-', ""), shown.replace('-', " ")] {
            assert_eq!(RecoveryCode::typed(&typed), Some(code.clone()), "{typed}");
        }
        assert_eq!(RecoveryCode::typed("OIL00-00000"), RecoveryCode::typed("01100-00000"));
        for wrong in ["", "12345", "123456789u", "12345-67890-1", "äöü12-34567"] {
            assert_eq!(RecoveryCode::typed(wrong), None, "{wrong}");
        }
        let key = MasterKey::new([7; 32]);
        assert_ne!(code.hash(&key, OwnerId(1)), code.hash(&key, OwnerId(2)));
        assert!(!format!("{code:?}").contains(&shown[..5]));
    }
}
