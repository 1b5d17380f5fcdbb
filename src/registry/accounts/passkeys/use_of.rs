//! Using a passkey: finding the credential that answers, and recording the outcome.

use super::relying_party::{Refusal, StoredCredential};
use crate::db::schema::{audit as log, owners, passkeys, users};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, PasskeyId};
use crate::domain::mail::Facts;
use crate::domain::names::OwnerName;
use crate::domain::text::PasskeyName;
use crate::error::Result;
use crate::registry::audit::{self, Event};
use crate::registry::caller::Caller;
use crate::registry::mail::{self, Readers};
use core::net::IpAddr;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use serde_json::json;

/// A credential that answers, and its user.
#[derive(Debug, Clone, Queryable)]
pub struct Credential {
    pub id: PasskeyId,
    pub name: PasskeyName,
    pub user: OwnerId,
    pub user_name: OwnerName,
    pub epoch: i32,
    pub is_active: bool,
    pub is_locked: bool,
    user_handle: Vec<u8>,
    public_key: Vec<u8>,
    state: Vec<u8>,
}

impl Credential {
    /// What an answer is checked against.
    pub fn stored(&self) -> StoredCredential<'_> {
        StoredCredential { user_handle: &self.user_handle, public_key: &self.public_key, state: &self.state }
    }

    /// Whether its user may sign in at all.
    pub fn is_open(&self) -> bool {
        self.is_active && !self.is_locked
    }
}

/// The credential with this ID.
///
/// # Errors
/// Database errors.
pub fn find_credential(conn: &mut PgConnection, credential_id: &[u8]) -> Result<Option<Credential>> {
    Ok(passkeys::table
        .inner_join(users::table.inner_join(owners::table))
        .filter(passkeys::credential_id.eq(credential_id))
        .select((
            passkeys::id,
            passkeys::name,
            users::id,
            owners::name,
            users::auth_epoch,
            users::is_active,
            users::is_locked,
            passkeys::user_handle,
            passkeys::public_key,
            passkeys::state,
        ))
        .first(conn)
        .optional()?)
}

/// Records a use and the new state of a credential: false if it was used or removed in the meantime.
///
/// # Errors
/// Database errors.
pub fn note(conn: &mut PgConnection, credential: &Credential, state: &[u8], now: Timestamp) -> Result<bool> {
    // Of two answers with the same counter, the second finds the row changed.
    let unchanged = passkeys::table.find(credential.id).filter(passkeys::state.eq(&credential.state));
    let noted =
        diesel::update(unchanged).set((passkeys::state.eq(state), passkeys::last_used_at.eq(now))).execute(conn)?;
    Ok(noted == 1)
}

/// How often a passkey was refused since then because it may have been copied.
///
/// # Errors
/// Database errors.
pub fn copies_since(conn: &mut PgConnection, since: Timestamp) -> Result<i64> {
    let is_copy = sql::<Bool>("audit.detail->>'reason' = 'counter'");
    let refused = log::table.filter(log::event.eq(Event::PasskeyRefuse.as_str())).filter(log::at.gt(since));
    Ok(refused.filter(is_copy).count().get_result(conn)?)
}

/// Records that a passkey was refused. If it may have been copied, its user and the administrators are told.
///
/// # Errors
/// Database errors.
pub fn note_refusal(
    conn: &mut PgConnection,
    credential: &Credential,
    refusal: &Refusal,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<()> {
    let caller = Caller::system_for(address);
    let is_copied = *refusal == Refusal::Counter;
    if is_copied {
        let facts = Facts::PasskeyCopied {
            user: credential.user_name.to_string(),
            name: credential.name.to_string(),
            from: mail::origin(&caller),
        };
        mail::enqueue(conn, Readers::Administrators, &facts, now)?;
        let is_admin: bool = users::table.find(credential.user).select(users::is_admin).first(conn)?;
        if !is_admin {
            mail::enqueue(conn, Readers::User(credential.user), &facts, now)?;
        }
    }
    let reason = match refusal {
        Refusal::Counter => "counter",
        Refusal::Answer(_) if credential.is_open() => "answer",
        Refusal::Answer(_) => "account",
    };
    let detail = json!({"passkey": credential.name.as_str(), "reason": reason});
    let owner = (credential.user, &credential.user_name);
    audit::record_owner(conn, &caller, Event::PasskeyRefuse, owner, detail, now)
}
