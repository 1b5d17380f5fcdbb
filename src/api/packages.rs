//! Packages: lists, versions, files, deleting.

use super::users::UserBody;
use super::{AppData, answer_json, error, part, slice};
use crate::auth::Presented;
use crate::domain::clock::Timestamp;
use crate::domain::digest::OtherDigests;
use crate::domain::ids::{FileId, VersionId};
use crate::domain::names::{FileName, OwnerName, PackageName};
use crate::domain::path::{PackagePath, VersionPath};
use crate::domain::version::Version;
use crate::error::{Error, Result, What};
use crate::http::middleware::tell;
use crate::http::paging::{Paging, param};
use crate::http::params::{API_V1, escape, file_url};
use crate::http::routes::resource;
use crate::jobs::digests;
use crate::registry::access::{can_publish, can_read};
use crate::registry::files::{self, FileSummary};
use crate::registry::packages;
use crate::registry::releases::{self, Filter, Person, Release};
use crate::registry::versions::{self, Page};
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
    let (part, kind) = (text_param(req, "q"), text_param(req, "type"));
    let mut url = format!("/api/v1/packages/{}", escape(owner.as_str()));
    let given = [("q", &part), ("type", &kind)].into_iter().filter(|(_, text)| !text.is_empty());
    for (at, (name, text)) in given.enumerate() {
        url.push_str(&format!("{}{name}={}", if at == 0 { '?' } else { '&' }, escape(text)));
    }
    // No name has a control character, and Postgres takes no NUL to look for.
    let nothing = !matches!(&*kind, "" | "generic") || part.chars().any(char::is_control);
    let (person, page) = presented
        .reading(req, app, move |conn, caller| {
            let right = can_read(conn, caller, &owner, None)?;
            let page = match nothing {
                true => Page { items: Vec::new(), total: 0 },
                false => releases::list(conn, &right, Filter::NameContains(&part), slice(paging))?,
            };
            Ok((releases::owner(conn, &right)?, page))
        })
        .await?;
    Ok(answer_releases(app, paging, &url, person, page))
}

/// A parameter of the query as a text; a form writes a space as a plus.
fn text_param(req: &HttpRequest, name: &str) -> String {
    let raw = param(req, name).unwrap_or_default().replace('+', " ");
    percent_decode_str(&raw).decode_utf8_lossy().trim().to_owned()
}

fn answer_releases(app: &App, paging: Paging, url: &str, owner: Person, page: Page<Release>) -> HttpResponse {
    let owner = UserBody::of_person(app, owner);
    let bodies: Vec<PackageBody> =
        page.items.into_iter().map(|release| PackageBody::new(app, &owner, release)).collect();
    answer_page(app, paging, url, page.total, &bodies)
}

fn answer_page(app: &App, paging: Paging, url: &str, total: i64, bodies: &impl Serialize) -> HttpResponse {
    let mut builder = HttpResponse::Ok();
    builder.insert_header((actix_web::http::header::CACHE_CONTROL, "no-store"));
    paging.describe(&mut builder, &app.url(url), total);
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
    Ok(answer_releases(app, paging, &format!("/api/v1/packages/{owner}/generic/{package}"), person, page))
}

/// Which one version is asked for.
enum Wanted {
    Version(VersionPath),
    Newest(PackagePath),
}

impl Wanted {
    fn owner(&self) -> &OwnerName {
        match self {
            Self::Version(path) => &path.owner,
            Self::Newest(path) => &path.owner,
        }
    }
}

/// `GET /packages/{owner}/generic/{name}/{version}`.
async fn version(req: HttpRequest, app: AppData) -> HttpResponse {
    let wanted = names(API_V1.version(&req), What::Version).map(Wanted::Version);
    let result = try_release(&req, &app, wanted).await;
    error::answer(&req, &app, result)
}

/// `GET /packages/{owner}/generic/{name}/-/latest`: the version that was created last.
async fn latest(req: HttpRequest, app: AppData) -> HttpResponse {
    let wanted = names(API_V1.package(&req), What::Package).map(Wanted::Newest);
    let result = try_release(&req, &app, wanted).await;
    error::answer(&req, &app, result)
}

async fn try_release(req: &HttpRequest, app: &Arc<App>, wanted: Result<Wanted>) -> Result<HttpResponse> {
    let presented = Presented::read(req, app).await?;
    let wanted = wanted?;
    tell(req, |story| story.owner = Some(wanted.owner().to_string()));
    let (person, release) = presented
        .reading(req, app, move |conn, caller| {
            let (package, filter) = match &wanted {
                Wanted::Version(path) => (&path.package, Filter::Version(path)),
                Wanted::Newest(path) => (&path.package, Filter::Package(&path.package)),
            };
            let right = can_read(conn, caller, wanted.owner(), Some(package))?;
            Ok((releases::owner(conn, &right)?, releases::first(conn, &right, filter)?))
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
    let paging = Paging::read(req, PAGE, LONGEST_PAGE);
    let wanted = path.clone();
    let page = presented
        .reading(req, app, move |conn, caller| {
            let right = can_read(conn, caller, &wanted.owner, Some(&wanted.package))?;
            files::list_by_name(conn, &right, &wanted, slice(paging))
        })
        .await?;
    let mut bodies = Vec::new();
    for file in page.items {
        let other = digests::of_blob(&app.db, &app.store, &app.digesting, &file.blob).await?;
        bodies.push(FileBody::new(app, &path, file, other));
    }
    let (owner, package, version) = (path.owner.as_str(), path.package.as_str(), path.version.as_str());
    let url = format!("/api/v1/packages/{}/generic/{}/{}/files", escape(owner), escape(package), escape(version));
    Ok(answer_page(app, paging, &url, page.total, &bodies))
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
