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
use crate::db::Connection;
use crate::domain::clock::Timestamp;
use crate::domain::ids::HookId;
use crate::domain::names::OwnerName;
use crate::domain::role::Level;
use crate::domain::webhook::DeliveryState;
use crate::error::{Error, Result, What};
use crate::registry::access::{CanHook, can_hook, can_hook_own};
use crate::registry::caller::Caller;
use crate::registry::webhooks::log::{self, Delivery};
use crate::registry::webhooks::{self, Hook, outbox};
use askama::Template;
use form::{CONTENTS, Content};
use std::collections::HashMap;

/// The owner of the webhooks on a page.
#[derive(Debug, Clone)]
enum Whose {
    Own,
    Org(OwnerName),
}

impl Whose {
    async fn org(call: &Call) -> Result<Self> {
        Ok(Self::Org(call.part("org", What::Organization).await?))
    }

    fn right(&self, conn: &mut Connection, caller: &Caller, level: Level) -> Result<CanHook> {
        match self {
            Self::Own => can_hook_own(conn, caller, level),
            Self::Org(org) => can_hook(conn, caller, org, level),
        }
    }

    /// The address of the list of webhooks.
    fn base(&self) -> String {
        match self {
            Self::Own => "/user/settings/hooks".to_owned(),
            Self::Org(org) => format!("/org/{org}/settings/hooks"),
        }
    }

    /// The organization, for the head of the page.
    fn head(&self, conn: &mut Connection, caller: &Caller, right: &CanHook) -> Result<Option<Owner>> {
        match self {
            Self::Own => Ok(None),
            Self::Org(_) => Owner::of(conn, caller, right.owner()).map(Some),
        }
    }
}

async fn hook_id(call: &Call) -> Result<HookId> {
    Ok(HookId(call.part("hook", What::Hook).await?))
}

/// The result of a delivery in a word, with the class of its badge.
pub(super) fn outcome(state: DeliveryState) -> (&'static str, &'static str) {
    match state {
        DeliveryState::Pending => ("Pending", "warn"),
        DeliveryState::Delivered => ("Delivered", "good"),
        DeliveryState::Failed => ("Failed", "bad"),
    }
}

#[derive(Template)]
#[template(path = "webhooks.html")]
struct ListPage {
    frame: Frame,
    owner: Option<Owner>,
    base: String,
    hooks: Vec<Hook>,
    last: HashMap<HookId, (DeliveryState, Timestamp)>,
    enabled: bool,
    full: bool,
    now: Timestamp,
}

impl ListPage {
    /// The result of the last delivery, and its time.
    fn last(&self, hook: &Hook) -> Option<(&'static str, &'static str, When)> {
        let (state, at) = *self.last.get(&hook.id)?;
        let (word, class) = outcome(state);
        Some((word, class, When { at, now: self.now }))
    }
}

async fn list(call: Call, whose: Whose) -> Result<Reply> {
    let (wanted, base, now) = (slice(&call.req), whose.base(), call.app.clock.now());
    let load = move |conn: &mut Connection, caller: &Caller| {
        let right = whose.right(conn, caller, Level::Read)?;
        let page = webhooks::list(conn, &right, wanted)?;
        let ids: Vec<HookId> = page.items.iter().map(|hook| hook.id).collect();
        Ok((whose.head(conn, caller, &right)?, log::last(conn, &ids)?, page))
    };
    let (frame, (owner, last, page)) = frame(&call, load).await?;
    let (enabled, full) = (call.app.config.webhooks.enabled, page.total >= webhooks::MOST);
    Reply::page(&ListPage { frame, owner, base, hooks: page.items, last, enabled, full, now })
}

/// `GET /user/settings/hooks`.
pub async fn list_own(call: Call) -> Result<Reply> {
    list(call, Whose::Own).await
}

/// `GET /org/{org}/settings/hooks`.
pub async fn list_of_org(call: Call) -> Result<Reply> {
    let whose = Whose::org(&call).await?;
    list(call, whose).await
}

#[derive(Template)]
#[template(path = "webhook_new.html")]
struct NewPage {
    frame: Frame,
    owner: Option<Owner>,
    base: String,
    form: HookForm,
    /// The webhook that is being changed; none on this page.
    hook: Option<Hook>,
    problems: Problems,
    contents: [Content; 2],
}

async fn new_page(call: &Call, whose: Whose, form: HookForm, problems: Problems) -> Result<Reply> {
    let base = whose.base();
    let load = move |conn: &mut Connection, caller: &Caller| {
        let right = whose.right(conn, caller, Level::Write)?;
        whose.head(conn, caller, &right)
    };
    let (frame, owner) = frame(call, load).await?;
    let page = NewPage { frame, owner, base, form, hook: None, problems, contents: CONTENTS };
    if page.problems.is_empty() { Reply::page(&page) } else { page.problems.reply(&page) }
}

/// `GET /user/settings/hooks/new`.
pub async fn create_form_own(call: Call) -> Result<Reply> {
    new_page(&call, Whose::Own, HookForm::fresh(), Problems::default()).await
}

/// `GET /org/{org}/settings/hooks/new`.
pub async fn create_form_of_org(call: Call) -> Result<Reply> {
    let whose = Whose::org(&call).await?;
    new_page(&call, whose, HookForm::fresh(), Problems::default()).await
}

/// `POST /user/settings/hooks/new`.
pub async fn create_own(call: Call, form: Protected<HookForm>) -> Result<Reply> {
    create(call, form, Whose::Own).await
}

/// `POST /org/{org}/settings/hooks/new`.
pub async fn create_of_org(call: Call, form: Protected<HookForm>) -> Result<Reply> {
    let whose = Whose::org(&call).await?;
    create(call, form, whose).await
}

