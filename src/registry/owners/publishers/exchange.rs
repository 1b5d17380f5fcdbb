//! Exchanging the identity token of a job for a token of the publisher that accepts it.

use super::publisher::{Publisher, PublisherRow};
use crate::db::schema::{owners, publishers, tokens, used_identity_tokens, users};
use crate::domain::clock::Timestamp;
use crate::domain::identity::VerifiedIdentity;
use crate::domain::ids::OwnerId;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::publisher::{Claims, IssuerUrl, Judgment, text_of};
use crate::domain::role::{PackagePattern, Scopes};
use crate::domain::secret::TokenSecret;
use crate::error::{Error, Result};
use crate::registry::audit::{self, Event, Subject};
use crate::registry::caller::{self, Credential};
use core::net::IpAddr;
use diesel::prelude::*;
use serde_json::json;
use std::time::Duration;

/// How long a token for an identity token lives.
pub const TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);
/// The scope of such a token.
pub const TOKEN_SCOPE: &str = "write:package";

/// Whether any publisher names an issuer: the server asks no other for its keys.
///
/// # Errors
/// Database errors.
pub fn is_named(conn: &mut PgConnection, issuer: &IssuerUrl) -> Result<bool> {
    let named = publishers::table.filter(publishers::issuer.eq(issuer.as_str()));
    Ok(diesel::select(diesel::dsl::exists(named)).get_result(conn)?)
}

/// An identity token whose signature and times were verified.
#[derive(Debug, Clone)]
pub struct IdentityToken {
    pub issuer: IssuerUrl,
    pub claims: Claims,
    /// What it is known by, so that it works once.
    pub digest: [u8; 32],
    /// When nobody would accept it any longer.
    pub ends_at: Timestamp,
}

/// Which of several publishers that accept a token is meant.
#[derive(Debug, Clone, Default)]
pub struct WantedPublisher {
    pub owner: Option<OwnerName>,
    /// A package that the publisher has to be for.
    pub package: Option<PackageName>,
}

/// The token that a job gets for its identity token.
#[derive(Debug, Clone)]
pub struct Exchanged {
    pub secret: TokenSecret,
    pub expires_at: Timestamp,
    pub publisher: OwnerName,
    pub packages: PackagePattern,
}

/// The error for an identity token that no publisher accepts. It is the same whether its issuer is unknown, its signature
/// cannot be verified, or its job is none that a publisher is about: a stranger learns nothing of any publisher.
pub fn no_publisher(claims: &Claims) -> Error {
    Error::Forbidden(format!(
        "no publisher accepts this identity token: no publisher names this issuer and this job, or the token's signature \
         cannot be verified with the issuer's keys; iss is {}, sub is {}. The owner of the packages finds their \
         publishers under Access, and an administrator finds the reason in the server's log",
        shown(claims, "iss"),
        shown(claims, "sub")
    ))
}

/// The most characters of a claim's value in an error.
const MOST_SHOWN: usize = 200;

