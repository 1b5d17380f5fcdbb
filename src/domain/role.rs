//! Kinds of owner, visibilities, permissions of teams and scopes of tokens.

use super::names::text_schema;
use super::pattern;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A word is not one of the allowed ones; the message lists them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not one of {allowed}")]
pub struct UnknownWord {
    pub(super) given: String,
    pub(super) allowed: &'static str,
}

/// An enum that is a small number in the database and a word everywhere else.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $allowed:literal { $($(#[$vdoc:meta])* $variant:ident = $number:literal $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[diesel(sql_type = diesel::sql_types::SmallInt)]
        pub enum $name { $($(#[$vdoc])* $variant = $number),* }

        impl $name {
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// The number in the database.
            pub fn number(self) -> i16 {
                self as i16
            }

            /// The value with this number in the database.
            ///
            /// # Errors
            /// No value has the number.
            pub fn from_number(number: i16) -> Result<Self, $crate::domain::role::UnknownWord> {
                match number {
                    $($number => Ok(Self::$variant),)*
                    _ => Err($crate::domain::role::UnknownWord { given: number.to_string(), allowed: $allowed }),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::role::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err($crate::domain::role::UnknownWord { given: text.to_owned(), allowed: $allowed }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::domain::role::UnknownWord;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.as_str().to_owned()
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let words = [$($word),*];
                let text = utoipa::openapi::schema::Type::String;
                utoipa::openapi::ObjectBuilder::new().schema_type(text).enum_values(Some(words)).build().into()
            }
        }

        impl utoipa::ToSchema for $name {}

        impl diesel::serialize::ToSql<diesel::sql_types::SmallInt, diesel::pg::Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>) -> diesel::serialize::Result {
                diesel::serialize::ToSql::<diesel::sql_types::SmallInt, diesel::pg::Pg>::to_sql(&self.number(), &mut out.reborrow())
            }
        }

        impl diesel::deserialize::FromSql<diesel::sql_types::SmallInt, diesel::pg::Pg> for $name {
            fn from_sql(
                bytes: <diesel::pg::Pg as diesel::backend::Backend>::RawValue<'_>,
            ) -> diesel::deserialize::Result<Self> {
                match <i16 as diesel::deserialize::FromSql<diesel::sql_types::SmallInt, diesel::pg::Pg>>::from_sql(bytes)? {
                    $($number => Ok(Self::$variant),)*
                    other => Err(format!("{other} is not a valid {}", stringify!($name)).into()),
                }
            }
        }
    };
}

pub(crate) use word;

word!(
    /// The kind of an owner.
    OwnerKind, "user, organization" { User = 0 "user", Organization = 1 "organization" }
);
word!(
    /// The visibility of an owner and of everything it has; a wider visibility is smaller.
    Visibility, "public, limited, private" {
        /// Everybody.
        Public = 0 "public",
        /// Every signed-in user.
        Limited = 1 "limited",
        /// The user themselves, or the organization's members.
        Private = 2 "private",
    }
);
word!(
    /// The permission that a team gives its members in their organization; more is greater.
    Permission, "read, write, admin, owner" {
        Read = 1 "read",
        Write = 2 "write",
        Admin = 3 "admin",
        Owner = 4 "owner",
    }
);

/// The area that a token's scope covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    Package,
    User,
    Organization,
    Admin,
    Misc,
}

impl Area {
    const ALL: [Self; 5] = [Self::Package, Self::User, Self::Organization, Self::Admin, Self::Misc];

    fn as_str(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::User => "user",
            Self::Organization => "organization",
            Self::Admin => "admin",
            Self::Misc => "misc",
        }
    }
}

/// The level of a scope; write includes read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Read,
    Write,
}

/// One scope of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `all`: write access to everything.
    All,
    /// `public-only`: limits the token to public owners. It grants nothing.
    PublicOnly,
    /// A scope such as `read:package`.
    Of(Area, Level),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::PublicOnly => f.write_str("public-only"),
            Self::Of(area, Level::Read) => write!(f, "read:{}", area.as_str()),
            Self::Of(area, Level::Write) => write!(f, "write:{}", area.as_str()),
        }
    }
}

const KNOWN_SCOPES: &str = "all, public-only, and read: or write: with package, user, organization, admin or misc";

