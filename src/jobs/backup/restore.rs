//! Restoring a backup into an empty instance: blobs first, rows after, so that nothing is visible before everything is
//! there.

use super::folder::Folder;
use super::manifest::{BlobRow, Manifest};
use crate::db;
use crate::db::dump::Import;
use crate::domain::clock::Timestamp;
use crate::domain::digest::Sha256;
use crate::error::Error;
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::operations::integrity;
use crate::registry::operations::settings::{self, STORE_ID};
use crate::storage::{BlobStore, StoreError, StoreId, StorePlace, Stored, TransferError};
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// The most rows, and about how many bytes of them, that one statement inserts.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 4 << 20;

/// A complete backup.
pub struct Restore {
    folder: Folder,
    manifest: Manifest,
    lost: Vec<Sha256>,
}

/// The destination of a restore.
pub struct Target {
    /// The database's URL. It has no owners and no blobs yet.
    pub url: String,
    /// How long to wait for the database.
    pub patience: Duration,
    /// The place for the blobs: absent or empty.
    pub store: StorePlace,
}

impl Restore {
    /// Opens a backup and verifies that it is complete: every table by its digest, every blob by its size. The blobs'
    /// digests are verified when they are copied.
    ///
    /// # Errors
    /// The error says what is missing and what to do.
    pub fn open(directory: &Path) -> Result<Self> {
        let (folder, manifest) = Folder::open_for_restore(directory)?;
        for table in &manifest.tables {
            let found = folder.table_digest(&manifest.database, &table.name)?;
            ensure!(
                found.to_hex() == table.sha256,
                "the rows of {} in the backup are damaged: use another backup",
                table.name
            );
        }
        let lost: Vec<Sha256> = manifest.blobs.lost.iter().map(|hex| hex.parse()).collect::<Result<_, _>>()?;
        let this = Self { folder, manifest, lost };
        this.each_blob(|folder, sha256, size, _| {
            ensure!(
                folder.has_blob(&sha256, size, false)?,
                "the backup is incomplete: {} is missing or cut short; use another backup, or restore that file",
                folder.blob(&sha256).display()
            );
            Ok(())
        })?;
        Ok(this)
    }

