//! The README of a version: its file `README.md`, in any case.

use super::markdown::{self, Html, Use, file_of};
use crate::blocking::spawn_blocking;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::ids::{FileId, VersionId};
use crate::domain::names::FileName;
use crate::domain::path::VersionPath;
use crate::error::{Error, Result};
use crate::registry::access::CanRead;
use crate::registry::packages::files::{self, FileSummary};
use crate::state::App;
use crate::storage::StorageKey;
use std::collections::HashMap;

/// The file name in lower case.
const NAME: &str = "readme.md";
/// The maximum size of a README to show, in bytes; a larger one becomes a link.
const LONGEST: u64 = 256 << 10;
/// How many of a version's files a README can refer to.
const FILES: i64 = 1000;

/// A README in the database, and the files beside it.
pub struct Source {
    file: FileSummary,
    beside: Vec<(FileName, FileId)>,
}

/// A README to show.
pub struct Readme {
    pub name: String,
    /// The address to download it.
    pub url: String,
    /// `None` if the README is too large or not text.
    pub html: Option<Html>,
}

/// Finds the README of a version.
///
/// # Errors
/// Errors of the database.
pub fn find(conn: &mut Connection, right: &CanRead, path: &VersionPath, version: VersionId) -> Result<Option<Source>> {
    let Some(file) = files::find(conn, right, path, NAME)? else { return Ok(None) };
    Ok(Some(Source { file, beside: files::names(conn, version, FILES)? }))
}

/// Reads and renders a README.
///
/// # Errors
/// [`Error::Busy`] if the bytes cannot be read.
pub async fn read(app: &App, path: &VersionPath, Source { file, beside }: Source) -> Result<Readme> {
    let url = |id, name: &FileName| address::file_download(&path.owner, &path.package, &path.version, id, name);
    let (name, own) = (file.name.to_string(), url(file.id, &file.name));
    if file.blob.size > LONGEST {
        return Ok(Readme { name, url: own, html: None });
    }
    let key: StorageKey = file.blob.storage_key.parse().map_err(Error::internal)?;
    let (store, size) = (app.store.clone(), file.blob.size);
    let linked = |(name, id): (FileName, FileId)| (name.lower(), app.link(url(id, &name)));
    let beside: HashMap<String, String> = beside.into_iter().map(linked).collect();
    // Reading waits for the disk, and rendering takes a few milliseconds.
    let html = spawn_blocking(move || {
        let bytes = store.read_small(&key, size)?;
        let Ok(text) = std::str::from_utf8(&bytes) else { return Ok::<_, Error>(None) };
        Ok(Some(render(text, beside)))
    });
    Ok(Readme { name, url: own, html: html.await.map_err(Error::internal)?? })
}

fn render(text: &str, beside: HashMap<String, String>) -> Html {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    markdown::render_readme(text, move |used, address| {
        let url = beside.get(&file_of(address)?.to_lowercase())?;
        // Showing an image is not a download.
        Some(if used == Use::Image { format!("{url}?shown=1") } else { url.clone() })
    })
}
