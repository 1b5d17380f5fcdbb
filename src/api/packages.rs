//! Packages: listing packages, versions and files, and deleting them.

use super::endpoint::{Json, Listed, Never, NoContent, Pages, PagesIfAsked, Query, Whole};
use super::users::PersonBody;
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::identity::VerifiedIdentity;
use crate::domain::ids::{FileId, VersionId};
use crate::domain::labels::Labels;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::package_texts::{Markdown, Reason};
use crate::domain::path::{PackagePath, VersionPath};
use crate::domain::version::Version;
use crate::domain::version_state::VersionState;
use crate::error::{Error, Result, What};
use crate::http::problem::Shape;
use crate::listing::{self, Listing, json};
use crate::registry::access::{can_publish, can_read};
use crate::registry::caller::Caller;
use crate::registry::owners::person::Person;
use crate::registry::packages::files::{self, ListOrder};
use crate::registry::packages::lifecycle;
use crate::registry::packages::releases::{self, Filter, Release};
use crate::registry::packages::trash::Deletion;
use crate::registry::packages::versions;
use crate::registry::pages::Page;
use crate::state::App;
use crate::views::FileView;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// A version of a package.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Package)]
pub struct PackageBody {
    id: VersionId,
    owner: PersonBody,
    /// Always null: packages here do not belong to a repository.
    #[schema(value_type = Option<bool>)]
    repository: (),
    /// Gitea's Ghost if the account was deleted.
    creator: PersonBody,
    #[serde(rename = "type")]
    #[schema(pattern = "^generic$")]
    kind: &'static str,
    name: PackageName,
    version: Version,
    html_url: String,
    created_at: Timestamp,
    /// The bytes of all its files.
    #[schema(minimum = 0)]
    size: i64,
    /// The downloads of all its files.
    #[schema(minimum = 0)]
    download_count: i64,
    state: VersionState,
    /// Null for a draft.
    published_at: Option<Timestamp>,
    sealed_at: Option<Timestamp>,
    /// Markdown; null in lists.
    notes: Option<Markdown>,
    labels: Labels,
    /// Whether it is a pre-release: the publisher's choice decides, or else the version's name.
    prerelease: bool,
    /// Whether `latest` skips it.
    yanked: bool,
    yank_reason: Reason,
    deprecated: bool,
    deprecation_message: Reason,
    /// The version to use instead of a deprecated one.
    successor: Option<Version>,
    /// Whether it is on hold and cannot be deleted.
    hold: bool,
    hold_reason: Reason,
    /// When it will be deleted.
    expires_at: Option<Timestamp>,
    /// The job that published all its files, if it was a trusted publisher's.
    verified_identity: Option<VerifiedIdentity>,
}

impl PackageBody {
    pub(super) fn new(app: &App, owner: &PersonBody, release: Release) -> Self {
        let (standing, now) = (release.standing, app.clock.now());
        let page = address::version_page(owner.login(), &release.package, &release.version);
        let prerelease = standing.is_prerelease(&release.version);
        Self {
            id: release.id,
            owner: owner.clone(),
            repository: (),
            creator: PersonBody::new(app, release.creator.unwrap_or_else(Person::ghost)),
            kind: "generic",
            html_url: app.url(&page),
            name: release.package,
            version: release.version,
            created_at: release.created_at,
            size: release.size,
            download_count: release.downloads,
            state: standing.life.state(now),
            published_at: standing.life.published_at(),
            sealed_at: standing.life.sealed_at(now),
            notes: None,
            labels: release.labels,
            prerelease,
            yanked: standing.yanked_at.is_some(),
            yank_reason: standing.yank_reason,
            deprecated: standing.deprecated_at.is_some(),
            deprecation_message: standing.deprecation_message,
            successor: standing.successor,
            hold: standing.held_at.is_some(),
            hold_reason: standing.hold_reason,
            expires_at: standing.expires_at,
            verified_identity: release.identity,
        }
    }
}

/// All about one version.
pub(super) struct FullRelease {
    owner: Person,
    release: Release,
    notes: Markdown,
}

impl FullRelease {
    pub(super) fn body(self, app: &App) -> Json<PackageBody> {
        let body = PackageBody::new(app, &PersonBody::new(app, self.owner), self.release);
        Json(PackageBody { notes: Some(self.notes), ..body })
    }
}

/// A version with its notes.
pub(super) fn full(conn: &mut Connection, caller: &Caller, path: &VersionPath) -> Result<FullRelease> {
    let right = can_read(conn, caller, &path.owner, Some(&path.package))?;
    let release = releases::find(conn, &right, path)?;
    Ok(FullRelease { owner: releases::owner(conn, &right)?, notes: releases::notes(conn, release.id)?, release })
}

/// The package that the path names.
pub(super) async fn package_path(call: &Call) -> Result<PackagePath> {
    let owner: OwnerName = call.part("owner", What::Owner).await?;
    call.about(&owner);
    Ok(PackagePath { owner, package: call.part("name", What::Package).await? })
}

/// The version that the path names.
pub(super) async fn version_path(call: &Call) -> Result<VersionPath> {
    let PackagePath { owner, package } = package_path(call).await?;
    Ok(VersionPath { owner, package, version: call.part("version", What::Version).await? })
}

/// The query of [`list`].
#[derive(Deserialize, IntoParams)]
pub struct PackageQuery {
    /// `generic` or empty. There is no other type: with any other value the list is empty.
    #[serde(default, rename = "type")]
    kind: String,
    /// A part of the package's name, ignoring case.
    #[serde(default)]
    q: String,
}

