//! Receiving an upload, through any interface: checks of rights and limits first, then its bytes, then one transaction.

mod form;
mod lease;

pub use form::{FileOfForm, is_form};

use crate::auth::call::Call;
use crate::blocking::spawn_blocking;
use crate::domain::clock::Timestamp;
use crate::domain::digest::Sha256;
use crate::domain::path::FilePath;
use crate::error::{Error, Result};
use crate::http::body::BodyError;
use crate::http::conditional;
use crate::http::declared;
use crate::http::paging::params;
use crate::http::request_log::log_fields;
use crate::registry::access::can_publish;
use crate::registry::packages::declared::DeclaredUpload;
use crate::registry::packages::expiry;
use crate::registry::packages::files::StoredBlob;
use crate::registry::packages::publish::{self as rows, Admission, NewBlob};
use crate::registry::packages::quotas::Allowance;
use crate::registry::packages::upload_leases;
use crate::state::App;
use crate::storage::{Adopted, Declared, Incoming, Space, StorageKey, Stored};
use actix_web::http::header::{self, HeaderMap};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use lease::Lease;
use std::sync::Arc;
use std::time::Duration;

/// The free space is checked again after this many bytes of an upload.
const CHECK_SPACE_EVERY: u64 = 8 << 20;
/// An upload looks for its row this many times, with this pause in between, if the connection broke during its COMMIT.
const LOOKS: u32 = 5;
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// A file to publish, and the facts that its request declares before the body.
#[derive(Debug)]
pub struct Target {
    path: FilePath,
    declared: DeclaredUpload,
    /// The digests that the bytes must have, or the error in the headers or the query, which only callers who may publish
    /// see.
    digests: Result<Declared>,
}

/// A published file.
#[derive(Debug, Clone, Copy)]
pub struct Published {
    /// False if the name had a file already: the same bytes, or one that this one replaced.
    pub created: bool,
    pub sha256: Sha256,
    /// In bytes.
    pub size: u64,
}

impl Target {
    /// The file of a request whose body is the file itself or a form with the file in it.
    pub fn of_request(path: FilePath, headers: &HeaderMap) -> Self {
        let digests = check_head(headers);
        let declared = DeclaredUpload {
            expires_in: None,
            length: if is_form(headers) { None } else { content_length(headers) },
            sha256: digests.as_ref().ok().and_then(|digests| digests.sha256),
            only_if_absent: headers.get(header::IF_NONE_MATCH).is_some_and(|value| value == "*"),
            draft: false,
            if_match: conditional::if_match(headers),
        };
        Self { path, declared, digests }
    }

    /// As a draft, or not; an error is one of the request, which only callers who may publish see.
    pub fn draft(mut self, draft: Result<bool>) -> Self {
        match draft {
            Ok(draft) => self.declared.draft = draft,
            Err(error) => self.digests = self.digests.and(Err(error)),
        }
        self
    }

    /// Lets the version that the file creates expire after this time, as the request says it.
    pub fn expiring(mut self, text: Option<&str>) -> Self {
        match text.map(expiry::read).transpose() {
            Ok(life) => self.declared.expires_in = life,
            // An earlier error is as good.
            Err(error) => self.digests = self.digests.and(Err(error)),
        }
        self
    }

    /// A file with only its name known, such as one of several in a form.
    pub fn undeclared(path: FilePath) -> Self {
        Self { path, declared: DeclaredUpload::default(), digests: Ok(Declared::default()) }
    }
}

/// Whether a request asks for a draft, with `?draft=true`.
///
/// # Errors
/// [`Error::Invalid`].
pub fn wants_draft(call: &Call) -> Result<bool> {
    let mut asked = None;
    for value in params(&call.req, "draft") {
        let draft = match value.as_str() {
            "false" => false,
            "true" => true,
            other => return Err(Error::invalid("draft", format!("draft: {other:?} is neither true nor false"))),
        };
        if asked.is_some_and(|before| before != draft) {
            return Err(Error::invalid("draft", "draft: it is there twice, as true and as false"));
        }
        asked = Some(draft);
    }
    Ok(asked.unwrap_or(false))
}

