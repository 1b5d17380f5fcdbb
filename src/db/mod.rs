//! The only way to the database: [`Db::read`] cannot write, [`Db::write`] is one transaction.
//!
//! Each call runs its closure on one of few threads that do nothing else, one a connection: more of them only get in
//! each other's way. Closures hold SQL and nothing else; what belongs to the same hop comes after it, in
//! [`Db::read_then`], when the connection is back in its pool.

pub mod dump;
pub mod managed;
mod migrations;
mod pool;
pub mod schema;

pub use migrations::{migrate, migrate_to};

use crate::config::DatabaseConfig;
use crate::error::{Error, Result};
use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel::pg::PgConnection;
use diesel::r2d2::Pool;
use pool::{ExpectedStore, Fault, Manager, Mode, fault_of};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What [`Db`] lends. A type of this layer and no re-export, so that those who pass it on do not name Diesel.
pub type Connection = PgConnection;

/// How long a request waits for a connection before it is told that the database is busy.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long work that has begun is waited for: longer than every statement's limit, and than a transaction that is
/// tried [`TRIES`] times against others' locks. What takes longer hangs on a database that is there and does not answer.
const LONGEST: Duration = Duration::from_secs(45);
/// The same for a survey of the whole database, which is many statements and no request.
const LONGEST_SURVEY: Duration = Duration::from_secs(24 * 3600);
/// How often a transaction is tried that lost against another one (deadlock, serialization, [`Error::Retry`]), or met a
/// dead connection.
const TRIES: u32 = 4;

/// The connections for one kind of work, and as many threads that use them. What waits stands in the threads' own queue:
/// a thread that is done takes the next at once, without a turn through the one who waits (10 thousand requests a second
/// with a semaphore before the threads, 17 thousand without).
struct Lane {
    pool: Pool<Manager>,
    threads: Option<tokio::runtime::Runtime>,
    used: AtomicU32,
    name: &'static str,
}

impl Drop for Lane {
    fn drop(&mut self) {
        // A runtime may not be waited for from within another one; its threads end by themselves.
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
}

/// Where a piece of work stands, told by the thread and by the one who waits for it.
const WAITING: u8 = 0;
const RUNNING: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Db {
    /// Prepares the pools for the database at `url`; connections are opened when they are first wanted.
    ///
    /// # Errors
    /// [`Error::Internal`] when the threads cannot be made.
    pub fn new(url: &str, config: &DatabaseConfig) -> Result<Self> {
        let store = ExpectedStore::default();
        Ok(Self(Arc::new(Inner {
            read: Lane::new(url, Mode::Read, ("read", config.read_connections), &store)?,
            write: Lane::new(url, Mode::Write, ("write", config.write_connections), &store)?,
            store,
        })))
    }

    /// From now on every new connection must lead to the database that belongs to this store; on another one nothing
    /// is read or changed. What was expected first stays.
    pub fn expect_store(&self, id: &str) {
        let _ = self.0.store.set(id.to_owned());
    }

    /// Runs queries that only read, each its own statement. They may be run twice, when the first connection turns out
    /// to be dead.
    ///
    /// # Errors
    /// The closure's; [`Error::Busy`] when no connection was free in two seconds or the database is away or does not
    /// answer.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut PgConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.read_then(work, |found| found).await
    }

    /// [`Db::read`], and then something with what was found, on the same thread but without the connection: for what
    /// is too short to be worth a hop of its own, such as reading a small file.
    ///
    /// # Errors
    /// As [`Db::read`].
    pub async fn read_then<T: Send + 'static, U: Send + 'static>(
        &self,
        mut work: impl FnMut(&mut PgConnection) -> Result<T> + Send + 'static,
        then: impl FnOnce(T) -> U + Send + 'static,
    ) -> Result<U> {
        self.run(Which::Read, LONGEST, move |lane| retrying(lane, |conn| work(conn)).map(then)).await
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
            retrying(lane, |conn| conn.build_transaction().read_only().repeatable_read().run(|conn| work(conn)))
        })
        .await
    }

    /// Runs one transaction. It is tried again when another transaction stood in its way or its connection was dead
    /// before COMMIT, so the closure must have no effect but in the database.
    ///
    /// # Errors
    /// The closure's, with nothing changed; [`Error::Busy`] as for [`Db::read`]; [`Error::OutcomeUnknown`] when the
    /// connection died during COMMIT, or the database does not answer.
    pub async fn write<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&mut PgConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(Which::Write, LONGEST, move |lane| retrying(lane, |conn| transaction(conn, &mut work))).await
    }

    /// Connections in use and in all, of reads and of writes.
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
            // Nobody took it up in that time: it never will be. What has begun is waited for.
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

/// Counts a connection as used; also past a panic.
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
    /// What is said when the database does not answer: what was to be changed may still be.
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

/// Runs work on a connection of the lane, again on another one where that can help and harms nothing.
fn retrying<T>(lane: &Lane, mut work: impl FnMut(&mut PgConnection) -> Result<T>) -> Result<T> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut conn = lane.pool.get_timeout(PATIENCE).map_err(|error| {
            tracing::warn!(%error, lane = lane.name, "no connection to the database");
            Error::Busy("the database is away")
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
            Fault::LostRace => return Err(Error::Busy("too many others changed the same at once")),
            Fault::Ended => return Err(Error::Busy("the database takes too long")),
            Fault::Broken => {
                // Its siblings are probably dead too: each is met and thrown away in turn, then a new one is made.
                conn.broken = true;
                if tries > lane.pool.max_size() + 1 || matches!(error, Error::OutcomeUnknown) {
                    return Err(if matches!(error, Error::OutcomeUnknown) { error } else { away(&error) });
                }
            }
        }
    }
}

fn away(error: &Error) -> Error {
    if let Error::Internal(source) = error {
        tracing::warn!(error = %source, "the connection to the database broke");
    }
    Error::Busy("the database is away")
}

/// One transaction, in which a connection that dies during COMMIT is told from one that dies before.
fn transaction<T>(conn: &mut PgConnection, work: &mut impl FnMut(&mut PgConnection) -> Result<T>) -> Result<T> {
    type Manager = AnsiTransactionManager;
    <Manager as TransactionManager<PgConnection>>::begin_transaction(conn)?;
    match work(conn) {
        Ok(value) => match <Manager as TransactionManager<PgConnection>>::commit_transaction(conn) {
            Ok(()) => Ok(value),
            Err(error) => {
                let error = Error::from(error);
                Err(if matches!(fault_of(&error), Fault::Broken) { Error::OutcomeUnknown } else { error })
            }
        },
        Err(error) => {
            // What made the work fail is the news; a rollback that fails leaves a connection that the pool drops.
            let _ = <Manager as TransactionManager<PgConnection>>::rollback_transaction(conn);
            Err(error)
        }
    }
}
