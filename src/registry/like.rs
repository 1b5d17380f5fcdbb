//! SQL LIKE patterns for literal texts and for token limits.

use crate::domain::role::PackagePattern;

/// Token limits as LIKE patterns that match the same names as [`PackagePattern::matches`].
pub(super) fn like_any(patterns: &[PackagePattern]) -> Vec<String> {
    let like = |pattern: &PackagePattern| {
        let lower = pattern.as_str().to_lowercase();
        lower.split('*').map(escape_like).collect::<Vec<_>>().join("%")
    };
    patterns.iter().map(like).collect()
}

/// The LIKE pattern of texts that contain this text in lower case.
pub(super) fn containing(part: &str) -> String {
    format!("%{}%", escape_like(&part.to_lowercase()))
}

/// Escapes a text so that LIKE matches it literally.
pub(super) fn escape_like(text: &str) -> String {
    text.chars().flat_map(|c| matches!(c, '%' | '_' | '\\').then_some('\\').into_iter().chain([c])).collect()
}
