//! Walking over a local store and removing unused files. All of it blocks: call it on a blocking thread.

use std::fs::{File, TryLockError};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{AtFlags, Dir, DirEntry, OFlags};
use rustix::io::Errno;

use super::dir::{INCOMING, is_file, open_dir, open_file};
use super::entry::{Entry, Held, Leftovers, Swept};
use super::error::StoreError;
use super::key::StorageKey;
use super::local::{Dirs, Local};

/// Walks over all blobs, in no order, with one directory's entries in memory at a time.
pub(super) struct Walk {
    dirs: Arc<Dirs>,
    shards: Dir,
    shard: Option<(String, Dir)>,
}

impl Walk {
    pub(super) fn new(local: &Local) -> Result<Self, StoreError> {
        let dirs = local.verified()?;
        let shards = Dir::read_from(&dirs.blobs)?;
        Ok(Self { dirs, shards, shard: None })
    }

    fn enter(&mut self, entry: &DirEntry) -> Result<Option<Entry>, StoreError> {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if name == "." || name == ".." {
            return Ok(None);
        }
        match open_dir(&self.dirs.blobs, &name) {
            Ok(dir) if ours => {
                self.shard = Some((name, Dir::new(dir)?));
                Ok(None)
            }
            Ok(_) | Err(Errno::NOTDIR | Errno::LOOP) => Ok(Some(Entry::Foreign(name))),
            Err(error) => Err(error.into()),
        }
    }
}

fn look_at(shard: &str, dir: &Dir, entry: &DirEntry) -> Result<Option<Entry>, StoreError> {
    let name = entry.file_name().to_string_lossy();
    if name == "." || name == ".." {
        return Ok(None);
    }
    let stat = match rustix::fs::statat(dir.fd()?, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        // The entry was removed during the walk.
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let is_file = rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile;
    Ok(Some(match name.parse::<StorageKey>() {
        Ok(key) if is_file && key.shard() == shard => {
            Entry::Blob { key, size: u64::try_from(stat.st_size).unwrap_or(0), modified: since_epoch(stat.st_mtime) }
        }
        _ => Entry::Foreign(format!("{shard}/{name}")),
    }))
}

fn since_epoch(seconds: i64) -> SystemTime {
    let seconds = std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    SystemTime::UNIX_EPOCH.checked_add(seconds).unwrap_or(SystemTime::UNIX_EPOCH)
}

impl Iterator for Walk {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let found = match &mut self.shard {
                Some((name, dir)) => match dir.read() {
                    Some(entry) => entry.map_err(StoreError::from).and_then(|entry| look_at(name, dir, &entry)),
                    None => {
                        self.shard = None;
                        Ok(None)
                    }
                },
                None => self.shards.read()?.map_err(StoreError::from).and_then(|entry| self.enter(&entry)),
            };
            if let Some(found) = found.transpose() {
                return Some(found);
            }
        }
    }
}

/// A blob that no upload holds, locked against other sweeps. Ask the database once more whether a row names it, and
/// only then [`Claim::hold`] or [`Claim::remove`] it: an upload releases its lock after its commit, so the answer is
/// final.
#[derive(Debug)]
pub(super) struct Claim {
    key: StorageKey,
    file: File,
    /// The directory it is in: its shard, or the holding folder.
    dir: OwnedFd,
    dirs: Arc<Dirs>,
}

impl Claim {
    pub(super) fn new(local: &Local, key: &StorageKey) -> Result<Option<Self>, StoreError> {
        let dirs = local.verified()?;
        let shard = dirs.shard(key)?;
        Self::of(key, shard, dirs)
    }

    /// Claims a blob in the holding folder.
    pub(super) fn held(local: &Local, key: &StorageKey) -> Result<Option<Self>, StoreError> {
        let dirs = local.verified()?;
        let held = dirs.held()?;
        Self::of(key, held, dirs)
    }

