//! The credential that a request presents, and the caller that it identifies.

use super::reach::{Reach, ReachColumn, VisibilityLimit};
use crate::db::schema::{owners, passkeys, sessions, tokens, users};
use crate::domain::clock::Timestamp;
use crate::domain::identity::VerifiedIdentity;
use crate::domain::ids::{OwnerId, SessionId, TokenId};
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::role::{Area, Level, PackagePattern, Permission, Scope, Scopes, Visibility};
use crate::domain::secret::TokenHash;
use crate::error::{Error, Result, What};
use crate::registry::accounts::session_expiry::is_live;
use crate::registry::draft_limit::DraftLimit;
use core::fmt::Display;
use core::net::IpAddr;
use diesel::dsl::exists;
use diesel::prelude::*;
use serde_json::Value;

/// The credential that a request presents. It is checked in the same database call as the work, so that an earlier
/// result is never reused.
#[derive(Debug, Clone)]
pub enum Credential {
    /// No credential.
    Anonymous,
    /// A personal access token.
    Token(TokenHash),
    /// A token for feeds alone, in the address of a feed.
    FeedToken(TokenHash),
    /// A user whose password (and second factor) was verified at this epoch of their account.
    Login { user: OwnerId, epoch: i32 },
    /// A browser session.
    Session(SessionId),
}

/// The user behind a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    pub id: OwnerId,
    pub name: OwnerName,
    pub is_admin: bool,
    /// Whether the account has a password.
    pub has_password: bool,
}

/// The kind of credential, which limits the caller's rights.
#[derive(Debug, Clone)]
enum Grant {
    /// Everything the user may do.
    Whole(&'static str),
    Session {
        id: SessionId,
        must_change: bool,
        confirmed_at: Option<Timestamp>,
        has_passkey: bool,
    },
    Token(TokenGrant),
}

#[derive(Debug, Clone)]
struct TokenGrant {
    id: TokenId,
    scopes: Scopes,
    owners: Option<Vec<OwnerId>>,
    packages: Option<Vec<PackagePattern>>,
    /// Who made the token, if its user did not.
    creator: Option<String>,
    /// The job that got the token, for a token of a trusted publisher.
    identity: Option<Box<VerifiedIdentity>>,
    expires_at: Option<Timestamp>,
    /// Whether downloads are never redirected to the object store.
    no_redirects: bool,
}

/// The user or guest who makes a request.
#[derive(Debug, Clone)]
pub struct Caller {
    user: Option<SignedIn>,
    /// What the user reaches of other owners, read together with the user.
    reach: Reach,
    /// The administrator who acts as the user (`Sudo`).
    administrator: Option<SignedIn>,
    grant: Grant,
    address: Option<IpAddr>,
}

/// A token's limits to some owners and to public owners: the parameters of [`super::access::within_token_limits`].
#[derive(Debug, Clone)]
pub struct TokenLimits {
    pub(super) widest: i16,
    pub(super) owners: Option<Vec<OwnerId>>,
}

impl TokenLimits {
    /// Whether the token is limited to public owners.
    pub(super) fn public_only(&self) -> bool {
        self.widest == Visibility::Public.number()
    }
}

pub use super::reach::NOBODY;

/// The error for a bad token. It does not say whether the token is unknown, expired, revoked or locked.
pub const BAD_TOKEN: Error = Error::BadCredential("the access token is not valid: it is unknown, expired or revoked");
/// The error for a token of feeds that is sent elsewhere.
const FOR_FEEDS_ALONE: Error =
    Error::BadCredential("the access token is only for feeds: it works only as ?feed_token= in the address of a feed");
/// The error for any other token in the address of a feed: it could do more than reading, and addresses are logged.
const NOT_FOR_FEEDS: Error = Error::BadCredential(
    "?feed_token= needs an access token that was created only for feeds: create one, because addresses are logged",
);
/// The error for a bad username or password.
pub const BAD_LOGIN: Error = Error::BadCredential("wrong username or password, or the account has no access");

impl Caller {
    /// A caller without a credential.
    pub fn anonymous(address: Option<IpAddr>) -> Self {
        Self { user: None, reach: Reach::default(), administrator: None, grant: Grant::Whole("none"), address }
    }

