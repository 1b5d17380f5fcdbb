//! Values of trusted publishers: which identity tokens of other systems they accept.
//!
//! An identity token says in claims whose job it was given to. A publisher has conditions for these claims. Some of them
//! say whose job it is at all, such as `repository`: only somebody who fulfills these is told which other claim does
//! not fit, so strangers learn nothing about a publisher.

use super::pattern;
use super::role::word;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::str::FromStr;

/// The most bytes of an issuer's address, a claim's name and a value.
pub const MAX_TEXT_BYTES: usize = 255;
/// The most conditions of a publisher.
pub const MAX_CONDITIONS: usize = 20;
/// The most values of a condition.
pub const MAX_VALUES: usize = 50;

/// The claims of an identity token.
pub type Claims = Map<String, Value>;

word!(
    /// The system that issues identity tokens to its jobs: it decides which claims a publisher must have conditions for,
    /// and how pages describe a job.
    Provider, "github, gitlab, forgejo, gitea, kubernetes, other" {
        Other = 0 "other",
        Github = 1 "github",
        Gitlab = 2 "gitlab",
        Forgejo = 3 "forgejo",
        Gitea = 4 "gitea",
        Kubernetes = 5 "kubernetes",
    }
);

impl Provider {
    /// The name in pages.
    pub fn title(self) -> &'static str {
        match self {
            Self::Other => "another system",
            Self::Github => "GitHub Actions",
            Self::Gitlab => "GitLab CI",
            Self::Forgejo => "Forgejo Actions",
            Self::Gitea => "Gitea Actions",
            Self::Kubernetes => "Kubernetes",
        }
    }

    /// The issuer that everybody can get tokens of, if the system has one.
    pub fn shared_issuer(self) -> Option<&'static str> {
        match self {
            Self::Github => Some("https://token.actions.githubusercontent.com"),
            Self::Gitlab => Some("https://gitlab.com"),
            Self::Forgejo | Self::Gitea | Self::Kubernetes | Self::Other => None,
        }
    }

    /// The claim that says whose job it is.
    fn identifying_claim(self) -> &'static str {
        match self {
            Self::Github | Self::Forgejo | Self::Gitea => "repository",
            Self::Gitlab => "project_path",
            Self::Kubernetes | Self::Other => "sub",
        }
    }
}

/// The address of an issuer: the claim `iss`, exactly as its tokens have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerUrl(String);

impl IssuerUrl {
    /// The address as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has TLS.
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Where it describes itself (OpenID Connect Discovery 1.0 §4).
    pub fn discovery(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.0.trim_end_matches('/'))
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is not the address of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use an address such as https://gitlab.example.org, of up to 255 bytes and without a query")]
pub struct InvalidIssuer;

impl FromStr for IssuerUrl {
    type Err = InvalidIssuer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = url::Url::parse(text).map_err(|_| InvalidIssuer)?;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        let has_login = !url.username().is_empty() || url.password().is_some();
        let has_more = url.query().is_some() || url.fragment().is_some();
        let is_web = text.starts_with("https://") || text.starts_with("http://");
        if !is_web || !url.has_host() || has_login || has_more || !is_plain || text.len() > MAX_TEXT_BYTES {
            return Err(InvalidIssuer);
        }
        Ok(Self(text.to_owned()))
    }
}

/// What the value of a claim has to be. Values are compared as they are, in the same case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    Equals(String),
    OneOf(Vec<String>),
    /// `*` matches any characters, and everything else matches itself.
    Glob(String),
}

/// A condition for a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    pub claim: String,
    #[serde(flatten)]
    pub expected: Expected,
}

impl Condition {
    /// A claim with one value.
    pub fn equals(claim: &str, value: impl Into<String>) -> Self {
        Self { claim: claim.to_owned(), expected: Expected::Equals(value.into()) }
    }

    /// A claim whose value matches a pattern.
    pub fn glob(claim: &str, pattern: impl Into<String>) -> Self {
        Self { claim: claim.to_owned(), expected: Expected::Glob(pattern.into()) }
    }

    /// A claim whose value matches a pattern if that has a `*`, or else equals it.
    pub fn like(claim: &str, text: &str) -> Self {
        if text.contains('*') { Self::glob(claim, text) } else { Self::equals(claim, text) }
    }

    fn holds(&self, claims: &Claims) -> bool {
        let Some(value) = text_of(claims, &self.claim) else { return false };
        match &self.expected {
            Expected::Equals(one) => *one == value,
            Expected::OneOf(all) => all.contains(&value),
            Expected::Glob(glob) => pattern::matches(glob, &value),
        }
    }

