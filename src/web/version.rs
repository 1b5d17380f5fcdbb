//! The page of a version: its files, the commands to download them, and its README.

use super::commands::{Commands, Publish};
use super::format::{Bytes, Count, When};
use super::list::{self, Choice, Pager, choices};
use super::markdown::Html;
use super::owner::{self, Owner};
use super::packages;
use super::page::{Frame, Reply, frame};
use super::readme::{self, Readme};
use super::standing::StandingView;
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::digest::OtherDigests;
use crate::domain::ids::{FileId, OwnerId};
use crate::domain::package_texts::Markdown;
use crate::domain::path::{PackagePath, VersionPath};
use crate::error::{Error, Result, What};
use crate::http::segment::with_query;
use crate::jobs::digests;
use crate::registry::access::can_read;
use crate::registry::caller::Caller;
use crate::registry::owners::person::Person;
use crate::registry::packages::files::{self, FileOrder, FileSummary};
use crate::registry::packages::releases::{self, Release};
use crate::registry::packages::settings::{self, PackageSettings};
use crate::registry::packages::versions::{self, Browsed};
use crate::registry::pages::{Page, Slice};
use crate::state::App;
use askama::Template;
use serde::Deserialize;

/// How many other versions the page lists.
const SIBLINGS: i64 = 6;
/// The ways to sort files.
const ORDERS: [(&str, &str); 4] =
    [("name", "Name"), ("size", "Size"), ("newest", "Newest"), ("downloads", "Downloads")];

#[derive(Deserialize, Default, Clone)]
#[serde(default)]
struct FileListQuery {
    q: String,
    sort: String,
    /// The file that the commands are for.
    file: String,
}

/// The content of the page from the database.
struct VersionDetails {
    owner: Owner,
    release: Release,
    path: VersionPath,
    files: Page<FileSummary>,
    /// The number of files, whatever the search.
    all: i64,
    /// The file that the commands are for.
    chosen: Option<FileSummary>,
    publishers: Vec<Person>,
    others: Browsed,
    readme: Option<FileSummary>,
    notes: Markdown,
    about: PackageSettings,
}

/// A row in the list of files.
struct FileRow {
    id: FileId,
    name: String,
    url: String,
    /// The page that shows the commands for this file.
    commands_url: String,
    size: Bytes,
    exact_size: Count,
    sha256: String,
    other: OtherDigests,
    downloads: Count,
    published: When,
    publisher: Option<Person>,
}

/// A version in the list beside the files.
struct Sibling {
    version: String,
    url: String,
    published: When,
    here: bool,
    latest: bool,
}

#[derive(Template)]
#[template(path = "version.html")]
struct VersionPage {
    frame: Frame,
    owner: Owner,
    path: VersionPath,
    release: Release,
    published: When,
    size: Bytes,
    downloads: Count,
    all: Count,
    files: Vec<FileRow>,
    q: String,
    sort: String,
    orders: Vec<Choice>,
    pager: Pager,
    chosen: Option<(String, Commands)>,
    publish: Option<Publish>,
    /// Whether download commands need a token.
    token: bool,
    /// Whether `latest` stands for this version.
    is_latest: bool,
    /// Another version that it stands for.
    latest: Option<(String, String)>,
    siblings: Vec<Sibling>,
    versions: Count,
    readme: Option<Readme>,
    standing: StandingView,
    /// The release notes, as they are shown and as they are written.
    notes: Option<Html>,
    notes_text: Markdown,
    /// The settings of the package.
    about: PackageSettings,
    package_archived: bool,
}

impl VersionPage {
    /// What the page is about, for search engines and messengers.
    fn summary(&self) -> String {
        let Self { path, all, size, .. } = self;
        match self.about.description.as_str() {
            "" => format!("Download {} {} of {}: {}, {size}.", path.package, path.version, path.owner, all.of("file")),
            description => description.to_owned(),
        }
    }

    fn url(&self) -> String {
        url(&self.path)
    }

    fn deletion_url(&self, file: &FileRow) -> String {
        address::file_deletion(&self.path.owner, &self.path.package, &self.path.version, file.id)
    }

    fn versions_url(&self) -> String {
        address::versions_page(&self.path.owner, &self.path.package)
    }

    fn feed_url(&self) -> String {
        address::versions_feed(&self.path.owner, &self.path.package)
    }

