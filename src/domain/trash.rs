//! What an entry of the trash is, and why it is there.

use super::role::word;

word!(
    /// What was deleted.
    TrashKind, "file, version, package" {
        File = 0 "file",
        Version = 1 "version",
        Package = 2 "package",
    }
);
word!(
    /// Why something is in the trash.
    TrashReason, "deleted, replaced, moved, expired, retention" {
        /// Someone deleted it.
        Deleted = 0 "deleted",
        /// An upload took its place.
        Replaced = 1 "replaced",
        /// It was moved to another place.
        Moved = 2 "moved",
        /// Its version expired.
        Expired = 3 "expired",
        /// A retention rule deleted it.
        Retention = 4 "retention",
    }
);
