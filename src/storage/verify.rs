//! Reading a whole blob to check that it still equals what was published.

use super::digests::{BLOCK, Declared, Hashers, checksum_at};
use super::error::StoreError;
use super::local::Local;
use super::reader::{Stored, read_at};
use crate::domain::damage::Damage;
use rustix::fs::Advice;
use std::fs::File;
use std::num::NonZeroU64;

/// See [`super::BlobStore::verify`].
pub(super) fn verify(local: &Local, blob: &Stored, pace: impl FnMut(u64)) -> Result<Option<Damage>, StoreError> {
    let file = match local.find(&blob.key) {
        Ok(Some((file, size))) if size == blob.size => file,
        Ok(Some(_)) | Err(StoreError::Damaged(_)) => return Ok(Some(Damage::WrongLength)),
        Ok(None) => return Ok(Some(Damage::Missing)),
        Err(error) => return unreadable(local, error),
    };
    match read(&file, blob, pace) {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(Damage::WrongBytes)),
        Err(StoreError::Damaged(_)) => Ok(Some(Damage::WrongLength)),
        Err(error) => unreadable(local, error),
    }
}

/// A disk error counts as damage of the blob if the store works otherwise.
fn unreadable(local: &Local, error: StoreError) -> Result<Option<Damage>, StoreError> {
    let StoreError::Away(source) = &error else { return Err(error) };
    let is_bad_place = source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    if !is_bad_place || local.free_space().is_err() {
        return Err(error);
    }
    tracing::error!(%error, "cannot read a stored file from the disk");
    Ok(Some(Damage::Unreadable))
}

fn read(file: &File, blob: &Stored, mut pace: impl FnMut(u64)) -> Result<bool, StoreError> {
    // The page cache may be right when the disk is not. Bytes that were read once are not read again soon either, and
    // must not displace what other readers need. Both calls are only advice.
    let forget = |from: u64, length: u64| rustix::fs::fadvise(file, from, NonZeroU64::new(length), Advice::DontNeed);
    let _ = forget(0, 0);
    let mut hashers = Hashers::wanted(&Declared::default());
    let mut position = 0;
    while position < blob.size {
        let length = usize::try_from((blob.size - position).min(BLOCK)).unwrap_or(usize::MAX);
        let bytes = read_at(file, &blob.key, position, length)?;
        if let Some(sums) = &blob.block_checksums
            && checksum_at(sums, position / BLOCK) != Some(crc32fast::hash(&bytes))
        {
            return Ok(false);
        }
        hashers.update(&bytes);
        let read = bytes.len() as u64;
        let _ = forget(position, read);
        position += read;
        pace(read);
    }
    Ok(hashers.finish().sha256 == blob.key.sha256())
}
