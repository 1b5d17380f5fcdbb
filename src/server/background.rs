//! Background work: at regular times, when there is something to do, or when an administrator asks. Its status is in
//! the tasks of the server's state.

mod retention;
mod running;

use crate::error::{Error, Result};
use crate::jobs::check::{self, Options, Outcome};
use crate::jobs::clock_watch::ClockWatch;
use crate::jobs::scrub::{self, ScrubPlan, Scrubbed};
use crate::jobs::sweep::Swept;
use crate::jobs::task_status::Task;
use crate::jobs::{
    digests, empty_trash, flush_counts, forget_downloads, mail, mail_alerts, note_totals, run_span, seal_versions,
    sweep, webhooks,
};
use crate::state::{App, alert_plan, sweep_plan};
use crate::web::format::{Bytes, Count};
use running::{Running, counted, size};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tracing::Instrument;

/// How often today's totals are recorded: this scans the blobs.
const NOTE_EVERY: Duration = Duration::from_secs(300);
/// How often to check whether a scrub is due, or was left by a server that died.
const SCRUB_LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often to check for versions that are due to be sealed.
const SEAL_EVERY: Duration = Duration::from_secs(60);
/// How often to check for webhook deliveries and days of downloads that are old enough to be deleted.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// How often to look for what people are told by mail without having done anything.
const NOTICES_EVERY: Duration = Duration::from_secs(300);

/// How often to check for entries of the trash that were kept long enough.
const PURGE_EVERY: Duration = Duration::from_secs(3600);

/// How long after another server's turn to look for digests that are still missing.
const DIGESTS_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Runs a job unless another server of the database is running it; false then.
async fn in_turn(app: &App, job: &'static str, run: impl Future<Output = ()>) -> bool {
    match app.db.job_turn(job).await {
        Ok(Some(_turn)) => {
            run.instrument(run_span(job)).await;
            true
        }
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(%error, job, "could not start a job; trying again later");
            false
        }
    }
}

/// Starts all background work.
pub(super) fn start(app: &Arc<App>) -> [JoinHandle<()>; 13] {
    [
        actix_web::rt::spawn(flush_regularly(Arc::clone(app))),
        actix_web::rt::spawn(complete_digests(Arc::clone(app))),
        actix_web::rt::spawn(sweep_regularly(Arc::clone(app))),
        actix_web::rt::spawn(tell_webhooks(Arc::clone(app))),
        actix_web::rt::spawn(forget_deliveries(Arc::clone(app))),
        actix_web::rt::spawn(send_mail(Arc::clone(app))),
        actix_web::rt::spawn(write_notices(Arc::clone(app))),
        actix_web::rt::spawn(empty_trash_regularly(Arc::clone(app))),
        actix_web::rt::spawn(note_regularly(Arc::clone(app))),
        actix_web::rt::spawn(scrub_regularly(Arc::clone(app))),
        actix_web::rt::spawn(seal_regularly(Arc::clone(app))),
        actix_web::rt::spawn(retention::apply_regularly(Arc::clone(app))),
        actix_web::rt::spawn(do_what_is_asked(Arc::clone(app))),
    ]
}

async fn flush_regularly(app: Arc<App>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(app.config.jobs.flush_seconds.max(1)));
    loop {
        ticks.tick().await;
        if let Some(metrics) = &app.metrics {
            metrics.run_upkeep();
        }
        flush_now(&app).instrument(run_span(Task::Counts.as_str())).await;
    }
}

async fn flush_now(app: &App) {
    let running = Running::begin(app, Task::Counts);
    match flush_counts::run(&app.db, &app.counters, &app.clock).await {
        Ok(_) => running.end(true, "done".to_owned(), Vec::new()),
        Err(error) => {
            tracing::warn!(%error, "could not write the counters to the database; the next run tries again");
            running.end(false, format!("could not be saved: {error}"), Vec::new());
        }
    }
}

/// Computes digests at the start, for blobs that an earlier process left, and after each large upload.
async fn complete_digests(app: Arc<App>) {
    loop {
        let done = in_turn(&app, Task::Digests.as_str(), complete_digests_now(&app)).await;
        // Another server may have looked before this server's last upload.
        let again = if done { Duration::MAX } else { DIGESTS_AGAIN_AFTER };
        let _ = tokio::time::timeout(again, app.digests_wanted.notified()).await;
    }
}

async fn complete_digests_now(app: &App) {
    let running = Running::begin(app, Task::Digests);
    match digests::complete(&app.db, &app.store, &app.digesting).await {
        Ok(count) => {
            if count > 0 {
                tracing::info!(count, "computed SHA-512, SHA-1 and MD5 of large files");
            }
            running.end(true, format!("computed checksums for {}", counted(count, "file")), Vec::new());
        }
        Err(error) => {
            tracing::warn!(%error, "could not compute digests; the next upload tries again");
            running.end(false, format!("could not be computed: {error}"), Vec::new());
        }
    }
}

