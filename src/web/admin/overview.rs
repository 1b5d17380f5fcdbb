//! The overview: what needs attention, how much is stored, how it grows, and what the server answers.

use super::attention::{Concern, Facts, Surroundings, concerns};

use super::plot::Plot;
use super::system::{TaskRow, task_rows};
use super::traffic::{FailureRow, TrafficFigures};
use crate::auth::call::Call;
use crate::blocking::spawn_blocking;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::error::Result;
use crate::http::paging::param;
use crate::registry::caller::Caller;
use crate::registry::operations::forecast::days_left;
use crate::registry::operations::largest::{LargeOwner, LargePackage, Largest};
use crate::registry::operations::scrub;
use crate::registry::operations::stats::{self, Day, Figure, Overview};
use crate::registry::packages::freed::{self, Given};
use crate::registry::packages::trash_entries;
use crate::state::App;
use crate::state::health::Check;
use crate::web::format::{Bytes, Count, When};
use crate::web::page::{Frame, Reply, frame};
use askama::Template;

/// How often a page that updates itself is loaded again, in seconds.
const LIVE_EVERY: u64 = 30;
/// The most server errors that are shown.
const FAILURES_SHOWN: usize = 20;

/// The most days that a trend of 30 days says something about.
const TRUSTED_DAYS: i64 = 1_000;

/// A count, with `about` before an estimate.
struct EstimatedCount(Figure);

impl std::fmt::Display for EstimatedCount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(figure) = self;
        write!(f, "{}{}", if figure.is_estimate { "about " } else { "" }, Count(figure.number))
    }
}

/// What the database says.
struct Stored {
    overview: Overview,
    days: Vec<Day>,
    trash: trash_entries::Occupied,
    trash_freed: i64,
    facts: Facts,
    scrub: scrub::Progress,
}

impl Stored {
    fn read(conn: &mut Connection, caller: &Caller, now: Timestamp) -> Result<Self> {
        Ok(Self {
            overview: stats::overview(conn, caller)?,
            days: stats::growth(conn, caller, now)?,
            trash: trash_entries::occupied(conn, caller)?,
            trash_freed: freed::bytes(conn, Given::Trash, None)?,
            facts: Facts::read(conn, caller, now)?,
            scrub: scrub::progress(conn)?,
        })
    }
}

/// An owner or a package with the space it uses.
struct LargeRow {
    name: String,
    href: String,
    /// On the disk.
    bytes: Bytes,
    logical: Bytes,
}

#[derive(Template)]
#[template(path = "admin.html")]
struct OverviewPage {
    frame: Frame,
    /// When the page was made.
    made: When,
    /// How often the page is loaded again, if it is.
    live: Option<u64>,
    concerns: Vec<Concern>,
    failures: Vec<FailureRow>,
    /// How many more failures there are.
    more_failures: Count,
    overview: Overview,
    packages: EstimatedCount,
    files: EstimatedCount,
    versions: Count,
    users: Count,
    orgs: Count,
    bytes: Bytes,
    blobs: Count,
    blob_bytes: Bytes,
    saved: Bytes,
    /// In percent.
    saved_part: i64,
    free: Option<Bytes>,
    /// In how many days the disk is full, by the trend of the last days.
    days_left: Option<Count>,
    trash: Bytes,
    trashed_files: Count,
    /// What emptying the trash would free on the disk.
    trash_freed: Bytes,
    /// What the next garbage collections free: blobs and bytes.
    unused: Option<(Count, Bytes)>,
    backup: Option<When>,
    traffic: TrafficFigures,
    plot: Plot,
    large_owners: Vec<LargeRow>,
    large_packages: Vec<LargeRow>,
    large_at: When,
    /// Jobs that run or wait.
    jobs: Vec<TaskRow>,
    health: [Check; 3],
}

/// The free space of the store.
async fn free_space(app: &App) -> Option<i64> {
    let store = app.store.clone();
    let space = spawn_blocking(move || store.free_space()).await.ok()?.ok()??;
    Some(i64::try_from(space.available).unwrap_or(i64::MAX))
}

