//! The command line, with one small file per command. Exit codes: 0 success, 1 failure (or `check` found problems), 2 a
//! wrong command line or configuration.

mod backup;
mod check;
mod gc;
mod open;
mod restore;
mod serve;
mod terminal;
mod tokens;
mod users;

use crate::config::Config;
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
    /// listen = "127.0.0.1:8080", or the environment variable: PACKHOUSE_LISTEN=127.0.0.1:8080.
    Serve,
    /// Migrate the database to the current schema; `serve` does this too
    Migrate,
    /// Manage users: create, list, set a password, lock
    #[command(subcommand)]
    User(users::Command),
    /// Manage access tokens: create
    #[command(subcommand)]
    Token(tokens::Command),
    // The help texts of these commands are at their arguments.
    Check(check::Args),
    Gc(gc::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    /// Print the version
    Version,
}

impl Command {
    /// Whether the command may start from nothing. With a mistyped directory the others would create an empty instance
    /// and report on it: a backup of nothing, a check without problems.
    fn may_make_an_instance(&self) -> bool {
        matches!(self, Self::Serve | Self::Migrate | Self::Restore(_) | Self::User(users::Command::Create { .. }))
    }
}

/// Runs a command and returns its exit code.
pub fn run(cli: Cli) -> ExitCode {
    if matches!(cli.command, Command::Version) {
        return finish(say(concat!("packhouse ", env!("CARGO_PKG_VERSION"))).map(|()| ExitCode::SUCCESS));
    }
    let mut config = match Config::load(cli.config.as_deref()) {
        Ok(config) => config,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(2);
        }
    };
    if !matches!(cli.command, Command::Serve) && config.log.level == "info" {
        // Commands print their own output; the log adds only warnings and errors.
        "warn".clone_into(&mut config.log.level);
    }
    telemetry::start_log(&config.log);
    if !cli.command.may_make_an_instance()
        && let Err(error) = instance::demand(&config)
    {
        return finish(Err(error));
    }
    finish(match cli.command {
        Command::Serve => serve::run(config),
        Command::Migrate => migrate(&config),
        Command::User(command) => block_on(users::run(config, command)),
        Command::Token(command) => block_on(tokens::run(config, command)),
        Command::Check(args) => block_on(check::run(config, args)),
        Command::Gc(args) => block_on(gc::run(config, args)),
        Command::Backup(args) => block_on(backup::run(config, args)),
        Command::Restore(args) => block_on(restore::run(config, args)),
        Command::Version => Ok(ExitCode::SUCCESS),
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

fn migrate(config: &Config) -> Result<ExitCode> {
    let database = Database::open(config, false)?;
    let done = database.migrate(config);
    database.close();
    for migration in done? {
        say(&format!("migrated {migration}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
