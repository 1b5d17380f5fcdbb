//! The addresses that each user signed in from. Wrong passwords from elsewhere don't count against sign-ins from there,
//! so that nobody can lock a user out. All servers of one database share them.

use crate::db::schema::known_addresses;
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::network::network_of;
use crate::error::Result;
use core::net::IpAddr;
use diesel::prelude::*;
use diesel::query_dsl::methods;
use diesel::upsert::excluded;
use std::time::Duration;

/// How long an address is known after the last sign-in from there.
pub const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// The most addresses per user: the next one replaces the one that was used least recently. Each has its own bucket, so
/// this limits how many guesses a crowd behind all of them has.
pub const MOST: i64 = 20;

/// Whether a user signed in from this address before, at the same epoch of their account.
///
/// # Errors
/// Database errors.
pub fn is_known(
    conn: &mut PgConnection,
    (user, epoch): (OwnerId, i32),
    address: IpAddr,
    now: Timestamp,
) -> Result<bool> {
    let known = known_addresses::table
        .find((user, network_of(address).to_string()))
        .filter(known_addresses::auth_epoch.eq(epoch))
        .filter(known_addresses::last_used_at.gt(now.minus(KNOWN_FOR)))
        .filter(known_addresses::last_used_at.le(now.latest_end_of(Duration::ZERO)));
    Ok(diesel::select(diesel::dsl::exists(known)).get_result(conn)?)
}

/// Whether a user signed in from this address at any epoch of their account. It only decides whether they are told.
///
/// # Errors
/// Database errors.
pub(super) fn was_known(conn: &mut PgConnection, user: OwnerId, address: IpAddr) -> Result<bool> {
    let known = known_addresses::table.find((user, network_of(address).to_string()));
    Ok(diesel::select(diesel::dsl::exists(known)).get_result(conn)?)
}

/// Remembers the address of a user who proved their password, and their second factor if they have one.
///
/// # Errors
/// [`crate::error::Error::NotFound`] when the user was deleted a moment ago.
pub fn remember(conn: &mut PgConnection, (user, epoch): (OwnerId, i32), address: IpAddr, now: Timestamp) -> Result<()> {
    let network = network_of(address).to_string();
    let upsert = diesel::insert_into(known_addresses::table)
        .values((
            known_addresses::user_id.eq(user),
            known_addresses::network.eq(&network),
            known_addresses::auth_epoch.eq(epoch),
            known_addresses::last_used_at.eq(now),
        ))
        .on_conflict((known_addresses::user_id, known_addresses::network))
        .do_update()
        .set((
            known_addresses::auth_epoch.eq(excluded(known_addresses::auth_epoch)),
            known_addresses::last_used_at.eq(excluded(known_addresses::last_used_at)),
        ));
    // A sign-in that took long must not undo a later one with the new password.
    let is_newer = known_addresses::auth_epoch.le(excluded(known_addresses::auth_epoch));
    methods::FilterDsl::filter(upsert, is_newer).execute(conn)?;
    let others = known_addresses::table
        .filter(known_addresses::user_id.eq(user))
        .filter(known_addresses::network.ne(&network))
        .order((known_addresses::auth_epoch.desc(), known_addresses::last_used_at.desc()))
        .select(known_addresses::network);
    let surplus: Vec<String> = others.offset(MOST - 1).load(conn)?;
    if !surplus.is_empty() {
        let surplus = known_addresses::network.eq_any(surplus);
        diesel::delete(known_addresses::table.filter(known_addresses::user_id.eq(user)).filter(surplus))
            .execute(conn)?;
    }
    Ok(())
}

/// Deletes addresses that are no longer known.
///
/// # Errors
/// Database errors.
pub fn forget_old(conn: &mut PgConnection, now: Timestamp) -> Result<usize> {
    let old = known_addresses::last_used_at.le(now.minus(KNOWN_FOR));
    Ok(diesel::delete(known_addresses::table.filter(old)).execute(conn)?)
}
