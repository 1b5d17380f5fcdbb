//! Publishing a draft and sealing a version. Both lock the version's row against uploads: an upload holds it with
//! `FOR KEY SHARE` from its check of the state to its commit, and only `FOR UPDATE` waits for that. So a file is either
//! in the version before the change, or its upload sees the changed state.

use super::changeable;
use super::lookup::package_is;
use super::protections::{self, Action};
use super::standing::{STANDING_COLUMNS, Standing};
use crate::db::schema::{blobs, files, packages, versions};
use crate::domain::clock::Timestamp;
use crate::domain::digest::Sha256;
use crate::domain::ids::{OwnerId, PackageId, VersionId};
use crate::domain::labels::Labels;
use crate::domain::names::{FileName, OwnerName, PackageName};
use crate::domain::package_texts::Markdown;
use crate::domain::path::VersionPath;
use crate::domain::version::Version;
use crate::domain::version_state::VersionState;
use crate::domain::webhook::HookAction;
use crate::error::{Error, Result, What};
use crate::registry::access::CanPublish;
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::Caller;
use crate::registry::webhooks::outbox::{self, Announced};
use diesel::dsl::{max, sql};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Timestamptz};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most names of each kind in the error about the files of a draft.
const NAMED: usize = 20;

/// A version that is locked until the end of the transaction.
pub(super) struct LockedVersion {
    pub id: VersionId,
    pub package: PackageName,
    pub version: Version,
    pub archived: bool,
    pub standing: Standing,
    pub labels: Labels,
    pub notes: Markdown,
}

impl LockedVersion {
    /// What an audit record says it is about.
    fn text(&self) -> String {
        format!("{}/{}", self.package, self.version)
    }
}

/// Locks a version against uploads, deletion and every other change of its state. The package comes first, as
/// everywhere.
///
/// # Errors
/// [`Error::NotFound`].
pub(super) fn lock(conn: &mut PgConnection, owner: OwnerId, path: &VersionPath) -> Result<LockedVersion> {
    let package: Option<PackageId> = packages::table
        .filter(package_is(owner, &path.package))
        .select(packages::id)
        .for_key_share()
        .first(conn)
        .optional()?;
    let package = package.ok_or(Error::NotFound(What::Version))?;
    let id: Option<VersionId> = versions::table
        .filter(versions::package_id.eq(package))
        .filter(versions::lower_version.eq(path.version.lower()))
        .select(versions::id)
        .for_update()
        .first(conn)
        .optional()?;
    load(conn, id.ok_or(Error::NotFound(What::Version))?)
}

fn load(conn: &mut PgConnection, id: VersionId) -> Result<LockedVersion> {
    type Row = (PackageName, Option<Timestamp>, Version, Labels, Markdown, Standing);
    let row: Option<Row> = versions::table
        .inner_join(packages::table)
        .filter(versions::id.eq(id))
        .select((
            packages::name,
            packages::archived_at,
            versions::version,
            versions::labels,
            versions::notes,
            STANDING_COLUMNS,
        ))
        .first(conn)
        .optional()?;
    let (package, archived_at, version, labels, notes, standing) = row.ok_or(Error::NotFound(What::Version))?;
    Ok(LockedVersion { id, package, version, archived: archived_at.is_some(), standing, labels, notes })
}

/// Writes the audit record of a change to a version.
///
/// # Errors
/// Database errors.
pub(super) fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    (event, owner): (Event, (OwnerId, &OwnerName)),
    (version, detail): (&LockedVersion, Value),
    now: Timestamp,
) -> Result<()> {
    let subject = Subject { owner: Some(owner), text: version.text(), detail };
    audit::record(conn, caller, event, &subject, now)
}

/// The files that a draft must have to be published: their names and digests.
pub type ExpectedFiles = BTreeMap<String, Sha256>;

/// Publishes a draft: all its files become visible at once. A version that is published already stays as it is, so that
/// the request can be repeated.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::WrongState`] for an archived package, and for files other than the expected ones.
pub fn publish(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanPublish,
    (path, expected): (&VersionPath, Option<&ExpectedFiles>),
    now: Timestamp,
) -> Result<()> {
    let owner = right.owner();
    let version = lock(conn, owner.id, path)?;
    if let Some(expected) = expected {
        demand_files(conn, &version, expected)?;
    }
    if !version.standing.is_draft() {
        return Ok(());
    }
    protections::check(conn, right, Action::Publish, &version.version)?;
    if version.archived {
        return Err(changeable::archived(&version.package));
    }
    // For its readers it comes into being now. Lists by date and the latest version go by this time.
    let values =
        (versions::state.eq(VersionState::Published), versions::published_at.eq(now), versions::created_at.eq(now));
    diesel::update(versions::table.find(version.id)).set(values).execute(conn)?;
    outbox::announce(conn, caller, (owner.id, HookAction::Created, Announced::Version(version.id)), now)?;
    let count: i64 = files::table.filter(files::version_id.eq(version.id)).count().get_result(conn)?;
    let detail = json!({"files": count});
    record(conn, caller, (Event::VersionPublish, (owner.id, &owner.name)), (&version, detail), now)
}

