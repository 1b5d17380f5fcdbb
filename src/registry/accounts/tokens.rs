//! Personal access tokens. A user or an administrator creates a token and sets its limits; its secret is shown once.

use crate::db::schema::{owners, tokens};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, TokenId};
use crate::domain::mail::Facts;
use crate::domain::names::OwnerName;
use crate::domain::role::{PackagePattern, Scopes};
use crate::domain::secret::TokenSecret;
use crate::error::{Error, Result, What};
use crate::registry::access::visit_packages;
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::{Caller, SignedIn};
use crate::registry::mail::{self, Readers};
use crate::registry::pages::{Page, Slice};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text, Timestamptz};
use serde_json::json;
use std::collections::HashMap;

/// The properties of a token to create.
#[derive(Debug, Clone)]
pub struct NewToken {
    pub name: String,
    pub scopes: Scopes,
    pub expires_at: Option<Timestamp>,
    pub owners: Option<Vec<OwnerName>>,
    pub packages: Option<Vec<PackagePattern>>,
    /// Whether it works only as `?feed_token=` of feeds.
    pub feeds_only: bool,
    /// Whether downloads are never redirected to the object store.
    pub no_redirects: bool,
}

/// A token as it may be listed: everything but its secret.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = tokens)]
pub struct Token {
    pub id: TokenId,
    pub name: String,
    pub scopes: Vec<String>,
    pub last_eight: String,
    pub owner_ids: Option<Vec<OwnerId>>,
    pub package_patterns: Option<Vec<String>>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    /// The address it was last used from.
    pub last_used_from: Option<String>,
    /// Whether it works only as `?feed_token=` of feeds.
    pub feeds_only: bool,
    /// Who made it, if its user did not.
    pub creator_name: Option<String>,
    /// Whether downloads are never redirected to the object store.
    pub no_redirects: bool,
}

/// The most bytes in a token's name.
const MAX_NAME: usize = 255;
/// The most owners, and the most packages, that a token can be limited to: every request with the token reads them.
const MAX_LIMITS: usize = 100;

/// Creates a token for a user and returns its secret, which nobody can read again.
///
/// # Errors
/// [`Error::Invalid`] for an invalid name, scope, owner or time; [`Error::Conflict`] for a name the user already has a
/// token of.
pub fn create(
    conn: &mut PgConnection,
    caller: &Caller,
    user: &SignedIn,
    new: &NewToken,
    now: Timestamp,
) -> Result<(Token, TokenSecret)> {
    check(new, now)?;
    let owner_ids = new.owners.as_ref().map(|names| owner_ids(conn, caller, names)).transpose()?;
    let patterns: Option<Vec<&str>> =
        new.packages.as_ref().map(|patterns| patterns.iter().map(PackagePattern::as_str).collect());
    let secret = TokenSecret::generate();
    let token: Token = diesel::insert_into(tokens::table)
        .values((
            tokens::user_id.eq(user.id),
            tokens::name.eq(&new.name),
            tokens::lower_name.eq(new.name.to_lowercase()),
            tokens::hash.eq(secret.hash().as_bytes()),
            tokens::last_eight.eq(secret.last_eight()),
            tokens::scopes.eq(new.scopes.words()),
            tokens::owner_ids.eq(owner_ids),
            tokens::package_patterns.eq(patterns),
            tokens::created_at.eq(now),
            tokens::expires_at.eq(new.expires_at),
            tokens::feeds_only.eq(new.feeds_only),
            tokens::creator_name.eq(creator(caller, user)),
            tokens::no_redirects.eq(new.no_redirects),
        ))
        .on_conflict((tokens::user_id, tokens::lower_name))
        .do_nothing()
        .returning(Token::as_returning())
        .get_result(conn)
        .optional()?
        .ok_or(Error::Conflict(What::Token))?;
    record(conn, caller, Event::TokenCreate, user, &token, now)?;
    let facts = Facts::TokenCreated {
        name: token.name.clone(),
        scopes: token.scopes.clone(),
        by: mail::maker(caller, user.id),
        from: mail::origin(caller),
    };
    mail::enqueue(conn, Readers::User(user.id), &facts, now)?;
    Ok((token, secret))
}

