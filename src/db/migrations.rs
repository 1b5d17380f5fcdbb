//! The migrations, embedded, and run by one server at a time.

use crate::error::{Error, Result};
use diesel::connection::{Connection, SimpleConnection};
use diesel::pg::PgConnection;
use diesel::result::ConnectionError;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::time::{Duration, Instant};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
/// The advisory lock that a migrating server holds; the number is arbitrary and must never change.
const LOCK: i64 = 0x7061_636b_686f_7573;

/// Brings the database at `url` to this program's schema and returns the names of the migrations that were run. Of
/// several servers that start at once one does it while the others wait. A database that does not answer is waited for
/// so long.
///
/// # Errors
/// [`Error::Internal`] naming what failed: no connection in that time, or a migration.
pub fn migrate(url: &str, patience: Duration) -> Result<Vec<String>> {
    let mut conn = connect(url, patience)?;
    conn.batch_execute(&format!("SET application_name = 'packhouse migrate'; SELECT pg_advisory_lock({LOCK})"))?;
    let done = conn.run_pending_migrations(MIGRATIONS).map_err(|error| Error::internal(anyhow::anyhow!(error)))?;
    let done = done.iter().map(ToString::to_string).collect();
    // The lock goes with the connection.
    Ok(done)
}

fn connect(url: &str, patience: Duration) -> Result<PgConnection> {
    let deadline = Instant::now() + patience;
    loop {
        match PgConnection::establish(url) {
            Ok(conn) => return Ok(conn),
            Err(ConnectionError::BadConnection(why)) if Instant::now() < deadline => {
                tracing::warn!(error = why.trim(), "the database does not answer yet");
                std::thread::sleep(Duration::from_millis(500));
            }
            Err(error) => return Err(Error::internal(anyhow::anyhow!("cannot connect to the database: {error}"))),
        }
    }
}
