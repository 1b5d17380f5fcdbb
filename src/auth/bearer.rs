//! Access tokens, wherever a request sends one.

use crate::domain::secret::TokenSecret;
use crate::error::{Error, Result};
use crate::registry::caller::{BAD_TOKEN, Credential};

/// The error for an `Authorization` header of an unknown kind.
pub(super) const NOT_UNDERSTOOD: Error = Error::BadCredential(
    "the Authorization field is not understood: send Bearer or token with an access token, or Basic",
);

/// The credential that the token in the address of a feed belongs to.
pub(super) fn feed_token(text: &str) -> Result<Credential> {
    let secret: TokenSecret = text.parse().map_err(|_| BAD_TOKEN)?;
    Ok(Credential::FeedToken(secret.hash()))
}

/// The credential that a token belongs to.
pub(super) fn token(text: &str) -> Result<Credential> {
    let secret: TokenSecret = text.parse().map_err(|_| BAD_TOKEN)?;
    Ok(Credential::Token(secret.hash()))
}
