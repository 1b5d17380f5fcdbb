//! The README of a version: its file `README.md`, in any case.

use super::markdown::{self, Html, Use, file_of};
use crate::blocking::spawn_blocking;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::ids::VersionId;
use crate::domain::names::FileName;
use crate::domain::package_texts::Markdown;
use crate::domain::path::VersionPath;
use crate::error::{Error, Result};
use crate::registry::access::CanRead;
use crate::registry::packages::files::{self, FileSummary};
use crate::state::App;
use crate::storage::Stored;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

/// The file name in lower case.
const NAME: &str = "readme.md";
/// The maximum size of a README to show, in bytes; a larger one becomes a link.
const LONGEST: u64 = 256 << 10;
/// A README to show.
pub struct Readme {
    pub name: String,
    /// The address to download it; empty if it is no file.
    pub url: String,
    /// `None` if the README is too large or not text.
    pub html: Option<Html>,
}

/// Finds the README of a version.
///
/// # Errors
/// Errors of the database.
pub fn find(conn: &mut Connection, right: &CanRead, path: &VersionPath) -> Result<Option<FileSummary>> {
    files::find(conn, right, path, NAME)
}

/// Reads and renders a README of a version that the caller may read.
///
/// # Errors
/// [`Error::Busy`] if the bytes cannot be read.
pub async fn read(app: &App, path: &VersionPath, version: VersionId, file: FileSummary) -> Result<Readme> {
    let url = |id, name: &FileName| address::file_download(&path.owner, &path.package, &path.version, id, name);
    let (name, own) = (file.name.to_string(), url(file.id, &file.name));
    if file.blob.size > LONGEST {
        return Ok(Readme { name, url: own, html: None });
    }
    let key = file.blob.storage_key.parse().map_err(Error::internal)?;
    let (store, stored) = (app.store.clone(), Stored::whole(key, file.blob.sha256, file.blob.size));
    // Reading waits for the disk, and rendering takes a few milliseconds.
    let text = spawn_blocking(move || {
        let bytes = store.read_small(&stored)?;
        let Ok(text) = std::str::from_utf8(&bytes) else { return Ok::<_, Error>(None) };
        Ok(Some((text.to_owned(), referred(text))))
    });
    let Some((text, names)) = text.await.map_err(Error::internal)?? else {
        return Ok(Readme { name, url: own, html: None });
    };
    let beside = app.db.read(move |conn| files::named(conn, version, &names)).await?;
    let beside: HashMap<String, String> =
        beside.into_iter().map(|(id, name)| (name.lower(), app.link(url(id, &name)))).collect();
    let html = spawn_blocking(move || render(&text, beside)).await.map_err(Error::internal)?;
    Ok(Readme { name, url: own, html: Some(html) })
}

/// The text of a README; `None` if it is too large or not text.
///
/// # Errors
/// [`Error::Busy`] if the bytes cannot be read.
pub async fn text(app: &App, file: &FileSummary) -> Result<Option<String>> {
    if file.blob.size > LONGEST {
        return Ok(None);
    }
    let key = file.blob.storage_key.parse().map_err(Error::internal)?;
    let (store, stored) = (app.store.clone(), Stored::whole(key, file.blob.sha256, file.blob.size));
    let bytes = spawn_blocking(move || store.read_small(&stored)).await.map_err(Error::internal)??;
    Ok(std::str::from_utf8(&bytes).ok().map(str::to_owned))
}

/// Renders the README in the settings of a package, if there is one.
///
/// # Errors
/// [`Error::Internal`].
pub async fn of_package(text: &Markdown) -> Result<Option<Readme>> {
    let readme = |html| Readme { name: "README".to_owned(), url: String::new(), html: Some(html) };
    Ok(render_notes(text).await?.map(readme))
}

/// Renders a text that publishers wrote, without files beside it; `None` if it is empty.
///
/// # Errors
/// [`Error::Internal`].
pub async fn render_notes(text: &Markdown) -> Result<Option<Html>> {
    if text.is_empty() {
        return Ok(None);
    }
    let text = text.to_string();
    // Rendering takes a few milliseconds.
    spawn_blocking(move || Some(markdown::render_readme(&text, |_, _| None))).await.map_err(Error::internal)
}

/// The names of files that a README refers to, in lower case. A version may have far more files.
fn referred(text: &str) -> Vec<String> {
    let names: Arc<Mutex<HashSet<String>>> = Arc::default();
    let seen = Arc::clone(&names);
    markdown::render_readme(text, move |_, address| {
        let name = file_of(address)?.to_lowercase();
        // Postgres rejects NUL in a text, and no file has it in its name.
        if let Ok(mut seen) = seen.lock()
            && !name.contains('\0')
        {
            seen.insert(name);
        }
        None
    });
    names.lock().map(|mut names| names.drain().collect()).unwrap_or_default()
}

fn render(text: &str, beside: HashMap<String, String>) -> Html {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    markdown::render_readme(text, move |used, address| {
        let url = beside.get(&file_of(address)?.to_lowercase())?;
        // Showing an image is not a download.
        Some(if used == Use::Image { format!("{url}?shown=1") } else { url.clone() })
    })
}
