//! The only access to the database: [`Db::read`] cannot write, [`Db::write`] is one transaction.
//!
//! Each call runs its closure on one of a few dedicated threads, one per connection: more of them would only compete
//! with each other. Closures contain SQL and nothing else. Other work on the same thread follows in [`Db::read_then`],
//! after the connection is back in its pool.

pub mod coherence;
pub mod dump;
mod fault;
pub mod managed;
mod migrations;
mod pool;
pub mod schema;
mod servers;
mod turn;

pub use migrations::{SchemaState, migrate, migrate_to, schema_state};
pub use turn::JobTurn;

use crate::config::DatabaseConfig;
use crate::error::{Error, Result};
use coherence::Coherence;
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::query_dsl::RunQueryDsl;
use diesel::r2d2::Pool;
use diesel::result::DatabaseErrorKind;
use diesel::sql_types::Bool;
use fault::{Fault, fault_of};
use pool::{ExpectedStore, Manager, Mode};
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The connection that [`Db`] lends. It is a type of this layer instead of a re-export, so that code that passes it on
/// does not name Diesel.
pub type Connection = PgConnection;

/// How long a request waits for a connection before it fails because the database is busy.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a running read is waited for: longer than the limit of its statements. A read that takes longer is stuck on
/// a database that does not answer.
const LONGEST_READ: Duration = Duration::from_secs(10);
/// How long a running write is waited for: longer than every statement's limit, and longer than a transaction that is
/// tried [`TRIES`] times against other transactions' locks.
const LONGEST_WRITE: Duration = Duration::from_secs(45);
/// The limit for a survey of the whole database, which runs many statements and is not a request.
const LONGEST_SURVEY: Duration = Duration::from_secs(24 * 3600);
/// The limit of each statement of a survey.
const SURVEY_TIMEOUT: &str = "SET LOCAL statement_timeout = '20s'";
/// What a request that would write to a read-only database gets.
const READ_ONLY: &str = "the database is read-only";
/// How often a transaction is tried that lost against another one (deadlock, serialization, [`Error::Retry`]), or met a
/// dead connection.
const TRIES: u32 = 4;

/// The connections for one kind of work, and one thread per connection. Waiting jobs queue inside the thread pool, so a
/// free thread picks up the next one without waking the caller first (17 thousand requests a second, against 10
/// thousand with a semaphore in front of the threads).
struct Lane {
    pool: Pool<Manager>,
    threads: Option<tokio::runtime::Runtime>,
    used: AtomicU32,
    name: &'static str,
}

impl Drop for Lane {
    fn drop(&mut self) {
        // A runtime must not be waited for inside another one; its threads end by themselves.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl Lane {
    fn new(url: &str, mode: Mode, (name, size): (&'static str, u32), store: &ExpectedStore) -> Result<Self> {
        let threads = tokio::runtime::Builder::new_current_thread()
            .thread_name(format!("db {name}"))
            .max_blocking_threads(usize::try_from(size).unwrap_or(1))
            .build()
            .map_err(Error::internal)?;
        Ok(Self {
            pool: pool::build(url, mode, size, Arc::clone(store)),
            threads: Some(threads),
            used: AtomicU32::new(0),
            name,
        })
    }
}

/// Access to the database; cheap to clone.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    read: Lane,
    write: Lane,
    store: ExpectedStore,
    url: String,
    coherence: Arc<Coherence>,
    /// The id of this server in the database; 0 for a command.
    server: AtomicI64,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.coherence.stop();
    }
}

