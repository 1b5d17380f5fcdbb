//! Protection rules: the least role that may publish, replace and delete some versions of an owner's packages.

use super::endpoint::{Created, Json, JsonBody, Listed, NoContent, Pages};
use crate::auth::call::Call;
use crate::domain::clock::Timestamp;
use crate::domain::ids::ProtectionId;
use crate::domain::names::OwnerName;
use crate::domain::package_access::{LeastRole, VersionPattern};
use crate::domain::role::{Level, PackagePattern};
use crate::error::{Error, Result, What};
use crate::registry::access::can_share;
use crate::registry::packages::protections::{self, NewProtection, Protection};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A protection rule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Protection)]
pub struct ProtectionBody {
    id: ProtectionId,
    name: String,
    /// The packages.
    #[schema(value_type = PackagePattern)]
    packages: String,
    /// Their versions.
    #[schema(value_type = VersionPattern)]
    versions: String,
    /// The lowest role that may add files.
    publish: LeastRole,
    /// The lowest role that may replace files.
    replace: LeastRole,
    /// The lowest role that may delete files and versions.
    delete: LeastRole,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Protection> for ProtectionBody {
    fn from(rule: Protection) -> Self {
        let Protection { id, name, packages, versions, publish, replace, delete, created_at, updated_at } = rule;
        Self { id, name, packages, versions, publish, replace, delete, created_at, updated_at }
    }
}

fn any() -> String {
    "*".to_owned()
}

fn write() -> LeastRole {
    LeastRole::Write
}

/// The body of `POST /packages/{owner}/-/protections` and `PUT …/{protection}`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = EditProtection)]
pub struct ProtectionFields {
    /// The name in error messages; unique for the owner, ignoring case.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    name: String,
    /// The packages, as a pattern in which `*` stands for any characters; all if this is left out.
    #[serde(default = "any")]
    #[schema(value_type = PackagePattern)]
    packages: String,
    /// Their versions, as such a pattern; all if this is left out.
    #[serde(default = "any")]
    #[schema(value_type = VersionPattern)]
    versions: String,
    /// The lowest role that may add files; `write` if this is left out.
    #[serde(default = "write")]
    publish: LeastRole,
    /// The lowest role that may replace files; `write` if this is left out.
    #[serde(default = "write")]
    replace: LeastRole,
    /// The lowest role that may delete files and versions; `write` if this is left out.
    #[serde(default = "write")]
    delete: LeastRole,
}

impl ProtectionFields {
    fn check(self) -> Result<NewProtection> {
        let wrong =
            |field: &'static str, error: &dyn std::fmt::Display| Error::invalid(field, format!("{field}: {error}"));
        Ok(NewProtection {
            name: self.name,
            packages: self.packages.parse::<PackagePattern>().map_err(|error| wrong("packages", &error))?,
            versions: self.versions.parse::<VersionPattern>().map_err(|error| wrong("versions", &error))?,
            publish: self.publish,
            replace: self.replace,
            delete: self.delete,
        })
    }
}

async fn owner(call: &Call) -> Result<OwnerName> {
    let owner: OwnerName = call.part("owner", What::Owner).await?;
    call.about(&owner);
    Ok(owner)
}

async fn id(call: &Call) -> Result<ProtectionId> {
    Ok(ProtectionId(call.part("protection", What::Protection).await?))
}

/// `GET /packages/{owner}/-/protections`.
pub async fn list(call: Call, pages: Pages) -> Result<Listed<ProtectionBody>> {
    let (owner, slice) = (owner(&call).await?, pages.slice());
    let page = call
        .reading(move |conn, caller| {
            let right = can_share(conn, caller, &owner, Level::Read)?;
            protections::list(conn, &right, slice)
        })
        .await?;
    Ok(pages.answer(page, ProtectionBody::from))
}

/// `POST /packages/{owner}/-/protections`.
pub async fn create(call: Call, body: JsonBody<ProtectionFields>) -> Result<Created<ProtectionBody>> {
    let owner = owner(&call).await?;
    let of = owner.clone();
    call.admit(move |conn, caller| can_share(conn, caller, &of, Level::Write).map(drop)).await?;
    let new = body.read(&call.app).await?.check()?;
    let now = call.app.clock.now();
    let made = call
        .writing(move |conn, caller| {
            let right = can_share(conn, caller, &owner, Level::Write)?;
            protections::create(conn, caller, &right, &new, now)
        })
        .await?;
    Ok(Created(made.into()))
}

/// `GET /packages/{owner}/-/protections/{protection}`.
pub async fn get(call: Call) -> Result<Json<ProtectionBody>> {
    let (owner, id) = (owner(&call).await?, id(&call).await?);
    let found = call.reading(move |conn, caller| {
        let right = can_share(conn, caller, &owner, Level::Read)?;
        protections::find(conn, &right, id)
    });
    Ok(Json(found.await?.into()))
}

/// `PUT /packages/{owner}/-/protections/{protection}`.
pub async fn edit(call: Call, body: JsonBody<ProtectionFields>) -> Result<Json<ProtectionBody>> {
    let (owner, id) = (owner(&call).await?, id(&call).await?);
    let of = owner.clone();
    call.admit(move |conn, caller| can_share(conn, caller, &of, Level::Write).map(drop)).await?;
    let (new, now) = (body.read(&call.app).await?.check()?, call.app.clock.now());
    let changed = call.writing(move |conn, caller| {
        let right = can_share(conn, caller, &owner, Level::Write)?;
        protections::update(conn, caller, &right, (id, &new), now)
    });
    Ok(Json(changed.await?.into()))
}

/// `DELETE /packages/{owner}/-/protections/{protection}`.
pub async fn delete(call: Call) -> Result<NoContent> {
    let (owner, id) = (owner(&call).await?, id(&call).await?);
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let right = can_share(conn, caller, &owner, Level::Write)?;
        protections::delete(conn, caller, &right, id, now)
    })
    .await?;
    Ok(NoContent)
}
