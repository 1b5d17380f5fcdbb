//! The one inner error. It knows no HTTP: each face renders it in its own way.
//!
//! [`std::fmt::Display`] is what a stranger may read; what went wrong inside is in [`Error::Internal`]'s
//! source and goes to the log alone.

use crate::domain::names::OwnerName;
use crate::domain::role::OwnerKind;
use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind};
use std::fmt;

/// What could not be found, or is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Owner,
    User,
    Organization,
    Team,
    Package,
    Version,
    File,
    Token,
    Session,
    Hook,
    Delivery,
    Page,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner",
            Self::User => "user",
            Self::Organization => "organization",
            Self::Team => "team",
            Self::Package => "package",
            Self::Version => "package version",
            Self::File => "package file",
            Self::Token => "access token",
            Self::Session => "session",
            Self::Hook => "webhook",
            Self::Delivery => "delivery",
            Self::Page => "page",
        })
    }
}

impl From<OwnerKind> for What {
    fn from(kind: OwnerKind) -> Self {
        match kind {
            OwnerKind::User => Self::User,
            OwnerKind::Organization => Self::Organization,
        }
    }
}

/// A result whose error any face can render.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong while the registry does what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Absent, or not visible to whom asked: the two must look alike.
    #[error("{0} not found")]
    NotFound(What),
    /// An owner's old name, where he may be seen. Whoever does not know what to do with it takes it for one that is absent.
    #[error("{what} not found")]
    Moved { what: What, from: OwnerName, to: OwnerName },
    /// Known caller, no right. The text names the right or scope that is missing.
    #[error("{0}")]
    Forbidden(String),
    /// A user who has to change his password before it is good for anything else. His tokens are.
    #[error(
        "you must change your password: change it at /user/settings/password, or ask an administrator for a new one; access \
             tokens keep working"
    )]
    MustChangePassword,
    /// No credential where one is needed.
    #[error("authentication required: sign in or send an access token")]
    Unauthenticated,
    /// A credential that is wrong, expired, revoked, or of a user without access. The text never says which of them.
    #[error("{0}")]
    BadCredential(&'static str),
    /// A value that breaks a rule; the field is named as the caller knows it.
    #[error("{problem}")]
    Invalid { field: &'static str, problem: String },
    /// A body that says neither how long it is nor that it comes in chunks.
    #[error("the request has no length: send Content-Length or use chunked transfer encoding")]
    LengthRequired,
    /// Something of that name exists.
    #[error("{0} already exists")]
    Conflict(What),
    /// Something stands in the way, whoever asks; the text says what.
    #[error("{0}")]
    Blocked(String),
    /// `If-Match`, `If-None-Match` or their dates do not hold.
    #[error("{0}")]
    PreconditionFailed(&'static str),
    /// What was declared about an upload does not match the bytes that came.
    #[error("{0}")]
    DigestMismatch(String),
    /// More bytes than the limit, in bytes.
    #[error("the file is larger than the limit of {limit} bytes")]
    TooLarge { limit: u64 },
    /// The owner's quota would be exceeded; the text gives the figures.
    #[error("{0}")]
    Quota(String),
    /// The store's disk is full (bytes or inodes).
    #[error("the storage is full, so nothing was saved: try again later")]
    NoSpace,
    /// Too many attempts; the caller may try again after so many seconds.
    #[error("too many attempts: try again in {retry_after} seconds")]
    RateLimited { retry_after: u64 },
    /// The database or the store is away or overloaded; nothing was changed.
    #[error("{0}, so nothing was changed: try again")]
    Busy(&'static str),
    /// The database went away during COMMIT: whether the change was made must be looked up.
    #[error("the database connection was lost while saving: check whether the change was made, then try again")]
    OutcomeUnknown,
    /// Something changed under a transaction: it runs again from its beginning. [`crate::db::Db`] does that, and makes
    /// it an [`Error::Busy`] in the end, so no face ever meets it.
    #[error("the transaction must run again")]
    Retry,
    /// The request's body ended early or came too slowly; there is nobody to answer.
    #[error("the upload was cut off")]
    Aborted,
    /// A bug or a broken machine. The source is logged once, at the face's wrapper.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

impl Error {
    /// An [`Error::Invalid`].
    pub fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { field, problem: problem.into() }
    }

    /// An [`Error::Internal`] from any error.
    pub fn internal(source: impl Into<anyhow::Error>) -> Self {
        Self::Internal(source.into())
    }

    /// What is wrong with a value, said once more: judged outside of work that may be run twice, told inside.
    pub fn again(&self) -> Self {
        match self {
            Self::Invalid { field, problem } => Self::invalid(field, problem.clone()),
            other => Self::invalid("query", other.to_string()),
        }
    }

    /// The error with its source, for an operator.
    pub fn explained(self) -> anyhow::Error {
        match self {
            Self::Internal(source) => source,
            other => anyhow::anyhow!("{other}"),
        }
    }
}

/// What a foreign key points at; a row of it that is gone was deleted a moment ago, by somebody else.
fn what_vanished(info: &dyn DatabaseErrorInformation) -> Option<What> {
    match info.constraint_name()? {
        "packages_owner_id_fkey"
        | "usage_changes_owner_id_fkey"
        | "owner_redirects_owner_id_fkey"
        | "hooks_owner_id_fkey" => Some(What::Owner),
        "hook_deliveries_hook_id_fkey" => Some(What::Hook),
        "hook_attempts_delivery_id_fkey" => Some(What::Delivery),
        "teams_org_id_fkey" => Some(What::Organization),
        "team_members_team_id_fkey" => Some(What::Team),
        "team_members_user_id_fkey"
        | "tokens_user_id_fkey"
        | "sessions_user_id_fkey"
        | "second_factors_user_id_fkey"
        | "versions_creator_id_fkey"
        | "files_creator_id_fkey" => Some(What::User),
        _ => None,
    }
}

/// Absence is asked for with `.optional()`, conflicts by their constraint; every other database error is internal.
impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        match &error {
            diesel::result::Error::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, info) => {
                what_vanished(info.as_ref()).map_or_else(|| Self::internal(error), Self::NotFound)
            }
            _ => Self::internal(error),
        }
    }
}
