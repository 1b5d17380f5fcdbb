//! The page of a package: what it is, and the list of its versions.

use super::channels::{ChannelRow, rows as channel_rows};
use super::format::{Bytes, Count, When};
use super::list::{self, Choice, Pager, choices};
use super::owner::Owner;
use super::package_overview::{self, Overview};
use super::packages;
use super::page::{Frame, Reply, frame};
use super::standing::{Badge, LATEST_MEANING, badges};
use super::version;
use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::channel::ChannelName;
use crate::domain::names::PackageName;
use crate::domain::version::Version;
use crate::error::Result;
use crate::http::paging::param;
use crate::registry::access::can_read;
use crate::registry::packages::channels::{self, ChannelState};
use crate::registry::packages::versions::{self, VersionOrder};
use askama::Template;
use serde::Deserialize;

/// The ways to sort versions.
const ORDERS: [(&str, &str); 3] = [("semver", "Version number"), ("newest", "Newest"), ("oldest", "Oldest")];

#[derive(Deserialize, Default)]
#[serde(default)]
struct VersionListQuery {
    q: String,
    sort: String,
}

/// A row in the list of versions.
struct VersionRow {
    version: Version,
    url: String,
    latest: bool,
    badges: Vec<Badge>,
    /// The channels that stand for it.
    channels: Vec<ChannelName>,
    published: When,
    files: Count,
    size: Bytes,
    downloads: Count,
}

#[derive(Template)]
#[template(path = "versions.html")]
struct VersionsPage {
    frame: Frame,
    owner: Owner,
    package: PackageName,
    all: Count,
    /// What the package is, above its first versions; not beside a search.
    overview: Option<Overview>,
    /// Channels that lead nowhere.
    broken: Vec<ChannelRow>,
    rows: Vec<VersionRow>,
    q: String,
    sort: String,
    orders: Vec<Choice>,
    pager: Pager,
}

impl VersionsPage {
    fn url(&self) -> String {
        address::versions_page(&self.owner.name, &self.package)
    }

    /// What the badge of the latest version means.
    fn latest_meaning(&self) -> &'static str {
        LATEST_MEANING
    }

    fn feed_url(&self) -> String {
        address::versions_feed(&self.owner.name, &self.package)
    }

    fn upload_url(&self) -> String {
        address::upload_page(&self.owner.name, Some((&self.package, None)))
    }

    fn channels_url(&self) -> String {
        address::channels_page(&self.owner.name, &self.package)
    }

    fn settings_url(&self) -> String {
        address::package_settings(&self.owner.name, &self.package)
    }
}

/// `GET /{owner}/-/packages/generic/{name}/versions`; also the page of a version with this name.
pub async fn list(call: Call) -> Result<Reply> {
    if param(&call.req, address::ITSELF).is_some() {
        return version::page(call).await;
    }
    let path = packages::named(&call).await?;
    let wanted: VersionListQuery = list::query(&call.req);
    let (q, slice) = (wanted.q.trim().to_owned(), list::slice(&call.req));
    let order: VersionOrder = wanted.sort.parse().unwrap_or_default();
    let part = q.clone();
    let now = call.app.clock.now();
    let is_first = q.is_empty() && slice.offset == 0 && order == VersionOrder::Number;
    let (frame, (owner, found, channels, overview)) = frame(&call, move |conn, caller| {
        let right = can_read(conn, caller, &path.owner, Some(&path.package))?;
        let found = versions::browse(conn, &right, &path.package, &part, order, slice)?;
        let channels = channels::list(conn, &right, &path.package)?;
        let overview = if is_first { Some(package_overview::find(conn, &right, &found, now)?) } else { None };
        Ok((Owner::of_package(conn, caller, &right)?, found, channels, overview))
    })
    .await?;
    let overview = match overview {
        Some(overview) => Some(Overview::new(&call.app, overview, now).await?),
        None => None,
    };
    let row = |summary: versions::VersionSummary| VersionRow {
        url: address::version_page(&owner.name, &found.package, &summary.version),
        latest: Some(&summary.version) == found.latest.as_ref(),
        badges: badges(&summary.standing, &summary.version, now),
        channels: channels
            .iter()
            .filter(|channel| channel.version.lower() == summary.version.lower())
            .map(|channel| channel.name.clone())
            .collect(),
        version: summary.version,
        published: When { at: summary.created_at, now },
        files: Count(summary.files),
        size: Bytes(summary.size),
        downloads: Count(summary.downloads),
    };
    let rows: Vec<VersionRow> = found.page.items.into_iter().map(row).collect();
    let orders = choices(&call.req, "sort", &ORDERS);
    let pager = Pager::new(&call.req, found.page.total);
    let all = Count(found.all);
    let package = found.package;
    let broken = channels.into_iter().filter(|channel| channel.state == ChannelState::Broken).collect();
    let broken = channel_rows(&call, broken);
    let sort = wanted.sort;
    Reply::page(&VersionsPage { frame, owner, package, all, overview, broken, rows, q, sort, orders, pager })
}
