//! The page of a version: the right file, all files, the commands to download them, and its README.

use super::commands::{Commands, Publish};
use super::download_choice::{self, DownloadChoice, Offer};
use super::file_list::{self, FileList, FileRow, Wanted};
use super::format::{Bytes, Count, When};
use super::list::{self, Choice, Pager, choices};
use super::markdown::Html;
use super::owner::{self, Owner};
use super::packages;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use super::readme::{self, Readme};
use super::standing::{LATEST_MEANING, StandingView, VersionForms};
use super::use_in::{self, Recipe, Source, Subject};
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::digest::OtherDigests;
use crate::domain::identity::VerifiedIdentity;
use crate::domain::ids::{FileId, OwnerId};
use crate::domain::names::PackageName;
use crate::domain::package_texts::Markdown;
use crate::domain::path::{PackagePath, VersionPath};
use crate::domain::platform::Platform;
use crate::domain::version::Version;
use crate::domain::visitor::Visitor;
use crate::error::{Error, Result, What};
use crate::http::segment::with_query;
use crate::jobs::digests;
use crate::registry::access::{CanRead, can_read};
use crate::registry::caller::Caller;
use crate::registry::owners::person::Person;
use crate::registry::packages::files::{self, FileOrder, FileSummary};
use crate::registry::packages::neighbors::{self, Neighbors};
use crate::registry::packages::releases::{self, Release};
use crate::registry::packages::settings::{self, PackageSettings};
use crate::registry::packages::versions::{self, Browsed};
use crate::registry::pages::Slice;
use crate::state::App;
use actix_web::http::header::{HeaderName, HeaderValue};
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
    files: FileList,
    /// The number of files, whatever the search.
    all: i64,
    /// The file that the commands are for.
    chosen: Option<FileSummary>,
    /// The files for the systems that mise knows.
    mise: Vec<(&'static str, FileSummary)>,
    neighbors: Neighbors,
    publishers: Vec<Person>,
    /// The jobs of trusted publishers that published files, each with how many.
    identities: Vec<(VerifiedIdentity, i64)>,
    others: Browsed,
    readme: Option<FileSummary>,
    notes: Markdown,
    about: PackageSettings,
}

/// The file that the commands are for, as the page shows it.
struct Chosen {
    name: String,
    commands: Commands,
    recipes: Vec<Recipe>,
    sha256: String,
    sri: String,
    exact_size: Count,
    /// The other digests, if the reader asked for this file.
    other: Option<OtherDigests>,
}

/// A version in the list beside the files.
struct Sibling {
    version: String,
    url: String,
    published: When,
    here: bool,
    latest: bool,
    prerelease: bool,
}

/// A job of a trusted publisher that published files of the version.
struct Origin {
    identity: VerifiedIdentity,
    /// How many files, if it did not publish all.
    part: Option<String>,
}

impl Origin {
    fn new((identity, files): (VerifiedIdentity, i64), all: i64) -> Self {
        Self { identity, part: (files < all).then(|| format!("{files} of {all} files")) }
    }

    /// An address that a page may link to.
    fn link<'a>(&self, url: &'a Option<String>) -> Option<&'a str> {
        url.as_deref().filter(|url| url.starts_with("https://"))
    }
}

#[derive(Template)]
#[template(path = "version.html")]
struct VersionPage {
    frame: Frame,
    owner: Owner,
    path: VersionPath,
    release: Release,
    published: When,
    origins: Vec<Origin>,
    size: Bytes,
    downloads: Count,
    all: Count,
    files: Vec<FileRow>,
    q: String,
    sort: String,
    orders: Vec<Choice>,
    pager: Pager,
    /// The right file for the reader; not beside a search.
    choice: Option<DownloadChoice>,
    chosen: Option<Chosen>,
    publish: Option<Publish>,
    /// Whether download commands need a token.
    token: bool,
    /// Whether `latest` stands for this version.
    is_latest: bool,
    /// Another version that it stands for.
    latest: Option<(String, String)>,
    /// Whether that is a release, and this version a pre-release.
    is_before_release: bool,
    /// A pre-release after the latest version.
    prerelease: Option<(String, String)>,
    /// The comparison with the version before this one, and its name.
    changes: Option<(String, String)>,
    siblings: Vec<Sibling>,
    versions: Count,
    readme: Option<Readme>,
    standing: StandingView,
    /// The release notes.
    notes: Option<Html>,
    forms: VersionForms,
    /// Problems of the form that was sent.
    problems: Problems,
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

