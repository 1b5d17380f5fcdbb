//! Mail. `enqueue` writes it in the transaction of the change that it is about, [`queue`] takes it from there, [`log`]
//! shows what could not be sent, and [`alerts`] finds what nobody's change announces.

pub mod alerts;
pub mod log;
pub mod queue;

use super::caller::{Caller, NOBODY};
use super::encryption::{self, MAIL_CODE};
use super::operations::settings;
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::mail::Facts;
use crate::domain::role::Permission;
use crate::domain::secret::MasterKey;
use crate::error::{Error, Result};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bytea, Jsonb, Nullable, SmallInt, Text, Timestamptz};
use serde_json::json;
use std::time::Duration;

/// How long a mail that cannot be sent is retried: one day, plus an hour for the last attempt.
pub const PATIENCE: Duration = Duration::from_secs(25 * 3600);

/// The setting that says whether the servers of this database send mail.
const ENABLED: &str = "mail_enabled";

/// Records whether this database's servers send mail, as their configuration says.
///
/// # Errors
/// Database errors.
pub fn set_enabled(conn: &mut PgConnection, enabled: bool) -> Result<()> {
    settings::set(conn, ENABLED, &json!(enabled))
}

/// Whether this database's servers send mail.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn is_enabled(conn: &mut PgConnection) -> Result<bool> {
    Ok(settings::get(conn, ENABLED)? == Some(json!(true)))
}

/// The readers of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Readers {
    User(OwnerId),
    /// The user, or the owners of the organization, or of the robot's organization.
    Owner(OwnerId),
    Administrators,
}

/// A statement that writes a mail for each user of `$condition`, if mail is on. It writes to the address that the user
/// signs in with, because any other may be a stranger's, and never to locked users or about what they turned off.
macro_rules! notify {
    ($condition:literal) => {
        concat!(
            "INSERT INTO mails (kind, user_id, recipient, facts, created_at, retry_until, next_attempt_at) \
             SELECT $1, u.id, u.email, $2, $3, $4, $3 FROM users u WHERE u.lower_email IS NOT NULL AND u.is_active \
             AND NOT u.is_locked AND NOT ($1 = ANY (u.muted_mails)) \
             AND EXISTS (SELECT FROM settings WHERE key = 'mail_enabled' AND value = 'true'::jsonb) AND ",
            $condition
        )
    };
}

/// Tells users something, in this transaction.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn enqueue(
    conn: &mut PgConnection,
    readers: Readers,
    facts: &Facts,
    now: Timestamp,
) -> Result<()> {
    let (statement, of) = match readers {
        Readers::User(id) => (notify!("u.id = $5 AND $6 = $6"), id),
        Readers::Owner(id) => (
            notify!(
                "(u.id = $5 OR u.id IN (SELECT m.user_id FROM team_members m JOIN teams t ON t.id = m.team_id \
                 WHERE t.permission = $6 \
                 AND t.org_id = coalesce((SELECT r.robot_of FROM users r WHERE r.id = $5), $5)))"
            ),
            id,
        ),
        Readers::Administrators => (notify!("u.is_admin AND $5 = $5 AND $6 = $6"), NOBODY),
    };
    diesel::sql_query(statement)
        .bind::<SmallInt, _>(facts.kind())
        .bind::<Jsonb, _>(serde_json::to_value(facts).map_err(Error::internal)?)
        .bind::<Timestamptz, _>(now)
        .bind::<Timestamptz, _>(now.plus(PATIENCE))
        .bind::<BigInt, _>(of)
        .bind::<SmallInt, _>(Permission::Owner)
        .execute(conn)?;
    Ok(())
}

/// A mail to an address, for a user.
#[derive(Debug)]
pub(in crate::registry) struct AddressedMail<'a> {
    pub user: OwnerId,
    pub recipient: &'a str,
    pub facts: Facts,
    /// The secret of a link, and the key to encrypt it with.
    pub code: Option<(&'a str, &'a MasterKey)>,
    /// When it is of no use any more.
    pub ends: Timestamp,
}

/// Writes a mail to an address, in this transaction, if mail is on.
///
/// # Errors
/// Database errors.
pub(in crate::registry) fn enqueue_to(conn: &mut PgConnection, mail: &AddressedMail<'_>, now: Timestamp) -> Result<()> {
    let seal = |(code, key): (&str, &MasterKey)| encryption::encrypt(key, MAIL_CODE, mail.user, code.as_bytes());
    diesel::sql_query(
        "INSERT INTO mails (kind, user_id, recipient, facts, sealed_code, created_at, retry_until, next_attempt_at) \
         SELECT $1, $2, $3, $4, $5, $6, $7, $6 \
         WHERE EXISTS (SELECT FROM settings WHERE key = 'mail_enabled' AND value = 'true'::jsonb)",
    )
    .bind::<SmallInt, _>(mail.facts.kind())
    .bind::<BigInt, _>(mail.user)
    .bind::<Text, _>(mail.recipient)
    .bind::<Jsonb, _>(serde_json::to_value(&mail.facts).map_err(Error::internal)?)
    .bind::<Nullable<Bytea>, _>(mail.code.map(seal).transpose()?)
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(now.plus(PATIENCE).min(mail.ends))
    .execute(conn)?;
    Ok(())
}

/// Who made a change to this user's account, if it was somebody else.
pub(in crate::registry) fn maker(caller: &Caller, user: OwnerId) -> Option<String> {
    let maker = caller.administrator().or(caller.user())?;
    (maker.id != user).then(|| maker.name.to_string())
}

/// The network address that a change came from, in words.
pub(in crate::registry) fn origin(caller: &Caller) -> String {
    caller.address().map_or_else(String::new, |address| address.to_string())
}
