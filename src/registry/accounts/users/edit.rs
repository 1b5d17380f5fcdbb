//! Changing a user: by the user, by administrators, from the command line.

use super::user::{email_taken, find};
use crate::db::schema::{identities, users};
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::mail::Facts;
use crate::domain::names::{Email, OwnerName};
use crate::domain::role::OwnerKind;
use crate::error::{Error, Result, What};
use crate::registry::access::CanAdminister;
use crate::registry::accounts::email_confirmation;
use crate::registry::audit::{self, Event};
use crate::registry::caller::Caller;
use crate::registry::mail::{self, Readers};
use crate::registry::owners::namespace::{self, OwnerEdit};
use crate::registry::owners::publishers;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use serde_json::json;
use std::time::Duration;

/// A change to a user. A field that is `None` keeps its value.
#[derive(Debug, Clone, Default)]
pub struct UserEdit {
    pub email: Option<Email>,
    pub password_hash: Option<String>,
    /// When this is left out and a password is set, the user need not change the new password.
    pub must_change_password: Option<bool>,
    pub is_admin: Option<bool>,
    pub is_active: Option<bool>,
    pub is_locked: Option<bool>,
    pub owner: OwnerEdit,
}

#[derive(Debug, AsChangeset)]
#[diesel(table_name = users)]
struct Change<'a> {
    email: Option<&'a str>,
    lower_email: Option<String>,
    password_hash: Option<&'a str>,
    must_change_password: Option<bool>,
    is_admin: Option<bool>,
    is_active: Option<bool>,
    is_locked: Option<bool>,
    auth_epoch: i32,
}

impl UserEdit {
    /// Whether this change could leave the site without an administrator.
    fn weakens(&self) -> bool {
        self.is_admin == Some(false) || self.is_active == Some(false) || self.is_locked == Some(true)
    }

    /// The names of the changed fields, for the audit log.
    fn fields(&self) -> Vec<&'static str> {
        let own = [
            ("email", self.email.is_some()),
            ("password", self.password_hash.is_some()),
            ("must_change_password", self.must_change_password.is_some()),
            ("is_admin", self.is_admin.is_some()),
            ("is_active", self.is_active.is_some()),
            ("is_locked", self.is_locked.is_some()),
        ];
        let own = own.into_iter().filter(|(_, given)| *given).map(|(name, _)| name);
        own.chain(self.owner.fields()).collect()
    }
}

/// Checks that without this user an administrator who can sign in remains, if there is one now. Administrators who
/// remove each other's rights at the same moment take turns, so that one of them stays.
pub(super) fn demand_other_admin(conn: &mut PgConnection, user: OwnerId, name: &OwnerName) -> Result<()> {
    demand_other_able(&able_admins(conn, true)?, user, name)
}

/// The administrators who can sign in. With `locked`, their rows stay locked until the end of the transaction.
pub(in crate::registry::accounts) fn able_admins(conn: &mut PgConnection, locked: bool) -> Result<Vec<OwnerId>> {
    let linked = identities::table.filter(identities::user_id.eq(users::id)).select(identities::id);
    let able = users::table
        .filter(users::is_admin)
        .filter(users::is_active)
        .filter(diesel::dsl::not(users::is_locked))
        .filter(users::password_hash.is_not_null().or(diesel::dsl::exists(linked)))
        .order(users::id)
        .select(users::id);
    Ok(if locked { able.for_no_key_update().load(conn)? } else { able.load(conn)? })
}

/// Checks that there is another administrator in this list than this user, unless the list is empty.
pub(super) fn demand_other_able(able: &[OwnerId], user: OwnerId, name: &OwnerName) -> Result<()> {
    if able == [user] {
        return Err(Error::Blocked(format!(
            "the user {name} is the last administrator who can sign in: give someone else administrator rights first"
        )));
    }
    Ok(())
}

