//! Searches everything that a caller may read, by a part of a name or by a digest. As everywhere in the REST API, an
//! entry is a version.
//!
//! Two plans give the same result, and only the number of matching rows decides between them. With few matches, the
//! trigram and digest indexes return them all, and they are sorted. With many matches, the versions are walked in the
//! requested order until the page is full. In both plans, [`package_readable`] leaves out everything that the caller cannot
//! see.

mod best;
mod filter;
mod needle;
pub mod packages;
mod rows;
mod text_match;

pub use self::filter::Filter;
pub use self::needle::Needle;

use self::needle::MAX_NEEDLE_BYTES;
use self::rows::{Condition, Rows};
use self::text_match::{Criterion, TextMatch, of_digest};
use super::catalog::last_of_package;
use super::releases::{self, Release};
use crate::db::schema::{blobs, owners, packages as packages_table, versions};
use crate::domain::clock::Timestamp;
use crate::domain::digest::Sha256;
use crate::domain::ids::{OwnerId, VersionId};
use crate::domain::names::OwnerName;
use crate::error::{Error, Result};
use crate::registry::access::{CanSearch, has_readable_packages, package_readable, shown};
use crate::registry::like::{containing, like_any, package_is_like_any};
use crate::registry::owners::person::Person;
use diesel::dsl::sql;
use diesel::internal::table_macro::{BoxedSelectStatement, FromClause};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text, Timestamptz};
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

/// How far results are counted: a total of this many means as many or more. Counting a million results takes longer
/// than finding the first ones.
pub const COUNTED: i64 = 1000;
/// A text with fewer characters than this is searched in package names only: it has no trigram, and nearly every file
/// name contains it.
const SHORT: usize = 3;

/// The order of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// The newest versions first.
    #[default]
    Newest,
    /// The oldest versions first.
    Oldest,
    /// By the package's name, in lower case and byte by byte.
    Name,
    /// What matches best first. Only for packages.
    Best,
}

impl FromStr for Sort {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" | "newest" => Ok(Self::Newest),
            "oldest" => Ok(Self::Oldest),
            "name" => Ok(Self::Name),
            _ => Err(Error::invalid("sort", "sort: use newest, oldest or name".to_owned())),
        }
    }
}

/// A position in the results: right after a version, which may have been deleted since. Writing and parsing a place
/// gives the same place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    created_at: Timestamp,
    version: VersionId,
    package: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No package name contains this character.
        write!(f, "{}~{}~{}", self.created_at.micros(), self.version, self.package)
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            || Error::invalid("after", "after: use the value from the Link header of the previous page".to_owned());
        let mut parts = text.splitn(3, '~');
        let mut part = || parts.next().ok_or_else(wrong);
        let created_at = part()?.parse().ok().and_then(Timestamp::from_micros).ok_or_else(wrong)?;
        let version = VersionId(part()?.parse().map_err(|_| wrong())?);
        let package = part()?.to_owned();
        if package.len() > MAX_NEEDLE_BYTES || package.chars().any(char::is_control) {
            return Err(wrong());
        }
        Ok(Self { created_at, version, package })
    }
}

/// The query of a search.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// A part of the name of a package, a version or a file, ignoring case, or the full digest of a file.
    pub text: Option<Needle>,
    /// Whether the text is words, as people type them. Each must be a part of one of these names, of the owner's name, or
    /// of a label, or a digest.
    pub by_words: bool,
    /// Only versions of this owner.
    pub owner: Option<OwnerName>,
    /// What else to leave out. Only for packages.
    pub filter: Filter,
    /// Only versions with a file of these bytes.
    pub sha256: Option<Sha256>,
    pub sort: Sort,
    /// The place to continue from; without it, `offset` applies.
    pub after: Option<Place>,
    pub offset: i64,
    pub limit: i64,
}

/// A version that was found.
#[derive(Debug, Clone)]
pub struct Hit {
    pub owner: Person,
    pub release: Release,
}

/// A page of results.
#[derive(Debug, Clone)]
pub struct FoundVersions {
    pub hits: Vec<Hit>,
    /// The total number of results, up to [`COUNTED`].
    pub total: i64,
    /// The start of the next page, if there is one.
    pub next: Option<Place>,
}

/// Runs a search.
///
/// # Errors
/// [`Error::Invalid`] for an offset beyond [`COUNTED`].
pub fn search(conn: &mut PgConnection, right: &CanSearch, search: &Search) -> Result<FoundVersions> {
    let Some(Stretch { places, total, next }) = stretch(conn, right, search, Rows::Versions)? else {
        return Ok(FoundVersions { hits: Vec::new(), total: 0, next: None });
    };
    let ids: Vec<VersionId> = places.iter().map(|place| place.version).collect();
    Ok(FoundVersions { hits: hits(conn, right, &ids)?, total, next })
}

