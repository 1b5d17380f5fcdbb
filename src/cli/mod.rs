//! The command line: one small file a command. Exit codes: 0 done, 1 it could not be done (or `check` found something),
//! 2 the command line or the configuration is wrong.

mod backup;
mod check;
mod gc;
mod restore;
mod serve;
mod tokens;
mod users;

use crate::config::Config;
use crate::db::{Connection, Db};
use crate::domain::clock::Clock;
use crate::error;
use crate::instance::{self, Database, Instance, explain};
use crate::telemetry;
use anyhow::Result;
use clap::{Parser, Subcommand};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// A self-hosted registry for any file.
#[derive(Debug, Parser)]
#[command(name = "packhouse", version)]
pub struct Cli {
    /// The configuration file; packhouse.toml in the working directory, if there is one, without this.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve,
    /// Bring the database's schema up to date; `serve` does it too.
    Migrate,
    /// Users: create, list, set a password, lock.
    #[command(subcommand)]
    User(users::Command),
    /// Access tokens: create.
    #[command(subcommand)]
    Token(tokens::Command),
    // What these say of themselves in --help stands at their arguments.
    Check(check::Args),
    Gc(gc::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    /// Print the version.
    Version,
}

impl Command {
    /// Whether it begins with nothing. On a mistyped directory the others would tell of an empty instance of their own
    /// making: a backup of nothing, a check that finds no fault.
    fn may_make_an_instance(&self) -> bool {
        matches!(self, Self::Serve | Self::Migrate | Self::Restore(_) | Self::User(users::Command::Create { .. }))
    }
}

/// Runs a command and says how it went.
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
        // A command speaks for itself; what the log has to add is trouble.
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

/// A line on standard output: what the command was asked for.
fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// A line on standard error.
fn complain(line: &str) {
    // Where even that cannot be written there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "packhouse: {line}");
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

/// Runs one transaction in the instance's database, beside a running server or without one. For commands that need no
/// store.
async fn in_database<T: Send + 'static>(
    config: &Config,
    work: impl FnMut(&mut Connection) -> error::Result<T> + Send + 'static,
) -> Result<T> {
    let settings = config.clone();
    let database = tokio::task::spawn_blocking(move || {
        let database = Database::open(&settings, false)?;
        database.migrate(&settings)?;
        anyhow::Ok(database)
    })
    .await??;
    let done = async { Db::new(&database.url, &config.database)?.write(work).await }.await;
    tokio::task::spawn_blocking(move || database.close()).await?;
    done.map_err(explain)
}

/// Does something with an opened instance, beside a running server or without one.
async fn in_instance<T>(config: Config, work: impl AsyncFnOnce(&Instance) -> Result<T>) -> Result<T> {
    let instance = Instance::open(config, false, clock()).await?;
    let done = work(&instance).await;
    let Instance { app, database } = instance;
    drop(app);
    tokio::task::spawn_blocking(move || database.close()).await?;
    done
}

/// Reads one line from standard input: a secret never comes as an argument, where other users could see it.
fn secret_from_stdin(what: &str) -> Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let line = line.trim_end_matches(['\n', '\r']);
    anyhow::ensure!(!line.is_empty(), "standard input holds no {what}: give it as one line");
    Ok(line.to_owned())
}

/// `1 file`, `2 files`.
fn count(number: u64, one: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {one}{s}")
}

/// The clock of commands.
fn clock() -> Clock {
    Clock::system()
}