    /// Whether this form was sent and has problems.
    fn is_open(&self, change: &str) -> bool {
        !self.problems.is_empty() && self.forms.change == change
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

    /// What the badge of the latest version means.
    fn latest_meaning(&self) -> &'static str {
        LATEST_MEANING
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
    (slice, visitor): (Slice, Visitor),
) -> Result<VersionOrRedirect> {
    let right = can_read(conn, caller, &path.owner, Some(&path.package))?;
    let release = match releases::find(conn, &right, path) {
        Err(Error::NotFound(_)) if path.version.is_latest() => {
            let latest = latest(conn, &right, &path.package)?;
            return Ok(VersionOrRedirect::Newest(url(&latest)));
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
    let all = files::count(conn, release.id)?;
    let files = FileList::read(conn, &right, (&path, release.id), all, &Wanted { part, order, slice })?;
    let asked = match wanted.file.parse().map(FileId) {
        Ok(id) => files::find_by_id(conn, release.id, id)?,
        Err(_) => None,
    };
    let named = mise_files(&files.offers);
    let mut ids: Vec<FileId> = named.iter().map(|(_, id)| *id).collect();
    let foremost = download_choice::foremost(&files.offers, visitor).map(|offer| offer.id);
    ids.extend(foremost);
    let loaded = files::load(conn, &ids)?;
    let chosen = asked.or_else(|| loaded.iter().find(|file| Some(file.id) == foremost).cloned());
    let mise =
        named.iter().filter_map(|(system, id)| Some((*system, loaded.iter().find(|file| file.id == *id)?.clone())));
    let mise = mise.collect();
    let neighbors = neighbors::of(conn, &right, &path.package, &path.version)?;
    let makers: Vec<OwnerId> = files.files().filter_map(|file| file.creator).collect();
    let publishers = if right.owner().is_whole() { releases::people(conn, makers.into_iter())? } else { Vec::new() };
    let identities = files::identities(conn, release.id)?;
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
        mise,
        neighbors,
        publishers,
        identities,
        others,
        readme,
        notes,
        about,
    })))
}

/// The version that `latest` stands for.
pub(super) fn latest(conn: &mut Connection, right: &CanRead, package: &PackageName) -> Result<VersionPath> {
    let found = versions::browse(conn, right, package, "", versions::VersionOrder::default(), first(0))?;
    let version = found.latest.ok_or(Error::NotFound(What::Version))?;
    Ok(VersionPath { owner: right.owner().name.clone(), package: found.package, version })
}

pub(super) fn first(limit: i64) -> Slice {
    Slice { offset: 0, limit }
}

/// The files for the systems that mise knows, each as if someone with such a computer looked for it.
fn mise_files(offers: &[Offer]) -> Vec<(&'static str, FileId)> {
    let exact = |platform: &Platform, os, arch| platform.os == Some(os) && platform.arch == Some(arch);
    let file = |(system, os, arch): &(&'static str, _, _)| {
        let best = download_choice::best(offers, Visitor { os: Some(*os), arch: Some(*arch) })?;
        exact(&best.platform, *os, *arch).then_some((*system, best.id))
    };
    use_in::MISE.iter().filter_map(file).collect()
}

impl Chosen {
    fn new(frame: &Frame, found: &VersionDetails, file: &FileSummary, token: bool) -> Self {
        let source = |file: &FileSummary| Source { name: file.name.clone(), sha256: file.blob.sha256 };
        let subject = Subject {
            root: &frame.root,
            path: &found.path,
            file: source(file),
            mise: found.mise.iter().map(|(system, file)| (*system, source(file))).collect(),
            token,
        };
        Self {
            name: file.name.to_string(),
            commands: Commands::new(&frame.root, &found.path, &file.name, &file.blob.sha256, token),
            recipes: subject.recipes(),
            sha256: file.blob.sha256.to_hex(),
            sri: use_in::sri(&file.blob.sha256),
            exact_size: Count(i64::try_from(file.blob.size).unwrap_or(i64::MAX)),
            other: None,
        }
    }
}

/// `GET /{owner}/-/packages/generic/{name}/{version}`.
pub async fn page(call: Call) -> Result<Reply> {
    let path = named(&call).await?;
    let wanted: FileListQuery = list::query(&call.req);
    let slice = list::slice_of(&call.req, file_list::ROWS);
    let visitor = download_choice::visitor(call.req.headers());
    let asked = wanted.clone();
    let (frame, shown) = frame(&call, move |conn, caller| find(conn, caller, &path, &asked, (slice, visitor))).await?;
    let found = match shown {
        VersionOrRedirect::Version(found) => *found,
        VersionOrRedirect::Newest(url) => return Ok(Reply::to(&with_query(url, &call.req))),
    };
    let page = shown_page(&call, frame, found, wanted, visitor).await?;
    respond(&page)
}

