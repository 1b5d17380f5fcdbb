//! What a provider says about a person.

use openidconnect::AdditionalClaims;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;

/// The claims that the library doesn't know, such as groups.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct OtherClaims(pub(super) Map<String, Value>);

impl AdditionalClaims for OtherClaims {}

/// A person whom a provider vouches for. Issuer and subject together are their identity; all else may change, and an
/// email address may be anybody's.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    pub issuer: String,
    pub subject: String,
    pub email: Option<String>,
    /// Whether the provider says that the address is theirs.
    pub email_verified: bool,
    pub user_name: String,
    pub full_name: String,
    /// Their groups; `None` if the provider doesn't send them because there are too many.
    pub groups: Option<BTreeSet<String>>,
    /// The token itself, for signing out.
    pub id_token: String,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person").field("issuer", &self.issuer).field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// All claims of an ID token, and those of the userinfo endpoint that it lacks.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    pub(super) fn new(id_token: &impl Serialize) -> Self {
        match serde_json::to_value(id_token) {
            Ok(Value::Object(claims)) => Self(claims),
            _ => Self(Map::new()),
        }
    }

    /// Adds the claims that are missing.
    pub(super) fn complete(&mut self, others: &impl Serialize) {
        if let Ok(Value::Object(others)) = serde_json::to_value(others) {
            // An address and whether it is verified belong together.
            let has_email = self.has("email");
            for (name, value) in others {
                if !(has_email && name == "email_verified") {
                    self.0.entry(name).or_insert(value);
                }
            }
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// The time of a claim, in seconds.
    pub(super) fn seconds(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_f64).map(|seconds| seconds as i64)
    }

    fn text(&self, name: &str) -> Option<String> {
        let text = self.0.get(name)?.as_str()?.trim();
        (!text.is_empty() && !text.contains('\0')).then(|| text.to_owned())
    }

    /// Whether the groups of this claim are too many for the token, so that it has only a reference to them
    /// (OpenID Connect Core §5.6.2), as Entra ID does.
    fn are_elsewhere(&self, claim: &str) -> bool {
        self.0.get("_claim_names").and_then(Value::as_object).is_some_and(|names| names.contains_key(claim))
    }

    /// The groups of a claim: a list of texts, or one text.
    fn groups(&self, claim: &str) -> Option<BTreeSet<String>> {
        match self.0.get(claim) {
            Some(Value::Array(list)) => Some(list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()),
            Some(Value::String(one)) => Some(BTreeSet::from([one.clone()])),
            _ if self.are_elsewhere(claim) => None,
            _ => Some(BTreeSet::new()),
        }
    }

    pub(super) fn into_person(self, issuer: &str, subject: String, groups_claim: &str, id_token: String) -> Person {
        let email = self.text("email");
        let verified = match self.0.get("email_verified") {
            Some(Value::Bool(verified)) => *verified,
            Some(Value::String(word)) => word == "true",
            _ => false,
        };
        let user_name = self.text("preferred_username").or_else(|| self.text("nickname")).or_else(|| email.clone());
        Person {
            issuer: issuer.to_owned(),
            subject,
            email_verified: verified && email.is_some(),
            user_name: user_name.unwrap_or_default(),
            full_name: self.text("name").unwrap_or_default(),
            groups: self.groups(groups_claim),
            email,
            id_token,
        }
    }
}
