//! The outbox of webhook deliveries. A delivery is written in the transaction of the change, so it is sent if, and only
//! if, the change was made.

use super::payload::{Facts, OwnerProfile, OwnerSnapshot};
use super::{find, record};
use crate::db::schema::{hook_deliveries, hooks, owners};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{BlobId, DeliveryId, HookId, OwnerId, PackageId, VersionId};
use crate::domain::webhook::{DeliveryState, HookAction};
use crate::error::{Error, Result, What};
use crate::registry::access::CanHook;
use crate::registry::audit::Event;
use crate::registry::caller::{Caller, NOBODY};
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, SmallInt, Text, Timestamptz};
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

/// How long a receiver that does not answer is retried: one day, plus an hour for the last attempt.
pub const PATIENCE: Duration = Duration::from_secs(25 * 3600);

/// The versions to announce, which must still exist.
#[derive(Debug, Clone, Copy)]
pub(in crate::registry) enum Announced {
    Version(VersionId),
    Package(PackageId),
}

/// An owner as a JSON object, `null` when there is none.
macro_rules! owner_snapshot {
    ($alias:literal) => {
        concat!(
            "CASE WHEN ",
            $alias,
            ".id IS NULL THEN NULL ELSE jsonb_build_object('id', ",
            $alias,
            ".id, 'name', ",
            $alias,
            ".name, 'full_name', ",
            $alias,
            ".full_name, 'visibility', ",
            $alias,
            ".visibility, 'created_at', ",
            $alias,
            ".created_at) END"
        )
    };
}

/// Inserts one row for each webhook and version in one statement, because a package may have many versions. Nothing is
/// said about drafts: receivers may show it to everybody. The
/// arguments are the facts besides those that every message has, and the versions it is about.
macro_rules! announce {
    ($more:literal, $which:literal) => {
        concat!(
            "INSERT INTO hook_deliveries \
             (hook_id, uuid, action, is_test, facts, state, created_at, retry_until, next_attempt_at) \
             SELECT h.id, gen_random_uuid(), $1, false, jsonb_build_object('id', v.id, 'package', p.name, 'version', \
               v.version, 'created_at', v.created_at, 'owner', ",
            owner_snapshot!("o"),
            ", 'owner_kind', o.kind, 'about', \
               jsonb_build_object('description', o.description, 'website', o.website, 'location', o.location), \
               'identity', (SELECT CASE WHEN count(*) = count(f.identity) AND count(DISTINCT f.identity) = 1 \
               THEN min(f.identity::text)::jsonb END FROM files f WHERE f.version_id = v.id), 'creator', ",
            owner_snapshot!("c"),
            ", 'sender', ",
            owner_snapshot!("s"),
            $more,
            "), 0, $2, $3, $2 FROM versions v JOIN packages p ON p.id = v.package_id JOIN owners o ON o.id = v.owner_id \
             JOIN hooks h ON h.owner_id = v.owner_id AND h.active LEFT JOIN owners c ON c.id = v.creator_id \
             LEFT JOIN owners s ON s.id = $4 WHERE v.state > 0 AND ",
            $which,
            " ORDER BY v.id, h.id"
        )
    };
}

const ANNOUNCE: &str = announce!("", "($5 IS NULL OR v.id = $5) AND ($6 IS NULL OR v.package_id = $6)");
const ANNOUNCE_DAMAGE: &str = announce!(
    ", 'damaged_files', (SELECT jsonb_agg(f.name ORDER BY f.id) FROM files f WHERE f.version_id = v.id AND f.blob_id = $5)",
    "v.id IN (SELECT f.version_id FROM files f WHERE f.blob_id = $5)"
);

const ANNOUNCE_UPDATE: &str = announce!(", 'changes', to_jsonb($5::text[])", "v.id = $6");

/// Announces changes to a version that concern others, each in a word.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn announce_update(
    conn: &mut PgConnection,
    caller: &Caller,
    version: VersionId,
    changes: &[&str],
    now: Timestamp,
) -> Result<()> {
    diesel::sql_query(ANNOUNCE_UPDATE)
        .bind::<SmallInt, _>(HookAction::Updated)
        .bind::<Timestamptz, _>(now)
        .bind::<Timestamptz, _>(now.plus(PATIENCE))
        .bind::<BigInt, _>(caller.user().map_or(NOBODY, |user| user.id))
        .bind::<Array<Text>, _>(changes)
        .bind::<BigInt, _>(version)
        .execute(conn)?;
    Ok(())
}

/// Announces the versions that contain a damaged blob to every webhook.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn announce_damage(conn: &mut PgConnection, blob: BlobId, now: Timestamp) -> Result<()> {
    diesel::sql_query(ANNOUNCE_DAMAGE)
        .bind::<SmallInt, _>(HookAction::Damaged)
        .bind::<Timestamptz, _>(now)
        .bind::<Timestamptz, _>(now.plus(PATIENCE))
        .bind::<BigInt, _>(NOBODY)
        .bind::<BigInt, _>(blob)
        .execute(conn)?;
    Ok(())
}