/// Checks that a version has exactly these files.
fn demand_files(conn: &mut PgConnection, version: &LockedVersion, expected: &ExpectedFiles) -> Result<()> {
    let rows: Vec<(FileName, Vec<u8>)> = files::table
        .inner_join(blobs::table)
        .filter(files::version_id.eq(version.id))
        .order(files::lower_name)
        .select((files::name, blobs::sha256))
        .load(conn)?;
    let mut missing: BTreeMap<String, (&str, &Sha256)> =
        expected.iter().map(|(name, sha256)| (name.to_lowercase(), (name.as_str(), sha256))).collect();
    let (mut extra, mut different) = (Vec::new(), Vec::new());
    for (name, sha256) in &rows {
        match missing.remove(&name.lower()) {
            None => extra.push(name.as_str()),
            Some((_, wanted)) if wanted.as_bytes()[..] != sha256[..] => different.push(name.as_str()),
            Some(_) => {}
        }
    }
    let missing: Vec<&str> = missing.values().map(|(name, _)| *name).collect();
    let kinds = [("missing", &missing), ("extra", &extra), ("different", &different)];
    let problems: Vec<String> =
        kinds.into_iter().filter(|(_, names)| !names.is_empty()).map(|(word, names)| listed(word, names)).collect();
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Error::WrongState(format!(
            "the files of {} {} are not the expected ones: {}",
            version.package,
            version.version,
            problems.join("; ")
        ))),
    }
}

/// Names, as many as one can read.
fn listed(word: &str, names: &[&str]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMED).copied().collect();
    let more = names.len() - shown.len();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{word} {}{rest}", shown.join(", "))
}

/// Seals a version. A sealed version stays as it is, so that the request can be repeated.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::WrongState`] for a draft; [`Error::Forbidden`] when a protection rule forbids it.
pub fn seal(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanPublish,
    path: &VersionPath,
    now: Timestamp,
) -> Result<()> {
    let owner = right.owner();
    let version = lock(conn, owner.id, path)?;
    if version.standing.is_draft() {
        return Err(Error::WrongState(format!(
            "version {} of {} is a draft: publish it before you seal it",
            version.version, version.package
        )));
    }
    if version.standing.life.stored == VersionState::Sealed {
        return Ok(());
    }
    protections::check(conn, right, Action::Publish, &version.version)?;
    let since = version.standing.life.sealed_at(now).unwrap_or(now);
    write_seal(conn, caller, (owner.id, &owner.name), (&version, since), now)
}

/// Writes down that a locked version is sealed since a time. Its last file may be newer than that by the difference
/// between two servers' clocks, or because the setting changed later; then it is sealed since its last file.
fn write_seal(
    conn: &mut PgConnection,
    caller: &Caller,
    owner: (OwnerId, &OwnerName),
    (version, since): (&LockedVersion, Timestamp),
    now: Timestamp,
) -> Result<()> {
    let newest = files::table.filter(files::version_id.eq(version.id)).select(max(files::created_at));
    let newest: Option<Timestamp> = newest.first(conn)?;
    let published = version.standing.life.published_at();
    let sealed_at = [newest, published].into_iter().flatten().fold(since, Timestamp::max);
    let values = (versions::state.eq(VersionState::Sealed), versions::sealed_at.eq(sealed_at));
    diesel::update(versions::table.find(version.id)).set(values).execute(conn)?;
    outbox::announce_update(conn, caller, version.id, &["sealed"], now)?;
    let detail = json!({"sealed_at": sealed_at});
    record(conn, caller, (Event::VersionSeal, owner), (version, detail), now)
}

/// A version that is due to be sealed, and where it is.
#[derive(Debug, Clone)]
pub struct DueVersion {
    pub id: VersionId,
    pub owner: OwnerId,
    pub owner_name: OwnerName,
    pub package: PackageName,
    pub version: Version,
}

/// Versions that are due to be sealed, of one package or of all, beginning after an id.
///
/// # Errors
/// Database errors.
pub fn due(
    conn: &mut PgConnection,
    package: Option<PackageId>,
    after: VersionId,
    limit: i64,
    now: Timestamp,
) -> Result<Vec<DueVersion>> {
    use crate::db::schema::owners;
    type Row = (VersionId, OwnerId, OwnerName, PackageName, Version);
    let is_due = sql::<Bool>(
        "packages.seal_after_seconds IS NOT NULL AND coalesce(versions.published_at, versions.created_at) <= ",
    )
    .bind::<Timestamptz, _>(now)
    .sql(" - make_interval(secs => packages.seal_after_seconds)");
    let query = versions::table
        .inner_join(packages::table.inner_join(owners::table))
        .filter(versions::state.eq(VersionState::Published))
        .filter(versions::id.gt(after))
        .filter(is_due)
        .order(versions::id)
        .limit(limit)
        .select((versions::id, owners::id, owners::name, packages::name, versions::version))
        .into_boxed::<diesel::pg::Pg>();
    let query = match package {
        Some(package) => query.filter(versions::package_id.eq(package)),
        None => query,
    };
    let rows: Vec<Row> = query.load(conn)?;
    let due = |(id, owner, owner_name, package, version)| DueVersion { id, owner, owner_name, package, version };
    Ok(rows.into_iter().map(due).collect())
}

/// Writes down that a version is sealed, if it is still there and due. False if another server did it.
///
/// # Errors
/// Database errors.
pub fn seal_due(conn: &mut PgConnection, caller: &Caller, due: &DueVersion, now: Timestamp) -> Result<bool> {
    let owner = due.owner_name.clone();
    let path = VersionPath { owner, package: due.package.clone(), version: due.version.clone() };
    let version = match lock(conn, due.owner, &path) {
        Err(Error::NotFound(_)) => return Ok(false),
        locked => locked?,
    };
    let is_open = version.standing.life.stored == VersionState::Published;
    let Some(since) = version.standing.life.sealed_at(now).filter(|_| is_open) else { return Ok(false) };
    write_seal(conn, caller, (due.owner, &due.owner_name), (&version, since), now)?;
    Ok(true)
}
