//! Opening an instance: its data directory, database and store. The server and every command use it; a command works
//! beside a running server or without one.

use crate::config::{Config, StoreKind};
use crate::data_dir::{DataDir, DataDirError, DataDirLock};
use crate::db::managed::{self, ManagedOptions, ManagedPostgres};
use crate::db::{self, Db};
use crate::domain::clock::Clock;
use crate::domain::digest::to_hex;
use crate::domain::public_url::PublicUrl;
use crate::domain::secret::MasterKey;
use crate::mailer::Mailer;
use crate::outbound::system_lookup;
use crate::registry::accounts::two_factor;
use crate::registry::mail;
use crate::registry::operations::settings::{self, SECRET_KEY_CHECK, STORE_ID};
use crate::registry::owners::namespace;
use crate::registry::packages::retention;
use crate::registry::webhooks;
use crate::state::App;
use crate::storage::{BlobStore, StoreId, StorePlace};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::fs::File;
use std::fs::TryLockError::WouldBlock;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An open database: an external one, the private one of a running server, or a private one that this process runs.
pub struct Database {
    pub url: String,
    pub data_dir: DataDir,
    /// The directory of Postgres's programs, when this process runs the private Postgres.
    pub bin_dir: Option<PathBuf>,
    postgres: Option<ManagedPostgres>,
    _lock: Option<DataDirLock>,
}

impl Database {
    /// Finds or starts the database. `exclusive` makes sure that no other server uses the data directory.
    ///
    /// # Errors
    /// The error says what is missing and what to do.
    pub fn open(config: &Config, exclusive: bool) -> Result<Self> {
        let data_dir = DataDir::open(&config.data_dir)?.with_secret_key_file(config.secret_key_file());
        let named = (!config.database.url.is_empty()).then(|| config.database.url.reveal().to_owned());
        let reached = |url, lock| Self { url, data_dir: data_dir.clone(), bin_dir: None, postgres: None, _lock: lock };
        let lock = match (named, exclusive) {
            (Some(url), false) => return Ok(reached(url, None)),
            (Some(url), true) => return Ok(reached(url, Some(data_dir.lock()?))),
            (None, true) => data_dir.lock()?,
            (None, false) => match lock_or_join(&data_dir, config)? {
                Either::Lock(lock) => lock,
                Either::Running(url) => return Ok(reached(url, None)),
            },
        };
        let surroundings = &config.surroundings;
        let options = ManagedOptions {
            bin_dir: Some(PathBuf::from(&config.database.bin_dir)).filter(|dir| !dir.as_os_str().is_empty()),
            search_path: surroundings.search_path.clone(),
            runtime_dir: surroundings.runtime_dir.clone(),
            temp_dir: surroundings.temp_dir.clone(),
            ..ManagedOptions::new(data_dir.path())
        };
        let postgres = ManagedPostgres::start(&options)?;
        let (url, bin_dir) = (postgres.url().to_owned(), Some(postgres.bin_dir().to_owned()));
        Ok(Self { url, data_dir, bin_dir, postgres: Some(postgres), _lock: Some(lock) })
    }

    /// Brings the schema up to date, and waits for a database that does not answer yet.
    ///
    /// # Errors
    /// As [`db::migrate`].
    pub fn migrate(&self, config: &Config) -> Result<Vec<String>> {
        let patience = Duration::from_secs(config.database.start_timeout_seconds);
        db::migrate(&self.url, patience).map_err(explain)
    }

    /// Stops the private Postgres, if this process runs one.
    pub fn close(mut self) {
        if let Some(postgres) = self.postgres.take() {
            postgres.stop();
        }
    }
}

/// Either the lock on the data directory, or the URL of its private Postgres, which is running already.
enum Either {
    Lock(DataDirLock),
    Running(String),
}

