//! What clients ask before anything else.

use super::endpoint::{Json, LONGEST_PAGE, PAGE};
use crate::auth::call::Call;
use crate::error::Result;
use serde::Serialize;
use utoipa::ToSchema;

/// The version of Gitea whose API this is, and, as its build, the server's own. Gitea's clients compare it with what they
/// need before they send anything else: the SDK for Go refuses a server older than 1.11.
const VERSION: &str = concat!("1.25.0+packhouse-", env!("CARGO_PKG_VERSION"));

/// The server's version.
#[derive(Serialize, ToSchema)]
pub struct ServerVersion {
    /// Of Gitea, whose API it speaks, and behind the `+` its own.
    version: &'static str,
}

/// `GET /version`.
pub async fn version(_: Call) -> Result<Json<ServerVersion>> {
    Ok(Json(ServerVersion { version: VERSION }))
}

/// How much the API answers at most, in Gitea's words.
#[derive(Serialize, ToSchema)]
pub struct ApiSettings {
    max_response_items: i64,
    default_paging_num: i64,
    /// Gitea's, of trees and blobs of Git, which are not here.
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
