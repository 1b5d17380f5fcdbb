//! The ways in which a stored blob can be damaged.

use super::role::word;

word!(
    /// How a stored copy differs from what was published.
    Damage, "missing, wrong length, wrong bytes, unreadable" {
        /// The store works, and the file is not in it.
        Missing = 0 "missing",
        /// The file is shorter or longer, or not a plain file.
        WrongLength = 1 "wrong length",
        /// The checksums differ.
        WrongBytes = 2 "wrong bytes",
        /// The disk reports an error when it is read.
        Unreadable = 3 "unreadable",
    }
);
