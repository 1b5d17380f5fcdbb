//! The version of a package: nearly any text, and its order among the other versions.

use super::names::{InvalidName, MAX_NAME_BYTES, name, text_schema};
use semver::{BuildMetadata, Prerelease};
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

/// A whole number of any length, compared by its value: leading zeros are taken off, and a longer number is greater.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Integer {
    length: usize,
    digits: String,
}

impl Integer {
    fn read(text: &str) -> Option<Self> {
        if !is_digits(text) {
            return None;
        }
        let digits = text.trim_start_matches('0').to_owned();
        Some(Self { length: digits.len(), digits })
    }

    fn is_zero(&self) -> bool {
        self.length == 0
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What a version that reads as numbers is ordered by. The order of the fields is the order of the comparison.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Precedence {
    /// A release precedes every pre-release, even one with a higher number: "latest" is what people should run.
    is_release: bool,
    /// Without zeros at the end: 1.0 and 1.0.0 are the same number.
    numbers: Vec<Integer>,
    /// By SemVer 2.0.0 §11; empty for a release.
    pre: Prerelease,
}

/// The order of SemVer 2.0.0 §11, in which a pre-release comes right before its release. The order of the fields is the
/// order of the comparison.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SemverOrder {
    numbers: Vec<Integer>,
    is_release: bool,
    pre: Prerelease,
}

impl Version {
    /// Whether this is the word for the newest version, where no version really has that name.
    pub fn is_latest(&self) -> bool {
        self.lower() == "latest"
    }

    /// The version without a leading `v`, split into its numbers, its pre-release and its build metadata.
    fn parts(&self) -> (&str, Option<&str>, Option<&str>) {
        let text = self.as_str();
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (text, build) = split_at_first(text, '+');
        let (numbers, pre) = split_at_first(text, '-');
        (numbers, pre, build)
    }

    /// `None` for a version that doesn't read as numbers: an optional `v`, any count of numbers of any length with dots
    /// between them, then SemVer's pre-release and build metadata. Leading zeros are allowed everywhere, as in 2026.02
    /// and 2026-02.
    fn precedence(&self) -> Option<Precedence> {
        let (numbers, pre, build) = self.parts();
        if build.is_some_and(|build| build.is_empty() || BuildMetadata::new(build).is_err()) {
            return None;
        }
        let mut numbers = numbers.split('.').map(Integer::read).collect::<Option<Vec<_>>>()?;
        while numbers.last().is_some_and(Integer::is_zero) {
            numbers.pop();
        }
        let pre = match pre {
            None => Prerelease::EMPTY,
            Some(text) => Prerelease::new(&without_leading_zeros(text)).ok().filter(|pre| !pre.is_empty())?,
        };
        Some(Precedence { is_release: pre.is_empty(), numbers, pre })
    }

    /// The version as SemVer has it, for requirements: at most three numbers of 64 bits, the missing ones zero, without a
    /// leading `v` and without leading zeros. `None` for any other text.
    pub fn to_semver(&self) -> Option<semver::Version> {
        let (numbers, pre, build) = self.parts();
        let mut numbers = numbers.split('.').map(|number| is_digits(number).then(|| number.parse().ok()).flatten());
        let mut next = || numbers.next().unwrap_or(Some(0));
        let (major, minor, patch) = (next()?, next()?, next()?);
        if numbers.next().is_some() {
            return None;
        }
        let part = |text: Option<&str>| text.is_none_or(|text| !text.is_empty());
        if !part(pre) || !part(build) {
            return None;
        }
        let pre = Prerelease::new(&pre.map_or_else(String::new, without_leading_zeros)).ok()?;
        let build = BuildMetadata::new(build.unwrap_or_default()).ok()?;
        Some(semver::Version { major, minor, patch, pre, build })
    }

    /// Whether its name says that it is a pre-release, as SemVer does.
    pub fn is_prerelease(&self) -> bool {
        self.precedence().is_some_and(|precedence| !precedence.is_release)
    }

    /// The place of the version among all versions by SemVer alone; `None` for a version that doesn't read as numbers.
    pub fn semver_order(&self) -> Option<SemverOrder> {
        let Precedence { is_release, numbers, pre } = self.precedence()?;
        Some(SemverOrder { numbers, is_release, pre })
    }

    /// The first numbers of the version, as many as asked: a missing one is 0. `None` for a version that doesn't read as
    /// numbers.
    pub fn first_numbers(&self, count: usize) -> Option<Vec<String>> {
        let numbers = self.precedence()?.numbers;
        let number = |at: usize| numbers.get(at).filter(|number| !number.is_zero());
        Some((0..count).map(|at| number(at).map_or_else(|| "0".to_owned(), |number| number.digits.clone())).collect())
    }

