//! Choosing a new password with a link: after forgetting the old one, or to accept an invitation.
//!
//! A request for a link does the same work for every name that is typed: it is only stored. [`resolve`] finds out later
//! whether there is such an account.

use super::attempts;
use super::email_links::{self, EmailLink, Unusable};
use super::two_factor;
use super::users;
use crate::db::schema::{owners, reset_requests, sessions, users as users_table};
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::mail::{Facts, LinkKind};
use crate::domain::names::OwnerName;
use crate::domain::secret::MasterKey;
use crate::error::{Error, Result};
use crate::registry::audit::{self, Event};
use crate::registry::caller::{Caller, NOBODY};
use crate::registry::encryption::{self, RESET_NAME};
use crate::registry::mail::{self, AddressedMail, Readers};
use core::net::IpAddr;
use diesel::prelude::*;
use serde_json::json;
use std::time::Duration;

/// The most bytes of a typed name that are stored: no account has a longer one.
const MOST_OF_NAME: usize = 512;
/// How long a request waits for the job that sends its mail.
const WAITS: Duration = Duration::from_secs(15 * 60);

/// Stores a request to reset the password of whoever has this name or address.
///
/// # Errors
/// [`Error::RateLimited`] by network address and in all; never because of the account.
pub fn request(
    conn: &mut PgConnection,
    key: &MasterKey,
    typed: &str,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<()> {
    attempts::take(conn, &attempts::reset_buckets(address), now)?;
    let typed = if typed.len() > MOST_OF_NAME { "" } else { typed };
    diesel::insert_into(reset_requests::table)
        .values((
            reset_requests::sealed_name.eq(encryption::encrypt(key, RESET_NAME, NOBODY, typed.as_bytes())?),
            reset_requests::address.eq(address.map(|address| address.to_string()).unwrap_or_default()),
            reset_requests::requested_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Answers the oldest request: writes the mail if there is such an account, and it has a password and an address to sign
/// in with, and is not locked. False if there is no request.
///
/// # Errors
/// Database errors.
pub fn resolve(conn: &mut PgConnection, key: &MasterKey, now: Timestamp) -> Result<bool> {
    let oldest = reset_requests::table.order(reset_requests::id).for_update().skip_locked();
    let row: Option<(i64, Vec<u8>, String, Timestamp)> = oldest.first(conn).optional()?;
    let Some((id, sealed, from, requested_at)) = row else { return Ok(false) };
    diesel::delete(reset_requests::table.find(id)).execute(conn)?;
    let is_current = requested_at > now.minus(WAITS) && requested_at <= now.latest_end_of(Duration::ZERO);
    // With another secret key, nobody can read it any more.
    let typed = encryption::decrypt(key, RESET_NAME, NOBODY, &sealed).ok();
    let typed = typed.and_then(|typed| String::from_utf8(typed).ok()).filter(|_| is_current);
    let Some(login) = typed.map(|typed| users::find_login(conn, typed.trim())).transpose()?.flatten() else {
        return Ok(true);
    };
    match attempts::take(conn, &attempts::account_reset_buckets(login.id), now) {
        Ok(()) => {}
        // They have mail with a link already, and it still works.
        Err(Error::RateLimited { .. }) => return Ok(true),
        Err(error) => return Err(error),
    }
    let (email, lower): (String, Option<String>) =
        users_table::table.find(login.id).select((users_table::email, users_table::lower_email)).first(conn)?;
    if lower.is_none() || login.password_hash.is_none() || login.is_locked || !login.is_active {
        return Ok(true);
    }
    let (code, ends) = email_links::create(conn, LinkKind::Reset, (login.id, &email), now)?;
    let name: OwnerName = owners::table.find(login.id).select(owners::name).first(conn)?;
    let caller = Caller::anonymous(from.parse().ok());
    let facts = Facts::Reset { from };
    let mail = AddressedMail { user: login.id, recipient: &email, facts, code: Some((&code, key)), ends };
    mail::enqueue_to(conn, &mail, now)?;
    audit::record_owner(conn, &caller, Event::PasswordResetRequest, (login.id, &name), json!({}), now)?;
    Ok(true)
}

/// Somebody who has just chosen a password with a link.
#[derive(Debug, Clone)]
pub struct Chosen {
    pub user: OwnerId,
    pub name: OwnerName,
    /// The epoch of the account from now on.
    pub epoch: i32,
    /// Whether they must still enter a two-factor code.
    pub has_factor: bool,
}

/// Sets the password of a link's user. It ends every session and remembered login, makes all other links of the user
/// worthless, and confirms the address, because its user has just read mail there.
///
/// # Errors
/// Database errors.
pub fn choose(
    conn: &mut PgConnection,
    caller: &Caller,
    (kind, code): (LinkKind, &str),
    password_hash: &str,
    now: Timestamp,
) -> Result<std::result::Result<Chosen, Unusable>> {
    let link = match email_links::use_up(conn, kind, code, now)? {
        Ok(link) => link,
        Err(unusable) => return Ok(Err(unusable)),
    };
    let EmailLink { user, name, email, .. } = link;
    let epoch: i32 = diesel::update(users_table::table.find(user))
        .set((
            users_table::password_hash.eq(password_hash),
            users_table::must_change_password.eq(false),
            users_table::confirmed_email.eq(email.lower()),
            users_table::auth_epoch.eq(users_table::auth_epoch + 1),
        ))
        .returning(users_table::auth_epoch)
        .get_result(conn)?;
    diesel::delete(sessions::table.filter(sessions::user_id.eq(user))).execute(conn)?;
    email_links::replace(conn, user, &[LinkKind::Reset, LinkKind::Invitation, LinkKind::Confirmation], now)?;
    let event = match kind {
        LinkKind::Invitation => Event::InvitationAccept,
        LinkKind::Reset | LinkKind::Confirmation => {
            let facts = Facts::PasswordChanged { by: None, from: mail::origin(caller) };
            mail::enqueue(conn, Readers::User(user), &facts, now)?;
            Event::PasswordReset
        }
    };
    audit::record_owner(conn, caller, event, (user, &name), json!({}), now)?;
    let has_factor = two_factor::is_enrolled(conn, user)?;
    Ok(Ok(Chosen { user, name, epoch, has_factor }))
}
