//! The thread of a server that keeps its row and its lease, and receives what to forget.

use super::{Coherence, LEASE, Shared};
use crate::db::pool::{Conn, Manager};
use crate::db::schema::servers;
use crate::domain::ids::OwnerId;
use crate::error::{Error, Result};
use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::r2d2::ManageConnection;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz};
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the lease is renewed.
const RENEW_EVERY: Duration = Duration::from_millis(500);
/// How often the row is written while nobody asks for what is remembered.
const BEAT_EVERY: Duration = Duration::from_secs(5);
/// How long the lease is kept after the last question.
const IDLE_AFTER: Duration = Duration::from_secs(5);
/// How often to look for notifications with a lease: changes by other processes wait this long. One look is one system
/// call.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often to look for them without a lease, when nobody waits.
const LOOK_IDLE_EVERY: Duration = Duration::from_millis(250);
/// How long after a lease was not granted to ask again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How long to wait after the connection was lost.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);
/// How long the row of a server that ended without removing it is kept.
const KEEP_DEAD: &str = "1 day";

const CHANNEL: &str = "packhouse_coherence";

/// Who a server is, for the others.
#[derive(Debug, Clone)]
pub struct ServerIdentity {
    /// A random number of this process.
    pub id: i64,
    /// The address it listens on.
    pub address: String,
    /// Whether it remembers anything, and so needs leases.
    pub remembers: bool,
}

/// Starts the thread. It ends when `coherence` is stopped.
///
/// # Errors
/// When the thread cannot be started.
pub(in crate::db) fn start(
    coherence: &Shared,
    manager: Manager,
    identity: ServerIdentity,
) -> std::io::Result<JoinHandle<()>> {
    let keeper = Keeper { coherence: Shared::clone(coherence), manager, identity };
    std::thread::Builder::new().name("coherence".to_owned()).spawn(move || keeper.run())
}

struct Keeper {
    coherence: Shared,
    manager: Manager,
    identity: ServerIdentity,
}

/// A connection that listens, and what happened on it.
struct Session {
    conn: PgConnection,
    renewed: Option<Instant>,
    used: Option<Instant>,
    /// The last number received.
    received: i64,
    /// Another process waits for an acknowledgment.
    is_awaited: bool,
    /// The last notification of this session's own that came back.
    returned: u64,
    sent: u64,
}

