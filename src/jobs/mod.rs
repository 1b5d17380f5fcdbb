//! Background work that no request waits for. Each run of a job logs in its own span.

pub mod backup;
pub mod check;
pub mod clock_watch;
pub mod digests;
pub mod empty_trash;
pub mod flush_counts;
pub mod forget_downloads;
pub mod mail;
pub mod mail_alerts;
pub mod note_totals;
mod pace;
pub mod retention;
pub mod scrub;
pub mod seal_versions;
pub mod store_copy;
pub mod sweep;
pub mod task_status;
pub mod webhooks;

/// The span of one run of a job: its log lines carry the job's name and an ID of the run, at any level of the log.
pub fn run_span(job: &'static str) -> tracing::Span {
    let run = rand::random::<u64>();
    tracing::error_span!("job", job, run_id = %format_args!("{run:016x}"))
}
