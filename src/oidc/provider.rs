//! A provider and what is known of it: its metadata and keys, which are fetched when first needed.

use super::http::{RequestFailed, send};
use crate::config::OidcConfig;
use crate::domain::clock::Timestamp;
use crate::outbound::{Allowed, Outbound, origin};
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
    CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, DiscoveryError, IssuerUrl, ProviderMetadata};
use serde::{Deserialize, Serialize};
use std::error::Error as StdError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long metadata and keys are used before they are fetched again.
const FRESH: Duration = Duration::from_secs(3600);
/// How long to wait after a failure before trying again, and between looks for new keys.
const RETRY: Duration = Duration::from_secs(60);

/// The metadata that the library doesn't know.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct MoreMetadata {
    #[serde(default)]
    pub(super) end_session_endpoint: Option<String>,
    /// Whether the provider names itself when it sends people back (RFC 9207).
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for MoreMetadata {}

pub(super) type Metadata = ProviderMetadata<
    MoreMetadata,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// Why a provider can't be used now, in words for administrators.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub(super) String);

/// What was last found out.
#[derive(Debug, Clone, Default)]
struct Known {
    metadata: Option<(Arc<Metadata>, Timestamp)>,
    /// When new keys were last looked for because a token had an unknown one.
    refreshed: Option<Timestamp>,
    /// The last failure, if nothing worked since.
    failure: Option<(Unreachable, Timestamp)>,
}

/// A provider.
#[derive(Debug)]
pub struct Provider {
    config: OidcConfig,
    outbound: Outbound,
    known: Mutex<Known>,
    /// Held while fetching, so that many sign-ins at once fetch once.
    fetching: tokio::sync::Mutex<()>,
}

impl Provider {
    pub(super) fn new(config: OidcConfig, allowed: &Allowed) -> Self {
        let origins = allowed.origins.iter().cloned().chain(origin(&config.issuer)).collect();
        let allowed = Allowed { origins, ..allowed.clone() };
        let outbound = Outbound::new(allowed, Duration::from_secs(config.timeout_seconds));
        Self { config, outbound, known: Mutex::default(), fetching: tokio::sync::Mutex::default() }
    }

    /// Its part of the configuration.
    pub fn config(&self) -> &OidcConfig {
        &self.config
    }

    pub(super) fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Why the provider can't be used, as far as is known.
    pub fn failure(&self) -> Option<Unreachable> {
        self.known().failure.map(|(failure, _)| failure)
    }

    /// Whether it is time to find out in the background if the provider can be used.
    pub fn wants_look(&self, now: Timestamp) -> bool {
        let known = self.known();
        match known.failure {
            Some((_, at)) => now.since(at) >= RETRY || at > now,
            None => known.metadata.is_none(),
        }
    }

    /// The address that ends the provider's own session, if it has one and is known.
    pub fn end_session_endpoint(&self) -> Option<String> {
        let (metadata, _) = self.known().metadata?;
        metadata
            .additional_metadata()
            .end_session_endpoint
            .clone()
            .filter(|url| url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "https" | "http")))
    }

    /// The metadata, fetched if none is known or it is old. If it is only old and can't be fetched, it still counts.
    ///
    /// # Errors
    /// [`Unreachable`].
    pub(super) async fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, Unreachable> {
        let is_fresh = |at: Timestamp| at <= now && now.since(at) < FRESH;
        let _turn = self.fetching.lock().await;
        let old = match self.known().metadata {
            Some((metadata, at)) if is_fresh(at) => return Ok(metadata),
            other => other,
        };
        match (self.fetch(now).await, old) {
            (Err(_), Some((old, _))) => Ok(old),
            (fetched, _) => fetched,
        }
    }

    /// Finds out whether the provider can be used.
    ///
    /// # Errors
    /// [`Unreachable`].
    pub async fn look(&self, now: Timestamp) -> Result<(), Unreachable> {
        self.metadata(now).await.map(drop)
    }

    /// The metadata with new keys, for a token whose key is unknown; `None` if that was tried a moment ago.
    pub(super) async fn with_new_keys(&self, now: Timestamp) -> Option<Arc<Metadata>> {
        let _turn = self.fetching.lock().await;
        if self.known().refreshed.is_some_and(|at| at <= now && now.since(at) < RETRY) {
            return None;
        }
        self.change(|known| known.refreshed = Some(now));
        self.fetch(now).await.ok()
    }

    pub(super) async fn fetch(&self, now: Timestamp) -> Result<Arc<Metadata>, Unreachable> {
        let fetched = self.discover().await;
        match &fetched {
            Ok(metadata) => self.change(|known| {
                known.metadata = Some((Arc::clone(metadata), now));
                known.failure = None;
            }),
            Err(failure) => {
                tracing::warn!(provider = %self.config.name, why = %failure, "an OpenID Connect provider can't be used");
                self.change(|known| known.failure = Some((failure.clone(), now)));
            }
        }
        fetched
    }

    async fn discover(&self) -> Result<Arc<Metadata>, Unreachable> {
        let issuer = IssuerUrl::new(self.config.issuer.clone()).map_err(|error| Unreachable(error.to_string()))?;
        let client = |request| send(&self.outbound, request);
        let found = Metadata::discover_async(issuer, &client).await;
        found.map(Arc::new).map_err(|error| Unreachable(explain(&error)))
    }
}

/// The failure of a discovery in words.
fn explain(error: &DiscoveryError<RequestFailed>) -> String {
    match error {
        DiscoveryError::Request(why) => why.to_string(),
        DiscoveryError::Response(_, _, why) => format!("the provider's answer is no JSON document: {why}"),
        DiscoveryError::Validation(why) => {
            format!("the provider calls itself by another issuer than the configuration: {why}")
        }
        other => {
            let cause = other.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("the provider's answer is not as expected: {other}{cause}")
        }
    }
}