impl Keeper {
    fn run(self) {
        while !self.is_stopped() {
            if let Err(error) = self.session()
                && !self.is_stopped()
            {
                tracing::debug!(%error, "the connection that listens for changes was lost");
            }
            self.coherence.lapse();
            let again = Instant::now() + RECONNECT_AFTER;
            while !self.is_stopped() && Instant::now() < again {
                self.coherence.rest(again.saturating_duration_since(Instant::now()));
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.coherence.is_stopped.load(Ordering::Acquire)
    }

    fn session(&self) -> Result<()> {
        let Conn { inner: mut conn, foreign, .. } = self.manager.connect().map_err(Error::internal)?;
        if foreign {
            return Err(Error::Busy("this database belongs to another store"));
        }
        // These rows need not survive a crash of the database: a change after one waits as long as a lease lasts
        // (`Settling::has_crashed`). Postgres must notice when this server hangs: its queue of notifications cannot become
        // shorter until then.
        conn.batch_execute(&format!(
            "SET application_name = 'packhouse listen'; SET synchronous_commit = off; SET tcp_keepalives_idle = 5; \
             SET tcp_user_timeout = '30s'; LISTEN {CHANNEL}"
        ))?;
        let forgotten = servers::seen_at.lt(sql::<Timestamptz>(&format!("clock_timestamp() - interval '{KEEP_DEAD}'")));
        diesel::delete(servers::table.filter(forgotten)).execute(&mut conn)?;
        // Notifications were lost while no connection listened. Everything that was committed before a number was taken
        // is forgotten with everything else, so these numbers are received.
        let last = sql::<BigInt>("(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM coherence_syncs)");
        let received = diesel::select(last).get_result(&mut conn)?;
        self.coherence.forget_all();
        self.coherence.received.send_replace(received);
        let mut session =
            Session { conn, renewed: None, used: None, received, is_awaited: false, returned: 0, sent: 0 };
        while !self.is_stopped() {
            session.receive(&self.coherence, &self.identity)?;
            self.renew_if_due(&mut session)?;
            let has_lease = self.coherence.has_lease();
            self.coherence.rest(if has_lease { LOOK_EVERY } else { LOOK_IDLE_EVERY });
        }
        self.coherence.lapse();
        diesel::delete(servers::table.find(self.identity.id)).execute(&mut session.conn)?;
        Ok(())
    }

    fn renew_if_due(&self, session: &mut Session) -> Result<()> {
        let now = Instant::now();
        if self.coherence.is_used.swap(false, Ordering::Relaxed) {
            session.used = Some(now);
        }
        let is_old = |at: Option<Instant>, age: Duration| at.is_none_or(|at| now.duration_since(at) >= age);
        let mut wants_lease = self.identity.remembers && !is_old(session.used, IDLE_AFTER);
        let had_lease = self.coherence.has_lease();
        let every = if wants_lease { RENEW_EVERY } else { BEAT_EVERY };
        let lost = had_lease && !wants_lease;
        let gained = !had_lease && wants_lease && is_old(session.renewed, ASK_AGAIN_AFTER);
        if !(is_old(session.renewed, every) || lost || gained || session.is_awaited) {
            return Ok(());
        }
        wants_lease = wants_lease && !session.has_earlier_servers()?;
        if !wants_lease {
            self.coherence.lapse();
        }
        session.write_row(&self.identity, wants_lease)?;
        session.renewed = Some(now);
        if wants_lease {
            if !self.coherence.lasts() {
                // While there was no lease, nobody waited for this server: what was sent until then must have arrived.
                session.catch_up(&self.coherence, &self.identity)?;
            }
            session.receive(&self.coherence, &self.identity)?;
            self.coherence.trust_since(now);
        }
        Ok(())
    }
}

impl Session {
    /// Receives what came, and forgets what it names.
    fn receive(&mut self, coherence: &Coherence, identity: &ServerIdentity) -> Result<()> {
        let before = self.received;
        for notification in self.conn.notifications_iter() {
            let payload = notification?.payload;
            let mut words = payload.split(' ');
            match (words.next().unwrap_or_default(), words.next(), words.next()) {
                ("sync", Some(number), sender) => {
                    self.received = self.received.max(number.parse().map_err(Error::internal)?);
                    self.is_awaited |= sender.and_then(|id| id.parse().ok()) != Some(identity.id);
                }
                ("mine", Some(number), Some(sender)) => {
                    if sender.parse().ok() == Some(identity.id) {
                        self.returned = number.parse().map_err(Error::internal)?;
                    }
                }
                (owner, None, None) => match owner.parse() {
                    Ok(id) => coherence.forget_owner(OwnerId(id)),
                    Err(_) => coherence.forget_all(),
                },
                // From a later version: whatever it says, forgetting everything is right.
                _ => coherence.forget_all(),
            }
        }
        if self.received > before {
            coherence.received.send_replace(self.received);
        }
        Ok(())
    }

    /// Whether servers of a version run that knows no leases. Nothing is remembered until they were replaced, because
    /// they wait for nobody. They are known by the names of their connections. One that opens its first connection after
    /// this look waits by itself until all leases are over: the database's function `forget_owner` sees to that.
    fn has_earlier_servers(&mut self) -> Result<bool> {
        let query = "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
            AND application_name IN ('packhouse read', 'packhouse write'))";
        Ok(diesel::select(sql::<Bool>(query)).get_result(&mut self.conn)?)
    }

    /// Writes the row of this server: that it lives, its lease, and what it has received.
    fn write_row(&mut self, identity: &ServerIdentity, with_lease: bool) -> Result<()> {
        let lease = LEASE.as_secs();
        let until = if with_lease { format!("clock_timestamp() + interval '{lease} s'") } else { "NULL".to_owned() };
        let (now, until) = (|| sql::<Timestamptz>("clock_timestamp()"), || sql::<Nullable<Timestamptz>>(&until));
        let acknowledged = servers::acknowledged.eq(self.received);
        diesel::insert_into(servers::table)
            .values((
                servers::id.eq(identity.id),
                servers::version.eq(env!("CARGO_PKG_VERSION")),
                servers::address.eq(&identity.address),
                servers::started_at.eq(now()),
                servers::seen_at.eq(now()),
                servers::lease_until.eq(until()),
                acknowledged,
            ))
            .on_conflict(servers::id)
            .do_update()
            .set((servers::seen_at.eq(now()), servers::lease_until.eq(until()), acknowledged))
            .execute(&mut self.conn)?;
        self.is_awaited = false;
        Ok(())
    }

    /// Receives everything that was sent before this call.
    fn catch_up(&mut self, coherence: &Coherence, identity: &ServerIdentity) -> Result<()> {
        self.sent += 1;
        let payload = format!("mine {} {}", self.sent, identity.id);
        let deadline = Instant::now() + LEASE;
        diesel::select(pg_notify(CHANNEL, payload)).execute(&mut self.conn)?;
        // Postgres sends a session's own notifications before it is ready for the next statement.
        while self.returned < self.sent {
            self.receive(coherence, identity)?;
            if Instant::now() > deadline {
                return Err(Error::Busy("the database does not answer"));
            }
            if self.returned < self.sent {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }
}

diesel::define_sql_function! {
    fn pg_notify(channel: Text, payload: Text);
}
