//! Browser sessions. Each session is a row: every request looks it up together with its user's epoch, so that a lock or
//! a new password ends the session at once.

use super::factor::Factor;
use super::known_addresses;
use super::session_expiry::{IDLE, LONGEST, is_live};
use crate::db::schema::{identities, sessions, users};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{IdentityId, OwnerId, SessionId};
use crate::domain::mail::Facts;
use crate::domain::names::OwnerName;
use crate::error::{Error, Result, What};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::{self, Caller, Credential};
use crate::registry::mail::{self, Readers};
use core::net::IpAddr;
use diesel::prelude::*;
use diesel::sql_types::{Array, Timestamptz};
use serde_json::{Value, json};

/// The most sessions per user: the next one ends the session that was unused for longest. A limit is needed because
/// sign-ins with the right password are not counted in any bucket.
pub const MOST: i64 = 100;
/// The most bytes of a browser's description that are stored.
const MOST_OF_AGENT: usize = 255;

/// A session as its user sees it.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = sessions)]
pub struct Session {
    pub id: SessionId,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub address: String,
    pub user_agent: String,
}

/// The address and browser of a sign-in, and how the user proved their identity.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    pub address: Option<IpAddr>,
    /// The browser's `User-Agent`.
    pub user_agent: &'a str,
    /// The session that the browser had before.
    pub previous: Option<SessionId>,
    /// The second factor that the user proved.
    pub factor: Option<Factor>,
    /// The browser's name, if the user is to be told that they did not sign in with it before.
    pub new_device: Option<&'a str>,
    /// The identity that a provider vouched for, instead of a password.
    pub identity: Option<&'a ProvenIdentity>,
    /// The name of the passkey that the user signed in with, instead of a password.
    pub passkey: Option<&'a str>,
}

/// The identity that a session begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenIdentity {
    pub id: IdentityId,
    /// The encrypted ID token, if it is short enough to sign out with.
    pub sealed_hint: Option<Vec<u8>>,
}

/// The origin of a session that a replacement takes over.
#[derive(Debug, Clone, Default)]
struct Origin {
    identity: Option<IdentityId>,
    sealed_hint: Option<Vec<u8>>,
    confirmed_at: Option<Timestamp>,
}

/// Starts a session for a user who has passed every check at this epoch of their account. The browser's previous
/// session ends.
///
/// # Errors
/// [`Error::Unauthenticated`] when the account has changed in the meantime.
pub fn begin(
    conn: &mut PgConnection,
    (user, epoch): (OwnerId, i32),
    arrival: &Arrival<'_>,
    now: Timestamp,
) -> Result<SessionId> {
    // The row is updated below: sign-ins of one user that only shared it until then would deadlock.
    let good: Option<OwnerId> = users::table
        .find(user)
        .filter(users::auth_epoch.eq(epoch))
        .filter(users::is_active)
        .filter(diesel::dsl::not(users::is_locked))
        .select(users::id)
        .for_no_key_update()
        .first(conn)
        .optional()?;
    let user = good.ok_or(Error::Unauthenticated)?;
    if let Some(previous) = arrival.previous {
        diesel::delete(sessions::table.filter(sessions::id.eq(previous))).execute(conn)?;
    }
    let origin = arrival.identity.cloned().map_or_else(Origin::default, |proven| Origin {
        identity: Some(proven.id),
        sealed_hint: proven.sealed_hint,
        confirmed_at: None,
    });
    let provider: Option<String> = match origin.identity {
        Some(id) => identities::table.find(id).select(identities::provider).first(conn).optional()?,
        None => None,
    };
    let id = insert(conn, (user, epoch), (arrival.address, arrival.user_agent), origin, now)?;
    let own = sessions::table.filter(sessions::user_id.eq(user)).select(sessions::id);
    // The new one stays, even if others are newer by the clock of another server.
    let kept = own.order((sessions::id.eq(id).desc(), sessions::last_seen_at.desc(), sessions::created_at.desc()));
    let surplus: Vec<SessionId> = kept.offset(MOST).load(conn)?;
    if !surplus.is_empty() {
        diesel::delete(sessions::table.filter(sessions::id.eq_any(surplus))).execute(conn)?;
    }
    if let Some(device) = arrival.new_device {
        let from = arrival.address.map(|address| address.to_string()).unwrap_or_default();
        mail::enqueue(conn, Readers::User(user), &Facts::NewDevice { device: device.to_owned(), from }, now)?;
    }
    diesel::update(users::table.find(user)).set(users::last_login_at.eq(now)).execute(conn)?;
    let caller = caller::identify(conn, &Credential::Session(id), arrival.address, now)?;
    let mut detail = serde_json::Map::new();
    if let Some(factor) = arrival.factor {
        detail.insert("second_factor".to_owned(), json!(factor.as_str()));
    }
    if let Some(provider) = provider {
        detail.insert("provider".to_owned(), json!(provider));
    }
    if let Some(passkey) = arrival.passkey {
        detail.insert("passkey".to_owned(), json!(passkey));
    }
    record(conn, &caller, Event::SessionBegin, Value::Object(detail), now)?;
    Ok(id)
}

