//! The server's part of Web Authentication (W3C, Level 3): what it asks browsers, and what their answers prove. Passkeys
//! are discoverable credentials, and the authenticator verifies its user each time.

use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::public_url::PublicUrl;
use crate::domain::secret::MasterKey;
use crate::error::{Error, Result};
use core::net::IpAddr;
use serde_json::Value;
use std::fmt;
use webauthn_rp::bin::{Decode, Encode};
use webauthn_rp::request::auth::AuthenticationVerificationOptions;
use webauthn_rp::request::register::{
    CredProtect, PublicKeyCredentialUserEntity, RegistrationVerificationOptions, UserHandle, Username,
};
use webauthn_rp::request::{AsciiDomain, ExtensionInfo, PublicKeyCredentialDescriptor, RpId};
use webauthn_rp::response::auth::error::AuthCeremonyErr;
use webauthn_rp::response::register::{CompressedPubKey, DynamicState, StaticState};
use webauthn_rp::response::{AuthTransports, CredentialId};
use webauthn_rp::{
    AuthenticatedCredential, DiscoverableAuthentication, DiscoverableAuthenticationServerState,
    DiscoverableCredentialRequestOptions, PublicKeyCredentialCreationOptions, Registration, RegistrationServerState,
};

/// Bytes of the handle by which authenticators know a user (§5.4.3: up to 64, and nothing personal).
const HANDLE_BYTES: usize = 32;

type Handle = UserHandle<HANDLE_BYTES>;
type PublicKey = CompressedPubKey<[u8; 32], [u8; 32], [u8; 48], Vec<u8>>;

/// The site as browsers and authenticators know it.
#[derive(Debug)]
pub struct RelyingParty {
    id: RpId,
    origin: String,
}

/// A request to a passkey: what the server keeps of it, and the options for the browser's API as JSON (§5.1.8, §5.1.9).
#[derive(Debug)]
pub struct Asked {
    pub kept: Vec<u8>,
    pub options: Value,
}

/// The user of a new passkey, as the authenticator shows them.
#[derive(Debug, Clone)]
pub struct PasskeyUser {
    pub name: OwnerName,
    handle: [u8; HANDLE_BYTES],
}

impl PasskeyUser {
    /// The handle is derived from the instance's key, so that it says nothing and is the same for all passkeys of a user:
    /// an authenticator then replaces the old one instead of keeping both.
    pub fn new(key: &MasterKey, id: OwnerId, name: OwnerName) -> Self {
        let key = MasterKey::new(key.derive("handles of passkeys"));
        Self { name, handle: key.authenticate(&[&id.0.to_le_bytes()]) }
    }
}

/// A credential that an authenticator may have already, so that it makes no second one.
#[derive(Debug, Clone)]
pub struct KnownCredential {
    pub id: Vec<u8>,
    pub transports: i16,
}

/// A new credential, in the form in which it is stored.
#[derive(Debug, Clone)]
pub struct Registered {
    pub credential_id: Vec<u8>,
    pub user_handle: Vec<u8>,
    pub public_key: Vec<u8>,
    pub state: Vec<u8>,
    pub transports: i16,
}

/// What is stored of a credential and needed to judge an answer.
#[derive(Debug, Clone, Copy)]
pub struct StoredCredential<'a> {
    pub user_handle: &'a [u8],
    pub public_key: &'a [u8],
    pub state: &'a [u8],
}

/// Why an answer is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The signature is right, but the counter of uses did not grow (§6.1.1): somebody may have copied the passkey.
    Counter,
    /// Anything else, in words for the log.
    Answer(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counter => f.write_str("the counter of uses went backwards"),
            Self::Answer(why) => f.write_str(why),
        }
    }
}

fn refused(why: impl fmt::Display) -> Refusal {
    Refusal::Answer(why.to_string())
}

fn internal(why: impl fmt::Display) -> Error {
    Error::internal(anyhow::anyhow!("passkeys: {why}"))
}

/// The answer of a browser to [`RelyingParty::ask`].
#[derive(Debug)]
pub struct Answer(DiscoverableAuthentication<HANDLE_BYTES>);

impl Answer {
    /// Parses an `AuthenticationResponseJSON` (§5.1.8).
    ///
    /// # Errors
    /// [`Refusal::Answer`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        DiscoverableAuthentication::from_json_relaxed(text.as_bytes()).map(Self).map_err(refused)
    }

    /// The credential that answers.
    pub fn credential_id(&self) -> Vec<u8> {
        self.0.raw_id().as_ref().to_vec()
    }
}

impl RelyingParty {
    /// The relying party at the site's address; `None` for one where browsers have no passkeys: without https (except on
    /// `localhost`), or with the address of a network instead of a name (§5.1.2).
    pub fn of(url: &PublicUrl) -> Option<Self> {
        let host = url.host();
        let is_local = host == "localhost" || host.ends_with(".localhost");
        let is_name = host.parse::<IpAddr>().is_err() && !host.starts_with('[');
        if !is_name || !(url.is_secure() || is_local) {
            return None;
        }
        let mut domain = AsciiDomain::try_from(host.to_owned()).ok()?;
        domain.remove_trailing_dot();
        Some(Self { id: RpId::Domain(domain), origin: url.origin().to_owned() })
    }