    /// A version that could come next: the release of a pre-release such as `-rc.1`, otherwise the last number plus
    /// one; `None` for a version that doesn't read as numbers.
    pub fn next(&self) -> Option<Self> {
        self.precedence()?;
        let (numbers, pre, _) = self.parts();
        let lead = self.as_str().chars().next().filter(|c| matches!(c, 'v' | 'V')).map(String::from);
        let next = match pre {
            None => {
                let (others, last) = numbers.rsplit_once('.').map_or((None, numbers), |(all, last)| (Some(all), last));
                others.map_or_else(String::new, |others| format!("{others}.")) + &plus_one(last)
            }
            Some(pre) if pre.starts_with(|c: char| c.is_ascii_alphabetic()) => numbers.to_owned(),
            // What follows may be the month of a date or the number of a build.
            Some(_) => return None,
        };
        format!("{}{next}", lead.unwrap_or_default()).parse().ok()
    }
}

fn split_at_first(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// SemVer forbids leading zeros in the numbers of a pre-release, but dates such as 2026-02 have them.
fn without_leading_zeros(pre: &str) -> String {
    let plain = |part: &str| match is_digits(part) {
        true => Some(part.trim_start_matches('0')).filter(|rest| !rest.is_empty()).unwrap_or("0").to_owned(),
        false => part.to_owned(),
    };
    pre.split('.').map(plain).collect::<Vec<_>>().join(".")
}

/// The next number, with as many digits as before if they suffice.
fn plus_one(digits: &str) -> String {
    let kept = digits.trim_end_matches('9');
    let zeros = "0".repeat(digits.len() - kept.len());
    let mut kept = kept.to_owned();
    let last = kept.pop().and_then(|last| last.to_digit(10)).and_then(|last| char::from_digit(last + 1, 10));
    kept + &last.unwrap_or('1').to_string() + &zeros
}

/// What orders a version among the others of its package.
#[derive(Debug, Clone, Copy)]
pub struct Ranked<'a, D> {
    pub version: &'a Version,
    /// Whether the publisher says that it is a pre-release; `None`: as its name says.
    pub prerelease: Option<bool>,
    pub date: D,
}

impl<D> Ranked<'_, D> {
    fn precedence(&self) -> Option<Precedence> {
        let precedence = self.version.precedence()?;
        let is_release = self.prerelease.map_or(precedence.is_release, |prerelease| !prerelease);
        Some(Precedence { is_release, ..precedence })
    }

    /// The one order of a package's versions. Versions that read as numbers are compared as numbers, releases above
    /// pre-releases. The others are below them all, by date, and so are versions with equal numbers among themselves.
    fn by_number(self) -> (Option<Precedence>, D) {
        (self.precedence(), self.date)
    }

    /// How well it stands for the latest version: releases by number, then the newest of the pre-releases. Versions
    /// that don't read as numbers count only where none does, and pre-releases last among them too.
    fn by_merit(self) -> (u8, Option<Precedence>, D) {
        match self.precedence() {
            Some(precedence) if precedence.is_release => (3, Some(precedence), self.date),
            Some(_) => (2, None, self.date),
            None => (u8::from(self.prerelease != Some(true)), None, self.date),
        }
    }
}

/// Sorts versions by number, the greatest first. Versions that don't read as numbers come last, the most recent first.
pub fn sort_by_number<T, D: Ord>(versions: &mut [T], ranked: impl Fn(&T) -> Ranked<'_, D>) {
    versions.sort_by_cached_key(|item| Reverse(ranked(item).by_number()));
}

