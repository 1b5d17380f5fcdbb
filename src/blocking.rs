//! Work that blocks, on a thread for it.

use tokio::task::JoinHandle;
use tracing::Span;

/// Runs work on a thread that may block, as [`tokio::task::spawn_blocking`] does, and in the span that it is called in:
/// what the work logs carries the ID of the request it is done for.
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let span = Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work))
}
