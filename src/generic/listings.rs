//! Lists for curl: an owner's packages, a package's versions, a version's files. One name per line, or JSON for clients
//! that prefer it; index pages, for those that prefer pages, are in `index`.

use super::index::{self, Format};
use super::redirects::{from_selector, to_index};
use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{FileId, PackageId, VersionId};
use crate::domain::names::{FileName, OwnerName, PackageName};
use crate::domain::path::{PackagePath, VersionPath};
use crate::domain::version::Version;
use crate::domain::version_state::VersionState;
use crate::error::{Error, Result, What};
use crate::http::paging::{Paging, param};
use crate::http::problem::Shape;
use crate::listing::{self, BATCH, Extent, Listing, json};
use crate::registry::access::{CanRead, can_read};
use crate::registry::packages::catalog::{self, Entry};
use crate::registry::packages::files::{FileSummary, ListOrder};
use crate::registry::packages::versions::VersionSummary;
use crate::registry::packages::{directories, files, selection, versions};
use crate::registry::pages::{ByAge, Slice};
use crate::state::App;
use crate::views::FileView;
use actix_web::http::header;
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// How many names a page has by default, and at most.
const PAGE: i64 = 1000;

/// What a request asks of a list.
struct ListQuery {
    extent: Extent,
    order: Result<ByAge>,
    shape: Shape,
}

impl ListQuery {
    fn of(call: &Call) -> Self {
        Self {
            extent: Extent(Paging::asked(&call.req, PAGE, PAGE)),
            order: param(&call.req, "order").unwrap_or_default().parse(),
            shape: Shape::asked(call.req.headers()),
        }
    }

    /// The order and the rows, which are read after the caller's right was checked.
    fn rows(&self) -> Result<(ByAge, Slice)> {
        let order = *self.order.as_ref().map_err(Error::again)?;
        Ok((order, self.extent.slice()))
    }

    /// The headers of the answer.
    fn head(&self, call: &Call, total: i64) -> HttpResponseBuilder {
        let mut builder = HttpResponse::Ok();
        self.extent.describe(&mut builder, &call.app.url(&Paging::rest(&call.req)), total);
        builder.insert_header((header::CACHE_CONTROL, "private, no-cache"));
        builder.insert_header((header::VARY, "Accept"));
        builder.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        builder
    }
}

/// `GET` of an owner: the packages that the caller may read, the oldest first.
pub async fn packages(call: Call) -> Result<HttpResponse> {
    /// A package's name, or all about it.
    enum Row {
        Name(PackageName),
        Entry(Box<Entry>),
    }
    let owner: OwnerName = call.owner_path().await?;
    call.about(&owner);
    let query = Arc::new(ListQuery::of(&call));
    let shape = query.shape;
    let rows = move |conn: &mut _, right: &CanRead, ids: &[PackageId]| match shape {
        Shape::Text => Ok(catalog::names(conn, right, ids)?.into_iter().map(Row::Name).collect()),
        Shape::Json => {
            let entries = catalog::load(conn, &right.draft_limit(), ids)?;
            Ok(entries.into_iter().map(|entry| Row::Entry(Box::new(entry))).collect())
        }
    };
    // Each package's latest version is found among all its versions, so only a few packages are read at a time.
    let batch = if shape == Shape::Json { PACKAGES_AT_ONCE } else { BATCH };
    let (asked, of) = (Arc::clone(&query), owner.clone());
    let list = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &of, None)?;
            let (order, slice) = asked.rows()?;
            let ids = catalog::ids(conn, &right, order, slice)?;
            Listing::open_by(batch, ids, None, |ids| rows(conn, &right, ids))
        })
        .await?;
    let (of, app) = (owner.clone(), Arc::clone(&call.app));
    let more = move |conn: &mut _, caller: &_, ids: &[PackageId]| {
        let right = can_read(conn, caller, &of, None)?;
        rows(conn, &right, ids)
    };
    let head = query.head(&call, list.total);
    listing::send(call, head, shape, list, more, async move |row| match row {
        Row::Name(name) => Ok(name.to_string().into_bytes()),
        Row::Entry(entry) => json(&ListedPackage::new(&app, &owner, *entry)),
    })
    .await
}

