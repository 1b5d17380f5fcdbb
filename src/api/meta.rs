//! The version and the settings that clients ask for first.

use super::endpoint::{Json, LONGEST_PAGE, PAGE};
use crate::auth::call::Call;
use crate::error::Result;
use serde::Serialize;
use utoipa::ToSchema;

/// The Gitea version whose API this server implements, with the server's own version as its build. Gitea's clients
/// check it before they send anything else: the Go SDK refuses a server older than 1.11.
const VERSION: &str = concat!("1.25.0+packhouse-", env!("CARGO_PKG_VERSION"));

/// The server's version.
#[derive(Serialize, ToSchema)]
pub struct ServerVersion {
    /// The Gitea version whose API the server implements; behind the `+`, the server's own version.
    version: &'static str,
}

/// `GET /version`.
pub async fn version(_: Call) -> Result<Json<ServerVersion>> {
    Ok(Json(ServerVersion { version: VERSION }))
}

/// The API's page limits, with Gitea's field names.
#[derive(Serialize, ToSchema)]
pub struct ApiSettings {
    max_response_items: i64,
    default_paging_num: i64,
    /// A value for Git trees and blobs, which this server does not have.
    default_git_trees_per_page: i64,
    default_max_blob_size: i64,
    default_max_response_size: i64,
}

/// `GET /settings/api`.
pub async fn api_settings(_: Call) -> Result<Json<ApiSettings>> {
    Ok(Json(ApiSettings {
        max_response_items: LONGEST_PAGE,
        default_paging_num: PAGE,
        default_git_trees_per_page: 1000,
        default_max_blob_size: 10 << 20,
        default_max_response_size: 100 << 20,
    }))
}
