//! Errors of the store, sorted by what the caller can do about them.

use std::io;

use super::key::StorageKey;
use crate::error::Error;

/// An error of the store. It names keys, never paths.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space for bytes or inodes (`ENOSPC`, `EDQUOT`). It goes away when space is freed.
    #[error("no space left in the store")]
    NoSpace,
    /// The upload has more bytes than allowed.
    #[error("the upload is larger than its limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The received bytes do not have the declared digest; the name is as in RFC 9530.
    #[error("the bytes received do not have the declared {0} digest")]
    DigestMismatch(&'static str),
    /// The store works and this blob is not in it.
    #[error("blob {0} is missing from the store")]
    Missing(StorageKey),
    /// The blob differs from what was stored: other bytes, another length, or not a plain file.
    #[error("blob {0} is damaged")]
    Damaged(StorageKey),
    /// The directory at the store's path does not have the store's marker: an empty mount point, for example. Nothing
    /// is ever written there.
    #[error("there is no Packhouse store here ({0})")]
    NotAStore(&'static str),
    /// The store cannot be reached, read or written (`EIO`, `EROFS`, `ESTALE`, out of descriptors, …).
    #[error("the store is unavailable: {0}")]
    Away(#[source] io::Error),
}

/// An error of a transfer: in the store, or on the other side.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The destination or the source of the bytes.
    #[error(transparent)]
    Elsewhere(io::Error),
}

impl StoreError {
    /// Classifies an operating system error. An absent file becomes [`StoreError::Away`] here: where a blob may be
    /// absent, the caller has checked for it first.
    pub(super) fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            _ => Self::Away(error),
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::from_io(error)
    }
}

impl From<rustix::io::Errno> for StoreError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::from_io(error.into())
    }
}

impl From<StoreError> for Error {
    /// Converts a store error to the shared error type. Details for the operator are logged here, because
    /// [`Error::Busy`] has no room for them; damage is 503 and not 500, since putting the file back fixes it.
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NoSpace => {
                tracing::warn!("no space left in the store");
                Self::NoSpace
            }
            StoreError::TooLarge { limit } => Self::TooLarge { limit: *limit },
            StoreError::DigestMismatch(_) => Self::DigestMismatch(format!("{error}; nothing was kept")),
            StoreError::Missing(_) | StoreError::Damaged(_) => {
                tracing::error!(error = %error, "cannot serve a stored file: restore it from a backup");
                Self::Busy("the bytes of this file are missing or damaged in the store")
            }
            StoreError::NotAStore(_) | StoreError::Away(_) => {
                tracing::error!(error = %error, "the store is not working");
                Self::Busy("the store is unavailable")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_and_disk_quota_are_no_space_other_errors_unavailable() {
        use rustix::io::Errno;
        assert!(matches!(StoreError::from(Errno::NOSPC), StoreError::NoSpace));
        assert!(matches!(StoreError::from(Errno::DQUOT), StoreError::NoSpace));
        for errno in [Errno::IO, Errno::ROFS, Errno::NOENT, Errno::STALE, Errno::MFILE, Errno::ACCESS] {
            assert!(matches!(StoreError::from(errno), StoreError::Away(_)), "{errno}");
        }
    }
}