/// How many packages are read at a time with all their versions: as many as a page shows.
const PACKAGES_AT_ONCE: usize = 30;

/// A package, as JSON.
#[derive(Serialize, ToSchema)]
pub struct ListedPackage {
    name: PackageName,
    /// The version that `latest` stands for; null if every version is a draft or yanked.
    latest: Option<Version>,
    /// How many versions it has.
    #[schema(minimum = 1)]
    versions: i64,
    /// The bytes of all files of all versions.
    #[schema(minimum = 0)]
    size: i64,
    /// How often its files were downloaded.
    #[schema(minimum = 0)]
    download_count: i64,
    created_at: Timestamp,
    /// When its last version was created.
    updated_at: Timestamp,
    /// The address of the list of its versions.
    url: String,
}

impl ListedPackage {
    fn new(app: &App, owner: &OwnerName, entry: Entry) -> Self {
        let path = PackagePath { owner: owner.clone(), package: entry.name };
        Self {
            url: app.url(&address::generic_package(&path)),
            name: path.package,
            latest: entry.latest,
            versions: entry.versions,
            size: entry.size,
            download_count: entry.downloads,
            created_at: entry.created_at,
            updated_at: entry.updated_at,
        }
    }
}

/// `GET` of a package: its versions, the oldest first.
pub async fn versions(call: Call) -> Result<HttpResponse> {
    /// A version's name, or all about it.
    enum Row {
        Name(Version),
        Summary(Box<VersionSummary>),
    }
    let path = call.package_path().await?;
    call.about(&path.owner);
    match Format::asked(&call.req) {
        Format::List => {}
        Format::Index => return index::versions(call, path).await,
        Format::IndexElsewhere => return index_elsewhere(&call, path.clone(), address::generic_package(&path)).await,
    }
    let query = Arc::new(ListQuery::of(&call));
    let shape = query.shape;
    let rows = move |conn: &mut _, right: &CanRead, ids: &[VersionId]| match shape {
        Shape::Text => Ok(versions::names(conn, right, ids)?.into_iter().map(Row::Name).collect()),
        Shape::Json => {
            let summaries = versions::summaries(conn, right, ids)?;
            Ok(summaries.into_iter().map(|summary| Row::Summary(Box::new(summary))).collect())
        }
    };
    let (asked, of) = (Arc::clone(&query), path.clone());
    let list = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &of.owner, Some(&of.package))?;
            let (order, slice) = asked.rows()?;
            let ids = versions::ids(conn, &right, &of.package, order, slice)?;
            Listing::open(ids, Some(What::Package), |ids| rows(conn, &right, ids))
        })
        .await?;
    let (of, app) = (path.clone(), Arc::clone(&call.app));
    let more = move |conn: &mut _, caller: &_, ids: &[VersionId]| {
        let right = can_read(conn, caller, &of.owner, Some(&of.package))?;
        rows(conn, &right, ids)
    };
    let head = query.head(&call, list.total);
    listing::send(call, head, shape, list, more, async move |row| match row {
        Row::Name(version) => Ok(version.to_string().into_bytes()),
        Row::Summary(summary) => json(&ListedVersion::new(&app, &path, *summary)),
    })
    .await
}

/// A version, as JSON.
#[derive(Serialize, ToSchema)]
pub struct ListedVersion {
    version: Version,
    created_at: Timestamp,
    /// How many files it has.
    #[schema(minimum = 1)]
    files: i64,
    /// The bytes of all its files.
    #[schema(minimum = 0)]
    size: i64,
    /// How often its files were downloaded.
    #[schema(minimum = 0)]
    download_count: i64,
    state: VersionState,
    /// Whether it is a pre-release: the publisher's choice decides, or else the version's name.
    prerelease: bool,
    /// Whether `latest` skips it.
    yanked: bool,
    deprecated: bool,
    /// When it will be deleted.
    expires_at: Option<Timestamp>,
    /// The address of the list of its files.
    url: String,
}

