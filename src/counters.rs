//! Counters in memory, so that no download and no use of a token waits for a write. A job writes them to the database.

use crate::domain::clock::Timestamp;
use crate::domain::ids::{FileId, SessionId, TokenId};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Downloads of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downloads {
    pub count: i64,
    /// The time of the last one.
    pub last: Timestamp,
}

impl Downloads {
    fn add(&mut self, more: Self) {
        self.count += more.count;
        self.last = self.last.max(more.last);
    }
}

/// Counts since the last flush.
#[derive(Debug, Default)]
pub struct Counters {
    downloads: Mutex<HashMap<FileId, Downloads>>,
    token_uses: Mutex<HashMap<TokenId, (Timestamp, Option<IpAddr>)>>,
    session_uses: Mutex<HashMap<SessionId, Timestamp>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counters {
    /// Counts a download.
    pub fn download(&self, file: FileId, at: Timestamp) {
        let one = Downloads { count: 1, last: at };
        lock(&self.downloads).entry(file).and_modify(|all| all.add(one)).or_insert(one);
    }

    /// Records that a token was used.
    pub fn token_use(&self, token: TokenId, at: Timestamp, from: Option<IpAddr>) {
        lock(&self.token_uses).insert(token, (at, from));
    }

    /// Records that a session was used.
    pub fn session_use(&self, session: SessionId, at: Timestamp) {
        lock(&self.session_uses).insert(session, at);
    }

    /// Takes out the uses of sessions, in the order of their ids.
    pub fn take_session_uses(&self) -> Vec<(SessionId, Timestamp)> {
        let mut taken: Vec<_> = std::mem::take(&mut *lock(&self.session_uses)).into_iter().collect();
        taken.sort_unstable();
        taken
    }

    /// Takes out the downloads, in the order of their files: two servers that write at the same time then lock the rows
    /// in the same order.
    pub fn take_downloads(&self) -> Vec<(FileId, Downloads)> {
        let mut taken: Vec<_> = std::mem::take(&mut *lock(&self.downloads)).into_iter().collect();
        taken.sort_unstable_by_key(|(file, _)| *file);
        taken
    }

    /// Puts back downloads that could not be written.
    pub fn put_back_downloads(&self, counts: &[(FileId, Downloads)]) {
        let mut downloads = lock(&self.downloads);
        for (file, more) in counts {
            downloads.entry(*file).and_modify(|all| all.add(*more)).or_insert(*more);
        }
    }

    /// Takes out the uses of tokens, in the order of their ids.
    pub fn take_token_uses(&self) -> Vec<(TokenId, Timestamp, Option<IpAddr>)> {
        let taken = std::mem::take(&mut *lock(&self.token_uses));
        let mut taken: Vec<_> = taken.into_iter().map(|(token, (at, from))| (token, at, from)).collect();
        taken.sort_unstable_by_key(|(token, _, _)| *token);
        taken
    }
}
