//! How far the reading of all blobs has come, and which server does it: one at a time, and another goes on where it died.

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
/// For how long a server has the pass without saying anything of it.
const LEASE: Duration = Duration::from_secs(300);

/// How far a pass over all blobs has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The last blob that was read; 0 at the beginning.
    pub after: BlobId,
    /// Blobs and bytes read in this pass.
    pub blobs: u64,
    pub bytes: u64,
    pub began_at: Option<Timestamp>,
    /// When the pass reached the last blob; `None` while it has not.
    pub finished_at: Option<Timestamp>,
    /// Which server reads, and until when nobody else may.
    server: u64,
    leased_until: Option<Timestamp>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { after: BlobId(0), blobs: 0, bytes: 0, began_at: None, finished_at: None, server: 0, leased_until: None }
    }
}

/// How far it has come.
///
/// # Errors
/// The database's.
pub fn progress(conn: &mut PgConnection) -> Result<Progress> {
    let value = settings::get(conn, SCRUB)?;
    value.map_or_else(|| Ok(Progress::default()), |value| serde_json::from_value(value).map_err(Error::internal))
}

/// Takes the pass for a server: the one under way, or a new one when the last began longer ago than `every`, or when
/// `now_please`. `None` when another server has it, or nothing is due.
///
/// # Errors
/// The database's.
pub fn lease(
    conn: &mut PgConnection,
    server: u64,
    (every, now_please): (Duration, bool),
    now: Timestamp,
) -> Result<Option<Progress>> {
    settings::get_or_set(conn, SCRUB, &json!(Progress::default()))?;
    settings::lock(conn, SCRUB)?;
    let mut progress = progress(conn)?;
    // A time that lies further ahead than a lease can was written by a clock that was wrong.
    let leased = progress.leased_until.is_some_and(|until| until > now && until <= now.plus(LEASE));
    if leased && progress.server != server {
        return Ok(None);
    }
    if progress.began_at.is_none() || progress.finished_at.is_some() {
        let due = progress.began_at.is_none_or(|began| began > now || began <= now.minus(every));
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

/// Writes down how far a server has come. False when the pass is another server's by now.
///
/// # Errors
/// The database's.
pub fn advance(conn: &mut PgConnection, mut to: Progress, now: Timestamp) -> Result<bool> {
    settings::lock(conn, SCRUB)?;
    if progress(conn)?.server != to.server {
        return Ok(false);
    }
    to.leased_until = if to.finished_at.is_some() { None } else { Some(now.plus(LEASE)) };
    settings::set(conn, SCRUB, &json!(to))?;
    Ok(true)
}
