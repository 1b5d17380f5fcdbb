//! A limit on how fast a job reads.

use std::time::{Duration, Instant};

/// Limits the read rate.
pub(super) struct Pace {
    bytes_per_second: u64,
    began: Instant,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), began: Instant::now(), bytes: 0 }
    }

    /// Sleeps until this many more bytes are within the rate.
    pub(super) fn wait(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        let millis = u128::from(self.bytes) * 1000 / u128::from(self.bytes_per_second);
        let due = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        std::thread::sleep(due.saturating_sub(self.began.elapsed()));
    }
}
