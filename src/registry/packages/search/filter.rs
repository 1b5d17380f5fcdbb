//! What a search for packages leaves out, besides what its text does not match.

use super::rows::Condition;
use crate::db::schema::versions;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{PackageId, VersionId};
use crate::domain::labels::Labels;
use crate::error::Result;
use crate::registry::access::shown_sql;
use crate::registry::draft_limit::DraftLimit;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Jsonb, Text};

/// Whether the row `one` of `versions` is a pre-release, as `Version::is_prerelease` says. The index
/// `versions_prerelease_idx` has the same expression.
const IS_PRERELEASE: &str = "coalesce(one.is_prerelease, one.version COLLATE \"C\" ~ \
    '^[vV]?[0-9]+(\\.[0-9]+)*-[0-9A-Za-z-]+(\\.[0-9A-Za-z-]+)*(\\+[0-9A-Za-z-]+(\\.[0-9A-Za-z-]+)*)?$')";
/// The most labels that are offered.
const MOST_OFFERED: i64 = 8;

/// The filters of a search for packages.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only packages whose last version was created since then.
    pub updated_since: Option<Timestamp>,
    /// Only packages with a pre-release.
    pub has_prereleases: bool,
    /// Only packages that have these labels, or that have a version that has them.
    pub labels: Option<Labels>,
}

impl Filter {
    /// The conditions for the last version of a package.
    pub(super) fn conditions(&self, limit: &DraftLimit) -> Vec<Condition> {
        let shown = shown_sql(limit, "one");
        let mut all: Vec<Condition> = Vec::new();
        if let Some(since) = self.updated_since {
            all.push(Box::new(versions::created_at.ge(since)));
        }
        if self.has_prereleases {
            all.push(Box::new(sql::<Bool>(&format!(
                "versions.package_id IN (SELECT one.package_id FROM versions one WHERE {IS_PRERELEASE} AND {shown})"
            ))));
        }
        if let Some(labels) = &self.labels {
            let condition = sql::<Bool>(
                "versions.package_id IN (SELECT p.id FROM packages p WHERE p.labels <> '{}' AND p.labels @> ",
            )
            .bind::<Jsonb, _>(labels.clone())
            .sql(" UNION ALL SELECT one.package_id FROM versions one WHERE one.labels <> '{}' AND one.labels @> ")
            .bind::<Jsonb, _>(labels.clone())
            .sql(&format!(" AND {shown})"));
            all.push(Box::new(condition));
        }
        all
    }
}

/// The labels that most of these packages or of these versions have, as key and value.
pub(super) fn common_labels(
    conn: &mut PgConnection,
    packages: &[PackageId],
    versions: &[VersionId],
) -> Result<Vec<(String, String)>> {
    #[derive(QueryableByName)]
    struct LabelRow {
        #[diesel(sql_type = Text)]
        key: String,
        #[diesel(sql_type = Text)]
        value: String,
    }
    let rows: Vec<LabelRow> = sql_query(
        "SELECT label.key, label.value FROM (SELECT id, labels FROM packages WHERE id = ANY ($1) \
         UNION SELECT package_id, labels FROM versions WHERE id = ANY ($2)) AS labeled, jsonb_each_text(labels) AS label \
         GROUP BY 1, 2 ORDER BY count(DISTINCT labeled.id) DESC, 1, 2 LIMIT $3",
    )
    .bind::<Array<BigInt>, _>(packages)
    .bind::<Array<BigInt>, _>(versions)
    .bind::<BigInt, _>(MOST_OFFERED)
    .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.key, row.value)).collect())
}
