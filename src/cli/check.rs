//! `packhouse check`.

use super::open::{clock, in_instance};
use super::terminal::{count, say};
use crate::config::Config;
use crate::db::Db;
use crate::instance::explain;
use crate::jobs::check::{self, Options, Outcome};
use crate::storage::BlobStore;
use anyhow::Result;
use std::process::ExitCode;
use std::time::Duration;

/// Check that the database and the store belong together and are complete
///
/// Prints one line per problem, with what is wrong, which files are affected and what to do, and then the totals. Exits
/// with 0 when there are no problems and with 1 when there are some. It changes nothing and can run beside the server
/// at any time.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Read every blob and compare all its digests and block checksums: about 5 seconds of CPU per GiB
    #[arg(long)]
    digests: bool,
    /// Seconds after which unused data counts as a problem [default: jobs.sweep_grace_seconds plus
    /// jobs.sweep_every_seconds]
    #[arg(long, value_name = "SECONDS")]
    grace: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// When the check itself could not run.
pub(super) async fn run(config: Config, args: Args) -> Result<ExitCode> {
    let options = Options {
        patience: args.grace.map_or_else(|| config.check_patience(), Duration::from_secs),
        digests: args.digests,
    };
    in_instance(config, async |instance| check_and_say(&instance.app.db, &instance.app.store, options).await).await
}

/// Checks, prints the problems, and returns the exit code.
pub(super) async fn check_and_say(db: &Db, store: &BlobStore, options: Options) -> Result<ExitCode> {
    let mut said = Ok(());
    let tell = |line: &str| {
        if said.is_ok() {
            said = say(line);
        }
    };
    let outcome = check::run(db, store, &clock(), options, tell).await.map_err(explain)?;
    said?;
    summarize(&outcome, options.digests)
}

fn summarize(outcome: &Outcome, digests: bool) -> Result<ExitCode> {
    let number = |number: i64, one: &str| count(u64::try_from(number).unwrap_or_default(), one);
    let totals = &outcome.totals;
    if outcome.waiting > 0 {
        say(&format!("{} without a file will be removed by the next sweep", number(outcome.waiting, "blob")))?;
    }
    say(&format!(
        "checked {}, {}, {}, {}, {} of {} bytes{}",
        number(totals.owners, "owner"),
        number(totals.packages, "package"),
        number(totals.versions, "version"),
        number(totals.files, "file"),
        number(totals.blobs, "blob"),
        totals.bytes,
        if digests { ", all digests" } else { "" }
    ))?;
    if outcome.problems == 0 {
        say("no problems")?;
        return Ok(ExitCode::SUCCESS);
    }
    say(&count(outcome.problems, "problem"))?;
    Ok(ExitCode::FAILURE)
}
