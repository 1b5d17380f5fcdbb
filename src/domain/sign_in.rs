//! Ways to sign in: the names of OpenID Connect providers, the teams that their groups stand for, and who may use a
//! password.

use super::names::OwnerName;
use super::text::TeamName;
use serde::de::{Deserializer, Error as DeError, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The most characters of a provider's name.
const MAX_NAME: usize = 40;

/// The name of an OpenID Connect provider in addresses: letters, digits and `-`, `_`, `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProviderName(String);

/// A text is not a name of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use 1 to 40 letters, digits, and - . _, with a letter or digit first")]
pub struct InvalidProviderName;

impl ProviderName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProviderName {
    type Err = InvalidProviderName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let fits = text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        if begins && fits && text.len() <= MAX_NAME { Ok(Self(text.to_owned())) } else { Err(InvalidProviderName) }
    }
}

impl TryFrom<String> for ProviderName {
    type Error = InvalidProviderName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ProviderName> for String {
    fn from(name: ProviderName) -> Self {
        name.0
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A team by its organization and name: `acme/Developers`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TeamPath {
    pub org: OwnerName,
    pub team: TeamName,
}

/// A text does not name a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("name a team as \"organization/team\"")]
pub struct InvalidTeamPath;

impl FromStr for TeamPath {
    type Err = InvalidTeamPath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (org, team) = text.split_once('/').ok_or(InvalidTeamPath)?;
        let (org, team) = (org.parse(), team.parse());
        Ok(Self { org: org.map_err(|_| InvalidTeamPath)?, team: team.map_err(|_| InvalidTeamPath)? })
    }
}

impl TryFrom<String> for TeamPath {
    type Error = InvalidTeamPath;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for TeamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.org, self.team.as_str())
    }
}

/// Who may sign in with a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordSignIn {
    Everybody,
    Administrators,
    Nobody,
}

impl PasswordSignIn {
    /// The one word among its values in the configuration; the others are `true` and `false`.
    pub const ADMINS: &'static str = "admins";

    /// Whether a user may.
    pub fn allows(self, is_admin: bool) -> bool {
        match self {
            Self::Everybody => true,
            Self::Administrators => is_admin,
            Self::Nobody => false,
        }
    }
}

impl<'de> Deserialize<'de> for PasswordSignIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;

        impl Visitor<'_> for Words {
            type Value = PasswordSignIn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or \"admins\"")
            }

            fn visit_bool<E: DeError>(self, may: bool) -> Result<Self::Value, E> {
                Ok(if may { PasswordSignIn::Everybody } else { PasswordSignIn::Nobody })
            }

            fn visit_str<E: DeError>(self, word: &str) -> Result<Self::Value, E> {
                match word {
                    PasswordSignIn::ADMINS => Ok(PasswordSignIn::Administrators),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
        }

        deserializer.deserialize_any(Words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_providers_and_teams_have_one_shape() {
        for name in ["corp", "My-SSO_2.0", "a"] {
            assert_eq!(name.parse::<ProviderName>().unwrap().as_str(), name);
        }
        for name in ["", "-a", "a b", "a/b", "ä", &"a".repeat(41)] {
            assert!(name.parse::<ProviderName>().is_err(), "{name:?}");
        }
        assert_eq!("acme/Site Owners".parse::<TeamPath>().unwrap().to_string(), "acme/Site Owners");
        for path in ["", "acme", "acme/", "/team", "a b/team"] {
            assert!(path.parse::<TeamPath>().is_err(), "{path:?}");
        }
    }
}
