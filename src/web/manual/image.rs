//! The size of a picture of the manual, so that the page can reserve its space while it loads.

/// The width and height of a PNG or WebP image, in pixels.
pub fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        let number = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
        return Some((number(16)?, number(20)?));
    }
    let little = |at: usize, length: usize| {
        let digits = bytes.get(at..at + length)?;
        Some(digits.iter().rev().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)))
    };
    if !bytes.starts_with(b"RIFF") || bytes.get(8..12)? != b"WEBP" {
        return None;
    }
    match bytes.get(12..16)? {
        b"VP8 " => Some((little(26, 2)? & 0x3fff, little(28, 2)? & 0x3fff)),
        b"VP8L" => {
            let bits = little(21, 4)?;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8X" => Some((little(24, 3)? + 1, little(27, 3)? + 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn the_size_of_png_and_of_three_kinds_of_webp_is_read() {
        let png =
            [b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".as_slice(), &640_u32.to_be_bytes(), &400_u32.to_be_bytes()].concat();
        assert_eq!(size(&png), Some((640, 400)));
        let webp = |kind: &[u8; 4], rest: &[u8]| [b"RIFF\0\0\0\0WEBP".as_slice(), kind, &[0; 4], rest].concat();
        let lossy = [&[0, 0, 0, 0x9d, 1, 0x2a][..], &640_u16.to_le_bytes(), &400_u16.to_le_bytes()].concat();
        assert_eq!(size(&webp(b"VP8 ", &lossy)), Some((640, 400)));
        let lossless = [&[0x2f][..], &(639_u32 | 399 << 14).to_le_bytes()].concat();
        assert_eq!(size(&webp(b"VP8L", &lossless)), Some((640, 400)));
        assert_eq!(size(&webp(b"VP8X", &[0, 0, 0, 0, 0x7f, 2, 0, 0x8f, 1, 0])), Some((640, 400)));
        for other in [b"".as_slice(), b"GIF89a", b"RIFF\0\0\0\0WEBPVP8 ", b"\x89PNG\r\n\x1a\n"] {
            assert_eq!(size(other), None);
        }
    }
}