/// Receives a file: checks rights and limits before a byte of the body is read, stores the body, and inserts the rows.
///
/// # Errors
/// As [`rows::admit`] and [`rows::publish_file`]; [`Error::LengthRequired`], [`Error::Invalid`], [`Error::NoSpace`],
/// [`Error::TooLarge`], [`Error::Quota`], [`Error::Aborted`], [`Error::DigestMismatch`], [`Error::OutcomeUnknown`]; the
/// store's errors. No part of the file is kept after an error, unless the outcome is unknown.
pub async fn receive<E: Into<BodyError>>(
    call: &Call,
    target: Target,
    body: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<Published> {
    let Target { path, declared, digests } = target;
    call.about(&path.owner);
    let (admission, space) = admit(call, &path, declared.clone()).await?;
    let digests = digests?;
    let allowance = match admission {
        Admission::Wanted(allowance) => allowance,
        Admission::SameIsThere(stored) => {
            let (sha256, size) = (stored.blob.sha256, stored.blob.size);
            if is_sound(&call.app, *stored).await? {
                return Ok(Published { created: false, sha256, size });
            }
            // The stored bytes are lost or damaged: the uploaded ones replace them.
            None
        }
    };
    leave_reserve(&call.app, space, declared.length.unwrap_or(0))?;
    let allowed = allowance.as_ref().map(|allowance| allowance.bytes);
    let limit = call.app.upload_limits().file_bytes.into_iter().chain(allowed).min();
    let mut incoming = call.app.store.begin(limit, digests);
    incoming.expect(declared.length);
    let lease = Lease::begin(&call.app, &incoming).await?;
    read_body(call, &mut incoming, body).await.map_err(|error| over_quota(error, allowance.as_ref()))?;
    let adopted = incoming.finish().await?;
    let (sha256, size) = (adopted.sha256, adopted.size);
    Ok(Published { created: commit(call, &path, adopted, declared, lease).await?, sha256, size })
}

/// Asks the database whether the body is wanted, and the store how much space there is, in one step on a blocking
/// thread.
async fn admit(call: &Call, path: &FilePath, declared: DeclaredUpload) -> Result<(Admission, Option<Space>)> {
    let (limits, wanted, store) = (call.app.upload_limits(), path.clone(), call.app.store.clone());
    let now = call.app.clock.now();
    let (admission, space) = call
        .reading_then(
            move |conn, caller| rows::admit(conn, caller, &wanted, &declared, &limits, now),
            move |admission| (admission, store.free_space()),
        )
        .await?;
    Ok((admission, space?))
}

/// The declared length of the body in bytes, if there is one.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads the headers of an upload, and refuses headers that are invalid for an upload.
///
/// # Errors
/// [`Error::LengthRequired`], [`Error::Invalid`].
fn check_head(headers: &HeaderMap) -> Result<Declared> {
    if !headers.contains_key(header::CONTENT_LENGTH) && !headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Error::LengthRequired);
    }
    if headers.contains_key(header::CONTENT_RANGE) {
        return Err(Error::invalid("Content-Range", "a file is published in one piece: leave Content-Range out"));
    }
    if is_form(headers) && declared::speaks_of_content(headers) {
        let problem =
            "this digest describes the form, not the file in it: send X-Checksum-Sha256, or the file as the body";
        return Err(Error::invalid("digest", problem));
    }
    declared::digests(headers)
}

/// Refuses headers that are invalid for a form with files.
///
/// # Errors
/// [`Error::LengthRequired`], [`Error::Invalid`].
pub fn check_form_head(headers: &HeaderMap) -> Result<()> {
    check_head(headers).map(drop)
}

/// Refuses an upload if this many more bytes would leave less than the reserve on the store's disk. The database may be
/// on the same disk, which must never be full for it.
fn leave_reserve(app: &App, space: Option<Space>, more: u64) -> Result<()> {
    let needed = more.saturating_add(app.config.store.reserve_bytes);
    if space.is_some_and(|space| space.available < needed) { Err(Error::NoSpace) } else { Ok(()) }
}

/// A file larger than the rest of the owner's quota exceeds the quota, and the error says so.
fn over_quota(error: Error, allowance: Option<&Allowance>) -> Error {
    match (error, allowance) {
        (Error::TooLarge { limit }, Some(allowance)) if limit == allowance.bytes => {
            Error::Quota(allowance.exceeded.clone())
        }
        (error, _) => error,
    }
}

async fn read_body<E: Into<BodyError>>(
    call: &Call,
    incoming: &mut Incoming,
    mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<()> {
    let mut checked_at = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| error.into().0)?;
        log_fields(&call.req, |log| log.received += u64::try_from(chunk.len()).unwrap_or_default());
        incoming.push(chunk).await?;
        if incoming.size() - checked_at > CHECK_SPACE_EVERY {
            checked_at = incoming.size();
            let store = call.app.store.clone();
            let space = spawn_blocking(move || store.free_space()).await.map_err(Error::internal)??;
            leave_reserve(&call.app, space, 0)?;
        }
    }
    Ok(())
}

