//! `packhouse store …`.

use super::open::in_instance;
use super::terminal::{complain, count, say};
use crate::config::Config;
use crate::instance::{Instance, explain};
use crate::jobs::store_copy::{self, Copied, Progress, Stores};
use crate::registry::operations::integrity;
use crate::storage::{BlobStore, StorePlace};
use anyhow::{Context, Result};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// The commands for moving to another store.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Copy all blobs to another store
    ///
    /// Servers may keep running. Every blob is verified. If the copy is interrupted, run it again: it continues.
    Copy {
        /// A configuration file whose section `[store]` describes the new store
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// The highest rate at which blobs are copied [default: no limit]
        #[arg(long, value_name = "BYTES")]
        bytes_per_second: Option<u64>,
    },
    /// Copy the rest, and use the other store from now on
    ///
    /// Servers with the settings of the old store then answer 503: put the new section `[store]` into their
    /// configuration and restart them. The old store stays as it is.
    Switch {
        /// A configuration file whose section `[store]` describes the new store
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// Switch although blobs are lost or damaged in the old store
        #[arg(long)]
        without_lost: bool,
    },
}

/// Runs one of these commands.
///
/// # Errors
/// The error says what prevents it.
pub(super) async fn run(config: Config, command: Command) -> Result<ExitCode> {
    let (Command::Copy { to, .. } | Command::Switch { to, .. }) = &command;
    let file = to.clone();
    let described = Config::from_sources(Some(&file), []).with_context(|| format!("cannot use {}", file.display()))?;
    let place = StorePlace::of(&described);
    in_instance(config, async |instance| {
        let shown = place.to_string();
        let opening = tokio::task::spawn_blocking(move || BlobStore::open(&place, true, None)).await?;
        let to = opening.with_context(|| format!("cannot use the store {shown}"))?;
        let stores = Stores { from: instance.app.store.clone(), to };
        let (bar, progress) = progress(instance).await?;
        let done = match command {
            Command::Copy { bytes_per_second, .. } => {
                store_copy::copy(&instance.app.db, &stores, bytes_per_second, progress).await
            }
            Command::Switch { without_lost, .. } => {
                store_copy::switch(&instance.app.db, &stores, without_lost, progress).await
            }
        };
        bar.finish_and_clear();
        tell(&done.map_err(explain)?, &shown, matches!(command, Command::Switch { .. }).then_some(&file))
    })
    .await
}

async fn progress(instance: &Instance) -> Result<(ProgressBar, Progress)> {
    let totals = instance.app.db.read(integrity::blob_totals).await.map_err(explain)?;
    // Shown only on a terminal.
    let bar = ProgressBar::new(u64::try_from(totals.bytes).unwrap_or(0));
    let style = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")?;
    bar.set_style(style);
    let shown = bar.clone();
    Ok((bar, Arc::new(move |bytes| shown.inc(bytes))))
}

fn tell(copied: &Copied, place: &str, switched_by: Option<&PathBuf>) -> Result<ExitCode> {
    say(&format!(
        "{place} has {} of {} bytes; {} of {} bytes were copied now",
        count(copied.blobs, "blob"),
        copied.bytes,
        copied.copied,
        copied.copied_bytes
    ))?;
    if let Some(file) = switched_by {
        say(&format!(
            "this is the store of the database now: put the [store] section of {} into the configuration of all \
             servers, and restart them",
            file.display()
        ))?;
    }
    if copied.lost.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    complain(&format!(
        "the old store has lost {}, or they are damaged: run `packhouse check --digests` to see the files",
        count(u64::try_from(copied.lost.len()).unwrap_or(u64::MAX), "blob")
    ));
    Ok(ExitCode::FAILURE)
}
