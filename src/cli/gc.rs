//! `packhouse gc`.

use super::open::{clock, in_instance};
use super::terminal::{count, say};
use crate::config::Config;
use crate::instance::explain;
use crate::jobs::sweep::{self, SweepPlan};
use crate::registry::packages::quotas;
use crate::state::sweep_plan;
use anyhow::Result;
use std::process::ExitCode;
use std::time::Duration;

/// Remove unused blobs now; the server also does this by itself, every hour by default
///
/// Removes blobs whose last file was deleted. Blobs that the database does not know are moved to the store's folder
/// "held"; a later run removes them after a second grace period. Running uploads are safe, however long they take. The
/// owners' storage totals are recounted too.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Seconds for which unused blobs are kept [default: jobs.sweep_grace_seconds]
    #[arg(long, value_name = "SECONDS")]
    grace: Option<u64>,
    /// Only print what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Continue even though rows seem to be missing from the database. Use this only after you have made sure that it
    /// is the right database, and not an older state or a copy of it
    #[arg(long, conflicts_with = "dry_run")]
    confirm_orphans: bool,
}

/// Runs the command.
///
/// # Errors
/// Database and store errors.
pub(super) async fn run(config: Config, args: Args) -> Result<ExitCode> {
    let grace = args.grace.map_or_else(|| config.sweep_grace(), Duration::from_secs);
    let dry_run = args.dry_run;
    let plan = SweepPlan { grace, confirmed: args.confirm_orphans, ..sweep_plan(&config) };
    in_instance(config, async |instance| {
        let (db, store) = (&instance.app.db, &instance.app.store);
        let swept = if dry_run {
            sweep::preview(db, store, &clock(), grace).await
        } else {
            sweep::run(db, store, &clock(), plan).await
        };
        let swept = swept.map_err(explain)?;
        say(&format!(
            "{} {} without a file and {} of crashed uploads, {} bytes in total",
            if dry_run { "would remove" } else { "removed" },
            count(swept.unused, "blob"),
            count(swept.orphans, "leftover"),
            swept.bytes
        ))?;
        if swept.held > 0 {
            say(&format!(
                "{} {} that the database does not know to the holding folder, {} bytes; a later run removes them \
                 after a second grace period",
                if dry_run { "would move" } else { "moved" },
                count(swept.held, "blob"),
                swept.held_bytes
            ))?;
        }
        if swept.held_off {
            say("a backup is running and may still need blobs without a file: they stay until the next sweep")?;
        }
        if !dry_run {
            for owner in db.write(quotas::recount).await.map_err(explain)? {
                say(&format!("the storage total of {owner} was wrong and has been corrected"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
    .await
}
