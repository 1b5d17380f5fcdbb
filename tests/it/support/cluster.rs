//! One private Postgres for all tests of this process, in memory if possible, and a database for each test. The
//! database is cloned from a template that is migrated and filled with the test users once.

use super::people::People;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use packhouse::config::Config;
use packhouse::db;
use packhouse::db::managed::{ManagedOptions, ManagedPostgres};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const PREFIX: &str = "packhouse-it-";
const TEMPLATE: &str = "template";
/// Waits until this process and its Postgres have ended, and then removes the directory.
const CLEANER: &str = r#"trap '' INT TERM HUP; cat >/dev/null; i=0
while [ -e "$0/postgres/cluster/postmaster.pid" ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; rm -rf -- "$0""#;

pub struct Cluster {
    postgres: ManagedPostgres,
    base: PathBuf,
    clone_options: &'static str,
    pub people: People,
    databases: AtomicU32,
    _lock: File,
    _cleaner: Child,
}

/// The Postgres that all tests share, started by the first one.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start)
}

/// A folder for temporary directories, in memory if possible.
pub fn fast_dir() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() && tempfile::tempfile_in(memory).is_ok() { memory.to_owned() } else { std::env::temp_dir() }
}

/// Options for a fast Postgres that may lose its data, with the binaries of this machine.
pub fn options(data_dir: &Path) -> ManagedOptions {
    let mut options = ManagedOptions::new(data_dir);
    options.search_path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    options.settings = [
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("full_page_writes", "off"),
        ("autovacuum", "off"),
        ("max_connections", "300"),
        ("shared_buffers", "64MB"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    options
}

/// The URL of another database on the same server.
pub fn url_of(url: &str, database: &str) -> String {
    url.replacen("/packhouse?", &format!("/{database}?"), 1)
}

/// Runs SQL.
pub fn execute(url: &str, sql: &str) {
    let mut conn = PgConnection::establish(url).unwrap_or_else(|error| panic!("{error}"));
    diesel::sql_query(sql).execute(&mut conn).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Waits until every server of the database has received what was committed before, as the program does after a change.
pub fn settle(conn: &mut PgConnection) {
    let mut number = |sql: &str| diesel::sql_query(sql).get_result::<Number>(conn).map_or(0, |row| row.n);
    const SYNC: &str = "WITH sync AS MATERIALIZED (SELECT nextval('coherence_syncs') AS n) \
        SELECT n, pg_notify('packhouse_coherence', 'sync ' || n) FROM sync";
    const LEASED: &str = "SELECT count(*) AS n FROM servers WHERE lease_until > clock_timestamp()";
    if number(LEASED) == 0 {
        return;
    }
    let sent = number(SYNC);
    while number(&format!("{LEASED} AND acknowledged < {sent}")) > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Cluster {
    fn start() -> Self {
        let fast = fast_dir();
        remove_abandoned(&fast);
        let base = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&fast).unwrap().keep();
        // Postgres may run as another user, who must be able to enter.
        fs::set_permissions(&base, Permissions::from_mode(0o755)).unwrap();
        let lock = lock(&base);
        let cleaner = Command::new("sh")
            .args(["-c", CLEANER])
            .arg(&base)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let postgres = ManagedPostgres::start(&options(&base)).unwrap_or_else(|error| panic!("{error}"));
        execute(postgres.url(), &format!("CREATE DATABASE {TEMPLATE}"));
        let template = url_of(postgres.url(), TEMPLATE);
        db::migrate(&template, Duration::from_secs(10)).unwrap();
        let people = People::settle(&mut PgConnection::establish(&template).unwrap());
        let newer = postgres.bin_dir().join("postgres");
        let version = Command::new(newer).arg("--version").output().unwrap().stdout;
        let version = String::from_utf8(version).unwrap();
        let major: u32 = version.split([' ', '.']).find_map(|word| word.parse().ok()).unwrap();
        Self {
            postgres,
            base,
            // The default since version 15 writes every page to the log. Copying files is faster here.
            clone_options: if major >= 15 { "STRATEGY FILE_COPY" } else { "" },
            people,
            databases: AtomicU32::new(0),
            _lock: lock,
            _cleaner: cleaner,
        }
    }

    /// The URL of a database that no test uses, for commands about the others.
    pub fn url(&self) -> &str {
        self.postgres.url()
    }

    /// Creates a database with the tables and users of the template, and returns its name and URL.
    pub fn database(&self) -> (String, String) {
        self.make(&format!("TEMPLATE {TEMPLATE} {}", self.clone_options))
    }

    /// Creates an empty database, and returns its name and URL.
    pub fn empty_database(&self) -> (String, String) {
        self.make("")
    }

    fn make(&self, how: &str) -> (String, String) {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        execute(self.postgres.url(), &format!("CREATE DATABASE {name} {how}"));
        let url = url_of(self.postgres.url(), &name);
        (name, url)
    }

    /// Drops a database, even if it still has connections.
    pub fn drop_database(&self, name: &str) {
        execute(self.postgres.url(), &format!("DROP DATABASE {name} WITH (FORCE)"));
    }

    /// A directory for the server of one test.
    pub fn directory(&self) -> tempfile::TempDir {
        tempfile::Builder::new().prefix("site-").tempdir_in(&self.base).unwrap()
    }
}

/// The lock file is locked before it gets its name, so that no other process considers the directory abandoned.
fn lock(base: &Path) -> File {
    let draft = base.join("lock.new");
    let file = File::create(&draft).unwrap();
    file.try_lock().unwrap();
    fs::rename(draft, base.join("lock")).unwrap();
    file
}

/// Removes the directories of test processes that were killed together with their cleaners.
fn remove_abandoned(fast: &Path) {
    for entry in fs::read_dir(fast).unwrap().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        if let Ok(file) = File::open(entry.path().join("lock"))
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The setting that is the text of the configuration file.
pub const FILE: &str = "packhouse.toml";

/// The configuration of a test's server: defaults for tests, then the test's own settings.
pub fn config(dir: &Path, url: &str, settings: &[(&str, &str)]) -> Config {
    let file = dir.join("packhouse.toml");
    let text = settings.iter().find(|(name, _)| *name == FILE).map_or("", |(_, text)| text);
    fs::write(&file, text).unwrap();
    let data = dir.join("data");
    let mut environment = vec![
        ("PACKHOUSE_LISTEN", "127.0.0.1:0"),
        ("PACKHOUSE_DATA_DIR", data.to_str().unwrap()),
        ("DATABASE_URL", url),
        ("PACKHOUSE_WORKERS", "1"),
        ("PACKHOUSE_DATABASE_READ_CONNECTIONS", "4"),
        ("PACKHOUSE_DATABASE_WRITE_CONNECTIONS", "4"),
        // Tests run background jobs themselves when they need them.
        ("PACKHOUSE_JOBS_FLUSH_SECONDS", "86400"),
        ("PACKHOUSE_JOBS_SWEEP_EVERY_SECONDS", "0"),
        ("PACKHOUSE_JOBS_WEBHOOKS_EVERY_SECONDS", "0"),
        ("PACKHOUSE_JOBS_MAIL_EVERY_SECONDS", "0"),
        ("PACKHOUSE_LIMITS_DRAIN_SECONDS", "20"),
    ];
    environment.extend(settings.iter().filter(|(name, _)| *name != FILE));
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    // The last setting of a key counts.
    let last: std::collections::BTreeMap<_, _> = environment.collect();
    Config::from_sources(Some(&file), last).unwrap_or_else(|error| panic!("{error}"))
}
