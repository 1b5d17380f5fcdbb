//! Searching for packages: one entry per package, at the position of its last version, with the text that matched.

use super::filter::common_labels;
use super::rows::Rows;
use super::text_match::of_digest;
use super::{Place, Search, Stretch, stretch};
use crate::db::schema::versions;
use crate::domain::ids::{BlobId, OwnerId, PackageId, VersionId};
use crate::domain::names::FileName;
use crate::domain::version::Version;
use crate::error::Result;
use crate::registry::access::{CanSearch, shown_sql};
use crate::registry::draft_limit::DraftLimit;
use crate::registry::like::containing;
use crate::registry::owners::person::Person;
use crate::registry::packages::catalog::{self, Entry};
use crate::registry::packages::releases;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Nullable, Text};
use std::collections::HashMap;

/// The match in a package whose own name does not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    pub version: Version,
    /// `None` when the version's own name matched.
    pub file: Option<FileName>,
}

/// A package that was found.
#[derive(Debug, Clone)]
pub struct PackageHit {
    pub owner: Person,
    pub entry: Entry,
    pub why: Option<Why>,
}

/// A page of results.
#[derive(Debug, Clone, Default)]
pub struct FoundPackages {
    pub hits: Vec<PackageHit>,
    /// The total number of results, up to [`super::COUNTED`].
    pub total: i64,
    /// The start of the next page.
    pub next: Option<Place>,
    /// Labels that most of these packages have, as key and value.
    pub labels: Vec<(String, String)>,
}

/// Searches for packages. [`Sort`](super::Sort) orders them by their last versions.
///
/// # Errors
/// As [`search()`](super::search()).
pub fn search(conn: &mut PgConnection, right: &CanSearch, search: &Search) -> Result<FoundPackages> {
    let Some(Stretch { places, total, next }) = stretch(conn, right, search, Rows::Packages)? else {
        return Ok(FoundPackages::default());
    };
    let at: Vec<VersionId> = places.iter().map(|place| place.version).collect();
    let of: HashMap<VersionId, PackageId> = versions::table
        .filter(versions::id.eq_any(&at))
        .select((versions::id, versions::package_id))
        .load(conn)?
        .into_iter()
        .collect();
    let ids: Vec<PackageId> = at.iter().filter_map(|version| of.get(version).copied()).collect();
    let limit = right.draft_limit();
    let entries = catalog::load(conn, &limit, &ids)?;
    let people = releases::people(conn, entries.iter().map(|entry| entry.owner))?;
    let mut reasons = why(conn, (search, &limit), (&entries, &people))?;
    let person = |id: OwnerId| {
        let person = people.iter().find(|person| person.id == id)?.clone();
        Some(if right.sees(id, person.visibility) { person } else { person.in_part() })
    };
    let hit = |entry: Entry| Some(PackageHit { owner: person(entry.owner)?, why: reasons.remove(&entry.id), entry });
    let labels = common_labels(conn, &ids, &at)?;
    Ok(FoundPackages { hits: entries.into_iter().filter_map(hit).collect(), total, next, labels })
}

/// The match in each package whose name does not match: its last matching version.
fn why(
    conn: &mut PgConnection,
    (search, limit): (&Search, &DraftLimit),
    (entries, people): (&[Entry], &[Person]),
) -> Result<HashMap<PackageId, Why>> {
    #[derive(QueryableByName)]
    struct MatchRow {
        #[diesel(sql_type = BigInt)]
        id: PackageId,
        #[diesel(sql_type = Text)]
        version: Version,
        #[diesel(sql_type = Nullable<Text>)]
        file: Option<FileName>,
    }
    let Some(needle) = &search.text else { return Ok(HashMap::new()) };
    let words = if search.by_words { needle.words() } else { vec![needle.0.to_lowercase()] };
    let is_named = |entry: &Entry, word: &String| {
        let owner = people.iter().find(|person| person.id == entry.owner).map(|person| person.name.lower());
        entry.name.lower().contains(word) || search.by_words && owner.is_some_and(|owner| owner.contains(word))
    };
    let others = entries.iter().filter(|entry| !words.iter().all(|word| is_named(entry, word)));
    let ids: Vec<PackageId> = others.map(|entry| entry.id).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut blobs: Vec<BlobId> = Vec::new();
    for word in &words {
        blobs.extend(of_digest(conn, word)?);
    }
    let likes: Vec<String> = words.iter().map(|word| containing(word)).collect();
    let rows: Vec<MatchRow> = sql_query(format!(
        "SELECT DISTINCT ON (v.package_id) v.package_id AS id, v.version, f.name AS file FROM versions v \
         LEFT JOIN files f ON f.version_id = v.id AND (f.lower_name LIKE ANY ($2) OR f.blob_id = ANY ($3)) \
         WHERE v.package_id = ANY ($1) AND {} AND (v.lower_version LIKE ANY ($2) OR f.id IS NOT NULL) \
         ORDER BY v.package_id, v.created_at DESC, v.id DESC, f.lower_name",
        shown_sql(limit, "v")
    ))
    .bind::<Array<BigInt>, _>(ids)
    .bind::<Array<Text>, _>(likes)
    .bind::<Array<BigInt>, _>(blobs)
    .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.id, Why { version: row.version, file: row.file })).collect())
}
