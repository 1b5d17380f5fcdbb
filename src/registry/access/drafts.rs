//! Drafts are absent for everyone who may not publish them: every find, list, count and search of versions filters by
//! [`shown`], or by the same condition as SQL text. Like [`super::readable`], it compares the row with values that were
//! read with the caller, so that a draft takes no longer than an absent version.

use crate::db::schema::versions;
use crate::domain::ids::OwnerId;
use crate::domain::version_state::VersionState;
use crate::registry::draft_limit::DraftLimit;
use crate::registry::sql_expression::sql_expression;
use diesel::dsl::auto_type;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{BigInt, Bool};

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

/// The packages of an owner that have nothing but drafts, as SQL text before and after the owner. An index has only
/// drafts, so this reads few rows however many versions there are.
const DRAFTS_ALONE: [&str; 2] = [
    " FROM versions d WHERE d.state = 0 AND d.owner_id = ",
    " AND NOT EXISTS (SELECT FROM versions p WHERE p.package_id = d.package_id AND p.state > 0)",
];

/// Whether the package of the query's row has a version that is shown.
#[derive(Debug)]
pub(in crate::registry) struct HasShownVersion {
    /// The owner of the package, if drafts are hidden.
    owner: Option<OwnerId>,
}

/// Whether the package of the query's row, which belongs to this owner, has a version that is shown.
pub(in crate::registry) fn has_shown_version(limit: &DraftLimit, owner: OwnerId) -> HasShownVersion {
    let hides = !limit.is_everything() && !limit.writable.contains(&owner);
    HasShownVersion { owner: hides.then_some(owner) }
}

sql_expression!(HasShownVersion: Bool);

impl QueryFragment<Pg> for HasShownVersion {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Some(owner) = &self.owner else {
            out.push_sql("true");
            return Ok(());
        };
        let [before, after] = DRAFTS_ALONE;
        out.push_sql("packages.id NOT IN (SELECT d.package_id");
        out.push_sql(before);
        out.push_bind_param::<BigInt, _>(owner)?;
        out.push_sql(after);
        out.push_sql(")");
        Ok(())
    }
}

/// Whether the package of the query's row, whoever owns it, has a version that is shown, as SQL text.
pub(in crate::registry) fn has_shown_version_sql(limit: &DraftLimit) -> String {
    if limit.is_everything() {
        return "true".to_owned();
    }
    let [before, after] = DRAFTS_ALONE;
    let writable = is_one_of(&limit.writable, "packages.owner_id");
    format!("({writable} OR packages.id NOT IN (SELECT d.package_id{before}packages.owner_id{after}))")
}
