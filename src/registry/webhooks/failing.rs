//! Webhooks that fail: the list for the administration, and turning them off after a week.

use super::host;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{HookId, OwnerId};
use crate::domain::mail::Facts;
use crate::domain::names::OwnerName;
use crate::domain::role::{Level, OwnerKind};
use crate::domain::webhook::HookUrl;
use crate::error::Result;
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::mail::{self, Readers};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, SmallInt, Text, Timestamptz};
use serde_json::json;
use std::time::Duration;

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

/// How long a webhook must have failed before it is turned off.
const FAILS_FOR: Duration = Duration::from_secs(7 * 86_400);

#[derive(QueryableByName)]
struct TurnedOff {
    #[diesel(sql_type = BigInt)]
    owner_id: OwnerId,
    #[diesel(sql_type = Text)]
    owner: OwnerName,
    #[diesel(sql_type = Text)]
    url: HookUrl,
}

/// Turns off a webhook that nothing was delivered to for [`FAILS_FOR`], and tells its owner. Without mail nobody would
/// learn of it, so it stays on.
///
/// # Errors
/// Database errors.
pub(super) fn turn_off(conn: &mut PgConnection, hook: HookId, error: &str, now: Timestamp) -> Result<()> {
    if !mail::is_enabled(conn)? {
        return Ok(());
    }
    let off: Option<TurnedOff> = diesel::sql_query(
        "UPDATE hooks h SET active = false, updated_at = $2 FROM owners o WHERE o.id = h.owner_id AND h.id = $1 AND h.active \
         AND EXISTS (SELECT FROM hook_attempts a JOIN hook_deliveries d ON d.id = a.delivery_id \
           WHERE d.hook_id = h.id AND NOT d.is_test AND a.at <= $3 \
           AND (a.status IS NULL OR a.status NOT BETWEEN 200 AND 299) \
           AND NOT EXISTS (SELECT FROM hook_attempts b JOIN hook_deliveries e ON e.id = b.delivery_id \
             WHERE e.hook_id = h.id AND b.status BETWEEN 200 AND 299 AND b.at > a.at)) \
         RETURNING h.owner_id, o.name AS owner, h.url",
    )
    .bind::<BigInt, _>(hook)
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(now.minus(FAILS_FOR))
    .get_result(conn)
    .optional()?;
    let Some(TurnedOff { owner_id, owner, url }) = off else { return Ok(()) };
    let host = host(&url).to_owned();
    let detail = json!({"changed": ["active"], "active": false, "reason": "it failed for a week"});
    let subject = Subject { owner: Some((owner_id, &owner)), text: format!("{hook} {host}"), detail };
    audit::record(conn, &Caller::system(), Event::HookUpdate, &subject, now)?;
    let facts = Facts::HookOff { owner: owner.to_string(), host, reason: error.to_owned() };
    mail::enqueue(conn, Readers::Owner(owner_id), &facts, now)
}
