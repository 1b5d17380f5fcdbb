//! Changes users make to their own account.

pub use super::delete::{delete_own, obstacles};
use crate::db::schema::users;
use crate::domain::clock::Timestamp;
use crate::domain::ids::SessionId;
use crate::domain::mail::{Facts, LinkKind};
use crate::domain::names::{Email, OwnerName};
use crate::domain::role::OwnerKind;
use crate::domain::secret::MasterKey;
use crate::error::{Error, Result, What};
use crate::registry::access::CanChangeOwn;
use crate::registry::accounts::{email_confirmation, email_links, sessions};
use crate::registry::audit::{self, Event};
use crate::registry::caller::Caller;
use crate::registry::mail::{self, Readers};
use crate::registry::owners::namespace::{self, OwnerEdit};
use diesel::prelude::*;
use serde_json::json;

/// Changes a user's own profile and visibility.
///
/// # Errors
/// [`Error::NotFound`] when the user no longer exists.
pub fn edit_own(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    edit: &OwnerEdit,
    now: Timestamp,
) -> Result<()> {
    let user = right.user();
    namespace::edit(conn, user.id, edit)?;
    let detail = json!({"changed": edit.fields()});
    audit::record_owner(conn, caller, Event::UserUpdate, (user.id, &user.name), detail, now)
}

/// What became of an address that a user entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailChange {
    /// It is their address now.
    Set,
    /// It becomes their address when they follow the link that was sent there.
    LinkSent,
}

/// Changes a user's own email address: with mail, after they follow a link that is sent there; otherwise at once.
///
/// # Errors
/// [`Error::NotFound`] when the user no longer exists; [`Error::RateLimited`].
pub fn change_own_email(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    (email, key): (&Email, &MasterKey),
    now: Timestamp,
) -> Result<EmailChange> {
    let confirmed: Option<Option<String>> =
        users::table.find(right.user().id).select(users::confirmed_email).first(conn).optional()?;
    let is_confirmed = confirmed.ok_or(Error::NotFound(What::User))?.is_some_and(|known| known == email.lower());
    if mail::is_enabled(conn)? && !is_confirmed {
        email_confirmation::request(conn, caller, right, (email, key), now)?;
        return Ok(EmailChange::LinkSent);
    }
    set_own_email(conn, caller, right, email, now)?;
    Ok(EmailChange::Set)
}

/// Sets a user's own email address. They cannot sign in with it until an administrator confirms it, because nobody
/// knows whether it is theirs. It may therefore equal another user's address, and the answer does not reveal that.
fn set_own_email(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    email: &Email,
    now: Timestamp,
) -> Result<()> {
    let user = right.user();
    // A change of upper and lower case keeps the confirmation.
    let kept = users::table.find(user.id).select(users::lower_email).for_no_key_update().first::<Option<String>>(conn);
    let kept = kept.optional()?.ok_or(Error::NotFound(What::User))?.filter(|lower| *lower == email.lower());
    diesel::update(users::table.find(user.id))
        .set((users::email.eq(email.as_str()), users::lower_email.eq(kept)))
        .execute(conn)?;
    audit::record_owner(conn, caller, Event::UserUpdate, (user.id, &user.name), json!({"changed": ["email"]}), now)
}

/// Renames the caller. The old name redirects to the new one until someone else takes it.
///
/// # Errors
/// [`Error::Invalid`] for a reserved name, [`Error::Conflict`] for one that is taken.
pub fn rename_own(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    to: &OwnerName,
    now: Timestamp,
) -> Result<()> {
    let user = right.user();
    namespace::rename(conn, (user.id, OwnerKind::User), to, "name", now)?;
    audit::record_owner(conn, caller, Event::UserRename, (user.id, to), json!({"from": user.name}), now)
}

/// Sets the caller's new password, which they need not change again, and ends every session and remembered login.
/// Returns the session that replaces the one in use.
///
/// # Errors
/// [`Error::NotFound`] when the user no longer exists.
pub fn change_password(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    password_hash: &str,
    now: Timestamp,
) -> Result<Option<SessionId>> {
    let user = right.user();
    let changed = diesel::update(users::table.find(user.id))
        .set((
            users::password_hash.eq(password_hash),
            users::must_change_password.eq(false),
            users::auth_epoch.eq(users::auth_epoch + 1),
        ))
        .execute(conn)?;
    if changed == 0 {
        return Err(Error::NotFound(What::User));
    }
    audit::record_owner(conn, caller, Event::UserPassword, (user.id, &user.name), json!({}), now)?;
    // Whoever knew the old password may have asked for another address.
    email_links::replace(conn, user.id, &[LinkKind::Confirmation], now)?;
    let facts = Facts::PasswordChanged { by: None, from: mail::origin(caller) };
    mail::enqueue(conn, Readers::User(user.id), &facts, now)?;
    sessions::renew(conn, caller, now)
}
