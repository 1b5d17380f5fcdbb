//! What may stand in a version's place of a download: `latest`, `@^1.2` (a requirement), `@beta` (a channel).
//!
//! The character after the `@` decides: a letter begins the name of a channel, anything else a requirement.

use super::channel::ChannelName;
use super::version::Version;
use semver::{Prerelease, VersionReq};

/// A text that stands for one of a package's versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// `latest`, or `@latest`.
    Latest,
    /// `@^1.2`, `@~1.4`, `@1.x`, `@>=1, <3`.
    Matching(Requirement),
    /// `@beta`.
    Channel(ChannelName),
}

/// Begins a selector.
const SIGN: char = '@';

impl Selector {
    /// The selector in the place of a version; `None` for a text that can only be a version.
    ///
    /// # Errors
    /// Why the text after the `@` is neither a requirement nor the name of a channel.
    pub fn of(text: &Version) -> Option<Result<Self, String>> {
        if text.is_latest() {
            return Some(Ok(Self::Latest));
        }
        let rest = text.as_str().strip_prefix(SIGN)?;
        if rest.eq_ignore_ascii_case("latest") {
            return Some(Ok(Self::Latest));
        }
        Some(match rest.starts_with(|first: char| first.is_alphabetic()) {
            true => rest.parse().map(Self::Channel).map_err(|why| why.to_string()),
            false => Requirement::parse(rest).map(Self::Matching),
        })
    }
}

/// A requirement in the syntax of Cargo, which is that of SemVer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement(VersionReq);

impl Requirement {
    fn parse(text: &str) -> Result<Self, String> {
        match VersionReq::parse(text) {
            Ok(requirement) => Ok(Self(requirement)),
            Err(why) => Err(why.to_string()),
        }
    }

    /// Whether a version fits. `prerelease` is what its publisher says, if they say anything: a version that they call
    /// a pre-release fits as one, although its number does not say so, and the other way round.
    pub fn accepts(&self, version: &Version, prerelease: Option<bool>) -> bool {
        let Some(semver) = version.to_semver() else { return false };
        let fits = self.0.matches(&semver);
        match prerelease {
            Some(true) if semver.pre.is_empty() => fits && self.asks_for_prereleases_of(&semver),
            Some(false) if !semver.pre.is_empty() => {
                fits || self.0.matches(&semver::Version { pre: Prerelease::EMPTY, ..semver })
            }
            _ => fits,
        }
    }

    /// SemVer's rule for pre-releases: they fit only if the requirement names one of the same three numbers.
    fn asks_for_prereleases_of(&self, version: &semver::Version) -> bool {
        self.0.comparators.iter().any(|one| {
            let same = one.major == version.major && one.minor == Some(version.minor);
            same && one.patch == Some(version.patch) && !one.pre.is_empty()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(text: &str) -> Option<Result<Selector, String>> {
        Selector::of(&text.parse().unwrap())
    }

    fn accepts(requirement: &str, version: &str, prerelease: Option<bool>) -> bool {
        let Some(Ok(Selector::Matching(wanted))) = selector(requirement) else { panic!("{requirement}") };
        wanted.accepts(&version.parse().unwrap(), prerelease)
    }

    #[test]
    fn a_letter_after_the_sign_begins_a_channel_and_anything_else_a_requirement() {
        for text in ["1.0", "beta", "^1", "v@1", "1@2"] {
            assert_eq!(selector(text), None, "{text}");
        }
        for text in ["latest", "Latest", "@latest"] {
            assert_eq!(selector(text), Some(Ok(Selector::Latest)), "{text}");
        }
        for text in ["@beta", "@v1", "@x"] {
            assert_eq!(selector(text), Some(Ok(Selector::Channel(text[1..].parse().unwrap()))), "{text}");
        }
        for text in ["@^1.2", "@~1.4", "@1.x", "@1", "@=1.2.3", "@*", "@>=1, <3", "@<2.0.0-rc.1"] {
            assert!(matches!(selector(text), Some(Ok(Selector::Matching(_)))), "{text}");
        }
        for text in ["@", "@^", "@1.2.3.4", "@>1 <2", "@-beta", "@ü", "@a b", "@^v1", "@1 || 2"] {
            assert!(matches!(selector(text), Some(Err(_))), "{text}");
        }
    }

    #[test]
    fn requirements_fit_versions_of_up_to_three_numbers_however_they_are_written() {
        for (requirement, fitting, others) in [
            (
                "@^1.2",
                "1.2.0 1.10.3 v1.2 V1.3.0 1.02 1.2.0+build",
                "1.1.9 2.0.0 1.2.0-rc.1 1.2.3.4 nightly 1.2.0.Final",
            ),
            ("@~1.4", "1.4 1.4.9", "1.5.0 1.3.9 2"),
            ("@1.x", "1 1.0.0 1.99", "0.9 2.0 1.0.0-a"),
            ("@>=1, <3", "1.0.0 2.99.99 1", "0.9.9 3.0.0 3"),
            ("@^0.3", "0.3.1", "0.4.0 1.0.0"),
            ("@=1.2.3", "1.2.3 v1.2.3", "1.2.4"),
            ("@^2026.2", "2026.02.0 2026.11", "2025.12 2027.1"),
            ("@>=2.0.0-beta.1", "2.0.0-beta.2 2.0.0 3.0.0", "2.0.1-rc.1 2.0.0-alpha"),
        ] {
            for version in fitting.split(' ') {
                assert!(accepts(requirement, version, None), "{version} fits {requirement}");
            }
            for version in others.split(' ') {
                assert!(!accepts(requirement, version, None), "{version} does not fit {requirement}");
            }
        }
    }

    #[test]
    fn what_the_publisher_calls_a_prerelease_counts_as_one() {
        assert!(!accepts("@^1.2", "1.3.0", Some(true)));
        assert!(accepts("@>=1.3.0-a", "1.3.0", Some(true)));
        assert!(accepts("@^1.2", "1.3.0-2", Some(false)));
        assert!(accepts("@^1.2", "1.3.0", Some(false)));
        assert!(!accepts("@^1.2", "2.0.0-2", Some(false)));
    }
}
