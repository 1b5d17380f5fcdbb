//! Whole blobs out of the store and into it, for backups: verified on the way, under the key they have.

use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::BlobStore;
use super::digests::{BLOCK, Declared, Hashers};
use super::error::StoreError;
use super::key::StorageKey;
use super::local::Temp;
use super::reader::read_at;

/// What can go wrong with a transfer: on the store's side, or on the other.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Where the bytes go to, or come from.
    #[error(transparent)]
    Elsewhere(io::Error),
}

impl BlobStore {
    /// Gives a whole blob to `sink`, a MiB at a time; blocks. What was given is the blob only when this succeeds: its
    /// SHA-256 is known at the end.
    ///
    /// # Errors
    /// The sink's; [`StoreError::Missing`], [`StoreError::Damaged`], [`StoreError::Away`].
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

    /// Stores what `source` has as the blob of this very key, durable when this returns; blocks. Gives back its size
    /// in bytes. No row names it yet: it is for a store whose sweeps are held off.
    ///
    /// # Errors
    /// The source's; [`StoreError::Damaged`] when its bytes are not those of the key, and then nothing is kept;
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
