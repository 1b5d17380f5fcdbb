//! Walking over a bucket, and removing unused blobs from it.
//!
//! A held blob stays where it is: an empty object named `held/<key>/<seconds>` beside it says since when. Copying a
//! blob takes long and costs money, and a reader finds a held blob without any help.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};

use super::bucket::{S3, wait};
use super::client::away;
use crate::storage::dir::{BLOBS, HELD};
use crate::storage::entry::{Entry, Held};
use crate::storage::error::StoreError;
use crate::storage::key::StorageKey;

/// Since when blobs are held, by the names of the objects that say so.
type HoldNames = HashMap<StorageKey, Vec<u64>>;

/// Walks over all blobs that are not held.
pub(in crate::storage) struct Listing {
    bucket: S3,
    prefix: String,
    held: Arc<HoldNames>,
    objects: BoxStream<'static, object_store::Result<ObjectMeta>>,
}

impl Listing {
    /// Begins a walk; blocks.
    pub(in crate::storage) fn new(bucket: &S3) -> Result<Self, StoreError> {
        let held = Arc::new(hold_names(bucket)?);
        let prefix = bucket.path(BLOBS);
        let objects = bucket.0.objects.list(Some(&prefix));
        Ok(Self { bucket: bucket.clone(), prefix: format!("{prefix}/"), held, objects })
    }
}

impl Iterator for Listing {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let next = match wait(self.bucket.in_time(self.objects.next())) {
                Ok(next) => next?,
                Err(error) => return Some(Err(error)),
            };
            let meta = match next {
                Ok(meta) => meta,
                Err(error) => return Some(Err(away(&error))),
            };
            let name = meta.location.as_ref().strip_prefix(&self.prefix).unwrap_or(meta.location.as_ref());
            let own = name.split_once('/').and_then(|(shard, key)| Some((shard, key.parse::<StorageKey>().ok()?)));
            match own {
                Some((shard, key)) if key.shard() == shard => {
                    if !self.held.contains_key(&key) {
                        let modified = SystemTime::from(meta.last_modified);
                        return Some(Ok(Entry::Blob { key, size: meta.size, modified }));
                    }
                }
                _ => return Some(Ok(Entry::Foreign(name.to_owned()))),
            }
        }
    }
}

/// All blobs that are held; blocks.
pub(in crate::storage) fn held(bucket: &S3) -> Result<Vec<Held>, StoreError> {
    let names = hold_names(bucket)?.into_iter();
    // The latest counts, if a sweep stopped before it removed the earlier one.
    let since = |times: Vec<u64>| Duration::from_secs(times.into_iter().max().unwrap_or(0));
    let at = |times| SystemTime::UNIX_EPOCH.checked_add(since(times)).unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(names.map(|(key, times)| Held { key, since: at(times) }).collect())
}

/// The objects that say which blobs are held; blocks.
fn hold_names(bucket: &S3) -> Result<HoldNames, StoreError> {
    list_holds(bucket, &bucket.path(HELD))
}

/// The objects below a path that say which blobs are held; blocks.
fn list_holds(bucket: &S3, prefix: &Path) -> Result<HoldNames, StoreError> {
    wait(async {
        let mut names = HoldNames::new();
        let mut objects = bucket.0.objects.list(Some(prefix));
        while let Some(object) = bucket.in_time(objects.next()).await? {
            let object = object.map_err(|error| away(&error))?;
            // Whatever comes before them.
            let mut parts = object.location.as_ref().rsplit('/');
            if let (Some(Ok(seconds)), Some(Ok(key))) = (parts.next().map(str::parse), parts.next().map(str::parse)) {
                names.entry(key).or_default().push(seconds);
            }
        }
        Ok(names)
    })
}

/// A blob that a sweep is about to hold or to remove. Nothing locks it: the caller asks the database for rows and
/// leases.
#[derive(Debug)]
pub(in crate::storage) struct Claim {
    bucket: S3,
    pub(in crate::storage) key: StorageKey,
    pub(in crate::storage) size: u64,
}

impl Claim {
    /// Claims a blob, held or not; `None` when it does not exist; blocks.
    pub(in crate::storage) fn new(bucket: &S3, key: &StorageKey) -> Result<Option<Self>, StoreError> {
        let size = bucket.stat(key)?;
        Ok(size.map(|size| Self { bucket: bucket.clone(), key: *key, size }))
    }

    /// Holds the blob from now on; blocks.
    pub(in crate::storage) fn hold(&self, now: SystemTime) -> Result<(), StoreError> {
        let before = self.bucket.holds_of(&self.key)?;
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let path = self.bucket.path(&format!("{HELD}/{}/{seconds}", self.key));
        let put = self.bucket.0.objects.put(&path, PutPayload::new());
        wait(async { self.bucket.in_time(put).await?.map_err(|error| away(&error)) })?;
        self.bucket.forget_holds(&self.key, before.into_iter().filter(|time| *time != seconds))
    }

    /// Removes the blob, and what says that it is held; blocks.
    pub(in crate::storage) fn remove(&self) -> Result<(), StoreError> {
        self.bucket.remove(&self.key)?;
        self.bucket.put_back(&self.key).map(drop)
    }
}

impl S3 {
    /// Holds a blob no longer; false when it was not held; blocks.
    pub(in crate::storage) fn put_back(&self, key: &StorageKey) -> Result<bool, StoreError> {
        let holds = self.holds_of(key)?;
        let was_held = !holds.is_empty();
        self.forget_holds(key, holds.into_iter())?;
        Ok(was_held)
    }

    fn holds_of(&self, key: &StorageKey) -> Result<Vec<u64>, StoreError> {
        Ok(list_holds(self, &self.path(&format!("{HELD}/{key}")))?.remove(key).unwrap_or_default())
    }

    fn forget_holds(&self, key: &StorageKey, times: impl Iterator<Item = u64>) -> Result<(), StoreError> {
        for seconds in times {
            wait(self.delete(&self.path(&format!("{HELD}/{key}/{seconds}"))))?;
        }
        Ok(())
    }
}
