//! Whether everything the server needs works, and how much its store holds.

use super::App;
use crate::blocking::spawn_blocking;
use crate::error::{Error, Result};
use crate::registry::operations::integrity::{self, BlobTotals};
use crate::registry::operations::settings;
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
}

impl App {
    /// Checks everything that requests need: the database, the store, free space, and whether the server is stopping.
    pub async fn health(&self) -> [Check; 3] {
        let id = self.store.id().to_string();
        let looked = self.db.read(move |conn| settings::demand_store(conn, &id));
        let database = tokio::time::timeout(PATIENCE, looked).await;
        let database = database.unwrap_or(Err(Error::Busy("the database does not answer")));
        let (store, reserve) = (self.store.clone(), self.config.store.reserve_bytes);
        let stored = spawn_blocking(move || {
            store.check_ready()?;
            let space = store.free_space()?;
            if space.available < reserve || space.inodes == Some(0) { Err(Error::NoSpace) } else { Ok(()) }
        });
        let stored = stored.await.map_err(Error::internal).and_then(|done: Result<()>| done);
        let problem = |result: Result<()>| result.err().map(|error| in_short(&error));
        let draining = self.is_draining().then(|| "the server is stopping".to_owned());
        [
            Check { name: "database", problem: problem(database) },
            Check { name: "store", problem: problem(stored) },
            Check { name: "accepting", problem: draining },
        ]
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

/// The error for an operator: without the advice for the sender of a request.
fn in_short(error: &Error) -> String {
    match error {
        Error::Busy(what) => (*what).to_owned(),
        Error::NoSpace => "no space left".to_owned(),
        other => other.to_string(),
    }
}
