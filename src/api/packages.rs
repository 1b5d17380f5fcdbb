//! Packages: lists, versions, files, deleting.

use super::users::UserBody;
use super::{AppData, answer_json, error, part};
use crate::auth::Presented;
use crate::domain::clock::Timestamp;
use crate::domain::digest::OtherDigests;
use crate::domain::ids::{FileId, VersionId};
use crate::domain::names::{FileName, OwnerName, PackageName};
use crate::domain::path::VersionPath;
use crate::domain::version::Version;
use crate::error::{Error, Result, What};
use crate::http::middleware::tell;
use crate::http::paging::{Paging, param};
use crate::http::params::{API_V1, escape, file_url};
use crate::http::routes::resource;
use crate::jobs::digests;
use crate::registry::access::{can_publish, can_read};
use crate::registry::files::{self, FileSummary};
use crate::registry::releases::{self, Filter, Person, Release};
use crate::registry::versions::{self, Page, Slice};
use crate::registry::{access, packages};
use crate::state::App;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use std::sync::Arc;

/// Entries of a page unless `limit` says otherwise, and at most.
const PAGE: i64 = 30;
const LONGEST_PAGE: i64 = 50;
/// Where the owner stands in `/api/v1/packages/{owner}`.
const OWNER: usize = 3;

/// Adds the routes.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            resource("/api/v1/packages/{owner}", "GET, HEAD").route(web::get().to(list)).route(web::head().to(list)),
        )
        .service(
            resource("/api/v1/packages/{owner}/generic/{name}", "GET, HEAD, DELETE")
                .route(web::get().to(list_versions))
                .route(web::head().to(list_versions))
                .route(web::delete().to(delete_package)),
        )
        .service(
            resource("/api/v1/packages/{owner}/generic/{name}/-/latest", "GET, HEAD")
                .route(web::get().to(latest))
                .route(web::head().to(latest)),
        )
        .service(
            resource("/api/v1/packages/{owner}/generic/{name}/{version}", "GET, HEAD, DELETE")
                .route(web::get().to(version))
                .route(web::head().to(version))
                .route(web::delete().to(delete_version)),
        )
        .service(
            resource("/api/v1/packages/{owner}/generic/{name}/{version}/files", "GET, HEAD")
                .route(web::get().to(list_files))
                .route(web::head().to(list_files)),
        );
}

/// A version of a package.
#[derive(Debug, Serialize)]
struct PackageBody {
    id: VersionId,
    owner: UserBody,
    repository: (),
    creator: Option<UserBody>,
    #[serde(rename = "type")]
    kind: &'static str,
    name: PackageName,
    version: Version,
    html_url: String,
    created_at: Timestamp,
    size: i64,
    download_count: i64,
}

impl PackageBody {
    fn new(app: &App, owner: &UserBody, release: Release) -> Self {
        let (login, name, version) = (owner.login(), release.package.as_str(), release.version.as_str());
        let page = format!("/{}/-/packages/generic/{}/{}", escape(login), escape(name), escape(version));
        Self {
            id: release.id,
            owner: owner.clone(),
            repository: (),
            creator: release.creator.map(|person| UserBody::of_person(app, person)),
            kind: "generic",
            html_url: app.url(&page),
            name: release.package,
            version: release.version,
            created_at: release.created_at,
            size: release.size,
            download_count: release.downloads,
        }
    }
}

/// A file of a version.
#[derive(Debug, Serialize)]
struct FileBody {
    id: FileId,
    size: u64,
    name: FileName,
    md5: String,
    sha1: String,
    sha256: String,
    sha512: String,
    created_at: Timestamp,
    download_count: i64,
    download_url: String,
}

impl FileBody {
    fn new(app: &App, path: &VersionPath, file: FileSummary, other: OtherDigests) -> Self {
        Self {
            download_url: app.url(&file_url(&path.with_file(file.name.clone()))),
            id: file.id,
            size: file.blob.size,
            name: file.name,
            md5: other.md5.to_hex(),
            sha1: other.sha1.to_hex(),
            sha256: file.blob.sha256.to_hex(),
            sha512: other.sha512.to_hex(),
            created_at: file.created_at,
            download_count: file.downloads,
        }
    }
}

