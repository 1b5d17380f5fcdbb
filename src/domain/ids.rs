//! Ids as separate types, so that a package's id cannot be used as a file's.

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::Pg;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::{self, BigInt};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, AsExpression, FromSqlRow)]
        #[derive(Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        #[schema(minimum = 1)]
        #[diesel(sql_type = BigInt)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl ToSql<BigInt, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                <i64 as ToSql<BigInt, Pg>>::to_sql(&self.0, out)
            }
        }

        impl FromSql<BigInt, Pg> for $name {
            fn from_sql(bytes: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
                <i64 as FromSql<BigInt, Pg>>::from_sql(bytes).map(Self)
            }
        }
    )*};
}

id!(
    /// A user or an organization.
    OwnerId,
    /// A team of an organization.
    TeamId,
    /// A personal access token.
    TokenId,
    /// A package.
    PackageId,
    /// A version of a package.
    VersionId,
    /// A file of a version.
    FileId,
    /// A blob in the store.
    BlobId,
    /// A webhook of an owner.
    HookId,
    /// A delivery of a webhook.
    DeliveryId,
    /// A grant of an owner.
    GrantId,
    /// A protection rule of an owner.
    ProtectionId,
    /// An entry of the trash.
    TrashId,
    /// A retention rule of an owner.
    RetentionRuleId,
    /// A mail in the outbox.
    MailId,
    /// A link that was sent to an address.
    EmailLinkId,
    /// An identity of a user at an OpenID Connect provider.
    IdentityId,
    /// A passkey of a user.
    PasskeyId,
);

impl OwnerId {
    /// The id of Gitea's Ghost, who stands for deleted users. No owner has it.
    pub const GHOST: Self = Self(-1);
}

/// A browser session: a random UUID (RFC 9562, version 4), so that it cannot be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, AsExpression, FromSqlRow)]
#[diesel(sql_type = sql_types::Uuid)]
pub struct SessionId(Uuid);

impl SessionId {
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }

    /// The id's bytes, to derive other values from.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SessionId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl ToSql<sql_types::Uuid, Pg> for SessionId {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        <Uuid as ToSql<sql_types::Uuid, Pg>>::to_sql(&self.0, out)
    }
}

impl FromSql<sql_types::Uuid, Pg> for SessionId {
    fn from_sql(bytes: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        <Uuid as FromSql<sql_types::Uuid, Pg>>::from_sql(bytes).map(Self)
    }
}
