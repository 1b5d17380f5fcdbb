//! Webhooks: an owner's list, creating and changing a webhook, and its recent deliveries. A delivery has a page of its
//! own, [`delivery`].

pub mod delivery;
mod form;

pub use form::HookForm;

use super::format::When;
use super::forms::Protected;
use super::list::{Pager, slice};
use super::login::Nothing;
use super::owner::Owner;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::auth::hooks::{hook_id, hooks_of};
use crate::db::Connection;
use crate::domain::address::HookPages;
use crate::domain::clock::Timestamp;
use crate::domain::ids::HookId;
use crate::domain::role::Level;
use crate::domain::webhook::DeliveryState;
use crate::error::{Error, Result};
use crate::registry::access::{CanHook, HooksOf, can_hook};
use crate::registry::caller::Caller;
use crate::registry::webhooks::log::{self, Delivery, LastDelivery};
use crate::registry::webhooks::{self, Hook, outbox};
use askama::Template;
use form::{CONTENTS, Content};
use std::collections::HashMap;

/// The addresses of the pages.
fn urls(of: &HooksOf) -> HookPages {
    match of {
        HooksOf::SignedInUser => HookPages::of(None),
        HooksOf::Organization(org) => HookPages::of(Some(org)),
    }
}

/// The organization, for the head of its pages.
fn head(conn: &mut Connection, caller: &Caller, (of, right): (&HooksOf, &CanHook)) -> Result<Option<Owner>> {
    match of {
        HooksOf::SignedInUser => Ok(None),
        HooksOf::Organization(_) => Owner::of(conn, caller, right.owner()).map(Some),
    }
}

/// The result of a delivery after this many attempts, with the class of its badge.
pub(super) fn outcome(state: DeliveryState, attempts: i32) -> (String, &'static str) {
    match state {
        DeliveryState::Pending if attempts > 0 => (format!("Retrying ({attempts} failed)"), "bad"),
        DeliveryState::Pending => ("Pending".to_owned(), "warn"),
        DeliveryState::Delivered => ("Delivered".to_owned(), "good"),
        DeliveryState::Failed => ("Failed".to_owned(), "bad"),
    }
}

#[derive(Template)]
#[template(path = "webhooks.html")]
struct ListPage {
    frame: Frame,
    owner: Option<Owner>,
    urls: HookPages,
    hooks: Vec<Hook>,
    last: HashMap<HookId, LastDelivery>,
    enabled: bool,
    full: bool,
    now: Timestamp,
}

impl ListPage {
    /// The result of the last delivery, and its time.
    fn last(&self, hook: &Hook) -> Option<(String, &'static str, When)> {
        let last = self.last.get(&hook.id)?;
        let (word, class) = outcome(last.state, last.attempts);
        Some((word, class, When { at: last.created_at, now: self.now }))
    }
}

/// `GET /user/settings/hooks` and `GET /org/{org}/settings/hooks`.
pub async fn list(call: Call) -> Result<Reply> {
    let of = hooks_of(&call).await?;
    let (wanted, urls, now) = (slice(&call.req), urls(&of), call.app.clock.now());
    let load = move |conn: &mut Connection, caller: &Caller| {
        let right = can_hook(conn, caller, &of, Level::Read)?;
        let page = webhooks::list(conn, &right, wanted)?;
        let ids: Vec<HookId> = page.items.iter().map(|hook| hook.id).collect();
        Ok((head(conn, caller, (&of, &right))?, log::last(conn, &ids)?, page))
    };
    let (frame, (owner, last, page)) = frame(&call, load).await?;
    let (enabled, full) = (call.app.config.webhooks.enabled, page.total >= webhooks::MOST);
    Reply::page(&ListPage { frame, owner, urls, hooks: page.items, last, enabled, full, now })
}

#[derive(Template)]
#[template(path = "webhook_new.html")]
struct NewPage {
    frame: Frame,
    owner: Option<Owner>,
    urls: HookPages,
    form: HookForm,
    /// The webhook that is being changed; none on this page.
    hook: Option<Hook>,
    problems: Problems,
    contents: [Content; 2],
}

async fn new_page(call: &Call, of: HooksOf, form: HookForm, problems: Problems) -> Result<Reply> {
    let urls = urls(&of);
    let load = move |conn: &mut Connection, caller: &Caller| {
        let right = can_hook(conn, caller, &of, Level::Write)?;
        head(conn, caller, (&of, &right))
    };
    let (frame, owner) = frame(call, load).await?;
    let page = NewPage { frame, owner, urls, form, hook: None, problems, contents: CONTENTS };
    if page.problems.is_empty() { Reply::page(&page) } else { page.problems.reply(&page) }
}

/// `GET /user/settings/hooks/new` and `GET /org/{org}/settings/hooks/new`.
pub async fn create_form(call: Call) -> Result<Reply> {
    new_page(&call, hooks_of(&call).await?, HookForm::fresh(), Problems::default()).await
}

