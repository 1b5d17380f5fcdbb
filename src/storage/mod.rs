//! The blob store.
//!
//! A store holds blobs under keys and knows nothing about packages. The only backend is a local directory; an object
//! store can become another backend of the same [`BlobStore`], whose operations therefore use no paths. The
//! documentation says which functions block and need a blocking thread; `async` functions find their own on the current
//! tokio runtime.

mod digests;
mod dir;
mod error;
mod handle;
mod incoming;
mod key;
mod local;
mod marker;
mod reader;
mod sweep;
mod transfer;
mod verify;

use std::path::PathBuf;
use std::time::SystemTime;

use bytes::Bytes;

pub use self::digests::{BLOCK, Declared};
pub use self::error::StoreError;
pub use self::incoming::{Adopted, Incoming};
pub use self::key::{InvalidStorageKey, StorageKey, StoreId};
pub use self::local::Space;
pub use self::reader::{BlobReader, BlockingReader, Stored, Transfer};
pub use self::sweep::{Claim, Entry, Held, Leftovers, Swept, Walk};
pub use self::transfer::TransferError;

use self::digests::{Hashers, push_checksum, sha256};
use self::handle::Handle;
use self::local::Local;
use crate::domain::damage::Damage;
use crate::domain::digest::{OtherDigests, Sha256};

/// Everything that is computed from a blob's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllDigests {
    /// SHA-256; it equals the key's.
    pub sha256: Sha256,
    /// The three other digests.
    pub other: OtherDigests,
    /// As [`Adopted::block_checksums`].
    pub block_checksums: Vec<u8>,
}

/// The blob store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BlobStore(Handle);

impl BlobStore {
    /// Opens the store in a local directory; blocks.
    ///
    /// `expected` is the id that the database records: another store, or none, is refused. With `create`, and when
    /// nothing is expected, an empty or absent directory becomes a new store. This is for the very first start only,
    /// because the mount point of a missing disk is also an empty directory.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`] without the right marker; [`StoreError::Away`] and [`StoreError::NoSpace`].
    pub fn open_local(root: PathBuf, create: bool, expected: Option<StoreId>) -> Result<Self, StoreError> {
        Ok(Self(Handle::new(Local::open(root, create, expected)?)))
    }

    /// The id of this store.
    pub fn id(&self) -> StoreId {
        self.local().id()
    }

    /// Begins an upload of at most `limit` bytes, whose digests are compared with `declared` before anything is kept.
    /// It costs nothing until bytes arrive.
    pub fn begin(&self, limit: Option<u64>, declared: Declared) -> Incoming {
        Incoming::new(self.0.clone(), limit, declared)
    }

    /// Opens a blob and begins to read a range of it.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], [`StoreError::Away`].
    pub async fn reader(&self, blob: Stored, range: std::ops::Range<u64>) -> Result<BlobReader, StoreError> {
        BlobReader::open(self.0.clone(), blob, range).await
    }

    /// As [`BlobStore::reader`], for a caller on a blocking thread; blocks.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], [`StoreError::Away`].
    pub fn blocking_reader(&self, blob: Stored, range: std::ops::Range<u64>) -> Result<BlockingReader, StoreError> {
        BlockingReader::open(&self.0, blob, range)
    }

    /// Counts a transfer of several blobs as one, which has its share of the memory for chunks.
    pub fn transfer(&self) -> Transfer {
        Transfer::new(self.0.clone())
    }

    /// Reads and verifies a whole blob of up to 1 MiB ([`BLOCK`]); blocks. It is for a caller that is already on a
    /// blocking thread: another switch of threads costs a third of the throughput of small downloads.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`] (also for a larger blob), [`StoreError::Away`].
    pub fn read_small(&self, key: &StorageKey, size: u64) -> Result<Bytes, StoreError> {
        let length = usize::try_from(size.min(BLOCK)).unwrap_or(usize::MAX);
        let file = self.local().open_blob(key, size)?;
        let bytes = reader::read_at(&file, key, 0, length)?;
        if size <= BLOCK && sha256(&bytes) == key.sha256() { Ok(bytes) } else { Err(StoreError::Damaged(*key)) }
    }

