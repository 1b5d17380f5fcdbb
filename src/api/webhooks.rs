//! Webhooks of users and organizations. [`deliveries`] has their deliveries.

pub mod deliveries;

use super::endpoint::{Created, Json, JsonBody, Listed, NoContent, Pages};
use super::fields::{changed, given, given_schema};
use crate::auth::call::Call;
use crate::auth::hooks::{hook_id, hooks_of};
use crate::domain::clock::Timestamp;
use crate::domain::ids::HookId;
use crate::domain::role::Level;
use crate::domain::webhook::{HookAuthorization, HookContent, HookKind, HookSecret, HookUrl};
use crate::error::{Error, Result};
use crate::registry::access::can_hook;
use crate::registry::webhooks::{self, Hook, HookEdit, NewHook, outbox};
use crate::state::App;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The only event: a version was created or deleted.
const PACKAGE: &str = "package";

/// A webhook's address and format.
#[derive(Debug, Serialize, ToSchema)]
pub struct HookConfig {
    content_type: HookContent,
    url: HookUrl,
}

/// A webhook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hook)]
pub struct HookBody {
    id: HookId,
    #[serde(rename = "type")]
    kind: HookKind,
    /// Always empty: packages have no branches.
    branch_filter: &'static str,
    config: HookConfig,
    events: [&'static str; 1],
    /// Always empty: a secret is not shown again.
    authorization_header: &'static str,
    active: bool,
    updated_at: Timestamp,
    created_at: Timestamp,
    /// Whether bodies are signed.
    has_secret: bool,
    /// Whether an `Authorization` header is sent.
    has_authorization: bool,
}

impl From<Hook> for HookBody {
    fn from(hook: Hook) -> Self {
        Self {
            id: hook.id,
            kind: hook.kind,
            branch_filter: "",
            config: HookConfig { content_type: hook.content, url: hook.url },
            events: [PACKAGE],
            authorization_header: "",
            active: hook.active,
            updated_at: hook.updated_at,
            created_at: hook.created_at,
            has_secret: hook.has_secret,
            has_authorization: hook.has_authorization,
        }
    }
}

/// The address and format of a new webhook.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateHookConfig {
    url: HookUrl,
    content_type: HookContent,
    /// The secret that signs bodies; without it they are not signed.
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = given_schema::<HookSecret>)]
    secret: Option<HookSecret>,
}

/// The body of `POST …/hooks`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateHook {
    #[serde(rename = "type")]
    kind: HookKind,
    config: CreateHookConfig,
    /// Left out or empty: all events. Only `package` exists; Gitea's other events are ignored.
    events: Option<Vec<String>>,
    /// The value of an `Authorization` header to send.
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = given_schema::<HookAuthorization>)]
    authorization_header: Option<HookAuthorization>,
    /// The default is false, as in Gitea.
    #[serde(default)]
    active: bool,
}

/// The changes to a webhook's address and format.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct EditHookConfig {
    url: Option<HookUrl>,
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = given_schema::<HookContent>)]
    content_type: Option<HookContent>,
    /// Left out: no change. Empty or null: the secret is removed, and bodies are no longer signed.
    #[serde(default, deserialize_with = "changed")]
    #[schema(schema_with = given_schema::<HookSecret>)]
    secret: Option<Option<String>>,
}

/// The body of `PATCH …/hooks/{hook}`. A field that is left out keeps its value.
#[derive(Debug, Deserialize, ToSchema)]
pub struct EditHook {
    config: Option<EditHookConfig>,
    /// As in the creation of a webhook; left out or empty changes nothing.
    events: Option<Vec<String>>,
    /// Left out or empty: no change. Null: the header is removed.
    #[serde(default, deserialize_with = "changed")]
    #[schema(schema_with = given_schema::<HookAuthorization>)]
    authorization_header: Option<Option<String>>,
    active: Option<bool>,
}

fn check_events(events: Option<&[String]>) -> Result<()> {
    let fits = events.is_none_or(|events| events.is_empty() || events.iter().any(|event| event == PACKAGE));
    if fits { Ok(()) } else { Err(Error::invalid("events", "events: only package exists")) }
}

/// Checks a webhook's address before it is stored: an address that could never be called is refused now.
fn check_url(app: &App, url: &HookUrl) -> Result<()> {
    let refused = |why: &dyn std::fmt::Display| Error::invalid("config.url", format!("config.url: {why}"));
    app.outbound.check(url.as_str()).map_err(|why| refused(&why))
}

impl CreateHook {
    fn check(self, app: &App) -> Result<NewHook> {
        check_events(self.events.as_deref())?;
        check_url(app, &self.config.url)?;
        let CreateHookConfig { url, content_type: content, secret } = self.config;
        let authorization = self.authorization_header;
        Ok(NewHook { kind: self.kind, url, content, secret, authorization, active: self.active })
    }
}

