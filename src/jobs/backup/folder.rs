//! The directory of a backup. Files are written so that a crash leaves whole files or none.
//!
//! ```text
//! packhouse-backup         marks a backup and names its store
//! manifest.json            written last: the contents of the backup
//! secret-key               of the data directory
//! database-<time>/         the rows, one file per table, one line per row
//! blobs/<2 digits>/<sha>   the blobs, under their SHA-256
//! partial/                 files that are being written
//! ```
//!
//! All directories have mode 0700, all files 0600.

use super::manifest::Manifest;
use crate::domain::clock::Timestamp;
use crate::domain::digest::{Sha256, from_hex, to_hex};
use crate::storage::{BlobStore, StoreId, Stored, TransferError};
use anyhow::{Context, Result, bail};
use sha2::Digest;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const MARKER: &str = "packhouse-backup";
/// The marker before it is complete: a crash leaves this, and the next backup starts again.
const MARKER_NEW: &str = "packhouse-backup.new";
const MARKER_LINE: &str = "packhouse backup 1";
const MANIFEST: &str = "manifest.json";
const SECRET_KEY: &str = "secret-key";
const DATABASE: &str = "database-";
const BLOBS: &str = "blobs";
const PARTIAL: &str = "partial";

/// A backup's directory, locked as long as this lives.
pub(super) struct Folder {
    root: PathBuf,
    _lock: File,
}

impl Folder {
    /// Opens a directory to make a backup in: a new one, an empty one, or the directory of an earlier backup of this
    /// store.
    pub(super) fn open_for_backup(root: &Path, store: StoreId) -> Result<Self> {
        make_dir(root)?;
        let shown = root.display();
        let marker = root.join(MARKER);
        if !marker.exists() {
            let strange = fs::read_dir(root).with_context(|| format!("cannot read {shown}"))?.flatten();
            let strange =
                strange.map(|entry| entry.file_name()).find(|name| name != "lost+found" && name != MARKER_NEW);
            if let Some(name) = strange {
                bail!("{shown} is not a backup and not empty (it has {name:?}): use a new or an empty directory");
            }
            let new = root.join(MARKER_NEW);
            if new.exists() {
                fs::remove_file(&new).with_context(|| format!("cannot remove {}", new.display()))?;
            }
            write_new(&new, format!("{MARKER_LINE}\n{store}\n").as_bytes())?;
            fs::rename(&new, &marker).with_context(|| format!("cannot write {}", marker.display()))?;
            sync_dir(root)?;
        }
        let folder = Self::open(root, File::try_lock)?;
        if folder.marker()? != store {
            bail!("{shown} has the backup of another instance: use a new or an empty directory");
        }
        for name in [BLOBS, PARTIAL] {
            make_dir(&root.join(name))?;
        }
        // Remove the leftovers of interrupted backups.
        for entry in fs::read_dir(root.join(PARTIAL))?.flatten() {
            fs::remove_file(entry.path()).with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
        Ok(folder)
    }

    /// Opens a directory to restore from.
    pub(super) fn open_for_restore(root: &Path) -> Result<(Self, Manifest)> {
        let shown = root.display();
        if !root.join(MARKER).exists() {
            bail!("{shown} is not a backup: it has no file {MARKER}");
        }
        let folder = Self::open(root, File::try_lock_shared)?;
        folder.marker()?;
        let text = match fs::read_to_string(root.join(MANIFEST)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
                "the backup in {shown} is not complete: it has no {MANIFEST}, which is written last; run `packhouse \
                 backup {shown}` again until it is done"
            ),
            Err(error) => return Err(error).with_context(|| format!("cannot read {shown}/{MANIFEST}")),
        };
        let format: Format = serde_json::from_str(&text).with_context(|| format!("{shown}/{MANIFEST} is damaged"))?;
        if format.format != super::manifest::FORMAT {
            bail!(
                "{shown} has format {}, and this version of Packhouse knows format {}",
                format.format,
                super::manifest::FORMAT
            );
        }
        let manifest = serde_json::from_str(&text).with_context(|| format!("{shown}/{MANIFEST} is damaged"))?;
        Ok((folder, manifest))
    }

    fn open(root: &Path, lock: impl FnOnce(&File) -> Result<(), TryLockError>) -> Result<Self> {
        let shown = root.display();
        let file = File::open(root.join(MARKER)).with_context(|| format!("cannot open {shown}/{MARKER}"))?;
        match lock(&file) {
            Ok(()) => Ok(Self { root: root.to_owned(), _lock: file }),
            Err(TryLockError::WouldBlock) => bail!("another backup or restore is using {shown}: wait until it ends"),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {shown}/{MARKER}")),
        }
    }