/// Announces versions of an owner to each of its webhooks: after they were created, or before they are deleted.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn announce(
    conn: &mut PgConnection,
    caller: &Caller,
    (owner, action, of): (OwnerId, HookAction, Announced),
    now: Timestamp,
) -> Result<()> {
    // Most owners have no webhook. This query is prepared, the insert is not.
    let active = hooks::table.filter(hooks::owner_id.eq(owner)).filter(hooks::active);
    if !diesel::select(exists(active.select(hooks::id))).get_result::<bool>(conn)? {
        return Ok(());
    }
    let (version, package) = match of {
        Announced::Version(id) => (Some(id), None),
        Announced::Package(id) => (None, Some(id)),
    };
    diesel::sql_query(ANNOUNCE)
        .bind::<SmallInt, _>(action)
        .bind::<Timestamptz, _>(now)
        .bind::<Timestamptz, _>(now.plus(PATIENCE))
        .bind::<BigInt, _>(caller.user().map_or(NOBODY, |user| user.id))
        .bind::<Nullable<BigInt>, _>(version)
        .bind::<Nullable<BigInt>, _>(package)
        .execute(conn)?;
    Ok(())
}

fn demand_active(active: bool) -> Result<()> {
    if active { Ok(()) } else { Err(Error::Blocked("the webhook is inactive: activate it first".to_owned())) }
}

/// Announces the creation of a version that does not exist, so that the receiver can be tested without harm.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Blocked`] for a webhook that is not active.
pub fn test(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanHook,
    id: HookId,
    now: Timestamp,
) -> Result<DeliveryId> {
    let hook = find(conn, right, id)?;
    demand_active(hook.active)?;
    let owner = right.owner();
    let sender = caller.user().map(|user| owner_snapshot(conn, user.id)).transpose()?.flatten();
    let about = owners::table.find(owner.id).select((owners::description, owners::website, owners::location));
    let (description, website, location) = about.first(conn)?;
    let facts = Facts {
        id: VersionId(0),
        package: "webhook-test".parse().map_err(Error::internal)?,
        version: "0.0.0".parse().map_err(Error::internal)?,
        created_at: now,
        owner: owner_snapshot(conn, owner.id)?.ok_or(Error::NotFound(What::Owner))?,
        owner_kind: owner.kind.number(),
        about: OwnerProfile { description, website, location },
        creator: sender.clone(),
        sender,
        damaged_files: Vec::new(),
        changes: Vec::new(),
        identity: None,
    };
    let delivery = diesel::insert_into(hook_deliveries::table)
        .values((
            hook_deliveries::hook_id.eq(id),
            hook_deliveries::uuid.eq(Uuid::new_v4()),
            hook_deliveries::action.eq(HookAction::Created),
            hook_deliveries::is_test.eq(true),
            hook_deliveries::facts.eq(serde_json::to_value(&facts).map_err(Error::internal)?),
            hook_deliveries::state.eq(DeliveryState::Pending),
            hook_deliveries::created_at.eq(now),
            // A person is waiting for the test: a later delivery is of no use.
            hook_deliveries::retry_until.eq(now),
            hook_deliveries::next_attempt_at.eq(now),
        ))
        .returning(hook_deliveries::id)
        .get_result(conn)?;
    record(conn, caller, (Event::HookTest, right), &hook, json!({}), now)?;
    Ok(delivery)
}

fn owner_snapshot(conn: &mut PgConnection, id: OwnerId) -> Result<Option<OwnerSnapshot>> {
    let row: Option<(OwnerId, crate::domain::names::OwnerName, String, i16, Timestamp)> = owners::table
        .find(id)
        .select((owners::id, owners::name, owners::full_name, owners::visibility, owners::created_at))
        .first(conn)
        .optional()?;
    Ok(row.map(|(id, name, full_name, visibility, created_at)| OwnerSnapshot {
        id,
        name,
        full_name,
        visibility,
        created_at,
    }))
}

/// Sends a delivery once more, whatever its state: now, with retries for another day.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Blocked`] for a webhook that is not active.
pub fn redeliver(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanHook,
    (id, delivery): (HookId, DeliveryId),
    now: Timestamp,
) -> Result<()> {
    let hook = find(conn, right, id)?;
    demand_active(hook.active)?;
    let row = hook_deliveries::table.find(delivery).filter(hook_deliveries::hook_id.eq(id));
    let changed = diesel::update(row)
        .set((
            hook_deliveries::state.eq(DeliveryState::Pending),
            hook_deliveries::next_attempt_at.eq(now),
            hook_deliveries::retry_until.eq(now.plus(PATIENCE)),
            hook_deliveries::tries.eq(0),
        ))
        .execute(conn)?;
    if changed == 0 {
        return Err(Error::NotFound(What::Delivery));
    }
    record(conn, caller, (Event::HookRedeliver, right), &hook, json!({"delivery": delivery}), now)
}

/// Deletes deliveries that succeeded or were given up before a time. Pending deliveries stay, unless they have expired.
///
/// # Errors
/// Database errors.
pub fn forget_old(conn: &mut PgConnection, before: Timestamp, limit: i64) -> Result<usize> {
    let old = hook_deliveries::table
        .filter(hook_deliveries::created_at.lt(before))
        .filter(hook_deliveries::state.ne(DeliveryState::Pending).or(hook_deliveries::retry_until.lt(before)))
        .order(hook_deliveries::created_at)
        .limit(limit)
        .select(hook_deliveries::id)
        .for_update()
        .skip_locked();
    let old: Vec<DeliveryId> = old.load(conn)?;
    Ok(diesel::delete(hook_deliveries::table.filter(hook_deliveries::id.eq_any(old))).execute(conn)?)
}
