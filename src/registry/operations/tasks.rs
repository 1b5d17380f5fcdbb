//! Background tasks that an administrator starts: the permission check and the audit record. The jobs do the work.

use crate::domain::clock::Timestamp;
use crate::domain::role::Level;
use crate::error::Result;
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use diesel::prelude::*;
use serde_json::json;

/// Records that an administrator started a task.
///
/// # Errors
/// As [`Caller::demand_admin`].
pub fn start(conn: &mut PgConnection, caller: &Caller, name: &str, now: Timestamp) -> Result<()> {
    caller.demand_admin(Level::Write)?;
    audit::record(
        conn,
        caller,
        Event::TaskStart,
        &Subject { owner: None, text: name.to_owned(), detail: json!({}) },
        now,
    )
}
