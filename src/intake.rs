//! Taking a file in, whichever face it comes through: rights and limits first, then its bytes, then one transaction.

use crate::auth::Credentials;
use crate::domain::clock::Timestamp;
use crate::domain::digest::Sha256;
use crate::domain::path::FilePath;
use crate::error::{Error, Result};
use crate::http::body::BodyError;
use crate::http::declared;
use crate::http::middleware::tell;
use crate::registry::access::can_publish;
use crate::registry::packages::files::StoredBlob;
use crate::registry::packages::publish::{self, Admission, NewBlob, UploadLimits};
use crate::registry::packages::quotas::Allowance;
use crate::state::App;
use crate::storage::{Adopted, Declared, Incoming, Space, StorageKey, StoreError, Stored};
use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::sync::Arc;
use std::time::Duration;

/// After how many more bytes of an upload it is looked whether there is still room for it.
const LOOK_EVERY: u64 = 8 << 20;
/// How often, and with which pause between, an upload looks whether its unanswered COMMIT was made.
const LOOKS: u32 = 5;
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Whether a body is a form, in parts.
pub fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("multipart/form-data"))
}

/// How long a body says it is.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads what the head declares, and refuses one that cannot be of an upload.
///
/// # Errors
/// [`Error::LengthRequired`], [`Error::Invalid`].
pub fn check_head(headers: &HeaderMap, form: bool) -> Result<Declared> {
    if !headers.contains_key(header::CONTENT_LENGTH) && !headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Error::LengthRequired);
    }
    if headers.contains_key(header::CONTENT_RANGE) {
        return Err(Error::invalid("Content-Range", "a file is published whole: leave Content-Range out"));
    }
    if form && declared::speaks_of_content(headers) {
        let problem =
            "a digest of a form is not one of the file in it: send X-Checksum-Sha256, or the file as the body";
        return Err(Error::invalid("digest", problem));
    }
    declared::digests(headers)
}

/// Refuses an upload of which so many more bytes would leave less than the reserve on the store's disk: the database
/// may live there too, and must never find it full.
fn leave_reserve(app: &App, space: Space, more: u64) -> Result<()> {
    if space.available < more.saturating_add(app.config.store.reserve_bytes) { Err(Error::NoSpace) } else { Ok(()) }
}

/// Who sends a file, by which request.
#[derive(Clone, Copy)]
pub struct Sender<'a> {
    pub req: &'a HttpRequest,
    pub app: &'a Arc<App>,
    pub presented: &'a Credentials,
}

/// Whether a file is wanted.
pub enum Admitted<'a> {
    /// No: these very bytes are there under this name, as declared.
    SameIsThere(Sha256),
    Wanted(Box<Wanted<'a>>),
}

/// A file that is wanted, and of whose bytes none was read yet.
pub struct Wanted<'a> {
    sender: Sender<'a>,
    path: FilePath,
    said: publish::DeclaredUpload,
    limits: UploadLimits,
    allowance: Option<Allowance>,
    space: Result<Space, StoreError>,
}

/// A file whose bytes are being read.
pub struct Receiving<'a> {
    sender: Sender<'a>,
    path: FilePath,
    said: publish::DeclaredUpload,
    allowance: Option<Allowance>,
    incoming: Incoming,
}

/// A file that is there now.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// False: the same bytes were there under this name, as declared.
    pub stored: bool,
    pub sha256: Sha256,
    /// In bytes.
    pub size: u64,
}

impl<'a> Sender<'a> {
    /// Asks, before anything of the body is read, whether it is wanted.
    ///
    /// # Errors
    /// As [`publish::admit`].
    pub async fn admit(self, path: FilePath, said: publish::DeclaredUpload) -> Result<Admitted<'a>> {
        let (limits, wanted, store) = (self.app.limits(), path.clone(), self.app.store.clone());
        let (admission, space) = self
            .presented
            .reading_then(
                self.req,
                self.app,
                move |conn, caller| publish::admit(conn, caller, &wanted, &said, &limits),
                move |admission| (admission, store.free_space()),
            )
            .await?;
        let allowance = match admission {
            Admission::Wanted(allowance) => allowance,
            Admission::SameIsThere(stored) => {
                let sha256 = stored.blob.sha256;
                if is_sound(self.app, *stored).await? {
                    return Ok(Admitted::SameIsThere(sha256));
                }
                // Its bytes are lost or damaged: the ones on their way take their place.
                None
            }
        };
        Ok(Admitted::Wanted(Box::new(Wanted { sender: self, path, said, limits, allowance, space })))
    }
}

impl<'a> Wanted<'a> {
    /// Begins to receive, where there is room; `digests` are those that the bytes must have.
    ///
    /// # Errors
    /// [`Error::NoSpace`]; the store's.
    pub fn begin(self, digests: Declared) -> Result<Receiving<'a>> {
        let Self { sender, path, said, limits, allowance, space } = self;
        leave_reserve(sender.app, space?, said.length.unwrap_or(0))?;
        let allowed = allowance.as_ref().map(|allowance| allowance.bytes);
        let limit = limits.file_bytes.into_iter().chain(allowed).min();
        Ok(Receiving { sender, path, said, allowance, incoming: sender.app.store.begin(limit, digests) })
    }
}

