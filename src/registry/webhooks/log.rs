//! The log of webhook deliveries and their answers.

use super::find as find_hook;
use super::payload::Facts;
use crate::db::schema::{hook_attempts, hook_deliveries};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{DeliveryId, HookId};
use crate::domain::text::visible;
use crate::domain::webhook::{DeliveryState, HookAction};
use crate::error::{Error, Result, What};
use crate::registry::access::CanHook;
use crate::registry::pages::{Page, Slice};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Integer, Nullable};
use serde_json::Value;
use std::collections::HashMap;
use uuid::Uuid;

/// A delivery of a webhook, sent or pending.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub id: DeliveryId,
    pub uuid: Uuid,
    pub action: HookAction,
    pub is_test: bool,
    pub facts: Facts,
    pub state: DeliveryState,
    pub created_at: Timestamp,
    /// When it is tried next, while it is pending.
    pub next_attempt_at: Option<Timestamp>,
    pub attempts: i32,
    /// The status of the last answer, if there was one.
    pub status: Option<i32>,
}

/// An attempt to deliver.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = hook_attempts)]
pub struct Attempt {
    pub number: i32,
    pub at: Timestamp,
    pub duration_ms: i32,
    /// Pairs of name and value.
    pub request_headers: Value,
    pub status: Option<i32>,
    /// Pairs of name and value.
    pub response_headers: Value,
    pub response_body: String,
    /// The problem; empty for success.
    pub error: String,
}

impl Attempt {
    /// The attempt without control characters: the receiver wrote a part of it.
    fn visible(self) -> Self {
        Self {
            response_headers: all_visible(self.response_headers),
            response_body: visible(&self.response_body).into_owned(),
            error: visible(&self.error).into_owned(),
            ..self
        }
    }
}

fn all_visible(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(visible(&text).into_owned()),
        Value::Array(items) => items.into_iter().map(all_visible).collect(),
        other => other,
    }
}

type DeliveryRow =
    (DeliveryId, Uuid, HookAction, bool, Value, DeliveryState, Timestamp, Option<Timestamp>, i32, Option<i32>);

/// The status of the last attempt, answered or not.
const LAST: &str = "(SELECT a.status FROM hook_attempts a WHERE a.delivery_id = hook_deliveries.id \
                    ORDER BY a.number DESC LIMIT 1)";

impl Delivery {
    fn from_row(row: DeliveryRow) -> Result<Self> {
        let (id, uuid, action, is_test, facts, state, created_at, next_attempt_at, attempts, status) = row;
        let facts = serde_json::from_value(facts).map_err(Error::internal)?;
        Ok(Self { id, uuid, action, is_test, facts, state, created_at, next_attempt_at, attempts, status })
    }
}

macro_rules! columns {
    () => {
        (
            hook_deliveries::id,
            hook_deliveries::uuid,
            hook_deliveries::action,
            hook_deliveries::is_test,
            hook_deliveries::facts,
            hook_deliveries::state,
            hook_deliveries::created_at,
            hook_deliveries::next_attempt_at,
            hook_deliveries::attempts,
            sql::<Nullable<Integer>>(LAST),
        )
    };
}

/// A webhook's deliveries, the newest first.
///
/// # Errors
/// [`Error::NotFound`].
pub fn list(conn: &mut PgConnection, right: &CanHook, hook: HookId, slice: Slice) -> Result<Page<Delivery>> {
    let hook = find_hook(conn, right, hook)?.id;
    let own = hook_deliveries::table.filter(hook_deliveries::hook_id.eq(hook));
    let total = own.count().get_result(conn)?;
    let rows: Vec<DeliveryRow> =
        own.order(hook_deliveries::id.desc()).offset(slice.offset).limit(slice.limit).select(columns!()).load(conn)?;
    Ok(Page { items: rows.into_iter().map(Delivery::from_row).collect::<Result<_>>()?, total })
}

/// How the last delivery of a webhook went, or the one that is retried before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable)]
pub struct LastDelivery {
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: i32,
    pub created_at: Timestamp,
}

/// The last delivery of each of these webhooks. A delivery that is being retried comes first: later ones may wait
/// behind it, and would look as if nothing had failed.
///
/// # Errors
/// Database errors.
pub fn last(conn: &mut PgConnection, hooks: &[HookId]) -> Result<HashMap<HookId, LastDelivery>> {
    let is_retried = hook_deliveries::state.eq(DeliveryState::Pending).and(hook_deliveries::attempts.gt(0));
    let rows: Vec<(HookId, LastDelivery)> = hook_deliveries::table
        .filter(hook_deliveries::hook_id.eq_any(hooks))
        .distinct_on(hook_deliveries::hook_id)
        .order((hook_deliveries::hook_id, is_retried.desc(), hook_deliveries::id.desc()))
        .select((
            hook_deliveries::hook_id,
            (hook_deliveries::state, hook_deliveries::attempts, hook_deliveries::created_at),
        ))
        .load(conn)?;
    Ok(rows.into_iter().collect())
}

/// One delivery with all its attempts, the first attempt first.
///
/// # Errors
/// [`Error::NotFound`].
pub fn find(
    conn: &mut PgConnection,
    right: &CanHook,
    (hook, id): (HookId, DeliveryId),
) -> Result<(Delivery, Vec<Attempt>)> {
    let hook = find_hook(conn, right, hook)?.id;
    let row: Option<DeliveryRow> = hook_deliveries::table
        .find(id)
        .filter(hook_deliveries::hook_id.eq(hook))
        .select(columns!())
        .first(conn)
        .optional()?;
    let delivery = Delivery::from_row(row.ok_or(Error::NotFound(What::Delivery))?)?;
    let attempts = hook_attempts::table.filter(hook_attempts::delivery_id.eq(id)).order(hook_attempts::number);
    let attempts: Vec<Attempt> = attempts.select(Attempt::as_select()).load(conn)?;
    Ok((delivery, attempts.into_iter().map(Attempt::visible).collect()))
}
