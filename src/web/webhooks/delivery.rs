//! A delivery of a webhook: what was sent, and the responses.

use super::{head, outcome, urls};
use crate::auth::call::Call;
use crate::auth::hooks::{delivery_ids, hooks_of};
use crate::db::Connection;
use crate::domain::address::HookPages;
use crate::domain::clock::Timestamp;
use crate::domain::ids::HookId;
use crate::domain::role::Level;
use crate::error::{Error, Result};
use crate::registry::access::{HooksOf, can_hook};
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
    urls: HookPages,
    hook: HookId,
    delivery: Delivery,
    payload: String,
    /// Newest first.
    attempts: Vec<Attempt>,
    problems: Problems,
    now: Timestamp,
}

impl DeliveryPage {
    fn outcome(&self) -> (String, &'static str) {
        outcome(self.delivery.state, self.delivery.attempts)
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

async fn page(call: &Call, of: HooksOf, problems: Problems) -> Result<Reply> {
    let (id, urls, now) = (delivery_ids(call).await?, urls(&of), call.app.clock.now());
    let load = move |conn: &mut Connection, caller: &Caller| {
        let right = can_hook(conn, caller, &of, Level::Read)?;
        Ok((head(conn, caller, (&of, &right))?, log::find(conn, &right, id)?))
    };
    let (frame, (owner, (delivery, mut attempts))) = frame(call, load).await?;
    attempts.reverse();
    let payload = delivery.facts.payload(delivery.action, &call.app.url(""))?;
    let page = DeliveryPage { frame, owner, urls, hook: id.0, delivery, payload, attempts, problems, now };
    if page.problems.is_empty() { Reply::page(&page) } else { page.problems.reply(&page) }
}

/// `GET …/hooks/{hook}/deliveries/{delivery}`.
pub async fn show(call: Call) -> Result<Reply> {
    page(&call, hooks_of(&call).await?, Problems::default()).await
}

/// `POST …/hooks/{hook}/deliveries/{delivery}/attempts`.
pub async fn redeliver(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    let (of, (hook, delivery)) = (hooks_of(&call).await?, delivery_ids(&call).await?);
    form.read(&call).await?;
    let (asked, app, now) = (of.clone(), call.app.clone(), call.app.clock.now());
    let sent = call.writing(move |conn, caller| {
        let right = can_hook(conn, caller, &asked, Level::Write)?;
        app.demand_webhooks()?;
        outbox::redeliver(conn, caller, &right, (hook, delivery), now)
    });
    match sent.await {
        Ok(()) => {
            let notice = "Delivery queued. Reload to see the result.";
            Ok(Reply::to(&urls(&of).delivery(&hook, &delivery)).notice(&call.app, notice))
        }
        Err(error @ Error::Blocked(_)) => page(&call, of, Problems::of(error, "form")?).await,
        Err(error) => Err(error),
    }
}
