//! Confirming an address: its user follows a link that is sent there. Only then may they sign in with it.

use super::attempts;
use super::email_links::{self, EmailLink, Unusable};
use crate::db::schema::users;
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::mail::{Facts, LinkKind};
use crate::domain::names::Email;
use crate::domain::secret::MasterKey;
use crate::error::{Error, Result};
use crate::registry::access::CanChangeOwn;
use crate::registry::audit::{self, Event};
use crate::registry::caller::Caller;
use crate::registry::mail::{self, AddressedMail};
use crate::registry::name_locks;
use diesel::prelude::*;
use serde_json::json;

/// Sends a link to an address that a user entered. It replaces the user's earlier one.
///
/// # Errors
/// [`Error::RateLimited`] if the user, or anybody for this address, asks too often.
pub(super) fn send(
    conn: &mut PgConnection,
    key: &MasterKey,
    (user, email): (OwnerId, &Email),
    now: Timestamp,
) -> Result<()> {
    attempts::take(conn, &attempts::confirmation_buckets(key, user, email), now)?;
    email_links::replace(conn, user, &[LinkKind::Confirmation], now)?;
    let (code, ends) = email_links::create(conn, LinkKind::Confirmation, (user, email.as_str()), now)?;
    let recipient = email.as_str();
    let mail = AddressedMail { user, recipient, facts: Facts::Confirmation, code: Some((&code, key)), ends };
    mail::enqueue_to(conn, &mail, now)
}

/// Sends a link to the new address of the caller, whose address stays as it is until the link is used. The answer says
/// nothing about other users of the address.
///
/// # Errors
/// [`Error::RateLimited`].
pub fn request(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    (email, key): (&Email, &MasterKey),
    now: Timestamp,
) -> Result<()> {
    let user = right.user();
    send(conn, key, (user.id, email), now)?;
    audit::record_owner(conn, caller, Event::UserUpdate, (user.id, &user.name), json!({"requested": ["email"]}), now)
}

/// Uses a link: its address becomes the address of its user, who may sign in with it from now on. Tells the old address.
///
/// # Errors
/// Database errors.
pub fn confirm(
    conn: &mut PgConnection,
    caller: &Caller,
    code: &str,
    now: Timestamp,
) -> Result<std::result::Result<EmailLink, Unusable>> {
    let link = match email_links::find(conn, LinkKind::Confirmation, code, now)? {
        Ok(link) => link,
        Err(unusable) => return Ok(Err(unusable)),
    };
    let lower = link.email.lower();
    // Two users who confirm the same address at the same moment take turns.
    name_locks::lock(conn, &format!("confirm {lower}"), 0)?;
    let others = users::table.filter(users::lower_email.eq(&lower)).filter(users::id.ne(link.user));
    if diesel::select(diesel::dsl::exists(others)).get_result(conn)? {
        return Ok(Err(Unusable::Taken));
    }
    let link = match email_links::use_up(conn, LinkKind::Confirmation, code, now)? {
        Ok(link) => link,
        Err(unusable) => return Ok(Err(unusable)),
    };
    let user = users::table.find(link.user);
    let (old, old_lower): (String, Option<String>) =
        user.select((users::email, users::lower_email)).for_no_key_update().first(conn)?;
    diesel::update(user)
        .set((users::email.eq(link.email.as_str()), users::lower_email.eq(&lower), users::confirmed_email.eq(&lower)))
        .execute(conn)?;
    if old_lower.is_some_and(|old| old != lower) {
        tell_old(conn, link.user, &old, (&link.email, None), now)?;
    }
    audit::record_owner(conn, caller, Event::EmailConfirm, (link.user, &link.name), json!({}), now)?;
    Ok(Ok(link))
}

/// Tells a user's old address that another one replaced it, and who did this if it was somebody else.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn tell_old(
    conn: &mut PgConnection,
    user: OwnerId,
    old: &str,
    (new, by): (&Email, Option<String>),
    now: Timestamp,
) -> Result<()> {
    let facts = Facts::EmailChanged { to: new.to_string(), by };
    let mail = AddressedMail { user, recipient: old, facts, code: None, ends: now.plus(mail::PATIENCE) };
    mail::enqueue_to(conn, &mail, now)
}

/// Sends a link to somebody who registered, if mail is on. A limit only means that no mail is sent: the answer to a
/// registration says nothing about the address.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn welcome(
    conn: &mut PgConnection,
    key: &MasterKey,
    (user, email): (OwnerId, &Email),
    now: Timestamp,
) -> Result<()> {
    if !mail::is_enabled(conn)? {
        return Ok(());
    }
    match send(conn, key, (user, email), now) {
        Err(Error::RateLimited { .. }) => Ok(()),
        other => other,
    }
}
