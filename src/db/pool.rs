//! A pool's connections: how they are opened, and how a broken one is detected.

use super::fault::{Fault, fault_of_query};
use diesel::connection::{Connection, SimpleConnection};
use diesel::pg::PgConnection;
use diesel::prelude::{QueryableByName, RunQueryDsl};
use diesel::r2d2::{ManageConnection, Pool};
use diesel::result::ConnectionError;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The kind of access that a connection has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    Read,
    Write,
}

/// A connection, and whether it was found dead: r2d2 then drops it instead of taking it back.
pub(super) struct Conn {
    pub(super) inner: PgConnection,
    pub(super) broken: bool,
    /// The database behind it is another than the one the server was started with.
    pub(super) foreign: bool,
}

/// The id of the store that the database must belong to, once it is known.
pub(super) type ExpectedStore = Arc<OnceLock<String>>;

/// Opens connections for r2d2.
pub(super) struct Manager {
    url: String,
    mode: Mode,
    store: ExpectedStore,
}

#[derive(QueryableByName)]
struct StoreIdRow {
    #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Text>)]
    id: Option<String>,
}

impl Manager {
    pub(super) fn new(url: &str, mode: Mode, store: ExpectedStore) -> Self {
        Self { url: url.to_owned(), mode, store }
    }

    /// Whether the database belongs to another store: it was renamed under the running server and another one took its
    /// name, or a `search_path` leads elsewhere.
    fn is_foreign(&self, conn: &mut PgConnection) -> Result<bool, ConnectionError> {
        let Some(expected) = self.store.get() else { return Ok(false) };
        // A switch to another store holds this lock until its commit and ends all connections before: one that is opened
        // in between must not take the former store for the right one.
        let wait = "SELECT pg_advisory_lock_shared(hashtext('packhouse'), hashtext('store switch')); \
                    SELECT pg_advisory_unlock_shared(hashtext('packhouse'), hashtext('store switch'))";
        conn.batch_execute(wait).map_err(ConnectionError::CouldntSetupConfiguration)?;
        let query = "SELECT (SELECT value #>> '{}' FROM settings WHERE key = 'store_id') AS id";
        let found = diesel::sql_query(query).get_result::<StoreIdRow>(conn).map(|row| row.id);
        let found = match found {
            Ok(found) => found,
            Err(error) if fault_of_query(&error) == Fault::None => {
                tracing::error!(%error, "the database lacks this program's tables");
                None
            }
            Err(error) => return Err(ConnectionError::CouldntSetupConfiguration(error)),
        };
        if found.as_ref() == Some(expected) {
            return Ok(false);
        }
        let found = found.unwrap_or_else(|| "none".to_owned());
        tracing::error!(expected, found, "this database belongs to another store: nothing in it is read or changed");
        Ok(true)
    }
}

/// A pool of at most `size` connections, opened on demand.
pub(super) fn build(url: &str, mode: Mode, size: u32, store: ExpectedStore) -> Pool<Manager> {
    Pool::builder()
        .max_size(size)
        .min_idle(Some(0))
        .connection_timeout(Duration::from_secs(2))
        // A test query per check-out costs a quarter of the throughput; a retry handles dead connections instead.
        .test_on_check_out(false)
        .build_unchecked(Manager::new(url, mode, store))
}

/// Adds timeouts to a connection string, for a network or machine that silently drops everything; its own settings take
/// precedence.
pub(super) fn bounded(url: &str) -> String {
    let is_url = url.contains("://");
    let mut text = url.to_owned();
    for (key, value) in [("connect_timeout", "5"), ("tcp_user_timeout", "30000"), ("keepalives_idle", "10")] {
        if !url.contains(&format!("{key}=")) {
            let join = match (is_url, text.contains('?')) {
                (false, _) => ' ',
                (true, false) => '?',
                (true, true) => '&',
            };
            text = format!("{text}{join}{key}={value}");
        }
    }
    text
}

impl ManageConnection for Manager {
    type Connection = Conn;
    type Error = ConnectionError;

    fn connect(&self) -> Result<Conn, ConnectionError> {
        let mut inner = PgConnection::establish(&bounded(&self.url))?;
        // Time limits so that nothing waits forever; no JIT, whose compilation takes longer than any query here.
        // Without row_security, a policy that hides rows makes a query fail instead of silently returning fewer rows.
        inner
            .batch_execute(match self.mode {
                Mode::Read => {
                    "SET application_name = 'packhouse reader'; SET statement_timeout = '8s'; SET jit = off; \
                     SET row_security = off; SET default_transaction_read_only = on"
                }
                Mode::Write => {
                    "SET application_name = 'packhouse writer'; SET statement_timeout = '20s'; SET jit = off; \
                     SET row_security = off; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s'"
                }
            })
            .map_err(ConnectionError::CouldntSetupConfiguration)?;
        let foreign = self.is_foreign(&mut inner)?;
        Ok(Conn { inner, broken: false, foreign })
    }

    fn is_valid(&self, conn: &mut Conn) -> Result<(), ConnectionError> {
        conn.inner.batch_execute("SELECT 1").map_err(ConnectionError::CouldntSetupConfiguration)
    }

    fn has_broken(&self, conn: &mut Conn) -> bool {
        use diesel::connection::TransactionManager;
        type Transactions = diesel::connection::AnsiTransactionManager;
        conn.broken
            || std::thread::panicking()
            || <Transactions as TransactionManager<PgConnection>>::is_broken_transaction_manager(&mut conn.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::bounded;

    #[test]
    fn a_connection_string_gets_the_timeouts_it_does_not_set() {
        for (url, expected) in [
            ("postgres://h", "postgres://h?connect_timeout=5&tcp_user_timeout=30000&keepalives_idle=10"),
            (
                "postgres:///db?host=%2Frun&connect_timeout=9",
                "postgres:///db?host=%2Frun&connect_timeout=9&tcp_user_timeout=30000&keepalives_idle=10",
            ),
            (
                "host=h dbname=db keepalives_idle=3",
                "host=h dbname=db keepalives_idle=3 connect_timeout=5 tcp_user_timeout=30000",
            ),
        ] {
            assert_eq!(bounded(url), expected);
        }
    }
}