    fn of(key: &StorageKey, dir: OwnedFd, dirs: Arc<Dirs>) -> Result<Option<Self>, StoreError> {
        match open_file(&dir, &key.to_string(), OFlags::RDWR) {
            Ok(file) => Ok(try_lock(&file)?.then_some(Self { key: *key, file, dir, dirs })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn key(&self) -> StorageKey {
        self.key
    }

    /// The blob's size in bytes.
    ///
    /// # Errors
    /// [`StoreError::Away`].
    pub(super) fn size(&self) -> Result<u64, StoreError> {
        Ok(self.file.metadata()?.len())
    }

    /// Moves the blob to the holding folder, from where it returns by itself when it is read, and returns its size in
    /// bytes. `now` is the start of its second grace period.
    ///
    /// # Errors
    /// [`StoreError::Away`] when it cannot be moved.
    pub(super) fn hold(self, now: SystemTime) -> Result<u64, StoreError> {
        let (size, name) = (self.size()?, self.key.to_string());
        self.file.set_modified(now)?;
        match rustix::fs::renameat(&self.dir, &name, self.dirs.held()?, &name) {
            Ok(()) | Err(Errno::NOENT) => Ok(size),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the blob and returns its size in bytes.
    ///
    /// # Errors
    /// [`StoreError::Away`] when it cannot be removed.
    pub(super) fn remove(self) -> Result<u64, StoreError> {
        let size = self.size()?;
        match rustix::fs::unlinkat(&self.dir, self.key.to_string(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(size),
            Err(error) => Err(error.into()),
        }
    }
}

/// All blobs in the holding folder: 48 bytes of memory each.
pub(super) fn held(local: &Local) -> Result<Vec<Held>, StoreError> {
    let dir = local.verified()?.held()?;
    let mut found = Vec::new();
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        let Ok(key) = entry.file_name().to_string_lossy().parse() else { continue };
        match rustix::fs::statat(&dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => found.push(Held { key, since: since_epoch(stat.st_mtime) }),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// How many foreign names are kept.
const FOREIGN: usize = 100;

/// Removes the uploads that were last written before `older_than` and that nobody holds.
pub(super) fn sweep_incoming(local: &Local, older_than: SystemTime) -> Result<Swept, StoreError> {
    let mut swept = Swept::default();
    for_each_leftover(local, older_than, |found| {
        let Leftover::Abandoned { dirs, name, bytes } = found else { return Ok(()) };
        match rustix::fs::unlinkat(&dirs.incoming, name, AtFlags::empty()) {
            Ok(()) => swept.add(bytes),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    })?;
    Ok(swept)
}

/// Counts what a sweep would remove, and finds what it would never touch.
pub(super) fn leftovers(local: &Local, older_than: SystemTime) -> Result<Leftovers, StoreError> {
    let mut leftovers = Leftovers::default();
    for_each_leftover(local, older_than, |found| {
        match found {
            Leftover::Abandoned { bytes, .. } => leftovers.abandoned.add(bytes),
            Leftover::Foreign(name) if leftovers.foreign.len() < FOREIGN => {
                leftovers.foreign.push(format!("{INCOMING}/{name}"));
            }
            Leftover::Foreign(_) => {}
        }
        Ok(())
    })?;
    Ok(leftovers)
}

enum Leftover<'a> {
    Abandoned { dirs: &'a Dirs, name: &'a str, bytes: u64 },
    Foreign(&'a str),
}

fn for_each_leftover(
    local: &Local,
    older_than: SystemTime,
    mut found: impl FnMut(Leftover<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let dirs = local.verified()?;
    for entry in Dir::read_from(&dirs.incoming)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy();
        if name == "." || name == ".." {
            continue;
        }
        let ours = name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !ours || !is_file(entry.file_type(), &dirs.incoming, entry.file_name()) {
            // An upload that became a blob since the directory was read is neither.
            if exists(&dirs, &entry)? {
                found(Leftover::Foreign(&name))?;
            }
            continue;
        }
        let file = match open_file(&dirs.incoming, &name, OFlags::RDWR) {
            Ok(file) => file,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        let meta = file.metadata()?;
        // The lock decides; the age only protects a file that is being created at this moment.
        if meta.modified()? < older_than && try_lock(&file)? {
            found(Leftover::Abandoned { dirs: &dirs, name: &name, bytes: meta.len() })?;
        }
    }
    Ok(())
}

fn exists(dirs: &Dirs, entry: &DirEntry) -> Result<bool, StoreError> {
    match rustix::fs::statat(&dirs.incoming, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn try_lock(file: &File) -> Result<bool, StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
