//! A delivery of a webhook: what was sent, and the responses.

use super::{Whose, hook_id, outcome};
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{DeliveryId, HookId};
use crate::domain::role::Level;
use crate::error::{Error, Result, What};
use crate::registry::caller::Caller;
use crate::registry::webhooks::log::{self, Attempt, Delivery};
use crate::registry::webhooks::outbox;
use crate::web::format::When;
use crate::web::forms::Protected;
use crate::web::login::Nothing;
use crate::web::owner::Owner;
use crate::web::page::{Frame, Reply, frame};
use crate::web::problems::Problems;
use askama::Template;
use serde_json::Value;

#[derive(Template)]
#[template(path = "webhook_delivery.html")]
struct DeliveryPage {
    frame: Frame,
    owner: Option<Owner>,
    base: String,
    hook: HookId,
    delivery: Delivery,
    payload: String,
    /// Newest first.
    attempts: Vec<Attempt>,
    problems: Problems,
    now: Timestamp,
}

impl DeliveryPage {
    fn outcome(&self) -> (&'static str, &'static str) {
        outcome(self.delivery.state)
    }

    fn begun(&self) -> When {
        When { at: self.delivery.created_at, now: self.now }
    }

    fn next(&self) -> Option<When> {
        self.delivery.next_attempt_at.map(|at| When { at, now: self.now })
    }

    fn at(&self, attempt: &Attempt) -> When {
        When { at: attempt.at, now: self.now }
    }

    fn is_good(&self, attempt: &Attempt) -> bool {
        attempt.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// The headers, one per line.
    fn lines(&self, fields: &Value) -> String {
        let text = |pair: &Value, at: usize| pair.get(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let line = |pair: &Value| format!("{}: {}", text(pair, 0), text(pair, 1));
        fields.as_array().into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
    }
}

async fn ids(call: &Call) -> Result<(HookId, DeliveryId)> {
    Ok((hook_id(call).await?, DeliveryId(call.part("delivery", What::Delivery).await?)))
}

async fn page(call: &Call, whose: Whose, problems: Problems) -> Result<Reply> {
    let (id, base, now) = (ids(call).await?, whose.base(), call.app.clock.now());
    let load = move |conn: &mut Connection, caller: &Caller| {
        let right = whose.right(conn, caller, Level::Read)?;
        Ok((whose.head(conn, caller, &right)?, log::find(conn, &right, id)?))
    };
    let (frame, (owner, (delivery, mut attempts))) = frame(call, load).await?;
    attempts.reverse();
    let payload = delivery.facts.payload(delivery.action, &call.app.url(""))?;
    let page = DeliveryPage { frame, owner, base, hook: id.0, delivery, payload, attempts, problems, now };
    if page.problems.is_empty() { Reply::page(&page) } else { page.problems.reply(&page) }
}

/// `GET /user/settings/hooks/{hook}/deliveries/{delivery}`.
pub async fn show_own(call: Call) -> Result<Reply> {
    page(&call, Whose::Own, Problems::default()).await
}

/// `GET /org/{org}/settings/hooks/{hook}/deliveries/{delivery}`.
pub async fn show_of_org(call: Call) -> Result<Reply> {
    let whose = Whose::org(&call).await?;
    page(&call, whose, Problems::default()).await
}

/// `POST /user/settings/hooks/{hook}/deliveries/{delivery}/attempts`.
pub async fn redeliver_own(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    redeliver(call, form, Whose::Own).await
}

/// `POST /org/{org}/settings/hooks/{hook}/deliveries/{delivery}/attempts`.
pub async fn redeliver_of_org(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    let whose = Whose::org(&call).await?;
    redeliver(call, form, whose).await
}

async fn redeliver(call: Call, form: Protected<Nothing>, whose: Whose) -> Result<Reply> {
    let (hook, delivery) = ids(&call).await?;
    form.read(&call).await?;
    let (asked, app, now) = (whose.clone(), call.app.clone(), call.app.clock.now());
    let sent = call.writing(move |conn, caller| {
        let right = asked.right(conn, caller, Level::Write)?;
        app.demand_webhooks()?;
        outbox::redeliver(conn, caller, &right, (hook, delivery), now)
    });
    match sent.await {
        Ok(()) => {
            let notice = "Delivery queued. Reload to see the result.";
            Ok(Reply::to(&format!("{}/{hook}/deliveries/{delivery}", whose.base())).notice(&call.app, notice))
        }
        Err(error @ Error::Blocked(_)) => page(&call, whose, Problems::of(error, "form")?).await,
        Err(error) => Err(error),
    }
}
