//! The migrations, embedded in the program and run by one server at a time.

use crate::error::{Error, Result};
use diesel::connection::{Connection, SimpleConnection};
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::query_dsl::RunQueryDsl;
use diesel::result::ConnectionError;
use diesel::sql_types::Bool;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::time::{Duration, Instant};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
/// The advisory lock that a migrating server holds; the number is arbitrary and must never change.
const LOCK: i64 = 0x7061_636b_686f_7573;
/// How often a server asks for the lock that another one holds.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// Migrates the database at `url` to this program's schema and returns the names of the migrations that ran. Of several
/// servers that start at once, one migrates while the others wait. A database that does not answer is waited for up to
/// `patience`.
///
/// # Errors
/// [`Error::Internal`] naming what failed: no connection in that time, or a migration.
pub fn migrate(url: &str, patience: Duration) -> Result<Vec<String>> {
    let mut conn = lock(url, patience)?;
    let done = conn.run_pending_migrations(MIGRATIONS).map_err(internal)?;
    let done = done.iter().map(ToString::to_string).collect();
    // Closing the connection releases the lock.
    Ok(done)
}

/// Migrates the database at `url` to the earlier schema of a backup: exactly these migrations.
///
/// # Errors
/// [`Error::Internal`] with a message when this program does not know one of the migrations, when the database is
/// already beyond them, and as [`migrate`].
pub fn migrate_to(url: &str, schema: &[String], patience: Duration) -> Result<()> {
    let mut conn = lock(url, patience)?;
    if let Some(beyond) = applied(&mut conn)?.iter().find(|done| !schema.contains(done)) {
        return Err(internal(format!(
            "the database is newer than the backup (it has migration {beyond}): use an empty database"
        )));
    }
    let pending = conn.pending_migrations(MIGRATIONS).map_err(internal)?;
    for migration in pending.iter().filter(|pending| schema.contains(&pending.name().version().to_string())) {
        conn.run_migration(migration).map_err(internal)?;
    }
    let done = applied(&mut conn)?;
    match schema.iter().find(|wanted| !done.contains(wanted)) {
        Some(unknown) => Err(internal(format!(
            "a newer version of Packhouse made the backup (migration {unknown} is unknown here): use that version"
        ))),
        None => Ok(()),
    }
}

fn applied(conn: &mut PgConnection) -> Result<Vec<String>> {
    Ok(conn.applied_migrations().map_err(internal)?.iter().map(ToString::to_string).collect())
}

fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Internal(anyhow::anyhow!(error.into()))
}

fn lock(url: &str, patience: Duration) -> Result<PgConnection> {
    let mut conn = connect(url, patience)?;
    conn.batch_execute("SET application_name = 'packhouse migrate'")?;
    // A statement that waits for the lock would hold a snapshot, and a CREATE INDEX CONCURRENTLY of the server with the
    // lock waits for that snapshot: Postgres detects a deadlock and cancels one of the two. So this asks repeatedly.
    while !diesel::select(sql::<Bool>(&format!("pg_try_advisory_lock({LOCK})"))).get_result(&mut conn)? {
        std::thread::sleep(LOCK_POLL);
    }
    Ok(conn)
}

pub(super) fn connect(url: &str, patience: Duration) -> Result<PgConnection> {
    let deadline = Instant::now() + patience;
    loop {
        match PgConnection::establish(url) {
            Ok(conn) => return Ok(conn),
            Err(ConnectionError::BadConnection(why)) if Instant::now() < deadline => {
                tracing::warn!(error = why.trim(), "the database does not answer yet");
                std::thread::sleep(Duration::from_millis(500));
            }
            Err(error) => {
                let why = error.to_string();
                return Err(Error::internal(anyhow::anyhow!("cannot connect to the database: {}", why.trim())));
            }
        }
    }
}
