//! Mail that could not be sent or is still to be sent, for the administration.

use crate::db::schema::{mails, owners};
use crate::domain::clock::Timestamp;
use crate::domain::ids::MailId;
use crate::domain::mail::MailKind;
use crate::domain::names::OwnerName;
use crate::domain::role::Level;
use crate::error::Result;
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::pages::{Page, Slice};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde_json::json;

/// A mail that was not sent yet. It has no secret.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = mails)]
pub struct QueuedMail {
    pub id: MailId,
    pub kind: MailKind,
    #[diesel(select_expression = owners::name)]
    pub user: OwnerName,
    pub recipient: String,
    pub created_at: Timestamp,
    /// `None`: it was given up.
    pub next_attempt_at: Option<Timestamp>,
    pub attempts: i32,
    /// Why the last attempt failed; empty before the first.
    pub error: String,
}

/// How much mail was not sent yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub struct Queued {
    #[diesel(sql_type = BigInt)]
    pub waiting: i64,
    /// What was given up.
    #[diesel(sql_type = BigInt)]
    pub failed: i64,
}

/// Counts mail that was not sent yet.
///
/// # Errors
/// Database errors.
pub fn count(conn: &mut PgConnection) -> Result<Queued> {
    Ok(diesel::sql_query(
        "SELECT count(next_attempt_at) AS waiting, count(*) - count(next_attempt_at) AS failed FROM mails",
    )
    .get_result(conn)?)
}

/// Mail that was not sent yet: what was given up first, then what waits, the newest first.
///
/// # Errors
/// As [`Caller::demand_admin`]; database errors.
pub fn list(conn: &mut PgConnection, caller: &Caller, slice: Slice) -> Result<Page<QueuedMail>> {
    caller.demand_admin(Level::Read)?;
    let total = mails::table.count().get_result(conn)?;
    let rows = mails::table
        .inner_join(owners::table.on(owners::id.eq(mails::user_id)))
        .order((mails::next_attempt_at.is_not_null().asc(), mails::id.desc()))
        .offset(slice.offset)
        .limit(slice.limit);
    Ok(Page { items: rows.select(QueuedMail::as_select()).load(conn)?, total })
}

/// Deletes the mail that was given up, and returns how many there were.
///
/// # Errors
/// As [`Caller::demand_admin`]; database errors.
pub fn dismiss(conn: &mut PgConnection, caller: &Caller, now: Timestamp) -> Result<usize> {
    caller.demand_admin(Level::Write)?;
    let deleted = diesel::delete(mails::table.filter(mails::next_attempt_at.is_null())).execute(conn)?;
    let subject = Subject { owner: None, text: "failed mail".to_owned(), detail: json!({"deleted": deleted}) };
    audit::record(conn, caller, Event::MailDismiss, &subject, now)?;
    Ok(deleted)
}