/// `GET /packages/{owner}`.
pub async fn list(call: Call, query: Query<PackageQuery>, pages: Pages) -> Result<Listed<PackageBody>> {
    let owner: OwnerName = call.part("owner", What::Owner).await?;
    call.about(&owner);
    let query = query.read();
    let slice = pages.slice();
    let (person, page) = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &owner, None)?;
            let PackageQuery { kind, q } = query.as_ref().map_err(Error::again)?;
            // No name has a control character, and Postgres rejects NUL in a text.
            let nothing = !matches!(&**kind, "" | "generic") || q.chars().any(char::is_control);
            let page = match nothing {
                true => Page { items: Vec::new(), total: 0 },
                false => releases::list(conn, &right, Filter::NameContains(q.trim()), slice)?,
            };
            Ok((releases::owner(conn, &right)?, page))
        })
        .await?;
    Ok(listed(&call.app, &pages, person, page))
}

fn listed(app: &App, pages: &Pages, owner: Person, page: Page<Release>) -> Listed<PackageBody> {
    let owner = PersonBody::new(app, owner);
    pages.answer(page, |release| PackageBody::new(app, &owner, release))
}

/// `GET /packages/{owner}/generic/{name}`.
pub async fn list_versions(call: Call, pages: Pages) -> Result<Listed<PackageBody>> {
    let path = package_path(&call).await?;
    let slice = pages.slice();
    let (person, page) = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &path.owner, Some(&path.package))?;
            let page = releases::list(conn, &right, Filter::Package(&path.package), slice)?;
            if page.total == 0 {
                return Err(Error::NotFound(What::Package));
            }
            Ok((releases::owner(conn, &right)?, page))
        })
        .await?;
    Ok(listed(&call.app, &pages, person, page))
}

/// `GET /packages/{owner}/generic/{name}/{version}`.
pub async fn version(call: Call) -> Result<Json<PackageBody>> {
    let path = version_path(&call).await?;
    let found = call.reading(move |conn, caller| full(conn, caller, &path)).await?;
    Ok(found.body(&call.app))
}

/// The query of [`latest`].
#[derive(Deserialize, IntoParams)]
pub struct LatestQuery {
    /// `true`, the default: the highest release, or else the newest pre-release. `false`: the version that was created
    /// last, even if it is a pre-release, as in Gitea.
    stable: Option<bool>,
}

/// `GET /packages/{owner}/generic/{name}/-/latest`: the version that `latest` stands for everywhere.
pub async fn latest(call: Call, query: Query<LatestQuery>) -> Result<Json<PackageBody>> {
    let PackagePath { owner, package } = package_path(&call).await?;
    let query = query.read();
    let found = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &owner, Some(&package))?;
            let query = query.as_ref().map_err(Error::again)?;
            let version = match query.stable {
                Some(false) => versions::last_created(conn, &right, &package)?,
                _ => versions::newest(conn, &right, &package)?,
            };
            full(conn, caller, &VersionPath { owner: owner.clone(), package: package.clone(), version })
        })
        .await?;
    Ok(found.body(&call.app))
}

/// `GET /packages/{owner}/generic/{name}/{version}/files`: all of them, unless a page is asked for.
pub async fn list_files(call: Call, pages: PagesIfAsked) -> Result<Whole<FileView>> {
    let path = version_path(&call).await?;
    let (of, slice) = (path.clone(), pages.slice());
    let list = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &of.owner, Some(&of.package))?;
            let ids = files::ids(conn, &right, &of, ListOrder::Name, slice)?;
            Listing::open(ids, Some(What::Version), |ids| files::load(conn, ids))
        })
        .await?;
    let (of, app) = (path.clone(), Arc::clone(&call.app));
    let more = move |conn: &mut _, caller: &_, ids: &[FileId]| {
        can_read(conn, caller, &of.owner, Some(&of.package))?;
        files::load(conn, ids)
    };
    let head = pages.head(list.total);
    let sent = listing::send(call, head, Shape::Json, list, more, async move |file| {
        json(&FileView::new(&app, &path, file).await?)
    });
    sent.await.map(Whole::new)
}

/// The query of a deletion.
#[derive(Deserialize, IntoParams)]
pub struct DeletionQuery {
    /// Delete for good at once, without the trash. Only owners and site administrators may do this.
    #[serde(default)]
    purge: bool,
}

/// `DELETE /packages/{owner}/generic/{name}`: deletes all its versions.
pub async fn delete_package(call: Call, query: Query<DeletionQuery>) -> Result<NoContent> {
    let path = package_path(&call).await?;
    let (query, keep, now) = (query.read(), call.app.config.trash_kept(), call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_publish(conn, caller, &path.owner, &path.package)?;
        let purge = query.as_ref().map_err(Error::again)?.purge;
        lifecycle::delete(conn, caller, &right, &path.package, &Deletion::asked(&right, purge, keep, now)?).map(drop)
    })
    .await?;
    Ok(NoContent)
}

/// `DELETE /packages/{owner}/generic/{name}/{version}`.
pub async fn delete_version(call: Call, query: Query<DeletionQuery>) -> Result<NoContent> {
    let path = version_path(&call).await?;
    let (query, keep, now) = (query.read(), call.app.config.trash_kept(), call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_publish(conn, caller, &path.owner, &path.package)?;
        let purge = query.as_ref().map_err(Error::again)?.purge;
        versions::delete(conn, caller, &right, &path, &Deletion::asked(&right, purge, keep, now)?).map(drop)
    })
    .await?;
    Ok(NoContent)
}

/// `POST /packages/{owner}/generic/{name}/-/link/{repo}` and `…/-/unlink`: a package belongs to its owner, and there is
/// no repository to link it to. The answer is the same for everybody, so it reads no credential.
pub async fn link(_: Call) -> Result<Never> {
    Err(Error::Unsupported("this server has no repositories, so packages cannot be linked to one"))
}
