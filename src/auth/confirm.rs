//! Asking signed-in users for their password again.

use super::call::Call;
use super::password::{SignInSource, sign_in};
use crate::domain::secret::Password;
use crate::error::{Error, Result};

/// The form field for the password that is asked for again.
pub const FIELD: &str = "current_password";

/// Asks signed-in users for their password again, before changes that nobody must be able to make with an unattended
/// browser or a stolen cookie. A wrong password counts as a failed sign-in.
///
/// # Errors
/// [`Error::Invalid`] at the field [`FIELD`] for a wrong password; [`Error::Unauthenticated`], [`Error::RateLimited`],
/// [`Error::Busy`].
pub async fn password(call: &Call, password: &str) -> Result<()> {
    if password.is_empty() {
        return Err(Error::invalid(FIELD, "type your password to confirm that it is you"));
    }
    let (user, session) = call.reading(|_, caller| Ok((caller.signed_in()?.clone(), caller.session()))).await?;
    let password = Password::new(password);
    let source = SignInSource::in_session(&call.req, user.id, session);
    match sign_in(&call.app, user.name.as_str(), password, &source).await {
        Ok(login) if login.id == user.id => Ok(()),
        Ok(_) | Err(Error::BadCredential(_)) => Err(Error::invalid(FIELD, "incorrect password")),
        Err(error) => Err(error),
    }
}