/// Remembers the address of a program that signed in with a user's password, and tells the user if it is new. Nobody is
/// told of their very first sign-in.
///
/// # Errors
/// Database errors; [`Error::NotFound`] when the user was deleted a moment ago.
pub fn note_program(
    conn: &mut PgConnection,
    (user, epoch): (OwnerId, i32),
    address: IpAddr,
    is_first: bool,
    now: Timestamp,
) -> Result<()> {
    if !is_first && !known_addresses::was_known(conn, user, address)? {
        let facts = Facts::NewDevice { device: String::new(), from: address.to_string() };
        mail::enqueue(conn, Readers::User(user), &facts, now)?;
    }
    known_addresses::remember(conn, (user, epoch), address, now)
}

fn insert(
    conn: &mut PgConnection,
    (user, epoch): (OwnerId, i32),
    (address, user_agent): (Option<IpAddr>, &str),
    origin: Origin,
    now: Timestamp,
) -> Result<SessionId> {
    let id = SessionId::generate();
    let agent: String = user_agent.chars().filter(|c| !c.is_control()).collect();
    let end = agent.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= MOST_OF_AGENT).last();
    diesel::insert_into(sessions::table)
        .values((
            sessions::id.eq(id),
            sessions::user_id.eq(user),
            sessions::auth_epoch.eq(epoch),
            sessions::created_at.eq(now),
            sessions::last_seen_at.eq(now),
            sessions::expires_at.eq(now.plus(IDLE)),
            sessions::address.eq(address.map(|address| address.to_string()).unwrap_or_default()),
            sessions::user_agent.eq(agent.get(..end.unwrap_or(0)).unwrap_or_default()),
            sessions::identity_id.eq(origin.identity),
            sessions::sealed_hint.eq(origin.sealed_hint),
            sessions::confirmed_at.eq(origin.confirmed_at),
        ))
        .execute(conn)?;
    if let Some(address) = address {
        known_addresses::remember(conn, (user, epoch), address, now)?;
    }
    Ok(id)
}

/// The user of a session, and the epoch of their account when it started.
///
/// # Errors
/// Database errors.
pub fn login_of(conn: &mut PgConnection, id: SessionId) -> Result<Option<(OwnerId, i32)>> {
    Ok(sessions::table.find(id).select((sessions::user_id, sessions::auth_epoch)).first(conn).optional()?)
}

fn record(conn: &mut PgConnection, caller: &Caller, event: Event, detail: Value, now: Timestamp) -> Result<()> {
    let user = caller.signed_in()?;
    let owner: Option<(OwnerId, &OwnerName)> = Some((user.id, &user.name));
    audit::record(conn, caller, event, &Subject { owner, text: user.name.to_string(), detail }, now)
}

/// The live sessions of a user, the most recently used first.
///
/// # Errors
/// Database errors.
pub fn list(conn: &mut PgConnection, user: OwnerId, now: Timestamp) -> Result<Vec<Session>> {
    Ok(sessions::table
        .inner_join(users::table)
        .filter(sessions::user_id.eq(user))
        .filter(is_live(now))
        .filter(sessions::auth_epoch.eq(users::auth_epoch))
        .order((sessions::last_seen_at.desc(), sessions::id))
        .select(Session::as_select())
        .load(conn)?)
}

