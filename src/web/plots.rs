//! Small plots of a series of numbers, drawn on the server. Each has a table with its numbers.

/// The dimensions of a plot, in the units of its view box.
const HEIGHT: f64 = 90.0;
const LEFT: f64 = 56.0;
const WIDTH: f64 = 296.0;

/// A bar with what it stands for.
pub struct Bar {
    pub label: String,
    pub value: String,
    pub x: String,
    pub y: String,
    pub height: String,
}

/// A plot.
pub struct Plot {
    pub bars: Vec<Bar>,
    /// The width of a bar.
    pub width: String,
    /// The grid lines: their height and label.
    pub lines: Vec<(String, String)>,
    /// The labels at the ends.
    pub first: String,
    pub last: String,
}

impl Plot {
    /// From labels with numbers, and how to write a number.
    pub fn new(series: &[(String, i64)], write: impl Fn(i64) -> String) -> Self {
        let most = series.iter().map(|(_, value)| *value).max().unwrap_or(0).max(1);
        // Doubles are exact enough for pixels.
        let (step, scale) = (WIDTH / series.len().max(1) as f64, HEIGHT / most as f64);
        let bar = |(place, (label, value)): (usize, &(String, i64))| {
            // A number above zero is drawn at least one pixel high.
            let height = if *value > 0 { (*value as f64 * scale).max(1.0) } else { 0.0 };
            Bar {
                label: label.clone(),
                value: write(*value),
                x: pixels(LEFT + place as f64 * step),
                y: pixels(HEIGHT - height),
                height: pixels(height),
            }
        };
        let label = |end: Option<&(String, i64)>| end.map_or_else(String::new, |(label, _)| label.clone());
        Self {
            bars: series.iter().enumerate().map(bar).collect(),
            width: pixels((step * 0.8).min(24.0)),
            lines: vec![("0".to_owned(), write(most)), (pixels(HEIGHT), write(0))],
            first: label(series.first()),
            last: label(series.last()),
        }
    }
}

/// A length with at most one digit after the decimal point.
fn pixels(length: f64) -> String {
    let text = format!("{length:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_their_numbers() {
        let series = [("a".to_owned(), 10), ("b".to_owned(), 0), ("c".to_owned(), 5)];
        let plot = Plot::new(&series, |number| number.to_string());
        let heights: Vec<&str> = plot.bars.iter().map(|bar| &*bar.height).collect();
        assert_eq!(heights, ["90", "0", "45"]);
        assert_eq!((&*plot.first, &*plot.last), ("a", "c"));
        assert_eq!(
            Plot::new(&[("a".to_owned(), i64::MAX), ("b".to_owned(), 1)], |n| n.to_string()).bars[1].height,
            "1"
        );
        assert!(Plot::new(&[], |n| n.to_string()).bars.is_empty());
    }
}