/// Who makes a token, if its user does not.
fn creator<'a>(caller: &'a Caller, user: &SignedIn) -> Option<&'a str> {
    let maker = caller.administrator().or(caller.user())?;
    (maker.id != user.id).then_some(maker.name.as_str())
}

fn check(new: &NewToken, now: Timestamp) -> Result<()> {
    let name = new.name.trim();
    if name.is_empty() || new.name.len() > MAX_NAME || new.name.chars().any(char::is_control) {
        return Err(Error::invalid("name", "a token needs a name of 1 to 255 bytes, such as the machine that uses it"));
    }
    if new.scopes.is_useless() {
        return Err(Error::invalid("scopes", "a token needs at least one scope, such as write:package"));
    }
    let reads_packages = new.scopes.words().iter().all(|word| matches!(&**word, "read:package" | "public-only"));
    if new.feeds_only && !reads_packages {
        return Err(Error::invalid("scopes", "scopes: a token only for feeds has the scope read:package and no other"));
    }
    let too_many = |field: &'static str| {
        Error::invalid(field, format!("{field}: list at most {MAX_LIMITS}, or none for no limit"))
    };
    if new.owners.as_ref().is_some_and(|owners| owners.len() > MAX_LIMITS) {
        return Err(too_many("owners"));
    }
    if new.packages.as_ref().is_some_and(|packages| packages.len() > MAX_LIMITS) {
        return Err(too_many("packages"));
    }
    if new.expires_at.is_some_and(|at| at <= now) {
        return Err(Error::invalid("expires_at", "the expiration time must be in the future"));
    }
    Ok(())
}

/// The ids of the owners with these names. An owner that the creator cannot see counts as absent.
fn owner_ids(conn: &mut PgConnection, caller: &Caller, names: &[OwnerName]) -> Result<Vec<OwnerId>> {
    let mut ids = Vec::new();
    for name in names {
        let owner = visit_packages(conn, caller, name).map_err(|error| match error {
            Error::NotFound(_) | Error::Moved { .. } => {
                Error::invalid("owners", format!("there is no owner named {name}"))
            }
            other => other,
        })?;
        ids.push(owner.id);
    }
    Ok(ids)
}

/// A user's tokens, the newest first.
///
/// # Errors
/// Database errors.
pub fn list(conn: &mut PgConnection, user: OwnerId, slice: Slice) -> Result<Page<Token>> {
    let own = tokens::table.filter(tokens::user_id.eq(user));
    let total = own.count().get_result(conn)?;
    let rows = own.order(tokens::id.desc()).offset(slice.offset).limit(slice.limit);
    Ok(Page { items: rows.select(Token::as_select()).load(conn)?, total })
}

/// A user's token with this id.
///
/// # Errors
/// Database errors.
pub fn find(conn: &mut PgConnection, user: OwnerId, id: TokenId) -> Result<Option<Token>> {
    let own = tokens::table.filter(tokens::user_id.eq(user)).filter(tokens::id.eq(id));
    Ok(own.select(Token::as_select()).first(conn).optional()?)
}

/// The names of the owners that tokens are limited to. Deleted owners are left out.
///
/// # Errors
/// Database errors.
pub fn owner_names(conn: &mut PgConnection, tokens: &[Token]) -> Result<HashMap<OwnerId, OwnerName>> {
    let ids: Vec<OwnerId> = tokens.iter().filter_map(|token| token.owner_ids.as_ref()).flatten().copied().collect();
    let rows = owners::table.filter(owners::id.eq_any(ids)).select((owners::id, owners::name));
    let rows: Vec<(OwnerId, OwnerName)> = rows.load(conn)?;
    Ok(rows.into_iter().collect())
}

/// The token that the caller uses.
///
/// # Errors
/// [`Error::NotFound`] when the caller uses no token. The token of an administrator who acts as another user does not
/// count as that user's.
pub fn in_use(conn: &mut PgConnection, caller: &Caller) -> Result<Token> {
    let user = caller.signed_in()?.id;
    let id = caller.token().ok_or(Error::NotFound(What::Token))?;
    let own = tokens::table.find(id).filter(tokens::user_id.eq(user));
    let row = own.select(Token::as_select()).first(conn).optional()?;
    row.ok_or(Error::NotFound(What::Token))
}

