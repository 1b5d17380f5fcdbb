//! What can go wrong in the store, sorted by what the caller can do about it.

use std::io;

use super::key::StorageKey;
use crate::error::Error;

/// An error of the store. It names keys, never paths.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room for bytes or inodes (`ENOSPC`, `EDQUOT`). Heals when room is made.
    #[error("no room left in the store")]
    NoSpace,
    /// The upload has more bytes than it may have; the limit is in bytes.
    #[error("the upload is larger than its limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The bytes that came do not have the digest that was declared for them; the name is as in RFC 9530.
    #[error("the bytes received do not have the declared {0} digest")]
    DigestMismatch(&'static str),
    /// The store is there and this blob is not in it.
    #[error("blob {0} is missing from the store")]
    Missing(StorageKey),
    /// The blob is not what was stored: other bytes, another length, or no plain file.
    #[error("blob {0} is damaged")]
    Damaged(StorageKey),
    /// What stands where the store should be does not carry the store's marker: an empty mount point, say. Nothing is
    /// ever written there.
    #[error("there is no Packhouse store here ({0})")]
    NotAStore(&'static str),
    /// The store cannot be reached, read or written (`EIO`, `EROFS`, `ESTALE`, out of descriptors, …).
    #[error("the store is away: {0}")]
    Away(#[source] io::Error),
}

impl StoreError {
    /// Sorts an error of the operating system. An absent file is [`StoreError::Away`] here: where absence of a blob is
    /// a possible answer, the caller has looked for it first.
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
    /// Turns the store's error into the one any face renders. What only the operator may know is logged here, because
    /// [`Error::Busy`] has no room for it; damage is 503 and not 500, since putting the file back heals it.
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NoSpace => {
                tracing::warn!("no room left in the store");
                Self::NoSpace
            }
            StoreError::TooLarge { limit } => Self::TooLarge { limit: *limit },
            StoreError::DigestMismatch(_) => Self::DigestMismatch(format!("{error}; nothing was kept")),
            StoreError::Missing(_) | StoreError::Damaged(_) => {
                tracing::error!(error = %error, "a stored file cannot be served: restore it from a backup");
                Self::Busy("the bytes of this file are missing or damaged in the store")
            }
            StoreError::NotAStore(_) | StoreError::Away(_) => {
                tracing::error!(error = %error, "the store does not work");
                Self::Busy("the store is away")
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
