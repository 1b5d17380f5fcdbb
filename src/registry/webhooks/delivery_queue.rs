//! Taking deliveries from the outbox. A server leases a webhook for a time and sends one delivery for it. Two servers
//! therefore never send for one webhook at once, each webhook's deliveries stay in order, and a slow receiver delays
//! only itself. When a server dies, another one takes the webhook over, and sends the delivery again under the same id.

use super::failing;
use super::payload::Facts;
use crate::db::schema::{hook_attempts, hook_deliveries, hooks, owners};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{DeliveryId, HookId, OwnerId};
use crate::domain::role::OwnerKind;
use crate::domain::secret::{MasterKey, SecretText};
use crate::domain::webhook::{DeliveryState, HookAction, HookContent, HookUrl};
use crate::error::{Error, Result};
use crate::registry::encryption::{self, HOOK_AUTHORIZATION, HOOK_SECRET};
use crate::registry::operations::servers;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Timestamptz};
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// How long a webhook is leased to one server: longer than any answer is waited for.
pub const LEASE: Duration = Duration::from_secs(120);
/// The most webhooks of one owner that are served at once, so that an owner with many slow receivers leaves room for
/// others.
const MOST_OF_OWNER: i64 = 4;
/// The pause after the first failed attempt; each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(4 * 3600);

/// One delivery to send, leased to the server that took it.
#[derive(Debug)]
pub struct LeasedHook {
    pub hook: HookId,
    pub delivery: DeliveryId,
    pub uuid: Uuid,
    /// The number of this attempt, from 1.
    pub number: i32,
    pub action: HookAction,
    pub owner_kind: OwnerKind,
    pub url: HookUrl,
    pub content: HookContent,
    /// The message, or the error that prevents reading it: that error fails this delivery alone and must not stop the
    /// others.
    pub message: Result<Message>,
    tries: i32,
    retry_until: Timestamp,
    leased_until: Timestamp,
}

/// A delivery's content and the webhook's secrets.
#[derive(Debug)]
pub struct Message {
    pub facts: Facts,
    /// The secret that signs the message.
    pub secret: Option<SecretText>,
    /// The value of an `Authorization` header.
    pub authorization: Option<SecretText>,
}

/// The result of an attempt.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub at: Timestamp,
    pub duration: Duration,
    /// Pairs of name and value, secrets as asterisks.
    pub request_headers: Value,
    pub status: Option<u16>,
    pub response_headers: Value,
    pub response_body: String,
    /// Empty when nothing went wrong.
    pub error: String,
}