/// Shows the page again after a form of it was sent that has problems.
pub async fn again(call: Call, path: VersionPath, typed: VersionForms, problems: Problems) -> Result<Reply> {
    let visitor = download_choice::visitor(call.req.headers());
    let wanted = FileListQuery::default();
    let (asked, slice) = (wanted.clone(), first(file_list::ROWS));
    let (frame, shown) = frame(&call, move |conn, caller| find(conn, caller, &path, &asked, (slice, visitor))).await?;
    let VersionOrRedirect::Version(found) = shown else { return Err(Error::NotFound(What::Version)) };
    let mut page = shown_page(&call, frame, *found, wanted, visitor).await?;
    page.forms = page.forms.with(typed);
    page.problems = problems;
    page.problems.reply(&page)
}

fn respond(page: &VersionPage) -> Result<Reply> {
    let wanted_hints = HeaderValue::from_static(download_choice::WANTED_HINTS);
    let reply = Reply::page(page)?.varying(download_choice::VARIES);
    Ok(reply.header(HeaderName::from_static("accept-ch"), wanted_hints))
}

async fn shown_page(
    call: &Call,
    frame: Frame,
    found: VersionDetails,
    wanted: FileListQuery,
    visitor: Visitor,
) -> Result<VersionPage> {
    let (app, now) = (&call.app, call.app.clock.now());
    let token = app.config.require_signin || !found.owner.is_open();
    let mut chosen = found.chosen.as_ref().map(|file| Chosen::new(&frame, &found, file, token));
    if let (Some(chosen), Some(file), false) = (&mut chosen, &found.chosen, wanted.file.is_empty()) {
        chosen.other = Some(digests::of_blob(&app.db, &app.store, &app.digesting, &file.blob).await?);
    }
    let publish = found.chosen.as_ref().filter(|_| found.owner.can_publish());
    let publish = publish.map(|file| Publish::next(&frame.root, &found.path, &file.name));
    let choice = wanted.q.trim().is_empty().then(|| DownloadChoice::new(&found.files.offers, visitor));
    let total = found.files.total;
    let files = found.files.rows(app, &found.path, &found.publishers).await?;
    let readme = match found.readme {
        Some(source) => Some(readme::read(app, &found.path, found.release.id, source).await?),
        None => readme::of_package(&found.about.readme).await?,
    };
    let notes = readme::render_notes(&found.notes).await?;
    let (owner_name, package) = (&found.path.owner, &found.path.package);
    let named = |version: &Version| (version.to_string(), address::version_page(owner_name, package, version));
    let latest = found.neighbors.latest.as_ref().filter(|latest| **latest != found.path.version);
    let is_latest = found.neighbors.latest.as_ref() == Some(&found.path.version);
    let prerelease = found.neighbors.prerelease.as_ref();
    let changes = found.neighbors.previous.as_ref().map(|previous| {
        (previous.to_string(), address::comparison(owner_name, package, previous, &found.path.version))
    });
    Ok(VersionPage {
        latest: latest.map(named),
        is_before_release: found.neighbors.latest_is_release
            && found.release.standing.is_prerelease(&found.path.version),
        prerelease: prerelease.filter(|_| is_latest).map(named),
        changes,
        siblings: siblings(app, &found.path, &found.others),
        versions: Count(found.others.all),
        published: When { at: found.release.created_at, now },
        origins: found.identities.into_iter().map(|one| Origin::new(one, found.all)).collect(),
        size: Bytes(found.release.size),
        downloads: Count(found.release.downloads),
        all: Count(found.all),
        pager: Pager::of(&call.req, total, file_list::ROWS),
        orders: choices(&call.req, "sort", &ORDERS),
        q: wanted.q.trim().to_owned(),
        sort: wanted.sort,
        owner: found.owner,
        frame,
        files,
        choice: choice.filter(|choice| !choice.is_empty()),
        chosen,
        publish,
        token,
        is_latest,
        readme,
        standing: StandingView::new(&found.release.standing, &found.path, now),
        notes,
        forms: VersionForms::of(&found.release.standing, &found.release.labels, &found.notes),
        problems: Problems::default(),
        package_archived: found.about.archived_at.is_some(),
        about: found.about,
        path: found.path,
        release: found.release,
    })
}

fn siblings(app: &App, path: &VersionPath, others: &Browsed) -> Vec<Sibling> {
    let sibling = |other: &versions::VersionSummary| Sibling {
        version: other.version.to_string(),
        url: address::version_page(&path.owner, &path.package, &other.version),
        published: When { at: other.created_at, now: app.clock.now() },
        here: other.version == path.version,
        latest: Some(&other.version) == others.latest.as_ref(),
        prerelease: other.standing.is_prerelease(&other.version),
    };
    others.page.items.iter().map(sibling).collect()
}
