//! Uploading a blob to a bucket: small ones with one PUT, larger ones in parts.
//!
//! Bytes are collected in blocks of 1 MiB, which a blocking thread hashes while the next one arrives. At most three
//! parts of an upload are in memory: one that fills, and two on their way.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, Read};
use std::mem;

use bytes::Bytes;
use object_store::{Attribute, Attributes, MultipartUpload, ObjectStore, PutMultipartOptions, PutOptions, PutPayload};
use tokio::task::JoinHandle;

use super::bucket::{S3, wait, within};
use super::client::away;
use crate::blocking::{network, spawn_blocking};
use crate::domain::digest::Sha256;
use crate::outbound::COMPLETION;
use crate::storage::block::Block;
use crate::storage::digests::{BLOCK, Declared, Hashers, Sums, push_checksum};
use crate::storage::error::{StoreError, TransferError};
use crate::storage::key::StorageKey;
use crate::storage::stored::Stored;

/// The smallest part, and the size up to which a file is one PUT.
const PART: u64 = 8 << 20;
/// The largest part of a file of unknown size.
const LARGEST_PART: u64 = 64 << 20;
/// The most parts that S3 allows.
const PARTS: u64 = 10_000;
/// The parts are doubled after so many of them if the file's size is unknown.
const DOUBLE_AFTER: u64 = PARTS / 4;
/// How many parts are on their way at once.
const IN_FLIGHT: usize = 2;

/// A blob that the bucket has.
pub(in crate::storage) struct Finished {
    pub(in crate::storage) key: StorageKey,
    pub(in crate::storage) sums: Sums,
    pub(in crate::storage) size: u64,
    pub(in crate::storage) block_checksums: Vec<u8>,
}

/// An upload into a bucket. Dropping it aborts it.
pub(in crate::storage) struct Upload {
    bucket: S3,
    key: StorageKey,
    declared: Declared,
    expected: Option<u64>,
    size: u64,
    block: Block,
    hashing: Hashing,
    part: Vec<Bytes>,
    part_bytes: u64,
    parts: u64,
    multipart: Option<Box<dyn MultipartUpload>>,
    sending: VecDeque<JoinHandle<Result<(), object_store::Error>>>,
}

impl Upload {
    pub(in crate::storage) fn new(bucket: S3, declared: Declared) -> Self {
        let key = StorageKey::new(Sha256::new(rand::random()), rand::random());
        Self::with_key(bucket, key, declared)
    }

    fn with_key(bucket: S3, key: StorageKey, declared: Declared) -> Self {
        Self {
            bucket,
            key,
            hashing: Hashing::new(&declared),
            declared,
            expected: None,
            size: 0,
            block: Block::default(),
            part: Vec::new(),
            part_bytes: 0,
            parts: 0,
            multipart: None,
            sending: VecDeque::new(),
        }
    }

    pub(in crate::storage) fn key(&self) -> StorageKey {
        self.key
    }

    pub(in crate::storage) fn expect(&mut self, size: Option<u64>) {
        self.expected = size;
    }

    /// See [`crate::storage::Incoming::push`].
    pub(in crate::storage) async fn push(&mut self, mut chunk: Bytes) -> Result<(), StoreError> {
        self.size = self.size.saturating_add(chunk.len() as u64);
        while !chunk.is_empty() {
            if self.block.is_full() {
                self.end_block().await?;
                if self.part_bytes >= part_size(self.expected, self.parts) {
                    self.send_part().await?;
                }
            }
            self.block.fill(&mut chunk);
        }
        Ok(())
    }

    /// Adds a full block, or the last one, to the part, and hashes it on another thread.
    async fn end_block(&mut self) -> Result<(), StoreError> {
        let block = mem::take(&mut self.block).into_bytes();
        self.part_bytes += block.len() as u64;
        self.part.push(block.clone());
        self.hashing.start(block).await
    }

    async fn send_part(&mut self) -> Result<(), StoreError> {
        if self.parts == PARTS {
            return Err(StoreError::TooLarge { limit: self.size - self.part_bytes });
        }
        let mut multipart = match self.multipart.take() {
            Some(multipart) => multipart,
            None => self.begin_multipart().await?,
        };
        let part = multipart.put_part(mem::take(&mut self.part).into_iter().collect::<PutPayload>());
        self.multipart = Some(multipart);
        // A part that is larger than usual has no other beside it.
        let most = if self.part_bytes > LARGEST_PART { 1 } else { IN_FLIGHT };
        (self.part_bytes, self.parts) = (0, self.parts + 1);
        self.sending.push_back(network()?.spawn(part));
        while self.sending.len() > most {
            self.wait_for_part().await?;
        }
        Ok(())
    }

