//! Copies whole blobs out of the store and into it, for backups: verified on the way, under the same key.

use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::BlobStore;
use super::digests::{BLOCK, Declared, Hashers};
use super::error::{StoreError, TransferError};
use super::handle::Backend;
use super::local::{Local, Temp};
use super::s3;
use super::source::Source;
use super::stored::Stored;

impl BlobStore {
    /// Passes a whole blob to `sink`, a MiB at a time; blocks. The bytes are verified only when this succeeds: the
    /// SHA-256 is known at the end.
    ///
    /// # Errors
    /// The errors of the sink; [`StoreError::Missing`], [`StoreError::Damaged`], [`StoreError::Away`].
    pub fn export(&self, blob: &Stored, mut sink: impl FnMut(&[u8]) -> io::Result<()>) -> Result<(), TransferError> {
        let (key, size) = (&blob.key, blob.size);
        let mut source = self.0.open(blob)?;
        let mut hashers = Hashers::wanted(&Declared::default());
        let mut position = 0;
        while position < size {
            let length = usize::try_from((size - position).min(BLOCK)).unwrap_or(usize::MAX);
            let bytes = source.read_now(key, position, length)?;
            hashers.update(&bytes);
            sink(&bytes).map_err(TransferError::Elsewhere)?;
            position += bytes.len() as u64;
        }
        if hashers.finish().sha256 == blob.sha256 { Ok(()) } else { Err(StoreError::Damaged(*key).into()) }
    }

    /// Copies a blob to another store, under the same key; blocks. `pace` is called for every MiB and may sleep.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Damaged`], and then nothing is kept; the errors of both stores.
    pub fn copy(&self, blob: &Stored, to: &Self, pace: impl FnMut(u64)) -> Result<(), TransferError> {
        let mut reader =
            SourceReader { source: self.0.open(blob)?, blob, position: 0, ready: Bytes::new(), pace, failed: None };
        let imported = to.import(blob, &mut reader);
        match reader.failed {
            Some(error) => Err(error.into()),
            None => imported,
        }
    }

    /// Stores the bytes of `source` as the blob with exactly this key, durable when this returns; blocks. No row names
    /// it yet: sweeps of this store must be blocked.
    ///
    /// # Errors
    /// The errors of the source; [`StoreError::Damaged`] when its bytes do not match, and then nothing is kept;
    /// [`StoreError::NoSpace`], [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn import(&self, blob: &Stored, source: &mut dyn Read) -> Result<(), TransferError> {
        match self.0.backend() {
            Backend::Local(local) => import_file(local, blob, source),
            Backend::S3(s3) => s3::import(s3, blob, source),
        }
    }
}

/// The bytes of a blob, in order.
struct SourceReader<'a, P> {
    source: Source,
    blob: &'a Stored,
    position: u64,
    ready: Bytes,
    pace: P,
    /// The error of the store, which an [`io::Error`] would hide.
    failed: Option<StoreError>,
}

impl<P: FnMut(u64)> Read for SourceReader<'_, P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ready.is_empty() {
            let length = (self.blob.size - self.position).min(BLOCK);
            let read =
                self.source.read_now(&self.blob.key, self.position, usize::try_from(length).unwrap_or(usize::MAX));
            self.ready = read.map_err(|error| {
                self.failed = Some(error);
                io::Error::other("the blob cannot be read")
            })?;
            self.position += length;
            (self.pace)(length);
        }
        let piece = self.ready.split_to(buffer.len().min(self.ready.len()));
        if let Some(place) = buffer.get_mut(..piece.len()) {
            place.copy_from_slice(&piece);
        }
        Ok(piece.len())
    }
}

fn import_file(local: &Local, blob: &Stored, source: &mut dyn Read) -> Result<(), TransferError> {
    let temp = Temp::create(local)?;
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
    if size != blob.size || hashers.finish().sha256 != blob.sha256 {
        return Err(StoreError::Damaged(blob.key).into());
    }
    temp.file()?.sync_data().map_err(StoreError::from)?;
    temp.adopt(local, &blob.key)?;
    Ok(())
}
