//! The `Range` header: the requested bytes of a file (RFC 9110 §14).

use std::ops::Range;

/// A request for more ranges than this gets the whole file.
pub const MAX_RANGES: usize = 16;

/// The part of the file to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Everything, with 200: no range was requested, or no valid one.
    Whole,
    /// 416: none of the ranges contains a byte of the file.
    Unsatisfiable,
    /// 206, one range, not empty.
    One(Range<u64>),
    /// 206 `multipart/byteranges`: two ranges or more, in the requested order.
    Many(Vec<Range<u64>>),
}

/// One range-spec of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spec {
    From(u64, Option<u64>),
    Suffix(u64),
}

/// Selects the bytes of a file of `size` bytes that a `Range` header's value requests.
///
/// A malformed value, or one with another unit, is ignored. So is a value with more than [`MAX_RANGES`] ranges, with
/// more than one overlap, or whose parts are together longer than the file (§14.2, §17.15): sending the whole file
/// costs less.
pub fn select(value: &str, size: u64) -> Selection {
    let Some(specs) = parse(value) else { return Selection::Whole };
    if specs.len() > MAX_RANGES {
        return Selection::Whole;
    }
    // A suffix of an empty file is satisfiable, but `Content-Range` cannot express "no bytes".
    if size == 0 && specs.iter().any(|spec| matches!(spec, Spec::Suffix(length) if *length > 0)) {
        return Selection::Whole;
    }
    let mut ranges: Vec<_> = specs.into_iter().filter_map(|spec| satisfy(spec, size)).collect();
    match ranges.len() {
        0 => Selection::Unsatisfiable,
        1 => ranges.pop().map_or(Selection::Unsatisfiable, Selection::One),
        _ if is_wasteful(&ranges, size) => Selection::Whole,
        _ => Selection::Many(ranges),
    }
}

fn parse(value: &str) -> Option<Vec<Spec>> {
    let (unit, set) = value.split_once('=')?;
    if !unit.trim_matches([' ', '\t']).eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut specs = Vec::new();
    // Empty list members must be ignored (§5.6.1), within reason.
    for member in set.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty()) {
        let spec = match member.split_once('-')? {
            ("", suffix) => Spec::Suffix(number(suffix)?),
            (first, "") => Spec::From(number(first)?, None),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return None;
                }
                Spec::From(first, Some(last))
            }
        };
        specs.push(spec);
    }
    (!specs.is_empty()).then_some(specs)
}

/// Digits only; a number that overflows is larger than any file.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

fn satisfy(spec: Spec, size: u64) -> Option<Range<u64>> {
    let range = match spec {
        Spec::From(first, last) => first..last.map_or(size, |last| last.saturating_add(1).min(size)),
        Spec::Suffix(length) => size.saturating_sub(length)..size,
    };
    (!range.is_empty()).then_some(range)
}

