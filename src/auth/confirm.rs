//! Asking signed-in users to prove again who they are: with their password, with a passkey, or with a fresh sign-in at
//! their provider if they have no password that counts.

use super::call::Call;
use super::password::{SignInSource, check};
use crate::db::Connection;
use crate::domain::clock::Timestamp;
use crate::domain::secret::Password;
use crate::domain::sign_in::ProviderName;
use crate::error::{Error, Result};
use crate::registry::accounts::identities;
use crate::registry::caller::Caller;
use crate::state::App;
use std::time::Duration;

/// The form field for the password that is asked for again.
pub const FIELD: &str = "current_password";

/// How long a fresh sign-in, or a passkey, confirms changes.
const FRESH: Duration = Duration::from_secs(300);

/// What a form asks for instead of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreshSignIn {
    /// The providers to sign in with: their names and what people call them.
    pub providers: Vec<(ProviderName, String)>,
    /// Whether a passkey of the user does too.
    pub has_passkey: bool,
    /// Whether the user has just done so.
    pub is_done: bool,
}

fn is_fresh(caller: &Caller, now: Timestamp) -> bool {
    caller.confirmed_at().is_some_and(|at| at <= now.latest_end_of(Duration::ZERO) && now.since(at) < FRESH)
}

/// Whether forms let the caller confirm with a passkey.
pub fn takes_passkey(app: &App, caller: &Caller) -> bool {
    caller.has_passkey() && app.relying_party().is_some()
}

/// What a form asks the caller for instead of their password; `None` if it asks for the password. It does if they have one
/// that they may sign in with and have not just used a passkey, or if they have nothing else.
///
/// # Errors
/// Database errors.
pub fn instead_of_password(conn: &mut Connection, app: &App, caller: &Caller) -> Result<Option<FreshSignIn>> {
    let Some(user) = caller.user() else { return Ok(None) };
    let (is_done, has_passkey) = (is_fresh(caller, app.clock.now()), takes_passkey(app, caller));
    if user.has_password && app.config.auth.password_sign_in.allows(user.is_admin) {
        let is_confirmed = has_passkey && is_done;
        return Ok(is_confirmed.then(|| FreshSignIn { providers: Vec::new(), has_passkey, is_done }));
    }
    let mut providers: Vec<(ProviderName, String)> = Vec::new();
    for identity in identities::list(conn, user.id)? {
        if let Some(provider) = app.oidc.of_issuer(&identity.issuer) {
            let config = provider.config();
            if !providers.iter().any(|(name, _)| *name == config.name) {
                providers.push((config.name.clone(), config.label().to_owned()));
            }
        }
    }
    if providers.is_empty() && !has_passkey && user.has_password {
        return Ok(None);
    }
    Ok(Some(FreshSignIn { providers, has_passkey, is_done }))
}

/// Asks signed-in users for their password again, before changes that nobody must be able to make with an unattended
/// browser or a stolen cookie. A wrong password counts as a failed sign-in. Users without a password must have signed in
/// again at their provider, or used a passkey, a moment ago. Users with a password may use a passkey instead.
///
/// # Errors
/// [`Error::Invalid`] at the field [`FIELD`] for a wrong password; [`Error::Unauthenticated`], [`Error::RateLimited`],
/// [`Error::Busy`].
pub async fn password(call: &Call, password: &str) -> Result<()> {
    let app = std::sync::Arc::clone(&call.app);
    let (user, session, instead) = call
        .reading(move |conn, caller| {
            let instead = instead_of_password(conn, &app, caller)?;
            Ok((caller.signed_in()?.clone(), caller.session(), instead))
        })
        .await?;
    match instead {
        Some(FreshSignIn { is_done: true, .. }) => return Ok(()),
        Some(FreshSignIn { providers, has_passkey, .. }) => {
            let how = match providers.first() {
                _ if has_passkey => "use your passkey to confirm that it is you".to_owned(),
                Some((_, label)) => format!("sign in again with {label} to confirm that it is you"),
                None => "ask an administrator for a password: this change needs one, and you have none".to_owned(),
            };
            return Err(Error::invalid(FIELD, how));
        }
        None => {}
    }
    if password.is_empty() {
        return Err(Error::invalid(FIELD, "type your password to confirm that it is you"));
    }
    let password = Password::new(password);
    let source = SignInSource::in_session(&call.req, user.id, session);
    match check(&call.app, user.name.as_str(), password, &source).await {
        Ok(login) if login.id == user.id => Ok(()),
        Ok(_) | Err(Error::BadCredential(_)) => Err(Error::invalid(FIELD, "incorrect password")),
        Err(error) => Err(error),
    }
}
