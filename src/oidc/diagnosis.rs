//! What works with a provider and what doesn't, for the administrators who set it up.

use super::SKEW;
use super::provider::Provider;
use crate::domain::clock::Timestamp;
use crate::outbound::MAX_DOCUMENT;
use openidconnect::JwsSigningAlgorithm;
use openidconnect::core::CoreJwsSigningAlgorithm;

/// One result of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was tested.
    pub what: &'static str,
    pub is_good: bool,
    pub text: String,
}

/// The results of a test, in the order of the steps.
#[derive(Debug, Clone, Default)]
pub struct Diagnosis(pub Vec<Finding>);

impl Diagnosis {
    fn add(&mut self, what: &'static str, is_good: bool, text: impl Into<String>) {
        self.0.push(Finding { what, is_good, text: text.into() });
    }

    /// Whether everything works.
    pub fn is_good(&self) -> bool {
        self.0.iter().all(|finding| finding.is_good)
    }
}

impl Provider {
    /// Tests everything that can be tested without a person: discovery, issuer, keys, algorithms, endpoints, and the
    /// difference between the clocks.
    pub async fn diagnose(&self, redirect_uri: &str, now: Timestamp) -> Diagnosis {
        let mut found = Diagnosis::default();
        self.diagnose_clock(&mut found, now).await;
        let is_https = |url: &str| url.starts_with("https://");
        if !is_https(redirect_uri) {
            let text = format!("{redirect_uri} is not https, which most providers demand: set public_url");
            found.add("Redirect address", false, text);
        }
        // Fetched anew, whatever is known: something was probably just changed.
        let metadata = match self.fetch(now).await {
            Ok(metadata) => metadata,
            Err(failure) => {
                found.add("Discovery", false, failure.to_string());
                return found;
            }
        };
        found.add("Discovery", true, format!("{} describes itself as configured", self.config().issuer));
        let keys = metadata.jwks().keys().len();
        let text = format!("{keys} at {}", metadata.jwks_uri().as_str());
        found.add("Keys", keys > 0, text);
        let offered = metadata.id_token_signing_alg_values_supported();
        let usable: Vec<String> = offered
            .iter()
            .filter(|algorithm| **algorithm != CoreJwsSigningAlgorithm::None && !algorithm.uses_shared_secret())
            .map(|algorithm| format!("{algorithm:?}"))
            .collect();
        let text = match usable.is_empty() {
            true => "the provider offers no asymmetric algorithm for ID tokens, such as RS256".to_owned(),
            false => usable.join(", "),
        };
        found.add("Signatures", !usable.is_empty(), text);
        match metadata.token_endpoint() {
            Some(url) => found.add("Token endpoint", true, url.as_str()),
            None => found.add("Token endpoint", false, "the provider has none, so it can't be used with a code"),
        }
        let names_itself = metadata.additional_metadata().authorization_response_iss_parameter_supported;
        let ends = metadata.additional_metadata().end_session_endpoint.is_some();
        let also = |has: bool, good: &str, bad: &str| if has { good.to_owned() } else { bad.to_owned() };
        found.add("Signing out", true, also(ends, "can end the provider's session too", "ends only the session here"));
        found.add(
            "Mix-up protection",
            true,
            also(
                names_itself,
                "the provider names itself in its answers (RFC 9207)",
                "the provider doesn't name itself",
            ),
        );
        found
    }

    /// Compares the clock of the provider with ours.
    async fn diagnose_clock(&self, found: &mut Diagnosis, now: Timestamp) {
        let url = format!("{}/.well-known/openid-configuration", self.config().issuer.trim_end_matches('/'));
        let Ok(answer) = self.outbound().get(&url, &[], MAX_DOCUMENT).await else { return };
        let Some(date) = answer.header("date").and_then(|date| httpdate::parse_http_date(date).ok()) else { return };
        let (theirs, ours) = (Timestamp::from(date), now);
        let apart = if theirs > ours { theirs.since(ours) } else { ours.since(theirs) };
        let direction = if theirs > ours { "ahead of" } else { "behind" };
        let text = match apart <= SKEW {
            true => format!("differs from this server's by {} s", apart.as_secs()),
            false => format!(
                "is {} s {direction} this server's; more than {} s make tokens invalid: set both by NTP",
                apart.as_secs(),
                SKEW.as_secs()
            ),
        };
        found.add("Clock", apart <= SKEW, text);
    }
}
