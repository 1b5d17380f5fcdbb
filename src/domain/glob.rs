//! A pattern for the paths of files: `*` and `?` stop at a `/`, `**` does not, `[ab]` and `{a,b}` are alternatives.

use globset::{GlobBuilder, GlobMatcher};
use std::str::FromStr;

/// The most bytes in a pattern.
const MOST: usize = 1024;
/// The most patterns in a list.
const MOST_PATTERNS: usize = 100;

/// A pattern, compared with the whole path of a file, ignoring case as file names do. It takes time proportional to the
/// length of the path, whatever the pattern is.
#[derive(Debug, Clone)]
pub struct FileGlob(GlobMatcher);

impl FileGlob {
    /// The patterns of a list.
    ///
    /// # Errors
    /// What is wrong with one of them, or that there are too many.
    pub fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Self>, String> {
        let patterns: Vec<Self> =
            texts.into_iter().take(MOST_PATTERNS + 1).map(str::parse).collect::<Result<_, _>>()?;
        if patterns.len() > MOST_PATTERNS {
            return Err(format!("use at most {MOST_PATTERNS} patterns"));
        }
        Ok(patterns)
    }

    /// Whether a path matches.
    pub fn matches(&self, path: &str) -> bool {
        self.0.is_match(path)
    }
}

impl FromStr for FileGlob {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > MOST {
            return Err(format!("a pattern has 1 to {MOST} bytes, such as *.tar.gz or linux/**"));
        }
        let glob = GlobBuilder::new(text).literal_separator(true).case_insensitive(true).build();
        Ok(Self(glob.map_err(|why| why.to_string())?.compile_matcher()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths_and_one_star_stops_at_a_slash() {
        let matches = |pattern: &str, path: &str| pattern.parse::<FileGlob>().unwrap().matches(path);
        for (pattern, path) in [
            ("*.tgz", "tool.TGZ"),
            ("linux/**", "linux/amd64/tool"),
            ("**/tool", "linux/amd64/tool"),
            ("**/tool", "tool"),
            ("{a,b}?", "b1"),
            ("[ab]c", "ac"),
            ("a\\*", "a*"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in
            [("*.tgz", "linux/tool.tgz"), ("tool", "tool.tgz"), ("?", "ab"), ("linux/*", "linux/a/b")]
        {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
        for pattern in ["", "[a", "{a", &"a".repeat(1025)] {
            assert!(pattern.parse::<FileGlob>().is_err(), "{pattern}");
        }
    }
}