    fn upload_url(&self) -> String {
        address::upload_page(&self.path.owner, Some((&self.path.package, Some(&self.path.version))))
    }

    /// The link to download all files as one archive.
    fn archive_url(&self, ending: &str) -> String {
        address::archive_link(&self.path, ending)
    }

    /// The page that deletes the version.
    fn delete_url(&self) -> String {
        address::version_deletion(&self.path.owner, &self.path.package, &self.path.version)
    }

    fn settings_url(&self) -> String {
        address::package_settings(&self.path.owner, &self.path.package)
    }

    /// The page of a publisher.
    fn person_url(&self, person: &Person) -> String {
        owner::url(&person.name)
    }
}

/// The version that the path of a request names.
pub async fn named(call: &Call) -> Result<VersionPath> {
    let PackagePath { owner, package } = packages::named(call).await?;
    let version = if call.has_part("version") {
        call.part("version", What::Version).await?
    } else {
        // A version named `versions` shares its address with the list of versions, and one named `versions.atom` with
        // the feed.
        let is_feed = call.req.path().ends_with(address::VERSIONS_FEED);
        let name = if is_feed { address::VERSIONS_FEED } else { address::VERSIONS };
        name.parse().map_err(Error::internal)?
    };
    Ok(VersionPath { owner, package, version })
}

/// The address of the page of a version.
pub fn url(path: &VersionPath) -> String {
    address::version_page(&path.owner, &path.package, &path.version)
}

/// A version to show, or the version that `latest` stands for.
enum VersionOrRedirect {
    Version(Box<VersionDetails>),
    /// `latest`, if no version has this name.
    Newest(String),
}

fn find(
    conn: &mut Connection,
    caller: &Caller,
    path: &VersionPath,
    wanted: &FileListQuery,
    slice: Slice,
) -> Result<VersionOrRedirect> {
    let right = can_read(conn, caller, &path.owner, Some(&path.package))?;
    let release = match releases::find(conn, &right, path) {
        Err(Error::NotFound(_)) if path.version.is_latest() => {
            let found = versions::browse(conn, &right, &path.package, "", versions::VersionOrder::default(), first(0))?;
            let latest = found.latest.ok_or(Error::NotFound(What::Version))?;
            let url = address::version_page(&right.owner().name, &found.package, &latest);
            return Ok(VersionOrRedirect::Newest(url));
        }
        found => found?,
    };
    // Show the name as it was first written, whatever the spelling in the address.
    let path = VersionPath {
        owner: right.owner().name.clone(),
        package: release.package.clone(),
        version: release.version.clone(),
    };
    let order: FileOrder = wanted.sort.parse().unwrap_or_default();
    let part = if wanted.q.chars().any(char::is_control) { "" } else { wanted.q.trim() };
    let files = files::browse(conn, &right, &path, part, order, slice)?;
    let all = if part.is_empty() { files.total } else { files::count(conn, release.id)? };
    let chosen = match wanted.file.parse().map(FileId) {
        Ok(id) => files::find_by_id(conn, release.id, id)?,
        Err(_) => None,
    };
    let largest = files.items.iter().rev().filter(|file| is_content(file)).max_by_key(|file| file.blob.size);
    let chosen = chosen.or_else(|| largest.or(files.items.first()).cloned());
    let makers: Vec<OwnerId> = files.items.iter().filter_map(|file| file.creator).collect();
    let publishers = if right.owner().is_whole() { releases::people(conn, makers.into_iter())? } else { Vec::new() };
    let others = versions::browse(conn, &right, &path.package, "", versions::VersionOrder::Number, first(SIBLINGS))?;
    let about = settings::find(conn, &right, &path.package)?;
    let notes = releases::notes(conn, release.id)?;
    let readme = if about.readme.is_empty() { readme::find(conn, &right, &path)? } else { None };
    let owner = Owner::of_package(conn, caller, &right)?;
    Ok(VersionOrRedirect::Version(Box::new(VersionDetails {
        owner,
        release,
        path,
        files,
        all,
        chosen,
        publishers,
        others,
        readme,
        notes,
        about,
    })))
}

fn first(limit: i64) -> Slice {
    Slice { offset: 0, limit }
}