/// The positions of a page's results.
struct Stretch {
    places: Vec<Place>,
    total: i64,
    next: Option<Place>,
}

/// `None` when the owner does not exist or the caller cannot see it.
fn stretch(conn: &mut PgConnection, right: &CanSearch, search: &Search, rows: Rows) -> Result<Option<Stretch>> {
    let Some(plan) = Plan::new(conn, right, search, rows)? else { return Ok(None) };
    let counted = COUNTED.max(search.offset.saturating_add(search.limit).min(2 * COUNTED));
    let mut places = match (&search.text, search.sort) {
        (Some(needle), Sort::Best) => plan.best_places(conn, right, (search, needle), counted + 1)?,
        _ => plan.places(conn, right, search, None, counted + 1)?,
    };
    let total = i64::try_from(places.len()).unwrap_or(COUNTED).min(COUNTED);
    if let Some(after) = search.after.as_ref().filter(|_| search.sort != Sort::Best) {
        places = plan.places(conn, right, search, Some(after), search.limit + 1)?;
    } else if search.offset > COUNTED && total == COUNTED {
        let problem =
            format!("page: page numbers end after {COUNTED} results: follow the Link header of each page instead");
        return Err(Error::invalid("page", problem));
    } else {
        places.drain(..usize::try_from(search.offset).unwrap_or(usize::MAX).min(places.len()));
    }
    let limit = usize::try_from(search.limit).unwrap_or(0);
    let more = places.len() > limit;
    places.truncate(limit);
    let next = places.last().filter(|_| more).cloned();
    Ok(Some(Stretch { places, total, next }))
}

fn hits(conn: &mut PgConnection, right: &CanSearch, ids: &[VersionId]) -> Result<Vec<Hit>> {
    let releases = releases::load(conn, ids)?;
    let people = releases::people(conn, releases.iter().map(|(owner, _)| *owner))?;
    let hit = |(id, release): (OwnerId, Release)| {
        let owner = people.iter().find(|person| person.id == id)?.clone();
        Some(match right.sees(owner.id, owner.visibility) {
            true => Hit { owner, release },
            false => Hit { owner: owner.in_part(), release: release.in_part() },
        })
    };
    Ok(releases.into_iter().filter_map(hit).collect())
}

/// The plan of a search.
struct Plan {
    rows: Rows,
    owner: Option<OwnerId>,
    filter: Filter,
    criteria: Vec<Criterion>,
}

impl Plan {
    /// `None` when the owner does not exist or the caller cannot see it.
    fn new(conn: &mut PgConnection, right: &CanSearch, search: &Search, rows: Rows) -> Result<Option<Self>> {
        let owner = match &search.owner {
            None => None,
            Some(name) => {
                let named = owners::table
                    .filter(owners::lower_name.eq(name.lower()))
                    .filter(has_readable_packages(right.visibility_limit()));
                let Some(id) = named.select(owners::id).first(conn).optional()? else { return Ok(None) };
                Some(id)
            }
        };
        let mut all = Vec::new();
        if let Some(sha256) = search.sha256 {
            let bytes = blobs::table.filter(blobs::sha256.eq(sha256.as_bytes().to_vec()));
            all.push(TextMatch::Bytes(bytes.select(blobs::id).load(conn)?));
        }
        match &search.text {
            Some(needle) if search.by_words => {
                for word in needle.words() {
                    all.push(match word.chars().count() < SHORT {
                        true => TextMatch::PackageOrOwner(containing(&word)),
                        false => TextMatch::Word(containing(&word), of_digest(conn, &word)?),
                    });
                }
            }
            Some(Needle(text)) => all.push(match text.chars().count() < SHORT {
                true => TextMatch::Package(containing(text)),
                false => TextMatch::Any(containing(text), of_digest(conn, text)?),
            }),
            None => {}
        }
        let criteria = all
            .into_iter()
            .map(|text_match| Ok(Criterion { few: text_match.few(conn)?, text_match }))
            .collect::<Result<_>>()?;
        Ok(Some(Self { rows, owner, filter: search.filter.clone(), criteria }))
    }

    /// The positions right after the results, in the same order.
    fn places(
        &self,
        conn: &mut PgConnection,
        right: &CanSearch,
        search: &Search,
        after: Option<&Place>,
        limit: i64,
    ) -> Result<Vec<Place>> {
        let mut query = self.rows_that_match(right).limit(limit);
        if let Some(place) = after {
            query = query.filter(search.sort.behind(place));
        }
        let query = match search.sort {
            Sort::Newest | Sort::Best => query.order((versions::created_at.desc(), versions::id.desc())),
            Sort::Oldest => query.order((versions::created_at.asc(), versions::id.asc())),
            Sort::Name => query.order((sql::<Text>("packages.lower_name COLLATE \"C\""), versions::id.asc())),
        };
        load(conn, query)
    }

