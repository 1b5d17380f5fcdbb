//! The page that copies or moves the files of a version to another one. No bytes move.

use super::forms::Protected;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use super::version::{self, named};
use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::glob::FileGlob;
use crate::domain::path::VersionPath;
use crate::error::{Error, Result, What};
use crate::registry::access::{can_add_files, can_publish, can_read};
use crate::registry::packages::copies::{self, Copying};
use crate::registry::packages::releases;
use askama::Template;
use serde::Deserialize;

/// The version that gets the files, as typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct CopyForm {
    /// Empty for the same owner.
    to_owner: String,
    /// Empty for the same package.
    to_package: String,
    to_version: String,
    /// Patterns, one per line; empty for all files.
    files: String,
}

impl CopyForm {
    fn read(&self, from: &VersionPath, problems: &mut Problems) -> Option<Copying> {
        let or = |text: &str, same: &str| if text.trim().is_empty() { same.to_owned() } else { text.trim().to_owned() };
        let owner = problems.take("to_owner", or(&self.to_owner, from.owner.as_str()).parse());
        let package = problems.take("to_package", or(&self.to_package, from.package.as_str()).parse());
        let version = problems.take("to_version", self.to_version.trim().parse());
        let patterns = self.files.lines().map(str::trim).filter(|line| !line.is_empty());
        let files = problems.take("files", FileGlob::list(patterns));
        let to = VersionPath { owner: owner?, package: package?, version: version? };
        if (&to.owner, &to.package, &to.version) == (&from.owner, &from.package, &from.version) {
            problems.add("to_version", "this is the version itself: enter another version or package");
            return None;
        }
        Some(Copying { from: from.clone(), to, files: files? })
    }
}

#[derive(Template)]
#[template(path = "copy_version.html")]
struct CopyPage {
    frame: Frame,
    path: VersionPath,
    typed: CopyForm,
    problems: Problems,
}

impl CopyPage {
    fn package_url(&self) -> String {
        address::package_page(&self.path.owner, &self.path.package)
    }

    fn url(&self) -> String {
        version::url(&self.path)
    }

    fn copy_url(&self) -> String {
        address::version_copy(&self.path.owner, &self.path.package, &self.path.version)
    }

    fn move_url(&self) -> String {
        address::version_move(&self.path.owner, &self.path.package, &self.path.version)
    }
}

async fn page(call: &Call, path: VersionPath, typed: CopyForm, problems: Problems) -> Result<Reply> {
    let (frame, path) = frame(call, move |conn, caller| {
        can_publish(conn, caller, &path.owner, &path.package)?;
        let right = can_read(conn, caller, &path.owner, Some(&path.package))?;
        let release = releases::find(conn, &right, &path)?;
        let owner = right.owner().name.clone();
        Ok(VersionPath { owner, package: release.package, version: release.version })
    })
    .await?;
    let page = CopyPage { frame, path, typed, problems };
    if page.problems.is_empty() { Reply::page(&page) } else { page.problems.reply(&page) }
}

/// `GET /{owner}/-/packages/generic/{name}/{version}/copy`.
pub async fn form(call: Call) -> Result<Reply> {
    let path = named(&call).await?;
    page(&call, path, CopyForm::default(), Problems::default()).await
}

/// `POST /{owner}/-/packages/generic/{name}/{version}/copy`.
pub async fn copy(call: Call, form: Protected<CopyForm>) -> Result<Reply> {
    run(call, form, false).await
}

/// `POST /{owner}/-/packages/generic/{name}/{version}/move`.
pub async fn relocate(call: Call, form: Protected<CopyForm>) -> Result<Reply> {
    run(call, form, true).await
}

async fn run(call: Call, form: Protected<CopyForm>, moves: bool) -> Result<Reply> {
    let typed = form.read(&call).await?;
    let from = named(&call).await?;
    let mut problems = Problems::default();
    let Some(copying) = typed.read(&from, &mut problems) else { return page(&call, from, typed, problems).await };
    let (to, limits, now) = (copying.to.clone(), call.app.upload_limits(), call.app.clock.now());
    let done = call.writing(move |conn, caller| {
        // Whoever may not publish here gets the answer of every page of this version.
        can_publish(conn, caller, &copying.from.owner, &copying.from.package)?;
        let target =
            can_add_files(conn, caller, &copying.to.owner, &copying.to.package).map_err(|error| match error {
                Error::NotFound(_) | Error::Forbidden(_) | Error::Moved { .. } => {
                    Error::invalid("to_owner", format!("to_owner: {error}"))
                }
                other => other,
            })?;
        copies::transfer(conn, caller, &target, (&copying, moves), &limits, now)
    });
    match done.await {
        Ok(_) => {
            let done = if moves { "moved" } else { "copied" };
            let notice = format!("Files {done} from {} {}.", from.package, from.version);
            Ok(Reply::to(&version::url(&to)).notice(&call.app, &notice))
        }
        Err(error) => {
            let error = match error {
                Error::NotFound(What::File) if !typed.files.trim().is_empty() => {
                    Error::invalid("files", "files: no file of this version matches")
                }
                Error::Quota(text) => Error::Clash(text),
                other => other,
            };
            let problems = Problems::of(error, "to_version")?;
            page(&call, from, typed, problems).await
        }
    }
}