    async fn begin_multipart(&self) -> Result<Box<dyn MultipartUpload>, StoreError> {
        let (bucket, path) = (self.bucket.clone(), self.bucket.blob(&self.key));
        let options = PutMultipartOptions { attributes: attributes(&self.bucket), ..PutMultipartOptions::default() };
        on_network(async move {
            let begun = bucket.in_time(bucket.0.objects.put_multipart_opts(&path, options)).await?;
            begun.map_err(|error| away(&error))
        })
        .await
    }

    async fn wait_for_part(&mut self) -> Result<(), StoreError> {
        if let Some(sending) = self.sending.front_mut() {
            let sent = sending.await;
            self.sending.pop_front();
            sent.map_err(stopped)?.map_err(|error| away(&error))?;
        }
        Ok(())
    }

    /// See [`crate::storage::Incoming::finish`].
    pub(in crate::storage) async fn finish(mut self) -> Result<Finished, StoreError> {
        let sums = if self.part.is_empty() && self.multipart.is_none() && self.size <= BLOCK {
            self.end_small().await?
        } else {
            if !self.block.is_empty() {
                self.end_block().await?;
            }
            self.hashing.finish().await?
        };
        sums.check(&self.declared)?;
        if self.multipart.is_some() {
            if self.part_bytes > 0 {
                self.send_part().await?;
            }
            while !self.sending.is_empty() {
                self.wait_for_part().await?;
            }
            self.complete().await?;
        } else {
            self.put().await?;
        }
        let (key, size) = (self.key, self.size);
        Ok(Finished { key, sums, size, block_checksums: mem::take(&mut self.hashing.checksums) })
    }

    /// Hashes a file of up to 1 MiB: all four digests, and no checksums of blocks.
    async fn end_small(&mut self) -> Result<Sums, StoreError> {
        let block = mem::take(&mut self.block).into_bytes();
        self.part.push(block.clone());
        let hash = spawn_blocking(move || {
            let mut hashers = Hashers::all();
            hashers.update(&block);
            hashers.finish()
        });
        hash.await.map_err(stopped)
    }

    async fn put(&mut self) -> Result<(), StoreError> {
        let (bucket, key, size) = (self.bucket.clone(), self.key, self.size);
        let payload: PutPayload = mem::take(&mut self.part).into_iter().collect();
        let options = PutOptions { attributes: attributes(&bucket), ..PutOptions::default() };
        on_network(async move {
            let path = bucket.blob(&key);
            bucket.in_time(bucket.0.objects.put_opts(&path, payload, options)).await?.map_err(|error| away(&error))?;
            confirm(&bucket, &key, size).await
        })
        .await
    }

    async fn complete(&mut self) -> Result<(), StoreError> {
        let Some(mut multipart) = self.multipart.take() else { return Ok(()) };
        let (bucket, key, size) = (self.bucket.clone(), self.key, self.size);
        on_network(async move {
            let completed = within(COMPLETION, multipart.complete()).await;
            // An answer that was lost on its way says nothing: the object does.
            let confirmed = confirm(&bucket, &key, size).await;
            match (completed, confirmed) {
                (_, Ok(())) => Ok(()),
                (Ok(Ok(_)), Err(error)) | (Err(error), Err(_)) => {
                    let _ = bucket.in_time(multipart.abort()).await;
                    Err(error)
                }
                (Ok(Err(error)), Err(_)) => {
                    let _ = bucket.in_time(multipart.abort()).await;
                    Err(away(&error))
                }
            }
        })
        .await
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        for sending in &self.sending {
            sending.abort();
        }
        if let (Some(mut multipart), Ok(network)) = (self.multipart.take(), network()) {
            let bucket = self.bucket.clone();
            // If this fails, a sweep aborts it later.
            network.spawn(async move { bucket.in_time(multipart.abort()).await.map(drop) });
        }
    }
}

