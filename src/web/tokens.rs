//! The user's access tokens: the list, and revoking one. [`super::token_new`] creates them.

use super::format::When;
use super::forms::Protected;
use super::list::{Pager, slice};
use super::login::Nothing;
use super::page::{Frame, Reply, frame};
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::clock::Timestamp;
use crate::domain::ids::TokenId;
use crate::domain::names::OwnerName;
use crate::error::{Error, Result, What};
use crate::registry::accounts::tokens::{self, Token};
use crate::registry::pages::Page;
use askama::Template;
use std::time::Duration;

/// How long before its expiration a token is marked.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// A row in the list of tokens.
pub struct Line {
    pub token: Token,
    /// The owners the token is limited to, without deleted ones.
    pub owners: Option<Vec<OwnerName>>,
    pub now: Timestamp,
}

impl Line {
    /// The permissions in plain words, and the scopes of the API.
    pub fn scopes(&self) -> Vec<(&'static str, &str)> {
        self.token.scopes.iter().map(|scope| (meaning(scope), scope.as_str())).collect()
    }

    pub fn created(&self) -> When {
        When { at: self.token.created_at, now: self.now }
    }

    pub fn expires(&self) -> Option<When> {
        self.token.expires_at.map(|at| When { at, now: self.now })
    }

    pub fn used(&self) -> Option<When> {
        self.token.last_used_at.map(|at| When { at, now: self.now })
    }

    pub fn is_expired(&self) -> bool {
        self.token.expires_at.is_some_and(|at| at <= self.now)
    }

    pub fn ends_soon(&self) -> bool {
        !self.is_expired() && self.token.expires_at.is_some_and(|at| at <= self.now.plus(SOON))
    }
}

/// A scope in plain words.
pub fn meaning(scope: &str) -> &'static str {
    match scope {
        "all" => "Everything you can do",
        "public-only" => "Public users and organizations only",
        "read:package" => "Download packages",
        "write:package" => "Publish and delete packages",
        "read:user" => "Read your account",
        "write:user" => "Change your account",
        "read:organization" => "Read organizations, teams and members",
        "write:organization" => "Change organizations, teams and members",
        "read:admin" => "Read as an administrator",
        "write:admin" => "Administer the site",
        _ => "Other",
    }
}

/// Tokens with the names of their owners.
///
/// # Errors
/// Errors of the database.
pub fn lines(conn: &mut Connection, tokens: Vec<Token>, now: Timestamp) -> Result<Vec<Line>> {
    let names = tokens::owner_names(conn, &tokens)?;
    let line = |token: Token| {
        let owners = token.owner_ids.as_ref().map(|ids| {
            let mut owners: Vec<OwnerName> = ids.iter().filter_map(|id| names.get(id).cloned()).collect();
            owners.sort_by_key(OwnerName::lower);
            owners
        });
        Line { token, owners, now }
    };
    Ok(tokens.into_iter().map(line).collect())
}

/// One of the user's tokens.
///
/// # Errors
/// Errors of the database.
pub fn line(conn: &mut Connection, token: Token, now: Timestamp) -> Result<Line> {
    lines(conn, vec![token], now)?.pop().ok_or(Error::NotFound(What::Token))
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    frame: Frame,
    lines: Vec<Line>,
    pager: Pager,
}

/// `GET /user/settings/tokens`.
pub async fn list(call: Call) -> Result<Reply> {
    let (now, slice) = (call.app.clock.now(), slice(&call.req));
    let (frame, (lines, total)) = frame(&call, move |conn, caller| {
        let user = caller.signed_in()?.id;
        let Page { items, total } = tokens::list(conn, user, slice)?;
        Ok((lines(conn, items, now)?, total))
    })
    .await?;
    let pager = Pager::new(&call.req, total);
    Reply::page(&TokensPage { frame, lines, pager })
}

#[derive(Template)]
#[template(path = "token_revoke.html")]
struct RevokePage {
    frame: Frame,
    line: Line,
}

/// The token of the path.
fn named(call: &Call) -> Result<TokenId> {
    let id = call.req.match_info().get("token").and_then(|id| id.parse().ok());
    id.map(TokenId).ok_or(Error::NotFound(What::Token))
}

/// `GET /user/settings/tokens/{token}/revoke`.
pub async fn revoke_form(call: Call) -> Result<Reply> {
    let now = call.app.clock.now();
    let id = named(&call);
    let (frame, line) = frame(&call, move |conn, caller| {
        let user = caller.signed_in()?.id;
        let id = *id.as_ref().map_err(|_| Error::NotFound(What::Token))?;
        let token = tokens::find(conn, user, id)?.ok_or(Error::NotFound(What::Token))?;
        line(conn, token, now)
    })
    .await?;
    Reply::page(&RevokePage { frame, line })
}

/// `POST /user/settings/tokens/{token}/revoke`.
pub async fn revoke(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    form.read(&call).await?;
    let (id, now) = (named(&call)?, call.app.clock.now());
    let name = call
        .writing(move |conn, caller| {
            let user = caller.demand_password()?.clone();
            let token = tokens::find(conn, user.id, id)?.ok_or(Error::NotFound(What::Token))?;
            tokens::remove(conn, caller, &user, &token, now)?;
            Ok(token.name)
        })
        .await?;
    let told = format!("Token {name} revoked.");
    Ok(Reply::to("/user/settings/tokens").notice(&call.app, &told))
}
