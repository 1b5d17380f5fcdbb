//! The shared error type. It contains no HTTP: the package protocol, the API and the pages each render it in their own
//! way.
//!
//! [`std::fmt::Display`] is safe to show to strangers. Internal details are in the source of [`Error::Internal`], which
//! is only logged.

use crate::domain::names::OwnerName;
use crate::domain::role::OwnerKind;
use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind};
use std::fmt;

/// The kind of thing that was not found, or exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Owner,
    User,
    Organization,
    Team,
    Package,
    Version,
    File,
    Channel,
    Token,
    Session,
    Hook,
    Delivery,
    Grant,
    Protection,
    Robot,
    Publisher,
    TrashEntry,
    RetentionRule,
    Invitation,
    Identity,
    Passkey,
    Provider,
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
            Self::Channel => "channel",
            Self::Token => "access token",
            Self::Session => "session",
            Self::Hook => "webhook",
            Self::Delivery => "delivery",
            Self::Grant => "grant",
            Self::Protection => "protection",
            Self::Robot => "robot",
            Self::Publisher => "publisher",
            Self::TrashEntry => "trash entry",
            Self::RetentionRule => "retention rule",
            Self::Invitation => "invitation",
            Self::Identity => "linked sign-in",
            Self::Passkey => "passkey",
            Self::Provider => "sign-in provider",
            Self::Page => "page",
        })
    }
}

impl What {
    /// What the caller can do if one of this name exists already, as the end of the sentence.
    fn way_out(self) -> &'static str {
        match self {
            Self::File => {
                ": publish it under another name or version, or let uploads replace files of this version (the package's \
                 setting overwrite)"
            }
            _ => "",
        }
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

/// A result with the shared error type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in a request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Absent, or not visible to the caller: the two must look alike.
    #[error("{0} not found")]
    NotFound(What),
    /// No version of a package fits a selector; the text says which versions exist.
    #[error("{0}")]
    NoVersionFits(String),
    /// Something that Gitea has and Packhouse has not; the text says why.
    #[error("{0}")]
    Unsupported(&'static str),
    /// An owner's old name, if the caller may see the owner. Code that does not handle it treats the owner as absent.
    #[error("{what} not found")]
    Moved { what: What, from: OwnerName, to: OwnerName },
    /// The caller is known and lacks a right. The text names the missing right or scope.
    #[error("{0}")]
    Forbidden(String),
    /// A user who must change their password before they can do anything else with it. Their tokens keep working.
    #[error(
        "you must change your password: sign in with a browser to do that, or ask an administrator for a new one; access \
             tokens keep working"
    )]
    MustChangePassword,
    /// No credential where one is needed.
    #[error("authentication required: sign in or send an access token")]
    Unauthenticated,
    /// A credential that is wrong, expired, revoked, or of a user without access. The text never says which.
    #[error("{0}")]
    BadCredential(&'static str),
    /// A value that breaks a rule; the field has the name that the caller uses.
    #[error("{problem}")]
    Invalid { field: &'static str, problem: String },
    /// A body with neither a length nor chunked encoding.
    #[error("the request has no length: send Content-Length or use chunked transfer encoding")]
    LengthRequired,
    /// Something with that name exists already.
    #[error("{what} already exists{way_out}", what = .0, way_out = .0.way_out())]
    Conflict(What),
    /// What the change would create is there already, or is closed to changes; the text names it.
    #[error("{0}")]
    Clash(String),
    /// A text names two things, one by its id and one by its name; it says how to name each.
    #[error("{0}")]
    Ambiguous(String),
    /// The current state forbids the action for every caller; the text says why.
    #[error("{0}")]
    Blocked(String),
    /// The state of a package or version forbids the change; the text says why. Unlike [`Error::Blocked`], which Gitea's
    /// clients expect as 422, this is 409 everywhere.
    #[error("{0}")]
    WrongState(String),
    /// `If-Match`, `If-None-Match` or their dates do not hold.
    #[error("{0}")]
    PreconditionFailed(&'static str),
    /// The received bytes do not match the declared digest or length.
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
    /// Too many attempts; the caller may try again after this many seconds. `instead` says what the caller can do in
    /// the meantime, as the end of the sentence; it may be empty.
    #[error("too many attempts: try again in {retry_after} seconds{instead}")]
    RateLimited { retry_after: u64, instead: &'static str },
    /// The database or the store is unavailable or overloaded; nothing was changed.
    #[error("{0}, so nothing was changed: try again")]
    Busy(&'static str),
    /// The connection to the database broke during COMMIT: the change may or may not have been made.
    #[error("the database connection was lost while saving: check whether the change was made, then try again")]
    OutcomeUnknown,
    /// Data that a transaction relies on changed while it ran: the transaction must run again from its beginning.
    /// [`crate::db::Db`] does that, and returns [`Error::Busy`] when it gives up, so no caller ever sees this error.
    #[error("the transaction must run again")]
    Retry,
    /// The request's body ended early or came too slowly; nobody is left to answer.
    #[error("the upload was cut off")]
    Aborted,
    /// A bug or a broken machine. The source is logged once, where the error is rendered.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

impl Error {
    pub fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { field, problem: problem.into() }
    }

    pub fn internal(source: impl Into<anyhow::Error>) -> Self {
        Self::Internal(source.into())
    }

    /// A copy of an [`Error::Invalid`], for a value that is checked outside of work that may run twice and reported
    /// inside it.
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

/// The referenced thing of a violated foreign key: someone else deleted it a moment ago.
fn what_vanished(info: &dyn DatabaseErrorInformation) -> Option<What> {
    match info.constraint_name()? {
        "packages_owner_id_fkey"
        | "usage_changes_owner_id_fkey"
        | "owner_redirects_owner_id_fkey"
        | "hooks_owner_id_fkey"
        | "trash_owner_id_fkey"
        | "retention_rules_owner_id_fkey"
        | "grants_owner_id_fkey"
        | "protections_owner_id_fkey" => Some(What::Owner),
        "hook_deliveries_hook_id_fkey" => Some(What::Hook),
        "hook_attempts_delivery_id_fkey" => Some(What::Delivery),
        "teams_org_id_fkey" => Some(What::Organization),
        "team_members_team_id_fkey" | "grants_team_id_fkey" => Some(What::Team),
        "team_members_user_id_fkey"
        | "grants_user_id_fkey"
        | "tokens_user_id_fkey"
        | "sessions_user_id_fkey"
        | "second_factors_user_id_fkey"
        | "passkeys_user_id_fkey"
        | "known_addresses_user_id_fkey"
        | "versions_creator_id_fkey"
        | "channels_updater_id_fkey"
        | "files_creator_id_fkey"
        | "trash_actor_id_fkey" => Some(What::User),
        _ => None,
    }
}

/// Queries use `.optional()` for absence, and conflicts are recognized by their constraint; every other database error
/// is internal.
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