/// Ends one session of the caller.
///
/// # Errors
/// [`Error::NotFound`] when the session is not the caller's.
pub fn end(conn: &mut PgConnection, caller: &Caller, id: SessionId, now: Timestamp) -> Result<()> {
    let user = caller.signed_in()?.id;
    let own = sessions::table.filter(sessions::id.eq(id)).filter(sessions::user_id.eq(user));
    if diesel::delete(own).execute(conn)? == 0 {
        return Err(Error::NotFound(What::Session));
    }
    record(conn, caller, Event::SessionEnd, json!({}), now)
}

/// The identity that a session began with, and its encrypted ID token.
///
/// # Errors
/// Database errors.
pub fn proven_identity(conn: &mut PgConnection, id: SessionId) -> Result<Option<ProvenIdentity>> {
    let row: Option<(Option<IdentityId>, Option<Vec<u8>>)> =
        sessions::table.find(id).select((sessions::identity_id, sessions::sealed_hint)).first(conn).optional()?;
    Ok(row.and_then(|(id, sealed_hint)| Some(ProvenIdentity { id: id?, sealed_hint })))
}

/// Records that the user of a session has just proved again who they are, at a provider or with a passkey.
///
/// # Errors
/// Database errors.
pub fn confirm(conn: &mut PgConnection, id: SessionId, now: Timestamp) -> Result<()> {
    diesel::update(sessions::table.find(id)).set(sessions::confirmed_at.eq(now)).execute(conn)?;
    Ok(())
}

/// Replaces the caller's session with a new one at the current epoch of the account and ends all their other sessions.
/// Changes that end every session call this, so that the user who made the change need not sign in again. `None`: the
/// caller has no session.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(in crate::registry) fn renew(
    conn: &mut PgConnection,
    caller: &Caller,
    now: Timestamp,
) -> Result<Option<SessionId>> {
    let user = caller.signed_in()?.id;
    type Ended = (SessionId, String, Option<IdentityId>, Option<Vec<u8>>, Option<Timestamp>);
    let ended: Vec<Ended> = diesel::delete(sessions::table.filter(sessions::user_id.eq(user)))
        .returning((
            sessions::id,
            sessions::user_agent,
            sessions::identity_id,
            sessions::sealed_hint,
            sessions::confirmed_at,
        ))
        .get_results(conn)?;
    let own = ended.into_iter().find(|(id, ..)| caller.session() == Some(*id));
    let Some((_, agent, identity, sealed_hint, confirmed_at)) = own else { return Ok(None) };
    let origin = Origin { identity, sealed_hint, confirmed_at };
    let epoch: i32 = users::table.find(user).select(users::auth_epoch).first(conn)?;
    insert(conn, (user, epoch), (caller.address(), &agent), origin, now).map(Some)
}

/// Ends every session of the caller, including the current one.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub fn end_all(conn: &mut PgConnection, caller: &Caller, now: Timestamp) -> Result<()> {
    let user = caller.signed_in()?.id;
    diesel::delete(sessions::table.filter(sessions::user_id.eq(user))).execute(conn)?;
    record(conn, caller, Event::SessionEndAll, json!({}), now)
}

/// Records when sessions were last used, which extends their lives.
///
/// # Errors
/// Database errors.
pub fn note_uses(conn: &mut PgConnection, uses: &[(SessionId, Timestamp)]) -> Result<()> {
    let (ids, times): (Vec<SessionId>, Vec<Timestamp>) = uses.iter().copied().unzip();
    diesel::sql_query(format!(
        "UPDATE sessions SET last_seen_at = u.at, \
           expires_at = least(u.at + interval '{} seconds', sessions.created_at + interval '{} seconds') \
         FROM unnest($1, $2) AS u(id, at) WHERE sessions.id = u.id AND sessions.last_seen_at < u.at",
        IDLE.as_secs(),
        LONGEST.as_secs()
    ))
    .bind::<Array<diesel::sql_types::Uuid>, _>(ids)
    .bind::<Array<Timestamptz>, _>(times)
    .execute(conn)?;
    Ok(())
}
