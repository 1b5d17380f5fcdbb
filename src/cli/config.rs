//! `packhouse config`.

use super::terminal::say;
use crate::config::{Config, SAMPLE};
use anyhow::Result;
use std::process::ExitCode;

/// Print all settings with their defaults and explanations, as a configuration file to start from
///
/// Save it as packhouse.toml: `packhouse config >packhouse.toml`. Then change what you want to change, and remove the
/// rest.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Check the configuration, and print the current settings and where each comes from: the file, an environment
    /// variable, or the default. Secrets aren't shown
    #[arg(long)]
    pub(super) check: bool,
}

/// Prints the documented sample.
///
/// # Errors
/// When it can't be written.
pub(super) fn print_sample() -> Result<ExitCode> {
    say(SAMPLE.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the settings in force.
///
/// # Errors
/// When they can't be written.
pub(super) fn print_settings(config: &Config) -> Result<ExitCode> {
    for setting in &config.settings {
        say(&format!("{} = {}  # {}", setting.key, setting.value, setting.origin))?;
    }
    Ok(ExitCode::SUCCESS)
}
