//! Explore: all owners and packages that the user may see.

use super::format::{Count, When};
use super::list::{self, Chain, Choice, Pager, choices};
use super::owner;
use super::packages::PackageListRow;
use super::page::{Frame, Reply, frame};
use super::search_filters::{FilterQuery, Filters};
use crate::auth::call::Call;
use crate::domain::role::{OwnerKind, Visibility};
use crate::error::Result;
use crate::http::paging::param;
use crate::http::segment::with_query;
use crate::registry::access::can_search;
use crate::registry::owners::namespace::{self, Listed, OwnerListOrder};
use crate::registry::packages::search::packages::{self, FoundPackages, PackageHit};
use crate::registry::packages::search::{COUNTED, Needle, Place, Search, Sort};
use askama::Template;
use serde::Deserialize;

/// The kinds of owners and the ways to sort them.
const KINDS: [(&str, &str); 3] = [("", "All"), ("user", "Users"), ("organization", "Organizations")];
const OWNER_ORDERS: [(&str, &str); 2] = [("name", "Name"), ("newest", "Newest")];
/// The ways to sort packages.
const ORDERS: [(&str, &str); 3] =
    [("newest", "Recently updated"), ("oldest", "Least recently updated"), ("name", "Name")];
/// The ways to sort the results of a search.
const SEARCH_ORDERS: [(&str, &str); 4] =
    [("best", "Best match"), ("newest", "Recently updated"), ("oldest", "Least recently updated"), ("name", "Name")];

/// The pages that explore the site, shown as tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    Packages,
    Owners,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WantedOwners {
    q: String,
    kind: String,
    sort: String,
}

/// An owner in the list.
struct OwnerCard {
    owner: Listed,
    since: When,
}

impl OwnerCard {
    fn is_org(&self) -> bool {
        self.owner.kind == OwnerKind::Organization
    }

    fn url(&self) -> String {
        owner::url(&self.owner.name)
    }

    fn packages(&self) -> Count {
        Count(self.owner.packages)
    }

    fn initial(&self) -> String {
        owner::initial(&self.owner.name)
    }

    fn tint(&self) -> u32 {
        owner::tint(&self.owner.name)
    }

    fn is_open(&self) -> bool {
        self.owner.visibility == Visibility::Public
    }
}

#[derive(Template)]
#[template(path = "explore.html")]
struct OwnersPage {
    frame: Frame,
    cards: Vec<OwnerCard>,
    total: Count,
    q: String,
    kind: String,
    sort: String,
    kinds: Vec<Choice>,
    orders: Vec<Choice>,
    pager: Pager,
}

/// `GET /explore`: leads to the packages, or to the owners for a link that chooses a kind of owner.
pub async fn start(call: Call) -> Result<Reply> {
    call.admit(|_, _| Ok(())).await?;
    let page = if param(&call.req, "kind").is_some() { "/explore/owners" } else { "/explore/packages" };
    Ok(Reply::to(&with_query(page.to_owned(), &call.req)))
}

/// `GET /explore/owners`.
pub async fn owners(call: Call) -> Result<Reply> {
    let wanted: WantedOwners = list::query(&call.req);
    let (q, slice) = (wanted.q.trim().to_owned(), list::slice(&call.req));
    let kind: Option<OwnerKind> = wanted.kind.parse().ok();
    let order = if wanted.sort == "newest" { OwnerListOrder::Newest } else { OwnerListOrder::Name };
    let part = q.clone();
    let work = move |conn: &mut _, caller: &_| namespace::browse(conn, caller, &part, kind, order, slice);
    let (frame, page) = frame(&call, work).await?;
    let now = call.app.clock.now();
    let card = |owner: Listed| OwnerCard { since: When { at: owner.created_at, now }, owner };
    Reply::page(&OwnersPage {
        frame,
        cards: page.items.into_iter().map(card).collect(),
        total: Count(page.total),
        q,
        kind: wanted.kind,
        sort: wanted.sort,
        kinds: choices(&call.req, "kind", &KINDS),
        orders: choices(&call.req, "sort", &OWNER_ORDERS),
        pager: Pager::new(&call.req, page.total),
    })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WantedPackages {
    q: String,
    sort: String,
    after: String,
}

#[derive(Template)]
#[template(path = "explore_packages.html")]
struct PackagesPage {
    frame: Frame,
    rows: Vec<PackageListRow>,
    /// The number of results; a lower bound if `exact` is false.
    total: Count,
    exact: bool,
    q: String,
    sort: String,
    orders: Vec<Choice>,
    /// The words of a search without results, to search for one of them.
    words: Vec<String>,
    /// Whether the pages have numbers; otherwise each leads to the next.
    numbered: bool,
    pager: Pager,
    chain: Chain,
    /// Why the search text was rejected.
    problem: Option<String>,
    filters: Filters,
}

/// `GET /explore/packages`.
pub async fn packages(call: Call) -> Result<Reply> {
    let wanted: WantedPackages = list::query(&call.req);
    let q = wanted.q.trim().to_owned();
    let (slice, now) = (list::slice(&call.req), call.app.clock.now());
    let filtered: FilterQuery = list::query(&call.req);
    let read = filtered.read(now);
    let text = if q.is_empty() { Ok(None) } else { q.parse::<Needle>().map(Some) };
    let problem = text.as_ref().err().map(ToString::to_string);
    let nothing = problem.is_some() || read.is_none();
    let (owner, filter) = read.unwrap_or_default();
    let search = Search {
        text: text.ok().flatten(),
        by_words: true,
        owner,
        filter,
        sort: match wanted.sort.as_str() {
            "" | "best" if !q.is_empty() => Sort::Best,
            other => other.parse().unwrap_or_default(),
        },
        // An invalid position means the first page.
        after: wanted.after.parse::<Place>().ok(),
        offset: slice.offset.min(COUNTED),
        limit: slice.limit,
        ..Search::default()
    };
    let is_best = search.sort == Sort::Best;
    let (frame, found) = frame(&call, move |conn, caller| {
        let right = can_search(caller)?;
        if nothing {
            return Ok(FoundPackages::default());
        }
        packages::search(conn, &right, &search)
    })
    .await?;
    let owners = found.hits.iter().map(|hit| &hit.owner.name);
    let filters = Filters::new(&call.req, &filtered, owners, &found.labels);
    let row = |hit: PackageHit| PackageListRow::new(hit.owner.name, hit.entry, hit.why, now);
    Reply::page(&PackagesPage {
        frame,
        rows: found.hits.into_iter().map(row).collect(),
        total: Count(found.total),
        exact: found.total < COUNTED,
        sort: wanted.sort,
        orders: match q.is_empty() {
            true => choices(&call.req, "sort", &ORDERS),
            false => choices(&call.req, "sort", &SEARCH_ORDERS),
        },
        words: match found.total {
            0 => q.split_whitespace().filter(|word| *word != q).map(str::to_owned).collect(),
            _ => Vec::new(),
        },
        // In the order of best matches, pages are numbered however many results there are.
        numbered: found.total < COUNTED || is_best,
        pager: Pager::new(&call.req, found.total),
        chain: Chain::new(&call.req, found.next.as_ref()),
        q,
        problem,
        filters,
    })
}
