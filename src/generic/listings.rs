//! Lists for curl: a package's versions, a version's files. A name a line, or JSON for who asks for it.

use super::files::redirect;
use super::{AppData, answer, begin};
use crate::domain::clock::Timestamp;
use crate::domain::path::{PackagePath, VersionPath};
use crate::domain::version::Version;
use crate::error::{Error, Result, What};
use crate::http::middleware::tell;
use crate::http::paging::Paging;
use crate::http::params::{self, GENERIC, version_url};
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
use std::sync::Arc;
use utoipa::ToSchema;

/// How many names a page has unless `limit` says otherwise, and at most.
const PAGE: i64 = 1000;

fn paging(req: &HttpRequest) -> Paging {
    Paging::read(req, PAGE, PAGE)
}

fn slice(paging: Paging) -> Slice {
    Slice { offset: paging.offset(), limit: paging.limit() }
}

/// `GET` of a package: its versions, the oldest first.
pub async fn versions(req: HttpRequest, app: AppData) -> HttpResponse {
    let result = try_versions(&req, &app).await;
    answer(&req, &app, result)
}

async fn try_versions(req: &HttpRequest, app: &Arc<App>) -> Result<HttpResponse> {
    let (path, presented) = begin(req, app, GENERIC.package(req)).await?;
    tell(req, |story| story.owner = Some(path.owner.to_string()));
    let (asked, wanted) = (paging(req), path.clone());
    let page = presented
        .reading(req, app, move |conn, caller| {
            let right = can_read(conn, caller, &wanted.owner, Some(&wanted.package))?;
            versions::list(conn, &right, &wanted.package, slice(asked))
        })
        .await?;
    let url = app.url(&format!(
        "/api/packages/{}/generic/{}",
        params::escape(path.owner.as_str()),
        params::escape(path.package.as_str())
    ));
    let names = page.items.iter().map(|version| version.version.to_string()).collect();
    let objects = page.items.iter().map(|version| ListedVersion::new(app, &path, version)).collect();
    Ok(list(req, asked, &url, page.total, names, objects))
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
    /// Where its files are listed.
    url: String,
}

impl ListedVersion {
    fn new(app: &App, package: &PackagePath, version: &VersionSummary) -> Self {
        let PackagePath { owner, package } = package.clone();
        let path = VersionPath { owner, package, version: version.version.clone() };
        Self {
            url: app.url(&version_url(&path)),
            version: path.version,
            created_at: version.created_at,
            files: version.files,
            size: version.size,
            download_count: version.downloads,
        }
    }
}

/// `GET` of a version: its files, the oldest first.
pub async fn files(req: HttpRequest, app: AppData) -> HttpResponse {
    let result = try_files(&req, &app).await;
    answer(&req, &app, result)
}

/// The files of a version, or the version that `latest` stands for.
enum Found {
    Files(Page<FileSummary>),
    Newest(VersionPath),
}

async fn try_files(req: &HttpRequest, app: &Arc<App>) -> Result<HttpResponse> {
    let (path, presented) = begin(req, app, GENERIC.version(req)).await?;
    tell(req, |story| story.owner = Some(path.owner.to_string()));
    let (asked, wanted) = (paging(req), path.clone());
    let found = presented
        .reading(req, app, move |conn, caller| {
            let right = can_read(conn, caller, &wanted.owner, Some(&wanted.package))?;
            match files::list(conn, &right, &wanted, slice(asked)) {
                Err(Error::NotFound(What::Version)) if wanted.version.is_latest() => {
                    let version = versions::newest(conn, &right, &wanted.package)?;
                    Ok(Found::Newest(VersionPath { version, ..wanted.clone() }))
                }
                page => page.map(Found::Files),
            }
        })
        .await?;
    let page = match found {
        Found::Files(page) => page,
        Found::Newest(path) => return Ok(redirect(&app.url(&version_url(&path)))),
    };
    let names = page.items.iter().map(|file| file.name.to_string()).collect();
    let mut objects = Vec::new();
    if Shape::asked(req.headers()) == Shape::Json {
        for file in page.items {
            objects.push(FileView::new(app, &path, file).await?);
        }
    }
    Ok(list(req, asked, &app.url(&version_url(&path)), page.total, names, objects))
}

fn list(
    req: &HttpRequest,
    asked: Paging,
    url: &str,
    total: i64,
    names: Vec<String>,
    objects: Vec<impl Serialize>,
) -> HttpResponse {
    let mut builder = HttpResponse::Ok();
    asked.describe(&mut builder, url, total);
    builder.insert_header((header::CACHE_CONTROL, "private, no-cache"));
    builder.insert_header((header::VARY, "Accept"));
    builder.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    match Shape::asked(req.headers()) {
        Shape::Json => builder.json(objects),
        Shape::Text => {
            let lines: String = names.into_iter().map(|name| name + "\n").collect();
            builder.content_type("text/plain; charset=utf-8").body(lines)
        }
    }
}