    fn values(&self) -> &[String] {
        match &self.expected {
            Expected::Equals(one) | Expected::Glob(one) => std::slice::from_ref(one),
            Expected::OneOf(all) => all,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.expected {
            Expected::Equals(one) | Expected::Glob(one) => write!(f, "{} = {one}", self.claim),
            Expected::OneOf(all) => write!(f, "{} = {}", self.claim, all.join(" or ")),
        }
    }
}

/// The value of a claim as text, if it is a text, a number, or true or false.
pub fn text_of(claims: &Claims, claim: &str) -> Option<String> {
    match claims.get(claim)? {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whom a publisher trusts: the issuer and the claims of its identity tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    pub provider: Provider,
    pub issuer: IssuerUrl,
    pub conditions: Vec<Condition>,
    /// The claim `environment`, exactly.
    pub environment: Option<String>,
}

/// What a publisher says of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgment {
    Accepted,
    /// The job is none of those that the publisher is about.
    Stranger,
    /// The job is the publisher's, but this claim does not fit.
    Misfit(String),
}

/// A publisher that would be useless or dangerous: the field, and what to do.
pub type Problem = (&'static str, String);

impl Trust {
    /// Checks the conditions.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn check(&self) -> Result<(), Problem> {
        let wrong = |problem: String| Err(("conditions", problem));
        if self.conditions.len() > MAX_CONDITIONS {
            return wrong(format!("use at most {MAX_CONDITIONS} conditions"));
        }
        let is_text =
            |text: &str| !text.is_empty() && text.len() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control);
        for condition in &self.conditions {
            let (claim, values) = (&condition.claim, condition.values());
            if !is_text(claim) || values.is_empty() || values.len() > MAX_VALUES || !values.iter().all(|v| is_text(v)) {
                return wrong(format!(
                    "a condition has a claim and 1 to {MAX_VALUES} values, each of 1 to {MAX_TEXT_BYTES} bytes \
                     without control characters: {claim:?} has not"
                ));
            }
        }
        if self.environment.as_deref().is_some_and(|text| !is_text(text)) {
            return Err(("environment", format!("use 1 to {MAX_TEXT_BYTES} bytes without control characters")));
        }
        let shared = [Provider::Github, Provider::Gitlab];
        let shared = shared.into_iter().find(|known| known.shared_issuer() == Some(self.issuer.as_str()));
        if let Some(known) = shared.filter(|known| *known != self.provider) {
            return Err(("provider", format!("this issuer is {}: use the provider {known}", known.title())));
        }
        let claim = self.provider.identifying_claim();
        let is_wide = |condition: &&Condition| match &condition.expected {
            Expected::Glob(glob) => glob.starts_with('*'),
            Expected::Equals(_) | Expected::OneOf(_) => false,
        };
        let of_claim: Vec<&Condition> = self.conditions.iter().filter(|one| one.claim == claim).collect();
        match self.provider {
            Provider::Other if self.conditions.is_empty() => {
                wrong("without a condition, every token of the issuer could publish: use at least one".to_owned())
            }
            Provider::Other => Ok(()),
            _ if of_claim.is_empty() || of_claim.iter().all(is_wide) => wrong(format!(
                "{} needs a condition for the claim {claim} that does not begin with *: without it, others could \
                 publish",
                self.provider.title()
            )),
            _ => Ok(()),
        }
    }

    /// Whether a condition says whose job it is.
    fn identifies(&self, condition: &Condition) -> bool {
        let claim = self.provider.identifying_claim();
        // A publisher for another system without a condition for `sub` tells by all of them.
        let is_known = self.conditions.iter().any(|one| one.claim == claim);
        condition.claim == claim || !is_known
    }

