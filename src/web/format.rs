//! Formats numbers, sizes and times for people.

use crate::domain::clock::Timestamp;
use std::fmt;

/// A number of bytes in the largest unit that fits: `1.4 MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub i64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let Self(bytes) = *self;
        if bytes.unsigned_abs() < 1024 {
            return write!(f, "{bytes} B");
        }
        // A double is exact enough for the three digits shown.
        let mut value = bytes as f64 / 1024.0;
        let mut unit = UNITS.iter();
        let mut name = unit.next().copied().unwrap_or_default();
        while value.abs() >= 1023.95 {
            let Some(next) = unit.next() else { break };
            (value, name) = (value / 1024.0, next);
        }
        if value.abs() < 99.95 { write!(f, "{value:.1} {name}") } else { write!(f, "{value:.0} {name}") }
    }
}

/// A number with thousands separators: `1,204`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub i64);

impl Count {
    /// The number with a noun whose plural ends in s: `1 version`, `2 versions`.
    pub fn of(self, noun: &str) -> String {
        format!("{self} {noun}{}", if self.0 == 1 { "" } else { "s" })
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.unsigned_abs().to_string();
        let sign = if self.0 < 0 { "-" } else { "" };
        let length = digits.len();
        let apart = digits.chars().enumerate().flat_map(|(index, digit)| {
            let comma = (index > 0 && (length - index).is_multiple_of(3)).then_some(',');
            comma.into_iter().chain([digit])
        });
        write!(f, "{sign}{}", apart.collect::<String>())
    }
}

/// A time, relative and exact; templates show both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    pub at: Timestamp,
    pub now: Timestamp,
}

impl When {
    /// `3 days ago`, `in 2 hours`, `just now`.
    pub fn relative(&self) -> String {
        let past = self.now >= self.at;
        let span = if past { self.now.since(self.at) } else { self.at.since(self.now) };
        let seconds = span.as_secs();
        let (number, unit) = match seconds {
            0..45 => return if past { "just now" } else { "in a moment" }.to_owned(),
            45..2_700 => (seconds.div_ceil(60), "minute"),
            2_700..79_200 => ((seconds + 1_800) / 3_600, "hour"),
            79_200..2_246_400 => ((seconds + 43_200) / 86_400, "day"),
            2_246_400..29_808_000 => ((seconds + 1_314_900) / 2_629_800, "month"),
            _ => ((seconds + 15_778_800) / 31_557_600, "year"),
        };
        let (number, plural) = (number.max(1), if number > 1 { "s" } else { "" });
        if past { format!("{number} {unit}{plural} ago") } else { format!("in {number} {unit}{plural}") }
    }

    /// `2026-11-24 09:05 UTC`.
    pub fn exact(&self) -> String {
        let text = self.at.to_string();
        let (date, time) = text.split_once('T').unwrap_or((&text, ""));
        format!("{date} {} UTC", time.get(..5).unwrap_or_default())
    }

    /// The time for machines (RFC 3339).
    pub fn machine(&self) -> String {
        self.at.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn sizes_have_a_suitable_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_500_000, "1.4 MiB"),
            (1 << 30, "1.0 GiB"),
            (200 << 20, "200 MiB"),
            ((1 << 20) - 1, "1.0 MiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn numbers_have_thousands_separators() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567")] {
            assert_eq!(Count(number).to_string(), text);
        }
        assert_eq!((Count(1).of("blob"), Count(2_000).of("blob")), ("1 blob".to_owned(), "2,000 blobs".to_owned()));
    }

    #[test]
    fn times_are_shown_relative_to_now() {
        let now = Timestamp::from_unix(1_800_000_000);
        for (seconds, text) in [
            (0, "just now"),
            (60, "1 minute ago"),
            (2_600, "44 minutes ago"),
            (3_600, "1 hour ago"),
            (7_300, "2 hours ago"),
            (86_400, "1 day ago"),
            (5 * 86_400, "5 days ago"),
            (40 * 86_400, "1 month ago"),
            (400 * 86_400, "1 year ago"),
        ] {
            assert_eq!(When { at: now.minus(Duration::from_secs(seconds)), now }.relative(), text, "{seconds}");
        }
        let soon = When { at: now.plus(Duration::from_secs(86_400)), now };
        assert_eq!((soon.relative(), soon.exact()), ("in 1 day".to_owned(), "2027-01-16 08:00 UTC".to_owned()));
    }
}