async fn sweep_regularly(app: Arc<App>) {
    let every = app.config.jobs.sweep_every_seconds;
    if every == 0 {
        return;
    }
    let mut ticks = tokio::time::interval(Duration::from_secs(every));
    // The first tick comes at once, and the start is busy enough.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        in_turn(&app, Task::Sweep.as_str(), sweep_now(&app)).await;
    }
}

async fn sweep_now(app: &App) {
    let running = Running::begin(app, Task::Sweep);
    match sweep::run(&app.db, &app.store, &app.clock, sweep_plan(&app.config)).await {
        Ok(swept) => {
            let Swept { unused, orphans, bytes, held, .. } = swept;
            tracing::info!(unused, orphans, bytes, held, "swept the store");
            let mut outcome = format!(
                "removed {} without a file and {}, {} in total",
                counted(unused, "blob"),
                counted(orphans, "leftover"),
                size(bytes)
            );
            if held > 0 {
                let blobs = counted(held, "blob");
                outcome.push_str(&format!("; moved {blobs} without a database row to the holding folder"));
            }
            if swept.held_off {
                outcome.push_str("; a backup is running, so blobs without a file stay until the next run");
            }
            running.end(true, outcome, Vec::new());
        }
        Err(error @ Error::Blocked(_)) => {
            tracing::error!(%error, "the sweep stopped before it removed anything");
            running.end(false, error.to_string(), Vec::new());
        }
        Err(error) => {
            tracing::warn!(%error, "the sweep failed; the next one continues");
            running.end(false, format!("stopped: {error}"), Vec::new());
        }
    }
}

/// Checks regularly whether a pass is due, or was left by a server that died.
async fn scrub_regularly(app: Arc<App>) {
    let plan = app.scrub_plan();
    if plan.every.is_zero() {
        return;
    }
    let mut ticks = tokio::time::interval(SCRUB_LOOK_EVERY);
    // The first tick comes at once, and the start is busy enough.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if app.tasks.status(Task::Scrub).running.is_none() {
            scrub(&app, plan).instrument(run_span(Task::Scrub.as_str())).await;
        }
    }
}

/// Scrubs until the end of the pass, if there is one.
async fn scrub(app: &App, plan: ScrubPlan) {
    let due = scrub::lease_due(&app.db, &app.store, &app.clock, plan).await;
    let progress = match due {
        Ok(Some(progress)) => progress,
        Ok(None) if plan.now_please => {
            return Running::begin(app, Task::Scrub).end(
                true,
                "another server is already doing this".to_owned(),
                Vec::new(),
            );
        }
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(%error, "could not start scrubbing; trying again soon");
            return Running::begin(app, Task::Scrub).end(false, format!("could not start: {error}"), Vec::new());
        }
    };
    let running = Running::begin(app, Task::Scrub);
    match scrub::pass(&app.db, &app.store, &app.clock, plan, progress).await {
        Ok(Scrubbed::Finished { blobs, bytes, damaged }) => {
            tracing::info!(blobs, bytes, damaged, "read all stored files");
            running.end(
                damaged == 0,
                format!("read {} ({}); {}", counted(blobs, "blob"), size(bytes), Count(damaged).of("damaged blob")),
                Vec::new(),
            );
        }
        Ok(Scrubbed::TakenOver) => running.end(true, "another server took over".to_owned(), Vec::new()),
        Err(error) => {
            tracing::warn!(%error, "scrubbing failed; it continues where it stopped");
            running.end(false, format!("stopped: {error}"), Vec::new());
        }
    }
}

async fn check_now(app: &App, task: Task) {
    let running = Running::begin(app, task);
    let options = Options { patience: app.config.check_patience(), digests: task == Task::DeepCheck };
    let mut lines = Vec::new();
    let checked: Result<Outcome> =
        check::run(&app.db, &app.store, &app.clock, options, |line| lines.push(line.to_owned())).await;
    match checked {
        Ok(outcome) => {
            let (totals, problems) = (outcome.totals, outcome.problems);
            tracing::info!(problems, "checked the database and the store");
            let found = match problems {
                0 => "no problems".to_owned(),
                some => counted(some, "problem"),
            };
            let text = format!(
                "{found} in {} and {} ({}); {} pending garbage collection",
                Count(totals.files).of("file"),
                Count(totals.blobs).of("blob"),
                Bytes(totals.bytes),
                Count(outcome.waiting).of("blob")
            );
            running.end(problems == 0, text, lines);
        }
        Err(error) => {
            tracing::warn!(%error, "the check failed");
            running.end(false, format!("stopped: {error}"), lines);
        }
    }
}

async fn note_regularly(app: Arc<App>) {
    let mut ticks = tokio::time::interval(NOTE_EVERY);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        in_turn(&app, "note-totals", note_now(&app)).await;
    }
}

async fn note_now(app: &App) {
    if let Err(error) = note_totals::run(&app.db, &app.clock).await {
        tracing::warn!(%error, "could not record today's totals");
    }
}

