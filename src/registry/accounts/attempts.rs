//! Buckets that limit guessing to a number of attempts in five minutes. All servers of one database share them.

use crate::db::schema::attempts;
use crate::domain::clock::Timestamp;
use crate::domain::digest::to_hex;
use crate::domain::ids::OwnerId;
use crate::domain::network::network_of;
use crate::domain::secret::MasterKey;
use crate::error::{Error, Result};
use core::net::IpAddr;
use diesel::prelude::*;
use diesel::sql_types::{Integer, Text, Timestamptz};
use std::time::Duration;

/// How long a bucket counts, from its first attempt.
pub const WINDOW: Duration = Duration::from_secs(300);
/// Password sign-ins allowed per account and per address in one window.
pub const SIGN_INS: i32 = 10;
/// Password sign-ins allowed in total in one window: a limit on guessing spread over many addresses.
pub const SIGN_INS_IN_ALL: i32 = 3000;
/// Two-factor codes allowed per account in one window.
pub const CODES: i32 = 5;

/// Registrations allowed per address in one window.
pub const REGISTRATIONS: i32 = 10;
/// Registrations allowed in total in one window.
pub const REGISTRATIONS_IN_ALL: i32 = 300;

/// A bucket and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    name: String,
    most: i32,
}

/// The key that a password sign-in is counted under: the user, whichever of their names was typed, or the typed text if
/// there is no such user. The text is stored as a digest under the instance's key, because people also type passwords
/// and tokens into the name field.
pub fn account(key: &MasterKey, user: Option<OwnerId>, typed: &str) -> String {
    match user {
        Some(user) => format!("user {user}"),
        None => {
            let key = MasterKey::new(key.derive("names that nobody has"));
            format!("unknown {}", to_hex(&key.authenticate(&[typed.to_lowercase().as_bytes()])))
        }
    }
}

/// The buckets a password sign-in is counted in, in the order of their names. Every request locks them in this order,
/// which prevents deadlocks. The global bucket comes last, so that its lock is held for the shortest time.
pub fn sign_in_buckets(account: &str, address: Option<IpAddr>) -> Vec<Bucket> {
    let mut buckets = vec![
        Bucket { name: format!("sign-in account {account}"), most: SIGN_INS },
        Bucket { name: "sign-in in all".to_owned(), most: SIGN_INS_IN_ALL },
    ];
    if let Some(address) = address {
        buckets.push(Bucket { name: format!("sign-in address {}", network_of(address)), most: SIGN_INS });
    }
    buckets.sort_by(|one, other| one.name.cmp(&other.name));
    buckets
}

/// The bucket a two-factor code is counted in.
pub fn code_buckets(user: OwnerId) -> Vec<Bucket> {
    vec![Bucket { name: format!("code {user}"), most: CODES }]
}

/// The buckets a registration is counted in, in the order in which they are locked.
pub fn registration_buckets(address: Option<IpAddr>) -> Vec<Bucket> {
    let of = |address| Bucket { name: format!("register address {}", network_of(address)), most: REGISTRATIONS };
    let all = Bucket { name: "register in all".to_owned(), most: REGISTRATIONS_IN_ALL };
    address.map(of).into_iter().chain([all]).collect()
}

fn names(buckets: &[Bucket]) -> Vec<&str> {
    buckets.iter().map(|bucket| bucket.name.as_str()).collect()
}

fn refuse(ends: Timestamp, now: Timestamp) -> Error {
    Error::RateLimited { retry_after: ends.since(now).as_secs() + 1 }
}

/// Checks that every bucket has room, without counting anything. This refuses without a transaction what [`take`] would
/// refuse.
///
/// # Errors
/// [`Error::RateLimited`] when a bucket is full.
pub fn look(conn: &mut PgConnection, buckets: &[Bucket], now: Timestamp) -> Result<()> {
    let counted: Vec<(String, i32, Timestamp)> = attempts::table
        .filter(attempts::bucket.eq_any(names(buckets)))
        .filter(attempts::window_ends_at.gt(now))
        .select((attempts::bucket, attempts::count, attempts::window_ends_at))
        .load(conn)?;
    let full = counted
        .iter()
        .find(|(name, count, _)| buckets.iter().any(|bucket| bucket.name == *name && *count >= bucket.most));
    full.map_or(Ok(()), |(_, _, ends)| Err(refuse(*ends, now)))
}

/// Counts an attempt in every bucket before its result is known, so that of many concurrent attempts no more than the
/// bucket's size get through.
///
/// # Errors
/// [`Error::RateLimited`] when a bucket is full; the attempt is then not counted in any bucket.
pub fn take(conn: &mut PgConnection, buckets: &[Bucket], now: Timestamp) -> Result<()> {
    for bucket in buckets {
        let (count, ends): (i32, Timestamp) = diesel::insert_into(attempts::table)
            .values((
                attempts::bucket.eq(&bucket.name),
                attempts::window_ends_at.eq(now.plus(WINDOW)),
                attempts::count.eq(1),
            ))
            .on_conflict(attempts::bucket)
            .do_update()
            .set((
                attempts::count.eq(diesel::dsl::sql::<Integer>("CASE WHEN attempts.window_ends_at <= ")
                    .bind::<Timestamptz, _>(now)
                    .sql(" THEN 1 ELSE attempts.count + 1 END")),
                attempts::window_ends_at.eq(diesel::dsl::sql::<Timestamptz>("CASE WHEN attempts.window_ends_at <= ")
                    .bind::<Timestamptz, _>(now)
                    .sql(" THEN excluded.window_ends_at ELSE attempts.window_ends_at END")),
            ))
            .returning((attempts::count, attempts::window_ends_at))
            .get_result(conn)?;
        if count > bucket.most {
            return Err(refuse(ends, now));
        }
    }
    Ok(())
}

/// Gives back a successful attempt, so that users who know their password never lock themselves out by using it.
///
/// # Errors
/// Database errors.
pub fn give_back(conn: &mut PgConnection, buckets: &[Bucket]) -> Result<()> {
    diesel::sql_query(
        "WITH held AS (SELECT bucket FROM attempts WHERE bucket = ANY($1) ORDER BY bucket COLLATE \"C\" FOR UPDATE) \
         UPDATE attempts SET count = greatest(count - 1, 0) FROM held WHERE attempts.bucket = held.bucket",
    )
    .bind::<diesel::sql_types::Array<Text>, _>(names(buckets))
    .execute(conn)?;
    Ok(())
}

/// Deletes buckets whose window is over.
///
/// # Errors
/// Database errors.
pub fn forget_old(conn: &mut PgConnection, now: Timestamp) -> Result<usize> {
    Ok(diesel::delete(attempts::table.filter(attempts::window_ends_at.le(now))).execute(conn)?)
}
