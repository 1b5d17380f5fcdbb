//! Owners' quotas and their storage used. Usage is counted as in Gitea: every file's bytes, shared or not.
//!
//! The count is one row per owner plus changes that wait to be added to it, so that publishers to one owner append and
//! never wait for each other. They take turns only where a limit is set. A lock on the owner separates the two cases:
//! publishers without a limit share it; publishers with a limit, and everyone who sets a limit, hold it exclusively.

use crate::db::schema::{owners, usage_changes};
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::limit::Limit;
use crate::domain::quota::{OwnQuota, Quota};
use crate::error::{Error, Result, What};
use crate::registry::access::{CanPublish, CanSeeQuota, CanSetQuota, Visited};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::{Caller, SignedIn};
use crate::registry::name_locks;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};
use serde_json::json;
use std::collections::HashMap;

/// The storage that an owner uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub versions: i64,
    pub bytes: i64,
}

/// The limits for a publisher; `None` when nothing limits them, which is the usual case.
pub fn limiting(right: &CanPublish, instance: Quota) -> Option<Quota> {
    limits_of(right.owner(), right.user(), instance)
}

/// The limits for a user who publishes to an owner; `None` when nothing limits them.
pub(in crate::registry) fn limits_of(owner: &Visited, user: &SignedIn, instance: Quota) -> Option<Quota> {
    let quota = owner.quota.or(instance);
    (!user.is_admin && quota != Quota::default()).then_some(quota)
}

/// The storage that an owner uses now.
///
/// # Errors
/// Database errors.
pub fn usage(conn: &mut PgConnection, owner: OwnerId) -> Result<Usage> {
    // Both tables must be read in one statement: with two, a fold in between would count changes twice or not at all.
    #[derive(QueryableByName)]
    struct UsageRow {
        #[diesel(sql_type = BigInt)]
        versions: i64,
        #[diesel(sql_type = BigInt)]
        bytes: i64,
    }
    let row: UsageRow = diesel::sql_query(
        "SELECT coalesce(sum(versions), 0)::bigint AS versions, coalesce(sum(bytes), 0)::bigint AS bytes FROM (\
         SELECT versions, bytes FROM owner_usage WHERE owner_id = $1 UNION ALL \
         SELECT versions, bytes FROM usage_changes WHERE owner_id = $1) AS parts",
    )
    .bind::<BigInt, _>(owner)
    .get_result(conn)?;
    Ok(Usage { versions: row.versions, bytes: row.bytes })
}

/// The storage that each of these owners uses now; owners without any are missing.
///
/// # Errors
/// Database errors.
pub fn usage_of_all(conn: &mut PgConnection, owners: &[OwnerId]) -> Result<HashMap<OwnerId, Usage>> {
    #[derive(QueryableByName)]
    struct OwnerUsageRow {
        #[diesel(sql_type = BigInt)]
        owner_id: OwnerId,
        #[diesel(sql_type = BigInt)]
        versions: i64,
        #[diesel(sql_type = BigInt)]
        bytes: i64,
    }
    let rows: Vec<OwnerUsageRow> = diesel::sql_query(
        "SELECT owner_id, sum(versions)::bigint AS versions, sum(bytes)::bigint AS bytes FROM (\
         SELECT owner_id, versions, bytes FROM owner_usage WHERE owner_id = ANY ($1) UNION ALL \
         SELECT owner_id, versions, bytes FROM usage_changes WHERE owner_id = ANY ($1)) AS parts GROUP BY owner_id",
    )
    .bind::<Array<BigInt>, _>(owners)
    .load(conn)?;
    let usage = |row: OwnerUsageRow| (row.owner_id, Usage { versions: row.versions, bytes: row.bytes });
    Ok(rows.into_iter().map(usage).collect())
}

/// An owner's own limits and their storage used.
///
/// # Errors
/// Database errors; [`Error::NotFound`] when the owner was deleted in the meantime.
pub fn standing(conn: &mut PgConnection, right: &CanSeeQuota) -> Result<(OwnQuota, Usage)> {
    let owner = right.owner().id;
    Ok((own(conn, owner)?, usage(conn, owner)?))
}

