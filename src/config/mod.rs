//! The configuration: read once at the start, and passed on. No other module reads the environment.
//!
//! Its keys, units and defaults come from `packhouse.sample.toml`, which is part of the program. A file and the
//! environment override its values, and a key that is not in it is an error.

mod check;
mod keys;
mod libpq;
mod listen;
mod load;
mod oidc;
mod providers;
mod values;

pub use keys::{
    AdminConfig, AuthConfig, Config, ConfigError, DatabaseConfig, HealthConfig, JobsConfig, LimitsConfig, LogConfig,
    LogFormat, MailConfig, MetricsConfig, Origin, QuotaConfig, RedirectPolicy, RegistrationConfig, Setting,
    StoreConfig, StoreKind, Surroundings, TrashConfig, TrustedPublishingConfig, WebhooksConfig,
};
pub use libpq::leave_libpq_variables;
pub use listen::ListenAddress;
pub use load::SAMPLE;
pub use oidc::OidcConfig;
