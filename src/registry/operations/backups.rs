//! The last backup, as `packhouse backup` records it.

use super::settings;
use crate::domain::clock::Timestamp;
use crate::error::{Error, Result};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The setting that holds the last backup.
const LAST_BACKUP: &str = "last_backup";

/// A backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastBackup {
    /// The moment whose state it has.
    pub at: Timestamp,
    /// The blobs it has, and their bytes.
    pub blobs: u64,
    pub bytes: u64,
    /// The blobs that it lacks because the store has lost them.
    pub lost: u64,
}

/// Records a complete backup.
///
/// # Errors
/// Database errors.
pub fn note(conn: &mut PgConnection, made: LastBackup) -> Result<()> {
    settings::set(conn, LAST_BACKUP, &json!(made))
}

/// The last backup that was recorded.
///
/// # Errors
/// Database errors.
pub fn last(conn: &mut PgConnection) -> Result<Option<LastBackup>> {
    let value = settings::get(conn, LAST_BACKUP)?;
    value.map(|value| serde_json::from_value(value).map_err(Error::internal)).transpose()
}
