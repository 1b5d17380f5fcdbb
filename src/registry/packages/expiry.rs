//! The expiry of a version, which the file that creates it may set.

use super::lookup::version_is;
use crate::db::schema::{files, packages, versions};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, VersionId};
use crate::domain::iso_duration::{InvalidDuration, IsoDuration};
use crate::domain::path::VersionPath;
use crate::error::{Error, Result};
use diesel::prelude::*;

/// The shortest life of a version, in seconds: the job that ends it doesn't run more often.
const SHORTEST: i64 = 60;

/// Reads a duration after which a version expires.
///
/// # Errors
/// [`Error::Invalid`], also for less than a minute.
pub fn read(text: &str) -> Result<IsoDuration> {
    let wrong = |why: String| Error::invalid("expires_in", format!("expires_in: {text} is invalid: {why}"));
    let life: IsoDuration = text.parse().map_err(|why: InvalidDuration| wrong(why.to_string()))?;
    if life.seconds() < SHORTEST {
        return Err(wrong("use at least a minute, PT1M".to_owned()));
    }
    Ok(life)
}

/// Sets the expiry of a version that was just created.
///
/// # Errors
/// Database errors.
pub(super) fn begin(
    conn: &mut PgConnection,
    version: VersionId,
    life: IsoDuration,
    created_at: Timestamp,
) -> Result<Timestamp> {
    let expires_at = created_at.plus(life.into());
    diesel::update(versions::table.find(version)).set(versions::expires_at.eq(expires_at)).execute(conn)?;
    Ok(expires_at)
}

/// Checks that a version, if it exists, lives as long as its further files say: a program may send the same value with
/// each file.
///
/// # Errors
/// [`Error::WrongState`] naming the expiry that the version has.
pub(super) fn demand_same(
    conn: &mut PgConnection,
    owner: OwnerId,
    path: &VersionPath,
    life: IsoDuration,
) -> Result<()> {
    let row: Option<(VersionId, Timestamp, Option<Timestamp>)> = versions::table
        .inner_join(packages::table)
        .filter(version_is(owner, path))
        .select((versions::id, versions::created_at, versions::expires_at))
        .first(conn)
        .optional()?;
    let Some((id, created_at, expires_at)) = row else { return Ok(()) };
    if expires_at == Some(created_at.plus(life.into())) {
        return Ok(());
    }
    // Publishing a draft sets a new date, but not those of its files: the expiry counts from the first of them.
    let dates: Vec<Timestamp> = files::table
        .filter(files::version_id.eq(id))
        .order(files::created_at)
        .select(files::created_at)
        .limit(1)
        .load(conn)?;
    if dates.iter().any(|first| expires_at == Some(first.plus(life.into()))) {
        return Ok(());
    }
    let has = expires_at.map_or_else(|| "never expires".to_owned(), |at| format!("expires at {at}"));
    Err(Error::WrongState(format!(
        "version {} already exists and {has}: expires_in={life} counts only for the file that creates a version, so leave \
         it out, or publish to another version",
        path.version
    )))
}
