//! Walking over the store and removing unused blobs, whatever the store is. All of it blocks: call it on a blocking
//! thread.

use std::collections::HashSet;
use std::time::SystemTime;

use super::entry::{Entry, Held, Leftovers, Swept};
use super::error::StoreError;
use super::handle::{Backend, Handle};
use super::key::StorageKey;
use super::{local_sweep, s3};

/// Walks over all blobs, in no order, with one directory's or one page's entries in memory at a time.
pub struct Walk(Walker);

enum Walker {
    Local(Box<local_sweep::Walk>),
    S3(Box<s3::Listing>),
}

impl Walk {
    pub(super) fn new(store: &Handle) -> Result<Self, StoreError> {
        Ok(Self(match store.backend() {
            Backend::Local(local) => Walker::Local(Box::new(local_sweep::Walk::new(local)?)),
            Backend::S3(s3) => Walker::S3(Box::new(s3::Listing::new(s3)?)),
        }))
    }
}

impl Iterator for Walk {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walker::Local(walk) => walk.next(),
            Walker::S3(listing) => listing.next(),
        }
    }
}

/// A blob that no upload holds; in a local store, locked against other sweeps. Ask the database once more whether a row
/// or a lease names it, and only then [`Claim::hold`] or [`Claim::remove`] it: an upload gives up its lock or its lease
/// with its commit, so the answer is final.
#[derive(Debug)]
pub struct Claim(Claimed);

#[derive(Debug)]
enum Claimed {
    Local(Box<local_sweep::Claim>),
    S3(s3::Claim),
}

impl Claim {
    pub(super) fn new(store: &Handle, key: &StorageKey) -> Result<Option<Self>, StoreError> {
        Ok(match store.backend() {
            Backend::Local(local) => local_sweep::Claim::new(local, key)?.map(Self::local),
            Backend::S3(s3) => s3::Claim::new(s3, key)?.map(|claim| Self(Claimed::S3(claim))),
        })
    }

    /// Claims a blob that is held.
    pub(super) fn held(store: &Handle, key: &StorageKey) -> Result<Option<Self>, StoreError> {
        let claim = match store.backend() {
            Backend::Local(local) => return Ok(local_sweep::Claim::held(local, key)?.map(Self::local)),
            Backend::S3(s3) => s3::Claim::new(s3, key)?,
        };
        if claim.is_none() {
            // Removed by something else: nothing is left to hold.
            put_back(store, key)?;
        }
        Ok(claim.map(|claim| Self(Claimed::S3(claim))))
    }

    fn local(claim: local_sweep::Claim) -> Self {
        Self(Claimed::Local(Box::new(claim)))
    }

    pub fn key(&self) -> StorageKey {
        match &self.0 {
            Claimed::Local(claim) => claim.key(),
            Claimed::S3(claim) => claim.key,
        }
    }

    /// The blob's size in bytes.
    ///
    /// # Errors
    /// [`StoreError::Away`].
    pub fn size(&self) -> Result<u64, StoreError> {
        match &self.0 {
            Claimed::Local(claim) => claim.size(),
            Claimed::S3(claim) => Ok(claim.size),
        }
    }

    /// Holds the blob and returns its size in bytes. `now` is the start of its second grace period. From a directory it
    /// returns by itself when it is read; in a bucket it stays readable, and the next sweep restores it.
    ///
    /// # Errors
    /// [`StoreError::Away`] when it cannot be held.
    pub fn hold(self, now: SystemTime) -> Result<u64, StoreError> {
        match self.0 {
            Claimed::Local(claim) => claim.hold(now),
            Claimed::S3(claim) => claim.hold(now).map(|()| claim.size),
        }
    }

    /// Removes the blob and returns its size in bytes.
    ///
    /// # Errors
    /// [`StoreError::Away`] when it cannot be removed.
    pub fn remove(self) -> Result<u64, StoreError> {
        match self.0 {
            Claimed::Local(claim) => claim.remove(),
            Claimed::S3(claim) => claim.remove().map(|()| claim.size),
        }
    }
}

/// All blobs that are held: 48 bytes of memory each.
pub(super) fn held(store: &Handle) -> Result<Vec<Held>, StoreError> {
    match store.backend() {
        Backend::Local(local) => local_sweep::held(local),
        Backend::S3(s3) => s3::held(s3),
    }
}

/// Holds a blob no longer; false when it is not held.
pub(super) fn put_back(store: &Handle, key: &StorageKey) -> Result<bool, StoreError> {
    match store.backend() {
        Backend::Local(local) => local.verified()?.put_back(key),
        Backend::S3(s3) => s3.put_back(key),
    }
}

/// Removes what crashed uploads left before `older_than`: files that nobody holds, or parts of uploads without a lease.
pub(super) fn sweep_incoming(
    store: &Handle,
    older_than: SystemTime,
    leased: &HashSet<StorageKey>,
) -> Result<Swept, StoreError> {
    match store.backend() {
        Backend::Local(local) => local_sweep::sweep_incoming(local, older_than),
        Backend::S3(s3) => {
            let mut swept = Swept::default();
            for upload in s3.abandoned(older_than, leased)? {
                s3.abort(&upload)?;
                tracing::info!(upload = upload.name, "aborted an upload that nobody completed");
                swept.add(0);
            }
            Ok(swept)
        }
    }
}

/// Counts what a sweep would remove, and finds what it would never touch.
pub(super) fn leftovers(
    store: &Handle,
    older_than: SystemTime,
    leased: &HashSet<StorageKey>,
) -> Result<Leftovers, StoreError> {
    match store.backend() {
        Backend::Local(local) => local_sweep::leftovers(local, older_than),
        Backend::S3(s3) => {
            let mut leftovers = Leftovers::default();
            s3.abandoned(older_than, leased)?.iter().for_each(|_| leftovers.abandoned.add(0));
            Ok(leftovers)
        }
    }
}