impl Outcome {
    /// Whether the receiver accepted the message.
    pub fn is_delivered(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

#[derive(QueryableByName)]
struct Next {
    #[diesel(sql_type = BigInt)]
    id: HookId,
}

/// Leases the webhook that has waited longest, of those with something to deliver. A time further ahead than a lease or
/// a pause can be comes from a clock that was wrong, and counts as past. So does the time of a first attempt, which may
/// come from a server whose clock is ahead of this one's.
fn lease(conn: &mut PgConnection, server: i64, now: Timestamp) -> Result<Option<HookId>> {
    let (ended, other_ended) = (servers::ended("h.leased_by"), servers::ended("o.leased_by"));
    let next: Option<Next> = diesel::sql_query(format!(
        "UPDATE hooks SET leased_until = $2, served_at = $1, leased_by = $6 \
           WHERE id = (SELECT h.id FROM hooks h WHERE h.active \
           AND (h.leased_until IS NULL OR h.leased_until <= $1 OR h.leased_until > $5 OR {ended}) \
           AND h.id IN (SELECT hook_id FROM hook_deliveries WHERE state = 0 \
             AND (next_attempt_at <= $1 OR next_attempt_at > $4 OR next_attempt_at <= $7 AND tries = 0)) \
           AND (SELECT count(*) FROM hooks o WHERE o.owner_id = h.owner_id \
             AND o.leased_until > $1 AND o.leased_until <= $5 AND NOT {other_ended}) < $3 \
           ORDER BY h.served_at NULLS FIRST, h.id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id",
    ))
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(now.plus(LEASE))
    .bind::<BigInt, _>(MOST_OF_OWNER)
    .bind::<Timestamptz, _>(now.latest_end_of(LONGEST_PAUSE))
    .bind::<Timestamptz, _>(now.latest_end_of(LEASE))
    .bind::<Nullable<BigInt>, _>(Some(server).filter(|id| *id != 0))
    .bind::<Timestamptz, _>(now.latest_end_of(Duration::ZERO))
    .get_result(conn)
    .optional()?;
    Ok(next.map(|next| next.id))
}

/// Takes a delivery that is due, for a server, or 0 for a command; `None` when nothing is due or other servers have
/// leased it all.
///
/// # Errors
/// Database errors.
pub fn take(conn: &mut PgConnection, (key, server): (&MasterKey, i64), now: Timestamp) -> Result<Option<LeasedHook>> {
    while let Some(hook) = lease(conn, server, now)? {
        give_up_stale(conn, hook, now)?;
        match due(conn, hook, now)? {
            Some(delivery) => return begin(conn, key, (hook, delivery), now).map(Some),
            // All its deliveries had expired.
            None => release(conn, hook, now.plus(LEASE))?,
        }
    }
    Ok(None)
}

/// The delivery of a webhook that is due first.
fn due(conn: &mut PgConnection, hook: HookId, now: Timestamp) -> Result<Option<DeliveryId>> {
    let pending = || {
        hook_deliveries::table
            .filter(hook_deliveries::hook_id.eq(hook))
            .filter(hook_deliveries::state.eq(DeliveryState::Pending))
    };
    let first_try = hook_deliveries::tries.eq(0);
    let by_now = hook_deliveries::next_attempt_at
        .le(now)
        .or(hook_deliveries::next_attempt_at.gt(now.latest_end_of(LONGEST_PAUSE)))
        .or(hook_deliveries::next_attempt_at.le(now.latest_end_of(Duration::ZERO)).and(first_try));
    let earliest: Option<(DeliveryId, i32, Option<Timestamp>)> = pending()
        .filter(by_now)
        .order((hook_deliveries::next_attempt_at, hook_deliveries::id))
        .select((hook_deliveries::id, hook_deliveries::tries, hook_deliveries::next_attempt_at))
        .first(conn)
        .optional()?;
    match earliest {
        // The servers that wrote these deliveries may have clocks that differ, and the ids have the right order.
        Some((_, 0, Some(at))) => {
            let near = hook_deliveries::next_attempt_at.le(at.latest_end_of(Duration::ZERO));
            let first = pending().filter(first_try).filter(near).order(hook_deliveries::id);
            Ok(first.select(hook_deliveries::id).first(conn).optional()?)
        }
        earliest => Ok(earliest.map(|(id, ..)| id)),
    }
}

/// Gives up on deliveries that were tried and that expired while no server was running.
fn give_up_stale(conn: &mut PgConnection, hook: HookId, now: Timestamp) -> Result<()> {
    let stale = hook_deliveries::table
        .filter(hook_deliveries::hook_id.eq(hook))
        .filter(hook_deliveries::state.eq(DeliveryState::Pending))
        .filter(hook_deliveries::retry_until.lt(now))
        .filter(hook_deliveries::tries.gt(0));
    diesel::update(stale)
        .set((hook_deliveries::state.eq(DeliveryState::Failed), hook_deliveries::next_attempt_at.eq(None::<Timestamp>)))
        .execute(conn)?;
    Ok(())
}

fn release(conn: &mut PgConnection, hook: HookId, leased_until: Timestamp) -> Result<()> {
    // Only if the lease is still ours: it may have expired, and another server may hold it by now.
    let own = hooks::table.find(hook).filter(hooks::leased_until.eq(leased_until));
    let free = (hooks::leased_until.eq(None::<Timestamp>), hooks::leased_by.eq(None::<i64>));
    diesel::update(own).set(free).execute(conn)?;
    Ok(())
}

/// Counts the attempt before it is made, so that an attempt that crashes the server is not repeated forever.
fn begin(
    conn: &mut PgConnection,
    key: &MasterKey,
    (hook, delivery): (HookId, DeliveryId),
    now: Timestamp,
) -> Result<LeasedHook> {
    type Sent = (Uuid, i32, i32, HookAction, Value, Timestamp);
    let (uuid, number, tries, action, facts, retry_until): Sent = diesel::update(hook_deliveries::table.find(delivery))
        .set((
            hook_deliveries::tries.eq(hook_deliveries::tries + 1),
            hook_deliveries::attempts.eq(hook_deliveries::attempts + 1),
        ))
        .returning((
            hook_deliveries::uuid,
            hook_deliveries::attempts,
            hook_deliveries::tries,
            hook_deliveries::action,
            hook_deliveries::facts,
            hook_deliveries::retry_until,
        ))
        .get_result(conn)?;
    type Receiver = (OwnerId, OwnerKind, HookUrl, HookContent, Option<Vec<u8>>, Option<Vec<u8>>);
    let (owner, owner_kind, url, content, secret, authorization): Receiver = hooks::table
        .find(hook)
        .inner_join(owners::table)
        .select((
            owners::id,
            owners::kind,
            hooks::url,
            hooks::content,
            hooks::sealed_secret,
            hooks::sealed_authorization,
        ))
        .first(conn)?;
    let decrypt = |kind, sealed: Option<Vec<u8>>| -> Result<Option<SecretText>> {
        let Some(sealed) = sealed else { return Ok(None) };
        let text = String::from_utf8(encryption::decrypt(key, kind, owner, &sealed)?).map_err(Error::internal)?;
        Ok(Some(SecretText::new(text)))
    };
    let message = || {
        Ok(Message {
            facts: serde_json::from_value(facts).map_err(Error::internal)?,
            secret: decrypt(HOOK_SECRET, secret)?,
            authorization: decrypt(HOOK_AUTHORIZATION, authorization)?,
        })
    };
    Ok(LeasedHook {
        hook,
        delivery,
        uuid,
        number,
        action,
        owner_kind,
        url,
        content,
        message: message(),
        tries,
        retry_until,
        leased_until: now.plus(LEASE),
    })
}

/// How long to wait after this many attempts in a row.
fn pause(tries: i32) -> Duration {
    let doublings = u32::try_from(tries.saturating_sub(1)).unwrap_or(0).min(16);
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_PAUSE)
}

/// Records the result of an attempt, schedules the next one if needed, and releases the webhook.
///
/// # Errors
/// Database errors.
pub fn settle(conn: &mut PgConnection, leased: &LeasedHook, outcome: &Outcome, now: Timestamp) -> Result<()> {
    release(conn, leased.hook, leased.leased_until)?;
    let next = now.plus(pause(leased.tries));
    let (state, next) = match outcome.is_delivered() {
        true => (DeliveryState::Delivered, None),
        false if next > leased.retry_until => (DeliveryState::Failed, None),
        false => (DeliveryState::Pending, Some(next)),
    };
    if !outcome.is_delivered() {
        failing::turn_off(conn, leased.hook, &outcome.error, now)?;
    }
    // A redelivery may have been requested in the meantime: then the delivery is due, whatever the result of this
    // attempt. The row may also be gone.
    let row = hook_deliveries::table.find(leased.delivery);
    let untouched = row.filter(hook_deliveries::tries.eq(leased.tries));
    diesel::update(untouched)
        .set((hook_deliveries::state.eq(state), hook_deliveries::next_attempt_at.eq(next)))
        .execute(conn)?;
    if row.select(hook_deliveries::id).for_key_share().first::<DeliveryId>(conn).optional()?.is_none() {
        return Ok(());
    }
    diesel::insert_into(hook_attempts::table)
        .values((
            hook_attempts::delivery_id.eq(leased.delivery),
            hook_attempts::number.eq(leased.number),
            hook_attempts::at.eq(outcome.at),
            hook_attempts::duration_ms.eq(i32::try_from(outcome.duration.as_millis()).unwrap_or(i32::MAX)),
            hook_attempts::request_headers.eq(&outcome.request_headers),
            hook_attempts::status.eq(outcome.status.map(i32::from)),
            hook_attempts::response_headers.eq(&outcome.response_headers),
            hook_attempts::response_body.eq(&outcome.response_body),
            hook_attempts::error.eq(&outcome.error),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_delays_double_and_add_up_to_a_day() {
        assert_eq!([1, 2, 3].map(|tries| pause(tries).as_secs()), [30, 60, 120]);
        assert_eq!(pause(i32::MAX), LONGEST_PAUSE);
        let all: Duration = (1..15).map(pause).sum();
        assert!((24.0..25.0).contains(&(all.as_secs_f64() / 3600.0)), "{all:?}");
    }
}
