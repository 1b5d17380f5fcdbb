//! Personal access tokens. A token never creates, lists or revokes other tokens: this needs the password.

use super::endpoint::{Created, Json, JsonBody, Listed, NoContent, Pages};
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, TokenId};
use crate::domain::names::OwnerName;
use crate::domain::role::{PackagePattern, Scope, Scopes};
use crate::error::{Error, Result, What};
use crate::registry::access::visit_user;
use crate::registry::accounts::tokens::{self, NewToken, Token};
use crate::registry::accounts::users;
use crate::registry::caller::{Caller, SignedIn};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use utoipa::ToSchema;

/// An access token. `sha1` is Gitea's name for the secret, which only the answer to its creation contains.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessToken)]
pub struct TokenBody {
    id: TokenId,
    name: String,
    #[schema(value_type = Vec<Scope>)]
    scopes: Vec<String>,
    token_last_eight: String,
    /// The secret, only in the answer to the token's creation.
    sha1: String,
    created_at: Timestamp,
    last_used_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    /// The only owners the token works for; null for all.
    owners: Option<Vec<OwnerName>>,
    /// The only packages the token works for, as patterns with `*`; null for all.
    #[schema(value_type = Option<Vec<PackagePattern>>)]
    packages: Option<Vec<String>>,
    /// Whether it works only as `?feed_token=` in the address of a feed.
    feeds_only: bool,
    /// Whether downloads are never redirected to the object store.
    no_redirects: bool,
    /// The name of its creator, if it was not its own user: a person, or `command-line`. Otherwise null.
    creator: Option<String>,
}

impl TokenBody {
    pub(super) fn new(token: Token, names: &HashMap<OwnerId, OwnerName>, secret: &str) -> Self {
        let owners = token.owner_ids.map(|ids| {
            let mut owners: Vec<OwnerName> = ids.iter().filter_map(|id| names.get(id).cloned()).collect();
            owners.sort_by_key(OwnerName::lower);
            owners
        });
        Self {
            id: token.id,
            name: token.name,
            scopes: token.scopes,
            token_last_eight: token.last_eight,
            sha1: secret.to_owned(),
            created_at: token.created_at,
            last_used_at: token.last_used_at,
            expires_at: token.expires_at,
            owners,
            packages: token.package_patterns,
            feeds_only: token.feeds_only,
            no_redirects: token.no_redirects,
            creator: token.creator_name,
        }
    }
}

/// The user whose tokens the request is about: the caller themselves, or any user if the caller is an administrator.
fn whose(conn: &mut Connection, caller: &Caller, name: &OwnerName) -> Result<SignedIn> {
    let own = caller.demand_password()?;
    if own.name.lower() == name.lower() {
        return Ok(own.clone());
    }
    if !caller.is_admin() {
        if let Err(error @ (Error::Moved { .. } | Error::Internal(_))) = visit_user(conn, caller, name) {
            return Err(error);
        }
        return Err(Error::Forbidden("only the user or an administrator can do this".to_owned()));
    }
    let user = users::see(conn, caller, name)?;
    Ok(SignedIn { id: user.id, name: user.name, is_admin: user.is_admin, has_password: true })
}

/// `GET /users/{user}/tokens`.
pub async fn list(call: Call, pages: Pages) -> Result<Listed<TokenBody>> {
    let name: OwnerName = call.part("user", What::User).await?;
    let slice = pages.slice();
    let (page, names) = call
        .reading(move |conn, caller| {
            let user = whose(conn, caller, &name)?;
            let page = tokens::list(conn, user.id, slice)?;
            let names = tokens::owner_names(conn, &page.items)?;
            Ok((page, names))
        })
        .await?;
    Ok(pages.answer(page, |token| TokenBody::new(token, &names, "")))
}

