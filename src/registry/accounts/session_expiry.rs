//! How long a session lives.

use crate::db::schema::sessions;
use crate::domain::clock::Timestamp;
use diesel::dsl::auto_type;
use diesel::prelude::*;
use std::time::Duration;

/// How long an unused session lives.
pub const IDLE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a session lives at most, used or not.
pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Whether the session of the query's row is not over. One that expires later than it can began while the clock was
/// ahead, and is over too.
#[auto_type(no_type_alias)]
pub fn is_live(now: Timestamp) -> _ {
    let latest: Timestamp = now.latest_end_of(IDLE);
    sessions::expires_at.gt(now).and(sessions::expires_at.le(latest))
}
