//! What clients ask before anything else.

use super::endpoint::Json;
use crate::auth::call::Call;
use crate::error::Result;
use serde::Serialize;
use utoipa::ToSchema;

/// The server's version.
#[derive(Serialize, ToSchema)]
pub struct ServerVersion {
    version: &'static str,
}

/// `GET /version`.
pub async fn version(_: Call) -> Result<Json<ServerVersion>> {
    Ok(Json(ServerVersion { version: env!("CARGO_PKG_VERSION") }))
}