/// Checks, without a lock, that this much more fits: the early answer, before a body is read.
///
/// # Errors
/// [`Error::Quota`] with the figures.
pub fn check(conn: &mut PgConnection, owner: &Visited, quota: Quota, more: Usage) -> Result<()> {
    check_making_room(conn, owner, quota, more, 0)
}

/// [`check`] for a file that takes the place of another, which has this many bytes.
///
/// # Errors
/// As [`check`].
pub(super) fn check_making_room(
    conn: &mut PgConnection,
    owner: &Visited,
    quota: Quota,
    more: Usage,
    room: i64,
) -> Result<()> {
    let Usage { versions: more_versions, bytes: more_bytes } = more;
    let of = |limit: Option<i64>, value: i64| limit.filter(|limit| value > *limit);
    if let Some(limit) = of(quota.file_bytes, more_bytes) {
        return Err(Error::Quota(format!(
            "the quota of {} allows {limit} bytes per file, and this file has {more_bytes}",
            owner.name
        )));
    }
    let used = usage(conn, owner.id)?;
    if let Some(limit) = of(quota.versions, used.versions + more_versions).filter(|_| more_versions > 0) {
        return Err(exceeded(owner, format!("is used up: {} of {limit} package versions exist", used.versions)));
    }
    if let Some(limit) = of(quota.bytes, (used.bytes - room).saturating_add(more_bytes)) {
        let why = format!("allows {limit} bytes: {} are used, and {more_bytes} more do not fit", used.bytes);
        return Err(exceeded(owner, why));
    }
    Ok(())
}

/// The error for a quota, with the figures if the caller may see how much the owner stores.
fn exceeded(owner: &Visited, figures: String) -> Error {
    Error::Quota(exceeded_text(owner, figures))
}

fn exceeded_text(owner: &Visited, figures: String) -> String {
    let name = &owner.name;
    match owner.is_whole() {
        true => format!("the quota of {name} {figures}"),
        false => format!("the quota of {name} is used up: ask one of its owners"),
    }
}

/// How many bytes a file may still have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    pub bytes: u64,
    /// The error message for a longer file.
    pub exceeded: String,
}

/// The rest of the quota for one more file of unknown length, which may take the place of another of `room` bytes;
/// `None` when the quota does not limit bytes.
///
/// # Errors
/// Database errors.
pub fn allowance(conn: &mut PgConnection, owner: &Visited, quota: Quota, room: i64) -> Result<Option<Allowance>> {
    let used = usage(conn, owner.id)?.bytes - room;
    let left = quota.bytes.map(|limit| (limit - used).max(0));
    let Some(bytes) = left.into_iter().chain(quota.file_bytes).min() else { return Ok(None) };
    let name = &owner.name;
    let exceeded = match quota.bytes {
        Some(limit) if left == Some(bytes) => {
            exceeded_text(owner, format!("allows {limit} bytes: {used} are used, and this file does not fit"))
        }
        _ => format!("the quota of {name} allows {bytes} bytes per file, and this file is larger"),
    };
    Ok(Some(Allowance { bytes: u64::try_from(bytes).unwrap_or(0), exceeded }))
}

/// Locks the owner until the end of the transaction.
fn lock(conn: &mut PgConnection, owner: OwnerId, alone: bool) -> Result<()> {
    if alone { name_locks::lock(conn, "quota", owner.0) } else { name_locks::share(conn, "quota", owner.0) }
}

/// An owner's own quota.
///
/// # Errors
/// [`Error::NotFound`].
pub fn own(conn: &mut PgConnection, owner: OwnerId) -> Result<OwnQuota> {
    let row = owners::table.find(owner);
    let columns = (owners::quota_versions, owners::quota_bytes, owners::quota_file_bytes);
    row.select(columns).first(conn).optional()?.ok_or(Error::NotFound(What::Owner))
}

