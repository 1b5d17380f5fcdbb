//! Links that are sent to an address: each proves once that its user reads mail there. The database has only a digest
//! of a link's secret.

use crate::db::schema::{email_links, owners, users};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{EmailLinkId, OwnerId};
use crate::domain::mail::LinkKind;
use crate::domain::names::{Email, OwnerName};
use crate::domain::secret::random_text;
use crate::error::{Error, Result};
use diesel::prelude::*;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// The characters of a link's secret: 238 bits.
const CODE_LENGTH: usize = 40;
/// How long used and expired links are remembered, so that their page can say so.
const REMEMBERED: Duration = Duration::from_secs(14 * 86_400);

/// How long a link of a kind can be used.
pub fn life(kind: LinkKind) -> Duration {
    match kind {
        LinkKind::Confirmation => Duration::from_secs(24 * 3600),
        LinkKind::Reset => Duration::from_secs(30 * 60),
        LinkKind::Invitation => Duration::from_secs(7 * 86_400),
    }
}

/// Why a link cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// There is no such link.
    Unknown,
    Used,
    Expired,
    /// The account has changed since: its password, its address or its access.
    Outdated,
    /// Another account signs in with the address.
    Taken,
}

/// A link that can be used.
#[derive(Debug, Clone)]
pub struct EmailLink {
    pub id: EmailLinkId,
    pub user: OwnerId,
    pub name: OwnerName,
    /// The address it was sent to.
    pub email: Email,
    pub expires_at: Timestamp,
}

/// A link and the parts of its user that decide whether it can be used.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = email_links)]
struct LinkRow {
    id: EmailLinkId,
    user_id: OwnerId,
    email: String,
    auth_epoch: i32,
    expires_at: Timestamp,
    used_at: Option<Timestamp>,
    #[diesel(select_expression = owners::name)]
    name: OwnerName,
    #[diesel(select_expression = users::lower_email)]
    lower_email: Option<String>,
    #[diesel(select_expression = users::auth_epoch)]
    epoch: i32,
    #[diesel(select_expression = users::is_active)]
    is_active: bool,
    #[diesel(select_expression = users::is_locked)]
    is_locked: bool,
}

fn hash(code: &str) -> Vec<u8> {
    Sha256::digest(code.as_bytes()).to_vec()
}

/// Makes a link of a user to an address, and returns its secret and its end.
///
/// # Errors
/// Database errors.
pub(super) fn create(
    conn: &mut PgConnection,
    kind: LinkKind,
    (user, email): (OwnerId, &str),
    now: Timestamp,
) -> Result<(String, Timestamp)> {
    let (code, ends) = (random_text(CODE_LENGTH), now.plus(life(kind)));
    let epoch: i32 = users::table.find(user).select(users::auth_epoch).first(conn)?;
    diesel::insert_into(email_links::table)
        .values((
            email_links::kind.eq(kind),
            email_links::user_id.eq(user),
            email_links::hash.eq(hash(&code)),
            email_links::email.eq(email),
            email_links::auth_epoch.eq(epoch),
            email_links::created_at.eq(now),
            email_links::expires_at.eq(ends),
        ))
        .execute(conn)?;
    Ok((code, ends))
}

/// The link with this secret, if it can be used, or why it cannot.
///
/// # Errors
/// Database errors.
pub fn find(
    conn: &mut PgConnection,
    kind: LinkKind,
    code: &str,
    now: Timestamp,
) -> Result<std::result::Result<EmailLink, Unusable>> {
    let row = email_links::table
        .inner_join(users::table.inner_join(owners::table))
        .filter(email_links::hash.eq(hash(code)))
        .filter(email_links::kind.eq(kind))
        .select(LinkRow::as_select())
        .first(conn)
        .optional()?;
    let Some(row) = row else { return Ok(Err(Unusable::Unknown)) };
    let email: Email = row.email.parse().map_err(Error::internal)?;
    // A link that ends later than it can was made while the clock was ahead.
    let is_over = row.expires_at <= now || row.expires_at > now.latest_end_of(life(kind));
    let is_outdated = match kind {
        LinkKind::Confirmation => row.is_locked,
        LinkKind::Reset | LinkKind::Invitation => {
            let is_same = row.epoch == row.auth_epoch && row.lower_email == Some(email.lower());
            !is_same || row.is_locked || !row.is_active
        }
    };
    Ok(match (row.used_at, is_over, is_outdated) {
        (Some(_), ..) => Err(Unusable::Used),
        (None, true, _) => Err(Unusable::Expired),
        (None, false, true) => Err(Unusable::Outdated),
        (None, false, false) => {
            Ok(EmailLink { id: row.id, user: row.user_id, name: row.name, email, expires_at: row.expires_at })
        }
    })
}

/// [`find`], and uses the link up. Of two requests with the same link, the second finds it used.
///
/// # Errors
/// Database errors.
pub(super) fn use_up(
    conn: &mut PgConnection,
    kind: LinkKind,
    code: &str,
    now: Timestamp,
) -> Result<std::result::Result<EmailLink, Unusable>> {
    let unused = email_links::table.filter(email_links::hash.eq(hash(code))).filter(email_links::kind.eq(kind));
    unused.select(email_links::id).for_update().first::<EmailLinkId>(conn).optional()?;
    let found = find(conn, kind, code, now)?;
    if let Ok(link) = &found {
        diesel::update(email_links::table.find(link.id)).set(email_links::used_at.eq(now)).execute(conn)?;
    }
    Ok(found)
}

/// Makes a user's other links of these kinds worthless.
///
/// # Errors
/// Database errors.
pub(super) fn replace(conn: &mut PgConnection, user: OwnerId, kinds: &[LinkKind], now: Timestamp) -> Result<usize> {
    let kinds: Vec<i16> = kinds.iter().map(|kind| kind.number()).collect();
    let own = email_links::table.filter(email_links::user_id.eq(user)).filter(email_links::kind.eq_any(kinds));
    Ok(diesel::update(own.filter(email_links::used_at.is_null())).set(email_links::used_at.eq(now)).execute(conn)?)
}

/// A link that was sent and can still be used.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = email_links)]
pub struct PendingLink {
    /// The address it was sent to.
    pub email: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// The newest link of a user of this kind that can still be used.
///
/// # Errors
/// Database errors.
pub fn pending(conn: &mut PgConnection, user: OwnerId, kind: LinkKind, now: Timestamp) -> Result<Option<PendingLink>> {
    let own = email_links::table
        .filter(email_links::user_id.eq(user))
        .filter(email_links::kind.eq(kind))
        .filter(email_links::used_at.is_null())
        .filter(email_links::expires_at.gt(now).and(email_links::expires_at.le(now.latest_end_of(life(kind)))));
    Ok(own.order(email_links::id.desc()).select(PendingLink::as_select()).first(conn).optional()?)
}

/// Deletes links that ended long ago.
///
/// # Errors
/// Database errors.
pub fn forget_old(conn: &mut PgConnection, now: Timestamp) -> Result<usize> {
    Ok(diesel::delete(email_links::table.filter(email_links::expires_at.lt(now.minus(REMEMBERED)))).execute(conn)?)
}