    /// The positions of the results, what matches best first. If there are very many, those of [`best::named`] come
    /// first, and the others by time: only few names can be the right one, and sorting all would read all.
    fn best_places(
        &self,
        conn: &mut PgConnection,
        right: &CanSearch,
        (search, needle): (&Search, &Needle),
        limit: i64,
    ) -> Result<Vec<Place>> {
        let words = needle.words();
        let order = || (best::rank(&words), versions::created_at.desc(), versions::id.desc());
        if self.is_small() {
            return load(conn, self.rows_that_match(right).order(order()).limit(limit));
        }
        let named = self.readable_rows(right).filter(versions::package_id.eq_any(best::named(conn, &words)?));
        let mut places = load(conn, named.order(order()).limit(limit))?;
        let wanted = usize::try_from(limit).unwrap_or(0);
        if places.len() < wanted {
            let known: HashSet<VersionId> = places.iter().map(|place| place.version).collect();
            let others = self.places(conn, right, search, None, limit)?;
            places.extend(others.into_iter().filter(|place| !known.contains(&place.version)));
            places.truncate(wanted);
        }
        Ok(places)
    }

    /// Whether all results come from the indexes.
    fn is_small(&self) -> bool {
        self.criteria.iter().all(|criterion| criterion.few.is_some())
    }

    /// The rows that match, in no order.
    fn rows_that_match(&self, right: &CanSearch) -> PlaceQuery {
        let mut query = self.readable_rows(right);
        for criterion in &self.criteria {
            query = query.filter(criterion.condition(self.rows, &right.draft_limit()));
        }
        query
    }

    /// The rows that the caller may see, whether they match or not.
    fn readable_rows(&self, right: &CanSearch) -> PlaceQuery {
        let mut query = versions::table
            .inner_join(packages_table::table)
            .inner_join(owners::table.on(owners::id.eq(versions::owner_id)))
            .filter(package_readable(right.visibility_limit()))
            .filter(shown(right.draft_limit()))
            .select(PLACE_COLUMNS)
            .into_boxed::<Pg>();
        if self.rows == Rows::Packages {
            query = query.filter(sql::<Bool>(&last_of_package(&right.draft_limit())));
            for condition in self.filter.conditions(&right.draft_limit()) {
                query = query.filter(condition);
            }
        }
        if let Some(owner) = self.owner {
            query = query.filter(versions::owner_id.eq(owner));
        }
        if let Some(ids) = right.owners() {
            query = query.filter(versions::owner_id.eq_any(ids.to_vec()));
        }
        if let Some(patterns) = right.packages() {
            query = query.filter(package_is_like_any(like_any(patterns)));
        }
        query
    }
}

type PlaceColumns = (versions::created_at, versions::id, packages_table::lower_name);
const PLACE_COLUMNS: PlaceColumns = (versions::created_at, versions::id, packages_table::lower_name);
type PlaceQuery = BoxedSelectStatement<'static, (Timestamptz, BigInt, Text), FromClause<rows::Source>, Pg>;

fn load(conn: &mut PgConnection, query: PlaceQuery) -> Result<Vec<Place>> {
    let rows: Vec<(Timestamp, VersionId, String)> = query.load(conn)?;
    let place = |(created_at, version, package)| Place { created_at, version, package };
    Ok(rows.into_iter().map(place).collect())
}

impl Sort {
    /// The condition for rows after a place in this order.
    fn behind(self, place: &Place) -> Condition {
        let by_time = |operator: &str| {
            sql::<Bool>(&format!("(versions.created_at, versions.id) {operator} ("))
                .bind::<Timestamptz, _>(place.created_at)
                .sql(", ")
                .bind::<BigInt, _>(place.version)
                .sql(")")
        };
        match self {
            Self::Newest | Self::Best => Box::new(by_time("<")),
            Self::Oldest => Box::new(by_time(">")),
            // Both conditions are needed: only the first one is a range of the name index.
            Self::Name => Box::new(
                sql::<Bool>("packages.lower_name COLLATE \"C\" >= ")
                    .bind::<Text, _>(place.package.clone())
                    .sql(" AND (packages.lower_name COLLATE \"C\", versions.id) > (")
                    .bind::<Text, _>(place.package.clone())
                    .sql(", ")
                    .bind::<BigInt, _>(place.version)
                    .sql(")"),
            ),
        }
    }
}
