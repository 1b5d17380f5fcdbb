//! What a tar archive has besides the bytes of its files: the same for the same files, always.

use std::io;
use tar::{EntryType, Header};

/// Everything in an archive begins at a multiple of this many bytes.
const BLOCK: usize = 512;
/// The two empty blocks at the end of an archive.
pub const END: usize = 2 * BLOCK;
/// The time of every file, 1980-01-01: the earliest that zip archives know, and tar warns of none since then.
const TIME: u64 = 315_532_800;
/// The longest name that takes the place of one that is too long for the header itself.
const SHORT: usize = 90;

/// What precedes the bytes of a file: a header, and before that its path if it is too long for the header (POSIX pax).
///
/// # Errors
/// Never for a valid path.
pub fn head(path: &str, size: u64) -> io::Result<Vec<u8>> {
    let mut blocks = Vec::with_capacity(BLOCK);
    let mut own = header(EntryType::Regular, size);
    if own.set_path(path).is_err() {
        let record = record("path", path);
        let mut pax = header(EntryType::XHeader, record.len() as u64);
        pax.set_path("pax")?;
        pax.set_cksum();
        blocks.extend_from_slice(pax.as_bytes());
        blocks.extend_from_slice(record.as_bytes());
        blocks.resize(blocks.len() + padding(record.len() as u64), 0);
        let short: String =
            path.chars().map(|c| if c == '/' { '_' } else { c }).filter(char::is_ascii).take(SHORT).collect();
        own.set_path(short)?;
    }
    own.set_cksum();
    blocks.extend_from_slice(own.as_bytes());
    Ok(blocks)
}

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(TIME);
    // Sizes from 8 GiB on are written in base 256, which every tar of today reads.
    header.set_size(size);
    header
}

/// A record of a pax header. It begins with its own length in decimal digits.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let digits = |length: usize| length.to_string().len();
    let mut length = rest + digits(rest);
    length = rest + digits(length);
    format!("{length} {key}={value}\n")
}

/// How many zeros follow so many bytes.
pub fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    (BLOCK - over) % BLOCK
}

/// The wanted range of a longer sequence of bytes.
#[derive(Debug, Clone)]
pub struct Window {
    /// How many of the next bytes are not wanted.
    skip: u64,
    /// How many bytes are wanted after that.
    left: u64,
}

impl Window {
    /// The bytes from `start` to `end`.
    pub fn new(start: u64, end: u64) -> Self {
        Self { skip: start, left: end.saturating_sub(start) }
    }

    /// Adds those of the next bytes that are wanted to `out`.
    pub fn push(&mut self, out: &mut Vec<u8>, bytes: &[u8]) {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= skipped as u64;
        let rest = bytes.get(skipped..).unwrap_or_default();
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
        self.left -= taken as u64;
        out.extend_from_slice(rest.get(..taken).unwrap_or_default());
    }

    /// The wanted range of the next `size` bytes; those before it are skipped.
    pub fn enter(&mut self, size: u64) -> std::ops::Range<u64> {
        let start = self.skip.min(size);
        self.skip -= start;
        start..size.min(start.saturating_add(self.left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pax_record_begins_with_its_own_length() {
        for length in [1, 85, 86, 87, 88, 89, 90, 91, 980, 981, 982, 983, 984, 985, 990, 991, 1024] {
            let text = record("path", &"x".repeat(length));
            let (said, _) = text.split_once(' ').unwrap();
            assert_eq!(said.parse::<usize>().unwrap(), text.len());
        }
    }

    #[test]
    fn a_path_too_long_for_the_header_has_a_pax_header_before_it() {
        assert_eq!(head("tool.tgz", 3).unwrap().len(), BLOCK);
        assert_eq!(head(&format!("{}/{}", "a".repeat(150), "b".repeat(99)), 3).unwrap().len(), BLOCK);
        assert_eq!(head(&"a".repeat(255), 3).unwrap().len(), 3 * BLOCK);
        assert_eq!(head(&format!("{}b", "a/".repeat(511)), 3).unwrap().len(), 5 * BLOCK);
    }

    #[test]
    fn files_of_eight_gibibytes_and_more_keep_their_size() {
        for size in [0, 8 << 30, 1 << 45] {
            let blocks = head("f", size).unwrap();
            let header = Header::from_byte_slice(&blocks);
            assert_eq!(header.size().unwrap(), size);
        }
    }

    #[test]
    fn a_window_takes_what_lies_in_its_range() {
        for start in 0..12 {
            for end in start..12 {
                let mut window = Window::new(start, end);
                let mut out = Vec::new();
                window.push(&mut out, b"abc");
                let range = window.enter(5);
                window.push(&mut out, &b"defgh"[range.start as usize..range.end as usize]);
                window.push(&mut out, b"ijkl");
                assert_eq!(out, &b"abcdefghijkl"[start as usize..end as usize], "{start}..{end}");
            }
        }
    }
}