/// Whether a file is content, and not a checksum or signature of another file.
fn is_content(file: &FileSummary) -> bool {
    let lower = file.name.lower();
    let about = [".md", ".sha256", ".sha512", ".asc", ".sig", ".minisig", ".pem", "sums", ".json"];
    !about.iter().any(|end| lower.ends_with(end))
}

/// `GET /{owner}/-/packages/generic/{name}/{version}`.
pub async fn page(call: Call) -> Result<Reply> {
    let path = named(&call).await?;
    let wanted: FileListQuery = list::query(&call.req);
    let slice = list::slice(&call.req);
    let asked = wanted.clone();
    let (frame, shown) = frame(&call, move |conn, caller| find(conn, caller, &path, &asked, slice)).await?;
    let found = match shown {
        VersionOrRedirect::Version(found) => *found,
        VersionOrRedirect::Newest(url) => return Ok(Reply::to(&with_query(url, &call.req))),
    };
    let app = &call.app;
    let mut files = Vec::new();
    for file in found.files.items {
        let other = digests::of_blob(&app.db, &app.store, &app.digesting, &file.blob).await?;
        files.push(file_row(app, &found.path, &found.publishers, file, other));
    }
    let readme = match found.readme {
        Some(source) => Some(readme::read(app, &found.path, found.release.id, source).await?),
        None => readme::of_package(&found.about.readme).await?,
    };
    let notes = readme::render_notes(&found.notes).await?;
    let token = app.config.require_signin || !found.owner.is_open();
    let commands = |file: &FileSummary| {
        let commands = Commands::new(&frame.root, &found.path, &file.name, &file.blob.sha256, token);
        (file.name.to_string(), commands)
    };
    let chosen = found.chosen.as_ref().map(commands);
    let publish = found.chosen.as_ref().filter(|_| found.owner.can_publish());
    let publish = publish.map(|file| Publish::next(&frame.root, &found.path, &file.name));
    let latest = found.others.latest.as_ref().filter(|latest| **latest != found.path.version);
    let latest = latest
        .map(|latest| (latest.to_string(), address::version_page(&found.path.owner, &found.path.package, latest)));
    let is_latest = found.others.latest.as_ref() == Some(&found.path.version);
    let now = app.clock.now();
    Reply::page(&VersionPage {
        siblings: siblings(app, &found.path, &found.others),
        versions: Count(found.others.all),
        published: When { at: found.release.created_at, now },
        size: Bytes(found.release.size),
        downloads: Count(found.release.downloads),
        all: Count(found.all),
        pager: Pager::new(&call.req, found.files.total),
        orders: choices(&call.req, "sort", &ORDERS),
        q: wanted.q.trim().to_owned(),
        sort: wanted.sort,
        owner: found.owner,
        frame,
        files,
        chosen,
        publish,
        token,
        is_latest,
        latest,
        readme,
        standing: StandingView::new(&found.release.standing, &found.path, now),
        notes,
        notes_text: found.notes,
        package_archived: found.about.archived_at.is_some(),
        about: found.about,
        path: found.path,
        release: found.release,
    })
}

fn file_row(app: &App, path: &VersionPath, people: &[Person], file: FileSummary, other: OtherDigests) -> FileRow {
    let here = address::version_page(&path.owner, &path.package, &path.version);
    let join = if here.contains('?') { '&' } else { '?' };
    let size = i64::try_from(file.blob.size).unwrap_or(i64::MAX);
    FileRow {
        url: address::file_download(&path.owner, &path.package, &path.version, file.id, &file.name),
        commands_url: format!("{here}{join}file={}#get", file.id),
        id: file.id,
        name: file.name.to_string(),
        size: Bytes(size),
        exact_size: Count(size),
        sha256: file.blob.sha256.to_hex(),
        other,
        downloads: Count(file.downloads),
        published: When { at: file.created_at, now: app.clock.now() },
        publisher: file.creator.and_then(|id| people.iter().find(|person| person.id == id).cloned()),
    }
}

fn siblings(app: &App, path: &VersionPath, others: &Browsed) -> Vec<Sibling> {
    let sibling = |other: &versions::VersionSummary| Sibling {
        version: other.version.to_string(),
        url: address::version_page(&path.owner, &path.package, &other.version),
        published: When { at: other.created_at, now: app.clock.now() },
        here: other.version == path.version,
        latest: Some(&other.version) == others.latest.as_ref(),
    };
    others.page.items.iter().map(sibling).collect()
}
