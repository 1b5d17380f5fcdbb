//! Webhooks that need attention, for the administration.

use crate::domain::names::OwnerName;
use crate::domain::role::{Level, OwnerKind};
use crate::error::Result;
use crate::registry::caller::Caller;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, SmallInt, Text};

/// An owner with failing webhooks.
#[derive(Debug, Clone, QueryableByName)]
pub struct FailingHooks {
    #[diesel(sql_type = Text)]
    pub owner: OwnerName,
    #[diesel(sql_type = SmallInt)]
    pub kind: OwnerKind,
    /// How many of the owner's webhooks fail.
    #[diesel(sql_type = BigInt)]
    pub hooks: i64,
}

/// The owners of active webhooks whose last delivery failed or is being retried, those with the most first.
///
/// # Errors
/// As [`Caller::demand_admin`]; database errors.
pub fn list(conn: &mut PgConnection, caller: &Caller, limit: i64) -> Result<Vec<FailingHooks>> {
    caller.demand_admin(Level::Read)?;
    Ok(diesel::sql_query(
        "SELECT o.name AS owner, o.kind, count(*) AS hooks FROM hooks h JOIN owners o ON o.id = h.owner_id \
         WHERE h.active AND (EXISTS (SELECT FROM hook_deliveries d WHERE d.hook_id = h.id AND d.state = 0 \
             AND d.attempts > 0) \
           OR (SELECT d.state FROM hook_deliveries d WHERE d.hook_id = h.id ORDER BY d.id DESC LIMIT 1) = 2) \
         GROUP BY o.id ORDER BY hooks DESC, o.lower_name LIMIT $1",
    )
    .bind::<BigInt, _>(limit)
    .load(conn)?)
}
