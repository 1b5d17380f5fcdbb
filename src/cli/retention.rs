//! `packhouse retention …`.

use super::open::{clock, in_instance};
use super::terminal::{count, say};
use crate::config::Config;
use crate::domain::clock::Clock;
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::text::visible;
use crate::instance::explain;
use crate::jobs::retention::{self, RetentionPlan};
use crate::registry::packages::retention::{preview, removal};
use crate::state::App;
use anyhow::{Context, Result, bail};
use std::collections::HashSet;
use std::process::ExitCode;

/// The retention commands.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Move versions to the trash because they expired or because a retention rule deletes them; the server also does
    /// this by itself
    Run {
        /// Only print what would be moved
        #[arg(long)]
        dry_run: bool,
        /// Only the versions of this user or organization
        #[arg(long, value_name = "NAME")]
        owner: Option<OwnerName>,
    },
}

/// Runs one of these commands.
///
/// # Errors
/// A message for the terminal.
pub(super) async fn run(config: Config, command: Command) -> Result<ExitCode> {
    let Command::Run { dry_run, owner } = command;
    in_instance(config, async |instance| {
        let app = &instance.app;
        let plan = RetentionPlan { now_please: true, ..app.retention_plan() };
        let only = match owner {
            Some(name) => Some(find(app, name).await?),
            None => None,
        };
        if dry_run { foretell(app, only).await } else { apply(app, plan, only).await }
    })
    .await
}

async fn find(app: &App, name: OwnerName) -> Result<(OwnerId, OwnerName)> {
    let wanted = name.clone();
    let found = app.db.read(move |conn| removal::owner_named(conn, &wanted)).await.map_err(explain)?;
    found.with_context(|| format!("there is no user or organization named {name}"))
}

/// A line of the table: what it is about, and the reason.
fn line(cells: [&str; 4]) -> Result<()> {
    say(&visible(&cells.join("\t")))
}

async fn foretell(app: &App, only: Option<(OwnerId, OwnerName)>) -> Result<ExitCode> {
    let (now, id) = (clock().now(), only.as_ref().map(|(id, _)| *id));
    let due = app.db.read(move |conn| removal::due(conn, id, now)).await.map_err(explain)?;
    // A version may have expired and be due by a rule.
    let mut versions = HashSet::new();
    for (owner, package, version, at) in &due {
        let name = format!("{owner}/{package}/{version}");
        line([&name, "delete", "", &format!("expired at {at}")])?;
        versions.insert(name);
    }
    let owners = match only {
        Some(owner) => vec![owner],
        None => app.db.read(removal::owners_with_rules).await.map_err(explain)?,
    };
    let (mut bytes, mut free) = (0_i64, 0_i64);
    for (id, owner) in owners {
        let found = app.db.snapshot(move |conn| preview::of_owner(conn, id, None, now)).await.map_err(explain)?;
        for preview::PreviewLine { facts, decision, rule } in &found.lines {
            let fate = if decision.deletes { "delete" } else { "keep" };
            let rule = rule.as_ref().map_or("", |rule| rule.as_str());
            let name = format!("{owner}/{}/{}", facts.package, facts.version);
            line([&name, fate, rule, &decision.reason])?;
            if decision.deletes {
                versions.insert(name);
            }
        }
        bytes += found.deleted_bytes;
        free += found.free_bytes;
    }
    say(&format!(
        "would move {} to the trash; those that rules delete have {bytes} bytes, of which {free} become free",
        count(u64::try_from(versions.len()).unwrap_or(u64::MAX), "version")
    ))?;
    Ok(ExitCode::SUCCESS)
}

async fn apply(app: &App, plan: RetentionPlan, only: Option<(OwnerId, OwnerName)>) -> Result<ExitCode> {
    let clock: Clock = clock();
    if !retention::lease_due(&app.db, &clock, plan).await.map_err(explain)? {
        bail!(
            "a server or another command is applying expiry and retention rules at the moment: try again when it is done; \
             if it was killed, you can try again within 5 minutes"
        );
    }
    let mut said = Ok(());
    let run = retention::run(&app.db, &clock, plan, only.map(|(id, _)| id), |removed| {
        let version = format!("{}/{}/{}", removed.owner, removed.package, removed.version);
        let rule = removed.rule.as_ref().map_or("", |rule| rule.as_str());
        if said.is_ok() {
            said = line([&version, "delete", rule, &removed.reason]);
        }
    });
    let outcome = run.await.map_err(explain)?;
    said?;
    say(&format!(
        "moved {} to the trash, {} bytes in total",
        count(outcome.expired + outcome.deleted, "version"),
        outcome.bytes
    ))?;
    Ok(ExitCode::SUCCESS)
}
