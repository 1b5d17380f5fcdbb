//! One private Postgres for all tests of this process, in memory where that is possible, and a database for each test,
//! cloned from a template that is migrated and peopled once.

use super::people::People;
use diesel::prelude::*;
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
/// Waits until this process has ended, and its Postgres too, and then tidies up.
const CLEANER: &str = r#"trap '' INT TERM HUP; cat >/dev/null; i=0
while [ -e "$0/postgres/cluster/postmaster.pid" ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; rm -rf -- "$0""#;

/// The Postgres that all tests share.
pub struct Cluster {
    postgres: ManagedPostgres,
    base: PathBuf,
    clone_options: &'static str,
    pub people: People,
    databases: AtomicU32,
    _lock: File,
    _cleaner: Child,
}

/// The shared Postgres, started at the first need.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start)
}

/// Where directories that need not survive are made: in memory, if there is a place for it.
pub fn fast_dir() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() && tempfile::tempfile_in(memory).is_ok() { memory.to_owned() } else { std::env::temp_dir() }
}

/// Options for a Postgres that may lose everything, with the programs of this machine.
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

/// The database of another name on the same server.
pub fn url_of(url: &str, database: &str) -> String {
    url.replacen("/packhouse?", &format!("/{database}?"), 1)
}

/// Runs SQL, whatever it is.
pub fn execute(url: &str, sql: &str) {
    let mut conn = PgConnection::establish(url).unwrap_or_else(|error| panic!("{error}"));
    diesel::sql_query(sql).execute(&mut conn).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

impl Cluster {
    fn start() -> Self {
        let fast = fast_dir();
        remove_abandoned(&fast);
        let base = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&fast).unwrap().keep();
        // Postgres may run as another user, who must get through.
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
            // Since version 15 there is a strategy that writes every page to the log; copying files is faster here.
            clone_options: if major >= 15 { "STRATEGY FILE_COPY" } else { "" },
            people,
            databases: AtomicU32::new(0),
            _lock: lock,
            _cleaner: cleaner,
        }
    }

    /// The address of the database that no test uses, for commands about the others.
    pub fn url(&self) -> &str {
        self.postgres.url()
    }

    /// A new database with the template's tables and people; returns its name and address.
    pub fn database(&self) -> (String, String) {
        self.make(&format!("TEMPLATE {TEMPLATE} {}", self.clone_options))
    }

    /// A new database without anything in it.
    pub fn empty_database(&self) -> (String, String) {
        self.make("")
    }

    fn make(&self, how: &str) -> (String, String) {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        execute(self.postgres.url(), &format!("CREATE DATABASE {name} {how}"));
        let url = url_of(self.postgres.url(), &name);
        (name, url)
    }

    /// Drops a database, whoever is still connected to it.
    pub fn drop_database(&self, name: &str) {
        execute(self.postgres.url(), &format!("DROP DATABASE {name} WITH (FORCE)"));
    }

    /// A directory for one test's server, in the one that is removed at the end.
    pub fn directory(&self) -> tempfile::TempDir {
        tempfile::Builder::new().prefix("site-").tempdir_in(&self.base).unwrap()
    }
}

/// Locked before it has its name, so that nobody takes it for abandoned.
fn lock(base: &Path) -> File {
    let draft = base.join("lock.new");
    let file = File::create(&draft).unwrap();
    file.try_lock().unwrap();
    fs::rename(draft, base.join("lock")).unwrap();
    file
}

/// Removes what test processes left that were killed together with their cleaners.
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

/// The settings every test's server starts from.
pub fn config(dir: &Path, url: &str, settings: &[(&str, &str)]) -> Config {
    let file = dir.join("packhouse.toml");
    fs::write(&file, "").unwrap();
    let data = dir.join("data");
    let mut environment = vec![
        ("PACKHOUSE_LISTEN", "127.0.0.1:0"),
        ("PACKHOUSE_DATA_DIR", data.to_str().unwrap()),
        ("DATABASE_URL", url),
        ("PACKHOUSE_WORKERS", "1"),
        ("PACKHOUSE_DATABASE_READ_CONNECTIONS", "4"),
        ("PACKHOUSE_DATABASE_WRITE_CONNECTIONS", "4"),
        // Tests do by themselves, when they want it, what the background does.
        ("PACKHOUSE_JOBS_FLUSH_SECONDS", "86400"),
        ("PACKHOUSE_JOBS_SWEEP_EVERY_SECONDS", "0"),
        ("PACKHOUSE_JOBS_WEBHOOKS_EVERY_SECONDS", "0"),
        ("PACKHOUSE_LIMITS_DRAIN_SECONDS", "20"),
    ];
    environment.extend(settings);
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    // Of two settings of one key the later one counts.
    let last: std::collections::BTreeMap<_, _> = environment.collect();
    Config::from_sources(Some(&file), last).unwrap_or_else(|error| panic!("{error}"))
}
