//! This process as one of the servers of its database: it joins them, leaves them, and waits for them.

use super::coherence::{self, Coherence, LEASE, ServerIdentity};
use super::pool::{Manager, Mode};
use super::{Db, LONGEST_WRITE, PATIENCE, Which, retrying};
use crate::blocking::spawn_blocking;
use crate::error::{Error, Result};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

impl Db {
    /// Makes this process a server that the other servers of this database know, and that may remember what it read.
    ///
    /// # Errors
    /// [`Error::Internal`] when its thread cannot be started.
    pub fn join_servers(&self, identity: ServerIdentity) -> Result<()> {
        self.0.server.store(identity.id, Ordering::Relaxed);
        let manager = Manager::new(&self.0.url, Mode::Write, Arc::clone(&self.0.store));
        let keeper = coherence::start(&self.0.coherence, manager, identity).map_err(Error::internal)?;
        *self.0.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        Ok(())
    }

    /// Ends that: the other servers no longer wait for this one.
    pub async fn leave_servers(&self) {
        self.0.coherence.stop();
        let keeper = self.0.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            // A database that does not answer keeps the thread, and the lease ends by itself.
            let _ = tokio::time::timeout(PATIENCE, spawn_blocking(move || keeper.join())).await;
        }
    }

    /// The id of this server in the list of servers; 0 for a command.
    pub fn server_id(&self) -> i64 {
        self.0.server.load(Ordering::Relaxed)
    }

    /// What this server may rely on of what it has read.
    pub fn coherence(&self) -> &Coherence {
        &self.0.coherence
    }

    /// Waits until no server uses what it remembered before this call of anything that was taken away.
    pub async fn settle(&self) {
        let server = self.server_id();
        let sent = self
            .run(Which::Write, LONGEST_WRITE, move |lane| retrying(lane, |conn| coherence::send_sync(conn, server)));
        let settling = match sent.await {
            Ok(settling) => settling,
            Err(error) => {
                tracing::warn!(%error, "could not tell the other servers of a change; waiting until their leases end");
                return tokio::time::sleep(LEASE).await;
            }
        };
        coherence::received_here(&self.0.coherence, settling.number).await;
        if settling.has_crashed {
            tokio::time::sleep(LEASE).await;
        }
        if settling.others > 0 {
            // By then, every other server has either renewed its lease, and so received the number, or lost it.
            let _ = tokio::time::timeout(2 * LEASE, self.acknowledged(server, settling.number)).await;
        }
    }

    /// Waits until every other server that has a lease has acknowledged a number.
    async fn acknowledged(&self, server: i64, number: i64) {
        let mut pause = Duration::from_millis(1);
        loop {
            if let Ok(0) = self.read(move |conn| coherence::lagging(conn, server, number)).await {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }
}
