//! Taking mail from the outbox. A server leases a mail for a time and sends it. When the server dies, its lease ends, and
//! another one sends the mail again under the same Message-ID.

use crate::db::schema::{mails, reset_requests};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{MailId, OwnerId};
use crate::domain::mail::Facts;
use crate::domain::names::OwnerName;
use crate::domain::secret::{MasterKey, SecretText};
use crate::error::{Error, Result};
use crate::registry::encryption::{self, MAIL_CODE};
use crate::registry::operations::servers;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bytea, Integer, Jsonb, Nullable, Text, Timestamptz};
use serde_json::Value;
use std::time::Duration;

/// How long a mail is leased to one server: longer than sending it may take.
pub const LEASE: Duration = Duration::from_secs(180);
/// The pause after the first failed attempt; each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(4 * 3600);
/// How long mail that could not be sent is listed.
pub const FAILED_KEPT: Duration = Duration::from_secs(28 * 86_400);

/// A mail to send, leased to the server that took it.
#[derive(Debug)]
pub struct LeasedMail {
    pub id: MailId,
    pub recipient: String,
    /// The current name of the user it is for.
    pub user: OwnerName,
    pub created_at: Timestamp,
    /// What it says and the secret of its link, or the error that prevents reading them.
    pub content: Result<(Facts, Option<SecretText>)>,
    attempts: i32,
    retry_until: Timestamp,
    leased_until: Timestamp,
}

#[derive(QueryableByName)]
struct Taken {
    #[diesel(sql_type = BigInt)]
    id: MailId,
    #[diesel(sql_type = BigInt)]
    user_id: OwnerId,
    #[diesel(sql_type = Text)]
    name: OwnerName,
    #[diesel(sql_type = Text)]
    recipient: String,
    #[diesel(sql_type = Jsonb)]
    facts: Value,
    #[diesel(sql_type = Nullable<Bytea>)]
    sealed_code: Option<Vec<u8>>,
    #[diesel(sql_type = Timestamptz)]
    created_at: Timestamp,
    #[diesel(sql_type = Timestamptz)]
    retry_until: Timestamp,
    #[diesel(sql_type = Integer)]
    attempts: i32,
}

/// Gives up mail that is too late: it waited while no server sent mail, or it was restored from a backup.
///
/// # Errors
/// Database errors.
pub fn give_up_late(conn: &mut PgConnection, now: Timestamp) -> Result<usize> {
    let late = mails::table.filter(mails::next_attempt_at.is_not_null()).filter(mails::retry_until.lt(now));
    let given_up = (
        mails::next_attempt_at.eq(None::<Timestamp>),
        mails::sealed_code.eq(None::<Vec<u8>>),
        mails::error.eq("it was not sent in time"),
    );
    Ok(diesel::update(late.filter(mails::error.eq(""))).set(given_up).execute(conn)?)
}

/// Whether there is anything to do for the job that sends mail.
///
/// # Errors
/// Database errors.
pub fn is_busy(conn: &mut PgConnection, now: Timestamp) -> Result<bool> {
    let due = mails::table.filter(mails::next_attempt_at.le(now)).select(mails::id);
    let requests = reset_requests::table.select(reset_requests::id);
    Ok(diesel::select(diesel::dsl::exists(due).or(diesel::dsl::exists(requests))).get_result(conn)?)
}

/// Leases the mail that has been due for longest to a server, or to a command, whose number is 0. A lease that ends later
/// than it can comes from a clock that was ahead.
///
/// # Errors
/// Database errors.
pub fn take(conn: &mut PgConnection, (key, server): (&MasterKey, i64), now: Timestamp) -> Result<Option<LeasedMail>> {
    let (leased_until, ended) = (now.plus(LEASE), servers::ended("leased_by"));
    let taken: Option<Taken> = diesel::sql_query(format!(
        "UPDATE mails m SET leased_until = $2, leased_by = $4, attempts = m.attempts + 1 FROM owners o \
         WHERE o.id = m.user_id AND m.id = (SELECT id FROM mails WHERE next_attempt_at <= $1 \
          AND (leased_until IS NULL OR leased_until <= $1 OR leased_until > $3 OR {ended}) \
          ORDER BY next_attempt_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) \
         RETURNING m.id, m.user_id, o.name, m.recipient, m.facts, m.sealed_code, m.created_at, m.retry_until, m.attempts",
    ))
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(leased_until)
    .bind::<Timestamptz, _>(now.latest_end_of(LEASE))
    .bind::<Nullable<BigInt>, _>(Some(server).filter(|id| *id != 0))
    .get_result(conn)
    .optional()?;
    let Some(taken) = taken else { return Ok(None) };
    let content = || {
        let code = taken.sealed_code.map(|sealed| encryption::decrypt(key, MAIL_CODE, taken.user_id, &sealed));
        let code = code.transpose()?.map(String::from_utf8).transpose().map_err(Error::internal)?;
        Ok((serde_json::from_value(taken.facts).map_err(Error::internal)?, code.map(SecretText::new)))
    };
    Ok(Some(LeasedMail {
        id: taken.id,
        recipient: taken.recipient,
        user: taken.name,
        created_at: taken.created_at,
        content: content(),
        attempts: taken.attempts,
        retry_until: taken.retry_until,
        leased_until,
    }))
}

/// The result of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Sent,
    /// It may work later.
    Later(String),
    /// It will never work.
    Never(String),
}

/// How long to wait after this many attempts.
fn pause(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(16);
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_PAUSE)
}

/// Records the result of an attempt: deletes a mail that was sent, and schedules the next attempt of any other, or gives
/// it up, together with the secret of its link. True if it was given up.
///
/// # Errors
/// Database errors.
pub fn settle(conn: &mut PgConnection, leased: &LeasedMail, outcome: &Outcome, now: Timestamp) -> Result<bool> {
    let own = mails::table.filter(mails::id.eq(leased.id)).filter(mails::leased_until.eq(leased.leased_until));
    let next = now.plus(pause(leased.attempts));
    let (problem, next) = match outcome {
        Outcome::Sent => {
            diesel::delete(own).execute(conn)?;
            return Ok(false);
        }
        Outcome::Later(problem) => (problem, Some(next).filter(|next| *next <= leased.retry_until)),
        Outcome::Never(problem) => (problem, None),
    };
    let released = (
        mails::next_attempt_at.eq(next),
        mails::leased_until.eq(None::<Timestamp>),
        mails::leased_by.eq(None::<i64>),
        mails::error.eq(problem.replace('\0', "\u{fffd}")),
    );
    diesel::update(own).set(released).execute(conn)?;
    if next.is_none() {
        let failed = mails::table.filter(mails::id.eq(leased.id));
        diesel::update(failed).set(mails::sealed_code.eq(None::<Vec<u8>>)).execute(conn)?;
    }
    Ok(next.is_none())
}

/// Deletes mail that was given up long ago.
///
/// # Errors
/// Database errors.
pub fn forget_old(conn: &mut PgConnection, now: Timestamp) -> Result<usize> {
    let failed = mails::table.filter(mails::next_attempt_at.is_null());
    Ok(diesel::delete(failed.filter(mails::created_at.lt(now.minus(FAILED_KEPT)))).execute(conn)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_delays_double_and_add_up_to_a_day() {
        assert_eq!([1, 2, 3].map(|attempts| pause(attempts).as_secs()), [60, 120, 240]);
        assert_eq!(pause(i32::MAX), LONGEST_PAUSE);
        let all: Duration = (1..14).map(pause).sum();
        assert!((24.0..29.0).contains(&(all.as_secs_f64() / 3600.0)), "{all:?}");
    }
}
