//! Encryption of secrets that the database stores and that the server needs back. The key is kept outside of the
//! database, and each secret is bound to the one owner it belongs to.

use crate::domain::ids::OwnerId;
use crate::domain::secret::{MasterKey, random_bytes};
use crate::error::{Error, Result};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

const NONCE_BYTES: usize = 24;

/// The purpose of an encrypted secret. Each kind has its own key, so that no secret can be used in place of another
/// kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind(&'static str);

/// TOTP seeds of two-factor authentication.
pub(super) const SEED: Kind = Kind("seeds of second factors");
/// TOTP seeds that a page offers.
pub(super) const SEED_OFFER: Kind = Kind("offers of second factors");
/// The secrets that webhooks sign with.
pub(super) const HOOK_SECRET: Kind = Kind("secrets of webhooks");
/// The `Authorization` values that webhooks send.
pub(super) const HOOK_AUTHORIZATION: Kind = Kind("authorizations of webhooks");
/// The secrets of links in mail that is to be sent.
pub(super) const MAIL_CODE: Kind = Kind("links in mail");
/// The names that people type to reset a password.
pub(super) const RESET_NAME: Kind = Kind("names in password resets");

/// What a browser keeps while it is at an OpenID Connect provider.
pub(super) const SIGN_IN_STATE: Kind = Kind("states of sign-ins");
/// What a browser keeps while it asks for a passkey.
pub(super) const PASSKEY_STATE: Kind = Kind("states of passkeys");
/// ID tokens, for signing out at the provider.
pub(super) const SIGN_OUT_HINT: Kind = Kind("hints for signing out");

fn cipher(key: &MasterKey, kind: Kind) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&key.derive(kind.0).into())
}

/// Encrypts a secret for the one owner it belongs to.
///
/// # Errors
/// [`Error::Internal`].
pub(super) fn encrypt(key: &MasterKey, kind: Kind, owner: OwnerId, secret: &[u8]) -> Result<Vec<u8>> {
    let nonce: [u8; NONCE_BYTES] = random_bytes();
    let payload = Payload { msg: secret, aad: &owner.0.to_le_bytes() };
    let sealed = cipher(key, kind)
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| Error::internal(anyhow::anyhow!("cannot encrypt one of the {}", kind.0)))?;
    Ok([&nonce[..], &sealed].concat())
}

/// Decrypts a secret.
///
/// # Errors
/// [`Error::Internal`] with another key, or for another owner.
pub(super) fn decrypt(key: &MasterKey, kind: Kind, owner: OwnerId, sealed: &[u8]) -> Result<Vec<u8>> {
    let wrong = || {
        Error::internal(anyhow::anyhow!(
            "cannot decrypt one of the {} of owner {owner}: is the secret key wrong?",
            kind.0
        ))
    };
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(wrong)?;
    let payload = Payload { msg: sealed, aad: &owner.0.to_le_bytes() };
    cipher(key, kind).decrypt(&XNonce::from(*nonce), payload).map_err(|_| wrong())
}
