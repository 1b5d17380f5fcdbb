//! Webhooks announce changes to an owner's packages to an address. [`outbox`] holds their deliveries,
//! [`delivery_queue`] takes deliveries from there, and [`log`] shows the results.

pub mod delivery_queue;
pub mod failing;
pub mod log;
pub mod outbox;
pub mod payload;

use super::access::CanHook;
use super::audit::{self, Event, Subject};
use super::caller::Caller;
use super::encryption::{self, HOOK_AUTHORIZATION, HOOK_SECRET};
use super::owners::namespace;
use super::pages::{Page, Slice};
use crate::db::schema::hooks;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{HookId, OwnerId};
use crate::domain::secret::MasterKey;
use crate::domain::webhook::{HookAuthorization, HookContent, HookKind, HookSecret, HookUrl};
use crate::error::{Error, Result, What};
use diesel::dsl::exists;
use diesel::prelude::*;
use serde_json::{Value, json};

/// The most webhooks of one owner: each costs a request per changed version.
pub const MOST: i64 = 20;

/// A webhook. It says only whether there are secrets, not what they are.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = hooks)]
pub struct Hook {
    pub id: HookId,
    pub kind: HookKind,
    pub url: HookUrl,
    pub content: HookContent,
    #[diesel(select_expression = hooks::sealed_secret.is_not_null())]
    pub has_secret: bool,
    #[diesel(select_expression = hooks::sealed_authorization.is_not_null())]
    pub has_authorization: bool,
    pub active: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The properties of a webhook to create.
#[derive(Debug, Clone)]
pub struct NewHook {
    pub kind: HookKind,
    pub url: HookUrl,
    pub content: HookContent,
    pub secret: Option<HookSecret>,
    pub authorization: Option<HookAuthorization>,
    pub active: bool,
}

/// A change to a webhook. A field that is `None` keeps its value; a secret that is `Some(None)` is removed.
#[derive(Debug, Clone, Default)]
pub struct HookEdit {
    pub url: Option<HookUrl>,
    pub content: Option<HookContent>,
    pub secret: Option<Option<HookSecret>>,
    pub authorization: Option<Option<HookAuthorization>>,
    pub active: Option<bool>,
}

impl HookEdit {
    /// The names of the changed fields, for the audit log.
    fn fields(&self) -> Vec<&'static str> {
        let all = [
            ("url", self.url.is_some()),
            ("content_type", self.content.is_some()),
            ("secret", self.secret.is_some()),
            ("authorization_header", self.authorization.is_some()),
            ("active", self.active.is_some()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}

#[derive(AsChangeset)]
#[diesel(table_name = hooks)]
struct HookChanges {
    url: Option<HookUrl>,
    content: Option<HookContent>,
    sealed_secret: Option<Option<Vec<u8>>>,
    sealed_authorization: Option<Option<Vec<u8>>>,
    active: Option<bool>,
    updated_at: Timestamp,
}

fn encrypt_secret(key: &MasterKey, owner: OwnerId, secret: Option<&HookSecret>) -> Result<Option<Vec<u8>>> {
    secret.map(|secret| encryption::encrypt(key, HOOK_SECRET, owner, secret.as_str().as_bytes())).transpose()
}

fn encrypt_authorization(
    key: &MasterKey,
    owner: OwnerId,
    value: Option<&HookAuthorization>,
) -> Result<Option<Vec<u8>>> {
    value.map(|value| encryption::encrypt(key, HOOK_AUTHORIZATION, owner, value.as_str().as_bytes())).transpose()
}

/// Creates a webhook.
///
/// # Errors
/// [`Error::Blocked`] when the owner has the maximum number of webhooks.
pub fn create(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanHook,
    (new, key): (&NewHook, &MasterKey),
    now: Timestamp,
) -> Result<Hook> {
    let owner = right.owner().id;
    // Two requests for the last free place take turns.
    namespace::lock(conn, owner)?;
    let count: i64 = hooks::table.filter(hooks::owner_id.eq(owner)).count().get_result(conn)?;
    if count >= MOST {
        return Err(Error::Blocked(format!(
            "{} already has {MOST} webhooks, which is the limit: delete one first",
            right.owner().name
        )));
    }
    let hook: Hook = diesel::insert_into(hooks::table)
        .values((
            hooks::owner_id.eq(owner),
            hooks::kind.eq(new.kind),
            hooks::url.eq(&new.url),
            hooks::content.eq(new.content),
            hooks::sealed_secret.eq(encrypt_secret(key, owner, new.secret.as_ref())?),
            hooks::sealed_authorization.eq(encrypt_authorization(key, owner, new.authorization.as_ref())?),
            hooks::active.eq(new.active),
            hooks::created_at.eq(now),
            hooks::updated_at.eq(now),
        ))
        .returning(Hook::as_returning())
        .get_result(conn)?;
    record(conn, caller, (Event::HookCreate, right), &hook, json!({"active": hook.active}), now)?;
    Ok(hook)
}

fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    (event, right): (Event, &CanHook),
    hook: &Hook,
    detail: Value,
    now: Timestamp,
) -> Result<()> {
    let owner = right.owner();
    // The address may hold a secret, so the audit log names the webhook by its number and host.
    let text = format!("{} {}", hook.id, host(&hook.url));
    let subject = Subject { owner: Some((owner.id, &owner.name)), text, detail };
    audit::record(conn, caller, event, &subject, now)
}

/// The host of a webhook's address.
pub fn host(url: &HookUrl) -> &str {
    let rest = url.as_str().split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

/// An owner's webhooks, in the order of their creation.
///
/// # Errors
/// Database errors.
pub fn list(conn: &mut PgConnection, right: &CanHook, slice: Slice) -> Result<Page<Hook>> {
    let own = hooks::table.filter(hooks::owner_id.eq(right.owner().id));
    let total = own.count().get_result(conn)?;
    let page = own.order(hooks::id).offset(slice.offset).limit(slice.limit).select(Hook::as_select());
    Ok(Page { items: page.load(conn)?, total })
}

/// A webhook of an owner.
///
/// # Errors
/// [`Error::NotFound`].
pub fn find(conn: &mut PgConnection, right: &CanHook, id: HookId) -> Result<Hook> {
    let own = hooks::table.find(id).filter(hooks::owner_id.eq(right.owner().id));
    own.select(Hook::as_select()).first(conn).optional()?.ok_or(Error::NotFound(What::Hook))
}

/// Changes a webhook.
///
/// # Errors
/// [`Error::NotFound`].
pub fn update(
    conn: &mut PgConnection,
    caller: &Caller,
    right: &CanHook,
    (id, edit, key): (HookId, &HookEdit, &MasterKey),
    now: Timestamp,
) -> Result<Hook> {
    let owner = right.owner().id;
    let secret = edit.secret.as_ref().map(|secret| encrypt_secret(key, owner, secret.as_ref())).transpose()?;
    let authorization = edit.authorization.as_ref();
    let authorization = authorization.map(|value| encrypt_authorization(key, owner, value.as_ref())).transpose()?;
    let row = HookChanges {
        url: edit.url.clone(),
        content: edit.content,
        sealed_secret: secret,
        sealed_authorization: authorization,
        active: edit.active,
        updated_at: now,
    };
    let own = hooks::table.find(id).filter(hooks::owner_id.eq(owner));
    let hook: Option<Hook> =
        diesel::update(own).set(row).returning(Hook::as_returning()).get_result(conn).optional()?;
    let hook = hook.ok_or(Error::NotFound(What::Hook))?;
    record(conn, caller, (Event::HookUpdate, right), &hook, json!({"changed": edit.fields()}), now)?;
    Ok(hook)
}

/// Deletes a webhook with all its deliveries.
///
/// # Errors
/// [`Error::NotFound`].
pub fn delete(conn: &mut PgConnection, caller: &Caller, right: &CanHook, id: HookId, now: Timestamp) -> Result<()> {
    let hook = find(conn, right, id)?;
    match diesel::delete(hooks::table.find(id)).execute(conn)? {
        0 => Err(Error::NotFound(What::Hook)),
        _ => record(conn, caller, (Event::HookDelete, right), &hook, json!({}), now),
    }
}

/// Whether any webhook has a secret, which only the right key decrypts.
///
/// # Errors
/// Database errors.
pub fn any_sealed(conn: &mut PgConnection) -> Result<bool> {
    let sealed = hooks::table.filter(hooks::sealed_secret.is_not_null().or(hooks::sealed_authorization.is_not_null()));
    Ok(diesel::select(exists(sealed.select(hooks::id))).get_result(conn)?)
}
