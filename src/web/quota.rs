//! What an owner may store and does, as bars.

use super::format::{Bytes, Count};
use crate::domain::quota::OwnQuota;
use crate::registry::packages::quotas::Usage;
use crate::state::App;

/// One figure and its limit; templates show a bar where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    pub used: i64,
    pub limit: Option<i64>,
}

impl Used {
    /// Whether nearly nothing is left.
    pub fn is_nearly_all(&self) -> bool {
        self.limit.is_some_and(|limit| self.used >= limit - limit / 10)
    }

    /// The limit, for a bar: never 0, which has no bar.
    pub fn most(&self) -> i64 {
        self.limit.unwrap_or_default().max(1)
    }
}

/// What an owner may store and does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub versions: Used,
    pub bytes: Used,
    pub file_bytes: Option<i64>,
}

impl Standing {
    /// From an owner's own limits and what it stores, and the instance's limits where it has none of its own.
    pub fn new(app: &App, (own, used): (OwnQuota, Usage)) -> Self {
        let settings = &app.config.quota;
        let limit = |own: Option<i64>, instance: i64| Some(own.unwrap_or(instance)).filter(|limit| *limit >= 0);
        Self {
            versions: Used { used: used.versions, limit: limit(own.versions, settings.versions) },
            bytes: Used { used: used.bytes, limit: limit(own.bytes, settings.bytes) },
            file_bytes: limit(own.file_bytes, settings.file_bytes),
        }
    }

    /// How many bytes, of how many.
    pub fn size(&self) -> String {
        let used = Bytes(self.bytes.used);
        self.bytes.limit.map_or_else(|| used.to_string(), |limit| format!("{used} of {}", Bytes(limit)))
    }

    /// The most that one file may have.
    pub fn file_size(&self) -> Option<Bytes> {
        self.file_bytes.map(Bytes)
    }

    /// How many versions, of how many.
    pub fn count(&self) -> String {
        let used = Count(self.versions.used);
        self.versions.limit.map_or_else(|| used.to_string(), |limit| format!("{used} of {}", Count(limit)))
    }
}
