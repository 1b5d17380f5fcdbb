//! Hashing passwords: argon2id with 19 MiB, two passes, one lane (OWASP's recommendation; 38 ms here).
//!
//! At most two at a time, so that a flood of sign-ins takes neither all cores nor all memory; 32 wait, the rest is
//! told to come back. Good logins are remembered for a while, or a build that fetches a thousand files with a
//! password would spend its time here; and of many requests that bring the same password at once one is hashed, and
//! the others find it remembered.

use crate::blocking::spawn_blocking;
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::secret::{MasterKey, Password, random_bytes};
use crate::error::{Error, Result};
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// How many hashes are computed at the same time.
const AT_ONCE: usize = 2;
/// How many more may wait for their turn.
const WAITING: usize = 32;
/// How long a good login is remembered; a change of the account's epoch forgets it at once.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);
/// How many good logins are remembered.
const MOST_REMEMBERED: usize = 4096;
/// Bytes of a salt: the recommendation of RFC 9106.
const SALT_BYTES: usize = 16;
/// Blocks of one hash with the parameters of today.
const BLOCKS: usize = Params::DEFAULT_M_COST as usize;

/// The memory of hashes that are done, for the next ones. What a thread allocates and frees, glibc keeps in that
/// thread's arena: 19 MiB for each of the many threads that block.
static MEMORY: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());

/// Lends memory for a hash of so many blocks.
fn with_memory<T>(blocks: usize, work: impl FnOnce(&mut [Block]) -> T) -> T {
    if blocks > BLOCKS {
        // A hash from elsewhere, with parameters of its own.
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

/// The bytes that come out of a password.
fn output_of(argon2: &Argon2<'_>, password: &Password, salt: &Salt, length: usize) -> Result<Output> {
    with_memory(argon2.params().block_count(), |memory| {
        let mut output = [0; Output::MAX_LENGTH];
        let output = output.get_mut(..length).ok_or_else(|| refused("a longer output than can be kept"))?;
        argon2.hash_password_into_with_memory(password.reveal().as_bytes(), salt, output, memory).map_err(refused)?;
        Output::new(output).map_err(refused)
    })
}

/// Hashes a password for keeping, as a PHC string; blocks for the time of one hash.
///
/// # Errors
/// [`Error::Internal`] when the hasher refuses, which it has no reason to.
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
    // Compared in a time that does not tell where they differ: so promises the type.
    Ok(output == *expected)
}

/// The gate before the hasher, and the memory of good logins; cheap to clone.
#[derive(Debug, Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    queue: Arc<AtomicUsize>,
    key: MasterKey,
    remembered: Arc<Mutex<HashMap<[u8; 32], Timestamp>>>,
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
            judging: Arc::default(),
            dummy: Arc::default(),
        }
    }
}

/// A place in the queue, given back when dropped: also when the request went away meanwhile.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to use the hasher, until it is dropped.
#[derive(Debug)]
pub struct HashingPermit {
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

impl HashingPermit {
    /// Does the work on a thread that may block. The permit goes with it, so that it lasts as long as the
    /// work also when the request went away meanwhile.
    async fn spend<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<(Self, T)> {
        spawn_blocking(move || {
            let done = work();
            (self, done)
        })
        .await
        .map_err(Error::internal)
    }
}

/// What is being judged now: a lock for each login that somebody waits for.
type Judging = Mutex<HashMap<[u8; 32], Arc<tokio::sync::Mutex<()>>>>;

/// The right to judge a login, which no other request judges meanwhile; until it is dropped.
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
        // Who waits has a share in the lock too.
        if let Entry::Occupied(lock) = judging.entry(self.key)
            && Arc::strong_count(lock.get()) == 1
        {
            lock.remove();
        }
    }
}

impl Passwords {
    /// Hashes a password when its turn comes.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many wait.
    pub async fn hash(&self, password: Password) -> Result<String> {
        self.permit().await?.spend(move || hash_now(&password)).await?.1
    }

    /// Waits for a permit to hash.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many wait.
    pub async fn permit(&self) -> Result<HashingPermit> {
        let waiting = self.queue.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.queue));
        if waiting >= AT_ONCE + WAITING {
            return Err(Error::Busy("too many sign-ins at once"));
        }
        let permit = Arc::clone(&self.turns).acquire_owned().await.map_err(Error::internal)?;
        Ok(HashingPermit { _permit: permit, _place: place })
    }

    /// Whether a password is the one that was hashed; gives the permit back, for what must happen before the next one's.
    /// Without a hash it takes as long, and it is not.
    ///
    /// # Errors
    /// [`Error::Internal`] when the hash is none.
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

    /// Waits until nobody else judges the same password for the same account at the same epoch.
    pub async fn alone(&self, account: &str, epoch: i32, password: &Password) -> Alone {
        let parts = [account.as_bytes(), &epoch.to_le_bytes(), password.reveal().as_bytes()];
        let key = self.key.authenticate(&parts);
        let lock = {
            let mut judging = self.judging.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(judging.entry(key).or_default())
        };
        Alone { judging: Arc::clone(&self.judging), key, held: Some(lock.lock_owned().await) }
    }

    /// The hash that unknown users are compared with. Made at the first need, or at the start by [`Self::warm`].
    fn dummy(&self) -> Result<String> {
        match self.dummy.get() {
            Some(hash) => Ok(hash.clone()),
            None => {
                let hash = hash_now(&Password::generate())?;
                Ok(self.dummy.get_or_init(|| hash).clone())
            }
        }
    }

    /// Prepares what would make the first unknown user slower than the next.
    ///
    /// # Errors
    /// As [`hash_now`].
    pub fn warm(&self) -> Result<()> {
        self.dummy().map(drop)
    }

    /// How many wait or are being hashed.
    pub fn queue_length(&self) -> usize {
        self.queue.load(Ordering::Relaxed)
    }

    fn memory_key(&self, user: OwnerId, epoch: i32, password: &Password) -> [u8; 32] {
        self.key.authenticate(&[&user.0.to_le_bytes(), &epoch.to_le_bytes(), password.reveal().as_bytes()])
    }

    /// Whether this login was found good a short while ago, at the same epoch of the account.
    pub fn remembers(&self, user: OwnerId, epoch: i32, password: &Password, now: Timestamp) -> bool {
        let key = self.memory_key(user, epoch, password);
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(&key).is_some_and(|until| *until > now)
    }

    /// Remembers a good login.
    pub fn remember(&self, user: OwnerId, epoch: i32, password: &Password, now: Timestamp) {
        let key = self.memory_key(user, epoch, password);
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MOST_REMEMBERED {
            remembered.retain(|_, until| *until > now);
        }
        if remembered.len() < MOST_REMEMBERED {
            remembered.insert(key, now.plus(REMEMBERED_FOR));
        }
    }
}
