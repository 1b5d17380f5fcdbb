//! Whether everything the server needs works, and how much its store holds.

use super::App;
use crate::blocking::spawn_blocking;
use crate::error::{Error, Result};
use crate::registry::operations::integrity::{self, BlobTotals};
use crate::registry::operations::settings;
use crate::storage::Space;
use std::time::{Duration, Instant};

/// The maximum age of the blob count: anybody may request the metrics, and each count is a scan.
const TOTALS_AGE: Duration = Duration::from_secs(60);

/// How long the database may take for the simplest query: a health probe does not wait long either.
const PATIENCE: Duration = Duration::from_secs(3);

/// One component that the server needs, and what is wrong with it.
#[derive(Debug, Clone)]
pub struct Check {
    pub name: &'static str,
    pub problem: Option<String>,
    /// Downloads work despite the problem.
    pub is_degraded: bool,
}

impl Check {
    /// What is needed for downloads, and what uploads need in addition.
    fn of(name: &'static str, reads: Result<()>, writes: Result<()>) -> Self {
        let is_degraded = reads.is_ok() && writes.is_err();
        let problem = reads.and(writes).err().map(|error| in_short(&error));
        Self { name, problem, is_degraded }
    }
}

impl App {
    /// Checks everything that requests need: the database, the store, free space, and whether the server is stopping.
    pub async fn health(&self) -> [Check; 3] {
        let id = self.store.id().to_string();
        let reads = in_time(self.db.read(move |conn| settings::demand_store(conn, &id)));
        let writes = in_time(self.db.check_writable());
        let (store, reserve) = (self.store.clone(), self.config.store.reserve_bytes);
        let stored = spawn_blocking(move || {
            let reads = store.check_readable().and_then(|()| store.free_space());
            let writes = store.check_ready().map_err(Error::from);
            let has_room = |space: &Space| space.available >= reserve && space.inodes != Some(0);
            let full = reads.as_ref().is_ok_and(|space| space.as_ref().is_some_and(|space| !has_room(space)));
            (reads.map(drop).map_err(Error::from), writes.and(if full { Err(Error::NoSpace) } else { Ok(()) }))
        });
        let (reads, writes, stored) = tokio::join!(reads, writes, stored);
        let (store_reads, store_writes) = stored.unwrap_or_else(|error| (Err(Error::internal(error)), Ok(())));
        let draining = self.is_draining().then(|| "the server is stopping".to_owned());
        [
            Check::of("database", reads, writes),
            Check::of("store", store_reads, store_writes),
            Check { name: "accepting", problem: draining, is_degraded: false },
        ]
    }

    /// Whether these checks allow requests to be sent here.
    pub fn is_ready(&self, checks: &[Check]) -> bool {
        let degraded_is_ready = self.config.health.degraded_is_ready;
        checks.iter().all(|check| check.problem.is_none() || check.is_degraded && degraded_is_ready)
    }

    /// The number of blobs and their bytes, at most a minute old.
    pub async fn blob_totals(&self) -> Option<BlobTotals> {
        let mut known = self.known_blobs.lock().await;
        if let Some((at, totals)) = *known
            && at.elapsed() < TOTALS_AGE
        {
            return Some(totals);
        }
        let totals = self.db.read(integrity::blob_totals).await.ok()?;
        *known = Some((Instant::now(), totals));
        Some(totals)
    }
}

/// Waits for the database no longer than a health probe does.
async fn in_time(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(Error::Busy("the database does not answer")))
}

/// The error for an operator: without the advice for the sender of a request.
fn in_short(error: &Error) -> String {
    match error {
        Error::Busy(what) => (*what).to_owned(),
        Error::NoSpace => "no space left".to_owned(),
        other => other.to_string(),
    }
}
