//! The marker that identifies a directory as a Packhouse store, and the creation of a new store.

use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;

use super::dir::{BLOBS, HELD, INCOMING, make_dir, open_dir, open_file};
use super::error::StoreError;
use super::key::StoreId;
use crate::domain::digest::to_hex;

pub(super) const MARKER: &str = "packhouse-store";
/// The marker before it is complete: a crash leaves this, and the next start begins again.
const MARKER_NEW: &str = "packhouse-store.new";
const FIRST_LINE: &str = "packhouse store 1";

/// The file beside the marker with the number of sweeps of this store. See [`read_sweeps`].
pub(super) const SWEEPS: &str = "sweeps";
const SWEEPS_NEW: &str = "sweeps.new";

/// Opens the store's root. The operator chose the path: links in it are followed.
pub(super) fn open_root(path: &Path, create: bool) -> Result<OwnedFd, StoreError> {
    let open = || rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    match open() {
        Err(Errno::NOENT) if create => {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                File::open(parent)?.sync_all()?;
            }
            Ok(open()?)
        }
        opened => Ok(opened?),
    }
}

/// The id in the marker, `None` when there is no marker.
pub(super) fn read(root: &OwnedFd) -> Result<Option<StoreId>, StoreError> {
    let file = match open_file(root, MARKER, OFlags::RDONLY) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::NXIO) => return Err(StoreError::NotAStore("the marker is not a plain file")),
        Err(error) => return Err(error.into()),
    };
    let mut text = String::new();
    file.take(256).read_to_string(&mut text)?;
    parse_marker(&text).map(Some)
}

/// The id in the text of a marker.
pub(super) fn parse_marker(text: &str) -> Result<StoreId, StoreError> {
    let id = match text.split_once('\n') {
        Some((FIRST_LINE, id)) => id.trim_end().parse().ok(),
        _ => None,
    };
    id.ok_or(StoreError::NotAStore("this version cannot read the marker"))
}

/// The text of a marker.
pub(super) fn write_marker(id: StoreId) -> String {
    format!("{FIRST_LINE}\n{id}\n")
}

/// How many sweeps of this store have started; 0 before the first. The database counts the same and never fewer: one
/// that knows of fewer sweeps is older than the store, and must not decide which blobs are unused.
pub(super) fn read_sweeps(root: &OwnedFd) -> Result<u64, StoreError> {
    let file = match open_file(root, SWEEPS, OFlags::RDONLY) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let mut text = String::new();
    file.take(64).read_to_string(&mut text)?;
    parse_sweeps(&text)
}

/// The number in the text of the sweep count.
pub(super) fn parse_sweeps(text: &str) -> Result<u64, StoreError> {
    text.trim_end().parse().map_err(|_| StoreError::NotAStore("its sweep count cannot be read"))
}

/// Records that a sweep has started. Several servers may do so at once: the larger number stays.
pub(super) fn write_sweeps(root: &OwnedFd, sweeps: u64) -> Result<(), StoreError> {
    let lock = open_file(root, MARKER, OFlags::RDONLY)?;
    lock.lock()?;
    if read_sweeps(root)? < sweeps {
        replace(root, (SWEEPS_NEW, SWEEPS), &format!("{sweeps}\n"))?;
    }
    Ok(())
}

/// Writes a temporary file, makes it durable, and renames it to its final name.
fn replace(root: &OwnedFd, (new, name): (&str, &str), text: &str) -> Result<(), StoreError> {
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(root, new, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    rustix::fs::renameat(root, new, root, name)?;
    rustix::fs::fsync(root)?;
    Ok(())
}

/// Creates a store in an empty directory. The marker comes last, when everything else is on the disk.
pub(super) fn create(root: &OwnedFd) -> Result<StoreId, StoreError> {
    if !is_fresh(root)? {
        return Err(StoreError::NotAStore("the directory is not empty and has no marker"));
    }
    make_directories(root)?;
    let id = StoreId::new(rand::random());
    replace(root, (MARKER_NEW, MARKER), &write_marker(id))?;
    Ok(id)
}

/// Creates the missing directories: all of them in a new store, some after a restore by a tool that leaves out empty
/// ones. Afterwards a publish need not fsync `blobs` for a new directory in it.
pub(super) fn make_directories(root: &OwnedFd) -> Result<(), StoreError> {
    let made = make_dir(root, BLOBS)? | make_dir(root, INCOMING)? | make_dir(root, HELD)?;
    if made {
        rustix::fs::fsync(root)?;
    }
    let blobs = open_dir(root, BLOBS)?;
    let mut made = false;
    for byte in 0..=u8::MAX {
        made |= make_dir(&blobs, &to_hex(&[byte]))?;
    }
    if made {
        rustix::fs::fsync(&blobs)?;
    }
    Ok(())
}

/// Whether the directory contains only what an interrupted [`create`] or the creation of the file system leaves.
fn is_fresh(root: &OwnedFd) -> Result<bool, StoreError> {
    for name in names(root)? {
        let fresh = match name.as_str() {
            "lost+found" | MARKER_NEW => true,
            INCOMING | HELD => names(open_dir(root, &name)?)?.is_empty(),
            BLOBS => {
                let blobs = open_dir(root, BLOBS)?;
                let mut empty = true;
                for shard in names(&blobs)? {
                    empty = empty && open_dir(&blobs, &shard).is_ok_and(|dir| names(dir).is_ok_and(|n| n.is_empty()));
                }
                empty
            }
            _ => false,
        };
        if !fresh {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The first names in a directory; more names than a new store has are enough to know that it is none.
fn names(dir: impl AsFd) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)?.take(300) {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}
