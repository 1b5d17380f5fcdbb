//! Style sheets, scripts and icons. They are embedded in the program, written to the data directory at startup under
//! names that contain their digest, and served from there with a cache lifetime that never ends.

use super::manual::files::pictures;
use crate::domain::digest::to_hex;
use crate::http::accept::takes_coding;
use crate::http::asset::pack;
use actix_files::Files;
use actix_web::body::BoxBody;
use actix_web::dev::{HttpServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::web;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use include_dir::{Dir, include_dir};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static STATIC: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/static");

/// The folder in the data directory.
const FOLDER: &str = "assets";

/// Every asset, including the pictures of the manual: its name in the source, and its bytes.
fn all() -> impl Iterator<Item = (String, &'static [u8])> {
    let named = STATIC.files().filter_map(|file| Some((file.path().to_str()?.to_owned(), file.contents())));
    named.chain(pictures())
}

/// The bytes of an asset, by its name in the source.
pub fn source(name: &str) -> Option<&'static [u8]> {
    STATIC.get_file(name).map(|file| file.contents())
}

/// The names with the digest of their content, keyed by the names in the source.
fn names() -> &'static HashMap<String, String> {
    static NAMES: OnceLock<HashMap<String, String>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let name = |(path, bytes): (String, &[u8])| {
            let digest = to_hex(&Sha256::digest(bytes));
            let (stem, extension) = path.rsplit_once('.')?;
            let name = format!("{stem}.{}.{extension}", digest.get(..12)?);
            Some((path, name))
        };
        all().filter_map(name).collect()
    })
}

/// The address of an asset. An unknown name gives a dead link, which a test of every page finds.
pub fn url(name: &str) -> String {
    format!("/assets/{}", names().get(name).map_or(name, String::as_str))
}

/// The text assets, compressed, keyed by address. This cuts the bytes of a first visit to a quarter.
fn packed() -> &'static HashMap<String, Bytes> {
    static PACKED: OnceLock<HashMap<String, Bytes>> = OnceLock::new();
    PACKED.get_or_init(|| {
        let text = |path: &str| [".css", ".js", ".svg"].iter().any(|ending| path.ends_with(ending));
        let files = all().filter(|(path, _)| text(path));
        files.filter_map(|(path, bytes)| Some((url(&path), pack(bytes).ok()?))).collect()
    })
}

/// Writes the assets to the data directory, and returns their folder.
///
/// # Errors
/// If the folder cannot be written, or others may write to it.
pub fn unpack(data_dir: &Path) -> Result<PathBuf> {
    let folder = data_dir.join(FOLDER);
    private_folder(&folder)?;
    for (source, bytes) in all() {
        let Some(name) = names().get(&source) else { continue };
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|present| present == bytes) {
            continue;
        }
        write_private(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(folder)
}

/// Creates the folder, or refuses one that others may write to: its files are served as the site's own scripts.
fn private_folder(folder: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot create {}", folder.display()));
        }
        _ => {}
    }
    let loose = |path: &Path| -> Result<bool> {
        let metadata = fs::symlink_metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(metadata.is_symlink() || metadata.permissions().mode() & 0o022 != 0)
    };
    for path in fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).chain([Ok(folder.to_owned())]) {
        let path = path?;
        if loose(&path)? {
            bail!(
                "{} can be changed by other users, but its files are served as the site's own scripts: delete {}, \
                 and it will be created again",
                path.display(),
                folder.display()
            );
        }
    }
    Ok(())
}

/// Writes a file that only this user can read and write, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension(format!("{:016x}", rand::random::<u64>()));
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        fs::rename(&draft, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

/// Serves the assets.
pub fn service(folder: &Path) -> impl HttpServiceFactory + use<> {
    let files = Files::new("", folder).prefer_utf8(true).disable_content_disposition().use_etag(false);
    // The name says which content it is. A date would be the time of the last start, by a clock that may be wrong.
    let files = files.use_last_modified(false);
    web::scope("/assets").wrap(from_fn(keep)).service(files)
}

/// Lets browsers cache an asset forever, and sends its compressed form, if it has one, to clients that accept it.
async fn keep(req: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse, actix_web::Error> {
    let whole = !req.headers().contains_key(header::RANGE);
    let smaller = packed().get(req.path()).filter(|_| whole && takes_coding(req.headers(), "gzip"));
    let mut response = next.call(req).await?;
    let found = response.status().is_success();
    let headers = response.headers_mut();
    let cached = if found { "public, max-age=31536000, immutable" } else { "no-store" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cached));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let Some(smaller) = smaller.filter(|_| response.status() == StatusCode::OK) else { return Ok(response) };
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Ok(response.map_body(|_, _| BoxBody::new(smaller.clone())))
}
