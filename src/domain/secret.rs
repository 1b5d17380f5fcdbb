//! Values that must not be shown: passwords, tokens, keys. Their `Debug` output is hidden and none has a `Display`.

use super::digest::to_hex;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const TOKEN_PREFIX: &str = "phk_";
const TOKEN_RANDOM: usize = 40;
const TOKEN_CHECK: usize = 6;

/// Fills an array from the operating system's randomness, through the thread's generator.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes);
    bytes
}

fn base62(digit: usize) -> char {
    char::from(BASE62.get(digit % 62).copied().unwrap_or(b'0'))
}

/// This many random characters of `[0-9A-Za-z]`.
pub fn random_text(length: usize) -> String {
    (0..length).map(|_| base62(rand::random_range(0..62))).collect()
}

/// The secret of a personal access token: `phk_`, 40 random base62 characters, and a CRC-32 of them in 6 characters. A
/// scanner for leaked secrets recognizes it offline, and a mistyped token costs no query.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret(String);

impl TokenSecret {
    pub fn generate() -> Self {
        let random = random_text(TOKEN_RANDOM);
        Self(format!("{TOKEN_PREFIX}{random}{}", Self::check_text(&random)))
    }

    fn check_text(random: &str) -> String {
        let mut rest = usize::try_from(crc32fast::hash(random.as_bytes())).unwrap_or_default();
        let mut digits = [' '; TOKEN_CHECK];
        for digit in digits.iter_mut().rev() {
            *digit = base62(rest);
            rest /= 62;
        }
        digits.iter().collect()
    }

    /// The text to show, once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The hash that the database stores.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// The last eight characters, by which people tell their tokens apart.
    pub fn last_eight(&self) -> &str {
        self.0.get(self.0.len() - 8..).unwrap_or_default()
    }
}

/// A text is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not an access token")]
pub struct NotAToken;

impl FromStr for TokenSecret {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let body = text.strip_prefix(TOKEN_PREFIX).ok_or(NotAToken)?;
        if body.len() != TOKEN_RANDOM + TOKEN_CHECK || !body.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(NotAToken);
        }
        let (random, check) = body.split_at(TOKEN_RANDOM);
        if Self::check_text(random) != check {
            return Err(NotAToken);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(…)")
    }
}

/// SHA-256 of a token's secret. The secret has 238 bits of randomness, so a plain digest is enough.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// Why a password is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    #[error("the password is too short: use at least 12 characters")]
    Short,
    #[error("the password is too long: use at most 1024 bytes")]
    Long,
    #[error("this password is too common: choose another")]
    Common,
    #[error("the password must not be the username or email address: choose another")]
    Personal,
}

/// A password that somebody typed. [`Password::check_new`] checks whether it may be set.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The most bytes that are ever hashed.
    pub const MAX_BYTES: usize = 1024;

    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A random password of 24 characters (143 bits).
    pub fn generate() -> Self {
        Self(random_text(24))
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Checks that the password may be set for a user with these names.
    ///
    /// # Errors
    /// For a password shorter than 12 or longer than 1,024 bytes, a common password, or the user's own name.
    pub fn check_new(&self, names: &[&str]) -> Result<(), WeakPassword> {
        let lower = self.0.to_lowercase();
        match self.0.len() {
            0..12 => Err(WeakPassword::Short),
            length if length > Self::MAX_BYTES => Err(WeakPassword::Long),
            _ if COMMON_PASSWORDS.lines().any(|common| common == lower) => Err(WeakPassword::Common),
            _ if names.iter().any(|name| name.to_lowercase() == lower) => Err(WeakPassword::Personal),
            _ => Ok(()),
        }
    }
}

/// Common passwords from published leaks that are long enough to pass the length check, one per line, in lower case.
const COMMON_PASSWORDS: &str = include_str!("common_passwords.txt");

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// The instance's own key, stored beside the data and outside the database. Each use derives its own key.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// Wraps the bytes of the key file.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key that lives as long as this process.
    pub fn ephemeral() -> Self {
        Self(random_bytes())
    }

    /// The key for one named use: HMAC-SHA256 of the name (RFC 2104).
    pub fn derive(&self, usage: &str) -> [u8; 32] {
        self.authenticate(&[usage.as_bytes()])
    }

    /// HMAC-SHA256 over parts, each preceded by its length.
    pub fn authenticate(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut key = [0; 64];
        key.iter_mut().zip(self.0).for_each(|(to, from)| *to = from);
        let mut mac = Hmac::<Sha256>::new(&key.into());
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// A secret text from the configuration: a bearer token, a database address with a password in it.
#[derive(Clone, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares two texts in a time that does not reveal where they differ.
    pub fn equals(&self, other: &str) -> bool {
        let digest = |text: &str| to_hex(&Sha256::digest(text.as_bytes()));
        digest(&self.0) == digest(other)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistyped_tokens_are_detected_and_debug_output_hides_the_secret() {
        let token = TokenSecret::generate();
        assert_eq!(token.reveal().len(), 50);
        assert_eq!(token.reveal().parse(), Ok(token.clone()));
        let mut mistyped = token.reveal().to_owned();
        mistyped.replace_range(10..11, if mistyped.as_bytes()[10] == b'a' { "b" } else { "a" });
        assert_eq!(mistyped.parse::<TokenSecret>(), Err(NotAToken));
        assert!(!format!("{token:?}").contains(&token.reveal()[4..]));
    }

    #[test]
    fn weak_passwords_are_refused_with_a_reason() {
        let check = |text: &str| Password::new(text).check_new(&["Ada-Lovelace-1815"]);
        assert_eq!(check("short"), Err(WeakPassword::Short));
        assert_eq!(check(&"x".repeat(1025)), Err(WeakPassword::Long));
        assert_eq!(check("Password1234"), Err(WeakPassword::Common));
        assert_eq!(check("ada-lovelace-1815"), Err(WeakPassword::Personal));
        assert_eq!(check("correct horse battery staple!"), Ok(()));
    }
}
