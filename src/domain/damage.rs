//! What can be wrong with stored bytes.

use super::role::word;

word!(
    /// How a stored copy differs from what was published.
    Damage, "missing, wrong length, wrong bytes, unreadable" {
        /// The store works, and the file is not in it.
        Missing = 0 "missing",
        /// It is shorter or longer, or not a plain file.
        WrongLength = 1 "wrong length",
        /// Its checksums are others.
        WrongBytes = 2 "wrong bytes",
        /// The disk reports an error where it lies.
        Unreadable = 3 "unreadable",
    }
);
