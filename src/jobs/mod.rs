//! Work that no request waits for.

pub mod backup;
pub mod check;
pub mod digests;
pub mod flush_counts;
pub mod sweep;
pub mod webhooks;