/// Locks the data directory, or finds the private Postgres of the process that holds the lock. Waits for a server that
/// is just starting or stopping.
fn lock_or_join(data_dir: &DataDir, config: &Config) -> Result<Either> {
    let deadline = Instant::now() + Duration::from_secs(config.database.start_timeout_seconds);
    loop {
        let held = match data_dir.lock() {
            Ok(lock) => return Ok(Either::Lock(lock)),
            Err(held @ DataDirError::InUse(_)) => held,
            Err(other) => return Err(other.into()),
        };
        if let Some(url) = managed::running_url(data_dir.path()) {
            return Ok(Either::Running(url));
        }
        if Instant::now() > deadline {
            return Err(held.into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The inner error with its source, for an operator.
pub fn explain(error: crate::error::Error) -> anyhow::Error {
    error.explained()
}

/// Checks that an instance exists, or that a server is just creating one.
///
/// # Errors
/// The error says that there is no instance, and where it was searched for.
pub fn demand(config: &Config) -> Result<()> {
    let dir = &config.data_dir;
    // If the directory cannot be read, opening it reports the reason.
    let is_made = || dir.join("postgres/cluster/PG_VERSION").try_exists().unwrap_or(true);
    let is_used = || File::open(dir.join("lock")).is_ok_and(|lock| matches!(lock.try_lock(), Err(WouldBlock)));
    if config.database.url.is_empty() && !is_made() && !is_used() {
        bail!("there is no instance in {}: check data_dir or --config", dir.display());
    }
    Ok(())
}

/// An open instance.
pub struct Instance {
    pub app: Arc<App>,
    pub database: Database,
}

impl Instance {
    /// Opens everything and migrates the database.
    ///
    /// # Errors
    /// The error says what is missing and what to do.
    pub async fn open(config: Config, exclusive: bool, clock: Clock) -> Result<Self> {
        let settings = config.clone();
        // A thread of its own, which nothing waits for: a signal to stop must not wait for a database that is away.
        let (opened, opening) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name("open".to_owned()).spawn(move || {
            let open = || {
                let database = Database::open(&settings, exclusive)?;
                let migrated = database.migrate(&settings)?;
                anyhow::Ok((database, migrated))
            };
            let _ = opened.send(open());
        })?;
        let (database, migrated) = opening.await.context("the thread that opens the database panicked")??;
        for migration in migrated {
            tracing::info!(migration, "migrated the database");
        }
        let key = MasterKey::new(database.data_dir.secret_key()?);
        let file = database.data_dir.secret_key_file();
        let db = Db::new(&database.url, &config.database).map_err(explain)?;
        check_key(&db, &key).await.with_context(|| format!("the secret key in {}", file.display()))?;
        let store = open_store(&config, &db).await?;
        db.expect_store(&store.id().to_string());
        reserve_base_path(&config, &db).await?;
        if exclusive {
            let now = clock.now();
            db.write(move |conn| retention::facts::begin_recording(conn, now)).await.map_err(explain)?;
        }
        if exclusive {
            let sends = config.sends_mail();
            db.write(move |conn| mail::set_enabled(conn, sends)).await.map_err(explain)?;
        }
        let mailer = mailer(&config)?;
        let mut app = App::new(config, db, store, clock, key);
        app.mailer = mailer.map(Arc::new);
        Ok(Self { app: Arc::new(app), database })
    }
}

/// The client of the SMTP server that is configured.
///
/// # Errors
/// A message that names the setting.
pub fn mailer(config: &Config) -> Result<Option<Mailer>> {
    if !config.sends_mail() {
        return Ok(None);
    }
    let host = config.public_url.as_ref().map_or("localhost", PublicUrl::host);
    let made = Mailer::new(config.mail.smtp_url.reveal(), &config.mail.from, host, system_lookup());
    made.map(Some).map_err(|problem| anyhow::anyhow!(problem))
}

/// Checks that the secret key is this database's: all its servers share one key. The first server's key counts.
async fn check_key(db: &Db, key: &MasterKey) -> Result<()> {
    let own = json!(to_hex(&key.derive("which key this is")));
    let known = db.write(move |conn| Ok(settings::get_or_set(conn, SECRET_KEY_CHECK, &own)? == own));
    if !known.await.map_err(explain)? {
        bail!(
            "is not the key of this database: copy the key file of another server of this database, or take the key \
             from a backup. If the key is lost and nothing is encrypted with it, `packhouse secret-key adopt` makes \
             this one the key"
        );
    }
    Ok(())
}

/// Makes the key in the key file the key of the database, after the former one was lost.
///
/// # Errors
/// While anything is encrypted with the former key: two-factor secrets or secrets of webhooks.
pub async fn adopt_secret_key(config: &Config) -> Result<()> {
    let database = Database::open(config, false)?;
    database.migrate(config)?;
    let key = MasterKey::new(database.data_dir.secret_key()?);
    let own = json!(to_hex(&key.derive("which key this is")));
    let db = Db::new(&database.url, &config.database).map_err(explain)?;
    let adopted = db.write(move |conn| {
        if settings::get(conn, SECRET_KEY_CHECK)?.as_ref() == Some(&own) {
            return Ok(true);
        }
        if two_factor::any(conn)? || webhooks::any_sealed(conn)? {
            return Ok(false);
        }
        settings::set(conn, SECRET_KEY_CHECK, &own)?;
        Ok(true)
    });
    let adopted = adopted.await.map_err(explain)?;
    database.close();
    if !adopted {
        bail!(
            "two-factor secrets or webhooks in this database are encrypted with the former key: restore that key from \
             a backup. Without it they are lost: turn off two-factor authentication of these users and delete these \
             webhooks first, with a server that has the former key"
        );
    }
    Ok(())
}

/// Keeps new owners from taking the name that is the path of `public_url`.
async fn reserve_base_path(config: &Config, db: &Db) -> Result<()> {
    let owner = config.base_path().as_owner();
    let name = owner.clone();
    let taken = db.write(move |conn| namespace::reserve_base_path(conn, name.as_ref())).await.map_err(explain)?;
    if let Some(owner) = owner.filter(|_| taken) {
        tracing::warn!(
            %owner,
            "an owner has the name that is the path of public_url: if the reverse proxy removes this path, the owner's \
             page cannot be reached; choose another path, or rename the owner"
        );
    }
    Ok(())
}

/// Opens the store that belongs to the database; at the very first start, creates it.
async fn open_store(config: &Config, db: &Db) -> Result<BlobStore> {
    let known = db.read(|conn| settings::get(conn, STORE_ID)).await.map_err(explain)?;
    let expected = known.as_ref().map(parse_id).transpose()?;
    let place = StorePlace::of(config);
    let shown = place.to_string();
    let store = tokio::task::spawn_blocking(move || {
        let store = BlobStore::open(&place, expected.is_none(), expected)?;
        // A new database beside a store that is in use would sweep the store empty.
        let used = expected.is_none() && store.walk()?.next().is_some();
        Ok::<_, crate::storage::StoreError>((store, used))
    })
    .await?;
    // The store's errors include their source in their own text.
    let (store, used) = store.map_err(|error| anyhow::anyhow!("cannot use the store {shown}: {error}"))?;
    if used {
        bail!(
            "the store {shown} has the files of another database: restore that database from its backup, or set \
             {} to an empty one",
            place_key(config)
        );
    }
    if expected.is_none() {
        let own = json!(store.id().to_string());
        let holds = db.write(move |conn| settings::get_or_set(conn, STORE_ID, &own)).await.map_err(explain)?;
        if parse_id(&holds)? != store.id() {
            bail!("the database belongs to another store than {shown}: set {} to that store", place_key(config));
        }
    }
    Ok(store)
}

/// The key of the setting that says where the store is.
fn place_key(config: &Config) -> &'static str {
    match config.store.kind {
        StoreKind::Local => "store.dir",
        StoreKind::S3 => "store.bucket or store.prefix",
    }
}

fn parse_id(value: &serde_json::Value) -> Result<StoreId> {
    value.as_str().and_then(|text| text.parse().ok()).context("the database has no valid store id")
}
