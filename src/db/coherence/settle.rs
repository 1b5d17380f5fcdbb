//! After a commit that took something away: telling every server, and waiting for those that may still use it.

use super::{LEASE, Shared};
use crate::db::schema::servers;
use crate::error::Result;
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Double};
use std::time::Duration;

/// A number that was sent after a commit.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub(in crate::db) struct Settling {
    #[diesel(sql_type = BigInt)]
    pub(in crate::db) number: i64,
    /// How many other servers had a lease then.
    #[diesel(sql_type = BigInt)]
    pub(in crate::db) others: i64,
    /// Whether the database crashed less than a lease ago. It may then have forgotten leases, which servers write without
    /// waiting for the disk, although they still use them.
    #[diesel(sql_type = Bool)]
    pub(in crate::db) has_crashed: bool,
}

mod functions {
    use diesel::sql_types::{Bool, Text};

    diesel::define_sql_function! {
        fn current_setting(name: Text, missing_ok: Bool) -> Nullable<Text>;
    }
}

/// Whether the transaction that runs has taken something away.
pub(in crate::db) fn took_away(conn: &mut PgConnection) -> Result<bool> {
    let setting: Option<String> =
        diesel::select(functions::current_setting("packhouse.took_away", true)).get_result(conn)?;
    Ok(setting.as_deref() == Some("yes"))
}

/// Sends a number to all servers. `server` sends it, or 0 if it is a command.
pub(in crate::db) fn send_sync(conn: &mut PgConnection, server: i64) -> Result<Settling> {
    // The number is taken after the commit, so who receives it, or a later one, has received what that commit sent.
    let query = diesel::sql_query(
        "WITH sync AS MATERIALIZED (SELECT nextval('coherence_syncs') AS number), \
         sent AS MATERIALIZED (SELECT number, pg_notify('packhouse_coherence', concat_ws(' ', 'sync', number, $1)) FROM sync), \
         first AS (INSERT INTO database_runs (id, since) VALUES (1, clock_timestamp()) ON CONFLICT DO NOTHING) \
         SELECT sent.number, (SELECT count(*) FROM servers WHERE id <> $1 AND lease_until > clock_timestamp()) AS others, \
           NOT EXISTS (SELECT FROM database_runs WHERE since <= clock_timestamp() - make_interval(secs => $2)) AS has_crashed \
         FROM sent",
    );
    Ok(query.bind::<BigInt, _>(server).bind::<Double, _>(LEASE.as_secs_f64()).get_result(conn)?)
}

/// How many other servers have a lease and have not acknowledged the number.
pub(in crate::db) fn lagging(conn: &mut PgConnection, server: i64, number: i64) -> Result<i64> {
    let others = servers::table.filter(servers::id.ne(server)).filter(servers::acknowledged.lt(number));
    let with_lease = others.filter(sql::<Bool>("lease_until > clock_timestamp()"));
    Ok(with_lease.count().get_result(conn)?)
}

/// How long after a look to look again: a notification arrives soon after the statement that sent it.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(2);

/// Waits until this server has received the number, or has no lease.
pub(in crate::db) async fn received_here(coherence: &Shared, number: i64) {
    let mut received = coherence.received.subscribe();
    coherence.wake();
    while coherence.has_lease() {
        let arrived = tokio::time::timeout(LOOK_AGAIN_AFTER, received.wait_for(|last| *last >= number)).await;
        if arrived.is_ok() {
            return;
        }
        coherence.wake();
    }
}
