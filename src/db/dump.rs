//! All rows of the database as newline-delimited JSON: exported in one snapshot, imported in one transaction. Backups
//! consist of this.
//!
//! `pg_dump` is not used: a machine with only Packhouse does not have it, it refuses a server newer than itself, and
//! its dump contains the schema, which the migrations create. A row is exported by `row_to_json` and imported by
//! `json_populate_recordset`, which match columns by name, into the schema it was exported from. Later migrations then
//! run on it as usual.
//!
//! These connections are not from the pools of [`super::Db`]: they hold a snapshot, a lock or a long transaction while
//! files are read and written between their statements.

use super::Connection;
use super::migrations::connect;
use crate::error::{Error, Result};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Tables that are not exported: the migrations maintain their own table, users sign in again after a restore, and
/// running servers write their own rows.
const LEFT_OUT: [&str; 6] =
    ["__diesel_schema_migrations", "sessions", "attempts", "known_addresses", "servers", "database_runs"];

/// Rows that are fetched together; rows of large blobs have tens of kilobytes.
const BATCH: usize = 64;

/// Turns off every time limit that a role may have: a backup or restore takes hours, a request milliseconds. The
/// settings are set by name because Postgres 13 does not know all of them.
const PATIENT: &str = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout', \
    'lock_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout')";

/// The state of a column's id sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, QueryableByName)]
pub struct Counter {
    #[diesel(sql_type = Text)]
    pub table: String,
    #[diesel(sql_type = Text)]
    pub column: String,
    /// The last number given out.
    #[diesel(sql_type = BigInt)]
    pub value: i64,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

#[derive(QueryableByName)]
struct Reference {
    #[diesel(sql_type = Text)]
    child: String,
    #[diesel(sql_type = Text)]
    parent: String,
}

/// A connection to export rows from. Its settings hold for as long as it lives.
pub struct Export(Connection);

impl Export {
    /// Connects to the database at `url`.
    ///
    /// # Errors
    /// Connection errors.
    pub fn open(url: &str) -> Result<Self> {
        let mut conn = connect(url, Duration::ZERO)?;
        conn.batch_execute("SET application_name = 'packhouse backup'; SET bytea_output = 'hex'")?;
        conn.batch_execute(PATIENT)?;
        Ok(Self(conn))
    }

    /// Runs other work on this connection.
    ///
    /// # Errors
    /// The errors of the closure.
    pub fn run<T>(&mut self, work: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        work(&mut self.0)
    }

    /// Begins the snapshot that everything is read from.
    ///
    /// # Errors
    /// Database errors.
    pub fn begin(&mut self) -> Result<()> {
        Ok(self.0.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?)
    }

    /// Ends the snapshot, so that it does not delay vacuum.
    ///
    /// # Errors
    /// Database errors.
    pub fn end(&mut self) -> Result<()> {
        Ok(self.0.batch_execute("COMMIT")?)
    }

    /// The migrations that created this schema.
    ///
    /// # Errors
    /// Database errors.
    pub fn schema(&mut self) -> Result<Vec<String>> {
        // Diesel's own query would first create the table, which a snapshot must not do.
        let rows: Vec<Line> =
            diesel::sql_query("SELECT version::text AS line FROM __diesel_schema_migrations ORDER BY version")
                .load(&mut self.0)?;
        Ok(rows.into_iter().map(|row| row.line).collect())
    }

    /// The tables to export, each after the tables it refers to.
    ///
    /// # Errors
    /// Database errors; [`Error::Internal`] when two tables refer to each other.
    pub fn tables(&mut self) -> Result<Vec<String>> {
        let names: Vec<Line> = diesel::sql_query(
            "SELECT relname::text AS line FROM pg_class \
             WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' ORDER BY relname",
        )
        .load(&mut self.0)?;
        let references: Vec<Reference> = diesel::sql_query(
            "SELECT DISTINCT c.relname::text AS child, p.relname::text AS parent FROM pg_constraint k \
             JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class p ON p.oid = k.confrelid \
             WHERE k.contype = 'f' AND c.relnamespace = current_schema()::regnamespace AND c.oid <> p.oid",
        )
        .load(&mut self.0)?;
        let names = names.into_iter().map(|row| row.line).filter(|name| !LEFT_OUT.contains(&name.as_str())).collect();
        let references: Vec<_> = references.into_iter().map(|row| (row.child, row.parent)).collect();
        parents_first(names, &references)
    }

    /// Passes every row of a table to `each`, as a line of JSON, in the order of the primary key. Returns the number of
    /// rows.
    ///
    /// # Errors
    /// The errors of the closure and of the database.
    pub fn rows(&mut self, table: &str, mut each: impl FnMut(&str) -> std::io::Result<()>) -> Result<u64> {
        let order = self.primary_key(table)?;
        let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {order}") };
        let query = format!("SELECT row_to_json(t)::text AS line FROM {} AS t{order}", quote(table));
        self.0.batch_execute(&format!("DECLARE dump NO SCROLL CURSOR FOR {query}"))?;
        let mut count = 0;
        loop {
            let rows: Vec<Line> = diesel::sql_query(format!("FETCH {BATCH} FROM dump")).load(&mut self.0)?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                each(&row.line).map_err(Error::internal)?;
                count += 1;
            }
        }
        self.0.batch_execute("CLOSE dump")?;
        Ok(count)
    }