async fn seal_regularly(app: Arc<App>) {
    let mut ticks = tokio::time::interval(SEAL_EVERY);
    loop {
        ticks.tick().await;
        in_turn(&app, "seal-versions", seal_now(&app)).await;
    }
}

async fn seal_now(app: &App) {
    match seal_versions::run(&app.db, &app.clock).await {
        Ok(0) => {}
        Ok(sealed) => tracing::info!(sealed, "sealed versions whose time had come"),
        Err(error) => tracing::warn!(%error, "could not seal all versions; trying again in a minute"),
    }
}

async fn tell_webhooks(app: Arc<App>) {
    let every = app.config.jobs.webhooks_every_seconds;
    if every > 0 && app.config.webhooks.enabled {
        app.webhook_sender().serve(Duration::from_secs(every)).await;
    }
}

async fn send_mail(app: Arc<App>) {
    let every = app.config.jobs.mail_every_seconds;
    if let Some(sender) = app.mail_sender().filter(|_| every > 0) {
        sender.serve(Duration::from_secs(every)).await;
    }
}

/// Writes mail that no change of a user causes.
async fn write_notices(app: Arc<App>) {
    if !app.sends_mail() || app.config.jobs.mail_every_seconds == 0 {
        return;
    }
    let mut ticks = tokio::time::interval(NOTICES_EVERY);
    // The first tick comes at once, and the start is busy enough.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        in_turn(&app, "mail-notices", write_notices_now(&app)).await;
    }
}

async fn write_notices_now(app: &App) {
    let plan = alert_plan(&app.config);
    if let Err(error) = mail_alerts::run(&app.db, &app.store, &app.clock, plan).await {
        tracing::warn!(%error, "could not look for what administrators must know; trying again in five minutes");
    }
    if let Err(error) = mail::announce_expiring(&app.db, &app.clock).await {
        tracing::warn!(%error, "could not look for tokens that expire; trying again in five minutes");
    }
}

async fn forget_deliveries(app: Arc<App>) {
    let mut ticks = tokio::time::interval(FORGET_EVERY);
    // The first tick comes at once, and the start is busy enough.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        in_turn(&app, "forget-deliveries", forget_now(&app)).await;
    }
}

async fn forget_now(app: &App) {
    if let Err(error) = webhooks::forget(&app.db, &app.clock, app.config.webhooks_kept()).await {
        tracing::warn!(%error, "could not delete old webhook deliveries; trying again in an hour");
    }
    if let Err(error) = mail::forget(&app.db, &app.clock).await {
        tracing::warn!(%error, "could not delete old mail and links; trying again in an hour");
    }
    if let Err(error) = forget_downloads::run(&app.db, &app.clock).await {
        tracing::warn!(%error, "could not delete old days of downloads; trying again in an hour");
    }
}

async fn empty_trash_regularly(app: Arc<App>) {
    let mut watch = ClockWatch::default();
    let mut ticks = tokio::time::interval(PURGE_EVERY);
    loop {
        ticks.tick().await;
        let (is_first, now) = (!watch.has_looked(), app.clock.now());
        if watch.jumped(now, Instant::now()) {
            tracing::warn!(%now, "the clock jumped ahead; the trash is emptied an hour later");
            continue;
        }
        // The first tick comes at once, and the start is busy enough.
        if is_first {
            continue;
        }
        in_turn(&app, "empty-trash", empty_trash_now(&app)).await;
    }
}

async fn empty_trash_now(app: &App) {
    match empty_trash::run(&app.db, &app.clock).await {
        Ok(0) => {}
        Ok(entries) => tracing::info!(entries, "deleted for good what was in the trash long enough"),
        Err(error) => tracing::warn!(%error, "could not empty the trash; trying again in an hour"),
    }
}

/// Runs the tasks that administrators request, one after the other.
async fn do_what_is_asked(app: Arc<App>) {
    loop {
        let task = app.tasks.next().await;
        let run = async {
            match task {
                Task::Sweep => {
                    if !in_turn(&app, task.as_str(), sweep_now(&app)).await {
                        let outcome = "another server is already doing this, or the database is unavailable";
                        Running::begin(&app, task).end(true, outcome.to_owned(), Vec::new());
                    }
                }
                Task::Check | Task::DeepCheck => check_now(&app, task).await,
                // Not awaited: it takes days if the store is large.
                Task::Scrub => {
                    app.tasks.begin(Task::Scrub, app.clock.now());
                    let plan = ScrubPlan { now_please: true, ..app.scrub_plan() };
                    let app = Arc::clone(&app);
                    actix_web::rt::spawn(async move { scrub(&app, plan).await }.in_current_span());
                }
                Task::Retention => retention::apply_now(&app).await,
                Task::Digests | Task::Counts => Running::begin(&app, task).end(true, String::new(), Vec::new()),
            }
        };
        run.instrument(run_span(task.as_str())).await;
    }
}
