//! The kinds of mail that a user turned off.

use crate::db::schema::users;
use crate::domain::clock::Timestamp;
use crate::domain::mail::MailKind;
use crate::error::Result;
use crate::registry::access::CanChangeOwn;
use crate::registry::audit::{self, Event};
use crate::registry::caller::Caller;
use diesel::prelude::*;
use serde_json::json;

/// The kinds of mail that the signed-in user turned off.
///
/// # Errors
/// [`crate::error::Error::Unauthenticated`].
pub fn get(conn: &mut PgConnection, caller: &Caller) -> Result<Vec<MailKind>> {
    let user = caller.signed_in()?.id;
    let numbers: Vec<i16> = users::table.find(user).select(users::muted_mails).first(conn)?;
    Ok(numbers.into_iter().filter_map(|number| MailKind::from_number(number).ok()).collect())
}

/// Sets which kinds of mail a user doesn't get. Kinds that nobody may turn off are left out.
///
/// # Errors
/// Database errors.
pub fn set(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanChangeOwn,
    muted: &[MailKind],
    now: Timestamp,
) -> Result<()> {
    let user = right.user();
    let numbers: Vec<i16> =
        muted.iter().filter(|kind| MailKind::OPTIONAL.contains(kind)).map(|kind| kind.number()).collect();
    diesel::update(users::table.find(user.id)).set(users::muted_mails.eq(numbers)).execute(conn)?;
    let detail = json!({"changed": ["notifications"]});
    audit::record_owner(conn, caller, Event::UserUpdate, (user.id, &user.name), detail, now)
}
