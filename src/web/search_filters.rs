//! The filters of a search for packages: links that narrow it, and links that take a filter away.

use super::list::{Choice, changed, choices};
use crate::domain::clock::Timestamp;
use crate::domain::labels::Labels;
use crate::domain::names::OwnerName;
use crate::registry::packages::search::Filter;
use actix_web::HttpRequest;
use serde::Deserialize;
use std::time::Duration;

/// How long ago a package may have been updated, in days.
const SINCE: [(&str, &str); 4] =
    [("", "Any time"), ("7", "Last 7 days"), ("30", "Last 30 days"), ("365", "Last 365 days")];
const VERSIONS: [(&str, &str); 2] = [("", "All packages"), ("pre", "With pre-releases")];
/// The most owners that are offered.
const MOST_OWNERS: usize = 8;

/// The part of the query that filters.
#[derive(Deserialize, Default, Clone)]
#[serde(default)]
pub struct FilterQuery {
    pub owner: String,
    since: String,
    versions: String,
    label: String,
}

impl FilterQuery {
    /// Whether it leaves out anything.
    pub fn is_empty(&self) -> bool {
        [&self.owner, &self.since, &self.versions, &self.label].into_iter().all(String::is_empty)
    }

    /// The filter, with the owner. Words that nothing can match leave out everything: `None`.
    pub fn read(&self, now: Timestamp) -> Option<(Option<OwnerName>, Filter)> {
        let owner = (!self.owner.is_empty()).then(|| self.owner.parse());
        let labels = (!self.label.is_empty()).then(|| Labels::from_lines(&self.label));
        let days = SINCE.iter().skip(1).find(|(word, _)| *word == self.since).and_then(|(word, _)| word.parse().ok());
        let filter = Filter {
            updated_since: days.map(|days: u64| now.minus(Duration::from_secs(days * 86_400))),
            has_prereleases: self.versions == "pre",
            labels: labels.transpose().ok()?,
        };
        Some((owner.transpose().ok()?, filter))
    }
}

/// A filter to add or to take away.
pub struct FilterLink {
    pub label: String,
    pub href: String,
}

/// The filters as the page shows them.
pub struct Filters {
    pub since: Vec<Choice>,
    pub versions: Vec<Choice>,
    /// The owner and the label that are chosen: their links take them away.
    pub chosen: Vec<FilterLink>,
    pub owners: Vec<FilterLink>,
    pub labels: Vec<FilterLink>,
    /// The search without any filter, if there is one.
    pub none: Option<String>,
}

impl Filters {
    /// The filters of this request, and what else could be filtered by among what was found.
    pub fn new<'a>(
        req: &HttpRequest,
        query: &FilterQuery,
        owners: impl Iterator<Item = &'a OwnerName>,
        labels: &[(String, String)],
    ) -> Self {
        let chosen = [("owner", &query.owner), ("label", &query.label)];
        let chosen = chosen.into_iter().filter(|(_, value)| !value.is_empty());
        let chosen = chosen.map(|(name, value)| FilterLink { label: value.clone(), href: changed(req, name, None) });
        let mut names: Vec<&OwnerName> = Vec::new();
        for owner in owners {
            if !names.contains(&owner) && names.len() < MOST_OWNERS {
                names.push(owner);
            }
        }
        if !query.owner.is_empty() || names.len() < 2 {
            names.clear();
        }
        let link =
            |name: &str, value: &str| FilterLink { label: value.to_owned(), href: changed(req, name, Some(value)) };
        let labels = labels.iter().map(|(key, value)| format!("{key}={value}"));
        let labels = labels.filter(|_| query.label.is_empty()).map(|label| link("label", &label)).collect();
        Self {
            since: choices(req, "since", &SINCE),
            versions: choices(req, "versions", &VERSIONS),
            chosen: chosen.collect(),
            owners: names.into_iter().map(|name| link("owner", name.as_str())).collect(),
            labels,
            none: (!query.is_empty()).then(|| without_filters(req)),
        }
    }
}

/// This search without its filters.
fn without_filters(req: &HttpRequest) -> String {
    let kept = req.query_string().split('&').filter(|pair| matches!(pair.split('=').next(), Some("q" | "sort")));
    let query = kept.collect::<Vec<_>>().join("&");
    if query.is_empty() { req.path().to_owned() } else { format!("{}?{query}", req.path()) }
}
