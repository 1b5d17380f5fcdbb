//! The pages for site administrators.

pub mod audit;
pub mod owners;
pub mod quota;
pub mod system;
pub mod user;
pub mod users;

use super::format::{Bytes, Count};
use super::page::{Frame, Reply, frame};
use crate::auth::call::Call;
use crate::blocking::spawn_blocking;
use crate::domain::address::{HookPages, admin_user};
use crate::domain::role::OwnerKind;
use crate::error::Result;
use crate::jobs::task_status::Task;
use crate::registry::operations::damage;
use crate::registry::operations::stats::{self, Day, Figure, Overview};
use crate::registry::packages::freed::{self, Given};
use crate::registry::packages::trash_entries;
use crate::registry::webhooks::failing::{self, FailingHooks};
use crate::state::health::Check;
use askama::Template;

/// The address, icon and title of each page. `templates/admin_side.html` shows them.
pub const SIDE: &[(&str, &str, &str)] = &[
    (OVERVIEW, "layout-dashboard", "Overview"),
    ("/-/admin/users", "users", "Users"),
    ("/-/admin/orgs", "building-2", "Organizations"),
    ("/-/admin/packages", "package", "Packages"),
    ("/-/admin/audit", "history", "Audit log"),
    ("/-/admin/system", "activity", "System"),
];

const OVERVIEW: &str = "/-/admin";

/// Whether a page is at or below one of these addresses. All other pages are below the overview, so it must match
/// exactly.
pub fn is_at(frame: &Frame, path: &str) -> bool {
    match path {
        OVERVIEW => frame.here.split('?').next() == Some(OVERVIEW),
        other => frame.is_at(other),
    }
}

/// The most owners with failing webhooks that the overview names.
const FAILING_SHOWN: i64 = 5;

/// The dimensions of the plot: its height, where the bars start, and the width of a day.
const HEIGHT: i64 = 160;
const LEFT: i64 = 2;
const STEP: i64 = 20;

/// A day in the plot and in its data table.
struct Bar {
    day: String,
    x: i64,
    /// The logical size: the bytes of all files, duplicates included.
    bytes: Bytes,
    y: i64,
    height: i64,
    /// The size on disk.
    blob_bytes: Bytes,
    blob_y: i64,
    blob_height: i64,
}

/// The plot of storage used.
struct Plot {
    bars: Vec<Bar>,
    /// The grid lines: their height and label.
    lines: Vec<(i64, Bytes)>,
    first: String,
    last: String,
}

impl Plot {
    fn new(days: Vec<Day>) -> Self {
        let most = days.iter().flat_map(|day| [day.bytes, day.blob_bytes]).flatten().max().unwrap_or(0).max(1);
        let height = |bytes: i64| {
            let scaled = i128::from(bytes.max(0)) * i128::from(HEIGHT) / i128::from(most);
            // A value above zero is drawn at least one pixel high.
            i64::try_from(scaled).unwrap_or(HEIGHT).max(i64::from(bytes > 0))
        };
        let ends = (days.first().map(|day| day.day.clone()), days.last().map(|day| day.day.clone()));
        let bar = |(place, day): (i64, Day)| {
            let (bytes, blob_bytes) = (day.bytes?, day.blob_bytes?);
            Some(Bar {
                x: LEFT + place * STEP,
                y: HEIGHT - height(bytes),
                height: height(bytes),
                blob_y: HEIGHT - height(blob_bytes),
                blob_height: height(blob_bytes),
                bytes: Bytes(bytes),
                blob_bytes: Bytes(blob_bytes),
                day: day.day,
            })
        };
        Self {
            bars: (0..).zip(days).filter_map(bar).collect(),
            lines: [(0, most), (HEIGHT / 2, most / 2), (HEIGHT, 0)].map(|(y, bytes)| (y, Bytes(bytes))).to_vec(),
            first: ends.0.unwrap_or_default(),
            last: ends.1.unwrap_or_default(),
        }
    }
}

