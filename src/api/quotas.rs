//! Quotas of users and organizations.

use super::endpoint::{Json, JsonBody};
use super::fields::changed;
use crate::auth::call::Call;
use crate::domain::limit::Limit;
use crate::domain::names::OwnerName;
use crate::domain::quota::OwnQuota;
use crate::domain::role::OwnerKind;
use crate::error::{Result, What};
use crate::registry::access::{can_see_quota, can_set_quota};
use crate::registry::packages::quotas::{self, Change, Usage};
use crate::state::App;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The origin of a limit: administrators set it for this owner, or it is the instance's default.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Owner,
    Instance,
}

/// A limit and how much of it is used.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuotaUse {
    /// -1 for no limit.
    limit: i64,
    used: i64,
    source: Source,
}

/// A limit.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuotaLimit {
    /// -1 for no limit.
    limit: i64,
    source: Source,
}

/// An owner's quota and storage used.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quota)]
pub struct QuotaBody {
    /// Package versions.
    versions: QuotaUse,
    /// Bytes in all files; identical files each count.
    bytes: QuotaUse,
    /// Bytes in one file.
    file_bytes: QuotaLimit,
}

impl QuotaBody {
    fn new(app: &App, (own, used): (OwnQuota, Usage)) -> Self {
        let settings = &app.config.quota;
        let limit = |own: Option<i64>, instance: i64| QuotaLimit {
            limit: own.unwrap_or(instance).max(-1),
            source: if own.is_some() { Source::Owner } else { Source::Instance },
        };
        let with = |QuotaLimit { limit, source }: QuotaLimit, used| QuotaUse { limit, used, source };
        Self {
            versions: with(limit(own.versions, settings.versions), used.versions),
            bytes: with(limit(own.bytes, settings.bytes), used.bytes),
            file_bytes: limit(own.file_bytes, settings.file_bytes),
        }
    }
}

/// The body of `PATCH` for a quota. A field that is left out keeps its value; null returns to the instance's default;
/// -1 means no limit.
#[derive(Debug, Deserialize, ToSchema)]
pub struct EditQuota {
    #[serde(default, deserialize_with = "changed")]
    #[schema(value_type = Option<Limit>)]
    versions: Option<Option<Limit>>,
    #[serde(default, deserialize_with = "changed")]
    #[schema(value_type = Option<Limit>)]
    bytes: Option<Option<Limit>>,
    #[serde(default, deserialize_with = "changed")]
    #[schema(value_type = Option<Limit>)]
    file_bytes: Option<Option<Limit>>,
}

/// `GET /users/{user}/quota`.
pub async fn of_user(call: Call) -> Result<Json<QuotaBody>> {
    show(call, "user", OwnerKind::User).await
}

/// `GET /orgs/{org}/quota`.
pub async fn of_org(call: Call) -> Result<Json<QuotaBody>> {
    show(call, "org", OwnerKind::Organization).await
}

/// `PATCH /users/{user}/quota`.
pub async fn set_for_user(call: Call, body: JsonBody<EditQuota>) -> Result<Json<QuotaBody>> {
    set(call, body, "user", OwnerKind::User).await
}

/// `PATCH /orgs/{org}/quota`.
pub async fn set_for_org(call: Call, body: JsonBody<EditQuota>) -> Result<Json<QuotaBody>> {
    set(call, body, "org", OwnerKind::Organization).await
}

async fn show(call: Call, part: &str, kind: OwnerKind) -> Result<Json<QuotaBody>> {
    let name = owner(&call, part, kind).await?;
    let found = call
        .reading(move |conn, caller| {
            let right = can_see_quota(conn, caller, &name, kind)?;
            quotas::standing(conn, &right)
        })
        .await?;
    Ok(Json(QuotaBody::new(&call.app, found)))
}

async fn set(call: Call, body: JsonBody<EditQuota>, part: &str, kind: OwnerKind) -> Result<Json<QuotaBody>> {
    let name = owner(&call, part, kind).await?;
    let asked = name.clone();
    call.admit(move |conn, caller| can_set_quota(conn, caller, &asked, kind).map(drop)).await?;
    let EditQuota { versions, bytes, file_bytes } = body.read(&call.app).await?;
    let now = call.app.clock.now();
    let set = call
        .writing(move |conn, caller| {
            let right = can_set_quota(conn, caller, &name, kind)?;
            quotas::set(conn, caller, &right, Change { versions, bytes, file_bytes }, now)
        })
        .await?;
    Ok(Json(QuotaBody::new(&call.app, set)))
}

async fn owner(call: &Call, part: &str, kind: OwnerKind) -> Result<OwnerName> {
    let name = call.part(part, What::from(kind)).await?;
    call.about(&name);
    Ok(name)
}
