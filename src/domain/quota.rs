//! How much an owner may store: the effective limits, and the limits in the owner's own row.

use diesel::Queryable;

/// Limits of an owner; `None` for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// The most package versions.
    pub versions: Option<i64>,
    /// The most bytes in all files together.
    pub bytes: Option<i64>,
    /// The most bytes in one file.
    pub file_bytes: Option<i64>,
}

impl Quota {
    /// From settings, where a negative number means no limit.
    pub fn from_settings(versions: i64, bytes: i64, file_bytes: i64) -> Self {
        let limit = |value: i64| (value >= 0).then_some(value);
        Self { versions: limit(versions), bytes: limit(bytes), file_bytes: limit(file_bytes) }
    }
}

/// An owner's own limits: for each -1 for no limit, or `None` for the instance's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Queryable)]
pub struct OwnQuota {
    pub versions: Option<i64>,
    pub bytes: Option<i64>,
    pub file_bytes: Option<i64>,
}

impl OwnQuota {
    /// The effective quota: the owner's own limits where set, otherwise the instance's.
    pub fn or(self, instance: Quota) -> Quota {
        let choose = |own: Option<i64>, default: Option<i64>| own.map_or(default, |own| (own >= 0).then_some(own));
        Quota {
            versions: choose(self.versions, instance.versions),
            bytes: choose(self.bytes, instance.bytes),
            file_bytes: choose(self.file_bytes, instance.file_bytes),
        }
    }
}
