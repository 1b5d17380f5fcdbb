//! Webhook deliveries and their answers.

use super::PACKAGE;
use crate::api::endpoint::{Json, Listed, NoContent, Pages};
use crate::auth::call::Call;
use crate::auth::hooks::{delivery_ids, hook_id, hooks_of};
use crate::domain::clock::Timestamp;
use crate::domain::ids::DeliveryId;
use crate::domain::role::Level;
use crate::domain::webhook::{DeliveryState, HookAction};
use crate::error::{Error, Result};
use crate::registry::access::can_hook;
use crate::registry::webhooks::log::{self, Attempt, Delivery};
use crate::registry::webhooks::outbox;
use crate::state::App;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A delivery of a webhook, sent or pending.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HookDelivery)]
pub struct DeliveryBody {
    id: DeliveryId,
    /// The id that the receiver gets in `X-Gitea-Delivery` and `webhook-id`.
    uuid: String,
    event: &'static str,
    action: HookAction,
    /// Whether this is a test, about a change that never happened.
    is_test: bool,
    status: DeliveryState,
    /// The number of attempts to send it.
    attempts: i32,
    /// The status of the last answer; null when there was none.
    response_status: Option<i32>,
    created_at: Timestamp,
    /// When it is sent next; null when it was delivered or given up.
    next_attempt_at: Option<Timestamp>,
}

impl From<&Delivery> for DeliveryBody {
    fn from(delivery: &Delivery) -> Self {
        Self {
            id: delivery.id,
            uuid: delivery.uuid.to_string(),
            event: PACKAGE,
            action: delivery.action,
            is_test: delivery.is_test,
            status: delivery.state,
            attempts: delivery.attempts,
            response_status: delivery.status,
            created_at: delivery.created_at,
            next_attempt_at: delivery.next_attempt_at,
        }
    }
}

/// An attempt to deliver.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HookAttempt)]
pub struct AttemptBody {
    /// From 1.
    number: i32,
    at: Timestamp,
    duration_ms: i32,
    /// The headers that were sent; secrets as asterisks.
    request_headers: BTreeMap<String, String>,
    /// Null when no answer came.
    response_status: Option<i32>,
    response_headers: BTreeMap<String, String>,
    /// The first 16 KiB of the body.
    response_body: String,
    /// The problem; empty for success.
    error: String,
}

/// Turns pairs into an object; a repeated name becomes one list.
fn fields(pairs: &Value) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for pair in pairs.as_array().into_iter().flatten() {
        let text = |at: usize| pair.get(at).and_then(Value::as_str).unwrap_or_default();
        all.entry(text(0).to_owned())
            .and_modify(|known| known.push_str(&format!(", {}", text(1))))
            .or_insert_with(|| text(1).to_owned());
    }
    all
}

impl From<Attempt> for AttemptBody {
    fn from(attempt: Attempt) -> Self {
        Self {
            number: attempt.number,
            at: attempt.at,
            duration_ms: attempt.duration_ms,
            request_headers: fields(&attempt.request_headers),
            response_status: attempt.status,
            response_headers: fields(&attempt.response_headers),
            response_body: attempt.response_body,
            error: attempt.error,
        }
    }
}

/// A delivery with its requests and answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HookDeliveryDetails)]
pub struct DetailsBody {
    #[serde(flatten)]
    delivery: DeliveryBody,
    #[schema(value_type = Object)]
    payload: Value,
    /// The first attempt first.
    log: Vec<AttemptBody>,
}

impl DetailsBody {
    fn new(app: &App, (delivery, attempts): (Delivery, Vec<Attempt>)) -> Result<Self> {
        let payload = delivery.facts.payload(delivery.action, &app.url(""))?;
        Ok(Self {
            delivery: DeliveryBody::from(&delivery),
            payload: serde_json::from_str(&payload).map_err(Error::internal)?,
            log: attempts.into_iter().map(AttemptBody::from).collect(),
        })
    }
}

/// `GET /user/hooks/{hook}/deliveries` and `GET /orgs/{org}/hooks/{hook}/deliveries`.
pub async fn list(call: Call, pages: Pages) -> Result<Listed<DeliveryBody>> {
    let (of, hook, slice) = (hooks_of(&call).await?, hook_id(&call).await?, pages.slice());
    let page = call
        .reading(move |conn, caller| {
            let right = can_hook(conn, caller, &of, Level::Read)?;
            log::list(conn, &right, hook, slice)
        })
        .await?;
    Ok(pages.answer(page, |delivery| DeliveryBody::from(&delivery)))
}

/// `GET /user/hooks/{hook}/deliveries/{delivery}` and `GET /orgs/{org}/hooks/{hook}/deliveries/{delivery}`.
pub async fn get(call: Call) -> Result<Json<DetailsBody>> {
    let (of, id) = (hooks_of(&call).await?, delivery_ids(&call).await?);
    let found = call
        .reading(move |conn, caller| {
            let right = can_hook(conn, caller, &of, Level::Read)?;
            log::find(conn, &right, id)
        })
        .await?;
    DetailsBody::new(&call.app, found).map(Json)
}

/// `POST …/hooks/{hook}/deliveries/{delivery}/attempts`.
pub async fn redeliver(call: Call) -> Result<NoContent> {
    let (of, id) = (hooks_of(&call).await?, delivery_ids(&call).await?);
    let (now, app) = (call.app.clock.now(), call.app.clone());
    call.writing(move |conn, caller| {
        let right = can_hook(conn, caller, &of, Level::Write)?;
        app.demand_webhooks()?;
        outbox::redeliver(conn, caller, &right, id, now)
    })
    .await?;
    Ok(NoContent)
}
