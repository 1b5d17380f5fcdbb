//! Drafts are absent for everyone who may not publish them: every find, list, count and search of versions filters by
//! [`shown`], or by the same condition as SQL text. Like [`super::readable`], it compares the row with values that were
//! read with the caller, so that a draft takes no longer than an absent version.

use crate::db::schema::versions;
use crate::domain::ids::OwnerId;
use crate::domain::version_state::VersionState;
use crate::registry::draft_limit::DraftLimit;
use diesel::dsl::{auto_type, sql};
use diesel::expression::BoxableExpression;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::Bool;

/// Whether the version of the query's row is shown within this limit.
#[auto_type(no_type_alias)]
pub fn shown(limit: DraftLimit) -> _ {
    let least: VersionState = limit.least;
    let writable: Vec<OwnerId> = limit.writable;
    versions::state.ge(least).or(versions::owner_id.eq_any(writable))
}

/// [`shown`] as SQL text, for the table `versions` under another name.
pub(in crate::registry) fn shown_sql(limit: &DraftLimit, alias: &str) -> String {
    let least = limit.least.number();
    match limit.writable.is_empty() {
        true => format!("{alias}.state >= {least}"),
        false => format!("({alias}.state >= {least} OR {})", is_one_of(&limit.writable, &format!("{alias}.owner_id"))),
    }
}

fn is_one_of(owners: &[OwnerId], column: &str) -> String {
    let ids: Vec<String> = owners.iter().map(ToString::to_string).collect();
    format!("{column} = ANY ('{{{}}}'::bigint[])", ids.join(","))
}

/// The packages of an owner that have nothing but drafts, as SQL text. The owner is an SQL expression. An index has only
/// drafts, so this reads few rows however many versions there are.
macro_rules! drafts_alone {
    ($columns:literal, $owner:expr) => {
        format!(
            concat!(
                "SELECT ",
                $columns,
                " FROM versions d WHERE d.state = 0 AND d.owner_id = {} AND NOT EXISTS \
                 (SELECT FROM versions p WHERE p.package_id = d.package_id AND p.state > 0)"
            ),
            $owner
        )
    };
}

/// Whether the package of the query's row, which belongs to this owner, has a version that is shown. As SQL text, which
/// Diesel does not keep prepared: a prepared plan looks for drafts before it compares the visibility, and so reads more
/// for a hidden package than for an absent one.
pub(in crate::registry) fn has_shown_version<QS: 'static>(
    limit: &DraftLimit,
    owner: OwnerId,
) -> Box<dyn BoxableExpression<QS, Pg, SqlType = Bool>> {
    match limit.is_everything() || limit.writable.contains(&owner) {
        true => Box::new(sql::<Bool>("true")),
        false => Box::new(sql::<Bool>(&format!("packages.id NOT IN ({})", drafts_alone!("d.package_id", owner)))),
    }
}

/// Whether the package of the query's row, whoever owns it, has a version that is shown, as SQL text.
pub(in crate::registry) fn has_shown_version_sql(limit: &DraftLimit) -> String {
    if limit.is_everything() {
        return "true".to_owned();
    }
    let hidden = drafts_alone!("d.package_id", "packages.owner_id");
    format!("({} OR packages.id NOT IN ({hidden}))", is_one_of(&limit.writable, "packages.owner_id"))
}
