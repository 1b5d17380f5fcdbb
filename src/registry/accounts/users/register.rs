//! Registration: accounts that people create for themselves, where a setting allows it.

use super::user::{NewUser, insert};
use crate::db::schema::users;
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::{Email, OwnerName};
use crate::domain::role::Visibility;
use crate::domain::secret::MasterKey;
use crate::error::{Error, Result, What};
use crate::registry::access::CanAdminister;
use crate::registry::accounts::email_confirmation;
use crate::registry::audit::{self, Event};
use crate::registry::caller::Caller;
use crate::registry::mail;
use diesel::prelude::*;
use serde_json::json;

/// The fields of a registration. The password is already hashed.
#[derive(Debug, Clone)]
pub struct Registration {
    pub name: OwnerName,
    pub email: Email,
    pub password_hash: String,
    /// Whether the account is inactive until an administrator approves it.
    pub needs_approval: bool,
}

/// Creates an account for a stranger. The email address is unverified and the answer says nothing about it: it may
/// belong to another user. Nobody can sign in with it until an administrator confirms it or, with mail, its reader
/// follows the link that is sent there.
///
/// # Errors
/// [`Error::Conflict`] for a name that is taken; [`Error::Invalid`] for a reserved one.
pub fn register(
    conn: &mut PgConnection,
    caller: &Caller,
    (new, key): (&Registration, &MasterKey),
    now: Timestamp,
) -> Result<(OwnerId, i32)> {
    let user = NewUser {
        name: new.name.clone(),
        full_name: String::new(),
        email: new.email.clone(),
        password_hash: Some(new.password_hash.clone()),
        visibility: Visibility::Public,
        is_admin: false,
        must_change_password: false,
    };
    let id = insert(conn, &user, None, !new.needs_approval, now)?;
    let detail = json!({"needs_approval": new.needs_approval});
    audit::record_owner(conn, caller, Event::UserRegister, (id, &new.name), detail, now)?;
    email_confirmation::welcome(conn, key, (id, &new.email), now)?;
    Ok((id, users::table.find(id).select(users::auth_epoch).first(conn)?))
}

/// Approves a user who is waiting, and confirms their email address if nobody else signs in with it. If mail is on,
/// only a link confirms an address: the administrator approves the account, and knows nothing of the address.
///
/// # Errors
/// [`Error::Blocked`] for a user who is active already.
pub fn approve(conn: &mut PgConnection, caller: &Caller, right: &CanAdminister, now: Timestamp) -> Result<()> {
    let user = right.user();
    let (active, email, confirmed): (bool, String, Option<String>) = users::table
        .find(user.id)
        .select((users::is_active, users::email, users::lower_email))
        .for_no_key_update()
        .first(conn)
        .optional()?
        .ok_or(Error::NotFound(What::User))?;
    if active {
        return Err(Error::Blocked(format!("the account {} is already active", user.name)));
    }
    let lower = email.to_lowercase();
    let others = users::table.filter(users::lower_email.eq(&lower)).filter(users::id.ne(user.id));
    let taken: bool = diesel::select(diesel::dsl::exists(others)).get_result(conn)?;
    let by_link = mail::is_enabled(conn)?;
    let confirmed = confirmed.or_else(|| Some(lower).filter(|_| !taken && !by_link));
    diesel::update(users::table.find(user.id))
        .set((
            users::is_active.eq(true),
            users::lower_email.eq(&confirmed),
            users::auth_epoch.eq(users::auth_epoch + 1),
        ))
        .execute(conn)?;
    let detail = json!({"email_confirmed": confirmed.is_some()});
    audit::record_owner(conn, caller, Event::UserApprove, (user.id, &user.name), detail, now)
}
