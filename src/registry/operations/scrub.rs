//! The progress of a scrub over all blobs and the lease of the server that runs it. One server scrubs at a time; if it
//! dies, another one continues.

use super::lease::{self, LEASE};
use super::settings;
use crate::domain::clock::Timestamp;
use crate::domain::ids::BlobId;
use crate::error::{Error, Result};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// The setting that holds the progress.
const SCRUB: &str = "scrub";

/// The progress of a scrub over all blobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The last blob that was read; 0 at the start.
    pub after: BlobId,
    /// Blobs and bytes read in this pass.
    pub blobs: u64,
    pub bytes: u64,
    pub began_at: Option<Timestamp>,
    /// When the pass reached the last blob; `None` while it is running.
    pub finished_at: Option<Timestamp>,
    /// The server that holds the lease, and until when.
    server: u64,
    leased_until: Option<Timestamp>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { after: BlobId(0), blobs: 0, bytes: 0, began_at: None, finished_at: None, server: 0, leased_until: None }
    }
}

/// The progress of the current or last pass.
///
/// # Errors
/// Database errors.
pub fn progress(conn: &mut PgConnection) -> Result<Progress> {
    let value = settings::get(conn, SCRUB)?;
    value.map_or_else(|| Ok(Progress::default()), |value| serde_json::from_value(value).map_err(Error::internal))
}

/// Leases the pass to a server: the running pass, or a new one if the last started longer ago than `every`, or if
/// `now_please`. `None` when another server holds the lease, or nothing is due.
///
/// # Errors
/// Database errors.
pub fn take(
    conn: &mut PgConnection,
    server: u64,
    (every, now_please): (Duration, bool),
    now: Timestamp,
) -> Result<Option<Progress>> {
    settings::get_or_set(conn, SCRUB, &json!(Progress::default()))?;
    settings::lock(conn, SCRUB)?;
    let mut progress = progress(conn)?;
    if progress.server != server && lease::is_held(conn, (progress.server, progress.leased_until), now)? {
        return Ok(None);
    }
    if progress.began_at.is_none() || progress.finished_at.is_some() {
        let due = progress.began_at.is_none_or(|began| lease::is_due(began, every, now));
        if !due && !now_please {
            return Ok(None);
        }
        progress = Progress { began_at: Some(now), ..Progress::default() };
    }
    progress.server = server;
    progress.leased_until = Some(now.plus(LEASE));
    settings::set(conn, SCRUB, &json!(progress))?;
    Ok(Some(progress))
}

/// Records a server's progress. False when another server holds the lease by now.
///
/// # Errors
/// Database errors.
pub fn advance(conn: &mut PgConnection, mut to: Progress, now: Timestamp) -> Result<bool> {
    settings::lock(conn, SCRUB)?;
    if progress(conn)?.server != to.server {
        return Ok(false);
    }
    to.leased_until = if to.finished_at.is_some() { None } else { Some(now.plus(LEASE)) };
    settings::set(conn, SCRUB, &json!(to))?;
    Ok(true)
}
