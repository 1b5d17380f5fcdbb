//! `packhouse token …`.

use super::open::{clock, in_database};
use super::terminal::say;
use crate::config::Config;
use crate::domain::clock::Timestamp;
use crate::domain::names::OwnerName;
use crate::domain::role::{PackagePattern, Scopes, UnknownWord};
use crate::error::{Error, What};
use crate::registry::accounts::tokens::{self, NewToken};
use crate::registry::accounts::users;
use crate::registry::caller::{Caller, SignedIn};
use anyhow::Result;
use clap::Subcommand;
use std::process::ExitCode;

/// The token commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a token and print only its secret, which cannot be shown again
    Create {
        /// The user the token belongs to
        #[arg(long)]
        user: OwnerName,
        /// The token's name, such as the machine that uses it
        #[arg(long)]
        name: String,
        /// Scopes: read:package, write:package, all, public-only, …; repeat the option or separate them with commas
        #[arg(long = "scope", required = true, value_delimiter = ',', value_parser = scope)]
        scopes: Vec<String>,
        /// When the token expires, such as 2027-01-31T00:00:00Z [default: never]
        #[arg(long, value_parser = time)]
        expires_at: Option<Timestamp>,
        /// The only owners the token works for; repeat the option or separate them with commas
        #[arg(long = "owner", value_delimiter = ',')]
        owners: Vec<OwnerName>,
        /// The only package names the token works for, with * for any characters; repeat the option or separate them
        /// with commas
        #[arg(long = "package", value_delimiter = ',')]
        packages: Vec<PackagePattern>,
        /// The token works only as ?feed_token= in the address of a feed; its scope is read:package
        #[arg(long)]
        feeds_only: bool,
        /// Never redirect downloads to the object store, for clients that don't follow redirects or can't reach it
        #[arg(long)]
        no_redirects: bool,
    },
}

/// A scope that exists. An unknown one is a mistake in the command line, like an unknown option.
fn scope(text: &str) -> Result<String, UnknownWord> {
    Scopes::from_words([text]).map(|_| text.to_owned())
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::try_from(text.to_owned()).map_err(|_| "a time looks like 2027-01-31T00:00:00Z".to_owned())
}

/// Runs one of these commands.
///
/// # Errors
/// A message for the terminal.
pub(super) async fn run(config: Config, command: Command) -> Result<ExitCode> {
    let Command::Create { user, name, scopes, expires_at, owners, packages, feeds_only, no_redirects } = command;
    let new = NewToken {
        name,
        scopes: Scopes::from_words(scopes.iter().map(String::as_str))?,
        expires_at,
        owners: Some(owners).filter(|owners| !owners.is_empty()),
        packages: Some(packages).filter(|packages| !packages.is_empty()),
        feeds_only,
        no_redirects,
    };
    let now = clock().now();
    let secret = in_database(&config, move |conn| {
        let user = users::find(conn, &user)?.ok_or(Error::NotFound(What::User))?;
        let user = SignedIn { id: user.id, name: user.name, is_admin: user.is_admin, has_password: true };
        tokens::create(conn, &Caller::command_line(), &user, &new, now).map(|(_, secret)| secret)
    });
    say(secret.await?.reveal())?;
    Ok(ExitCode::SUCCESS)
}
