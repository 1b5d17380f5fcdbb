//! The directories of a local store. They are opened and created relative to a directory that is held open, and never
//! through a link.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::error::StoreError;

pub(super) const BLOBS: &str = "blobs";
pub(super) const INCOMING: &str = "incoming";
/// Blobs that no row names, until the end of their second grace period.
pub(super) const HELD: &str = "held";

/// Opens a directory below another, unless it is a link.
pub(super) fn open_dir(parent: impl AsFd, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Opens an existing file unless it is a link. It does not block, so that a planted pipe cannot hang a thread.
pub(super) fn open_file(dir: impl AsFd, name: &str, access: OFlags) -> rustix::io::Result<File> {
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::openat(dir, name, flags, Mode::empty()).map(File::from)
}

/// Creates a directory; false when it exists already.
pub(super) fn make_dir(parent: impl AsFd, name: &str) -> Result<bool, StoreError> {
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether a directory entry is a plain file; calls `stat` where the file system does not report the type.
pub(super) fn is_file(kind: FileType, dir: impl AsFd, name: &std::ffi::CStr) -> bool {
    match kind {
        FileType::Unknown => rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile),
        known => known == FileType::RegularFile,
    }
}
