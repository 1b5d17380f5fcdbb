//! How long the disk lasts if the store keeps growing as it did.

use super::stats::Day;

/// The least number of days with a record: fewer say little about a trend.
const LEAST: usize = 7;

/// In how many whole days the free space is used up, by the straight line that fits the last days best. `None` if there
/// are too few days, or the store doesn't grow.
pub fn days_left(days: &[Day], free: i64) -> Option<i64> {
    let points = (0_i128..).zip(days).filter_map(|(x, day)| Some((x, i128::from(day.blob_bytes?))));
    let points: Vec<(i128, i128)> = points.collect();
    if points.len() < LEAST {
        return None;
    }
    let count = i128::try_from(points.len()).ok()?;
    let (xs, ys): (i128, i128) = points.iter().fold((0, 0), |(xs, ys), (x, y)| (xs + x, ys + y));
    let products: i128 = points.iter().map(|(x, y)| x * y).sum();
    let squares: i128 = points.iter().map(|(x, _)| x * x).sum();
    // The growth per day is `rise / run`.
    let (rise, run) = (count * products - xs * ys, count * squares - xs * xs);
    if rise <= 0 || run <= 0 {
        return None;
    }
    let days = i128::from(free.max(0)).checked_mul(run)? / rise;
    Some(i64::try_from(days).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(bytes: &[Option<i64>]) -> Vec<Day> {
        let day = |blob_bytes: &Option<i64>| Day { day: String::new(), bytes: *blob_bytes, blob_bytes: *blob_bytes };
        bytes.iter().map(day).collect()
    }

    #[test]
    fn the_disk_lasts_as_long_as_the_trend_says() {
        let steady: Vec<_> = (0..30).map(|day| Some(day * 10)).collect();
        assert_eq!(days_left(&days(&steady), 1000), Some(100));
        assert_eq!(days_left(&days(&steady), -5), Some(0));
        let gaps: Vec<_> = steady.iter().enumerate().map(|(day, at)| at.filter(|_| day % 2 == 0)).collect();
        assert_eq!(days_left(&days(&gaps), 1000), Some(100), "days without a server are left out");
        assert_eq!(days_left(&days(&[Some(5); 30]), 1000), None, "it does not grow");
        let shrinking: Vec<_> = (0..30).map(|day| Some(1000 - day)).collect();
        assert_eq!(days_left(&days(&shrinking), 1000), None);
        assert_eq!(days_left(&days(&steady[..6]), 1000), None, "too few days");
        let huge: Vec<_> = (0..30).map(|day| Some(i64::MAX / 30 * day)).collect();
        assert_eq!(days_left(&days(&huge), i64::MAX), Some(30));
    }
}
