//! Buckets against guessing, shared by all servers of one database: so many attempts in five minutes.

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
/// Sign-ins by password an account and an address get in that time.
pub const SIGN_INS: i32 = 10;
/// Sign-ins by password that everybody together gets in that time: against guessing spread over many addresses.
pub const SIGN_INS_IN_ALL: i32 = 3000;
/// Codes of a second factor an account gets in that time.
pub const CODES: i32 = 5;

/// Accounts that people try to make for themselves from an address in that time.
pub const REGISTRATIONS: i32 = 10;
/// The same of everybody together.
pub const REGISTRATIONS_IN_ALL: i32 = 300;

/// A bucket and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    name: String,
    most: i32,
}

/// What a sign-in by password is counted for: the user, by whichever of his names, or, where there is none, what was
/// typed. That is kept as a digest under the instance's key: in a name's place people type passwords and tokens too.
pub fn account(key: &MasterKey, user: Option<OwnerId>, typed: &str) -> String {
    match user {
        Some(user) => format!("user {user}"),
        None => {
            let key = MasterKey::new(key.derive("names that nobody has"));
            format!("unknown {}", to_hex(&key.authenticate(&[typed.to_lowercase().as_bytes()])))
        }
    }
}

/// The buckets a sign-in by password is counted in. In the order of their names, in which everybody locks them, so that
/// nobody waits in a circle; the one of all comes last, so that all wait for it least.
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

/// The bucket a second factor's code is counted in.
pub fn code_buckets(user: OwnerId) -> Vec<Bucket> {
    vec![Bucket { name: format!("code {user}"), most: CODES }]
}

/// The buckets an attempt at making oneself an account is counted in, in the order in which they are locked.
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

/// Whether there is room in every bucket, without counting anything: whom [`take`] would refuse costs no transaction.
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

/// Counts an attempt in every bucket, before it is known whether it is right: of many at once no more than the
/// bucket's size get through.
///
/// # Errors
/// [`Error::RateLimited`] when a bucket is full; the attempt is then not counted anywhere.
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

/// Gives an attempt back that was right, so that who knows his password is never locked out by using it.
///
/// # Errors
/// The database's.
pub fn give_back(conn: &mut PgConnection, buckets: &[Bucket]) -> Result<()> {
    diesel::sql_query(
        "WITH held AS (SELECT bucket FROM attempts WHERE bucket = ANY($1) ORDER BY bucket COLLATE \"C\" FOR UPDATE) \
         UPDATE attempts SET count = greatest(count - 1, 0) FROM held WHERE attempts.bucket = held.bucket",
    )
    .bind::<diesel::sql_types::Array<Text>, _>(names(buckets))
    .execute(conn)?;
    Ok(())
}

/// Forgets buckets whose time is over.
///
/// # Errors
/// The database's.
pub fn forget_old(conn: &mut PgConnection, now: Timestamp) -> Result<usize> {
    Ok(diesel::delete(attempts::table.filter(attempts::window_ends_at.le(now))).execute(conn)?)
}
