//! `packhouse restore`.

use super::check::check_and_say;
use super::open::clock;
use super::terminal::{complain, count, say};
use crate::config::Config;
use crate::db::Db;
use crate::error::Error;
use crate::instance::{Database, explain};
use crate::jobs::backup::{Restore, Target};
use crate::jobs::check::Options;
use crate::jobs::sweep;
use crate::state::sweep_plan;
use crate::storage::{BlobStore, StorePlace};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Restore a backup into a new instance
///
/// The instance must be new: an empty data_dir (and store.dir), and with an external Postgres an empty database. Every
/// byte is verified while it is copied, and at the end `packhouse check` runs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory that `packhouse backup` wrote
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// The error says what is missing or prevents the restore.
pub(super) async fn run(config: Config, args: Args) -> Result<ExitCode> {
    let settings = config.clone();
    let restored = move || restore(&settings, &args.directory);
    let (database, store) = tokio::task::spawn_blocking(restored).await??;
    let checked = finish(&config, &database, &store).await;
    tokio::task::spawn_blocking(move || database.close()).await?;
    checked
}

fn restore(config: &Config, directory: &Path) -> Result<(Database, BlobStore)> {
    // The backup is verified before anything is created or started here.
    let backup = Restore::open(directory)?;
    let database = Database::open(config, true)?;
    let target = Target {
        url: database.url.clone(),
        patience: Duration::from_secs(config.database.start_timeout_seconds),
        store: StorePlace::of(config),
    };
    let store = backup.prepare(&target)?;
    database.data_dir.restore_secret_key(&backup.secret_key()?)?;
    backup.run(&target, &store, clock().now())?;
    say(&format!("restored the backup of {}", backup.created_at()))?;
    if backup.lost() > 0 {
        let lost = count(u64::try_from(backup.lost()).unwrap_or_default(), "blob");
        complain(&format!("the store had lost {lost} when the backup was made; the check lists the files"));
    }
    Ok((database, store))
}

async fn finish(config: &Config, database: &Database, store: &BlobStore) -> Result<ExitCode> {
    let db = Db::new(&database.url, &config.database).map_err(explain)?;
    // Blobs that waited for a sweep at the time of the backup have waited long enough by now.
    match sweep::run(&db, store, &clock(), sweep_plan(config)).await {
        Err(Error::Blocked(text)) => complain(&text),
        swept => swept.map(drop).map_err(explain)?,
    }
    check_and_say(&db, store, Options { patience: config.check_patience(), digests: false }).await
}
