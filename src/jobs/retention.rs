//! Moves versions away that expired, and those that the retention rules of their owners delete. One server at a time
//! does this for all servers of a database. Each version goes in a transaction of its own.

use crate::db::Db;
use crate::domain::clock::Clock;
use crate::domain::ids::OwnerId;
use crate::error::{Error, Result};
use crate::registry::operations::lease;
use crate::registry::packages::retention::removal::{self, Removed};
use std::time::Duration;

/// The setting that holds the lease.
const LEASE: &str = "retention";
/// How many expired versions are read at once.
const BATCH: i64 = 500;
/// The lease is renewed after this many versions.
const RENEW_EVERY: usize = 100;

/// When to run.
#[derive(Debug, Clone, Copy)]
pub struct RetentionPlan {
    /// How often.
    pub every: Duration,
    /// Run now, even though the last run is recent.
    pub now_please: bool,
    /// How long what is moved away can be restored; zero: not at all.
    pub keep: Duration,
    /// The id of this server, a random number.
    pub server: u64,
}

/// The versions that a run moved away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Because they expired.
    pub expired: u64,
    /// Because of a rule.
    pub deleted: u64,
    /// In all their files.
    pub bytes: u64,
    /// Versions that a rule was going to delete, and that changed in the meantime.
    pub spared: u64,
    /// Another server took over before the end.
    pub taken_over: bool,
}

/// Leases the run that is due to this server. False when another server holds the lease, or nothing is due.
///
/// # Errors
/// Database errors.
pub async fn lease_due(db: &Db, clock: &Clock, plan: RetentionPlan) -> Result<bool> {
    let now = clock.now();
    db.write(move |conn| lease::take(conn, (LEASE, plan.server), (plan.every, plan.now_please), now)).await
}

/// One run of the server that holds the lease, for all owners or for one. `tell` gets each version that was moved away.
/// A version or an owner that fails is logged, and the others have their turn.
///
/// # Errors
/// The last database error; what was moved away stays away.
pub async fn run(
    db: &Db,
    clock: &Clock,
    plan: RetentionPlan,
    only: Option<OwnerId>,
    mut tell: impl FnMut(&Removed),
) -> Result<Outcome> {
    let mut run = Run { db, clock, plan, seen: 0, failed: None, outcome: Outcome::default() };
    run.remove_expired(only, &mut tell).await?;
    let owners = match only {
        Some(owner) => vec![owner],
        None => db.read(removal::owners_with_rules).await?.into_iter().map(|(owner, _)| owner).collect(),
    };
    for owner in owners {
        if !run.outcome.taken_over
            && let Err(error) = run.apply_rules(owner, &mut tell).await
        {
            tracing::warn!(owner = owner.0, %error, "could not apply the retention rules of an owner");
            run.failed = Some(error);
        }
    }
    if !run.outcome.taken_over {
        db.write(move |conn| lease::end(conn, (LEASE, plan.server))).await?;
    }
    run.failed.map_or(Ok(run.outcome), Err)
}

struct Run<'a> {
    db: &'a Db,
    clock: &'a Clock,
    plan: RetentionPlan,
    /// How many versions were looked at.
    seen: usize,
    /// The last error of a version or an owner.
    failed: Option<Error>,
    outcome: Outcome,
}

impl Run<'_> {
    async fn remove_expired(&mut self, only: Option<OwnerId>, tell: &mut impl FnMut(&Removed)) -> Result<()> {
        loop {
            let now = self.clock.now();
            let due = self.db.read(move |conn| removal::expired(conn, only, now, BATCH)).await?;
            let before = self.outcome.expired;
            for version in due {
                if !self.may_go_on().await? {
                    return Ok(());
                }
                let (keep, now) = (self.plan.keep, self.clock.now());
                match self.db.write(move |conn| removal::remove_expired(conn, version, keep, now)).await {
                    Ok(Some(removed)) => {
                        self.outcome.expired += 1;
                        self.note("expiry", &removed, tell);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(version = version.1.0, %error, "could not move an expired version to the trash");
                        self.failed = Some(error);
                    }
                }
            }
            // The others were held or changed in the meantime.
            if self.outcome.expired == before {
                return Ok(());
            }
        }
    }

    async fn apply_rules(&mut self, owner: OwnerId, tell: &mut impl FnMut(&Removed)) -> Result<()> {
        let now = self.clock.now();
        let candidates = self.db.snapshot(move |conn| removal::candidates(conn, owner, now)).await?;
        for candidate in candidates {
            if !self.may_go_on().await? {
                return Ok(());
            }
            let (keep, now) = (self.plan.keep, self.clock.now());
            let removed = self.db.write(move |conn| removal::remove(conn, &candidate, keep, now)).await?;
            match removed {
                Some(removed) => {
                    self.outcome.deleted += 1;
                    self.note("retention", &removed, tell);
                }
                None => self.outcome.spared += 1,
            }
        }
        Ok(())
    }

    /// Counts a version, and renews the lease from time to time; false when another server has taken over.
    async fn may_go_on(&mut self) -> Result<bool> {
        self.seen += 1;
        if self.seen.is_multiple_of(RENEW_EVERY) {
            let (server, now) = (self.plan.server, self.clock.now());
            self.outcome.taken_over = !self.db.write(move |conn| lease::renew(conn, (LEASE, server), now)).await?;
        }
        Ok(!self.outcome.taken_over)
    }

    fn note(&mut self, cause: &'static str, removed: &Removed, tell: &mut impl FnMut(&Removed)) {
        let bytes = u64::try_from(removed.bytes).unwrap_or(0);
        self.outcome.bytes = self.outcome.bytes.saturating_add(bytes);
        metrics::counter!("packhouse_retention_versions_total", "cause" => cause).increment(1);
        metrics::counter!("packhouse_retention_bytes_total", "cause" => cause).increment(bytes);
        tell(removed);
    }
}
