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

/// Verify that database and store belong together and are whole.
///
/// Prints a line for each problem: what it is, whom it concerns and what to do; then the totals. Ends with 0 when all
/// is well and with 1 when there are problems. It changes nothing and may run beside the server at any time.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Read every blob and compare all its digests and block checksums: some 5 seconds of CPU a GiB.
    #[arg(long)]
    digests: bool,
    /// Seconds after which something that nothing refers to counts as a problem; without this, the sweep's grace and
    /// interval together.
    #[arg(long, value_name = "SECONDS")]
    grace: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// When nothing could be found out.
pub(super) async fn run(config: Config, args: Args) -> Result<ExitCode> {
    let options = Options {
        patience: args.grace.map_or_else(|| config.check_patience(), Duration::from_secs),
        digests: args.digests,
    };
    in_instance(config, async |instance| check_and_say(&instance.app.db, &instance.app.store, options).await).await
}

/// Checks, prints what is found, and gives the exit code.
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
