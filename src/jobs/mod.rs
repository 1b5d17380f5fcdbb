//! Background work that no request waits for.

pub mod backup;
pub mod check;
pub mod digests;
pub mod flush_counts;
pub mod note_totals;
pub mod scrub;
pub mod sweep;
pub mod task_status;
pub mod webhooks;