/// The value of a claim as the caller sent it.
pub fn shown(claims: &Claims, claim: &str) -> String {
    let Some(value) = claims.get(claim) else { return "absent".to_owned() };
    let text = value.to_string();
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Exchanges a verified identity token for a token of the publisher that accepts it.
///
/// # Errors
/// [`Error::Forbidden`] naming the claim that does not fit, or as [`no_publisher`]; also for a token that was exchanged
/// before. [`Error::Invalid`] when publishers of several owners accept the token and none was named.
pub fn exchange(
    conn: &mut PgConnection,
    token: &IdentityToken,
    wanted: &WantedPublisher,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<Exchanged> {
    let publisher = choose(conn, token, wanted)?;
    let used = diesel::insert_into(used_identity_tokens::table)
        .values((
            used_identity_tokens::digest.eq(&token.digest[..]),
            used_identity_tokens::expires_at.eq(token.ends_at),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    if used == 0 {
        return Err(Error::Forbidden(format!(
            "this identity token was used before, and each works once: let the job get a new one; jti is {}",
            shown(&token.claims, "jti")
        )));
    }
    let identity = VerifiedIdentity::of(publisher.trust.provider, token.issuer.as_str(), &token.claims);
    let (secret, expires_at) = insert_token(conn, &publisher, (token, &identity), now)?;
    diesel::update(publishers::table.find(publisher.id)).set(publishers::last_used_at.eq(now)).execute(conn)?;
    let caller = caller::identify(conn, &Credential::Token(secret.hash()), address, now)?;
    let subject = Subject {
        owner: Some((publisher.id, &publisher.account)),
        text: token_name(token),
        detail: json!({"scopes": [TOKEN_SCOPE], "expires_at": expires_at, "identity": identity}),
    };
    audit::record(conn, &caller, Event::TokenCreate, &subject, now)?;
    Ok(Exchanged { secret, expires_at, publisher: publisher.account, packages: publisher.packages })
}

/// The publisher that accepts a token: the first, if an owner has several.
fn choose(conn: &mut PgConnection, token: &IdentityToken, wanted: &WantedPublisher) -> Result<Publisher> {
    // Nobody deletes or changes the publisher before its token is stored.
    let rows: Vec<(PublisherRow, String)> = publishers::table
        .filter(publishers::issuer.eq(token.issuer.as_str()))
        .inner_join(owners::table.on(owners::id.eq(publishers::owner_id)))
        .order(publishers::id)
        .select((PublisherRow::as_select(), owners::lower_name))
        .for_key_share()
        .load(conn)?;
    let (mut accepting, mut misfit) = (Vec::new(), None);
    for (row, owner) in rows {
        if wanted.owner.as_ref().is_some_and(|wanted| wanted.lower() != owner) {
            continue;
        }
        if let Some(package) = &wanted.package
            && !row.packages()?.matches(&package.lower())
        {
            continue;
        }
        match row.trust()?.judge(&token.claims) {
            Judgment::Accepted => accepting.push(row),
            Judgment::Misfit(claim) => misfit = misfit.or(Some(claim)),
            Judgment::Stranger => {}
        }
    }
    let owner_ids: Vec<OwnerId> = accepting.iter().map(|row| row.owner_id).collect();
    let barred = barred(conn, &owner_ids)?;
    accepting.retain(|row| !barred.contains(&row.owner_id));
    let Some(first) = accepting.first() else {
        return Err(match misfit {
            Some(claim) => Error::Forbidden(format!(
                "the claim {claim} does not fit: it is {}, and no publisher for this job accepts that",
                shown(&token.claims, &claim)
            )),
            None => no_publisher(&token.claims),
        });
    };
    if accepting.iter().any(|row| row.owner_id != first.owner_id) {
        return Err(Error::invalid(
            "owner",
            "owner: publishers of several owners accept this identity token, so send the name of one as owner",
        ));
    }
    let account = owners::table.find(first.id).select(owners::name).first(conn)?;
    accepting.remove(0).with_account(account)
}

/// The users among these owners who have no access: their jobs have none either. Whoever locks one of the others waits,
/// and then finds the token.
fn barred(conn: &mut PgConnection, owners: &[OwnerId]) -> Result<Vec<OwnerId>> {
    let rows = users::table.filter(users::id.eq_any(owners)).order(users::id);
    let rows: Vec<(OwnerId, bool, bool)> =
        rows.select((users::id, users::is_active, users::is_locked)).for_share().load(conn)?;
    Ok(rows.into_iter().filter(|(_, is_active, is_locked)| !is_active || *is_locked).map(|(id, ..)| id).collect())
}

/// The name of the token for an identity token, unique among its publisher's.
fn token_name(token: &IdentityToken) -> String {
    let start = token.digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("identity {start}")
}

fn insert_token(
    conn: &mut PgConnection,
    publisher: &Publisher,
    (token, identity): (&IdentityToken, &VerifiedIdentity),
    now: Timestamp,
) -> Result<(TokenSecret, Timestamp)> {
    let (secret, expires_at, name) = (TokenSecret::generate(), now.plus(TOKEN_LIFE), token_name(token));
    let scopes = Scopes::from_words([TOKEN_SCOPE]).map_err(Error::internal)?;
    let owner: OwnerId = publishers::table.find(publisher.id).select(publishers::owner_id).first(conn)?;
    diesel::insert_into(tokens::table)
        .values((
            tokens::user_id.eq(publisher.id),
            tokens::name.eq(&name),
            tokens::lower_name.eq(&name),
            tokens::hash.eq(secret.hash().as_bytes()),
            tokens::last_eight.eq(secret.last_eight()),
            tokens::scopes.eq(scopes.words()),
            tokens::owner_ids.eq(Some(vec![owner])),
            tokens::package_patterns.eq(Some(vec![publisher.packages.as_str()])),
            tokens::created_at.eq(now),
            tokens::expires_at.eq(Some(expires_at)),
            tokens::feeds_only.eq(false),
            tokens::creator_name.eq(Some(identity.summary())),
            tokens::identity.eq(Some(serde_json::to_value(identity).map_err(Error::internal)?)),
        ))
        .execute(conn)?;
    Ok((secret, expires_at))
}

/// Ends the tokens of a user's own publishers, when the user loses all access.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn end_tokens(conn: &mut PgConnection, user: OwnerId) -> Result<()> {
    let own = publishers::table.filter(publishers::owner_id.eq(user)).select(publishers::id);
    diesel::delete(tokens::table.filter(tokens::user_id.eq_any(own))).execute(conn)?;
    Ok(())
}

/// Forgets identity tokens that nobody would accept any longer, and tokens of publishers that expired.
///
/// # Errors
/// Database errors.
pub fn forget_old(conn: &mut PgConnection, now: Timestamp) -> Result<()> {
    diesel::delete(used_identity_tokens::table.filter(used_identity_tokens::expires_at.le(now))).execute(conn)?;
    let over = tokens::table.filter(tokens::identity.is_not_null()).filter(tokens::expires_at.le(now));
    diesel::delete(over).execute(conn)?;
    Ok(())
}

/// The `sub` of verified claims, for the log.
pub fn subject(claims: &Claims) -> String {
    text_of(claims, "sub").unwrap_or_default()
}
