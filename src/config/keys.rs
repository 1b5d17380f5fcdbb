//! The configuration keys, and values derived from them.

use super::listen::ListenAddress;
use super::oidc::OidcConfig;
use crate::domain::network::Network;
use crate::domain::public_url::{self, BasePath, PublicUrl};
use crate::domain::secret::SecretText;
use crate::domain::sign_in::PasswordSignIn;
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// An error in the configuration. The message names the key.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path} is not valid TOML: {source}")]
    NotToml { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{origin}: there is no key `{key}`; packhouse.sample.toml lists all of them")]
    UnknownKey { origin: String, key: String },
    #[error("{origin}: `{key}` {problem}")]
    BadValue { origin: String, key: String, problem: String },
}

/// All settings, as the sample file describes them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: ListenAddress,
    pub data_dir: PathBuf,
    pub secret_key_file: String,
    #[serde(deserialize_with = "public_url::optional")]
    pub public_url: Option<PublicUrl>,
    pub require_signin: bool,
    pub security_contact: String,
    pub trusted_proxies: Vec<Network>,
    pub workers: usize,
    pub database: DatabaseConfig,
    pub store: StoreConfig,
    pub limits: LimitsConfig,
    pub health: HealthConfig,
    pub quota: QuotaConfig,
    pub trash: TrashConfig,
    pub auth: AuthConfig,
    pub registration: RegistrationConfig,
    pub jobs: JobsConfig,
    pub webhooks: WebhooksConfig,
    pub mail: MailConfig,
    pub trusted_publishing: TrustedPublishingConfig,
    pub log: LogConfig,
    pub metrics: MetricsConfig,
    pub admin: AdminConfig,
    /// The parts of the environment that child processes and the private Postgres need.
    #[serde(skip)]
    pub surroundings: Surroundings,
    /// All keys in the order of their names, for display.
    #[serde(skip)]
    pub settings: Vec<Setting>,
}

/// A key and its value, for display: for a secret, only whether it is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub key: String,
    pub value: String,
    /// Whether the value differs from the sample.
    pub is_changed: bool,
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf),
    /// An environment variable, by its name.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    pub url: SecretText,
    pub bin_dir: String,
    pub read_connections: u32,
    pub write_connections: u32,
    pub start_timeout_seconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    pub kind: StoreKind,
    pub dir: String,
    pub reserve_bytes: u64,
    pub bucket: String,
    pub region: String,
    pub endpoint: String,
    pub prefix: String,
    pub path_style: bool,
    pub access_key_id: SecretText,
    pub secret_access_key: SecretText,
    pub server_side_encryption: String,
    pub storage_class: String,
    pub redirect: RedirectPolicy,
    pub redirect_from_bytes: u64,
    pub timeout_seconds: u64,
}

impl StoreConfig {
    /// Whether any downloads are sent to the object store.
    pub fn may_redirect(&self) -> bool {
        self.kind == StoreKind::S3 && self.redirect != RedirectPolicy::Never
    }

    /// Whether downloads of files of this size, in bytes, are sent to the object store.
    pub fn redirects(&self, size: u64) -> bool {
        match self.redirect {
            _ if !self.may_redirect() => false,
            RedirectPolicy::Never => false,
            RedirectPolicy::Auto => size >= self.redirect_from_bytes,
            RedirectPolicy::Always => true,
        }
    }
}

/// Where blobs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    Local,
    S3,
}

