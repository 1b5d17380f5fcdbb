//! Reading a whole blob to check that it still equals what was published.

use super::digests::{BLOCK, Declared, Hashers, checksum_at};
use super::error::StoreError;
use super::handle::{Backend, Handle};
use super::local::Local;
use super::source::Source;
use super::stored::Stored;
use crate::domain::damage::Damage;
use rustix::fs::Advice;
use std::num::NonZeroU64;

/// See [`super::BlobStore::verify`].
pub(super) fn verify(store: &Handle, blob: &Stored, pace: impl FnMut(u64)) -> Result<Option<Damage>, StoreError> {
    let read = match store.backend() {
        Backend::Local(local) => match local.find(&blob.key) {
            Ok(Some((file, size))) if size == blob.size => read(&mut Source::File(file), blob, pace),
            Ok(Some(_)) => Err(StoreError::Damaged(blob.key)),
            Ok(None) => Err(StoreError::Missing(blob.key)),
            Err(error) => Err(error),
        },
        Backend::S3(s3) => match s3.stat(&blob.key)? {
            Some(size) if size == blob.size => read(&mut store.open(blob)?, blob, pace),
            Some(_) => Err(StoreError::Damaged(blob.key)),
            None => Err(StoreError::Missing(blob.key)),
        },
    };
    match (read, store.backend()) {
        (Ok(true), _) => Ok(None),
        (Ok(false), _) => Ok(Some(Damage::WrongBytes)),
        (Err(StoreError::Missing(_)), _) => Ok(Some(Damage::Missing)),
        (Err(StoreError::Damaged(_)), _) => Ok(Some(Damage::WrongLength)),
        (Err(error), Backend::Local(local)) => unreadable(local, error),
        (Err(error), Backend::S3(_)) => Err(error),
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

/// Whether all bytes are as the row says. What follows them is not looked at: the caller has compared the size.
fn read(source: &mut Source, blob: &Stored, mut pace: impl FnMut(u64)) -> Result<bool, StoreError> {
    // The page cache may be right when the disk is not. Bytes that were read once are not read again soon either, and
    // must not displace what other readers need. Both calls are only advice.
    forget(source, 0, 0);
    let mut hashers = Hashers::wanted(&Declared::default());
    let mut position = 0;
    while position < blob.size {
        let length = usize::try_from((blob.size - position).min(BLOCK)).unwrap_or(usize::MAX);
        let bytes = source.read_now(&blob.key, position, length)?;
        if let Some(sums) = &blob.block_checksums
            && checksum_at(sums, position / BLOCK) != Some(crc32fast::hash(&bytes))
        {
            return Ok(false);
        }
        hashers.update(&bytes);
        let read = bytes.len() as u64;
        forget(source, position, read);
        position += read;
        pace(read);
    }
    Ok(hashers.finish().sha256 == blob.sha256)
}

/// Drops bytes of a file from the page cache; all from a position on if the length is zero.
fn forget(source: &Source, from: u64, length: u64) {
    if let Source::File(file) = source {
        let _ = rustix::fs::fadvise(file, from, NonZeroU64::new(length), Advice::DontNeed);
    }
}