async fn create(call: Call, form: Protected<HookForm>, whose: Whose) -> Result<Reply> {
    let form = form.read(&call).await?;
    let mut problems = Problems::default();
    if let Some(new) = form.read_new(&call.app, &mut problems) {
        let (asked, app, now) = (whose.clone(), call.app.clone(), call.app.clock.now());
        let made = call.writing(move |conn, caller| {
            let right = asked.right(conn, caller, Level::Write)?;
            app.demand_webhooks()?;
            webhooks::create(conn, caller, &right, (&new, &app.key), now)
        });
        match made.await {
            Ok(hook) => {
                let notice = "Webhook created. Send a test.";
                return Ok(Reply::to(&format!("{}/{}", whose.base(), hook.id)).notice(&call.app, notice));
            }
            Err(error) => problems = Problems::of(error, "url")?,
        }
    }
    new_page(&call, whose, form, problems).await
}

#[derive(Template)]
#[template(path = "webhook.html")]
struct HookPage {
    frame: Frame,
    owner: Option<Owner>,
    base: String,
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
    fn outcome(&self, delivery: &Delivery) -> (&'static str, &'static str) {
        outcome(delivery.state)
    }

    fn when(&self, delivery: &Delivery) -> When {
        When { at: delivery.created_at, now: self.now }
    }
}

async fn hook_page(call: &Call, whose: Whose, form: Option<HookForm>, problems: Problems) -> Result<Reply> {
    let (id, wanted, base, now) = (hook_id(call).await?, slice(&call.req), whose.base(), call.app.clock.now());
    let posted = !problems.is_empty();
    let load = move |conn: &mut Connection, caller: &Caller| {
        let right = whose.right(conn, caller, if posted { Level::Write } else { Level::Read })?;
        let hook = webhooks::find(conn, &right, id)?;
        Ok((whose.head(conn, caller, &right)?, log::list(conn, &right, id, wanted)?, hook))
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
        base,
        problems,
        now,
        id,
    };
    if posted { page.problems.reply(&page) } else { Reply::page(&page) }
}

/// `GET /user/settings/hooks/{hook}`.
pub async fn show_own(call: Call) -> Result<Reply> {
    hook_page(&call, Whose::Own, None, Problems::default()).await
}

/// `GET /org/{org}/settings/hooks/{hook}`.
pub async fn show_of_org(call: Call) -> Result<Reply> {
    let whose = Whose::org(&call).await?;
    hook_page(&call, whose, None, Problems::default()).await
}

/// `POST /user/settings/hooks/{hook}`.
pub async fn update_own(call: Call, form: Protected<HookForm>) -> Result<Reply> {
    update(call, form, Whose::Own).await
}

/// `POST /org/{org}/settings/hooks/{hook}`.
pub async fn update_of_org(call: Call, form: Protected<HookForm>) -> Result<Reply> {
    let whose = Whose::org(&call).await?;
    update(call, form, whose).await
}

async fn update(call: Call, form: Protected<HookForm>, whose: Whose) -> Result<Reply> {
    let id = hook_id(&call).await?;
    let form = form.read(&call).await?;
    let mut problems = Problems::default();
    if let Some(edit) = form.read_edit(&call.app, &mut problems) {
        let (asked, app, now) = (whose.clone(), call.app.clone(), call.app.clock.now());
        let changed = call.writing(move |conn, caller| {
            let right = asked.right(conn, caller, Level::Write)?;
            app.demand_webhooks()?;
            webhooks::update(conn, caller, &right, (id, &edit, &app.key), now)
        });
        match changed.await {
            Ok(_) => return Ok(Reply::to(&format!("{}/{id}", whose.base())).notice(&call.app, "Saved.")),
            Err(error) => problems = Problems::of(error, "url")?,
        }
    }
    hook_page(&call, whose, Some(form), problems).await
}

/// `POST /user/settings/hooks/{hook}/delete`.
pub async fn delete_own(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    delete(call, form, Whose::Own).await
}

/// `POST /org/{org}/settings/hooks/{hook}/delete`.
pub async fn delete_of_org(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    let whose = Whose::org(&call).await?;
    delete(call, form, whose).await
}

async fn delete(call: Call, form: Protected<Nothing>, whose: Whose) -> Result<Reply> {
    let id = hook_id(&call).await?;
    form.read(&call).await?;
    let (base, now) = (whose.base(), call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = whose.right(conn, caller, Level::Write)?;
        webhooks::delete(conn, caller, &right, id, now)
    })
    .await?;
    Ok(Reply::to(&base).notice(&call.app, "Webhook deleted."))
}

/// `POST /user/settings/hooks/{hook}/tests`.
pub async fn test_own(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    test(call, form, Whose::Own).await
}

/// `POST /org/{org}/settings/hooks/{hook}/tests`.
pub async fn test_of_org(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    let whose = Whose::org(&call).await?;
    test(call, form, whose).await
}

async fn test(call: Call, form: Protected<Nothing>, whose: Whose) -> Result<Reply> {
    let id = hook_id(&call).await?;
    form.read(&call).await?;
    let (asked, app, now) = (whose.clone(), call.app.clone(), call.app.clock.now());
    let sent = call.writing(move |conn, caller| {
        let right = asked.right(conn, caller, Level::Write)?;
        app.demand_webhooks()?;
        outbox::test(conn, caller, &right, id, now)
    });
    match sent.await {
        Ok(delivery) => {
            let notice = "Test sent. Reload to see the result.";
            Ok(Reply::to(&format!("{}/{id}/deliveries/{delivery}", whose.base())).notice(&call.app, notice))
        }
        Err(error @ Error::Blocked(_)) => hook_page(&call, whose, None, Problems::of(error, "url")?).await,
        Err(error) => Err(error),
    }
}
