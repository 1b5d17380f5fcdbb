//! Access tokens that expire soon, for the administration.

use crate::domain::clock::Timestamp;
use crate::domain::names::OwnerName;
use crate::domain::role::Level;
use crate::error::Result;
use crate::registry::caller::Caller;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz};
use std::time::Duration;

/// How soon a token must expire to be listed.
pub const SOON: Duration = Duration::from_secs(14 * 86_400);

/// A token that expires soon.
#[derive(Debug, Clone, QueryableByName)]
pub struct ExpiringToken {
    /// The user or robot whose token it is.
    #[diesel(sql_type = Text)]
    pub user: OwnerName,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Timestamptz)]
    pub expires_at: Timestamp,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_used_at: Option<Timestamp>,
    /// How many such tokens there are.
    #[diesel(sql_type = BigInt)]
    pub total: i64,
}

/// The tokens that expire within [`SOON`], the first to expire first. Tokens that were never meant to last longer than
/// that are left out: a pipeline may make one every hour.
///
/// # Errors
/// As [`Caller::demand_admin`]; database errors.
pub fn list(conn: &mut PgConnection, caller: &Caller, now: Timestamp, limit: i64) -> Result<Vec<ExpiringToken>> {
    caller.demand_admin(Level::Read)?;
    Ok(diesel::sql_query(
        "SELECT o.name AS user, t.name, t.expires_at, t.last_used_at, count(*) OVER () AS total FROM tokens t \
         JOIN users u ON u.id = t.user_id AND NOT u.is_locked JOIN owners o ON o.id = u.id \
         WHERE t.expires_at > $1 AND t.expires_at <= $2 AND t.expires_at - t.created_at > $2 - $1 \
         ORDER BY t.expires_at, t.id LIMIT $3",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(now.plus(SOON))
    .bind::<BigInt, _>(limit)
    .load(conn)?)
}
