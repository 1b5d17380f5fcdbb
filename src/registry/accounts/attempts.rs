//! Buckets that limit guessing to a number of attempts in five minutes. All servers of one database share them.
//!
//! Anybody can fill the buckets of an account, an address and of all sign-ins, by sending wrong passwords. So sign-ins
//! from a [place](KnownPlace) that is known to be the user's have a bucket of their own, which strangers cannot reach.

use crate::db::schema::attempts;
use crate::domain::clock::Timestamp;
use crate::domain::digest::to_hex;
use crate::domain::ids::{OwnerId, SessionId};
use crate::domain::names::Email;
use crate::domain::network::{network_of, site_of};
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
/// Password sign-ins allowed in one window per /48 of IPv6, because an attacker may have one with 65,536 smaller
/// networks, and per address for all users who are known there.
pub const SIGN_INS_PER_SITE: i32 = 50;
/// Password sign-ins allowed in total in one window: a limit on guessing spread over many addresses.
pub const SIGN_INS_IN_ALL: i32 = 3000;
/// Two-factor codes allowed per account in one window.
pub const CODES: i32 = 5;

/// Registrations, and requests to reset a password, allowed per address in one window.
pub const REGISTRATIONS: i32 = 10;
/// The same per /48 of IPv6.
pub const REGISTRATIONS_PER_SITE: i32 = 50;
/// Registrations allowed in total in one window.
pub const REGISTRATIONS_IN_ALL: i32 = 300;

/// Mails that a user, or anybody for one address, may have sent in one window.
pub const MAILS: i32 = 3;
/// Password resets that may be requested in total in one window.
pub const RESETS_IN_ALL: i32 = 300;

/// Refused exchanges of identity tokens allowed per address in one window: many jobs may share an address.
pub const EXCHANGES: i32 = 50;
/// Refused exchanges allowed per /48 of IPv6 in one window.
pub const EXCHANGES_PER_SITE: i32 = 200;
/// Refused exchanges allowed in total in one window.
pub const EXCHANGES_IN_ALL: i32 = 3000;

/// A bucket and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    name: String,
    most: i32,
    /// What to do instead of waiting until it has room again.
    instead: &'static str,
}

/// How to go on where a stranger's wrong passwords bar a right one: tokens are too long to be guessed.
const USE_A_TOKEN: &str = ", or use an access token: access tokens are not limited";

impl Bucket {
    fn new(name: String, most: i32, instead: &'static str) -> Self {
        Self { name, most, instead }
    }
}

/// The random name of a browser that a user signed in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceId(pub String);

/// A place that a user's sign-in comes from, and that is known to be theirs: they signed in there before, since the
/// last change of their account's epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownPlace {
    /// The user's own session, which asks for their password again.
    Session(SessionId),
    /// A browser with a device cookie for this account.
    Device(DeviceId),
    /// An address, for programs without cookies.
    Address(OwnerId, IpAddr),
}

