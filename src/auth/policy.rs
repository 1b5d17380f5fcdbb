//! What a route demands of whoever calls it, before it looks at anything of its own: one value a route, written in the
//! table of routes, enforced wherever a credential is judged, and compared with the server's behaviour by a test that
//! walks the table.

use crate::domain::role::{Area, Level};
use crate::error::{Error, Result};
use crate::registry::audit::Event;
use crate::registry::caller::Caller;

/// Which credentials a route looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptedCredentials {
    /// None: it answers everybody alike.
    Ignored,
    /// A bearer token of its own, which is a setting.
    Own,
    /// An access token, or a user's name and password.
    Any,
    /// A user's name and password: no token gets further than 403.
    Password,
    /// An access token alone.
    Token,
    /// The cookie of a browser's session, and nothing else.
    Session,
}

/// What of the caller a route asks, beyond the scope of his token. What hangs on names in the path is judged by
/// [`crate::registry::access`], in the same transaction as the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Nothing, not even where everybody has to sign in, or has to change his password first: the way in and out.
    Public,
    /// Nothing; what is answered is only what the caller may see.
    Everybody,
    /// To be somebody.
    SignedIn,
    /// The same, also for somebody who has to change his password before anything else.
    AnyUser,
    /// To see the owner of the path.
    Reader,
    /// To write to the owner of the path.
    Writer,
    /// To be the user of the path, or a site administrator.
    SelfOrAdmin,
    /// To be a member of the organization of the path, or a site administrator.
    Member,
    /// To be an owner of the organization of the path, or a site administrator.
    OrgOwner,
    /// To be a site administrator.
    SiteAdmin,
}

/// What a route demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub credentials: AcceptedCredentials,
    /// What a token must be good for.
    pub scope: Option<(Area, Level)>,
    pub right: Right,
    /// The one record that a change leaves.
    pub event: Option<Event>,
}

impl Policy {
    /// Whether the anonymous are turned away whatever they ask for.
    pub fn needs_user(self) -> bool {
        !matches!(self.right, Right::Public | Right::Everybody | Right::Reader)
            || self.credentials == AcceptedCredentials::Password
    }

    /// Lets a caller in, or says what he lacks.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`]; [`Error::MustChangePassword`]; [`Error::Forbidden`] naming the scope or right that is
    /// missing.
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
            (Some((area, level)), _) => caller.demand(area, level),
            (None, _) => Ok(()),
        }
    }
}
