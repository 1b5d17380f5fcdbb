//! Sign-in with OpenID Connect providers: discovery, the way to the provider and back, and what its ID token proves.
//! Nothing here touches the database.
//!
//! The flow is the authorization code flow with PKCE (RFC 7636, S256). An ID token counts only with exactly this issuer
//! and this client as its audience, an asymmetric signature by one of the provider's published keys, the nonce of this
//! sign-in, and times within [`SKEW`].

mod claims;
mod diagnosis;
mod flow;
mod http;
mod provider;

pub use claims::Person;
pub use diagnosis::{Diagnosis, Finding};
pub use flow::{Demand, Refusal, Returned, Started};
pub use provider::{Provider, Unreachable};

use crate::config::OidcConfig;
use crate::domain::clock::Timestamp;
use crate::outbound::Allowed;
use std::sync::Arc;
use std::time::Duration;

/// How far the provider's clock and ours may differ.
pub const SKEW: Duration = Duration::from_secs(60);

/// The configured providers.
#[derive(Debug, Default)]
pub struct Providers(Vec<Arc<Provider>>);

impl Providers {
    /// The providers of a configuration. Each may be reached wherever it is, and beyond that only what is allowed.
    pub fn new(configs: &[OidcConfig], allowed: &Allowed) -> Self {
        Self(configs.iter().map(|config| Arc::new(Provider::new(config.clone(), allowed))).collect())
    }

    /// All of them, in the order of the configuration.
    pub fn all(&self) -> &[Arc<Provider>] {
        &self.0
    }

    /// The provider with this name.
    pub fn find(&self, name: &str) -> Option<&Arc<Provider>> {
        self.0.iter().find(|provider| provider.config().name.as_str() == name)
    }

    /// The provider with this issuer.
    pub fn of_issuer(&self, issuer: &str) -> Option<&Arc<Provider>> {
        self.0.iter().find(|provider| provider.config().issuer == issuer)
    }
}

/// The time in the terms of the library.
fn moment(time: Timestamp) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp(time.unix(), 0).unwrap_or_default()
}
