//! One file: downloading and deleting it. Publishing is in `upload`.

use super::sidecars::{self, Sidecar};
use super::{AppData, answer, begin};
use crate::domain::path::FilePath;
use crate::error::{Error, Result, What};
use crate::http::blob::{BlobToServe, in_shape, respond};
use crate::http::params::{GENERIC, file_url};
use crate::http::problem::Shape;
use crate::http::request_log::{log_fields, request_id};
use crate::registry::access::{can_publish, can_read};
use crate::registry::files::{self, Downloadable};
use crate::registry::versions;
use crate::state::App;
use crate::storage::{BlobStore, Stored};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use std::sync::Arc;

/// Most bytes of a file that is read in the same hop as its row: a hop costs a third of the rate of small downloads.
const READ_AT_ONCE: u64 = 64 << 10;

/// `GET`, `HEAD` of a file; also of a side-car, and of the version `latest`.
pub async fn download(req: HttpRequest, app: AppData) -> HttpResponse {
    let result = try_download(&req, &app).await;
    answer(&req, &app, result)
}

/// What an address of a file leads to.
enum Found {
    File(Box<Downloadable>),
    Sidecar(Box<Sidecar>),
    Newest(FilePath),
}

async fn try_download(req: &HttpRequest, app: &Arc<App>) -> Result<HttpResponse> {
    let (path, presented) = begin(req, app, GENERIC.file(req)).await?;
    log_fields(req, |log| log.owner = Some(path.owner.to_string()));
    let store = app.store.clone();
    let (found, small) = presented
        .reading_then(
            req,
            app,
            move |conn, caller| match files::find_downloadable(conn, caller, &path) {
                Ok(file) => Ok(Found::File(Box::new(file))),
                Err(Error::NotFound(What::File)) => {
                    // The owner is readable, and no such file is there: it may be one that is computed.
                    let right = can_read(conn, caller, &path.owner, Some(&path.package))?;
                    if let Some(sidecar) = sidecars::find(conn, &right, &path)? {
                        return Ok(Found::Sidecar(Box::new(sidecar)));
                    }
                    if path.version.is_latest() && !versions::exists(conn, right.owner().id, &path.in_version())? {
                        let version = versions::newest(conn, &right, &path.package).map_err(not_found_as_file)?;
                        return Ok(Found::Newest(FilePath { version, ..path.clone() }));
                    }
                    Err(Error::NotFound(What::File))
                }
                Err(error) => Err(error),
            },
            move |found| {
                let small = match &found {
                    Found::File(file) if file.blob.size <= READ_AT_ONCE => Some(read(&store, file)),
                    _ => None,
                };
                (found, small)
            },
        )
        .await?;
    match found {
        Found::File(file) => send(req, app, &file, small.transpose()?).await,
        Found::Sidecar(sidecar) => sidecars::answer(app, *sidecar).await,
        Found::Newest(path) => Ok(redirect(&app.url(&file_url(&path)))),
    }
}

fn not_found_as_file(error: Error) -> Error {
    if matches!(error, Error::NotFound(_)) { Error::NotFound(What::File) } else { error }
}

fn read(store: &BlobStore, file: &Downloadable) -> Result<Bytes> {
    let key = file.blob.storage_key.parse().map_err(Error::internal)?;
    Ok(store.read_small(&key, file.blob.size)?)
}

/// Where `latest` leads: a temporary redirect to an address that will always mean the same.
pub(super) fn redirect(url: &str) -> HttpResponse {
    HttpResponse::Found()
        .insert_header((header::LOCATION, url))
        .insert_header((header::LINK, format!("<{url}>; rel=\"immutable\"")))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .finish()
}

async fn send(req: &HttpRequest, app: &App, file: &Downloadable, small: Option<Bytes>) -> Result<HttpResponse> {
    let checksums = Some(&file.block_checksums).filter(|bytes| !bytes.is_empty());
    let served = respond(
        req.method(),
        req.headers(),
        &app.store,
        BlobToServe {
            blob: Stored {
                key: file.blob.storage_key.parse().map_err(Error::internal)?,
                size: file.blob.size,
                block_checksums: checksums.map(|bytes| Bytes::copy_from_slice(bytes)),
            },
            file_name: file.name.as_str(),
            last_modified: file.created_at.into(),
            public: file.public && !app.config.require_signin,
            small,
        },
    )
    .await?;
    if served.counts {
        app.tally.download(file.id);
    }
    let root = app.config.public_root().unwrap_or_default();
    Ok(in_shape(served.response, &request_id(req), Shape::asked(req.headers()), root))
}

/// `DELETE` of a file.
pub async fn delete(req: HttpRequest, app: AppData) -> HttpResponse {
    let result = try_delete(&req, &app).await;
    answer(&req, &app, result)
}

async fn try_delete(req: &HttpRequest, app: &Arc<App>) -> Result<HttpResponse> {
    let (path, presented) = begin(req, app, GENERIC.file(req)).await?;
    log_fields(req, |log| log.owner = Some(path.owner.to_string()));
    let now = app.clock.now();
    presented
        .writing(req, app, move |conn, caller| {
            let right = can_publish(conn, caller, &path.owner, &path.package)?;
            files::delete(conn, caller, &right, &path, now)
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
