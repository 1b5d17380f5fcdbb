//! Invitations: an administrator creates a user, who gets a link to choose a password.

use super::email_links;
use super::users::{NewUser, create_invited, find};
use crate::db::schema::users;
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::mail::{Facts, LinkKind};
use crate::domain::secret::MasterKey;
use crate::error::{Error, Result, What};
use crate::registry::access::CanAdminister;
use crate::registry::audit::{self, Event};
use crate::registry::caller::Caller;
use crate::registry::mail::{self, AddressedMail};
use diesel::prelude::*;
use serde_json::json;

/// Creates a user without a password and sends them a link to choose one.
///
/// # Errors
/// As [`super::users::create`].
pub fn create(
    conn: &mut PgConnection,
    caller: &Caller,
    (new, key): (&NewUser, &MasterKey),
    now: Timestamp,
) -> Result<OwnerId> {
    let id = create_invited(conn, caller, new, now)?;
    send(conn, caller, (id, new.email.as_str()), key, now)?;
    Ok(id)
}

fn send(
    conn: &mut PgConnection,
    caller: &Caller,
    (user, email): (OwnerId, &str),
    key: &MasterKey,
    now: Timestamp,
) -> Result<()> {
    let (code, ends) = email_links::create(conn, LinkKind::Invitation, (user, email), now)?;
    let facts = Facts::Invitation { by: mail::maker(caller, user).unwrap_or_default() };
    let mail = AddressedMail { user, recipient: email, facts, code: Some((&code, key)), ends };
    mail::enqueue_to(conn, &mail, now)
}

/// Sends a user another invitation, which replaces the earlier ones.
///
/// # Errors
/// [`Error::Blocked`] for a user who has a password or may not sign in with their address.
pub fn resend(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanAdminister,
    key: &MasterKey,
    now: Timestamp,
) -> Result<()> {
    let user = right.user();
    let row = users::table.find(user.id).select((users::email, users::lower_email, users::password_hash));
    let row: Option<(String, Option<String>, Option<String>)> = row.for_no_key_update().first(conn).optional()?;
    let (email, lower, password) = row.ok_or(Error::NotFound(What::User))?;
    let refused = |why: &str| Err(Error::Blocked(format!("{} can't be invited: {why}", user.name)));
    if password.is_some() {
        return refused("they have a password already, and can reset it on the sign-in page");
    }
    if lower.is_none() {
        return refused("an administrator must set their email address first");
    }
    let known = find(conn, &user.name)?.ok_or(Error::NotFound(What::User))?;
    if known.is_locked || !known.is_active {
        return refused("the account is locked or inactive");
    }
    email_links::replace(conn, user.id, &[LinkKind::Invitation], now)?;
    send(conn, caller, (user.id, &email), key, now)?;
    audit::record_owner(conn, caller, Event::InvitationSend, (user.id, &user.name), json!({}), now)
}

/// Makes a user's invitation worthless. The account stays, and nobody can sign in to it.
///
/// # Errors
/// [`Error::NotFound`] if no invitation is open.
pub fn withdraw(conn: &mut PgConnection, caller: &Caller, right: &CanAdminister, now: Timestamp) -> Result<()> {
    let user = right.user();
    if email_links::pending(conn, user.id, LinkKind::Invitation, now)?.is_none() {
        return Err(Error::NotFound(What::Invitation));
    }
    email_links::replace(conn, user.id, &[LinkKind::Invitation], now)?;
    audit::record_owner(conn, caller, Event::InvitationWithdraw, (user.id, &user.name), json!({}), now)
}
