//! Expiry and retention rules, at regular times or when an administrator asks.

use super::running::{Running, counted, size};
use crate::jobs::clock_watch::ClockWatch;
use crate::jobs::retention::{self, Outcome, RetentionPlan};
use crate::jobs::task_status::Task;
use crate::jobs::{flush_counts, run_span};
use crate::state::App;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::Instrument;

/// How often to check whether a run is due, or was left by a server that died.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How many of the versions that were moved away are listed.
const MOST_LINES: usize = 200;

/// Checks regularly whether a run is due.
pub(super) async fn apply_regularly(app: Arc<App>) {
    let plan = app.retention_plan();
    if plan.every.is_zero() {
        return;
    }
    let mut watch = ClockWatch::default();
    let mut ticks = tokio::time::interval(LOOK_EVERY.min(plan.every));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut wait_until: Option<Instant> = None;
    loop {
        ticks.tick().await;
        let (now, steady) = (app.clock.now(), Instant::now());
        let is_first = !watch.has_looked();
        if watch.jumped(now, steady) {
            tracing::warn!(%now, "the clock jumped ahead; expiry and retention rules wait for one interval");
            wait_until = Some(steady + plan.every);
        }
        let waits = wait_until.is_some_and(|until| steady < until);
        // The first tick comes at once, and the start is busy enough.
        if !is_first && !waits && app.tasks.status(Task::Retention).running.is_none() {
            apply(&app, plan).instrument(run_span(Task::Retention.as_str())).await;
        }
    }
}

/// Applies them now, because an administrator asks.
pub(super) async fn apply_now(app: &App) {
    apply(app, RetentionPlan { now_please: true, ..app.retention_plan() }).await;
}

async fn apply(app: &App, plan: RetentionPlan) {
    match retention::lease_due(&app.db, &app.clock, plan).await {
        Ok(true) => {}
        Ok(false) if plan.now_please => {
            let outcome = "another server is already doing this".to_owned();
            return Running::begin(app, Task::Retention).end(true, outcome, Vec::new());
        }
        Ok(false) => return,
        Err(error) => {
            tracing::warn!(%error, "could not start to apply retention rules; trying again soon");
            return Running::begin(app, Task::Retention).end(false, format!("could not start: {error}"), Vec::new());
        }
    }
    let running = Running::begin(app, Task::Retention);
    // The latest downloads protect versions, too.
    if let Err(error) = flush_counts::run(&app.db, &app.counters, &app.clock).await {
        tracing::warn!(%error, "could not write the counters to the database before retention rules are applied");
        return running.end(false, format!("could not save the latest downloads: {error}"), Vec::new());
    }
    let mut lines = Vec::new();
    let run = retention::run(&app.db, &app.clock, plan, None, |removed| {
        if lines.len() < MOST_LINES {
            lines.push(removed.to_string());
        }
    });
    match run.await {
        Ok(outcome) => {
            let Outcome { expired, deleted, bytes, spared, .. } = outcome;
            tracing::info!(expired, deleted, bytes, spared, "applied expiry and retention rules");
            running.end(true, in_words(outcome), lines);
        }
        Err(error) => {
            tracing::warn!(%error, "applying retention rules failed; the next run continues");
            running.end(false, format!("stopped: {error}"), lines);
        }
    }
}

fn in_words(outcome: Outcome) -> String {
    let Outcome { expired, deleted, bytes, spared, taken_over } = outcome;
    let mut text = format!("moved {} to the trash, {}", counted(expired + deleted, "version"), size(bytes));
    if expired > 0 {
        text.push_str(&format!("; {expired} of them had expired"));
    }
    if spared > 0 {
        text.push_str(&format!("; spared {} that changed in the meantime", counted(spared, "version")));
    }
    if taken_over {
        text.push_str("; another server took over");
    }
    text
}
