//! File locks, which end with their holder, however it ends.

use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

/// How long to wait for a lock. Its former holder may have just ended: a process that it was spawning at that moment
/// has a copy of the lock until it executes its own program, some milliseconds later.
const PATIENCE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(10);

/// Locks a file; false when someone else keeps it locked. Blocks for up to half a second.
///
/// # Errors
/// File system errors.
pub fn lock_soon(file: &File) -> io::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}
