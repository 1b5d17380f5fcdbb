//! The command line, with one small file per command. Exit codes: 0 success, 1 failure (or `check` found problems), 2 a
//! wrong command line or configuration.

mod backup;
mod check;
mod config;
mod gc;
mod instance_owner;
mod mail;
mod open;
mod restore;
mod retention;
mod serve;
mod store;
mod terminal;
mod tokens;
mod trash;
mod users;

use crate::config::{Config, leave_libpq_variables};
use crate::instance::{self, Database};
use crate::telemetry;
use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use terminal::{complain, say};

/// A self-hosted registry for any file
#[derive(Debug, Parser)]
#[command(name = "packhouse", version)]
pub struct Cli {
    /// The configuration file [default: packhouse.toml in the working directory, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    ///
    /// It listens on 127.0.0.1:3000. To use another address or port, set `listen` in the configuration file:
    /// listen = "127.0.0.1:8080", or the environment variable: PACKHOUSE_LISTEN=127.0.0.1:8080. Instead of an IP
    /// address, you can write a host name, such as localhost.
    Serve,
    /// Migrate the database to the current schema; `serve` does this too
    Migrate,
    /// Manage users: create, list, set a password, lock
    #[command(subcommand)]
    User(users::Command),
    /// Manage access tokens: create
    #[command(subcommand)]
    Token(tokens::Command),
    /// Check the mail server: test
    #[command(subcommand)]
    Mail(mail::Command),
    /// Manage the secret key: adopt a new one
    #[command(subcommand)]
    SecretKey(SecretKeyCommand),
    /// Manage the trash: list it, empty it
    #[command(subcommand)]
    Trash(trash::Command),
    /// Apply expiry and retention rules: run
    #[command(subcommand)]
    Retention(retention::Command),
    /// Move to another store: copy, switch
    #[command(subcommand)]
    Store(store::Command),
    // The help texts of these commands are at their arguments.
    Check(check::Args),
    Gc(gc::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Config(config::Args),
    /// Print the version
    Version,
}

#[derive(Debug, Subcommand)]
enum SecretKeyCommand {
    /// Make the key in secret_key_file the key of the database, after the former key was lost.
    ///
    /// This is refused while two-factor secrets or webhooks are encrypted with the former key. It signs everyone out.
    Adopt,
}

impl Command {
    /// Whether the command may start from nothing, or needs no instance. With a mistyped directory the others would create an empty instance
    /// and report on it: a backup of nothing, a check without problems.
    fn may_make_an_instance(&self) -> bool {
        matches!(
            self,
            Self::Serve | Self::Migrate | Self::Restore(_) | Self::Mail(_) | Self::User(users::Command::Create { .. })
        )
    }

    /// Whether root runs it as the instance's owner. A backup belongs to the user who makes it, and creates nothing in
    /// the instance. A server keeps the user whom the administrator chose.
    fn is_for_the_owner(&self) -> bool {
        !matches!(self, Self::Serve | Self::Backup(_) | Self::Mail(_))
    }
}

/// Runs a command and returns its exit code.
pub fn run(cli: Cli) -> ExitCode {
    if matches!(cli.command, Command::Version) {
        return finish(say(concat!("packhouse ", env!("CARGO_PKG_VERSION"))).map(|()| ExitCode::SUCCESS));
    }
    if matches!(cli.command, Command::Config(config::Args { check: false })) {
        return finish(config::print_sample());
    }
    let mut config = match Config::load(cli.config.as_deref()) {
        Ok(config) => config,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(2);
        }
    };
    if matches!(cli.command, Command::Config(_)) {
        return finish(config::print_settings(&config));
    }
    if !matches!(cli.command, Command::Serve) && config.log.level == "info" {
        // Commands print their own output; the log adds only warnings and errors.
        "warn".clone_into(&mut config.log.level);
    }
    if config.database.url.is_empty()
        && let Err(error) = leave_libpq_variables()
    {
        complain(&format!("cannot start again without the variables PG… of libpq: {error}. Unset them"));
        return ExitCode::FAILURE;
    }
    if cli.command.is_for_the_owner()
        && let Err(error) = instance_owner::become_owner(&config.data_dir)
    {
        return finish(Err(error));
    }
    let _log = match telemetry::start_log(&config.log) {
        Ok(log) => log,
        Err(error) => return finish(Err(error.into())),
    };
    if !cli.command.may_make_an_instance()
        && let Err(error) = instance::demand(&config)
    {
        return finish(Err(error));
    }
    finish(match cli.command {
        Command::Serve => serve::run(config, cli.config),
        Command::Migrate => migrate(&config),
        Command::User(command) => block_on(users::run(config, command)),
        Command::Token(command) => block_on(tokens::run(config, command)),
        Command::Mail(command) => block_on(mail::run(config, command)),
        Command::Trash(command) => block_on(trash::run(config, command)),
        Command::SecretKey(SecretKeyCommand::Adopt) => block_on(adopt_secret_key(&config)),
        Command::Retention(command) => block_on(retention::run(config, command)),
        Command::Store(command) => block_on(store::run(config, command)),
        Command::Check(args) => block_on(check::run(config, args)),
        Command::Gc(args) => block_on(gc::run(config, args)),
        Command::Backup(args) => block_on(backup::run(config, args)),
        Command::Restore(args) => block_on(restore::run(config, args)),
        Command::Config(_) | Command::Version => Ok(ExitCode::SUCCESS),
    })
}

fn finish(result: Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

fn block_on(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

async fn adopt_secret_key(config: &Config) -> Result<ExitCode> {
    instance::adopt_secret_key(config).await?;
    say("the key in the key file is now the key of this database")?;
    Ok(ExitCode::SUCCESS)
}

fn migrate(config: &Config) -> Result<ExitCode> {
    let database = Database::open(config, false)?;
    let done = database.migrate(config);
    database.close();
    for migration in done? {
        say(&format!("migrated {migration}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
