//! Receiving an upload, whatever the store is.

use bytes::Bytes;

use super::adopted::{Adopted, Hold};
use super::digests::Declared;
use super::error::StoreError;
use super::handle::{Backend, Handle};
use super::key::StorageKey;
use super::local_incoming::LocalUpload;
use super::s3;

/// An upload in progress. Nothing of it is visible; dropping it removes the written bytes.
pub struct Incoming {
    store: Handle,
    limit: Option<u64>,
    size: u64,
    upload: Upload,
}

enum Upload {
    Local(Box<LocalUpload>),
    S3(Box<s3::Upload>),
}

impl Incoming {
    pub(super) fn new(store: Handle, limit: Option<u64>, declared: Declared) -> Self {
        let upload = match store.backend() {
            Backend::Local(_) => Upload::Local(Box::new(LocalUpload::new(store.clone(), declared))),
            Backend::S3(s3) => Upload::S3(Box::new(s3::Upload::new(s3.clone(), declared))),
        };
        Self { store, limit, size: 0, upload }
    }

    /// Announces the size in bytes. An object store then gets parts of a fitting size: without it, a file may have at
    /// most about 290 GiB there.
    pub fn expect(&mut self, size: Option<u64>) {
        if let Upload::S3(upload) = &mut self.upload {
            upload.expect(size);
        }
    }

    /// The key that the blob will have, if the store cannot protect it from sweeps by itself: hold a lease on it in the
    /// database from before the first byte until its row is committed.
    pub fn reserved_key(&self) -> Option<StorageKey> {
        match &self.upload {
            Upload::Local(_) => None,
            Upload::S3(upload) => Some(upload.key()),
        }
    }

    /// Bytes received so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes; waits when the store or the hasher is slower than the network. Drop the upload after an
    /// error, or after this was canceled.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] beyond the limit; [`StoreError::NoSpace`], [`StoreError::NotAStore`] and
    /// [`StoreError::Away`] from writing earlier bytes.
    pub async fn push(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        self.size = self.size.saturating_add(chunk.len() as u64);
        if let Some(limit) = self.limit.filter(|limit| self.size > *limit) {
            return Err(StoreError::TooLarge { limit });
        }
        match &mut self.upload {
            Upload::Local(upload) => upload.push(chunk).await,
            Upload::S3(upload) => upload.push(chunk).await,
        }
    }

    /// Ends the upload: hashes and writes the rest, compares the declared digests, makes bytes and name durable.
    ///
    /// # Errors
    /// As [`Incoming::push`], and [`StoreError::DigestMismatch`]. Nothing is kept then.
    pub async fn finish(self) -> Result<Adopted, StoreError> {
        match self.upload {
            Upload::Local(upload) => upload.finish().await,
            Upload::S3(upload) => {
                let s3::Finished { key, sums, size, block_checksums } = upload.finish().await?;
                Ok(Adopted::new(self.store, key, &sums, size, block_checksums, Hold::Lease))
            }
        }
    }
}
