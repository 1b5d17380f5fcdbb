//! The log and the metrics of the process.

use crate::config::{LogConfig, LogFormat};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use std::sync::OnceLock;
use tracing_subscriber::EnvFilter;

/// Upper bounds of the buckets of every histogram, in seconds.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0];

/// Starts to log to standard error, as text or as JSON. A second call changes nothing.
pub fn start_log(config: &LogConfig) {
    let filter = EnvFilter::try_new(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match config.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
    };
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
    describe_histogram!("packhouse_request_seconds", "From a request's head to the end of its answer.");
    describe_counter!("packhouse_sent_bytes_total", "Bytes of answers' bodies that were sent.");
    describe_counter!("packhouse_received_bytes_total", "Bytes of uploads that were received.");
    describe_histogram!("packhouse_db_wait_seconds", "Waiting for a connection to the database.");
    describe_gauge!("packhouse_db_connections_used", "Connections to the database in use, by lane.");
    describe_gauge!("packhouse_db_connections", "Connections to the database there may be, by lane.");
    describe_gauge!("packhouse_argon2_queue", "Passwords being hashed or waiting for it.");
    describe_gauge!("packhouse_connections", "Open connections of clients.");
    describe_counter!("packhouse_connections_refused_total", "Connections refused because of a limit.");
    describe_counter!("packhouse_unreadable_requests_total", "Connections closed because no valid request came.");
    describe_gauge!("packhouse_blobs", "Blobs in the database.");
    describe_gauge!("packhouse_blob_bytes", "Bytes of all blobs.");
    describe_gauge!("packhouse_store_free_bytes", "Bytes that may still be written to the store.");
    describe_counter!("packhouse_swept_bytes_total", "Bytes that sweeps removed.");
}
