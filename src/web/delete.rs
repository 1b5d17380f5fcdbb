//! Deleting a file or a version: a page says what will be deleted, and its form deletes it. The settings of a package
//! delete the package.

use super::format::{Bytes, Count, When};
use super::forms::Protected;
use super::notice::{Notice, Undo};
use super::page::{Frame, Reply, frame};
use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::ids::FileId;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::path::VersionPath;
use crate::domain::trash::TrashKind;
use crate::domain::version::Version;
use crate::error::{Result, What};
use crate::registry::access::can_publish;
use crate::registry::packages::contents::Contents;
use crate::registry::packages::deletion_preview::{self, FileDeletionPreview};
use crate::registry::packages::trash::Deletion;
use crate::registry::packages::trash_entries::can_purge;
use crate::registry::packages::{files, versions};
use askama::Template;
use serde::Deserialize;

/// What will be deleted, as the page shows it.
pub(super) struct DeletionFigures {
    pub(super) versions: Count,
    pub(super) files: Count,
    pub(super) bytes: Bytes,
    pub(super) downloads: Count,
}

impl From<Contents> for DeletionFigures {
    fn from(loss: Contents) -> Self {
        let Contents { versions, files, bytes, downloads } = loss;
        Self { versions: Count(versions), files: Count(files), bytes: Bytes(bytes), downloads: Count(downloads) }
    }
}

/// The forms that delete something.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct DeletionForm {
    /// Present if the box is ticked.
    purge: Option<String>,
}

/// Until when something can be restored that is deleted now; `None`: not at all.
pub(super) fn kept_until(call: &Call) -> Option<When> {
    when_lost(&Deletion::new(call.app.config.trash_kept(), call.app.clock.now()))
}

/// Until when something can be restored that was deleted like this; `None`: not at all.
pub(super) fn when_lost(deletion: &Deletion) -> Option<When> {
    deletion.keep_until().map(|at| When { at, now: deletion.now() })
}

/// What happened, in the notice after a deletion.
fn outcome(kept: Option<When>) -> String {
    kept.map_or_else(|| "has been deleted".to_owned(), |until| format!("is in the trash until {}", until.exact()))
}

/// The package that the path names.
async fn package(call: &Call) -> Result<(OwnerName, PackageName)> {
    let owner = call.part("owner", What::Owner).await?;
    call.about(&owner);
    Ok((owner, call.part("name", What::Package).await?))
}

/// The version that the path names.
async fn version(call: &Call) -> Result<VersionPath> {
    let (owner, package) = package(call).await?;
    Ok(VersionPath { owner, package, version: call.part("version", What::Version).await? })
}

#[derive(Template)]
#[template(path = "delete_version.html")]
struct VersionPage {
    frame: Frame,
    owner: OwnerName,
    package: PackageName,
    version: Version,
    loss: DeletionFigures,
    takes_package: bool,
    kept_until: Option<When>,
    can_purge: bool,
}

impl VersionPage {
    fn package_url(&self) -> String {
        address::package_page(&self.owner, &self.package)
    }

    fn delete_url(&self) -> String {
        address::version_deletion(&self.owner, &self.package, &self.version)
    }

    fn url(&self) -> String {
        address::version_page(&self.owner, &self.package, &self.version)
    }
}

/// `GET /{owner}/-/packages/generic/{name}/{version}/delete`.
pub async fn version_form(call: Call) -> Result<Reply> {
    let path = version(&call).await?;
    let (frame, found) = frame(&call, move |conn, caller| {
        let right = can_publish(conn, caller, &path.owner, &path.package)?;
        let (package, _) = deletion_preview::of_package(conn, &right, &path.package)?;
        let preview = deletion_preview::of_version(conn, &right, &path)?;
        Ok((right.owner().name.clone(), package, preview, can_purge(&right)))
    })
    .await?;
    let (owner, package, (version, loss, takes_package), can_purge) = found;
    let (loss, kept_until) = (loss.into(), kept_until(&call));
    Reply::page(&VersionPage { frame, owner, package, version, loss, takes_package, kept_until, can_purge })
}