/// Changes a user as a site administrator. A new password, or any change to the user's rights, ends every session and
/// remembered login.
///
/// # Errors
/// [`Error::Invalid`] for an email address that is taken; [`Error::Blocked`] for the last administrator who can sign
/// in; [`Error::Forbidden`] for a visibility that the token in use cannot see.
pub fn update(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanAdminister,
    edit: &UserEdit,
    now: Timestamp,
) -> Result<()> {
    let (id, name) = (right.user().id, &right.user().name);
    if let Some(visibility) = edit.owner.visibility {
        caller.demand_visible(name, visibility)?;
    }
    if edit.weakens() {
        demand_other_admin(conn, id, name)?;
    }
    let (admin, active, locked, epoch, old): (bool, bool, bool, i32, OldEmail) = users::table
        .find(id)
        .select((
            users::is_admin,
            users::is_active,
            users::is_locked,
            users::auth_epoch,
            (users::email, users::lower_email),
        ))
        .for_no_key_update()
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::User))?;
    let differs = |new: Option<bool>, old: bool| new.is_some_and(|new| new != old);
    let ends = edit.password_hash.is_some()
        || differs(edit.is_admin, admin)
        || differs(edit.is_active, active)
        || differs(edit.is_locked, locked);
    let change = Change {
        email: edit.email.as_ref().map(Email::as_str),
        lower_email: edit.email.as_ref().map(Email::lower),
        password_hash: edit.password_hash.as_deref(),
        must_change_password: edit.must_change_password.or(edit.password_hash.as_ref().map(|_| false)),
        is_admin: edit.is_admin,
        is_active: edit.is_active,
        is_locked: edit.is_locked,
        auth_epoch: epoch.wrapping_add(i32::from(ends)),
    };
    diesel::update(users::table.find(id)).set(&change).execute(conn).map_err(|error| match (&error, &edit.email) {
        (DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, info), Some(email))
            if info.constraint_name() == Some("users_lower_email_key") =>
        {
            email_taken(email)
        }
        _ => Error::from(error),
    })?;
    if edit.is_locked == Some(true) || edit.is_active == Some(false) {
        publishers::end_tokens(conn, id)?;
    }
    namespace::edit(conn, id, &edit.owner)?;
    tell(conn, caller, id, (edit, old), now)?;
    let mut detail = json!({"changed": edit.fields()});
    for (key, new, old) in [
        ("is_admin", edit.is_admin, admin),
        ("is_active", edit.is_active, active),
        ("is_locked", edit.is_locked, locked),
    ] {
        if let (Some(new), Some(detail)) = (new.filter(|new| *new != old), detail.as_object_mut()) {
            detail.insert(key.to_owned(), json!(new));
        }
    }
    audit::record_owner(conn, caller, Event::UserUpdate, (id, name), detail, now)
}

/// An address, and its form for comparisons if the user signs in with it.
type OldEmail = (String, Option<String>);

/// Tells a user what an administrator changed: a new password, and at the old address, a new address.
fn tell(
    conn: &mut PgConnection,
    caller: &Caller,
    user: OwnerId,
    (edit, (old, old_lower)): (&UserEdit, OldEmail),
    now: Timestamp,
) -> Result<()> {
    let by = mail::maker(caller, user);
    if let Some(email) = edit.email.as_ref().filter(|email| old_lower.is_some_and(|old| old != email.lower())) {
        email_confirmation::tell_old(conn, user, &old, (email, by.clone()), now)?;
    }
    if edit.password_hash.is_some() {
        let facts = Facts::PasswordChanged { by, from: mail::origin(caller) };
        mail::enqueue(conn, Readers::User(user), &facts, now)?;
    }
    Ok(())
}

/// Renames a user. The old name redirects to the new one until someone else takes it.
///
/// # Errors
/// [`Error::Invalid`] for a reserved name, [`Error::Conflict`] for one that is taken.
pub fn rename(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanAdminister,
    to: &OwnerName,
    now: Timestamp,
) -> Result<()> {
    let user = right.user();
    namespace::rename(conn, (user.id, OwnerKind::User), to, "new_username", now)?;
    audit::record_owner(conn, caller, Event::UserRename, (user.id, to), json!({"from": user.name}), now)
}

/// How long a password that the command line set opens the account whatever the settings say.
pub const RESCUE: Duration = Duration::from_secs(3600);

/// Sets a password and ends every session and remembered login. For the command line: for an hour, the user may sign in
/// with it even where the settings forbid passwords.
///
/// # Errors
/// [`Error::NotFound`].
pub fn set_password(
    conn: &mut PgConnection,
    caller: &Caller,
    name: &OwnerName,
    password_hash: &str,
    now: Timestamp,
) -> Result<()> {
    let user = find(conn, name)?.ok_or(Error::NotFound(What::User))?;
    diesel::update(users::table.find(user.id))
        .set((
            users::password_hash.eq(password_hash),
            users::must_change_password.eq(false),
            users::auth_epoch.eq(users::auth_epoch + 1),
            users::rescued_until.eq(now.plus(RESCUE)),
        ))
        .execute(conn)?;
    let facts = Facts::PasswordChanged { by: mail::maker(caller, user.id), from: mail::origin(caller) };
    mail::enqueue(conn, Readers::User(user.id), &facts, now)?;
    audit::record_owner(conn, caller, Event::UserPassword, (user.id, &user.name), json!({}), now)
}

/// Locks a user out of everything, or unlocks them. Both end every session and remembered login.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Blocked`] for the last administrator who can sign in.
pub fn set_locked(
    conn: &mut PgConnection,
    caller: &Caller,
    name: &OwnerName,
    locked: bool,
    now: Timestamp,
) -> Result<()> {
    let user = find(conn, name)?.ok_or(Error::NotFound(What::User))?;
    if locked {
        demand_other_admin(conn, user.id, &user.name)?;
    }
    diesel::update(users::table.find(user.id))
        .set((users::is_locked.eq(locked), users::auth_epoch.eq(users::auth_epoch + 1)))
        .execute(conn)?;
    if locked {
        publishers::end_tokens(conn, user.id)?;
    }
    let event = if locked { Event::UserLock } else { Event::UserUnlock };
    audit::record_owner(conn, caller, event, (user.id, &user.name), json!({}), now)
}
