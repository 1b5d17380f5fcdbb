//! The configuration: read once, at the start, and passed on. The only place that looks at the environment.
//!
//! Its keys, units and defaults are those of `packhouse.sample.toml`, which is part of the program: a file and the
//! environment replace values of it, and a key that is not in it is an error.

mod check;
mod keys;
mod load;

pub use keys::{
    AdminConfig, AuthConfig, Config, ConfigError, DatabaseConfig, JobsConfig, LimitsConfig, LogConfig, LogFormat,
    MetricsConfig, QuotaConfig, RegistrationConfig, Setting, StoreConfig, Surroundings, WebhooksConfig,
};
pub use load::SAMPLE;
