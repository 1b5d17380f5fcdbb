//! One file: downloading and deleting it. Publishing is in `upload`.

use super::listings;
use super::purge;
use super::redirects::from_selector;
use super::sidecars::{self, DownloadName, Sidecar};
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::names::FileName;
use crate::domain::path::VersionPath;
use crate::domain::role::Visibility;
use crate::error::{Error, Result, What};
use crate::http::blob::in_shape;
use crate::http::cors::allow_any_origin;
use crate::http::problem::Shape;
use crate::http::request_log::request_id;
use crate::http::selected;
use crate::registry::access::{can_publish, can_read};
use crate::registry::caller::Caller;
use crate::registry::packages::files::{self, Downloadable};
use crate::registry::packages::trash::Deletion;
use crate::registry::packages::{directories, selection};
use crate::serve;
use crate::state::download_cache::{CachedDownload, Reader};
use crate::storage::{BlobStore, Stored};
use actix_web::HttpResponse;
use bytes::Bytes;

/// The most bytes of a file that is read on the same thread as its row: a switch of threads costs a third of the
/// throughput of small downloads.
const READ_AT_ONCE: u64 = 64 << 10;

/// What the address of a file means.
enum Downloaded {
    File(Box<Downloadable>),
    Directory(FileName),
    Sidecar(Box<Sidecar>),
    /// The version that a selector stands for, and whether its owner is public.
    Selected(VersionPath, bool),
}

/// `GET`, `HEAD` of a file; also of a directory, of a checksum file, and of a selector in the version's place.
pub async fn download(call: Call) -> Result<HttpResponse> {
    let (version, name): (_, DownloadName) = call.version_path_and("file", "filename").await?;
    call.about(&version.owner);
    if let Some(known) = call.recall().await? {
        match send(&call, &known.file, known.content.clone(), known.reader.takes_redirects).await {
            // An upload of the same content replaces the blob, and the old one may be gone.
            Err(Error::Busy(_)) if known.content.is_none() => call.forget().await?,
            sent => return sent,
        }
    }
    let moment = if call.app.downloads.is_on() { call.app.db.coherence().begin() } else { None };
    let store = call.app.store.clone();
    let (looked_in, wanted) = (version.clone(), name.clone());
    let ((found, reader), small) = call
        .reading_then(
            move |conn, caller| Ok((find(conn, caller, &looked_in, &wanted)?, Reader::of(caller))),
            move |found| {
                let small = match &found.0 {
                    Downloaded::File(file) if file.blob.size <= READ_AT_ONCE && store.is_local() => {
                        Some(read(&store, file))
                    }
                    _ => None,
                };
                (found, small)
            },
        )
        .await?;
    match found {
        Downloaded::File(file) => {
            let (content, takes_redirects) = (small.transpose()?, reader.takes_redirects);
            if let Some(moment) = moment {
                let ready = match &content {
                    Some(content) => serve::ready(&call.app, &file, content).await?,
                    None => None,
                };
                let (file, content) = (Downloadable::clone(&file), content.clone());
                let asked = version.owner.clone();
                call.remember(CachedDownload { moment, asked, reader, file, content, ready }).await?;
            }
            send(&call, &file, content, takes_redirects).await
        }
        Downloaded::Directory(directory) => listings::directory(call, version, directory).await,
        Downloaded::Sidecar(sidecar) => sidecars::answer(call, *sidecar).await,
        Downloaded::Selected(version, public) => {
            // A version's name may be such that the result is no name of a file, but a path out of the package.
            let name = name.as_str().replace(selected::VERSION, version.version.as_str());
            let name: DownloadName = name.parse().map_err(|_| Error::NotFound(What::File))?;
            let mut response = from_selector(&call, &address::generic_download(&version, name.as_str()));
            if serve::is_open(&call.app, public) {
                allow_any_origin(response.headers_mut());
            }
            Ok(response)
        }
    }
}

fn find(conn: &mut Connection, caller: &Caller, path: &VersionPath, name: &DownloadName) -> Result<Downloaded> {
    if let Some(file) = name.file() {
        match files::find_downloadable(conn, caller, &path.with_file(file.clone())) {
            Ok(file) => return Ok(Downloaded::File(Box::new(file))),
            Err(Error::NotFound(What::File)) => {}
            Err(error) => return Err(error),
        }
    }
    // The caller may read the package, but there is no such file: it may be a directory, or a file that is computed.
    let right = match can_read(conn, caller, &path.owner, Some(&path.package)) {
        Err(Error::NotFound(What::Package)) => return Err(Error::NotFound(What::File)),
        right => right?,
    };
    if let Some(directory) = name.file()
        && directories::exists(conn, &right, path, directory)?
    {
        return Ok(Downloaded::Directory(directory.clone()));
    }
    if let Some(sidecar) = sidecars::find(conn, &right, path, name)? {
        return Ok(Downloaded::Sidecar(Box::new(sidecar)));
    }
    if let Some(version) = selection::select(conn, &right, path).map_err(not_found_as_file)? {
        let public = right.visibility() == Visibility::Public;
        return Ok(Downloaded::Selected(VersionPath { version, ..path.clone() }, public));
    }
    Err(Error::NotFound(What::File))
}

fn not_found_as_file(error: Error) -> Error {
    if matches!(error, Error::NotFound(_)) { Error::NotFound(What::File) } else { error }
}

fn read(store: &BlobStore, file: &Downloadable) -> Result<Bytes> {
    let key = file.blob.storage_key.parse().map_err(Error::internal)?;
    Ok(store.read_small(&Stored::whole(key, file.blob.sha256, file.blob.size))?)
}

async fn send(call: &Call, file: &Downloadable, small: Option<Bytes>, takes_redirects: bool) -> Result<HttpResponse> {
    let id = file.id;
    let served = serve::send(call, file, small, takes_redirects).await?;
    if served.counts {
        call.app.counters.download(id, call.app.clock.now());
    }
    if !served.response.status().is_client_error() {
        return Ok(served.response);
    }
    let (req, root) = (&call.req, call.app.config.public_root().unwrap_or_default());
    Ok(in_shape(served.response, &request_id(req), Shape::asked(req.headers()), root))
}

/// `DELETE` of a file.
pub async fn delete(call: Call) -> Result<HttpResponse> {
    let path = call.file_path().await?;
    call.about(&path.owner);
    let (purge, keep, now) = (purge::is_asked(&call.req), call.app.config.trash_kept(), call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_publish(conn, caller, &path.owner, &path.package)?;
        let purge = *purge.as_ref().map_err(Error::again)?;
        files::delete(conn, caller, &right, &path, &Deletion::asked(&right, purge, keep, now)?).map(drop)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