/// The state of a piece of work, set by its thread and by the task that waits for it.
const WAITING: u8 = 0;
const RUNNING: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Db {
    /// Prepares the pools for the database at `url`; connections are opened when they are first needed.
    ///
    /// # Errors
    /// [`Error::Internal`] when the threads cannot be started.
    pub fn new(url: &str, config: &DatabaseConfig) -> Result<Self> {
        let store = ExpectedStore::default();
        Ok(Self(Arc::new(Inner {
            read: Lane::new(url, Mode::Read, ("read", config.read_connections), &store)?,
            write: Lane::new(url, Mode::Write, ("write", config.write_connections), &store)?,
            store,
            url: url.to_owned(),
            coherence: Arc::default(),
            server: AtomicI64::new(0),
            keeper: Mutex::default(),
        })))
    }

    /// From now on, every new connection must lead to the database that belongs to this store; nothing is read from or
    /// written to another one. The first expected store stays.
    pub fn expect_store(&self, id: &str) {
        let _ = self.0.store.set(id.to_owned());
    }

    /// Runs queries that only read, each as its own statement. They may run twice, when the first connection turns out
    /// to be dead.
    ///
    /// # Errors
    /// The errors of the closure; [`Error::Busy`] when no connection was free in two seconds or the database does not
    /// answer.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut PgConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.read_then(work, |found| found).await
    }

    /// [`Db::read`], followed by work on the result, on the same thread but without the connection: for work that is
    /// too short for a thread of its own, such as reading a small file.
    ///
    /// # Errors
    /// As [`Db::read`].
    pub async fn read_then<T: Send + 'static, U: Send + 'static>(
        &self,
        mut work: impl FnMut(&mut PgConnection) -> Result<T> + Send + 'static,
        then: impl FnOnce(T) -> U + Send + 'static,
    ) -> Result<U> {
        self.run(Which::Read, LONGEST_READ, move |lane| retrying(lane, |conn| work(conn)).map(then)).await
    }

    /// Runs queries that only read and must agree with each other: one repeatable-read snapshot.
    ///
    /// # Errors
    /// As [`Db::read`].
    pub async fn snapshot<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&mut PgConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(Which::Read, LONGEST_SURVEY, move |lane| {
            retrying(lane, |conn| {
                conn.build_transaction().read_only().repeatable_read().run(|conn| {
                    conn.batch_execute(SURVEY_TIMEOUT)?;
                    work(conn)
                })
            })
        })
        .await
    }

    /// Runs one transaction. It is retried when another transaction conflicts with it or its connection was dead before
    /// COMMIT, so the closure must have no effect outside the database.
    ///
    /// # Errors
    /// The errors of the closure, with nothing changed; [`Error::Busy`] as for [`Db::read`]; [`Error::OutcomeUnknown`]
    /// when the connection died during COMMIT or the database does not answer.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut PgConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (done, took_away) = self.commit(work).await;
        if took_away {
            self.settle().await;
        }
        done
    }

    /// [`Db::write`], which waits for the other servers in any case: an earlier request, which was not answered, may have
    /// made the same change, and then this one takes nothing away.
    ///
    /// # Errors
    /// As [`Db::write`].
    pub async fn write_and_settle<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut PgConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (done, _) = self.commit(work).await;
        self.settle().await;
        done
    }

    /// Runs one transaction, and returns whether it may have taken something away.
    async fn commit<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&mut PgConnection) -> Result<T> + Send + 'static,
    ) -> (Result<T>, bool) {
        let transaction = move |lane: &Lane| retrying(lane, |conn| transaction(conn, &mut work));
        match self.run(Which::Write, LONGEST_WRITE, transaction).await {
            Ok((value, took_away)) => (Ok(value), took_away),
            // The commit may have happened.
            Err(Error::OutcomeUnknown) => (Err(Error::OutcomeUnknown), true),
            Err(error) => (Err(error), false),
        }
    }

    /// Checks that the database accepts writes, without writing anything.
    ///
    /// # Errors
    /// [`Error::Busy`] when it is a standby or set to read-only, and as for [`Db::write`].
    pub async fn check_writable(&self) -> Result<()> {
        self.write(|conn| {
            let setting = sql::<Bool>("current_setting('transaction_read_only') = 'on'");
            if diesel::select(setting).get_result::<bool>(conn)? {
                let message = Box::new(READ_ONLY.to_owned());
                return Err(
                    diesel::result::Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, message).into()
                );
            }
            Ok(())
        })
        .await
    }

    /// Connections in use and in total, for reads and for writes.
    pub fn usage(&self) -> [(&'static str, u32, u32); 2] {
        let usage = |lane: &Lane| (lane.name, lane.used.load(Ordering::Relaxed), lane.pool.max_size());
        [usage(&self.0.read), usage(&self.0.write)]
    }

    async fn run<T: Send + 'static>(
        &self,
        which: Which,
        longest: Duration,
        work: impl FnOnce(&Lane) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.0);
        let Some(threads) = &which.of(&self.0).threads else { return Err(Error::Busy("the server is stopping")) };
        let state = Arc::new(AtomicU8::new(WAITING));
        let (span, started, seen) = (tracing::Span::current(), Instant::now(), Arc::clone(&state));
        let mut done = threads.handle().spawn_blocking(move || {
            if seen.compare_exchange(WAITING, RUNNING, Ordering::AcqRel, Ordering::Acquire).is_err() {
                return Err(Error::Busy("the database is busy"));
            }
            let lane = which.of(&inner);
            metrics::histogram!("packhouse_db_wait_seconds", "lane" => lane.name).record(started.elapsed());
            lane.used.fetch_add(1, Ordering::Relaxed);
            let _used = Used(&lane.used);
            span.in_scope(|| work(lane))
        });
        let finished = match tokio::time::timeout(PATIENCE, &mut done).await {
            Ok(finished) => finished,
            // The work did not start in that time and never will. Work that has started is waited for.
            Err(_) => match state.compare_exchange(WAITING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Err(Error::Busy("the database is busy")),
                Err(_) => tokio::time::timeout(longest, done).await.map_err(|_| which.unanswered())?,
            },
        };
        match finished {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Error::Busy("the server is stopping")),
        }
    }
}