    /// Computes all four digests of a whole blob: 5 s of CPU per GiB; blocks.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Damaged`] when the size or SHA-256 differs from what was stored;
    /// [`StoreError::Away`].
    pub fn digests(&self, key: &StorageKey, size: u64) -> Result<AllDigests, StoreError> {
        let file = self.local().open_blob(key, size)?;
        let mut hashers = Hashers::all();
        let mut block_checksums = Vec::new();
        let mut position = 0;
        while position < size {
            let length = usize::try_from((size - position).min(BLOCK)).unwrap_or(usize::MAX);
            let bytes = reader::read_at(&file, key, position, length)?;
            hashers.update(&bytes);
            if size > BLOCK {
                push_checksum(&mut block_checksums, crc32fast::hash(&bytes));
            }
            position += bytes.len() as u64;
        }
        let sums = hashers.finish();
        match sums.other() {
            Some(other) if sums.sha256 == key.sha256() => {
                Ok(AllDigests { sha256: sums.sha256, other, block_checksums })
            }
            _ => Err(StoreError::Damaged(*key)),
        }
    }

    /// Reads a whole blob from the disk, past the page cache, and compares it with its checksums and its SHA-256;
    /// blocks. `pace` is called for every MiB that was read and may sleep. `None` when the blob is undamaged.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`] and [`StoreError::Away`] when the store itself cannot be used, which says nothing
    /// about the blob.
    pub fn verify(&self, blob: &Stored, pace: impl FnMut(u64)) -> Result<Option<Damage>, StoreError> {
        verify::verify(self.local(), blob, pace)
    }

    /// The size of a blob in bytes, `None` when it does not exist; blocks.
    ///
    /// # Errors
    /// [`StoreError::Away`]; [`StoreError::Damaged`] when something other than a plain file has its name.
    pub fn stat(&self, key: &StorageKey) -> Result<Option<u64>, StoreError> {
        Ok(self.local().find(key)?.map(|(_, size)| size))
    }

    /// Removes a blob, even while someone holds it; `false` when it did not exist; blocks. A sweep uses
    /// [`BlobStore::claim`].
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn remove(&self, key: &StorageKey) -> Result<bool, StoreError> {
        self.local().remove(key)
    }

    /// Claims a blob that seems to be unused; `None` when an upload holds it or it is gone; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn claim(&self, key: &StorageKey) -> Result<Option<Claim>, StoreError> {
        Claim::new(self.local(), key)
    }

    /// As [`BlobStore::claim`], for a blob in the holding folder; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn claim_held(&self, key: &StorageKey) -> Result<Option<Claim>, StoreError> {
        Claim::held(self.local(), key)
    }

    /// The blobs in the holding folder; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn held(&self) -> Result<Vec<Held>, StoreError> {
        sweep::held(self.local())
    }

    /// Moves a held blob back to its place; false when it is not held; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn put_back(&self, key: &StorageKey) -> Result<bool, StoreError> {
        self.local().verified()?.put_back(key)
    }

    /// How many sweeps of this store have started, according to the store itself; blocks. Its database counts them too:
    /// one that has seen fewer is an older state of it, or a copy.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn sweeps(&self) -> Result<u64, StoreError> {
        self.local().sweeps()
    }

    /// Records the number of sweeps that have started; a larger number stays; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::NoSpace`], [`StoreError::Away`].
    pub fn set_sweeps(&self, sweeps: u64) -> Result<(), StoreError> {
        self.local().set_sweeps(sweeps)
    }

    /// Walks over everything that is stored; blocks, as does each step.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`]; from each step too.
    pub fn walk(&self) -> Result<Walk, StoreError> {
        Walk::new(self.local())
    }

    /// Removes the leftovers of crashed uploads that were last written before `older_than` and that no upload of this
    /// or another process holds; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn sweep_incoming(&self, older_than: SystemTime) -> Result<Swept, StoreError> {
        sweep::sweep_incoming(self.local(), older_than)
    }

    /// Counts what [`BlobStore::sweep_incoming`] would remove, and the foreign files there; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn leftovers(&self, older_than: SystemTime) -> Result<Leftovers, StoreError> {
        sweep::leftovers(self.local(), older_than)
    }

    /// The path of a blob within the store, for people.
    pub fn whereabouts(&self, key: &StorageKey) -> String {
        format!("{}/{}/{key}", dir::BLOBS, key.shard())
    }

    /// How much space there is; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn free_space(&self) -> Result<Space, StoreError> {
        self.local().free_space()
    }

    /// Checks that a publish could be stored now: the marker is there, and a small file can be written; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::NoSpace`], [`StoreError::Away`].
    pub fn check_ready(&self) -> Result<(), StoreError> {
        self.local().check_ready()
    }

    fn local(&self) -> &Local {
        self.0.local()
    }
}
