//! The order in which what matches best comes first: a package of that very name, then names that begin with a word or
//! contain one, then owners, versions, and files with their labels and digests.

use super::rows::Source;
use crate::db::schema::packages;
use crate::domain::ids::PackageId;
use crate::error::Result;
use crate::registry::like::{containing, escape_like};
use diesel::dsl::sql;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, SmallInt, Text};

/// The rank of the query's row for these words: lower is better.
pub(super) fn rank(words: &[String]) -> Box<dyn BoxableExpression<Source, Pg, SqlType = SmallInt>> {
    let starting: Vec<String> = words.iter().map(|word| format!("{}%", escape_like(word))).collect();
    let within: Vec<String> = words.iter().map(|word| containing(word)).collect();
    Box::new(
        sql::<SmallInt>("CASE WHEN packages.lower_name = ANY (")
            .bind::<Array<Text>, _>(words.to_vec())
            .sql(") THEN CASE WHEN cardinality(")
            .bind::<Array<Text>, _>(words.to_vec())
            .sql(") = 1 OR owners.lower_name = ANY (")
            .bind::<Array<Text>, _>(words.to_vec())
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
            .sql(")) THEN 5 ELSE 6 END"),
    )
}

/// The most packages that are ranked by their names. Their last versions must be found first, which takes 40 µs each.
const MOST_RANKED: usize = 2000;

/// The packages to rank first: each word is a part of their name or of their owner's. If there are very many, only those
/// whose whole name is a word. They come from the indexes: to look at the names of all versions takes seconds.
///
/// # Errors
/// Database errors.
pub(super) fn named(conn: &mut PgConnection, words: &[String]) -> Result<Vec<PackageId>> {
    #[derive(QueryableByName)]
    struct PackageIdRow {
        #[diesel(sql_type = BigInt)]
        id: PackageId,
    }
    let conditions: Vec<String> = (1..=words.len())
        .map(|at| {
            format!(
                "packages.id IN (SELECT p.id FROM packages p WHERE p.lower_name LIKE ${at} UNION ALL \
                 SELECT p.id FROM owners o JOIN packages p ON p.owner_id = o.id WHERE o.lower_name LIKE ${at})"
            )
        })
        .collect();
    let conditions = if conditions.is_empty() { "false".to_owned() } else { conditions.join(" AND ") };
    let query = format!("SELECT id FROM packages WHERE {conditions} LIMIT {}", MOST_RANKED + 1);
    let query = words.iter().fold(sql_query(query).into_boxed(), |query, word| query.bind::<Text, _>(containing(word)));
    let rows: Vec<PackageIdRow> = query.load(conn)?;
    if rows.len() <= MOST_RANKED {
        return Ok(rows.into_iter().map(|row| row.id).collect());
    }
    let whole = packages::table.filter(packages::lower_name.eq_any(words)).select(packages::id);
    Ok(whole.limit(i64::try_from(MOST_RANKED).unwrap_or(i64::MAX)).load(conn)?)
}
