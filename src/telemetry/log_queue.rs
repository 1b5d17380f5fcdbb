//! The lines that wait to be logged. A thread writes them, so that a reader of the log that pauses does not hold up
//! requests, and many lines at once, so that under load a line costs no system call.

use std::io::{self, Write};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many bytes may wait. Further lines are lost.
const MOST: usize = 8 << 20;
/// How long lines are collected after others were written.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the end of the process waits for a reader of the log.
const PATIENCE: Duration = Duration::from_secs(2);
/// How much memory the queue keeps.
const KEPT: usize = 256 << 10;

/// Lines on their way to the log.
pub(super) struct LogQueue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    lost: AtomicU64,
}

struct Waiting {
    bytes: Vec<u8>,
    lines: u64,
    /// Nothing more comes.
    is_ending: bool,
    /// Everything was written.
    is_over: bool,
}

impl LogQueue {
    pub(super) const fn new() -> Self {
        let waiting = Waiting { bytes: Vec::new(), lines: 0, is_ending: false, is_over: false };
        Self { waiting: Mutex::new(waiting), changed: Condvar::new(), lost: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many lines were lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Writes lines as they come, until the queue is ended. A full disk or a reader that went away must not stop a
    /// server that has more important things to do, so an error only counts.
    pub(super) fn run(&self, mut log: impl Write) {
        let mut batch = Vec::new();
        loop {
            let nothing = |waiting: &mut Waiting| waiting.bytes.is_empty() && !waiting.is_ending;
            let mut waiting = self.changed.wait_while(self.lock(), nothing).unwrap_or_else(PoisonError::into_inner);
            if waiting.bytes.is_empty() {
                waiting.is_over = true;
                return self.changed.notify_all();
            }
            mem::swap(&mut waiting.bytes, &mut batch);
            let (lines, is_ending) = (mem::take(&mut waiting.lines), waiting.is_ending);
            drop(waiting);
            if log.write_all(&batch).is_err() {
                self.lost.fetch_add(lines, Ordering::Relaxed);
            }
            batch.clear();
            batch.shrink_to(KEPT);
            if !is_ending {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Waits until everything is written, for some time.
    pub(super) fn end(&self) {
        let mut waiting = self.lock();
        waiting.is_ending = true;
        self.changed.notify_all();
        // The lock is poisoned only if the other thread is gone.
        drop(self.changed.wait_timeout_while(waiting, PATIENCE, |waiting| !waiting.is_over));
    }
}

/// Each write is a line.
impl Write for &LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.lock();
        if waiting.bytes.len() + line.len() > MOST {
            self.lost.fetch_add(1, Ordering::Relaxed);
        } else {
            waiting.bytes.extend_from_slice(line);
            waiting.lines += 1;
            if waiting.lines == 1 {
                drop(waiting);
                self.changed.notify_all();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
