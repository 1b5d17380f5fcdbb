//! Receiving an upload into a local store.
//!
//! Bytes are collected in a block of up to 1 MiB. A full block goes to two blocking threads at once, one that writes it
//! past the page cache and one that hashes it, while the network fills the next: hashing costs 0.7 s per GiB and would
//! otherwise add to the time of writing. At most two blocks exist (20 uploads were measured to hold 2.1 MiB each), and
//! no thread is held while the client is idle. A file of up to 1 MiB uses one thread, once, at its end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::adopted::{Adopted, Hold};
use super::block::Block;
use super::digests::{Declared, Hashers, Sums, push_checksum};
use super::direct;
use super::error::StoreError;
use super::handle::{Handle, unjoined};
use super::key::StorageKey;
use super::local::Temp;
use crate::blocking::spawn_blocking;

/// An upload into a local store; dropping it removes the written bytes. It costs nothing until bytes arrive.
pub(super) struct LocalUpload {
    store: Handle,
    declared: Declared,
    size: u64,
    buffer: Block,
    pipeline: Option<Pipeline>,
}

impl LocalUpload {
    pub(super) fn new(store: Handle, declared: Declared) -> Self {
        Self { store, declared, size: 0, buffer: Block::default(), pipeline: None }
    }

    /// See [`super::Incoming::push`].
    pub(super) async fn push(&mut self, mut chunk: Bytes) -> Result<(), StoreError> {
        self.size = self.size.saturating_add(chunk.len() as u64);
        while !chunk.is_empty() {
            if self.buffer.is_full() {
                self.hand_over().await?;
            }
            self.buffer.fill(&mut chunk);
        }
        Ok(())
    }

    async fn hand_over(&mut self) -> Result<(), StoreError> {
        let pipeline = self.pipeline.get_or_insert_with(|| Pipeline::new(&self.declared));
        let free = pipeline.wait().await?;
        pipeline.start(&self.store, std::mem::replace(&mut self.buffer, free), false);
        Ok(())
    }

    /// See [`super::Incoming::finish`]. A failed fsync is final: the file is removed, since a second fsync could
    /// succeed without the bytes.
    pub(super) async fn finish(mut self) -> Result<Adopted, StoreError> {
        let (store, declared, size) = (self.store.clone(), self.declared, self.size);
        let Some(mut pipeline) = self.pipeline.take() else {
            let bytes = std::mem::take(&mut self.buffer);
            return seen(spawn_blocking(move || store_small(&store, &declared, bytes.bytes()))).await;
        };
        pipeline.wait().await?;
        pipeline.start(&store, std::mem::take(&mut self.buffer), true);
        pipeline.wait().await?;
        let Pipeline { temp, hashers, checksums, .. } = pipeline;
        let sums = hashers.ok_or_else(lost)?.finish();
        sums.check(&declared)?;
        let temp = temp.and_then(Arc::into_inner).ok_or_else(lost)?;
        seen(spawn_blocking(move || adopt(&store, temp, &sums, size, checksums))).await
    }
}

/// The writing thread's result: the file, and the CRC-32 of the block it wrote.
type Written = Result<(Arc<Temp>, u32), StoreError>;

/// The two threads' work on the last buffer.
struct Pipeline {
    temp: Option<Arc<Temp>>,
    hashers: Option<Hashers>,
    checksums: Vec<u8>,
    offset: u64,
    block: Option<Arc<Block>>,
    writing: Option<JoinHandle<Written>>,
    hashing: Option<JoinHandle<Hashers>>,
}

impl Pipeline {
    fn new(declared: &Declared) -> Self {
        Self {
            temp: None,
            hashers: Some(Hashers::wanted(declared)),
            checksums: Vec::new(),
            offset: 0,
            block: None,
            writing: None,
            hashing: None,
        }
    }

    /// Waits for both threads and returns their buffer, empty, to fill again.
    async fn wait(&mut self) -> Result<Block, StoreError> {
        if let Some(writing) = &mut self.writing {
            let written = writing.await;
            self.writing = None;
            let (temp, crc) = unjoined(written)??;
            self.temp = Some(temp);
            push_checksum(&mut self.checksums, crc);
        }
        if let Some(hashing) = &mut self.hashing {
            let hashed = hashing.await;
            self.hashing = None;
            self.hashers = Some(unjoined(hashed)?);
        }
        let mut free = self.block.take().and_then(Arc::into_inner).unwrap_or_default();
        free.clear();
        Ok(free)
    }

    /// Writes and hashes a block on one thread each. The writer, which has less to do, also computes the checksum.
    fn start(&mut self, store: &Handle, block: Block, last: bool) {
        let block = Arc::new(block);
        let (written, offset, temp, store) = (Arc::clone(&block), self.offset, self.temp.take(), store.clone());
        self.offset = offset.saturating_add(block.len() as u64);
        self.writing = Some(spawn_blocking(move || {
            let temp = match temp {
                Some(temp) => temp,
                None => {
                    let temp = Temp::create(store.demand_local()?)?;
                    direct::turn_on(temp.file()?);
                    Arc::new(temp)
                }
            };
            direct::write_block(temp.file()?, written.bytes(), offset)?;
            let crc = crc32fast::hash(written.bytes());
            drop(written);
            if last {
                sync(temp.file()?)?;
            }
            Ok((temp, crc))
        }));
        if let Some(mut hashers) = self.hashers.take() {
            let hashed = Arc::clone(&block);
            self.hashing = Some(spawn_blocking(move || {
                hashers.update(hashed.bytes());
                drop(hashed);
                hashers
            }));
        }
        self.block = Some(block);
    }
}

/// Stores a small file in one blocking step, including all four digests.
fn store_small(store: &Handle, declared: &Declared, bytes: &[u8]) -> Result<Unseen, StoreError> {
    let mut hashers = Hashers::all();
    hashers.update(bytes);
    let sums = hashers.finish();
    sums.check(declared)?;
    let temp = Temp::create(store.demand_local()?)?;
    temp.file()?.write_all_at(bytes, 0)?;
    sync(temp.file()?)?;
    adopt(store, temp, &sums, bytes.len() as u64, Vec::new())
}

/// `fdatasync` is enough: it writes the bytes and the metadata needed to read them back, including the length. It
/// leaves out the times. The name belongs to the directory, which is fsynced after the rename.
fn sync(file: &File) -> Result<(), StoreError> {
    Ok(file.sync_data()?)
}

fn adopt(store: &Handle, temp: Temp, sums: &Sums, size: u64, block_checksums: Vec<u8>) -> Result<Unseen, StoreError> {
    let key = StorageKey::new(sums.sha256, rand::random());
    let held = temp.adopt(store.demand_local()?, &key)?;
    Ok(Unseen(Some(Adopted::new(store.clone(), key, sums, size, block_checksums, Hold::Lock { _file: held }))))
}

/// A blob whose key nobody has seen yet: if the task that waits for it is gone, the blob is removed.
struct Unseen(Option<Adopted>);

impl Drop for Unseen {
    fn drop(&mut self) {
        if let Some(adopted) = self.0.take() {
            let _ = adopted.discard();
        }
    }
}

async fn seen(task: JoinHandle<Result<Unseen, StoreError>>) -> Result<Adopted, StoreError> {
    let mut adopted = unjoined(task.await)??;
    adopted.0.take().ok_or_else(lost)
}

fn lost() -> StoreError {
    StoreError::Away(io::Error::other("the upload lost its file"))
}