/// `POST /user/settings/hooks/new` and `POST /org/{org}/settings/hooks/new`.
pub async fn create(call: Call, form: Protected<HookForm>) -> Result<Reply> {
    let of = hooks_of(&call).await?;
    let form = form.read(&call).await?;
    let mut problems = Problems::default();
    if let Some(new) = form.read_new(&call.app, &mut problems) {
        let (asked, app, now) = (of.clone(), call.app.clone(), call.app.clock.now());
        let made = call.writing(move |conn, caller| {
            let right = can_hook(conn, caller, &asked, Level::Write)?;
            app.demand_webhooks()?;
            webhooks::create(conn, caller, &right, (&new, &app.key), now)
        });
        match made.await {
            Ok(hook) => {
                let notice = "Webhook created. Send a test.";
                return Ok(Reply::to(&urls(&of).hook(&hook.id)).notice(&call.app, notice));
            }
            Err(error) => problems = Problems::of(error, "url")?,
        }
    }
    new_page(&call, of, form, problems).await
}

#[derive(Template)]
#[template(path = "webhook.html")]
struct HookPage {
    frame: Frame,
    owner: Option<Owner>,
    urls: HookPages,
    form: HookForm,
    hook: Option<Hook>,
    deliveries: Vec<Delivery>,
    pager: Pager,
    problems: Problems,
    contents: [Content; 2],
    now: Timestamp,
    id: HookId,
    active: bool,
}

impl HookPage {
    fn outcome(&self, delivery: &Delivery) -> (String, &'static str) {
        outcome(delivery.state, delivery.attempts)
    }

    fn when(&self, delivery: &Delivery) -> When {
        When { at: delivery.created_at, now: self.now }
    }
}

async fn hook_page(call: &Call, of: HooksOf, form: Option<HookForm>, problems: Problems) -> Result<Reply> {
    let (id, wanted, urls, now) = (hook_id(call).await?, slice(&call.req), urls(&of), call.app.clock.now());
    let posted = !problems.is_empty();
    let load = move |conn: &mut Connection, caller: &Caller| {
        let right = can_hook(conn, caller, &of, if posted { Level::Write } else { Level::Read })?;
        let hook = webhooks::find(conn, &right, id)?;
        Ok((head(conn, caller, (&of, &right))?, log::list(conn, &right, id, wanted)?, hook))
    };
    let (frame, (owner, page, hook)) = frame(call, load).await?;
    let page = HookPage {
        form: form.unwrap_or_else(|| HookForm::of(&hook)),
        active: hook.active,
        hook: Some(hook),
        pager: Pager::new(&call.req, page.total),
        deliveries: page.items,
        contents: CONTENTS,
        frame,
        owner,
        urls,
        problems,
        now,
        id,
    };
    if posted { page.problems.reply(&page) } else { Reply::page(&page) }
}

/// `GET /user/settings/hooks/{hook}` and `GET /org/{org}/settings/hooks/{hook}`.
pub async fn show(call: Call) -> Result<Reply> {
    hook_page(&call, hooks_of(&call).await?, None, Problems::default()).await
}

/// `POST /user/settings/hooks/{hook}` and `POST /org/{org}/settings/hooks/{hook}`.
pub async fn update(call: Call, form: Protected<HookForm>) -> Result<Reply> {
    let (of, id) = (hooks_of(&call).await?, hook_id(&call).await?);
    let form = form.read(&call).await?;
    let mut problems = Problems::default();
    if let Some(edit) = form.read_edit(&call.app, &mut problems) {
        let (asked, app, now) = (of.clone(), call.app.clone(), call.app.clock.now());
        let changed = call.writing(move |conn, caller| {
            let right = can_hook(conn, caller, &asked, Level::Write)?;
            app.demand_webhooks()?;
            webhooks::update(conn, caller, &right, (id, &edit, &app.key), now)
        });
        match changed.await {
            Ok(_) => return Ok(Reply::to(&urls(&of).hook(&id)).notice(&call.app, "Webhook saved.")),
            Err(error) => problems = Problems::of(error, "url")?,
        }
    }
    hook_page(&call, of, Some(form), problems).await
}

/// `POST /user/settings/hooks/{hook}/delete` and `POST /org/{org}/settings/hooks/{hook}/delete`.
pub async fn delete(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    let (of, id) = (hooks_of(&call).await?, hook_id(&call).await?);
    form.read(&call).await?;
    let (urls, now) = (urls(&of), call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_hook(conn, caller, &of, Level::Write)?;
        webhooks::delete(conn, caller, &right, id, now)
    })
    .await?;
    Ok(Reply::to(urls.list()).notice(&call.app, "Webhook deleted."))
}

/// `POST /user/settings/hooks/{hook}/tests` and `POST /org/{org}/settings/hooks/{hook}/tests`.
pub async fn test(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    let (of, id) = (hooks_of(&call).await?, hook_id(&call).await?);
    form.read(&call).await?;
    let (asked, app, now) = (of.clone(), call.app.clone(), call.app.clock.now());
    let sent = call.writing(move |conn, caller| {
        let right = can_hook(conn, caller, &asked, Level::Write)?;
        app.demand_webhooks()?;
        outbox::test(conn, caller, &right, id, now)
    });
    match sent.await {
        Ok(delivery) => {
            let notice = "Test sent. Reload to see the result.";
            Ok(Reply::to(&urls(&of).delivery(&id, &delivery)).notice(&call.app, notice))
        }
        Err(error @ Error::Blocked(_)) => hook_page(&call, of, None, Problems::of(error, "url")?).await,
        Err(error) => Err(error),
    }
}