/// Checks as [`check`] does, with a result that holds until the end of the transaction. Where the owner has a limit,
/// publishers take turns from here to the end of their transactions, so that two can never fill the same gap. Exempt
/// publishers and those without a limit share the lock, so that its exclusive holder has seen everything they stored.
///
/// # Errors
/// [`Error::Quota`] with the figures; [`Error::Retry`] when a limit was set after the right was checked.
pub fn charge(conn: &mut PgConnection, right: &CanPublish, more: Usage, instance: Quota) -> Result<()> {
    charge_within(conn, right, more, instance, |quota| quota)
}

/// [`charge`] for several files, with the bytes of the largest.
///
/// # Errors
/// As [`charge`].
pub fn charge_files(
    conn: &mut PgConnection,
    right: &CanPublish,
    (more, largest): (Usage, i64),
    instance: Quota,
) -> Result<()> {
    let limit = limiting(right, instance).and_then(|quota| quota.file_bytes);
    if let Some(limit) = limit.filter(|limit| largest > *limit) {
        let name = &right.owner().name;
        return Err(Error::Quota(format!(
            "the quota of {name} allows {limit} bytes per file, and this file has {largest}"
        )));
    }
    charge_again(conn, right, more, instance)
}

/// [`charge`] for several files that were within the limit of a file's size when they were published.
///
/// # Errors
/// As [`charge`].
pub(super) fn charge_again(conn: &mut PgConnection, right: &CanPublish, more: Usage, instance: Quota) -> Result<()> {
    charge_within(conn, right, more, instance, |quota| Quota { file_bytes: None, ..quota })
}

fn charge_within(
    conn: &mut PgConnection,
    right: &CanPublish,
    more: Usage,
    instance: Quota,
    of: impl FnOnce(Quota) -> Quota,
) -> Result<()> {
    let owner = right.owner();
    let alone = limiting(right, instance).is_some();
    lock(conn, owner.id, alone)?;
    // Read now: the quota may have changed while this transaction waited for the lock.
    let quota = own(conn, owner.id)?.or(instance);
    if !right.user().is_admin && quota != Quota::default() {
        if !alone {
            return Err(Error::Retry);
        }
        check(conn, owner, of(quota), more)?;
    }
    count(conn, owner.id, more.versions, more.bytes)
}

/// A change to an owner's quota. Each limit keeps its value (`None`), returns to the instance's default (`Some(None)`),
/// or gets a new value.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change {
    pub versions: Option<Option<Limit>>,
    pub bytes: Option<Option<Limit>>,
    pub file_bytes: Option<Option<Limit>>,
}

/// Sets an owner's quota and returns the resulting quota and the storage used. The quota may be below the storage used:
/// then nothing more fits. This waits for running publishers, so that everything published after the returned count is
/// within the new limits.
///
/// # Errors
/// [`Error::NotFound`] when the owner was deleted in the meantime.
pub fn set(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanSetQuota,
    change: Change,
    now: Timestamp,
) -> Result<(OwnQuota, Usage)> {
    let owner = right.owner();
    lock(conn, owner.id, true)?;
    let before = own(conn, owner.id)?;
    let value = |change: Option<Option<Limit>>, old| change.map_or(old, |limit| limit.map(Limit::number));
    let after = OwnQuota {
        versions: value(change.versions, before.versions),
        bytes: value(change.bytes, before.bytes),
        file_bytes: value(change.file_bytes, before.file_bytes),
    };
    let used = usage(conn, owner.id)?;
    if after == before {
        return Ok((after, used));
    }
    let changed = diesel::update(owners::table.find(owner.id))
        .set((
            owners::quota_versions.eq(after.versions),
            owners::quota_bytes.eq(after.bytes),
            owners::quota_file_bytes.eq(after.file_bytes),
        ))
        .execute(conn)?;
    if changed != 1 {
        return Err(Error::NotFound(What::Owner));
    }
    let detail =
        |quota: OwnQuota| json!({"versions": quota.versions, "bytes": quota.bytes, "file_bytes": quota.file_bytes});
    let detail = json!({"from": detail(before), "to": detail(after)});
    let subject = Subject { owner: Some((owner.id, &owner.name)), text: owner.name.to_string(), detail };
    audit::record(conn, caller, Event::OwnerQuota, &subject, now)?;
    Ok((after, used))
}

