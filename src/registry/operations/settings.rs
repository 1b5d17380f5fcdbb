//! Facts about this instance that outlive its processes.

use crate::db::schema::settings;
use crate::error::{Error, Result};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Nullable, Text};
use serde_json::{Value, json};

/// The id of the blob store that belongs to this database.
pub const STORE_ID: &str = "store_id";
/// A check value that identifies the secret key this database's secrets are encrypted with.
pub const SECRET_KEY_CHECK: &str = "secret_key_check";

/// The owner name, in lower case, that is the path of this instance's public address; null for none.
pub const BASE_PATH_OWNER: &str = "base_path_owner";

/// How many sweeps have started; the store counts them too.
const SWEEPS: &str = "sweeps";

/// The error for a database that does not belong to this store.
pub const FOREIGN: &str = "this database belongs to another store";

#[derive(QueryableByName)]
struct DatabaseIdentity {
    #[diesel(sql_type = Nullable<Text>)]
    store: Option<String>,
    #[diesel(sql_type = Bool)]
    is_standby: bool,
}

/// Checks that this database belongs to a store, by the store id that the database holds.
///
/// # Errors
/// [`Error::Busy`] with [`FOREIGN`]; database errors.
pub fn demand_store(conn: &mut PgConnection, store: &str) -> Result<()> {
    identify(conn, store).map(drop)
}

/// Checks that this database belongs to a store and is not a standby, which may lag behind: a sweep that decides from
/// absent rows that a blob is unused must see every committed row.
///
/// # Errors
/// [`Error::Busy`]; database errors.
pub fn demand_primary(conn: &mut PgConnection, store: &str) -> Result<()> {
    if identify(conn, store)?.is_standby {
        return Err(Error::Busy("this database is a standby, which may lag behind"));
    }
    Ok(())
}

fn identify(conn: &mut PgConnection, store: &str) -> Result<DatabaseIdentity> {
    let query =
        "SELECT (SELECT value #>> '{}' FROM settings WHERE key = $1) AS store, pg_is_in_recovery() AS is_standby";
    let identity: DatabaseIdentity = diesel::sql_query(query).bind::<Text, _>(STORE_ID).get_result(conn)?;
    if identity.store.as_deref() == Some(store) { Ok(identity) } else { Err(Error::Busy(FOREIGN)) }
}

/// Counts a sweep that starts and returns its number. `seen` is how many sweeps the store has seen: a database with a
/// lower count is a restored older backup, or a copy of the database whose server sweeps the same store. `confirmed`
/// accepts it anyway.
///
/// # Errors
/// [`Error::Blocked`] saying what to do; as [`demand_primary`].
pub fn count_sweep(conn: &mut PgConnection, store: &str, seen: u64, confirmed: bool) -> Result<u64> {
    demand_primary(conn, store)?;
    get_or_set(conn, SWEEPS, &json!(0))?;
    let row = settings::table.find(SWEEPS).select(settings::value).for_update();
    let known = row.first::<Value>(conn)?.as_u64().unwrap_or(0);
    if known < seen && !confirmed {
        return Err(Error::Blocked(format!(
            "this database is at garbage collection run {known} and its store at run {seen}: it is an older state of \
             the database, or a copy, so files that it does not know may be needed. Nothing was removed. If this is the \
             right database, run `packhouse gc --confirm-orphans`"
        )));
    }
    let next = known.max(seen).saturating_add(1);
    set(conn, SWEEPS, &json!(next))?;
    Ok(next)
}

/// Locks a fact against changes until the end of the transaction.
///
/// # Errors
/// Database errors.
pub fn lock(conn: &mut PgConnection, key: &str) -> Result<()> {
    settings::table.find(key).select(settings::key).for_update().first::<String>(conn).optional()?;
    Ok(())
}

/// A fact, if it is set.
///
/// # Errors
/// Database errors.
pub fn get(conn: &mut PgConnection, key: &str) -> Result<Option<Value>> {
    Ok(settings::table.find(key).select(settings::value).first(conn).optional()?)
}

/// Sets a fact unless it is set already, and returns the fact that holds.
///
/// # Errors
/// Database errors.
pub fn get_or_set(conn: &mut PgConnection, key: &str, value: &Value) -> Result<Value> {
    diesel::insert_into(settings::table)
        .values((settings::key.eq(key), settings::value.eq(value)))
        .on_conflict_do_nothing()
        .execute(conn)?;
    Ok(settings::table.find(key).select(settings::value).first(conn)?)
}

/// Sets a fact and replaces the previous value.
///
/// # Errors
/// Database errors.
pub fn set(conn: &mut PgConnection, key: &str, value: &Value) -> Result<()> {
    diesel::insert_into(settings::table)
        .values((settings::key.eq(key), settings::value.eq(value)))
        .on_conflict(settings::key)
        .do_update()
        .set(settings::value.eq(value))
        .execute(conn)?;
    Ok(())
}
