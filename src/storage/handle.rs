//! The state that all parts of the store share: the backend, and the number of running transfers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::task::JoinError;

use super::error::StoreError;
use super::local::Local;

/// The backend of a store. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Handle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    backend: Backend,
    readers: AtomicUsize,
}

#[derive(Debug)]
enum Backend {
    Local(Local),
}

impl Handle {
    pub(super) fn new(local: Local) -> Self {
        Self(Arc::new(Inner { backend: Backend::Local(local), readers: AtomicUsize::new(0) }))
    }

    pub(super) fn local(&self) -> &Local {
        let Backend::Local(local) = &self.0.backend;
        local
    }

    /// Running transfers.
    pub(super) fn readers(&self) -> &AtomicUsize {
        &self.0.readers
    }
}

/// The result of a blocking task; a panic in it continues here.
pub(super) fn unjoined<T>(result: Result<T, JoinError>) -> Result<T, StoreError> {
    result.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => StoreError::Away(io::Error::other("the server is shutting down")),
    })
}