/// Appends a change of an owner's storage used.
///
/// # Errors
/// Database errors.
pub fn count(conn: &mut PgConnection, owner: OwnerId, versions: i64, bytes: i64) -> Result<()> {
    if versions != 0 || bytes != 0 {
        diesel::insert_into(usage_changes::table)
            .values((
                usage_changes::owner_id.eq(owner),
                usage_changes::versions.eq(versions),
                usage_changes::bytes.eq(bytes),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// Adds the waiting changes to the counts, in one statement so that a reader sees each change once.
///
/// # Errors
/// Database errors.
pub fn fold(conn: &mut PgConnection) -> Result<usize> {
    Ok(diesel::sql_query(
        "WITH taken AS (DELETE FROM usage_changes WHERE id IN \
           (SELECT id FROM usage_changes ORDER BY id LIMIT 20000 FOR UPDATE SKIP LOCKED) \
           RETURNING owner_id, versions, bytes) \
         INSERT INTO owner_usage AS u (owner_id, versions, bytes) \
         SELECT owner_id, sum(versions), sum(bytes) FROM taken GROUP BY owner_id ORDER BY owner_id \
         ON CONFLICT (owner_id) DO UPDATE SET versions = u.versions + excluded.versions, \
           bytes = u.bytes + excluded.bytes",
    )
    .execute(conn)?)
}

/// The counted and the real usage of each owner where the two differ.
pub(in crate::registry) const MISCOUNTED: &str = "\
    SELECT coalesce(c.owner_id, r.owner_id) AS owner_id, \
      coalesce(c.versions, 0) AS counted_versions, coalesce(c.bytes, 0) AS counted_bytes, \
      coalesce(r.versions, 0) AS versions, coalesce(r.bytes, 0) AS bytes \
    FROM (SELECT owner_id, sum(versions) AS versions, sum(bytes) AS bytes FROM \
        (SELECT owner_id, versions, bytes FROM owner_usage UNION ALL \
         SELECT owner_id, versions, bytes FROM usage_changes) AS parts GROUP BY owner_id) c \
    FULL JOIN (SELECT p.owner_id, count(DISTINCT v.id) AS versions, coalesce(sum(b.size), 0) AS bytes \
        FROM packages p JOIN versions v ON v.package_id = p.id LEFT JOIN files f ON f.version_id = v.id \
        LEFT JOIN blobs b ON b.id = f.blob_id GROUP BY p.owner_id) r ON r.owner_id = c.owner_id \
    WHERE coalesce(c.versions, 0) <> coalesce(r.versions, 0) OR coalesce(c.bytes, 0) <> coalesce(r.bytes, 0)";

/// Recounts what every owner stores, appends the differences, and returns the owners whose count was wrong. It is one
/// statement and therefore one snapshot: a concurrent upload adds its own change.
///
/// # Errors
/// Database errors.
pub fn recount(conn: &mut PgConnection) -> Result<Vec<String>> {
    #[derive(QueryableByName)]
    struct NameRow {
        #[diesel(sql_type = Text)]
        name: String,
    }
    diesel::sql_query("SET LOCAL statement_timeout = 0").execute(conn)?;
    let rows: Vec<NameRow> = diesel::sql_query(format!(
        "WITH added AS (INSERT INTO usage_changes (owner_id, versions, bytes) \
           SELECT owner_id, versions - counted_versions, bytes - counted_bytes FROM ({MISCOUNTED}) AS u \
           RETURNING owner_id) \
         SELECT o.name FROM added JOIN owners o ON o.id = added.owner_id ORDER BY o.name"
    ))
    .load(conn)?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}
