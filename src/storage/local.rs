//! Blobs in a directory tree: `blobs/<first two hex>/<key>`, uploads in progress in `incoming/<random>`, and blobs that
//! a sweep found without a row in `held/<key>`.
//!
//! Everything is opened relative to directories held open and without following symbolic links, so a planted link leads
//! nowhere, and nothing outside the tree is ever touched. Files have mode 0600, directories 0700.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

use super::dir::{BLOBS, HELD, INCOMING, make_dir, open_dir, open_file};
use super::error::StoreError;
use super::key::{StorageKey, StoreId};
use super::marker;
use super::stored::Stored;
use crate::domain::digest::Sha256;

const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Free space in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that we may still write.
    pub available: u64,
    /// Bytes of the whole file system.
    pub total: u64,
    /// Files that we may still create; `None` where there is no such limit.
    pub inodes: Option<u64>,
}

/// The directories of a store, held open.
#[derive(Debug)]
pub(super) struct Dirs {
    pub(super) root: OwnedFd,
    pub(super) blobs: OwnedFd,
    pub(super) incoming: OwnedFd,
}

impl Dirs {
    pub(super) fn open(root: OwnedFd) -> rustix::io::Result<Self> {
        let blobs = open_dir(&root, BLOBS)?;
        let incoming = open_dir(&root, INCOMING)?;
        Ok(Self { root, blobs, incoming })
    }

    /// The holding folder; created if it is missing, as after a copy of the store that left out an empty directory.
    pub(super) fn held(&self) -> Result<OwnedFd, StoreError> {
        make_dir(&self.root, HELD)?;
        Ok(open_dir(&self.root, HELD)?)
    }

    /// Moves a held blob back to its place; false when it is not held.
    pub(super) fn put_back(&self, key: &StorageKey) -> Result<bool, StoreError> {
        let (held, shard, name) = (self.held()?, self.shard(key)?, key.to_string());
        match rustix::fs::renameat(&held, &name, &shard, &name) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn shard(&self, key: &StorageKey) -> rustix::io::Result<OwnedFd> {
        open_dir(&self.blobs, &key.shard())
    }
}

/// A local store.
#[derive(Debug)]
pub(super) struct Local {
    root: PathBuf,
    id: StoreId,
    dirs: RwLock<Arc<Dirs>>,
}

impl Local {
    /// Opens the store at `root`, or creates it if requested and allowed; see [`super::BlobStore::open_local`].
    pub(super) fn open(root: PathBuf, create: bool, expected: Option<StoreId>) -> Result<Self, StoreError> {
        let create = create && expected.is_none();
        let handle = marker::open_root(&root, create)?;
        let id = match marker::read(&handle)? {
            Some(id) => id,
            None if create => marker::create(&handle)?,
            None => return Err(StoreError::NotAStore("the marker file is missing")),
        };
        if expected.is_some_and(|expected| expected != id) {
            return Err(StoreError::NotAStore("the marker belongs to another store"));
        }
        marker::make_directories(&handle)?;
        let dirs = RwLock::new(Arc::new(Dirs::open(handle)?));
        Ok(Self { root, id, dirs })
    }

    pub(super) fn id(&self) -> StoreId {
        self.id
    }

