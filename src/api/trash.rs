//! The trash of an owner: listing what was deleted, restoring it, and deleting it for good.

use super::endpoint::{Json, Listed, NoContent, Pages};
use crate::auth::call::Call;
use crate::domain::clock::Timestamp;
use crate::domain::ids::TrashId;
use crate::domain::names::{FileName, OwnerName, PackageName};
use crate::domain::trash::{TrashKind, TrashReason};
use crate::domain::version::Version;
use crate::error::{Result, What};
use crate::registry::access::can_see_trash;
use crate::registry::packages::restoration;
use crate::registry::packages::trash_entries::{self, TrashEntry};
use serde::Serialize;
use utoipa::ToSchema;

/// Something that was deleted and can be restored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TrashEntry)]
pub struct TrashBody {
    id: TrashId,
    kind: TrashKind,
    package: PackageName,
    /// Null for a package.
    version: Option<Version>,
    /// Null for a package or a version.
    file: Option<FileName>,
    reason: TrashReason,
    /// The name of the retention rule that deleted it; empty for other reasons.
    rule: String,
    /// The name at that time of the user who deleted it; empty for the server itself, and for callers who see only some
    /// packages.
    deleted_by: String,
    deleted_at: Timestamp,
    /// It is deleted for good after this.
    kept_until: Timestamp,
    /// How many versions disappeared with it.
    #[schema(minimum = 0)]
    versions: i64,
    #[schema(minimum = 0)]
    files: i64,
    /// The bytes of all its files.
    #[schema(minimum = 0)]
    size: i64,
}

impl From<TrashEntry> for TrashBody {
    fn from(entry: TrashEntry) -> Self {
        Self {
            id: entry.id,
            kind: entry.kind,
            package: entry.package,
            version: entry.version,
            file: entry.file,
            reason: entry.reason,
            rule: entry.rule,
            deleted_by: entry.actor,
            deleted_at: entry.deleted_at,
            kept_until: entry.keep_until,
            versions: entry.versions,
            files: entry.files,
            size: entry.bytes,
        }
    }
}

/// The owner that the path names.
async fn owner(call: &Call) -> Result<OwnerName> {
    let owner = call.part("owner", What::Owner).await?;
    call.about(&owner);
    Ok(owner)
}

/// The owner and the entry that the path names.
async fn entry(call: &Call) -> Result<(OwnerName, TrashId)> {
    Ok((owner(call).await?, TrashId(call.part("entry", What::TrashEntry).await?)))
}

/// `GET /packages/{owner}/-/trash`.
pub async fn list(call: Call, pages: Pages) -> Result<Listed<TrashBody>> {
    let owner = owner(&call).await?;
    let slice = pages.slice();
    let page = call
        .reading(move |conn, caller| {
            let right = can_see_trash(conn, caller, &owner)?;
            trash_entries::list(conn, caller, &right, slice)
        })
        .await?;
    Ok(pages.answer(page, TrashBody::from))
}

/// `POST /packages/{owner}/-/trash/{entry}/restore`.
pub async fn restore(call: Call) -> Result<Json<TrashBody>> {
    let (owner, id) = entry(&call).await?;
    let (quota, now) = (call.app.upload_limits().quota, call.app.clock.now());
    let restored = call
        .writing(move |conn, caller| {
            let (right, _) = trash_entries::find_to_change(conn, caller, &owner, id)?;
            restoration::restore(conn, caller, &right, id, quota, now)
        })
        .await?;
    Ok(Json(restored.into()))
}

/// `DELETE /packages/{owner}/-/trash/{entry}`.
pub async fn purge(call: Call) -> Result<NoContent> {
    let (owner, id) = entry(&call).await?;
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let (right, _) = trash_entries::find_to_change(conn, caller, &owner, id)?;
        trash_entries::purge(conn, caller, &right, id, now).map(drop)
    })
    .await?;
    Ok(NoContent)
}