/// Which downloads are sent to the object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedirectPolicy {
    /// None.
    Never,
    /// Those of large files.
    Auto,
    /// All.
    Always,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    pub file_bytes: i64,
    pub upload_stall_seconds: u64,
    pub upload_least_bytes_per_second: u64,
    pub download_stall_seconds: u64,
    pub connections: usize,
    pub connections_per_address: usize,
    pub cache_bytes: u64,
    pub lame_duck_seconds: u64,
    pub drain_seconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthConfig {
    pub degraded_is_ready: bool,
    pub backup_days: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaConfig {
    pub versions: i64,
    pub bytes: i64,
    pub file_bytes: i64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrashConfig {
    pub keep_days: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    pub query_tokens: bool,
    pub password_sign_in: PasswordSignIn,
    pub oidc: Vec<OidcConfig>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationConfig {
    pub enabled: bool,
    pub email_domains: Vec<String>,
    pub needs_approval: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobsConfig {
    pub flush_seconds: u64,
    pub sweep_every_seconds: u64,
    pub sweep_grace_seconds: u64,
    pub sweep_stop_files: u64,
    pub sweep_stop_percent: u64,
    pub scrub_every_days: u64,
    pub scrub_bytes_per_second: u64,
    pub retention_every_seconds: u64,
    pub webhooks_every_seconds: u64,
    pub mail_every_seconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhooksConfig {
    pub enabled: bool,
    pub allowed_networks: Vec<Network>,
    pub allowed_hosts: Vec<String>,
    pub timeout_seconds: u64,
    pub keep_days: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    pub smtp_url: SecretText,
    pub from: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedPublishingConfig {
    pub allowed_issuers: Vec<String>,
    pub timeout_seconds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    pub format: LogFormat,
    pub level: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsConfig {
    pub enabled: bool,
    pub token: SecretText,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    pub user: String,
    pub password: SecretText,
}

/// The parts of the process environment that the private Postgres gets.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The directories of `PATH`.
    pub search_path: Vec<PathBuf>,
    pub runtime_dir: Option<PathBuf>,
    pub temp_dir: PathBuf,
}

impl Config {
    /// The site's address without a trailing slash; `None` when it is not set.
    pub fn public_root(&self) -> Option<&str> {
        self.public_url.as_ref().map(PublicUrl::root)
    }

    /// The path in front of the site's own paths.
    pub fn base_path(&self) -> &BasePath {
        self.public_url.as_ref().map_or(public_url::ROOT, PublicUrl::base)
    }

    /// The path of the secret key, if it is not in the data directory.
    pub fn secret_key_file(&self) -> Option<PathBuf> {
        (!self.secret_key_file.is_empty()).then(|| PathBuf::from(&self.secret_key_file))
    }

    /// The directory of the blobs.
    pub fn store_dir(&self) -> PathBuf {
        if self.store.dir.is_empty() { self.data_dir.join("blobs") } else { PathBuf::from(&self.store.dir) }
    }

    /// The most bytes one file may have by the instance's own limit; `None` for no limit.
    pub fn file_limit(&self) -> Option<u64> {
        u64::try_from(self.limits.file_bytes).ok()
    }

    /// Whether Packhouse sends mail.
    pub fn sends_mail(&self) -> bool {
        !self.mail.smtp_url.is_empty()
    }

    /// How old the last backup may be; `None` for any age.
    pub fn backup_patience(&self) -> Option<Duration> {
        let days = self.health.backup_days;
        (days > 0).then(|| Duration::from_secs(days.saturating_mul(86_400)))
    }

    /// How long webhook deliveries are kept.
    pub fn webhooks_kept(&self) -> Duration {
        Duration::from_secs(self.webhooks.keep_days.saturating_mul(86_400))
    }

    /// How long what is deleted can be restored; zero: not at all.
    pub fn trash_kept(&self) -> Duration {
        Duration::from_secs(self.trash.keep_days.saturating_mul(86_400))
    }

    /// The age at which a sweep should have removed unused data, so that a check reports it.
    pub fn check_patience(&self) -> Duration {
        // Allow for the duration of a sweep and for clock differences.
        let slack = Duration::from_secs(600);
        self.sweep_grace() + Duration::from_secs(self.jobs.sweep_every_seconds) + slack
    }

    /// How long unused data is kept before a sweep removes it.
    pub fn sweep_grace(&self) -> Duration {
        Duration::from_secs(self.jobs.sweep_grace_seconds)
    }
}