    /// The last known directories: good enough for reading, since a blob's name says what it must contain.
    pub(super) fn dirs(&self) -> Arc<Dirs> {
        Arc::clone(&self.dirs.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The directories, after a check of the root's path and its marker. Every operation that writes starts here: a
    /// disk may have been unmounted, or another mounted, while the server ran.
    pub(super) fn verified(&self) -> Result<Arc<Dirs>, StoreError> {
        let root = marker::open_root(&self.root, false)?;
        match marker::read(&root)? {
            Some(id) if id == self.id => {}
            Some(_) => return Err(StoreError::NotAStore("the marker belongs to another store")),
            None => return Err(StoreError::NotAStore("the marker file is missing")),
        }
        let (now, before) = (rustix::fs::fstat(&root)?, self.dirs());
        let then = rustix::fs::fstat(&before.root)?;
        if (now.st_dev, now.st_ino) == (then.st_dev, then.st_ino) {
            return Ok(before);
        }
        let fresh = Arc::new(Dirs::open(root)?);
        *self.dirs.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&fresh);
        Ok(fresh)
    }

    /// Opens a blob for reading and checks its size. Another copy of the same bytes is accepted too: an upload may have
    /// replaced this one since its row was read.
    pub(super) fn open_blob(&self, blob: &Stored) -> Result<File, StoreError> {
        let key = &blob.key;
        let found = match self.find(key)? {
            Some(found) => Some(found),
            None => self.find_twin(&blob.sha256)?,
        };
        let (file, found) = found.ok_or(StoreError::Missing(*key))?;
        if found == blob.size { Ok(file) } else { Err(StoreError::Damaged(*key)) }
    }

    /// Another copy of a blob's bytes, found by its SHA-256 in a scan of one directory.
    fn find_twin(&self, sha256: &Sha256) -> Result<Option<(File, u64)>, StoreError> {
        let digest = format!("{sha256}-");
        for entry in Dir::read_from(self.dirs().shard(&StorageKey::new(*sha256, 0))?)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy();
            if let Some(twin) = name.starts_with(&digest).then(|| name.parse().ok()).flatten()
                && let Some(found) = self.find(&twin)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The blob and its size, `None` when the store works and does not have it.
    pub(super) fn find(&self, key: &StorageKey) -> Result<Option<(File, u64)>, StoreError> {
        let dirs = self.dirs();
        let open = |dirs: &Dirs| open_file(dirs.shard(key)?, &key.to_string(), OFlags::RDONLY);
        let opened = match open(&dirs) {
            // The blob is missing: check whether the store is there, and still the directory that we hold open.
            Err(Errno::NOENT | Errno::STALE | Errno::IO | Errno::NOTCONN) => {
                let now = self.verified().map_err(as_away)?;
                match open(&now) {
                    // A row names it, so a sweep that asked another database held it by mistake.
                    Err(Errno::NOENT) if now.put_back(key)? => {
                        tracing::warn!(blob = %key, "put back a held blob that is needed after all");
                        open(&now)
                    }
                    opened => opened,
                }
            }
            opened => opened,
        };
        let file = match opened {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => return Err(StoreError::Damaged(*key)),
            Err(error) => return Err(error.into()),
        };
        let meta = file.metadata()?;
        if meta.is_file() { Ok(Some((file, meta.len()))) } else { Err(StoreError::Damaged(*key)) }
    }

    /// Removes a blob; `false` when it was not there.
    pub(super) fn remove(&self, key: &StorageKey) -> Result<bool, StoreError> {
        let dirs = self.verified()?;
        match dirs.shard(key).and_then(|shard| rustix::fs::unlinkat(shard, key.to_string(), AtFlags::empty())) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// How many sweeps of this store have started.
    pub(super) fn sweeps(&self) -> Result<u64, StoreError> {
        marker::read_sweeps(&self.verified()?.root)
    }

    /// Records that a sweep has started.
    pub(super) fn set_sweeps(&self, sweeps: u64) -> Result<(), StoreError> {
        marker::write_sweeps(&self.verified()?.root, sweeps)
    }

    pub(super) fn free_space(&self) -> Result<Space, StoreError> {
        let dirs = self.verified()?;
        let figures = rustix::fs::fstatvfs(&dirs.root)?;
        Ok(Space {
            available: figures.f_bavail.saturating_mul(figures.f_frsize),
            total: figures.f_blocks.saturating_mul(figures.f_frsize),
            // File systems that create inodes on demand (btrfs) report zero inodes.
            inodes: (figures.f_files > 0).then_some(figures.f_favail),
        })
    }

    /// Writes a few bytes and removes them again.
    pub(super) fn check_ready(&self) -> Result<(), StoreError> {
        let temp = Temp::create(self)?;
        Ok(temp.file()?.write_all_at(b"ready?", 0)?)
    }
}

/// For readers: the error must say that the store is away, not that no store exists here.
fn as_away(error: StoreError) -> StoreError {
    match error {
        StoreError::NotAStore(why) => StoreError::Away(io::Error::other(why)),
        other => other,
    }
}

/// A file in `incoming`, removed when dropped. It is locked for as long as it is open, under its final name too: this
/// tells every sweep, of this process or another, that it is in use.
#[derive(Debug)]
pub(super) struct Temp(Option<Inner>);

#[derive(Debug)]
struct Inner {
    file: Arc<File>,
    name: String,
    dirs: Arc<Dirs>,
    /// Whether the file has a blob's name.
    adopted: bool,
}

impl Temp {
    /// Creates and locks a file, after checking the store.
    pub(super) fn create(local: &Local) -> Result<Self, StoreError> {
        let dirs = local.verified()?;
        loop {
            let name = format!("{:032x}", rand::random::<u128>());
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = File::from(rustix::fs::openat(&dirs.incoming, &name, flags, FILE_MODE)?);
            // Before the lock, a sweep may have taken the file for an abandoned one: then create another.
            let locked = match file.try_lock() {
                Ok(()) => true,
                Err(std::fs::TryLockError::WouldBlock) => false,
                Err(std::fs::TryLockError::Error(error)) => {
                    rustix::fs::unlinkat(&dirs.incoming, &name, AtFlags::empty())?;
                    return Err(error.into());
                }
            };
            if locked && rustix::fs::fstat(&file)?.st_nlink > 0 {
                return Ok(Self(Some(Inner { file: Arc::new(file), name, dirs, adopted: false })));
            }
        }
    }

    pub(super) fn file(&self) -> Result<&File, StoreError> {
        self.0.as_ref().map(|inner| inner.file.as_ref()).ok_or_else(gone)
    }

    /// Gives the file, whose bytes are on the disk, its name in the store, and makes the name durable. Returns the
    /// file, still locked.
    ///
    /// `rename` replaces an existing file of that name, which contains the same bytes, because the name contains the
    /// SHA-256.
    pub(super) fn adopt(mut self, local: &Local, key: &StorageKey) -> Result<Arc<File>, StoreError> {
        let mut inner = self.0.take().ok_or_else(gone)?;
        let dirs = local.verified()?;
        if !Arc::ptr_eq(&dirs, &inner.dirs) {
            return Err(StoreError::NotAStore("the store was replaced during the upload"));
        }
        let (shard, name) = (dirs.shard(key)?, key.to_string());
        rustix::fs::renameat(&dirs.incoming, &inner.name, &shard, &name)?;
        inner.adopted = true;
        if let Err(error) = rustix::fs::fsync(&shard) {
            // Final: the kernel has dropped what it could not write, and a second fsync would report success
            // (fsyncgate, 2018).
            let _ = rustix::fs::unlinkat(&shard, &name, AtFlags::empty());
            return Err(error.into());
        }
        Ok(Arc::clone(&inner.file))
    }
}

fn gone() -> StoreError {
    StoreError::Away(io::Error::other("the file of this upload is closed"))
}

impl Drop for Temp {
    /// Freeing the blocks of a large file takes up to a second: do not do this on a network thread.
    fn drop(&mut self) {
        if let (Some(inner), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || drop(inner));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.adopted {
            // If this fails, the sweep removes the file later.
            let _ = rustix::fs::unlinkat(&self.dirs.incoming, &self.name, AtFlags::empty());
        }
    }
}
