//! The version of a package: nearly any text, and its order among the other versions.

use super::names::{InvalidName, MAX_NAME_BYTES, name, text_schema};
use std::cmp::Reverse;

name!(
    /// A version: at most 255 bytes, not empty, no outer Unicode white space, no control characters, not `.` or `..`.
    /// Any other text is allowed; it need not be SemVer.
    Version,
    check_version,
    text_schema("A version: any text of up to 255 bytes without control characters.", PATTERN).max_length(Some(MAX_NAME_BYTES))
);

/// The same rules as a regular expression, except for the length, which counts bytes.
const PATTERN: &str = r"^(?!\.{1,2}$)[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$";

fn check_version(text: &str) -> Result<(), InvalidName> {
    match text {
        "" => Err(InvalidName::Empty),
        "." | ".." => Err(InvalidName::Dots),
        _ if text.len() > MAX_NAME_BYTES => Err(InvalidName::TooLong(MAX_NAME_BYTES)),
        _ if text.trim() != text => Err(InvalidName::OuterSpace),
        _ if text.chars().any(char::is_control) => Err(InvalidName::Characters("text without control characters")),
        _ => Ok(()),
    }
}

impl Version {
    /// Whether this is the word for the newest version, where no version really has that name.
    pub fn is_latest(&self) -> bool {
        self.lower() == "latest"
    }

    /// The semantic version, ignoring a leading `v`, if it is one.
    fn semantic(&self) -> Option<semver::Version> {
        let text = self.as_str();
        semver::Version::parse(text.strip_prefix(['v', 'V']).unwrap_or(text)).ok()
    }

    /// A version that could come next: the next patch of a release, the release of a pre-release; `None` for a version
    /// that is not semantic.
    pub fn next(&self) -> Option<Self> {
        let semver::Version { major, minor, patch, pre, .. } = self.semantic()?;
        let patch = if pre.is_empty() { patch.checked_add(1)? } else { patch };
        let lead = self.as_str().chars().next().filter(|c| matches!(c, 'v' | 'V')).map(String::from);
        format!("{}{major}.{minor}.{patch}", lead.unwrap_or_default()).parse().ok()
    }

    /// The sort key by SemVer 2.0.0 §11, ignoring a leading `v`; `None` for a version that is not semantic.
    fn precedence(&self) -> Option<(bool, semver::Version)> {
        let parsed = self.semantic()?;
        // A release precedes every pre-release, even one with a higher number: "latest" is what people should run.
        Some((parsed.pre.is_empty(), parsed))
    }
}

/// Sorts versions by precedence (SemVer 2.0.0 §11), the highest first, followed by versions that are not semantic, the
/// most recent first.
pub fn by_precedence<T, D: Ord>(versions: &mut [T], key: impl Fn(&T) -> (&Version, D)) {
    versions.sort_by_cached_key(|item| {
        let (version, date) = key(item);
        Reverse((version.semantic(), date))
    });
}

/// The newest version: by SemVer precedence with releases first if any version is semantic, otherwise the one that was
/// created last.
pub fn newest<T, D: Ord>(versions: impl IntoIterator<Item = T>, key: impl Fn(&T) -> (&Version, D)) -> Option<T> {
    versions.into_iter().max_by(|a, b| {
        let ((a, a_date), (b, b_date)) = (key(a), key(b));
        a.precedence().cmp(&b.precedence()).then(a_date.cmp(&b_date))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn newest_of(texts: &[&str]) -> String {
        let all: Vec<_> = texts.iter().enumerate().map(|(date, text)| (version(text), date)).collect();
        newest(all, |(version, date)| (version, *date)).unwrap().0.to_string()
    }

    #[test]
    fn almost_any_text_is_a_valid_version() {
        for text in ["1.0.0", "2026 spring", "ü", "a/b", "...", "v1", "🦀", &"x".repeat(255)] {
            assert!(text.parse::<Version>().is_ok(), "{text:?}");
        }
        for text in ["", ".", "..", " 1", "1\u{a0}", "1\n2", "1\0", "\u{85}", &"x".repeat(256)] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn semver_sorts_prereleases_before_releases_and_other_text_last() {
        let mut all: Vec<_> = ["1.9.0", "nightly", "2.0.0-rc.1", "v2.0.0", "1.10.0", "2026 spring"]
            .iter()
            .enumerate()
            .map(|(date, text)| (version(text), date))
            .collect();
        by_precedence(&mut all, |(version, date)| (version, *date));
        let order: Vec<_> = all.iter().map(|(version, _)| version.as_str()).collect();
        assert_eq!(order, ["v2.0.0", "2.0.0-rc.1", "1.10.0", "1.9.0", "2026 spring", "nightly"]);
    }

    #[test]
    fn the_suggested_next_version_is_a_patch_or_the_release() {
        let next = |text: &str| version(text).next().map(|version| version.to_string());
        assert_eq!(next("1.2.3").as_deref(), Some("1.2.4"));
        assert_eq!(next("v2.0.0-rc.1+x").as_deref(), Some("v2.0.0"));
        assert_eq!(next("nightly"), None);
        assert_eq!(next(&format!("1.0.{}", u64::MAX)), None);
    }

    #[test]
    fn the_newest_version_is_by_semver_releases_first_then_by_date() {
        assert_eq!(newest_of(&["1.10.0", "1.9.0", "2.0.0-rc.1"]), "1.10.0");
        assert_eq!(newest_of(&["2.0.0-rc.1", "2.0.0-rc.2", "2.0.0-alpha"]), "2.0.0-rc.2");
        assert_eq!(newest_of(&["v1.0.0", "nightly"]), "v1.0.0");
        assert_eq!(newest_of(&["zebra", "apple"]), "apple");
    }
}
