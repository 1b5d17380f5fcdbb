//! Users: people and machines that sign in.

use super::audit::{self, Event, Subject};
use super::caller::Caller;
use super::owners::{self, NewOwner};
use crate::db::schema::{owners as owners_table, users};
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::{Email, OwnerName};
use crate::domain::role::{OwnerKind, Visibility};
use crate::error::{Error, Result, What};
use diesel::prelude::*;
use serde_json::json;

/// A user, as he and administrators may see him.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct User {
    pub id: OwnerId,
    #[diesel(select_expression = owners_table::name)]
    pub name: OwnerName,
    #[diesel(select_expression = owners_table::full_name)]
    pub full_name: String,
    pub email: String,
    #[diesel(select_expression = owners_table::visibility)]
    pub visibility: Visibility,
    pub is_admin: bool,
    pub is_active: bool,
    pub is_locked: bool,
    #[diesel(select_expression = owners_table::created_at)]
    pub created_at: Timestamp,
    pub last_login_at: Option<Timestamp>,
}

/// What is said of a user when he is made. The password is hashed already: that takes time and memory, and has no
/// place in a transaction.
#[derive(Debug, Clone)]
pub struct NewUser {
    pub name: OwnerName,
    pub full_name: String,
    pub email: Email,
    pub password_hash: Option<String>,
    pub visibility: Visibility,
    pub is_admin: bool,
    pub must_change_password: bool,
}

/// What is needed to judge a sign-in by password.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct Login {
    pub id: OwnerId,
    pub password_hash: Option<String>,
    pub auth_epoch: i32,
    pub is_active: bool,
    pub is_locked: bool,
}

/// Makes a user.
///
/// # Errors
/// [`Error::Conflict`] for a name that is taken; [`Error::Invalid`] for an e-mail address or a reserved name.
pub fn create(conn: &mut PgConnection, caller: &Caller, new: &NewUser, now: Timestamp) -> Result<OwnerId> {
    let owner = NewOwner {
        kind: OwnerKind::User,
        name: &new.name,
        full_name: &new.full_name,
        description: "",
        visibility: new.visibility,
    };
    let id = owners::insert(conn, &owner, now)?;
    let inserted = diesel::insert_into(users::table)
        .values((
            users::id.eq(id),
            users::email.eq(new.email.as_str()),
            users::lower_email.eq(new.email.lower()),
            users::password_hash.eq(&new.password_hash),
            users::is_admin.eq(new.is_admin),
            users::must_change_password.eq(new.must_change_password),
        ))
        .on_conflict(users::lower_email)
        .do_nothing()
        .execute(conn)?;
    if inserted == 0 {
        return Err(Error::invalid("email", format!("the e-mail address {} is taken", new.email)));
    }
    let detail = json!({"is_admin": new.is_admin, "visibility": new.visibility.as_str()});
    let subject = Subject { owner: Some((id, &new.name)), text: new.name.to_string(), detail };
    audit::record(conn, caller, Event::UserCreate, &subject, now)?;
    Ok(id)
}

/// Whether there is any user at all; none means a first start.
///
/// # Errors
/// The database's.
pub fn any(conn: &mut PgConnection) -> Result<bool> {
    Ok(diesel::select(diesel::dsl::exists(users::table.select(users::id))).get_result(conn)?)
}

/// Takes turns with other servers that start at the same moment, until the end of the transaction, so that only one
/// makes the first administrator.
///
/// # Errors
/// The database's.
pub fn lock_first(conn: &mut PgConnection) -> Result<()> {
    diesel::sql_query("SELECT pg_advisory_xact_lock(hashtextextended('first administrator', 0))").execute(conn)?;
    Ok(())
}

/// The user of this name.
///
/// # Errors
/// The database's.
pub fn find(conn: &mut PgConnection, name: &OwnerName) -> Result<Option<User>> {
    Ok(users::table
        .inner_join(owners_table::table)
        .filter(owners_table::lower_name.eq(name.lower()))
        .select(User::as_select())
        .first(conn)
        .optional()?)
}

/// All users, by name.
///
/// # Errors
/// The database's.
pub fn all(conn: &mut PgConnection) -> Result<Vec<User>> {
    Ok(users::table
        .inner_join(owners_table::table)
        .order(owners_table::lower_name)
        .select(User::as_select())
        .load(conn)?)
}

/// What is needed to judge a sign-in with this text as name or e-mail address, whatever it is.
///
/// # Errors
/// The database's.
pub fn find_login(conn: &mut PgConnection, login: &str) -> Result<Option<Login>> {
    let query = users::table.inner_join(owners_table::table).select(Login::as_select()).into_boxed();
    // What is neither is nobody's, and some of it (a NUL, kilobytes) the database would not even take.
    let query = if let Ok(name) = login.parse::<OwnerName>() {
        query.filter(owners_table::lower_name.eq(name.lower()))
    } else if let Ok(email) = login.parse::<Email>() {
        query.filter(users::lower_email.eq(email.lower()))
    } else {
        return Ok(None);
    };
    Ok(query.first(conn).optional()?)
}

/// Notes that a user signed in with his password.
///
/// # Errors
/// The database's.
pub fn note_login(conn: &mut PgConnection, user: OwnerId, now: Timestamp) -> Result<()> {
    diesel::update(users::table.find(user)).set(users::last_login_at.eq(now)).execute(conn)?;
    Ok(())
}

/// Sets a password and ends every session and remembered login.
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
        ))
        .execute(conn)?;
    record(conn, caller, Event::UserPassword, &user, now)
}

/// Locks a user out of everything, or lets him in again. Either ends every session and remembered login.
///
/// # Errors
/// [`Error::NotFound`].
pub fn set_locked(
    conn: &mut PgConnection,
    caller: &Caller,
    name: &OwnerName,
    locked: bool,
    now: Timestamp,
) -> Result<()> {
    let user = find(conn, name)?.ok_or(Error::NotFound(What::User))?;
    diesel::update(users::table.find(user.id))
        .set((users::is_locked.eq(locked), users::auth_epoch.eq(users::auth_epoch + 1)))
        .execute(conn)?;
    record(conn, caller, if locked { Event::UserLock } else { Event::UserUnlock }, &user, now)
}

fn record(conn: &mut PgConnection, caller: &Caller, event: Event, user: &User, now: Timestamp) -> Result<()> {
    let subject = Subject { owner: Some((user.id, &user.name)), text: user.name.to_string(), detail: json!({}) };
    audit::record(conn, caller, event, &subject, now)
}
