//! The log and the metrics of the process.

use crate::config::{LogConfig, LogFormat};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Upper bounds of the buckets of every histogram, in seconds.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0];

/// Lines that could not be written to standard error.
static UNWRITTEN: AtomicU64 = AtomicU64::new(0);
/// Counts the lines that were dropped because standard error takes them too slowly.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();
/// Changes the filter of the running log.
static SET_FILTER: OnceLock<Box<dyn Fn(EnvFilter) -> bool + Send + Sync>> = OnceLock::new();

/// Standard error, as far as it takes lines. A full disk or a reader that went away must not stop a server that has more
/// important things to do, so an error only counts. The thread that writes flushes when no line waits: under load, many
/// lines are one system call.
#[derive(Default)]
struct BestEffort {
    buffer: Vec<u8>,
    lines: u64,
}

/// How many bytes are collected at most.
const LOG_BUFFER: usize = 64 << 10;

impl Write for BestEffort {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(line);
        self.lines += 1;
        if self.buffer.len() >= LOG_BUFFER {
            self.flush()?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if io::stderr().write_all(&self.buffer).is_err() {
            UNWRITTEN.fetch_add(self.lines, Ordering::Relaxed);
        }
        self.buffer.clear();
        self.lines = 0;
        Ok(())
    }
}

/// Writes the rest of the log when it is dropped.
#[must_use]
pub struct LogGuard(#[expect(dead_code, reason = "its drop does the work")] WorkerGuard);

/// Starts to log to standard error, as text or as JSON. A thread writes the lines, so that a reader of the log that
/// pauses does not hold up requests. A second call changes nothing.
pub fn start_log(config: &LogConfig) -> LogGuard {
    let (writer, guard) = NonBlockingBuilder::default().lossy(true).thread_name("log").finish(BestEffort::default());
    let dropped = writer.error_counter();
    let builder = tracing_subscriber::fmt().with_env_filter(filter(&config.level)).with_writer(writer);
    let started = match config.format {
        LogFormat::Text => {
            let ansi = io::stderr().is_terminal();
            let builder = builder.with_ansi(ansi).with_target(false).with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map(|()| SET_FILTER.set(Box::new(move |filter| handle.reload(filter).is_ok())))
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_span_list(false).with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map(|()| SET_FILTER.set(Box::new(move |filter| handle.reload(filter).is_ok())))
        }
    };
    if started.is_ok() {
        let _ = DROPPED.set(dropped);
    }
    LogGuard(guard)
}

fn filter(level: &str) -> EnvFilter {
    EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"))
}

/// Changes the level, or the filter, of the running log.
pub fn set_log_level(level: &str) {
    if let Some(set) = SET_FILTER.get() {
        set(filter(level));
    }
}

/// How many lines of the log were lost so far.
pub fn lost_log_lines() -> u64 {
    let dropped = DROPPED.get().map_or(0, ErrorCounter::dropped_lines);
    UNWRITTEN.load(Ordering::Relaxed) + u64::try_from(dropped).unwrap_or(u64::MAX)
}

/// The metrics of the process, collected from the first call on.
pub fn metrics() -> Option<PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let handle = PrometheusBuilder::new().set_buckets(&BUCKETS).ok()?.install_recorder().ok()?;
            describe();
            Some(handle)
        })
        .clone()
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!("packhouse_requests_total", "Requests answered, by method, route and status.");
    describe_histogram!("packhouse_request_seconds", "Time from a request's headers to the end of its answer.");
    describe_counter!("packhouse_sent_bytes_total", "Bytes sent in the bodies of answers.");
    describe_counter!("packhouse_received_bytes_total", "Bytes of uploads that were received.");
    describe_histogram!("packhouse_db_wait_seconds", "Time spent waiting for a database connection.");
    describe_gauge!("packhouse_db_connections_used", "Connections to the database in use, by lane.");
    describe_gauge!("packhouse_db_connections", "The maximum number of connections to the database, by lane.");
    describe_gauge!("packhouse_argon2_queue", "Passwords that are being hashed or are waiting to be hashed.");
    describe_gauge!("packhouse_connections", "Open connections of clients.");
    describe_counter!("packhouse_connections_refused_total", "Connections refused because of a limit.");
    describe_counter!("packhouse_unreadable_requests_total", "Connections closed because they sent no valid request.");
    describe_counter!("packhouse_log_lines_lost_total", "Log lines that could not be written.");
    describe_gauge!("packhouse_blobs", "Blobs in the database.");
    describe_gauge!("packhouse_blob_bytes", "Bytes of all blobs.");
    describe_gauge!("packhouse_store_free_bytes", "Bytes that may still be written to the store.");
    describe_gauge!("packhouse_cache_downloads", "Downloads that this server remembers.");
    describe_gauge!("packhouse_cache_bytes", "About how many bytes the remembered downloads take.");
    describe_counter!("packhouse_cache_hits_total", "Downloads that were remembered.");
    describe_counter!("packhouse_cache_misses_total", "Downloads that were not remembered.");
    describe_counter!("packhouse_retention_versions_total", "Versions that expiry and retention moved to the trash.");
    describe_counter!("packhouse_retention_bytes_total", "Bytes of these versions.");
    describe_counter!("packhouse_swept_bytes_total", "Bytes that sweeps removed.");
}
