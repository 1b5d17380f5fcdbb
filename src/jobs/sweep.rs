//! Removes unused blobs, with safeguards against a wrong database.
//!
//! Rows of blobs without a file are deleted first, in a transaction, and then their bytes. Blobs that no row names
//! (orphans, left by uploads that crashed) are not removed at once: they move to the store's holding folder, return by
//! themselves if a row turns out to name them, and are removed after a second grace period. A sweep that sees unusually
//! many orphans stops, because a database that lacks rows looks the same.

use crate::db::Db;
use crate::domain::clock::{Clock, Timestamp};
use crate::error::{Error, Result};
use crate::registry::accounts::passkeys::challenges;
use crate::registry::accounts::{attempts, known_addresses};
use crate::registry::operations::settings;
use crate::registry::owners::publishers;
use crate::registry::packages::{cleanup, upload_leases};
use crate::storage::{BlobStore, Claim, Entry, StorageKey, StoreError, Walk};
use std::collections::HashSet;
use std::time::{Duration, SystemTime};

/// How many rows or keys are processed together.
const BATCH: usize = 500;

/// The limits of a sweep.
#[derive(Debug, Clone, Copy)]
pub struct SweepPlan {
    /// Younger blobs are left alone, and an orphan waits as long again in the holding folder.
    pub grace: Duration,
    /// A sweep stops if it would take more than this many blobs and more than `stop_percent`.
    pub stop_files: u64,
    /// The share, in percent of all blobs.
    pub stop_percent: u64,
    /// Continue anyway: an operator has confirmed that this is the right database.
    pub confirmed: bool,
}

impl SweepPlan {
    /// Whether `count` of `all` is too much to take without confirmation.
    fn is_too_much(&self, count: u64, all: u64) -> bool {
        count > self.stop_files && u128::from(count) * 100 > u128::from(all) * u128::from(self.stop_percent)
    }
}

/// The files that a sweep removed, or would remove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs without a file, removed.
    pub unused: u64,
    /// Orphans whose second grace period was over, and parts of crashed uploads, removed.
    pub orphans: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Orphans that were moved to the holding folder.
    pub held: u64,
    /// Their bytes.
    pub held_bytes: u64,
    /// A backup is running: blobs without a file stay until the next sweep.
    pub held_off: bool,
}

/// Runs one sweep. It leaves alone everything younger than the grace period, and every blob that an upload holds,
/// however long the upload takes.
///
/// # Errors
/// [`Error::Blocked`] with what to do when the database may not be the right one; nothing was removed then. Database
/// and store errors; everything removed before the error stays removed.
pub async fn run(db: &Db, store: &BlobStore, clock: &Clock, plan: SweepPlan) -> Result<Swept> {
    let result = sweep(db, store, clock, plan).await;
    let stopped = matches!(result, Err(Error::Blocked(_)));
    metrics::gauge!("packhouse_sweep_stopped").set(f64::from(u8::from(stopped)));
    result
}

async fn sweep(db: &Db, store: &BlobStore, clock: &Clock, plan: SweepPlan) -> Result<Swept> {
    let mut swept = Swept::default();
    let before = clock.now().minus(plan.grace);
    begin(db, store, plan.confirmed).await?;
    let survey = survey(db, store, before).await?;
    metrics::gauge!("packhouse_sweep_orphans").set(f64::from(u32::try_from(survey.orphans).unwrap_or(u32::MAX)));
    if !plan.confirmed {
        demand_few_orphans(&plan, &survey)?;
        demand_few_unused(db, &plan, before).await?;
    }
    forget_rows(db, store, before, &mut swept).await?;
    forget_leases(db, store, before, &mut swept).await?;
    let (sweeper, leased) = (store.clone(), leased(db, store).await?);
    let incoming = blocking(move || sweeper.sweep_incoming(before.into(), &leased)).await?;
    swept.orphans += incoming.files;
    swept.bytes += incoming.bytes;
    empty_holding_folder(db, store, clock.now(), before, &mut swept).await?;
    if survey.orphans > 0 {
        hold_orphans(db, store, clock.now(), before, &mut swept).await?;
    }
    for name in survey.foreign {
        tracing::warn!(name, "a file in the store was not created by Packhouse");
    }
    let now = clock.now();
    db.write(move |conn| {
        attempts::forget_old(conn, now)?;
        known_addresses::forget_old(conn, now)?;
        publishers::forget_old(conn, now)?;
        challenges::forget_old(conn, now)?;
        cleanup::forget_sessions(conn, now).map(drop)
    })
    .await?;
    metrics::counter!("packhouse_swept_bytes_total").increment(swept.bytes);
    Ok(swept)
}

