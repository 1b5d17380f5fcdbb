//! SQL LIKE patterns for literal texts and for token limits.

use crate::domain::role::PackagePattern;
use diesel::dsl::sql;
use diesel::expression::BoxableExpression;
use diesel::pg::Pg;
use diesel::sql_types::{Array, Bool, Text};

/// Token limits as LIKE patterns that match the same names as [`PackagePattern::matches`].
pub(super) fn like_any(patterns: &[PackagePattern]) -> Vec<String> {
    patterns.iter().map(like_of).collect()
}

/// One token limit, or the pattern of a grant, as a LIKE pattern.
pub(super) fn like_of(pattern: &PackagePattern) -> String {
    pattern.as_str().to_lowercase().split('*').map(escape_like).collect::<Vec<_>>().join("%")
}

/// Whether the package of the query's row has a name that matches one of these LIKE patterns.
pub(super) fn package_is_like_any<QS: 'static>(
    patterns: Vec<String>,
) -> Box<dyn BoxableExpression<QS, Pg, SqlType = Bool>> {
    Box::new(sql::<Bool>("packages.lower_name LIKE ANY (").bind::<Array<Text>, _>(patterns).sql(")"))
}

/// The LIKE pattern of texts that contain this text in lower case.
pub(super) fn containing(part: &str) -> String {
    format!("%{}%", escape_like(&part.to_lowercase()))
}

/// Escapes a text so that LIKE matches it literally.
pub(super) fn escape_like(text: &str) -> String {
    text.chars().flat_map(|c| matches!(c, '%' | '_' | '\\').then_some('\\').into_iter().chain([c])).collect()
}
