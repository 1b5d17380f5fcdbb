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
    /// The Gitea version whose API the server implements; after the `+`, the server's own version.
    version: &'static str,
}

/// `GET /version`.
pub async fn version(_: Call) -> Result<Json<ServerVersion>> {
    Ok(Json(ServerVersion { version: VERSION }))
}

/// The settings of the pages, with Gitea's field names.
#[derive(Serialize, ToSchema)]
pub struct UiSettings {
    default_theme: &'static str,
    /// Always none: there is nothing to react to.
    allowed_reactions: [&'static str; 0],
    custom_emojis: [&'static str; 0],
}

/// `GET /settings/ui`.
pub async fn ui_settings(_: Call) -> Result<Json<UiSettings>> {
    Ok(Json(UiSettings { default_theme: "system", allowed_reactions: [], custom_emojis: [] }))
}

/// The settings of attachments of issues, with Gitea's field names.
#[derive(Serialize, ToSchema)]
pub struct AttachmentSettings {
    /// Always false: there are no attachments.
    enabled: bool,
    allowed_types: &'static str,
    max_size: i64,
    max_files: i64,
}

/// `GET /settings/attachment`.
pub async fn attachment_settings(_: Call) -> Result<Json<AttachmentSettings>> {
    Ok(Json(AttachmentSettings { enabled: false, allowed_types: "", max_size: 0, max_files: 0 }))
}

/// The settings of Git repositories, with Gitea's field names. All are off, because there are no repositories.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "Gitea's fields")]
pub struct RepositorySettings {
    mirrors_disabled: bool,
    http_git_disabled: bool,
    migrations_disabled: bool,
    stars_disabled: bool,
    time_tracking_disabled: bool,
    lfs_disabled: bool,
}

/// `GET /settings/repository`.
pub async fn repository_settings(_: Call) -> Result<Json<RepositorySettings>> {
    Ok(Json(RepositorySettings {
        mirrors_disabled: true,
        http_git_disabled: true,
        migrations_disabled: true,
        stars_disabled: true,
        time_tracking_disabled: true,
        lfs_disabled: true,
    }))
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