/// Compares the database with the store, by id and by the number of sweeps that both count.
async fn begin(db: &Db, store: &BlobStore, confirmed: bool) -> Result<()> {
    let looker = store.clone();
    let seen = blocking(move || looker.sweeps()).await?;
    let id = store.id().to_string();
    let number = db.write(move |conn| settings::count_sweep(conn, &id, seen, confirmed)).await?;
    let writer = store.clone();
    blocking(move || writer.set_sweeps(number)).await
}

fn demand_few_orphans(plan: &SweepPlan, survey: &Survey) -> Result<()> {
    if !plan.is_too_much(survey.orphans, survey.blobs) {
        return Ok(());
    }
    Err(Error::Blocked(format!(
        "{} of the {} stored blobs have no row in this database, more than the {} and the {} % that garbage collection \
         may remove (jobs.sweep_stop_files, jobs.sweep_stop_percent), so rows may be missing. Nothing was removed. Make \
         sure that this is the right database; if it is, run `packhouse gc --confirm-orphans`",
        survey.orphans, survey.blobs, plan.stop_files, plan.stop_percent
    )))
}

/// Many blobs can lose their files at once when a large package is deleted, but then the owners' totals shrink too. If
/// the totals did not shrink, the rows of files are missing although nobody deleted them.
async fn demand_few_unused(db: &Db, plan: &SweepPlan, before: Timestamp) -> Result<()> {
    let (unused, all) =
        db.snapshot(move |conn| Ok((cleanup::unused_blobs(conn, before)?.0, cleanup::count_blobs(conn)?))).await?;
    let (unused, all) = (u64::try_from(unused).unwrap_or(0), u64::try_from(all).unwrap_or(0));
    if !plan.is_too_much(unused, all) || db.snapshot(cleanup::files_are_whole).await? {
        return Ok(());
    }
    Err(Error::Blocked(format!(
        "{unused} of {all} blobs have no file, but the storage used by the owners shows that they should have: rows of \
         files are missing, as in the middle of a restore. Nothing was removed. Finish restoring the database; if it is \
         complete, run `packhouse gc --confirm-orphans`"
    )))
}

/// Counts what [`run`] would do now, ignoring the plan's limits.
///
/// # Errors
/// Database and store errors.
pub async fn preview(db: &Db, store: &BlobStore, clock: &Clock, grace: Duration) -> Result<Swept> {
    let before = clock.now().minus(grace);
    let (unused, bytes) = db.read(move |conn| cleanup::unused_blobs(conn, before)).await?;
    let (looker, leased) = (store.clone(), leased(db, store).await?);
    let abandoned = blocking(move || looker.leftovers(before.into(), &leased)).await?.abandoned;
    let mut swept = Swept {
        unused: u64::try_from(unused).unwrap_or_default(),
        orphans: abandoned.files,
        bytes: u64::try_from(bytes).unwrap_or_default() + abandoned.bytes,
        ..Swept::default()
    };
    for_each_held(db, store, async |held| {
        if let HeldBlob::Orphan { claim, since } = held
            && since <= SystemTime::from(before)
        {
            swept.bytes += blocking(move || claim.size()).await?;
            swept.orphans += 1;
        }
        Ok(())
    })
    .await?;
    for_each_stray(db, store, before, async |stray| {
        if let Stray::Orphan(claim) = stray {
            swept.held_bytes += blocking(move || claim.size()).await?;
            swept.held += 1;
        }
        Ok(())
    })
    .await?;
    Ok(swept)
}

/// The contents of the store before a sweep changes anything.
#[derive(Debug, Default)]
struct Survey {
    /// All blobs.
    blobs: u64,
    /// Blobs that are old enough and that no row names.
    orphans: u64,
    /// Names of files that Packhouse did not create.
    foreign: Vec<String>,
}

