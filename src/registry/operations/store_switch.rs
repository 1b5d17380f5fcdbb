//! Making another store the database's store.

use super::settings::{self, STORE_ID};
use crate::db::schema::blobs;
use crate::error::{Error, Result};
use diesel::prelude::*;
use serde_json::json;
use std::collections::HashSet;

/// The id of the store that blobs are being copied to.
const COPY_TARGET: &str = "store_copy_target";

/// Allows copying blobs to a store, which is empty or the target of an earlier copy.
///
/// # Errors
/// [`Error::Clash`] when it has the files of another instance; [`Error::Busy`] when the database belongs to another
/// store than `from`.
pub fn begin_copy(conn: &mut PgConnection, from: &str, to: &str, is_empty: bool) -> Result<()> {
    settings::demand_primary(conn, from)?;
    if from == to {
        return Err(Error::Clash("this is the store that the database uses already".to_owned()));
    }
    if !is_empty && settings::get(conn, COPY_TARGET)? != Some(json!(to)) {
        return Err(Error::Clash(
            "the new store has the files of another instance: name an empty directory, bucket or prefix".to_owned(),
        ));
    }
    settings::set(conn, COPY_TARGET, &json!(to))
}

/// Makes a store the database's store if it has all blobs. All other connections are ended with the commit: servers
/// connect again, and notice that this is not their store any longer. Otherwise changes nothing, and returns how many
/// blobs the store lacks.
///
/// # Errors
/// [`Error::Busy`] when the database belongs to another store than `from`; database errors.
pub fn switch(conn: &mut PgConnection, from: &str, to: &str, copied: &HashSet<String>) -> Result<usize> {
    // New connections wait for the end of this transaction before they ask which store is the right one (`db/pool`).
    diesel::sql_query("SELECT pg_advisory_xact_lock(hashtext('packhouse'), hashtext('store switch'))").execute(conn)?;
    // Nobody adds a blob until the end of this transaction.
    diesel::sql_query("LOCK TABLE blobs IN SHARE MODE").execute(conn)?;
    diesel::sql_query("SET LOCAL statement_timeout = 0").execute(conn)?;
    settings::lock(conn, STORE_ID)?;
    settings::demand_primary(conn, from)?;
    let keys: Vec<String> = blobs::table.select(blobs::storage_key).load(conn)?;
    let missing = keys.iter().filter(|key| !copied.contains(*key)).count();
    if missing > 0 {
        return Ok(missing);
    }
    settings::set(conn, STORE_ID, &json!(to))?;
    // An upload that waits for the lock would otherwise commit a row whose bytes are in the old store.
    diesel::sql_query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
         AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND usename = current_user",
    )
    .execute(conn)?;
    Ok(0)
}
