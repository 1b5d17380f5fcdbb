//! The names of owners, packages and files. A name keeps its original spelling and is compared in lower case.
//!
//! Each type has one constructor, [`FromStr`], which serde and Diesel use too, so that a value of these types is always
//! a valid name. The rules are those of Gitea's generic registry, in ASCII.

mod file;

pub use file::FileName;

use std::fmt;
use std::str::FromStr;
use utoipa::openapi::schema::{ObjectBuilder, Type};

/// The most bytes in the name of a package, in a version, and in each segment of a file's path.
pub const MAX_NAME_BYTES: usize = 255;
/// The most bytes in the name of an owner.
pub const MAX_OWNER_BYTES: usize = 40;

/// A text is not a valid name. The message is one line that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    #[error("it is longer than {0} characters")]
    TooManyCharacters(usize),
    #[error("use {0}")]
    Characters(&'static str),
    #[error("a name of one character must be a letter or a digit")]
    OneCharacter,
    #[error("it must not be . or ..")]
    Dots,
    #[error("it must not begin or end with white space")]
    OuterSpace,
    #[error("it must begin and end with a letter or digit, and can't have two of - . _ in a row")]
    OwnerShape,
    #[error("it is not valid UTF-8")]
    Encoding,
    #[error("it has a slash at its beginning or end, or two in a row")]
    EmptySegment,
    #[error("a part between slashes is longer than {0} bytes")]
    LongSegment(usize),
    #[error("it has more than {0} parts between slashes")]
    TooDeep(usize),
    #[error("it contains %2F: write the slash between a directory and what is in it as /")]
    EscapedSlash,
}

/// The schema of a text for the API's readers: a description and a regular expression (ECMA-262).
pub(crate) fn text_schema(description: &str, pattern: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description)).pattern(Some(pattern))
}

