//! The servers that run on this database, as they last said themselves.

use crate::db::schema::servers;
use crate::domain::clock::Timestamp;
use crate::domain::role::Level;
use crate::error::Result;
use crate::registry::caller::Caller;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEntry {
    pub id: i64,
    /// The version of Packhouse.
    pub version: String,
    /// The address that it listens on.
    pub address: String,
    /// When it started, by the clock of the database.
    pub started_at: Timestamp,
    /// When it last said that it runs.
    pub seen_at: Timestamp,
    /// Whether it said so within the last 15 seconds: it says so at least every 5.
    pub is_live: bool,
    /// Whether it answers downloads from memory now.
    pub remembers: bool,
}

/// How long after its last sign of life a server counts as dead: three of its signs are missing.
const DEAD_AFTER: &str = "interval '15 s'";

/// Whether a server has stopped or died. The ids of servers have 32 bits; a command, whose id is longer, is never in the
/// list, and nobody knows whether it runs.
///
/// # Errors
/// Database errors.
pub(super) fn has_ended(conn: &mut PgConnection, server: u64) -> Result<bool> {
    let Ok(id) = u32::try_from(server) else { return Ok(false) };
    let live = sql::<Bool>(&format!("seen_at >= clock_timestamp() - {DEAD_AFTER}"));
    let row = servers::table.find(i64::from(id)).filter(live);
    Ok(!diesel::select(diesel::dsl::exists(row)).get_result::<bool>(conn)?)
}

/// The condition in SQL that the server whose id is in a column has stopped or died; false for null.
pub(in crate::registry) fn ended(column: &str) -> String {
    let live = format!("SELECT id FROM servers WHERE seen_at >= clock_timestamp() - {DEAD_AFTER}");
    format!("coalesce({column} NOT IN ({live}), false)")
}

/// All servers that ran within the last day and did not stop regularly, the oldest first.
///
/// # Errors
/// As [`Caller::demand_admin`].
pub fn list(conn: &mut PgConnection, caller: &Caller) -> Result<Vec<ServerEntry>> {
    caller.demand_admin(Level::Read)?;
    type ServerRow = (i64, String, String, Timestamp, Timestamp, bool, bool);
    let rows: Vec<ServerRow> = servers::table
        .order((servers::started_at, servers::id))
        .select((
            servers::id,
            servers::version,
            servers::address,
            servers::started_at,
            servers::seen_at,
            sql::<Bool>(&format!("seen_at >= clock_timestamp() - {DEAD_AFTER}")),
            sql::<Bool>("coalesce(lease_until > clock_timestamp(), false)"),
        ))
        .load(conn)?;
    let entry = |(id, version, address, started_at, seen_at, is_live, remembers): ServerRow| ServerEntry {
        id,
        version,
        address,
        started_at,
        seen_at,
        is_live,
        remembers,
    };
    Ok(rows.into_iter().map(entry).collect())
}