fn large_rows(largest: Option<&Largest>) -> (Vec<LargeRow>, Vec<LargeRow>) {
    let Some(largest) = largest else { return (Vec::new(), Vec::new()) };
    let owner = |owner: &LargeOwner| LargeRow {
        name: owner.name.to_string(),
        href: address::owner_page(&owner.name),
        bytes: Bytes(owner.bytes),
        logical: Bytes(owner.logical),
    };
    let package = |package: &LargePackage| LargeRow {
        name: format!("{}/{}", package.owner, package.name),
        href: address::package_page(&package.owner, &package.name),
        bytes: Bytes(package.bytes),
        logical: Bytes(package.logical),
    };
    (largest.owners.iter().map(owner).collect(), largest.packages.iter().map(package).collect())
}

/// `GET /-/admin`.
pub async fn page(call: Call) -> Result<Reply> {
    let (app, now) = (&call.app, call.app.clock.now());
    let (frame, mut stored) = frame(&call, move |conn, caller| Stored::read(conn, caller, now)).await?;
    let totals = app.blob_totals().await;
    let (blobs, blob_bytes) = totals.map_or((0, 0), |totals| (totals.blobs, totals.bytes));
    let (overview, bytes) = (stored.overview, stored.overview.stored.bytes);
    if let Some(today) = stored.days.last_mut() {
        (today.bytes, today.blob_bytes) = (Some(bytes), Some(blob_bytes));
    }
    // The disk has the bytes of the trash too.
    let all = bytes + stored.trash.bytes;
    let saved = (all - blob_bytes).max(0);
    let (free, health, failures) = (free_space(app).await, app.health().await, app.recent.failures());
    // Uploads may not use the reserve.
    let reserve = i64::try_from(app.config.store.reserve_bytes).unwrap_or(i64::MAX);
    let days_left = free.and_then(|free| days_left(&stored.days, free.saturating_sub(reserve)));
    let free = free.map(Bytes);
    let (inactive, has_files) = (overview.people.inactive, overview.files.number > 0);
    let around = Surroundings { health: &health, failures: &failures, inactive, has_files, free, days_left };
    let concerns = concerns(&call, &stored.facts, &around);
    let largest = app.largest().await;
    let (large_owners, large_packages) = large_rows(largest.as_ref());
    let more_failures = failures.len().saturating_sub(FAILURES_SHOWN);
    let is_busy = |task: &TaskRow| task.running.is_some() || task.status.is_wanted;
    Reply::page(&OverviewPage {
        frame,
        made: When { at: now, now },
        live: param(&call.req, "live").map(|_| LIVE_EVERY),
        concerns,
        failures: failures.into_iter().take(FAILURES_SHOWN).map(|failure| FailureRow::new(failure, now)).collect(),
        more_failures: Count(i64::try_from(more_failures).unwrap_or(i64::MAX)),
        packages: EstimatedCount(overview.packages),
        files: EstimatedCount(overview.files),
        versions: Count(overview.stored.versions),
        users: Count(overview.people.users),
        orgs: Count(overview.people.orgs),
        bytes: Bytes(bytes),
        blobs: Count(blobs),
        blob_bytes: Bytes(blob_bytes),
        saved: Bytes(saved),
        saved_part: i64::try_from(i128::from(saved) * 100 / i128::from(all.max(1))).unwrap_or(0),
        free,
        days_left: days_left.filter(|days| *days < TRUSTED_DAYS).map(Count),
        trash: Bytes(stored.trash.bytes),
        trashed_files: Count(stored.trash.files),
        trash_freed: Bytes(stored.trash_freed),
        unused: largest.as_ref().map(|largest| (Count(largest.unused.0), Bytes(largest.unused.1))),
        backup: stored.facts.backup.map(|backup| When { at: backup.at, now }),
        traffic: TrafficFigures::new(app.recent.traffic()),
        plot: Plot::new(stored.days),
        large_owners,
        large_packages,
        large_at: When { at: largest.map_or(now, |largest| largest.at.min(now)), now },
        jobs: task_rows(app, &stored.scrub, blob_bytes).into_iter().filter(is_busy).collect(),
        health,
        overview,
    })
}
