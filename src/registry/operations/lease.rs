//! Leases of jobs that one server at a time runs for all of them. A lease ends when its server has died, or when it is
//! not renewed, so that another server takes over.

use super::{servers, settings};
use crate::domain::clock::Timestamp;
use crate::error::{Error, Result};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// How long a server keeps a lease without renewing it.
pub(super) const LEASE: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Lease {
    /// When the last run began.
    began_at: Option<Timestamp>,
    /// The server that holds the lease, and until when.
    server: u64,
    leased_until: Option<Timestamp>,
}

/// Leases a job to a server if the last run began longer ago than `every`, or if `now_please`. False when another server
/// holds the lease, or the job is not due.
///
/// # Errors
/// Database errors.
pub fn take(
    conn: &mut PgConnection,
    (job, server): (&str, u64),
    (every, now_please): (Duration, bool),
    now: Timestamp,
) -> Result<bool> {
    let mut lease = lock(conn, job)?;
    let is_leased = is_held(conn, (lease.server, lease.leased_until), now)?;
    // A run that left its lease behind is due again.
    let is_due = lease.began_at.is_none_or(|began| is_due(began, every, now)) || lease.leased_until.is_some();
    if is_leased || !is_due && !now_please {
        return Ok(false);
    }
    lease = Lease { began_at: Some(now), server, leased_until: Some(now.plus(LEASE)) };
    settings::set(conn, job, &json!(lease))?;
    Ok(true)
}

/// Whether something that began then, and is repeated after `every`, is due. A time to come is from a clock that was
/// ahead, unless it differs no more than the clocks of several servers may.
pub(super) fn is_due(began: Timestamp, every: Duration, now: Timestamp) -> bool {
    began > now.latest_end_of(Duration::ZERO) || began <= now.minus(every)
}

/// Whether a server holds a lease that lasts until then: it was renewed, and the server has not ended.
pub(super) fn is_held(
    conn: &mut PgConnection,
    (server, until): (u64, Option<Timestamp>),
    now: Timestamp,
) -> Result<bool> {
    // A later end is from a clock that was ahead.
    let lasts = until.is_some_and(|until| until > now && until <= now.latest_end_of(LEASE));
    Ok(lasts && !servers::has_ended(conn, server)?)
}

/// Renews a server's lease. False when another server has taken over.
///
/// # Errors
/// Database errors.
pub fn renew(conn: &mut PgConnection, (job, server): (&str, u64), now: Timestamp) -> Result<bool> {
    let lease = lock(conn, job)?;
    if lease.server != server {
        return Ok(false);
    }
    settings::set(conn, job, &json!(Lease { leased_until: Some(now.plus(LEASE)), ..lease }))?;
    Ok(true)
}

/// Ends a server's lease: the run is over.
///
/// # Errors
/// Database errors.
pub fn end(conn: &mut PgConnection, (job, server): (&str, u64)) -> Result<()> {
    let lease = lock(conn, job)?;
    if lease.server == server {
        settings::set(conn, job, &json!(Lease { leased_until: None, ..lease }))?;
    }
    Ok(())
}

fn lock(conn: &mut PgConnection, job: &str) -> Result<Lease> {
    settings::get_or_set(conn, job, &json!(Lease::default()))?;
    settings::lock(conn, job)?;
    let value = settings::get(conn, job)?;
    value.map_or_else(|| Ok(Lease::default()), |value| serde_json::from_value(value).map_err(Error::internal))
}