/// `POST /{owner}/-/packages/generic/{name}/{version}/delete`.
pub async fn delete_version(call: Call, form: Protected<DeletionForm>) -> Result<Reply> {
    let purge = form.read(&call).await?.purge.is_some();
    let path = version(&call).await?;
    let (asked, keep, now) = (path.clone(), call.app.config.trash_kept(), call.app.clock.now());
    let (package_too, version, entry, kept) = call
        .writing(move |conn, caller| {
            let right = can_publish(conn, caller, &asked.owner, &asked.package)?;
            let deletion = Deletion::asked(&right, purge, keep, now)?;
            let (version, _, package_too) = deletion_preview::of_version(conn, &right, &asked)?;
            let entry = versions::delete(conn, caller, &right, &asked, &deletion)?;
            Ok((package_too, version, entry, when_lost(&deletion)))
        })
        .await?;
    let notice = format!("Version {version} of {} {}.", path.package, outcome(kept));
    let undo = entry.map(|entry| Undo::of(TrashKind::Version, &path.owner, entry));
    Ok(after(&path, package_too).tell(&call.app, &Notice::deleted(&notice, undo)))
}

/// Where to go after a version has been deleted.
fn after(path: &VersionPath, package_too: bool) -> Reply {
    match package_too {
        true => Reply::to(&address::owner_page(&path.owner)),
        false => Reply::to(&address::versions_page(&path.owner, &path.package)),
    }
}

#[derive(Template)]
#[template(path = "delete_file.html")]
struct FilePage {
    frame: Frame,
    owner: OwnerName,
    path: VersionPath,
    id: FileId,
    file: FileDeletionPreview,
    bytes: Bytes,
    downloads: Count,
    kept_until: Option<When>,
    can_purge: bool,
}

impl FilePage {
    fn package_url(&self) -> String {
        address::package_page(&self.owner, &self.path.package)
    }

    fn version_url(&self) -> String {
        address::version_page(&self.owner, &self.path.package, &self.path.version)
    }

    fn delete_url(&self) -> String {
        address::file_deletion(&self.owner, &self.path.package, &self.path.version, self.id)
    }
}

/// The file that the path names.
async fn file(call: &Call) -> Result<(VersionPath, FileId)> {
    let path = version(call).await?;
    Ok((path, FileId(call.part("id", What::File).await?)))
}

/// `GET /{owner}/-/packages/generic/{name}/{version}/files/{id}/delete`.
pub async fn file_form(call: Call) -> Result<Reply> {
    let (path, id) = file(&call).await?;
    let asked = path.clone();
    let (frame, (owner, file, can_purge)) = frame(&call, move |conn, caller| {
        let right = can_publish(conn, caller, &asked.owner, &asked.package)?;
        let preview = deletion_preview::of_file(conn, &right, &asked, id)?;
        Ok((right.owner().name.clone(), preview, can_purge(&right)))
    })
    .await?;
    let (bytes, downloads, kept_until) = (Bytes(file.bytes), Count(file.downloads), kept_until(&call));
    Reply::page(&FilePage { frame, owner, path, id, file, bytes, downloads, kept_until, can_purge })
}

/// `POST /{owner}/-/packages/generic/{name}/{version}/files/{id}/delete`.
pub async fn delete_file(call: Call, form: Protected<DeletionForm>) -> Result<Reply> {
    let purge = form.read(&call).await?.purge.is_some();
    let (path, id) = file(&call).await?;
    let (asked, keep, now) = (path.clone(), call.app.config.trash_kept(), call.app.clock.now());
    let (gone, entry, kept) = call
        .writing(move |conn, caller| {
            let right = can_publish(conn, caller, &asked.owner, &asked.package)?;
            let deletion = Deletion::asked(&right, purge, keep, now)?;
            let gone = deletion_preview::of_file(conn, &right, &asked, id)?;
            let entry = files::delete(conn, caller, &right, &asked.with_file(gone.name.clone()), &deletion)?;
            Ok((gone, entry, when_lost(&deletion)))
        })
        .await?;
    let reply = match gone.takes_version {
        true => after(&path, gone.takes_package),
        false => Reply::to(&address::version_page(&path.owner, &path.package, &path.version)),
    };
    let notice = format!("{} {}.", gone.name, outcome(kept));
    let undo = entry.map(|entry| Undo::of(TrashKind::File, &path.owner, entry));
    Ok(reply.tell(&call.app, &Notice::deleted(&notice, undo)))
}
