//! An OpenID Connect provider of the configuration.

use crate::domain::secret::SecretText;
use crate::domain::sign_in::{ProviderName, TeamPath};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use url::Url;

/// The longest timeout for another server: well below the lease of a webhook's delivery.
pub(super) const MOST_TIMEOUT_SECONDS: u64 = 60;
/// The most bytes of an icon: it is part of the sign-in page.
const MOST_OF_ICON: usize = 16 << 10;

/// An OpenID Connect provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    pub name: ProviderName,
    pub display_name: String,
    /// In the configuration the path of a picture, and after loading its content as a data URL.
    pub icon: String,
    pub issuer: String,
    pub client_id: String,
    pub client_secret: SecretText,
    pub scopes: Vec<String>,
    pub allowed_domains: Vec<String>,
    pub auto_create: bool,
    pub link_by_verified_email: bool,
    pub admin_group: String,
    pub groups_claim: String,
    pub gitea_callback: bool,
    pub timeout_seconds: u64,
    pub teams: BTreeMap<String, TeamPath>,
}

impl OidcConfig {
    /// What people call the provider.
    pub fn label(&self) -> &str {
        if self.display_name.is_empty() { self.name.as_str() } else { &self.display_name }
    }

    /// Whether groups decide about anything here.
    pub fn uses_groups(&self) -> bool {
        !self.admin_group.is_empty() || !self.teams.is_empty()
    }

    /// Replaces the path of the icon with its content, and checks everything that types don't.
    ///
    /// # Errors
    /// The key and its problem.
    pub(super) fn complete(&mut self) -> Result<(), (&'static str, String)> {
        let issuer = Url::parse(&self.issuer).ok().filter(|url| {
            let is_bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
            matches!(url.scheme(), "https" | "http") && url.has_host() && is_bare && url.password().is_none()
        });
        if issuer.is_none() {
            return Err(("issuer", "must be a URL such as https://login.example.org/realms/staff".to_owned()));
        }
        if self.client_id.is_empty() {
            return Err(("client_id", "must be the ID under which the provider knows this site".to_owned()));
        }
        if self.timeout_seconds == 0 || self.timeout_seconds > MOST_TIMEOUT_SECONDS {
            return Err(("timeout_seconds", "must be from 1 to 60".to_owned()));
        }
        if self.allowed_domains.iter().any(|domain| domain.contains('@') || domain.trim().is_empty()) {
            return Err(("allowed_domains", "must list domains such as example.org".to_owned()));
        }
        if self.groups_claim.is_empty() && self.uses_groups() {
            return Err(("groups_claim", "must be the claim that has the groups, such as groups".to_owned()));
        }
        if !self.icon.is_empty() {
            self.icon = picture(&self.icon).map_err(|problem| ("icon", problem))?;
        }
        Ok(())
    }
}

/// The data URL of a picture.
fn picture(path: &str) -> Result<String, String> {
    let kind = match Path::new(path).extension().and_then(|ending| ending.to_str()) {
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        _ => return Err(format!("must be the path of a .svg or .png file, and {path} is not")),
    };
    let bytes = std::fs::read(path).map_err(|error| format!("cannot be read from {path}: {error}"))?;
    if bytes.len() > MOST_OF_ICON {
        return Err(format!("must be a picture of at most 16 KiB, and {path} is larger"));
    }
    Ok(format!("data:{kind};base64,{}", STANDARD.encode(bytes)))
}
