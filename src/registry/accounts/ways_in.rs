//! The ways in which a user can sign in, of which one must be left.

use crate::db::schema::{identities, passkeys, users};
use crate::domain::ids::{IdentityId, OwnerId, PasskeyId};
use crate::domain::sign_in::PasswordSignIn;
use crate::error::{Error, Result};
use diesel::prelude::*;

/// The ways that the configuration leaves open.
#[derive(Debug, Clone)]
pub struct OpenWays {
    pub passwords: PasswordSignIn,
    /// The issuers of the OpenID Connect providers.
    pub issuers: Vec<String>,
    /// Whether browsers have passkeys at the site's address.
    pub passkeys: bool,
}

/// A way that a user gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GivenUp {
    Identity(IdentityId),
    Passkey(PasskeyId),
}

/// Checks that a user who gives up a way to sign in has another. Two requests at once take turns.
///
/// # Errors
/// [`Error::Blocked`], which says what to do first.
pub(super) fn demand_other(conn: &mut PgConnection, user: OwnerId, given_up: GivenUp, open: &OpenWays) -> Result<()> {
    let (has_password, is_admin): (bool, bool) = users::table
        .find(user)
        .select((users::password_hash.is_not_null(), users::is_admin))
        .for_no_key_update()
        .first(conn)?;
    let may_use_password = open.passwords.allows(is_admin);
    if has_password && may_use_password {
        return Ok(());
    }
    let linked = identities::table
        .filter(identities::user_id.eq(user))
        .filter(identities::issuer.eq_any(&open.issuers))
        .select(identities::id);
    let linked: Vec<IdentityId> = linked.load(conn)?;
    if linked.into_iter().any(|id| given_up != GivenUp::Identity(id)) {
        return Ok(());
    }
    let own: Vec<PasskeyId> = passkeys::table.filter(passkeys::user_id.eq(user)).select(passkeys::id).load(conn)?;
    if open.passkeys && own.into_iter().any(|id| given_up != GivenUp::Passkey(id)) {
        return Ok(());
    }
    let others = [
        (may_use_password, "set a password"),
        (!open.issuers.is_empty(), "link another account"),
        (open.passkeys, "add another passkey"),
    ];
    let others: Vec<&str> = others.into_iter().filter(|(is_open, _)| *is_open).map(|(_, what)| what).collect();
    let first = match others.as_slice() {
        [] => "ask an administrator for another".to_owned(),
        others => format!("{} first", others.join(" or ")),
    };
    Err(Error::Blocked(format!("this is your only way to sign in: {first}")))
}
