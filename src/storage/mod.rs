//! The blob store.
//!
//! A store holds blobs under keys and knows nothing about packages. It is a local directory, or a bucket of an
//! S3-compatible object store; only this layer knows which. The documentation says which functions block and need a
//! blocking thread; `async` functions find their own on the current tokio runtime.

mod adopted;
mod block;
mod digests;
mod dir;
mod direct;
mod entry;
mod error;
mod handle;
mod incoming;
mod key;
mod local;
mod local_incoming;
mod local_sweep;
mod marker;
mod place;
mod reader;
mod s3;
mod source;
mod stored;
mod sweep;
mod transfer;
mod verify;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

pub use self::adopted::Adopted;
pub use self::digests::{BLOCK, Declared};
pub use self::entry::{Entry, Held, Leftovers, Swept};
pub use self::error::{StoreError, TransferError};
pub use self::incoming::Incoming;
pub use self::key::{InvalidStorageKey, StorageKey, StoreId};
pub use self::local::Space;
pub use self::place::StorePlace;
pub use self::reader::{BlobReader, BlockingReader, Transfer};
pub use self::stored::{AllDigests, Stored};
pub use self::sweep::{Claim, Walk};

use self::digests::{Hashers, push_checksum, sha256};
use self::handle::{Backend, Handle};
use self::local::Local;
use self::s3::S3;
use crate::domain::damage::Damage;

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
        Ok(Self(Handle::new(Backend::Local(Local::open(root, create, expected)?))))
    }

    /// Opens the store at a place; blocks. An object store is not asked before every upload whether it is still the
    /// right one: a bucket is not a disk that may be unmounted.
    ///
    /// # Errors
    /// As [`BlobStore::open_local`].
    pub fn open(place: &StorePlace, create: bool, expected: Option<StoreId>) -> Result<Self, StoreError> {
        match place {
            StorePlace::Directory(root) => Self::open_local(root.clone(), create, expected),
            StorePlace::Bucket(config) => Ok(Self(Handle::new(Backend::S3(S3::open(config, create, expected)?)))),
        }
    }

    /// Whether reading a few bytes takes no longer than a query of the database.
    pub fn is_local(&self) -> bool {
        matches!(self.0.backend(), Backend::Local(_))
    }

    /// The id of this store.
    pub fn id(&self) -> StoreId {
        match self.0.backend() {
            Backend::Local(local) => local.id(),
            Backend::S3(s3) => s3.id(),
        }
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
    pub fn read_small(&self, blob: &Stored) -> Result<Bytes, StoreError> {
        let length = usize::try_from(blob.size.min(BLOCK)).unwrap_or(usize::MAX);
        let bytes = self.0.open(blob)?.read_now(&blob.key, 0, length)?;
        let is_intact = blob.size <= BLOCK && sha256(&bytes) == blob.sha256;
        if is_intact { Ok(bytes) } else { Err(StoreError::Damaged(blob.key)) }
    }

    /// Computes all four digests of a whole blob: 5 s of CPU per GiB; blocks.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Damaged`] when the size or SHA-256 differs from what was stored;
    /// [`StoreError::Away`].
    pub fn digests(&self, blob: &Stored) -> Result<AllDigests, StoreError> {
        let (key, size) = (&blob.key, blob.size);
        let mut source = self.0.open(blob)?;
        let mut hashers = Hashers::all();
        let mut block_checksums = Vec::new();
        let mut position = 0;
        while position < size {
            let length = usize::try_from((size - position).min(BLOCK)).unwrap_or(usize::MAX);
            let bytes = source.read_now(key, position, length)?;
            hashers.update(&bytes);
            if size > BLOCK {
                push_checksum(&mut block_checksums, crc32fast::hash(&bytes));
            }
            position += bytes.len() as u64;
        }
        let sums = hashers.finish();
        match sums.other() {
            Some(other) if sums.sha256 == blob.sha256 => Ok(AllDigests { sha256: sums.sha256, other, block_checksums }),
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
        verify::verify(&self.0, blob, pace)
    }

    /// The size of a blob in bytes, `None` when it does not exist; blocks.
    ///
    /// # Errors
    /// [`StoreError::Away`]; [`StoreError::Damaged`] when something other than a plain file has its name.
    pub fn stat(&self, key: &StorageKey) -> Result<Option<u64>, StoreError> {
        match self.0.backend() {
            Backend::Local(local) => Ok(local.find(key)?.map(|(_, size)| size)),
            Backend::S3(s3) => s3.stat(key),
        }
    }

    /// Removes a blob, even while someone holds it; `false` when it did not exist; blocks. A sweep uses
    /// [`BlobStore::claim`].
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn remove(&self, key: &StorageKey) -> Result<bool, StoreError> {
        self.0.remove(key)
    }

    /// Claims a blob that seems to be unused; `None` when an upload holds it or it is gone; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn claim(&self, key: &StorageKey) -> Result<Option<Claim>, StoreError> {
        Claim::new(&self.0, key)
    }

    /// As [`BlobStore::claim`], for a blob in the holding folder; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn claim_held(&self, key: &StorageKey) -> Result<Option<Claim>, StoreError> {
        Claim::held(&self.0, key)
    }

    /// The blobs in the holding folder; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn held(&self) -> Result<Vec<Held>, StoreError> {
        sweep::held(&self.0)
    }

    /// Moves a held blob back to its place; false when it is not held; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn put_back(&self, key: &StorageKey) -> Result<bool, StoreError> {
        sweep::put_back(&self.0, key)
    }

    /// How many sweeps of this store have started, according to the store itself; blocks. Its database counts them too:
    /// one that has seen fewer is an older state of it, or a copy.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn sweeps(&self) -> Result<u64, StoreError> {
        match self.0.backend() {
            Backend::Local(local) => local.sweeps(),
            Backend::S3(s3) => s3.sweeps(),
        }
    }

    /// Records the number of sweeps that have started; a larger number stays; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::NoSpace`], [`StoreError::Away`].
    pub fn set_sweeps(&self, sweeps: u64) -> Result<(), StoreError> {
        match self.0.backend() {
            Backend::Local(local) => local.set_sweeps(sweeps),
            Backend::S3(s3) => s3.set_sweeps(sweeps),
        }
    }

    /// Walks over everything that is stored; blocks, as does each step.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`]; from each step too.
    pub fn walk(&self) -> Result<Walk, StoreError> {
        Walk::new(&self.0)
    }

    /// Removes the leftovers of crashed uploads that were last written before `older_than` and that no upload of this
    /// or another process holds; blocks. `leased` are the keys with a lease; see [`Incoming::reserved_key`].
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn sweep_incoming(&self, older_than: SystemTime, leased: &HashSet<StorageKey>) -> Result<Swept, StoreError> {
        sweep::sweep_incoming(&self.0, older_than, leased)
    }

    /// Counts what [`BlobStore::sweep_incoming`] would remove, and the foreign files there; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn leftovers(&self, older_than: SystemTime, leased: &HashSet<StorageKey>) -> Result<Leftovers, StoreError> {
        sweep::leftovers(&self.0, older_than, leased)
    }

    /// The path of a blob within the store, for people.
    pub fn whereabouts(&self, key: &StorageKey) -> String {
        format!("{}/{}/{key}", dir::BLOBS, key.shard())
    }

    /// How much space there is, `None` where nobody knows, as in an object store; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn free_space(&self) -> Result<Option<Space>, StoreError> {
        match self.0.backend() {
            Backend::Local(local) => local.free_space().map(Some),
            Backend::S3(_) => Ok(None),
        }
    }

    /// Checks that blobs can be read now; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::Away`].
    pub fn check_readable(&self) -> Result<(), StoreError> {
        match self.0.backend() {
            Backend::Local(local) => local.verified().map(drop),
            Backend::S3(s3) => s3.check_readable(),
        }
    }

    /// Checks that a publish could be stored now: the marker is there, and a small file can be written; blocks.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::NoSpace`], [`StoreError::Away`].
    pub fn check_ready(&self) -> Result<(), StoreError> {
        match self.0.backend() {
            Backend::Local(local) => local.check_ready(),
            Backend::S3(s3) => s3.check_ready(),
        }
    }

    /// An address from which anyone can download a blob without this server, for some time; `None` if the store has
    /// none. The answer there will have these headers. The bytes are not verified on the way.
    ///
    /// # Errors
    /// [`StoreError::Away`] when there are no credentials.
    pub async fn presign(
        &self,
        key: &StorageKey,
        disposition: &str,
        content_type: &str,
        valid: Duration,
    ) -> Result<Option<String>, StoreError> {
        match self.0.backend() {
            Backend::Local(_) => Ok(None),
            Backend::S3(s3) => s3.presign(key, disposition, content_type, valid).await.map(Some),
        }
    }
}
