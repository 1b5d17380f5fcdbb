//! The manifest of a backup.

use crate::db::dump::Counter;
use crate::domain::clock::Timestamp;
use crate::domain::digest::Sha256;
use crate::storage::StorageKey;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// The version of the layout, for future readers.
pub(super) const FORMAT: u32 = 1;

/// The contents of a complete backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    /// The version of the program that made it.
    pub(super) packhouse: String,
    pub(super) created_at: Timestamp,
    /// The migrations that created the schema of its rows.
    pub(super) schema: Vec<String>,
    /// The directory of its rows.
    pub(super) database: String,
    /// In the order in which they can be loaded.
    pub(super) tables: Vec<Table>,
    pub(super) counters: Vec<Counter>,
    pub(super) blobs: Blobs,
}

/// The rows of one table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) rows: u64,
    /// The SHA-256 of the table's file.
    pub(super) sha256: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Blobs {
    pub(super) count: u64,
    pub(super) bytes: u64,
    /// SHA-256 of blobs that the store itself had lost.
    pub(super) lost: Vec<String>,
}

/// The columns of a blob's row that a backup needs.
#[derive(Debug, Deserialize)]
pub(super) struct BlobRow {
    /// In Postgres's format for bytes: `\x` and hexadecimal digits.
    pub(super) sha256: String,
    pub(super) size: u64,
    pub(super) storage_key: String,
}

impl BlobRow {
    pub(super) fn parse(line: &str) -> Result<(Sha256, u64, StorageKey)> {
        let row: Self = serde_json::from_str(line)?;
        let sha256 = row.sha256.strip_prefix("\\x").unwrap_or_default().parse()?;
        Ok((sha256, row.size, row.storage_key.parse()?))
    }
}
