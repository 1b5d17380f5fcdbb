//! The migrations, embedded in the program and run by one server at a time.

use super::pool::bounded;
use crate::error::{Error, Result};
use diesel::connection::{Connection, SimpleConnection};
use diesel::dsl::sql;
use diesel::migration::MigrationSource;
use diesel::pg::{Pg, PgConnection};
use diesel::query_dsl::RunQueryDsl;
use diesel::result::{ConnectionError, OptionalExtension};
use diesel::sql_types::{Array, Bool, Nullable, Text};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::collections::BTreeSet;
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
/// [`Error::Internal`] naming what failed: no connection in that time, a database that is not UTF-8, one that a newer
/// version has migrated, or a migration.
pub fn migrate(url: &str, patience: Duration) -> Result<Vec<String>> {
    let mut conn = lock(url, patience)?;
    refuse_newer(&mut conn)?;
    let done = conn.run_pending_migrations(MIGRATIONS).map_err(internal)?;
    let done: Vec<String> = done.iter().map(ToString::to_string).collect();
    if !done.is_empty() {
        diesel::sql_query(
            "INSERT INTO settings (key, value) VALUES ('migrated_by', to_jsonb($1::text)) \
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind::<Text, _>(env!("CARGO_PKG_VERSION"))
        .execute(&mut conn)?;
    }
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

/// How the schema of the database differs from this program's schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaState {
    /// Migrations of this program that the database lacks.
    pub pending: usize,
    /// Migrations of the database that this program doesn't know.
    pub unknown: usize,
}

/// Compares the schema of the database with this program's schema. Unlike Diesel's own functions, this only reads.
///
/// # Errors
/// Database errors.
pub fn schema_state(conn: &mut PgConnection) -> Result<SchemaState> {
    let known = MigrationSource::<Pg>::migrations(&MIGRATIONS).map_err(internal)?;
    let known: BTreeSet<String> = known.iter().map(|migration| migration.name().version().to_string()).collect();
    let done = "SELECT array_agg(version::text) FROM __diesel_schema_migrations";
    let done = diesel::select(sql::<Nullable<Array<Text>>>(&format!("({done})")));
    let done: BTreeSet<String> = done.get_result::<Option<Vec<String>>>(conn)?.into_iter().flatten().collect();
    Ok(SchemaState { pending: known.difference(&done).count(), unknown: done.difference(&known).count() })
}

/// Refuses a database that a newer version has migrated: this version does not know its rules, and could write what that
/// version cannot read.
fn refuse_newer(conn: &mut PgConnection) -> Result<()> {
    let known = MigrationSource::<Pg>::migrations(&MIGRATIONS).map_err(internal)?;
    let mut known: Vec<String> = known.iter().map(|migration| migration.name().version().to_string()).collect();
    known.sort();
    let Some(beyond) = applied(conn)?.into_iter().filter(|done| !known.contains(done)).max() else { return Ok(()) };
    let by = diesel::select(sql::<Nullable<Text>>("(SELECT value #>> '{}' FROM settings WHERE key = 'migrated_by')"))
        .get_result::<Option<String>>(conn)
        .optional()
        .ok()
        .flatten()
        .flatten();
    Err(internal(format!(
        "a newer version of Packhouse{} has migrated this database: its migration {beyond} is unknown to version {}, \
         whose newest is {}. Start the newer version, or restore a backup from before the upgrade \
         (docs/operations/upgrade.md)",
        by.map(|by| format!(" ({by})")).unwrap_or_default(),
        env!("CARGO_PKG_VERSION"),
        known.last().map_or("none", String::as_str),
    )))
}

/// Refuses a database with another encoding than UTF-8, which could not store every version and file name.
fn refuse_other_encoding(conn: &mut PgConnection) -> Result<()> {
    let encoding: String = diesel::select(sql::<Text>("current_setting('server_encoding')")).get_result(conn)?;
    if encoding == "UTF8" {
        return Ok(());
    }
    Err(internal(format!(
        "the database has the encoding {encoding} and must have UTF8: create one with \
         CREATE DATABASE packhouse ENCODING 'UTF8' TEMPLATE template0, and use that"
    )))
}

/// Warns of messages in another language than English: errors of the database are then answered with 500 where 503
/// would be right, and are not retried.
fn warn_of_language(conn: &mut PgConnection) -> Result<()> {
    let language: String = diesel::select(sql::<Text>("current_setting('lc_messages')")).get_result(conn)?;
    let is_english = language.is_empty() || ["C", "POSIX", "en"].iter().any(|english| language.starts_with(english));
    if !is_english {
        tracing::warn!(
            lc_messages = language,
            "the database does not report errors in English, so some cannot be told apart: \
             as its superuser, run ALTER ROLE <the role of database.url> SET lc_messages = 'C'"
        );
    }
    Ok(())
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
    refuse_other_encoding(&mut conn)?;
    warn_of_language(&mut conn)?;
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
        match PgConnection::establish(&bounded(url)) {
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