    fn marker(&self) -> Result<StoreId> {
        let path = self.root.join(MARKER);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        match text.split_once('\n') {
            Some((MARKER_LINE, id)) => Ok(id.trim_end().parse()?),
            _ => bail!("this version of Packhouse cannot read {}", path.display()),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.root
    }

    /// Stores the secret key, without which the two-factor seeds could not be decrypted. It never changes.
    pub(super) fn keep_secret_key(&self, key: &[u8; 32]) -> Result<()> {
        let path = self.root.join(SECRET_KEY);
        if !path.exists() {
            return self.write(SECRET_KEY, format!("{}\n", to_hex(key)).as_bytes());
        }
        if self.secret_key()? != *key {
            bail!("{} differs from the data directory's key: use a new directory", path.display());
        }
        Ok(())
    }

    pub(super) fn secret_key(&self) -> Result<[u8; 32]> {
        let path = self.root.join(SECRET_KEY);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        from_hex(text.trim_end()).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Creates a directory for the rows of a new dump and returns its name.
    pub(super) fn new_database(&self, now: Timestamp) -> Result<String> {
        let time = now.to_string().replace(['-', ':'], "");
        let name = format!("{DATABASE}{time}-{:08x}", rand::random::<u32>());
        make_dir(&self.root.join(&name))?;
        Ok(name)
    }

    pub(super) fn new_table(&self, database: &str, table: &str) -> Result<TableFile> {
        let path = self.table(database, table);
        let file = open_new(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(TableFile { file: BufWriter::new(file), hasher: sha2::Sha256::new(), path })
    }

    fn table(&self, database: &str, table: &str) -> PathBuf {
        self.root.join(database).join(format!("{table}.jsonl"))
    }

    pub(super) fn sync_database(&self, database: &str) -> Result<()> {
        sync_dir(&self.root.join(database))
    }

    /// Passes each line of a table to a closure.
    pub(super) fn each_line(
        &self,
        database: &str,
        table: &str,
        mut each: impl FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        let path = self.table(database, table);
        let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for line in BufReader::new(file).lines() {
            each(&line.with_context(|| format!("cannot read {}", path.display()))?)?;
        }
        Ok(())
    }

    /// The SHA-256 of a table's file.
    pub(super) fn table_digest(&self, database: &str, table: &str) -> Result<Sha256> {
        digest(&self.table(database, table))
    }

    pub(super) fn blob(&self, sha256: &Sha256) -> PathBuf {
        let hex = sha256.to_hex();
        self.root.join(BLOBS).join(hex.get(..2).unwrap_or_default()).join(hex)
    }

    /// Whether the backup has a blob, by its size and, if requested, by its bytes. A half-written blob never has its
    /// final name.
    pub(super) fn has_blob(&self, sha256: &Sha256, size: u64, verify: bool) -> Result<bool> {
        let path = self.blob(sha256);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_file() && meta.len() == size => Ok(!verify || digest(&path)? == *sha256),
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Copies a blob from the store and verifies it.
    pub(super) fn take_blob(&self, store: &BlobStore, blob: &Stored) -> Result<(), TransferError> {
        let partial = self.root.join(PARTIAL).join(blob.key.to_string());
        let copied = || {
            let mut file = open_new(&partial).map_err(TransferError::Elsewhere)?;
            store.export(blob, |bytes| file.write_all(bytes))?;
            let path = self.blob(&blob.sha256);
            let named = file.sync_data().and_then(|()| match path.parent() {
                Some(shard) => DirBuilder::new().mode(0o700).recursive(true).create(shard),
                None => Ok(()),
            });
            named.and_then(|()| fs::rename(&partial, &path)).map_err(TransferError::Elsewhere)
        };
        copied().inspect_err(|_| {
            // The next backup removes a leftover.
            let _ = fs::remove_file(&partial);
        })
    }

    /// Makes the names of all blobs durable.
    pub(super) fn sync_blobs(&self) -> Result<()> {
        let blobs = self.root.join(BLOBS);
        for shard in fs::read_dir(&blobs)? {
            sync_dir(&shard?.path())?;
        }
        sync_dir(&blobs)
    }

    /// Completes the backup, and removes the rows of the previous one.
    pub(super) fn complete(&self, manifest: &Manifest) -> Result<()> {
        sync_dir(&self.root)?;
        self.write(MANIFEST, &serde_json::to_vec_pretty(manifest)?)?;
        for entry in fs::read_dir(&self.root)?.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(DATABASE) && name != manifest.database {
                fs::remove_dir_all(entry.path())
                    .with_context(|| format!("cannot remove {}", entry.path().display()))?;
            }
        }
        Ok(())
    }

    /// Writes a small file, whole or not at all.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (partial, path) = (self.root.join(PARTIAL).join(name), self.root.join(name));
        write_new(&partial, bytes)?;
        fs::rename(&partial, &path).with_context(|| format!("cannot write {}", path.display()))?;
        sync_dir(&self.root)
    }
}

/// The field that the manifest of every format has.
#[derive(serde::Deserialize)]
struct Format {
    format: u32,
}

/// A table's file that is being written.
pub(super) struct TableFile {
    file: BufWriter<File>,
    hasher: sha2::Sha256,
    path: PathBuf,
}

impl TableFile {
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        for part in [line.as_bytes(), b"\n"] {
            self.hasher.update(part);
            self.file.write_all(part)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Sha256> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_data());
        synced.with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(Sha256::new(self.hasher.finalize().into()))
    }
}

fn make_dir(path: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.with_context(|| format!("cannot create the directory {}", path.display())),
    }
}

fn open_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = open_new(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn sync_dir(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.with_context(|| format!("cannot sync {}", path.display()))
}

fn digest(path: &Path) -> Result<Sha256> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    loop {
        let length = file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))?;
        if length == 0 {
            return Ok(Sha256::new(hasher.finalize().into()));
        }
        hasher.update(buffer.get(..length).unwrap_or_default());
    }
}
