//! `packhouse trash …`.

use super::open::{clock, in_database};
use super::terminal::{count, say};
use crate::config::Config;
use crate::domain::names::OwnerName;
use crate::registry::caller::Caller;
use crate::registry::packages::trash_entries;
use anyhow::Result;
use clap::Subcommand;
use std::process::ExitCode;
use std::time::Duration;

/// The commands for the trash.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List what can be restored: id, path, bytes, time of the deletion, time until which it is kept, reason, and user
    List {
        /// Only the trash of this user or organization
        #[arg(long, value_name = "NAME")]
        owner: Option<OwnerName>,
    },
    /// Delete everything in the trash for good
    ///
    /// The server deletes each entry by itself after trash.keep_days. Garbage collection frees the disk space after its
    /// grace period; `packhouse gc --grace 0` frees it at once.
    Empty {
        /// Only the trash of this user or organization
        #[arg(long, value_name = "NAME")]
        owner: Option<OwnerName>,
        /// Only what was deleted at least this many days ago
        #[arg(long, value_name = "DAYS", default_value_t = 0)]
        older_than: u64,
    },
}

/// Runs one of these commands.
///
/// # Errors
/// A message for the terminal.
pub(super) async fn run(config: Config, command: Command) -> Result<ExitCode> {
    let (caller, now) = (Caller::command_line(), clock().now());
    match command {
        Command::List { owner } => {
            let list = move |conn: &mut _| trash_entries::all(conn, &caller, owner.as_ref());
            for (owner, entry) in in_database(&config, list).await? {
                let (deleted, until) = (entry.deleted_at, entry.keep_until);
                let (path, bytes, reason, actor) = (entry.path(), entry.bytes, entry.reason, &entry.actor);
                let line = format!("{}\t{owner}/{path}\t{bytes}\t{deleted}\t{until}\t{reason}\t{actor}", entry.id);
                say(line.trim_end())?;
            }
        }
        Command::Empty { owner, older_than } => {
            let before = now.minus(Duration::from_secs(older_than.saturating_mul(86_400)));
            let empty = move |conn: &mut _| trash_entries::empty(conn, &caller, owner.as_ref(), before, now);
            let (emptied, freed) = in_database(&config, empty).await?;
            for trash in &emptied {
                let (entries, files) = (unsigned(trash.entries), unsigned(trash.files));
                let entries = if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") };
                say(&format!("{}: deleted {entries}, {}, {} bytes", trash.owner, count(files, "file"), trash.bytes))?;
            }
            say(&format!("garbage collection will free {freed} bytes"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
