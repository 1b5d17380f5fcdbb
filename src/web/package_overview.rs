//! What the page of a package says above the list of its versions: what it is, its latest versions, who published them, how
//! often it was downloaded and how large it was.

use super::format::{Bytes, Count, When};
use super::owner;
use super::plots::Plot;
use super::readme::{self, Readme};
use super::standing::StandingView;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::names::OwnerName;
use crate::domain::path::VersionPath;
use crate::domain::version::Version;
use crate::error::Result;
use crate::registry::access::CanRead;
use crate::registry::packages::download_days::{self, DownloadDay};
use crate::registry::packages::files::FileSummary;
use crate::registry::packages::neighbors::{self, Neighbors};
use crate::registry::packages::publication::{self, Publication};
use crate::registry::packages::releases::{self, Release};
use crate::registry::packages::settings::{self, PackageSettings};
use crate::registry::packages::versions::{Browsed, VersionSummary};
use crate::state::App;

/// The content from the database.
pub struct Found {
    about: PackageSettings,
    /// The version to show: the latest, or without one, another.
    shown: Release,
    path: VersionPath,
    neighbors: Neighbors,
    prerelease: Option<Release>,
    publication: Option<Publication>,
    readme: Option<FileSummary>,
    days: Vec<DownloadDay>,
    /// The versions with their sizes, the oldest first.
    sizes: Vec<(String, i64)>,
}

/// Reads what the page shows of a package whose first versions by number are these.
///
/// # Errors
/// [`crate::error::Error::NotFound`] if the package was deleted in the meantime.
pub fn find(conn: &mut Connection, right: &CanRead, browsed: &Browsed, now: Timestamp) -> Result<Found> {
    let package = &browsed.package;
    let at = |version: &Version| VersionPath {
        owner: right.owner().name.clone(),
        package: package.clone(),
        version: version.clone(),
    };
    let path = at(&browsed.newest);
    let shown = releases::find(conn, right, &path)?;
    let neighbors = neighbors::of(conn, right, package, &browsed.newest)?;
    let prerelease = match &neighbors.prerelease {
        Some(version) => Some(releases::find(conn, right, &at(version))?),
        None => None,
    };
    let life = &shown.standing.life;
    let times: Vec<Timestamp> = [Some(life.created_at), life.published_at()].into_iter().flatten().collect();
    let publication = publication::of(conn, right, &path, &times)?;
    let about = settings::find(conn, right, package)?;
    let readme = if about.readme.is_empty() { readme::find(conn, right, &path)? } else { None };
    let days = download_days::of_package(conn, right, package, now)?;
    let mut summaries: Vec<&VersionSummary> = browsed.page.items.iter().collect();
    summaries.sort_by_key(|summary| summary.created_at);
    let sizes = summaries.iter().map(|summary| (summary.version.to_string(), summary.size)).collect();
    Ok(Found { about, shown, path, neighbors, prerelease, publication, readme, days, sizes })
}

/// A version with its date.
pub struct VersionLine {
    pub version: String,
    pub url: String,
    pub published: When,
}

/// What the page shows.
pub struct Overview {
    pub about: PackageSettings,
    pub labels: Vec<(String, String)>,
    /// The latest version, if it is a release.
    pub release: Option<VersionLine>,
    /// The latest version, if it is a pre-release, or else a pre-release after it.
    pub prerelease: Option<VersionLine>,
    /// Without a latest version, the one that the page is about.
    pub other: Option<VersionLine>,
    /// The user who published it, and their page.
    pub publisher: Option<(OwnerName, String)>,
    /// With what they did.
    pub credential: Option<String>,
    pub standing: StandingView,
    pub downloads: Plot,
    /// In the days of the plot.
    pub downloaded: Count,
    pub sizes: Option<Plot>,
    pub readme: Option<Readme>,
}

impl Overview {
    /// Renders what was found.
    ///
    /// # Errors
    /// [`crate::error::Error::Busy`] if the README cannot be read.
    pub async fn new(app: &App, found: Found, now: Timestamp) -> Result<Self> {
        let path = found.path;
        let line = |release: &Release| VersionLine {
            version: release.version.to_string(),
            url: address::version_page(&path.owner, &path.package, &release.version),
            published: When { at: release.created_at, now },
        };
        let (is_latest, is_release) = (found.neighbors.latest.is_some(), found.neighbors.latest_is_release);
        let shown = || line(&found.shown);
        let sum = found.days.iter().map(|day| day.downloads).fold(0, i64::saturating_add);
        let days: Vec<(String, i64)> = found.days.into_iter().map(|day| (day.day, day.downloads)).collect();
        let readme = match found.readme {
            Some(source) => Some(readme::read(app, &path, found.shown.id, source).await?),
            None => readme::of_package(&found.about.readme).await?,
        };
        Ok(Self {
            labels: found.about.labels.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            release: (is_latest && is_release).then(shown),
            prerelease: if is_latest && !is_release { Some(shown()) } else { found.prerelease.as_ref().map(line) },
            other: (!is_latest).then(shown),
            publisher: found.shown.creator.as_ref().map(|person| (person.name.clone(), owner::url(&person.name))),
            credential: found.publication.as_ref().map(with_what),
            standing: StandingView::new(&found.shown.standing, &path, now),
            downloads: Plot::new(&days, |number| Count(number).to_string()),
            downloaded: Count(sum),
            sizes: (found.sizes.len() > 1).then(|| Plot::new(&found.sizes, |size| Bytes(size).to_string())),
            readme,
            about: found.about,
        })
    }
}

/// With which credential a version was published.
fn with_what(publication: &Publication) -> String {
    match (&*publication.credential, &publication.token) {
        ("session", _) => "in the browser".to_owned(),
        ("token", Some(name)) => format!("with the access token {name}"),
        ("token", None) => "with an access token".to_owned(),
        ("password", _) => "with a password".to_owned(),
        (other, _) => format!("with {other}"),
    }
}