/// `GET /token`.
pub async fn get_in_use(call: Call) -> Result<Json<TokenBody>> {
    let body = call
        .reading(|conn, caller| {
            let token = tokens::in_use(conn, caller)?;
            let names = tokens::owner_names(conn, std::slice::from_ref(&token))?;
            Ok(TokenBody::new(token, &names, ""))
        })
        .await?;
    Ok(Json(body))
}

/// `DELETE /token`.
pub async fn revoke_in_use(call: Call) -> Result<NoContent> {
    let now = call.app.clock.now();
    call.writing(move |conn, caller| tokens::revoke_in_use(conn, caller, now)).await?;
    Ok(NoContent)
}

/// The message for a time that cannot be parsed. The range ends where the server's times end, shortly before the end of
/// the year 9999 that some clients send for "never".
const EXPIRY_SHAPE: &str = "expires_at is a time like 2027-01-31T00:00:00Z, up to 9999-12-30T22:00:00Z; leave it out \
                            for a token that does not expire";

/// The body of `POST /users/{user}/tokens`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateToken {
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    name: String,
    /// At least one.
    #[schema(required = true, value_type = Vec<Scope>, min_items = 1)]
    scopes: Option<Vec<String>>,
    /// When the token expires; it never does if this is left out.
    #[schema(value_type = Option<Timestamp>)]
    expires_at: Option<String>,
    /// The only owners the token works for; all if this is left out.
    owners: Option<Vec<OwnerName>>,
    /// The only packages the token works for, as patterns with `*`; all if this is left out.
    #[schema(value_type = Option<Vec<PackagePattern>>)]
    packages: Option<Vec<String>>,
    /// Whether it works only as `?feed_token=` in the address of a feed. Its scope is `read:package`.
    #[serde(default)]
    feeds_only: bool,
    /// Whether downloads are never redirected to the object store: for clients that don't follow redirects or can't
    /// reach it.
    #[serde(default)]
    no_redirects: bool,
}

impl CreateToken {
    pub(super) fn check(self) -> Result<NewToken> {
        let scopes = self.scopes.unwrap_or_default();
        let words = scopes.iter().map(String::as_str);
        let wrong =
            |field: &'static str, error: &dyn std::fmt::Display| Error::invalid(field, format!("{field}: {error}"));
        let pattern = |text: String| text.parse().map_err(|error| wrong("packages", &error));
        Ok(NewToken {
            name: self.name,
            scopes: Scopes::from_words(words).map_err(|error| wrong("scopes", &error))?,
            expires_at: self
                .expires_at
                .map(|text| Timestamp::try_from(text).map_err(|_| Error::invalid("expires_at", EXPIRY_SHAPE)))
                .transpose()?,
            owners: self.owners,
            packages: self.packages.map(|list| list.into_iter().map(pattern).collect()).transpose()?,
            feeds_only: self.feeds_only,
            no_redirects: self.no_redirects,
        })
    }
}

/// `POST /users/{user}/tokens`.
pub async fn create(call: Call, body: JsonBody<CreateToken>) -> Result<Created<TokenBody>> {
    let name: OwnerName = call.part("user", What::User).await?;
    let of = name.clone();
    call.admit(move |conn, caller| whose(conn, caller, &of).map(drop)).await?;
    let new = body.read(&call.app).await?.check()?;
    let now = call.app.clock.now();
    let body = call
        .writing(move |conn, caller| {
            let user = whose(conn, caller, &name)?;
            let (token, secret) = tokens::create(conn, caller, &user, &new, now)?;
            let names = tokens::owner_names(conn, std::slice::from_ref(&token))?;
            Ok(TokenBody::new(token, &names, secret.reveal()))
        })
        .await?;
    Ok(Created(body))
}

/// `DELETE /users/{user}/tokens/{id or name}`.
pub async fn revoke(call: Call) -> Result<NoContent> {
    let name: OwnerName = call.part("user", What::User).await?;
    let token: String = call.part("token", What::Token).await?;
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let user = whose(conn, caller, &name)?;
        tokens::revoke(conn, caller, &user, &token, now)
    })
    .await?;
    Ok(NoContent)
}
