//! The bucket, and its single objects.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use object_store::ObjectStoreExt;
use object_store::aws::AmazonS3;
use object_store::client::HttpClient;
use object_store::path::Path;

use super::client::{away, connect};
use crate::blocking::network;
use crate::config::StoreConfig;
use crate::storage::dir::BLOBS;
use crate::storage::error::StoreError;
use crate::storage::key::{StorageKey, StoreId};

/// How often longer than for one answer an operation may take, with all its attempts.
const OPERATION: u32 = 4;

/// When the bucket was last found to be writable.
#[derive(Debug, Default)]
pub(super) struct Readiness(pub(super) Mutex<Option<Instant>>);

/// A bucket. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::storage) struct S3(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) objects: AmazonS3,
    /// The same without retries, for probes and for what repeats by itself.
    pub(super) once: AmazonS3,
    pub(super) http: HttpClient,
    pub(super) prefix: String,
    pub(super) storage_class: Option<String>,
    pub(super) patience: Duration,
    pub(super) id: StoreId,
    pub(super) readiness: Readiness,
}

impl S3 {
    /// Opens the bucket; see [`crate::storage::BlobStore::open`].
    pub(in crate::storage) fn open(
        config: &StoreConfig,
        create: bool,
        expected: Option<StoreId>,
    ) -> Result<Self, StoreError> {
        let connection = connect(config)?;
        let bucket = Inner {
            objects: connection.objects,
            once: connection.once,
            http: connection.http,
            prefix: config.prefix.trim_matches('/').to_owned(),
            storage_class: Some(config.storage_class.clone()).filter(|class| !class.is_empty()),
            patience: Duration::from_secs(config.timeout_seconds),
            id: StoreId::new([0; 16]),
            readiness: Readiness::default(),
        };
        let bucket = Self(Arc::new(bucket));
        let id = wait(bucket.identify(create && expected.is_none()))?;
        if expected.is_some_and(|expected| expected != id) {
            return Err(StoreError::NotAStore("the marker belongs to another store"));
        }
        let inner = Arc::into_inner(bucket.0).ok_or_else(|| StoreError::Away(io::Error::other("it is open twice")))?;
        Ok(Self(Arc::new(Inner { id, ..inner })))
    }

    pub(in crate::storage) fn id(&self) -> StoreId {
        self.0.id
    }

    /// The size of a blob, `None` when it does not exist; blocks.
    pub(in crate::storage) fn stat(&self, key: &StorageKey) -> Result<Option<u64>, StoreError> {
        wait(self.head(key))
    }

    pub(super) async fn head(&self, key: &StorageKey) -> Result<Option<u64>, StoreError> {
        match self.in_time(self.0.objects.head(&self.blob(key))).await? {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(away(&error)),
        }
    }

    /// Removes a blob, whether it exists or not; blocks.
    pub(in crate::storage) fn remove(&self, key: &StorageKey) -> Result<(), StoreError> {
        wait(self.delete(&self.blob(key)))
    }

    pub(super) async fn delete(&self, path: &Path) -> Result<(), StoreError> {
        match self.in_time(self.0.objects.delete(path)).await? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(away(&error)),
        }
    }

    pub(super) fn path(&self, name: &str) -> Path {
        if self.0.prefix.is_empty() { Path::from(name) } else { Path::from(format!("{}/{name}", self.0.prefix)) }
    }

    pub(super) fn blob(&self, key: &StorageKey) -> Path {
        self.path(&format!("{BLOBS}/{}/{key}", key.shard()))
    }

    /// Waits for an operation no longer than all its attempts may take.
    pub(super) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, StoreError> {
        within(self.0.patience * OPERATION, work).await
    }
}

pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, StoreError> {
    let late = |_| StoreError::Away(io::Error::new(io::ErrorKind::TimedOut, "the object store does not answer"));
    tokio::time::timeout(limit, work).await.map_err(late)
}

/// Runs an operation for a caller on a blocking thread; blocks.
pub(in crate::storage) fn wait<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    network()?.block_on(work)
}
