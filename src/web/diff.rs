//! The lines that differ between two texts.

use crate::blocking::spawn_blocking;
use crate::error::{Error, Result};
use similar::{ChangeTag, TextDiff};
use std::time::Duration;

/// How many equal lines are shown around a difference.
const CONTEXT: usize = 3;
/// The most lines that are shown.
const MOST: usize = 1_000;
/// After this time, the remaining lines count as different.
const LONGEST: Duration = Duration::from_millis(500);

/// A line of one text or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Added,
    Removed,
    Both,
    /// Equal lines were left out here.
    Gap,
}

/// The differences of two texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    pub lines: Vec<(Side, String)>,
    /// Whether there are more.
    pub is_cut: bool,
}

/// Compares two texts, line by line; `None` if they are equal.
///
/// # Errors
/// [`Error::Internal`].
pub async fn of(old: String, new: String) -> Result<Option<Diff>> {
    if old == new {
        return Ok(None);
    }
    spawn_blocking(move || Some(compare(&old, &new))).await.map_err(Error::internal)
}

fn compare(old: &str, new: &str) -> Diff {
    let diff = TextDiff::configure().timeout(LONGEST).diff_lines(old, new);
    let mut lines = Vec::new();
    for (number, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if number > 0 {
            lines.push((Side::Gap, String::new()));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let side = match change.tag() {
                ChangeTag::Insert => Side::Added,
                ChangeTag::Delete => Side::Removed,
                ChangeTag::Equal => Side::Both,
            };
            if lines.len() == MOST {
                return Diff { lines, is_cut: true };
            }
            lines.push((side, change.value().trim_end_matches(['\n', '\r']).to_owned()));
        }
    }
    Diff { lines, is_cut: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(old: &str, new: &str) -> String {
        let sign = |side: &Side| match side {
            Side::Added => "+",
            Side::Removed => "-",
            Side::Both => " ",
            Side::Gap => "…",
        };
        let lines = compare(old, new).lines;
        lines.iter().map(|(side, text)| format!("{}{text}", sign(side))).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn lines_that_differ_are_shown_with_some_around_them() {
        assert_eq!(shown("a\nb\nc\n", "a\nB\nc\n"), " a\n-b\n+B\n c");
        let old: String = (0..30).map(|n| format!("{n}\n")).collect();
        let new = old.replace("5\n", "five\n");
        assert_eq!(shown(&old, &new).matches('…').count(), 2, "{}", shown(&old, &new));
    }

    #[test]
    fn a_long_difference_is_cut() {
        let new: String = (0..5_000).map(|n| format!("{n}\n")).collect();
        let diff = compare("", &new);
        assert!(diff.is_cut && diff.lines.len() == MOST);
    }
}
