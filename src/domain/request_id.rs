//! The ID of a request: in its response, in its log lines, and on its error page.

use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The maximum length of an ID from a proxy.
const MAX_LENGTH: usize = 128;

/// The ID of a request: up to 128 letters, digits and `.`, `_`, `-`, so that it needs no escaping in a header, a log
/// line or a page. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

/// The text is not a valid request ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a request ID has 1 to 128 letters, digits and . _ -")]
pub struct InvalidRequestId;

impl RequestId {
    /// A new ID: the 16 hexadecimal digits of a random number.
    pub fn new(random: u64) -> Self {
        let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
        let mut text = [b'0'; 16];
        for (pair, byte) in text.chunks_exact_mut(2).zip(random.to_be_bytes()) {
            if let [high, low] = pair {
                (*high, *low) = (digit(byte >> 4), digit(byte & 0xf));
            }
        }
        Self(std::str::from_utf8(&text).unwrap_or_default().into())
    }

    /// The ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, InvalidRequestId> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(is_allowed);
        if fits { Ok(Self(text.into())) } else { Err(InvalidRequestId) }
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_id_is_16_hexadecimal_digits() {
        assert_eq!(RequestId::new(0).as_str(), "0000000000000000");
        assert_eq!(RequestId::new(0x0123_4567_89ab_cdef).as_str(), "0123456789abcdef");
        assert_eq!(RequestId::new(u64::MAX).to_string(), "ffffffffffffffff");
    }

    #[test]
    fn an_id_has_up_to_128_harmless_characters() {
        for text in ["a", "1-67891233.abcdef", "A_b-9.", &"x".repeat(128)] {
            assert_eq!(text.parse::<RequestId>().map(|id| id.to_string()).as_deref(), Ok(text));
        }
        for text in ["", " a", "a b", "a=b", "\u{e4}", "a\n", "<b>", "a/b", &"x".repeat(129)] {
            assert_eq!(text.parse::<RequestId>(), Err(InvalidRequestId), "{text:?}");
        }
    }
}
