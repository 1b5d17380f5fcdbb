//! Keeps what servers remember of the database coherent with it: nothing that was taken away is used after the change
//! was answered, on any server.
//!
//! A server may use what it remembers while it has a lease, which it renews in its row of `servers`. Triggers send a
//! notification with the commit of every change that takes something away; it names an owner or a user, whose entries
//! every server forgets. After such a commit, [`super::Db::write`] sends a numbered notification, and waits until every
//! server with a lease has acknowledged its number. Notifications arrive in the order of commits, so that server has
//! received the change too. A server that was stopped, or cut off, loses its lease after [`LEASE`].
//!
//! Two things are outside this order, and waited for otherwise. A database that crashes may forget leases that servers
//! still use: the first changes after a crash wait as long as a lease lasts. And servers of a version without leases
//! wait for nobody: in their transactions, the triggers let all leases end before the commit.
//!
//! Only the clock of the database is compared with itself, and each server measures spans with its own monotonic clock,
//! so that the clocks of the servers need not agree.

mod keeper;
mod settle;

pub use keeper::ServerIdentity;
pub(super) use keeper::start;
pub(super) use settle::{lagging, received_here, send_sync, took_away};

use crate::domain::ids::OwnerId;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long a lease lasts, by the clock of the database.
pub const LEASE: Duration = Duration::from_secs(2);
/// How long a server trusts its own lease, counted from before it asked for it: less, because clocks run differently.
const TRUST: Duration = Duration::from_millis(1500);
/// A lease that ends so soon is not renewed, but regained.
const MARGIN: Duration = Duration::from_millis(100);
/// How many counters there are: owners with the same remainder share one, and are forgotten together.
const SLOTS: usize = 4096;

/// A point in the order in which this server forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

/// What this server knows of changes that take something away.
#[derive(Debug)]
pub struct Coherence {
    /// The number of times that this server has forgotten something.
    moment: AtomicU64,
    /// For each slot, when an owner of it was last forgotten.
    slots: Box<[AtomicU64]>,
    /// When everything was last forgotten.
    all: AtomicU64,
    origin: Instant,
    /// Until when the lease is trusted, in nanoseconds since `origin`.
    trusted_until: AtomicU64,
    /// Whether somebody asked since the last renewal.
    is_used: AtomicBool,
    is_stopped: AtomicBool,
    /// The last number received.
    received: watch::Sender<i64>,
    /// Whether the thread is to wake up; the first is for those who would wake it once more.
    is_woken: AtomicBool,
    poked: Mutex<bool>,
    poke: Condvar,
}

impl Default for Coherence {
    fn default() -> Self {
        Self {
            moment: AtomicU64::new(1),
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            all: AtomicU64::new(0),
            origin: Instant::now(),
            trusted_until: AtomicU64::new(0),
            is_used: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            received: watch::Sender::new(0),
            is_woken: AtomicBool::new(false),
            poked: Mutex::new(false),
            poke: Condvar::new(),
        }
    }
}

impl Coherence {
    /// The moment before a read whose result may be remembered. `None` while this server has no lease; it then asks for
    /// one.
    pub fn begin(&self) -> Option<Moment> {
        self.is_used.store(true, Ordering::Relaxed);
        if self.has_lease() {
            return Some(Moment(self.moment.load(Ordering::Acquire)));
        }
        self.wake();
        None
    }

    /// Whether what was read after `moment` still holds, as far as it depends on these owners and users.
    pub fn holds(&self, moment: Moment, owners: impl IntoIterator<Item = OwnerId>) -> bool {
        self.is_used.store(true, Ordering::Relaxed);
        // The lease comes first: what is forgotten before a lapsed lease is regained must be seen below.
        if !self.has_lease() {
            self.wake();
            return false;
        }
        let is_later = |forgotten: &AtomicU64| forgotten.load(Ordering::Acquire) > moment.0;
        !is_later(&self.all) && !owners.into_iter().any(|owner| self.slot(owner).is_some_and(is_later))
    }

    /// Whether this server may use what it remembers.
    pub fn has_lease(&self) -> bool {
        self.trusted_until.load(Ordering::Acquire) > self.since_origin(Instant::now())
    }

    fn since_origin(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    fn slot(&self, owner: OwnerId) -> Option<&AtomicU64> {
        let slot = usize::try_from(owner.0.unsigned_abs() % SLOTS as u64).ok()?;
        self.slots.get(slot)
    }

    /// The counter is written before the moment: a read that begins in between is forgotten too.
    fn forget(&self, counter: &AtomicU64) {
        let next = self.moment.load(Ordering::Relaxed) + 1;
        counter.store(next, Ordering::Release);
        self.moment.store(next, Ordering::Release);
    }

    fn forget_owner(&self, owner: OwnerId) {
        if let Some(slot) = self.slot(owner) {
            self.forget(slot);
        }
    }

    fn forget_all(&self) {
        self.forget(&self.all);
    }

    /// Trusts a lease that was asked for at this time.
    fn trust_since(&self, asked: Instant) {
        self.trusted_until.store(self.since_origin(asked + TRUST), Ordering::Release);
    }

    /// Whether the lease will still be trusted for a while; otherwise it ends now. A lease must not end between this
    /// check and its renewal: changes are answered without waiting then.
    fn lasts(&self) -> bool {
        let lasts = self.trusted_until.load(Ordering::Acquire) > self.since_origin(Instant::now() + MARGIN);
        if !lasts {
            self.lapse();
        }
        lasts
    }

    fn lapse(&self) {
        self.trusted_until.store(0, Ordering::Release);
    }

    /// Wakes the thread that keeps the lease.
    fn wake(&self) {
        if self.is_woken.swap(true, Ordering::AcqRel) {
            return;
        }
        *self.poked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.poke.notify_one();
    }

    /// Waits until somebody wakes the thread, or for this time.
    fn rest(&self, longest: Duration) {
        let poked = self.poked.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = self.poke.wait_timeout_while(poked, longest, |poked| !*poked);
        *woken.unwrap_or_else(PoisonError::into_inner).0 = false;
        self.is_woken.store(false, Ordering::Release);
    }

    /// Ends the thread that keeps the lease.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        self.lapse();
        self.wake();
    }
}

/// The state of a server with its thread, or of a command, which remembers nothing.
pub(super) type Shared = Arc<Coherence>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_its_owner_was_forgotten_no_longer_holds() {
        let coherence = Coherence::default();
        assert_eq!(coherence.begin(), None, "no lease yet");
        coherence.trust_since(Instant::now());
        let before = coherence.begin().unwrap();
        assert!(coherence.holds(before, [OwnerId(1), OwnerId(2)]));
        coherence.forget_owner(OwnerId(2));
        assert!(coherence.holds(before, [OwnerId(1)]));
        assert!(!coherence.holds(before, [OwnerId(1), OwnerId(2)]));
        let after = coherence.begin().unwrap();
        assert!(coherence.holds(after, [OwnerId(2)]));
        coherence.forget_all();
        assert!(!coherence.holds(after, [OwnerId(1)]));
        coherence.trust_since(Instant::now());
        let last = coherence.begin().unwrap();
        coherence.lapse();
        assert!(!coherence.holds(last, [OwnerId(1)]), "without a lease nothing holds");
    }
}