async fn survey(db: &Db, store: &BlobStore, before: Timestamp) -> Result<Survey> {
    let mut survey = Survey::default();
    let walker = store.clone();
    let mut walk = blocking(move || walker.walk()).await?;
    loop {
        let (rest, seen) = blocking(move || next_blobs(walk, before.into())).await?;
        walk = rest;
        survey.blobs += seen.young + u64::try_from(seen.keys.len()).unwrap_or(0);
        survey.foreign.extend(seen.foreign);
        survey.orphans += u64::try_from(unknown(db, store, seen.keys).await?.len()).unwrap_or(0);
        if seen.ended {
            return Ok(survey);
        }
    }
}

/// Moves orphans to the holding folder, where their second grace period begins.
async fn hold_orphans(db: &Db, store: &BlobStore, now: Timestamp, before: Timestamp, swept: &mut Swept) -> Result<()> {
    for_each_stray(db, store, before, async |stray| {
        if let Stray::Orphan(claim) = stray {
            let key = claim.key();
            let size = blocking(move || claim.hold(now.into())).await?;
            tracing::info!(blob = %key, bytes = size, "moved an orphan to the holding folder");
            swept.held_bytes += size;
            swept.held += 1;
        }
        Ok(())
    })
    .await
}

/// Puts back blobs that a row names after all, and removes those that no row has named for a second grace period.
async fn empty_holding_folder(
    db: &Db,
    store: &BlobStore,
    now: Timestamp,
    before: Timestamp,
    swept: &mut Swept,
) -> Result<()> {
    for_each_held(db, store, async |held| {
        match held {
            HeldBlob::Needed(key) => {
                let returner = store.clone();
                blocking(move || returner.put_back(&key)).await?;
                tracing::warn!(blob = %key, "put back a held blob that is needed after all");
            }
            // The clock was wrong and was corrected: the second grace period begins anew.
            HeldBlob::Orphan { claim, since } if since > SystemTime::from(now) => {
                blocking(move || claim.hold(now.into())).await?;
            }
            HeldBlob::Orphan { claim, since } if since <= SystemTime::from(before) => {
                swept.bytes += blocking(move || claim.remove()).await?;
                swept.orphans += 1;
            }
            HeldBlob::Orphan { .. } => {}
        }
        Ok(())
    })
    .await
}

/// A blob in the holding folder.
enum HeldBlob {
    /// A row names it.
    Needed(StorageKey),
    /// No row names it; it is claimed, so nobody else touches it in the meantime.
    Orphan { claim: Claim, since: SystemTime },
}

async fn for_each_held(db: &Db, store: &BlobStore, mut found: impl AsyncFnMut(HeldBlob) -> Result<()>) -> Result<()> {
    let looker = store.clone();
    let held = blocking(move || looker.held()).await?;
    for batch in held.chunks(BATCH) {
        let orphans = unknown(db, store, batch.iter().map(|held| held.key).collect()).await?;
        for held in batch {
            if !orphans.contains(&held.key) {
                found(HeldBlob::Needed(held.key)).await?;
                continue;
            }
            let (claimer, key) = (store.clone(), held.key);
            if let Some(claim) = blocking(move || claimer.claim_held(&key)).await? {
                found(HeldBlob::Orphan { claim, since: held.since }).await?;
            }
        }
    }
    Ok(())
}