    /// The secret key of the backup.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn secret_key(&self) -> Result<[u8; 32]> {
        self.folder.secret_key()
    }

    /// When the backup was made.
    pub fn created_at(&self) -> Timestamp {
        self.manifest.created_at
    }

    /// How many blobs the store had lost when the backup was made.
    pub fn lost(&self) -> usize {
        self.lost.len()
    }

    fn each_blob(
        &self,
        mut each: impl FnMut(&Folder, Sha256, u64, crate::storage::StorageKey) -> Result<()>,
    ) -> Result<()> {
        self.folder.each_line(&self.manifest.database, "blobs", |line| {
            let (sha256, size, key) = BlobRow::parse(line).context("cannot parse a row of the table blobs")?;
            if self.lost.contains(&sha256) { Ok(()) } else { each(&self.folder, sha256, size, key) }
        })
    }

    /// Checks that the database and the store are empty, and creates the schema and the directories.
    ///
    /// # Errors
    /// The error says what prevents the restore.
    pub fn prepare(&self, target: &Target) -> Result<BlobStore> {
        db::migrate_to(&target.url, &self.manifest.schema, target.patience).map_err(Error::explained)?;
        let mut import = Import::begin(&target.url).map_err(Error::explained)?;
        ensure_empty(&mut import)?;
        let expected = import.run(|conn| settings::get(conn, STORE_ID)).map_err(Error::explained)?;
        // Closed again, because copying may take hours.
        drop(import);
        empty_store(target, expected.and_then(|id| id.as_str()?.parse().ok()))
    }

    /// Restores the backup into the database and the store that [`Restore::prepare`] prepared.
    ///
    /// # Errors
    /// A message for people. The database is then as empty as before; blobs may have been copied.
    pub fn run(&self, target: &Target, store: &BlobStore, now: Timestamp) -> Result<()> {
        self.each_blob(|folder, sha256, size, key| {
            let path = folder.blob(&sha256);
            let copied = File::open(&path).map_err(TransferError::Elsewhere);
            let copied = copied.and_then(|mut file| store.import(&Stored::whole(key, sha256, size), &mut file));
            copied.map_err(|error| match error {
                TransferError::Store(StoreError::Damaged(_)) => {
                    anyhow::anyhow!("{} is damaged: its SHA-256 does not match; use another backup", path.display())
                }
                other => anyhow::Error::new(other).context(format!("cannot copy {} into the store", path.display())),
            })
        })?;
        self.load(target, store)?;
        db::migrate(&target.url, target.patience).map_err(Error::explained)?;
        let mut record = Import::begin(&target.url).map_err(Error::explained)?;
        let detail = json!({"backup": self.manifest.created_at});
        let subject = Subject { owner: None, text: String::new(), detail };
        record
            .run(|conn| audit::record(conn, &Caller::command_line(), Event::InstanceRestore, &subject, now))
            .and_then(|()| record.commit())
            .map_err(Error::explained)
    }

    /// Inserts all rows in one transaction.
    fn load(&self, target: &Target, store: &BlobStore) -> Result<()> {
        let mut import = Import::begin(&target.url).map_err(Error::explained)?;
        let names = || self.manifest.tables.iter().map(|table| table.name.as_str());
        import.lock(names()).map_err(Error::explained)?;
        ensure_empty(&mut import)?;
        import.empty(names()).map_err(Error::explained)?;
        for table in &self.manifest.tables {
            let (mut lines, mut bytes, mut rows) = (Vec::new(), 0, 0);
            let mut put = |lines: &mut Vec<String>| {
                let put = import.insert(&table.name, lines).map_err(Error::explained);
                lines.clear();
                put.with_context(|| format!("cannot restore the rows of {}", table.name))
            };
            self.folder.each_line(&self.manifest.database, &table.name, |line| {
                (rows, bytes) = (rows + 1, bytes + line.len());
                lines.push(line.to_owned());
                if lines.len() < BATCH && bytes < BATCH_BYTES {
                    return Ok(());
                }
                bytes = 0;
                put(&mut lines)
            })?;
            put(&mut lines)?;
            ensure!(rows == table.rows, "the backup has {rows} rows of {} and should have {}", table.name, table.rows);
        }
        for counter in &self.manifest.counters {
            import.set_counter(counter).map_err(Error::explained)?;
        }
        // This is not the store that was backed up, which may still exist.
        let id = json!(store.id().to_string());
        import.run(|conn| settings::set(conn, STORE_ID, &id)).map_err(Error::explained)?;
        import.commit().map_err(Error::explained)
    }
}

fn ensure_empty(import: &mut Import) -> Result<()> {
    let totals = import.run(integrity::totals).map_err(Error::explained)?;
    if totals.owners > 0 || totals.blobs > 0 {
        bail!(
            "the database is not empty (owners: {}, files: {}, blobs: {}): a backup is restored into a new instance \
             only; use an empty data_dir, and with an external Postgres an empty database as database.url",
            totals.owners,
            totals.files,
            totals.blobs
        );
    }
    Ok(())
}

fn empty_store(target: &Target, expected: Option<StoreId>) -> Result<BlobStore> {
    let shown = &target.store;
    let opened = BlobStore::open(&target.store, expected.is_none(), expected);
    let store = opened.with_context(|| format!("cannot use the store {shown}"))?;
    if store.walk()?.next().is_some() {
        bail!(
            "the store {shown} is not empty: a backup is restored into a new instance only; use an empty place, \
             or empty this one if it has the leftovers of an interrupted restore"
        );
    }
    Ok(store)
}