/// Inserts the rows of a file whose bytes are stored. False if the name had a file already.
async fn commit(
    call: &Call,
    path: &FilePath,
    adopted: Adopted,
    declared: DeclaredUpload,
    lease: Option<Lease>,
) -> Result<bool> {
    let app = &call.app;
    let blob = NewBlob {
        sha256: adopted.sha256,
        size: adopted.size,
        storage_key: adopted.key.to_string(),
        block_checksums: adopted.block_checksums.clone(),
        other: adopted.other,
    };
    let (now, limits) = (app.clock.now(), app.upload_limits());
    // The bytes are held for as long as the transaction may run, even if this request is gone: no sweep removes them.
    let adopted = Arc::new(adopted);
    let (held, wanted, row) = (Arc::clone(&adopted), path.clone(), blob.clone());
    let leased = lease.as_ref().map(|lease| lease.key().to_owned());
    let result = call
        .adding(move |conn, caller| {
            let _held = &held;
            let right = can_publish(conn, caller, &wanted.owner, &wanted.package)?;
            let Some(leased) = &leased else {
                return rows::publish_file(conn, caller, &right, (&wanted, &row, &declared), &limits, now);
            };
            upload_leases::end(conn, leased)?;
            let mut outcome = rows::publish_file(conn, caller, &right, (&wanted, &row, &declared), &limits, now)?;
            if let Some(superseded) = outcome.superseded.take() {
                upload_leases::retire(conn, &superseded, now)?;
            }
            Ok(outcome)
        })
        .await;
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(Error::OutcomeUnknown) => return look_up(app, path, blob, now).await,
        Err(error) => {
            discard(app, adopted, lease).await;
            return Err(error);
        }
    };
    if !outcome.created {
        // An earlier request, which was not answered, may have replaced the file with the same content.
        app.db.settle().await;
    }
    if let Some(superseded) = outcome.superseded {
        remove_superseded(app, &superseded).await;
    }
    if blob.other.is_none() {
        app.digests_wanted.notify_one();
    }
    Ok(outcome.created)
}

/// Removes bytes that no row names. If that fails, a sweep does it.
async fn discard(app: &App, adopted: Arc<Adopted>, lease: Option<Lease>) {
    let Ok(adopted) = Arc::try_unwrap(adopted) else { return };
    let done = spawn_blocking(move || adopted.discard()).await;
    if let Ok(Err(error)) = done {
        return tracing::warn!(%error, "could not remove unneeded bytes; a sweep will do it");
    }
    if let Some(lease) = lease {
        let forgotten = app.db.write(move |conn| upload_leases::forget(conn, lease.key())).await;
        // The sweep does it, too.
        drop(forgotten);
    }
}

/// Removes an earlier copy of bytes that were uploaded again; the row names the new copy. A running download continues,
/// and one that is about to open the old copy finds the new one. If this fails, a sweep does it.
async fn remove_superseded(app: &App, key: &str) {
    let (store, parsed) = (app.store.clone(), key.parse::<StorageKey>());
    let Ok(key) = parsed else { return tracing::warn!(key, "an earlier copy has an invalid key") };
    let done = spawn_blocking(move || store.remove(&key)).await;
    if let Ok(Err(error)) = done {
        tracing::warn!(%error, "could not remove an earlier copy of the same bytes; a sweep will do it");
    }
}

/// Whether the stored bytes are the published ones; reads all of them.
async fn is_sound(app: &App, stored: StoredBlob) -> Result<bool> {
    let blob = Stored {
        key: stored.blob.storage_key.parse().map_err(Error::internal)?,
        sha256: stored.blob.sha256,
        size: stored.blob.size,
        block_checksums: Some(stored.block_checksums).filter(|sums| !sums.is_empty()).map(Bytes::from),
    };
    let store = app.store.clone();
    let damage = spawn_blocking(move || store.verify(&blob, |_| {})).await.map_err(Error::internal)??;
    if let Some(damage) = damage {
        tracing::error!(blob = %stored.blob.storage_key, %damage, "a stored file is damaged; this upload replaces it");
    }
    Ok(damage.is_none())
}

/// Looks for the row of an upload whose connection broke during COMMIT. It tries for some seconds, because Postgres may
/// still be working. If the row does not appear, the outcome is unknown and the bytes stay.
async fn look_up(app: &App, path: &FilePath, blob: NewBlob, now: Timestamp) -> Result<bool> {
    for _ in 0..LOOKS {
        let (path, blob) = (path.clone(), blob.clone());
        match app.db.read(move |conn| rows::was_published(conn, &path, &blob, now)).await {
            Ok(true) => return Ok(true),
            Ok(false) | Err(_) => tokio::time::sleep(LOOK_PAUSE).await,
        }
    }
    Err(Error::OutcomeUnknown)
}
