//! Tells administrators by mail when the disk is nearly full or the last backup is old, once until it is right again.

use crate::blocking::spawn_blocking;
use crate::db::Db;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::mail::Facts;
use crate::error::{Error, Result};
use crate::registry::caller::Caller;
use crate::registry::mail::alerts;
use crate::registry::operations::backups::{self, LastBackup};
use crate::registry::operations::forecast::days_left;
use crate::registry::operations::stats::{self, Day};
use crate::storage::{BlobStore, Space};
use std::time::Duration;

/// A disk that lasts fewer days than this is nearly full.
const FEW_DAYS: i64 = 7;
/// So is one with less free space than one part in so many.
const FREE_PART: u64 = 20;

/// When to tell administrators.
#[derive(Debug, Clone, Copy)]
pub struct AlertPlan {
    /// How old a backup may be; `None` for any age.
    pub backup_patience: Option<Duration>,
    /// What uploads leave free.
    pub reserve_bytes: u64,
}

/// Whether the last backup is too old. If `packhouse backup` never made one, another program may make them.
fn old_backup(last: Option<LastBackup>, plan: AlertPlan, now: Timestamp) -> Option<Facts> {
    let (last, patience) = (last?, plan.backup_patience?);
    (last.at < now.minus(patience)).then_some(Facts::OldBackup { made_at: last.at })
}

/// What to say about a disk that is full soon.
fn full_disk(space: Space, days: &[Day], plan: AlertPlan) -> Option<Facts> {
    let free = space.available.saturating_sub(plan.reserve_bytes);
    let days_left = days_left(days, i64::try_from(free).unwrap_or(i64::MAX)).filter(|days| *days < FEW_DAYS);
    let is_full = days_left.is_some() || free < space.total / FREE_PART;
    is_full.then_some(Facts::DiskNearlyFull { free_bytes: space.available, days_left })
}

/// Looks at the disk and the backup, and writes mail about what has become wrong.
///
/// # Errors
/// Database errors; [`Error::Internal`] if the disk cannot be read.
pub async fn run(db: &Db, store: &BlobStore, clock: &Clock, plan: AlertPlan) -> Result<()> {
    let (now, store) = (clock.now(), store.clone());
    let space = spawn_blocking(move || store.free_space()).await.map_err(Error::internal)?;
    let space = space.map_err(Error::internal)?;
    let disk = match space {
        Some(space) => {
            let days = db.read(move |conn| stats::growth(conn, &Caller::command_line(), now)).await?;
            full_disk(space, &days, plan)
        }
        None => None,
    };
    db.write(move |conn| {
        let backup = old_backup(backups::last(conn)?, plan, now);
        alerts::tell_administrators(conn, disk.clone(), backup, now)
    })
    .await
}