/// Counts a connection as used, even after a panic.
struct Used<'a>(&'a AtomicU32);

impl Drop for Used<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy)]
enum Which {
    Read,
    Write,
}

impl Which {
    /// The error when the database does not answer: a write may still happen.
    fn unanswered(self) -> Error {
        match self {
            Self::Read => Error::Busy("the database does not answer"),
            Self::Write => Error::OutcomeUnknown,
        }
    }

    fn of(self, inner: &Inner) -> &Lane {
        match self {
            Self::Read => &inner.read,
            Self::Write => &inner.write,
        }
    }
}

/// Runs work on a connection of the lane, and retries on another connection where that can help and does no harm.
fn retrying<T>(lane: &Lane, mut work: impl FnMut(&mut PgConnection) -> Result<T>) -> Result<T> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut conn = lane.pool.get_timeout(PATIENCE).map_err(|error| {
            tracing::warn!(%error, lane = lane.name, "no connection to the database");
            Error::Busy("the database is unavailable")
        })?;
        if conn.foreign {
            conn.broken = true;
            return Err(Error::Busy("this database belongs to another store"));
        }
        let error = match work(&mut conn.inner) {
            Err(error) => error,
            done => return done,
        };
        match fault_of(&error) {
            Fault::None => return Err(error),
            Fault::NoSpace => return Err(Error::NoSpace),
            Fault::LostRace if tries < TRIES => {
                drop(conn);
                std::thread::sleep(Duration::from_millis(u64::from(tries * rand::random_range(1..10))));
            }
            Fault::LostRace => return Err(Error::Busy("too many requests changed the same data at once")),
            Fault::Ended => return Err(Error::Busy("the database takes too long")),
            Fault::ReadOnly => {
                // A setting of the database holds for the whole life of a connection, and an old primary stays what it
                // is: only a new connection finds out that the database accepts writes again.
                conn.broken = true;
                tracing::warn!(error = %cause(&error), "the database is read-only");
                return Err(Error::Busy(READ_ONLY));
            }
            Fault::Damaged => {
                tracing::error!(error = %cause(&error), "the database has a fault");
                return Err(Error::Busy("the database cannot read or write its own data"));
            }
            Fault::Broken => {
                // The other connections are probably dead too: each is found and dropped in turn, then a new one is
                // opened.
                conn.broken = true;
                if tries > lane.pool.max_size() + 1 || matches!(error, Error::OutcomeUnknown) {
                    return Err(if matches!(error, Error::OutcomeUnknown) { error } else { away(&error) });
                }
            }
        }
    }
}

fn away(error: &Error) -> Error {
    tracing::warn!(error = %cause(error), "lost the connection to the database");
    Error::Busy("the database is unavailable")
}

/// The error of the database, for the log.
fn cause(error: &Error) -> String {
    match error {
        Error::Internal(source) => source.to_string(),
        other => other.to_string(),
    }
}

/// Runs one transaction and distinguishes a connection that dies during COMMIT from one that dies before. Also returns
/// whether the transaction took something away.
fn transaction<T>(conn: &mut PgConnection, work: &mut impl FnMut(&mut PgConnection) -> Result<T>) -> Result<(T, bool)> {
    type Manager = AnsiTransactionManager;
    <Manager as TransactionManager<PgConnection>>::begin_transaction(conn)?;
    match work(conn).and_then(|value| Ok((value, coherence::took_away(conn)?))) {
        Ok(value) => match <Manager as TransactionManager<PgConnection>>::commit_transaction(conn) {
            Ok(()) => Ok(value),
            Err(error) => {
                let error = Error::from(error);
                Err(if matches!(fault_of(&error), Fault::Broken) { Error::OutcomeUnknown } else { error })
            }
        },
        Err(error) => {
            // Report the error of the work; if the rollback fails too, the pool drops the connection.
            let _ = <Manager as TransactionManager<PgConnection>>::rollback_transaction(conn);
            Err(error)
        }
    }
}
