//! `packhouse user …`.

use super::open::{clock, in_database};
use super::terminal::{say, secret_from_stdin};
use crate::config::Config;
use crate::domain::names::{Email, OwnerName};
use crate::domain::role::Visibility;
use crate::domain::secret::Password;
use crate::instance::explain;
use crate::password::hash_now;
use crate::registry::access::can_administer;
use crate::registry::accounts::two_factor;
use crate::registry::accounts::users::{self, NewUser, User};
use crate::registry::caller::Caller;
use anyhow::{Context, Result};
use clap::{ArgGroup, Args, Subcommand};
use std::process::ExitCode;

/// The user commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a user. Without a password, they can sign in only with access tokens
    Create {
        /// Letters, digits and - . _ , at most 40
        name: OwnerName,
        /// The user's email address
        #[arg(long)]
        email: Email,
        /// Make the user a site administrator
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// List users: name, email address and status
    List,
    /// Set a user's password and end all their sessions
    #[command(group(ArgGroup::new("source").required(true).args(["password_stdin", "random_password"])))]
    Password {
        /// The user
        name: OwnerName,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Lock a user out at once, access tokens included
    Lock {
        /// The user
        name: OwnerName,
        /// Unlock the user
        #[arg(long)]
        undo: bool,
    },
    /// Remove two-factor authentication and all passkeys from a user who lost their device, and end all their sessions
    ResetSecondFactor {
        /// The user
        name: OwnerName,
    },
}

/// The source of a password.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct PasswordSource {
    /// Read the password as one line from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Generate a random password, and print only the password
    #[arg(long)]
    random_password: bool,
}

impl PasswordSource {
    /// The checked password, and whether to print it; `None` when no source was named.
    fn get(&self, names: &[&str]) -> Result<Option<(Password, bool)>> {
        if self.random_password {
            return Ok(Some((Password::generate(), true)));
        }
        if !self.password_stdin {
            return Ok(None);
        }
        let password = Password::new(secret_from_stdin("password")?);
        password.check_new(names)?;
        Ok(Some((password, false)))
    }
}

/// Runs one of these commands.
///
/// # Errors
/// A message for the terminal.
pub(super) async fn run(config: Config, command: Command) -> Result<ExitCode> {
    let now = clock().now();
    match command {
        Command::Create { name, email, admin, password } => {
            let password = password.get(&[name.as_str(), email.as_str()])?;
            let new = NewUser {
                name,
                full_name: String::new(),
                email,
                password_hash: password.as_ref().map(|(it, _)| hash_now(it)).transpose().map_err(explain)?,
                visibility: Visibility::Public,
                is_admin: admin,
                must_change_password: false,
            };
            in_database(&config, move |conn| users::create(conn, &Caller::command_line(), &new, now)).await?;
            if let Some((password, true)) = password {
                say(password.reveal())?;
            }
        }
        Command::List => {
            for user in in_database(&config, users::all).await? {
                say(&line(&user))?;
            }
        }
        Command::Password { name, password } => {
            let given = password.get(&[name.as_str()])?;
            let (password, show) = given.context("no password given: use --password-stdin or --random-password")?;
            let hash = hash_now(&password).map_err(explain)?;
            let change = move |conn: &mut _| users::set_password(conn, &Caller::command_line(), &name, &hash, now);
            in_database(&config, change).await?;
            if show {
                say(password.reveal())?;
            }
        }
        Command::Lock { name, undo } => {
            let change = move |conn: &mut _| users::set_locked(conn, &Caller::command_line(), &name, !undo, now);
            in_database(&config, change).await?;
        }
        Command::ResetSecondFactor { name } => {
            let caller = Caller::command_line();
            let change = move |conn: &mut _| {
                let right = can_administer(conn, &caller, &name)?;
                two_factor::reset(conn, &caller, &right, now)
            };
            in_database(&config, change).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn line(user: &User) -> String {
    let marks = [("admin", user.is_admin), ("inactive", !user.is_active), ("locked", user.is_locked)];
    let marks: Vec<&str> = marks.into_iter().filter(|(_, is)| *is).map(|(word, _)| word).collect();
    format!("{}\t{}\t{}", user.name, user.email, marks.join(",")).trim_end().to_owned()
}