fn is_wasteful(ranges: &[Range<u64>], size: u64) -> bool {
    let total = ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.end - range.start));
    let overlaps = |(at, a): (usize, &Range<u64>)| {
        ranges.iter().skip(at + 1).filter(|b| a.start < b.end && b.start < a.end).count()
    };
    total > size || ranges.iter().enumerate().map(overlaps).sum::<usize>() > 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_single_range_in_its_three_forms() {
        assert_eq!(select("bytes=0-0", 10), Selection::One(0..1));
        assert_eq!(select("bytes=2-5", 10), Selection::One(2..6));
        assert_eq!(select("bytes=9-", 10), Selection::One(9..10));
        assert_eq!(select("bytes=-3", 10), Selection::One(7..10));
        assert_eq!(select("bytes=-30", 10), Selection::One(0..10));
        assert_eq!(select("bytes=2-50", 10), Selection::One(2..10));
        assert_eq!(select("BYTES=2-99999999999999999999999", 10), Selection::One(2..10));
        assert_eq!(select("bytes= 1-2 , ,", 10), Selection::One(1..3));
    }

    #[test]
    fn malformed_ranges_are_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=1-2,x",
            "bytes=--1",
            "bytes=1",
            "items=0-1",
            "bytes 0-1",
            "bytes=+1-2",
            "bytes=1 -2",
            "bytes=0x1-2",
            "bytes=1-2;3-4",
            "=0-1",
        ] {
            assert_eq!(select(value, 10), Selection::Whole, "{value}");
        }
    }

    #[test]
    fn a_range_outside_of_the_file_is_unsatisfiable() {
        for value in ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=11-,-0", "bytes=99999999999999999999999-"] {
            assert_eq!(select(value, 10), Selection::Unsatisfiable, "{value}");
        }
        assert_eq!(select("bytes=0-", 0), Selection::Unsatisfiable);
        assert_eq!(select("bytes=-5", 0), Selection::Whole);
    }

    #[test]
    fn several_ranges_keep_their_order_without_the_unsatisfiable_ones() {
        assert_eq!(select("bytes=5-6,0-1", 10), Selection::Many(vec![5..7, 0..2]));
        assert_eq!(select("bytes=5-6,20-30", 10), Selection::One(5..7));
        assert_eq!(select("bytes=0-4,3-5", 10), Selection::Many(vec![0..5, 3..6]));
    }

    #[test]
    fn too_many_ranges_give_the_whole_file() {
        assert_eq!(select("bytes=0-,0-", 10), Selection::Whole);
        assert_eq!(select("bytes=0-2,1-3,2-4", 10), Selection::Whole);
        let list = |count: usize| (0..count).map(|at| format!("{}-{}", 4 * at, 4 * at)).collect::<Vec<_>>().join(",");
        assert!(matches!(select(&format!("bytes={}", list(16)), 100), Selection::Many(ranges) if ranges.len() == 16));
        assert_eq!(select(&format!("bytes={}", list(17)), 100), Selection::Whole);
    }

    /// The bytes that a range-spec requests, one by one.
    fn reference(spec: (u64, Option<u64>, bool), size: u64) -> Vec<u64> {
        let (first, last, suffix) = spec;
        (0..size)
            .filter(|at| if suffix { size - at <= first } else { *at >= first && last.is_none_or(|l| *at <= l) })
            .collect()
    }

    proptest! {
        #[test]
        fn the_selected_bytes_are_the_requested_bytes(
            size in 0_u64..40,
            specs in prop::collection::vec((0_u64..50, prop::option::of(0_u64..50), any::<bool>()), 1..5),
        ) {
            // A last position before the first would make the whole header invalid: swap them.
            let specs: Vec<_> = specs.into_iter().map(|(first, last, suffix)| match last {
                Some(last) if last < first && !suffix => (last, Some(first), suffix),
                _ => (first, last, suffix),
            }).collect();
            let text = specs.iter().map(|(first, last, suffix)| match (suffix, last) {
                (true, _) => format!("-{first}"),
                (false, None) => format!("{first}-"),
                (false, Some(last)) => format!("{first}-{last}"),
            }).collect::<Vec<_>>().join(", ");
            let sets: Vec<_> = specs.iter().map(|spec| reference(*spec, size)).filter(|set| !set.is_empty()).collect();
            let total: usize = sets.iter().map(Vec::len).sum();
            let expand = |range: Range<u64>| range.collect::<Vec<_>>();
            match select(&format!("bytes={text}"), size) {
                Selection::One(range) => prop_assert_eq!(vec![expand(range)], sets),
                Selection::Many(ranges) => {
                    prop_assert!(ranges.len() > 1);
                    prop_assert_eq!(ranges.into_iter().map(expand).collect::<Vec<_>>(), sets);
                }
                Selection::Unsatisfiable => prop_assert!(sets.is_empty()),
                Selection::Whole => {
                    let twice = (0..size).filter(|at| sets.iter().filter(|set| set.contains(at)).count() > 1).count();
                    prop_assert!(size == 0 || total > size as usize || twice > 0, "{} of {}", text, size);
                }
            }
        }

        #[test]
        fn no_range_header_panics_or_selects_bytes_outside_of_the_file(text in ".{0,60}", size in any::<u64>()) {
            for value in [text.clone(), format!("bytes={text}")] {
                match select(&value, size) {
                    Selection::One(range) => prop_assert!(range.start < range.end && range.end <= size),
                    Selection::Many(ranges) => prop_assert!(ranges.iter().all(|r| r.start < r.end && r.end <= size)),
                    _ => {}
                }
            }
        }
    }
}
