//! Values of the access to single packages: their visibility, and the parts of protection rules.

use super::names::text_schema;
use super::pattern;
use super::role::{Visibility, word};
use std::str::FromStr;

word!(
    /// The visibility of a package: its own, or its owner's.
    PackageVisibility, "inherit, public, limited, private" {
        Public = 0 "public",
        Limited = 1 "limited",
        Private = 2 "private",
        /// As its owner; null in the database.
        Inherit = 3 "inherit",
    }
);

impl PackageVisibility {
    /// The visibility that the package has of its own.
    pub fn own(self) -> Option<Visibility> {
        match self {
            Self::Public => Some(Visibility::Public),
            Self::Limited => Some(Visibility::Limited),
            Self::Private => Some(Visibility::Private),
            Self::Inherit => None,
        }
    }
}

impl From<Option<Visibility>> for PackageVisibility {
    fn from(own: Option<Visibility>) -> Self {
        match own {
            Some(Visibility::Public) => Self::Public,
            Some(Visibility::Limited) => Self::Limited,
            Some(Visibility::Private) => Self::Private,
            None => Self::Inherit,
        }
    }
}

word!(
    /// The lowest role that may do something with a protected version; a stricter one is greater. The first three are
    /// the permissions of the same name, and have their numbers.
    LeastRole, "write, admin, owner, nobody" {
        /// Everybody who may publish.
        Write = 2 "write",
        /// Users with the permission `admin`.
        Admin = 3 "admin",
        /// The owner's owners and site administrators.
        Owner = 4 "owner",
        Nobody = 5 "nobody",
    }
);

/// A pattern for versions: as [`super::role::PackagePattern`], of any characters that a version may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionPattern(String);

impl VersionPattern {
    /// The original spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a version in lower case matches.
    pub fn matches(&self, lower_version: &str) -> bool {
        pattern::matches(&self.0.to_lowercase(), lower_version)
    }
}

impl utoipa::PartialSchema for VersionPattern {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let about = "A pattern for versions: `*` matches any characters, and everything else matches itself.";
        text_schema(about, r"^[^\x00-\x1f\x7f-\x9f]+$").max_length(Some(255)).build().into()
    }
}

impl utoipa::ToSchema for VersionPattern {}

/// A text is not a valid pattern of versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a pattern of versions has 1 to 255 bytes and no control characters, and * as a wildcard")]
pub struct InvalidVersionPattern;

impl FromStr for VersionPattern {
    type Err = InvalidVersionPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
            return Err(InvalidVersionPattern);
        }
        Ok(Self(text.to_owned()))
    }
}
