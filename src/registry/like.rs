//! Patterns of LIKE: texts that stand for themselves in them, and what a token is limited to.

use crate::domain::role::PackagePattern;

/// Token limits as patterns of LIKE: they fit what [`PackagePattern::matches`] says.
pub(super) fn like_any(patterns: &[PackagePattern]) -> Vec<String> {
    let like = |pattern: &PackagePattern| {
        let lower = pattern.as_str().to_lowercase();
        lower.split('*').map(escape_like).collect::<Vec<_>>().join("%")
    };
    patterns.iter().map(like).collect()
}

/// The LIKE pattern of texts that contain this one, in lower case.
pub(super) fn containing(part: &str) -> String {
    format!("%{}%", escape_like(&part.to_lowercase()))
}

/// A text that stands for itself in a LIKE pattern.
pub(super) fn escape_like(text: &str) -> String {
    text.chars().flat_map(|c| matches!(c, '%' | '_' | '\\').then_some('\\').into_iter().chain([c])).collect()
}
