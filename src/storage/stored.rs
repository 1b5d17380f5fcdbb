//! Blobs as the database describes them.

use bytes::Bytes;

use super::key::StorageKey;
use crate::domain::digest::{OtherDigests, Sha256};

/// A blob as its row describes it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The blob's key.
    pub key: StorageKey,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
    /// The CRC-32s of its blocks; see [`super::Adopted::block_checksums`]. Without them, a blob of any size is verified
    /// as a whole, for any range: correct, but slow.
    pub block_checksums: Option<Bytes>,
}

impl Stored {
    /// A blob without the checksums of its blocks, to be read as a whole.
    pub fn whole(key: StorageKey, sha256: Sha256, size: u64) -> Self {
        Self { key, sha256, size, block_checksums: None }
    }
}

/// Everything that is computed from a blob's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllDigests {
    /// SHA-256; it equals the row's.
    pub sha256: Sha256,
    /// The three other digests.
    pub other: OtherDigests,
    /// As [`super::Adopted::block_checksums`].
    pub block_checksums: Vec<u8>,
}
