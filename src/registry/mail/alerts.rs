//! Notices that no change of a user causes: tokens that expire soon, and for administrators the disk and the backup.

use super::{PATIENCE, Readers, enqueue};
use crate::domain::clock::Timestamp;
use crate::domain::mail::{Facts, MailKind};
use crate::domain::role::Permission;
use crate::error::{Error, Result};
use crate::registry::operations::settings;
use diesel::prelude::*;
use diesel::sql_types::{SmallInt, Timestamptz};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// How long before its end a token's user is told.
pub const BEFORE_EXPIRY: Duration = Duration::from_secs(7 * 86_400);
/// The setting that holds the states that administrators were told about.
const TOLD: &str = "mail_alerts";

/// Tells the users of tokens that expire within [`BEFORE_EXPIRY`], once for each token. Of a robot's token, the owners of
/// its organization are told. Tokens that were never meant to last longer than that are left out: a pipeline may make
/// one every hour.
///
/// # Errors
/// Database errors.
pub fn announce_expiring(conn: &mut PgConnection, now: Timestamp) -> Result<usize> {
    if !super::is_enabled(conn)? {
        return Ok(0);
    }
    Ok(diesel::sql_query(
        "WITH due AS (UPDATE tokens SET expiry_announced = true WHERE expires_at > $1 AND expires_at <= $2 \
           AND NOT expiry_announced AND expires_at - created_at > $2 - $1 RETURNING user_id, name, expires_at) \
         INSERT INTO mails (kind, user_id, recipient, facts, created_at, retry_until, next_attempt_at) \
         SELECT $3, u.id, u.email, jsonb_build_object('about', 'token_expires', 'name', due.name, 'user', o.name, \
           'expires_at', to_char(due.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')), $1, \
           least($4, due.expires_at), $1 \
         FROM due JOIN users t ON t.id = due.user_id JOIN owners o ON o.id = t.id JOIN users u ON u.id = t.id OR u.id IN \
           (SELECT m.user_id FROM team_members m JOIN teams ON teams.id = m.team_id \
            WHERE teams.org_id = t.robot_of AND teams.permission = $5) \
         WHERE u.lower_email IS NOT NULL AND u.is_active AND NOT u.is_locked AND NOT ($3 = ANY (u.muted_mails))",
    )
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(now.plus(BEFORE_EXPIRY))
    .bind::<SmallInt, _>(MailKind::TokenExpires)
    .bind::<Timestamptz, _>(now.plus(PATIENCE))
    .bind::<SmallInt, _>(Permission::Owner)
    .execute(conn)?)
}

/// What administrators were told about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    disk: bool,
    backup: bool,
}

/// Tells administrators what is wrong now, once until it is right again. All servers of the database take turns.
///
/// # Errors
/// Database errors.
pub fn tell_administrators(
    conn: &mut PgConnection,
    disk: Option<Facts>,
    backup: Option<Facts>,
    now: Timestamp,
) -> Result<()> {
    settings::get_or_set(conn, TOLD, &json!(Told::default()))?;
    settings::lock(conn, TOLD)?;
    let told = settings::get(conn, TOLD)?.map_or_else(|| Ok(Told::default()), serde_json::from_value);
    let told: Told = told.map_err(Error::internal)?;
    for (facts, was_told) in [(&disk, told.disk), (&backup, told.backup)] {
        if let Some(facts) = facts.as_ref().filter(|_| !was_told) {
            enqueue(conn, Readers::Administrators, facts, now)?;
        }
    }
    let next = Told { disk: disk.is_some(), backup: backup.is_some() };
    if next != told {
        settings::set(conn, TOLD, &json!(next))?;
    }
    Ok(())
}
