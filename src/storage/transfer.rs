//! Copies whole blobs out of the store and into it, for backups: verified on the way, under the same key.

use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::BlobStore;
use super::digests::{BLOCK, Declared, Hashers};
use super::error::StoreError;
use super::key::StorageKey;
use super::local::Temp;
use super::reader::read_at;

/// An error of a transfer: in the store, or on the other side.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The destination or the source of the bytes.
    #[error(transparent)]
    Elsewhere(io::Error),
}

impl BlobStore {
    /// Passes a whole blob to `sink`, a MiB at a time; blocks. The bytes are verified only when this succeeds: the
    /// SHA-256 is known at the end.
    ///
    /// # Errors
    /// The errors of the sink; [`StoreError::Missing`], [`StoreError::Damaged`], [`StoreError::Away`].
    pub fn export(
        &self,
        key: &StorageKey,
        size: u64,
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), TransferError> {
        let file = self.local().open_blob(key, size)?;
        let mut hashers = Hashers::wanted(&Declared::default());
        let mut position = 0;
        while position < size {
            let length = usize::try_from((size - position).min(BLOCK)).unwrap_or(usize::MAX);
            let bytes = read_at(&file, key, position, length)?;
            hashers.update(&bytes);
            sink(&bytes).map_err(TransferError::Elsewhere)?;
            position += bytes.len() as u64;
        }
        if hashers.finish().sha256 == key.sha256() { Ok(()) } else { Err(StoreError::Damaged(*key).into()) }
    }

    /// Stores the bytes of `source` as the blob with exactly this key, durable when this returns; blocks. Returns its
    /// size in bytes. No row names it yet: sweeps of this store must be blocked.
    ///
    /// # Errors
    /// The errors of the source; [`StoreError::Damaged`] when its bytes do not match the key, and then nothing is kept;
    /// [`StoreError::NoSpace`], [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn import(&self, key: &StorageKey, source: &mut dyn Read) -> Result<u64, TransferError> {
        let temp = Temp::create(self.local())?;
        let mut hashers = Hashers::wanted(&Declared::default());
        let mut buffer = Vec::new();
        let mut size = 0;
        loop {
            buffer.clear();
            (&mut *source).take(BLOCK).read_to_end(&mut buffer).map_err(TransferError::Elsewhere)?;
            if buffer.is_empty() {
                break;
            }
            hashers.update(&buffer);
            temp.file()?.write_all_at(&buffer, size).map_err(StoreError::from)?;
            size += buffer.len() as u64;
        }
        if hashers.finish().sha256 != key.sha256() {
            return Err(StoreError::Damaged(*key).into());
        }
        temp.file()?.sync_data().map_err(StoreError::from)?;
        temp.adopt(self.local(), key)?;
        Ok(size)
    }
}