/// A name in a path that cannot be is one that is not there.
fn names<T>(parsed: Result<T>, what: What) -> Result<T> {
    parsed.map_err(|_| Error::NotFound(what))
}

fn slice(paging: Paging) -> Slice {
    Slice { offset: paging.offset(), limit: paging.limit() }
}

/// `GET /packages/{owner}`.
async fn list(req: HttpRequest, app: AppData) -> HttpResponse {
    let result = try_list(&req, &app).await;
    error::answer(&req, &app, result)
}

async fn try_list(req: &HttpRequest, app: &Arc<App>) -> Result<HttpResponse> {
    let presented = Presented::read(req, app).await?;
    let owner: OwnerName = part(req, OWNER, What::Owner)?;
    tell(req, |story| story.owner = Some(owner.to_string()));
    let paging = Paging::read(req, PAGE, LONGEST_PAGE);
    // A form writes a space as a plus.
    let raw = param(req, "q").unwrap_or_default();
    let part = percent_decode_str(&raw.replace('+', " ")).decode_utf8_lossy().trim().to_owned();
    let other_type = param(req, "type").is_some_and(|kind| !matches!(kind, "" | "generic"));
    let wanted = owner.clone();
    let (person, page) = presented
        .reading(req, app, move |conn, caller| {
            let right = can_read(conn, caller, &wanted, None)?;
            let page = if other_type {
                Page { items: Vec::new(), total: 0 }
            } else {
                releases::list(conn, &right, Filter::NameContains(&part), slice(paging))?
            };
            let page = permitted(caller, page);
            Ok((releases::owner(conn, &right)?, page))
        })
        .await?;
    let query = if raw.is_empty() { String::new() } else { format!("?q={raw}") };
    Ok(answer_page(app, paging, &format!("/api/v1/packages/{}{query}", escape(owner.as_str())), person, page))
}

/// What a token that is limited to some packages may see of a page.
fn permitted(caller: &access::Caller, mut page: Page<Release>) -> Page<Release> {
    let before = page.items.len();
    page.items.retain(|release| caller.demand_package(&release.package).is_ok());
    page.total -= i64::try_from(before - page.items.len()).unwrap_or_default();
    page
}

fn answer_page(app: &App, paging: Paging, url: &str, owner: Person, page: Page<Release>) -> HttpResponse {
    let owner = UserBody::of_person(app, owner);
    let bodies: Vec<PackageBody> =
        page.items.into_iter().map(|release| PackageBody::new(app, &owner, release)).collect();
    let mut builder = HttpResponse::Ok();
    builder.insert_header((actix_web::http::header::CACHE_CONTROL, "no-store"));
    paging.describe(&mut builder, &app.url(url), page.total);
    builder.json(bodies)
}

/// `GET /packages/{owner}/generic/{name}`.
async fn list_versions(req: HttpRequest, app: AppData) -> HttpResponse {
    let result = try_list_versions(&req, &app).await;
    error::answer(&req, &app, result)
}

async fn try_list_versions(req: &HttpRequest, app: &Arc<App>) -> Result<HttpResponse> {
    let presented = Presented::read(req, app).await?;
    let path = names(API_V1.package(req), What::Package)?;
    tell(req, |story| story.owner = Some(path.owner.to_string()));
    let paging = Paging::read(req, PAGE, LONGEST_PAGE);
    let wanted = path.clone();
    let (person, page) = presented
        .reading(req, app, move |conn, caller| {
            let right = can_read(conn, caller, &wanted.owner, Some(&wanted.package))?;
            let page = releases::list(conn, &right, Filter::Package(&wanted.package), slice(paging))?;
            if page.total == 0 {
                return Err(Error::NotFound(What::Package));
            }
            Ok((releases::owner(conn, &right)?, page))
        })
        .await?;
    let (owner, package) = (escape(path.owner.as_str()), escape(path.package.as_str()));
    Ok(answer_page(app, paging, &format!("/api/v1/packages/{owner}/generic/{package}"), person, page))
}

/// `GET /packages/{owner}/generic/{name}/{version}`.
async fn version(req: HttpRequest, app: AppData) -> HttpResponse {
    let result = try_version(&req, &app).await;
    error::answer(&req, &app, result)
}