    /// Asks for a new passkey.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn ask_for_new(&self, user: &PasskeyUser, known: &[KnownCredential]) -> Result<Asked> {
        let Ok(handle) = Handle::decode(user.handle);
        let name = Username::try_from(user.name.as_str()).map_err(internal)?;
        let entity = PublicKeyCredentialUserEntity { name, id: &handle, display_name: None };
        let descriptor = |known: &KnownCredential| {
            Some(PublicKeyCredentialDescriptor {
                id: CredentialId::decode(known.id.clone()).ok()?,
                transports: AuthTransports::decode(u8::try_from(known.transports).ok()?).ok()?,
            })
        };
        let known = known.iter().filter_map(descriptor).collect();
        let mut options = PublicKeyCredentialCreationOptions::passkey(&self.id, entity, known);
        // Security keys then never sign without their PIN. Others don't know the extension, and need not.
        options.extensions.cred_protect = CredProtect::UserVerificationRequired(ExtensionInfo::AllowDontEnforceValue);
        let (server, client) = options.start_ceremony().map_err(internal)?;
        let kept = server.encode().map_err(internal)?;
        Ok(Asked { kept, options: serde_json::to_value(&client).map_err(Error::internal)? })
    }

    /// The new passkey in a `RegistrationResponseJSON` (§7.1).
    ///
    /// # Errors
    /// [`Refusal::Answer`].
    pub fn accept_new(&self, kept: &[u8], answer: &str) -> Result<Registered, Refusal> {
        let asked = RegistrationServerState::<HANDLE_BYTES>::decode(kept).map_err(refused)?;
        let answer = Registration::from_json_relaxed(answer.as_bytes()).map_err(refused)?;
        let origins = [self.origin.as_str()];
        let options = RegistrationVerificationOptions::<'_, '_, &str, &str> {
            allowed_origins: &origins,
            error_on_unsolicited_extensions: false,
            ..RegistrationVerificationOptions::default()
        };
        let new = asked.verify(&self.id, &answer, &options).map_err(refused)?;
        let (Ok(public_key), Ok(state)) = (new.static_state().encode(), new.dynamic_state().encode());
        let (Ok(transports), Ok(user_handle)) = (new.transports().encode(), new.user_id().encode());
        Ok(Registered {
            credential_id: new.id().as_ref().to_vec(),
            user_handle: user_handle.to_vec(),
            public_key,
            state: state.to_vec(),
            transports: i16::from(transports),
        })
    }

    /// Asks for any passkey of this site.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn ask(&self) -> Result<Asked> {
        let options = DiscoverableCredentialRequestOptions::passkey(&self.id);
        let (server, client) = options.start_ceremony().map_err(internal)?;
        let kept = server.encode().map_err(internal)?;
        Ok(Asked { kept, options: serde_json::to_value(&client).map_err(Error::internal)? })
    }

    /// Checks an answer against the stored credential that it names, and gives its new state (§7.2).
    ///
    /// # Errors
    /// The [`Refusal`].
    pub fn accept(&self, kept: &[u8], answer: &Answer, stored: StoredCredential<'_>) -> Result<Vec<u8>, Refusal> {
        let asked = DiscoverableAuthenticationServerState::decode(kept).map_err(refused)?;
        let handle: [u8; HANDLE_BYTES] = stored.user_handle.try_into().map_err(refused)?;
        let Ok(handle) = Handle::decode(handle);
        let key = StaticState::<PublicKey>::decode(stored.public_key).map_err(refused)?;
        let state = DynamicState::decode(stored.state.try_into().map_err(refused)?).map_err(refused)?;
        let mut credential = AuthenticatedCredential::new(answer.0.raw_id(), &handle, key, state).map_err(refused)?;
        let origins = [self.origin.as_str()];
        let options = AuthenticationVerificationOptions::<'_, '_, &str, &str> {
            allowed_origins: &origins,
            error_on_unsolicited_extensions: false,
            ..AuthenticationVerificationOptions::default()
        };
        asked.verify(&self.id, &answer.0, &mut credential, &options).map_err(|error| match error {
            AuthCeremonyErr::SignatureCounter => Refusal::Counter,
            other => refused(other),
        })?;
        let Ok(state) = credential.dynamic_state().encode();
        Ok(state.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passkeys_exist_at_https_addresses_with_a_name_and_on_localhost() {
        let of =
            |url: &str| RelyingParty::of(&url.parse().unwrap()).map(|site| (site.id.as_ref().to_owned(), site.origin));
        for (url, id, origin) in [
            ("https://packages.example.org", "packages.example.org", "https://packages.example.org"),
            ("https://Example.org:8443/packages", "example.org", "https://example.org:8443"),
            ("https://bücher.example", "xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("http://localhost:3000", "localhost", "http://localhost:3000"),
        ] {
            assert_eq!(of(url), Some((id.to_owned(), origin.to_owned())), "{url}");
        }
        for url in
            ["http://packages.example.org", "https://192.0.2.1", "https://[2001:db8::1]", "http://127.0.0.1:3000"]
        {
            assert_eq!(of(url), None, "{url}");
        }
    }
}
