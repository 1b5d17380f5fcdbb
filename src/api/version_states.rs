//! The states and flags of versions: publishing a draft, sealing, yanking, deprecating and holding.

use super::endpoint::{Json, LongBody, OptionalLongBody};
use super::fields::changed;
use super::packages::{PackageBody, full, version_path};
use crate::auth::call::Call;
use crate::domain::clock::Timestamp;
use crate::domain::digest::Sha256;
use crate::domain::labels::Labels;
use crate::domain::package_texts::{Markdown, Reason};
use crate::domain::path::VersionPath;
use crate::domain::version::Version;
use crate::error::{Error, Result};
use crate::registry::access::can_publish;
use crate::registry::packages::version_edit::{self, VersionEdit};
use crate::registry::packages::version_states::{self, ExpectedFiles};
use serde::Deserialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The body of `POST …/publish`.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct PublishVersion {
    /// The files that the draft must have, no more and no fewer, each with its SHA-256 in hexadecimal. Left out: whatever
    /// it has.
    files: Option<BTreeMap<String, String>>,
}

impl PublishVersion {
    fn expected(self) -> Result<Option<ExpectedFiles>> {
        let wrong = |name: &str| {
            Error::invalid("files", format!("files.{name}: the SHA-256 of a file is 64 hexadecimal digits"))
        };
        let entry = |(name, hex): (String, String)| {
            let sha256: Sha256 = hex.parse().map_err(|_| wrong(&name))?;
            Ok((name, sha256))
        };
        self.files.map(|files| files.into_iter().map(entry).collect()).transpose()
    }
}

/// Checks before the body is read that the caller may publish here.
async fn admit(call: &Call, path: &VersionPath) -> Result<()> {
    let asked = path.clone();
    call.admit(move |conn, caller| can_publish(conn, caller, &asked.owner, &asked.package).map(drop)).await
}

/// `POST /packages/{owner}/generic/{name}/{version}/publish`.
pub async fn publish(call: Call, body: OptionalLongBody<PublishVersion>) -> Result<Json<PackageBody>> {
    let path = version_path(&call).await?;
    admit(&call, &path).await?;
    let expected = body.read(&call.app).await?.expected()?;
    let now = call.app.clock.now();
    let found = call
        .writing(move |conn, caller| {
            let right = can_publish(conn, caller, &path.owner, &path.package)?;
            version_states::publish(conn, caller, &right, (&path, expected.as_ref()), now)?;
            full(conn, caller, &path)
        })
        .await?;
    Ok(found.body(&call.app))
}

/// `POST /packages/{owner}/generic/{name}/{version}/seal`.
pub async fn seal(call: Call) -> Result<Json<PackageBody>> {
    let path = version_path(&call).await?;
    let now = call.app.clock.now();
    let found = call
        .writing(move |conn, caller| {
            let right = can_publish(conn, caller, &path.owner, &path.package)?;
            version_states::seal(conn, caller, &right, &path, now)?;
            full(conn, caller, &path)
        })
        .await?;
    Ok(found.body(&call.app))
}

/// The body of `PATCH …/{version}`. A field that is left out keeps its value.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct EditVersion {
    /// Release notes in Markdown.
    notes: Option<Markdown>,
    /// All labels: the ones that are left out are removed.
    labels: Option<Labels>,
    /// Null: the version's name decides.
    #[serde(default, deserialize_with = "changed")]
    #[schema(value_type = Option<bool>)]
    prerelease: Option<Option<bool>>,
    /// `latest` skips a yanked version; its own address still works.
    yanked: Option<bool>,
    yank_reason: Option<Reason>,
    deprecated: Option<bool>,
    deprecation_message: Option<Reason>,
    /// The version to use instead of a deprecated one; null: none.
    #[serde(default, deserialize_with = "changed")]
    #[schema(value_type = Option<Version>)]
    successor: Option<Option<Version>>,
    /// A version on hold cannot be deleted. Only owners and site administrators may change this.
    hold: Option<bool>,
    hold_reason: Option<Reason>,
    /// When the version is to be deleted; null: never.
    #[serde(default, deserialize_with = "changed")]
    #[schema(value_type = Option<Timestamp>)]
    expires_at: Option<Option<Timestamp>>,
}

impl From<EditVersion> for VersionEdit {
    fn from(edit: EditVersion) -> Self {
        Self {
            notes: edit.notes,
            labels: edit.labels,
            prerelease: edit.prerelease,
            yanked: edit.yanked,
            yank_reason: edit.yank_reason,
            deprecated: edit.deprecated,
            deprecation_message: edit.deprecation_message,
            successor: edit.successor,
            hold: edit.hold,
            hold_reason: edit.hold_reason,
            expires_at: edit.expires_at,
        }
    }
}

/// `PATCH /packages/{owner}/generic/{name}/{version}`.
pub async fn edit(call: Call, body: LongBody<EditVersion>) -> Result<Json<PackageBody>> {
    let path = version_path(&call).await?;
    admit(&call, &path).await?;
    let edit = VersionEdit::from(body.read(&call.app).await?);
    let now = call.app.clock.now();
    let found = call
        .writing(move |conn, caller| {
            let right = can_publish(conn, caller, &path.owner, &path.package)?;
            version_edit::update(conn, caller, &right, (&path, &edit), now)?;
            full(conn, caller, &path)
        })
        .await?;
    Ok(found.body(&call.app))
}
