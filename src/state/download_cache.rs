//! Downloads that were resolved before: for a credential and an address, the file and that the caller may read it.
//!
//! An entry is the result of one read of the database and is used only while [`Coherence`] says that nothing it depends
//! on was taken away. It depends on two rows' trees: the owner of the package, and the user of the credential. Absence
//! is never remembered, so publishing forgets nothing.

use crate::db::coherence::{Coherence, Moment};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, TokenId};
use crate::domain::names::OwnerName;
use crate::domain::secret::TokenHash;
use crate::domain::version_state::VersionState;
use crate::http::ready::ReadyAnswer;
use crate::registry::caller::{Caller, Credential};
use crate::registry::packages::files::Downloadable;
use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// About what an entry takes besides its content, its heads and its path, in bytes: its rows, and what the allocator
/// and the cache's tables add.
const ENTRY_BYTES: u64 = 2000;
/// The size of an entry for which the cache's own tables are laid out.
const TYPICAL_BYTES: u64 = 4096;

/// Whose request it is, as far as an entry depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Requester {
    Anonymous,
    Token(TokenHash),
    /// A user whose password was verified at this epoch of their account.
    Login(OwnerId, i32),
}

impl Requester {
    /// The requester with a credential. Sessions are not remembered, because each use may extend them.
    pub fn of(credential: &Credential) -> Option<Self> {
        match credential {
            Credential::Anonymous => Some(Self::Anonymous),
            Credential::Token(hash) => Some(Self::Token(*hash)),
            Credential::Login { user, epoch } => Some(Self::Login(*user, *epoch)),
            Credential::FeedToken(_) | Credential::Session(_) => None,
        }
    }
}

/// What an entry needs of its caller.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The user and their name.
    pub user: Option<(OwnerId, OwnerName)>,
    /// The token in use, whose uses are counted.
    pub token: Option<TokenId>,
    pub expires_at: Option<Timestamp>,
    /// Whether downloads may be redirected to the object store.
    pub takes_redirects: bool,
}

impl Reader {
    pub fn of(caller: &Caller) -> Self {
        let user = caller.user().map(|user| (user.id, user.name.clone()));
        let takes_redirects = caller.takes_redirects();
        Self { user, token: caller.token(), expires_at: caller.expires_at(), takes_redirects }
    }
}

/// A resolved download.
#[derive(Debug)]
pub struct CachedDownload {
    /// When it was read.
    pub moment: Moment,
    /// The owner as the address spells it, for the log.
    pub asked: OwnerName,
    pub reader: Reader,
    pub file: Downloadable,
    /// The whole content of a small file, verified when it was read.
    pub content: Option<Bytes>,
    /// The answers to requests without anything special, for small files.
    pub ready: Option<ReadyDownload>,
}

/// The rendered answers of a download.
#[derive(Debug, Clone)]
pub struct ReadyDownload {
    pub etag: String,
    /// 200 with the content.
    pub whole: ReadyAnswer,
    /// 304 for this `ETag`.
    pub unchanged: ReadyAnswer,
    /// The state of the version in them.
    pub state: VersionState,
}

impl ReadyDownload {
    /// Whether the answers still say the state of the version. A version is sealed as time passes.
    pub fn holds(&self, file: &Downloadable, now: Timestamp) -> bool {
        file.standing.life.state(now) == self.state
    }
}

impl CachedDownload {
    /// Whether it still holds.
    fn holds(&self, coherence: &Coherence, now: Timestamp) -> bool {
        let user = self.reader.user.as_ref().map(|(id, _)| *id);
        self.reader.expires_at.is_none_or(|end| end > now)
            && coherence.holds(self.moment, [Some(self.file.owner), user].into_iter().flatten())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    requester: Requester,
    path: Box<str>,
}

/// A key to look up.
#[derive(Hash)]
struct Lookup<'a> {
    requester: Requester,
    path: &'a str,
}

impl Equivalent<Key> for Lookup<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.requester == key.requester && self.path == &*key.path
    }
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Key, Arc<CachedDownload>> for ByBytes {
    fn weight(&self, key: &Key, download: &Arc<CachedDownload>) -> u64 {
        let content = download.content.as_ref().map_or(0, Bytes::len);
        let heads = download.ready.as_ref().map_or(0, |ready| ready.whole.head_bytes() + ready.unchanged.head_bytes());
        let variable = key.path.len() + content + heads + download.file.block_checksums.len();
        ENTRY_BYTES + variable as u64
    }
}

/// The downloads, by requester and path. Entries that no longer hold are replaced when they are read again, or make room.
#[derive(Debug)]
pub struct DownloadCache {
    entries: Option<Cache<Key, Arc<CachedDownload>, ByBytes>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// How a cache is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheUsage {
    /// The downloads it remembers.
    pub entries: u64,
    /// About how many bytes they take.
    pub bytes: u64,
    /// How many downloads it knew since the start, and how many not.
    pub hits: u64,
    pub misses: u64,
}

impl DownloadCache {
    /// A cache of about this many bytes; of 0 bytes, it remembers nothing.
    pub fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / TYPICAL_BYTES).unwrap_or(usize::MAX);
        let entries = (bytes > 0).then(|| Cache::with_weighter(entries, bytes, ByBytes));
        Self { entries, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// Whether it remembers anything.
    pub fn is_on(&self) -> bool {
        self.entries.is_some()
    }

    /// The download of a path, as it was sent, if it is remembered and still holds.
    pub fn get(
        &self,
        coherence: &Coherence,
        requester: Requester,
        path: &str,
        now: Timestamp,
    ) -> Option<Arc<CachedDownload>> {
        let found = self.entries.as_ref()?.get(&Lookup { requester, path });
        found.filter(|found| found.holds(coherence, now))
    }

    /// Counts a download that was answered from memory, or not.
    pub fn count(&self, is_hit: bool) {
        let count = if is_hit { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Remembers a download.
    pub fn insert(&self, requester: Requester, path: &str, download: CachedDownload) {
        if let Some(cache) = &self.entries {
            cache.insert(Key { requester, path: path.into() }, Arc::new(download));
        }
    }

    /// Forgets a download.
    pub fn remove(&self, requester: Requester, path: &str) {
        if let Some(cache) = &self.entries {
            cache.remove(&Lookup { requester, path });
        }
    }

    /// How it is used.
    pub fn usage(&self) -> CacheUsage {
        let Some(cache) = &self.entries else { return CacheUsage::default() };
        CacheUsage {
            entries: cache.len() as u64,
            bytes: cache.weight(),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }
}
