//! Running blocking work on a thread for it.

use std::sync::LazyLock;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tracing::Span;

/// The most threads that read blobs.
const READERS: usize = 64;

/// Runs work on a blocking thread, as [`tokio::task::spawn_blocking`] does, in the span of the caller: log lines of the
/// work carry the ID of the request that it belongs to.
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let span = Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work))
}

/// As [`spawn_blocking`], on threads that only read: downloads then don't wait behind uploads whose fsync takes seconds.
pub fn spawn_reading<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    static THREADS: LazyLock<std::io::Result<Runtime>> =
        LazyLock::new(|| Builder::new_current_thread().thread_name("read").max_blocking_threads(READERS).build());
    let span = Span::current();
    let work = move || span.in_scope(work);
    match &*THREADS {
        Ok(threads) => threads.handle().spawn_blocking(work),
        Err(_) => tokio::task::spawn_blocking(work),
    }
}

/// The runtime of connections to an object store. They outlive the requests that use them, and must not wait while the
/// single thread of a worker is busy.
///
/// # Errors
/// When its threads cannot be started.
pub fn network() -> std::io::Result<&'static Handle> {
    static THREADS: LazyLock<std::io::Result<Runtime>> =
        LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).thread_name("network").enable_all().build());
    match &*THREADS {
        Ok(threads) => Ok(threads.handle()),
        Err(error) => Err(std::io::Error::new(error.kind(), error.to_string())),
    }
}
