//! The lease of an upload, where the store itself cannot keep sweeps away from it.

use crate::error::Result;
use crate::registry::packages::upload_leases::{self, LEASE};
use crate::state::App;
use crate::storage::Incoming;
use actix_web::rt::task::JoinHandle;
use std::sync::Arc;

/// A lease that is renewed as long as this lives.
pub(super) struct Lease {
    key: String,
    renewing: JoinHandle<()>,
}

impl Lease {
    /// Takes a lease for an upload that needs one.
    ///
    /// # Errors
    /// Database errors.
    pub(super) async fn begin(app: &Arc<App>, incoming: &Incoming) -> Result<Option<Self>> {
        let Some(key) = incoming.reserved_key().map(|key| key.to_string()) else { return Ok(None) };
        let (leased, now) = (key.clone(), app.clock.now());
        app.db.write(move |conn| upload_leases::begin(conn, &leased, now)).await?;
        let renewing = actix_web::rt::spawn(renew(Arc::clone(app), key.clone()));
        Ok(Some(Self { key, renewing }))
    }

    /// The key that is leased.
    pub(super) fn key(&self) -> &str {
        &self.key
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

/// Renews a lease several times before it would expire. If it is lost, the upload fails when it is committed.
async fn renew(app: Arc<App>, key: String) {
    let mut ticks = tokio::time::interval(LEASE / 5);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let (leased, now) = (key.clone(), app.clock.now());
        match app.db.write(move |conn| upload_leases::renew(conn, &leased, now)).await {
            Ok(true) => {}
            Ok(false) => return tracing::warn!(key, "a sweep has taken the lease of an upload"),
            Err(error) => tracing::warn!(%error, key, "could not renew the lease of an upload; trying again"),
        }
    }
}
