//! A length of time as ISO 8601 writes it: `P14D`, `PT12H`, `PT0S`.

use super::names::text_schema;
use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::Pg;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::BigInt;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// The longest duration: a hundred years, so that adding one to a time never leaves the calendar.
const LONGEST: i64 = 36_525 * DAY;

/// A text is not a valid duration. The message is one line that says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    #[error("write a duration such as P14D, PT12H or P1DT6H, or short 14d or 12h")]
    Shape,
    #[error("months and years have no fixed length: use weeks, days, hours, minutes or seconds, such as P30D")]
    Calendar,
    #[error("a duration is at most 36525 days")]
    TooLong,
}

/// A duration of whole seconds, from none to a hundred years. A week is seven days and a day is 24 hours, whatever the
/// calendar says. Displayed with days, hours, minutes and seconds: `P1W` becomes `P7D`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
#[diesel(sql_type = BigInt)]
pub struct IsoDuration(i64);

impl IsoDuration {
    /// The whole seconds.
    pub fn seconds(self) -> i64 {
        self.0
    }
}

impl From<IsoDuration> for Duration {
    fn from(duration: IsoDuration) -> Self {
        Self::from_secs(duration.0.unsigned_abs())
    }
}

impl TryFrom<i64> for IsoDuration {
    type Error = InvalidDuration;

    fn try_from(seconds: i64) -> Result<Self, Self::Error> {
        if (0..=LONGEST).contains(&seconds) { Ok(Self(seconds)) } else { Err(InvalidDuration::TooLong) }
    }
}

impl FromStr for IsoDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let upper = text.trim().to_ascii_uppercase();
        let Some(rest) = upper.strip_prefix('P') else {
            // Short: one number and its unit.
            return match upper.chars().last() {
                Some('W' | 'D') => sum(&upper, DATES),
                Some('H' | 'M' | 'S') => sum(&upper, TIMES),
                _ => Err(InvalidDuration::Shape),
            }
            .and_then(|(seconds, parts)| if parts == 1 { seconds.try_into() } else { Err(InvalidDuration::Shape) });
        };
        let (dates, times) = rest.split_once('T').map_or((rest, None), |(dates, times)| (dates, Some(times)));
        if dates.contains(['M', 'Y']) {
            return Err(InvalidDuration::Calendar);
        }
        let (days, date_parts) = sum(dates, DATES)?;
        let (seconds, time_parts) = times.map_or(Ok((0, 0)), |times| sum(times, TIMES))?;
        // `P` and `PT` have no number at all, and nothing follows the T of `P1DT`.
        if date_parts + time_parts == 0 || (times.is_some() && time_parts == 0) {
            return Err(InvalidDuration::Shape);
        }
        days.checked_add(seconds).ok_or(InvalidDuration::TooLong)?.try_into()
    }
}

/// Units in the order in which they are written.
const DATES: &[(char, i64)] = &[('W', WEEK), ('D', DAY)];
const TIMES: &[(char, i64)] = &[('H', HOUR), ('M', MINUTE), ('S', 1)];

/// Adds up numbers with their units, each unit at most once and in this order. Also returns how many there are.
fn sum(text: &str, units: &[(char, i64)]) -> Result<(i64, usize), InvalidDuration> {
    let (mut rest, mut seconds, mut parts) = (text, 0_i64, 0);
    for (unit, length) in units {
        let Some((number, after)) = rest.split_once(*unit) else { continue };
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidDuration::Shape);
        }
        let number: i64 = number.parse().map_err(|_| InvalidDuration::TooLong)?;
        let more = number.checked_mul(*length).ok_or(InvalidDuration::TooLong)?;
        seconds = seconds.checked_add(more).ok_or(InvalidDuration::TooLong)?;
        (rest, parts) = (after, parts + 1);
    }
    if rest.is_empty() { Ok((seconds, parts)) } else { Err(InvalidDuration::Shape) }
}

impl fmt::Display for IsoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.0 / DAY, self.0 % DAY);
        let times = [(rest / HOUR, 'H'), (rest % HOUR / MINUTE, 'M'), (rest % MINUTE, 'S')];
        f.write_str("P")?;
        if days > 0 {
            write!(f, "{days}D")?;
        }
        if rest > 0 || days == 0 {
            f.write_str("T")?;
        }
        for (number, unit) in times {
            if number > 0 || (self.0 == 0 && unit == 'S') {
                write!(f, "{number}{unit}")?;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for IsoDuration {
    type Error = InvalidDuration;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<IsoDuration> for String {
    fn from(duration: IsoDuration) -> Self {
        duration.to_string()
    }
}

impl utoipa::PartialSchema for IsoDuration {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let about = "A duration as ISO 8601 writes it, without months and years: P14D, PT12H, PT0S.";
        text_schema(about, r"^P[0-9]{1,4}D$").examples(["P14D"]).build().into()
    }
}

impl utoipa::ToSchema for IsoDuration {}

impl ToSql<BigInt, Pg> for IsoDuration {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<BigInt, Pg>::to_sql(&self.0, &mut out.reborrow())
    }
}

impl FromSql<BigInt, Pg> for IsoDuration {
    fn from_sql(bytes: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let seconds = <i64 as FromSql<BigInt, Pg>>::from_sql(bytes)?;
        Ok(Self::try_from(seconds)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_form_and_shown_in_one() {
        for (text, shown) in [
            ("P14D", "P14D"),
            ("PT0S", "PT0S"),
            ("P0D", "PT0S"),
            ("P2W", "P14D"),
            ("P1W1D", "P8D"),
            ("PT36H", "P1DT12H"),
            ("P1DT2H3M4S", "P1DT2H3M4S"),
            ("pt90m", "PT1H30M"),
            ("PT86399S", "PT23H59M59S"),
            ("7d", "P7D"),
            ("12h", "PT12H"),
            ("30m", "PT30M"),
            ("2w", "P14D"),
        ] {
            let read = text.parse::<IsoDuration>().unwrap();
            assert_eq!(read.to_string(), shown, "{text}");
            assert_eq!(shown.parse(), Ok(read), "{shown} reads as itself");
        }
    }

    #[test]
    fn months_years_and_other_texts_are_not_durations() {
        let wrong = |text: &str| text.parse::<IsoDuration>().unwrap_err();
        for text in ["P1M", "P1Y", "P1Y2M3D", "p1m"] {
            assert_eq!(wrong(text), InvalidDuration::Calendar, "{text}");
        }
        for text in ["", "P", "PT", "P1DT", "14", "D", "P1H", "PT1D", "P-1D", "P1.5D", "1d2h", "PD", "P1D1W", "PT1S1M"]
        {
            assert_eq!(wrong(text), InvalidDuration::Shape, "{text}");
        }
        for text in ["P36526D", "PT9223372036854775807S", "P9223372036854775808D", "P99999999999999999W"] {
            assert_eq!(wrong(text), InvalidDuration::TooLong, "{text}");
        }
        assert_eq!("P36525D".parse::<IsoDuration>().unwrap().seconds(), LONGEST);
    }
}
