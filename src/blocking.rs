//! Running blocking work on a thread for it.

use tokio::task::JoinHandle;
use tracing::Span;

/// Runs work on a blocking thread, as [`tokio::task::spawn_blocking`] does, in the span of the caller: log lines of the
/// work carry the ID of the request that it belongs to.
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let span = Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work))
}