impl EditHook {
    fn check(self, app: &App) -> Result<HookEdit> {
        check_events(self.events.as_deref())?;
        let EditHookConfig { url, content_type: content, secret } = self.config.unwrap_or_default();
        url.as_ref().map_or(Ok(()), |url| check_url(app, url))?;
        let secret = secret.map(|secret| {
            let secret = secret.filter(|secret| !secret.is_empty()).map(|secret| secret.parse::<HookSecret>());
            secret.transpose().map_err(|why| Error::invalid("config.secret", format!("config.secret: {why}")))
        });
        let wrong = |why| Error::invalid("authorization_header", format!("authorization_header: {why}"));
        let authorization = match self.authorization_header {
            Some(Some(text)) if text.is_empty() => None,
            Some(Some(text)) => Some(Some(text.parse::<HookAuthorization>().map_err(wrong)?)),
            Some(None) => Some(None),
            None => None,
        };
        Ok(HookEdit { url, content, secret: secret.transpose()?, authorization, active: self.active })
    }
}

/// `GET /user/hooks` and `GET /orgs/{org}/hooks`.
pub async fn list(call: Call, pages: Pages) -> Result<Listed<HookBody>> {
    let (of, slice) = (hooks_of(&call).await?, pages.slice());
    let page = call
        .reading(move |conn, caller| {
            let right = can_hook(conn, caller, &of, Level::Read)?;
            webhooks::list(conn, &right, slice)
        })
        .await?;
    Ok(pages.answer(page, HookBody::from))
}

/// `POST /user/hooks` and `POST /orgs/{org}/hooks`.
pub async fn create(call: Call, body: JsonBody<CreateHook>) -> Result<Created<HookBody>> {
    let of = hooks_of(&call).await?;
    let asked = of.clone();
    call.admit(move |conn, caller| can_hook(conn, caller, &asked, Level::Write).map(drop)).await?;
    call.app.demand_webhooks()?;
    let new = body.read(&call.app).await?.check(&call.app)?;
    let (key, now) = (call.app.key.clone(), call.app.clock.now());
    let hook = call
        .writing(move |conn, caller| {
            let right = can_hook(conn, caller, &of, Level::Write)?;
            webhooks::create(conn, caller, &right, (&new, &key), now)
        })
        .await?;
    Ok(Created(HookBody::from(hook)))
}

/// `GET /user/hooks/{hook}` and `GET /orgs/{org}/hooks/{hook}`.
pub async fn get(call: Call) -> Result<Json<HookBody>> {
    let (of, id) = (hooks_of(&call).await?, hook_id(&call).await?);
    let hook = call
        .reading(move |conn, caller| {
            let right = can_hook(conn, caller, &of, Level::Read)?;
            webhooks::find(conn, &right, id)
        })
        .await?;
    Ok(Json(HookBody::from(hook)))
}

/// `PATCH /user/hooks/{hook}` and `PATCH /orgs/{org}/hooks/{hook}`.
pub async fn edit(call: Call, body: JsonBody<EditHook>) -> Result<Json<HookBody>> {
    let (of, id) = (hooks_of(&call).await?, hook_id(&call).await?);
    let asked = of.clone();
    call.admit(move |conn, caller| {
        let right = can_hook(conn, caller, &asked, Level::Write)?;
        webhooks::find(conn, &right, id).map(drop)
    })
    .await?;
    call.app.demand_webhooks()?;
    let edit = body.read(&call.app).await?.check(&call.app)?;
    let (key, now) = (call.app.key.clone(), call.app.clock.now());
    let hook = call
        .writing(move |conn, caller| {
            let right = can_hook(conn, caller, &of, Level::Write)?;
            webhooks::update(conn, caller, &right, (id, &edit, &key), now)
        })
        .await?;
    Ok(Json(HookBody::from(hook)))
}

/// `DELETE /user/hooks/{hook}` and `DELETE /orgs/{org}/hooks/{hook}`.
pub async fn delete(call: Call) -> Result<NoContent> {
    let (of, id, now) = (hooks_of(&call).await?, hook_id(&call).await?, call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_hook(conn, caller, &of, Level::Write)?;
        webhooks::delete(conn, caller, &right, id, now)
    })
    .await?;
    Ok(NoContent)
}

/// `POST /user/hooks/{hook}/tests` and `POST /orgs/{org}/hooks/{hook}/tests`.
pub async fn test(call: Call) -> Result<NoContent> {
    let (of, id) = (hooks_of(&call).await?, hook_id(&call).await?);
    let (now, app) = (call.app.clock.now(), call.app.clone());
    call.writing(move |conn, caller| {
        let right = can_hook(conn, caller, &of, Level::Write)?;
        app.demand_webhooks()?;
        outbox::test(conn, caller, &right, id, now).map(drop)
    })
    .await?;
    Ok(NoContent)
}
