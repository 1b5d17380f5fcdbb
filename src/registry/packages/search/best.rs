//! The order in which what matches best comes first: a package of that very name, then names that begin with a word or
//! contain one, then owners, versions, and files with their labels and digests.

use super::rows::Source;
use crate::registry::like::{containing, escape_like};
use diesel::dsl::sql;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, SmallInt, Text};

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

/// Whether the name of the row's package or of its owner contains a word.
pub(super) fn is_named(word: &str) -> Box<dyn BoxableExpression<Source, Pg, SqlType = Bool>> {
    let like = containing(word);
    Box::new(
        sql::<Bool>("(packages.lower_name LIKE ")
            .bind::<Text, _>(like.clone())
            .sql(" OR owners.lower_name LIKE ")
            .bind::<Text, _>(like)
            .sql(")"),
    )
}
