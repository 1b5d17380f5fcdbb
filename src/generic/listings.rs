//! Lists for curl: a package's versions, a version's files. One name per line, or JSON for clients that ask for it.

use super::files::redirect;
use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::path::{PackagePath, VersionPath};
use crate::domain::version::Version;
use crate::error::{Error, Result, What};
use crate::http::paging::Paging;
use crate::http::problem::Shape;
use crate::registry::access::can_read;
use crate::registry::packages::files::FileSummary;
use crate::registry::packages::versions::VersionSummary;
use crate::registry::packages::{files, versions};
use crate::registry::pages::{Page, Slice};
use crate::state::App;
use crate::views::FileView;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

/// How many names a page has by default, and at most.
const PAGE: i64 = 1000;

fn paging(req: &HttpRequest) -> Paging {
    Paging::read(req, PAGE, PAGE)
}

fn slice(paging: Paging) -> Slice {
    Slice { offset: paging.offset(), limit: paging.limit() }
}

/// `GET` of a package: its versions, the oldest first.
pub async fn versions(call: Call) -> Result<HttpResponse> {
    let path = call.package_path().await?;
    call.about(&path.owner);
    let (asked, wanted) = (paging(&call.req), path.clone());
    let page = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &wanted.owner, Some(&wanted.package))?;
            versions::list(conn, &right, &wanted.package, slice(asked))
        })
        .await?;
    let names = page.items.iter().map(|version| version.version.to_string()).collect();
    let objects = page.items.iter().map(|version| ListedVersion::new(&call.app, &path, version)).collect();
    Ok(list(&call, asked, &address::generic_package(&path), page.total, names, objects))
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
    /// The address of the list of its files.
    url: String,
}

impl ListedVersion {
    fn new(app: &App, package: &PackagePath, version: &VersionSummary) -> Self {
        let PackagePath { owner, package } = package.clone();
        let path = VersionPath { owner, package, version: version.version.clone() };
        Self {
            url: app.url(&address::generic_version(&path)),
            version: path.version,
            created_at: version.created_at,
            files: version.files,
            size: version.size,
            download_count: version.downloads,
        }
    }
}

/// The files of a version, or the version that `latest` means.
enum ListedFiles {
    Files(Page<FileSummary>),
    Newest(VersionPath),
}

/// `GET` of a version: its files, the oldest first.
pub async fn files(call: Call) -> Result<HttpResponse> {
    let path = call.version_path().await?;
    call.about(&path.owner);
    let (asked, wanted) = (paging(&call.req), path.clone());
    let found = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &wanted.owner, Some(&wanted.package))?;
            match files::list(conn, &right, &wanted, slice(asked)) {
                Err(Error::NotFound(What::Version)) if wanted.version.is_latest() => {
                    let version = versions::newest(conn, &right, &wanted.package)?;
                    Ok(ListedFiles::Newest(VersionPath { version, ..wanted.clone() }))
                }
                page => page.map(ListedFiles::Files),
            }
        })
        .await?;
    let page = match found {
        ListedFiles::Files(page) => page,
        ListedFiles::Newest(path) => return Ok(redirect(&call.req, address::generic_version(&path))),
    };
    let names = page.items.iter().map(|file| file.name.to_string()).collect();
    let mut objects = Vec::new();
    if Shape::asked(call.req.headers()) == Shape::Json {
        for file in page.items {
            objects.push(FileView::new(&call.app, &path, file).await?);
        }
    }
    Ok(list(&call, asked, &address::generic_version(&path), page.total, names, objects))
}

fn list(
    call: &Call,
    asked: Paging,
    path: &str,
    total: i64,
    names: Vec<String>,
    objects: Vec<impl Serialize>,
) -> HttpResponse {
    let mut builder = HttpResponse::Ok();
    asked.describe(&mut builder, &call.app.url(path), total);
    builder.insert_header((header::CACHE_CONTROL, "private, no-cache"));
    builder.insert_header((header::VARY, "Accept"));
    builder.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    match Shape::asked(call.req.headers()) {
        Shape::Json => builder.json(objects),
        Shape::Text => {
            let lines: String = names.into_iter().map(|name| name + "\n").collect();
            builder.content_type("text/plain; charset=utf-8").body(lines)
        }
    }
}