/// Revokes the token that the caller uses.
///
/// # Errors
/// [`Error::NotFound`] when the caller uses no token.
pub fn revoke_in_use(conn: &mut PgConnection, caller: &Caller, now: Timestamp) -> Result<()> {
    let user = caller.signed_in()?;
    let token = in_use(conn, caller)?;
    remove(conn, caller, user, &token, now)
}

/// Revokes a user's token, given its id or its name.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Ambiguous`] when the text is the id of one token and the name of another.
pub fn revoke(
    conn: &mut PgConnection,
    caller: &Caller,
    user: &SignedIn,
    id_or_name: &str,
    now: Timestamp,
) -> Result<()> {
    // No token has such a name, and Postgres rejects NUL in a text.
    if id_or_name.chars().any(char::is_control) {
        return Err(Error::NotFound(What::Token));
    }
    let of_user = tokens::table.filter(tokens::user_id.eq(user.id)).select(Token::as_select());
    let by_name: Option<Token> =
        of_user.filter(tokens::lower_name.eq(id_or_name.to_lowercase())).first(conn).optional()?;
    // An id is written in one way only: "+17" and "017" are names.
    let id = id_or_name.parse::<i64>().ok().filter(|id| id.to_string() == id_or_name);
    let by_id: Option<Token> = match id {
        Some(id) => of_user.filter(tokens::id.eq(id)).first(conn).optional()?,
        None => None,
    };
    let token = match (by_id, by_name) {
        (Some(one), Some(other)) if one.id != other.id => return Err(ambiguous(id_or_name, &one, &other)),
        (one, other) => one.or(other).ok_or(Error::NotFound(What::Token))?,
    };
    remove(conn, caller, user, &token, now)
}

fn ambiguous(text: &str, by_id: &Token, by_name: &Token) -> Error {
    Error::Ambiguous(format!(
        "{text} is the id of the access token \"{}\", and the name of the access token with the id {}: nothing was \
         revoked. To revoke the first, use its name. To revoke the second, use its id",
        by_id.name, by_name.id
    ))
}

/// Revokes a token of this user.
///
/// # Errors
/// [`Error::NotFound`] when the token no longer exists.
pub fn remove(conn: &mut PgConnection, caller: &Caller, user: &SignedIn, token: &Token, now: Timestamp) -> Result<()> {
    if diesel::delete(tokens::table.find(token.id)).execute(conn)? == 0 {
        return Err(Error::NotFound(What::Token));
    }
    record(conn, caller, Event::TokenRevoke, user, token, now)
}

fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    event: Event,
    user: &SignedIn,
    token: &Token,
    now: Timestamp,
) -> Result<()> {
    let detail = json!({
        "id": token.id, "scopes": token.scopes, "expires_at": token.expires_at, "feeds_only": token.feeds_only,
        "no_redirects": token.no_redirects,
    });
    let subject = Subject { owner: Some((user.id, &user.name)), text: token.name.clone(), detail };
    audit::record(conn, caller, event, &subject, now)
}

/// When and from which address a token was last used, as a server recorded it in memory.
#[derive(Debug, Clone)]
pub struct TokenUse {
    pub token: TokenId,
    pub at: Timestamp,
    pub from: String,
}

/// Records when tokens were used; a later time that is already stored stays.
///
/// # Errors
/// Database errors.
pub fn note_uses(conn: &mut PgConnection, uses: &[TokenUse]) -> Result<()> {
    let ids: Vec<TokenId> = uses.iter().map(|one| one.token).collect();
    let times: Vec<Timestamp> = uses.iter().map(|one| one.at).collect();
    let from: Vec<&str> = uses.iter().map(|one| one.from.as_str()).collect();
    diesel::sql_query(
        "UPDATE tokens SET last_used_at = used.at, last_used_from = used.origin \
         FROM unnest($1, $2, $3) AS used (id, at, origin) \
         WHERE tokens.id = used.id AND (last_used_at IS NULL OR last_used_at < used.at)",
    )
    .bind::<Array<BigInt>, _>(ids)
    .bind::<Array<Timestamptz>, _>(times)
    .bind::<Array<Text>, _>(from)
    .execute(conn)?;
    Ok(())
}
