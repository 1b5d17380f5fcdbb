//! `packhouse mail …`.

use super::open::clock;
use super::terminal::say;
use crate::config::Config;
use crate::domain::names::Email;
use crate::domain::secret::random_text;
use crate::instance::mailer;
use crate::jobs::mail::test_letter;
use anyhow::{Context, Result};
use clap::Subcommand;
use std::process::ExitCode;

/// The mail commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Send a test mail at once, and say what the mail server answered.
    ///
    /// It needs only the configuration: no server and no database.
    Test {
        /// Where to send it
        address: Email,
    },
}

/// Runs one of these commands.
///
/// # Errors
/// A message for the terminal.
pub(super) async fn run(config: Config, command: Command) -> Result<ExitCode> {
    let Command::Test { address } = command;
    let mailer = mailer(&config)?.context("mail is off: set mail.smtp_url, mail.from and public_url")?;
    let letter = test_letter(config.public_root().unwrap_or_default());
    let now = clock().now();
    let message = letter.to_message(address.as_str(), format!("packhouse-test-{}", random_text(16)), now);
    let answer = mailer.send(&message).await?;
    say(&format!("sent to {address}; the mail server answered: {answer}"))?;
    Ok(ExitCode::SUCCESS)
}