impl FromStr for Scope {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let area = |word: &str| Area::ALL.into_iter().find(|area| area.as_str() == word);
        let scope = match text.split_once(':') {
            None if text == "all" => Some(Self::All),
            None if text == "public-only" => Some(Self::PublicOnly),
            Some(("read", word)) => area(word).map(|area| Self::Of(area, Level::Read)),
            Some(("write", word)) => area(word).map(|area| Self::Of(area, Level::Write)),
            _ => None,
        };
        scope.ok_or_else(|| UnknownWord { given: text.to_owned(), allowed: KNOWN_SCOPES })
    }
}

impl utoipa::PartialSchema for Scope {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let of = |area| [Self::Of(area, Level::Read), Self::Of(area, Level::Write)];
        let all = Area::ALL.into_iter().flat_map(of).chain([Self::All, Self::PublicOnly]);
        let text = utoipa::openapi::schema::Type::String;
        let schema = utoipa::openapi::ObjectBuilder::new().schema_type(text);
        schema.enum_values(Some(all.map(|scope| scope.to_string()))).build().into()
    }
}

impl utoipa::ToSchema for Scope {}

/// All scopes of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Whether the scopes allow this access. `public-only` by itself allows nothing.
    pub fn allow(&self, area: Area, level: Level) -> bool {
        self.0.iter().any(|scope| match scope {
            Scope::All => true,
            Scope::PublicOnly => false,
            Scope::Of(of, up_to) => *of == area && *up_to >= level,
        })
    }

    /// Whether the token sees public owners only.
    pub fn public_only(&self) -> bool {
        self.0.contains(&Scope::PublicOnly)
    }

    /// Whether the scopes allow nothing at all.
    pub fn is_useless(&self) -> bool {
        self.0.iter().all(|scope| *scope == Scope::PublicOnly)
    }

    /// The scopes as words, sorted.
    pub fn words(&self) -> Vec<String> {
        self.0.iter().map(Scope::to_string).collect()
    }

    /// Parses words, each one a scope.
    ///
    /// # Errors
    /// The first word that is not a scope.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownWord> {
        words.into_iter().map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// A pattern for package names: `*` matches any run of characters, every other character matches itself, ignoring case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagePattern(String);

impl PackagePattern {
    /// The original spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name in lower case matches.
    pub fn matches(&self, lower_name: &str) -> bool {
        pattern::matches(&self.0.to_lowercase(), lower_name)
    }
}

impl utoipa::PartialSchema for PackagePattern {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let about = "A pattern for package names: `*` matches any characters, and everything else matches itself.";
        text_schema(about, "^[-_+.*0-9A-Za-z]+$").max_length(Some(255)).build().into()
    }
}

impl utoipa::ToSchema for PackagePattern {}

/// A text is not a valid pattern of package names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("each name can have up to 255 characters: letters, digits, - _ + . and the wildcard *")]
pub struct InvalidPattern;

impl FromStr for PackagePattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-+.*".contains(&byte);
        if text.is_empty() || text.len() > 255 || !text.bytes().all(fits) {
            return Err(InvalidPattern);
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_scope_implies_read_all_implies_both_public_only_implies_none() {
        let scopes = |words: &[&str]| Scopes::from_words(words.iter().copied()).unwrap();
        assert!(scopes(&["write:package"]).allow(Area::Package, Level::Read));
        assert!(!scopes(&["read:package"]).allow(Area::Package, Level::Write));
        assert!(!scopes(&["write:user"]).allow(Area::Package, Level::Read));
        assert!(scopes(&["all"]).allow(Area::Admin, Level::Write));
        assert!(scopes(&["public-only"]).is_useless());
        assert!(Scopes::from_words(["package"]).is_err());
        assert!(Scopes::from_words(["read:"]).is_err());
    }

    #[test]
    fn package_patterns_match_whole_names() {
        let matches = |pattern: &str, name: &str| pattern.parse::<PackagePattern>().unwrap().matches(name);
        assert!(matches("tool-*", "tool-x"));
        assert!(matches("Tool-*", "tool-"));
        assert!(!matches("tool-*", "a-tool-x"));
        assert!(matches("*", "anything"));
        assert!(matches("a*b*c", "a-b-b-c"));
        assert!(!matches("a*b*c", "a-c"));
        assert!(!matches("ab*ba", "aba"));
        assert!(matches("exact", "exact"));
        assert!(!matches("exact", "exactly"));
    }
}
