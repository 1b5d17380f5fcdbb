//! How long a session lives.

use crate::domain::clock::{CLOCK_DIFFERENCE, Timestamp};
use std::time::Duration;

/// How long an unused session lives.
pub const IDLE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a session lives at most, used or not.
pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// The latest time that a session can expire at. One that expires later began while the clock was ahead, and is over.
pub fn latest_expiry(now: Timestamp) -> Timestamp {
    now.plus(IDLE).plus(CLOCK_DIFFERENCE)
}
