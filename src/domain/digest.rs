//! Digests of a file's bytes, and their hexadecimal form.

use std::fmt;
use std::str::FromStr;

/// A text is not a valid digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hexadecimal digits")]
pub struct InvalidDigest {
    /// How many hexadecimal digits this digest has.
    pub expected: usize,
}

/// Formats bytes as lower-case hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .map(|nibble| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0')))
        .collect()
}

/// Parses exactly `N` bytes of hexadecimal, in upper or lower case.
pub fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], InvalidDigest> {
    let wrong = InvalidDigest { expected: 2 * N };
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return Err(wrong);
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|v| u8::try_from(v).ok());
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return Err(wrong) };
        match (value(*high), value(*low)) {
            (Some(high), Some(low)) => *byte = high << 4 | low,
            _ => return Err(wrong),
        }
    }
    Ok(bytes)
}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Wraps the raw bytes of a digest.
            pub fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Lower-case hexadecimal.
            pub fn to_hex(&self) -> String {
                to_hex(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidDigest;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                from_hex(text).map(Self)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = InvalidDigest;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                bytes.try_into().map(Self).map_err(|_| InvalidDigest { expected: 2 * $len })
            }
        }
    };
}

digest!(
    /// SHA-256 (FIPS 180-4): the address of a blob.
    Sha256,
    32
);
digest!(
    /// SHA-512 (FIPS 180-4).
    Sha512,
    64
);
digest!(
    /// SHA-1 (FIPS 180-4), shown for old clients, not trusted for anything.
    Sha1,
    20
);
digest!(
    /// MD5 (RFC 1321), shown for old clients, not trusted for anything.
    Md5,
    16
);

/// The three digests besides SHA-256 that Gitea shows for every file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherDigests {
    pub sha512: Sha512,
    pub sha1: Sha1,
    pub md5: Md5,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_digests_round_trip_in_either_case() {
        let digest = Sha256::new([0xab; 32]);
        assert_eq!(digest.to_hex().parse(), Ok(digest));
        assert_eq!(digest.to_hex().to_uppercase().parse(), Ok(digest));
    }

    #[test]
    fn hex_of_wrong_length_or_with_other_characters_is_refused() {
        assert!("ab".parse::<Sha256>().is_err());
        assert!("zz".repeat(32).parse::<Sha256>().is_err());
        assert!("é".repeat(32).parse::<Sha256>().is_err());
    }
}
