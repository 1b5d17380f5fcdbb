//! Backup and restore. A backup writes the database first, in one snapshot, and then every blob that the snapshot
//! names, each verified by its SHA-256.
//!
//! Every blob that the snapshot names stays in the store until it is copied, because sweeps, including those of the
//! database's other servers, are blocked before the snapshot is taken. The manifest comes last: without it there is no
//! backup, and an interrupted backup leaves the previous one unchanged.

mod folder;
mod manifest;
mod restore;

pub use restore::{Restore, Target};

use crate::db::dump::Export;
use crate::domain::clock::Timestamp;
use crate::domain::digest::Sha256;
use crate::error::Error;
use crate::registry::operations::integrity;
use crate::registry::packages::cleanup;
use crate::storage::{BlobStore, StorageKey, StoreError, Stored, TransferError};
use anyhow::{Context, Result};
use folder::Folder;
use manifest::{BlobRow, Blobs, FORMAT, Manifest, Table};
use std::path::Path;

/// The source of a backup.
pub struct Source {
    /// The database's URL.
    pub url: String,
    /// The store that belongs to it.
    pub store: BlobStore,
    /// The secret key of the data directory.
    pub secret_key: [u8; 32],
}

/// The result of a backup.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Rows in all tables.
    pub rows: u64,
    /// Blobs that belong to the backup, and their bytes.
    pub blobs: u64,
    pub bytes: u64,
    /// The blobs that were copied this time, and their bytes.
    pub copied: u64,
    pub copied_bytes: u64,
    /// SHA-256 of blobs that the store has lost and that the backup therefore lacks too.
    pub lost: Vec<String>,
}

/// Makes a backup in a directory that is new, empty, or has an earlier backup of the same instance. Blobs that are
/// there already are not copied again; with `verify` they are read and compared.
///
/// # Errors
/// The error names the file that cannot be read or written.
pub fn make(source: &Source, directory: &Path, verify: bool, now: Timestamp) -> Result<Summary> {
    let folder = Folder::open_for_backup(directory, source.store.id())?;
    folder.keep_secret_key(&source.secret_key)?;
    let mut export = Export::open(&source.url).map_err(Error::explained)?;
    export.run(cleanup::hold_off_sweeps).map_err(Error::explained)?;
    let mut manifest = dump(&folder, &mut export, now)?;
    let mut summary = Summary { rows: manifest.tables.iter().map(|table| table.rows).sum(), ..Summary::default() };
    folder.each_line(&manifest.database, "blobs", |line| {
        let blob = BlobRow::parse(line).context("cannot parse a row of the table blobs")?;
        copy(&folder, source, &mut export, blob, verify, &mut summary)
    })?;
    folder.sync_blobs()?;
    manifest.blobs = Blobs { count: summary.blobs, bytes: summary.bytes, lost: summary.lost.clone() };
    folder.complete(&manifest)?;
    Ok(summary)
}

/// Writes all rows in one snapshot.
fn dump(folder: &Folder, export: &mut Export, now: Timestamp) -> Result<Manifest> {
    let database = folder.new_database(now)?;
    export.begin().map_err(Error::explained)?;
    let (schema, names) = (export.schema().map_err(Error::explained)?, export.tables().map_err(Error::explained)?);
    let mut tables = Vec::new();
    for name in names {
        let mut file = folder.new_table(&database, &name)?;
        let rows = export.rows(&name, |line| file.line(line)).map_err(Error::explained);
        let rows = rows.with_context(|| format!("cannot write the table {name}"))?;
        tables.push(Table { rows, sha256: file.finish()?.to_hex(), name });
    }
    let counters = export.counters().map_err(Error::explained)?;
    export.end().map_err(Error::explained)?;
    folder.sync_database(&database)?;
    Ok(Manifest {
        format: FORMAT,
        packhouse: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: now,
        schema,
        database,
        tables,
        counters,
        blobs: Blobs::default(),
    })
}

fn copy(
    folder: &Folder,
    source: &Source,
    export: &mut Export,
    (sha256, size, key): (Sha256, u64, StorageKey),
    verify: bool,
    summary: &mut Summary,
) -> Result<()> {
    summary.blobs += 1;
    summary.bytes += size;
    if folder.has_blob(&sha256, size, verify)? {
        return Ok(());
    }
    let mut copied = folder.take_blob(&source.store, &Stored::whole(key, sha256, size));
    if is_lost(&copied) {
        // Somebody may have uploaded the same bytes since, and the row now points at the new copy.
        let now = export.run(|conn| integrity::key_of(conn, &sha256)).map_err(Error::explained)?;
        if let Some(now) = now.and_then(|now| now.parse().ok()).filter(|now| *now != key) {
            copied = folder.take_blob(&source.store, &Stored::whole(now, sha256, size));
        }
    }
    if is_lost(&copied) {
        summary.blobs -= 1;
        summary.bytes -= size;
        summary.lost.push(sha256.to_hex());
        return Ok(());
    }
    copied.with_context(|| format!("cannot copy the blob {sha256} into {}", folder.path().display()))?;
    summary.copied += 1;
    summary.copied_bytes += size;
    Ok(())
}

fn is_lost(copied: &Result<(), TransferError>) -> bool {
    matches!(copied, Err(TransferError::Store(StoreError::Missing(_) | StoreError::Damaged(_))))
}
