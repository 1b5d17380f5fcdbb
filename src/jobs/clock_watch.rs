//! Whether the clock jumped since the last look. A job that deletes what is old must not believe a clock that is suddenly
//! days ahead: it waits for one look more, so that somebody or NTP can put the clock right.

use crate::domain::clock::Timestamp;
use std::time::{Duration, Instant};

/// How much more may have passed by the clock than really did.
const TOLERANCE: Duration = Duration::from_secs(600);

/// What the clock and the machine's steady time said at the last look.
#[derive(Debug, Default)]
pub struct ClockWatch {
    last: Option<(Timestamp, Instant)>,
}

impl ClockWatch {
    /// Whether it has looked at all.
    pub fn has_looked(&self) -> bool {
        self.last.is_some()
    }

    /// Looks at the clock: true if it jumped ahead since the last look.
    pub fn jumped(&mut self, now: Timestamp, steady: Instant) -> bool {
        let last = self.last.replace((now, steady));
        last.is_some_and(|(then, before)| now.since(then) > steady.duration_since(before) + TOLERANCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_ahead_is_noticed_once() {
        let (mut watch, begin, steady) = (ClockWatch::default(), Timestamp::from_unix(1_800_000_000), Instant::now());
        let at = |seconds| (begin.plus(Duration::from_secs(seconds)), steady + Duration::from_secs(seconds));
        let mut look = |clock, real| watch.jumped(at(clock).0, at(real).1);
        assert!(!look(0, 0), "there is nothing to compare with");
        assert!(!look(3_600, 3_600));
        assert!(look(90_000, 7_200), "a day ahead");
        assert!(!look(93_600, 10_800), "it stayed there, so it is believed");
        assert!(!look(10_800, 14_400), "back is harmless");
    }
}