    /// A user with everything they may do with this credential.
    fn with(user: SignedIn, reach: Reach, grant: Grant, address: Option<IpAddr>) -> Self {
        Self { user: Some(user), reach, administrator: None, grant, address }
    }

    /// The command line, which may do everything.
    pub fn command_line() -> Self {
        let user =
            "command-line".parse().ok().map(|name| SignedIn { id: NOBODY, name, is_admin: true, has_password: false });
        Self { user, grant: Grant::Whole("command-line"), ..Self::anonymous(None) }
    }

    /// The server itself, for the changes that its jobs make. It has no rights.
    pub fn system() -> Self {
        Self { grant: Grant::Whole("system"), ..Self::anonymous(None) }
    }

    /// The server itself, for the changes that it makes because a provider says so about somebody at this address.
    pub(super) fn system_for(address: Option<IpAddr>) -> Self {
        Self { address, ..Self::system() }
    }

    /// The user, if the caller is signed in.
    pub fn user(&self) -> Option<&SignedIn> {
        self.user.as_ref()
    }

    /// The signed-in user.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when there is none.
    pub fn signed_in(&self) -> Result<&SignedIn> {
        self.user.as_ref().ok_or(Error::Unauthenticated)
    }

    /// The administrator who acts as the user, if one does.
    pub fn administrator(&self) -> Option<&SignedIn> {
        self.administrator.as_ref()
    }

    /// The kind of credential, as the audit log names it.
    pub fn credential(&self) -> &'static str {
        match &self.grant {
            Grant::Whole(how) => how,
            Grant::Session { .. } => "session",
            Grant::Token(_) => "token",
        }
    }

    /// The token in use.
    pub fn token(&self) -> Option<TokenId> {
        match &self.grant {
            Grant::Token(token) => Some(token.id),
            Grant::Whole(_) | Grant::Session { .. } => None,
        }
    }