/// Something in the store that no row names.
pub(super) enum Stray {
    /// A blob that no row names and no upload holds; it is claimed, so nobody else touches it in the meantime.
    Orphan(Claim),
    /// Something that Packhouse did not create.
    Foreign(String),
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T> {
    Ok(crate::blocking::spawn_blocking(work).await.map_err(Error::internal)??)
}

async fn forget_rows(db: &Db, store: &BlobStore, before: Timestamp, swept: &mut Swept) -> Result<()> {
    loop {
        let id = store.id().to_string();
        let keys = db.write(move |conn| cleanup::forget_blobs(conn, &id, before, BATCH as i64)).await?;
        let Some(keys) = keys else {
            swept.held_off = true;
            return Ok(());
        };
        if keys.is_empty() {
            return Ok(());
        }
        // Committed: these keys are never used again, whatever is uploaded.
        for key in keys {
            swept.bytes += remove(store, &key).await?.unwrap_or(0);
            swept.unused += 1;
        }
    }
}

/// Removes the blobs of uploads that were given up, and copies that were replaced.
async fn forget_leases(db: &Db, store: &BlobStore, before: Timestamp, swept: &mut Swept) -> Result<()> {
    if store.is_local() {
        return Ok(());
    }
    loop {
        let id = store.id().to_string();
        let taken = db.write(move |conn| upload_leases::take_expired(conn, &id, before, BATCH as i64)).await?;
        let Some(keys) = taken.filter(|keys| !keys.is_empty()) else { return Ok(()) };
        for key in keys {
            if let Some(size) = remove(store, &key).await? {
                swept.orphans += 1;
                swept.bytes += size;
            }
        }
    }
}

/// Removes a blob and returns its size in bytes, `None` when it did not exist.
async fn remove(store: &BlobStore, key: &str) -> Result<Option<u64>> {
    let key: StorageKey = key.parse().map_err(Error::internal)?;
    let store = store.clone();
    blocking(move || {
        let size = store.stat(&key)?;
        store.remove(&key).map(|_| size)
    })
    .await
}

/// The keys that have a lease, for a store whose sweep must know them.
pub(super) async fn leased(db: &Db, store: &BlobStore) -> Result<HashSet<StorageKey>> {
    if store.is_local() {
        return Ok(HashSet::new());
    }
    let keys = db.write(upload_leases::keys).await?;
    Ok(keys.iter().filter_map(|key| key.parse().ok()).collect())
}

/// Visits every stray entry in the store; blobs only if they were written before a time.
pub(super) async fn for_each_stray(
    db: &Db,
    store: &BlobStore,
    before: Timestamp,
    mut found: impl AsyncFnMut(Stray) -> Result<()>,
) -> Result<()> {
    let walker = store.clone();
    let mut walk = blocking(move || walker.walk()).await?;
    loop {
        let (rest, seen) = blocking(move || next_blobs(walk, before.into())).await?;
        walk = rest;
        for name in seen.foreign {
            found(Stray::Foreign(name)).await?;
        }
        for key in unknown(db, store, seen.keys).await? {
            if let Some(claim) = claim_orphan(db, store, key).await? {
                found(Stray::Orphan(claim)).await?;
            }
        }
        if seen.ended {
            return Ok(());
        }
    }
}

/// The blobs that the next steps of a walk found.
#[derive(Default)]
struct NextBlobs {
    /// Blobs written before the time.
    keys: Vec<StorageKey>,
    /// How many were written since.
    young: u64,
    foreign: Vec<String>,
    ended: bool,
}

fn next_blobs(mut walk: Walk, before: SystemTime) -> Result<(Walk, NextBlobs), StoreError> {
    let mut seen = NextBlobs::default();
    while seen.keys.len() + seen.foreign.len() < BATCH {
        match walk.next().transpose()? {
            None => {
                seen.ended = true;
                break;
            }
            Some(Entry::Blob { key, modified, .. }) if modified < before => seen.keys.push(key),
            Some(Entry::Blob { .. }) => seen.young += 1,
            Some(Entry::Foreign(name)) => seen.foreign.push(name),
        }
    }
    Ok((walk, seen))
}

/// The keys among these that no row names. It asks in a write transaction, because read connections may lead to a
/// standby that lags behind.
async fn unknown(db: &Db, store: &BlobStore, keys: Vec<StorageKey>) -> Result<Vec<StorageKey>> {
    if keys.is_empty() {
        return Ok(keys);
    }
    let (id, names) = (store.id().to_string(), keys.iter().map(StorageKey::to_string).collect::<Vec<_>>());
    let known = db.write(move |conn| cleanup::known_keys(conn, &id, &names)).await?;
    Ok(keys.into_iter().filter(|key| !known.contains(&key.to_string())).collect())
}

async fn claim_orphan(db: &Db, store: &BlobStore, key: StorageKey) -> Result<Option<Claim>> {
    let claimer = store.clone();
    let Some(claim) = blocking(move || claimer.claim(&key)).await? else { return Ok(None) };
    // Checked again with the blob claimed: an upload releases its blob after its commit, so the answer is final.
    Ok((!unknown(db, store, vec![key]).await?.is_empty()).then_some(claim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_stops_only_if_both_limits_are_exceeded() {
        let plan = SweepPlan { grace: Duration::ZERO, stop_files: 100, stop_percent: 10, confirmed: false };
        assert!(!plan.is_too_much(100, 100), "few, though all of them");
        assert!(!plan.is_too_much(101, 1_010), "a tenth");
        assert!(plan.is_too_much(102, 1_010));
        assert!(plan.is_too_much(200, 200));
        assert!(plan.is_too_much(u64::MAX, u64::MAX), "no overflow");
    }
}
