//! What clients ask before anything else.

use super::answer_json;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::json;

/// `GET /version`.
pub(super) async fn version() -> HttpResponse {
    answer_json(StatusCode::OK, &json!({"version": env!("CARGO_PKG_VERSION")}))
}
