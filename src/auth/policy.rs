//! A route's demands on its caller, checked before the route's own work: one value per route, written in the table of
//! routes, enforced wherever a credential is checked, and compared with the server's behavior by a test that walks the
//! table.

use crate::domain::role::{Area, Level};
use crate::error::{Error, Result};
use crate::registry::audit::Event;
use crate::registry::caller::Caller;
use actix_web::{HttpMessage, HttpRequest};

/// The credentials that a route accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptedCredentials {
    /// None: the route answers everybody alike.
    Ignored,
    /// A bearer token of its own, from the settings.
    Own,
    /// An access token, or a user's name and password.
    Any,
    /// A user's name and password: tokens get 403.
    Password,
    /// Only an access token.
    Token,
    /// Only the cookie of a browser's session.
    Session,
    /// The cookie of a browser's session, or without one an access token, or a user's name and password.
    SessionOrAny,
    /// A token for feeds alone in the query (`?feed_token=`), or without one the same as [`Self::SessionOrAny`].
    Feed,
}

/// The credentials that the route of a request accepts; `None` for a request without a route.
pub fn accepted_credentials(req: &HttpRequest) -> Option<AcceptedCredentials> {
    req.extensions().get::<Policy>().map(|policy| policy.credentials)
}

/// Whether the route of a request is for site administrators alone.
pub fn is_for_administrators(req: &HttpRequest) -> bool {
    req.extensions().get::<Policy>().is_some_and(|policy| policy.right == Right::SiteAdmin)
}

/// The right that a route demands of its caller, in addition to the scope of their token. Rights to the names in the
/// path are checked by [`crate::registry::access`], in the same transaction as the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// No right, even if everybody must sign in or the caller must change their password first: for signing in and out.
    Public,
    /// No right; the answer contains only what the caller may see.
    Everybody,
    /// The caller is signed in.
    SignedIn,
    /// The caller is signed in, and may be required to change their password first.
    AnyUser,
    /// The caller may see the owner in the path.
    Reader,
    /// The caller may write to the owner in the path.
    Writer,
    /// The caller has the permission `admin` for the package in the path.
    PackageAdmin,
    /// The caller is the user in the path, or a site administrator.
    SelfOrAdmin,
    /// The caller is a member of the organization in the path, or a site administrator.
    Member,
    /// The caller is the user in the path, an owner of the organization in the path, or a site administrator.
    OrgOwner,
    /// The caller is the user in the path, an owner of the organization in the path, or a site administrator.
    Owner,
    /// The caller is a site administrator.
    SiteAdmin,
}

/// The demands of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub credentials: AcceptedCredentials,
    /// The scope that a token needs.
    pub scope: Option<(Area, Level)>,
    pub right: Right,
    /// The audit event of a change; there is exactly one.
    pub event: Option<Event>,
}

impl Policy {
    /// Whether anonymous callers are refused whatever they ask for.
    pub fn needs_user(self) -> bool {
        !matches!(self.right, Right::Public | Right::Everybody | Right::Reader)
            || self.credentials == AcceptedCredentials::Password
    }

    /// Checks what the route demands of its caller: the kind of credential, the scope of a token, the sign-in. Which
    /// owner or package the caller may use is decided in `registry::access`, where the scope is checked once more.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`]; [`Error::MustChangePassword`]; [`Error::Forbidden`] naming the missing scope or
    /// right.
    pub fn admit(self, caller: &Caller) -> Result<()> {
        if self.needs_user() {
            caller.signed_in()?;
        }
        if caller.must_change_password() && !matches!(self.right, Right::Public | Right::AnyUser) {
            return Err(Error::MustChangePassword);
        }
        match self.credentials {
            AcceptedCredentials::Password => caller.demand_password().map(drop)?,
            AcceptedCredentials::Token if caller.token().is_none() => {
                return Err(Error::Forbidden("this address is for access tokens: send one as Bearer".to_owned()));
            }
            _ => {}
        }
        match (self.scope, self.right) {
            (Some((Area::Admin, level)), Right::SiteAdmin) => caller.demand_admin(level),
            (None, Right::SiteAdmin) => caller.demand_admin(Level::Read),
            (Some((area, level)), _) => caller.demand_scope(area, level),
            (None, _) => Ok(()),
        }
    }
}