/// Makes sure that the bucket has an object of the right size.
async fn confirm(bucket: &S3, key: &StorageKey, size: u64) -> Result<(), StoreError> {
    match bucket.head(key).await? {
        Some(found) if found == size => Ok(()),
        found => {
            let found = found.map_or_else(|| "no object".to_owned(), |found| format!("an object of {found} bytes"));
            let text = format!("the object store has {found} instead of the {size} bytes that were sent");
            Err(StoreError::Away(io::Error::other(text)))
        }
    }
}

fn attributes(bucket: &S3) -> Attributes {
    let class = bucket.0.storage_class.iter().map(|class| (Attribute::StorageClass, class.clone()));
    class.collect()
}

async fn on_network<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    network()?.spawn(work).await.map_err(stopped)?
}

fn stopped(_: tokio::task::JoinError) -> StoreError {
    StoreError::Away(io::Error::other("the server is shutting down"))
}

/// The size of the next part. All parts of a file of known size are equal, which some stores demand.
fn part_size(expected: Option<u64>, parts: u64) -> u64 {
    match expected {
        Some(size) => size.div_ceil(PARTS).next_multiple_of(BLOCK).max(PART),
        None => (PART << (parts / DOUBLE_AFTER).min(8)).min(LARGEST_PART),
    }
}

/// The hash of all blocks so far, on a thread that takes one block at a time.
struct Hashing {
    hashers: Option<Hashers>,
    running: Option<JoinHandle<(Hashers, u32)>>,
    checksums: Vec<u8>,
}

impl Hashing {
    fn new(declared: &Declared) -> Self {
        Self { hashers: Some(Hashers::wanted(declared)), running: None, checksums: Vec::new() }
    }

    async fn start(&mut self, block: Bytes) -> Result<(), StoreError> {
        self.wait().await?;
        if let Some(mut hashers) = self.hashers.take() {
            self.running = Some(spawn_blocking(move || {
                hashers.update(&block);
                (hashers, crc32fast::hash(&block))
            }));
        }
        Ok(())
    }

    async fn wait(&mut self) -> Result<(), StoreError> {
        if let Some(running) = &mut self.running {
            let hashed = running.await;
            self.running = None;
            let (hashers, crc) = hashed.map_err(stopped)?;
            self.hashers = Some(hashers);
            push_checksum(&mut self.checksums, crc);
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<Sums, StoreError> {
        self.wait().await?;
        let lost = || StoreError::Away(io::Error::other("the upload lost its hash"));
        Ok(self.hashers.take().ok_or_else(lost)?.finish())
    }
}

/// Stores the bytes of a source under a given key; blocks.
pub(in crate::storage) fn import(bucket: &S3, blob: &Stored, source: &mut dyn Read) -> Result<(), TransferError> {
    let declared = Declared { sha256: Some(blob.sha256), ..Declared::default() };
    let mut upload = Upload::with_key(bucket.clone(), blob.key, declared);
    upload.expect(Some(blob.size));
    loop {
        let mut block = Vec::new();
        (&mut *source).take(BLOCK).read_to_end(&mut block).map_err(TransferError::Elsewhere)?;
        if block.is_empty() {
            break;
        }
        wait(upload.push(block.into()))?;
        if upload.size > blob.size {
            return Err(StoreError::Damaged(blob.key).into());
        }
    }
    match wait(upload.finish()) {
        Ok(finished) if finished.size == blob.size => Ok(()),
        Ok(_) | Err(StoreError::DigestMismatch(_)) => Err(StoreError::Damaged(blob.key).into()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_with_the_file_and_ten_thousand_are_enough() {
        const GIB: u64 = 1 << 30;
        assert_eq!(
            (part_size(None, 0), part_size(None, 2_500), part_size(None, 9_999)),
            (PART, 2 * PART, LARGEST_PART)
        );
        assert_eq!((0..PARTS).map(|part| part_size(None, part)).sum::<u64>() / GIB, 292);
        for size in [0, 1, GIB, 78 * GIB, 79 * GIB, 5_120 * GIB] {
            let part = part_size(Some(size), 0);
            assert_eq!(part, part_size(Some(size), 9_999), "all parts are equal");
            assert!(size.div_ceil(part) <= PARTS && part >= PART && part.is_multiple_of(BLOCK), "{size}");
        }
    }
}