/// Implements what every name has: one constructor, the two spellings, serde and Diesel through the constructor. With
/// `stored`, the database may also hold values that another check accepts.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:path, $schema:expr) => {
        $crate::domain::names::name!($(#[$doc])* $name, $check, stored $check, $schema);
    };
    ($(#[$doc:meta])* $name:ident, $check:path, stored $stored:path, $schema:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[diesel(sql_type = diesel::sql_types::Text)]
        pub struct $name(String);

        impl $name {
            /// The original spelling.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The form for comparisons.
            pub fn lower(&self) -> String {
                self.0.to_lowercase()
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::names::InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::domain::names::InvalidName;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                $check(&text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $schema.build().into()
            }
        }

        impl utoipa::ToSchema for $name {}

        impl diesel::serialize::ToSql<diesel::sql_types::Text, diesel::pg::Pg> for $name {
            fn to_sql<'b>(
                &'b self,
                out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>,
            ) -> diesel::serialize::Result {
                <str as diesel::serialize::ToSql<diesel::sql_types::Text, diesel::pg::Pg>>::to_sql(&self.0, out)
            }
        }

        impl diesel::deserialize::FromSql<diesel::sql_types::Text, diesel::pg::Pg> for $name {
            fn from_sql(
                bytes: <diesel::pg::Pg as diesel::backend::Backend>::RawValue<'_>,
            ) -> diesel::deserialize::Result<Self> {
                let text = <String as diesel::deserialize::FromSql<diesel::sql_types::Text, diesel::pg::Pg>>::from_sql(
                    bytes,
                )?;
                $stored(&text)?;
                Ok(Self(text))
            }
        }
    };
}
pub(crate) use name;

name!(
    /// A user's or an organization's name: `^[0-9A-Za-z][-.\w]*$`, at most 40 bytes, no two of `-._` in a row, not
    /// ending in one. Creating an owner also checks whether the name is [reserved](OwnerName::is_reserved).
    ///
    /// The database also has the names of robots, [`OwnerName::of_robot`]. No request can name them, so that no robot is
    /// ever taken for an owner.
    OwnerName,
    check_owner,
    stored check_account,
    text_schema("A user's or an organization's name.", r"^[0-9A-Za-z]([-._]?[0-9A-Za-z])*$").max_length(Some(MAX_OWNER_BYTES))
);
name!(
    /// A robot's name within its organization, of the same shape as an owner's name.
    RobotName,
    check_owner,
    text_schema("A robot's name within its organization.", r"^[0-9A-Za-z]([-._]?[0-9A-Za-z])*$").max_length(Some(MAX_OWNER_BYTES))
);
name!(
    /// A package's name: `^[-_+.\w]+$` (ASCII), at most 255 bytes, not `..`; a single character must be a letter or a
    /// digit.
    PackageName,
    check_package,
    text_schema("A package's name.", r"^(?!\.\.$)([0-9A-Za-z]|[-_+.0-9A-Za-z]{2,})$").max_length(Some(MAX_NAME_BYTES))
);
impl OwnerName {
    /// The name that stands for a deleted user, as in Gitea. It is reserved, so nobody has it.
    pub fn ghost() -> Self {
        Self("Ghost".to_owned())
    }

    /// The name of a robot's account: `organization/robot`.
    pub fn of_robot(org: &Self, robot: &RobotName) -> Self {
        Self(format!("{org}/{robot}"))
    }

    /// The organization and the robot's name within it, if this is the name of a robot.
    pub fn as_robot(&self) -> Option<(Self, RobotName)> {
        let (org, robot) = self.0.split_once('/')?;
        Some((Self(org.to_owned()), RobotName(robot.to_owned())))
    }

    /// The name of any account, robots included, as the server itself wrote it down.
    ///
    /// # Errors
    /// [`InvalidName`].
    pub fn of_account(text: &str) -> Result<Self, InvalidName> {
        check_account(text)?;
        Ok(Self(text.to_owned()))
    }

    /// Whether the server uses this name as a first path segment, now or soon, or for itself in the audit log.
    pub fn is_reserved(&self) -> bool {
        RESERVED_OWNERS.contains(&self.lower().as_str()) || self.is_site_file()
    }

    /// Whether programs ask every site for this name at the root, whatever the site is.
    pub fn is_site_file(&self) -> bool {
        let lower = self.lower();
        SITE_FILES.contains(&lower.as_str()) || lower.starts_with(TOUCH_ICON)
    }
}

/// Names that programs ask every site for, next to the icons of Apple's devices.
const SITE_FILES: &[&str] = &[
    "ads.txt",
    "app-ads.txt",
    "browserconfig.xml",
    "clientaccesspolicy.xml",
    "crossdomain.xml",
    "favicon.ico",
    "favicon.png",
    "favicon.svg",
    "healthz",
    "humans.txt",
    "index.html",
    "llms.txt",
    "manifest.json",
    "robots.txt",
    "security.txt",
    "service-worker.js",
    "site.webmanifest",
    "sitemap.xml",
    "sitemap_index.xml",
    "sw.js",
    "swagger.v1.json",
    "v2",
];
/// The beginning of the names of these icons; sizes follow.
const TOUCH_ICON: &str = "apple-touch-icon";

/// First path segments that the server uses, or that would mislead people. The first administrator may have such a name.
const RESERVED_OWNERS: &[&str] = &[
    "-",
    "about",
    "admin",
    "api",
    "assets",
    "attachments",
    "avatars",
    "captcha",
    "command-line",
    "docs",
    "error",
    "events",
    "explore",
    "ghost",
    "help",
    "install",
    "issues",
    "livez",
    "login",
    "logout",
    "metrics",
    "new",
    "notifications",
    "oauth",
    "org",
    "orgs",
    "packages",
    "pulls",
    "readyz",
    "register",
    "repo",
    "search",
    "security",
    "settings",
    "static",
    "swagger",
    "system",
    "user",
    "users",
    "v1",
];

fn check_length(text: &str, most: usize) -> Result<(), InvalidName> {
    match text.len() {
        0 => Err(InvalidName::Empty),
        length if length > most => Err(InvalidName::TooLong(most)),
        _ => Ok(()),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// An owner's name, or a robot's.
fn check_account(text: &str) -> Result<(), InvalidName> {
    match text.split_once('/') {
        Some((org, robot)) => check_owner(org).and_then(|()| check_owner(robot)),
        None => check_owner(text),
    }
}

fn check_owner(text: &str) -> Result<(), InvalidName> {
    check_length(text, MAX_OWNER_BYTES)?;
    if !text.bytes().all(|byte| is_word(byte) || matches!(byte, b'-' | b'.')) {
        return Err(InvalidName::Characters("only letters, digits, hyphens, periods, and underscores"));
    }
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let two_in_a_row = bytes.windows(2).any(|pair| !pair.iter().any(u8::is_ascii_alphanumeric));
    if !alphanumeric(bytes.first()) || !alphanumeric(bytes.last()) || two_in_a_row {
        return Err(InvalidName::OwnerShape);
    }
    Ok(())
}

fn check_package(text: &str) -> Result<(), InvalidName> {
    check_length(text, MAX_NAME_BYTES)?;
    if !text.bytes().all(|byte| is_word(byte) || matches!(byte, b'-' | b'+' | b'.')) {
        return Err(InvalidName::Characters("only letters, digits, hyphens, underscores, plus signs, and periods"));
    }
    match text.as_bytes() {
        [only] if !only.is_ascii_alphanumeric() => Err(InvalidName::OneCharacter),
        b".." => Err(InvalidName::Dots),
        _ => Ok(()),
    }
}

/// An email address is not valid. Only its shape is checked; `mailer::is_deliverable` checks more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("enter an email address such as name@example.org, with at most 254 bytes")]
pub struct InvalidEmail;

/// An email address in its original spelling; compared in lower case.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String")]
#[schema(format = "email", max_length = 254)]
pub struct Email(String);

impl TryFrom<String> for Email {
    type Error = InvalidEmail;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl Email {
    /// The original spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form for comparisons.
    pub fn lower(&self) -> String {
        self.0.to_lowercase()
    }
}

impl FromStr for Email {
    type Err = InvalidEmail;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shaped = text.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.starts_with('.') && !domain.ends_with('.')
        });
        if !shaped || text.len() > 254 || text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '<') {
            return Err(InvalidEmail);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn package_names_follow_their_rules() {
        good::<PackageName>(&["a", "7", "a-b", "-a", "_x", "a..b", "C++", "...", &"x".repeat(255)]);
        bad::<PackageName>(&["", ".", "..", "-", "_", "+", "a b", "a/b", "é", "a\0", "a\n", &"x".repeat(256)]);
    }

    #[test]
    fn owner_names_follow_their_rules() {
        good::<OwnerName>(&["a", "Ada", "a-b", "a.b_c", "0x", &"x".repeat(40)]);
        bad::<OwnerName>(&["", "-a", "a-", "a--b", "a.-b", "_a", "a_", "a b", "ä", "a+b", &"x".repeat(41)]);
        let reserved = |text: &str| text.parse::<OwnerName>().unwrap().is_reserved();
        assert!(["API", "admin", "robots.txt", "Apple-Touch-Icon-120x120.png"].into_iter().all(reserved));
        assert!(!"admin".parse::<OwnerName>().unwrap().is_site_file());
        assert!(!["ada", "apple", "robots"].into_iter().any(reserved));
    }
}
