//! The log and the metrics of the process.

mod log_queue;

use self::log_queue::LogQueue;
use crate::config::{LogConfig, LogFormat};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use tracing_subscriber::EnvFilter;

/// Upper bounds of the buckets of every histogram, in seconds.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0];

/// The lines that wait to be written to standard error.
static LOG: LogQueue = LogQueue::new();
/// Changes the filter of the running log.
static SET_FILTER: OnceLock<Box<dyn Fn(EnvFilter) -> bool + Send + Sync>> = OnceLock::new();

/// Writes the rest of the log when it is dropped.
#[must_use]
pub struct LogGuard {
    writes: bool,
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        if self.writes {
            LOG.end();
        }
    }
}

/// Starts to log to standard error, as text or as JSON. A second call changes nothing.
///
/// # Errors
/// When the thread that writes cannot be started.
pub fn start_log(config: &LogConfig) -> io::Result<LogGuard> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(&config.level)).with_writer(|| &LOG);
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
    let writes = started.is_ok();
    if writes {
        std::thread::Builder::new().name("log".to_owned()).spawn(|| LOG.run(io::stderr()))?;
    }
    Ok(LogGuard { writes })
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
    LOG.lost()
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
