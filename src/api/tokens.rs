//! Personal access tokens. A token never makes, lists or revokes others: that wants the password.

use super::{AppData, admit, answer_json, error, json, parsed, part, required, signed_in};
use crate::db::Connection;
use crate::domain::clock::Timestamp;
use crate::domain::ids::TokenId;
use crate::domain::names::OwnerName;
use crate::domain::role::Scopes;
use crate::error::{Error, Result, What};
use crate::registry::access::{Caller, SignedIn};
use crate::registry::tokens::{self, NewToken, Token};
use crate::registry::users;
use crate::state::App;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where the names stand in `/api/v1/users/{user}/tokens/{token}`.
const USER: usize = 3;
const TOKEN: usize = 5;

/// A token; `sha1` is Gitea's name for the secret, which only the answer to its making holds.
#[derive(Debug, Serialize)]
struct TokenBody {
    id: TokenId,
    name: String,
    scopes: Vec<String>,
    token_last_eight: String,
    sha1: String,
    created_at: Timestamp,
    last_used_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    owners: Option<Vec<OwnerName>>,
    packages: Option<Vec<String>>,
}

impl TokenBody {
    fn new(token: Token, owners: Option<Vec<OwnerName>>, secret: &str) -> Self {
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
        }
    }
}

/// Whose tokens they are: the caller's own, or any user's for an administrator.
fn whose(conn: &mut Connection, caller: &Caller, name: &OwnerName) -> Result<SignedIn> {
    let own = caller.demand_password()?;
    if own.name.lower() == name.lower() {
        return Ok(own.clone());
    }
    if !caller.is_admin() {
        return Err(Error::Forbidden("only the user himself or an administrator may do this".to_owned()));
    }
    let user = users::find(conn, name)?.ok_or(Error::NotFound(What::User))?;
    Ok(SignedIn { id: user.id, name: user.name, is_admin: user.is_admin })
}

fn limits(conn: &mut Connection, token: &Token) -> Result<Option<Vec<OwnerName>>> {
    token.owner_ids.as_ref().map(|ids| tokens::owner_names(conn, ids)).transpose()
}

/// `GET /users/{user}/tokens`.
pub(super) async fn list(req: HttpRequest, app: AppData) -> HttpResponse {
    let result = try_list(&req, &app).await;
    error::answer(&req, &app, result)
}

async fn try_list(req: &HttpRequest, app: &Arc<App>) -> Result<HttpResponse> {
    let presented = signed_in(req, app).await?;
    let name: OwnerName = part(req, USER, What::User)?;
    let bodies: Vec<TokenBody> = presented
        .reading(req, app, move |conn, caller| {
            let user = whose(conn, caller, &name)?;
            let list = tokens::list(conn, user.id)?;
            list.into_iter().map(|token| Ok(TokenBody::new(token.clone(), limits(conn, &token)?, ""))).collect()
        })
        .await?;
    let total = bodies.len().to_string();
    let mut response = answer_json(StatusCode::OK, &bodies);
    if let Ok(total) = total.parse() {
        response.headers_mut().insert(actix_web::http::header::HeaderName::from_static("x-total-count"), total);
    }
    Ok(response)
}

/// What is wrong with a time that cannot be read. Times end where those of the server do, which is not quite the end of
/// the year 9999 that some write for never.
const EXPIRY_SHAPE: &str = "expires_at is a time like 2027-01-31T00:00:00Z, up to 9999-12-30T22:00:00Z; leave it out \
                            for a token that does not expire";

/// The body of `POST /users/{user}/tokens`.
#[derive(Debug, Deserialize)]
struct CreateToken {
    name: Option<String>,
    scopes: Option<Vec<String>>,
    expires_at: Option<String>,
    owners: Option<Vec<String>>,
    packages: Option<Vec<String>>,
}

impl CreateToken {
    fn check(self) -> Result<NewToken> {
        let scopes = required(self.scopes, "scopes")?;
        let words = scopes.iter().map(String::as_str);
        let wrong = |error: &dyn std::fmt::Display| Error::invalid("scopes", format!("scopes: {error}"));
        Ok(NewToken {
            name: required(self.name, "name")?,
            scopes: Scopes::from_words(words).map_err(|error| wrong(&error))?,
            expires_at: self
                .expires_at
                .map(|text| Timestamp::try_from(text).map_err(|_| Error::invalid("expires_at", EXPIRY_SHAPE)))
                .transpose()?,
            owners: self.owners.map(|list| list.iter().map(|name| parsed(name, "owners")).collect()).transpose()?,
            packages: self
                .packages
                .map(|list| list.iter().map(|pattern| parsed(pattern, "packages")).collect())
                .transpose()?,
        })
    }
}

/// `POST /users/{user}/tokens`.
pub(super) async fn create(req: HttpRequest, payload: web::Payload, app: AppData) -> HttpResponse {
    let result = try_create(&req, payload, &app).await;
    error::answer(&req, &app, result)
}

async fn try_create(req: &HttpRequest, payload: web::Payload, app: &Arc<App>) -> Result<HttpResponse> {
    let name: OwnerName = part(req, USER, What::User)?;
    let of = name.clone();
    let presented = admit(req, app, move |conn, caller| whose(conn, caller, &of).map(drop)).await?;
    let new = json::<CreateToken>(app, payload).await?.check()?;
    let now = app.clock.now();
    let body = presented
        .writing(req, app, move |conn, caller| {
            let user = whose(conn, caller, &name)?;
            let (token, secret) = tokens::create(conn, caller, &user, &new, now)?;
            let owners = limits(conn, &token)?;
            Ok(TokenBody::new(token, owners, secret.reveal()))
        })
        .await?;
    Ok(answer_json(StatusCode::CREATED, &body))
}

/// `DELETE /users/{user}/tokens/{id or name}`.
pub(super) async fn revoke(req: HttpRequest, app: AppData) -> HttpResponse {
    let result = try_revoke(&req, &app).await;
    error::answer(&req, &app, result)
}

async fn try_revoke(req: &HttpRequest, app: &Arc<App>) -> Result<HttpResponse> {
    let presented = signed_in(req, app).await?;
    let name: OwnerName = part(req, USER, What::User)?;
    let token: String = part(req, TOKEN, What::Token)?;
    let now = app.clock.now();
    presented
        .writing(req, app, move |conn, caller| {
            let user = whose(conn, caller, &name)?;
            tokens::revoke(conn, caller, &user, &token, now)
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
