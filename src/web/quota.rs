//! The storage an owner uses and its limits, as bars.

use super::format::{Bytes, Count};
use crate::domain::quota::OwnQuota;
use crate::registry::packages::quotas::Usage;
use crate::state::App;

/// A number and its limit; templates show a bar if there is a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    pub used: i64,
    pub limit: Option<i64>,
}

impl Used {
    /// Whether the limit is nearly reached.
    pub fn is_nearly_all(&self) -> bool {
        self.limit.is_some_and(|limit| self.used >= limit - limit / 10)
    }

    /// The limit for a bar; never 0, because a bar cannot have it as its maximum.
    pub fn most(&self) -> i64 {
        self.limit.unwrap_or_default().max(1)
    }
}

/// The storage an owner uses, and its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub versions: Used,
    pub bytes: Used,
    pub file_bytes: Option<i64>,
}

impl Standing {
    /// From an owner's usage and custom limits, with the instance's limits as defaults.
    pub fn new(app: &App, (own, used): (OwnQuota, Usage)) -> Self {
        let settings = &app.config.quota;
        let limit = |own: Option<i64>, instance: i64| Some(own.unwrap_or(instance)).filter(|limit| *limit >= 0);
        Self {
            versions: Used { used: used.versions, limit: limit(own.versions, settings.versions) },
            bytes: Used { used: used.bytes, limit: limit(own.bytes, settings.bytes) },
            file_bytes: limit(own.file_bytes, settings.file_bytes),
        }
    }

    /// The bytes used, and the limit.
    pub fn size(&self) -> String {
        let used = Bytes(self.bytes.used);
        self.bytes.limit.map_or_else(|| used.to_string(), |limit| format!("{used} of {}", Bytes(limit)))
    }

    /// The maximum size of a file.
    pub fn file_size(&self) -> Option<Bytes> {
        self.file_bytes.map(Bytes)
    }

    /// The number of versions, and the limit.
    pub fn count(&self) -> String {
        let used = Count(self.versions.used);
        self.versions.limit.map_or_else(|| used.to_string(), |limit| format!("{used} of {}", Count(limit)))
    }
}
