//! Access tokens, wherever a request presents one.

use crate::domain::secret::TokenSecret;
use crate::error::{Error, Result};
use crate::registry::caller::{BAD_TOKEN, Credential};

/// What is said of a field `Authorization` that is none of the known kinds.
pub(super) const NOT_UNDERSTOOD: Error = Error::BadCredential(
    "the Authorization field is not understood: send Bearer or token with an access token, or Basic",
);

/// The credential that a token stands for.
pub(super) fn token(text: &str) -> Result<Credential> {
    let secret: TokenSecret = text.parse().map_err(|_| BAD_TOKEN)?;
    Ok(Credential::Token(secret.hash()))
}
