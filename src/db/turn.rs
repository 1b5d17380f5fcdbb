//! Turns of background jobs: each kind of job runs on one server of a database at a time.

use super::Db;
use super::pool::{Conn, Manager, Mode};
use crate::blocking::spawn_blocking;
use crate::error::{Error, Result};
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::r2d2::ManageConnection;
use diesel::sql_query;
use diesel::sql_types::{Bool, Text};
use std::sync::Arc;

/// Lets Postgres notice within 20 seconds that the machine of a server is gone. It notices at once that a process is.
const KEEPALIVE: &str = "SET application_name = 'packhouse job'; SET tcp_keepalives_idle = 5; \
    SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";

/// A server's turn to run a job, until it is dropped or its process ends: an advisory lock of a connection.
pub struct JobTurn(#[expect(dead_code, reason = "the lock ends with the connection")] PgConnection);

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = Bool)]
    is_locked: bool,
}

impl Db {
    /// Takes the turn to run a job. `None` while another server runs it.
    ///
    /// # Errors
    /// [`Error::Busy`] when the database is unavailable or belongs to another store.
    pub async fn job_turn(&self, job: &'static str) -> Result<Option<JobTurn>> {
        let manager = Manager::new(&self.0.url, Mode::Write, Arc::clone(&self.0.store));
        let take = move || {
            let Conn { inner: mut conn, foreign, .. } =
                manager.connect().map_err(|_| Error::Busy("the database is unavailable"))?;
            if foreign {
                return Err(Error::Busy("this database belongs to another store"));
            }
            conn.batch_execute(KEEPALIVE)?;
            let lock = sql_query("SELECT pg_try_advisory_lock(hashtext('packhouse job'), hashtext($1)) AS is_locked");
            let Locked { is_locked } = lock.bind::<Text, _>(job).get_result(&mut conn)?;
            Ok(is_locked.then(|| JobTurn(conn)))
        };
        spawn_blocking(take).await.map_err(Error::internal)?
    }
}