impl ListedVersion {
    fn new(app: &App, package: &PackagePath, version: VersionSummary) -> Self {
        let PackagePath { owner, package } = package.clone();
        let path = VersionPath { owner, package, version: version.version };
        let standing = version.standing;
        Self {
            prerelease: standing.is_prerelease(&path.version),
            url: app.url(&address::generic_version(&path)),
            version: path.version,
            created_at: version.created_at,
            files: version.files,
            size: version.size,
            download_count: version.downloads,
            state: standing.life.state(app.clock.now()),
            yanked: standing.yanked_at.is_some(),
            deprecated: standing.deprecated_at.is_some(),
            expires_at: standing.expires_at,
        }
    }
}

/// Redirects to the address of the index page, if the caller may read the package.
async fn index_elsewhere(call: &Call, of: PackagePath, address: String) -> Result<HttpResponse> {
    call.reading(move |conn, caller| can_read(conn, caller, &of.owner, Some(&of.package)).map(drop)).await?;
    Ok(to_index(call, &address))
}

/// The files of a version, or the version that a selector stands for.
enum ListedFiles {
    Files(Listing<FileId, FileSummary>),
    Selected(VersionPath),
}

/// `GET` of a version: its files, the oldest first.
pub async fn files(call: Call) -> Result<HttpResponse> {
    let path = call.version_path().await?;
    call.about(&path.owner);
    match Format::asked(&call.req) {
        Format::List => {}
        Format::Index => return index::entries(call, path, None).await,
        Format::IndexElsewhere => {
            return index_elsewhere(&call, path.in_package(), address::generic_version(&path)).await;
        }
    }
    let query = Arc::new(ListQuery::of(&call));
    let (asked, of) = (Arc::clone(&query), path.clone());
    let found = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &of.owner, Some(&of.package))?;
            let (order, slice) = asked.rows()?;
            match files::ids(conn, &right, &of, ListOrder::Age(order), slice) {
                Err(Error::NotFound(What::Version)) => match selection::select(conn, &right, &of)? {
                    Some(version) => Ok(ListedFiles::Selected(VersionPath { version, ..of.clone() })),
                    None => Err(Error::NotFound(What::Version)),
                },
                ids => Listing::open(ids?, Some(What::Version), |ids| files::load(conn, ids)).map(ListedFiles::Files),
            }
        })
        .await?;
    match found {
        ListedFiles::Files(list) => send_files(call, &query, path, None, list).await,
        ListedFiles::Selected(path) => Ok(from_selector(&call, &address::generic_version(&path))),
    }
}

/// `GET` of a directory of a version: the files in it and below it, the oldest first. As text, their names are relative
/// to it.
pub(super) async fn directory(call: Call, path: VersionPath, directory: FileName) -> Result<HttpResponse> {
    match Format::asked(&call.req) {
        Format::List => {}
        Format::Index => return index::entries(call, path, Some(directory)).await,
        Format::IndexElsewhere => {
            return Ok(to_index(&call, &address::generic_download(&path, directory.as_str())));
        }
    }
    let query = Arc::new(ListQuery::of(&call));
    let (asked, of, within) = (Arc::clone(&query), path.clone(), directory.clone());
    let list = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &of.owner, Some(&of.package))?;
            let (order, slice) = asked.rows()?;
            let ids = directories::files_below(conn, &right, (&of, &within), order, slice)?;
            Listing::open(ids, Some(What::File), |ids| files::load(conn, ids))
        })
        .await?;
    send_files(call, &query, path, Some(directory), list).await
}

/// Sends the files of a version, or of a directory of it.
async fn send_files(
    call: Call,
    query: &ListQuery,
    path: VersionPath,
    directory: Option<FileName>,
    list: Listing<FileId, FileSummary>,
) -> Result<HttpResponse> {
    let (of, app, shape) = (path.clone(), Arc::clone(&call.app), query.shape);
    let more = move |conn: &mut _, caller: &_, ids: &[FileId]| {
        can_read(conn, caller, &of.owner, Some(&of.package))?;
        files::load(conn, ids)
    };
    let head = query.head(&call, list.total);
    listing::send(call, head, shape, list, more, async move |file: FileSummary| match shape {
        Shape::Text => Ok(file.name.inside(directory.as_ref()).as_bytes().to_vec()),
        Shape::Json => json(&FileView::new(&app, &path, file).await?),
    })
    .await
}