/// The version that `latest` stands for, among those that may: the highest release, else the newest pre-release.
pub fn latest<T, D: Ord>(versions: impl IntoIterator<Item = T>, ranked: impl Fn(&T) -> Ranked<'_, D>) -> Option<T> {
    versions.into_iter().max_by_key(|item| ranked(item).by_merit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    /// The versions of a space-separated list, created in this order, sorted by number.
    fn sorted(texts: &str) -> Vec<String> {
        let mut all: Vec<_> = texts.split(' ').enumerate().map(|(date, text)| (version(text), date)).collect();
        sort_by_number(&mut all, |(version, date)| Ranked { version, prerelease: None, date: *date });
        all.into_iter().map(|(version, _)| version.to_string()).collect()
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
    fn versions_are_compared_as_numbers_of_any_count_and_length() {
        let long = format!("1{}", "0".repeat(60));
        for (created, order) in [
            ("2026.02.0 2025.11.1", "2026.02.0 2025.11.1"),
            ("2026.2.0 2026.11.0 2026.010.0", "2026.11.0 2026.010.0 2026.2.0"),
            ("24.10 1.0.0 24.9", "24.10 24.9 1.0.0"),
            ("v1.10.0 1.9.0 V1.9.9", "v1.10.0 V1.9.9 1.9.0"),
            ("7 10 9.9.9.9", "10 9.9.9.9 7"),
            ("1.2 1.2.0.1 1.10", "1.10 1.2.0.1 1.2"),
            ("18446744073709551616 18446744073709551615", "18446744073709551616 18446744073709551615"),
            (&format!("1.{long} 2 1.9"), &format!("2 1.{long} 1.9")),
        ] {
            assert_eq!(sorted(created).join(" "), order);
        }
    }

    #[test]
    fn releases_come_before_prereleases_which_follow_semver() {
        let created = "1.0.0-alpha 1.0.0-rc.1 1.0.0-beta.11 1.0.0-beta.2 1.0.0-beta 1.0.0-alpha.beta 1.0.0-alpha.1";
        assert_eq!(
            sorted(created).join(" "),
            "1.0.0-rc.1 1.0.0-beta.11 1.0.0-beta.2 1.0.0-beta 1.0.0-alpha.beta 1.0.0-alpha.1 1.0.0-alpha"
        );
        assert_eq!(sorted("2.0.0-rc.1 1.10.0 v2.0.0-rc.02 1.9").join(" "), "1.10.0 1.9 v2.0.0-rc.02 2.0.0-rc.1");
        assert_eq!(sorted("2026-10 2026-02 2025-11-30 2025-12-01").join(" "), "2026-10 2026-02 2025-12-01 2025-11-30");
    }

    #[test]
    fn equal_numbers_and_other_texts_are_ordered_by_date() {
        assert_eq!(sorted("1.0 v1.0.0 01 1.0.0+b 1.0.0+a").join(" "), "1.0.0+a 1.0.0+b 01 v1.0.0 1.0");
        assert_eq!(sorted("zebra apple").join(" "), "apple zebra");
        assert_eq!(sorted("1.0-rc nightly 0.1").join(" "), "0.1 1.0-rc nightly");
        for other in ["1.0.0.Final", "1..2", "1.", ".1", "v", "1.0-", "1.0-a..b", "1.0+", "1.0+a_b", "1.0-ü", "1.²"] {
            assert_eq!(sorted(&format!("0.0.1-a {other}")).join(" "), format!("0.0.1-a {other}"));
        }
    }

    #[test]
    fn the_latest_version_is_the_highest_release_or_else_the_newest() {
        for (created, latest_is) in [
            ("1.10.0 1.9.0", "1.10.0"),
            ("1.0.0 2.0.0-rc.1 nightly", "1.0.0"),
            ("2.0.0-rc.1 1.0.0-rc.1 nightly", "1.0.0-rc.1"),
            ("zebra apple", "apple"),
            ("1.0.0 !2.0.0", "1.0.0"),
            ("=1.0.0-7 0.9.0", "1.0.0-7"),
            ("apple !zebra", "apple"),
            ("!apple !zebra", "zebra"),
        ] {
            // `!` marks what the publisher calls a pre-release, and `=` what they call a release.
            let read = |(date, text): (usize, &str)| match text.split_at(1) {
                ("!", rest) => (version(rest), Some(true), date),
                ("=", rest) => (version(rest), Some(false), date),
                _ => (version(text), None, date),
            };
            let all: Vec<_> = created.split(' ').enumerate().map(read).collect();
            let found = latest(&all, |one| Ranked { version: &one.0, prerelease: one.1, date: one.2 });
            assert_eq!(found.unwrap().0.to_string(), latest_is, "{created}");
        }
        assert!(version("v1.0-rc").is_prerelease() && !version("1.0").is_prerelease());
        assert!(!version("nightly").is_prerelease());
    }

    #[test]
    fn a_prerelease_comes_right_before_its_release_by_semver_alone() {
        let order = |text: &str| version(text).semver_order();
        for (less, more) in [("1.0.0-rc.1", "1.0.0"), ("1.0", "1.0.1-a"), ("2-a", "v2.0.0"), ("1.9", "1.10")] {
            assert!(order(less) < order(more), "{less} {more}");
        }
        assert_eq!((order("1.0"), order("nightly")), (order("v1.0.0"), None));
        for (text, is) in [("1.0-rc.1", true), ("1.0", false), ("nightly", false), ("1.0+b", false)] {
            assert_eq!(version(text).is_prerelease(), is, "{text}");
        }
    }

    #[test]
    fn missing_first_numbers_are_zero() {
        let first = |text: &str| version(text).first_numbers(2).map(|numbers| numbers.join("."));
        for (text, numbers) in [("1.2.3", "1.2"), ("v2", "2.0"), ("2026.02-rc", "2026.2"), ("0", "0.0"), ("0.1", "0.1")]
        {
            assert_eq!(first(text).as_deref(), Some(numbers), "{text}");
        }
        assert_eq!(first("nightly"), None);
    }

    #[test]
    fn the_suggested_next_version_is_one_more_or_the_release() {
        let next = |text: &str| version(text).next().map(|version| version.to_string());
        for (text, expected) in [
            ("1.2.3", "1.2.4"),
            ("v2.0.0-rc.1+x", "v2.0.0"),
            ("24.10", "24.11"),
            ("2026.02", "2026.03"),
            ("2026.09", "2026.10"),
            ("v9", "v10"),
            ("1.0.18446744073709551615", "1.0.18446744073709551616"),
        ] {
            assert_eq!(next(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["nightly", "2026-11-27", "1.0-1", &"9".repeat(255)] {
            assert_eq!(next(text), None, "{text}");
        }
    }
}
