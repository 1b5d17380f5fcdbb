//! The keys of blobs, and the id of a store.

use std::fmt;
use std::str::FromStr;

use crate::domain::digest::{Sha256, from_hex, to_hex};

/// The key of a blob: `<sha256 hex>-<16 hex>`.
///
/// The random part makes every upload's key unique, so that a slow sweep that removes an old blob can never remove what
/// a later upload of the same bytes wrote. A key never contains anything a user named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StorageKey {
    sha256: Sha256,
    nonce: u64,
}

/// A text is not a valid storage key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 lower-case hexadecimal digits, a hyphen and 16 more")]
pub struct InvalidStorageKey;

impl StorageKey {
    /// The key of these bytes in one upload; `nonce` is random.
    pub fn new(sha256: Sha256, nonce: u64) -> Self {
        Self { sha256, nonce }
    }

    /// The SHA-256 of the blob's bytes.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// The first two digits: one of the 256 directories of the blobs.
    pub(super) fn shard(&self) -> String {
        self.sha256.as_bytes().first().map(|byte| to_hex(&[*byte])).unwrap_or_default()
    }
}

impl fmt::Display for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.sha256, self.nonce)
    }
}

impl FromStr for StorageKey {
    type Err = InvalidStorageKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (sha256, nonce) = text.split_once('-').ok_or(InvalidStorageKey)?;
        let sha256 = sha256.parse().map_err(|_| InvalidStorageKey)?;
        let nonce = u64::from_be_bytes(from_hex::<8>(nonce).map_err(|_| InvalidStorageKey)?);
        let key = Self { sha256, nonce };
        // Each key has exactly one spelling: two would be two files in the store, or one file on a file system that
        // folds case.
        if key.to_string() == text { Ok(key) } else { Err(InvalidStorageKey) }
    }
}

/// The id of a store: random, written into its marker once, and recorded in the database too, so that a database never
/// works on another one's blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreId([u8; 16]);

impl StoreId {
    /// Wraps 16 random bytes.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl FromStr for StoreId {
    type Err = crate::domain::digest::InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        from_hex(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_key_round_trips() {
        let key = StorageKey::new(Sha256::new([0xab; 32]), 0x12);
        assert_eq!(key.to_string(), format!("{}-0000000000000012", "ab".repeat(32)));
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(key.shard(), "ab");
    }

    #[test]
    fn other_texts_are_refused_as_blob_keys() {
        let hex = "ab".repeat(32);
        let bad = [
            String::new(),
            hex.clone(),
            format!("{hex}-"),
            format!("{hex}-00000000000000123"),
            format!("{hex}-000000000000001G"),
            format!("{}-0000000000000012", hex.to_uppercase()),
            format!("{hex}-00000000000000AB"),
            format!("../{hex}-0000000000000012"),
            format!("{hex}-0000000000000012/"),
        ];
        for text in bad {
            assert_eq!(text.parse::<StorageKey>(), Err(InvalidStorageKey), "{text}");
        }
    }
}
