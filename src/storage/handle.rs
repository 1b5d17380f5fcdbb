//! The state that all parts of the store share: the backend, and the number of running transfers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::task::JoinError;

use super::error::StoreError;
use super::key::StorageKey;
use super::local::Local;
use super::s3::{Feed, S3};
use super::source::Source;
use super::stored::Stored;

/// The backend of a store. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Handle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    backend: Backend,
    readers: AtomicUsize,
}

#[derive(Debug)]
pub(super) enum Backend {
    Local(Local),
    S3(S3),
}

impl Handle {
    pub(super) fn new(backend: Backend) -> Self {
        Self(Arc::new(Inner { backend, readers: AtomicUsize::new(0) }))
    }

    pub(super) fn backend(&self) -> &Backend {
        &self.0.backend
    }

    /// The local store, for code that exists only for it.
    pub(super) fn demand_local(&self) -> Result<&Local, StoreError> {
        match &self.0.backend {
            Backend::Local(local) => Ok(local),
            Backend::S3(_) => Err(StoreError::Away(io::Error::other("this store is not a directory"))),
        }
    }

    /// Opens a blob for reading; blocks in a local store. A blob that is missing from an object store is noticed by the
    /// first read.
    pub(super) fn open(&self, blob: &Stored) -> Result<Source, StoreError> {
        match &self.0.backend {
            Backend::Local(local) => Ok(Source::File(local.open_blob(blob)?)),
            Backend::S3(s3) => Ok(Source::Feed(Box::new(Feed::new(s3.clone(), blob)))),
        }
    }

    /// Removes a blob; `false` when a local store did not have it; blocks.
    pub(super) fn remove(&self, key: &StorageKey) -> Result<bool, StoreError> {
        match &self.0.backend {
            Backend::Local(local) => local.remove(key),
            Backend::S3(s3) => s3.remove(key).map(|()| true),
        }
    }

    /// Running transfers.
    pub(super) fn readers(&self) -> &AtomicUsize {
        &self.0.readers
    }
}

/// The result of a task; a panic in it continues here.
pub(super) fn unjoined<T>(result: Result<T, JoinError>) -> Result<T, StoreError> {
    result.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => StoreError::Away(io::Error::other("the server is shutting down")),
    })
}