/// A count, with `about` before an estimate.
struct EstimatedCount(Figure);

impl std::fmt::Display for EstimatedCount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(figure) = self;
        write!(f, "{}{}", if figure.is_estimate { "about " } else { "" }, Count(figure.number))
    }
}

#[derive(Template)]
#[template(path = "admin.html")]
struct OverviewPage {
    frame: Frame,
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
    trash: Bytes,
    trashed_files: Count,
    /// What emptying the trash would free on the disk.
    trash_freed: Bytes,
    plot: Plot,
    health: [Check; 3],
    damaged: Count,
    /// Jobs whose last run failed.
    failed: Vec<&'static str>,
    /// Owners whose webhooks fail.
    failing_hooks: Vec<FailingHooks>,
}

/// The page about an owner's webhooks that an administrator can open.
fn hooks_url(failing: &FailingHooks) -> String {
    match failing.kind {
        OwnerKind::Organization => HookPages::of(Some(&failing.owner)).list().to_owned(),
        OwnerKind::User => admin_user(&failing.owner),
    }
}

/// `GET /-/admin`.
pub async fn overview(call: Call) -> Result<Reply> {
    let now = call.app.clock.now();
    let (frame, (overview, mut days, damaged, trash, trash_freed, failing_hooks)) =
        frame(&call, move |conn, caller| {
            let (trash, freed) = (trash_entries::occupied(conn, caller)?, freed::bytes(conn, Given::Trash)?);
            let (overview, days) = (stats::overview(conn, caller)?, stats::growth(conn, caller, now)?);
            let failing_hooks = failing::list(conn, caller, FAILING_SHOWN)?;
            Ok((overview, days, damage::count(conn)?, trash, freed, failing_hooks))
        })
        .await?;
    let failed = |task: &Task| call.app.tasks.status(*task).last.is_some_and(|last| !last.is_good);
    let failed = Task::ALL.into_iter().filter(failed).map(|task| system::words(task).0).collect();
    let totals = call.app.blob_totals().await;
    let (blobs, blob_bytes) = totals.map_or((0, 0), |totals| (totals.blobs, totals.bytes));
    let bytes = overview.stored.bytes;
    if let Some(today) = days.last_mut() {
        (today.bytes, today.blob_bytes) = (Some(bytes), Some(blob_bytes));
    }
    // The disk has the bytes of the trash too.
    let all = bytes + trash.bytes;
    let saved = (all - blob_bytes).max(0);
    let store = call.app.store.clone();
    let free = spawn_blocking(move || store.free_space()).await;
    let free = free.ok().and_then(Result::ok).map(|space| Bytes(i64::try_from(space.available).unwrap_or(i64::MAX)));
    Reply::page(&OverviewPage {
        frame,
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
        trash: Bytes(trash.bytes),
        trashed_files: Count(trash.files),
        trash_freed: Bytes(trash_freed),
        plot: Plot::new(days),
        health: call.app.health().await,
        damaged: Count(damaged),
        failed,
        failing_hooks,
        overview,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chart_bars_show_bytes_and_days_without_a_server_have_no_bar() {
        let day = |day: &str, both: Option<(i64, i64)>| Day {
            day: day.to_owned(),
            bytes: both.map(|both| both.0),
            blob_bytes: both.map(|both| both.1),
        };
        let plot = Plot::new(vec![day("1", Some((1000, 500))), day("2", None), day("3", Some((1, 0)))]);
        let drawn: Vec<_> = plot.bars.iter().map(|bar| (bar.x, bar.height, bar.blob_height)).collect();
        assert_eq!(drawn, [(LEFT, HEIGHT, HEIGHT / 2), (LEFT + 2 * STEP, 1, 0)]);
        assert!(Plot::new(vec![day("1", Some((i64::MAX, i64::MAX)))]).bars[0].height == HEIGHT);
    }
}
