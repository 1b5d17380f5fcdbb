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

/// Whether a server has died without saying so. A server that stopped regularly, and a command, are not in the list.
///
/// # Errors
/// Database errors.
pub(super) fn has_died(conn: &mut PgConnection, server: u64) -> Result<bool> {
    let Ok(id) = i64::try_from(server) else { return Ok(false) };
    let dead = sql::<Bool>(&format!("seen_at < clock_timestamp() - {DEAD_AFTER}"));
    Ok(diesel::select(diesel::dsl::exists(servers::table.find(id).filter(dead))).get_result(conn)?)
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