async fn try_version(req: &HttpRequest, app: &Arc<App>) -> Result<HttpResponse> {
    let presented = Presented::read(req, app).await?;
    let path = names(API_V1.version(req), What::Version)?;
    tell(req, |story| story.owner = Some(path.owner.to_string()));
    let (person, release) = presented
        .reading(req, app, move |conn, caller| {
            let right = can_read(conn, caller, &path.owner, Some(&path.package))?;
            Ok((releases::owner(conn, &right)?, releases::first(conn, &right, Filter::Version(&path))?))
        })
        .await?;
    Ok(answer_json(StatusCode::OK, &PackageBody::new(app, &UserBody::of_person(app, person), release)))
}

/// `GET /packages/{owner}/generic/{name}/-/latest`: the version that was created last.
async fn latest(req: HttpRequest, app: AppData) -> HttpResponse {
    let result = try_latest(&req, &app).await;
    error::answer(&req, &app, result)
}

async fn try_latest(req: &HttpRequest, app: &Arc<App>) -> Result<HttpResponse> {
    let presented = Presented::read(req, app).await?;
    let path = names(API_V1.package(req), What::Package)?;
    tell(req, |story| story.owner = Some(path.owner.to_string()));
    let (person, release) = presented
        .reading(req, app, move |conn, caller| {
            let right = can_read(conn, caller, &path.owner, Some(&path.package))?;
            Ok((releases::owner(conn, &right)?, releases::first(conn, &right, Filter::Package(&path.package))?))
        })
        .await?;
    Ok(answer_json(StatusCode::OK, &PackageBody::new(app, &UserBody::of_person(app, person), release)))
}

/// `GET /packages/{owner}/generic/{name}/{version}/files`.
async fn list_files(req: HttpRequest, app: AppData) -> HttpResponse {
    let result = try_list_files(&req, &app).await;
    error::answer(&req, &app, result)
}

async fn try_list_files(req: &HttpRequest, app: &Arc<App>) -> Result<HttpResponse> {
    let presented = Presented::read(req, app).await?;
    let path = names(API_V1.version(req), What::Version)?;
    tell(req, |story| story.owner = Some(path.owner.to_string()));
    let wanted = path.clone();
    let mut page = presented
        .reading(req, app, move |conn, caller| {
            let right = can_read(conn, caller, &wanted.owner, Some(&wanted.package))?;
            files::list(conn, &right, &wanted, Slice { offset: 0, limit: i64::MAX })
        })
        .await?;
    page.items.sort_by_cached_key(|file| file.name.lower());
    let mut bodies = Vec::new();
    for file in page.items {
        let other = digests::of_blob(&app.db, &app.store, &app.digesting, &file.blob).await?;
        bodies.push(FileBody::new(app, &path, file, other));
    }
    Ok(answer_json(StatusCode::OK, &bodies))
}

/// `DELETE /packages/{owner}/generic/{name}`: all its versions.
async fn delete_package(req: HttpRequest, app: AppData) -> HttpResponse {
    let result = try_delete_package(&req, &app).await;
    error::answer(&req, &app, result)
}

async fn try_delete_package(req: &HttpRequest, app: &Arc<App>) -> Result<HttpResponse> {
    let presented = Presented::read(req, app).await?;
    let path = names(API_V1.package(req), What::Package)?;
    tell(req, |story| story.owner = Some(path.owner.to_string()));
    let now = app.clock.now();
    presented
        .writing(req, app, move |conn, caller| {
            let right = can_publish(conn, caller, &path.owner, &path.package)?;
            packages::delete(conn, caller, &right, &path.package, now)
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `DELETE /packages/{owner}/generic/{name}/{version}`.
async fn delete_version(req: HttpRequest, app: AppData) -> HttpResponse {
    let result = try_delete_version(&req, &app).await;
    error::answer(&req, &app, result)
}

async fn try_delete_version(req: &HttpRequest, app: &Arc<App>) -> Result<HttpResponse> {
    let presented = Presented::read(req, app).await?;
    let path = names(API_V1.version(req), What::Version)?;
    tell(req, |story| story.owner = Some(path.owner.to_string()));
    let now = app.clock.now();
    presented
        .writing(req, app, move |conn, caller| {
            let right = can_publish(conn, caller, &path.owner, &path.package)?;
            versions::delete(conn, caller, &right, &path, now)
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
