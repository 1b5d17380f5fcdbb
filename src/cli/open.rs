//! Opening the parts a command needs, beside a running server or without one.

use crate::config::Config;
use crate::db::{Connection, Db};
use crate::domain::clock::Clock;
use crate::error;
use crate::instance::{Database, Instance, explain};
use anyhow::Result;

/// Runs one transaction in the instance's database, beside a running server or without one. It is for commands that
/// need no store.
pub(super) async fn in_database<T: Send + 'static>(
    config: &Config,
    work: impl FnMut(&mut Connection) -> error::Result<T> + Send + 'static,
) -> Result<T> {
    let settings = config.clone();
    let database = tokio::task::spawn_blocking(move || {
        let database = Database::open(&settings, false)?;
        database.migrate(&settings)?;
        anyhow::Ok(database)
    })
    .await??;
    let done = async { Db::new(&database.url, &config.database)?.write(work).await }.await;
    tokio::task::spawn_blocking(move || database.close()).await?;
    done.map_err(explain)
}

/// Runs work on an opened instance, beside a running server or without one.
pub(super) async fn in_instance<T>(config: Config, work: impl AsyncFnOnce(&Instance) -> Result<T>) -> Result<T> {
    let instance = Instance::open(config, false, clock()).await?;
    let done = work(&instance).await;
    let Instance { app, database } = instance;
    drop(app);
    tokio::task::spawn_blocking(move || database.close()).await?;
    done
}

/// The clock that commands use.
pub(super) fn clock() -> Clock {
    Clock::system()
}
