//! The bytes of a blob: a file, or the answers of an object store.

use std::fs::File;
use std::future::Future;

use bytes::Bytes;
use futures_util::FutureExt;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::error::StoreError;
use super::key::StorageKey;
use super::s3::{Feed, wait};

/// An open blob.
pub(super) enum Source {
    File(File),
    Feed(Box<Feed>),
}

impl Source {
    /// Announces the bytes that will be read next, so that an object store is asked for no others.
    pub(super) fn expect(&mut self, until: u64) {
        if let Self::Feed(feed) = self {
            feed.expect(until);
        }
    }

    /// Reads exactly `length` bytes; a blob that ends before them is damaged. A file blocks and never waits.
    pub(super) async fn read_at(&mut self, key: &StorageKey, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        match self {
            Self::File(file) => read_at(file, key, offset, length),
            Self::Feed(feed) => feed.read_at(offset, length).await,
        }
    }

    /// As [`Source::read_at`], for a caller on a blocking thread; blocks.
    pub(super) fn read_now(&mut self, key: &StorageKey, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        match self {
            Self::File(file) => read_at(file, key, offset, length),
            Self::Feed(feed) => wait(feed.read_at(offset, length)),
        }
    }
}

/// The result of a future that reads from a file, which never waits.
pub(super) fn at_once<T>(reading: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let waits = || Err(StoreError::Away(std::io::Error::other("reading a file waited")));
    reading.now_or_never().unwrap_or_else(waits)
}

fn read_at(file: &File, key: &StorageKey, offset: u64, length: usize) -> Result<Bytes, StoreError> {
    // `read_exact_at` would need zeroed memory, which costs 5 % of the total time at this speed.
    let mut buffer = Vec::with_capacity(length);
    while buffer.len() < length {
        let at = offset.saturating_add(buffer.len() as u64);
        match rustix::io::pread(file, spare_capacity(&mut buffer), at) {
            Ok(0) => return Err(StoreError::Damaged(*key)),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    buffer.truncate(length);
    Ok(buffer.into())
}