impl Receiving<'_> {
    /// Reads a body to its end, into the store. After an error, drop it: nothing of it stays.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Quota`], [`Error::NoSpace`], [`Error::Aborted`]; the store's.
    pub async fn receive<E: Into<BodyError>>(
        &mut self,
        body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<()> {
        self.read(body).await.map_err(|error| match (error, &self.allowance) {
            (Error::TooLarge { limit }, Some(allowance)) if limit == allowance.bytes => {
                Error::Quota(allowance.exceeded.clone())
            }
            (error, _) => error,
        })
    }

    async fn read<E: Into<BodyError>>(&mut self, mut body: impl Stream<Item = Result<Bytes, E>> + Unpin) -> Result<()> {
        let Sender { req, app, .. } = self.sender;
        let mut looked_at = 0;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| error.into().0)?;
            tell(req, |story| story.received += u64::try_from(chunk.len()).unwrap_or_default());
            self.incoming.push(chunk).await?;
            if self.incoming.size() - looked_at > LOOK_EVERY {
                looked_at = self.incoming.size();
                let store = app.store.clone();
                let space =
                    tokio::task::spawn_blocking(move || store.free_space()).await.map_err(Error::internal)??;
                leave_reserve(app, space, 0)?;
            }
        }
        Ok(())
    }

    /// Makes a file of what was received.
    ///
    /// # Errors
    /// As [`publish::publish_file`]; [`Error::DigestMismatch`], [`Error::OutcomeUnknown`]; the store's.
    pub async fn keep(self) -> Result<Kept> {
        let Self { sender, path, said, incoming, .. } = self;
        let adopted = incoming.finish().await?;
        let (sha256, size) = (adopted.sha256, adopted.size);
        let stored = commit(sender, &path, adopted, said).await?;
        Ok(Kept { stored, sha256, size })
    }
}

/// Makes a file of what was received. False: the same bytes were there under this name, as declared.
async fn commit(sender: Sender<'_>, path: &FilePath, adopted: Adopted, said: publish::DeclaredUpload) -> Result<bool> {
    let Sender { req, app, presented } = sender;
    let blob = NewBlob {
        sha256: adopted.sha256,
        size: adopted.size,
        storage_key: adopted.key.to_string(),
        block_checksums: adopted.block_checksums.clone(),
        other: adopted.other,
    };
    let (now, limits) = (app.clock.now(), app.limits());
    // The bytes are held as long as the transaction may run, also when this request is gone: no sweep takes them.
    let adopted = Arc::new(adopted);
    let (held, wanted, row) = (Arc::clone(&adopted), path.clone(), blob.clone());
    let result = presented
        .writing(req, app, move |conn, caller| {
            let _held = &held;
            let right = can_publish(conn, caller, &wanted.owner, &wanted.package)?;
            publish::publish_file(conn, caller, &right, (&wanted, &row, &said), &limits, now)
        })
        .await;
    let published = match result {
        Ok(published) => published,
        Err(Error::OutcomeUnknown) => return look_up(app, path, blob, now).await,
        Err(error) => {
            discard(adopted).await;
            return Err(error);
        }
    };
    if let Some(superseded) = published.superseded {
        remove_superseded(app, &superseded).await;
    }
    if blob.other.is_none() {
        app.digests_wanted.notify_one();
    }
    Ok(published.stored)
}

/// Removes bytes that no row names. Should that fail, the sweep will.
async fn discard(adopted: Arc<Adopted>) {
    let Ok(adopted) = Arc::try_unwrap(adopted) else { return };
    let done = tokio::task::spawn_blocking(move || adopted.discard()).await;
    if let Ok(Err(error)) = done {
        tracing::warn!(%error, "superfluous bytes could not be removed; a sweep will do it");
    }
}

/// Removes an earlier copy of bytes that were uploaded again: the row names the new one. Whoever reads it keeps reading
/// it, and whoever is about to open it finds the new copy. Should this fail, the sweep will do it.
async fn remove_superseded(app: &App, key: &str) {
    let (store, parsed) = (app.store.clone(), key.parse::<StorageKey>());
    let Ok(key) = parsed else { return tracing::warn!(key, "an earlier copy has an impossible key") };
    let done = tokio::task::spawn_blocking(move || store.remove(&key)).await;
    if let Ok(Err(error)) = done {
        tracing::warn!(%error, "an earlier copy of the same bytes could not be removed; a sweep will do it");
    }
}

/// Whether stored bytes are what was published: all of them are read.
async fn is_sound(app: &App, stored: StoredBlob) -> Result<bool> {
    let blob = Stored {
        key: stored.blob.storage_key.parse().map_err(Error::internal)?,
        size: stored.blob.size,
        block_checksums: Some(stored.block_checksums).filter(|sums| !sums.is_empty()).map(Bytes::from),
    };
    let store = app.store.clone();
    let verified = tokio::task::spawn_blocking(move || store.verify(&blob, |_| {})).await.map_err(Error::internal)?;
    match verified {
        Ok(None) => Ok(true),
        Ok(Some(damage)) => {
            tracing::error!(blob = %stored.blob.storage_key, %damage, "a stored file is damaged: an upload replaces it");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// The connection died during COMMIT: the row is looked for, for some seconds, because Postgres may still be at it. If
/// it does not appear the outcome is unknown, and the bytes stay in any case.
async fn look_up(app: &App, path: &FilePath, blob: NewBlob, now: Timestamp) -> Result<bool> {
    for _ in 0..LOOKS {
        let (path, blob) = (path.clone(), blob.clone());
        match app.db.read(move |conn| publish::was_published(conn, &path, &blob, now)).await {
            Ok(true) => return Ok(true),
            Ok(false) | Err(_) => tokio::time::sleep(LOOK_PAUSE).await,
        }
    }
    Err(Error::OutcomeUnknown)
}
