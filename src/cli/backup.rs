//! `packhouse backup`.

use super::open::{clock, in_instance};
use super::terminal::{complain, count, say};
use crate::config::Config;
use crate::jobs::backup::{self, Source};
use crate::registry::operations::backups::{self, LastBackup};
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

/// Back up the database, every blob and the secret key
///
/// The server may keep running. In the directory of an earlier backup, only new blobs are copied; the earlier backup
/// stays usable until the new one is complete. Keep the directory secret: it contains all private data of this instance
/// and the secret key.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A new or empty directory, or the directory of an earlier backup of this instance
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Also read the blobs of the earlier backup, and replace damaged ones
    #[arg(long)]
    verify: bool,
}

/// Runs the command.
///
/// # Errors
/// The error names the file that cannot be read or written.
pub(super) async fn run(config: Config, args: Args) -> Result<ExitCode> {
    in_instance(config, async |instance| {
        let source = Source {
            url: instance.database.url.clone(),
            store: instance.app.store.clone(),
            secret_key: instance.database.data_dir.secret_key()?,
        };
        let now = clock().now();
        let made = move || backup::make(&source, &args.directory, args.verify, now).map(|made| (made, args.directory));
        let (made, directory) = tokio::task::spawn_blocking(made).await??;
        let lost = u64::try_from(made.lost.len()).unwrap_or(u64::MAX);
        let noted = LastBackup { at: now, blobs: made.blobs, bytes: made.bytes, lost };
        // For the administration. The backup is complete without it, even if the database is read-only.
        if let Err(error) = instance.app.db.write(move |conn| backups::note(conn, noted)).await {
            complain(&format!("the backup is complete, but its time could not be recorded: {}", error.explained()));
        }
        say(&format!(
            "backed up {} and {} of {} bytes into {}; {} of {} bytes were new",
            count(made.rows, "row"),
            count(made.blobs, "blob"),
            made.bytes,
            directory.display(),
            made.copied,
            made.copied_bytes
        ))?;
        if made.lost.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        complain(&format!(
            "the store has lost {}, so the backup lacks them too: run `packhouse check --digests` to see the files",
            count(u64::try_from(made.lost.len()).unwrap_or_default(), "blob")
        ));
        Ok(ExitCode::FAILURE)
    })
    .await
}
