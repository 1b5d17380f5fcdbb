//! Endpoints for operators: liveness, readiness, health and metrics.

use crate::blocking::spawn_blocking;
use crate::domain::clock::Timestamp;
use crate::error::Error;
use crate::http::connections::Connections;
use crate::http::description::{Description, text};
use crate::http::problem::{self, Shape};
use crate::registry::mail;
use crate::registry::operations::damage;
use crate::state::App;
use crate::state::health::Check;
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

type AppData = web::Data<Arc<App>>;

/// The process is running. This checks nothing else.
pub async fn livez() -> HttpResponse {
    plain(StatusCode::OK, "ok\n".to_owned())
}

fn plain(status: StatusCode, text: String) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/plain; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(text)
}

/// Whether requests can be served: the database, the store and free space work, and the server is not stopping. If only
/// downloads work, the server is degraded, and a setting says whether that is ready.
pub async fn readyz(app: AppData) -> HttpResponse {
    let checks = app.health().await;
    let ready = app.is_ready(&checks);
    let line = |check: &Check| match &check.problem {
        None => format!("{}: ok\n", check.name),
        Some(problem) if check.is_degraded => format!("{}: degraded: {problem}\n", check.name),
        Some(problem) => format!("{}: {problem}\n", check.name),
    };
    let lines: String = checks.iter().map(line).collect();
    plain(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, lines)
}

/// Whether something works.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    Pass,
    Fail,
}

impl Word {
    fn of(good: bool) -> Self {
        if good { Self::Pass } else { Self::Fail }
    }
}

/// The health of the server (draft-inadarei-api-health-check).
#[derive(Serialize, ToSchema)]
pub struct Health {
    status: Word,
    description: &'static str,
    /// The components that the server needs, by name.
    checks: BTreeMap<String, [Checked; 1]>,
}

/// The state of one component.
#[derive(Serialize, ToSchema)]
pub struct Checked {
    status: Word,
    time: Timestamp,
    /// The problem; empty if there is none.
    output: String,
}

/// The health in Gitea's format.
pub async fn healthz(app: AppData) -> HttpResponse {
    let checks = app.health().await;
    let ready = app.is_ready(&checks);
    let time = app.clock.now();
    let degraded_is_ready = app.config.health.degraded_is_ready;
    let checked = |check: Check| {
        let status = Word::of(check.problem.is_none() || check.is_degraded && degraded_is_ready);
        (format!("{}:ping", check.name), [Checked { status, time, output: check.problem.unwrap_or_default() }])
    };
    let checks = checks.into_iter().map(checked).collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    HttpResponse::build(status).insert_header((header::CACHE_CONTROL, "no-store")).json(Health {
        status: Word::of(ready),
        description: "Packhouse",
        checks,
    })
}

/// Metrics in Prometheus's text format; a setting turns them off or protects them with a bearer token.
pub async fn metrics(req: HttpRequest, app: AppData, connections: web::Data<Connections>) -> HttpResponse {
    let config = &app.config.metrics;
    let refuse = |error: &Error| {
        let (status, _) = problem::status_of(error);
        problem::answer(&req, error, status, Shape::Text, app.config.public_root().unwrap_or_default())
    };
    let Some(handle) = app.metrics.as_ref().filter(|_| config.enabled) else {
        return refuse(&Error::NotFound(crate::error::What::Page));
    };
    let presented = req.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = presented.and_then(|value| value.split_once(' '));
    let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    if !config.token.is_empty() && !config.token.equals(bearer.unwrap_or_default()) {
        let mut response = refuse(&Error::BadCredential("metrics require their own bearer token"));
        let challenge = header::HeaderValue::from_static("Bearer realm=\"Packhouse\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        return response;
    }
    gauges(&app, &connections).await;
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(handle.render())
}

/// Updates the gauges that are computed on request.
async fn gauges(app: &Arc<App>, connections: &Connections) {
    for (lane, used, size) in app.db.usage() {
        metrics::gauge!("packhouse_db_connections_used", "lane" => lane).set(used);
        metrics::gauge!("packhouse_db_connections", "lane" => lane).set(size);
    }
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    let float = |number: u64| number as f64;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    metrics::counter!("packhouse_log_lines_lost_total").absolute((app.lost_log_lines)());
    metrics::gauge!("packhouse_argon2_queue").set(count(app.passwords.queue_length()));
    metrics::gauge!("packhouse_connections").set(count(connections.open()));
    if let Some(totals) = app.blob_totals().await {
        metrics::gauge!("packhouse_blobs").set(float(totals.blobs.try_into().unwrap_or(0)));
        metrics::gauge!("packhouse_blob_bytes").set(float(totals.bytes.try_into().unwrap_or(0)));
    }
    if let Ok(damaged) = app.db.read(damage::count).await {
        metrics::gauge!("packhouse_damaged_blobs").set(float(damaged.try_into().unwrap_or(0)));
    }
    if app.sends_mail()
        && let Ok(queued) = app.db.read(mail::log::count).await
    {
        metrics::gauge!("packhouse_mail_waiting").set(float(queued.waiting.try_into().unwrap_or(0)));
        metrics::gauge!("packhouse_mail_failed").set(float(queued.failed.try_into().unwrap_or(0)));
    }
    let cache = app.downloads.usage();
    metrics::gauge!("packhouse_cache_downloads").set(float(cache.entries));
    metrics::gauge!("packhouse_cache_bytes").set(float(cache.bytes));
    metrics::counter!("packhouse_cache_hits_total").absolute(cache.hits);
    metrics::counter!("packhouse_cache_misses_total").absolute(cache.misses);
    let store = app.store.clone();
    if let Ok(Ok(Some(space))) = spawn_blocking(move || store.free_space()).await {
        metrics::gauge!("packhouse_store_free_bytes").set(float(space.available));
    }
}

const LINES: &str = "text/plain";

/// Describes [`livez`].
pub fn describe_lines(description: &mut Description) {
    description.answers_with(StatusCode::OK, "The process is running", LINES, text());
}

/// Describes [`readyz`].
pub fn describe_ready(description: &mut Description) {
    description.answers_with(StatusCode::OK, "Everything works", LINES, text());
    description.answers_with(
        StatusCode::SERVICE_UNAVAILABLE,
        "Something does not work; the lines say what",
        LINES,
        text(),
    );
}

/// Describes [`healthz`].
pub fn describe_health(description: &mut Description) {
    description.answers_json::<Health>(StatusCode::OK, "Everything works");
    description.answers_json::<Health>(StatusCode::SERVICE_UNAVAILABLE, "Something does not work");
}

/// Describes [`metrics()`].
pub fn describe_metrics(description: &mut Description) {
    description.answers_with(StatusCode::OK, "The metrics in Prometheus's text format", LINES, text());
    description.answers_with(StatusCode::UNAUTHORIZED, "The configured token is missing or wrong", LINES, text());
    description.answers_with(StatusCode::NOT_FOUND, "The metrics are turned off", LINES, text());
}
