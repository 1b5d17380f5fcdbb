//! What a version says of itself: its file `README.md`, however it is spelled.

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

/// Its name, in lower case.
const NAME: &str = "readme.md";
/// Most bytes of one that is shown; a longer one is a link.
const LONGEST: u64 = 256 << 10;
/// How many of a version's files it may speak of.
const FILES: i64 = 1000;

/// A README as the database knows it, and the files beside it.
pub struct Source {
    file: FileSummary,
    beside: Vec<(FileName, FileId)>,
}

/// A README as it is shown.
pub struct Readme {
    pub name: String,
    /// Where it can be downloaded.
    pub url: String,
    /// Nothing: it is too long to be shown, or no text.
    pub html: Option<Html>,
}

/// Finds the README of a version.
///
/// # Errors
/// The database's.
pub fn find(conn: &mut Connection, right: &CanRead, path: &VersionPath, version: VersionId) -> Result<Option<Source>> {
    let Some(file) = files::find(conn, right, path, NAME)? else { return Ok(None) };
    Ok(Some(Source { file, beside: files::names(conn, version, FILES)? }))
}

/// Reads and renders it.
///
/// # Errors
/// [`Error::Busy`] when its bytes cannot be read.
pub async fn read(app: &App, path: &VersionPath, Source { file, beside }: Source) -> Result<Readme> {
    let url = |id| address::file_download(&path.owner, &path.package, &path.version, id);
    let (name, own) = (file.name.to_string(), url(file.id));
    if file.blob.size > LONGEST {
        return Ok(Readme { name, url: own, html: None });
    }
    let key: StorageKey = file.blob.storage_key.parse().map_err(Error::internal)?;
    let (store, size) = (app.store.clone(), file.blob.size);
    let beside: HashMap<String, String> = beside.into_iter().map(|(name, id)| (name.lower(), url(id))).collect();
    // Reading waits for the disk, and rendering takes some milliseconds.
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
        // An image that is looked at is no download.
        Some(if used == Use::Image { format!("{url}?shown=1") } else { url.clone() })
    })
}
