//! The plot of the storage used in the last days.

use crate::registry::operations::stats::Day;
use crate::web::format::Bytes;

/// The dimensions of the plot: its height, where the bars start, and the width of a day.
const HEIGHT: i64 = 160;
const LEFT: i64 = 2;
const STEP: i64 = 20;

/// A day in the plot and in its data table.
pub(super) struct Bar {
    pub day: String,
    pub x: i64,
    /// The logical size: the bytes of all files, duplicates included.
    pub bytes: Bytes,
    pub y: i64,
    pub height: i64,
    /// The size on disk.
    pub blob_bytes: Bytes,
    pub blob_y: i64,
    pub blob_height: i64,
}

/// The plot of storage used.
pub(super) struct Plot {
    pub bars: Vec<Bar>,
    /// The grid lines: their height and label.
    pub lines: Vec<(i64, Bytes)>,
    pub first: String,
    pub last: String,
}

impl Plot {
    pub(super) fn new(days: Vec<Day>) -> Self {
        let most = days.iter().flat_map(|day| [day.bytes, day.blob_bytes]).flatten().max().unwrap_or(0).max(1);
        let height = |bytes: i64| {
            let scaled = i128::from(bytes.max(0)) * i128::from(HEIGHT) / i128::from(most);
            // A value above zero is drawn at least one pixel high.
            i64::try_from(scaled).unwrap_or(HEIGHT).max(i64::from(bytes > 0))
        };
        let ends = (days.first().map(|day| day.day.clone()), days.last().map(|day| day.day.clone()));
        let bar = |(place, day): (i64, Day)| {
            let (bytes, blob_bytes) = (day.bytes?, day.blob_bytes?);
            Some(Bar {
                x: LEFT + place * STEP,
                y: HEIGHT - height(bytes),
                height: height(bytes),
                blob_y: HEIGHT - height(blob_bytes),
                blob_height: height(blob_bytes),
                bytes: Bytes(bytes),
                blob_bytes: Bytes(blob_bytes),
                day: day.day,
            })
        };
        Self {
            bars: (0..).zip(days).filter_map(bar).collect(),
            lines: [(0, most), (HEIGHT / 2, most / 2), (HEIGHT, 0)].map(|(y, bytes)| (y, Bytes(bytes))).to_vec(),
            first: ends.0.unwrap_or_default(),
            last: ends.1.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chart_bars_show_bytes_and_days_without_a_server_have_no_bar() {
        let day = |day: &str, both: Option<(i64, i64)>| Day {
            day: day.to_owned(),
            bytes: both.map(|both| both.0),
            blob_bytes: both.map(|both| both.1),
        };
        let plot = Plot::new(vec![day("1", Some((1000, 500))), day("2", None), day("3", Some((1, 0)))]);
        let drawn: Vec<_> = plot.bars.iter().map(|bar| (bar.x, bar.height, bar.blob_height)).collect();
        assert_eq!(drawn, [(LEFT, HEIGHT, HEIGHT / 2), (LEFT + 2 * STEP, 1, 0)]);
        assert!(Plot::new(vec![day("1", Some((i64::MAX, i64::MAX)))]).bars[0].height == HEIGHT);
    }
}
