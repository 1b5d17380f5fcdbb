//! The settings of a package.

use super::endpoint::{Json, LongBody};
use super::fields::changed;
use super::packages::package_path;
use crate::auth::call::Call;
use crate::domain::clock::Timestamp;
use crate::domain::iso_duration::IsoDuration;
use crate::domain::labels::Labels;
use crate::domain::names::PackageName;
use crate::domain::overwrite::Overwrite;
use crate::domain::package_access::PackageVisibility;
use crate::domain::package_texts::{Markdown, Summary};
use crate::domain::text::{Line, Website};
use crate::error::Result;
use crate::registry::access::{can_publish, can_read};
use crate::registry::packages::settings::{self, PackageEdit, PackageSettings};
use crate::registry::packages::visibility;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The settings of a package.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PackageSettings)]
pub struct PackageSettingsBody {
    name: PackageName,
    description: Summary,
    homepage: Website,
    source_url: Website,
    /// An SPDX expression or any other text.
    license: Line,
    labels: Labels,
    /// Markdown; if it is empty, pages show the README file of a version.
    readme: Markdown,
    /// Whether nothing can be published to it.
    archived: bool,
    archived_at: Option<Timestamp>,
    /// The versions whose files may be replaced by an upload: `never`, `always`, or those that match patterns.
    overwrite: Overwrite,
    /// How long after its publication a version is sealed; null: never.
    seal_after: Option<IsoDuration>,
    visibility: PackageVisibility,
    /// Whether only trusted publishers may add files.
    trusted_publishing_only: bool,
}

impl From<PackageSettings> for PackageSettingsBody {
    fn from(package: PackageSettings) -> Self {
        Self {
            name: package.name,
            description: package.description,
            homepage: package.homepage,
            source_url: package.source_url,
            license: package.license,
            labels: package.labels,
            readme: package.readme,
            archived: package.archived_at.is_some(),
            archived_at: package.archived_at,
            overwrite: package.overwrite,
            seal_after: package.seal_after,
            visibility: package.visibility.into(),
            trusted_publishing_only: package.trusted_publishing_only,
        }
    }
}

/// The body of `PATCH /packages/{owner}/generic/{name}`. A field that is left out keeps its value.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct EditPackage {
    description: Option<Summary>,
    homepage: Option<Website>,
    source_url: Option<Website>,
    /// An SPDX expression or any other text.
    license: Option<Line>,
    /// All labels: the ones that are left out are removed.
    labels: Option<Labels>,
    /// Markdown.
    readme: Option<Markdown>,
    /// Whether nothing can be published to it.
    archived: Option<bool>,
    /// The versions whose files may be replaced by an upload: `never`, `always`, or those that match patterns.
    overwrite: Option<Overwrite>,
    /// How long after its publication a version is sealed; null: never.
    #[serde(default, deserialize_with = "changed")]
    #[schema(value_type = Option<IsoDuration>)]
    seal_after: Option<Option<IsoDuration>>,
    /// Changing it needs the permission `admin` for the package. Making the package more visible than its owner needs
    /// the permission `owner`. It writes the audit event `package.visibility`.
    visibility: Option<PackageVisibility>,
    /// Whether only trusted publishers may add files. Changing it needs the permission `admin` for the package and, for
    /// a token, also the scope `write:organization`.
    trusted_publishing_only: Option<bool>,
}

impl From<EditPackage> for PackageEdit {
    fn from(edit: EditPackage) -> Self {
        Self {
            description: edit.description,
            homepage: edit.homepage,
            source_url: edit.source_url,
            license: edit.license,
            labels: edit.labels,
            readme: edit.readme,
            archived: edit.archived,
            overwrite: edit.overwrite,
            seal_after: edit.seal_after,
            trusted_publishing_only: edit.trusted_publishing_only,
        }
    }
}

/// `GET /packages/{owner}/generic/{name}/-/settings`. The address of the package itself lists its versions, as in Gitea.
pub async fn get(call: Call) -> Result<Json<PackageSettingsBody>> {
    let path = package_path(&call).await?;
    let found = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &path.owner, Some(&path.package))?;
            settings::find(conn, &right, &path.package)
        })
        .await?;
    Ok(Json(PackageSettingsBody::from(found)))
}

/// `PATCH /packages/{owner}/generic/{name}`.
pub async fn edit(call: Call, body: LongBody<EditPackage>) -> Result<Json<PackageSettingsBody>> {
    let path = package_path(&call).await?;
    let asked = path.clone();
    call.admit(move |conn, caller| can_publish(conn, caller, &asked.owner, &asked.package).map(drop)).await?;
    let edit = body.read(&call.app).await?;
    let (visibility, edit) = (edit.visibility, PackageEdit::from(edit));
    let now = call.app.clock.now();
    let found = call
        .writing(move |conn, caller| {
            let right = can_publish(conn, caller, &path.owner, &path.package)?;
            if let Some(visibility) = visibility {
                visibility::set(conn, caller, &right, visibility.own(), now)?;
            }
            settings::update(conn, caller, &right, (&path.package, &edit), now)?;
            settings::find_own(conn, &right, &path.package)
        })
        .await?;
    Ok(Json(PackageSettingsBody::from(found)))
}
