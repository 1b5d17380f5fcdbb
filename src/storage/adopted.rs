//! A blob that was just stored.

use std::fs::File;
use std::sync::Arc;

use super::digests::Sums;
use super::error::StoreError;
use super::handle::Handle;
use super::key::StorageKey;
use crate::domain::digest::{OtherDigests, Sha256};

/// What keeps sweeps away from a blob until its row is committed.
#[derive(Debug)]
pub(super) enum Hold {
    /// A lock on its file, which reaches every process that uses the directory.
    Lock {
        /// The file, which is locked while it is open.
        _file: Arc<File>,
    },
    /// A lease in the database, which the caller holds; see [`super::Incoming::reserved_key`].
    Lease,
}

/// A blob that is stored durably and that no row names yet.
///
/// As long as this lives, no sweep touches the blob, in this process or another; in an object store, as long as the
/// caller's lease lasts. Move it into the code that commits the row, so that it lives until the commit even if the
/// request is dropped in the meantime. Dropping it removes nothing: where a commit's outcome is unknown the bytes must
/// stay, and the sweep removes blobs that no row names.
#[derive(Debug)]
pub struct Adopted {
    /// The blob's key.
    pub key: StorageKey,
    /// Its digest, and its ETag.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-512, SHA-1 and MD5: for every file up to 1 MiB, and for larger ones when all three were declared.
    pub other: Option<OtherDigests>,
    /// CRC-32, little-endian, of each 1 MiB block; empty for files up to 1 MiB.
    pub block_checksums: Vec<u8>,
    store: Handle,
    hold: Hold,
}

impl Adopted {
    pub(super) fn new(
        store: Handle,
        key: StorageKey,
        sums: &Sums,
        size: u64,
        block_checksums: Vec<u8>,
        hold: Hold,
    ) -> Self {
        Self { key, sha256: sums.sha256, size, other: sums.other(), block_checksums, store, hold }
    }

    /// Removes the blob. Call it only when no row names the blob for certain, as after a refused publish or when the
    /// same bytes are in the store already. Blocks for the time of one `unlink`, or of one request.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`]. The sweep removes the blob then.
    pub fn discard(self) -> Result<(), StoreError> {
        let removed = self.store.remove(&self.key);
        drop(self.hold);
        removed.map(|_| ())
    }
}