impl KnownPlace {
    /// The bucket that only this place fills.
    fn bucket(&self, what: &str, most: i32) -> Bucket {
        let name = match self {
            Self::Session(id) => format!("{what} session {id}"),
            Self::Device(DeviceId(id)) => format!("{what} device {id}"),
            Self::Address(user, address) => format!("{what} user {user} at {}", network_of(*address)),
        };
        Bucket::new(name, most, USE_A_TOKEN)
    }
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
pub fn sign_in_buckets(account: &str, address: Option<IpAddr>, place: Option<&KnownPlace>) -> Vec<Bucket> {
    if let Some(place) = place {
        let mut buckets = vec![place.bucket("sign-in", SIGN_INS)];
        // An office or a proxy may be the address of many users, so all of them together have a limit too. Strangers
        // elsewhere can't fill it.
        if let KnownPlace::Address(_, address) = place {
            let name = format!("sign-in known at {}", network_of(*address));
            buckets.push(Bucket::new(name, SIGN_INS_PER_SITE, USE_A_TOKEN));
        }
        buckets.sort_by(|one, other| one.name.cmp(&other.name));
        return buckets;
    }
    let mut buckets = vec![
        Bucket::new(format!("sign-in account {account}"), SIGN_INS, USE_A_TOKEN),
        Bucket::new("sign-in in all".to_owned(), SIGN_INS_IN_ALL, USE_A_TOKEN),
    ];
    if let Some(address) = address {
        buckets.push(Bucket::new(format!("sign-in address {}", network_of(address)), SIGN_INS, USE_A_TOKEN));
        let site = |site| Bucket::new(format!("sign-in address {site}"), SIGN_INS_PER_SITE, USE_A_TOKEN);
        buckets.extend(site_of(address).map(site));
    }
    buckets.sort_by(|one, other| one.name.cmp(&other.name));
    buckets
}

/// The bucket a two-factor code is counted in.
pub fn code_buckets(user: OwnerId, place: Option<&KnownPlace>) -> Vec<Bucket> {
    let anywhere = || Bucket::new(format!("code {user}"), CODES, USE_A_TOKEN);
    vec![place.map_or_else(anywhere, |place| place.bucket("code", CODES))]
}

/// The buckets a registration is counted in, in the order in which they are locked.
pub fn registration_buckets(address: Option<IpAddr>) -> Vec<Bucket> {
    strangers_buckets("register", REGISTRATIONS_IN_ALL, address)
}

/// The buckets a request to reset a password is counted in, whichever account it is for, in the order in which they are
/// locked.
pub fn reset_buckets(address: Option<IpAddr>) -> Vec<Bucket> {
    strangers_buckets("reset", RESETS_IN_ALL, address)
}

/// The bucket of an account's password resets: only mail is limited by it, and nobody learns of it.
pub fn account_reset_buckets(user: OwnerId) -> Vec<Bucket> {
    vec![Bucket::new(format!("reset account {user}"), MAILS, "")]
}

/// The buckets of a link that a user has sent to an address, in the order in which they are locked. The address is
/// stored as a digest.
pub fn confirmation_buckets(key: &MasterKey, user: OwnerId, email: &Email) -> Vec<Bucket> {
    let key = MasterKey::new(key.derive("addresses that links are sent to"));
    let digest = to_hex(&key.authenticate(&[email.lower().as_bytes()]));
    let mut buckets = vec![
        Bucket::new(format!("confirm account {user}"), MAILS, ""),
        Bucket::new(format!("confirm email {digest}"), MAILS, ""),
    ];
    buckets.sort_by(|one, other| one.name.cmp(&other.name));
    buckets
}

/// The buckets of something that strangers do: by their address, and in all.
fn strangers_buckets(what: &str, in_all: i32, address: Option<IpAddr>) -> Vec<Bucket> {
    let mut buckets = vec![Bucket::new(format!("{what} in all"), in_all, "")];
    if let Some(address) = address {
        buckets.push(Bucket::new(format!("{what} address {}", network_of(address)), REGISTRATIONS, ""));
        let site = |site| Bucket::new(format!("{what} address {site}"), REGISTRATIONS_PER_SITE, "");
        buckets.extend(site_of(address).map(site));
    }
    buckets.sort_by(|one, other| one.name.cmp(&other.name));
    buckets
}

/// The buckets a refused exchange of an identity token is counted in, in the order in which they are locked. Nobody can
/// guess a signature: this only limits the work that refused requests cause.
pub fn exchange_buckets(address: Option<IpAddr>) -> Vec<Bucket> {
    let mut buckets = vec![Bucket::new("exchange in all".to_owned(), EXCHANGES_IN_ALL, "")];
    if let Some(address) = address {
        buckets.push(Bucket::new(format!("exchange address {}", network_of(address)), EXCHANGES, ""));
        let site = |site| Bucket::new(format!("exchange address {site}"), EXCHANGES_PER_SITE, "");
        buckets.extend(site_of(address).map(site));
    }
    buckets.sort_by(|one, other| one.name.cmp(&other.name));
    buckets
}

/// The buckets in which answers of OpenID Connect providers are counted that turn out to be wrong.
pub fn provider_buckets(address: Option<IpAddr>) -> Vec<Bucket> {
    let mut buckets = vec![Bucket::new("provider in all".to_owned(), SIGN_INS_IN_ALL, USE_A_TOKEN)];
    if let Some(address) = address {
        let of = |network: String| Bucket::new(format!("provider address {network}"), SIGN_INS_PER_SITE, USE_A_TOKEN);
        buckets.push(of(network_of(address).to_string()));
        buckets.extend(site_of(address).map(of));
    }
    buckets.sort_by(|one, other| one.name.cmp(&other.name));
    buckets
}

/// The buckets in which answers of passkeys are counted that turn out to be wrong. Nobody can guess a signature: this
/// limits the work that refused answers cause, and the records of them. The account's bucket is filled only by those who
/// know a credential of it.
pub fn passkey_buckets(user: Option<OwnerId>, address: Option<IpAddr>, place: Option<&KnownPlace>) -> Vec<Bucket> {
    if let Some(place) = place {
        return vec![place.bucket("passkey", SIGN_INS)];
    }
    let mut buckets = vec![Bucket::new("passkey in all".to_owned(), SIGN_INS_IN_ALL, USE_A_TOKEN)];
    buckets.extend(user.map(|user| Bucket::new(format!("passkey account {user}"), SIGN_INS, USE_A_TOKEN)));
    if let Some(address) = address {
        let of = |network: String, most| Bucket::new(format!("passkey address {network}"), most, USE_A_TOKEN);
        buckets.push(of(network_of(address).to_string(), SIGN_INS));
        buckets.extend(site_of(address).map(|site| of(site, SIGN_INS_PER_SITE)));
    }
    buckets.sort_by(|one, other| one.name.cmp(&other.name));
    buckets
}

fn names(buckets: &[Bucket]) -> Vec<&str> {
    buckets.iter().map(|bucket| bucket.name.as_str()).collect()
}

fn refuse(bucket: &Bucket, ends: Timestamp, now: Timestamp) -> Error {
    Error::RateLimited { retry_after: ends.since(now).as_secs() + 1, instead: bucket.instead }
}

/// Checks that every bucket has room, without counting anything. This refuses without a transaction what [`take`] would
/// refuse.
///
/// # Errors
/// [`Error::RateLimited`] when a bucket is full.
pub fn look(conn: &mut PgConnection, buckets: &[Bucket], now: Timestamp) -> Result<()> {
    let counted: Vec<(String, i32, Timestamp)> = attempts::table
        .filter(attempts::bucket.eq_any(names(buckets)))
        .filter(attempts::window_ends_at.gt(now).and(attempts::window_ends_at.le(now.latest_end_of(WINDOW))))
        .select((attempts::bucket, attempts::count, attempts::window_ends_at))
        .load(conn)?;
    let full = counted.iter().find_map(|(name, count, ends)| {
        let bucket = buckets.iter().find(|bucket| bucket.name == *name)?;
        (*count >= bucket.most).then(|| refuse(bucket, *ends, now))
    });
    full.map_or(Ok(()), Err)
}

/// Counts an attempt in every bucket before its result is known, so that no more concurrent attempts get through than
/// the bucket holds.
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
                attempts::count.eq(diesel::dsl::sql::<Integer>("CASE WHEN attempts.window_ends_at > ")
                    .bind::<Timestamptz, _>(now)
                    .sql(" AND attempts.window_ends_at <= ")
                    .bind::<Timestamptz, _>(now.latest_end_of(WINDOW))
                    .sql(" THEN attempts.count + 1 ELSE 1 END")),
                attempts::window_ends_at.eq(diesel::dsl::sql::<Timestamptz>("CASE WHEN attempts.window_ends_at > ")
                    .bind::<Timestamptz, _>(now)
                    .sql(" AND attempts.window_ends_at <= ")
                    .bind::<Timestamptz, _>(now.latest_end_of(WINDOW))
                    .sql(" THEN attempts.window_ends_at ELSE excluded.window_ends_at END")),
            ))
            .returning((attempts::count, attempts::window_ends_at))
            .get_result(conn)?;
        if count > bucket.most {
            return Err(refuse(bucket, ends, now));
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
