//! The names of files, which may be paths inside a version.

use super::{InvalidName, MAX_NAME_BYTES, check_length, is_word, name, text_schema};

/// The most bytes in the path of a file.
const MAX_PATH_BYTES: usize = 1024;
/// The most segments in the path of a file.
const MAX_SEGMENTS: usize = 16;

name!(
    /// A file's name, which may be a path inside its version, such as `linux/amd64/tool`: at most 16 segments and 1,024
    /// bytes. Each segment is `^[-_+=:;.()\[\]{}~!@#$%^& \w]+$` (ASCII), at most 255 bytes, no outer white space, not
    /// `.` or `..`.
    FileName,
    check_file,
    text_schema("A file's name, or its path inside the version.", &file_pattern()).max_length(Some(MAX_PATH_BYTES))
);

/// One segment of a [`FileName`] as a regular expression.
const SEGMENT_PATTERN: &str = r"(?!\.{1,2}(/|$))[-_+=:;.()\[\]{}~!@#$%^&0-9A-Za-z]([-_+=:;.()\[\]{}~!@#$%^& 0-9A-Za-z]*[-_+=:;.()\[\]{}~!@#$%^&0-9A-Za-z])?";

/// [`FileName`] as a regular expression.
fn file_pattern() -> String {
    format!("^{SEGMENT_PATTERN}(/{SEGMENT_PATTERN}){{0,{}}}$", MAX_SEGMENTS - 1)
}

impl FileName {
    /// The schema of a file's name in the path of an address. OpenAPI knows no parameter with slashes, so this is a name
    /// without directories.
    pub fn parameter_schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let schema = text_schema("A file's name.", &format!("^{SEGMENT_PATTERN}$")).max_length(Some(MAX_NAME_BYTES));
        utoipa::openapi::Schema::from(schema.build()).into()
    }

    /// The last segment: the name to save the file under.
    pub fn last_segment(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, last)| last)
    }

    /// The directories that the file is in, as paths inside the version, from the outermost: `a` and `a/b` for `a/b/c`.
    pub fn directories(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').filter_map(|(end, _)| self.0.get(..end))
    }

    /// The path inside a directory that the file is in; the whole path for the version itself.
    pub fn inside(&self, directory: Option<&Self>) -> &str {
        let start = directory.map_or(0, |directory| directory.0.len() + 1);
        self.0.get(start..).unwrap_or_default()
    }
}

fn check_file(text: &str) -> Result<(), InvalidName> {
    if !text.contains('/') {
        return check_segment(text);
    }
    check_length(text, MAX_PATH_BYTES)?;
    if text.split('/').count() > MAX_SEGMENTS {
        return Err(InvalidName::TooDeep(MAX_SEGMENTS));
    }
    text.split('/').try_for_each(|segment| match check_segment(segment) {
        Err(InvalidName::Empty) => Err(InvalidName::EmptySegment),
        Err(InvalidName::TooLong(most)) => Err(InvalidName::LongSegment(most)),
        checked => checked,
    })
}

fn check_segment(text: &str) -> Result<(), InvalidName> {
    check_length(text, MAX_NAME_BYTES)?;
    if !text.bytes().all(|byte| is_word(byte) || b"-+=:;.()[]{}~!@#$%^& ".contains(&byte)) {
        return Err(InvalidName::Characters("letters, digits, spaces and - _ + = : ; . ( ) [ ] { } ~ ! @ # $ % ^ &"));
    }
    if text.trim() != text {
        return Err(InvalidName::OuterSpace);
    }
    if matches!(text, "." | "..") {
        return Err(InvalidName::Dots);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    fn good<T: FromStr>(texts: &[&str]) {
        for text in texts {
            assert!(text.parse::<T>().is_ok(), "{text:?} should be good");
        }
    }

    fn bad<T: FromStr>(texts: &[&str]) {
        for text in texts {
            assert!(text.parse::<T>().is_err(), "{text:?} should be bad");
        }
    }

    #[test]
    fn file_names_follow_their_rules() {
        good::<FileName>(&["a", "-rf", "$(id)", "a;b", "a b", "[x]{y}~!@#%^&", ".hidden", "...", &"x".repeat(255)]);
        bad::<FileName>(&[
            "",
            ".",
            "..",
            " a",
            "a ",
            "a\tb",
            "a\\b",
            &"x".repeat(256),
            "<img>",
            "a'b",
            "a\"b",
            "ä",
            "a*",
            "a\0",
        ]);
    }

    #[test]
    fn paths_of_files_follow_their_rules() {
        // Five segments of 204 bytes and four slashes.
        let longest = format!("{}{}", format!("{}/", "x".repeat(204)).repeat(4), "y".repeat(204));
        assert_eq!(longest.len(), MAX_PATH_BYTES);
        let deepest = ["d"; MAX_SEGMENTS].join("/");
        good::<FileName>(&["a/b", "linux/amd64/tool.tar.gz", ".a/..b/...", &deepest, &longest]);
        bad::<FileName>(&["/a", "a/", "a//b", "/", "a/.", "./a", "a/../b", "..", "a/ b", "a /b", "a/b\\c", "a/\0"]);
        bad::<FileName>(&[&format!("{deepest}/d"), &format!("{longest}y"), &format!("a/{}", "x".repeat(256))]);
        let name: FileName = "A/b/c.txt".parse().unwrap();
        assert_eq!(name.last_segment(), "c.txt");
        assert_eq!(name.directories().collect::<Vec<_>>(), ["A", "A/b"]);
        assert_eq!(name.inside(Some(&"a/B".parse().unwrap())), "c.txt");
        assert_eq!((name.inside(None), name.lower()), ("A/b/c.txt", "a/b/c.txt".to_owned()));
        let plain: FileName = "c".parse().unwrap();
        assert_eq!((plain.last_segment(), plain.directories().count()), ("c", 0));
    }
}
