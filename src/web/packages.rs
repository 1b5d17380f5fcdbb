//! Lists of packages: the list of an owner, and the rows that all lists share.

use super::format::{Bytes, Count, When};
use super::list::{self, Choice, Pager};
use super::owner::{self, Owner};
use super::page::{Frame, Reply, frame};
use super::{commands, list::choices};
use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::path::PackagePath;
use crate::domain::version::Version;
use crate::error::{Result, What};
use crate::http::segment::with_query;
use crate::registry::access::can_read;
use crate::registry::packages::catalog::{self, CatalogOrder, Entry};
use crate::registry::packages::search::packages::Why;
use crate::registry::packages::versions;
use crate::registry::pages::Slice;
use askama::Template;
use serde::Deserialize;

/// A package in a list.
pub struct PackageListRow {
    pub owner: OwnerName,
    pub name: PackageName,
    pub newest: Version,
    /// When that version was published.
    pub newest_at: When,
    /// The version that was published last, if it is another one.
    pub last: Option<Version>,
    pub versions: Count,
    pub size: Bytes,
    pub downloads: Count,
    pub updated: When,
    /// The match, if the search matched something other than the name.
    pub why: Option<Why>,
}

impl PackageListRow {
    /// A package of this owner.
    pub fn new(owner: OwnerName, entry: Entry, why: Option<Why>, now: Timestamp) -> Self {
        Self {
            owner,
            name: entry.name,
            newest_at: When { at: entry.newest_at, now },
            last: Some(entry.last).filter(|last| *last != entry.newest),
            newest: entry.newest,
            versions: Count(entry.versions),
            size: Bytes(entry.size),
            downloads: Count(entry.downloads),
            updated: When { at: entry.updated_at, now },
            why,
        }
    }

    /// The page of the latest version.
    pub fn url(&self) -> String {
        address::version_page(&self.owner, &self.name, &self.newest)
    }

    /// The link to the right file of the latest version.
    pub fn download_url(&self) -> String {
        address::right_file(&self.owner, &self.name, &self.newest)
    }

    /// The page of the version that was published last.
    pub fn last_url(&self, last: &Version) -> String {
        address::version_page(&self.owner, &self.name, last)
    }

    pub fn owner_url(&self) -> String {
        owner::url(&self.owner)
    }

    pub fn versions_url(&self) -> String {
        address::versions_page(&self.owner, &self.name)
    }

    /// The page of the version that contains the match.
    pub fn why_url(&self, why: &Why) -> String {
        address::version_page(&self.owner, &self.name, &why.version)
    }
}

/// The ways to sort an owner's packages.
const ORDERS: [(&str, &str); 4] =
    [("updated", "Updated"), ("name", "Name"), ("size", "Size"), ("downloads", "Downloads")];

/// The query of the list of packages.
#[derive(Deserialize, Default)]
#[serde(default)]
struct PackageListQuery {
    q: String,
    sort: String,
}

#[derive(Template)]
#[template(path = "owner.html")]
struct OwnerPage {
    frame: Frame,
    owner: Owner,
    rows: Vec<PackageListRow>,
    total: Count,
    q: String,
    sort: String,
    orders: Vec<Choice>,
    pager: Pager,
    /// The command that publishes a first file.
    first: String,
}

impl OwnerPage {
    /// What the page is about, for search engines and messengers.
    fn summary(&self) -> String {
        match self.owner.description.lines().next().filter(|line| !line.is_empty()) {
            Some(line) => line.to_owned(),
            None => format!("{} published by {}.", self.total.of("package"), self.owner.name),
        }
    }
}

/// `GET /{owner}`, `GET /{owner}/-/packages`.
pub async fn of_owner(call: Call) -> Result<Reply> {
    let name = owner::named(&call)?;
    let wanted: PackageListQuery = list::query(&call.req);
    let (q, slice) = (wanted.q.trim().to_owned(), list::slice(&call.req));
    // An unknown order counts as the default.
    let order: CatalogOrder = wanted.sort.parse().unwrap_or_default();
    let part = q.clone();
    let (frame, (owner, page)) = frame(&call, move |conn, caller| {
        let right = can_read(conn, caller, &name, None)?;
        let page = catalog::of_owner(conn, &right, &part, order, slice)?;
        Ok((Owner::of(conn, caller, right.owner())?, page))
    })
    .await?;
    let now = call.app.clock.now();
    let rows = page.items.into_iter().map(|entry| PackageListRow::new(owner.name.clone(), entry, None, now)).collect();
    let first = commands::first(&frame.root, &owner.name);
    let orders = choices(&call.req, "sort", &ORDERS);
    let pager = Pager::new(&call.req, page.total);
    let total = Count(page.total);
    Reply::page(&OwnerPage { frame, owner, rows, total, q, sort: wanted.sort, orders, pager, first })
}

/// The package that the path of a request names.
///
/// # Errors
/// The same as for a package that doesn't exist.
pub async fn named(call: &Call) -> Result<PackagePath> {
    let owner = owner::named(call)?;
    Ok(PackagePath { owner, package: call.part("name", What::Package).await? })
}

/// An empty page of rows, for lists where only the head is needed.
const NOTHING: Slice = Slice { offset: 0, limit: 0 };

/// `GET /{owner}/-/packages/generic/{name}`: redirects to the latest version.
pub async fn newest(call: Call) -> Result<Reply> {
    let path = named(&call).await?;
    let url = call
        .reading(move |conn, caller| {
            let right = can_read(conn, caller, &path.owner, Some(&path.package))?;
            let found = versions::browse(conn, &right, &path.package, "", versions::VersionOrder::default(), NOTHING)?;
            Ok(address::version_page(&right.owner().name, &found.package, &found.newest))
        })
        .await?;
    Ok(Reply::to(&with_query(url, &call.req)))
}
