//! Running blocking work on a thread for it.

use std::num::NonZero;
use std::sync::LazyLock;
use std::thread::available_parallelism;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::Span;

/// The most threads that read blobs.
const READERS: usize = 64;
/// The lowest priority, for the processor and, on Linux, for the disk.
const NICE: i32 = 19;

/// Runs work on a blocking thread, as [`tokio::task::spawn_blocking`] does, in the span of the caller: log lines of the
/// work carry the ID of the request that it belongs to.
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(in_span(work))
}

fn in_span<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let span = Span::current();
    move || span.in_scope(work)
}

/// Threads for one kind of blocking work.
type Threads = LazyLock<std::io::Result<Runtime>>;

fn threads(name: &str, most: usize) -> std::io::Result<Runtime> {
    Builder::new_current_thread().thread_name(name).max_blocking_threads(most).build()
}

fn spawn_on<T: Send + 'static>(threads: &Threads, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    match &**threads {
        Ok(threads) => threads.handle().spawn_blocking(in_span(work)),
        Err(_) => spawn_blocking(work),
    }
}

/// As [`spawn_blocking`], on threads that only read: downloads then don't wait behind uploads whose fsync takes seconds.
pub fn spawn_reading<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    static READING: Threads = LazyLock::new(|| threads("read", READERS));
    spawn_on(&READING, work)
}

/// As [`spawn_blocking`], for archives, on one thread per processor: compressing many archives at once then leaves the
/// threads that read to the downloads.
pub fn spawn_packing<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    static PACKING: Threads = LazyLock::new(|| threads("pack", available_parallelism().map_or(1, NonZero::get)));
    spawn_on(&PACKING, work)
}

/// Runs work while nothing else needs the machine: on a thread of its own, because a thread cannot raise its priority
/// again.
///
/// # Errors
/// When the thread cannot be started, or the work panics.
pub async fn run_idle<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<T> {
    let (done, result) = oneshot::channel();
    let work = in_span(work);
    let work = move || {
        // Where the system does not allow this, the work runs at normal priority.
        let _ = rustix::process::nice(NICE);
        // Nobody receives the result any longer when the server stops.
        let _ = done.send(work());
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
    result.await.map_err(std::io::Error::other)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Barrier};

    #[tokio::test]
    async fn archives_leave_the_threads_that_read_to_downloads() {
        let packers = available_parallelism().unwrap().get();
        let busy = Arc::new(Barrier::new(packers + 1));
        let packing: Vec<_> = (0..packers)
            .map(|_| {
                let busy = Arc::clone(&busy);
                spawn_packing(move || busy.wait())
            })
            .collect();
        let waiting: Vec<_> = (0..2 * READERS).map(|_| spawn_packing(|| ())).collect();
        spawn_reading(|| ()).await.unwrap();
        assert!(waiting.iter().all(|archive| !archive.is_finished()), "they wait for their turn");
        spawn_blocking(move || busy.wait()).await.unwrap();
        futures_util::future::join_all(packing).await;
        futures_util::future::join_all(waiting).await;
    }
}
