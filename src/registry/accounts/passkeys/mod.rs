//! Passkeys of users. A passkey signs its user in without a password, and where two-factor authentication is on, it
//! counts as both factors.

pub mod challenges;
pub mod relying_party;
pub mod use_of;

use super::sessions;
use super::two_factor;
use super::ways_in::{self, GivenUp, OpenWays};
use crate::db::schema::{passkeys, users};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, PasskeyId, SessionId};
use crate::domain::mail::{FactorChange, Facts};
use crate::domain::text::PasskeyName;
use crate::error::{Error, Result, What};
use crate::registry::access::{CanChangeOwn, Visited};
use crate::registry::audit::{self, Event};
use crate::registry::caller::Caller;
use crate::registry::mail::{self, Readers};
use diesel::prelude::*;
use relying_party::{KnownCredential, Registered};
use serde_json::json;

/// The most passkeys of a user.
pub const MOST: i64 = 20;

/// A passkey as its user sees it.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = passkeys)]
pub struct Passkey {
    pub id: PasskeyId,
    pub name: PasskeyName,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

/// The passkeys of a user, the oldest first.
///
/// # Errors
/// Database errors.
pub fn list(conn: &mut PgConnection, user: OwnerId) -> Result<Vec<Passkey>> {
    let own = passkeys::table.filter(passkeys::user_id.eq(user)).order(passkeys::id);
    Ok(own.select(Passkey::as_select()).load(conn)?)
}

/// How many passkeys a user has.
///
/// # Errors
/// Database errors.
pub fn count(conn: &mut PgConnection, user: OwnerId) -> Result<i64> {
    Ok(passkeys::table.filter(passkeys::user_id.eq(user)).count().get_result(conn)?)
}

/// A passkey of a user.
///
/// # Errors
/// [`Error::NotFound`] when it is not theirs.
pub fn find(conn: &mut PgConnection, user: OwnerId, id: PasskeyId) -> Result<Passkey> {
    let own = passkeys::table.find(id).filter(passkeys::user_id.eq(user));
    own.select(Passkey::as_select()).first(conn).optional()?.ok_or(Error::NotFound(What::Passkey))
}

/// The credentials of a user, which an authenticator need not make again.
///
/// # Errors
/// [`Error::Blocked`] when the user has [`MOST`] already.
pub fn known(conn: &mut PgConnection, user: OwnerId) -> Result<Vec<KnownCredential>> {
    let own = passkeys::table.filter(passkeys::user_id.eq(user)).order(passkeys::id);
    let rows: Vec<(Vec<u8>, i16)> = own.select((passkeys::credential_id, passkeys::transports)).load(conn)?;
    demand_room(i64::try_from(rows.len()).unwrap_or(MOST))?;
    Ok(rows.into_iter().map(|(id, transports)| KnownCredential { id, transports }).collect())
}

/// Whether a user's second factor is the only passkey they have, and nothing else.
///
/// # Errors
/// Database errors.
pub fn is_second_factor_alone(conn: &mut PgConnection, user: OwnerId) -> Result<bool> {
    let is_on = two_factor::is_enrolled(conn, user)?;
    Ok(is_on && !two_factor::has_totp(conn, user)? && count(conn, user)? == 1)
}

fn demand_room(own: i64) -> Result<()> {
    if own < MOST {
        return Ok(());
    }
    Err(Error::Blocked(format!("you have {MOST} passkeys, which is the limit: remove one first")))
}

fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    event: Event,
    user: &Visited,
    name: &PasskeyName,
    now: Timestamp,
) -> Result<()> {
    audit::record_owner(conn, caller, event, (user.id, &user.name), json!({"passkey": name.as_str()}), now)
}

fn tell(conn: &mut PgConnection, caller: &Caller, user: OwnerId, change: FactorChange, now: Timestamp) -> Result<()> {
    let (by, from) = (mail::maker(caller, user), mail::origin(caller));
    mail::enqueue(conn, Readers::User(user), &Facts::TwoFactorChanged { change, by, from }, now)
}

/// Adds a passkey to the caller's account.
///
/// # Errors
/// [`Error::Blocked`] when the passkey is known already, or the caller has [`MOST`].
pub fn add(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    (name, new): (&PasskeyName, &Registered),
    now: Timestamp,
) -> Result<()> {
    let user = right.user();
    let _: OwnerId = users::table.find(user.id).select(users::id).for_no_key_update().first(conn)?;
    demand_room(count(conn, user.id)?)?;
    let added = diesel::insert_into(passkeys::table)
        .values((
            passkeys::user_id.eq(user.id),
            passkeys::credential_id.eq(&new.credential_id),
            passkeys::user_handle.eq(&new.user_handle),
            passkeys::public_key.eq(&new.public_key),
            passkeys::state.eq(&new.state),
            passkeys::transports.eq(new.transports),
            passkeys::name.eq(name.as_str()),
            passkeys::created_at.eq(now),
        ))
        .on_conflict(passkeys::credential_id)
        .do_nothing()
        .execute(conn)?;
    if added == 0 {
        return Err(Error::Blocked("this passkey was added already: choose another device".to_owned()));
    }
    tell(conn, caller, user.id, FactorChange::PasskeyAdded, now)?;
    record(conn, caller, Event::PasskeyAdd, user, name, now)
}

/// Renames a passkey of the caller.
///
/// # Errors
/// [`Error::NotFound`] when it is not theirs.
pub fn rename(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    (id, name): (PasskeyId, &PasskeyName),
    now: Timestamp,
) -> Result<()> {
    let user = right.user();
    let own = passkeys::table.find(id).filter(passkeys::user_id.eq(user.id));
    if diesel::update(own).set(passkeys::name.eq(name.as_str())).execute(conn)? == 0 {
        return Err(Error::NotFound(What::Passkey));
    }
    record(conn, caller, Event::PasskeyRename, user, name, now)
}

/// The result of removing a passkey.
#[derive(Debug)]
pub struct Removed {
    pub name: PasskeyName,
    /// Whether two-factor authentication is off now, because this was its last passkey.
    pub ended_two_factor: bool,
    /// The session that replaces the one in use.
    pub session: Option<SessionId>,
}

/// Removes a passkey of the caller. Ends every session and remembered login except the session in use, which is renewed.
/// If the second factor was this passkey alone, two-factor authentication is off afterwards.
///
/// # Errors
/// [`Error::NotFound`] when it is not theirs; [`Error::Blocked`] for their last way to sign in.
pub fn remove(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    (id, open): (PasskeyId, &OpenWays),
    now: Timestamp,
) -> Result<Removed> {
    let user = right.user();
    let passkey = find(conn, user.id, id)?;
    ways_in::demand_other(conn, user.id, GivenUp::Passkey(id), open)?;
    if diesel::delete(passkeys::table.find(id)).execute(conn)? == 0 {
        return Err(Error::NotFound(What::Passkey));
    }
    tell(conn, caller, user.id, FactorChange::PasskeyRemoved, now)?;
    record(conn, caller, Event::PasskeyRemove, user, &passkey.name, now)?;
    let ended_two_factor = count(conn, user.id)? == 0 && two_factor::end_without_passkeys(conn, caller, user, now)?;
    if !ended_two_factor {
        diesel::update(users::table.find(user.id)).set(users::auth_epoch.eq(users::auth_epoch + 1)).execute(conn)?;
    }
    Ok(Removed { name: passkey.name, ended_two_factor, session: sessions::renew(conn, caller, now)? })
}
