//! What uses the most space. The figures take a scan of all files, so they are computed at most every few minutes.

use super::App;
use crate::registry::operations::largest::{self, Largest};
use std::time::{Duration, Instant};

/// The maximum age of the figures.
const MAX_AGE: Duration = Duration::from_secs(300);

impl App {
    /// The largest owners and packages, at most five minutes old; `None` if the database did not answer.
    pub async fn largest(&self) -> Option<Largest> {
        let mut known = self.known_largest.lock().await;
        if let Some((at, largest)) = &*known
            && at.elapsed() < MAX_AGE
        {
            return Some(largest.clone());
        }
        let now = self.clock.now();
        let found = self.db.snapshot(move |conn| largest::find(conn, now)).await;
        let found = found.inspect_err(|error| tracing::warn!(%error, "could not find the largest packages")).ok()?;
        *known = Some((Instant::now(), found.clone()));
        Some(found)
    }
}
