//! Uploading in the browser. The page's own script also requests this page, to find out what exists under the names
//! typed.

pub mod form;
pub mod raw;

use super::format::Bytes;
use super::list::query;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::path::VersionPath;
use crate::domain::version::Version;
use crate::error::{Result, What};
use crate::registry::access::can_upload;
use crate::registry::packages::uploads::{self, Prospect, Typed};
use actix_web::http::StatusCode;
use askama::Template;
use serde::Deserialize;

/// The results of the files in a form.
#[derive(Debug, Default)]
struct Outcome {
    stored: Vec<String>,
    /// The name of each file, and why it was not stored.
    failed: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "upload.html")]
struct UploadPage {
    frame: Frame,
    owner: OwnerName,
    typed: Typed,
    prospect: Prospect,
    problems: Problems,
    outcome: Option<Outcome>,
}

impl UploadPage {
    /// The maximum size of the next file in bytes, for the script.
    fn most(&self) -> String {
        self.prospect.most.map(|most| most.to_string()).unwrap_or_default()
    }

    /// The maximum size for people.
    fn most_shown(&self) -> Option<Bytes> {
        self.prospect.most.map(|most| Bytes(i64::try_from(most).unwrap_or(i64::MAX)))
    }

    /// The package name as it was first written.
    fn shown_package(&self) -> &str {
        self.prospect.package.as_ref().map_or(&self.typed.package, |name| name.as_str())
    }

    fn has_valid_package(&self) -> bool {
        self.typed.package.parse::<PackageName>().is_ok()
    }

    fn has_valid_version(&self) -> bool {
        self.typed.version.parse::<Version>().is_ok()
    }
}

/// The page of a version.
fn version_page(path: &VersionPath) -> String {
    address::version_page(&path.owner, &path.package, &path.version)
}

/// The query of [`page`].
#[derive(Deserialize, Default)]
pub struct UploadQuery {
    /// The owner that was chosen instead.
    #[serde(default)]
    to: String,
    #[serde(default)]
    package: String,
    #[serde(default)]
    version: String,
}

/// `GET /{owner}/-/upload`.
pub async fn page(call: Call) -> Result<Reply> {
    let owner: OwnerName = call.part("owner", What::Owner).await?;
    let asked: UploadQuery = query(&call.req);
    if let Some(to) = asked.to.parse::<OwnerName>().ok().filter(|to| to.lower() != owner.lower()) {
        return Ok(Reply::to(&address::upload_page_with(&to, &asked.package, &asked.version)));
    }
    let typed = Typed { package: asked.package, version: asked.version };
    show(&call, owner, typed, (StatusCode::OK, Problems::default(), None)).await
}

async fn show(
    call: &Call,
    owner: OwnerName,
    typed: Typed,
    (status, problems, outcome): (StatusCode, Problems, Option<Outcome>),
) -> Result<Reply> {
    call.about(&owner);
    let (limits, wanted, now) = (call.app.upload_limits(), typed.clone(), call.app.clock.now());
    let (frame, (owner, prospect)) = frame(call, move |conn, caller| {
        let right = can_upload(conn, caller, &owner)?;
        Ok((right.owner().name.clone(), uploads::prospect(conn, &right, &wanted, &limits, now)?))
    })
    .await?;
    Reply::page_with(status, &UploadPage { frame, owner, typed, prospect, problems, outcome })
}
