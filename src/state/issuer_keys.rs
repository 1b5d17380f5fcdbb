//! The public keys of issuers of identity tokens, found by OpenID Connect Discovery and kept for as long as the issuer
//! says. Callers ask only about issuers that a publisher names, so nobody can make the server contact any other.

use crate::domain::clock::Timestamp;
use crate::domain::publisher::IssuerUrl;
use crate::outbound::{Allowed, Outbound, origin};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Mutex as AsyncMutex;

/// How long keys are kept if the issuer doesn't say.
const DEFAULT_LIFE: Duration = Duration::from_secs(3600);
/// The longest time for which keys are kept, whatever the issuer says: a key that leaked stays good for no longer.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// An issuer is asked at most once in this time, whatever it answers and whichever keys are wanted.
const PAUSE: Duration = Duration::from_secs(60);
/// The most keys of an issuer that are looked at.
const MOST_KEYS: usize = 100;
/// The most issuers whose keys are kept.
const MOST_ISSUERS: usize = 1000;
/// The fewest bytes in an RSA modulus: 2,048 bits (NIST SP 800-131A).
const LEAST_MODULUS: usize = 256;

/// What is known of an issuer.
#[derive(Default)]
struct Known {
    keys: Vec<Jwk>,
    /// Until when the keys can be used without asking again.
    fresh_until: Option<Timestamp>,
    asked_at: Option<Timestamp>,
    /// Why the last attempt failed.
    failure: Option<String>,
}

impl Known {
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.fresh_until.is_some_and(|until| now < until && until <= now.latest_end_of(LONGEST_LIFE))
    }

    fn may_ask(&self, now: Timestamp) -> bool {
        // A time in the future comes from a clock that was ahead.
        self.asked_at.is_none_or(|at| at > now || now.since(at) >= PAUSE)
    }
}

/// The part of the discovery document that is needed.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// The keys of all issuers.
pub struct IssuerKeys {
    outbound: Outbound,
    /// Issuers that may have no TLS, or be in the private network.
    allowed: Vec<String>,
    known: Mutex<HashMap<String, Arc<AsyncMutex<Known>>>>,
}

impl IssuerKeys {
    /// `issuers` may have no TLS or be in the private network; `timeout` is for each of an issuer's documents.
    pub fn new(allowed: Allowed, issuers: Vec<String>, timeout: Duration) -> Self {
        let origins = issuers.iter().filter_map(|issuer| origin(issuer)).collect();
        let outbound = Outbound::new(Allowed { origins, ..allowed }, timeout);
        Self { outbound, allowed: issuers, known: Mutex::default() }
    }

    /// Checks whether this server would ask an issuer for its keys, as far as possible without asking.
    ///
    /// # Errors
    /// The reason, for whoever names the issuer.
    pub fn check(&self, issuer: &IssuerUrl) -> Result<(), String> {
        if !issuer.is_secure() && !self.allowed.iter().any(|allowed| allowed == issuer.as_str()) {
            return Err("an issuer needs https; an administrator can allow another one with \
                        trusted_publishing.allowed_issuers"
                .to_owned());
        }
        self.outbound.check(issuer.as_str()).map_err(|why| why.to_string())
    }

    /// The keys of an issuer that can verify a token with this algorithm and key ID. If there is none, the issuer is
    /// asked again, at most once a minute.
    ///
    /// # Errors
    /// Why there is none, for the log.
    pub async fn find(
        &self,
        issuer: &IssuerUrl,
        (algorithm, kid): (Algorithm, Option<&str>),
        now: Timestamp,
    ) -> Result<Vec<Jwk>, String> {
        let known = self.entry(issuer);
        // Requests that need the same issuer wait for one answer.
        let mut known = known.lock().await;
        let matching = |known: &Known| -> Vec<Jwk> {
            known.keys.iter().filter(|key| fits(key, algorithm, kid)).cloned().collect()
        };
        if known.is_fresh(now) {
            let found = matching(&known);
            if !found.is_empty() {
                return Ok(found);
            }
        }
        if known.may_ask(now) {
            known.asked_at = Some(now);
            match self.fetch(issuer).await {
                Ok((keys, life)) => {
                    *known = Known { keys, fresh_until: Some(now.plus(life)), asked_at: Some(now), failure: None };
                }
                Err(failure) => known.failure = Some(failure),
            }
        }
        let found = if known.is_fresh(now) { matching(&known) } else { Vec::new() };
        match (found.is_empty(), &known.failure) {
            (false, _) => Ok(found),
            (true, Some(failure)) => Err(failure.clone()),
            (true, None) => Err(format!("the issuer has no key {} for {algorithm:?}", kid.unwrap_or("without a name"))),
        }
    }

    fn entry(&self, issuer: &IssuerUrl) -> Arc<AsyncMutex<Known>> {
        let mut all = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if all.len() >= MOST_ISSUERS && !all.contains_key(issuer.as_str()) {
            all.clear();
        }
        Arc::clone(all.entry(issuer.to_string()).or_default())
    }

    async fn fetch(&self, issuer: &IssuerUrl) -> Result<(Vec<Jwk>, Duration), String> {
        self.check(issuer)?;
        let url = issuer.discovery();
        let found = self.outbound.get_json::<Discovery>(&url).await;
        let (discovery, _) = found.map_err(|why| format!("cannot read {url}: {why}"))?;
        if discovery.issuer != issuer.as_str() {
            return Err(format!("{url} is about another issuer, {:?}", discovery.issuer));
        }
        let url = discovery.jwks_uri;
        let is_allowed =
            self.allowed.iter().any(|allowed| origin(allowed).is_some() && origin(allowed) == origin(&url));
        if !url.starts_with("https://") && !is_allowed {
            return Err(format!("the keys at {url} need https"));
        }
        let found = self.outbound.get_json::<KeySet>(&url).await;
        let (set, answer) = found.map_err(|why| format!("cannot read {url}: {why}"))?;
        let keys = set.keys.into_iter().take(MOST_KEYS).filter_map(|key| serde_json::from_value(key).ok());
        let life = answer.fresh_for().unwrap_or(DEFAULT_LIFE).clamp(PAUSE, LONGEST_LIFE);
        Ok((keys.collect(), life))
    }
}

/// Whether a key is one that can verify a signature with this algorithm.
fn fits(key: &Jwk, algorithm: Algorithm, kid: Option<&str>) -> bool {
    let common = &key.common;
    let is_named = kid.is_none_or(|kid| common.key_id.as_deref() == Some(kid));
    let is_for_signatures = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let has_algorithm = common.key_algorithm.is_none_or(|own| format!("{own:?}") == format!("{algorithm:?}"));
    let is_of_kind = match &key.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            algorithm.family() == AlgorithmFamily::Rsa && rsa.n.len() * 3 / 4 >= LEAST_MODULUS
        }
        AlgorithmParameters::EllipticCurve(_) => algorithm.family() == AlgorithmFamily::Ec,
        AlgorithmParameters::OctetKeyPair(_) => algorithm.family() == AlgorithmFamily::Ed,
        _ => false,
    };
    is_named && is_for_signatures && has_algorithm && is_of_kind
}

impl std::fmt::Debug for IssuerKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuerKeys").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}
