//! The order in which what matches best comes first: a package of that very name, then names that begin with a word or
//! contain one, then owners, versions, and files with their labels and digests.

use super::{Needle, Place, Plan, Search, load};
use crate::db::schema::versions;
use crate::domain::ids::VersionId;
use crate::error::Result;
use crate::registry::access::CanSearch;
use crate::registry::like::{containing, escape_like};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, SmallInt, Text};
use std::collections::HashSet;

/// The rank of the query's row: lower is better. The parameters are the words, then their patterns.
macro_rules! rank {
    ($words:expr) => {{
        let starting: Vec<String> = $words.iter().map(|word| format!("{}%", escape_like(word))).collect();
        let within: Vec<String> = $words.iter().map(|word| containing(word)).collect();
        sql::<SmallInt>("CASE WHEN packages.lower_name = ANY (")
            .bind::<Array<Text>, _>($words.to_vec())
            .sql(") THEN CASE WHEN cardinality(")
            .bind::<Array<Text>, _>($words.to_vec())
            .sql(") = 1 OR owners.lower_name = ANY (")
            .bind::<Array<Text>, _>($words.to_vec())
            .sql(") THEN 0 ELSE 1 END WHEN packages.lower_name LIKE ANY (")
            .bind::<Array<Text>, _>(starting)
            .sql(") THEN 2 WHEN packages.lower_name LIKE ANY (")
            .bind::<Array<Text>, _>(within.clone())
            .sql(") THEN 3 WHEN owners.lower_name LIKE ANY (")
            .bind::<Array<Text>, _>(within.clone())
            .sql(
                ") THEN 4 WHEN EXISTS (SELECT FROM versions r WHERE r.package_id = packages.id AND r.lower_version \
                 LIKE ANY (",
            )
            .bind::<Array<Text>, _>(within)
            .sql(")) THEN 5 ELSE 6 END")
    }};
}

/// The positions of the results, what matches best first. If there are very many, those whose package or owner has all
/// words in its name come first, and the others by time: only few names can be the right one, and sorting all would read
/// all.
pub(super) fn places(
    conn: &mut PgConnection,
    plan: &Plan,
    right: &CanSearch,
    (search, needle): (&Search, &Needle),
    limit: i64,
) -> Result<Vec<Place>> {
    let words = needle.words();
    let order = || (rank!(words), versions::created_at.desc(), versions::id.desc());
    if plan.is_small() {
        return load(conn, plan.rows_that_match(right).order(order()).limit(limit));
    }
    let mut named = plan.readable_rows(right);
    for word in &words {
        let like = containing(word);
        let condition = sql::<Bool>("(packages.lower_name LIKE ")
            .bind::<Text, _>(like.clone())
            .sql(" OR owners.lower_name LIKE ")
            .bind::<Text, _>(like)
            .sql(")");
        named = named.filter(condition);
    }
    let mut places = load(conn, named.order(order()).limit(limit))?;
    let wanted = usize::try_from(limit).unwrap_or(0);
    if places.len() < wanted {
        let known: HashSet<VersionId> = places.iter().map(|place| place.version).collect();
        let others = plan.places(conn, right, search, None, limit)?;
        places.extend(others.into_iter().filter(|place| !known.contains(&place.version)));
        places.truncate(wanted);
    }
    Ok(places)
}