    /// When the token in use expires.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match &self.grant {
            Grant::Token(token) => token.expires_at,
            Grant::Whole(_) | Grant::Session { .. } => None,
        }
    }

    /// Whether the caller's downloads may be redirected to the object store.
    pub fn takes_redirects(&self) -> bool {
        !matches!(self.grant, Grant::Token(TokenGrant { no_redirects: true, .. }))
    }

    /// Who made the token in use, if its user did not: a robot's tokens are made by owners of its organization.
    pub fn token_creator(&self) -> Option<&str> {
        match &self.grant {
            Grant::Token(token) => token.creator.as_deref(),
            Grant::Whole(_) | Grant::Session { .. } => None,
        }
    }

    /// The verified identity of the job that got the token in use from a trusted publisher.
    pub fn identity(&self) -> Option<&VerifiedIdentity> {
        match &self.grant {
            Grant::Token(token) => token.identity.as_deref(),
            Grant::Whole(_) | Grant::Session { .. } => None,
        }
    }

    /// The session in use.
    pub fn session(&self) -> Option<SessionId> {
        match &self.grant {
            Grant::Session { id, .. } => Some(*id),
            Grant::Whole(_) | Grant::Token(_) => None,
        }
    }

    /// Whether the caller signed in with a password that they must change before they do anything else.
    pub fn must_change_password(&self) -> bool {
        matches!(self.grant, Grant::Session { must_change: true, .. })
    }

    /// When the user last proved again who they are within this session, at a provider or with a passkey.
    pub fn confirmed_at(&self) -> Option<Timestamp> {
        match &self.grant {
            Grant::Session { confirmed_at, .. } => *confirmed_at,
            Grant::Whole(_) | Grant::Token(_) => None,
        }
    }

    /// Whether the user of a session has a passkey. False for other callers, who can't use one.
    pub fn has_passkey(&self) -> bool {
        matches!(self.grant, Grant::Session { has_passkey: true, .. })
    }

    /// The address the request came from.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Whether the user is a site administrator, with any credential. [`Caller::demand_scope`] checks the token's
    /// scope.
    pub fn is_admin(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.is_admin)
    }

    /// Checks that the token in use, if any, has the scope.
    ///
    /// # Errors
    /// [`Error::Forbidden`] that names the scope.
    pub fn demand_scope(&self, area: Area, level: Level) -> Result<()> {
        match &self.grant {
            Grant::Token(token) if !token.scopes.allow(area, level) => {
                Err(Error::Forbidden(format!("the access token lacks the scope {}", Scope::Of(area, level))))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the user is a site administrator and that the token's scope allows it.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], or [`Error::Forbidden`] naming what is missing.
    pub fn demand_admin(&self, level: Level) -> Result<()> {
        self.signed_in()?;
        self.demand_scope(Area::Admin, level)?;
        if self.is_admin() { Ok(()) } else { Err(Error::Forbidden("only a site administrator can do this".to_owned())) }
    }

    /// Checks that the caller signed in with a password: a token can never create or extend tokens.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], or [`Error::Forbidden`] when a token is in use.
    pub fn demand_password(&self) -> Result<&SignedIn> {
        if self.token().is_some() {
            return Err(Error::Forbidden(
                "an access token cannot do this: sign in with username and password".to_owned(),
            ));
        }
        self.signed_in()
    }

    /// Checks the token's limit to some package names.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming the package.
    pub fn demand_package(&self, package: &PackageName) -> Result<()> {
        let Grant::Token(TokenGrant { packages: Some(patterns), .. }) = &self.grant else { return Ok(()) };
        let lower = package.lower();
        if patterns.iter().any(|pattern| pattern.matches(&lower)) {
            return Ok(());
        }
        Err(Error::Forbidden(format!("the access token is limited to packages other than {package}")))
    }

    /// The only packages that the token in use, if any, works for.
    pub(super) fn only_packages(&self) -> Option<&[PackagePattern]> {
        match &self.grant {
            Grant::Token(token) => token.packages.as_deref(),
            Grant::Whole(_) | Grant::Session { .. } => None,
        }
    }

    /// Checks that the token in use, if any, is not limited to what is public: the request is also about what is hidden.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming the limit.
    pub(super) fn demand_hidden(&self) -> Result<()> {
        match &self.grant {
            Grant::Token(token) if token.scopes.public_only() => Err(Error::Forbidden(
                "the access token has the scope public-only, but this request is also about what is not public"
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// Checks that the token in use, if any, is not limited to some packages.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming the limit.
    pub(super) fn demand_no_package_limit(&self) -> Result<()> {
        if self.only_packages().is_none() {
            return Ok(());
        }
        Err(Error::Forbidden(
            "the access token is limited to some packages, but this request is about all packages of an owner"
                .to_owned(),
        ))
    }

    /// Checks that the token in use, if any, is not limited to some packages or to public ones.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming the limit.
    pub(super) fn demand_all_packages(&self) -> Result<()> {
        self.demand_no_package_limit()?;
        self.demand_hidden()
    }

    /// Checks the token's limits to some owners and to public owners.
    pub(super) fn demand_owner(&self, id: OwnerId, name: &OwnerName, visibility: Visibility) -> Result<()> {
        let Grant::Token(token) = &self.grant else { return Ok(()) };
        if token.owners.as_ref().is_some_and(|ids| !ids.contains(&id)) {
            return Err(Error::Forbidden(format!("the access token is limited to owners other than {name}")));
        }
        self.demand_visible(name, visibility)
    }

    /// The limits that the caller's lists apply to the owners they see.
    pub(super) fn limits(&self) -> TokenLimits {
        match &self.grant {
            Grant::Token(token) => TokenLimits {
                widest: if token.scopes.public_only() { Visibility::Public } else { Visibility::Private }.number(),
                owners: token.owners.clone(),
            },
            Grant::Whole(_) | Grant::Session { .. } => {
                TokenLimits { widest: Visibility::Private.number(), owners: None }
            }
        }
    }

    /// Checks that the token in use, if any, is not limited to some owners: a new owner would not be among them.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming the limit.
    pub fn demand_any_owner(&self) -> Result<()> {
        match &self.grant {
            Grant::Token(TokenGrant { owners: Some(_), .. }) => Err(Error::Forbidden(
                "the access token is limited to some owners, so it cannot create another".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// Checks the token's limit to public owners and packages.
    ///
    /// # Errors
    /// [`Error::Forbidden`] naming the limit.
    pub fn demand_visible(&self, name: &impl Display, visibility: Visibility) -> Result<()> {
        match &self.grant {
            Grant::Token(token) if token.scopes.public_only() && visibility != Visibility::Public => {
                Err(Error::Forbidden(format!("the access token has the scope public-only, and {name} is not public")))
            }
            _ => Ok(()),
        }
    }

    /// Whether the credential may publish where its user may.
    pub(super) fn may_publish(&self) -> bool {
        self.user.is_some() && self.demand_scope(Area::Package, Level::Write).is_ok()
    }

    /// Where the caller sees drafts: wherever this credential may publish to all packages. Where it may publish only to
    /// some, [`Self::write_limit`] tells.
    pub(super) fn draft_limit(&self) -> DraftLimit {
        match &self.user {
            Some(user) if user.is_admin && self.may_publish() => DraftLimit::everything(),
            Some(user) if self.may_publish() => {
                let writable = self.reach.whole_owners(Permission::Write).chain([user.id]).collect();
                DraftLimit { writable, ..DraftLimit::published() }
            }
            _ => DraftLimit::published(),
        }
    }

    /// What the user sees, whatever the token's limits are: those give 403, not 404.
    pub fn visibility_limit(&self) -> VisibilityLimit {
        match &self.user {
            None => VisibilityLimit::of_guest(),
            Some(user) => VisibilityLimit::of_user(user.id, user.is_admin, &self.reach),
        }
    }

    /// What this credential may publish to, before a token's limits to some owners and packages: a package is among these
    /// exactly if [`super::access::package_readable`] with this limit is true for it.
    pub fn write_limit(&self) -> VisibilityLimit {
        match &self.user {
            Some(user) if self.may_publish() => VisibilityLimit::to_write(user.id, user.is_admin, &self.reach),
            _ => VisibilityLimit::nothing(),
        }
    }

    /// What the user reaches of other owners.
    pub(super) fn reach(&self) -> &Reach {
        &self.reach
    }
}

type UserRow = (OwnerId, OwnerName, bool, bool, bool, bool, Value);

/// The user of a row; `None` for one without access.
fn signed_in(
    (id, name, is_admin, has_password, is_active, is_locked, reach): UserRow,
) -> Result<Option<(SignedIn, Reach)>> {
    if !is_active || is_locked {
        return Ok(None);
    }
    Ok(Some((SignedIn { id, name, is_admin, has_password }, Reach::from_row(reach)?)))
}

/// Makes an administrator's request the request of another user (`Sudo`): it can do what both the user and the
/// administrator's credential can do. A token needs the scope `write:admin` for it, or `read:admin` to read, because the
/// user's own settings are otherwise out of its reach.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::Forbidden`] for everybody but administrators, and for a user without access;
/// [`Error::NotFound`] for an unknown user.
pub fn act_as(conn: &mut PgConnection, caller: Caller, name: &str, level: Level) -> Result<Caller> {
    if !caller.signed_in()?.is_admin {
        return Err(Error::Forbidden("only a site administrator can act as another user (Sudo)".to_owned()));
    }
    caller.demand_admin(level)?;
    let name: OwnerName = name.parse().map_err(|_| Error::NotFound(What::User))?;
    let row: Option<UserRow> = users::table
        .inner_join(owners::table)
        .filter(owners::lower_name.eq(name.lower()))
        .select((
            users::id,
            owners::name,
            users::is_admin,
            users::password_hash.is_not_null(),
            users::is_active,
            users::is_locked,
            ReachColumn,
        ))
        .first(conn)
        .optional()?;
    let no_access = || Error::Forbidden(format!("{name} has no access: the account is locked or not approved yet"));
    let (user, reach) = signed_in(row.ok_or(Error::NotFound(What::User))?)?.ok_or_else(no_access)?;
    Ok(Caller { user: Some(user), reach, administrator: caller.user, grant: caller.grant, address: caller.address })
}

/// Identifies the caller by their credential.
///
/// # Errors
/// [`Error::BadCredential`] when the credential is unknown, expired or revoked; [`Error::MustChangePassword`] for a
/// password that must be changed first.
pub fn identify(
    conn: &mut PgConnection,
    credential: &Credential,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<Caller> {
    let columns = (
        users::id,
        owners::name,
        users::is_admin,
        users::password_hash.is_not_null(),
        users::is_active,
        users::is_locked,
        ReachColumn,
    );
    match credential {
        Credential::Anonymous => Ok(Caller::anonymous(address)),
        Credential::Login { user, epoch } => {
            let row: Option<(UserRow, bool)> = users::table
                .inner_join(owners::table)
                .filter(users::id.eq(user))
                .filter(users::auth_epoch.eq(epoch))
                .select((columns, users::must_change_password))
                .first(conn)
                .optional()?;
            let (user, must_change) = row.ok_or(BAD_LOGIN)?;
            let (user, reach) = signed_in(user)?.ok_or(BAD_LOGIN)?;
            if must_change {
                return Err(Error::MustChangePassword);
            }
            Ok(Caller::with(user, reach, Grant::Whole("password"), address))
        }
        Credential::Session(id) => {
            let own = passkeys::table.filter(passkeys::user_id.eq(users::id)).select(passkeys::id);
            let row: Option<(UserRow, bool, Option<Timestamp>, bool)> = sessions::table
                .inner_join(users::table.inner_join(owners::table))
                .filter(sessions::id.eq(id))
                .filter(is_live(now))
                .filter(sessions::auth_epoch.eq(users::auth_epoch))
                .select((columns, users::must_change_password, sessions::confirmed_at, exists(own)))
                .first(conn)
                .optional()?;
            // A user who was signed out elsewhere becomes a guest and can keep reading what guests may read.
            let Some((user, must_change, confirmed_at, has_passkey)) = row else {
                return Ok(Caller::anonymous(address));
            };
            let Some((user, reach)) = signed_in(user)? else { return Ok(Caller::anonymous(address)) };
            let grant = Grant::Session { id: *id, must_change, confirmed_at, has_passkey };
            Ok(Caller::with(user, reach, grant, address))
        }
        Credential::Token(hash) | Credential::FeedToken(hash) => {
            type Limits = (Option<Vec<OwnerId>>, Option<Vec<String>>);
            type TokenRow =
                (TokenId, Vec<String>, Limits, (bool, bool), (Option<String>, Option<Timestamp>), Option<Value>);
            let row: Option<(UserRow, TokenRow)> = tokens::table
                .inner_join(users::table.inner_join(owners::table))
                .filter(tokens::hash.eq(hash.as_bytes()))
                .filter(tokens::expires_at.is_null().or(tokens::expires_at.gt(now)))
                .select((
                    columns,
                    (
                        tokens::id,
                        tokens::scopes,
                        (tokens::owner_ids, tokens::package_patterns),
                        (tokens::feeds_only, tokens::no_redirects),
                        (tokens::creator_name, tokens::expires_at),
                        tokens::identity,
                    ),
                ))
                .first(conn)
                .optional()?;
            let (user, token) = row.ok_or(BAD_TOKEN)?;
            let (id, scopes, (owner_ids, patterns), uses, (creator, expires_at), identity) = token;
            let (feeds_only, no_redirects) = uses;
            let (user, reach) = signed_in(user)?.ok_or(BAD_TOKEN)?;
            match (credential, feeds_only) {
                (Credential::FeedToken(_), false) => return Err(NOT_FOR_FEEDS),
                (Credential::Token(_), true) => return Err(FOR_FEEDS_ALONE),
                _ => {}
            }
            let scopes = Scopes::from_words(scopes.iter().map(String::as_str)).map_err(Error::internal)?;
            let packages = patterns
                .map(|patterns| patterns.iter().map(|pattern| pattern.parse()).collect::<Result<Vec<_>, _>>())
                .transpose()
                .map_err(Error::internal)?;
            let identity: Option<Box<VerifiedIdentity>> =
                identity.map(serde_json::from_value).transpose().map_err(Error::internal)?;
            // A publisher may do what its token says and nothing else: it has neither teams nor grants.
            let reach = match (&identity, &owner_ids, &packages) {
                (Some(_), Some(owners), Some(packages)) => Reach::of_publisher(owners, packages),
                _ => reach,
            };
            let limits =
                TokenGrant { id, scopes, owners: owner_ids, packages, creator, identity, expires_at, no_redirects };
            let grant = Grant::Token(limits);
            Ok(Caller::with(user, reach, grant, address))
        }
    }
}