    fn primary_key(&mut self, table: &str) -> Result<String> {
        let columns: Vec<Line> = diesel::sql_query(
            "SELECT quote_ident(a.attname) AS line FROM pg_index i \
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) \
             WHERE i.indrelid = quote_ident($1)::regclass AND i.indisprimary \
             ORDER BY array_position(i.indkey::int2[], a.attnum)",
        )
        .bind::<Text, _>(table)
        .load(&mut self.0)?;
        Ok(columns.into_iter().map(|row| row.line).collect::<Vec<_>>().join(", "))
    }

    /// The states of all id sequences. They are not part of the snapshot, and are at least as far as its rows.
    ///
    /// # Errors
    /// Database errors.
    pub fn counters(&mut self) -> Result<Vec<Counter>> {
        Ok(diesel::sql_query(
            "SELECT s.table, s.column, s.value FROM (SELECT c.relname::text AS table, a.attname::text AS column, \
             pg_sequence_last_value(pg_get_serial_sequence(quote_ident(c.relname), a.attname)::regclass) AS value \
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attidentity <> '' \
             AND c.relnamespace = current_schema()::regnamespace ORDER BY 1, 2) AS s WHERE s.value IS NOT NULL",
        )
        .load(&mut self.0)?)
    }
}

/// A transaction to import rows in. Without a commit it changes nothing.
pub struct Import(Connection);

impl Import {
    /// Connects to the database at `url` and begins the transaction.
    ///
    /// # Errors
    /// Connection errors.
    pub fn begin(url: &str) -> Result<Self> {
        let mut conn = connect(url, Duration::ZERO)?;
        conn.batch_execute("SET application_name = 'packhouse restore'")?;
        conn.batch_execute(PATIENT)?;
        conn.batch_execute("BEGIN")?;
        Ok(Self(conn))
    }

    /// Runs other work in this transaction.
    ///
    /// # Errors
    /// The errors of the closure.
    pub fn run<T>(&mut self, work: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        work(&mut self.0)
    }

    /// Locks some tables against everybody else.
    ///
    /// # Errors
    /// Database errors.
    pub fn lock<'a>(&mut self, tables: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let tables: Vec<String> = tables.into_iter().map(quote).collect();
        Ok(self.0.batch_execute(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", tables.join(", ")))?)
    }

    /// Empties tables, which may hold rows from the migrations.
    ///
    /// # Errors
    /// Database errors.
    pub fn empty<'a>(&mut self, tables: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let tables: Vec<String> = tables.into_iter().map(quote).collect();
        Ok(self.0.batch_execute(&format!("TRUNCATE {} CASCADE", tables.join(", ")))?)
    }

    /// Inserts rows, given as the lines of [`Export::rows`], into a table.
    ///
    /// # Errors
    /// Database errors.
    pub fn insert(&mut self, table: &str, lines: &[String]) -> Result<()> {
        let table = quote(table);
        diesel::sql_query(format!(
            "INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM json_populate_recordset(NULL::{table}, $1::json)"
        ))
        .bind::<Text, _>(format!("[{}]", lines.join(",\n")))
        .execute(&mut self.0)?;
        Ok(())
    }

    /// Sets an id sequence to its exported state.
    ///
    /// # Errors
    /// Database errors.
    pub fn set_counter(&mut self, counter: &Counter) -> Result<()> {
        diesel::sql_query("SELECT setval(pg_get_serial_sequence(quote_ident($1), $2), $3)")
            .bind::<Text, _>(&counter.table)
            .bind::<Text, _>(&counter.column)
            .bind::<BigInt, _>(counter.value)
            .execute(&mut self.0)?;
        Ok(())
    }

    /// Commits the transaction.
    ///
    /// # Errors
    /// Database errors.
    pub fn commit(mut self) -> Result<()> {
        self.0.batch_execute("COMMIT")?;
        // Collect statistics for the planner, which otherwise would come some minutes later.
        if let Err(error) = self.0.batch_execute("ANALYZE") {
            tracing::warn!(%error, "could not analyze the restored database");
        }
        Ok(())
    }
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Orders tables so that each follows the tables it refers to.
fn parents_first(mut names: Vec<String>, references: &[(String, String)]) -> Result<Vec<String>> {
    let mut sorted: Vec<String> = Vec::new();
    while !names.is_empty() {
        let waits = |name: &String| references.iter().any(|(child, parent)| child == name && names.contains(parent));
        let (waiting, ready): (Vec<_>, Vec<_>) = names.iter().cloned().partition(waits);
        if ready.is_empty() {
            return Err(Error::Internal(anyhow::anyhow!("the tables {} refer to each other", waiting.join(", "))));
        }
        sorted.extend(ready);
        names = waiting;
    }
    Ok(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_dumped_after_the_tables_they_reference() {
        let names = ["files", "owners", "packages", "versions"].map(str::to_owned).to_vec();
        let pair = |child: &str, parent: &str| (child.to_owned(), parent.to_owned());
        let mut references = vec![pair("files", "versions"), pair("versions", "packages"), pair("packages", "owners")];
        assert_eq!(parents_first(names.clone(), &references).unwrap(), ["owners", "packages", "versions", "files"]);
        references.push(pair("owners", "files"));
        assert!(parents_first(names, &references).is_err());
    }
}
