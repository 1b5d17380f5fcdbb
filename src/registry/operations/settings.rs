//! Facts of this instance that outlive its processes.

use crate::db::schema::settings;
use crate::error::Result;
use diesel::prelude::*;
use serde_json::Value;

/// The id of the blob store that belongs to this database.
pub const STORE_ID: &str = "store_id";
/// What tells the secret key that this database's secrets are encrypted with from any other.
pub const SECRET_KEY_CHECK: &str = "secret_key_check";

/// A fact, if it is known.
///
/// # Errors
/// The database's.
pub fn get(conn: &mut PgConnection, key: &str) -> Result<Option<Value>> {
    Ok(settings::table.find(key).select(settings::value).first(conn).optional()?)
}

/// Writes a fact down unless there is one already, and returns the one that holds.
///
/// # Errors
/// The database's.
pub fn get_or_set(conn: &mut PgConnection, key: &str, value: &Value) -> Result<Value> {
    diesel::insert_into(settings::table)
        .values((settings::key.eq(key), settings::value.eq(value)))
        .on_conflict_do_nothing()
        .execute(conn)?;
    Ok(settings::table.find(key).select(settings::value).first(conn)?)
}

/// Writes a fact down, whatever was there.
///
/// # Errors
/// The database's.
pub fn set(conn: &mut PgConnection, key: &str, value: &Value) -> Result<()> {
    diesel::insert_into(settings::table)
        .values((settings::key.eq(key), settings::value.eq(value)))
        .on_conflict(settings::key)
        .do_update()
        .set(settings::value.eq(value))
        .execute(conn)?;
    Ok(())
}
