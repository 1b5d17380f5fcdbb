//! Password hashing: argon2id with 19 MiB, two passes, one lane (OWASP's recommendation; 38 ms here).
//!
//! At most two hashes are computed at a time, so that a flood of sign-ins takes neither all cores nor all memory; 32
//! requests wait, further ones are told to come back. Successful logins are remembered for a while, because otherwise a
//! build that fetches a thousand files with a password would spend its time here. Of many concurrent requests with the
//! same password one is hashed, and the others find it remembered.

use crate::blocking::spawn_blocking;
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::network::network_of;
use crate::domain::secret::{MasterKey, Password, random_bytes};
use crate::error::{Error, Result};
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// How many hashes are computed at the same time.
const AT_ONCE: usize = 2;
/// How many more may wait for their turn.
const WAITING: usize = 32;
/// How many more of those may wait who come from a place that is known to be theirs: a flood of strangers leaves them
/// room.
const KNOWN_WAITING: usize = 32;
/// How long a successful login is remembered; a change of the account's epoch ends this at once.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);
/// How many successful logins are remembered.
const MOST_REMEMBERED: usize = 4096;
/// Bytes of a salt: the recommendation of RFC 9106.
const SALT_BYTES: usize = 16;
/// Memory blocks of one hash with the current parameters.
const BLOCKS: usize = Params::DEFAULT_M_COST as usize;

/// Memory of finished hashes, kept for the next ones. glibc keeps memory that a thread frees in that thread's arena,
/// which would be 19 MiB for each of the many blocking threads.
static MEMORY: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());

/// Lends memory for a hash of this many blocks.
fn with_memory<T>(blocks: usize, work: impl FnOnce(&mut [Block]) -> T) -> T {
    if blocks > BLOCKS {
        // A hash from elsewhere, with other parameters.
        return work(&mut vec![Block::new(); blocks]);
    }
    let kept = MEMORY.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut memory = kept.unwrap_or_else(|| vec![Block::new(); BLOCKS]);
    let done = work(&mut memory);
    let mut kept = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() < AT_ONCE {
        kept.push(memory);
    }
    done
}

fn refused(error: impl fmt::Display) -> Error {
    Error::internal(anyhow::anyhow!("argon2: {error}"))
}

/// The hash output of a password.
fn output_of(argon2: &Argon2<'_>, password: &Password, salt: &Salt, length: usize) -> Result<Output> {
    with_memory(argon2.params().block_count(), |memory| {
        let mut output = [0; Output::MAX_LENGTH];
        let output = output.get_mut(..length).ok_or_else(|| refused("a longer output than can be kept"))?;
        argon2.hash_password_into_with_memory(password.reveal().as_bytes(), salt, output, memory).map_err(refused)?;
        Output::new(output).map_err(refused)
    })
}

/// Hashes a password for storage, as a PHC string; blocks for the time of one hash.
///
/// # Errors
/// [`Error::Internal`] when the hasher fails, which is not expected.
pub fn hash_now(password: &Password) -> Result<String> {
    let argon2 = Argon2::default();
    let salt = Salt::new(&random_bytes::<SALT_BYTES>()).map_err(refused)?;
    let output = output_of(&argon2, password, &salt, Params::DEFAULT_OUTPUT_LEN)?;
    let hash = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon2.params()).map_err(refused)?,
        salt: Some(salt),
        hash: Some(output),
    };
    Ok(hash.to_string())
}

fn verify_now(password: &Password, hash: &str) -> Result<bool> {
    let stored = |error: &dyn fmt::Display| Error::internal(anyhow::anyhow!("stored hash: {error}"));
    let hash = PasswordHash::new(hash).map_err(|error| stored(&error))?;
    let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else {
        return Err(stored(&"without salt or output"));
    };
    let algorithm = Algorithm::new(hash.algorithm).map_err(|error| stored(&error))?;
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from).map_err(|error| stored(&error))?;
    let params = Params::try_from(&hash).map_err(|error| stored(&error))?;
    let output = output_of(&Argon2::new(algorithm, version, params), password, salt, expected.len())?;
    // The type guarantees a comparison in constant time.
    Ok(output == *expected)
}

/// Limits the number of hashes and remembers successful logins; cheap to clone.
#[derive(Debug, Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    queue: Arc<AtomicUsize>,
    key: MasterKey,
    remembered: Arc<Memory>,
    addresses: Arc<Memory>,
    judging: Arc<Judging>,
    dummy: Arc<OnceLock<String>>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            queue: Arc::default(),
            key: MasterKey::ephemeral(),
            remembered: Arc::default(),
            addresses: Arc::default(),
            judging: Arc::default(),
            dummy: Arc::default(),
        }
    }
}

/// A place in the queue, freed when dropped, even if the request was canceled.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The permit to use the hasher, until it is dropped.
#[derive(Debug)]
pub struct HashingPermit {
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

impl HashingPermit {
    /// Runs work on a blocking thread. The permit moves with the work, so that it is held until the work ends, even if
    /// the request was canceled.
    async fn spend<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<(Self, T)> {
        spawn_blocking(move || {
            let done = work();
            (self, done)
        })
        .await
        .map_err(Error::internal)
    }
}

/// The logins being verified now: a lock for each login that somebody waits for.
type Judging = Mutex<HashMap<[u8; 32], Arc<tokio::sync::Mutex<()>>>>;

/// The exclusive right to verify a login, until it is dropped.
#[derive(Debug)]
pub struct Alone {
    judging: Arc<Judging>,
    key: [u8; 32],
    held: Option<OwnedMutexGuard<()>>,
}

impl Drop for Alone {
    fn drop(&mut self) {
        let mut judging = self.judging.lock().unwrap_or_else(PoisonError::into_inner);
        self.held = None;
        // Each waiting request holds a clone of the lock too.
        if let Entry::Occupied(lock) = judging.entry(self.key)
            && Arc::strong_count(lock.get()) == 1
        {
            lock.remove();
        }
    }
}

impl Passwords {
    /// Hashes a password when it gets a permit.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many requests wait.
    pub async fn hash(&self, password: Password) -> Result<String> {
        self.permit(false).await?.spend(move || hash_now(&password)).await?.1
    }

