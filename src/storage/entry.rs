//! What walks over the store and sweeps find.

use std::time::SystemTime;

use super::key::StorageKey;

/// One entry of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A blob in its place.
    Blob {
        key: StorageKey,
        size: u64,
        /// When it was written.
        modified: SystemTime,
    },
    /// A file that Packhouse did not create, by its name within the store. It is never read or removed.
    Foreign(String),
}

/// A blob in the holding folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub key: StorageKey,
    /// When a sweep put it there.
    pub since: SystemTime,
}

/// The files that a sweep of abandoned uploads removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Number of files.
    pub files: u64,
    /// Their total size in bytes.
    pub bytes: u64,
}

impl Swept {
    pub(super) fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Files among the uploads in progress that are not uploads in progress.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// The leftovers of crashed uploads.
    pub abandoned: Swept,
    /// Files that Packhouse did not create, by their names within the store; the first hundred.
    pub foreign: Vec<String>,
}
