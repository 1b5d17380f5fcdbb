//! What a user does to his own account.

use super::record;
use crate::db::schema::users;
use crate::domain::clock::Timestamp;
use crate::domain::ids::SessionId;
use crate::error::{Error, Result, What};
use crate::registry::access::CanChangeOwn;
use crate::registry::audit::Event;
use crate::registry::caller::Caller;
use crate::registry::owners::{self, OwnerEdit};
use crate::registry::sessions;
use diesel::prelude::*;
use serde_json::json;

/// Changes what a user says of himself, and who sees him.
///
/// # Errors
/// [`Error::NotFound`] when he is gone.
pub fn edit_own(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    edit: &OwnerEdit,
    now: Timestamp,
) -> Result<()> {
    let user = right.user();
    owners::edit(conn, user.id, edit)?;
    let detail = json!({"changed": edit.fields()});
    record(conn, caller, Event::UserUpdate, (user.id, &user.name), detail, now)
}

/// Sets his own new password, which he need not change again, and ends every session and remembered login; gives the session
/// that stands in the place of the one in use.
///
/// # Errors
/// [`Error::NotFound`] when he is gone.
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
    record(conn, caller, Event::UserPassword, (user.id, &user.name), json!({}), now)?;
    sessions::renew(conn, caller, now)
}