    /// Judges the verified claims of a token of this issuer.
    pub fn judge(&self, claims: &Claims) -> Judgment {
        let misses = |condition: &&Condition| !condition.holds(claims);
        if self.conditions.iter().filter(|one| self.identifies(one)).any(|one| misses(&one)) {
            return Judgment::Stranger;
        }
        if let Some(condition) = self.conditions.iter().find(misses) {
            return Judgment::Misfit(condition.claim.clone());
        }
        match &self.environment {
            Some(wanted) if text_of(claims, "environment").as_ref() != Some(wanted) => {
                Judgment::Misfit("environment".to_owned())
            }
            _ => Judgment::Accepted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: Value) -> Claims {
        value.as_object().unwrap().clone()
    }

    fn github(conditions: Vec<Condition>) -> Trust {
        let issuer = Provider::Github.shared_issuer().unwrap().parse().unwrap();
        Trust { provider: Provider::Github, issuer, conditions, environment: None }
    }

    #[test]
    fn issuers_are_plain_web_addresses_and_stay_as_written() {
        for good in ["https://gitlab.com", "http://127.0.0.1:8080", "https://example.org/api/actions", "https://a/"] {
            assert_eq!(good.parse::<IssuerUrl>().unwrap().as_str(), good);
        }
        for bad in ["", "gitlab.com", "ftp://a", "https://", "https://u@a", "https://a?b", "https://a#b", "https://ü"]
        {
            assert_eq!(bad.parse::<IssuerUrl>(), Err(InvalidIssuer), "{bad}");
        }
        let issuer: IssuerUrl = "https://a/b/".parse().unwrap();
        assert_eq!(issuer.discovery(), "https://a/b/.well-known/openid-configuration");
    }

    #[test]
    fn conditions_compare_texts_numbers_and_flags_exactly() {
        let all = claims(json!({"a": "Acme/tool", "b": true, "c": 17, "d": ["x"], "e": null}));
        let list = |claim: &str, all: &[&str]| Condition {
            claim: claim.to_owned(),
            expected: Expected::OneOf(all.iter().map(|one| (*one).to_owned()).collect()),
        };
        for (condition, holds) in [
            (Condition::equals("a", "Acme/tool"), true),
            (Condition::equals("a", "acme/tool"), false),
            (Condition::equals("a", "Acme/*"), false),
            (Condition::glob("a", "Acme/*"), true),
            (Condition::glob("a", "*/other"), false),
            (Condition::equals("b", "true"), true),
            (Condition::equals("c", "17"), true),
            (list("c", &["16", "17"]), true),
            (list("c", &["16"]), false),
            (Condition::glob("d", "*"), false),
            (Condition::glob("e", "*"), false),
            (Condition::glob("f", "*"), false),
        ] {
            assert_eq!(condition.holds(&all), holds, "{condition}");
        }
        let stored = serde_json::to_value([Condition::glob("a", "b*"), list("c", &["d"])]).unwrap();
        assert_eq!(stored, json!([{"claim": "a", "glob": "b*"}, {"claim": "c", "one_of": ["d"]}]));
        assert_eq!(serde_json::from_value::<Vec<Condition>>(stored).unwrap().len(), 2);
    }

    #[test]
    fn publishers_that_would_trust_everybody_are_refused() {
        assert!(github(vec![Condition::equals("repository", "acme/tool")]).check().is_ok());
        assert!(github(vec![Condition::glob("repository", "acme/*")]).check().is_ok());
        for wide in [
            vec![],
            vec![Condition::equals("ref", "refs/heads/main")],
            vec![Condition::glob("repository", "*")],
            vec![Condition::glob("repository", "*/tool")],
        ] {
            assert_eq!(github(wide).check().unwrap_err().0, "conditions");
        }
        let other = Trust { provider: Provider::Other, ..github(vec![Condition::equals("ref", "main")]) };
        assert_eq!(other.check().unwrap_err().0, "provider");
        let issuer: IssuerUrl = "https://ci.example.org".parse().unwrap();
        let other = Trust { issuer: issuer.clone(), ..other };
        assert!(other.check().is_ok());
        assert_eq!(Trust { conditions: vec![], ..other.clone() }.check().unwrap_err().0, "conditions");
        let long = "x".repeat(256);
        for bad in ["", "a\nb", &long] {
            assert!(Trust { conditions: vec![Condition::equals("sub", bad)], ..other.clone() }.check().is_err());
            assert!(Trust { environment: Some(bad.to_owned()), ..other.clone() }.check().is_err());
        }
    }

    #[test]
    fn only_jobs_of_the_repository_are_told_what_does_not_fit() {
        let all = vec![Condition::equals("repository", "acme/tool"), Condition::equals("repository_owner_id", "7")];
        let trust = Trust { environment: Some("release".to_owned()), ..github(all) };
        let judge = |value: Value| trust.judge(&claims(value));
        let good = json!({"repository": "acme/tool", "repository_owner_id": "7", "environment": "release"});
        assert_eq!(judge(good.clone()), Judgment::Accepted);
        for (claim, expected) in [
            ("repository", Judgment::Stranger),
            ("repository_owner_id", Judgment::Misfit("repository_owner_id".to_owned())),
            ("environment", Judgment::Misfit("environment".to_owned())),
        ] {
            let mut other = good.clone();
            other[claim] = json!("8");
            assert_eq!(judge(other.clone()), expected);
            other.as_object_mut().unwrap().remove(claim);
            assert_eq!(judge(other), expected);
        }
    }
}
