//! Copying and moving files between versions: read there, publish here.

use super::endpoint::{Answer, JsonBody};
use super::packages::{PackageBody, version_path};
use super::users::PersonBody;
use crate::auth::call::Call;
use crate::domain::glob::FileGlob;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::path::VersionPath;
use crate::domain::version::Version;
use crate::error::{Error, Result};
use crate::http::description::Description;
use crate::registry::access::{can_add_files, can_read};
use crate::registry::packages::copies::{self, Copying};
use crate::registry::packages::releases;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header;
use serde::Deserialize;
use utoipa::ToSchema;

/// The body of `POST …/{version}/copy` and `…/move`: the version that the files come from. Fields that are left out are
/// the same as in the path.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CopyFrom {
    owner: Option<OwnerName>,
    name: Option<PackageName>,
    version: Option<Version>,
    /// Only files whose path matches one of these: `*` and `?` do not match a `/`, `**` does. All files if this is left
    /// out.
    files: Option<Vec<String>>,
}

impl CopyFrom {
    fn to(self, to: VersionPath) -> Result<Copying> {
        let from = VersionPath {
            owner: self.owner.unwrap_or_else(|| to.owner.clone()),
            package: self.name.unwrap_or_else(|| to.package.clone()),
            version: self.version.unwrap_or_else(|| to.version.clone()),
        };
        let texts = self.files.unwrap_or_default();
        let files = FileGlob::list(texts.iter().map(String::as_str));
        Ok(Copying { from, to, files: files.map_err(|why| Error::invalid("files", format!("files: {why}")))? })
    }
}

/// The version that got the files: 200, or 201 if it is new.
pub struct Target {
    body: PackageBody,
    is_new: bool,
}

impl Answer for Target {
    fn respond(self) -> HttpResponse {
        let mut builder = if self.is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
        builder.insert_header((header::CACHE_CONTROL, "no-store")).json(self.body)
    }

    fn describe(description: &mut Description) {
        description.answers_json::<PackageBody>(StatusCode::OK, "The version existed already");
        description.answers_json::<PackageBody>(StatusCode::CREATED, "The new version");
        description
            .refuses(StatusCode::CONFLICT, "Files exist already, which the message names, or the version is sealed");
        description.refuses(StatusCode::FORBIDDEN, "The owner's quota is exceeded; the message has the figures");
    }
}

/// `POST /packages/{owner}/generic/{name}/{version}/copy`.
pub async fn copy(call: Call, body: JsonBody<CopyFrom>) -> Result<Target> {
    run(call, body, false).await
}

/// `POST /packages/{owner}/generic/{name}/{version}/move`.
pub async fn relocate(call: Call, body: JsonBody<CopyFrom>) -> Result<Target> {
    run(call, body, true).await
}

async fn run(call: Call, body: JsonBody<CopyFrom>, moves: bool) -> Result<Target> {
    let to = version_path(&call).await?;
    let of = to.clone();
    call.admit(move |conn, caller| can_add_files(conn, caller, &of.owner, &of.package).map(drop)).await?;
    let copying = body.read(&call.app).await?.to(to)?;
    let (now, limits) = (call.app.clock.now(), call.app.upload_limits());
    let (person, release, is_new) = call
        .writing(move |conn, caller| {
            let to = &copying.to;
            let target = can_add_files(conn, caller, &to.owner, &to.package)?;
            let is_new = copies::transfer(conn, caller, &target, (&copying, moves), &limits, now)?;
            let here = can_read(conn, caller, &to.owner, Some(&to.package))?;
            Ok((releases::owner(conn, &here)?, releases::find(conn, &here, to)?, is_new))
        })
        .await?;
    Ok(Target { body: PackageBody::new(&call.app, &PersonBody::new(&call.app, person), release), is_new })
}
