//! Test support: a server and a database for each test, clients with the credentials of the test users, and helpers.

pub mod authenticator;
pub mod browser;
pub mod bucket;
pub mod client;
pub mod cluster;
pub mod database_proxy;
pub mod issuer;
pub mod log;
pub mod people;
pub mod receiver;
pub mod sign_in_provider;
pub mod smtp;
pub mod statements;
pub mod tls;
pub mod wire;

pub use client::{Answer, BASE, Client, Proxy, Request, path};
pub use people::{PASSWORD, morning};

use actix_web::dev::ServerHandle;
use bucket::Bucket;
use cluster::cluster;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use packhouse::domain::clock::{Clock, Timestamp};
use packhouse::error::Result;
use packhouse::instance::Instance;
use packhouse::jobs::flush_counts;
use packhouse::jobs::sweep::{self, SweepPlan, Swept};
use packhouse::registry::access::can_change_own;
use packhouse::registry::accounts::two_factor::{Seed, enroll};
use packhouse::server::{Listeners, Server};
use packhouse::state::{App, sweep_plan};
use packhouse::storage::{BlobStore, Entry};
use packhouse::telemetry;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A running server with its own database and store, which are deleted when this is dropped.
pub struct Site {
    pub app: Arc<App>,
    pub address: SocketAddr,
    pub handle: ServerHandle,
    pub dir: PathBuf,
    pub url: String,
    /// The reverse proxy that browsers reach it through.
    pub proxy: Option<Proxy>,
    /// The object store with its blobs; without one, they are in a directory.
    pub bucket: Option<Arc<Bucket>>,
    http: reqwest::Client,
    seconds: Arc<AtomicI64>,
    thread: Option<JoinHandle<()>>,
    database: Option<String>,
    _dir: tempfile::TempDir,
}

/// Options for starting a [`Site`].
#[derive(Default)]
pub struct Plan<'a> {
    /// Settings, named by their environment variables, or as [`cluster::FILE`] the text of the configuration file.
    pub settings: &'a [(&'a str, &'a str)],
    /// Use the real time instead of a clock that only [`Site::pass`] moves.
    pub real_time: bool,
    /// Record metrics. All servers of this process share them.
    pub metrics: bool,
    /// An existing database, which isn't deleted at the end.
    pub url: Option<String>,
    /// Where the blobs are; by default, what `PACKHOUSE_TEST_STORE` says.
    pub store: TestStore,
}

/// Where a [`Site`] has its blobs.
#[derive(Default)]
pub enum TestStore {
    /// In a bucket if `PACKHOUSE_TEST_STORE` is `s3` and no setting names a directory, otherwise in a directory.
    #[default]
    Chosen,
    /// In a directory.
    Directory,
    /// In a bucket of its own.
    NewBucket,
    /// In the bucket of another server.
    Shared(Arc<Bucket>),
}

impl TestStore {
    fn open(self, data: &Path, settings: &[(&str, &str)]) -> Option<Arc<Bucket>> {
        let is_chosen = || {
            std::env::var("PACKHOUSE_TEST_STORE").is_ok_and(|store| store == "s3")
                && !settings.iter().any(|(name, _)| name.starts_with("PACKHOUSE_STORE_"))
        };
        match self {
            Self::Shared(bucket) => Some(bucket),
            Self::Directory => None,
            Self::Chosen if !is_chosen() => None,
            // Where a local store would be, so that tests find its files there.
            Self::Chosen | Self::NewBucket => Some(Arc::new(Bucket::new(data))),
        }
    }
}

impl Site {
    /// Starts a server with the default settings of the tests.
    pub fn new() -> Self {
        Self::start(Plan::default())
    }