    /// Waits for a permit to hash a password. `is_known` says whether the request comes from a place that is known to
    /// be the user's.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many requests wait.
    pub async fn permit(&self, is_known: bool) -> Result<HashingPermit> {
        let waiting = self.queue.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.queue));
        if waiting >= AT_ONCE + WAITING + if is_known { KNOWN_WAITING } else { 0 } {
            return Err(Error::Busy("too many sign-ins at once"));
        }
        let permit = Arc::clone(&self.turns).acquire_owned().await.map_err(Error::internal)?;
        Ok(HashingPermit { _permit: permit, _place: place })
    }

    /// Whether a password matches the hash; returns the permit, for work that must happen before the next hash. Without
    /// a hash it takes as long and returns false.
    ///
    /// # Errors
    /// [`Error::Internal`] when the hash is malformed.
    pub async fn verify(
        &self,
        permit: HashingPermit,
        password: Password,
        hash: Option<String>,
    ) -> Result<(HashingPermit, bool)> {
        if password.reveal().len() > Password::MAX_BYTES {
            return Ok((permit, false));
        }
        let known = hash.is_some();
        let hash = match hash {
            Some(hash) => hash,
            None => self.dummy()?,
        };
        let (permit, right) = permit.spend(move || verify_now(&password, &hash)).await?;
        Ok((permit, right? && known))
    }

    /// Waits until no other request verifies the same password for the same account at the same epoch.
    pub async fn alone(&self, account: &str, epoch: i32, password: &Password) -> Alone {
        let parts = [account.as_bytes(), &epoch.to_le_bytes(), password.reveal().as_bytes()];
        let key = self.key.authenticate(&parts);
        let lock = {
            let mut judging = self.judging.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(judging.entry(key).or_default())
        };
        Alone { judging: Arc::clone(&self.judging), key, held: Some(lock.lock_owned().await) }
    }

    /// The hash that unknown users are compared with. It is created on first use, or at the start by [`Self::warm`].
    fn dummy(&self) -> Result<String> {
        match self.dummy.get() {
            Some(hash) => Ok(hash.clone()),
            None => {
                let hash = hash_now(&Password::generate())?;
                Ok(self.dummy.get_or_init(|| hash).clone())
            }
        }
    }

    /// Prepares the hash that would make the first unknown user's sign-in slower than the next.
    ///
    /// # Errors
    /// As [`hash_now`].
    pub fn warm(&self) -> Result<()> {
        self.dummy().map(drop)
    }

    /// How many hashes are waiting or being computed.
    pub fn queue_length(&self) -> usize {
        self.queue.load(Ordering::Relaxed)
    }

    fn memory_key(&self, user: OwnerId, epoch: i32, password: &Password) -> [u8; 32] {
        self.key.authenticate(&[&user.0.to_le_bytes(), &epoch.to_le_bytes(), password.reveal().as_bytes()])
    }

    /// Whether this login succeeded a short while ago, at the same epoch of the account.
    pub fn remembers(&self, user: OwnerId, epoch: i32, password: &Password, now: Timestamp) -> bool {
        holds(&self.remembered, &self.memory_key(user, epoch, password), now)
    }

    /// Remembers a successful login.
    pub fn remember(&self, user: OwnerId, epoch: i32, password: &Password, now: Timestamp) {
        keep(&self.remembered, self.memory_key(user, epoch, password), now);
    }

    fn address_key(&self, user: OwnerId, epoch: i32, address: IpAddr) -> [u8; 32] {
        let network = network_of(address).to_string();
        self.key.authenticate(&[&user.0.to_le_bytes(), &epoch.to_le_bytes(), b"address", network.as_bytes()])
    }

    /// Whether the database was told a short while ago that this user signed in from there.
    pub fn remembers_address(&self, user: OwnerId, epoch: i32, address: IpAddr, now: Timestamp) -> bool {
        holds(&self.addresses, &self.address_key(user, epoch, address), now)
    }

    /// Remembers that the database knows this address.
    pub fn remember_address(&self, user: OwnerId, epoch: i32, address: IpAddr, now: Timestamp) {
        keep(&self.addresses, self.address_key(user, epoch, address), now);
    }
}

/// What succeeded, as a digest, and until when that counts.
type Memory = Mutex<HashMap<[u8; 32], Timestamp>>;

/// Whether that time is not over.
fn counts(until: Timestamp, now: Timestamp) -> bool {
    until > now && until <= now.latest_end_of(REMEMBERED_FOR)
}

fn holds(memory: &Memory, key: &[u8; 32], now: Timestamp) -> bool {
    let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    memory.get(key).is_some_and(|until| counts(*until, now))
}

fn keep(memory: &Memory, key: [u8; 32], now: Timestamp) {
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    if memory.len() >= MOST_REMEMBERED {
        memory.retain(|_, until| counts(*until, now));
    }
    if memory.len() < MOST_REMEMBERED {
        memory.insert(key, now.plus(REMEMBERED_FOR));
    }
}
