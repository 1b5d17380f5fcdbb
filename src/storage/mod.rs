//! Where the bytes are: the blob store.
//!
//! A store holds blobs under keys and knows nothing of packages. Now it is a directory; an object store joins as
//! another backend behind the same [`BlobStore`], whose operations therefore know no paths. What blocks says so and
//! wants a blocking thread; what is `async` finds its own on the current tokio runtime.

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
pub use self::reader::{BlobReader, Stored};
pub use self::sweep::{Claim, Entry, Held, Leftovers, Swept, Walk};
pub use self::transfer::TransferError;

use self::digests::{Hashers, push_checksum, sha256};
use self::handle::Handle;
use self::local::Local;
use crate::domain::damage::Damage;
use crate::domain::digest::{OtherDigests, Sha256};

/// All that is computed from a blob's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllDigests {
    /// SHA-256; it is the key's.
    pub sha256: Sha256,
    /// The three others.
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
    /// `expected` is the id that the database remembers: another store, or none, is refused. With `create`, and when
    /// nothing is expected, an empty or absent directory becomes a new store. That is for the very first start only,
    /// since an empty directory is also what a mount point is whose disk is missing.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`] without the right marker; [`StoreError::Away`] and [`StoreError::NoSpace`].
    pub fn open_local(root: PathBuf, create: bool, expected: Option<StoreId>) -> Result<Self, StoreError> {
        Ok(Self(Handle::new(Local::open(root, create, expected)?)))
    }

    /// Which store this is.
    pub fn id(&self) -> StoreId {
        self.local().id()
    }

    /// Begins an upload of at most `limit` bytes, whose digests are compared with `declared` before anything is kept.
    /// Costs nothing until bytes come.
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

    /// Reads and verifies a whole blob of up to 1 MiB ([`BLOCK`]); blocks. For a caller on a blocking thread, who
    /// saves the hop to another: it costs a third of the rate of small downloads.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`] (also of a larger blob), [`StoreError::Away`].
    pub fn read_small(&self, key: &StorageKey, size: u64) -> Result<Bytes, StoreError> {
        let length = usize::try_from(size.min(BLOCK)).unwrap_or(usize::MAX);
        let file = self.local().open_blob(key, size)?;
        let bytes = reader::read_at(&file, key, 0, length)?;
        if size <= BLOCK && sha256(&bytes) == key.sha256() { Ok(bytes) } else { Err(StoreError::Damaged(*key)) }
    }

    /// Reads a whole blob through all four digests: 5 s of CPU a GiB; blocks.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Damaged`] when size or SHA-256 are not those stored;
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

    /// Reads a whole blob from the disk, past the page cache, and compares it with its checksums and its SHA-256; blocks.
    /// `pace` is told of every MiB that was read and may sleep. `None`: it is sound.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`] and [`StoreError::Away`] when the store itself cannot be used, which says nothing about
    /// the blob.
    pub fn verify(&self, blob: &Stored, pace: impl FnMut(u64)) -> Result<Option<Damage>, StoreError> {
        verify::verify(self.local(), blob, pace)
    }

    /// The size of a blob in bytes, `None` when it is not there; blocks.
    ///
    /// # Errors
    /// [`StoreError::Away`]; [`StoreError::Damaged`] when something else has its name.
    pub fn stat(&self, key: &StorageKey) -> Result<Option<u64>, StoreError> {
        Ok(self.local().find(key)?.map(|(_, size)| size))
    }

    /// Removes a blob, whoever holds it; `false` when it was not there; blocks. A sweep takes [`BlobStore::claim`].
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn remove(&self, key: &StorageKey) -> Result<bool, StoreError> {
        self.local().remove(key)
    }

    /// Takes a blob that nobody seems to want; `None` when an upload holds it or it is gone; blocks.
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

    /// Puts a held blob back; false when it is not held; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn put_back(&self, key: &StorageKey) -> Result<bool, StoreError> {
        self.local().verified()?.put_back(key)
    }

    /// How many sweeps of this store have begun, as the store itself remembers; blocks. The database that belongs to it
    /// counts them too: one that has seen fewer is an older state of it, or a copy.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn sweeps(&self) -> Result<u64, StoreError> {
        self.local().sweeps()
    }

    /// Records that so many sweeps have begun; a larger number stays; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::NoSpace`], [`StoreError::Away`].
    pub fn set_sweeps(&self, sweeps: u64) -> Result<(), StoreError> {
        self.local().set_sweeps(sweeps)
    }

    /// Goes through all that is stored; blocks, as does each step.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`]; each step too.
    pub fn walk(&self) -> Result<Walk, StoreError> {
        Walk::new(self.local())
    }

    /// Removes what crashed uploads left, if it was last written before `older_than` and no upload of this or another
    /// process holds it; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn sweep_incoming(&self, older_than: SystemTime) -> Result<Swept, StoreError> {
        sweep::sweep_incoming(self.local(), older_than)
    }

    /// What [`BlobStore::sweep_incoming`] would remove, and what is foreign there; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn leftovers(&self, older_than: SystemTime) -> Result<Leftovers, StoreError> {
        sweep::leftovers(self.local(), older_than)
    }

    /// Where a person finds a blob, within the store.
    pub fn whereabouts(&self, key: &StorageKey) -> String {
        format!("{}/{}/{key}", dir::BLOBS, key.shard())
    }

    /// How much room there is; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn free_space(&self) -> Result<Space, StoreError> {
        self.local().free_space()
    }

    /// Whether a publish could be stored now: the marker is there, and a small file can be written; blocks.
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
