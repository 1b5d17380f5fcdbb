//! Opening an instance: its data directory, database and store. The server does it, and so does each command, beside
//! a running server or without one.

use crate::config::Config;
use crate::data_dir::{DataDir, DataDirLock};
use crate::db::managed::{self, ManagedOptions, ManagedPostgres};
use crate::db::{self, Db};
use crate::domain::clock::Clock;
use crate::domain::secret::MasterKey;
use crate::registry::settings::{self, STORE_ID};
use crate::state::App;
use crate::storage::{BlobStore, StoreId};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A database that is reached: somebody else's, the private one of a running server, or a private one that this
/// process runs.
pub struct Database {
    pub url: String,
    pub data_dir: DataDir,
    /// Where Postgres' programs are, when this process runs the private one.
    pub bin_dir: Option<PathBuf>,
    postgres: Option<ManagedPostgres>,
    _lock: Option<DataDirLock>,
}

impl Database {
    /// Finds or starts the database. Only one server may use a data directory: `exclusive` makes sure of it.
    ///
    /// # Errors
    /// Says in words what is missing and what to do.
    pub fn open(config: &Config, exclusive: bool) -> Result<Self> {
        let data_dir = DataDir::open(&config.data_dir)?;
        let named = (!config.database.url.is_empty()).then(|| config.database.url.reveal().to_owned());
        if !exclusive {
            let running = || data_dir.lock().err().and_then(|_| managed::running_url(data_dir.path()));
            if let Some(url) = named.clone().or_else(running) {
                return Ok(Self { url, data_dir, bin_dir: None, postgres: None, _lock: None });
            }
        }
        let lock = data_dir.lock()?;
        if let Some(url) = named {
            return Ok(Self { url, data_dir, bin_dir: None, postgres: None, _lock: Some(lock) });
        }
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

    /// Brings the schema up to date, waiting for a database that does not answer yet.
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

/// The inner error with its source, for an operator.
pub fn explain(error: crate::error::Error) -> anyhow::Error {
    match error {
        crate::error::Error::Internal(source) => source,
        other => anyhow::anyhow!("{other}"),
    }
}

/// An opened instance.
pub struct Instance {
    pub app: Arc<App>,
    pub database: Database,
}

impl Instance {
    /// Opens everything, and migrates the database.
    ///
    /// # Errors
    /// Says in words what is missing and what to do.
    pub async fn open(config: Config, exclusive: bool, clock: Clock) -> Result<Self> {
        let settings = config.clone();
        let (database, migrated) = tokio::task::spawn_blocking(move || {
            let database = Database::open(&settings, exclusive)?;
            let migrated = database.migrate(&settings)?;
            anyhow::Ok((database, migrated))
        })
        .await??;
        for migration in migrated {
            tracing::info!(migration, "migrated the database");
        }
        let key = MasterKey::new(database.data_dir.secret_key()?);
        let db = Db::new(&database.url, &config.database).map_err(explain)?;
        let store = open_store(&config, &db).await?;
        let app = App::new(config, db, store, clock, key);
        Ok(Self { app: Arc::new(app), database })
    }
}

/// Opens the store that belongs to the database; at the very first start makes it.
async fn open_store(config: &Config, db: &Db) -> Result<BlobStore> {
    let known = db.read(|conn| settings::get(conn, STORE_ID)).await.map_err(explain)?;
    let expected = known.as_ref().map(parse_id).transpose()?;
    let root = config.store_dir();
    let shown = root.display().to_string();
    let store = tokio::task::spawn_blocking(move || {
        let store = BlobStore::open_local(root, expected.is_none(), expected)?;
        // A new database beside a store that is in use would sweep it empty.
        let used = expected.is_none() && store.walk()?.next().is_some();
        Ok::<_, crate::storage::StoreError>((store, used))
    })
    .await?;
    let (store, used) = store.with_context(|| format!("the store {shown} cannot be used"))?;
    if used {
        bail!(
            "the store {shown} holds the files of another database: restore that database from its backup, or name an \
             empty directory as store.dir"
        );
    }
    if expected.is_none() {
        let own = json!(store.id().to_string());
        let holds = db.write(move |conn| settings::get_or_set(conn, STORE_ID, &own)).await.map_err(explain)?;
        if parse_id(&holds)? != store.id() {
            bail!("the database belongs to another store than {shown}: name that one as store.dir");
        }
    }
    Ok(store)
}

fn parse_id(value: &serde_json::Value) -> Result<StoreId> {
    value.as_str().and_then(|text| text.parse().ok()).context("the database remembers no proper id of its store")
}