    /// Starts a server with these settings.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        Self::start(Plan { settings, ..Plan::default() })
    }

    /// Starts a server whose blobs are in a directory, also if the others' are in a bucket.
    pub fn on_disk() -> Self {
        Self::start(Plan { store: TestStore::Directory, ..Plan::default() })
    }

    /// Starts a server whose blobs are in a bucket.
    pub fn on_s3() -> Self {
        Self::on_s3_with(&[])
    }

    /// Starts a server with these settings whose blobs are in a bucket.
    pub fn on_s3_with(settings: &[(&str, &str)]) -> Self {
        Self::start(Plan { settings, store: TestStore::NewBucket, ..Plan::default() })
    }

    /// The bucket of a server whose blobs are in one.
    pub fn bucket(&self) -> &Bucket {
        self.bucket.as_ref().expect("the blobs are in a bucket")
    }

    /// Starts a server below [`BASE`] of `https://host.test`, which browsers reach through a reverse proxy.
    pub fn behind(proxy: Proxy) -> Self {
        let mut site = Self::with(&[("PACKHOUSE_PUBLIC_URL", "https://host.test/packages")]);
        site.proxy = Some(proxy);
        site
    }

    /// Starts a server with these options.
    pub fn start(plan: Plan<'_>) -> Self {
        log::capture();
        statements::install();
        let dir = cluster().directory();
        let (database, url) = match plan.url {
            Some(url) => (None, url),
            None => {
                let (name, url) = cluster().database();
                (Some(name), url)
            }
        };
        let data = dir.path().join("data");
        let bucket = plan.store.open(&data, plan.settings);
        let of_store = bucket.as_ref().map(|bucket| bucket.settings()).unwrap_or_default();
        let of_store = of_store.iter().map(|(name, value)| (*name, value.as_str()));
        let settings: Vec<(&str, &str)> = of_store.chain(plan.settings.iter().copied()).collect();
        let config = cluster::config(dir.path(), &url, &settings);
        let seconds = Arc::new(AtomicI64::new(morning().unix()));
        let now = Arc::clone(&seconds);
        let clock = match plan.real_time {
            true => Clock::system(),
            false => Clock::from_fn(move || Timestamp::from_unix(now.load(Ordering::SeqCst))),
        };
        let (report, started) = mpsc::sync_channel(1);
        let serve = async move {
            let mut instance = Instance::open(config, true, clock).await.unwrap();
            if plan.metrics {
                Arc::get_mut(&mut instance.app).unwrap().metrics = telemetry::metrics();
            }
            let app = Arc::clone(&instance.app);
            let server = Server::new(&app, Listeners::bind(&app.config.listen).unwrap()).unwrap();
            report.send((Arc::clone(&app), server.address(), server.handle())).unwrap();
            server.run(app).await.unwrap();
        };
        let run = move || actix_web::rt::System::new().block_on(serve);
        let thread = std::thread::Builder::new().name("server".to_owned()).spawn(run).unwrap();
        let (app, address, handle) = started.recv().expect("the server starts");
        let none = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().redirect(none).no_proxy();
        // No test uses TLS, and loading the certificates of the machine takes long.
        let http = http.tls_backend_preconfigured(packhouse::outbound::tls(false).unwrap()).build().unwrap();
        let path = dir.path().to_owned();
        Self {
            app,
            address,
            handle,
            dir: path,
            url,
            proxy: None,
            bucket,
            http,
            seconds,
            thread: Some(thread),
            database,
            _dir: dir,
        }
    }

    /// Starts another server of the same database, with the same store and key.
    pub fn beside(&self, plan: Plan<'_>) -> Self {
        let (store, key) = (self.dir.join("data/blobs"), self.dir.join("data/secret-key"));
        let mut settings = plan.settings.to_vec();
        settings.push(("PACKHOUSE_SECRET_KEY_FILE", key.to_str().unwrap()));
        let shared = match &self.bucket {
            Some(bucket) => TestStore::Shared(Arc::clone(bucket)),
            None => {
                settings.push(("PACKHOUSE_STORE_DIR", store.to_str().unwrap()));
                TestStore::Directory
            }
        };
        let url = plan.url.unwrap_or_else(|| self.url.clone());
        Self::start(Plan { settings: &settings, url: Some(url), store: shared, ..plan })
    }

    /// A client without credentials.
    pub fn anon(&self) -> Client {
        Client { http: self.http.clone(), root: format!("http://{}", self.address), authorization: None, proxy: None }
    }

    /// Gets an address of another server, without a credential.
    pub async fn plain(&self, address: &str) -> Answer {
        let (root, path) = address.split_at(address.match_indices('/').nth(2).expect("an address with a path").0);
        let client = Client { http: self.http.clone(), root: root.to_owned(), authorization: None, proxy: None };
        client.get(path).await
    }

    /// A client with the password of `ada`.
    pub fn ada(&self) -> Client {
        self.user("ada")
    }

    /// A client with the password of a user, which is the same for all.
    pub fn user(&self, name: &str) -> Client {
        self.anon().basic(name, PASSWORD)
    }

    /// A client with a token of `ada` that may publish.
    pub fn ci(&self) -> Client {
        self.anon().bearer(&cluster().people.ci)
    }

    /// A client with a token of `ada` that may only read.
    pub fn reader(&self) -> Client {
        self.anon().bearer(self.reader_token())
    }

    /// That token.
    pub fn reader_token(&self) -> &'static str {
        &cluster().people.reader
    }

    /// A client with a token of `stranger`, another user, that may publish.
    pub fn stranger(&self) -> Client {
        self.anon().bearer(self.stranger_token())
    }

    /// That token.
    pub fn stranger_token(&self) -> &'static str {
        &cluster().people.stranger
    }

    /// A client with a token of `admin`, an administrator, that may do everything.
    pub fn admin(&self) -> Client {
        self.anon().bearer(&cluster().people.admin)
    }

    /// The time of this server's clock.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.seconds.load(Ordering::SeqCst))
    }

    /// Moves the server's clock forward.
    pub fn pass(&self, span: Duration) {
        self.seconds.fetch_add(i64::try_from(span.as_secs()).unwrap(), Ordering::SeqCst);
    }

    /// Puts the server's clock back, as an administrator does who finds it wrong.
    pub fn put_back(&self, span: Duration) {
        self.seconds.fetch_sub(i64::try_from(span.as_secs()).unwrap(), Ordering::SeqCst);
    }

    /// Runs Rust code on a connection to the database, and waits until all servers know what it took away.
    pub fn db<T>(&self, work: impl FnOnce(&mut PgConnection) -> Result<T>) -> T {
        let mut conn = PgConnection::establish(&self.url).unwrap();
        let done = work(&mut conn).unwrap_or_else(|error| panic!("{error:?}"));
        cluster::settle(&mut conn);
        done
    }

    /// Runs SQL in the same way.
    pub fn db_execute(&self, sql: &str) {
        self.db(|conn| {
            diesel::sql_query(sql).execute(conn).unwrap_or_else(|error| panic!("{sql}: {error}"));
            Ok(())
        });
    }

    /// The number that a query returns as its column `n`.
    pub fn db_number(&self, sql: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        self.db(|conn| Ok(diesel::sql_query(sql).get_result::<Row>(conn)?.n))
    }

    /// The texts that a query returns as its column `text`.
    pub fn db_texts(&self, sql: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            text: String,
        }
        let rows: Vec<Row> = self.db(|conn| Ok(diesel::sql_query(sql).load(conn)?));
        rows.into_iter().map(|row| row.text).collect()
    }

    /// The audit log, one line per entry: event, actor, credential, address, owner and subject.
    pub fn db_audit(&self) -> Vec<String> {
        self.db_texts(
            "SELECT concat_ws(' ', event, 'by', actor_name, 'with', credential, 'from', coalesce(address, 'nowhere'), \
             'on', coalesce(owner_name, '-'), subject) AS text FROM audit ORDER BY id",
        )
    }

    /// Creates a token of a user with these scopes.
    pub fn db_token(&self, user: &str, scopes: &[&str]) -> String {
        self.db_limited_token(user, scopes, |_| {})
    }

    /// Creates a token of a user, and lets the closure set its other limits.
    pub fn db_limited_token(
        &self,
        user: &str,
        scopes: &[&str],
        limit: impl FnOnce(&mut packhouse::registry::accounts::tokens::NewToken),
    ) -> String {
        let name = format!("token {}", self.db_number("SELECT count(*) AS n FROM tokens"));
        self.db(|conn| people::db_token(conn, user, &name, scopes, limit))
    }

    /// Sets up two-factor authentication for a user and returns the secret. The current code isn't used up.
    pub fn db_second_factor(&self, name: &str) -> Seed {
        let (key, seed) = (self.app.key.clone(), Seed::generate());
        let before = self.now().minus(Duration::from_secs(30));
        self.db(|conn| {
            let caller = people::db_caller(conn, name)?;
            let right = can_change_own(conn, &caller)?;
            enroll(conn, &caller, &right, (&key, &seed), &seed.code_at(before)?, before)
        });
        seed
    }

    /// Saves the counters that the server has in memory.
    pub async fn db_flush(&self) {
        flush_counts::run(&self.app.db, &self.app.counters, &self.app.clock).await.unwrap();
    }

    /// Sweeps the store once with this grace period.
    pub async fn sweep(&self, grace: Duration) -> Result<Swept> {
        let plan = SweepPlan { grace, ..sweep_plan(&self.app.config) };
        sweep::run(&self.app.db, &self.app.store, &self.app.clock, plan).await
    }

    /// The number of blobs in the store.
    pub fn store_blobs(&self) -> usize {
        let leased = self.db_texts("SELECT storage_key AS text FROM upload_leases");
        self.on_store(|store| {
            let is_leased = |entry| match entry {
                Entry::Blob { key, .. } => leased.contains(&key.to_string()),
                Entry::Foreign(_) => false,
            };
            store.walk().unwrap().filter(|entry| !is_leased(entry.as_ref().unwrap().clone())).count()
        })
    }

    /// As [`Site::store_blobs`], with the copies in a bucket that were replaced and wait for a sweep.
    pub fn store_copies(&self) -> usize {
        self.on_store(|store| store.walk().unwrap().count())
    }

    /// Runs work on the store. Each step waits for an answer if the store is a bucket, which a thread that runs async
    /// code can't.
    pub fn on_store<T: Send>(&self, work: impl FnOnce(&BlobStore) -> T + Send) -> T {
        std::thread::scope(|scope| scope.spawn(|| work(&self.app.store)).join().unwrap())
    }

    /// The number of files of unfinished uploads in the store.
    pub fn store_incoming(&self) -> usize {
        match &self.bucket {
            Some(bucket) => bucket.uploads().len(),
            None => std::fs::read_dir(self.dir.join("data/blobs/incoming")).unwrap().count(),
        }
    }

    /// Asserts that nothing of an upload was stored: no row and no blob.
    pub async fn assert_empty(&self) {
        let tables = ["files", "versions", "packages", "blobs", "audit", "usage_changes"];
        for table in tables {
            assert_eq!(self.db_number(&format!("SELECT count(*) AS n FROM {table}")), 0, "rows in {table}");
        }
        eventually("the store is empty", async || self.store_copies() == 0 && self.store_incoming() == 0).await;
    }

    /// The rules of `packhouse check` that the database violates.
    pub async fn db_broken(&self) -> Vec<String> {
        self.app.db.snapshot(packhouse::registry::operations::integrity::broken_rules).await.unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the server's thread panicked");
        }
        if let Some(database) = &self.database {
            cluster().drop_database(database);
        }
    }
}

/// Waits until a condition holds, and fails after twenty seconds.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Pseudorandom bytes without repetition at the length of a block.
pub fn noise(size: usize) -> Vec<u8> {
    crate::storage::noise(size).to_vec()
}

/// The SHA-256 of some bytes in hexadecimal.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    use sha2::Digest;
    packhouse::domain::digest::to_hex(&sha2::Sha256::digest(bytes.as_ref()))
}
