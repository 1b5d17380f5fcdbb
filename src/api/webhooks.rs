//! Webhooks of users and organizations. [`deliveries`] has their deliveries.

pub mod deliveries;

use super::endpoint::{Created, Json, JsonBody, Listed, NoContent, Pages};
use super::fields::{changed, given, given_schema};
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::clock::Timestamp;
use crate::domain::ids::HookId;
use crate::domain::names::OwnerName;
use crate::domain::role::Level;
use crate::domain::webhook::{HookAuthorization, HookContent, HookKind, HookSecret, HookUrl};
use crate::error::{Error, Result, What};
use crate::registry::access::{CanHook, can_hook, can_hook_own};
use crate::registry::caller::Caller;
use crate::registry::webhooks::{self, Hook, HookEdit, NewHook, outbox};
use crate::state::App;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The only event: a version was created or deleted.
const PACKAGE: &str = "package";

/// The owner of the webhooks that a request is about.
#[derive(Debug, Clone)]
enum Whose {
    /// The caller.
    Own,
    Org(OwnerName),
}

impl Whose {
    /// The organization in the path.
    fn org(call: &Call) -> Result<Self> {
        Ok(Self::Org(call.part("org", What::Organization)?))
    }

    fn right(&self, conn: &mut Connection, caller: &Caller, level: Level) -> Result<CanHook> {
        match self {
            Self::Own => can_hook_own(conn, caller, level),
            Self::Org(org) => can_hook(conn, caller, org, level),
        }
    }
}

fn hook_id(call: &Call) -> Result<HookId> {
    Ok(HookId(call.part("hook", What::Hook)?))
}

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
    /// Left out or empty: all events, which is `package` alone. Gitea's other events are ignored beside it.
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
    if fits { Ok(()) } else { Err(Error::invalid("events", "events: package is the only one there is")) }
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

/// `GET /user/hooks`.
pub async fn list_own(call: Call, pages: Pages) -> Result<Listed<HookBody>> {
    list(call, pages, Whose::Own).await
}

/// `GET /orgs/{org}/hooks`.
pub async fn list_of_org(call: Call, pages: Pages) -> Result<Listed<HookBody>> {
    let whose = Whose::org(&call)?;
    list(call, pages, whose).await
}

async fn list(call: Call, pages: Pages, whose: Whose) -> Result<Listed<HookBody>> {
    let slice = pages.slice();
    let page = call
        .reading(move |conn, caller| {
            let right = whose.right(conn, caller, Level::Read)?;
            webhooks::list(conn, &right, slice)
        })
        .await?;
    Ok(pages.answer(page, HookBody::from))
}

/// `POST /user/hooks`.
pub async fn create_own(call: Call, body: JsonBody<CreateHook>) -> Result<Created<HookBody>> {
    create(call, body, Whose::Own).await
}

/// `POST /orgs/{org}/hooks`.
pub async fn create_of_org(call: Call, body: JsonBody<CreateHook>) -> Result<Created<HookBody>> {
    let whose = Whose::org(&call)?;
    create(call, body, whose).await
}

async fn create(call: Call, body: JsonBody<CreateHook>, whose: Whose) -> Result<Created<HookBody>> {
    let asked = whose.clone();
    call.admit(move |conn, caller| asked.right(conn, caller, Level::Write).map(drop)).await?;
    call.app.demand_webhooks()?;
    let new = body.read(&call.app).await?.check(&call.app)?;
    let (key, now) = (call.app.key.clone(), call.app.clock.now());
    let hook = call
        .writing(move |conn, caller| {
            let right = whose.right(conn, caller, Level::Write)?;
            webhooks::create(conn, caller, &right, (&new, &key), now)
        })
        .await?;
    Ok(Created(HookBody::from(hook)))
}

/// `GET /user/hooks/{hook}`.
pub async fn get_own(call: Call) -> Result<Json<HookBody>> {
    get(call, Whose::Own).await
}

/// `GET /orgs/{org}/hooks/{hook}`.
pub async fn get_of_org(call: Call) -> Result<Json<HookBody>> {
    let whose = Whose::org(&call)?;
    get(call, whose).await
}

async fn get(call: Call, whose: Whose) -> Result<Json<HookBody>> {
    let id = hook_id(&call)?;
    let hook = call
        .reading(move |conn, caller| {
            let right = whose.right(conn, caller, Level::Read)?;
            webhooks::find(conn, &right, id)
        })
        .await?;
    Ok(Json(HookBody::from(hook)))
}

/// `PATCH /user/hooks/{hook}`.
pub async fn edit_own(call: Call, body: JsonBody<EditHook>) -> Result<Json<HookBody>> {
    edit(call, body, Whose::Own).await
}

/// `PATCH /orgs/{org}/hooks/{hook}`.
pub async fn edit_of_org(call: Call, body: JsonBody<EditHook>) -> Result<Json<HookBody>> {
    let whose = Whose::org(&call)?;
    edit(call, body, whose).await
}

async fn edit(call: Call, body: JsonBody<EditHook>, whose: Whose) -> Result<Json<HookBody>> {
    let (id, asked) = (hook_id(&call)?, whose.clone());
    call.admit(move |conn, caller| {
        let right = asked.right(conn, caller, Level::Write)?;
        webhooks::find(conn, &right, id).map(drop)
    })
    .await?;
    call.app.demand_webhooks()?;
    let edit = body.read(&call.app).await?.check(&call.app)?;
    let (key, now) = (call.app.key.clone(), call.app.clock.now());
    let hook = call
        .writing(move |conn, caller| {
            let right = whose.right(conn, caller, Level::Write)?;
            webhooks::update(conn, caller, &right, (id, &edit, &key), now)
        })
        .await?;
    Ok(Json(HookBody::from(hook)))
}

/// `DELETE /user/hooks/{hook}`.
pub async fn delete_own(call: Call) -> Result<NoContent> {
    delete(call, Whose::Own).await
}

/// `DELETE /orgs/{org}/hooks/{hook}`.
pub async fn delete_of_org(call: Call) -> Result<NoContent> {
    let whose = Whose::org(&call)?;
    delete(call, whose).await
}

async fn delete(call: Call, whose: Whose) -> Result<NoContent> {
    let (id, now) = (hook_id(&call)?, call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = whose.right(conn, caller, Level::Write)?;
        webhooks::delete(conn, caller, &right, id, now)
    })
    .await?;
    Ok(NoContent)
}

/// `POST /user/hooks/{hook}/tests`.
pub async fn test_own(call: Call) -> Result<NoContent> {
    test(call, Whose::Own).await
}

/// `POST /orgs/{org}/hooks/{hook}/tests`.
pub async fn test_of_org(call: Call) -> Result<NoContent> {
    let whose = Whose::org(&call)?;
    test(call, whose).await
}

async fn test(call: Call, whose: Whose) -> Result<NoContent> {
    let (id, now, app) = (hook_id(&call)?, call.app.clock.now(), call.app.clone());
    call.writing(move |conn, caller| {
        let right = whose.right(conn, caller, Level::Write)?;
        app.demand_webhooks()?;
        outbox::test(conn, caller, &right, id, now).map(drop)
    })
    .await?;
    Ok(NoContent)
}
